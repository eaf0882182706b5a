/* world.c -- see world.h. */
#include "world.h"
#include "base/status.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

char *complaint_kind;

_Noreturn void complain(const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    fputs("# wrong: ", stdout);
    vprintf(format, ap);
    putchar('\n');
    va_end(ap);
    if (complaint_kind)
        snprintf(complaint_kind, COMPLAINT, "%s", format);
    fflush(NULL);
    _Exit(9);
}

bool story_is_told;

void story(const char *format, ...) {
    va_list ap;
    if (!story_is_told)
        return;
    va_start(ap, format);
    fputs("#            ", stdout);
    vprintf(format, ap);
    putchar('\n');
    va_end(ap);
}

/* ---- names --------------------------------------------------------------------------------------------------------- */

int number_of(const char *const *names, int n, const char *name) {
    for (int i = 0; i < n; i++)
        if (!strcmp(names[i], name))
            return i;
    complain("\"%s\": no such name in this world", name);
}

int pod_number(const char *uid) {
    if (uid[0] != 'p' || uid[1] < '0' || uid[1] >= '0' + PODS || uid[2])
        complain("\"%s\": no such pod in this world", uid);
    return uid[1] - '0';
}

int device_number(const char *id) {
    if (id[0] != 'd' || id[1] < '0' || id[1] >= '0' + DEVICES || id[2])
        complain("\"%s\": no such device in this world", id);
    return id[1] - '0';
}

const char *pod_name(int pod) {
    static const char *const names[PODS] = {"p0", "p1", "p2", "p3", "p4", "p5"};
    return names[pod];
}

int resource_number(const char *name) {
    return number_of(resource_names, RESOURCES, name);
}

int container_number(const char *name) {
    return number_of(container_names, CONTAINERS, name);
}

/* ---- the drain ------------------------------------------------------------------------------------------------------ */

static void carry_out(struct world *w, struct dm_action *a) {
    switch (a->kind) {
    case DM_DO_CALL:
        plugins_called(w, a->call);
        break;
    case DM_DO_CANCEL:
        plugins_canceled(w, a->cancel);
        break;
    case DM_DO_SAVE:
        disk_begin(w, a->snapshot, a->durable);
        break;
    case DM_DO_ANSWER:
        dm_answer_deliver(a->answer);
        break;
    case DM_DO_EVENT:
        look_event(w, a->event);
    }
}

/* It asked a plugin in vain, or waited for one that was busy until its time was over: it tries again in a minute. */
static bool backs_off(const struct world *w, const struct model_pod *p) {
    uint64_t now = w->model.now;
    bool busy = false;
    for (int r = 0; r < RESOURCES; r++)
        busy |= w->model.resources[r].answered_at && now < w->model.resources[r].answered_at + 61000;
    return (p->called_at && now < p->called_at + 61000) || (busy && now >= p->asked_at + 60000);
}

/* Whoever was asked without a wish to wait is answered, or something is open for it. */
static void check_progress(const struct world *w, int pod) {
    const struct model_pod *p = &w->model.pods[pod];
    bool open = w->saving || dm_manager_unsaved(w->m);
    for (size_t i = 0; i < w->n_calls; i++)
        for (int c = 0; c < CONTAINERS && w->calls[i].rpc != DM_RPC_PRESTART; c++)
            open |= w->model.one_queue || w->calls[i].pod == pod || p->ask.count[c][w->calls[i].resource];
    if (open)
        return;
    if (!p->ask.wait_ms || w->model.now >= p->asked_at + p->ask.wait_ms)
        complain("the admission of %s is not answered, and nothing is open for it", pod_name(pod));
    if (model_could_pass(&w->model, pod) && !backs_off(w, p))
        complain("%s waits, and all that it needs is there", pod_name(pod));
}

void world_drain(struct world *w) {
    struct dm_action a;
    w->draining = true;
    while (dm_manager_next(w->m, &a))
        carry_out(w, &a);
    w->draining = false;
    if (!w->unchecked)
        dm_manager_check(w->m);
    look_compare(w);
    caller_ask_for_a_stranger(w);
    for (int p = 0; p < PODS; p++) {
        const struct model_pod *x = &w->model.pods[p];
        if (x->pending && x->released_in == w->model.step && x->asked_in != w->model.step)
            complain("%s was released, and its admission goes on", pod_name(p));
        if (x->pending)
            check_progress(w, p);
    }
}

/* ---- time ----------------------------------------------------------------------------------------------------------- */

static uint64_t next_moment(const struct world *w, uint64_t end) {
    uint64_t wake = dm_manager_wake(w->m);
    for (size_t i = 0; i < w->n_calls; i++)
        if (w->calls[i].until < wake)
            wake = w->calls[i].until;
    return wake < end ? wake : end;
}

void world_pass(struct world *w, uint64_t ms) {
    uint64_t end = w->mono + ms;
    for (int i = 0; w->mono < end; i++) {
        uint64_t to = next_moment(w, end);
        if (i > 2000)
            complain("it wants to wake up for ever, at %llu, and it is %llu", (unsigned long long)to,
                     (unsigned long long)w->mono);
        if (to > w->mono) {
            w->unix_us += (to - w->mono) * 1000;
            w->mono = to;
        }
        w->model.step++;
        model_time(&w->model, w->mono);
        dm_manager_time(w->m, w->mono, w->unix_us);
        dm_manager_tick(w->m);
        do
            world_drain(w);
        while (plugins_time_out(w));
    }
}

/* ---- one event -------------------------------------------------------------------------------------------------------- */

