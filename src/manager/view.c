/* view.c -- see view.h; also the visitors of manager.h. */
#include "manager/view.h"
#include "manager/claims.h"
#include "manager/decide.h"
#include "manager/resource.h"

static void fill_claim(const struct dm_hold *h, devmgr_claim *ret) {
    const struct dm_container *c = h->claim->container;
    *ret = (devmgr_claim){.pod_uid = c->pod->uid,
                          .pod_namespace = c->pod->namespace_,
                          .pod_name = c->pod->name,
                          .container = c->name,
                          .resource = h->claim->resource->name,
                          .device = h->device->id,
                          .numa = h->numa,
                          .health = dm_device_health(h->claim->resource, h->device)};
}

devmgr_claim *dm_view_hold(struct dm_pages *pages, const struct dm_hold *h) {
    devmgr_claim *c = dm_pages_alloc(pages, sizeof *c);
    fill_claim(h, c);
    c->pod_uid = dm_pages_text(pages, c->pod_uid), c->pod_namespace = dm_pages_text(pages, c->pod_namespace);
    c->pod_name = dm_pages_text(pages, c->pod_name), c->container = dm_pages_text(pages, c->container);
    c->resource = dm_pages_text(pages, c->resource), c->device = dm_pages_text(pages, c->device);
    return c;
}

static bool shown(const struct dm_claim *c, const struct dm_txn *of) {
    return !c->txn || c->txn == of;
}

static size_t count_claims(const struct dm_container *c, const struct dm_txn *of) {
    size_t n = 0;
    for (size_t k = 0; k < c->n_claims; k++)
        n += shown(c->claims[k], of) ? c->claims[k]->n : 0;
    return n;
}

static const char *text(struct dm_pages *pages, const char *s, bool copy) {
    return copy ? dm_pages_text(pages, s) : s;
}

static void view_container(struct dm_pages *pages, const struct dm_container *c, const struct dm_txn *of,
                           bool copy, const devmgr_held_pod *pod, devmgr_held_container *ret) {
    size_t n = count_claims(c, of), at = 0;
    devmgr_claim *claims = dm_pages_alloc(pages, n * sizeof *claims);
    const devmgr_claim **rows = dm_pages_alloc(pages, n * sizeof *rows);
    ret->name = text(pages, c->name, copy);
    ret->kind = c->kind < 0 ? DEVMGR_APP : c->kind;
    ret->affinity = c->affinity;
    for (size_t k = 0; k < c->n_claims; k++) {
        const struct dm_claim *claim = c->claims[k];
        const char *resource = text(pages, claim->resource->name, copy);
        for (size_t i = 0; shown(claim, of) && i < claim->n; i++) {
            rows[at] = &claims[at];
            fill_claim(&claim->holds[i], &claims[at]);
            claims[at].pod_uid = pod->uid, claims[at].pod_namespace = pod->namespace_;
            claims[at].pod_name = pod->name, claims[at].container = ret->name;
            claims[at].resource = resource;
            claims[at].device = text(pages, claims[at].device, copy);
            claims[at++].is_new = claim->txn != NULL;
        }
    }
    ret->n_claims = n;
    ret->claims = rows;
}

devmgr_held_pod *dm_view_pod(struct dm_pages *pages, const struct dm_pod *pod, const struct dm_txn *of,
                             bool copy) {
    devmgr_held_pod *ret = dm_pages_alloc(pages, sizeof *ret);
    devmgr_held_container *rows = dm_pages_alloc(pages, pod->n_containers * sizeof *rows);
    const devmgr_held_container **list = dm_pages_alloc(pages, pod->n_containers * sizeof *list);
    ret->uid = text(pages, pod->uid, copy), ret->namespace_ = text(pages, pod->namespace_, copy);
    ret->name = text(pages, pod->name, copy), ret->tag = text(pages, pod->tag, copy);
    ret->revision = pod->revision;
    for (size_t i = 0; i < pod->n_containers; i++) {
        if (!pod->containers[i]->admitted && !of)
            continue;
        view_container(pages, pod->containers[i], of, copy, ret, &rows[ret->n_containers]);
        list[ret->n_containers] = &rows[ret->n_containers];
        ret->n_containers++;
    }
    ret->containers = list;
    return ret;
}

const devmgr_claim *const *dm_view_claims(struct dm_pages *pages, const devmgr_held_pod *pod, size_t *n) {
    size_t at = 0;
    *n = 0;
    for (size_t i = 0; i < pod->n_containers; i++)
        *n += pod->containers[i]->n_claims;
    const devmgr_claim **all = dm_pages_alloc(pages, *n * sizeof *all);
    for (size_t i = 0; i < pod->n_containers; i++)
        for (size_t k = 0; k < pod->containers[i]->n_claims; k++)
            all[at++] = pod->containers[i]->claims[k];
    return all;
}

/* ---- visitors ---------------------------------------------------------------------------------------------------- */

uint64_t dm_manager_revision(const struct dm_manager *m) {
    return m->revision;
}

int dm_manager_each_resource(struct dm_manager *m, int (*visit)(void *, const devmgr_resource *), void *arg) {
    for (size_t i = 0; i < m->n_resources; i++) {
        devmgr_resource row;
        dm_resource_fill(m->resources[i], &row);
        int rc = visit(arg, &row);
        if (rc)
            return rc;
    }
    return 0;
}

