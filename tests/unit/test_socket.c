/* test_socket.c -- listening, connecting, and who is at the other end. */
#include "check.h"
#include "rpc/socket.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct scratch {
    char dir[64], path[128];
};

static void scratch_open(struct scratch *s) {
    snprintf(s->dir, sizeof s->dir, "/tmp/devmgr-test.XXXXXX");
    CHECK(mkdtemp(s->dir));
    snprintf(s->path, sizeof s->path, "%s/a.sock", s->dir);
}

static void scratch_close(struct scratch *s) {
    unlink(s->path);
    CHECK_INT(rmdir(s->dir), 0);
}

TEST(a_listener_can_be_connected_to) {
    struct scratch s;
    devmgr_error err = {0};
    scratch_open(&s);
    int l = dm_socket_listen(s.path, &err), c = dm_socket_connect(s.path, &err);
    CHECK(l >= 0);
    CHECK(c >= 0);
    CHECK_INT(fcntl(c, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    CHECK_INT(fcntl(c, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    CHECK_INT(fcntl(l, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    CHECK_INT(fcntl(l, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    close(c), close(l);
    scratch_close(&s);
}

TEST(an_existing_file_is_left_alone) {
    struct scratch s;
    struct stat before, after;
    devmgr_error err = {0};
    char want[256];
    scratch_open(&s);
    int fd = open(s.path, O_CREAT | O_WRONLY, 0644);
    CHECK_INT(fstat(fd, &before), 0);
    CHECK_INT(dm_socket_listen(s.path, &err), -EADDRINUSE);
    snprintf(want, sizeof want, "%s: bind: Address already in use", s.path);
    CHECK_STR(err.message, want);
    CHECK_INT(stat(s.path, &after), 0);
    CHECK_INT(after.st_ino, before.st_ino);
    close(fd);
    scratch_close(&s);
}

TEST(nobody_there) {
    struct scratch s;
    devmgr_error err = {0};
    scratch_open(&s);
    CHECK_INT(dm_socket_connect(s.path, &err), -ENOENT);
    close(dm_socket_listen(s.path, &err));
    CHECK_INT(dm_socket_connect(s.path, &err), -ECONNREFUSED);
    CHECK_INT(err.code, -ECONNREFUSED);
    scratch_close(&s);
}

TEST(a_full_backlog_says_EAGAIN_and_does_not_block) {
    struct scratch s;
    devmgr_error err = {0};
    int fds[8], n = 0, fd;
    scratch_open(&s);
    int l = dm_socket_listen(s.path, &err);
    CHECK_INT(listen(l, 2), 0); /* a small one, to fill it */
    while ((fd = dm_socket_connect(s.path, &err)) >= 0 && n < 8)
        fds[n++] = fd;
    CHECK_INT(fd, -EAGAIN);
    while (n > 0)
        close(fds[--n]);
    close(l);
    scratch_close(&s);
}

TEST(PATH_107_bytes_and_no_more) {
    char path[DM_SOCKET_PATH_MAX + 2], want[300];
    devmgr_error err = {0};
    memset(path, 'x', sizeof path);
    path[DM_SOCKET_PATH_MAX] = 0;
    CHECK_INT(dm_socket_connect(path, &err), -ENOENT); /* taken as it is */
    path[DM_SOCKET_PATH_MAX] = 'x', path[DM_SOCKET_PATH_MAX + 1] = 0;
    snprintf(want, sizeof want,
             "%s: the path of a socket may have 107 bytes, this one has 108; use a shorter one", path);
    CHECK_INT(dm_socket_connect(path, &err), -ENAMETOOLONG);
    CHECK_STR(err.message, want);
    CHECK_INT(dm_socket_listen(path, &err), -ENAMETOOLONG);
    CHECK_INT(dm_socket_listen("", &err), -EINVAL);
}

TEST(both_ends_know_each_other) {
    struct scratch s;
    struct dm_peer server = {0}, client = {0};
    devmgr_error err = {0};
    scratch_open(&s);
    int l = dm_socket_listen(s.path, &err);
    pid_t child = fork();
    if (child == 0) {
        int c = dm_socket_connect(s.path, &err);
        _exit(c < 0 || dm_socket_peer(c, &server) < 0 || server.pid != getppid());
    }
    int a = -1, status = 0;
    while ((a = accept(l, NULL, NULL)) < 0)
        ;
    CHECK_INT(dm_socket_peer(a, &client), 0);
    CHECK_INT(client.pid, child);
    CHECK_INT(client.uid, getuid());
    CHECK_INT(client.gid, getgid());
    close(a), close(l);
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK_INT(WEXITSTATUS(status), 0);
    scratch_close(&s);
}

TEST(what_is_no_socket_has_no_peer) {
    struct dm_peer peer;
    CHECK_INT(dm_socket_peer(-1, &peer), -EBADF);
    CHECK_INT(dm_socket_peer(STDERR_FILENO, &peer) < 0, 1);
}

TEST(a_process_has_a_name) {
    char name[64], tiny[4];
    dm_socket_process_name(getpid(), name, sizeof name);
    CHECK_STR(name, "test_socket");
    dm_socket_process_name(getpid(), tiny, sizeof tiny);
    CHECK_STR(tiny, "tes");
    dm_socket_process_name(0, name, sizeof name);
    CHECK_STR(name, "?");
    dm_socket_process_name(0x7ffffffe, name, sizeof name);
    CHECK_STR(name, "?");
}
