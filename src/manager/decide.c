/* decide.c -- see decide.h.
 *
 * What a set of nodes must serve
 *   container   what it asks for, of what is free and what the pod's init containers leave to it
 *               what it holds already: the devices that it holds
 *   pod         max(apps + sidecars, each init container with the sidecars before it), of what is free
 *               what it holds already, when that is as many
 *   the rest    of a pod that holds some: what it holds must lie in the set, and what is free must do for the rest
 *
 * A held device that its plugin does not list any more is on no node. So it never counts for a set, as in all hints a
 * device without a node does not. */
#include "manager/decide.h"
#include "manager/claims.h"
#include "manager/groups.h"
#include "manager/providers.h"
#include "manager/resource.h"

static bool skipped(const struct dm_pod *pod, const struct dm_pod_container *c) {
    return pod && pod->init_done && c->kind == DEVMGR_PLAIN_INIT;
}

static const struct dm_claim *claim_of(const struct dm_pod *pod, const struct dm_pod_container *c,
                                       const char *resource) {
    const struct dm_container *known = pod ? dm_pod_get_container(pod, c->name) : NULL;
    return known ? dm_container_claim(known, resource) : NULL;
}

static const struct dm_limit *limit_of(const struct dm_pod_container *c, const char *resource) {
    for (size_t i = 0; i < c->n_limits; i++)
        if (!strcmp(c->limits[i].resource, resource))
            return &c->limits[i];
    return NULL;
}

/* NULL: not a device's, or nobody that we know has it. */
static const struct dm_resource *known_resource(const struct dm_manager *m, const char *name) {
    const struct dm_resource *r = dm_settings_ours(m->settings, name) ? dm_resource_find(m, name) : NULL;
    return r && (!r->removed || r->n_held || r->n_reserved) ? r : NULL;
}

/* ---- one resource ---------------------------------------------------------------------------------------------------- */

struct dm_hint_row *dm_decision_add(struct dm_decision *d) {
    DM_GROW(d->rows, d->n, d->cap);
    d->rows[d->n] = (struct dm_hint_row){0};
    return &d->rows[d->n++];
}

/* Who may be given: what is free; in a world where all others let go of theirs, all that this pod does not have. */
static struct dm_hint_row *begin(struct dm_decision *d, const struct dm_resource *r, const struct dm_pod *pod,
                                 unsigned flags) {
    struct dm_hint_row *row = dm_decision_add(d);
    row->resource = r->name;
    row->of = r;
    row->n_groups = r->n_groups;
    row->groups = dm_alloc_array(r->n_groups, sizeof(*row->groups));
    for (size_t i = 0; i < r->n_groups; i++) {
        const struct dm_node_group *g = &r->groups[i];
        uint64_t may = flags & DM_DECIDE_IDLE ? g->known : g->free;
        row->groups[i] = (struct dm_device_group){g->numa, g->topology, g->known, may, 0};
    }
    for (size_t i = 0; flags & DM_DECIDE_IDLE && pod && i < r->n_devices; i++) {
        const struct dm_device *dev = r->devices[i];
        if (dev->listed && dev->holds && dev->holds->claim->container->pod == pod)
            row->groups[dev->group].candidates--;
    }
    for (size_t i = 0; i < row->n_groups; i++)
        row->free += row->groups[i].candidates;
    return row;
}

static void add_reusable(struct dm_hint_row *row, const struct dm_resource *r, const struct dm_pod *pod) {
    uint32_t *list = NULL;
    row->reusable = pod ? dm_pod_reusable(pod, r, &list) : 0;
    for (size_t i = 0; i < row->reusable; i++)
        row->groups[r->devices[list[i]]->group].reusable++;
    free(list);
}

static void generate(const struct dm_manager *m, struct dm_hint_row *row, uint64_t still) {
    row->lacking = still > row->free;
    row->hints.exhaustive = true;
    if (!row->of->topology) {
        row->hints.kind = DM_HINTS_ANY;
        row->lacking = false;
    } else if (row->lacking)
        row->hints.kind = DM_HINTS_IMPOSSIBLE;
    else
        dm_hints_generate(&m->topology->numa, row->groups, row->n_groups, row->count, &row->hints);
}

/* Counts a held device, and where it is: on no node when its plugin does not list it any more. */
static void count_held(struct dm_hint_row *row, const struct dm_device *dev, uint64_t *by_group) {
    row->held++;
    if (dev->listed)
        by_group[dev->group]++;
}

