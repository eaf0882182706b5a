/* The checkpoint's files (src/checkpoint/store.h): what is there after each write, each failure and each start. */
#include "base/mem.h"
#include "check.h"
#include "checkpoint/files.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAIN DM_CHECKPOINT_NAME
static devmgr_error err;

/* ---- a scratch folder -------------------------------------------------------------------------------------------- */

static char folder[100];

static char *in_folder(const char *name) {
    static char path[4][400];
    static int turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof *path, "%s/%s", folder, name);
    return p;
}

static void remove_folder(void) {
    DIR *d = *folder ? opendir(folder) : NULL;
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d));)
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
            remove(in_folder(e->d_name));
    closedir(d);
    rmdir(folder);
}

static void new_folder(void) {
    static bool once;
    remove_folder();
    snprintf(folder, sizeof folder, "/tmp/test_store-XXXXXX");
    CHECK(mkdtemp(folder));
    if (!once)
        atexit(remove_folder);
    once = true;
}

static void put(const char *name, const char *text) {
    FILE *f = fopen(in_folder(name), "w");
    CHECK(f);
    fputs(text, f);
    fclose(f);
}

static char *get(const char *name) { /* "" when it is not there */
    static char text[4][16384];
    static int turn;
    char *p = text[turn++ % 4];
    FILE *f = fopen(in_folder(name), "r");
    p[f ? fread(p, 1, sizeof *text - 1, f) : 0] = 0;
    if (f)
        fclose(f);
    return p;
}

static bool there(const char *name) {
    struct stat st;
    return lstat(in_folder(name), &st) == 0;
}

static int count_damaged(void) {
    int n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; (e = readdir(d));)
        n += !strncmp(e->d_name, DM_CHECKPOINT_DAMAGED, strlen(DM_CHECKPOINT_DAMAGED));
    closedir(d);
    return n;
}

/* ---- states ------------------------------------------------------------------------------------------------------ */

/* Pods "a", "b", ... up to `last`, each with one device. */
static struct dm_snapshot *state(char last) {
    struct dm_snapshot *s = dm_snapshot_new();
    size_t n = (size_t)(last - 'a' + 1);
    s->claims = dm_alloc_array(n, sizeof *s->claims);
    s->pods = dm_alloc_array(n, sizeof *s->pods);
    for (char c = 'a'; c <= last; c++) {
        char uid[2] = {c, 0}, id[8];
        snprintf(id, sizeof id, "dev-%c", c);
        struct dm_saved_claim *claim =
            dm_saved_claim_new(uid, "main", "example.com/gpu", (struct dm_span){0});
        dm_saved_claim_add(claim, -1, id);
        s->claims[s->n_claims++] = claim;
        s->pods[s->n_pods] = dm_saved_pod_new(uid);
        dm_saved_pod_add(s->pods[s->n_pods++], "main", DEVMGR_APP, 0);
    }
    s->revision = n;
    return s;
}

static int write_state(struct dm_store *store, char last, bool durable) {
    struct dm_snapshot *s = state(last);
    int r = dm_store_write(store, s, durable, &err);
    dm_snapshot_free(s);
    return r;
}

/* The pods in a file: "ab"; "-" when it is not usable, "" when it is not there. */
static const char *pods_in(const char *name) {
    static char out[8][64];
    static int turn;
    char *p = out[turn++ % 8], *text = get(name);
    struct dm_snapshot *s;
    if (!there(name))
        return "";
    if (dm_checkpoint_parse((struct dm_span){(uint8_t *)text, strlen(text)}, NULL, &s, NULL, NULL) < 0)
        return "-";
    *p = 0;
    for (size_t i = 0; i < s->n_claims; i++)
        strcat(p, s->claims[i]->pod_uid);
    dm_snapshot_free(s);
    return p;
}

/* Loads into a new store; says "good ab", "recovered a", ... Close it with dm_store_close. */
static const char *load(struct dm_store **store, struct dm_load *l) {
    static const char *const names[] = {"absent", "good", "recovered", "lost"};
    static char out[128];
    CHECK_INT(dm_store_open(folder, store, &err), 0);
    CHECK_INT(dm_store_load(*store, NULL, l, &err), 0);
    snprintf(out, sizeof out, "%s ", names[l->outcome]);
    for (size_t i = 0; i < l->snapshot->n_claims; i++)
        strcat(out, l->snapshot->claims[i]->pod_uid);
    dm_snapshot_free(l->snapshot);
    return out;
}

