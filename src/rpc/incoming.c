/* incoming.c -- one call from a client, from gRPC's hands to the handler and back.
 *
 *   asked for --arrived--> OPEN --the request is read--> handler --reply/finish--> ENDED --nothing is out--> (freed)
 *
 * (1) Three batches may be out: the read of the request, the notice of the end (RECV_CLOSE_ON_SERVER, posted at once,
 *     so that a client's going away is seen) and one send. The call is freed when it was ended and none is out.
 * (2) One send at a time; what was queued meanwhile waits in `queue`. gRPC finishes a send when the client's window
 *     takes it (up to 64 KiB are buffered beyond), so `queued` is what a slow reader owes.
 * (3) After `cancelled` nothing is sent any more; the handler still ends the call. */
#include "base/mem.h"
#include "rpc/serving.h"
#include <grpc/support/time.h>
#include <stdio.h>
#include <string.h>

struct outgoing {
    struct dm_list link;
    grpc_byte_buffer *message;
    size_t len;
};

struct dm_incoming {
    struct dm_list stalled; /* in the server's list while the client is to do something */
    uint64_t stalled_since, arrived_at;
    struct dm_connection *connection;
    const struct dm_method *method;
    grpc_call *call;
    grpc_call_details details;
    grpc_metadata_array metadata;
    struct dm_tag arrived, read, over, sent, late;
    size_t batches; /* that are out */
    grpc_byte_buffer *received;
    struct dm_message request;
    int over_cancelled;
    bool cancelled, ended, greeted /* initial metadata went out */, status_sent;
    struct dm_list queue; /* of outgoing */
    struct outgoing *sending;
    size_t queued;
    struct dm_status status; /* to finish with; its message is ours */
    void (*on_cancel)(void *arg);
    void *cancel_arg;
};

/* What the client has not taken grows by n, or shrinks (-n). */
static void owe(struct dm_incoming *in, size_t n) {
    struct dm_connection *c = in->connection;
    in->queued += n;
    c->queued += n;
    if (!c->closing)
        c->server->queued += n;
}

static void free_outgoing(struct dm_incoming *in, struct outgoing *out) {
    if (!out)
        return;
    owe(in, -out->len);
    grpc_byte_buffer_destroy(out->message);
    free(out);
}

static void drop_queue(struct dm_incoming *in) {
    struct outgoing *out;
    DM_LIST_EACH(out, &in->queue, struct outgoing, link) {
        dm_list_remove(&out->link);
        free_outgoing(in, out);
    }
}

static void free_incoming(struct dm_incoming *in) {
    struct dm_connection *c = in->connection;
    dm_list_remove(&in->stalled);
    drop_queue(in);
    if (in->received)
        grpc_byte_buffer_destroy(in->received);
    dm_message_close(&in->request);
    grpc_call_details_destroy(&in->details);
    grpc_metadata_array_destroy(&in->metadata);
    free((char *)in->status.message);
    if (in->call) {
        grpc_call_unref(in->call);
        c->server->n_calls--, c->n_calls--;
    }
    free(in);
    dm_connection_drop(c);
}

static void free_if_done(struct dm_incoming *in) {
    if (in->ended && in->batches == 0)
        free_incoming(in);
}

/* gRPC takes no more operations for this call, which it never says without a mistake of ours. The client must not wait for
 * what cannot come. */
static void give_up(struct dm_incoming *in) {
    in->cancelled = true;
    drop_queue(in);
    grpc_call_cancel_with_status(in->call, GRPC_STATUS_UNAVAILABLE,
                                 "gRPC refused to go on with this call; try again", NULL);
}

static bool run_batch(struct dm_incoming *in, const grpc_op *ops, size_t n, struct dm_tag *tag) {
    if (!dm_bridge_batch(in->call, ops, n, tag)) {
        give_up(in);
        return false;
    }
    in->batches++;
    return true;
}

/* ---- clients that make us wait ---------------------------------------------------------------------------------- */

