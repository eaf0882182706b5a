/* control.h -- serve the control API (proto/devmgr/v1alpha1) over a devmgr, on a unix socket.
 *
 * For devmgrd and devmgr-cri: after devmgr_open succeeded
 *
 *     dm_control_start(loop, m, "/run/devmgr/devmgr.sock", "", &control, &err);
 *
 * from the devmgr_event_cb, also before that (NULL is fine), dm_control_event(control, ev); at the end dm_control_close
 * and devmgr_close, in this order, both at once, and the loop turning until both `closed` callbacks have run: open
 * calls end through devmgr_close's answers (a pending admission tells its client "canceled"). Loop thread only. */
#ifndef DM_CONTROL_CONTROL_H
#define DM_CONTROL_CONTROL_H
#include "base/error.h"
#include <uv.h>

struct dm_control;

/* Serves at `socket`. Its folder is made (0755) when it is missing, one level. A socket file that nobody serves is
 * replaced. It appears under its name complete: mode 0600, or with a group (name or number; "" or NULL: none) that
 * group's and 0660. DEVMGR_EBUSY: somebody serves there, the error names who. */
int dm_control_start(uv_loop_t *loop, devmgr *m, const char *socket, const char *group,
                     struct dm_control **ret, devmgr_error *reterr);
/* Tells the watchers. `control` NULL: nothing. */
void dm_control_event(struct dm_control *control, const devmgr_event *ev);
/* Removes the socket if it is still ours; takes no further calls; ends watchers (UNAVAILABLE). `closed` (or NULL) runs
 * when the last open call was answered. `control` NULL: `closed` runs at once. */
void dm_control_close(struct dm_control *control, void (*closed)(void *arg), void *arg);
#endif