static struct dm_store *opened(void) {
    struct dm_store *s = NULL;
    CHECK_INT(dm_store_open(folder, &s, &err), 0);
    return s;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

TEST(CKPT_01_the_file_has_the_kubelets_name_and_mode_0600) {
    struct stat st;
    new_folder();
    struct dm_store *store = opened();
    CHECK_INT(write_state(store, 'a', true), 0);
    CHECK_INT(stat(in_folder("kubelet_internal_checkpoint"), &st), 0);
    CHECK_INT(st.st_mode & 07777, 0600);
    CHECK(!there(DM_CHECKPOINT_TMP));
    CHECK(!there(DM_CHECKPOINT_PREV));
    dm_store_close(store);
}

TEST(the_copy_before_the_last_write_is_kept) {
    new_folder();
    struct dm_store *store = opened();
    for (char c = 'a'; c <= 'd'; c++)
        CHECK_INT(write_state(store, c, true), 0);
    CHECK_STR(pods_in(MAIN), "abcd");
    CHECK_STR(pods_in(DM_CHECKPOINT_PREV), "abc");
    CHECK(!there(DM_CHECKPOINT_TMP));
    dm_store_close(store);
}

TEST(what_the_file_holds_already_is_not_written_again) {
    struct stat before, after;
    new_folder();
    struct dm_store *store = opened();
    CHECK_INT(write_state(store, 'b', true), 0);
    stat(in_folder(MAIN), &before);
    CHECK_INT(write_state(store, 'b', true), 0);
    stat(in_folder(MAIN), &after);
    CHECK_INT(after.st_ino, before.st_ino);
    CHECK(!there(DM_CHECKPOINT_PREV));
    dm_store_close(store);
}

TEST(after_a_start_without_change_nothing_is_written) {
    struct stat before, after;
    struct dm_load l;
    struct dm_store *store = NULL;
    new_folder();
    store = opened();
    CHECK_INT(write_state(store, 'b', true), 0);
    dm_store_close(store);
    stat(in_folder(MAIN), &before);
    CHECK_STR(load(&store, &l), "good ab");
    CHECK_INT(write_state(store, 'b', true), 0);
    stat(in_folder(MAIN), &after);
    CHECK_INT(after.st_ino, before.st_ino);
    CHECK_INT(write_state(store, 'c', true), 0);
    CHECK_STR(pods_in(MAIN), "abc");
    CHECK_STR(pods_in(DM_CHECKPOINT_PREV), "ab");
    dm_store_close(store);
}

TEST(a_file_that_somebody_removed_or_edited_is_written_anew) {
    new_folder();
    struct dm_store *store = opened();
    CHECK_INT(write_state(store, 'b', true), 0);
    unlink(in_folder(MAIN));
    CHECK_INT(write_state(store, 'b', true), 0);
    CHECK_STR(pods_in(MAIN), "ab");
    put(MAIN, "garbage");
    CHECK_INT(write_state(store, 'b', true), 0);
    CHECK_STR(pods_in(MAIN), "ab");
    dm_store_close(store);
}

TEST(what_was_written_without_fsync_is_written_again_when_it_must_last) {
    struct stat before, after;
    new_folder();
    struct dm_store *store = opened();
    CHECK_INT(write_state(store, 'b', false), 0);
    stat(in_folder(MAIN), &before);
    CHECK_INT(write_state(store, 'b', false), 0);
    stat(in_folder(MAIN), &after);
    CHECK_INT(after.st_ino, before.st_ino);
    CHECK_INT(write_state(store, 'b', true), 0);
    stat(in_folder(MAIN), &after);
    CHECK(after.st_ino != before.st_ino);
    dm_store_close(store);
}

/* A power cut may empty what was not fsynced: two such writes must not cost both copies. */
TEST(the_copy_is_always_a_durable_one) {
    new_folder();
    struct dm_store *store = opened();
    CHECK_INT(write_state(store, 'a', true), 0);
    CHECK_INT(write_state(store, 'b', false), 0);
    CHECK_INT(write_state(store, 'c', false), 0);
    CHECK_STR(pods_in(MAIN), "abc");
    CHECK_STR(pods_in(DM_CHECKPOINT_PREV), "a");
    CHECK_INT(write_state(store, 'd', true), 0);
    CHECK_STR(pods_in(DM_CHECKPOINT_PREV), "a");
    CHECK_INT(write_state(store, 'e', true), 0);
    CHECK_STR(pods_in(DM_CHECKPOINT_PREV), "abcd");
    CHECK(!there(DM_CHECKPOINT_TMP));
    dm_store_close(store);
}

TEST(CKPT_12_a_temporary_file_of_a_crash_is_swept_at_open) {
    new_folder();
    put(DM_CHECKPOINT_TMP, "half a fi");
    put(DM_CHECKPOINT_OLD, "x");
    struct dm_store *store = opened();
    CHECK(!there(DM_CHECKPOINT_TMP));
    CHECK(!there(DM_CHECKPOINT_OLD));
    put(DM_CHECKPOINT_TMP, "somebody else's");
    CHECK_INT(write_state(store, 'a', true), 0);
    CHECK_STR(pods_in(MAIN), "a");
    dm_store_close(store);
}

TEST(a_folder_that_was_made_anew_is_written_to_after_reopen) {
    new_folder();
    DM_FREE char *moved = dm_printf("%s-moved", folder);
    struct dm_store *store = opened();
    CHECK_INT(write_state(store, 'a', true), 0);
    CHECK_INT(rename(folder, moved), 0);
    CHECK_INT(mkdir(folder, 0755), 0);
    CHECK_INT(dm_store_reopen(store, &err), 0);
    CHECK_INT(write_state(store, 'a', true), 0);
    CHECK_STR(pods_in(MAIN), "a");
    dm_store_close(store);
    remove_folder();
    snprintf(folder, sizeof folder, "%s", moved);
}

TEST(a_folder_that_is_not_there_is_named) {
    struct dm_store *store;
    CHECK_INT(dm_store_open("/nonexistent/device-plugins", &store, &err), -ENOENT);
    CHECK_STR(err.message,
              "/nonexistent/device-plugins: opening it for the checkpoint: No such file or directory");
}

/* ---- starting ---------------------------------------------------------------------------------------------------- */

TEST(CKPT_14_no_file_is_an_empty_state_and_an_old_copy_does_not_count) {
    struct dm_store *store;
    struct dm_load l;
    new_folder();
    store = opened();
    CHECK_INT(write_state(store, 'a', true), 0);
    CHECK_INT(write_state(store, 'b', true), 0);
    dm_store_close(store);
    unlink(in_folder(MAIN));
    CHECK_STR(load(&store, &l), "absent ");
    CHECK_STR(l.message, "");
    CHECK_INT(write_state(store, 'c', true), 0);
    CHECK(!there(DM_CHECKPOINT_PREV));
    dm_store_close(store);
}

TEST(CKPT_15_22_a_damaged_file_is_set_aside_and_the_copy_before_it_is_used) {
    struct dm_store *store;
    struct dm_load l;
    new_folder();
    store = opened();
    CHECK_INT(write_state(store, 'a', true), 0);
    CHECK_INT(write_state(store, 'b', true), 0);
    dm_store_close(store);
    put(MAIN, "{\"Data\":");
    CHECK_STR(load(&store, &l), "recovered a");
    CHECK(strstr(l.message,
                 "/kubelet_internal_checkpoint: line 1, column 9: unexpected end of JSON input; it is set "
                 "aside as .kubelet_internal_checkpoint.damaged-"));
    CHECK_INT(count_damaged(), 1);
    dm_store_close(store);
    /* Killed before the first write: the next start sees the same. */
    CHECK_STR(load(&store, &l), "recovered a");
    CHECK_INT(count_damaged(), 1);
    CHECK_INT(write_state(store, 'c', true), 0);
    CHECK_STR(pods_in(MAIN), "abc");
    CHECK_STR(pods_in(DM_CHECKPOINT_PREV), "a"); /* never the damaged one */
    CHECK_INT(count_damaged(), 1);
    dm_store_close(store);
}

TEST(a_damaged_file_without_a_copy_is_a_loss_that_is_said) {
    struct dm_store *store;
    struct dm_load l;
    new_folder();
    put(MAIN, "");
    CHECK_STR(load(&store, &l), "lost ");
    CHECK(strstr(l.message, "kubelet_internal_checkpoint: the file is empty; it is set aside as "));
    CHECK(strstr(l.message, "; there is no copy before it; starting without knowing who holds what"));
    dm_store_close(store);
    put(DM_CHECKPOINT_PREV, "[]");
    CHECK_STR(load(&store, &l), "lost ");
    CHECK(strstr(l.message, ".prev: line 1, column 1: the file is an array, must be an object"));
    dm_store_close(store);
}

TEST(a_restart_does_not_forget_that_a_sync_is_owed) {
    struct dm_store *store;
    struct dm_load l;
    new_folder();
    struct dm_snapshot *s = state('b');
    store = opened();
    s->recovering = true;
    CHECK_INT(dm_store_write(store, s, true, &err), 0);
    dm_snapshot_free(s);
    dm_store_close(store);
    CHECK_STR(load(&store, &l), "recovered ab");
    CHECK_INT(count_damaged(), 0);
    dm_store_close(store);
}

TEST(three_damaged_files_are_kept) {
    struct dm_store *store;
    struct dm_load l;
    new_folder();
    for (int i = 0; i < 6; i++) {
        char text[16];
        snprintf(text, sizeof text, "bad %d", i);
        unlink(in_folder(MAIN));
        put(MAIN, text);
        CHECK_STR(load(&store, &l), "lost ");
        dm_store_close(store);
    }
    CHECK_INT(count_damaged(), 3);
}

TEST(something_that_is_no_file_is_damage_too) {
    struct dm_store *store;
    struct dm_load l;
    new_folder();
    CHECK_INT(mkdir(in_folder(MAIN), 0700), 0);
    CHECK_STR(load(&store, &l), "lost ");
    CHECK_INT(count_damaged(), 1);
    CHECK_INT(write_state(store, 'a', true), 0);
    CHECK_STR(pods_in(MAIN), "a");
    dm_store_close(store);
}

/* ---- failures: the n-th system call fails, for every n ----------------------------------------------------------- */

static int calls_left; /* before one fails; negative: none does */
static bool fired, killed, no_exchange, no_links, short_writes;

static bool fails(void) {
    if (calls_left-- != 0)
        return false;
    fired = true;
    if (killed)
        _exit(9);
    errno = EIO;
    return true;
}

static int fail_openat(int dir, const char *name, int flags, mode_t mode) {
    return fails() ? -1 : openat(dir, name, flags, mode);
}
static ssize_t fail_write(int fd, const void *data, size_t n) {
    return fails() ? -1 : write(fd, data, short_writes && n > 7 ? 7 : n);
}
static int fail_fsync(int fd) {
    return fails() ? -1 : fsync(fd);
}
static int fail_close(int fd) {
    int r = close(fd);
    return fails() ? -1 : r;
}
static int fail_renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
    if (fails())
        return -1;
    if (flags == RENAME_EXCHANGE && no_exchange) {
        errno = EINVAL;
        return -1;
    }
    return renameat2(a, from, b, to, flags);
}
static int fail_linkat(int a, const char *from, int b, const char *to, int flags) {
    if (fails())
        return -1;
    if (no_links) {
        errno = EPERM;
        return -1;
    }
    return linkat(a, from, b, to, flags);
}
static int fail_unlinkat(int dir, const char *name, int flags) {
    return fails() ? -1 : unlinkat(dir, name, flags);
}
static const struct dm_store_ops failing = {fail_openat,    fail_write,  fail_fsync,   fail_close,
                                            fail_renameat2, fail_linkat, fail_unlinkat};

