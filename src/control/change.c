/* change.c -- what changes the state, but for admissions: options (PreStartContainer), releases, Sync, Adopt, Forget. */
#include "base/mem.h"
#include "control/service.h"

/* ---- options --------------------------------------------------------------------------------------------------- */

static void on_options(void *arg, int status, const devmgr_options *options, const devmgr_error *err) {
    struct dm_request *r = arg;
    if (status < 0)
        dm_request_fail(r, status, err, "container options");
    else
        dm_request_reply(r, dm_encode_options(&r->arena, options));
}

void dm_serve_container_options(struct dm_request *r) {
    const PB(ContainerOptionsRequest) *m = r->message;
    const char *uid = dm_request_text(r, m->pod_uid, "pod_uid", true);
    const char *container = uid ? dm_request_text(r, m->container, "container", true) : NULL;
    if (!container)
        return;
    int rc = devmgr_container_options(r->control->m, uid, container, m->no_prestart ? DEVMGR_NO_PRESTART : 0,
                                      on_options, r);
    if (rc < 0) {
        DM_FREE char *what = dm_printf("pod %s, container %s", uid, container);
        dm_request_fail(r, rc, NULL, what);
    }
}

/* ---- releases -------------------------------------------------------------------------------------------------- */

static void on_released(void *arg, int status, const char *const *uids, size_t n, const devmgr_error *err) {
    struct dm_request *r = arg;
    if (status < 0)
        dm_request_fail(r, status, err, "release");
    else
        dm_request_reply(r, dm_encode_released(&r->arena, uids, n));
}

/* The call was not taken: `rc` is negative. */
static void fail_for(struct dm_request *r, int rc, const char *uid) {
    DM_FREE char *what = dm_printf("pod %s", uid);
    dm_request_fail(r, rc, NULL, what);
}

void dm_serve_init_done(struct dm_request *r) {
    const PB(InitDoneRequest) *m = r->message;
    const char *uid = dm_request_text(r, m->pod_uid, "pod_uid", true);
    int rc = uid ? devmgr_init_done(r->control->m, uid, on_released, r) : 0;
    if (rc < 0)
        fail_for(r, rc, uid);
}

void dm_serve_release_container(struct dm_request *r) {
    const PB(ReleaseContainerRequest) *m = r->message;
    const char *uid = dm_request_text(r, m->pod_uid, "pod_uid", true);
    const char *container = uid ? dm_request_text(r, m->container, "container", true) : NULL;
    int rc = container ? devmgr_release_container(r->control->m, uid, container, on_released, r) : 0;
    if (rc < 0)
        fail_for(r, rc, uid);
}

void dm_serve_release(struct dm_request *r) {
    const PB(ReleaseRequest) *m = r->message;
    const char *uid = dm_request_text(r, m->pod_uid, "pod_uid", true);
    int rc = uid ? devmgr_release(r->control->m, uid, on_released, r) : 0;
    if (rc < 0)
        fail_for(r, rc, uid);
}

void dm_serve_sync(struct dm_request *r) {
    const PB(SyncRequest) *m = r->message;
    const char **uids = dm_arena_array(&r->arena, m->n_pod_uids, sizeof *uids);
    for (size_t i = 0; i < m->n_pod_uids; i++)
        if (!(uids[i] = dm_request_text(r, m->pod_uids[i], "pod_uids", true)))
            return;
    if (m->none != (m->n_pod_uids == 0)) {
        dm_request_refuse(
            r, DM_INVALID_ARGUMENT,
            m->none ? "none: must be false, pod_uids names pods that live"
                    : "pod_uids: empty; set none when nothing lives: all devices are released then");
        return;
    }
    if (!m->as_of) {
        dm_request_refuse(r, DM_INVALID_ARGUMENT,
                          "as_of: missing; take the revision of Info before you list what lives");
        return;
    }
    int rc = devmgr_sync(r->control->m, uids, m->n_pod_uids, m->as_of, m->dry_run ? DEVMGR_DRY_RUN : 0,
                         on_released, r);
    if (rc < 0)
        dm_request_fail(r, rc, NULL, "sync");
}

/* ---- adopt, forget --------------------------------------------------------------------------------------------- */

static void on_adopted(void *arg, int status, const char *const *uids, size_t n, const devmgr_error *err) {
    struct dm_request *r = arg;
    (void)uids, (void)n;
    if (status < 0)
        dm_request_fail(r, status, err, "adopt");
    else
        dm_request_reply(r, PB_NEW(&r->arena, adopt_response));
}

void dm_serve_adopt(struct dm_request *r) {
    const PB(AdoptRequest) *m = r->message;
    const char *container = dm_request_text(r, m->container, "container", true);
    const char *record = container ? dm_request_text(r, m->record, "record", true) : NULL;
    DM_CLEANUP(dm_pods_free) struct dm_pods pods = {0};
    devmgr_error err = {0};
    if (!record)
        return;
    int rc = dm_decode_pods(m->pod, 1, &pods, &err);
    if (rc == 0)
        rc = devmgr_adopt(r->control->m, pods.pods[0], container, record, on_adopted, r, &err);
    if (rc < 0)
        dm_request_fail(r, rc, &err, "adopt");
}

void dm_serve_forget_resource(struct dm_request *r) {
    const PB(ForgetResourceRequest) *m = r->message;
    const char *resource = dm_request_text(r, m->resource, "resource", true);
    if (!resource)
        return;
    int rc = devmgr_forget_resource(r->control->m, resource);
    if (rc < 0)
        dm_request_fail(r, rc, NULL, resource);
    else
        dm_request_reply(r, PB_NEW(&r->arena, forget_resource_response));
}
