/* listen.c -- see listen.h.
 *
 * (1) A living server's socket is never touched: we connect first and say who answers.
 * (2) The file appears under its name when mode and group are right (bound under a hidden name, then renamed), and who
 *     connected to the hidden name before that is hung up on. */
#include "control/listen.h"
#include "base/mem.h"
#include "base/text.h"
#include "rpc/socket.h"
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int in_use(const char *path, int fd, devmgr_error *reterr) {
    struct dm_peer peer = {0};
    char name[64];
    dm_socket_peer(fd, &peer);
    dm_socket_process_name(peer.pid, name, sizeof name);
    return dm_error_set(reterr, DEVMGR_EBUSY, "%s: in use by %s (pid %d); stop it or choose another --socket",
                        path, name, (int)peer.pid);
}

/* 0: the name is free, or a socket that nobody serves. */
static int probe(const char *path, devmgr_error *reterr) {
    struct stat st;
    devmgr_error why;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : dm_error_errno(reterr, "%s: looking whether it is in use", path);
    if (!S_ISSOCK(st.st_mode))
        return dm_error_set(reterr, -EEXIST, "%s: not a socket; remove it or choose another --socket", path);
    int fd = dm_socket_connect(path, &why);
    if (fd >= 0) {
        int r = in_use(path, fd, reterr);
        close(fd);
        return r;
    }
    if (fd == -EAGAIN)
        return dm_error_set(reterr, DEVMGR_EBUSY,
                            "%s: in use by a busy process; stop it or choose another --socket", path);
    if (fd == -ECONNREFUSED || fd == -ENOENT)
        return 0;
    return dm_error_set(reterr, fd, "%s", why.message);
}

static int make_folder(const char *path, devmgr_error *reterr) {
    DM_FREE char *copy = dm_strdup(path);
    const char *folder = dirname(copy);
    if (mkdir(folder, 0755) < 0 && errno != EEXIST)
        return dm_error_errno(reterr, "%s: making the socket's folder", folder);
    return 0;
}

static int find_group(const char *name, gid_t *ret, devmgr_error *reterr) {
    char buf[65536];
    struct group group, *found = NULL;
    uint64_t number;
    int r = getgrnam_r(name, &group, buf, sizeof buf, &found);
    if (found)
        return *ret = found->gr_gid, 0;
    if (dm_text_u64(name, &number) == 0 && number < UINT32_MAX)
        return *ret = (gid_t)number, 0;
    if (r)
        return dm_error_set(reterr, -r, "socket-group: \"%s\": %s", name, strerror(r));
    return dm_error_set(reterr, DEVMGR_EINVALID, "socket-group: \"%s\": no such group on this system", name);
}

static int protect(const char *path, const char *group, devmgr_error *reterr) {
    bool shared = group && *group;
    gid_t gid;
    int r = shared ? find_group(group, &gid, reterr) : 0;
    if (r < 0)
        return r;
    if (shared && lchown(path, (uid_t)-1, gid) < 0)
        return dm_error_errno(reterr, "%s: giving it to the group %s", path, group);
    if (chmod(path, shared ? 0660 : 0600) < 0)
        return dm_error_errno(reterr, "%s: setting its mode", path);
    return 0;
}

/* Between bind and chmod the mode was umask's word. */
static void hang_up_early_ones(int fd) {
    int early;
    while ((early = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) >= 0 || errno == ECONNABORTED || errno == EINTR)
        if (early >= 0)
            close(early);
}

/* In the same folder, and hardly longer than a usual name, so that a path that fits a socket still does. */
static char *hidden_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return dm_printf("%.*s.dm%x", slash ? (int)(slash - path + 1) : 0, path, (unsigned)getpid());
}

static int show(int fd, const char *hidden, const char *path, const char *group, struct dm_socket_file *ret,
                devmgr_error *reterr) {
    struct stat st;
    int r = protect(hidden, group, reterr);
    if (r < 0)
        return r;
    hang_up_early_ones(fd);
    if (lstat(hidden, &st) < 0 || rename(hidden, path) < 0)
        return dm_error_errno(reterr, "%s: renaming the socket into place", path);
    *ret = (struct dm_socket_file){dm_strdup(path), st.st_dev, st.st_ino};
    return 0;
}

int dm_socket_file_open(const char *path, const char *group, struct dm_socket_file *ret,
                        devmgr_error *reterr) {
    if (strlen(path) > DM_SOCKET_PATH_MAX)
        return dm_error_set(
            reterr, -ENAMETOOLONG,
            "%s: the path of a socket may have %d bytes, this one has %zu; choose another --socket", path,
            DM_SOCKET_PATH_MAX, strlen(path));
    int r = make_folder(path, reterr);
    if (r == 0)
        r = probe(path, reterr);
    if (r < 0)
        return r;
    DM_FREE char *hidden = hidden_name(path);
    unlink(hidden); /* of a process of our number that was killed right here */
    int fd = dm_socket_listen(hidden, reterr);
    if (fd < 0)
        return fd;
    r = show(fd, hidden, path, group, ret, reterr);
    if (r < 0) {
        unlink(hidden);
        close(fd);
        return r;
    }
    return fd;
}

void dm_socket_file_remove(struct dm_socket_file *file) {
    struct stat st;
    if (file->path && lstat(file->path, &st) == 0 && st.st_dev == file->dev && st.st_ino == file->ino)
        unlink(file->path);
    free(file->path);
    *file = (struct dm_socket_file){0};
}
