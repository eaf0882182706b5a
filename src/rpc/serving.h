/* serving.h -- how server.c (limits, listeners), connection.c and incoming.c (one call) hang together. Private. */
#ifndef DM_RPC_SERVING_H
#define DM_RPC_SERVING_H
#include "base/list.h"
#include "rpc/bridge.h"
#include "rpc/server.h"
#include <grpc/grpc_security.h>

struct dm_server {
    struct dm_rpc *rpc;
    const struct dm_method *methods;
    size_t n_methods;
    void *self;
    struct dm_server_limits limits;
    grpc_server_credentials *creds;
    struct dm_list listeners, connections;
    size_t n_connections, n_calls;
    size_t queued;          /* bytes of answers that clients have not taken, but of connections that close */
    struct dm_list stalled; /* calls that wait for their client, longest first */
    uv_timer_t patience;    /* runs while there are any */
    bool closing;
    size_t holds; /* being open, the timer, each listener, each connection; freed at 0 */
    struct dm_tag close;
    void (*closed)(void *arg);
    void *arg;
};
void dm_server_drop(struct dm_server *server);

/* One accepted connection: a grpc_server of its own, so that a call's peer is known beyond doubt (gRPC's own word for
 * it, "fd:N", is ambiguous as soon as the number is used again) and one can be closed without the others. */
struct dm_connection {
    struct dm_list in_server;
    struct dm_server *server;
    grpc_server *grpc;
    grpc_resource_quota *quota;
    struct dm_peer peer;
    uv_poll_t hangup; /* on our own fd of the same socket; gRPC's is a duplicate */
    int fd;
    size_t n_calls; /* its part of the server's */
    size_t queued;  /* its part of the server's */
    size_t hasty;   /* calls taken back as soon as they were here, in a row, since: */
    uint64_t hasty_since;
    bool closing;
    struct dm_tag down;
    size_t
        holds; /* until down, until the handle is closed, each call and the one request for the next call */
};
/* Takes over `fd`, also when it fails. */
int dm_connection_open(struct dm_server *server, int fd);
void dm_connection_close(struct dm_connection *c); /* again: nothing */
/* The same, and not a byte more goes either way, whatever gRPC is busy with: for a client that overdoes it, and at the end. Its
 * calls end UNAVAILABLE. */
void dm_connection_hang_up(struct dm_connection *c);
void dm_connection_drop(struct dm_connection *c);

/* Asks gRPC for the connection's next call. */
void dm_incoming_request_next(struct dm_connection *c);
/* The server's timer: cuts off who has stalled for too long. */
void dm_incoming_end_stalled(uv_timer_t *timer);
#endif
