/* list.h -- read a ListAndWatchResponse: bounded, checked, duplicates folded, nodes normalised. Pure. */
#ifndef DM_REGISTRATION_LIST_H
#define DM_REGISTRATION_LIST_H
#include "base/error.h"
#include "base/plugin.h"

struct dm_listing_limits {
    size_t max_devices, max_id;
    bool strict_numa; /* setting numa-ids = strict: a device has a topology when it names any node */
};
struct dm_listing {
    struct dm_device_list list; /* all memory is the listing's */
    /* The same for the same set of devices in any order: some plugins send theirs every few seconds, shuffled. */
    uint64_t fingerprint;
    size_t duplicates;    /* entries folded into an earlier one of the same id */
    size_t empty_ids;     /* devices without an id, before folding */
    size_t negative_numa; /* devices that named a node below 0, ... */
    size_t high_numa;     /* ... above 63 */
    struct dm_listed_device *devices;
    char *ids;
};

/* -EBADMSG: not a ListAndWatchResponse (Go would end the stream). Over a limit of ours, nothing of it is used: -E2BIG too
 * many devices, -ENAMETOOLONG an id is too long, -EILSEQ an id has a NUL byte. On failure there is nothing to free. */
int dm_listing_read(struct dm_span message, const struct dm_listing_limits *limits, struct dm_listing *ret,
                    devmgr_error *reterr);
void dm_listing_free(struct dm_listing *l); /* also for DM_CLEANUP; zeroed is fine */
#endif
