/* groups.h -- a resource's listed devices, counted by the NUMA nodes they are on: a node set is judged by looking at a
 * few groups instead of all devices. Right at any time, as the other counts of a resource. */
#ifndef DM_MANAGER_GROUPS_H
#define DM_MANAGER_GROUPS_H
#include "manager/state.h"

enum { DM_NO_GROUP = UINT32_MAX };

void dm_groups_clear(struct dm_resource *r);                    /* of all devices; they are added anew */
void dm_groups_add(struct dm_resource *r, struct dm_device *d); /* listed, not free so far */
/* d became free (+1) or is no longer (-1). */
static inline void dm_groups_free(struct dm_resource *r, const struct dm_device *d, int change) {
    if (d->group != DM_NO_GROUP)
        r->groups[d->group].free += (uint64_t)change;
}
#endif
