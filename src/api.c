/* api.c -- the calls of devmgr.h: open; then tell the manager the time, pass on, kick the drain.
 *
 * No callback runs inside a call: what the manager wants done waits for the loop's next turn. */
#include "base/mem.h"
#include "config.h"
#include "instance.h"

int devmgr_open(struct uv_loop_s *loop, const devmgr_config *c, devmgr_event_cb cb, void *arg, devmgr **ret,
                devmgr_error *reterr) {
    DM_CLEANUP(dm_settings_free) struct dm_settings defaults = {0};
    const struct dm_settings *settings = c ? &c->settings : &defaults;
    if (!c)
        dm_settings_init(&defaults);
    if (loop)
        return dm_instance_start(loop, settings, cb, arg, ret, reterr);
    return dm_own_thread_open(settings, cb, arg, ret, reterr);
}

static int kicked(devmgr *m, int rc) {
    dm_instance_kick(m);
    return rc;
}

static bool closing(const devmgr *m) {
    return m->phase >= DM_DRAINING;
}

int devmgr_admit(devmgr *m, const devmgr_pod *pod, devmgr_admit_cb cb, void *arg, devmgr_error *reterr) {
    if (closing(m))
        return dm_error_set(reterr, -ECANCELED, "closing");
    dm_instance_now(m);
    return kicked(m, dm_manager_admit(m->manager, pod, cb, arg, reterr));
}

int devmgr_container_options(devmgr *m, const char *pod_uid, const char *container, unsigned flags,
                             devmgr_options_cb cb, void *arg) {
    if (closing(m))
        return -ECANCELED;
    dm_instance_now(m);
    return kicked(m, dm_manager_options(m->manager, pod_uid, container, flags, cb, arg));
}

int devmgr_init_done(devmgr *m, const char *pod_uid, devmgr_done_cb cb, void *arg) {
    if (closing(m))
        return -ECANCELED;
    dm_instance_now(m);
    return kicked(m, dm_manager_init_done(m->manager, pod_uid, cb, arg));
}

int devmgr_release_container(devmgr *m, const char *pod_uid, const char *container, devmgr_done_cb cb,
                             void *arg) {
    if (closing(m))
        return -ECANCELED;
    if (!container)
        return DEVMGR_EINVALID;
    dm_instance_now(m);
    return kicked(m, dm_manager_release(m->manager, pod_uid, container, cb, arg));
}

int devmgr_release(devmgr *m, const char *pod_uid, devmgr_done_cb cb, void *arg) {
    if (closing(m))
        return -ECANCELED;
    dm_instance_now(m);
    return kicked(m, dm_manager_release(m->manager, pod_uid, NULL, cb, arg));
}

int devmgr_sync(devmgr *m, const char *const *pod_uids, size_t n, uint64_t as_of, unsigned flags,
                devmgr_done_cb cb, void *arg) {
    if (closing(m))
        return -ECANCELED;
    dm_instance_now(m);
    return kicked(m, dm_manager_sync(m->manager, pod_uids, n, as_of, flags, cb, arg));
}

int devmgr_claim_record(devmgr *m, const char *pod_uid, const char *container,
                        int (*write)(void *, const char *text, size_t n), void *arg) {
    return dm_manager_claim_record(m->manager, pod_uid, container, write, arg);
}

int devmgr_adopt(devmgr *m, const devmgr_pod *pod, const char *container, const char *record,
                 devmgr_done_cb cb, void *arg, devmgr_error *reterr) {
    if (closing(m))
        return dm_error_set(reterr, -ECANCELED, "closing");
    dm_instance_now(m);
    return kicked(m, dm_manager_adopt(m->manager, pod, container, record, cb, arg, reterr));
}

uint64_t devmgr_revision(devmgr *m) {
    return dm_manager_revision(m->manager);
}

int devmgr_each_resource(devmgr *m, int (*visit)(void *, const devmgr_resource *), void *arg) {
    return dm_manager_each_resource(m->manager, visit, arg);
}

int devmgr_each_device(devmgr *m, const char *resource, int (*visit)(void *, const devmgr_device *),
                       void *arg) {
    return dm_manager_each_device(m->manager, resource, visit, arg);
}

int devmgr_each_claim(devmgr *m, const char *pod_uid, int (*visit)(void *, const devmgr_claim *), void *arg) {
    return dm_manager_each_claim(m->manager, pod_uid, visit, arg);
}

int devmgr_each_pod(devmgr *m, int (*visit)(void *, const devmgr_held_pod *), void *arg) {
    return dm_manager_each_pod(m->manager, visit, arg);
}

uint64_t devmgr_node_allocatable(devmgr *m, const char *pod_uid, const char *resource, uint64_t allocatable) {
    return dm_manager_node_allocatable(m->manager, pod_uid, resource, allocatable);
}

int devmgr_forget_resource(devmgr *m, const char *resource) {
    if (closing(m))
        return -ECANCELED;
    dm_instance_now(m);
    return kicked(m, dm_manager_forget_resource(m->manager, resource));
}

int devmgr_new_node(devmgr *m) {
    return m->new_node;
}

int devmgr_check(devmgr *m, devmgr_error *reterr) {
    if (m->saved_status < 0)
        return dm_error_set(reterr, m->saved_status, "state cannot be saved: %s", m->saved_error.message);
    return dm_registration_check(m->registration, reterr);
}

int devmgr_add_provider(devmgr *m, const devmgr_provider *p) {
    return dm_manager_add_provider(m->manager, p);
}

int devmgr_hints(devmgr *m, const devmgr_pod *p, const char *container, devmgr_hint_cb visit, void *arg) {
    return dm_manager_hints(m->manager, p, container, visit, arg);
}

int devmgr_explain(devmgr *m, const devmgr_pod *pod, int (*write)(void *, const char *json, size_t n),
                   void *arg, devmgr_error *reterr) {
    if (closing(m))
        return dm_error_set(reterr, -ECANCELED, "closing");
    return dm_manager_explain(m->manager, pod, write, arg, reterr);
}

int devmgr_metrics(devmgr *m, int (*write)(void *, const char *text, size_t n), void *arg) {
    DM_CLEANUP(dm_buf_free) struct dm_buf text = {0};
    if (closing(m))
        return -ECANCELED;
    dm_registration_metrics(m->registration, &text);
    return text.len ? write(arg, text.data, text.len) : 0;
}

/* ---- not built yet ----------------------------------------------------------------------------------------------------- */

int devmgr_each_health_change(devmgr *m, const char *resource, const char *id,
                              int (*visit)(void *, const devmgr_health_change *), void *arg) {
    (void)m, (void)resource, (void)id, (void)visit, (void)arg;
    return -ENOSYS;
}
