/* faults.c -- makes the n-th call of a class fail in the program that it is linked to with ld's --wrap.
 *
 * Only calls from our own objects come by here: the program is linked with the shared gRPC, and libuv is shared anyway.
 * Without a board (see board.h) everything is as it is. */
#include "board.h"
#include <dirent.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <grpc/grpc.h>
#include <grpc/grpc_posix.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

static struct nth_board *board;
extern const char __executable_start[];

/* What is wrapped is so in here too. */
int __real_open(const char *path, int flags, ...);
int __real_close(int fd);
int __real_fstat(int fd, struct stat *st);
int __real_fcntl(int fd, int what, ...);

__attribute__((constructor)) static void find_board(void) {
    const char *path = getenv(NTH_ENV);
    int fd = path ? __real_open(path, O_RDWR | O_CLOEXEC) : -1;
    void *page = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    void *warm[2];
    board = page == MAP_FAILED ? NULL : page;
    if (fd >= 0)
        __real_close(fd);
    backtrace(warm, 2); /* the first one loads a library */
}

void nth_arm(void) {
    if (board)
        atomic_store(&board->armed, true);
}

/* ---- the one decision -------------------------------------------------------------------------------------------- */

static void note(const char *call, const char *on) {
    void *frames[NTH_SITES + 2];
    int n = backtrace(frames, NTH_SITES + 2);
    snprintf(board->call, sizeof board->call, "%s", call);
    snprintf(board->on, sizeof board->on, "%s", on ? on : "");
    for (int i = 2; i < n; i++) /* without this function and the wrapper's */
        board->site[i - 2] = (uintptr_t)frames[i] - (uintptr_t)__executable_start;
    board->sites = n > 2 ? n - 2 : 0;
}

/* Has this call to fail? errno is set then. */
static bool fails(enum nth_class class, const char *call, const char *on) {
    if (!board || !atomic_load(&board->armed))
        return false;
    int n = atomic_fetch_add(&board->counts[class], 1) + 1;
    if ((int)class != board->class || n < board->n || (n > board->n && !board->forever))
        return false;
    if (atomic_fetch_add(&board->failed, 1) == 0)
        note(call, on);
    errno = board->error;
    return true;
}

static bool is_file(int fd) {
    struct stat st;
    return __real_fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
}

/* The call is made unless it has to fail; `otherwise` is what a failed one returns. */
#define WRAP(class, otherwise, on, type, name, params, args)                                                 \
    type __real_##name params;                                                                               \
    type __wrap_##name params;                                                                               \
    type __wrap_##name params {                                                                              \
        if (fails(class, #name, on))                                                                         \
            return otherwise;                                                                                \
        return __real_##name args;                                                                           \
    }

/* ---- files ------------------------------------------------------------------------------------------------------- */

int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...) {
    va_list ap;
    va_start(ap, flags);
    mode_t mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    return fails(NTH_OPEN, "open", path) ? -1 : __real_open(path, flags, mode);
}

int __real_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...) {
    va_list ap;
    va_start(ap, flags);
    mode_t mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    return fails(NTH_OPEN, "openat", path) ? -1 : __real_openat(dir, path, flags, mode);
}

WRAP(NTH_OPEN, NULL, path, FILE *, fopen, (const char *path, const char *mode), (path, mode))
WRAP(NTH_OPEN, NULL, NULL, DIR *, fdopendir, (int fd), (fd))

ssize_t __real_read(int fd, void *data, size_t n);
ssize_t __wrap_read(int fd, void *data, size_t n);
ssize_t __wrap_read(int fd, void *data, size_t n) {
    return is_file(fd) && fails(NTH_READ, "read", NULL) ? -1 : __real_read(fd, data, n);
}

ssize_t __real_write(int fd, const void *data, size_t n);
ssize_t __wrap_write(int fd, const void *data, size_t n);
ssize_t __wrap_write(int fd, const void *data, size_t n) {
    bool file = is_file(fd);
    if (file && fails(NTH_WRITE, "write", NULL))
        return -1;
    return __real_write(fd, data, file && n > 1 && fails(NTH_SHORT, "write", NULL) ? 1 : n);
}

