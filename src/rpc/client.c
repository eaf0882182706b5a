/* client.c -- channels over a connected fd, unary and server-streaming calls on them.
 *
 * A call owns three batches: `started` sends the request and takes the initial metadata, `read` takes messages, `ended`
 * the status. A unary call takes its message with `started`, and reads on only when no status follows at once.
 * (1) gRPC never completes RECV_STATUS_ON_CLIENT without RECV_INITIAL_METADATA and while messages are unread: both are
 *     always posted, and a read is outstanding until the stream has ended.
 * (2) A call is freed when no batch is out; its last callback runs then, and nowhere else.
 * (3) A channel is destroyed when it is closing and has no calls left, in a turn of its own. */
#include "rpc/client.h"
#include "base/list.h"
#include "base/mem.h"
#include "rpc/bridge.h"
#include <fcntl.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <grpc/support/time.h>
#include <string.h>
#include <unistd.h>

/* What a server may make us keep: a list and an answer at full size at once, and the rest of gRPC. */
enum { FULL_RESPONSES = 2, OVERHEAD = 16 << 20 };

struct dm_channel {
    struct dm_rpc *rpc;
    grpc_channel *channel;
    grpc_resource_quota *quota;
    struct dm_peer peer;
    struct dm_list calls;
    bool closing;
    struct dm_tag gone;
    void (*closed)(void *arg);
    void *arg;
};

struct dm_rpc_call {
    struct dm_list in_channel;
    struct dm_channel *channel;
    grpc_call *call;
    struct dm_tag started, read, ended, look;
    size_t batches; /* that are out, and the look */
    bool has_status;
    struct dm_status verdict; /* ours, before any of the server's: cancelled, misbehaved; no message: none */
    grpc_metadata_array initial, trailing;
    grpc_status_code code;
    grpc_slice details;
    grpc_byte_buffer *request, *response, *extra;
    dm_unary_cb unary;     /* or */
    dm_message_cb message; /* these two */
    dm_end_cb end;
    void *arg;
};

/* ---- channels ------------------------------------------------------------------------------------------------ */

static grpc_channel *open_channel(int fd, size_t max_receive, grpc_resource_quota *quota) {
    grpc_arg list[DM_ARGS_COMMON + 1] = {{.type = GRPC_ARG_STRING,
                                          .key = (char *)GRPC_ARG_DEFAULT_AUTHORITY,
                                          .value.string = (char *)"localhost"}};
    grpc_channel_args args = {1 + dm_args_common(&list[1], max_receive, quota), list};
    grpc_channel_credentials *creds = grpc_insecure_credentials_create();
    grpc_channel *channel = grpc_channel_create_from_fd("localhost", fd, creds, &args);
    grpc_channel_credentials_release(creds);
    return channel;
}

int dm_channel_from_fd(struct dm_rpc *rpc, int fd, size_t max_receive, struct dm_channel **ret,
                       devmgr_error *reterr) {
    struct dm_peer peer = {0};
    int r = dm_socket_peer(fd, &peer), flags = fcntl(fd, F_GETFL);
    if (r < 0 || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        r = dm_error_errno(reterr, "fd %d: not a connected unix socket", fd);
        if (fd >= 0)
            close(fd);
        return r;
    }
    struct dm_channel *c = DM_NEW(struct dm_channel);
    c->rpc = rpc, c->peer = peer;
    dm_list_init(&c->calls);
    dm_bridge_hold(rpc);
    c->quota = dm_quota_new(FULL_RESPONSES * max_receive + OVERHEAD);
    c->channel = open_channel(fd, max_receive, c->quota);
    *ret = c;
    return 0;
}

struct dm_peer dm_channel_peer(const struct dm_channel *channel) {
    return channel->peer;
}

static void on_channel_gone(struct dm_tag *tag, bool ok) {
    struct dm_channel *c = DM_CONTAINER(tag, struct dm_channel, gone);
    (void)ok;
    grpc_channel_destroy(c->channel);
    grpc_resource_quota_unref(c->quota);
    if (c->closed)
        c->closed(c->arg);
    dm_bridge_drop(c->rpc);
    free(c);
}

static void channel_end_if_idle(struct dm_channel *c) {
    if (!c->closing || !dm_list_empty(&c->calls))
        return;
    c->gone.run = on_channel_gone;
    dm_bridge_post(c->rpc, &c->gone);
}

