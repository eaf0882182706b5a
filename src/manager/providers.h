/* providers.h -- other hint providers of the embedder (CPU, memory): they join the decision, take their part before a
 * container's devices are allocated, and give it back when the admission fails later on. */
#ifndef DM_MANAGER_PROVIDERS_H
#define DM_MANAGER_PROVIDERS_H
#include "manager/decide.h"

/* Its hints as rows of d, in the order in which their resources appear; none at all: one row without preference.
 * Negative: it failed. */
int dm_provider_hints(const devmgr_provider *p, const char *uid, const char *container, struct dm_decision *d,
                      devmgr_error *reterr);
/* For a container of t; all of them, in order. false: one refused, v says so. */
bool dm_providers_take(struct dm_txn *t, const struct dm_pod_container *c, uint64_t numa,
                       struct dm_verdict *v);
void dm_provider_refused(struct dm_verdict *v, const struct dm_txn *t, const char *why);
void dm_providers_give_back(struct dm_txn *t); /* all that t's containers took */
void dm_providers_free(struct dm_manager *m);
#endif
