/* listen.h -- the control socket as a file: probe, bind, protect, show, remove. Private to src/control. */
#ifndef DM_CONTROL_LISTEN_H
#define DM_CONTROL_LISTEN_H
#include "base/error.h"
#include <sys/types.h>

struct dm_socket_file {
    char *path;
    dev_t dev;
    ino_t ino;
};
/* A listening fd that nobody but the owner (and `group`, "" or NULL: none) can have connected to, at `path`. */
int dm_socket_file_open(const char *path, const char *group, struct dm_socket_file *ret,
                        devmgr_error *reterr);
/* Removes the file if it is still the one we made; frees. Before the fd is closed, so that nobody meets a dead socket. */
void dm_socket_file_remove(struct dm_socket_file *file);
#endif
