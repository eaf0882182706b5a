/* load.c -- the checkpoint at start: good, absent, or damaged; then it is set aside and the copy before it is taken.
 *
 * Setting aside gives the damaged file a second name and leaves the main name where it is: were it gone, and we killed
 * before the first write, the next start would find "no file" and hand out devices that are in use. The first write
 * replaces it. */
#include "base/mem.h"
#include "base/text.h"
#include "checkpoint/files.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FILE = 1 << 30, KEPT = 3, READS = 3 };

/* ---- one file ---------------------------------------------------------------------------------------------------- */

static int read_open(struct dm_store *s, const char *name, int fd, struct dm_buf *out, devmgr_error *reterr) {
    struct stat st;
    ssize_t n;
    if (fstat(fd, &st) < 0)
        return dm_store_failed(s, name, "read", reterr);
    if (!S_ISREG(st.st_mode))
        return dm_error_set(reterr, DEVMGR_ECHECKPOINT, "%s/%s: not a regular file", s->folder, name);
    if (st.st_size > MAX_FILE)
        return dm_error_set(reterr, DEVMGR_ECHECKPOINT, "%s/%s: %lld bytes, limit %d", s->folder, name,
                            (long long)st.st_size, MAX_FILE);
    if (!dm_buf_try_reserve(out, (size_t)st.st_size + 1))
        return dm_error_set(reterr, -ENOMEM, "%s/%s: no memory for its %lld bytes", s->folder, name,
                            (long long)st.st_size);
    while ((n = read(fd, dm_buf_reserve(out, 4096), out->cap - out->len - 1)) != 0) {
        if (n < 0 && errno != EINTR)
            return dm_store_failed(s, name, "read", reterr);
        out->len += n > 0 ? (size_t)n : 0;
        if (out->len > MAX_FILE)
            return dm_error_set(reterr, DEVMGR_ECHECKPOINT, "%s/%s: grows while it is read", s->folder, name);
    }
    /* It may be a write of ours without fsync, from before a kill: from now on it must last. */
    fsync(fd);
    return 0;
}

