/* Rules of src/registration/folder.h: whose folder it is, and what is swept. In a scratch folder. */
#include "base/mem.h"
#include "check.h"
#include "registration/folder.h"
#include "rpc/socket.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[64], dir[96];
static devmgr_error err;

static void fresh_root(void) {
    strcpy(root, "/tmp/devmgr-test.XXXXXX");
    CHECK(mkdtemp(root));
    snprintf(dir, sizeof dir, "%s/device-plugins", root);
}

static void remove_root(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    CHECK_INT(system(command), 0);
}

static const char *in_dir(const char *name) {
    static char path[4][256];
    static int turn;
    char *p = path[turn++ % 4];
    snprintf(p, 256, "%s/%s", dir, name);
    return p;
}

static void put_file(const char *name) {
    int fd = open(in_dir(name), O_CREAT | O_WRONLY, 0644);
    CHECK(fd >= 0);
    close(fd);
}

/* A socket whose listener is gone. */
static void put_dead_socket(const char *name) {
    int fd = dm_socket_listen(in_dir(name), &err);
    CHECK(fd >= 0);
    close(fd);
}

static bool there(const char *name) {
    struct stat st;
    return lstat(in_dir(name), &st) == 0;
}

static struct dm_folder *opened(void) {
    struct dm_folder *f = NULL;
    if (dm_folder_open(root, &f, &err) < 0)
        CHECK_STR(err.message, "");
    return f;
}

static char logged[1024];
static void keep_log(void *arg, int level, const char *text) {
    (void)arg, (void)level;
    snprintf(logged + strlen(logged), sizeof logged - strlen(logged), "%s\n", text);
}

static int listening(struct dm_folder *f) {
    logged[0] = 0;
    int fd = dm_folder_listen(f, keep_log, NULL, &err);
    if (fd < 0)
        CHECK_STR(err.message, "");
    return fd;
}

TEST(LIFE_01_a_relative_root_is_refused) {
    struct dm_folder *f;
    CHECK_INT(dm_folder_open("var/lib/kubelet", &f, &err), DEVMGR_EINVALID);
    CHECK_STR(err.message, "failed to create plugin server: bad socketPath, must be an absolute path: "
                           "var/lib/kubelet/device-plugins/kubelet.sock");
}

TEST(a_root_too_long_for_a_socket_is_refused_by_name) {
    struct dm_folder *f;
    char longer[200] = "/tmp/";
    memset(longer + 5, 'x', 100);
    CHECK_INT(dm_folder_open(longer, &f, &err), -ENAMETOOLONG);
    CHECK(strstr(err.message, "may have 107 bytes, this one has 133; choose a shorter --root"));
    CHECK(access(longer, F_OK) < 0);
}

TEST(LIFE_02_the_folder_is_made_0755) {
    struct stat st;
    fresh_root();
    strcat(root, "/a/b/"); /* missing parents, a slash too much */
    snprintf(dir, sizeof dir, "%sdevice-plugins", root);
    struct dm_folder *f = opened();
    CHECK_INT(stat(dir, &st), 0);
    CHECK_INT(st.st_mode & 0777 & ~0022, 0755);
    CHECK(!strstr(dm_folder_path(f), "//"));
    dm_folder_free(f);
    root[strlen(root) - 5] = 0;
    remove_root();
}

TEST(LIFE_03_04_05_sockets_are_swept_all_else_stays) {
    fresh_root();
    CHECK_INT(mkdir(dir, 0755), 0);
    CHECK_INT(mkdir(in_dir("sub"), 0755), 0);
    put_dead_socket("kubelet.sock");
    put_dead_socket("gpu.sock");
    put_dead_socket("sub/inner.sock");
    put_dead_socket("kubelet_internal_checkpoint"); /* not even then */
    put_file("plain");
    put_file(".1234567");
    CHECK_INT(symlink(in_dir("sub/inner.sock"), in_dir("link")), 0);
    CHECK_INT(symlink("nowhere", in_dir("dangling")), 0);
    struct dm_folder *f = opened();
    CHECK(there("gpu.sock")); /* nothing yet */
    int fd = listening(f);
    CHECK(!there("gpu.sock"));
    CHECK(!there("link"));
    CHECK(there("sub/inner.sock"));
    CHECK(there("kubelet_internal_checkpoint"));
    CHECK(there("plain"));
    CHECK(there(".1234567"));
    CHECK(there("dangling"));
    CHECK(strstr(logged, "dangling: left alone: No such file or directory"));
    CHECK(there("kubelet.sock"));
    CHECK_INT(dm_folder_intact(f, &err), 1);
    close(fd);
    dm_folder_free(f);
    remove_root();
}

TEST(LIFE_07_a_plain_file_named_kubelet_sock_is_in_the_way) {
    fresh_root();
    CHECK_INT(mkdir(dir, 0755), 0);
    put_file("kubelet.sock");
    struct dm_folder *f = opened();
    CHECK_INT(dm_folder_listen(f, keep_log, NULL, &err), -EADDRINUSE);
    CHECK(strstr(err.message, "/kubelet.sock: bind: address already in use: what is there is not a socket"));
    CHECK(there("kubelet.sock"));
    dm_folder_unlink(f); /* not ours */
    CHECK(there("kubelet.sock"));
    dm_folder_free(f);
    remove_root();
}

