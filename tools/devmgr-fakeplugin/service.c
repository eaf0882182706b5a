/* service.c -- the DevicePlugin service on our socket: each call is counted, delayed, bent as the faults say, answered.
 *
 * (1) A struct call lives as long as its dm_incoming: end_call ends both, once; the memory goes with its timer.
 * (2) Only streams that have had their first list get later ones.
 * (3) The socket file is removed only while it is the one we made: another instance may have taken the name. */
#include "base/mem.h"
#include "plugin.h"
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_REQUEST = 64 << 20, PULSE_MS = 100 };

struct call {
    struct fp_plugin *plugin;
    struct dm_incoming *in;
    enum fp_rpc rpc;
    struct fp_plan plan;
    uv_timer_t timer; /* the delay, then the pulse of flap and repeat */
    struct dm_list in_plugin;
    bool streaming; /* has had its first list */
    size_t pulses;
};

/* ---- ending a call ---------------------------------------------------------------------------------------------- */

static void free_call(uv_handle_t *timer) {
    free(timer->data);
}

static void end_call(struct call *c, int code, const char *message, struct dm_span response) {
    const struct dm_status status = {code, message};
    struct dm_incoming *in = DM_MOVE(c->in);
    if (!in)
        return;
    dm_list_remove(&c->in_plugin);
    c->streaming = false;
    if (c->rpc == FP_LIST)
        dm_incoming_finish(in, &status);
    else
        dm_incoming_reply(in, &status, response);
    uv_close((uv_handle_t *)&c->timer, free_call);
}

static void fail_call(struct call *c, int code, const char *message) {
    end_call(c, code, message, (struct dm_span){0});
}

static void on_cancelled(void *arg) {
    fail_call(arg, DM_CANCELLED, "");
}

/* Good or bent, as the plan says. */
static void answer_call(struct call *c, struct dm_buf *response) {
    if (c->plan.what == FP_HUGE)
        fp_wire_pad(response);
    if (c->plan.what == FP_GARBAGE)
        fp_wire_garbage(response);
    dm_buf_add(response, "", 0); /* an empty message is a message too */
    end_call(c, DM_OK, "", dm_buf_span(response));
}

/* ---- what each RPC answers -------------------------------------------------------------------------------------- */

static void *unpack(struct call *c, const ProtobufCMessageDescriptor *type) {
    struct dm_span bytes = dm_incoming_request(c->in);
    void *request = protobuf_c_message_unpack(type, NULL, bytes.len, bytes.data);
    if (!request)
        fail_call(c, DM_INVALID_ARGUMENT, "the request cannot be decoded");
    return request;
}

static void answer_options(struct call *c) {
    const struct fp_config *config = &c->plugin->config;
    V1beta1__DevicePluginOptions options = V1BETA1__DEVICE_PLUGIN_OPTIONS__INIT;
    DM_CLEANUP(dm_buf_free) struct dm_buf out = {0};
    if (c->plan.what != FP_EMPTY) {
        options.pre_start_required = config->prestart;
        options.get_preferred_allocation_available = config->offer_preferred;
    }
    fp_wire_pack(&options.base, &out);
    answer_call(c, &out);
}

static void answer_preferred(struct call *c) {
    DM_CLEANUP(dm_buf_free) struct dm_buf out = {0};
    V1beta1__PreferredAllocationRequest *q = unpack(c, &v1beta1__preferred_allocation_request__descriptor);
    if (!q)
        return;
    if (c->plugin->config.preference == FP_PREFER_ERROR) {
        fail_call(c, DM_UNKNOWN, "--preferred error");
    } else {
        fp_answer_preferred((enum fp_preference)c->plugin->config.preference, q, c->plan.what, &out);
        answer_call(c, &out);
    }
    v1beta1__preferred_allocation_request__free_unpacked(q, NULL);
}

static void answer_allocate(struct call *c) {
    const struct fp_answer *answer = &c->plugin->answer;
    DM_CLEANUP(dm_buf_free) struct dm_buf out = {0};
    V1beta1__AllocateRequest *q = unpack(c, &v1beta1__allocate_request__descriptor);
    if (!q)
        return;
    if (answer->error) {
        fail_call(c, DM_UNKNOWN, answer->error);
    } else {
        fp_answer_allocate(answer, q, c->plan.what, &out);
        answer_call(c, &out);
    }
    v1beta1__allocate_request__free_unpacked(q, NULL);
}

static void answer_prestart(struct call *c) {
    DM_CLEANUP(dm_buf_free) struct dm_buf out = {0};
    answer_call(c, &out);
}

/* ---- ListAndWatch ----------------------------------------------------------------------------------------------- */

