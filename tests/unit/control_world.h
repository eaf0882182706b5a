/* control_world.h -- a control server on a thread of its own over a pretended devmgr.h, for the tests of src/control.
 *
 * The pretended manager knows two resources, two pods and pod names with a fate ("later", "never", "hang"). Everything it
 * has is touched on the server's thread only, but for what is set before the start and `_Atomic`. */
#ifndef CONTROL_WORLD_H
#define CONTROL_WORLD_H
#include "base/list.h"
#include "base/mem.h"
#include "check.h"
#include "control/client.h"
#include "control/control.h"
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct devmgr {
    uv_loop_t loop;
    struct dm_control *control;
    devmgr_admit_cb hanging; /* of the pod "hang" */
    void *hanging_arg;
    _Atomic int admitted, released, hangs;
    size_t n_devices;
    size_t flood; /* events to send at an admission of "flood" */
    _Atomic bool flooded;
};
struct world {
    struct devmgr m;
    char dir[64], path[96];
    const char *group;
    uv_async_t stop;
    pthread_t thread;
    pthread_barrier_t up;
    int started;
    devmgr_error err;
};

/* ---- later ----------------------------------------------------------------------------------------------------- */

struct later {
    uv_timer_t timer;
    devmgr *m;
    devmgr_admit_cb admit;
    devmgr_options_cb options;
    devmgr_done_cb done;
    void *arg;
    int status;
    char name[64];
};

static inline void free_later(uv_handle_t *h) {
    free(h->data);
}

static inline struct later *later(devmgr *m, uv_timer_cb run, void *arg, const char *name) {
    struct later *l = DM_NEW(struct later);
    l->m = m, l->arg = arg;
    snprintf(l->name, sizeof l->name, "%s", name);
    uv_timer_init(&m->loop, &l->timer);
    l->timer.data = l;
    uv_timer_start(&l->timer, run, 0, 0);
    return l;
}

static inline void end_later(struct later *l) {
    uv_close((uv_handle_t *)&l->timer, free_later);
}

/* ---- what there is --------------------------------------------------------------------------------------------- */

static const devmgr_claim world_claim = {.pod_uid = "u-web",
                                         .pod_namespace = "default",
                                         .pod_name = "web",
                                         .container = "c",
                                         .resource = "example.com/gpu",
                                         .device = "gpu-1",
                                         .numa = 2,
                                         .health = DEVMGR_UNHEALTHY,
                                         .is_new = 1};
static const devmgr_claim *const world_claims[] = {&world_claim};
static const devmgr_held_container world_c = {"c", DEVMGR_APP, 2, 1, world_claims};
static const devmgr_held_container *const world_containers[] = {&world_c};
static const devmgr_held_pod world_web = {"u-web", "default", "web", "", 41, 1, world_containers};
static const devmgr_held_pod world_bare = {"u-bare", "kube-system", "bare", "", 42, 0, NULL};
static const devmgr_resource world_gpu = {"example.com/gpu", 4, 3, 1, 0, DEVMGR_CONNECTED, ""};
static const devmgr_resource world_nic = {"example.com/nic", 0, 0, 0, 0, DEVMGR_REMOVED, "gone"};

int devmgr_each_resource(devmgr *m, int (*visit)(void *, const devmgr_resource *), void *arg) {
    (void)m;
    int r = visit(arg, &world_gpu);
    return r ? r : visit(arg, &world_nic);
}

int devmgr_each_device(devmgr *m, const char *resource, int (*visit)(void *, const devmgr_device *),
                       void *arg) {
    if (resource && strcmp(resource, "example.com/gpu"))
        return -ENOENT;
    for (size_t i = 0; i < m->n_devices; i++) {
        char id[32];
        snprintf(id, sizeof id, "gpu-%zu", i);
        const devmgr_device d = {"example.com/gpu", id, 1, DEVMGR_HEALTHY, i == 1 ? &world_claim : NULL};
        int r = visit(arg, &d);
        memset(id, 'x', sizeof id - 1); /* what a visitor keeps beyond the visit shows */
        if (r)
            return r;
    }
    return 0;
}

int devmgr_each_pod(devmgr *m, int (*visit)(void *, const devmgr_held_pod *), void *arg) {
    (void)m;
    int r = visit(arg, &world_web);
    return r ? r : visit(arg, &world_bare);
}

int devmgr_each_claim(devmgr *m, const char *uid, int (*visit)(void *, const devmgr_claim *), void *arg) {
    (void)m, (void)uid;
    return visit(arg, &world_claim);
}

int devmgr_each_health_change(devmgr *m, const char *resource, const char *id,
                              int (*visit)(void *, const devmgr_health_change *), void *arg) {
    (void)m, (void)resource, (void)id, (void)visit, (void)arg;
    return -ENOSYS;
}