void dm_channel_close(struct dm_channel *channel, void (*closed)(void *arg), void *arg) {
    struct dm_rpc_call *call;
    channel->closing = true, channel->closed = closed, channel->arg = arg;
    DM_LIST_EACH(call, &channel->calls, struct dm_rpc_call, in_channel)
    dm_rpc_cancel(call);
    channel_end_if_idle(channel);
}

/* ---- calls --------------------------------------------------------------------------------------------------- */

static gpr_timespec deadline_in(int64_t timeout_ms) {
    if (timeout_ms < 0)
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(timeout_ms, GPR_TIMESPAN));
}

static struct dm_rpc_call *new_call(struct dm_channel *c, const char *method, struct dm_span request,
                                    int64_t timeout_ms) {
    struct dm_rpc_call *call = DM_NEW(struct dm_rpc_call);
    call->channel = c;
    dm_list_append(&c->calls, &call->in_channel);
    grpc_metadata_array_init(&call->initial);
    grpc_metadata_array_init(&call->trailing);
    call->code = GRPC_STATUS_INTERNAL; /* until gRPC says otherwise */
    call->details = grpc_empty_slice();
    call->request = dm_wire_pack(c->rpc, request);
    grpc_slice name = grpc_slice_from_copied_string(method);
    call->call = grpc_channel_create_call(c->channel, NULL, GRPC_PROPAGATE_DEFAULTS, dm_bridge_queue(c->rpc),
                                          name, NULL, deadline_in(timeout_ms), NULL);
    grpc_slice_unref(name);
    return call;
}

static void free_call(struct dm_rpc_call *call) {
    dm_list_remove(&call->in_channel);
    grpc_call_unref(call->call);
    grpc_metadata_array_destroy(&call->initial);
    grpc_metadata_array_destroy(&call->trailing);
    grpc_slice_unref(call->details);
    grpc_byte_buffer_destroy(call->request);
    if (call->extra)
        grpc_byte_buffer_destroy(call->extra);
    free(call);
}

/* gRPC's words for a stream or a connection that ended without a status; its code for them, UNKNOWN, is the one for
 * errors that a server makes. */
static bool ended_without_status(const struct dm_rpc_call *call, const char *received) {
    return call->code == GRPC_STATUS_UNKNOWN && !strcmp(received, "Stream removed");
}

static struct dm_status status_of(const struct dm_rpc_call *call, const char *received) {
    if (call->verdict.message)
        return call->verdict;
    if (call->code == GRPC_STATUS_OK && call->unary && !call->response)
        return (struct dm_status){DM_INTERNAL, "the server answered OK, but without a message"};
    if (ended_without_status(call, received))
        return (struct dm_status){DM_UNAVAILABLE, "the server hung up without a status"};
    return (struct dm_status){call->code, received};
}

/* Ends the call on our side; what the server still says does not count any more. */
static void end_call(struct dm_rpc_call *call, int code, const char *message) {
    if (!call->verdict.message)
        call->verdict = (struct dm_status){code, message};
    grpc_call_cancel(call->call, NULL);
}

static void end_compressed(struct dm_rpc_call *call) {
    end_call(call, DM_UNIMPLEMENTED, "the server sent a compressed message, which was not offered");
}

/* No batch is out any more: the last callback. It may close the channel. */
static void finish(struct dm_rpc_call *call) {
    struct dm_channel *channel = call->channel;
    struct dm_message response = {0};
    DM_FREE char *text =
        dm_status_text(GRPC_SLICE_START_PTR(call->details), GRPC_SLICE_LENGTH(call->details));
    if (!dm_message_open(&response, call->response))
        end_compressed(call);
    struct dm_status status = status_of(call, text);
    if (call->unary)
        call->unary(call->arg, &status, status.code == DM_OK ? response.bytes : (struct dm_span){0});
    else
        call->end(call->arg, &status);
    dm_message_close(&response);
    free_call(call);
    channel_end_if_idle(channel);
}

static void batch_done(struct dm_rpc_call *call) {
    if (--call->batches == 0)
        finish(call);
}

static void on_started(struct dm_tag *tag, bool ok) {
    (void)ok;
    batch_done(DM_CONTAINER(tag, struct dm_rpc_call, started));
}

