/* control.c -- the control API's service: methods, start and end. See service.h. */
#include "base/mem.h"
#include "control/service.h"

enum {
    MAX_REQUEST = 8 << 20, /* as the largest manifest */
    MAX_UNFOLDED = 64 << 20,
    MAX_STREAMS = 1024, /* a kubelet's worth of waiting admissions on one connection, and its releases */
    MAX_CALLS = 4096,
    DRAIN_MS = 5,
    DRAIN_TURNS = 200 /* a second for clients to take their last answer */
};

static void serve(struct dm_control *c, struct dm_incoming *in, const ProtobufCMessageDescriptor *descriptor,
                  dm_handler *handler) {
    static const struct dm_status closing = {DM_UNAVAILABLE, "closing; connect again"};
    if (c->closing) {
        dm_incoming_finish(in, &closing);
        return;
    }
    struct dm_request *r = DM_NEW(struct dm_request);
    struct dm_span bytes = dm_incoming_request(in);
    r->control = c;
    r->in = in;
    r->arena.limit = MAX_UNFOLDED;
    dm_list_append(&c->requests, &r->in_control);
    r->message = dm_message_read(&r->arena, descriptor, bytes.data, bytes.len);
    if (r->message) {
        handler(r);
        return;
    }
    if (r->arena.starved) {
        dm_request_refuse(r, DM_RESOURCE_EXHAUSTED, "no memory for this request; try again later");
        return;
    }
    DM_FREE char *text = dm_printf("not a %s, or too many small parts in it", descriptor->name);
    dm_request_refuse(r, DM_INVALID_ARGUMENT, text);
}

/* ---- methods --------------------------------------------------------------------------------------------------- */

#define METHOD(name, request)                                                                                \
    static void on_##name(void *self, struct dm_incoming *in) {                                              \
        serve(self, in, &devmgr__v1alpha1__##request##_request__descriptor, dm_serve_##name);                \
    }
METHOD(info, info)
METHOD(admit, admit)
METHOD(admit_each, admit)
METHOD(container_options, container_options)
METHOD(init_done, init_done)
METHOD(release_container, release_container)
METHOD(release, release)
METHOD(sync, sync)
METHOD(claim_record, claim_record)
METHOD(adopt, adopt)
METHOD(list_resources, list_resources)
METHOD(list_devices, list_devices)
METHOD(list_pods, list_pods)
METHOD(health_history, health_history)
METHOD(watch, watch)
METHOD(node_allocatable, node_allocatable)
METHOD(explain, explain)
METHOD(hints, hints)
METHOD(forget_resource, forget_resource)
METHOD(check, check)
METHOD(metrics, metrics)
#undef METHOD

#define UNARY(name, handle)                                                                                  \
    { "/devmgr.v1alpha1.DeviceManager/" name, false, handle }
#define STREAM(name, handle)                                                                                 \
    { "/devmgr.v1alpha1.DeviceManager/" name, true, handle }
static const struct dm_method methods[] = {
    UNARY("Info", on_info),
    UNARY("Admit", on_admit),
    STREAM("AdmitEach", on_admit_each),
    UNARY("ContainerOptions", on_container_options),
    UNARY("InitDone", on_init_done),
    UNARY("ReleaseContainer", on_release_container),
    UNARY("Release", on_release),
    UNARY("Sync", on_sync),
    UNARY("ClaimRecord", on_claim_record),
    UNARY("Adopt", on_adopt),
    UNARY("ListResources", on_list_resources),
    STREAM("ListDevices", on_list_devices),
    STREAM("ListPods", on_list_pods),
    UNARY("HealthHistory", on_health_history),
    STREAM("Watch", on_watch),
    UNARY("NodeAllocatable", on_node_allocatable),
    UNARY("Explain", on_explain),
    STREAM("Hints", on_hints),
    UNARY("ForgetResource", on_forget_resource),
    UNARY("Check", on_check),
    UNARY("Metrics", on_metrics),
};

/* ---- start and end --------------------------------------------------------------------------------------------- */

static int listen_and_serve(struct dm_control *c, const char *socket, const char *group,
                            devmgr_error *reterr) {
    static const struct dm_server_limits limits = {
        .max_receive = MAX_REQUEST, .max_streams = MAX_STREAMS, .max_calls = MAX_CALLS};
    int r = dm_server_new(c->rpc, methods, DM_COUNT(methods), c, &limits, &c->server, reterr);
    if (r < 0)
        return r;
    int fd = dm_socket_file_open(socket, group, &c->file, reterr);
    return fd < 0 ? fd : dm_server_listen(c->server, fd, &c->listener, reterr);
}

static void on_released(void *arg) {
    struct dm_control *c = arg;
    if (c->closed)
        c->closed(c->closed_arg);
    free(c);
}

static void on_server_closed(void *arg) {
    struct dm_control *c = arg;
    dm_rpc_release(c->rpc, on_released, c);
}

/* The last answers were given; they need a moment to leave. */
static void on_drained(uv_handle_t *timer) {
    struct dm_control *c = timer->data;
    dm_server_close(c->server, on_server_closed, c);
}

static void on_drain(uv_timer_t *timer) {
    struct dm_control *c = timer->data;
    if (dm_server_calls(c->server) == 0 || ++c->drain_turns > DRAIN_TURNS)
        uv_close((uv_handle_t *)timer, on_drained);
}

static void close_when_answered(struct dm_control *c) {
    if (!c->closing || c->draining || !dm_list_empty(&c->requests))
        return;
    c->draining = true;
    if (!c->server) {
        on_server_closed(c);
        return;
    }
    uv_timer_init(dm_rpc_loop(c->rpc), &c->drain);
    c->drain.data = c;
    uv_timer_start(&c->drain, on_drain, 0, DRAIN_MS);
}

int dm_control_start(uv_loop_t *loop, devmgr *m, const char *socket, const char *group,
                     struct dm_control **ret, devmgr_error *reterr) {
    struct dm_control *c = DM_NEW(struct dm_control);
    c->m = m;
    c->answered = close_when_answered;
    dm_list_init(&c->requests);
    dm_list_init(&c->watchers);
    int r = dm_rpc_acquire(loop, &c->rpc, reterr);
    if (r < 0) {
        free(c);
        return r;
    }
    r = listen_and_serve(c, socket, group, reterr);
    if (r < 0) {
        dm_control_close(c, NULL, NULL);
        return r;
    }
    *ret = c;
    return 0;
}

void dm_control_close(struct dm_control *c, void (*closed)(void *arg), void *arg) {
    if (!c) {
        if (closed)
            closed(arg);
        return;
    }
    c->closed = closed;
    c->closed_arg = arg;
    dm_socket_file_remove(&c->file);
    if (c->listener)
        dm_server_unlisten(c->server, DM_MOVE(c->listener));
    c->closing = true;
    dm_watch_end_all(c);
    close_when_answered(c);
}
