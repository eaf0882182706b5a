/* save.h -- when the state is written: one write at a time, changes during it lead to the next. */
#ifndef DM_MANAGER_SAVE_H
#define DM_MANAGER_SAVE_H
#include "manager/state.h"

void dm_save_init(struct dm_manager *m);
uint64_t dm_save_durably(struct dm_manager *m); /* something that must be on disk changed; its number */
void dm_save_lazily(struct dm_manager *m);      /* within a second, without fsync */
bool dm_save_reached(const struct dm_manager *m, uint64_t change);
/* The snapshot to write now, or NULL. Admissions that wait for a save are in it. */
struct dm_snapshot *dm_save_due(struct dm_manager *m, bool *durable);
uint64_t dm_save_wake(const struct dm_manager *m);
#endif
