/* view.h -- the state in devmgr.h's structs: for visitors (borrowed) and for answers and events (copied into pages). */
#ifndef DM_MANAGER_VIEW_H
#define DM_MANAGER_VIEW_H
#include "manager/pages.h"
#include "manager/state.h"

devmgr_claim *dm_view_hold(struct dm_pages *pages, const struct dm_hold *h); /* copied */
/* Admitted containers and their claims. `of`: also what this txn is about to commit, its new claims marked is_new.
 * With `copy` texts live in the pages, else in the state. */
devmgr_held_pod *dm_view_pod(struct dm_pages *pages, const struct dm_pod *pod, const struct dm_txn *of,
                             bool copy);
/* All claims of a picture, one array, in its order. */
const devmgr_claim *const *dm_view_claims(struct dm_pages *pages, const devmgr_held_pod *pod, size_t *n);
#endif
