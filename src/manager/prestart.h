/* prestart.h -- devmgr_container_options: PreStartContainer where asked for, then the merged answers. */
#ifndef DM_MANAGER_PRESTART_H
#define DM_MANAGER_PRESTART_H
#include "manager/options.h"
#include "manager/state.h"

/* A container's claims in the order of resource names; `of`: also those about to be committed. */
int dm_container_merge(const struct dm_manager *m, const struct dm_container *c, const struct dm_txn *of,
                       struct dm_merged **ret, devmgr_error *reterr);
void dm_prestart_answered(struct dm_prestart *p, const struct dm_open_call *call,
                          const struct dm_call_result *result);
/* Those of a pod (and container, or all) that loses its claims end -ECANCELED; uid NULL: all. */
void dm_prestart_cancel(struct dm_manager *m, const char *uid, const char *container, const char *why);
#endif
