/* socket.c -- see socket.h. */
#include "rpc/socket.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 4096 }; /* the kernel cuts it to net.core.somaxconn */

static int address_of(const char *path, struct sockaddr_un *ret, devmgr_error *reterr) {
    size_t len = strlen(path);
    if (len == 0)
        return dm_error_set(reterr, -EINVAL, "the path of a socket is empty");
    if (len > DM_SOCKET_PATH_MAX)
        return dm_error_set(reterr, -ENAMETOOLONG,
                            "%s: the path of a socket may have %d bytes, this one has %zu; use a shorter one",
                            path, DM_SOCKET_PATH_MAX, len);
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(ret->sun_path, path, len);
    return 0;
}

static int new_socket(const char *path, devmgr_error *reterr) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd < 0 ? dm_error_errno(reterr, "%s: socket", path) : fd;
}

int dm_socket_listen(const char *path, devmgr_error *reterr) {
    struct sockaddr_un at;
    int r = address_of(path, &at, reterr);
    if (r < 0)
        return r;
    int fd = new_socket(path, reterr);
    if (fd < 0)
        return fd;
    if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0) {
        r = dm_error_errno(reterr, "%s: bind", path);
    } else if (listen(fd, BACKLOG) < 0) {
        r = dm_error_errno(reterr, "%s: listen", path);
        unlink(path); /* bind has just made it */
    } else {
        return fd;
    }
    close(fd);
    return r;
}

int dm_socket_connect(const char *path, devmgr_error *reterr) {
    struct sockaddr_un to;
    int r = address_of(path, &to, reterr);
    if (r < 0)
        return r;
    int fd = new_socket(path, reterr);
    if (fd < 0)
        return fd;
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    r = dm_error_errno(reterr, "%s: connect", path);
    close(fd);
    return r;
}

int dm_socket_peer(int fd, struct dm_peer *ret) {
    struct ucred cred;
    socklen_t size = sizeof cred;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
        return -errno;
    *ret = (struct dm_peer){cred.pid, cred.uid, cred.gid};
    return 0;
}

void dm_socket_process_name(pid_t pid, char *out, size_t size) {
    char path[64], name[64];
    snprintf(out, size, "?");
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    int fd = pid > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    ssize_t n = read(fd, name, sizeof name - 1);
    close(fd);
    if (n <= 0)
        return;
    name[n] = 0;
    name[strcspn(name, "\n")] = 0;
    for (char *p = name; *p; p++) /* any process may choose its name */
        if (*p < ' ' || *p > '~')
            *p = '?';
    snprintf(out, size, "%s", name);
}