int __wrap_close(int fd);
int __wrap_close(int fd) {
    int flags = __real_fcntl(fd, F_GETFL);
    bool written = flags >= 0 && (flags & O_ACCMODE) != O_RDONLY && is_file(fd);
    int r = __real_close(fd);
    return written && fails(NTH_CLOSE, "close", NULL) ? -1 : r;
}

WRAP(NTH_SYNC, -1, NULL, int, fsync, (int fd), (fd))
WRAP(NTH_RENAME, -1, to, int, rename, (const char *from, const char *to), (from, to))
WRAP(NTH_RENAME, -1, to, int, renameat2, (int d, const char *from, int e, const char *to, unsigned flags),
     (d, from, e, to, flags))
WRAP(NTH_LINK, -1, to, int, linkat, (int d, const char *from, int e, const char *to, int flags),
     (d, from, e, to, flags))
WRAP(NTH_UNLINK, -1, path, int, unlink, (const char *path), (path))
WRAP(NTH_UNLINK, -1, path, int, unlinkat, (int dir, const char *path, int flags), (dir, path, flags))
WRAP(NTH_MKDIR, -1, path, int, mkdir, (const char *path, mode_t mode), (path, mode))
WRAP(NTH_STAT, -1, path, int, stat, (const char *path, struct stat *st), (path, st))
WRAP(NTH_STAT, -1, path, int, lstat, (const char *path, struct stat *st), (path, st))
WRAP(NTH_STAT, -1, NULL, int, fstat, (int fd, struct stat *st), (fd, st))
WRAP(NTH_STAT, -1, path, int, fstatat, (int dir, const char *path, struct stat *st, int flags),
     (dir, path, st, flags))
WRAP(NTH_OWNER, -1, path, int, chmod, (const char *path, mode_t mode), (path, mode))
WRAP(NTH_OWNER, -1, path, int, lchown, (const char *path, uid_t uid, gid_t gid), (path, uid, gid))
WRAP(NTH_OWNER, -1, NULL, int, flock, (int fd, int how), (fd, how))

/* ---- descriptors and sockets ------------------------------------------------------------------------------------- */

WRAP(NTH_DESCRIPTOR, -1, NULL, int, socket, (int domain, int type, int protocol), (domain, type, protocol))
WRAP(NTH_DESCRIPTOR, -1, NULL, int, socketpair, (int domain, int type, int protocol, int *fds),
     (domain, type, protocol, fds))
WRAP(NTH_DESCRIPTOR, -1, NULL, int, eventfd, (unsigned count, int flags), (count, flags))
WRAP(NTH_BIND, -1, NULL, int, bind, (int fd, const struct sockaddr *to, socklen_t n), (fd, to, n))
WRAP(NTH_LISTEN, -1, NULL, int, listen, (int fd, int backlog), (fd, backlog))
WRAP(NTH_CONNECT, -1, NULL, int, connect, (int fd, const struct sockaddr *to, socklen_t n), (fd, to, n))
WRAP(NTH_PEER, -1, NULL, int, getsockopt, (int fd, int level, int name, void *value, socklen_t *n),
     (fd, level, name, value, n))

int __wrap_fcntl(int fd, int what, ...);
int __wrap_fcntl(int fd, int what, ...) {
    va_list ap;
    va_start(ap, what);
    long arg = va_arg(ap, long);
    va_end(ap);
    return what == F_DUPFD_CLOEXEC && fails(NTH_DESCRIPTOR, "fcntl", NULL) ? -1 : __real_fcntl(fd, what, arg);
}

/* A connection that is gone is taken from the queue; for lack of descriptors it stays there. */
int __real_accept4(int fd, struct sockaddr *from, socklen_t *n, int flags);
int __wrap_accept4(int fd, struct sockaddr *from, socklen_t *n, int flags);
int __wrap_accept4(int fd, struct sockaddr *from, socklen_t *n, int flags) {
    if (!fails(NTH_ACCEPT, "accept4", NULL))
        return __real_accept4(fd, from, n, flags);
    int error = errno, gone = error == ECONNABORTED ? __real_accept4(fd, from, n, flags) : -1;
    if (gone < 0 && error == ECONNABORTED)
        return -1; /* there was none */
    if (gone >= 0)
        __real_close(gone);
    errno = error;
    return -1;
}

