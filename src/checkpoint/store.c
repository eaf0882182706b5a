/* store.c -- replaces the checkpoint file so that at every moment, and after a power cut at any moment, a whole one is
 * there under the main name. See store.h; reading at start is in load.c.
 *
 *   put      .tmp, written and fsynced                             fails: .tmp is removed
 *   exchange .tmp <-> main; the old file is now .tmp               fails: .tmp is removed
 *   retire   .tmp -> .prev, when the old file was durable          fails: .tmp -> main
 *   settle   fsync the folder                                      fails: .prev (or .tmp) -> main
 *
 * (1) .prev is always a durable file: one that was written without fsync never becomes it, because a power cut could
 *     then take both. (2) A damaged main file never becomes .prev either. (3) Where the file system has no exchange, a
 * hard link .old holds the old file instead; where it has no links either, there is no .prev and no way back. */
#include "checkpoint/store.h"
#include "base/mem.h"
#include "checkpoint/files.h"
#include "checkpoint/writer.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int system_openat(int dir, const char *name, int flags, mode_t mode) {
    return openat(dir, name, flags, mode);
}

static const struct dm_store_ops system_ops = {system_openat, write,  fsync,   close,
                                               renameat2,     linkat, unlinkat};

int dm_store_failed(const struct dm_store *s, const char *name, const char *step, devmgr_error *reterr) {
    return dm_error_errno(reterr, "%s/%s: %s", s->folder, name, step);
}

/* ---- open and close ---------------------------------------------------------------------------------------------- */

