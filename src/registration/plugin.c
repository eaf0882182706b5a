/* plugin.c -- the life of one endpoint: one registration of one plugin.
 *
 *   CONNECTING --on_dialled--> ASKING --on_options--> LIVE --on_end--> CLOSING --on_channel_closed--> (freed)
 *        `----------- fail ------'---- fail ------------------------------^
 *
 * (1) A registration has one connection and one ListAndWatch on it, never cancelled while the plugin lives: some real
 *     plugins crash on the second one. Only these end it from our side: a list that cannot be decoded, too many
 *     superseded endpoints, the close of all.
 * (2) `gone` is told once per endpoint that was told `connected`, unless all is closed. */
#include "base/text.h"
#include "registration/convert.h"
#include "registration/inside.h"
#include "registration/list.h"
#include "registration/texts.h"
#include <string.h>
#include <syslog.h>

enum { MAX_SUPERSEDED = 8 }; /* endpoints of a resource that live on beside the current one */
enum {
    NOTED_DUPLICATES = 1,
    NOTED_HIGH_NUMA = 2,
    NOTED_NEGATIVE_NUMA = 4,
    NOTED_EMPTY_ID = 8,
    NOTED_TOO_MANY = 16,
    NOTED_LONG_ID = 32,
    NOTED_NUL = 64
};

/* ---- the end ----------------------------------------------------------------------------------------------------- */

static void free_plugin(struct dm_plugin *p) {
    struct dm_registration *r = p->r;
    dm_list_remove(&p->in_registration);
    free(p->resource), free(p->socket), free(p->why), free(p);
    dm_finish_close(r);
}

static void on_channel_closed(void *arg) {
    free_plugin(arg);
}

static void forget(struct dm_plugin *p) {
    struct dm_registration *r = p->r;
    if (p->state != DM_PLUGIN_LIVE)
        r->registering--;
    else if (dm_map_get(&r->current, p->resource) == p)
        dm_map_remove(&r->current, p->resource);
}

/* From any state to CLOSING; who waits for the answer to Register gets this one. */
static void end(struct dm_plugin *p, int code, const char *text) {
    if (p->state == DM_PLUGIN_CLOSING)
        return;
    forget(p);
    p->state = DM_PLUGIN_CLOSING;
    dm_reply_plugin(p, code, text); /* tells the owner, who may close all: p is past that */
    if (p->channel)
        dm_channel_close(p->channel, on_channel_closed, p);
    else if (p->dial)
        dm_dial_cancel(p->dial); /* on_dialled frees */
    else
        free_plugin(p);
}

void dm_plugin_close(struct dm_plugin *p) {
    end(p, DM_UNAVAILABLE, "the device manager is closing");
}

/* ---- the stream -------------------------------------------------------------------------------------------------- */

