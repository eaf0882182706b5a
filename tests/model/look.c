/* look.c -- three pictures of the state: what the manager shows when asked, what its events said, and the model. */
#include "world.h"
#include <stdio.h>
#include <string.h>

/* ---- what its events say ------------------------------------------------------------------------------------------- */

static void see_pod(struct world *w, int pod, const devmgr_held_pod *x) {
    memset(w->health[pod], -1, sizeof w->health[pod]);
    for (size_t i = 0; x && i < x->n_containers; i++)
        for (size_t k = 0; k < x->containers[i]->n_claims; k++) {
            const devmgr_claim *c = x->containers[i]->claims[k];
            w->health[pod][container_number(c->container)][resource_number(c->resource)]
                     [device_number(c->device)] = (int8_t)c->health;
        }
}

static int see_claim(void *arg, const devmgr_claim *c) {
    struct world *w = arg;
    w->health[pod_number(c->pod_uid)][container_number(c->container)][resource_number(c->resource)]
             [device_number(c->device)] = (int8_t)c->health;
    return 0;
}

static int see_resource(void *arg, const devmgr_resource *x) {
    struct world *w = arg;
    int r = resource_number(x->name);
    w->rows[r].there = true;
    w->rows[r].capacity = x->capacity, w->rows[r].allocatable = x->allocatable, w->rows[r].plugin = x->plugin;
    return 0;
}

void look_begin(struct world *w) {
    memset(w->rows, 0, sizeof w->rows);
    memset(w->health, -1, sizeof w->health);
    dm_manager_each_resource(w->m, see_resource, w);
    dm_manager_each_claim(w->m, NULL, see_claim, w);
}

void look_event(struct world *w, const devmgr_event *e) {
    if (e->revision <= w->last_revision)
        complain("an event of revision %llu after one of %llu", (unsigned long long)e->revision,
                 (unsigned long long)w->last_revision);
    w->last_revision = e->revision;
    if (e->type == DEVMGR_EV_RESOURCE)
        see_resource(w, e->changed);
    else if (e->type == DEVMGR_EV_CLAIM_HEALTH)
        see_claim(w, e->claim);
    else if (e->type == DEVMGR_EV_ADMITTED || e->type == DEVMGR_EV_RELEASED)
        see_pod(w, pod_number(e->pod_uid), e->pod);
}

/* ---- what it shows ------------------------------------------------------------------------------------------------- */

struct shown {
    struct world *w;
    set resources, pods, devices[RESOURCES];
    set claims[PODS][CONTAINERS][RESOURCES];
};

static int health_of(const struct model_resource *r, int device) {
    if (!r->valid)
        return DEVMGR_UNKNOWN;
    return !(r->listing >> device & 1) ? DEVMGR_MISSING
           : r->healthy >> device & 1  ? DEVMGR_HEALTHY
                                       : DEVMGR_UNHEALTHY;
}

static int plugin_of(const struct model_resource *r) {
    if (r->connected)
        return r->listed ? DEVMGR_CONNECTED : DEVMGR_STARTING;
    return r->removed ? DEVMGR_REMOVED : DEVMGR_GONE;
}

static int compare_resource(void *arg, const devmgr_resource *x) {
    struct shown *s = arg;
    struct world *w = s->w;
    int i = resource_number(x->name);
    const struct model_resource *r = &w->model.resources[i];
    set sure;
    uint64_t most = (uint64_t)model_reserved(&w->model, i, &sure),
             held = (uint64_t)model_size(model_held(&w->model, i));
    uint64_t capacity = (uint64_t)model_size(r->listing),
             allocatable = (uint64_t)model_size(model_usable(&w->model, i));
    s->resources |= 1u << i;
    if (x->capacity != capacity || x->allocatable != allocatable || x->held != held ||
        x->plugin != plugin_of(r) || x->reserved > most || x->reserved < (uint64_t)model_size(sure))
        complain("%s: %llu/%llu, held %llu, reserved %llu, %s; should be %llu/%llu, held %llu, reserved %d "
                 "to %llu, %s",
                 x->name, (unsigned long long)x->capacity, (unsigned long long)x->allocatable,
                 (unsigned long long)x->held, (unsigned long long)x->reserved, devmgr_plugin_name(x->plugin),
                 (unsigned long long)capacity, (unsigned long long)allocatable, (unsigned long long)held,
                 model_size(sure), (unsigned long long)most, devmgr_plugin_name(plugin_of(r)));
    uint64_t raised = dm_manager_node_allocatable(w->m, pod_name(0), x->name, 1);
    if (raised != 1 && (raised != held || !s->w->model.pods[0].admitted))
        complain("%s: p0 is told %llu allocatable", x->name, (unsigned long long)raised);
    if (!w->rows[i].there || w->rows[i].capacity != x->capacity || w->rows[i].allocatable != x->allocatable ||
        w->rows[i].plugin != x->plugin)
        complain("%s: %llu/%llu, %s, and no event said so", x->name, (unsigned long long)x->capacity,
                 (unsigned long long)x->allocatable, devmgr_plugin_name(x->plugin));
    return 0;
}

