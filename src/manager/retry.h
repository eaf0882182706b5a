/* retry.h -- admissions that stay pending while the verdict is NOT_YET, and how long others should wait. */
#ifndef DM_MANAGER_RETRY_H
#define DM_MANAGER_RETRY_H
#include "manager/state.h"

void dm_retry_wait(struct dm_txn *t);          /* t->last says why; puts it where it will be found */
void dm_retry_resource(struct dm_resource *r); /* from settle, and the next one too */
/* Who was passed over may be tried when all before had their turn. False: nobody is to be tried. */
bool dm_retry_passed_over(struct dm_manager *m);
/* Those whose last cause is this, of this resource (NULL: any). */
void dm_retry_cause(struct dm_manager *m, int cause, const char *resource);

/* Another refusal of the same request: how long to wait, 1 s doubling to 1 min. */
uint64_t dm_backoff_refused(struct dm_manager *m, const devmgr_pod *request);
void dm_backoff_forget(struct dm_manager *m, const char *uid);
void dm_backoff_free_all(struct dm_manager *m);
#endif
