/* kubelet.c -- a kubelet in one file, with devices from libdevmgr. docs/embedding.md walks through it.
 *
 * Usage: kubelet ROOT [CONFIG]. CONFIG is a file as devmgrd.conf(5) has it. Pods come from an API server and go into a
 * container runtime: world.h is both. What ends is started again, always.
 * look() takes every pod one step further; it runs each LOOK_MS and when something was answered:
 *
 *   NEW ─► ADMITTING ─admitted─► ACTIVE ─deleted─► ENDING ─all ended─► RELEASING ─► OVER ─deleted─► gone
 *    ▲         │ └─── refused, deleted ──────────────▲
 *    └─NOT_YET─┘
 *
 * (1) A pod's devices are released when its last container has ended, not before.
 * (2) After a restart: first look what there is, then say it with devmgr_sync, then admit all of it again.
 * (3) The callback of devmgr_release is the last that names a pod: then its memory may go. */
#include "world.h"
#include <devmgr.h>

enum { LOOK_MS = 250, RESTART_MS = 1000, WAIT_MS = 60000 };
struct container {
    struct pod *pod;
    const char *name;
    const json_t *command; /* in pod->manifest */
    enum container_state state;
    int kind, restarts, exit_code;
    uint64_t not_before; /* of the next start */
    char id[512];        /* for the runtime */
};
struct pod {
    struct pod *next;
    enum { NEW, ADMITTING, ACTIVE, ENDING, RELEASING, OVER } stage;
    char *uid;
    json_t *manifest, *phase, *status; /* phase: with reason and message; status: as it was put last */
    devmgr_pod *request;               /* NULL: no valid Pod */
    int deleted, started, init_done;   /* started: some container ran once */
    size_t n;
    struct container *containers; /* in the order they start */
};
static uv_loop_t loop;
static uv_timer_t timer;
static uv_signal_t stop;
static devmgr *manager; /* NULL: closing */
static struct pod *pods;

static void look(uv_timer_t *tick);

/* ---- what the API server is told ------------------------------------------------------------------------------------ */

static int add_resource(void *node, const devmgr_resource *r) {
    json_t *row = json_pack("{s:I,s:I}", "capacity", r->capacity, "allocatable", r->allocatable);
    return json_object_set_new(node, r->name, row);
}

static void put_node(void) {
    static json_t *last;
    json_t *node = json_object();
    devmgr_each_resource(manager, add_resource, node);
    api_put("node", node, &last);
}

/* In a pod's status health has three words: what is Missing reads Unknown there. */
static int add_claim(void *row, const devmgr_claim *claim) {
    int health = claim->health == DEVMGR_MISSING ? DEVMGR_UNKNOWN : claim->health;
    if (!strcmp(claim->container, json_string_value(json_object_get(row, "name"))))
        api_add_device(row, claim->resource, claim->device, devmgr_health_name(health));
    return 0;
}

static void put_status(struct pod *p) {
    json_t *status = json_copy(p->phase), *rows = json_array();
    for (struct container *c = p->containers; c < p->containers + p->n; c++) {
        json_t *row = api_container_status(c->name, c->state, c->restarts);
        devmgr_each_claim(manager, p->uid, add_claim, row);
        json_array_append_new(rows, row);
    }
    json_object_set_new(status, "containerStatuses", rows);
    api_put(world_path("status", p->uid), status, &p->status);
}

static void set_phase(struct pod *p, const char *phase, const char *reason, const char *message) {
    json_decref(p->phase);
    p->phase = json_pack("{s:s,s:s,s:s}", "phase", phase, "reason", reason, "message", message);
    printf("%s: %s%s%s%s%s\n", p->uid, phase, *reason ? ": " : "", reason, *message ? ": " : "", message);
}

static void on_event(void *arg, const devmgr_event *ev) {
    (void)arg;
    if (ev->type == DEVMGR_EV_RESOURCE && manager) {
        printf("node: %s %d/%d\n", ev->resource, (int)ev->changed->allocatable, (int)ev->changed->capacity);
        put_node();
    } else if (ev->type == DEVMGR_EV_CLAIM_HEALTH) {
        printf("%s: %s is %s\n", ev->pod_uid, ev->claim->device, devmgr_health_name(ev->claim->health));
        look(NULL);
    } else if (ev->message && ev->level <= 4)
        printf("devmgr: %s\n", ev->message);
}

/* ---- a pod's life ---------------------------------------------------------------------------------------------------- */