/* Exactly what is held. */
static void generate_held(const struct dm_manager *m, struct dm_hint_row *row, const uint64_t *by_group) {
    for (size_t i = 0; i < row->n_groups; i++) {
        row->groups[i].candidates = by_group[i];
        row->groups[i].reusable = 0;
    }
    row->free = row->reusable = 0;
    row->hints.kind = row->of->topology ? DM_HINTS_IMPOSSIBLE : DM_HINTS_ANY;
    row->hints.exhaustive = true;
    if (row->held == row->count && row->of->topology)
        dm_hints_generate(&m->topology->numa, row->groups, row->n_groups, row->count, &row->hints);
}

static void decide_container(const struct dm_manager *m, const struct dm_pod *pod,
                             const struct dm_pod_container *c, unsigned flags, struct dm_decision *d) {
    for (size_t i = 0; i < c->n_limits && !skipped(pod, c); i++) {
        const struct dm_limit *limit = &c->limits[i];
        const struct dm_resource *r = known_resource(m, limit->resource);
        const struct dm_claim *claim = claim_of(pod, c, limit->resource);
        if (!r)
            continue;
        struct dm_hint_row *row = begin(d, r, pod, flags);
        row->count = limit->count;
        if (claim && claim->n) {
            DM_FREE uint64_t *held = dm_alloc_array(r->n_groups, sizeof *held);
            for (size_t k = 0; k < claim->n; k++)
                count_held(row, claim->holds[k].device, held);
            generate_held(m, row, held);
            d->changed |= claim->n != limit->count;
            continue;
        }
        add_reusable(row, r, pod);
        generate(m, row, limit->count > row->reusable ? limit->count - row->reusable : 0);
    }
}

/* ---- a pod ----------------------------------------------------------------------------------------------------------- */

/* Does the container count when the pod's need of a resource is told? */
static bool counts(const struct dm_pod *pod, const struct dm_pod_container *c, const char *resource,
                   unsigned flags) {
    return !(flags & DM_DECIDE_REST) || (!c->has_affinity && !skipped(pod, c) && !claim_of(pod, c, resource));
}

/* What is needed at once: init containers run one after another, sidecars stay. */
static uint64_t needed_at_once(const struct dm_pod *pod, const devmgr_pod *request, const char *resource,
                               unsigned flags) {
    uint64_t sum = 0, sidecars = 0, most = 0;
    for (size_t i = 0; i < request->n_containers; i++) {
        const struct dm_pod_container *c = &request->containers[i];
        const struct dm_limit *limit = limit_of(c, resource);
        if (!limit || !counts(pod, c, resource, flags))
            continue;
        uint64_t now = sidecars + limit->count; /* of an init container of either kind, while it starts */
        if (c->kind != DEVMGR_PLAIN_INIT)
            sum += limit->count;
        if (c->kind == DEVMGR_SIDECAR)
            sidecars += limit->count;
        most = c->kind != DEVMGR_APP && now > most ? now : most;
    }
    return sum > most ? sum : most;
}

/* Devices that several of its containers have count once. */
static void count_held_by_pod(struct dm_hint_row *row, const struct dm_pod *pod, uint64_t *by_group) {
    for (size_t i = 0; pod && i < pod->n_containers; i++) {
        const struct dm_claim *claim = dm_container_claim(pod->containers[i], row->resource);
        for (size_t k = 0; claim && k < claim->n; k++)
            if (claim->holds[k].device->holds == &claim->holds[k])
                count_held(row, claim->holds[k].device, by_group);
    }
}

/* What is held must lie in the set, which is what the generator calls reusable; the pod's later containers may take
 * what its init containers leave. */
static void generate_rest(const struct dm_manager *m, const struct dm_pod *pod, struct dm_hint_row *row,
                          uint64_t needed, const uint64_t *held) {
    uint32_t *list = NULL;
    row->reusable = pod ? dm_pod_reusable(pod, row->of, &list) : 0;
    free(list);
    needed = needed > row->reusable ? needed - row->reusable : 0;
    row->count = needed;
    for (size_t i = 0; i < row->n_groups; i++) {
        row->groups[i].reusable = held[i];
        row->count += held[i];
    }
    generate(m, row, needed);
}

static void decide_resource_of_pod(const struct dm_manager *m, const struct dm_pod *pod,
                                   const devmgr_pod *request, const struct dm_resource *r, unsigned flags,
                                   struct dm_decision *d) {
    DM_FREE uint64_t *held = dm_alloc_array(r->n_groups, sizeof *held);
    struct dm_hint_row *row = begin(d, r, pod, flags);
    count_held_by_pod(row, pod, held);
    row->count = needed_at_once(pod, request, r->name, flags);
    if (!row->held)
        generate(m, row, row->count);
    else if (flags & DM_DECIDE_REST)
        generate_rest(m, pod, row, row->count, held);
    else
        generate_held(m, row, held);
}

