/* explain.c -- see explain.h.
 *
 * The walk, the topology decision and the choice of devices are the admission's own code, so that the answer cannot drift
 * from what happens. A txn with a trial reserves as any other; before the call returns, its claims, containers and pod
 * are taken away again, and nobody has seen them: no event, no save, no call, no provider took anything, nobody who waits
 * is woken. Plugins are not asked, so what they would refuse or prefer is not known.
 *
 * (1) Texts are one line of UTF-8 before they are quoted.
 * (2) Everything that grows with the state is cut: holders, and sets of nodes in all decisions together. */
#include "manager/explain.h"
#include "base/error.h"
#include "base/text.h"
#include "manager/admission.h"
#include "manager/affinity.h"
#include "manager/claims.h"
#include "manager/resource.h"
#include "manager/verdict.h"
#include "manager/why.h"
#include <inttypes.h>

enum { HOLDERS = 20, SETS = 64, SETS_IN_ALL = 4096 };

struct dm_trial {
    struct dm_buf decisions; /* JSON, without the brackets */
    size_t sets;             /* of nodes, that may still be shown */
};

/* ---- JSON ---------------------------------------------------------------------------------------------------------- */

static void quote(struct dm_buf *out, const char *text) {
    DM_FREE char *line = dm_strdup(text ? text : "");
    dm_text_one_line(line);
    dm_buf_putc(out, '"');
    for (const char *p = line; *p; p++) {
        if (*p == '"' || *p == '\\')
            dm_buf_putc(out, '\\');
        dm_buf_putc(out, *p);
    }
    dm_buf_putc(out, '"');
}

/* Between the elements of a list or object. */
static void comma(struct dm_buf *out) {
    if (out->len && !strchr("[{", out->data[out->len - 1]))
        dm_buf_putc(out, ',');
}

static void put_key(struct dm_buf *out, const char *key) {
    comma(out);
    dm_buf_printf(out, "\"%s\":", key);
}

static void put_text(struct dm_buf *out, const char *key, const char *value) {
    put_key(out, key);
    quote(out, value);
}

static void put_number(struct dm_buf *out, const char *key, uint64_t value) {
    put_key(out, key);
    dm_buf_printf(out, "%" PRIu64, value);
}

static void put_bool(struct dm_buf *out, const char *key, bool value) {
    put_key(out, key);
    dm_buf_puts(out, value ? "true" : "false");
}

static void put_nodes(struct dm_buf *out, const char *key, uint64_t set) {
    put_key(out, key);
    dm_buf_putc(out, '[');
    for (; set; set &= set - 1) {
        comma(out);
        dm_buf_printf(out, "%d", __builtin_ctzll(set));
    }
    dm_buf_putc(out, ']');
}

/* ---- a decision ---------------------------------------------------------------------------------------------------- */

/* Devices that could serve in the set: free ones, and those that the pod has there already. */
static uint64_t could_serve(const struct dm_hint_row *row, uint64_t set) {
    uint64_t n = 0;
    for (size_t i = 0; i < row->n_groups; i++)
        if (row->groups[i].nodes & set)
            n += row->groups[i].candidates + row->groups[i].reusable;
    return n;
}

static size_t show_sets(struct dm_buf *out, const struct dm_hint_row *row, size_t most) {
    size_t n = row->hints.kind == DM_HINTS_LIST ? row->hints.n : 0;
    size_t shown = n < most ? n : most;
    put_key(out, "hints");
    dm_buf_putc(out, '[');
    for (size_t i = 0; i < shown; i++) {
        const struct dm_hint *h = &row->hints.hints[i];
        comma(out);
        dm_buf_putc(out, '{');
        put_nodes(out, "numa", h->any ? 0 : h->mask);
        put_number(out, "count", could_serve(row, h->mask));
        put_bool(out, "preferred", h->preferred);
        dm_buf_putc(out, '}');
    }
    dm_buf_putc(out, ']');
    put_bool(out, "hints_cut", shown < n);
    put_bool(out, "exhaustive", row->hints.exhaustive);
    return shown;
}

static void show_row(struct dm_trial *trial, const struct dm_hint_row *row) {
    static const char *const kinds[] = {"any", "impossible", "list"};
    struct dm_buf *out = &trial->decisions;
    if (!*row->resource) /* a provider without any preference */
        return;
    comma(out);
    dm_buf_putc(out, '{');
    put_text(out, "name", row->resource);
    put_bool(out, "device", row->of != NULL);
    put_number(out, "count", row->count);
    put_number(out, "free", row->free);
    put_text(out, "kind", kinds[row->hints.kind]);
    trial->sets -= show_sets(out, row, trial->sets < SETS ? trial->sets : SETS);
    dm_buf_putc(out, '}');
}

