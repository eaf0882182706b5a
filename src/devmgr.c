/* devmgr.c -- puts the pieces together: events from the edges go into the manager, what it wants done is done here.
 *
 *   registration ──events──►          ──CALL, CANCEL──► registration
 *   uv_queue_work ──saved──► manager  ──SAVE──────────► store, on a worker thread
 *   api.c, timer ──────────►          ──ANSWER, EVENT─► the embedder's callbacks
 *
 * (1) Nothing is delivered inside a call of the embedder: calls only kick, the drain runs from the loop.
 * (2) One write at a time; the manager's next SAVE waits for dm_manager_saved.
 * (3) Close: answers out, last write down, then the edges, then the handles, then memory; `closed` is last. */
#include "base/mem.h"
#include "config.h"
#include "instance.h"
#include "numa.h"
#include "rpc/socket.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void drain(devmgr *m);
static void go_on_closing(devmgr *m);

void dm_instance_now(devmgr *m) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    dm_manager_time(m->manager, uv_hrtime() / 1000000,
                    (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000);
}

static void on_kick(uv_idle_t *kick) {
    uv_idle_stop(kick);
    drain(kick->data);
}

void dm_instance_kick(devmgr *m) {
    if (!m->draining)
        uv_idle_start(&m->kick, on_kick);
}

static void on_alarm(uv_timer_t *alarm) {
    devmgr *m = alarm->data;
    dm_instance_now(m);
    dm_manager_tick(m->manager);
    drain(m);
}

static void set_alarm(devmgr *m) {
    uint64_t at = dm_manager_wake(m->manager), now = uv_hrtime() / 1000000;
    if (at == UINT64_MAX) {
        uv_timer_stop(&m->alarm);
        return;
    }
    uv_update_time(m->loop);
    uv_timer_start(&m->alarm, on_alarm, at > now ? at - now : 0, 0);
}

/* ---- saving ----------------------------------------------------------------------------------------------------- */

static void write_on_worker(uv_work_t *work) {
    devmgr *m = work->data;
    m->write_status = 0;
    if (m->write_reopen)
        m->write_status = dm_store_reopen(m->store, &m->write_error);
    if (m->write_status == 0)
        m->write_status = dm_store_write(m->store, m->writing, m->write_durable, &m->write_error);
}

static void on_written(uv_work_t *work, int canceled) {
    devmgr *m = work->data;
    (void)canceled; /* never: nobody calls uv_cancel on it */
    m->writing_now = false;
    m->store_moved |= m->write_reopen && m->write_status < 0;
    m->saved_status = m->write_status;
    m->saved_error = m->write_error;
    dm_instance_now(m);
    dm_manager_saved(m->manager, m->write_status, m->write_status < 0 ? &m->write_error : NULL);
    dm_snapshot_free(DM_MOVE(m->writing));
    drain(m);
}

static void start_write(devmgr *m, struct dm_snapshot *snapshot, bool durable) {
    m->writing = snapshot;
    m->write_durable = durable;
    m->write_reopen = m->store_moved; /* the worker's own copy: a move may be seen while it writes */
    m->store_moved = false;
    m->writing_now = true;
    m->write.data = m;
    uv_queue_work(m->loop, &m->write, write_on_worker, on_written); /* fails for a NULL callback only */
}

static void on_folder_moved(void *self) {
    devmgr *m = self;
    m->store_moved =
        true; /* the worker reads it when the write below begins, never while one runs: see on_written */
    dm_instance_now(m);
    dm_manager_save_again(m->manager);
    drain(m);
}

/* ---- the drain --------------------------------------------------------------------------------------------------- */

static void carry_out(devmgr *m, const struct dm_action *a) {
    switch (a->kind) {
    case DM_DO_CALL:
        dm_registration_call(m->registration, a->call);
        break;
    case DM_DO_CANCEL:
        dm_registration_cancel(m->registration, a->cancel);
        break;
    case DM_DO_SAVE:
        start_write(m, a->snapshot, a->durable);
        break;
    case DM_DO_ANSWER:
        dm_answer_deliver(a->answer);
        break;
    case DM_DO_EVENT:
        if (m->event && m->phase != DM_OPENING)
            m->event(m->event_arg, a->event);
        break;
    }
}

