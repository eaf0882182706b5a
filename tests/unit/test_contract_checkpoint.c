/* The kubelet's rules of the checkpoint's file (CKPT-*, tests/contract/rows.tsv), as far as the tests of the single files do
 * not carry their ids: the system calls of a write, in their order. */
#include "base/mem.h"
#include "check.h"
#include "checkpoint/files.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char calls[1000]; /* "create .tmp; write; ..." */

static const char *short_name(const char *name) {
    return !strcmp(name, DM_CHECKPOINT_NAME)   ? "main"
           : !strcmp(name, DM_CHECKPOINT_TMP)  ? ".tmp"
           : !strcmp(name, DM_CHECKPOINT_PREV) ? ".prev"
                                               : name;
}
static void note(const char *what, const char *a, const char *b) {
    size_t n = strlen(calls);
    snprintf(calls + n, sizeof calls - n, "%s%s%s%s%s; ", what, a ? " " : "", a ? short_name(a) : "",
             b ? " " : "", b ? short_name(b) : "");
}

static int noted_openat(int dir, const char *name, int flags, mode_t mode) {
    note(flags & O_CREAT ? "create" : "open", name, NULL);
    return openat(dir, name, flags, mode);
}
static ssize_t noted_write(int fd, const void *data, size_t n) {
    note("write", NULL, NULL);
    return write(fd, data, n);
}
static int noted_fsync(int fd) {
    struct stat st;
    CHECK_INT(fstat(fd, &st), 0);
    note(S_ISDIR(st.st_mode) ? "sync the folder" : "sync", NULL, NULL);
    return fsync(fd);
}
static int noted_renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
    note(flags & RENAME_EXCHANGE ? "exchange" : "rename", from, to);
    return renameat2(a, from, b, to, flags);
}
static int noted_linkat(int a, const char *from, int b, const char *to, int flags) {
    note("link", from, to);
    return linkat(a, from, b, to, flags);
}
static int noted_unlinkat(int dir, const char *name, int flags) {
    note("unlink", name, NULL);
    return unlinkat(dir, name, flags);
}
static const struct dm_store_ops noted = {noted_openat,    noted_write,  noted_fsync,   close,
                                          noted_renameat2, noted_linkat, noted_unlinkat};

/* A write of this revision; what was called for it. */
static const char *writing(struct dm_store *store, uint64_t revision, bool durable) {
    struct dm_snapshot *s = dm_snapshot_new();
    devmgr_error err;
    s->revision = revision;
    calls[0] = 0;
    CHECK_INT(dm_store_write(store, s, durable, &err), 0);
    dm_snapshot_free(s);
    return calls;
}

TEST(CKPT_12_a_file_is_whole_and_synced_before_it_gets_its_name) {
    char folder[] = "/tmp/devmgr-test.XXXXXX";
    struct dm_store *store;
    devmgr_error err;
    CHECK(mkdtemp(folder));
    CHECK_INT(dm_store_open_ops(folder, &noted, &store, &err), 0);
    CHECK_STR(
        writing(store, 1, true), /* there is nothing to exchange it with */
        "create .tmp; write; sync; exchange .tmp main; rename .tmp main; sync the folder; unlink .prev; ");
    CHECK_STR(writing(store, 2, true),
              "create .tmp; write; sync; exchange .tmp main; rename .tmp .prev; sync the folder; ");
    CHECK_STR(writing(store, 3, false), "create .tmp; write; exchange .tmp main; rename .tmp .prev; ");
    CHECK_STR(writing(store, 4, true), /* what was not synced is no copy to go back to */
              "create .tmp; write; sync; exchange .tmp main; sync the folder; unlink .tmp; ");
    CHECK_STR(writing(store, 4, true), "");
    dm_store_close(store);
    DM_FREE char *command = dm_printf("rm -r %s", folder);
    CHECK_INT(system(command), 0);
}
