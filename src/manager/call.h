/* call.h -- calls to plugins and the queues in front of them: per resource one Allocate or GetPreferredAllocation. */
#ifndef DM_MANAGER_CALL_H
#define DM_MANAGER_CALL_H
#include "manager/state.h"

/* Opens a call to r's endpoint as it is now; the action follows. `until`: moment of its deadline. */
struct dm_open_call *dm_call_open(struct dm_resource *r, enum dm_rpc_kind rpc, uint64_t until);
const struct dm_call *dm_call_send(struct dm_manager *m,
                                   struct dm_open_call *c); /* fills in ids and time left */
/* Nobody wants its result any more. Not sent yet: it is gone; else it is canceled and its queue waits for the result. */
void dm_call_abandon(struct dm_open_call *c);
void dm_call_free(struct dm_open_call *c);

void dm_queue_enter(struct dm_queue *q, struct dm_txn *t);
void dm_queue_leave(
    struct dm_txn *t); /* done with its resource, or out of the queue; harmless when in none */
void dm_queue_serve(struct dm_queue *q);                       /* from settle */
const struct dm_txn *dm_queue_ahead(const struct dm_queue *q); /* whose call is open or due; NULL: nobody's */
#endif