TEST(LIFE_08_the_socket_has_the_umasks_mode) {
    struct stat st;
    fresh_root();
    mode_t before = umask(0027);
    struct dm_folder *f = opened();
    int fd = listening(f);
    umask(before);
    CHECK_INT(lstat(in_dir("kubelet.sock"), &st), 0);
    CHECK_INT(st.st_mode & 0777, 0750);
    close(fd);
    dm_folder_free(f);
    remove_root();
}

/* As plugins do: waits for the name, connects at once. Exit 0: somebody listened. */
static int plugin_that_waits(int inotify) {
    char buffer[4096];
    for (;;) {
        ssize_t n = read(inotify, buffer, sizeof buffer);
        for (char *p = buffer; n > 0 && p < buffer + n;) {
            struct inotify_event *e = (struct inotify_event *)p;
            if (e->len && !strcmp(e->name, "kubelet.sock"))
                return dm_socket_connect(in_dir("kubelet.sock"), &err) < 0;
            p += sizeof *e + e->len;
        }
        if (n <= 0)
            return 2;
    }
}

TEST(whoever_sees_the_name_finds_somebody_listening) {
    for (int i = 0; i < 20; i++) {
        int status, inotify = inotify_init1(IN_CLOEXEC);
        fresh_root();
        struct dm_folder *f = opened();
        CHECK(inotify_add_watch(inotify, dir, IN_CREATE) >= 0); /* not IN_MOVED_TO: some know only that */
        fflush(stdout);
        pid_t child = fork();
        if (child == 0)
            _exit(plugin_that_waits(inotify));
        int fd = listening(f);
        CHECK(waitpid(child, &status, 0) == child);
        CHECK_INT(status, 0);
        CHECK(!there(".kubelet.sock"));
        close(fd), close(inotify);
        dm_folder_free(f);
        remove_root();
    }
}

TEST(what_is_not_ours_under_the_hidden_name_stays) {
    fresh_root();
    CHECK_INT(mkdir(dir, 0755), 0);
    put_file(".kubelet.sock");
    struct dm_folder *f = opened();
    int fd = listening(f); /* the direct way */
    CHECK(there("kubelet.sock"));
    CHECK(there(".kubelet.sock"));
    close(fd);
    dm_folder_free(f);
    remove_root();
}

TEST(LIFE_11_only_our_own_socket_is_removed) {
    fresh_root();
    struct dm_folder *f = opened();
    int fd = listening(f);
    CHECK_INT(unlink(in_dir("kubelet.sock")), 0);
    put_dead_socket("kubelet.sock"); /* somebody else's now */
    CHECK_INT(dm_folder_intact(f, &err), 0);
    dm_folder_unlink(f);
    CHECK(there("kubelet.sock"));
    close(fd);
    dm_folder_free(f);

    f = opened();
    fd = listening(f);
    dm_folder_unlink(f);
    CHECK(!there("kubelet.sock"));
    close(fd);
    dm_folder_free(f);
    remove_root();
}

static const char *my_name(void) {
    static char text[256];
    char name[64];
    dm_socket_process_name(getpid(), name, sizeof name);
    snprintf(text, sizeof text, "kubelet.sock: in use by %s (pid %d); stop it or choose another --root", name,
             (int)getpid());
    return text;
}

TEST(who_answers_on_kubelet_sock_is_named_and_nothing_is_touched) {
    struct dm_folder *f;
    fresh_root();
    CHECK_INT(mkdir(dir, 0755), 0);
    put_dead_socket("gpu.sock");
    int fd = dm_socket_listen(in_dir("kubelet.sock"), &err);
    CHECK(fd >= 0);
    CHECK_INT(dm_folder_open(root, &f, &err), DEVMGR_EBUSY);
    CHECK_STR(err.message, my_name());
    CHECK(there("gpu.sock"));
    close(fd);
    dm_folder_free(opened()); /* a dead socket is nobody, and the lock was given up */
    remove_root();
}

TEST(a_full_backlog_is_somebody) {
    struct dm_folder *f;
    fresh_root();
    CHECK_INT(mkdir(dir, 0755), 0);
    int fd = dm_socket_listen(in_dir("kubelet.sock"), &err), clients[2];
    CHECK(fd >= 0);
    CHECK_INT(listen(fd, 0), 0);
    clients[0] = dm_socket_connect(in_dir("kubelet.sock"), &err);
    clients[1] = dm_socket_connect(in_dir("kubelet.sock"), &err);
    CHECK_INT(clients[1], -EAGAIN);
    CHECK_INT(dm_folder_open(root, &f, &err), DEVMGR_EBUSY);
    CHECK(strstr(err.message, "its backlog is full"));
    close(clients[0]);
    close(fd);
    remove_root();
}

