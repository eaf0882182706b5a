/* reply.c -- what a caller of Register is told in the end; a failure is noted for people too. */
#include "registration/inside.h"
#include "registration/texts.h"
#include <string.h>
#include <syslog.h>

static void tell(struct dm_registration *r, const struct dm_incoming *in, const char *resource,
                 const char *text) {
    DM_CLEANUP(dm_buf_free) struct dm_buf line = {0};
    if (r->closing)
        return;
    dm_buf_puts(&line, "Register by ");
    dm_text_process(&line, (int)dm_incoming_peer(in)->pid);
    dm_buf_printf(&line, " failed: %s", text);
    r->events->note(r->self, resource, LOG_WARNING, line.data);
}

void dm_reply_refuse(struct dm_registration *r, struct dm_incoming *in, const char *resource, int code,
                     const char *text) {
    const struct dm_status status = {code, text};
    tell(r, in, resource, text);
    dm_incoming_reply(in, &status, (struct dm_span){0});
}

void dm_reply_plugin(struct dm_plugin *p, int code, const char *text) {
    struct dm_incoming *in = DM_MOVE(p->asker);
    if (!in)
        return;
    dm_incoming_on_cancel(in, NULL, NULL);
    if (text)
        dm_reply_refuse(p->r, in, p->resource, code, text);
    else
        dm_incoming_reply(in, NULL, (struct dm_span){(const uint8_t *)"", 0});
}