/* `before` writes, then one that meets the failure. What a start finds then is the old state if the write failed, and
 * the new one if it said success. */
static void fail_each(int before, bool last_durable) {
    for (int n = 0;; n++) {
        struct dm_store *store;
        struct dm_load l;
        new_folder();
        calls_left = -1, fired = false;
        CHECK_INT(dm_store_open_ops(folder, &failing, &store, &err), 0);
        for (int i = 0; i < before; i++)
            CHECK_INT(write_state(store, (char)('a' + i), i + 1 < before || last_durable), 0);
        calls_left = n;
        int r = write_state(store, 'x', true);
        calls_left = -1;
        if (!fired) {
            dm_store_close(store);
            CHECK(n > 4);
            return;
        }
        const char *was = before == 0 ? "" : before == 1 ? "a" : "ab";
        if (r < 0) {
            CHECK_STR(pods_in(MAIN), was);
            CHECK(strstr(err.message, folder) && strstr(err.message, "Input/output error"));
            CHECK(!there(DM_CHECKPOINT_TMP));
        } else {
            CHECK_STR(pods_in(MAIN), "abcdefghijklmnopqrstuvwx");
        }
        CHECK(strcmp(pods_in(DM_CHECKPOINT_PREV), "-"));
        CHECK_INT(write_state(store, 'y', true), 0); /* and it heals */
        CHECK_STR(pods_in(MAIN), "abcdefghijklmnopqrstuvwxy");
        dm_store_close(store);
        load(&store, &l);
        CHECK_INT(l.outcome, DM_LOAD_GOOD);
        CHECK(!there(DM_CHECKPOINT_TMP) && !there(DM_CHECKPOINT_OLD));
        dm_store_close(store);
    }
}

