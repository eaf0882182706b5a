/* client.h -- dial a unix socket and call the gRPC server there.
 *
 * A channel is one connection; when that is lost all calls on it end UNAVAILABLE and later ones fail at once: close it
 * and dial again. Authority is "localhost", there is no keepalive, messages over `max_receive` end the call
 * RESOURCE_EXHAUSTED. Every callback runs exactly once, on the loop, later -- also after a cancel. */
#ifndef DM_RPC_CLIENT_H
#define DM_RPC_CLIENT_H
#include "rpc/rpc.h"
#include "rpc/socket.h"

struct dm_channel;
struct dm_dial;
struct dm_rpc_call;
enum { DM_NO_TIMEOUT = -1 };

/* Connects without blocking, again and again (ENOENT, ECONNREFUSED and a full backlog are tried again, 10 ms doubling
 * to 500 ms) until it works or `timeout_ms` is over. On success `cb` gets the channel, its own; else NULL and an
 * error that says what the last attempt met. Valid until `cb`. */
typedef void (*dm_dial_cb)(void *arg, struct dm_channel *channel, const devmgr_error *err);
struct dm_dial *dm_dial_start(struct dm_rpc *rpc, const char *path, uint64_t timeout_ms, size_t max_receive,
                              dm_dial_cb cb, void *arg);
void dm_dial_cancel(struct dm_dial *dial); /* cb runs later with -ECANCELED */

/* Takes over a connected, non-blocking fd, also when it fails. */
int dm_channel_from_fd(struct dm_rpc *rpc, int fd, size_t max_receive, struct dm_channel **ret,
                       devmgr_error *reterr);
struct dm_peer dm_channel_peer(const struct dm_channel *channel); /* who listens there */
/* Cancels what is open; `closed` (or NULL) runs when the last callback has run. The channel is not used again. */
void dm_channel_close(struct dm_channel *channel, void (*closed)(void *arg), void *arg);

/* `method` is "/package.Service/Name". `request` is copied. `response` is borrowed for the callback; one contiguous
 * block. Timeout in ms from now, > 0, or DM_NO_TIMEOUT. The handle is valid until `cb`/`end` has run. */
typedef void (*dm_unary_cb)(void *arg, const struct dm_status *status, struct dm_span response);
struct dm_rpc_call *dm_unary_start(struct dm_channel *channel, const char *method, struct dm_span request,
                                   int64_t timeout_ms, dm_unary_cb cb, void *arg);
/* Server streaming. Messages come one at a time, the next is asked for when `message` has returned; `end` is last. */
typedef void (*dm_message_cb)(void *arg, struct dm_span message);
typedef void (*dm_end_cb)(void *arg, const struct dm_status *status);
struct dm_rpc_call *dm_stream_start(struct dm_channel *channel, const char *method, struct dm_span request,
                                    int64_t timeout_ms, dm_message_cb message, dm_end_cb end, void *arg);
void dm_rpc_cancel(struct dm_rpc_call *call); /* its callback runs later with CANCELLED; twice is harmless */
#endif