static void on_ended(struct dm_tag *tag, bool ok) {
    struct dm_rpc_call *call = DM_CONTAINER(tag, struct dm_rpc_call, ended);
    (void)ok;
    call->has_status = true;
    batch_done(call);
}

/* A batch that gRPC does not take is a mistake of ours. The others would wait for it, perhaps for ever: the call ends. */
static void run_batch(struct dm_rpc_call *call, const grpc_op *ops, size_t n, struct dm_tag *tag) {
    call->batches++;
    if (dm_bridge_batch(call->call, ops, n, tag))
        return;
    end_call(call, DM_UNAVAILABLE, "gRPC refused to go on with this call; try again");
    dm_bridge_post(call->channel->rpc, tag);
}

static void start_call(struct dm_rpc_call *call, bool with_message) {
    grpc_op ops[5] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA},
        {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = call->request},
        {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
        {.op = GRPC_OP_RECV_INITIAL_METADATA,
         .data.recv_initial_metadata.recv_initial_metadata = &call->initial},
        {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &call->response},
    };
    grpc_op status = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};
    status.data.recv_status_on_client.trailing_metadata = &call->trailing;
    status.data.recv_status_on_client.status = &call->code;
    status.data.recv_status_on_client.status_details = &call->details;
    call->ended.run = on_ended;
    run_batch(call, ops, with_message ? 5 : 4, &call->started);
    run_batch(call, &status, 1, &call->ended);
}

static void read_into(struct dm_rpc_call *call, grpc_byte_buffer **message) {
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = message};
    run_batch(call, &op, 1, &call->read);
}

static void on_extra(struct dm_tag *tag, bool ok) {
    struct dm_rpc_call *call = DM_CONTAINER(tag, struct dm_rpc_call, read);
    (void)ok;
    if (call->extra)
        end_call(call, DM_INTERNAL, "the server answered with more than one message");
    batch_done(call);
}

static void on_look(struct dm_tag *tag, bool ok) {
    struct dm_rpc_call *call = DM_CONTAINER(tag, struct dm_rpc_call, look);
    (void)ok;
    if (!call->has_status) {
        call->read.run = on_extra;
        read_into(call, &call->extra);
    }
    batch_done(call);
}

/* Usually the status comes with the message. If it does not, it may hide behind a second message, and (1) then says
 * that it never comes: look in the next turn. */
static void on_unary_started(struct dm_tag *tag, bool ok) {
    struct dm_rpc_call *call = DM_CONTAINER(tag, struct dm_rpc_call, started);
    (void)ok;
    if (call->response && !call->has_status) {
        call->batches++;
        call->look.run = on_look;
        dm_bridge_post(call->channel->rpc, &call->look);
    }
    batch_done(call);
}

struct dm_rpc_call *dm_unary_start(struct dm_channel *channel, const char *method, struct dm_span request,
                                   int64_t timeout_ms, dm_unary_cb cb, void *arg) {
    struct dm_rpc_call *call = new_call(channel, method, request, timeout_ms);
    call->unary = cb, call->arg = arg;
    call->started.run = on_unary_started;
    start_call(call, true);
    return call;
}

static void on_read(struct dm_tag *tag, bool ok) {
    struct dm_rpc_call *call = DM_CONTAINER(tag, struct dm_rpc_call, read);
    struct dm_message message;
    if (ok && call->response) { /* NULL: the stream is over, the status says why */
        if (!dm_message_open(&message, DM_MOVE(call->response)))
            end_compressed(call);
        if (!call->verdict.message)
            call->message(call->arg, message.bytes);
        dm_message_close(&message);
        read_into(call, &call->response);
    }
    batch_done(call);
}

struct dm_rpc_call *dm_stream_start(struct dm_channel *channel, const char *method, struct dm_span request,
                                    int64_t timeout_ms, dm_message_cb message, dm_end_cb end, void *arg) {
    struct dm_rpc_call *call = new_call(channel, method, request, timeout_ms);
    call->message = message, call->end = end, call->arg = arg;
    call->started.run = on_started, call->read.run = on_read;
    start_call(call, false);
    read_into(call, &call->response);
    return call;
}

void dm_rpc_cancel(struct dm_rpc_call *call) {
    end_call(call, DM_CANCELLED, "cancelled by the caller");
}