TEST(no_single_failure_loses_the_file) {
    for (int before = 0; before <= 2; before++)
        fail_each(before, true);
}

TEST(no_single_failure_loses_a_file_that_was_not_durable) {
    fail_each(2, false);
}

TEST(no_single_failure_loses_the_file_where_there_is_no_exchange) {
    no_exchange = true;
    for (int before = 0; before <= 2; before++)
        fail_each(before, true);
    fail_each(2, false);
    no_exchange = false;
}

TEST(writes_may_be_short) {
    short_writes = true;
    struct dm_store *store;
    new_folder();
    calls_left = -1;
    CHECK_INT(dm_store_open_ops(folder, &failing, &store, &err), 0);
    CHECK_INT(write_state(store, 'c', true), 0);
    CHECK_STR(pods_in(MAIN), "abc");
    dm_store_close(store);
    short_writes = false;
}

TEST(a_file_system_without_exchange_and_links_still_replaces) {
    struct dm_store *store;
    no_exchange = no_links = true;
    new_folder();
    calls_left = -1;
    CHECK_INT(dm_store_open_ops(folder, &failing, &store, &err), 0);
    for (char c = 'a'; c <= 'c'; c++)
        CHECK_INT(write_state(store, c, true), 0);
    CHECK_STR(pods_in(MAIN), "abc");
    dm_store_close(store);
    no_exchange = no_links = false;
}