static void drain(devmgr *m) {
    struct dm_action action;
    if (m->draining || m->phase >= DM_CLOSING)
        return; /* the outer drain goes on; or only remains of calls come in, whose askers were answered */
    m->draining = true;
    while (dm_manager_next(m->manager, &action))
        carry_out(m, &action);
    m->draining = false;
    set_alarm(m);
    if (m->phase == DM_DRAINING && !m->writing_now)
        go_on_closing(m);
}

/* ---- what the edges tell ----------------------------------------------------------------------------------------- */

static int on_connected(void *self, const struct dm_endpoint_info *info, devmgr_error *reterr) {
    devmgr *m = self;
    dm_instance_now(m);
    int rc = dm_manager_connected(m->manager, info, reterr);
    dm_instance_kick(m); /* the reply to Register goes out first */
    return rc;
}

static void on_listed(void *self, const char *resource, uint64_t generation,
                      const struct dm_device_list *list) {
    devmgr *m = self;
    dm_instance_now(m);
    dm_manager_listed(m->manager, resource, generation, list);
    dm_instance_kick(m);
}

static void on_gone(void *self, const char *resource, uint64_t generation, const char *why) {
    devmgr *m = self;
    dm_instance_now(m);
    dm_manager_gone(m->manager, resource, generation, why);
    dm_instance_kick(m);
}

static void on_note(void *self, const char *resource, int level, const char *text) {
    devmgr *m = self;
    dm_instance_now(m);
    dm_manager_note(m->manager, resource, level, text);
    dm_instance_kick(m);
}

static void on_answered(void *self, const struct dm_call_result *result) {
    devmgr *m = self;
    dm_instance_now(m);
    dm_manager_answered(m->manager, result);
    dm_instance_kick(m);
}

static void on_log(void *self, int level, const char *text) {
    devmgr *m = self;
    dm_instance_now(m);
    dm_manager_log(m->manager, level, text);
    dm_instance_kick(m);
}

/* ---- open -------------------------------------------------------------------------------------------------------- */

static int start_registration(devmgr *m, devmgr_error *reterr) {
    static const struct dm_registration_events events = {on_connected, on_listed,   on_gone,
                                                         on_note,      on_answered, on_log};
    int rc = dm_rpc_acquire(m->loop, &m->rpc, reterr);
    return rc < 0 ? rc : dm_registration_new(m->rpc, &m->settings, &events, m, &m->registration, reterr);
}

static int load(devmgr *m, devmgr_error *reterr) {
    static const enum dm_start starts[] = {[DM_LOAD_ABSENT] = DM_START_NEW,
                                           [DM_LOAD_GOOD] = DM_START_LOADED,
                                           [DM_LOAD_RECOVERED] = DM_START_RECOVERING,
                                           [DM_LOAD_LOST] = DM_START_RECOVERING};
    DM_FREE char *folder = dm_printf("%s/device-plugins", m->settings.root);
    struct dm_load load = {0};
    int rc = dm_store_open(folder, &m->store, reterr);
    if (rc == 0)
        rc = dm_store_load(m->store, dm_answer_is_message, &load, reterr);
    if (rc < 0)
        return rc;
    m->new_node = load.outcome == DM_LOAD_ABSENT;
    dm_instance_now(m);
    dm_manager_restore(m->manager, load.snapshot, starts[load.outcome]);
    if (*load.message)
        dm_manager_log(m->manager, load.outcome >= DM_LOAD_RECOVERED ? 3 : 4, load.message);
    dm_snapshot_free(load.snapshot);
    return 0;
}

/* *topology: as it would be on this machine. */
static int check_settings(const struct dm_settings *s, struct dm_topology *topology, devmgr_error *reterr) {
    if (strlen(s->root) + strlen("/device-plugins/kubelet.sock") > DM_SOCKET_PATH_MAX)
        return dm_error_set(reterr, -ENAMETOOLONG,
                            "root: %.200s: too long for a socket path (%d bytes in all)", s->root,
                            DM_SOCKET_PATH_MAX);
    return dm_numa_topology(s, topology, reterr);
}

int devmgr_config_check(const devmgr_config *c, devmgr_error *reterr) {
    DM_FREE struct dm_topology *topology = DM_NEW(struct dm_topology);
    return check_settings(&c->settings, topology, reterr);
}