TEST(one_manager_per_folder_and_the_other_is_named) {
    struct dm_folder *second;
    fresh_root();
    struct dm_folder *f = opened(); /* no socket yet: the lock alone says no */
    CHECK_INT(dm_folder_open(root, &second, &err), DEVMGR_EBUSY);
    CHECK_STR(err.message, my_name());
    dm_folder_free(f);
    dm_folder_free(opened());
    remove_root();
}

TEST(a_removed_socket_is_made_again) {
    fresh_root();
    struct dm_folder *f = opened();
    int fd = listening(f);
    put_dead_socket("gpu.sock");
    CHECK_INT(unlink(in_dir("kubelet.sock")), 0);
    CHECK_INT(dm_folder_intact(f, &err), 0);
    int again = dm_folder_listen_again(f, keep_log, NULL, &err);
    CHECK(again >= 0);
    CHECK_INT(dm_folder_intact(f, &err), 1);
    CHECK(there("gpu.sock")); /* no second sweep */
    close(fd), close(again);
    dm_folder_free(f);
    remove_root();
}

TEST(a_removed_or_replaced_folder_is_taken_again) {
    for (int replaced = 0; replaced < 2; replaced++) {
        struct dm_folder *second;
        fresh_root();
        struct dm_folder *f = opened();
        int fd = listening(f);
        CHECK_INT(rename(dir, in_dir("../moved")), 0);
        if (replaced) {
            CHECK_INT(mkdir(dir, 0755), 0);
            put_dead_socket("kubelet.sock");
        }
        CHECK_INT(dm_folder_intact(f, &err), 0);
        int again = dm_folder_listen_again(f, keep_log, NULL, &err);
        CHECK(again >= 0);
        CHECK_INT(dm_folder_intact(f, &err), 1);
        CHECK_INT(dm_folder_open(root, &second, &err), DEVMGR_EBUSY); /* and it is locked */
        close(fd), close(again);
        dm_folder_free(f);
        remove_root();
    }
}

TEST(what_cannot_be_looked_at_is_not_taken_for_lost) {
    fresh_root();
    struct dm_folder *f = opened();
    int fd = listening(f);
    char moved[96];
    snprintf(moved, sizeof moved, "%s/moved", root);
    CHECK_INT(rename(dir, moved), 0);
    CHECK_INT(symlink(dir, dir), 0); /* stat fails, and not for want of a file */
    CHECK_INT(dm_folder_intact(f, &err), -ELOOP);
    CHECK(strstr(err.message, dir) && strstr(err.message, "cannot be looked at"));
    CHECK_INT(unlink(dir), 0);
    CHECK_INT(rename(moved, dir), 0);
    CHECK_INT(dm_folder_intact(f, &err), 1);
    close(fd);
    dm_folder_free(f);
    remove_root();
}

TEST(another_process_in_our_place_is_named) {
    fresh_root();
    struct dm_folder *f = opened();
    int fd = listening(f);
    CHECK_INT(unlink(in_dir("kubelet.sock")), 0);
    int other = dm_socket_listen(in_dir("kubelet.sock"), &err);
    CHECK(other >= 0);
    CHECK_INT(dm_folder_intact(f, &err), 0);
    CHECK_INT(dm_folder_listen_again(f, keep_log, NULL, &err), DEVMGR_EBUSY);
    CHECK_STR(err.message, my_name());
    close(fd), close(other);
    dm_folder_free(f);
    remove_root();
}

TEST(a_new_folder_that_another_manager_locked_is_theirs) {
    fresh_root();
    struct dm_folder *f = opened();
    int fd = listening(f);
    CHECK_INT(rename(dir, in_dir("../moved")), 0);
    struct dm_folder *second = opened();
    CHECK_INT(dm_folder_listen_again(f, keep_log, NULL, &err), DEVMGR_EBUSY);
    close(fd);
    dm_folder_free(second);
    dm_folder_free(f);
    remove_root();
}

TEST(LIFE_06_a_socket_that_cannot_be_removed_fails_the_start) {
    fresh_root();
    CHECK_INT(mkdir(dir, 0755), 0);
    put_dead_socket("gpu.sock");
    put_dead_socket("nic.sock");
    CHECK_INT(chmod(root, 0755), 0);
    CHECK_INT(chmod(dir, 0555), 0); /* no bar to root: it must be somebody else */
    fflush(stdout);                 /* or the child prints it too */
    pid_t child = fork();
    if (child == 0) {
        struct dm_folder *f = NULL;
        if ((geteuid() == 0 && setuid(65534) < 0) || chdir("/") < 0 || dm_folder_open(root, &f, &err) < 0)
            _exit(1);
        _exit(dm_folder_listen(f, keep_log, NULL, &err) == -EPERM &&
                      strstr(err.message, "gpu.sock: Permission denied") &&
                      strstr(err.message, "nic.sock: Permission denied")
                  ? 0
                  : 2);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    chmod(dir, 0755);
    remove_root();
    CHECK_INT(status, 0);
}
