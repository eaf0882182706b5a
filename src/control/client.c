/* client.c -- a connection to the control API and the two kinds of calls over it. The calls themselves: calls.c.
 *
 * (1) The loop turns inside a call only, until that call's last callback has run.
 * (2) An error's text: where (the socket) when the connection is at fault, else what the daemon said. */
#include "control/client.h"
#include "base/mem.h"
#include "base/text.h"
#include "control/calls.h"
#include "rpc/client.h"
#include <string.h>
#include <unistd.h>

enum { MAX_RESPONSE = 64 << 20, PAUSE_MS = 50 };

struct dm_client {
    uv_loop_t loop;
    struct dm_rpc *rpc;
    struct dm_channel *channel;
    char *path;
};

/* ---- open and close -------------------------------------------------------------------------------------------- */

static bool nobody_there(int code) {
    return code == -ENOENT || code == -ECONNREFUSED;
}

static int complain_about_connect(const char *path, int code, const devmgr_error *why, devmgr_error *reterr) {
    if (nobody_there(code))
        return dm_error_set(reterr, code, "%s: nobody serves there (is devmgrd running?)", path);
    if (code == -EACCES || code == -EPERM)
        return dm_error_set(reterr, code, "%s: permission denied; its owner or --socket-group may use it",
                            path);
    return dm_error_set(reterr, code, "%s", why->message);
}

/* The connected fd. */
static int connect_within(const char *path, uint64_t wait_ms, devmgr_error *reterr) {
    uint64_t start = uv_hrtime();
    for (;;) {
        devmgr_error why = {0};
        int fd = dm_socket_connect(path, &why);
        uint64_t past = (uv_hrtime() - start) / 1000000;
        if (fd >= 0)
            return fd;
        if ((!nobody_there(fd) && fd != -EAGAIN) || past >= wait_ms)
            return complain_about_connect(path, fd, &why, reterr);
        uv_sleep(wait_ms - past < PAUSE_MS ? (unsigned)(wait_ms - past) : PAUSE_MS);
    }
}

static void turn_until(struct dm_client *c, const bool *done) {
    while (!*done)
        uv_run(&c->loop, UV_RUN_ONCE);
}

static void set_true(void *arg) {
    *(bool *)arg = true;
}

int dm_client_open(const char *socket, uint64_t wait_ms, struct dm_client **ret, devmgr_error *reterr) {
    int fd = connect_within(socket, wait_ms, reterr);
    if (fd < 0)
        return fd;
    struct dm_client *c = DM_NEW(struct dm_client);
    int r = uv_loop_init(&c->loop);
    if (r < 0) {
        close(fd);
        free(c);
        return dm_error_set(reterr, r, "%s: a loop to talk on: %s", socket, strerror(-r));
    }
    c->path = dm_strdup(socket);
    r = dm_rpc_acquire(&c->loop, &c->rpc, reterr);
    if (r < 0)
        close(fd);
    else
        r = dm_channel_from_fd(c->rpc, fd, MAX_RESPONSE, &c->channel, reterr);
    if (r < 0) {
        dm_client_close(c);
        return r;
    }
    *ret = c;
    return 0;
}

void dm_client_close(struct dm_client *c) {
    if (!c)
        return;
    bool channel_closed = !c->channel, rpc_closed = !c->rpc;
    if (c->channel)
        dm_channel_close(c->channel, set_true, &channel_closed);
    turn_until(c, &channel_closed);
    if (c->rpc)
        dm_rpc_release(c->rpc, set_true, &rpc_closed);
    turn_until(c, &rpc_closed);
    uv_run(&c->loop, UV_RUN_DEFAULT);
    uv_loop_close(&c->loop);
    free(c->path);
    free(c);
}

void dm_client_closep(struct dm_client **c) {
    dm_client_close(DM_MOVE(*c));
}

/* ---- calls ----------------------------------------------------------------------------------------------------- */