static void start_patience(struct dm_server *s) {
    struct dm_incoming *first = DM_LIST_FIRST(&s->stalled, struct dm_incoming, stalled);
    if (!first || s->closing || uv_is_active((uv_handle_t *)&s->patience))
        return;
    uint64_t past = uv_now(dm_rpc_loop(s->rpc)) - first->stalled_since;
    uv_timer_start(&s->patience, dm_incoming_end_stalled,
                   past < s->limits.stall_ms ? s->limits.stall_ms - past : 0, 0);
}

/* From now on it is the client's turn (again: it has just done something). */
static void wait_for_client(struct dm_incoming *in) {
    struct dm_server *s = in->connection->server;
    dm_list_remove(&in->stalled);
    dm_list_append(&s->stalled, &in->stalled);
    in->stalled_since = uv_now(dm_rpc_loop(s->rpc));
    start_patience(s);
}

/* ---- answering ------------------------------------------------------------------------------------------------- */

static void on_sent(struct dm_tag *tag, bool ok);

static size_t greeting(struct dm_incoming *in, grpc_op *ops) {
    if (in->greeted)
        return 0;
    in->greeted = true;
    ops[0] = (grpc_op){.op = GRPC_OP_SEND_INITIAL_METADATA};
    return 1;
}

static void take_from_queue(struct dm_incoming *in, grpc_op *op) {
    in->sending = DM_LIST_FIRST(&in->queue, struct outgoing, link);
    dm_list_remove(&in->sending->link);
    *op = (grpc_op){.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = in->sending->message};
}

/* The next thing to send, if there is one and nothing is on its way: a message, the status, for the last one both. */
static void send_next(struct dm_incoming *in) {
    grpc_op ops[3];
    size_t n = 0;
    if (in->sending || in->status_sent || in->cancelled || (dm_list_empty(&in->queue) && !in->ended))
        return;
    n += greeting(in, &ops[n]);
    if (!dm_list_empty(&in->queue))
        take_from_queue(in, &ops[n++]);
    in->status_sent = in->ended && dm_list_empty(&in->queue);
    grpc_slice text = in->status_sent ? dm_status_slice(in->status.message) : grpc_empty_slice();
    if (in->status_sent) {
        ops[n] = (grpc_op){.op = GRPC_OP_SEND_STATUS_FROM_SERVER};
        ops[n].data.send_status_from_server.status = (grpc_status_code)in->status.code;
        ops[n++].data.send_status_from_server.status_details = &text;
    }
    if (in->ended) /* a stream that goes on is its handler's to limit: it knows what is queued */
        wait_for_client(in);
    in->sent.run = on_sent;
    if (!run_batch(in, ops, n, &in->sent))
        free_outgoing(in, DM_MOVE(in->sending));
    grpc_slice_unref(text);
}

static void on_sent(struct dm_tag *tag, bool ok) {
    struct dm_incoming *in = DM_CONTAINER(tag, struct dm_incoming, sent);
    in->batches--;
    free_outgoing(in, DM_MOVE(in->sending));
    if (!ok)
        drop_queue(in); /* the client is gone; `over` says so too */
    else
        send_next(in);
    free_if_done(in);
}

/* Each call's handler limits what it queues, but there may be thousands. */
static void cut_off_who_owes_most(struct dm_server *s) {
    struct dm_connection *c, *worst = NULL;
    DM_LIST_EACH(c, &s->connections, struct dm_connection, in_server)
    if (!c->closing && (!worst || c->queued > worst->queued))
        worst = c;
    if (worst)
        dm_connection_hang_up(worst);
}

static size_t queue_message(struct dm_incoming *in, struct dm_span message) {
    struct outgoing *out = DM_NEW(struct outgoing);
    out->message = dm_wire_pack(in->connection->server->rpc, message);
    out->len = message.len;
    owe(in, out->len);
    dm_list_append(&in->queue, &out->link);
    if (in->connection->server->queued > in->connection->server->limits.max_queued)
        cut_off_who_owes_most(in->connection->server);
    return in->queued;
}

size_t dm_incoming_send(struct dm_incoming *in, struct dm_span message) {
    if (in->cancelled || in->ended)
        return 0;
    queue_message(in, message);
    send_next(in);
    return in->queued;
}

size_t dm_incoming_queued(const struct dm_incoming *in) {
    return in->queued;
}