/* ---- threads, libuv ---------------------------------------------------------------------------------------------- */

WRAP(NTH_THREAD, errno, NULL, int, pthread_create,
     (pthread_t * thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg),
     (thread, attr, run, arg))
/* What is looked at once a second is looked at more often, so that a short life sees it. Fails never. */
int __real_uv_timer_start(uv_timer_t *timer, uv_timer_cb cb, uint64_t timeout, uint64_t repeat);
int __wrap_uv_timer_start(uv_timer_t *timer, uv_timer_cb cb, uint64_t timeout, uint64_t repeat);
int __wrap_uv_timer_start(uv_timer_t *timer, uv_timer_cb cb, uint64_t timeout, uint64_t repeat) {
    bool look = timeout == 1000 && repeat == 1000;
    return __real_uv_timer_start(timer, cb, look ? NTH_LOOK_MS : timeout, look ? NTH_LOOK_MS : repeat);
}

WRAP(NTH_LOOP, -errno, NULL, int, uv_loop_init, (uv_loop_t * loop), (loop))
WRAP(NTH_LOOP, -errno, NULL, int, uv_poll_init, (uv_loop_t * loop, uv_poll_t *poll, int fd), (loop, poll, fd))
WRAP(NTH_LOOP, -errno, NULL, int, uv_signal_init, (uv_loop_t * loop, uv_signal_t *handle), (loop, handle))
WRAP(NTH_LOOP, -errno, NULL, int, uv_signal_start, (uv_signal_t * handle, uv_signal_cb cb, int number),
     (handle, cb, number))

/* ---- memory for what strangers send ------------------------------------------------------------------------------ */

WRAP(NTH_MEMORY, NULL, NULL, void *, dm_try_realloc, (void *p, size_t n), (p, n))

/* ---- gRPC -------------------------------------------------------------------------------------------------------- */

WRAP(NTH_RPC, GRPC_CALL_ERROR, NULL, grpc_call_error, grpc_call_start_batch,
     (grpc_call * call, const grpc_op *ops, size_t n, void *tag, void *reserved),
     (call, ops, n, tag, reserved))
WRAP(NTH_RPC, GRPC_CALL_ERROR, NULL, grpc_call_error, grpc_server_request_call,
     (grpc_server * server, grpc_call **call, grpc_call_details *details, grpc_metadata_array *metadata,
      grpc_completion_queue *bound, grpc_completion_queue *notified, void *tag),
     (server, call, details, metadata, bound, notified, tag))

/* What gRPC does when it cannot: a channel on which every call fails, and a server that drops the connection. */
grpc_channel *__real_grpc_channel_create_from_fd(const char *target, int fd, grpc_channel_credentials *creds,
                                                 const grpc_channel_args *args);
grpc_channel *__wrap_grpc_channel_create_from_fd(const char *target, int fd, grpc_channel_credentials *creds,
                                                 const grpc_channel_args *args);
grpc_channel *__wrap_grpc_channel_create_from_fd(const char *target, int fd, grpc_channel_credentials *creds,
                                                 const grpc_channel_args *args) {
    if (!fails(NTH_CHANNEL, "grpc_channel_create_from_fd", NULL))
        return __real_grpc_channel_create_from_fd(target, fd, creds, args);
    __real_close(fd);
    return grpc_lame_client_channel_create(target, GRPC_STATUS_INTERNAL, "Failed to create client channel");
}

void __real_grpc_server_add_channel_from_fd(grpc_server *server, int fd, grpc_server_credentials *creds);
void __wrap_grpc_server_add_channel_from_fd(grpc_server *server, int fd, grpc_server_credentials *creds);
void __wrap_grpc_server_add_channel_from_fd(grpc_server *server, int fd, grpc_server_credentials *creds) {
    if (!fails(NTH_CHANNEL, "grpc_server_add_channel_from_fd", NULL)) {
        __real_grpc_server_add_channel_from_fd(server, fd, creds);
        return;
    }
    shutdown(fd, SHUT_RDWR);
    __real_close(fd);
}
