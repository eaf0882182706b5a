/* rpc_world.h -- a loop, a bridge, a scratch folder and a server of known behaviour, for the tests of src/rpc. */
#ifndef RPC_WORLD_H
#define RPC_WORLD_H
#include "base/mem.h"
#include "check.h"
#include "rpc/client.h"
#include "rpc/server.h"
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct world {
    uv_loop_t loop;
    struct dm_rpc *rpc;
    char dir[64], path[96]; /* scratch folder; where the server listens */
    struct dm_server *server;
    void *listener;
    int closed; /* closed callbacks so far */
    /* what the handlers saw */
    struct dm_incoming *held, *first_held; /* of /test.T/Hold: nobody answers them but the test */
    int handled, cancelled;
    struct dm_peer peer;
    int64_t timeout_ms;
    size_t request_len, most_queued;
};

static struct dm_span text_span(const char *text) {
    return (struct dm_span){(const uint8_t *)text, strlen(text)};
}

/* Turns the loop until `*counter` is at least `want`. A test that waits in vain is ended by the runner's timeout. */
static inline void run_until(struct world *w, const int *counter, int want) {
    while (*counter < want)
        uv_run(&w->loop, UV_RUN_ONCE);
}

static inline void count_closed(void *arg) {
    ++*(int *)arg;
}

static inline void on_held_cancel(void *arg) {
    ((struct world *)arg)->cancelled++;
}

static inline void note_call(struct world *w, struct dm_incoming *in) {
    w->handled++;
    w->peer = *dm_incoming_peer(in);
    w->timeout_ms = dm_incoming_timeout_ms(in);
    w->request_len = dm_incoming_request(in).len;
}

static inline void do_echo(void *self, struct dm_incoming *in) {
    note_call(self, in);
    dm_incoming_reply(in, NULL, dm_incoming_request(in));
}

static inline void do_fail(void *self, struct dm_incoming *in) {
    const struct dm_status status = {DM_FAILED_PRECONDITION, "no such luck: \xc3\xa4"};
    note_call(self, in);
    dm_incoming_reply(in, &status, (struct dm_span){0});
}

static inline void do_hold(void *self, struct dm_incoming *in) {
    struct world *w = self;
    note_call(w, in);
    w->held = in;
    if (!w->first_held)
        w->first_held = in;
    dm_incoming_on_cancel(in, on_held_cancel, w);
}

static inline void end_without_answer(void *arg) {
    dm_incoming_finish(arg, NULL);
}

static inline void do_wait(void *self, struct dm_incoming *in) {
    note_call(self, in);
    dm_incoming_on_cancel(in, end_without_answer, in);
}

/* The request says how many bytes of answer it wants. */
static inline void do_big(void *self, struct dm_incoming *in) {
    struct dm_span request = dm_incoming_request(in);
    DM_FREE char *number = dm_strndup((const char *)request.data, request.len);
    size_t n = strtoul(number, NULL, 10);
    DM_FREE char *body = dm_alloc(n + 1);
    note_call(self, in);
    memset(body, 'x', n);
    dm_incoming_reply(in, NULL, (struct dm_span){(uint8_t *)body, n});
}

/* "COUNT SIZE": that many messages, at once. */
static inline void do_many(void *self, struct dm_incoming *in) {
    struct world *w = self;
    struct dm_span request = dm_incoming_request(in);
    DM_FREE char *text = dm_strndup((const char *)request.data, request.len);
    size_t count = 0, size = 0;
    sscanf(text, "%zu %zu", &count, &size);
    DM_FREE char *body = dm_alloc(size + 1);
    note_call(w, in);
    for (size_t i = 0; i < count; i++) {
        memset(body, 'a' + (int)(i % 26), size);
        size_t queued = dm_incoming_send(in, (struct dm_span){(uint8_t *)body, size});
        w->most_queued = queued > w->most_queued ? queued : w->most_queued;
    }
    dm_incoming_finish(in, NULL);
}

static const struct dm_method test_methods[] = {
    {"/test.T/Echo", false, do_echo}, {"/test.T/Fail", false, do_fail},      {"/test.T/Hold", false, do_hold},
    {"/test.T/Big", false, do_big},   {"/test.T/HoldStream", true, do_hold}, {"/test.T/Many", true, do_many},
    {"/test.T/Wait", true, do_wait},
};

static inline void world_open(struct world *w) {
    devmgr_error err = {0};
    *w = (struct world){0};
    snprintf(w->dir, sizeof w->dir, "/tmp/devmgr-test.XXXXXX");
    CHECK(mkdtemp(w->dir));
    snprintf(w->path, sizeof w->path, "%s/t.sock", w->dir);
    CHECK_INT(uv_loop_init(&w->loop), 0);
    CHECK_INT(dm_rpc_acquire(&w->loop, &w->rpc, &err), 0);
}

