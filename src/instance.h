/* instance.h -- the inside of a devmgr: the pieces and the handles that tie them to one loop.
 *
 *   api.c       the calls of devmgr.h, each a line or two into the manager
 *   thread.c    a loop and a thread of our own, for who opens without a loop
 *   devmgr.c    start, close, and the drain: what the manager wants done is done here
 *   doorbell.c  devmgr_call from other threads
 */
#ifndef DM_INSTANCE_H
#define DM_INSTANCE_H
#include "base/settings.h"
#include "checkpoint/store.h"
#include "manager/manager.h"
#include "registration/registration.h"
#include "rpc/rpc.h"
#include "topology/policy.h"
#include <pthread.h>
#include <uv.h>

struct dm_ring { /* one devmgr_call */
    struct dm_ring *next;
    void (*run)(devmgr *m, void *arg);
    void *arg;
};
struct dm_doorbell {
    uv_poll_t poll;
    int fd; /* eventfd, -1: none */
    pthread_mutex_t lock;
    struct dm_ring *first, **last;
    bool closed;
};

enum dm_phase { DM_OPENING, DM_OPEN, DM_DRAINING, DM_CLOSING };

struct devmgr {
    uv_loop_t *loop;
    struct dm_settings settings;
    struct dm_topology *topology;
    struct dm_rpc *rpc;
    struct dm_registration *registration;
    struct dm_manager *manager;
    struct dm_store *store;
    devmgr_event_cb event;
    void *event_arg;

    uv_idle_t kick;   /* runs while actions may be due */
    uv_timer_t alarm; /* the manager's next moment */
    struct dm_doorbell bell;
    int handles; /* of the three above that are not closed yet */

    uv_work_t write; /* one at a time */
    struct dm_snapshot *writing;
    bool write_durable;
    int write_status;
    devmgr_error write_error;
    bool writing_now, write_reopen, store_moved;
    int saved_status; /* of the last write, for devmgr_check */
    devmgr_error saved_error;

    enum dm_phase phase;
    bool draining, new_node, flushed;
    void (*closed)(void *arg);
    void *closed_arg;
};

void dm_instance_now(devmgr *m); /* tells the manager the time; before every event */
/* Something may be due: drain on the loop's next turn, not inside the caller's call. */
void dm_instance_kick(devmgr *m);
int dm_instance_start(uv_loop_t *loop, const struct dm_settings *settings, devmgr_event_cb cb, void *arg,
                      devmgr **ret, devmgr_error *reterr);

int dm_doorbell_open(devmgr *m, devmgr_error *reterr);
void dm_doorbell_refuse(devmgr *m); /* devmgr_call gives -ECANCELED from now on; what was taken still runs */
void dm_doorbell_answer(devmgr *m); /* runs what was taken */
void dm_doorbell_close(devmgr *m, uv_close_cb closed); /* refused and answered before */
void dm_doorbell_free(devmgr *m);

int dm_own_thread_open(const struct dm_settings *settings, devmgr_event_cb cb, void *arg, devmgr **ret,
                       devmgr_error *reterr);
#endif