int devmgr_hints(devmgr *m, const devmgr_pod *p, const char *container, devmgr_hint_cb visit, void *arg) {
    static const devmgr_hint rows[] = {{"example.com/fpga", DEVMGR_HINT_IMPOSSIBLE, 0, 0},
                                       {"example.com/gpu", DEVMGR_HINT, 1, 2},
                                       {"example.com/gpu", DEVMGR_HINT, 0, 3},
                                       {"example.com/gpu", DEVMGR_HINT_MORE, 0, 0},
                                       {"example.com/nic", DEVMGR_HINT_ANY, 0, 0}};
    (void)m;
    if (container && strcmp(container, "c"))
        return -ENOENT;
    if (strncmp(devmgr_pod_name(p), "many", 4))
        for (size_t i = 0; i < DM_COUNT(rows); i++)
            visit(arg, &rows[i]);
    for (size_t i = 0; !strncmp(devmgr_pod_name(p), "many", 4) && i < 12 * (size_t)70000; i++) {
        char resource[] = "a.b/x"; /* a ... l, 70 000 of each */
        resource[4] = (char)('a' + i / 70000);
        visit(arg, &(devmgr_hint){resource, DEVMGR_HINT, 0, i + 1});
        memset(resource, 'x', sizeof resource - 1);
    }
    return 0;
}

int devmgr_explain(devmgr *m, const devmgr_pod *pod, int (*write)(void *, const char *, size_t), void *arg,
                   devmgr_error *reterr) {
    static const char head[] = "{\"pod\":\"", tail[] = "\",\"verdict\":\"not_yet\",\"nodes\":[{\"node\":0}]}";
    const char *uid = devmgr_pod_uid(pod);
    (void)m;
    if (!strcmp(devmgr_pod_name(pod), "never")) {
        snprintf(reterr->message, sizeof reterr->message, "pod %s: not to be explained", uid);
        return DEVMGR_EINVALID;
    }
    int r = write(arg, head, strlen(head));
    r = r ? r : write(arg, uid, strlen(uid));
    return r ? r : write(arg, tail, strlen(tail));
}

uint64_t devmgr_revision(devmgr *m) {
    (void)m;
    return 43;
}

int devmgr_new_node(devmgr *m) {
    (void)m;
    return 1;
}

int devmgr_check(devmgr *m, devmgr_error *reterr) {
    (void)m;
    if (reterr)
        snprintf(reterr->message, sizeof reterr->message, "disk full");
    return -ENOSPC;
}

uint64_t devmgr_node_allocatable(devmgr *m, const char *uid, const char *resource, uint64_t allocatable) {
    (void)m, (void)uid, (void)resource;
    return allocatable + 1;
}

int devmgr_metrics(devmgr *m, int (*write)(void *, const char *, size_t), void *arg) {
    (void)m;
    return write(arg, "up 1\n", 5);
}

/* ---- changes --------------------------------------------------------------------------------------------------- */

static inline void flood(devmgr *m) {
    DM_FREE char *text = dm_alloc(64 * 1024 + 1);
    memset(text, 'x', 64 * 1024);
    for (size_t i = 0; i < m->flood; i++) {
        const devmgr_event ev = {.type = DEVMGR_EV_LOG, .level = 6, .revision = 100 + i, .message = text};
        dm_control_event(m->control, &ev);
    }
    m->flooded = true;
}

static inline void answer_admit(uv_timer_t *t) {
    struct later *l = t->data;
    const devmgr_admission refused = {.verdict = DEVMGR_REFUSED,
                                      .cause = DEVMGR_HELD_UNHEALTHY,
                                      .detail = "replace it",
                                      .reason = "UnexpectedAdmissionError",
                                      .message = "no"},
                           not_yet = {.verdict = DEVMGR_NOT_YET,
                                      .cause = DEVMGR_INSUFFICIENT_DEVICES,
                                      .resource = "example.com/gpu",
                                      .retry_after_ms = 500},
                           admitted = {.n_claims = 1, .claims = world_claims, .pod = &world_web};
    if (!strcmp(l->name, "flood"))
        flood(l->m);
    if (strcmp(l->name, "never") && strcmp(l->name, "later"))
        l->m->admitted++;
    l->admit(l->arg, !strcmp(l->name, "never") ? &refused : !strcmp(l->name, "later") ? &not_yet : &admitted);
    end_later(l);
}

int devmgr_admit(devmgr *m, const devmgr_pod *pod, devmgr_admit_cb cb, void *arg, devmgr_error *reterr) {
    (void)reterr;
    if (!strcmp(devmgr_pod_name(pod), "busy"))
        return -EALREADY;
    if (!strcmp(devmgr_pod_name(pod), "hang")) {
        m->hanging = cb, m->hanging_arg = arg, m->hangs++;
        return 0;
    }
    later(m, answer_admit, arg, devmgr_pod_name(pod))->admit = cb;
    return 0;
}

static inline void cancel_hanging(devmgr *m) {
    const devmgr_admission canceled = {.verdict = DEVMGR_CANCELED, .detail = "released"};
    devmgr_admit_cb cb = DM_MOVE(m->hanging);
    if (cb)
        cb(m->hanging_arg, &canceled);
}