static inline void world_serve(struct world *w, const struct dm_server_limits *limits) {
    devmgr_error err = {0};
    int fd = dm_socket_listen(w->path, &err);
    if (fd < 0)
        CHECK_STR(err.message, "");
    CHECK_INT(dm_server_new(w->rpc, test_methods, DM_COUNT(test_methods), w, limits, &w->server, &err), 0);
    CHECK_INT(dm_server_listen(w->server, fd, &w->listener, &err), 0);
}

static inline void world_stop_serving(struct world *w) {
    int closed = 0;
    dm_server_close(w->server, count_closed, &closed);
    run_until(w, &closed, 1);
    w->server = NULL;
}

/* Everything must be gone: the loop has nothing left to do and closes. */
static inline void world_close(struct world *w) {
    if (w->server)
        world_stop_serving(w);
    dm_rpc_release(w->rpc, count_closed, &w->closed);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    CHECK_INT(w->closed, 1);
    CHECK_INT(uv_loop_close(&w->loop), 0);
    unlink(w->path);
    CHECK_INT(rmdir(w->dir), 0);
}

/* ---- a client ---------------------------------------------------------------------------------------------- */

struct dialled {
    int done, code;
    struct dm_channel *channel;
    char message[1020];
};

static inline void on_dialled(void *arg, struct dm_channel *channel, const devmgr_error *err) {
    struct dialled *d = arg;
    d->done++, d->channel = channel, d->code = err ? err->code : 0;
    snprintf(d->message, sizeof d->message, "%s", err ? err->message : "");
}

enum { TEST_MAX_RECEIVE = 64 << 20, TEST_PATIENCE_MS = 30000 };

static inline struct dm_channel *dial_now(struct world *w) {
    struct dialled d = {0};
    dm_dial_start(w->rpc, w->path, TEST_PATIENCE_MS, TEST_MAX_RECEIVE, on_dialled, &d);
    CHECK_INT(d.done, 0);
    run_until(w, &d.done, 1);
    CHECK_STR(d.message, "");
    return d.channel;
}

static inline void channel_close_now(struct world *w, struct dm_channel *channel) {
    int closed = 0;
    dm_channel_close(channel, count_closed, &closed);
    CHECK_INT(closed, 0);
    run_until(w, &closed, 1);
}

struct outcome { /* of a call, unary or streaming */
    int done, code, messages;
    char text[1100], first[64], last[64]; /* status message; how the first and last message begin */
    size_t bytes;
    struct world *world;
    struct dm_rpc_call *call;
    int cancel_at; /* message at which to cancel from inside the callback */
};

static inline void on_unary(void *arg, const struct dm_status *status, struct dm_span response) {
    struct outcome *o = arg;
    o->done++, o->code = status->code, o->bytes = response.len;
    snprintf(o->text, sizeof o->text, "%s", status->message);
    snprintf(o->first, sizeof o->first, "%.*s", (int)(response.len < 60 ? response.len : 60),
             response.len ? (const char *)response.data : "");
}

static inline void on_stream_message(void *arg, struct dm_span message) {
    struct outcome *o = arg;
    if (o->messages++ == 0)
        snprintf(o->first, sizeof o->first, "%.*s", (int)(message.len < 60 ? message.len : 60),
                 (const char *)message.data);
    snprintf(o->last, sizeof o->last, "%.*s", (int)(message.len < 60 ? message.len : 60),
             (const char *)message.data);
    o->bytes += message.len;
    if (o->messages == o->cancel_at)
        dm_rpc_cancel(o->call);
}

static inline void on_stream_end(void *arg, const struct dm_status *status) {
    struct outcome *o = arg;
    o->done++, o->code = status->code;
    snprintf(o->text, sizeof o->text, "%s", status->message);
}

static inline void start_unary(struct outcome *o, struct dm_channel *channel, const char *method,
                               const char *request, int64_t timeout_ms) {
    *o = (struct outcome){0};
    o->call = dm_unary_start(channel, method, text_span(request), timeout_ms, on_unary, o);
}

static inline void start_stream(struct outcome *o, struct dm_channel *channel, const char *method,
                                const char *request, int64_t timeout_ms) {
    int cancel_at = o->cancel_at;
    *o = (struct outcome){.cancel_at = cancel_at};
    o->call =
        dm_stream_start(channel, method, text_span(request), timeout_ms, on_stream_message, on_stream_end, o);
}

static inline struct outcome unary(struct world *w, struct dm_channel *channel, const char *method,
                                   const char *request) {
    struct outcome o;
    start_unary(&o, channel, method, request, TEST_PATIENCE_MS);
    CHECK_INT(o.done, 0);
    run_until(w, &o.done, 1);
    return o;
}
#endif
