/* registrar.c -- the v1beta1.Registration service: who may register, in the kubelet's order and words.
 *
 * The codes are ours (the kubelet answers UNKNOWN to everything): INVALID_ARGUMENT for what the plugin must change,
 * RESOURCE_EXHAUSTED for a limit, DEADLINE_EXCEEDED and UNAVAILABLE when we cannot reach it, FAILED_PRECONDITION when it
 * has no options for us. */
#include "base/status.h"
#include "registration/convert.h"
#include "registration/inside.h"
#include "registration/texts.h"
#include <string.h>
#include <syslog.h>

enum { SPARE_CALLS = 64 }; /* calls beyond max-registering that are let in to be told no in our words */

enum { LONGEST_SUBJECT = 400 }; /* bytes of a name that a note is filed under */

static bool is(struct dm_span span, const char *text) {
    return span.len == strlen(text) && !memcmp(span.data, text, span.len);
}

static bool is_file_name(struct dm_span name) {
    return name.len && !memchr(name.data, '/', name.len) && !memchr(name.data, 0, name.len) &&
           !is(name, ".") && !is(name, "..") && !is(name, "kubelet.sock");
}

/* Under which name a failure is told: nobody may blacken another resource with a NUL in his own name, or fill the log
 * with a long one. */
static const char *subject(const struct dm_register *m, const char *resource) {
    return strlen(resource) == m->resource.len && m->resource.len <= LONGEST_SUBJECT ? resource : "";
}

/* The checks that need no plugin, in the kubelet's order. 0, or a code with its text in `why`. */
static int check(struct dm_registration *r, const struct dm_register *m, const char *resource,
                 const char *socket, struct dm_buf *why) {
    if (!is(m->version, "v1beta1"))
        return dm_text_version(why, m->version), DM_INVALID_ARGUMENT;
    if (strlen(resource) != m->resource.len || !dm_resource_name_valid(resource))
        return dm_text_resource(why, m->resource), DM_INVALID_ARGUMENT;
    if (!is_file_name(m->endpoint))
        return dm_text_endpoint(why, resource, m->endpoint, dm_folder_path(r->folder)), DM_INVALID_ARGUMENT;
    if (strlen(socket) > DM_SOCKET_PATH_MAX)
        return dm_text_path_too_long(why, resource, socket), DM_INVALID_ARGUMENT;
    if (r->registering >= r->settings->max_registering)
        return dm_text_too_many(why, resource, r->settings->max_registering), DM_RESOURCE_EXHAUSTED;
    return 0;
}

static void handle_register(void *self, struct dm_incoming *in) {
    struct dm_registration *r = self;
    DM_CLEANUP(dm_buf_free) struct dm_buf why = {0};
    struct dm_register m;
    devmgr_error err;
    if (r->closing) {
        dm_reply_refuse(r, in, "", DM_UNAVAILABLE, "the device manager is closing");
        return;
    }
    if (dm_convert_register(dm_incoming_request(in), &m, &err) < 0) {
        dm_reply_refuse(r, in, "", DM_INVALID_ARGUMENT, err.message);
        return;
    }
    DM_FREE char *resource = dm_strndup((const char *)m.resource.data, m.resource.len);
    DM_FREE char *socket =
        dm_printf("%s/%.*s", dm_folder_path(r->folder), (int)m.endpoint.len, (const char *)m.endpoint.data);
    /* Counted whatever becomes of it, as in the kubelet. */
    bool valid = strlen(resource) == m.resource.len && dm_resource_name_valid(resource);
    dm_metrics_registered(&r->metrics, valid ? resource : NULL);
    int code = check(r, &m, resource, socket, &why);
    if (code)
        dm_reply_refuse(r, in, subject(&m, resource), code, why.data);
    else
        dm_plugin_start(r, resource, socket, in);
}

int dm_registrar_open(struct dm_registration *r, devmgr_error *reterr) {
    static const struct dm_method methods[] = {{"/v1beta1.Registration/Register", false, handle_register}};
    size_t n = r->settings->max_registering;
    const struct dm_server_limits limits = {
        .max_calls = n + SPARE_CALLS,
        .max_connections = n < 512 ? 1024 : 2 * n, /* some plugins leave theirs open a while */
    };
    int bad = dm_server_new(r->rpc, methods, DM_COUNT(methods), r, &limits, &r->server, reterr);
    r->server_open = bad == 0;
    return bad;
}