static bool has_row(const struct dm_decision *d, const char *resource) {
    for (size_t i = 0; i < d->n; i++)
        if (!strcmp(d->rows[i].resource, resource))
            return true;
    return false;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct dm_hint_row *)a)->resource, ((const struct dm_hint_row *)b)->resource);
}

static void decide_pod(const struct dm_manager *m, const struct dm_pod *pod, const devmgr_pod *request,
                       unsigned flags, struct dm_decision *d) {
    for (size_t i = 0; i < request->n_containers; i++) {
        const struct dm_pod_container *c = &request->containers[i];
        if (flags & DM_DECIDE_REST && (c->has_affinity || skipped(pod, c)))
            continue;
        for (size_t k = 0; k < c->n_limits; k++) {
            const struct dm_resource *r = known_resource(m, c->limits[k].resource);
            if (r && !has_row(d, r->name))
                decide_resource_of_pod(m, pod, request, r, flags, d);
        }
    }
    if (d->n)
        qsort(d->rows, d->n, sizeof(*d->rows), by_name);
}

/* ---- all together ---------------------------------------------------------------------------------------------------- */

/* The devices' rows of d, and the providers' of `others`. */
static struct dm_affinity merge(const struct dm_manager *m, const struct dm_decision *d,
                                const struct dm_decision *others) {
    DM_FREE struct dm_hints *lists = dm_alloc_array(d->n + others->n + 1, sizeof *lists);
    size_t n = 0;
    for (size_t i = 0; i < d->n; i++)
        if (d->rows[i].of)
            lists[n++] = d->rows[i].hints;
    n += n == 0; /* no device is asked for: no preference */
    for (size_t i = 0; i < others->n; i++)
        if (!others->rows[i].of)
            lists[n++] = others->rows[i].hints;
    return dm_topology_merge(m->topology, lists, n);
}

static void add_given(const struct dm_given *g, struct dm_decision *d) {
    for (size_t i = 0; i < g->n; i++) {
        struct dm_hint_row *row = dm_decision_add(d);
        row->resource = row->name = dm_strdup(g->lists[i].resource);
        row->hints = dm_hints_copy(&g->lists[i].hints);
    }
}

int dm_decide(const struct dm_manager *m, const struct dm_pod *pod, const devmgr_pod *request,
              const struct dm_pod_container *container, unsigned flags, struct dm_decision *ret,
              devmgr_error *reterr) {
    int rc = 0;
    *ret = (struct dm_decision){0};
    if (container)
        decide_container(m, pod, container, flags, ret);
    else
        decide_pod(m, pod, request, flags, ret);
    for (size_t i = 0; i < m->n_providers && !(flags & DM_DECIDE_DEVICES) && rc == 0; i++)
        rc = dm_provider_hints(&m->providers[i], request->uid, container ? container->name : NULL, ret,
                               reterr);
    if (rc == 0 && !(flags & DM_DECIDE_DEVICES))
        add_given(container ? &container->given : &request->given, ret);
    if (rc < 0)
        dm_decision_free(ret);
    else
        ret->merged = merge(m, ret, ret);
    return rc;
}

bool dm_decide_idle(const struct dm_manager *m, const struct dm_pod *pod, const devmgr_pod *request,
                    const struct dm_pod_container *container, const struct dm_decision *now) {
    DM_CLEANUP(dm_decision_free) struct dm_decision idle;
    dm_decide(m, pod, request, container, DM_DECIDE_REST | DM_DECIDE_IDLE | DM_DECIDE_DEVICES, &idle, NULL);
    return merge(m, &idle, now).admit;
}

bool dm_decide_needed(const struct dm_manager *m, const struct dm_pod *pod, const devmgr_pod *request,
                      const struct dm_pod_container *container) {
    for (size_t i = 0; i < request->n_containers; i++) {
        const struct dm_pod_container *c = &request->containers[i];
        for (size_t k = 0; k < c->n_limits && (!container || c == container) && !skipped(pod, c); k++)
            if (c->limits[k].count && dm_settings_ours(m->settings, c->limits[k].resource) &&
                !claim_of(pod, c, c->limits[k].resource))
                return true;
    }
    return false;
}

void dm_decision_free(struct dm_decision *d) {
    for (size_t i = 0; i < d->n; i++) {
        dm_hints_free(&d->rows[i].hints);
        free(d->rows[i].groups), free(d->rows[i].name);
    }
    free(d->rows);
    *d = (struct dm_decision){0};
}