static int code_of(int status) {
    static const int codes[] = {[DM_CANCELLED] = -ECANCELED,
                                [DM_INVALID_ARGUMENT] = DEVMGR_EINVALID,
                                [DM_DEADLINE_EXCEEDED] = -ETIMEDOUT,
                                [DM_NOT_FOUND] = -ENOENT,
                                [DM_ALREADY_EXISTS] = -EEXIST,
                                [DM_PERMISSION_DENIED] = -EACCES,
                                [DM_RESOURCE_EXHAUSTED] = -ENOBUFS,
                                [DM_FAILED_PRECONDITION] = -EBUSY,
                                [DM_ABORTED] = -EALREADY,
                                [DM_UNIMPLEMENTED] = -ENOSYS,
                                [DM_UNAVAILABLE] = -ECONNRESET,
                                [DM_UNAUTHENTICATED] = -EACCES};
    return status > 0 && (size_t)status < DM_COUNT(codes) && codes[status] ? codes[status] : -EIO;
}

struct pending {
    struct dm_client *c;
    const struct dm_exchange *x;
    struct dm_rpc_call *call;
    bool done;
    int result; /* of the visits, or the call's code */
    devmgr_error *reterr;
};

static int complain(struct pending *p, const struct dm_status *s) {
    const char *path = p->c->path;
    char limit[32];
    if (s->code == DM_UNAVAILABLE)
        return dm_error_set(p->reterr, code_of(s->code), "%s: connection lost: %s", path, s->message);
    if (s->code == DM_UNIMPLEMENTED && strstr(s->message, "unknown method"))
        return dm_error_set(p->reterr, code_of(s->code),
                            "%s: %s; is that the control socket of a devmgrd of our version?", path,
                            s->message);
    if (s->code == DM_DEADLINE_EXCEEDED && p->x->timeout_ms > 0 &&
        !strcasecmp(s->message, "deadline exceeded"))
        return dm_error_set(p->reterr, code_of(s->code), "%s: no answer within %s", path,
                            dm_text_duration_format((uint64_t)p->x->timeout_ms, limit, sizeof limit));
    if (!*s->message)
        return dm_error_set(p->reterr, code_of(s->code), "%s: %s", path, dm_code_name(s->code));
    return dm_error_set(p->reterr, code_of(s->code), "%s", s->message);
}

static int bad_answer(struct pending *p) {
    return dm_error_set(p->reterr, -EBADMSG,
                        "%s: the answer to %s cannot be read; is devmgrd of our version?", p->c->path,
                        p->x->method);
}

/* Shows one message to the exchange. */
static int take(struct pending *p, struct dm_span bytes) {
    DM_CLEANUP(dm_arena_free) struct dm_arena arena = {0};
    const void *message = dm_message_read(&arena, p->x->response, bytes.data, bytes.len);
    bool bad = false;
    int r = message ? p->x->take(p->x->arg, &arena, message, &bad) : 0;
    return message && !bad ? r : bad_answer(p);
}

static void on_unary(void *arg, const struct dm_status *status, struct dm_span response) {
    struct pending *p = arg;
    p->done = true;
    p->result = status->code == DM_OK ? take(p, response) : complain(p, status);
}

static void on_message(void *arg, struct dm_span message) {
    struct pending *p = arg;
    if (p->result)
        return; /* what was on its way when we cancelled */
    p->result = take(p, message);
    if (p->result)
        dm_rpc_cancel(p->call);
}

static void on_end(void *arg, const struct dm_status *status) {
    struct pending *p = arg;
    p->done = true;
    if (!p->result && status->code != DM_OK)
        p->result = complain(p, status);
}

int dm_client_exchange(struct dm_client *c, const struct dm_exchange *x, devmgr_error *reterr) {
    DM_CLEANUP(dm_buf_free) struct dm_buf request = {0};
    struct pending p = {.c = c, .x = x, .reterr = reterr};
    DM_FREE char *method = dm_printf("/devmgr.v1alpha1.DeviceManager/%s", x->method);
    dm_message_write(x->request, &request);
    int64_t timeout = x->timeout_ms > 0 ? x->timeout_ms : DM_NO_TIMEOUT;
    if (x->streaming)
        p.call = dm_stream_start(c->channel, method, dm_buf_span(&request), timeout, on_message, on_end, &p);
    else
        p.call = dm_unary_start(c->channel, method, dm_buf_span(&request), timeout, on_unary, &p);
    turn_until(c, &p.done);
    return p.result;
}