void dm_incoming_finish(struct dm_incoming *in, const struct dm_status *status) {
    in->ended = true;
    in->status.code = status ? status->code : DM_OK;
    in->status.message = dm_strdup(status && status->message ? status->message : "");
    send_next(in);
    free_if_done(in);
}

void dm_incoming_reply(struct dm_incoming *in, const struct dm_status *status, struct dm_span response) {
    if (!in->cancelled && response.data)
        queue_message(in, response);
    dm_incoming_finish(in, status);
}

/* ---- arriving -------------------------------------------------------------------------------------------------- */

static void refuse(struct dm_incoming *in, int code, const char *message) {
    const struct dm_status status = {code, message};
    dm_incoming_finish(in, &status);
}

static void cancel_notice(struct dm_incoming *in) {
    void (*notify)(void *arg) = DM_MOVE(in->on_cancel);
    if (notify && !in->ended)
        notify(in->cancel_arg); /* may end the call */
}

/* C core queues without a bound what is opened and taken back at once: 6 KiB each, and faster than calls can be looked at.
 * Whoever only gives up is no such client: its calls were here for a while, or one of them ends well, or they are few. */
static void note_end(const struct dm_incoming *in, bool taken_back) {
    struct dm_connection *c = in->connection;
    const struct dm_server_limits *limits = &c->server->limits;
    uint64_t now = uv_now(dm_rpc_loop(c->server->rpc));
    if (!taken_back || now - c->hasty_since > 10 * limits->hasty_ms)
        c->hasty = 0, c->hasty_since = now;
    if (taken_back && now - in->arrived_at < limits->hasty_ms && ++c->hasty > 2 * limits->max_streams)
        dm_connection_hang_up(c);
}

/* RECV_CLOSE_ON_SERVER: the call is over for gRPC, well or not. */
static void on_over(struct dm_tag *tag, bool ok) {
    struct dm_incoming *in = DM_CONTAINER(tag, struct dm_incoming, over);
    note_end(in, in->over_cancelled || !ok);
    if (in->over_cancelled || !ok) {
        in->cancelled = true;
        drop_queue(in);
        cancel_notice(in);
    }
    in->batches--;
    free_if_done(in);
}

static void on_read(struct dm_tag *tag, bool ok) {
    struct dm_incoming *in = DM_CONTAINER(tag, struct dm_incoming, read);
    in->batches--;
    dm_list_remove(&in->stalled);
    if (in->ended) { /* it came too late */
        free_if_done(in);
        return;
    }
    if (!ok || !in->received) {
        refuse(in, DM_INVALID_ARGUMENT, "the call carries no request message");
        return;
    }
    if (!dm_message_open(&in->request, DM_MOVE(in->received)))
        refuse(in, DM_UNIMPLEMENTED, "compressed requests are not supported");
    else if (in->cancelled) /* gone before anybody saw it */
        refuse(in, DM_CANCELLED, "");
    else
        in->method->handle(in->connection->server->self, in);
}

static const struct dm_method *find_method(const struct dm_server *s, grpc_slice name) {
    for (size_t i = 0; i < s->n_methods; i++)
        if (strlen(s->methods[i].name) == GRPC_SLICE_LENGTH(name) &&
            !memcmp(s->methods[i].name, GRPC_SLICE_START_PTR(name), GRPC_SLICE_LENGTH(name)))
            return &s->methods[i];
    return NULL;
}

static void refuse_unknown(struct dm_incoming *in) {
    char text[256];
    snprintf(text, sizeof text, "unknown method %.*s", (int)GRPC_SLICE_LENGTH(in->details.method),
             (const char *)GRPC_SLICE_START_PTR(in->details.method));
    refuse(in, DM_UNIMPLEMENTED, text);
}

static bool watch_end(struct dm_incoming *in) {
    grpc_op op = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER};
    op.data.recv_close_on_server.cancelled = &in->over_cancelled;
    in->over.run = on_over;
    return run_batch(in, &op, 1, &in->over);
}

static void read_request(struct dm_incoming *in) {
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &in->received};
    in->read.run = on_read;
    if (run_batch(in, &op, 1, &in->read))
        wait_for_client(in);
    else
        dm_incoming_finish(in, NULL); /* the client has been told */
}