/* Of several claims the one that is not a plain init container's. */
static const struct dm_hold *holder(const struct dm_device *d) {
    const struct dm_hold *best = NULL;
    for (const struct dm_hold *h = d->holds; h; h = h->next)
        if (!h->claim->txn && (!best || best->claim->container->kind == DEVMGR_PLAIN_INIT))
            best = h;
    return best;
}

static int visit_devices(const struct dm_resource *r, int (*visit)(void *, const devmgr_device *),
                         void *arg) {
    for (size_t i = 0; i < r->n_devices; i++) {
        const struct dm_device *d = r->devices[i];
        const struct dm_hold *h = holder(d);
        devmgr_claim claim;
        if (!h && !d->listed)
            continue;
        if (h)
            fill_claim(h, &claim);
        devmgr_device row = {r->name, d->id, d->listed ? d->numa : h->numa, dm_device_health(r, d),
                             h ? &claim : NULL};
        int rc = visit(arg, &row);
        if (rc)
            return rc;
    }
    return 0;
}

int dm_manager_each_device(struct dm_manager *m, const char *resource,
                           int (*visit)(void *, const devmgr_device *), void *arg) {
    for (size_t i = 0; i < m->n_resources; i++) {
        int rc = resource && strcmp(resource, m->resources[i]->name)
                     ? 0
                     : visit_devices(m->resources[i], visit, arg);
        if (rc)
            return rc;
    }
    return 0;
}

static int visit_claims(const struct dm_pod *pod, int (*visit)(void *, const devmgr_claim *), void *arg) {
    for (size_t i = 0; i < pod->n_containers; i++)
        for (size_t k = 0; k < pod->containers[i]->n_claims; k++) {
            const struct dm_claim *claim = pod->containers[i]->claims[k];
            for (size_t j = 0; !claim->txn && j < claim->n; j++) {
                devmgr_claim row;
                fill_claim(&claim->holds[j], &row);
                int rc = visit(arg, &row);
                if (rc)
                    return rc;
            }
        }
    return 0;
}

int dm_manager_each_claim(struct dm_manager *m, const char *uid, int (*visit)(void *, const devmgr_claim *),
                          void *arg) {
    const struct dm_pod *one = uid ? dm_pods_find(m, uid) : NULL;
    if (uid)
        return one ? visit_claims(one, visit, arg) : 0;
    for (size_t i = 0; i < m->n_pods; i++) {
        int rc = visit_claims(m->pods[i], visit, arg);
        if (rc)
            return rc;
    }
    return 0;
}

int dm_manager_each_pod(struct dm_manager *m, int (*visit)(void *, const devmgr_held_pod *), void *arg) {
    for (size_t i = 0; i < m->n_pods; i++) {
        DM_CLEANUP(dm_pages_free) struct dm_pages pages = {0};
        if (!m->pods[i]->admitted)
            continue;
        int rc = visit(arg, dm_view_pod(&pages, m->pods[i], NULL, false));
        if (rc)
            return rc;
    }
    return 0;
}

static int visit_row(const struct dm_hint_row *row, devmgr_hint_cb visit, void *arg) {
    devmgr_hint hint = {.resource = row->resource, .kind = DEVMGR_HINT_ANY};
    if (row->hints.kind == DM_HINTS_IMPOSSIBLE)
        hint.kind = DEVMGR_HINT_IMPOSSIBLE;
    if (row->hints.kind != DM_HINTS_LIST)
        return visit(arg, &hint);
    for (size_t i = 0; i < row->hints.n; i++) {
        hint.kind = DEVMGR_HINT;
        hint.numa = row->hints.hints[i].mask, hint.preferred = row->hints.hints[i].preferred;
        int rc = visit(arg, &hint);
        if (rc)
            return rc;
    }
    const devmgr_hint more = {.resource = row->resource, .kind = DEVMGR_HINT_MORE};
    return row->hints.exhaustive ? 0 : visit(arg, &more);
}

int dm_manager_hints(struct dm_manager *m, const devmgr_pod *pod, const char *container, devmgr_hint_cb visit,
                     void *arg) {
    DM_CLEANUP(dm_decision_free) struct dm_decision d = {0};
    const struct dm_pod_container *c = container && pod ? dm_pod_find(pod, container) : NULL;
    int rc = 0;
    if (!pod || !visit)
        return DEVMGR_EINVALID;
    if (container && !c)
        return -ENOENT;
    dm_decide(m, dm_pods_find(m, pod->uid), pod, c, DM_DECIDE_DEVICES, &d, NULL);
    for (size_t i = 0; i < d.n && rc == 0; i++)
        rc = visit_row(&d.rows[i], visit, arg);
    return rc;
}

/* NODE-11: for a pod that holds something, at least what is in use on the node. */
uint64_t dm_manager_node_allocatable(struct dm_manager *m, const char *uid, const char *resource,
                                     uint64_t allocatable) {
    const struct dm_pod *pod = dm_pods_find(m, uid);
    const struct dm_resource *r = dm_resource_find(m, resource);
    return pod && r && dm_pod_holds(pod) && r->n_held > allocatable ? r->n_held : allocatable;
}
