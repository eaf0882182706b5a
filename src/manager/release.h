/* release.h -- the end of use, and the way back from a damaged checkpoint. */
#ifndef DM_MANAGER_RELEASE_H
#define DM_MANAGER_RELEASE_H
#include "manager/state.h"

void dm_done_reached(struct dm_manager *m); /* a save succeeded: who waited for it is answered */
void dm_done_failed(struct dm_manager *m, uint64_t change, int status, const char *why);
void dm_done_end_all(struct dm_manager *m); /* close: -ECANCELED */
/* Waits until all changes so far are on disk; uids are owned from here on. */
void dm_done_wait(struct dm_manager *m, devmgr_done_cb cb, void *arg, char **uids, size_t n);

/* Recovery: nothing new is given out until the live pods are known, all of them. */
void dm_recovery_begin(struct dm_manager *m);
void dm_recovery_seen(struct dm_manager *m, const struct dm_pod *p); /* it is known now what this pod has */
void dm_recovery_forget(struct dm_manager *m, const char *uid);      /* it does not live any more */
void dm_recovery_free(struct dm_manager *m);
#endif
