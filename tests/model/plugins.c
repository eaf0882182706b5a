/* plugins.c -- the plugins of the world: they register, list, go away, and answer what they are asked, in time or not.
 *
 * An Allocate answer is text: the resource's letter and a number of its own, "a 17"; with a "!" it sets a variable that
 * the others' answers set too, to another value. */
#include "manager/state.h" /* whose call is it? Nothing on the wire says so, as with real plugins */
#include "world.h"
#include <stdio.h>
#include <string.h>

/* ---- lists ------------------------------------------------------------------------------------------------------------ */

void plugins_list(struct world *w, int resource, uint64_t generation, set listed, set healthy,
                  uint32_t nodes) {
    static const char *const ids[DEVICES] = {"d0", "d1", "d2", "d3", "d4", "d5"};
    struct model_resource *r = &w->model.resources[resource];
    struct dm_listed_device rows[DEVICES];
    struct dm_device_list list = {0, rows};
    for (int d = 0; d < DEVICES; d++)
        if (listed >> d & 1)
            rows[list.n++] = (struct dm_listed_device){ids[d], healthy >> d & 1, (nodes >> 2 * d & 3) != 0,
                                                       nodes >> 2 * d & 3};
    if (r->connected && r->generation == generation) {
        r->listed = r->valid = true;
        r->listing = listed, r->healthy = healthy;
        for (int d = 0; d < DEVICES; d++)
            r->nodes[d] = nodes >> 2 * d & 3;
    }
    dm_manager_listed(w->m, resource_names[resource], generation, &list);
}

static void list(struct world *w, const struct event *e) {
    const struct model_resource *r = &w->model.resources[e->res];
    uint64_t generation = e->how ? w->before[e->res] : r->generation;
    set listed = 0, healthy = 0;
    for (int d = 0; d < DEVICES; d++) {
        listed |= (e->a >> 2 * d & 3 ? 1u : 0) << d;
        healthy |= ((e->a >> 2 * d & 3) == 1 ? 1u : 0) << d;
    }
    if (generation)
        plugins_list(w, e->res, generation, listed, healthy, e->b);
}

/* ---- coming and going ---------------------------------------------------------------------------------------------------- */

void plugins_connect(struct world *w, int resource, int how) {
    struct model_resource *r = &w->model.resources[resource];
    struct dm_endpoint_info info = {
        resource_names[resource], ++w->generations, "plugin.sock", 7, how & 1, how & 2};
    devmgr_error err = {0};
    size_t known = 0;
    for (int i = 0; i < RESOURCES; i++)
        known += w->model.resources[i].known;
    int rc = dm_manager_connected(w->m, &info, &err);
    if (rc < 0 && (r->known || known < w->settings.max_resources))
        complain("%s may not register: %s", info.resource, err.message);
    if (rc < 0)
        return;
    w->before[resource] = r->generation;
    r->known = r->connected = true;
    r->listed = r->removed = false;
    r->generation = info.generation;
    r->prestart = info.prestart, r->preferred = info.preferred;
}

static void go(struct world *w, const struct event *e) {
    const struct model_resource *r = &w->model.resources[e->res];
    uint64_t generation = e->how ? w->before[e->res] : r->generation;
    if (r->connected && generation == r->generation)
        model_gone(&w->model, e->res, dm_settings_for(&w->settings, resource_names[e->res]).stop_grace);
    dm_manager_gone(w->m, resource_names[e->res], generation, "end of stream");
}

/* ---- calls ---------------------------------------------------------------------------------------------------------------- */

static set ids_of(const char *const *ids, size_t n) {
    set all = 0;
    for (size_t i = 0; i < n; i++) {
        set d = 1u << device_number(ids[i]);
        if (all & d)
            complain("a call names device %s twice", ids[i]);
        all |= d;
    }
    return all;
}

static void attribute(struct call *c, const struct dm_call *call) {
    const struct dm_open_call *open = DM_CONTAINER(call, struct dm_open_call, call);
    c->pod = -1;
    if (open->txn) {
        c->pod = pod_number(open->txn->pod->uid);
        c->container = container_number(open->txn->request->containers[open->txn->container].name);
    } else if (open->prestart) {
        c->pod = pod_number(open->prestart->uid);
        c->container = container_number(open->prestart->container);
    } else
        complain("a call for nobody");
}

static void check_prestart(const struct world *w, const struct call *c) {
    set held = w->model.kept[c->pod][c->container][c->resource].devices;
    if (c->ids != held || !held)
        complain("PreStartContainer for %s/%s: %s: devices %#x, it holds %#x", pod_name(c->pod),
                 container_names[c->container], resource_names[c->resource], c->ids, held);
    if (!w->model.resources[c->resource].prestart)
        complain("PreStartContainer, and %s does not want it", resource_names[c->resource]);
}

