/* calls.c -- the calls of client.h: a request message out, devmgr.h's structs to a visitor. */
#include "control/calls.h"
#include "base/mem.h"
#include <stdio.h>

enum {
    LOOK_MS = 30 * 1000, /* what the daemon answers at once */
    CHANGE_MS =
        300 * 1000 /* a durable write, on a disk of any kind. Admit and options: the daemon's own deadlines */
};

/* A visitor and its argument, whatever it visits. */
struct visit {
    void *arg;
    union {
        int (*resource)(void *, const devmgr_resource *);
        int (*device)(void *, const devmgr_device *);
        int (*pod)(void *, const devmgr_held_pod *);
        int (*admission)(void *, const struct dm_admission *);
        int (*options)(void *, const devmgr_options *);
        int (*event)(void *, const devmgr_event *);
        int (*uid)(void *, const char *);
        int (*json)(void *, const char *, size_t);
    };
    uint64_t *revision;
    struct dm_info *info;
};

/* ---- looking --------------------------------------------------------------------------------------------------- */

static int take_info(void *arg, struct dm_arena *a, const void *response, bool *bad) {
    struct dm_info *info = ((struct visit *)arg)->info;
    const PB(InfoResponse) *m = response;
    snprintf(info->version, sizeof info->version, "%s", dm_decode_text(a, m->version, bad));
    info->revision = m->revision;
    info->new_node = m->new_node;
    info->pid = m->pid;
    return 0;
}

int dm_client_info(struct dm_client *c, struct dm_info *ret, devmgr_error *reterr) {
    DM_CLEANUP(dm_arena_free) struct dm_arena a = {0};
    struct visit v = {.info = ret};
    return dm_client_exchange(c,
                              &(struct dm_exchange){.method = "Info",
                                                    .request = PB_NEW(&a, info_request),
                                                    .response = &devmgr__v1alpha1__info_response__descriptor,
                                                    .timeout_ms = LOOK_MS,
                                                    .take = take_info,
                                                    .arg = &v},
                              reterr);
}

static int take_resources(void *arg, struct dm_arena *a, const void *response, bool *bad) {
    struct visit *v = arg;
    const PB(ListResourcesResponse) *m = response;
    int r = 0;
    for (size_t i = 0; r == 0 && i < m->n_resources; i++)
        r = v->resource(v->arg, dm_decode_resource(a, m->resources[i], bad));
    return r;
}

int dm_client_each_resource(struct dm_client *c, int (*visit)(void *, const devmgr_resource *), void *arg,
                            devmgr_error *reterr) {
    DM_CLEANUP(dm_arena_free) struct dm_arena a = {0};
    struct visit v = {.arg = arg, .resource = visit};
    return dm_client_exchange(
        c,
        &(struct dm_exchange){.method = "ListResources",
                              .request = PB_NEW(&a, list_resources_request),
                              .response = &devmgr__v1alpha1__list_resources_response__descriptor,
                              .timeout_ms = LOOK_MS,
                              .take = take_resources,
                              .arg = &v},
        reterr);
}

static int take_devices(void *arg, struct dm_arena *a, const void *response, bool *bad) {
    struct visit *v = arg;
    const PB(ListDevicesResponse) *m = response;
    int r = 0;
    for (size_t i = 0; r == 0 && i < m->n_devices; i++)
        r = v->device(v->arg, dm_decode_device(a, m->devices[i], bad));
    return r;
}

int dm_client_each_device(struct dm_client *c, const char *resource,
                          int (*visit)(void *, const devmgr_device *), void *arg, devmgr_error *reterr) {
    DM_CLEANUP(dm_arena_free) struct dm_arena a = {0};
    struct visit v = {.arg = arg, .device = visit};
    PB(ListDevicesRequest) *m = PB_NEW(&a, list_devices_request);
    m->resource = dm_pb_text(resource);
    return dm_client_exchange(
        c,
        &(struct dm_exchange){.method = "ListDevices",
                              .request = m,
                              .response = &devmgr__v1alpha1__list_devices_response__descriptor,
                              .streaming = true,
                              .timeout_ms = LOOK_MS,
                              .take = take_devices,
                              .arg = &v},
        reterr);
}

