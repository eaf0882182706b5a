/* store.h -- the checkpoint's files in the plugin folder: read at start, replaced durably, previous copy, damage.
 *
 *   write    .kubelet_internal_checkpoint.tmp, fsync, exchange with the main name (first time: rename), the old one
 *            becomes .kubelet_internal_checkpoint.prev, fsync the folder. The main name is never absent.
 *   load     main absent: empty, .prev is ignored. Main unusable: it is set aside as
 *            .kubelet_internal_checkpoint.damaged-UNIXTIME (three kept), .prev is loaded, the caller must recover.
 *
 * Blocking: dm_store_write belongs on a worker thread, one at a time; the rest before serving starts. */
#ifndef DM_CHECKPOINT_STORE_H
#define DM_CHECKPOINT_STORE_H
#include "checkpoint/checkpoint.h"

#define DM_CHECKPOINT_NAME "kubelet_internal_checkpoint"
struct dm_store;

enum dm_load_outcome {
    DM_LOAD_ABSENT, /* no file: a new node; the snapshot is empty */
    DM_LOAD_GOOD,
    DM_LOAD_RECOVERED, /* main was set aside; the snapshot is .prev's */
    DM_LOAD_LOST       /* main was set aside and .prev is not usable either: the snapshot is empty */
};
struct dm_load {
    enum dm_load_outcome outcome;
    struct dm_snapshot *snapshot; /* never NULL on success; the caller's */
    struct dm_checkpoint_report report;
    char message
        [1020]; /* "" or what happened, for the log: the path, what is wrong and where, what was done */
};

/* `folder` exists. Keeps a handle on it, so that later writes go where it was (see dm_store_moved). */
int dm_store_open(const char *folder, struct dm_store **ret, devmgr_error *reterr);
/* Fails only for what must stop a start: the folder cannot be read, the damaged file cannot be set aside. */
int dm_store_load(struct dm_store *s, bool (*decodable)(struct dm_span answer), struct dm_load *ret,
                  devmgr_error *reterr);
/* Worker thread. Not durable: the same steps without fsync. The error names path and step. On failure the file that
 * was there is still there and the temporary one is gone. Nothing is written when the text is what the file holds. */
int dm_store_write(struct dm_store *s, const struct dm_snapshot *snapshot, bool durable,
                   devmgr_error *reterr);
/* Opens the folder's path again (it was removed and made anew); the next write lands there. */
int dm_store_reopen(struct dm_store *s, devmgr_error *reterr);
void dm_store_close(struct dm_store *s);
#endif
