/* admission.h -- one admission: a walk over containers and resources, all or nothing. */
#ifndef DM_MANAGER_ADMISSION_H
#define DM_MANAGER_ADMISSION_H
#include "manager/pick.h"
#include "manager/state.h"

void dm_txn_walk(struct dm_txn *t); /* from settle: to the next resource that needs a plugin, or to the end */
/* Of a txn with a trial: the whole walk at once. Reserves what would be picked and asks no plugin, no provider to take.
 * False: v says why not. */
bool dm_txn_rehearse(struct dm_txn *t, struct dm_verdict *v);
void dm_txn_commit(struct dm_txn *t); /* its save is on disk */
void dm_txn_not_durable(struct dm_txn *t, const char *why);
void dm_txn_tick(struct dm_txn *t); /* is something over? */
uint64_t dm_txn_wake(const struct dm_txn *t);
void dm_txn_cancel(struct dm_txn *t); /* ends CANCELED, everything given back */
/* Gives back what it reserved, answers (or waits, when it may) and owns what v points to. */
void dm_txn_fail(struct dm_txn *t, struct dm_verdict *v);
/* Where the walk is: the container asked for (NULL: at the end), its limit, the container as we know it. */
const struct dm_pod_container *dm_txn_container(const struct dm_txn *t);
const struct dm_limit *dm_txn_limit(const struct dm_txn *t);
struct dm_container *dm_txn_holder(const struct dm_txn *t);
void dm_txn_next_limit(struct dm_txn *t);
void dm_txn_walk_on(struct dm_txn *t); /* settle will */

/* turn.c */
void dm_txn_turn(struct dm_txn *t); /* from its queue: nobody else's call is open */
void dm_txn_answered(struct dm_txn *t, const struct dm_open_call *call, const struct dm_call_result *result);
bool dm_txn_try(struct dm_txn *t, struct dm_verdict *v); /* of a trial: reserves t->resource; false: v */
void dm_txn_gone(struct dm_txn *t);                      /* its turn has not come and its plugin has gone */
void dm_txn_time_out(struct dm_txn *t);                  /* its turn did not come in time */
/* Chooses anew for what is reserved where it is, with what GetPreferredAllocation is to carry. */
void dm_txn_offer(const struct dm_txn *t, struct dm_picked *ret);
#endif