static int take_pods(void *arg, struct dm_arena *a, const void *response, bool *bad) {
    struct visit *v = arg;
    const PB(ListPodsResponse) *m = response;
    int r = 0;
    if (v->revision)
        *v->revision = m->revision;
    for (size_t i = 0; r == 0 && i < m->n_pods; i++)
        r = v->pod(v->arg, dm_decode_held_pod(a, m->pods[i], bad));
    return r;
}

int dm_client_each_pod(struct dm_client *c, uint64_t *revision, int (*visit)(void *, const devmgr_held_pod *),
                       void *arg, devmgr_error *reterr) {
    DM_CLEANUP(dm_arena_free) struct dm_arena a = {0};
    struct visit v = {.arg = arg, .pod = visit, .revision = revision};
    return dm_client_exchange(
        c,
        &(struct dm_exchange){.method = "ListPods",
                              .request = PB_NEW(&a, list_pods_request),
                              .response = &devmgr__v1alpha1__list_pods_response__descriptor,
                              .streaming = true,
                              .timeout_ms = LOOK_MS,
                              .take = take_pods,
                              .arg = &v},
        reterr);
}

static int take_event(void *arg, struct dm_arena *a, const void *response, bool *bad) {
    struct visit *v = arg;
    return v->event(v->arg, dm_decode_event(a, response, bad));
}

int dm_client_watch(struct dm_client *c, uint64_t timeout_ms, int (*visit)(void *, const devmgr_event *),
                    void *arg, devmgr_error *reterr) {
    DM_CLEANUP(dm_arena_free) struct dm_arena a = {0};
    struct visit v = {.arg = arg, .event = visit};
    return dm_client_exchange(c,
                              &(struct dm_exchange){.method = "Watch",
                                                    .request = PB_NEW(&a, watch_request),
                                                    .response = &devmgr__v1alpha1__event__descriptor,
                                                    .streaming = true,
                                                    .timeout_ms = (int64_t)timeout_ms,
                                                    .take = take_event,
                                                    .arg = &v},
                              reterr);
}

static int take_explained(void *arg, struct dm_arena *a, const void *response, bool *bad) {
    struct visit *v = arg;
    const PB(ExplainResponse) *m = response;
    (void)a, (void)bad;
    return v->json(v->arg, (const char *)m->json.data, m->json.len);
}

int dm_client_explain(struct dm_client *c, const char *manifest, size_t n,
                      int (*visit)(void *, const char *, size_t), void *arg, devmgr_error *reterr) {
    DM_CLEANUP(dm_arena_free) struct dm_arena a = {0};
    struct visit v = {.arg = arg, .json = visit};
    PB(ExplainRequest) *m = PB_NEW(&a, explain_request);
    m->pod = PB_NEW(&a, pod);
    m->pod->manifest = (ProtobufCBinaryData){n, (uint8_t *)(uintptr_t)manifest};
    if (!n)
        return dm_error_set(reterr, DEVMGR_EINVALID, "empty; a Kubernetes Pod is wanted, YAML or JSON");
    return dm_client_exchange(
        c,
        &(struct dm_exchange){.method = "Explain",
                              .request = m,
                              .response = &devmgr__v1alpha1__explain_response__descriptor,
                              .timeout_ms = LOOK_MS,
                              .take = take_explained,
                              .arg = &v},
        reterr);
}

/* ---- changing -------------------------------------------------------------------------------------------------- */

static int take_admission(void *arg, struct dm_arena *a, const void *response, bool *bad) {
    struct visit *v = arg;
    return v->admission(v->arg, dm_decode_admission(a, response, bad));
}

