/* restore.h -- claims that come from a file or a record, not from an admission. */
#ifndef DM_MANAGER_RESTORE_H
#define DM_MANAGER_RESTORE_H
#include "manager/state.h"

/* Makes its ids known; new ones have an index only after dm_resource_index. */
void dm_restore_intern(struct dm_resource *r, const struct dm_saved_claim *s);
/* A held claim of indexed devices that no other pod has. */
void dm_restore_claim(struct dm_manager *m, struct dm_container *c, struct dm_resource *r,
                      struct dm_saved_claim *s);
#endif