/* Where a new attempt begins, what was granted from there on is of the one before. */
static void forget_from(struct model_pod *p, int container, int resource) {
    for (int c = container; c < CONTAINERS; c++)
        for (int r = c == container ? resource : 0; r < RESOURCES; r++)
            p->grants[c][r] = (struct grant){0};
}

static void check_allocate(struct world *w, const struct call *c) {
    struct model_pod *p = &w->model.pods[c->pod];
    forget_from(p, c->container, c->resource);
    const char *why = model_may_call(&w->model, c->pod, c->container, c->resource, c->ids);
    if (why)
        complain("Allocate for %s/%s, %s, devices %#x: %s", pod_name(c->pod), container_names[c->container],
                 resource_names[c->resource], c->ids, why);
    struct grant *g = &p->grants[c->container][c->resource];
    g->devices = c->ids;
    memcpy(g->numa, w->model.resources[c->resource].nodes, sizeof g->numa);
}

static void check_preferred(struct world *w, const struct call *c, const struct dm_call *call) {
    set must = ids_of(call->must, call->n_must);
    forget_from(&w->model.pods[c->pod], c->container, c->resource);
    if (must & ~c->ids || (int)call->size != w->model.pods[c->pod].ask.count[c->container][c->resource] ||
        (size_t)call->size > call->n_ids)
        complain("GetPreferredAllocation of %u: offer %#x, must %#x", call->size, c->ids, must);
    /* One in flight may have failed in this very moment, and be told after this call. */
    if (c->ids & model_of_others(&w->model, c->pod, c->resource, false) ||
        c->ids & ~model_usable(&w->model, c->resource))
        complain("GetPreferredAllocation for %s/%s, %s, offers %#x: not all of it can be had",
                 pod_name(c->pod), container_names[c->container], resource_names[c->resource], c->ids);
}

void plugins_called(struct world *w, const struct dm_call *call) {
    struct call c = {.id = call->id, .generation = call->generation, .rpc = call->rpc};
    c.until = w->mono + call->timeout_ms;
    c.resource = resource_number(call->resource);
    c.ids = ids_of(call->ids, call->n_ids);
    attribute(&c, call);
    static const char *const rpcs[] = {"GetPreferredAllocation", "Allocate", "PreStartContainer"};
    story("%s for %s/%s, %s: %#x", rpcs[c.rpc], pod_name(c.pod), container_names[c.container], call->resource,
          c.ids);
    const struct model_resource *r = &w->model.resources[c.resource];
    if (!r->connected || r->generation != call->generation)
        complain("a call to %s that is not there, or to an old endpoint of it", call->resource);
    if (!call->timeout_ms)
        complain("a call without time");
    for (size_t i = 0; i < w->n_calls && c.rpc != DM_RPC_PRESTART; i++)
        if (w->calls[i].rpc != DM_RPC_PRESTART && (w->model.one_queue || w->calls[i].resource == c.resource))
            complain("two calls at once to %s", call->resource);
    w->model.pods[c.pod].called_at = c.rpc == DM_RPC_PRESTART ? w->model.pods[c.pod].called_at : w->mono;
    if (c.rpc == DM_RPC_PRESTART)
        check_prestart(w, &c);
    else if (c.rpc == DM_RPC_ALLOCATE)
        check_allocate(w, &c);
    else
        check_preferred(w, &c, call);
    if (w->n_calls == CALLS)
        complain("%d calls are open", CALLS);
    w->calls[w->n_calls++] = c;
}

void plugins_canceled(struct world *w, uint64_t id) {
    for (size_t i = 0; i < w->n_calls; i++)
        if (w->calls[i].id == id && !w->calls[i].canceled) {
            w->calls[i].canceled = true;
            w->calls[i].pod = -1;
            return;
        }
    complain("a call is canceled that is not open, or twice");
}

/* ---- answers --------------------------------------------------------------------------------------------------------------- */

static const struct dm_status statuses[OUTCOMES] = {
    [OUT_OK] = {DM_OK, "", false},
    [OUT_NOTHING] = {DM_OK, "", false},
    [OUT_BAD] = {DM_OK, "", false},
    [OUT_CONFLICT] = {DM_OK, "", false},
    [OUT_UNAVAILABLE] = {DM_UNAVAILABLE, "connection reset", false},
    [OUT_DEADLINE] = {DM_DEADLINE_EXCEEDED, "too late", false},
    [OUT_ERROR] = {DM_UNKNOWN, "no", false},
    [OUT_UNUSABLE] = {DM_INTERNAL, "too large", true},
    [OUT_CANCELLED] = {DM_CANCELLED, "canceled", false},
};

