/* server.c -- a server: its methods and limits, its listeners, its end. */
#include "rpc/server.h"
#include "base/mem.h"
#include "rpc/serving.h"
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ACCEPTS_AT_ONCE = 64, PAUSE_MS = 100 };

struct listener {
    struct dm_list in_server;
    struct dm_server *server;
    uv_poll_t poll;
    uv_timer_t pause;
    int fd;
    int handles; /* not closed yet */
};

static size_t or_default(size_t value, size_t fallback) {
    return value ? value : fallback;
}

int dm_server_new(struct dm_rpc *rpc, const struct dm_method *methods, size_t n, void *self,
                  const struct dm_server_limits *limits, struct dm_server **ret, devmgr_error *reterr) {
    static const struct dm_server_limits none;
    const struct dm_server_limits *l = limits ? limits : &none;
    (void)reterr;
    struct dm_server *s = DM_NEW(struct dm_server);
    s->rpc = rpc, s->methods = methods, s->n_methods = n, s->self = self;
    s->limits.max_receive = or_default(l->max_receive, 64 * 1024);
    s->limits.max_connections = or_default(l->max_connections, 1024);
    s->limits.max_streams = or_default(l->max_streams, 64);
    s->limits.max_calls = or_default(l->max_calls, 1024);
    s->limits.max_queued = or_default(l->max_queued, 256 << 20);
    s->limits.idle_ms = or_default(l->idle_ms, 60 * 1000);
    s->limits.hasty_ms = or_default(l->hasty_ms, 1000);
    s->limits.stall_ms = or_default(l->stall_ms, 30 * 1000);
    s->creds = grpc_insecure_server_credentials_create();
    dm_list_init(&s->listeners);
    dm_list_init(&s->connections);
    dm_list_init(&s->stalled);
    uv_timer_init(dm_rpc_loop(rpc), &s->patience);
    s->patience.data = s;
    s->holds = 2; /* being open, and the timer */
    dm_bridge_hold(rpc);
    *ret = s;
    return 0;
}

void dm_server_drop(struct dm_server *s) {
    if (--s->holds > 0)
        return;
    struct dm_rpc *rpc = s->rpc;
    grpc_server_credentials_release(s->creds);
    if (s->closed)
        s->closed(s->arg);
    free(s);
    dm_bridge_drop(rpc);
}

/* ---- listeners ----------------------------------------------------------------------------------------------- */

static void on_connectable(uv_poll_t *poll, int status, int events);

static void on_pause_over(uv_timer_t *timer) {
    struct listener *l = timer->data;
    uv_poll_start(&l->poll, UV_READABLE, on_connectable);
}

/* Out of descriptors or memory: the socket stays readable, so look away for a moment instead of spinning. */
static void pause_accepting(struct listener *l) {
    uv_poll_stop(&l->poll);
    uv_timer_start(&l->pause, on_pause_over, PAUSE_MS, 0);
}

static bool out_of_something(int code) {
    return code == -EMFILE || code == -ENFILE || code == -ENOMEM || code == -ENOBUFS;
}

/* There are as many as there may be: whoever has been here longest without a call gives way. False: all have calls. */
static bool make_room(struct dm_server *s) {
    struct dm_connection *c;
    DM_LIST_EACH(c, &s->connections, struct dm_connection, in_server)
    if (!c->closing && c->n_calls == 0)
        return dm_connection_close(c), true;
    return false;
}

/* 0: go on; negative: stop for now. */
static int accept_one(struct listener *l) {
    struct dm_server *s = l->server;
    int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return errno == EINTR || errno == ECONNABORTED ? 0 : -errno;
    if (s->n_connections >= s->limits.max_connections && !make_room(s)) {
        close(fd);
        return 0;
    }
    return dm_connection_open(s, fd);
}

static void on_connectable(uv_poll_t *poll, int status, int events) {
    struct listener *l = poll->data;
    (void)status, (void)events;
    for (int i = 0; i < ACCEPTS_AT_ONCE; i++) { /* the rest in the next turn of the loop */
        int r = accept_one(l);
        if (out_of_something(r))
            pause_accepting(l);
        if (r < 0)
            return;
    }
}

int dm_server_listen(struct dm_server *server, int fd, void **ret_listener, devmgr_error *reterr) {
    struct listener *l = DM_NEW(struct listener);
    uv_loop_t *loop = dm_rpc_loop(server->rpc);
    int r = uv_poll_init(loop, &l->poll, fd);
    if (r < 0) {
        free(l);
        close(fd);
        return dm_error_set(reterr, r, "watching a listening socket: %s", strerror(-r));
    }
    uv_timer_init(loop, &l->pause);
    l->server = server, l->fd = fd, l->handles = 2;
    l->poll.data = l->pause.data = l;
    server->holds++;
    dm_list_append(&server->listeners, &l->in_server);
    uv_poll_start(&l->poll, UV_READABLE, on_connectable);
    if (ret_listener)
        *ret_listener = l;
    return 0;
}

static void on_listener_handle_closed(uv_handle_t *handle) {
    struct listener *l = handle->data;
    if (--l->handles > 0)
        return;
    dm_server_drop(l->server);
    free(l);
}

void dm_server_unlisten(struct dm_server *server, void *listener) {
    struct listener *l = listener;
    (void)server;
    dm_list_remove(&l->in_server);
    uv_close((uv_handle_t *)&l->poll, on_listener_handle_closed);
    uv_close((uv_handle_t *)&l->pause, on_listener_handle_closed);
    close(l->fd);
}

size_t dm_server_calls(const struct dm_server *server) {
    return server->n_calls;
}

/* ---- the end --------------------------------------------------------------------------------------------------- */

static void on_close(struct dm_tag *tag, bool ok) {
    (void)ok;
    dm_server_drop(DM_CONTAINER(tag, struct dm_server, close));
}

static void on_patience_closed(uv_handle_t *handle) {
    dm_server_drop(handle->data);
}

void dm_server_close(struct dm_server *server, void (*closed)(void *arg), void *arg) {
    struct listener *l;
    struct dm_connection *c;
    server->closing = true, server->closed = closed, server->arg = arg;
    DM_LIST_EACH(l, &server->listeners, struct listener, in_server)
    dm_server_unlisten(server, l);
    DM_LIST_EACH(c, &server->connections, struct dm_connection, in_server)
    dm_connection_hang_up(c); /* or C core would tell some clients that they have cancelled */
    uv_close((uv_handle_t *)&server->patience, on_patience_closed);
    server->close.run = on_close;
    dm_bridge_post(server->rpc,
                   &server->close); /* `closed` runs later, also when there was nothing to close */
}