static int compare_device(void *arg, const devmgr_device *x) {
    struct shown *s = arg;
    const struct model *m = &s->w->model;
    int r = resource_number(x->resource), d = device_number(x->id);
    bool held = model_held(m, r) >> d & 1;
    s->devices[r] |= 1u << d;
    if (x->health != health_of(&m->resources[r], d))
        complain("%s of %s is %s", x->id, x->resource, devmgr_health_name(x->health));
    if (held != (x->claim != NULL))
        complain("%s of %s is %s", x->id, x->resource, held ? "shown as free" : "shown as held");
    if (!x->claim)
        return 0;
    int p = pod_number(x->claim->pod_uid), c = container_number(x->claim->container);
    if (!(m->kept[p][c][r].devices >> d & 1))
        complain("%s of %s is shown as held by %s/%s", x->id, x->resource, pod_name(p), container_names[c]);
    return 0;
}

static int compare_claim(void *arg, const devmgr_claim *x) {
    struct shown *s = arg;
    int p = pod_number(x->pod_uid), c = container_number(x->container), r = resource_number(x->resource),
        d = device_number(x->device);
    const struct grant *g = &s->w->model.kept[p][c][r];
    s->claims[p][c][r] |= 1u << d;
    if (!(g->devices >> d & 1) || g->numa[d] != x->numa)
        complain("%s/%s is shown with %s of %s, nodes %#llx", x->pod_uid, x->container, x->device,
                 x->resource, (unsigned long long)x->numa);
    if (x->health != health_of(&s->w->model.resources[r], d))
        complain("%s of %s, held by %s, is shown as %s", x->device, x->resource, x->pod_uid,
                 devmgr_health_name(x->health));
    if (s->w->health[p][c][r][d] != x->health)
        complain("%s of %s, held by %s, is %s, and no event said so", x->device, x->resource, x->pod_uid,
                 devmgr_health_name(x->health));
    return 0;
}

static int compare_pod(void *arg, const devmgr_held_pod *x) {
    struct shown *s = arg;
    int p = pod_number(x->uid);
    struct model_pod *pod = &s->w->model.pods[p];
    set containers = 0;
    s->pods |= 1u << p;
    for (size_t i = 0; i < x->n_containers; i++) {
        int c = container_number(x->containers[i]->name);
        containers |= 1u << c;
        if (x->containers[i]->kind != (pod->kind[c] < 0 ? DEVMGR_APP : pod->kind[c]))
            complain("%s/%s is of kind %d", x->uid, container_names[c], x->containers[i]->kind);
    }
    if (containers != pod->containers)
        complain("%s has containers %#x, should have %#x", x->uid, containers, pod->containers);
    if (x->revision > dm_manager_revision(s->w->m))
        complain("%s was admitted at a revision that is still to come", x->uid);
    pod->revision = x->revision;
    return 0;
}

static void compare_books(const struct shown *s) {
    const struct model *m = &s->w->model;
    for (int p = 0; p < PODS; p++)
        for (int c = 0; c < CONTAINERS; c++)
            for (int r = 0; r < RESOURCES; r++) {
                if (s->claims[p][c][r] != m->kept[p][c][r].devices)
                    complain("%s/%s is shown with devices %#x of %s, should have %#x", pod_name(p),
                             container_names[c], s->claims[p][c][r], resource_names[r],
                             m->kept[p][c][r].devices);
                for (int d = 0; d < DEVICES; d++)
                    if (s->w->health[p][c][r][d] >= 0 && !(m->kept[p][c][r].devices >> d & 1))
                        complain("no event said that %s/%s lost d%d of %s", pod_name(p), container_names[c],
                                 d, resource_names[r]);
                if (m->told[p][c][r].devices & model_of_others(m, p, r, true) && !m->recovering)
                    complain("two pods have %s, %#x, and %s is one of them", resource_names[r],
                             m->told[p][c][r].devices, pod_name(p));
            }
}

void look_compare(struct world *w) {
    struct shown s = {.w = w};
    const struct model *m = &w->model;
    dm_manager_each_resource(w->m, compare_resource, &s);
    dm_manager_each_device(w->m, NULL, compare_device, &s);
    dm_manager_each_claim(w->m, NULL, compare_claim, &s);
    dm_manager_each_pod(w->m, compare_pod, &s);
    compare_books(&s);
    for (int p = 0; p < PODS; p++)
        if ((s.pods >> p & 1) != m->pods[p].admitted)
            complain("%s is %s", pod_name(p),
                     m->pods[p].admitted ? "not shown" : "shown, and was never admitted");
    for (int r = 0; r < RESOURCES; r++) {
        if ((s.resources >> r & 1) != m->resources[r].known)
            complain("%s is %s", resource_names[r], m->resources[r].known ? "not shown" : "shown");
        if (s.devices[r] != (m->resources[r].listing | model_held(m, r)))
            complain("%s: devices %#x are shown", resource_names[r], s.devices[r]);
    }
}