/* What the model has to know of an answer to one who waits for it. */
static void tell_model(struct world *w, const struct call *c, int outcome) {
    struct model *m = &w->model;
    struct model_pod *p = &m->pods[c->pod];
    bool allocate = c->rpc == DM_RPC_ALLOCATE;
    p->answered_in = m->step;
    p->called_at = w->mono;
    p->code = statuses[outcome].code;
    p->bad = outcome == OUT_UNUSABLE || (allocate && (outcome == OUT_NOTHING || outcome == OUT_BAD));
    p->superseded = c->generation != m->resources[c->resource].generation;
    p->withdrawn = allocate && (c->ids & ~model_usable(m, c->resource));
    if (allocate && p->code == DM_OK && !p->bad && !p->withdrawn)
        p->grants[c->container][c->resource].serial = ++w->serials;
}

void plugins_answer(struct world *w, size_t call, int outcome, set prefers) {
    struct call c = w->calls[call];
    static const char *const ids[DEVICES] = {"d0", "d1", "d2", "d3", "d4", "d5"};
    const char *preferred[DEVICES + 1];
    char text[40] = "bad";
    if (c.canceled && outcome != OUT_OK)
        outcome = OUT_CANCELLED;
    struct dm_call_result result = {.id = c.id, .status = statuses[outcome], .ids = preferred};
    w->model.resources[c.resource].answered_at = w->mono;
    if (c.pod >= 0 && c.rpc != DM_RPC_PRESTART)
        tell_model(w, &c, outcome);
    if (c.rpc == DM_RPC_PREFERRED && outcome != OUT_NOTHING && statuses[outcome].code == DM_OK) {
        for (int d = DEVICES; d-- > 0;)
            if (prefers >> d & 1)
                preferred[result.n_ids++] = ids[d];
        if (outcome == OUT_BAD)
            preferred[result.n_ids++] = "unheard-of";
    } else if (c.rpc == DM_RPC_ALLOCATE && outcome != OUT_NOTHING && statuses[outcome].code == DM_OK) {
        if (outcome != OUT_BAD)
            snprintf(text, sizeof text, "%c %u%s", 'a' + c.resource, w->serials,
                     outcome == OUT_CONFLICT ? "!" : "");
        result.n_containers = 1;
        result.answer = (struct dm_span){(const uint8_t *)text, strlen(text)};
    }
    w->n_calls--;
    memmove(w->calls + call, w->calls + call + 1, (w->n_calls - call) * sizeof *w->calls);
    dm_manager_answered(w->m, &result);
}

bool plugins_time_out(struct world *w) {
    for (size_t i = 0; i < w->n_calls; i++)
        if (w->calls[i].until <= w->mono) {
            plugins_answer(w, i, OUT_DEADLINE, 0);
            return true;
        }
    return false;
}

int plugins_decode(struct dm_span bytes, struct dm_answer **ret, devmgr_error *reterr) {
    char letter;
    unsigned serial;
    DM_FREE char *text = dm_strndup((const char *)bytes.data, bytes.len);
    if (sscanf(text, "%c %u", &letter, &serial) != 2)
        return dm_error_set(reterr, -EBADMSG, "not a message");
    struct dm_answer *a = DM_NEW(struct dm_answer);
    a->envs = dm_alloc_array(2, sizeof *a->envs);
    a->envs[a->n_envs++] = (devmgr_pair){dm_printf("%c", letter), dm_printf("%u", serial)};
    if (strchr(text, '!'))
        a->envs[a->n_envs++] = (devmgr_pair){dm_strdup("SHARED"), dm_printf("%u", serial)};
    *ret = a;
    return 0;
}

static void answer(struct world *w, const struct event *e) {
    for (size_t i = 0; i < w->n_calls; i++)
        if (w->calls[i].resource == e->res &&
            (w->calls[i].rpc == DM_RPC_PRESTART) == (e->kind == EV_STARTED)) {
            plugins_answer(w, i, e->how % OUTCOMES, e->a);
            return;
        }
}

void plugins_do(struct world *w, const struct event *e) {
    switch (e->kind) {
    case EV_CONNECT:
        plugins_connect(w, e->res, e->how);
        break;
    case EV_LIST:
        list(w, e);
        break;
    case EV_GONE:
        go(w, e);
        break;
    default:
        answer(w, e);
    }
}