static struct pod *add_pod(const char *uid, json_t *manifest, const char *text) {
    json_t *spec = json_object_get(manifest, "spec"), *one, *failed;
    json_t *lists[] = {json_object_get(spec, "initContainers"), json_object_get(spec, "containers")};
    devmgr_error err = {.message = "no Pod"};
    size_t i, used;
    struct pod *p = calloc(1, sizeof *p);
    *p = (struct pod){.next = pods, .uid = strdup(uid), .manifest = json_incref(manifest)};
    pods = p;
    set_phase(p, "Pending", "", "");
    if (devmgr_pod_from_manifest(text, strlen(text), &used, &p->request, &err) < 0 || !p->request) {
        set_phase(p, "Failed", "InvalidPod", err.message);
        return p->stage = OVER, p;
    }
    p->containers = calloc(json_array_size(lists[0]) + json_array_size(lists[1]), sizeof *p->containers);
    for (int app = 0; app < 2; app++)
        json_array_foreach(lists[app], i, one) {
            struct container *c = &p->containers[p->n++];
            c->pod = p, c->name = json_string_value(json_object_get(one, "name"));
            c->command = json_object_get(one, "command");
            int init = json_object_get(one, "restartPolicy") ? DEVMGR_SIDECAR : DEVMGR_PLAIN_INIT;
            c->kind = app ? DEVMGR_APP : init;
            snprintf(c->id, sizeof c->id, "%s.%s", uid, c->name);
        }
    if ((failed = api_failed(uid))) /* before our restart: it stays so */
        json_decref(p->phase), p->phase = failed, p->stage = ENDING;
    return p;
}

/* Asked without a wait first, so that the status says at once what is missing; then again, to be woken when it comes. */
static void on_admitted(void *arg, const devmgr_admission *result) {
    struct pod *p = arg;
    if (p->stage != ADMITTING)
        return; /* deleted meanwhile: CANCELED */
    if (result->verdict == DEVMGR_ADMITTED) {
        p->stage = ACTIVE;
    } else if (result->verdict == DEVMGR_NOT_YET) {
        set_phase(p, "Pending", result->reason, result->detail);
        devmgr_pod_wait(p->request, WAIT_MS);
        p->stage = NEW;
    } else if (result->verdict == DEVMGR_REFUSED) {
        set_phase(p, "Failed", result->reason, result->message);
        p->stage = ENDING;
    }
    look(NULL);
}

/* What runs already keeps its devices, also when the plugin is away or they are not healthy any more. */
static void admit(struct pod *p) {
    for (struct container *c = p->containers; c < p->containers + p->n; c++)
        if (c->state == RUNNING)
            devmgr_pod_running(p->request, c->name);
    p->stage = devmgr_admit(manager, p->request, on_admitted, p, NULL) == 0 ? ADMITTING : NEW;
}

static void on_options(void *arg, int status, const devmgr_options *options, const devmgr_error *err) {
    struct container *c = arg;
    c->not_before = uv_now(&loop) + RESTART_MS;
    if (status < 0)
        printf("%s: %s cannot be created: %s\n", c->pod->uid, c->name, err->message);
    if (status < 0 || c->pod->stage != ACTIVE)
        return;
    printf("%s: %s starts, with %zu devices\n", c->pod->uid, c->name, options->n_devices);
    c->restarts += c->state == TERMINATED;
    container_start(&loop, c->id, c->command, options);
}

/* Init containers one after another, sidecars among them, then the others; and again what has ended. */
static void run(struct pod *p) {
    for (struct container *c = p->containers; c < p->containers + p->n; c++) {
        int done = c->kind == DEVMGR_PLAIN_INIT && c->state == TERMINATED && c->exit_code == 0;
        if (c->kind == DEVMGR_APP && !p->init_done) {
            p->init_done = 1;
            set_phase(p, "Running", "", "");
            devmgr_init_done(manager, p->uid, NULL, NULL); /* frees what plain init containers alone held */
        }
        if (!done && c->state != RUNNING && uv_now(&loop) >= c->not_before &&
            devmgr_container_options(manager, p->uid, c->name, 0, on_options, c) == 0)
            c->not_before = UINT64_MAX; /* until on_options */
        if (c->kind == DEVMGR_PLAIN_INIT ? !done : c->kind == DEVMGR_SIDECAR && c->state != RUNNING)
            return;
    }
}

static void on_released(void *arg, int status, const char *const *uids, size_t n, const devmgr_error *err) {
    struct pod *p = arg;
    (void)uids;
    printf("%s: %s\n", p->uid, status < 0 ? err->message : n ? "its devices are free" : "holds nothing");
    p->stage = OVER;
    look(NULL);
}