int dm_client_admit(struct dm_client *c, const char *manifest, size_t n, uint64_t wait_ms,
                    int (*visit)(void *, const struct dm_admission *), void *arg, devmgr_error *reterr) {
    DM_CLEANUP(dm_arena_free) struct dm_arena a = {0};
    struct visit v = {.arg = arg, .admission = visit};
    PB(AdmitRequest) *m = PB_NEW(&a, admit_request);
    m->pod = PB_NEW(&a, pod);
    m->pod->manifest = (ProtobufCBinaryData){n, (uint8_t *)(uintptr_t)manifest};
    m->pod->wait_ms = wait_ms;
    if (!n)
        return dm_error_set(reterr, DEVMGR_EINVALID, "empty; a Kubernetes Pod is wanted, YAML or JSON");
    return dm_client_exchange(c,
                              &(struct dm_exchange){.method = "AdmitEach",
                                                    .request = m,
                                                    .response = &devmgr__v1alpha1__admission__descriptor,
                                                    .streaming = true,
                                                    .take = take_admission,
                                                    .arg = &v},
                              reterr);
}

static int take_options(void *arg, struct dm_arena *a, const void *response, bool *bad) {
    struct visit *v = arg;
    return v->options(v->arg, dm_decode_options(a, response, bad));
}

int dm_client_options(struct dm_client *c, const char *pod_uid, const char *container, unsigned flags,
                      int (*visit)(void *, const devmgr_options *), void *arg, devmgr_error *reterr) {
    DM_CLEANUP(dm_arena_free) struct dm_arena a = {0};
    struct visit v = {.arg = arg, .options = visit};
    PB(ContainerOptionsRequest) *m = PB_NEW(&a, container_options_request);
    m->pod_uid = dm_pb_text(pod_uid);
    m->container = dm_pb_text(container);
    m->no_prestart = (flags & DEVMGR_NO_PRESTART) != 0;
    return dm_client_exchange(c,
                              &(struct dm_exchange){.method = "ContainerOptions",
                                                    .request = m,
                                                    .response = &devmgr__v1alpha1__options__descriptor,
                                                    .take = take_options,
                                                    .arg = &v},
                              reterr);
}

static int take_released(void *arg, struct dm_arena *a, const void *response, bool *bad) {
    struct visit *v = arg;
    const PB(Released) *m = response;
    int r = 0;
    for (size_t i = 0; r == 0 && i < m->n_released; i++)
        r = v->uid(v->arg, dm_decode_text(a, m->released[i], bad));
    return r;
}

static int released(struct dm_client *c, const char *method, const void *request, struct visit *v,
                    devmgr_error *reterr) {
    return dm_client_exchange(c,
                              &(struct dm_exchange){.method = method,
                                                    .request = request,
                                                    .response = &devmgr__v1alpha1__released__descriptor,
                                                    .timeout_ms = CHANGE_MS,
                                                    .take = take_released,
                                                    .arg = v},
                              reterr);
}

int dm_client_release(struct dm_client *c, const char *pod_uid, int (*visit)(void *, const char *), void *arg,
                      devmgr_error *reterr) {
    DM_CLEANUP(dm_arena_free) struct dm_arena a = {0};
    struct visit v = {.arg = arg, .uid = visit};
    PB(ReleaseRequest) *m = PB_NEW(&a, release_request);
    m->pod_uid = dm_pb_text(pod_uid);
    return released(c, "Release", m, &v, reterr);
}

int dm_client_sync(struct dm_client *c, const char *const *pod_uids, size_t n, uint64_t as_of, unsigned flags,
                   int (*visit)(void *, const char *), void *arg, devmgr_error *reterr) {
    DM_CLEANUP(dm_arena_free) struct dm_arena a = {0};
    struct visit v = {.arg = arg, .uid = visit};
    PB(SyncRequest) *m = PB_NEW(&a, sync_request);
    m->n_pod_uids = n;
    m->pod_uids = dm_arena_array(&a, n, sizeof *m->pod_uids);
    for (size_t i = 0; i < n; i++)
        m->pod_uids[i] = dm_pb_text(pod_uids[i]);
    m->none = n == 0;
    m->as_of = as_of;
    m->dry_run = (flags & DEVMGR_DRY_RUN) != 0;
    return released(c, "Sync", m, &v, reterr);
}