static void send_shape(struct call *c) {
    DM_CLEANUP(dm_buf_free) struct dm_buf list = {0};
    fp_devices_encode(&c->plugin->devices, c->plan.what, c->pulses, &list);
    if (c->plan.what == FP_HUGE)
        fp_wire_pad(&list);
    if (c->plan.what == FP_GARBAGE)
        fp_wire_garbage(&list);
    dm_incoming_send(c->in, dm_buf_span(&list));
}

static void on_pulse(uv_timer_t *timer) {
    struct call *c = timer->data;
    c->pulses++;
    send_shape(c);
}

static void answer_list(struct call *c) {
    send_shape(c);
    c->streaming = true;
    if (c->plan.what == FP_END_OK)
        fail_call(c, DM_OK, "");
    else if (c->plan.what == FP_END_ERROR)
        fail_call(c, DM_INTERNAL, "--fault list:end=error");
    else if (c->plan.what == FP_FLAP || c->plan.what == FP_REPEAT)
        uv_timer_start(&c->timer, on_pulse, PULSE_MS, PULSE_MS);
}

uint64_t fp_service_send(struct fp_plugin *p, struct dm_span list) {
    struct call *c;
    uint64_t when = 0;
    DM_LIST_EACH(c, &p->calls, struct call, in_plugin)
    if (c->streaming) {
        when = when ? when : fp_now_ns();
        dm_incoming_send(c->in, list);
    }
    return when;
}

size_t fp_service_queued(const struct fp_plugin *p) {
    struct call *c;
    size_t most = 0;
    DM_LIST_EACH(c, &p->calls, struct call, in_plugin)
    if (c->streaming && dm_incoming_queued(c->in) > most)
        most = dm_incoming_queued(c->in);
    return most;
}

/* ---- the log of calls (`calls`): what was asked, whatever is answered ------------------------------------------ */

static json_t *id_list(const ProtobufCBinaryData *ids, size_t n) {
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_stringn((const char *)ids[i].data, ids[i].len));
    return list;
}

static void note_preferred(json_t *log, struct dm_span bytes) {
    V1beta1__PreferredAllocationRequest *q =
        v1beta1__preferred_allocation_request__unpack(NULL, bytes.len, bytes.data);
    for (size_t i = 0; q && i < q->n_container_requests; i++) {
        const V1beta1__ContainerPreferredAllocationRequest *one = q->container_requests[i];
        json_array_append_new(log,
                              json_pack("{s:s, s:o, s:o, s:i}", "rpc", "GetPreferredAllocation", "available",
                                        id_list(one->available_deviceids, one->n_available_deviceids), "must",
                                        id_list(one->must_include_deviceids, one->n_must_include_deviceids),
                                        "size", (int)one->allocation_size));
    }
    if (q)
        v1beta1__preferred_allocation_request__free_unpacked(q, NULL);
}

static void note_allocate(json_t *log, struct dm_span bytes) {
    V1beta1__AllocateRequest *q = v1beta1__allocate_request__unpack(NULL, bytes.len, bytes.data);
    for (size_t i = 0; q && i < q->n_container_requests; i++)
        json_array_append_new(log, json_pack("{s:s, s:o}", "rpc", "Allocate", "ids",
                                             id_list(q->container_requests[i]->devices_ids,
                                                     q->container_requests[i]->n_devices_ids)));
    if (q)
        v1beta1__allocate_request__free_unpacked(q, NULL);
}

static void note_prestart(json_t *log, struct dm_span bytes) {
    V1beta1__PreStartContainerRequest *q =
        v1beta1__pre_start_container_request__unpack(NULL, bytes.len, bytes.data);
    if (!q)
        return;
    json_array_append_new(log, json_pack("{s:s, s:o}", "rpc", "PreStartContainer", "ids",
                                         id_list(q->devices_ids, q->n_devices_ids)));
    v1beta1__pre_start_container_request__free_unpacked(q, NULL);
}

static void note(const struct call *c) {
    static void (*const notes[FP_RPCS])(json_t *, struct dm_span) = {
        [FP_PREFERRED] = note_preferred, [FP_ALLOCATE] = note_allocate, [FP_PRESTART] = note_prestart};
    if (c->plugin->log && notes[c->rpc])
        notes[c->rpc](c->plugin->log, dm_incoming_request(c->in));
}

/* ---- a call comes in -------------------------------------------------------------------------------------------- */

static void act(struct call *c) {
    static void (*const answers[FP_RPCS])(struct call *) = {
        NULL, answer_options, answer_list, answer_preferred, answer_allocate, answer_prestart};
    if (c->plan.what == FP_CRASH)
        fp_die();
    if (c->plan.what == FP_ERROR)
        fail_call(c, c->plan.code, "--fault error");
    else if (c->plan.what != FP_HANG)
        answers[c->rpc](c);
}

static void on_delay_over(uv_timer_t *timer) {
    act(timer->data);
}

