/* record.c -- a container's claims and answers as one line of ASCII, and back. */
#include "base/error.h"
#include "manager/manager.h"

int dm_manager_claim_record(struct dm_manager *m, const char *uid, const char *container,
                            int (*write)(void *, const char *, size_t), void *arg) {
    (void)m, (void)uid, (void)container, (void)write, (void)arg;
    return -ENOSYS;
}

int dm_manager_adopt(struct dm_manager *m, const devmgr_pod *pod, const char *container, const char *record,
                     devmgr_done_cb cb, void *arg, devmgr_error *reterr) {
    (void)m, (void)pod, (void)container, (void)record, (void)cb, (void)arg;
    return dm_error_set(reterr, -ENOSYS, "adopt: not built yet");
}