static devmgr *new_instance(uv_loop_t *loop, const struct dm_settings *settings, struct dm_topology *topology,
                            devmgr_event_cb cb, void *arg) {
    struct timespec t;
    devmgr *m = DM_NEW(devmgr);
    m->loop = loop;
    dm_settings_copy(&m->settings, settings);
    m->topology = topology;
    m->event = cb;
    m->event_arg = arg;
    clock_gettime(CLOCK_REALTIME, &t);
    m->manager = dm_manager_new(&m->settings, dm_answer_decode, uv_hrtime() / 1000000,
                                (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000);
    dm_manager_topology(m->manager, topology);
    uv_idle_init(loop, &m->kick);
    uv_timer_init(loop, &m->alarm);
    m->kick.data = m->alarm.data = m;
    m->handles = 2;
    return m;
}

/* Everything that can fail, in order: the edge's lock and probe before anything is read, the socket when all is loaded. */
static int start(devmgr *m, devmgr_error *reterr) {
    int rc = dm_doorbell_open(m, reterr);
    if (rc == 0)
        rc = start_registration(m, reterr);
    if (rc == 0)
        rc = load(m, reterr);
    if (rc == 0)
        rc = dm_registration_serve(m->registration, on_folder_moved, reterr);
    return rc;
}

int dm_instance_start(uv_loop_t *loop, const struct dm_settings *settings, devmgr_event_cb cb, void *arg,
                      devmgr **ret, devmgr_error *reterr) {
    DM_FREE struct dm_topology *topology = DM_NEW(struct dm_topology);
    int rc = check_settings(settings, topology, reterr);
    if (rc < 0)
        return rc;
    devmgr *m = new_instance(loop, settings, DM_MOVE(topology), cb, arg);
    rc = start(m, reterr);
    if (rc < 0) {
        m->flushed = true; /* nothing of ours may be written */
        m->event = NULL;
        devmgr_close(m, NULL, NULL);
        return rc;
    }
    m->phase = DM_OPEN;
    dm_instance_kick(m);
    *ret = m;
    return 0;
}

/* ---- close ------------------------------------------------------------------------------------------------------- */

static void on_handle_closed(uv_handle_t *handle) {
    devmgr *m = handle->data;
    if (--m->handles > 0)
        return;
    void (*closed)(void *) = m->closed;
    void *arg = m->closed_arg;
    dm_doorbell_free(m);
    dm_manager_free(m->manager);
    dm_settings_free(&m->settings);
    free(m->topology);
    free(m);
    if (closed)
        closed(arg);
}

static void on_rpc_closed(void *arg) {
    devmgr *m = arg;
    dm_store_close(m->store);
    uv_close((uv_handle_t *)&m->kick, on_handle_closed);
    uv_close((uv_handle_t *)&m->alarm, on_handle_closed);
    dm_doorbell_close(m, on_handle_closed);
}

static void on_registration_closed(void *arg) {
    devmgr *m = arg;
    if (m->rpc)
        dm_rpc_release(m->rpc, on_rpc_closed, m);
    else
        on_rpc_closed(m);
}

/* Called when nothing is due and no write runs. */
static void go_on_closing(devmgr *m) {
    struct dm_action action;
    if (!m->flushed && dm_manager_unsaved(m->manager)) {
        m->flushed = true; /* one try: a broken disk must not keep us from ending */
        dm_manager_save_again(m->manager);
        drain(m);
        return;
    }
    dm_doorbell_answer(m); /* while all that a caller may look at is there */
    m->phase = DM_CLOSING;
    while (dm_manager_next(m->manager, &action)) /* a SAVE that a failed write asked for again */
        if (action.kind == DM_DO_SAVE)
            dm_snapshot_free(action.snapshot);
    uv_idle_stop(&m->kick);
    uv_timer_stop(&m->alarm);
    if (m->registration)
        dm_registration_close(m->registration, on_registration_closed, m);
    else
        on_registration_closed(m);
}

void devmgr_close(devmgr *m, void (*closed)(void *arg), void *arg) {
    if (m->phase >= DM_DRAINING)
        return;
    m->closed = closed;
    m->closed_arg = arg;
    m->phase = DM_DRAINING;
    dm_doorbell_refuse(m);
    dm_instance_now(m);
    dm_manager_close(m->manager);
    dm_instance_kick(m);
}