static void begin(struct fp_plugin *p, struct dm_incoming *in, enum fp_rpc rpc) {
    struct call *c = DM_NEW(struct call);
    c->plugin = p, c->in = in, c->rpc = rpc;
    c->plan = fp_faults_next(&p->faults, rpc);
    p->counts[rpc]++;
    note(c);
    fp_say_fault(p, rpc, &c->plan);
    uv_timer_init(&p->loop, &c->timer);
    c->timer.data = c;
    dm_list_append(&p->calls, &c->in_plugin);
    dm_incoming_on_cancel(in, on_cancelled, c);
    uint64_t delay_ms = c->plan.delay_ms + (rpc == FP_ALLOCATE ? p->config.latency_ms : 0);
    if (delay_ms)
        uv_timer_start(&c->timer, on_delay_over, delay_ms, 0);
    else
        act(c);
}

static void on_options(void *self, struct dm_incoming *in) {
    begin(self, in, FP_OPTIONS);
}
static void on_list(void *self, struct dm_incoming *in) {
    begin(self, in, FP_LIST);
}
static void on_preferred(void *self, struct dm_incoming *in) {
    begin(self, in, FP_PREFERRED);
}
static void on_allocate(void *self, struct dm_incoming *in) {
    begin(self, in, FP_ALLOCATE);
}
static void on_prestart(void *self, struct dm_incoming *in) {
    begin(self, in, FP_PRESTART);
}

static const struct dm_method methods[] = {
    {"/v1beta1.DevicePlugin/GetDevicePluginOptions", false, on_options},
    {"/v1beta1.DevicePlugin/ListAndWatch", true, on_list},
    {"/v1beta1.DevicePlugin/GetPreferredAllocation", false, on_preferred},
    {"/v1beta1.DevicePlugin/Allocate", false, on_allocate},
    {"/v1beta1.DevicePlugin/PreStartContainer", false, on_prestart},
};

/* ---- the socket ------------------------------------------------------------------------------------------------- */

/* Somebody's socket has our name. Alive: refuse. Dead (its owner was killed): take it away. */
static int clear_way(const char *path, devmgr_error *reterr) {
    struct dm_peer peer = {0};
    struct stat st;
    char name[64];
    if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
        return dm_error_set(reterr, -EADDRINUSE,
                            "%s: exists and is no socket; remove it, or give --socket NAME", path);
    int fd = dm_socket_connect(path, NULL);
    if (fd == -ECONNREFUSED)
        return unlink(path) < 0 && errno != ENOENT
                   ? dm_error_errno(reterr, "%s: removing a dead socket", path)
                   : 0;
    if (fd < 0)
        return fd == -ENOENT ? 0 : dm_error_set(reterr, fd, "%s: in use; give another --socket NAME", path);
    dm_socket_peer(fd, &peer);
    close(fd);
    dm_socket_process_name(peer.pid, name, sizeof name);
    return dm_error_set(reterr, -EADDRINUSE,
                        "%s: in use by %s (pid %d); end it, or give another --socket NAME", path, name,
                        (int)peer.pid);
}

int fp_service_listen(struct fp_plugin *p, devmgr_error *reterr) {
    fp_service_unlisten(p);
    fp_service_unlink(p);
    int r, fd = dm_socket_listen(p->path, reterr);
    if (fd == -EADDRINUSE && (r = clear_way(p->path, reterr)) < 0)
        return r;
    if (fd == -EADDRINUSE)
        fd = dm_socket_listen(p->path, reterr);
    if (fd < 0)
        return fd;
    if ((r = dm_server_listen(p->server, fd, &p->listener, reterr)) < 0)
        return r;
    p->own = fp_identify(p->path);
    return 0;
}

void fp_service_unlisten(struct fp_plugin *p) {
    void *listener = DM_MOVE(p->listener);
    if (listener)
        dm_server_unlisten(p->server, listener);
}

void fp_service_unlink(struct fp_plugin *p) {
    struct fp_identity now = fp_identify(p->path);
    if (p->own.there && fp_identity_same(&now, &p->own))
        unlink(p->path);
    p->own = (struct fp_identity){0};
}

int fp_service_start(struct fp_plugin *p, devmgr_error *reterr) {
    const struct dm_server_limits limits = {.max_receive = MAX_REQUEST};
    int r = dm_server_new(p->rpc, methods, DM_COUNT(methods), p, &limits, &p->server, reterr);
    if (r < 0)
        return r;
    fp_hold(p);
    return fp_service_listen(p, reterr);
}

static void on_closed(void *arg) {
    fp_drop(arg);
}

void fp_service_stop(struct fp_plugin *p) {
    struct dm_server *server = DM_MOVE(p->server);
    p->listener = NULL; /* goes with the server */
    if (server)
        dm_server_close(server, on_closed, p);
}
