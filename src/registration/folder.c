/* folder.c -- see folder.h.
 *
 * (1) `dir` is an open fd of the folder, and holds the lock.
 * (2) While our listening fd is open the kernel keeps the socket's inode, so nobody else can get its number: equal
 *     device and inode mean that the file is ours. */
#include "registration/folder.h"
#include "base/buf.h"
#include "base/mem.h"
#include "rpc/socket.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <syslog.h>
#include <unistd.h>

#define SOCKET        "kubelet.sock"
#define HIDDEN        ".kubelet.sock"
#define CHECKPOINT    "kubelet_internal_checkpoint"
#define SELINUX_LABEL "system_u:object_r:container_file_t:s0"

struct file_id {
    dev_t dev;
    ino_t ino;
};

struct dm_folder {
    char *path, *socket_path;
    int dir;               /* -1 until it is open */
    struct file_id socket; /* ino 0: none of ours */
};

static struct file_id id_of(const struct stat *st) {
    return (struct file_id){st->st_dev, st->st_ino};
}

static bool same(struct file_id a, struct file_id b) {
    return a.ino && a.dev == b.dev && a.ino == b.ino;
}

const char *dm_folder_path(const struct dm_folder *f) {
    return f->path;
}

const char *dm_folder_socket(const struct dm_folder *f) {
    return f->socket_path;
}

/* ---- whose is it? ---------------------------------------------------------------------------------------------- */

/* DEVMGR_EBUSY, in the words that registration.h promises; pid 0: unknown. */
static int in_use(pid_t pid, const char *unknown, devmgr_error *reterr) {
    char name[64];
    if (pid <= 0)
        return dm_error_set(reterr, DEVMGR_EBUSY, SOCKET ": in use by %s; stop it or choose another --root",
                            unknown);
    dm_socket_process_name(pid, name, sizeof name);
    return dm_error_set(reterr, DEVMGR_EBUSY,
                        SOCKET ": in use by %s (pid %d); stop it or choose another --root", name, (int)pid);
}

/* Who holds a flock on `dir`; 0: not to be seen (another pid namespace, no /proc). */
static pid_t lock_holder(int dir) {
    char line[256];
    struct stat st;
    pid_t holder = 0;
    FILE *locks = fopen("/proc/locks", "re");
    if (!locks)
        return 0;
    if (fstat(dir, &st) == 0) {
        while (!holder && fgets(line, sizeof line, locks)) {
            int pid;
            unsigned major_, minor_;
            unsigned long long ino;
            if (sscanf(line, "%*d: FLOCK %*s %*s %d %x:%x:%llu", &pid, &major_, &minor_, &ino) == 4 &&
                ino == st.st_ino && makedev(major_, minor_) == st.st_dev)
                holder = pid;
        }
    }
    fclose(locks);
    return holder;
}