TEST(no_exchange_keeps_the_copy_too) {
    struct dm_store *store;
    no_exchange = true;
    new_folder();
    calls_left = -1;
    CHECK_INT(dm_store_open_ops(folder, &failing, &store, &err), 0);
    for (char c = 'a'; c <= 'c'; c++)
        CHECK_INT(write_state(store, c, true), 0);
    CHECK_STR(pods_in(MAIN), "abc");
    CHECK_STR(pods_in(DM_CHECKPOINT_PREV), "ab");
    CHECK(!there(DM_CHECKPOINT_TMP) && !there(DM_CHECKPOINT_OLD));
    dm_store_close(store);
    no_exchange = false;
}

/* ---- kills: the process ends before the n-th system call, for every n ------------------------------------------------- */

/* A child loads, writes state 'x' and is killed before call n. True: it came to the end. */
static bool child_writes(int n) {
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        struct dm_store *store;
        struct dm_load l = {0};
        calls_left = -1;
        if (dm_store_open_ops(folder, &failing, &store, &err) < 0)
            _exit(1);
        killed = true, calls_left = n;
        if (dm_store_load(store, NULL, &l, &err) < 0 || write_state(store, 'x', true) < 0)
            _exit(1);
        dm_snapshot_free(l.snapshot);
        dm_store_close(store);
        _exit(0);
    }
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) != 1);
    return WEXITSTATUS(status) == 0;
}

/* With `damaged` the main file is so at the start: whatever happens then, the state before it is never lost. */
static void kill_each(bool damaged) {
    bool ended = false;
    for (int n = 0; !ended; n++) {
        struct dm_load l;
        new_folder();
        struct dm_store *store = opened();
        CHECK_INT(write_state(store, 'a', true), 0);
        CHECK_INT(write_state(store, 'b', true), 0);
        dm_store_close(store);
        if (damaged)
            put(MAIN, "{");
        ended = child_writes(n);
        const char *found = load(&store, &l);
        if (strcmp(found, "good abcdefghijklmnopqrstuvwx") &&
            (ended || strcmp(found, damaged ? "recovered a" : "good ab")))
            CHECK_FAIL("killed before call %d: %s", n, found);
        CHECK(!there(DM_CHECKPOINT_TMP) && !there(DM_CHECKPOINT_OLD));
        const char *copy = pods_in(DM_CHECKPOINT_PREV);
        if (strcmp(copy, "a") && (damaged || strcmp(copy, "ab")))
            CHECK_FAIL("killed before call %d: the copy holds \"%s\"", n, copy);
        if (damaged)
            CHECK_INT(count_damaged(), 1);
        dm_store_close(store);
    }
}

TEST(CKPT_12_no_kill_loses_the_state) {
    kill_each(false);
    no_exchange = true;
    kill_each(false);
    no_exchange = false;
}

TEST(no_kill_while_recovering_loses_the_state) {
    kill_each(true);
    no_exchange = true;
    kill_each(true);
    no_exchange = false;
}