static int open_folder(struct dm_store *s, devmgr_error *reterr) {
    int fd = open(s->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return dm_error_errno(reterr, "%s: opening it for the checkpoint", s->folder);
    if (s->dir >= 0)
        close(s->dir);
    s->dir = fd;
    s->held = s->no_exchange = false;
    struct stat st;
    s->main =
        fstatat(fd, DM_CHECKPOINT_NAME, &st, AT_SYMLINK_NOFOLLOW) < 0 ? DM_MAIN_ABSENT : DM_MAIN_DURABLE;
    /* Left by a crash in the middle of a write; whatever they hold, the main file is whole. */
    s->ops->unlinkat(fd, DM_CHECKPOINT_TMP, 0);
    s->ops->unlinkat(fd, DM_CHECKPOINT_OLD, 0);
    return 0;
}

int dm_store_open_ops(const char *folder, const struct dm_store_ops *ops, struct dm_store **ret,
                      devmgr_error *reterr) {
    struct dm_store *s = DM_NEW(struct dm_store);
    s->ops = ops;
    s->folder = dm_strdup(folder);
    s->dir = -1;
    s->writer = dm_checkpoint_writer_new();
    int r = open_folder(s, reterr);
    if (r < 0)
        dm_store_close(s);
    else
        *ret = s;
    return r;
}

int dm_store_open(const char *folder, struct dm_store **ret, devmgr_error *reterr) {
    return dm_store_open_ops(folder, &system_ops, ret, reterr);
}

int dm_store_reopen(struct dm_store *s, devmgr_error *reterr) {
    return open_folder(s, reterr);
}

void dm_store_close(struct dm_store *s) {
    if (!s)
        return;
    if (s->dir >= 0)
        close(s->dir);
    dm_checkpoint_writer_free(s->writer);
    dm_buf_free(&s->loaded);
    free(s->folder);
    free(s);
}

/* ---- put --------------------------------------------------------------------------------------------------------- */

static int write_all(struct dm_store *s, int fd, struct dm_span text) {
    while (text.len) {
        ssize_t n = s->ops->write(fd, text.data, text.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n ? errno : EIO;
            return -1;
        }
        text.data += n, text.len -= (size_t)n;
    }
    return 0;
}

int dm_store_put(struct dm_store *s, const char *name, struct dm_span text, bool durable,
                 devmgr_error *reterr) {
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int fd = s->ops->openat(s->dir, name, flags, 0600);
    if (fd < 0 && errno == EEXIST && s->ops->unlinkat(s->dir, name, 0) == 0)
        fd = s->ops->openat(s->dir, name, flags, 0600);
    if (fd < 0)
        return dm_store_failed(s, name, "create", reterr);
    const char *step = NULL;
    int code = 0;
    if (write_all(s, fd, text) < 0)
        step = "write", code = errno;
    else if (durable && s->ops->fsync(fd) < 0)
        step = "fsync", code = errno;
    if (s->ops->close(fd) < 0 && !step)
        step = "close", code = errno;
    if (!step)
        return 0;
    s->ops->unlinkat(s->dir, name, 0);
    errno = code;
    return dm_store_failed(s, name, step, reterr);
}

/* ---- exchange, retire, settle ------------------------------------------------------------------------------------ */

static int move(struct dm_store *s, const char *from, const char *to, unsigned flags) {
    return s->ops->renameat2(s->dir, from, s->dir, to, flags);
}

/* The way without exchange. *holder: who holds the old file now, NULL: nobody. */
static int exchange_by_link(struct dm_store *s, const char **holder) {
    int linked = s->ops->linkat(s->dir, DM_CHECKPOINT_NAME, s->dir, DM_CHECKPOINT_OLD, 0);
    if (linked < 0 && errno == EEXIST && s->ops->unlinkat(s->dir, DM_CHECKPOINT_OLD, 0) == 0)
        linked = s->ops->linkat(s->dir, DM_CHECKPOINT_NAME, s->dir, DM_CHECKPOINT_OLD, 0);
    if (linked < 0 && errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS && errno != EMLINK)
        return -1;
    int r = move(s, DM_CHECKPOINT_TMP, DM_CHECKPOINT_NAME, 0), code = errno;
    if (r == 0 && linked == 0)
        *holder = DM_CHECKPOINT_OLD;
    else if (linked == 0)
        s->ops->unlinkat(s->dir, DM_CHECKPOINT_OLD, 0);
    errno = code;
    return r;
}

/* The new file takes the main name. *holder: who holds the old one. 0; 1: there was no old one; -1. */
static int exchange(struct dm_store *s, const char **holder) {
    *holder = NULL;
    if (!s->no_exchange) {
        if (move(s, DM_CHECKPOINT_TMP, DM_CHECKPOINT_NAME, RENAME_EXCHANGE) == 0) {
            *holder = DM_CHECKPOINT_TMP;
            return 0;
        }
        s->no_exchange = errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP;
    }
    if (s->no_exchange && exchange_by_link(s, holder) == 0)
        return 0;
    if (errno != ENOENT)
        return -1;
    return move(s, DM_CHECKPOINT_TMP, DM_CHECKPOINT_NAME, 0) < 0 ? -1 : 1;
}

/* Back to what was there before; best effort, for the error path only. */
static void undo(struct dm_store *s, const char *holder, bool first) {
    int code = errno;
    if (holder)
        move(s, holder, DM_CHECKPOINT_NAME, 0);
    else if (first)
        s->ops->unlinkat(s->dir, DM_CHECKPOINT_NAME, 0);
    errno = code;
}

static int replace(struct dm_store *s, bool durable, devmgr_error *reterr) {
    const char *holder;
    bool keep = s->main == DM_MAIN_DURABLE;
    int first = exchange(s, &holder);
    if (first < 0) {
        int r = dm_store_failed(s, DM_CHECKPOINT_NAME, "put the new file in its place", reterr);
        s->ops->unlinkat(s->dir, DM_CHECKPOINT_TMP, 0);
        return r;
    }
    if (holder && keep) {
        if (move(s, holder, DM_CHECKPOINT_PREV, 0) < 0) {
            undo(s, holder, first);
            return dm_store_failed(s, DM_CHECKPOINT_PREV, "keep the old file", reterr);
        }
        holder = DM_CHECKPOINT_PREV;
    }
    if (durable && s->ops->fsync(s->dir) < 0) {
        undo(s, holder, first);
        return dm_error_errno(reterr, "%s: fsync the folder", s->folder);
    }
    if (holder && !keep)
        s->ops->unlinkat(s->dir, holder, 0);
    if (first) /* it is of a life that ended when the main file was removed */
        s->ops->unlinkat(s->dir, DM_CHECKPOINT_PREV, 0);
    return 0;
}

/* ---- write ------------------------------------------------------------------------------------------------------- */

void dm_store_hold(struct dm_store *s) {
    s->held = fstatat(s->dir, DM_CHECKPOINT_NAME, &s->holder, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Is the file still the one that we know to hold our text? Whoever removes or edits it gets it written anew. */
static bool untouched(const struct dm_store *s) {
    struct stat st;
    return fstatat(s->dir, DM_CHECKPOINT_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           st.st_ino == s->holder.st_ino && st.st_dev == s->holder.st_dev &&
           st.st_size == s->holder.st_size && st.st_mtim.tv_sec == s->holder.st_mtim.tv_sec &&
           st.st_mtim.tv_nsec == s->holder.st_mtim.tv_nsec;
}

static bool same(struct dm_span a, struct dm_span b) {
    return a.len == b.len && !memcmp(a.data, b.data, a.len);
}

int dm_store_write(struct dm_store *s, const struct dm_snapshot *snapshot, bool durable,
                   devmgr_error *reterr) {
    uint32_t checksum;
    struct dm_span text = dm_checkpoint_write(s->writer, snapshot, &checksum);
    if (!text.data)
        return dm_error_set(reterr, -ENOMEM, "%s: no memory to write %zu claims and %zu resources", s->folder,
                            snapshot->n_claims, snapshot->n_resources);
    struct dm_span last = s->loaded.len ? dm_buf_span(&s->loaded) : dm_checkpoint_written(s->writer);
    bool good_enough = s->main == DM_MAIN_DURABLE || (s->main == DM_MAIN_LOOSE && !durable);
    if (s->held && good_enough && same(text, last) && untouched(s))
        return 0;
    s->held = false;
    dm_buf_free(&s->loaded);
    int r = dm_store_put(s, DM_CHECKPOINT_TMP, text, durable, reterr);
    if (r == 0)
        r = replace(s, durable, reterr);
    if (r < 0)
        return r;
    s->main = durable ? DM_MAIN_DURABLE : DM_MAIN_LOOSE;
    dm_store_hold(s);
    return 0;
}
