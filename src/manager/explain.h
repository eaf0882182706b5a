/* explain.h -- "what would happen to this pod, and why?": the admission is rehearsed and taken back within one call. */
#ifndef DM_MANAGER_EXPLAIN_H
#define DM_MANAGER_EXPLAIN_H
#include "manager/decide.h"

/* The rehearsal decided where a container (NULL: all of the pod) should be. */
void dm_trial_decided(const struct dm_txn *t, const struct dm_pod_container *c, const struct dm_decision *d);
#endif
