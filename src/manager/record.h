/* record.h -- a container's claims as one line of ASCII. Pure; adopt.c uses it. */
#ifndef DM_MANAGER_RECORD_H
#define DM_MANAGER_RECORD_H
#include "base/error.h"
#include "checkpoint/snapshot.h"

struct dm_record {
    char *uid, *namespace_, *name, *container; /* namespace, name "": not known */
    int kind;
    uint64_t affinity;
    size_t n_claims;
    struct dm_saved_claim **claims;
};
void dm_record_write(struct dm_buf *out, const struct dm_record *r); /* out must be empty */
/* DEVMGR_EINVALID: not a record, or damaged. A line end and what follows it are ignored. */
int dm_record_read(const char *text, struct dm_record *ret, devmgr_error *reterr);
void dm_record_free(struct dm_record *r); /* also for DM_CLEANUP */
#endif