static void note_once(struct dm_plugin *p, unsigned cause, int level, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
static void note_once(struct dm_plugin *p, unsigned cause, int level, const char *format, ...) {
    char text[1020];
    va_list ap;
    if (p->noted & cause)
        return;
    p->noted |= cause;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    p->r->events->note(p->r->self, p->resource, level, text);
}

static void note_remarks(struct dm_plugin *p, const struct dm_listing *l) {
    if (l->duplicates)
        note_once(
            p, NOTED_DUPLICATES, LOG_NOTICE,
            "the plugin lists %zu devices under an id that another one has too; the last of each counts",
            l->duplicates);
    if (l->empty_ids)
        note_once(p, NOTED_EMPTY_ID, LOG_WARNING,
                  "the plugin lists a device without an id; it is used as it is, and nobody can name it");
    if (l->high_numa)
        note_once(p, NOTED_HIGH_NUMA, LOG_NOTICE,
                  "the plugin names a NUMA node above 63 for %zu devices; that node is left out",
                  l->high_numa);
    if (l->negative_numa && p->r->settings->numa_ids != DM_NUMA_IDS_STRICT)
        note_once(p, NOTED_NEGATIVE_NUMA, LOG_INFO,
                  "the plugin names a negative NUMA node for %zu devices; that counts as no topology",
                  l->negative_numa);
}

static void report(struct dm_plugin *p, const struct dm_listing *l) {
    if (p->listed && p->fingerprint == l->fingerprint)
        return; /* the same devices again: some plugins send them every few seconds */
    p->listed = true;
    p->fingerprint = l->fingerprint;
    p->r->events->listed(p->r->self, p->resource, p->generation, &l->list);
}

/* 0: it is something else. */
static unsigned over_limit(int bad) {
    return bad == -E2BIG          ? NOTED_TOO_MANY
           : bad == -ENAMETOOLONG ? NOTED_LONG_ID
           : bad == -EILSEQ       ? NOTED_NUL
                                  : 0;
}

static void on_message(void *arg, struct dm_span message) {
    struct dm_plugin *p = arg;
    DM_CLEANUP(dm_listing_free) struct dm_listing l = {0};
    devmgr_error err;
    if (p->state != DM_PLUGIN_LIVE || p->why)
        return;
    const struct dm_settings *s = p->r->settings;
    const struct dm_listing_limits limits = {dm_settings_for(s, p->resource).max_devices, s->max_id,
                                             s->numa_ids == DM_NUMA_IDS_STRICT};
    int bad = dm_listing_read(message, &limits, &l, &err);
    unsigned limit = over_limit(bad);
    if (limit) {
        note_once(p, limit, LOG_WARNING,
                  "a device list was refused whole, the devices listed before stay: %s", err.message);
    } else if (
        bad) { /* also for want of memory: who lists again may find some, a list that is left out never comes again */
        p->why =
            dm_printf(bad == -ENOMEM ? "%s" : "ListAndWatch sent what is no device list: %s", err.message);
        dm_rpc_cancel(p->call);
    } else {
        note_remarks(p, &l);
        if (p->state == DM_PLUGIN_LIVE)
            report(p, &l);
    }
}

/* How the stream ended, for people. */
static char *end_text(const struct dm_plugin *p, const struct dm_status *status) {
    struct dm_buf text = {0};
    if (p->why)
        dm_buf_puts(&text, p->why);
    else if (status->code == DM_OK)
        dm_buf_puts(&text, "the plugin ended its stream");
    else if (status->code == DM_RESOURCE_EXHAUSTED && strstr(status->message, "larger than max"))
        dm_buf_printf(&text, "the plugin sent a message of more than %llu bytes (limit max-message): %s",
                      (unsigned long long)dm_settings_for(p->r->settings, p->resource).max_message,
                      status->message);
    else if (status->code == DM_UNAVAILABLE)
        dm_buf_printf(&text, "connection lost: %s", status->message);
    else {
        dm_buf_puts(&text, "the plugin's stream ended: ");
        dm_text_rpc_error(&text, status);
    }
    return dm_buf_steal(&text);
}

static void on_end(void *arg, const struct dm_status *status) {
    struct dm_plugin *p = arg;
    if (p->state != DM_PLUGIN_LIVE)
        return;
    DM_FREE char *why = end_text(p, status);
    dm_plugin_close(p);
    p->r->events->gone(p->r->self, p->resource, p->generation, why);
}

/* ---- becoming LIVE ----------------------------------------------------------------------------------------------- */

/* The resource has a new endpoint: older ones live on until they end by themselves, but not without a limit. True: the
 * oldest one had to go. */
static bool supersede(struct dm_plugin *newer) {
    struct dm_registration *r = newer->r;
    struct dm_plugin *p, *oldest = NULL;
    size_t n = 0;
    dm_map_put(&r->current, newer->resource, newer);
    DM_LIST_EACH(p, &r->plugins, struct dm_plugin, in_registration) {
        if (p == newer || p->state != DM_PLUGIN_LIVE || p->why || strcmp(p->resource, newer->resource))
            continue;
        oldest = oldest && oldest->generation < p->generation ? oldest : p;
        n++;
    }
    if (n <= MAX_SUPERSEDED)
        return false;
    oldest->why =
        dm_printf("closed: %d later registrations of the resource were open beside it", MAX_SUPERSEDED + 1);
    dm_rpc_cancel(oldest->call);
    return true;
}

static void go_live(struct dm_plugin *p) {
    devmgr_error err = {0};
    p->generation = ++p->r->generations;
    const struct dm_endpoint_info info = {.resource = p->resource,
                                          .generation = p->generation,
                                          .socket = p->socket,
                                          .pid = (int)dm_channel_peer(p->channel).pid,
                                          .prestart = p->prestart,
                                          .preferred = p->preferred};
    int refused = p->r->events->connected(p->r->self, &info, &err);
    if (p->state != DM_PLUGIN_ASKING)
        return; /* closed meanwhile */
    if (refused < 0) {
        end(p, DM_RESOURCE_EXHAUSTED, err.message);
        return;
    }
    p->state = DM_PLUGIN_LIVE;
    p->r->registering--;
    bool one_too_many = supersede(p);
    dm_reply_plugin(p, DM_OK, NULL);
    p->call = dm_stream_start(p->channel, "/v1beta1.DevicePlugin/ListAndWatch", (struct dm_span){0},
                              DM_NO_TIMEOUT, on_message, on_end, p);
    if (one_too_many)
        note_once(
            p, 0, LOG_WARNING,
            "the plugin registers again and again without ending its former streams; the oldest was closed");
}

/* ---- connecting, asking ------------------------------------------------------------------------------------------ */

static struct dm_target target_of(const struct dm_plugin *p) {
    return (struct dm_target){p->resource, p->socket, p->channel ? (int)dm_channel_peer(p->channel).pid : 0,
                              p->limit};
}

/* What a step may take: its own limit, or what the caller of Register still waits (REG-14). */
static uint64_t time_for(struct dm_plugin *p, uint64_t limit) {
    uint64_t now = uv_now(dm_rpc_loop(p->r->rpc)), left = p->deadline > now ? p->deadline - now : 1;
    return p->limit = limit < left ? limit : left;
}

/* The plugin's own code stays in the text: an UNIMPLEMENTED from Register would say that Register is. */
static int options_code(int code) {
    bool same = code == DM_CANCELLED || code == DM_DEADLINE_EXCEEDED || code == DM_UNAVAILABLE;
    return same ? code : DM_FAILED_PRECONDITION;
}

static void fail_options(struct dm_plugin *p, const struct dm_status *status) {
    DM_CLEANUP(dm_buf_free) struct dm_buf text = {0};
    struct dm_target to = target_of(p);
    struct dm_status said = *status;
    if (p->gave_up)
        said = (struct dm_status){DM_CANCELLED, "context canceled"};
    else if (said.code == DM_DEADLINE_EXCEEDED)
        said.message = "context deadline exceeded"; /* Go's words; gRPC core says "Deadline Exceeded" */
    dm_text_options(&text, &to, &said);
    end(p, options_code(said.code), text.data);
}

static void on_options(void *arg, const struct dm_status *status, struct dm_span response) {
    struct dm_plugin *p = arg;
    devmgr_error err;
    if (p->state != DM_PLUGIN_ASKING)
        return;
    p->call = NULL;
    if (status->code != DM_OK || p->gave_up) {
        fail_options(p, status);
    } else if (dm_convert_options(response, &p->prestart, &p->preferred, &err) < 0) {
        const struct dm_status bad = {DM_INTERNAL, err.message};
        fail_options(p, &bad);
    } else {
        go_live(p);
    }
}

static void ask_options(struct dm_plugin *p) {
    uint64_t limit = time_for(p, dm_settings_for(p->r->settings, p->resource).options_timeout);
    p->state = DM_PLUGIN_ASKING;
    p->call = dm_unary_start(p->channel, "/v1beta1.DevicePlugin/GetDevicePluginOptions", (struct dm_span){0},
                             (int64_t)limit, on_options, p);
}

static void fail_dial(struct dm_plugin *p, const devmgr_error *err) {
    DM_CLEANUP(dm_buf_free) struct dm_buf text = {0};
    struct dm_target to = target_of(p);
    bool waited =
        err->code == -ENOENT || err->code == -ECONNREFUSED || err->code == -EAGAIN || err->code == -EINTR;
    dm_text_dial(&text, &to, err);
    end(p, p->gave_up ? DM_CANCELLED : waited ? DM_DEADLINE_EXCEEDED : DM_UNAVAILABLE, text.data);
}

static void on_dialled(void *arg, struct dm_channel *channel, const devmgr_error *err) {
    struct dm_plugin *p = arg;
    p->dial = NULL;
    p->channel = channel;
    if (p->state == DM_PLUGIN_CLOSING && channel)
        dm_channel_close(channel, on_channel_closed, p);
    else if (p->state == DM_PLUGIN_CLOSING)
        free_plugin(p);
    else if (channel)
        ask_options(p);
    else
        fail_dial(p, err);
}

static void on_asker_gone(void *arg) {
    struct dm_plugin *p = arg;
    p->gave_up = true;
    if (p->state == DM_PLUGIN_CONNECTING)
        dm_dial_cancel(p->dial);
    else if (p->state == DM_PLUGIN_ASKING)
        dm_rpc_cancel(p->call);
}

void dm_plugin_start(struct dm_registration *r, const char *resource, const char *socket,
                     struct dm_incoming *asker) {
    struct dm_plugin *p = DM_NEW(struct dm_plugin);
    int64_t left = dm_incoming_timeout_ms(asker);
    uv_update_time(dm_rpc_loop(r->rpc));
    *p = (struct dm_plugin){.r = r,
                            .state = DM_PLUGIN_CONNECTING,
                            .resource = dm_strdup(resource),
                            .socket = dm_strdup(socket),
                            .asker = asker,
                            .deadline = left == DM_FOREVER ? UINT64_MAX
                                                           : uv_now(dm_rpc_loop(r->rpc)) + (uint64_t)left};
    dm_list_append(&r->plugins, &p->in_registration);
    r->registering++;
    dm_incoming_on_cancel(asker, on_asker_gone, p);
    p->dial = dm_dial_start(r->rpc, socket, time_for(p, r->settings->dial_timeout),
                            dm_settings_for(r->settings, resource).max_message, on_dialled, p);
}
