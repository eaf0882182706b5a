/* folder.h -- the plugin folder: whose it is, what is swept out of it, the socket in it. Plain system calls.
 *
 * One manager per folder: a lock (flock) on the folder itself keeps other managers of our kind out, a look at
 * kubelet.sock keeps us away from a kubelet, which knows no lock. Nothing on disk changes before both have said yes. */
#ifndef DM_REGISTRATION_FOLDER_H
#define DM_REGISTRATION_FOLDER_H
#include "base/error.h"
#include <stdbool.h>

struct dm_folder;
typedef void (*dm_folder_log)(void *arg, int level, const char *text); /* level is syslog's */

/* Makes ROOT/device-plugins when it is missing (0755 & ~umask), locks it, looks who answers on kubelet.sock.
 * DEVMGR_EBUSY: somebody else's, the text says whose. */
int dm_folder_open(const char *root, struct dm_folder **ret, devmgr_error *reterr);
const char *dm_folder_path(const struct dm_folder *f);
const char *dm_folder_socket(const struct dm_folder *f); /* path of kubelet.sock */

/* Removes every socket in the folder (plugins take that as the sign to come back), binds kubelet.sock and listens.
 * Returns the fd. */
int dm_folder_listen(struct dm_folder *f, dm_folder_log log, void *arg, devmgr_error *reterr);

/* Is the socket at that path still the one we listen on? 1, 0; negative: it cannot be told now. */
int dm_folder_intact(const struct dm_folder *f, devmgr_error *reterr);
/* It is not: locks the folder that is there now (made again when missing), removes a dead kubelet.sock, binds and
 * listens; plugins' sockets stay. Returns the fd. DEVMGR_EBUSY: another process has taken the place. Other codes: try
 * again later. */
int dm_folder_listen_again(struct dm_folder *f, dm_folder_log log, void *arg, devmgr_error *reterr);

/* Removes kubelet.sock if it is ours; call it while the listening fd is open: only then is an inode number proof. */
void dm_folder_unlink(struct dm_folder *f);
void dm_folder_free(struct dm_folder *f); /* gives up the lock; NULL is fine */
#endif
