/* claims.c -- see claims.h.
 *
 * (1) All holds of a device belong to one pod. At most one of them is not a plain init container's, unless the
 *     checkpoint said otherwise (claim->doubtful).
 * (2) holds[] of a claim is in the order of the devices' indices, which is the natural order of ids and thus does not
 *     change when devices are indexed anew. */
#include "manager/claims.h"
#include "manager/resource.h"
#include <stdio.h>

/* ---- pods -------------------------------------------------------------------------------------------------------- */

struct dm_pod *dm_pods_find(const struct dm_manager *m, const char *uid) {
    return dm_map_get(&m->pod_by_uid, uid);
}

/* Where in m->pods a uid is or belongs. */
static size_t position(const struct dm_manager *m, const char *uid) {
    size_t low = 0, high = m->n_pods;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (strcmp(m->pods[mid]->uid, uid) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct dm_pod *dm_pods_get(struct dm_manager *m, const char *uid) {
    struct dm_pod *p = dm_pods_find(m, uid);
    if (p)
        return p;
    p = DM_NEW(struct dm_pod);
    p->uid = dm_strdup(uid);
    p->namespace_ = dm_strdup(""), p->name = dm_strdup(""), p->tag = dm_strdup("");
    size_t at = position(m, uid);
    DM_GROW(m->pods, m->n_pods, m->pods_cap);
    memmove(m->pods + at + 1, m->pods + at, (m->n_pods - at) * sizeof(*m->pods));
    m->pods[at] = p;
    m->n_pods++;
    dm_map_put(&m->pod_by_uid, uid, p);
    return p;
}

void dm_pods_drop(struct dm_manager *m, struct dm_pod *p) {
    size_t at = position(m, p->uid);
    while (p->n_containers)
        dm_container_drop(p->containers[p->n_containers - 1]);
    m->n_pods--;
    memmove(m->pods + at, m->pods + at + 1, (m->n_pods - at) * sizeof(*m->pods));
    dm_map_remove(&m->pod_by_uid, p->uid);
    dm_saved_pod_unref(p->saved);
    free(p->containers), free(p->uid), free(p->namespace_), free(p->name), free(p->tag), free(p);
}

static void set_text(struct dm_pod *p, char **at, const char *text) {
    if (!text || !strcmp(*at, text))
        return;
    free(*at);
    *at = dm_strdup(text);
    dm_pod_changed(p);
}

void dm_pod_name(struct dm_pod *p, const char *namespace_, const char *name, const char *tag) {
    set_text(p, &p->namespace_, namespace_);
    set_text(p, &p->name, name);
    set_text(p, &p->tag, tag);
}

bool dm_pod_holds(const struct dm_pod *p) {
    for (size_t i = 0; i < p->n_containers; i++)
        for (size_t k = 0; k < p->containers[i]->n_claims; k++)
            if (!p->containers[i]->claims[k]->txn && p->containers[i]->claims[k]->n)
                return true;
    return false;
}

void dm_pod_changed(struct dm_pod *p) {
    dm_saved_pod_unref(p->saved);
    p->saved = NULL;
}

const char *dm_pod_title(const struct dm_pod *p, char *out, size_t size) {
    if (*p->name)
        snprintf(out, size, "%s/%s", p->namespace_, p->name);
    else
        snprintf(out, size, "%s", p->uid);
    return out;
}

/* ---- containers -------------------------------------------------------------------------------------------------- */

struct dm_container *dm_pod_get_container(const struct dm_pod *p, const char *name) {
    for (size_t i = 0; i < p->n_containers; i++)
        if (!strcmp(p->containers[i]->name, name))
            return p->containers[i];
    return NULL;
}

struct dm_container *dm_pod_add_container(struct dm_pod *p, const char *name, int kind) {
    struct dm_container *c = DM_NEW(struct dm_container);
    c->pod = p;
    c->name = dm_strdup(name);
    c->kind = kind;
    p->containers = dm_realloc(p->containers, (p->n_containers + 1) * sizeof(*p->containers));
    p->containers[p->n_containers++] = c;
    return c;
}

void dm_container_drop(struct dm_container *c) {
    struct dm_pod *p = c->pod;
    size_t at = 0;
    while (c->n_claims)
        dm_claim_drop(c->claims[0]->resource->manager, c->claims[0]);
    while (p->containers[at] != c)
        at++;
    p->n_containers--;
    memmove(p->containers + at, p->containers + at + 1, (p->n_containers - at) * sizeof(*p->containers));
    free(c->claims), free(c->name), free(c);
}

struct dm_claim *dm_container_claim(const struct dm_container *c, const char *resource) {
    for (size_t k = 0; k < c->n_claims; k++)
        if (!strcmp(c->claims[k]->resource->name, resource))
            return c->claims[k];
    return NULL;
}

/* ---- claims ------------------------------------------------------------------------------------------------------ */

static void add_claim(struct dm_container *c, struct dm_claim *claim) {
    size_t at = c->n_claims;
    c->claims = dm_realloc(c->claims, (c->n_claims + 1) * sizeof(*c->claims));
    for (; at && strcmp(c->claims[at - 1]->resource->name, claim->resource->name) > 0; at--)
        c->claims[at] = c->claims[at - 1];
    c->claims[at] = claim;
    c->n_claims++;
}

void dm_claim_resume(struct dm_claim *claim) {
    for (size_t i = 0; i < claim->n; i++) {
        struct dm_hold *h = &claim->holds[i];
        h->next = h->device->holds;
        h->device->holds = h;
        dm_device_changed(claim->resource, h->device);
    }
}

struct dm_claim *dm_claim_new(struct dm_container *c, struct dm_resource *r, struct dm_txn *txn,
                              const uint32_t *devices, size_t n) {
    struct dm_claim *claim = DM_NEW(struct dm_claim);
    claim->container = c;
    claim->resource = r;
    claim->txn = txn;
    claim->to_show.kind = DM_ACT_CLAIM;
    claim->n = n;
    claim->holds = dm_alloc_array(n, sizeof(*claim->holds));
    for (size_t i = 0; i < n; i++) {
        struct dm_device *d = r->devices[devices[i]];
        claim->holds[i] = (struct dm_hold){d, claim, NULL, d->numa, -1};
    }
    dm_claim_resume(claim);
    add_claim(c, claim);
    return claim;
}

static void unlink_hold(struct dm_hold *h) {
    struct dm_hold **at = &h->device->holds;
    while (*at != h)
        at = &(*at)->next;
    *at = h->next;
}

void dm_claim_suspend(struct dm_claim *claim) {
    for (size_t i = 0; i < claim->n; i++) {
        unlink_hold(&claim->holds[i]);
        dm_device_changed(claim->resource, claim->holds[i].device);
    }
}

void dm_claim_drop(struct dm_manager *m, struct dm_claim *claim) {
    struct dm_container *c = claim->container;
    size_t at = 0;
    dm_claim_suspend(claim);
    while (c->claims[at] != claim)
        at++;
    c->n_claims--;
    memmove(c->claims + at, c->claims + at + 1, (c->n_claims - at) * sizeof(*c->claims));
    if (dm_linked(&claim->in_manager)) {
        dm_list_remove(&claim->in_manager);
        m->n_claims--;
        dm_pod_changed(c->pod);
    }
    dm_list_remove(&claim->to_show.at);
    dm_resource_retry(claim->resource);
    dm_saved_claim_unref(claim->saved);
    free(claim->holds), free(claim);
}

void dm_claim_commit(struct dm_claim *claim) {
    claim->txn = NULL;
    for (size_t i = 0; i < claim->n; i++) {
        claim->holds[i].shown = dm_device_health(claim->resource, claim->holds[i].device);
        dm_device_changed(claim->resource, claim->holds[i].device);
    }
}

/* The kubelet's shape: a device on k nodes stands under each of them, one without under -1. */
bool dm_claim_save(struct dm_claim *claim, struct dm_span answer) {
    struct dm_saved_claim *saved =
        dm_saved_claim_new(claim->container->pod->uid, claim->container->name, claim->resource->name, answer);
    if (!saved)
        return false;
    dm_saved_claim_unref(claim->saved);
    claim->saved = saved;
    for (size_t i = 0; i < claim->n; i++) {
        const struct dm_hold *h = &claim->holds[i];
        for (uint64_t left = h->numa; left; left &= left - 1)
            dm_saved_claim_add(claim->saved, __builtin_ctzll(left), h->device->id);
        if (!h->numa)
            dm_saved_claim_add(claim->saved, -1, h->device->id);
    }
    return true;
}

void dm_claim_keep(struct dm_manager *m, struct dm_claim *claim) {
    dm_list_append(&m->claims, &claim->in_manager);
    m->n_claims++;
    dm_pod_changed(claim->container->pod);
}

/* ---- reuse ------------------------------------------------------------------------------------------------------- */

/* At least one: a suspended claim has no holds. */
static bool only_plain_inits(const struct dm_device *d) {
    for (const struct dm_hold *h = d->holds; h; h = h->next)
        if (h->claim->container->kind != DEVMGR_PLAIN_INIT)
            return false;
    return d->holds != NULL;
}

static int by_number(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

size_t dm_pod_reusable(const struct dm_pod *p, const struct dm_resource *r, uint32_t **ret) {
    size_t n = 0, cap = 0, unique = 0;
    uint32_t *list = NULL;
    for (size_t i = 0; i < p->n_containers; i++) {
        const struct dm_container *c = p->containers[i];
        const struct dm_claim *claim = c->kind == DEVMGR_PLAIN_INIT ? dm_container_claim(c, r->name) : NULL;
        for (size_t k = 0; claim && k < claim->n; k++) {
            const struct dm_device *d = claim->holds[k].device;
            if (!only_plain_inits(d) || !dm_bits_get(&r->healthy, d->index))
                continue;
            DM_GROW(list, n, cap);
            list[n++] = d->index;
        }
    }
    if (n)
        qsort(list, n, sizeof *list, by_number);
    for (size_t i = 0; i < n; i++)
        if (!unique || list[unique - 1] != list[i])
            list[unique++] = list[i];
    *ret = list;
    return unique;
}

struct dm_hold *dm_device_holder(const struct dm_device *d) {
    struct dm_hold *best = NULL;
    for (struct dm_hold *h = d->holds; h; h = h->next)
        if (!best || best->claim->container->kind == DEVMGR_PLAIN_INIT)
            best = h;
    return best;
}
