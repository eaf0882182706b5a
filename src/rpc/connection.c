/* connection.c -- one accepted connection, from accept to its last byte of memory.
 *
 *   OPEN --the other side hangs up, or gRPC does (idle, junk), or the server closes--> CLOSING --gRPC has no call and no
 *   transport left--> down --handle closed, calls freed--> (freed)
 *
 * (1) gRPC does not tell when a connection ends. But it ends one with shutdown(2), and so does the peer by closing; both
 *     show as a hang-up on any descriptor of the socket. We keep the accepted one and watch it for nothing else; gRPC
 *     works on a duplicate. So what is counted is what is open.
 * (2) `down` comes after the last call's grpc_call was given back, that is after its handler has ended it: a connection
 *     counts until nothing of it is left. */
#include "base/mem.h"
#include "rpc/serving.h"
#include <fcntl.h>
#include <grpc/grpc_posix.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FULL_REQUESTS = 8, OVERHEAD = 4 << 20 }; /* what a client may make us keep */
enum { ANY_PINGS = 0 };

/* Pings are answered, never punished: clients with keepalive are welcome, a watch may be silent for hours; and C core keeps
 * 3 KiB for each ping that it objects to until the client reads. Of answers it holds back no more than 10 000 frames. */
static grpc_server *start_grpc_server(const struct dm_server *s, grpc_resource_quota *quota) {
    grpc_arg list[DM_ARGS_COMMON + 3] = {
        dm_arg_integer(GRPC_ARG_MAX_CONCURRENT_STREAMS, s->limits.max_streams),
        dm_arg_integer(GRPC_ARG_MAX_CONNECTION_IDLE_MS, s->limits.idle_ms),
        dm_arg_integer(GRPC_ARG_HTTP2_MAX_PING_STRIKES, ANY_PINGS),
    };
    grpc_channel_args args = {3 + dm_args_common(&list[3], s->limits.max_receive, quota), list};
    grpc_server *grpc = grpc_server_create(&args, NULL);
    grpc_server_register_completion_queue(grpc, dm_bridge_queue(s->rpc), NULL);
    grpc_server_start(grpc);
    return grpc;
}

void dm_connection_drop(struct dm_connection *c) {
    if (--c->holds > 0)
        return;
    struct dm_server *s = c->server;
    dm_list_remove(&c->in_server);
    s->n_connections--;
    free(c);
    dm_server_drop(s);
}

static void on_hangup(uv_poll_t *handle, int status, int events) {
    (void)status, (void)events;
    dm_connection_close(handle->data);
}

static void on_handle_closed(uv_handle_t *handle) {
    dm_connection_drop(handle->data);
}

static void on_down(struct dm_tag *tag, bool ok) {
    struct dm_connection *c = DM_CONTAINER(tag, struct dm_connection, down);
    (void)ok;
    grpc_server_destroy(c->grpc);
    grpc_resource_quota_unref(c->quota);
    dm_connection_drop(c);
}

int dm_connection_open(struct dm_server *server, int fd) {
    struct dm_connection *c = DM_NEW(struct dm_connection);
    int theirs = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    int r = theirs < 0 ? -errno : uv_poll_init(dm_rpc_loop(server->rpc), &c->hangup, fd);
    if (r < 0) {
        if (theirs >= 0)
            close(theirs);
        close(fd);
        free(c);
        return r;
    }
    c->server = server, c->fd = fd, c->hangup.data = c, c->down.run = on_down;
    dm_socket_peer(fd, &c->peer); /* fails never for a unix socket; else pid 0, unknown */
    c->holds = 2;                 /* `down` and the handle */
    dm_list_append(&server->connections, &c->in_server);
    server->n_connections++, server->holds++;
    uv_poll_start(&c->hangup, UV_DISCONNECT, on_hangup);
    c->quota = dm_quota_new(FULL_REQUESTS * server->limits.max_receive + OVERHEAD);
    c->grpc = start_grpc_server(server, c->quota);
    dm_incoming_request_next(c);
    if (c->closing)
        close(theirs);
    else
        grpc_server_add_channel_from_fd(c->grpc, theirs, server->creds);
    return 0;
}

void dm_connection_close(struct dm_connection *c) {
    if (c->closing)
        return;
    c->closing = true;
    c->server->queued -= c->queued;
    uv_close((uv_handle_t *)&c->hangup, on_handle_closed);
    close(c->fd);
    DM_HANDED_OUT(&c->down);
    grpc_server_shutdown_and_notify(c->grpc, dm_bridge_queue(c->server->rpc), &c->down);
    grpc_server_cancel_all_calls(c->grpc);
}

void dm_connection_hang_up(struct dm_connection *c) {
    if (!c->closing)
        shutdown(c->fd, SHUT_RDWR);
    dm_connection_close(c);
}