static inline void answer_options(uv_timer_t *t) {
    struct later *l = t->data;
    static const devmgr_pair env = {"GPU", "gpu-1"};
    static const devmgr_pair *const envs[] = {&env};
    const devmgr_options options = {.n_envs = 1, .envs = envs};
    const devmgr_error err = {-EIO, "PreStartContainer failed"};
    if (l->status < 0)
        l->options(l->arg, -EIO, NULL, &err);
    else
        l->options(l->arg, 0, &options, NULL);
    end_later(l);
}

int devmgr_container_options(devmgr *m, const char *uid, const char *container, unsigned flags,
                             devmgr_options_cb cb, void *arg) {
    if (strcmp(uid, "u-web"))
        return -ENOENT;
    struct later *l = later(m, answer_options, arg, container);
    l->options = cb;
    l->status = flags & DEVMGR_NO_PRESTART ? 0 : -1; /* PreStartContainer fails here */
    return 0;
}

static inline void answer_done(uv_timer_t *t) {
    struct later *l = t->data;
    const char *uids[] = {l->name};
    l->done(l->arg, 0, uids, !strcmp(l->name, "u-web"), NULL);
    end_later(l);
}

int devmgr_release(devmgr *m, const char *uid, devmgr_done_cb cb, void *arg) {
    m->released++;
    cancel_hanging(m);
    later(m, answer_done, arg, uid)->done = cb;
    return 0;
}

int devmgr_init_done(devmgr *m, const char *uid, devmgr_done_cb cb, void *arg) {
    return devmgr_release(m, uid, cb, arg);
}

int devmgr_release_container(devmgr *m, const char *uid, const char *container, devmgr_done_cb cb,
                             void *arg) {
    (void)container;
    return devmgr_release(m, uid, cb, arg);
}

int devmgr_sync(devmgr *m, const char *const *uids, size_t n, uint64_t as_of, unsigned flags,
                devmgr_done_cb cb, void *arg) {
    bool lives = as_of < 41;
    (void)flags;
    for (size_t i = 0; i < n; i++)
        lives |= !strcmp(uids[i], "u-web");
    later(m, answer_done, arg, lives ? "" : "u-web")->done = cb;
    return 0;
}

int devmgr_claim_record(devmgr *m, const char *uid, const char *container,
                        int (*write)(void *, const char *, size_t), void *arg) {
    (void)m, (void)uid, (void)container;
    return write(arg, "{}", 2);
}

int devmgr_adopt(devmgr *m, const devmgr_pod *pod, const char *container, const char *record,
                 devmgr_done_cb cb, void *arg, devmgr_error *reterr) {
    (void)container, (void)record, (void)reterr;
    later(m, answer_done, arg, devmgr_pod_uid(pod))->done = cb;
    return 0;
}

int devmgr_forget_resource(devmgr *m, const char *resource) {
    (void)m;
    return strcmp(resource, "example.com/nic") ? -EBUSY : 0;
}

/* ---- the server's thread --------------------------------------------------------------------------------------- */

static inline void on_stop(uv_async_t *stop) {
    struct world *w = stop->data;
    dm_control_close(w->m.control, NULL, NULL);
    cancel_hanging(&w->m); /* as devmgr_close does */
    uv_close((uv_handle_t *)stop, NULL);
}

static inline void *serve_world(void *arg) {
    struct world *w = arg;
    uv_loop_init(&w->m.loop);
    uv_async_init(&w->m.loop, &w->stop, on_stop);
    w->stop.data = w;
    w->started = dm_control_start(&w->m.loop, &w->m, w->path, w->group, &w->m.control, &w->err);
    pthread_barrier_wait(&w->up);
    if (w->started < 0)
        uv_close((uv_handle_t *)&w->stop, NULL);
    uv_run(&w->m.loop, UV_RUN_DEFAULT);
    uv_loop_close(&w->m.loop);
    return NULL;
}

static inline void world_start(struct world *w) {
    pthread_barrier_init(&w->up, NULL, 2);
    pthread_create(&w->thread, NULL, serve_world, w);
    pthread_barrier_wait(&w->up);
}

static inline void world_make(struct world *w) {
    *w = (struct world){0};
    snprintf(w->dir, sizeof w->dir, "/tmp/devmgr-test.XXXXXX");
    CHECK(mkdtemp(w->dir));
    snprintf(w->path, sizeof w->path, "%s/devmgr.sock", w->dir);
    w->m.n_devices = 3;
}

static inline void world_open(struct world *w) {
    world_make(w);
    world_start(w);
    CHECK_STR(w->err.message, "");
    CHECK_INT(w->started, 0);
}

static inline void world_stop(struct world *w) {
    uv_async_send(&w->stop);
    pthread_join(w->thread, NULL);
}

static inline void world_close(struct world *w) {
    world_stop(w);
    CHECK_INT(access(w->path, F_OK), -1);
    CHECK_INT(rmdir(w->dir), 0);
}

static inline struct dm_client *world_client(struct world *w) {
    struct dm_client *c = NULL;
    devmgr_error err = {0};
    dm_client_open(w->path, 0, &c, &err);
    CHECK_STR(err.message, "");
    return c;
}
#endif