static int read_once(struct dm_store *s, const char *name, struct dm_buf *out, devmgr_error *reterr) {
    int fd = openat(s->dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return dm_store_failed(s, name, "open", reterr);
    int r = read_open(s, name, fd, out, reterr);
    close(fd);
    return r;
}

/* -ENOENT: no such file. DEVMGR_ECHECKPOINT, -EIO: there, and of no use. Others: it might be good, we cannot see it.
 * A disk that fails once may be good the next time, and setting a good file aside costs its newest claims. */
static int read_file(struct dm_store *s, const char *name, struct dm_buf *out, devmgr_error *reterr) {
    int r = -EIO;
    for (int i = 0; i < READS && r == -EIO; i++) {
        out->len = 0;
        r = read_once(s, name, out, reterr);
    }
    return r;
}

static int load_file(struct dm_store *s, const char *name, bool (*decodable)(struct dm_span),
                     struct dm_buf *text, struct dm_load *ret, devmgr_error *reterr) {
    int r = read_file(s, name, text, reterr);
    if (r < 0)
        return r;
    r = dm_checkpoint_parse(dm_buf_span(text), decodable, &ret->snapshot, &ret->report, reterr);
    return r < 0 ? (dm_error_wrap(reterr, "%s/%s", s->folder, name), r) : 0;
}

/* ---- setting aside ----------------------------------------------------------------------------------------------- */

struct names {
    size_t n, cap;
    char **list;
};

static int natural(const void *a, const void *b) {
    return dm_text_natural(*(char *const *)a, *(char *const *)b);
}

/* All that were set aside before, oldest first. */
static struct names list_damaged(struct dm_store *s) {
    struct names names = {0};
    int fd = openat(s->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        if (fd >= 0)
            close(fd);
        return names;
    }
    for (struct dirent *e; (e = readdir(d));) {
        if (strncmp(e->d_name, DM_CHECKPOINT_DAMAGED, strlen(DM_CHECKPOINT_DAMAGED)))
            continue;
        DM_GROW(names.list, names.n, names.cap);
        names.list[names.n++] = dm_strdup(e->d_name);
    }
    closedir(d);
    if (names.n > 1)
        qsort(names.list, names.n, sizeof *names.list, natural);
    return names;
}

static void free_names(struct names *names) {
    for (size_t i = 0; i < names->n; i++)
        free(names->list[i]);
    free(names->list);
}

/* The name that the main file has among them already: we were killed before we could replace it. */
static const char *known_as(struct dm_store *s, const struct names *names, const struct stat *main) {
    struct stat st;
    for (size_t i = 0; i < names->n; i++)
        if (fstatat(s->dir, names->list[i], &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == main->st_ino &&
            st.st_dev == main->st_dev)
            return names->list[i];
    return NULL;
}

/* Gives the main file the name `to` as well. -1, EEXIST: that name is taken. */
static int second_name(struct dm_store *s, const char *to, const struct stat *main, struct dm_span text) {
    struct stat st;
    devmgr_error err;
    if (fstatat(s->dir, to, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EEXIST;
        return -1;
    }
    if (!S_ISREG(main->st_mode)) /* a folder or the like has no second name */
        return s->ops->renameat2(s->dir, DM_CHECKPOINT_NAME, s->dir, to, 0);
    if (s->ops->linkat(s->dir, DM_CHECKPOINT_NAME, s->dir, to, 0) == 0)
        return 0;
    if (errno == EEXIST)
        return -1;
    int r = dm_store_put(s, to, text, true, &err); /* no hard links here: a copy */
    errno = r < 0 ? -r : 0;
    return r < 0 ? -1 : 0;
}

static int set_aside(struct dm_store *s, struct dm_span text, char *name, size_t size, devmgr_error *reterr) {
    struct names names = list_damaged(s);
    struct stat st;
    int r = 0;
    if (fstatat(s->dir, DM_CHECKPOINT_NAME, &st, AT_SYMLINK_NOFOLLOW) < 0)
        r = dm_store_failed(s, DM_CHECKPOINT_NAME, "set the damaged file aside", reterr);
    const char *known = r == 0 ? known_as(s, &names, &st) : NULL;
    if (known) {
        snprintf(name, size, "%s", known);
    } else if (r == 0) {
        long long now = (long long)time(NULL);
        int done = -1;
        for (int i = 0; i < 1000 && done < 0; i++) {
            snprintf(name, size, i ? "%s%lld-%d" : "%s%lld", DM_CHECKPOINT_DAMAGED, now, i);
            done = second_name(s, name, &st, text);
            if (done < 0 && errno != EEXIST)
                break;
        }
        if (done < 0)
            r = dm_store_failed(s, DM_CHECKPOINT_NAME, "set the damaged file aside", reterr);
        else
            s->ops->fsync(s->dir);
        for (size_t i = 0; r == 0 && i + KEPT <= names.n; i++)
            s->ops->unlinkat(s->dir, names.list[i], 0);
    }
    free_names(&names);
    return r;
}

/* ---- load -------------------------------------------------------------------------------------------------------- */

static void __attribute__((format(printf, 2, 3))) say(struct dm_load *ret, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    vsnprintf(ret->message, sizeof ret->message, format, ap);
    va_end(ap);
}

static void take_good(struct dm_store *s, struct dm_buf *text, struct dm_load *ret) {
    const char *warning = ret->report.warning;
    ret->outcome = ret->snapshot->recovering ? DM_LOAD_RECOVERED : DM_LOAD_GOOD;
    s->main = DM_MAIN_DURABLE;
    s->loaded = *text;
    *text = (struct dm_buf){0};
    dm_store_hold(s);
    if (ret->snapshot->recovering && !ret->report.extension)
        say(ret, "%s/" DM_CHECKPOINT_NAME ": %s; devices are given out again after a sync", s->folder,
            warning);
    else if (ret->snapshot->recovering)
        say(ret,
            "%s/" DM_CHECKPOINT_NAME
            ": written while recovering from a damaged file, and not synced since%s%s",
            s->folder, *warning ? "; " : "", warning);
    else if (*warning)
        say(ret, "%s/" DM_CHECKPOINT_NAME ": %s", s->folder, warning);
}

static int recover(struct dm_store *s, bool (*decodable)(struct dm_span), struct dm_span damaged,
                   const char *why, struct dm_load *ret, devmgr_error *reterr) {
    struct dm_buf text = {0};
    devmgr_error err;
    char aside[80];
    int r = set_aside(s, damaged, aside, sizeof aside, reterr);
    if (r < 0)
        return r;
    s->main = DM_MAIN_DAMAGED;
    r = load_file(s, DM_CHECKPOINT_PREV, decodable, &text, ret, &err);
    dm_buf_free(&text);
    if (r == 0) {
        ret->outcome = DM_LOAD_RECOVERED;
        say(ret,
            "%.500s; it is set aside as %s, and the copy before it is used: %zu claims, perhaps not the last "
            "ones%s%.200s",
            why, aside, ret->snapshot->n_claims, *ret->report.warning ? "; " : "", ret->report.warning);
    } else {
        ret->outcome = DM_LOAD_LOST;
        ret->snapshot = dm_snapshot_new();
        ret->report = (struct dm_checkpoint_report){0};
        say(ret, "%.400s; it is set aside as %s; %.400s; starting without knowing who holds what", why, aside,
            r == -ENOENT ? "there is no copy before it" : err.message);
    }
    ret->snapshot->recovering = true;
    return 0;
}

int dm_store_load(struct dm_store *s, bool (*decodable)(struct dm_span answer), struct dm_load *ret,
                  devmgr_error *reterr) {
    DM_CLEANUP(dm_buf_free) struct dm_buf text = {0};
    devmgr_error why;
    *ret = (struct dm_load){0};
    int r = load_file(s, DM_CHECKPOINT_NAME, decodable, &text, ret, &why);
    if (r == 0) {
        take_good(s, &text, ret);
        return 0;
    }
    if (r == -ENOENT) {
        s->main = DM_MAIN_ABSENT;
        ret->outcome = DM_LOAD_ABSENT;
        ret->snapshot = dm_snapshot_new();
        return 0;
    }
    if (r != DEVMGR_ECHECKPOINT && r != -EIO && r != -ELOOP && r != -EISDIR && r != -ENXIO)
        return dm_error_set(reterr, r, "%s", why.message);
    return recover(s, decodable, dm_buf_span(&text), why.message, ret, reterr);
}