static void show_merged(struct dm_buf *out, const struct dm_affinity *a) {
    put_key(out, "merged");
    dm_buf_putc(out, '{');
    put_nodes(out, "numa", a->any ? 0 : a->mask);
    put_bool(out, "preferred", a->preferred);
    put_bool(out, "admit", a->admit);
    put_bool(out, "exhaustive", a->exhaustive);
    dm_buf_putc(out, '}');
}

void dm_trial_decided(const struct dm_txn *t, const struct dm_pod_container *c, const struct dm_decision *d) {
    struct dm_buf *out = &t->trial->decisions;
    DM_CLEANUP(dm_buf_free) struct dm_buf why = {0};
    dm_why_put(&why, t->manager, d);
    comma(out);
    dm_buf_putc(out, '{');
    put_text(out, "container", c ? c->name : "");
    show_merged(out, &d->merged);
    put_text(out, "why", why.data);
    put_key(out, "resources");
    dm_buf_putc(out, '[');
    for (size_t i = 0; i < d->n; i++)
        show_row(t->trial, &d->rows[i]);
    dm_buf_puts(out, "]}");
}

/* ---- a resource as it is ------------------------------------------------------------------------------------------- */

struct holder {
    const struct dm_container *container;
    bool reserved;
    size_t n;
};

/* True when there is no room for one more. */
static bool count_holder(struct holder *list, size_t *n, const struct dm_device *d) {
    const struct dm_hold *h = dm_device_holder(d);
    for (size_t i = 0; i < *n; i++)
        if (list[i].container == h->claim->container && list[i].reserved == (h->claim->txn != NULL)) {
            list[i].n++;
            return false;
        }
    if (*n == HOLDERS)
        return true;
    list[(*n)++] = (struct holder){h->claim->container, h->claim->txn != NULL, 1};
    return false;
}

static void show_holders(struct dm_buf *out, const struct dm_resource *r) {
    struct holder list[HOLDERS];
    char title[600];
    size_t n = 0;
    bool cut = false;
    for (size_t i = 0; i < r->n_devices; i++)
        if (r->devices[i]->holds)
            cut |= count_holder(list, &n, r->devices[i]);
    put_key(out, "holders");
    dm_buf_putc(out, '[');
    for (size_t i = 0; i < n; i++) {
        comma(out);
        dm_buf_putc(out, '{');
        put_text(out, "pod", dm_pod_title(list[i].container->pod, title, sizeof title));
        put_text(out, "uid", list[i].container->pod->uid);
        put_text(out, "container", list[i].container->name);
        put_number(out, "count", list[i].n);
        put_bool(out, "reserved", list[i].reserved);
        dm_buf_putc(out, '}');
    }
    dm_buf_putc(out, ']');
    put_bool(out, "holders_cut", cut);
}

struct on_node {
    size_t free, used, unhealthy;
};

static void count_device(struct on_node *at, const struct dm_resource *r, const struct dm_device *d) {
    if (d->holds)
        at->used++;
    else if (dm_bits_get(&r->healthy, d->index))
        at->free++;
    else
        at->unhealthy++;
}

static void show_node(struct dm_buf *out, int node, const struct on_node *at) {
    comma(out);
    dm_buf_printf(out, "{\"node\":%d", node);
    put_number(out, "free", at->free);
    put_number(out, "used", at->used);
    put_number(out, "unhealthy", at->unhealthy);
    dm_buf_putc(out, '}');
}

/* The machine's nodes and those that bear devices; -1: devices on no node. One on several nodes counts on each. */
static void show_nodes(struct dm_buf *out, const struct dm_manager *m, const struct dm_resource *r) {
    struct on_node nodes[64] = {{0}}, nowhere = {0};
    uint64_t all = m->topology->numa.all;
    bool without = false;
    for (size_t i = 0; i < r->n_devices; i++) {
        const struct dm_device *d = r->devices[i];
        uint64_t numa = d->listed ? d->numa : d->holds ? d->holds->numa : 0;
        if (!d->listed && !d->holds)
            continue;
        without |= !numa;
        all |= numa;
        if (!numa)
            count_device(&nowhere, r, d);
        for (; numa; numa &= numa - 1)
            count_device(&nodes[__builtin_ctzll(numa)], r, d);
    }
    put_key(out, "nodes");
    dm_buf_putc(out, '[');
    if (without)
        show_node(out, -1, &nowhere);
    for (; all; all &= all - 1)
        show_node(out, __builtin_ctzll(all), &nodes[__builtin_ctzll(all)]);
    dm_buf_putc(out, ']');
}