void world_start(struct world *w) {
    w->m = dm_manager_new(&w->settings, plugins_decode, w->mono, w->unix_us);
    dm_manager_topology(w->m, &w->topology);
    if (w->model.provider)
        caller_join(w);
}

static void choose_topology(struct world *w, const struct event *e) {
    struct dm_numa numa;
    if (dm_numa_parse("0:10,20;1:20,10", &numa, NULL) < 0 ||
        dm_topology_parse(policy_names[e ? e->a % POLICIES : 0], e && e->b ? "pod" : "container", "", &numa,
                          &w->topology, NULL) < 0)
        complain("the topology's settings are refused");
}

void world_begin(struct world *w, const struct event *settings) {
    struct world empty = {0};
    *w = empty;
    dm_settings_init(&w->settings);
    if (settings && settings->kind == EV_SETTINGS) {
        int how = settings->how;
        w->model.one_queue = how & SET_ONE_QUEUE, w->model.skip_unknown = how & SET_SKIP;
        w->model.refuse_conflicts = how & SET_REFUSE;
        w->settings.serial = how & SET_ONE_QUEUE ? DM_SERIAL_NODE : DM_SERIAL_RESOURCE;
        w->settings.unknown_resource = how & SET_SKIP ? DM_UNKNOWN_SKIP : DM_UNKNOWN_WAIT;
        w->settings.conflicts = how & SET_REFUSE ? DM_CONFLICTS_REFUSE : DM_CONFLICTS_FIRST;
        w->settings.max_resources = how & SET_FEW ? 2 : 4096;
        w->model.provider = how & SET_PROVIDER;
        w->model.strict = settings->a % POLICIES >= 2;
    }
    choose_topology(w, settings && settings->kind == EV_SETTINGS ? settings : NULL);
    w->mono = w->model.now = 1000000;
    w->unix_us = UINT64_C(1700000000000000);
    w->writer = dm_checkpoint_writer_new();
    w->unchecked = getenv("UNCHECKED") != NULL;
    world_start(w);
    look_begin(w);
}

void world_do(struct world *w, const struct event *e) {
    w->model.step++;
    switch (e->kind) {
    case EV_SETTINGS:
        return;
    case EV_CONNECT:
    case EV_LIST:
    case EV_GONE:
    case EV_ANSWER:
    case EV_STARTED:
        plugins_do(w, e);
        break;
    case EV_SAVED:
        disk_saved(w, e->how % WRITTENS);
        break;
    case EV_PROVIDER:
        w->provider = e->how;
        break;
    case EV_SAVE_AGAIN:
        dm_manager_save_again(w->m);
        break;
    case EV_PASS:
        world_pass(w, e->a);
        return;
    case EV_RESTART:
        disk_restart(w, e);
        break;
    default:
        caller_do(w, e);
    }
    world_drain(w);
}

struct look world_look(const struct world *w) {
    struct look l = {.saving = w->saving != NULL};
    for (size_t i = 0; i < w->n_calls; i++)
        *(w->calls[i].rpc == DM_RPC_PRESTART ? &l.starting : &l.asked) |= 1u << w->calls[i].resource;
    for (int r = 0; r < RESOURCES; r++)
        l.connected |= w->model.resources[r].connected ? 1u << r : 0;
    for (int p = 0; p < PODS; p++) {
        l.pending |= w->model.pods[p].pending ? 1u << p : 0;
        l.admitted |= w->model.pods[p].admitted ? 1u << p : 0;
    }
    return l;
}

/* ---- the end ------------------------------------------------------------------------------------------------------------ */

/* All that is open is answered, well, until nothing is. */
static void let_go_on(struct world *w) {
    for (int i = 0; w->n_calls || w->saving; i++) {
        w->model.step++;
        if (i > 1000)
            complain("calls and saves follow each other for ever");
        if (w->saving)
            disk_saved(w, WRITTEN_OK);
        else
            plugins_answer(w, 0, OUT_OK, 0);
        world_drain(w);
    }
}

static void step(struct world *w, void (*what)(struct world *, int), int which) {
    w->model.step++;
    what(w, which);
    world_drain(w);
}

static void bring_back(struct world *w, int resource) {
    if (!w->model.resources[resource].connected)
        plugins_connect(w, resource, 0);
    if (w->model.resources[resource].connected)
        plugins_list(w, resource, w->generations, (1u << DEVICES) - 1, (1u << DEVICES) - 1, 0);
}

static void check_all_free(const struct world *w) {
    for (int p = 0; p < PODS; p++)
        for (int c = 0; c < CONTAINERS; c++)
            for (int r = 0; r < RESOURCES; r++)
                if (w->file.text && w->file.holds[p][c][r].devices)
                    complain("all is released, and the file still has %s/%s", pod_name(p),
                             container_names[c]);
    if (dm_manager_unsaved(w->m))
        complain("nothing is open, and not all is saved");
}

void world_end(struct world *w) {
    w->ending = true;
    w->provider = 0;
    for (int r = 0; r < RESOURCES; r++)
        step(w, bring_back, r);
    for (int i = 0; i < 3; i++) { /* those that wait for a moment pass now, or for ever wait */
        let_go_on(w);
        world_pass(w, 62000);
    }
    let_go_on(w);
    for (int p = 0; p < PODS; p++)
        step(w, caller_release, p);
    let_go_on(w);
    world_pass(w, 62000);
    let_go_on(w);
    caller_check_told(w);
    check_all_free(w);
    w->model.closing = true;
    dm_manager_close(w->m);
    world_drain(w);
    caller_free(w);
    dm_manager_free(w->m);
    disk_free(w);
    dm_settings_free(&w->settings);
}
