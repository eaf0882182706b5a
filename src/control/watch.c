/* watch.c -- Watch: the state as events, then what changes.
 *
 * (1) A watcher is told the state and joins the list in one turn of the loop, so that nothing falls between.
 * (2) An event is packed once, whoever watches.
 * (3) What a watcher has not taken is bounded: by LAG beyond what the state itself took. Who is over is cut off at once. */
#include "base/mem.h"
#include "control/service.h"
#include <sys/time.h>

enum { LAG = 8 << 20 };

struct watcher {
    struct dm_list in_control;
    struct dm_request *request;
    size_t limit;
};

static void end(struct watcher *w, int code, const char *message) {
    const struct dm_status status = {code, message};
    struct dm_request *r = w->request;
    dm_list_remove(&w->in_control);
    free(w);
    dm_request_finish(r, &status);
}

static void on_gone(void *arg) {
    end(arg, DM_CANCELLED, "");
}

/* ---- the state ------------------------------------------------------------------------------------------------- */

struct state {
    struct dm_incoming *in;
    struct dm_arena arena;
    size_t queued;
    uint64_t revision, unix_ms;
};

static void tell(struct state *s, devmgr_event ev) {
    DM_CLEANUP(dm_buf_free) struct dm_buf out = {0};
    ev.revision = s->revision;
    ev.unix_ms = s->unix_ms;
    dm_message_write(dm_encode_event(&s->arena, &ev), &out);
    dm_arena_clear(&s->arena);
    s->queued = dm_incoming_send(s->in, dm_buf_span(&out));
}

static int tell_resource(void *arg, const devmgr_resource *r) {
    tell(arg, (devmgr_event){.type = DEVMGR_EV_RESOURCE, .resource = r->name, .changed = r});
    return 0;
}

static int tell_pod(void *arg, const devmgr_held_pod *p) {
    tell(arg, (devmgr_event){.type = DEVMGR_EV_ADMITTED, .pod_uid = p->uid, .pod = p});
    return 0;
}

static int tell_health(void *arg, const devmgr_claim *c) {
    if (c->health != DEVMGR_HEALTHY)
        tell(arg,
             (devmgr_event){
                 .type = DEVMGR_EV_CLAIM_HEALTH, .pod_uid = c->pod_uid, .resource = c->resource, .claim = c});
    return 0;
}

static int tell_all(struct state *s, devmgr *m) {
    struct timeval now;
    gettimeofday(&now, NULL);
    s->revision = devmgr_revision(m);
    s->unix_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_usec / 1000;
    int rc = devmgr_each_resource(m, tell_resource, s);
    if (rc == 0)
        rc = devmgr_each_pod(m, tell_pod, s);
    if (rc == 0)
        rc = devmgr_each_claim(m, NULL, tell_health, s);
    if (rc == 0)
        tell(s, (devmgr_event){.type = DM_EVENT_SYNCED});
    dm_arena_free(&s->arena);
    return rc;
}

/* ---- watchers -------------------------------------------------------------------------------------------------- */

void dm_serve_watch(struct dm_request *r) {
    struct state state = {.in = r->in};
    int rc = tell_all(&state, r->control->m);
    if (rc < 0) {
        dm_request_fail(r, rc, NULL, "watch");
        return;
    }
    struct watcher *w = DM_NEW(struct watcher);
    w->request = r;
    w->limit = state.queued + LAG;
    dm_list_append(&r->control->watchers, &w->in_control);
    dm_incoming_on_cancel(r->in, on_gone, w);
}

void dm_control_event(struct dm_control *c, const devmgr_event *ev) {
    DM_CLEANUP(dm_buf_free) struct dm_buf out = {0};
    struct watcher *w;
    if (!c || dm_list_empty(&c->watchers))
        return;
    DM_CLEANUP(dm_arena_free) struct dm_arena arena = {0};
    dm_message_write(dm_encode_event(&arena, ev), &out);
    DM_LIST_EACH(w, &c->watchers, struct watcher, in_control)
    if (dm_incoming_send(w->request->in, dm_buf_span(&out)) > w->limit)
        end(w, DM_RESOURCE_EXHAUSTED,
            "you read too slowly and missed events; watch again: it begins with the state");
}

void dm_watch_end_all(struct dm_control *c) {
    struct watcher *w;
    DM_LIST_EACH(w, &c->watchers, struct watcher, in_control)
    end(w, DM_UNAVAILABLE, "closing; connect again");
}