static int lock(const struct dm_folder *f, int dir, devmgr_error *reterr) {
    if (flock(dir, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno != EWOULDBLOCK)
        return dm_error_errno(reterr, "%s: flock", f->path);
    return in_use(lock_holder(dir), "another device manager, which holds a lock on its folder", reterr);
}

/* 0: nobody answers on kubelet.sock. */
static int probe(const struct dm_folder *f, devmgr_error *reterr) {
    devmgr_error why = {0};
    struct dm_peer peer = {0};
    int fd = dm_socket_connect(f->socket_path, &why);
    if (fd >= 0) {
        dm_socket_peer(fd, &peer);
        close(fd);
        return in_use(peer.pid, "another process", reterr);
    }
    switch (fd) {
    case -ENOENT:
    case -ECONNREFUSED: /* nobody listens, or not a socket: binding will tell */
        return 0;
    case -EAGAIN:
        return in_use(0, "a process that does not accept connections (its backlog is full)", reterr);
    case -EPROTOTYPE:
        return in_use(0, "a process with a datagram socket", reterr);
    default:
        return dm_error_set(reterr, fd, "%s", why.message);
    }
}

/* ---- the folder ------------------------------------------------------------------------------------------------ */

/* mkdir -p, each 0755 & ~umask (LIFE-02). */
static int make(const char *path, devmgr_error *reterr) {
    DM_FREE char *part = dm_strdup(path);
    for (char *p = part + 1;; p++) {
        if (*p && *p != '/')
            continue;
        char was = *p;
        *p = 0;
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return dm_error_errno(reterr, "%s: mkdir", part);
        if (!was)
            return 0;
        *p = was;
    }
}

static int open_dir(const struct dm_folder *f, devmgr_error *reterr) {
    int made = make(f->path, reterr);
    if (made < 0)
        return made;
    int dir = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir < 0 ? dm_error_errno(reterr, "%s: open", f->path) : dir;
}

/* Opens and locks what is at the path now, in place of what `dir` was. */
static int enter(struct dm_folder *f, devmgr_error *reterr) {
    int dir = open_dir(f, reterr);
    if (dir < 0)
        return dir;
    int locked = lock(f, dir, reterr);
    if (locked < 0) {
        close(dir);
        return locked;
    }
    if (f->dir >= 0)
        close(f->dir);
    f->dir = dir;
    return 0;
}

static int check_path(const struct dm_folder *f, const char *root, devmgr_error *reterr) {
    if (*root != '/') /* LIFE-01, the kubelet's words */
        return dm_error_set(reterr, DEVMGR_EINVALID,
                            "failed to create plugin server: bad socketPath, must be an absolute path: %s",
                            f->socket_path);
    if (strlen(f->socket_path) > DM_SOCKET_PATH_MAX)
        return dm_error_set(
            reterr, -ENAMETOOLONG,
            "%s: the path of a socket may have %d bytes, this one has %zu; choose a shorter --root",
            f->socket_path, DM_SOCKET_PATH_MAX, strlen(f->socket_path));
    return 0;
}

int dm_folder_open(const char *root, struct dm_folder **ret, devmgr_error *reterr) {
    size_t len = strlen(root);
    while (len > 1 && root[len - 1] == '/')
        len--;
    struct dm_folder *f = DM_NEW(struct dm_folder);
    f->dir = -1;
    f->path = dm_printf("%.*s/device-plugins", (int)(len == 1 && *root == '/' ? 0 : len), root);
    f->socket_path = dm_printf("%s/" SOCKET, f->path);
    int bad = check_path(f, root, reterr);
    if (bad == 0)
        bad = enter(f, reterr);
    if (bad == 0)
        bad = probe(f, reterr);
    if (bad == 0)
        *ret = f;
    else
        dm_folder_free(f);
    return bad;
}

void dm_folder_free(struct dm_folder *f) {
    if (!f)
        return;
    if (f->dir >= 0)
        close(f->dir);
    free(f->path), free(f->socket_path), free(f);
}

/* ---- the socket ------------------------------------------------------------------------------------------------ */

static void remove_socket(const struct dm_folder *f, const char *name) {
    struct stat st;
    if (fstatat(f->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(st.st_mode))
        unlinkat(f->dir, name, 0);
}

/* The socket gets its name when it already listens. Bound there directly, it could be seen between bind and listen:
 * plugins wait for the name, call Register once, and some exit when they are refused. A hard link is announced as a new
 * file, as bind is, and never replaces one. */
static int listen_then_name(struct dm_folder *f) {
    DM_FREE char *hidden = dm_printf("%s/" HIDDEN, f->path);
    remove_socket(f, HIDDEN); /* left over from a process that ended in here */
    int fd = dm_socket_listen(hidden, NULL);
    if (fd < 0)
        return fd;
    int bad = linkat(f->dir, HIDDEN, f->dir, SOCKET, 0) < 0 ? -errno : 0;
    unlinkat(f->dir, HIDDEN, 0);
    if (bad == 0)
        return fd;
    close(fd);
    return bad;
}

static int bind_and_listen(struct dm_folder *f, devmgr_error *reterr) {
    struct stat st;
    f->socket = (struct file_id){0};
    int fd = listen_then_name(f);
    if (fd < 0 && fd != -EEXIST) /* no links here, or one byte too long for the hidden name */
        fd = dm_socket_listen(f->socket_path, reterr);
    if (fd == -EADDRINUSE || fd == -EEXIST) /* LIFE-07 */
        return dm_error_set(reterr, -EADDRINUSE,
                            "%s: bind: address already in use: what is there is not a socket; move it away",
                            f->socket_path);
    if (fd < 0)
        return fd;
    /* Not known as ours it would look like another's. */
    if (fstatat(f->dir, SOCKET, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        int bad = dm_error_errno(reterr, "%s", f->socket_path);
        unlinkat(f->dir, SOCKET, 0);
        close(fd);
        return bad;
    }
    f->socket = id_of(&st);
    return fd;
}

/* Containers must be able to reach the folder where SELinux rules (LIFE-09). */
static void set_label(const struct dm_folder *f, dm_folder_log log, void *arg) {
    if (access("/sys/fs/selinux/enforce", F_OK) < 0 ||
        fsetxattr(f->dir, "security.selinux", SELINUX_LABEL, sizeof SELINUX_LABEL, 0) == 0)
        return;
    DM_FREE char *text =
        dm_printf("%s: cannot set the SELinux label " SELINUX_LABEL ": %s", f->path, strerror(errno));
    log(arg, LOG_WARNING, text);
}

/* One entry of the folder: sockets go, also links to sockets; all else stays (LIFE-03 to LIFE-06). */
static void sweep_entry(const struct dm_folder *f, const char *name, dm_folder_log log, void *arg,
                        struct dm_buf *failures) {
    struct stat st;
    if (!strcmp(name, CHECKPOINT))
        return;
    if (fstatat(f->dir, name, &st, 0) < 0) {
        DM_FREE char *text = dm_printf("%s/%s: left alone: %s", f->path, name, strerror(errno));
        log(arg, LOG_NOTICE, text);
    } else if (S_ISSOCK(st.st_mode) && unlinkat(f->dir, name, 0) < 0 && errno != ENOENT) {
        dm_buf_printf(failures, "%s%s: %s", failures->len ? "; " : "", name, strerror(errno));
    }
}

static int sweep(const struct dm_folder *f, dm_folder_log log, void *arg, devmgr_error *reterr) {
    DM_CLEANUP(dm_buf_free) struct dm_buf failures = {0};
    const struct dirent *entry;
    int again = openat(f->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = again < 0 ? NULL : fdopendir(again);
    if (!entries) {
        int code = dm_error_errno(reterr, "%s: cannot be read", f->path);
        if (again >= 0)
            close(again);
        return code;
    }
    while ((entry = readdir(entries)))
        sweep_entry(f, entry->d_name, log, arg, &failures);
    closedir(entries);
    if (failures.len)
        return dm_error_set(reterr, -EPERM, "%s: sockets left over cannot be removed: %s", f->path,
                            failures.data);
    return 0;
}

int dm_folder_listen(struct dm_folder *f, dm_folder_log log, void *arg, devmgr_error *reterr) {
    set_label(f, log, arg);
    int swept = sweep(f, log, arg, reterr);
    return swept < 0 ? swept : bind_and_listen(f, reterr);
}

/* Looked at with `seen`, the result of a stat: 1, 0 when nothing is there; else why it cannot be told. */
static int is_there(int seen, const char *path, devmgr_error *reterr) {
    if (seen == 0)
        return 1;
    return errno == ENOENT || errno == ENOTDIR ? 0 : dm_error_errno(reterr, "%s: cannot be looked at", path);
}

static int folder_intact(const struct dm_folder *f, devmgr_error *reterr) {
    struct stat path, dir;
    int there = is_there(fstat(f->dir, &dir), f->path, reterr);
    if (there == 1)
        there = is_there(stat(f->path, &path), f->path, reterr);
    return there == 1 ? same(id_of(&path), id_of(&dir)) : there;
}

int dm_folder_intact(const struct dm_folder *f, devmgr_error *reterr) {
    struct stat st;
    int intact = folder_intact(f, reterr);
    if (intact == 1)
        intact = is_there(fstatat(f->dir, SOCKET, &st, AT_SYMLINK_NOFOLLOW), f->socket_path, reterr);
    return intact == 1 ? same(f->socket, id_of(&st)) : intact;
}

int dm_folder_listen_again(struct dm_folder *f, dm_folder_log log, void *arg, devmgr_error *reterr) {
    int intact = folder_intact(f, reterr), bad = intact < 0 ? intact : 0;
    if (intact == 0)
        bad = enter(f, reterr);
    if (bad == 0)
        bad = probe(f, reterr);
    if (bad < 0)
        return bad;
    set_label(f, log, arg);
    remove_socket(f, SOCKET); /* dead, as the probe has just seen */
    return bind_and_listen(f, reterr);
}

void dm_folder_unlink(struct dm_folder *f) {
    static const char *const names[] = {SOCKET,
                                        HIDDEN /* when it could not be removed after it had its name */};
    struct stat st;
    for (size_t i = 0; i < DM_COUNT(names); i++)
        if (fstatat(f->dir, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0 && same(f->socket, id_of(&st)))
            unlinkat(f->dir, names[i], 0);
    f->socket = (struct file_id){0};
}