void dm_incoming_end_stalled(uv_timer_t *timer) {
    struct dm_server *s = timer->data;
    struct dm_incoming *in;
    uint64_t now = uv_now(dm_rpc_loop(s->rpc));
    DM_LIST_EACH(in, &s->stalled, struct dm_incoming, stalled) {
        if (now - in->stalled_since < s->limits.stall_ms)
            break;
        dm_list_remove(&in->stalled);
        if (in->ended)
            grpc_call_cancel(in->call, NULL);
        else
            refuse(in, DM_DEADLINE_EXCEEDED, "the request did not come in time");
    }
    start_patience(s);
}

static bool too_many(const struct dm_connection *c) {
    return c->server->n_calls > c->server->limits.max_calls && c->n_calls > DM_OWN_CALLS;
}

static void on_arrived(struct dm_tag *tag, bool ok) {
    struct dm_incoming *in = DM_CONTAINER(tag, struct dm_incoming, arrived);
    struct dm_server *s = in->connection->server;
    if (!ok) { /* the connection closes */
        free_incoming(in);
        return;
    }
    s->n_calls++, in->connection->n_calls++;
    in->arrived_at = uv_now(dm_rpc_loop(s->rpc));
    if (!in->connection->closing)
        dm_incoming_request_next(in->connection);
    bool watched = watch_end(in);
    in->method = find_method(s, in->details.method);
    if (!watched)
        dm_incoming_finish(in, NULL); /* nobody would ever hear of its end */
    else if (!in->method)
        refuse_unknown(in);
    else if (too_many(in->connection))
        refuse(in, DM_RESOURCE_EXHAUSTED, "too many open calls; try again later");
    else
        read_request(in);
}

void dm_incoming_request_next(struct dm_connection *c) {
    grpc_completion_queue *queue = dm_bridge_queue(c->server->rpc);
    struct dm_incoming *in = DM_NEW(struct dm_incoming);
    in->connection = c;
    c->holds++;
    dm_list_init(&in->queue);
    dm_list_init(&in->stalled);
    grpc_call_details_init(&in->details);
    grpc_metadata_array_init(&in->metadata);
    in->arrived.run = on_arrived;
    DM_HANDED_OUT(&in->arrived);
    if (grpc_server_request_call(c->grpc, &in->call, &in->details, &in->metadata, queue, queue,
                                 &in->arrived) != GRPC_CALL_OK) {
        free_incoming(in);
        dm_connection_hang_up(c); /* no further call of it would be seen */
    }
}

/* ---- asking ---------------------------------------------------------------------------------------------------- */

struct dm_span dm_incoming_request(const struct dm_incoming *in) {
    return in->request.bytes;
}

const struct dm_peer *dm_incoming_peer(const struct dm_incoming *in) {
    return &in->connection->peer;
}

bool dm_incoming_cancelled(const struct dm_incoming *in) {
    return in->cancelled;
}

int64_t dm_incoming_timeout_ms(const struct dm_incoming *in) {
    gpr_timespec deadline = gpr_convert_clock_type(in->details.deadline, GPR_CLOCK_MONOTONIC);
    if (gpr_time_cmp(deadline, gpr_inf_future(GPR_CLOCK_MONOTONIC)) == 0)
        return DM_FOREVER;
    gpr_timespec left = gpr_time_sub(deadline, gpr_now(GPR_CLOCK_MONOTONIC));
    int64_t ms = left.tv_sec * 1000 + left.tv_nsec / 1000000;
    return ms > 0 ? ms : 0;
}

static void on_late(struct dm_tag *tag, bool ok) {
    struct dm_incoming *in = DM_CONTAINER(tag, struct dm_incoming, late);
    (void)ok;
    cancel_notice(in);
    in->batches--;
    free_if_done(in);
}

void dm_incoming_on_cancel(struct dm_incoming *in, void (*cancelled)(void *arg), void *arg) {
    in->on_cancel = cancelled, in->cancel_arg = arg;
    if (!in->cancelled || !cancelled)
        return;
    in->late.run = on_late; /* it has happened already: later, not now */
    in->batches++;
    dm_bridge_post(in->connection->server->rpc, &in->late);
}
