/* socket.h -- unix sockets that we own: listen, connect, who is there. Plain system calls, all non-blocking, CLOEXEC. */
#ifndef DM_RPC_SOCKET_H
#define DM_RPC_SOCKET_H
#include "base/error.h"
#include <sys/types.h>

enum { DM_SOCKET_PATH_MAX = 107 }; /* bytes; longer paths are refused with a message that says so */
struct dm_peer {
    pid_t pid; /* 0: unknown */
    uid_t uid;
    gid_t gid;
};

/* socket, bind, listen (backlog 4096 or what the system allows). Returns the fd or a negative code; leaves an existing file alone (-EADDRINUSE). */
int dm_socket_listen(const char *path, devmgr_error *reterr);
/* One attempt. The connected fd; -EAGAIN: its backlog is full, -ECONNREFUSED: nobody listens, -ENOENT, ... */
int dm_socket_connect(const char *path, devmgr_error *reterr);
/* SO_PEERCRED of a connected socket; of a listener's peer: who called listen. */
int dm_socket_peer(int fd, struct dm_peer *ret);
/* The process's command name from /proc, "?" when it cannot be had. */
void dm_socket_process_name(pid_t pid, char *out, size_t size);
#endif
