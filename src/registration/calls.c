/* calls.c -- one RPC to a plugin, from dm_registration_call to `answered`. Each is answered exactly once, on a later turn
 * of the loop, whatever happens to the plugin, the call or the registration. */
#include "registration/answer.h"
#include "registration/convert.h"
#include "registration/inside.h"
#include <inttypes.h>
#include <string.h>

struct open_call {
    struct dm_list node; /* in calls or unsent */
    struct dm_registration *r;
    struct dm_plugin *plugin; /* lives as long: its channel goes after the last callback; NULL: unsent */
    struct dm_rpc_call *rpc_call;
    uint64_t id;
    enum dm_rpc_kind rpc;
    char *resource;
    uint64_t begun; /* uv_hrtime */
    bool cancelled;
};

static void answer(struct open_call *c, struct dm_call_result *result) {
    struct dm_registration *r = c->r;
    result->id = c->id;
    if (c->rpc == DM_RPC_ALLOCATE)
        dm_metrics_allocated(&r->metrics, c->resource, uv_hrtime() - c->begun);
    dm_list_remove(&c->node);
    r->events->answered(r->self, result);
    free(c->resource), free(c);
}

static void answer_status(struct open_call *c, int code, const char *text) {
    struct dm_call_result result = {.status = {code, text, false}};
    answer(c, &result);
}

static void answer_stopped(struct open_call *c) {
    DM_FREE char *text = dm_printf("endpoint of %s has been stopped", c->resource); /* DEV-07, W73 */
    answer_status(c, DM_UNAVAILABLE, text);
}

/* What Go's gRPC says when a message cannot be decoded. */
static void answer_undecodable(struct open_call *c, const devmgr_error *err) {
    DM_FREE char *text = dm_printf("grpc: failed to unmarshal the received message: %s", err->message);
    struct dm_call_result result = {.status = {DM_INTERNAL, text, true}};
    answer(c, &result);
}

/* gRPC's words on our side for a message above our limit; with another number they are the plugin's own limit. */
static bool is_too_large(const struct open_call *c, const struct dm_status *status) {
    uint64_t most = dm_settings_for(c->r->settings, c->resource).max_message;
    DM_FREE char *limit = dm_printf(" vs. %" PRIu64 ")", most);
    size_t n = strlen(limit), len = strlen(status->message);
    return status->code == DM_RESOURCE_EXHAUSTED && len >= n && !strcmp(status->message + len - n, limit);
}

static void answer_too_large(struct open_call *c, const struct dm_status *status) {
    struct dm_call_result result = {.status = {status->code, status->message, true}};
    answer(c, &result);
}

static void answer_preferred(struct open_call *c, struct dm_span response) {
    DM_CLEANUP(dm_ids_free) struct dm_ids ids = {0};
    devmgr_error err;
    size_t max = dm_settings_for(c->r->settings, c->resource).max_devices;
    if (dm_convert_preferred(response, max, &ids, &err) < 0) {
        answer_undecodable(c, &err);
        return;
    }
    struct dm_call_result result = {.status = {DM_OK, "", false}, .n_ids = ids.n, .ids = ids.ids};
    answer(c, &result);
}

static void answer_allocate(struct open_call *c, struct dm_span response) {
    struct dm_call_result result = {.status = {DM_OK, "", false}};
    devmgr_error err;
    int bad = dm_answer_first(response, &result.n_containers, &result.answer, &err);
    if (bad == -ENOMEM)
        answer_status(c, DM_RESOURCE_EXHAUSTED, err.message);
    else if (bad)
        answer_undecodable(c, &err);
    else
        answer(c, &result);
}

static void answer_prestart(struct open_call *c, struct dm_span response) {
    devmgr_error err;
    if (dm_convert_prestart(response, &err) < 0)
        answer_undecodable(c, &err);
    else
        answer_status(c, DM_OK, "");
}

static void on_answer(void *arg, const struct dm_status *status, struct dm_span response) {
    struct open_call *c = arg;
    if (c->cancelled)
        answer_status(c, DM_CANCELLED, "context canceled");
    else if (status->code != DM_OK && c->plugin->state == DM_PLUGIN_CLOSING)
        answer_stopped(c); /* its stream ended while this was open */
    else if (status->code == DM_DEADLINE_EXCEEDED && !strcmp(status->message, "Deadline Exceeded"))
        answer_status(c, status->code, "context deadline exceeded"); /* as Go, so as the kubelet's texts */
    else if (is_too_large(c, status))
        answer_too_large(c, status);
    else if (status->code != DM_OK)
        answer_status(c, status->code, status->message);
    else if (c->rpc == DM_RPC_PREFERRED)
        answer_preferred(c, response);
    else if (c->rpc == DM_RPC_ALLOCATE)
        answer_allocate(c, response);
    else
        answer_prestart(c, response);
    /* c and with it the way to the registration are gone; the plugin's channel tells when it is empty */
}

static void dispatch(struct open_call *c, const struct dm_call *call) {
    DM_CLEANUP(dm_buf_free) struct dm_buf request = {0};
    int64_t timeout = call->timeout_ms < INT64_MAX ? (int64_t)call->timeout_ms : INT64_MAX;
    dm_convert_request(call, &request);
    dm_list_append(&c->r->calls, &c->node);
    c->rpc_call = dm_unary_start(c->plugin->channel, dm_convert_method(call->rpc), dm_buf_span(&request),
                                 timeout ? timeout : 1, on_answer, c);
}

void dm_registration_call(struct dm_registration *r, const struct dm_call *call) {
    struct dm_plugin *p = dm_map_get(&r->current, call->resource);
    struct open_call *c = DM_NEW(struct open_call);
    *c = (struct open_call){.r = r,
                            .id = call->id,
                            .rpc = call->rpc,
                            .resource = dm_strdup(call->resource),
                            .begun = uv_hrtime()};
    dm_list_init(&c->node);
    if (p && p->generation == call->generation) {
        c->plugin = p;
        dispatch(c, call);
    } else {
        dm_list_append(&r->unsent, &c->node);
        dm_soon(r);
    }
}

void dm_registration_cancel(struct dm_registration *r, uint64_t call_id) {
    struct open_call *c;
    DM_LIST_EACH(c, &r->unsent, struct open_call, node)
    if (c->id == call_id)
        c->cancelled = true;
    DM_LIST_EACH(c, &r->calls, struct open_call, node)
    if (c->id == call_id) {
        c->cancelled = true;
        dm_rpc_cancel(c->rpc_call);
    }
}

/* Those that are there now; what an answer brings in waits for the next turn. */
void dm_calls_answer_unsent(struct dm_registration *r) {
    size_t n = 0;
    for (struct dm_list *it = r->unsent.next; it != &r->unsent; it = it->next)
        n++;
    while (n--) {
        struct open_call *c = DM_LIST_FIRST(&r->unsent, struct open_call, node);
        if (c->cancelled)
            answer_status(c, DM_CANCELLED, "context canceled");
        else
            answer_stopped(c);
    }
    if (!dm_list_empty(&r->unsent))
        dm_soon(r);
}