static void show_resource(struct dm_buf *out, const struct dm_manager *m, const char *name) {
    static const struct dm_resource unknown;
    const struct dm_resource *r = dm_resource_find(m, name), *x = r ? r : &unknown;
    comma(out);
    dm_buf_putc(out, '{');
    put_text(out, "name", name);
    put_number(out, "capacity", x->n_listed);
    put_number(out, "healthy", x->n_healthy);
    put_number(out, "free", x->n_free);
    put_number(out, "held", x->n_held);
    put_number(out, "reserved", x->n_reserved);
    put_text(out, "plugin", r ? devmgr_plugin_name(dm_resource_plugin(r)) : "none");
    put_bool(out, "chooses", x->preferred); /* GetPreferredAllocation: which devices is the plugin's to say */
    put_text(out, "last_error", x->last_error);
    show_holders(out, x);
    if (r)
        show_nodes(out, m, r);
    else
        dm_buf_puts(out, ",\"nodes\":[]");
    dm_buf_putc(out, '}');
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Each that the pod asks for, once, by name. */
static void show_resources(struct dm_buf *out, const struct dm_manager *m, const devmgr_pod *request) {
    size_t n = 0, cap = 0;
    DM_FREE const char **names = NULL;
    for (size_t i = 0; i < request->n_containers; i++)
        for (size_t k = 0; k < request->containers[i].n_limits; k++) {
            const char *name = request->containers[i].limits[k].resource;
            if (!dm_settings_ours(m->settings, name))
                continue;
            DM_GROW(names, n, cap);
            names[n++] = name;
        }
    if (n)
        qsort(names, n, sizeof *names, by_text);
    put_key(out, "resources");
    dm_buf_putc(out, '[');
    for (size_t i = 0; i < n; i++)
        if (!i || strcmp(names[i - 1], names[i]))
            show_resource(out, m, names[i]);
    dm_buf_putc(out, ']');
}

/* ---- the rehearsal ------------------------------------------------------------------------------------------------- */

struct before { /* what is put back */
    struct dm_pod *pod;
    struct dm_txn *txn; /* an admission in flight; what it has reserved counts as the pod's */
    bool is_new;
    size_t n_containers;
    int *kinds;
};

static void enter(struct dm_manager *m, struct dm_txn *t, struct before *before) {
    const devmgr_pod *request = t->request;
    bool is_new = !dm_pods_find(m, request->uid);
    struct dm_pod *p = dm_pods_get(m, request->uid);
    *before = (struct before){p, p->txn, is_new, p->n_containers, NULL};
    before->kinds = dm_alloc_array(p->n_containers + 1, sizeof(*before->kinds));
    if (is_new)
        dm_pod_name(p, request->namespace_, request->name, NULL);
    for (size_t i = 0; i < p->n_containers; i++)
        before->kinds[i] = p->containers[i]->kind;
    for (size_t i = 0; i < request->n_containers; i++) {
        const struct dm_pod_container *pc = &request->containers[i];
        struct dm_container *c = dm_pod_get_container(p, pc->name);
        if (!c)
            dm_pod_add_container(p, pc->name, pc->kind);
        else if (c->kind < 0 || !c->n_claims)
            c->kind = pc->kind;
    }
    t->pod = p;
    p->txn = t;
}

/* Whoever waits for a resource is not woken by what was free before, too. */
static void take_back(struct dm_manager *m, struct dm_txn *t, struct before *before) {
    struct dm_pod *p = before->pod;
    for (size_t i = 0; i < p->n_containers; i++)
        for (size_t k = p->containers[i]->n_claims; k-- > 0;) {
            struct dm_claim *claim = p->containers[i]->claims[k];
            struct dm_resource *r = claim->resource;
            bool woken = dm_linked(&r->to_retry);
            if (claim->txn != t)
                continue;
            dm_claim_drop(m, claim);
            if (!woken)
                dm_list_remove(&r->to_retry);
        }
    dm_txn_forget_affinities(t);
    p->txn = before->txn;
    while (p->n_containers > before->n_containers)
        dm_container_drop(p->containers[p->n_containers - 1]);
    for (size_t i = 0; i < p->n_containers; i++)
        p->containers[i]->kind = before->kinds[i];
    if (before->is_new)
        dm_pods_drop(m, p);
    free(before->kinds);
}

/* ---- all together -------------------------------------------------------------------------------------------------- */

static void show_container(struct dm_buf *out, const struct dm_txn *t, const struct dm_pod_container *c,
                           uint64_t affinity) {
    const struct dm_container *known = dm_pod_get_container(t->pod, c->name);
    comma(out);
    dm_buf_putc(out, '{');
    put_text(out, "name", c->name);
    put_nodes(out, "affinity", affinity);
    put_key(out, "resources");
    dm_buf_putc(out, '[');
    for (size_t i = 0; i < c->n_limits; i++) {
        const struct dm_claim *claim = dm_container_claim(known, c->limits[i].resource);
        if (!dm_settings_ours(t->manager->settings, c->limits[i].resource))
            continue;
        comma(out);
        dm_buf_putc(out, '{');
        put_text(out, "name", c->limits[i].resource);
        put_number(out, "count", c->limits[i].count);
        put_number(out, "held", claim && claim->txn != t ? claim->n : 0);
        dm_buf_putc(out, '}');
    }
    dm_buf_puts(out, "]}");
}

static void show_containers(struct dm_buf *out, const struct dm_txn *t) {
    put_key(out, "containers");
    dm_buf_putc(out, '[');
    for (size_t i = 0; i < t->request->n_containers; i++)
        show_container(out, t, &t->request->containers[i], t->affinity ? t->affinity[i] : 0);
    dm_buf_putc(out, ']');
}

/* A plugin has the last word about what is not held yet. */
static char *say_admitted(const struct dm_txn *t) {
    char title[600];
    bool anew = false;
    for (size_t i = 0; i < t->pod->n_containers; i++)
        for (size_t k = 0; k < t->pod->containers[i]->n_claims; k++)
            anew |= t->pod->containers[i]->claims[k]->txn == t;
    dm_pod_title(t->pod, title, sizeof title);
    return anew ? dm_printf("pod %s: all it asks for could be had now, if its plugins agree; admit it", title)
                : dm_printf("pod %s: needs no device that it does not hold; admit it at any time", title);
}

static void show_verdict(struct dm_buf *out, const struct dm_txn *t, const struct dm_verdict *v, bool passes,
                         bool in_flight) {
    const struct dm_manager *m = t->manager;
    DM_FREE char *good = passes ? say_admitted(t) : NULL;
    put_text(out, "pod", t->request->uid);
    put_text(out, "namespace", t->request->namespace_);
    put_text(out, "name", t->request->name);
    put_text(out, "verdict", devmgr_verdict_name(passes ? DEVMGR_ADMITTED : v->verdict));
    put_text(out, "cause", passes ? "" : devmgr_cause_name(v->cause));
    put_text(out, "reason", passes ? "" : dm_verdict_reason(v));
    put_text(out, "message", passes ? "" : v->message);
    put_text(out, "detail", passes ? good : v->detail);
    put_text(out, "container", passes ? "" : v->container);
    put_text(out, "resource", passes ? "" : v->resource);
    put_bool(out, "in_flight", in_flight);
    put_text(out, "policy", dm_policy_name(m->topology->policy));
    put_text(out, "scope", dm_scope_name(m->topology->scope));
}

static void rehearse(struct dm_manager *m, const devmgr_pod *pod, struct dm_buf *out) {
    struct dm_trial trial = {.sets = SETS_IN_ALL};
    struct dm_txn t = {.manager = m, .trial = &trial, .request = dm_pod_copy(pod)};
    struct dm_verdict v = {0};
    struct before before;
    enter(m, &t, &before);
    bool passes = dm_txn_rehearse(&t, &v);
    show_verdict(out, &t, &v, passes, before.txn != NULL);
    show_containers(out, &t);
    put_key(out, "decisions");
    dm_buf_putc(out, '[');
    dm_buf_puts(out, trial.decisions.data ? trial.decisions.data : "");
    dm_buf_putc(out, ']');
    take_back(m, &t, &before);
    dm_verdict_free(&v);
    dm_buf_free(&trial.decisions);
    devmgr_pod_free(t.request);
}

int dm_manager_explain(struct dm_manager *m, const devmgr_pod *pod,
                       int (*write)(void *arg, const char *json, size_t n), void *arg, devmgr_error *reterr) {
    DM_CLEANUP(dm_buf_free) struct dm_buf out = {0};
    if (m->closed)
        return dm_error_set(reterr, -ECANCELED, "closing");
    if (!pod || !write)
        return dm_error_set(reterr, DEVMGR_EINVALID, "explain: no pod or nowhere to write");
    dm_buf_putc(&out, '{');
    rehearse(m, pod, &out);
    show_resources(&out, m, pod); /* as they are, without the rehearsal */
    dm_buf_putc(&out, '}');
    return write(arg, out.data, out.len);
}
