/* files.h -- inside of the store: its state, and the system calls that change a folder as a table, so that a test can
 * make each of them fail in its turn. */
#ifndef DM_CHECKPOINT_FILES_H
#define DM_CHECKPOINT_FILES_H
#include "checkpoint/store.h"
#include <sys/stat.h>
#include <sys/types.h>

#define DM_CHECKPOINT_TMP "." DM_CHECKPOINT_NAME ".tmp"
#define DM_CHECKPOINT_OLD                                                                                    \
    "." DM_CHECKPOINT_NAME ".old" /* where a file system cannot exchange; for a moment */
#define DM_CHECKPOINT_PREV    "." DM_CHECKPOINT_NAME ".prev"
#define DM_CHECKPOINT_DAMAGED "." DM_CHECKPOINT_NAME ".damaged-"

struct dm_store_ops { /* as the system's */
    int (*openat)(int dir, const char *name, int flags, mode_t mode);
    ssize_t (*write)(int fd, const void *data, size_t n);
    int (*fsync)(int fd);
    int (*close)(int fd);
    int (*renameat2)(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);
    int (*linkat)(int from_dir, const char *from, int to_dir, const char *to, int flags);
    int (*unlinkat)(int dir, const char *name, int flags);
};

enum dm_main_file { /* what stands under the main name, as far as we know */
                    DM_MAIN_ABSENT,
                    DM_MAIN_DURABLE, /* worth to be the previous copy */
                    DM_MAIN_LOOSE, /* written without fsync: a power cut may take it, so .prev must stay what it is */
                    DM_MAIN_DAMAGED /* set aside already */
};

struct dm_store {
    const struct dm_store_ops *ops;
    char *folder;
    int dir;
    enum dm_main_file main;
    bool no_exchange; /* this file system has no RENAME_EXCHANGE */
    struct dm_checkpoint_writer *writer;
    bool held;          /* the main file holds what the writer made last, or `loaded` */
    struct stat holder; /* that file, so that somebody else's change is seen */
    struct dm_buf loaded;
};

int dm_store_open_ops(const char *folder, const struct dm_store_ops *ops, struct dm_store **ret,
                      devmgr_error *reterr);
/* A new file `name` with this text; nothing is left of it on failure. */
int dm_store_put(struct dm_store *s, const char *name, struct dm_span text, bool durable,
                 devmgr_error *reterr);
/* "FOLDER/NAME: STEP: errno's text". Returns -errno. */
int dm_store_failed(const struct dm_store *s, const char *name, const char *step, devmgr_error *reterr);
/* Remembers the main file as holding the present text. */
void dm_store_hold(struct dm_store *s);
#endif
