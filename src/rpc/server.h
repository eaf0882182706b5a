/* server.h -- serve unary and server-streaming methods on unix sockets that we accept ourselves.
 *
 * We bind, accept4 and read SO_PEERCRED; gRPC gets each connection as an fd. Limits hold per server; who is over one is
 * refused alone. A handler answers now or later: every dm_incoming it was given must be ended exactly once, also after
 * its client has gone. */
#ifndef DM_RPC_SERVER_H
#define DM_RPC_SERVER_H
#include "rpc/rpc.h"
#include "rpc/socket.h"
#include <stdbool.h>

struct dm_server;
struct dm_incoming;
struct dm_method {
    const char *name; /* "/v1beta1.Registration/Register" */
    bool streaming;   /* server streaming; one request either way */
    void (*handle)(void *self, struct dm_incoming *in);
};
enum { DM_OWN_CALLS = 8 };
struct dm_server_limits { /* 0: the default in brackets */
    size_t max_receive;   /* bytes of a request [64 KiB] */
    /* Open at once; for one more, the oldest without calls is closed, or if all have calls the new one [1024]. */
    size_t max_connections;
    size_t max_streams; /* concurrent calls per connection [64] */
    /* Open calls over all connections; more get RESOURCE_EXHAUSTED [1024]. But a connection may always have
     * DM_OWN_CALLS: who opens many shuts nobody else out. */
    size_t max_calls;
    size_t max_queued; /* bytes of answers not taken yet; beyond, who owes most is hung up on [256 MiB] */
    uint64_t idle_ms;  /* a connection without calls is closed after that [60 s] */
    /* A client that neither sends its request nor takes its answer for so long loses the call [30 s]. */
    uint64_t stall_ms;
    /* Who takes back more than twice max_streams calls in a row, each before it was here for so long, all within ten times
     * that, is hung up on [1 s]. */
    uint64_t hasty_ms;
};

/* `methods` must outlive the server; other methods answer UNIMPLEMENTED. */
int dm_server_new(struct dm_rpc *rpc, const struct dm_method *methods, size_t n, void *self,
                  const struct dm_server_limits *limits, struct dm_server **ret, devmgr_error *reterr);
/* Takes over a listening fd (dm_socket_listen), also when it fails, and serves what connects to it; several listeners are fine. The handle
 * is for dm_server_unlisten. */
int dm_server_listen(struct dm_server *server, int fd, void **ret_listener, devmgr_error *reterr);
/* Stops accepting and closes the fd; connections stay. Does not unlink. */
void dm_server_unlisten(struct dm_server *server, void *listener);
/* Stops accepting, cancels open calls (handlers see it through their cancel callback and still end them), frees all.
 * `closed` (or NULL) runs last. */
void dm_server_close(struct dm_server *server, void (*closed)(void *arg), void *arg);

/* Calls that are open, or were ended and are still being sent: who wants its last answers to arrive waits for 0. */
size_t dm_server_calls(const struct dm_server *server);

struct dm_span dm_incoming_request(const struct dm_incoming *in); /* valid until it is ended */
const struct dm_peer *dm_incoming_peer(const struct dm_incoming *in);
int64_t dm_incoming_timeout_ms(const struct dm_incoming *in); /* left of the client's deadline; DM_FOREVER */
enum { DM_FOREVER = -1 };
bool dm_incoming_cancelled(const struct dm_incoming *in);
/* Runs at most once, on the loop, when the client goes away or its deadline passes before the end; the call must still be ended. */
void dm_incoming_on_cancel(struct dm_incoming *in, void (*cancelled)(void *arg), void *arg);
/* Unary: the answer. `status` NULL: OK. The response is copied (NULL data: none). Ends it. */
void dm_incoming_reply(struct dm_incoming *in, const struct dm_status *status, struct dm_span response);
/* Streaming: queues a copy; returns bytes queued and not yet taken by the client's window (for the caller's limit). */
size_t dm_incoming_send(struct dm_incoming *in, struct dm_span message);
/* What the last send returned, less what went out since. */
size_t dm_incoming_queued(const struct dm_incoming *in);
/* Streaming: ends it after what is queued was sent (or at once when cancelled). `status` NULL: OK. */
void dm_incoming_finish(struct dm_incoming *in, const struct dm_status *status);
#endif
