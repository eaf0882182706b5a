/* affinity.h -- the topology decision within an admission: before each container's walk, or once for the pod. */
#ifndef DM_MANAGER_AFFINITY_H
#define DM_MANAGER_AFFINITY_H
#include "manager/state.h"

/* t stands at the beginning of a container: where should its devices come from? The providers take their part. false:
 * nowhere, or a provider refused; v says why. */
bool dm_txn_decide(struct dm_txn *t, struct dm_verdict *v);
/* The same in the midst of a container, what it got so far counted in: others took what the decision relied on. Drops
 * the reservation that is being made (t->claim). */
bool dm_txn_decide_again(struct dm_txn *t, struct dm_verdict *v);
/* Must devices of r come from the affinity, or is it a wish? */
bool dm_txn_binding(const struct dm_txn *t, const struct dm_resource *r);
/* Of the container where t stands; 0: none. */
uint64_t dm_txn_affinity(const struct dm_txn *t);
void dm_txn_keep_affinities(struct dm_txn *t);   /* in the containers, at the end of the walk */
void dm_txn_forget_affinities(struct dm_txn *t); /* on every other way out; the providers give back */
#endif