static void end(struct pod *p) {
    int left = 0;
    for (struct container *c = p->containers; c < p->containers + p->n; left += c++->state == RUNNING)
        container_kill(c->id);
    if (!left && devmgr_release(manager, p->uid, on_released, p) == 0)
        p->stage = RELEASING;
}

static void remove_pod(struct pod *p) {
    for (struct container *c = p->containers; c < p->containers + p->n; c++)
        container_remove(c->id);
    api_remove(p->uid);
    devmgr_pod_free(p->request), json_decref(p->manifest), json_decref(p->phase), json_decref(p->status);
    free(p->containers), free(p->uid), free(p);
}

/* ---- the loop -------------------------------------------------------------------------------------------------------- */

static void see_pod(const char *uid, json_t *manifest, const char *text) {
    struct pod *p = pods;
    while (p && strcmp(p->uid, uid))
        p = p->next;
    if (!p && manifest)
        p = add_pod(uid, manifest, text);
    if (p)
        p->deleted = json_object_get(json_object_get(manifest, "metadata"), "deletionTimestamp") != NULL;
}

/* Half a list is no list: nothing may be ended because of what it lacks. */
static int observe(void) {
    for (struct pod *p = pods; p; p = p->next)
        p->deleted = 1; /* unless it is in the list */
    if (api_list(see_pod) < 0)
        return -1;
    for (struct pod *p = pods; p; p = p->next)
        for (struct container *c = p->containers; c < p->containers + p->n; c++)
            c->state = container_look(c->id, &c->exit_code), p->started |= c->state != WAITING;
    return 0;
}

static void look(uv_timer_t *tick) {
    (void)tick;
    if (!manager || observe() < 0)
        return;
    for (struct pod **at = &pods, *p; (p = *at);) {
        if (p->deleted && p->stage < ENDING)
            p->stage = ENDING;
        if (p->stage == NEW)
            admit(p);
        else if (p->stage == ACTIVE)
            run(p);
        else if (p->stage == ENDING)
            end(p);
        put_status(p);
        if (p->stage != OVER || !p->deleted)
            at = &p->next;
        else
            *at = p->next, remove_pod(p);
    }
}

static void on_synced(void *arg, int status, const char *const *uids, size_t n, const devmgr_error *err) {
    (void)arg, (void)status, (void)err; /* what could not be saved is in the log, and tried again */
    for (size_t i = 0; i < n; i++)
        printf("%s: lives no more, its devices are free\n", uids[i]);
    uv_timer_start(&timer, look, 0, LOOK_MS);
}

/* The revision comes before the list: who is admitted after it cannot be in the list, and is spared. */
static void say_what_lives(uv_timer_t *tick) {
    uint64_t as_of = devmgr_revision(manager);
    size_t n = 0;
    const char **uids = NULL;
    if (observe() < 0)
        return; /* at the next tick */
    container_end_orphans();
    for (struct pod *p = pods; p; p = p->next)
        if (p->started) /* another one has nothing to lose: it is given devices anew */
            uids = realloc(uids, (n + 1) * sizeof *uids), uids[n++] = p->uid;
    devmgr_sync(manager, uids, n, as_of, 0, on_synced, NULL);
    uv_timer_stop(tick);
    free(uids);
}

static void on_stop(uv_signal_t *handle, int number) {
    (void)number; /* the containers run on */
    devmgr_close(manager, NULL, NULL);
    manager = NULL;
    uv_close((uv_handle_t *)handle, NULL), uv_close((uv_handle_t *)&timer, NULL);
}

int main(int argc, char **argv) {
    devmgr_config *config = devmgr_config_new();
    devmgr_error err = {.message = "usage: kubelet ROOT [CONFIG]"};
    int rc = argc < 2 ? -1 : devmgr_config_set(config, "root", argv[1], &err);
    if (rc == 0 && argc > 2)
        rc = devmgr_config_load(config, argv[2], &err);
    uv_loop_init(&loop);
    if (rc == 0)
        rc = devmgr_open(&loop, config, on_event, NULL, &manager, &err);
    devmgr_config_free(config);
    if (rc < 0)
        return fprintf(stderr, "kubelet: %s\n", err.message), 1;
    world_enter(argv[1]);
    uv_timer_init(&loop, &timer);
    uv_signal_init(&loop, &stop);
    uv_signal_start(&stop, on_stop, SIGTERM);
    uv_timer_start(&timer, say_what_lives, 0, LOOK_MS);
    put_node();
    return uv_run(&loop, UV_RUN_DEFAULT);
}
