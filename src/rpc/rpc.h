/* rpc.h -- the bridge: gRPC C core's completion queue carried onto a libuv loop.
 *
 * One bridge per loop, counted: whoever needs RPCs on a loop acquires it and releases it. Inside, one pump thread
 * waits on the queue and hands finished tags to the loop by an eventfd (never uv_async: it spins). All callbacks of
 * src/rpc run on the loop's thread, never inside the call that started them. gRPC is seen by the .c files here alone. */
#ifndef DM_RPC_RPC_H
#define DM_RPC_RPC_H
#include "base/buf.h"
#include "base/error.h"
#include "base/status.h"
#include <uv.h>

struct dm_rpc;
/* The loop's bridge, made on first use. Loop thread only. */
int dm_rpc_acquire(uv_loop_t *loop, struct dm_rpc **ret, devmgr_error *reterr);
/* Gives it back; channels and servers made through it must be closed (their `closed` callbacks run) before. `closed`
 * (or NULL) runs on the loop when this reference is gone; for the last one, when the pump thread has been joined and
 * gRPC shut down. Keep the loop turning until then. */
void dm_rpc_release(struct dm_rpc *rpc, void (*closed)(void *arg), void *arg);
uv_loop_t *dm_rpc_loop(struct dm_rpc *rpc);
#endif
