/* restore.c -- takes over what the checkpoint says. Whatever it says, afterwards every device has one owning pod. */
#include "manager/restore.h"
#include "manager/claims.h"
#include "manager/events.h"
#include "manager/release.h"
#include "manager/resource.h"
#include "manager/save.h"

static void restore_resource(struct dm_manager *m, const struct dm_saved_resource *s) {
    struct dm_resource *r = dm_resource_get(m, s->name);
    r->has_options = s->has_options;
    r->prestart = s->prestart;
    r->preferred = s->preferred;
    r->had_list = true;
    dm_resource_start_grace(r);
}

static void restore_pod(struct dm_manager *m, const struct dm_saved_pod *s) {
    struct dm_pod *p = dm_pods_get(m, s->uid);
    dm_pod_name(p, s->namespace_, s->name, s->tag);
    p->revision = s->revision;
    p->restored = true;
    p->init_done = s->init_done;
    for (size_t i = 0; i < s->n_containers; i++) {
        if (dm_pod_get_container(p, s->containers[i].name))
            continue;
        struct dm_container *c = dm_pod_add_container(p, s->containers[i].name, s->containers[i].kind);
        c->affinity = s->containers[i].affinity;
        c->admitted = true;
    }
}

void dm_restore_intern(struct dm_resource *r, const struct dm_saved_claim *s) {
    for (size_t i = 0; i < s->n_nodes; i++)
        for (size_t k = 0; k < s->nodes[i].n; k++)
            dm_resource_intern(r, s->nodes[i].ids[k]);
}

/* The distinct devices of a claim, ascending. */
static size_t devices_of(const struct dm_resource *r, const struct dm_saved_claim *s, uint32_t **ret) {
    struct dm_bits set = {0};
    size_t n = 0;
    for (size_t i = 0; i < s->n_nodes; i++)
        for (size_t k = 0; k < s->nodes[i].n; k++)
            dm_bits_set(&set, ((struct dm_device *)dm_devices_get(&r->by_id, s->nodes[i].ids[k]))->index);
    *ret = dm_alloc_array(dm_bits_count(&set), sizeof **ret);
    for (size_t w = 0; w < set.n; w++)
        for (uint64_t left = set.words[w]; left; left &= left - 1)
            (*ret)[n++] = (uint32_t)(w * 64 + (size_t)__builtin_ctzll(left));
    dm_bits_free(&set);
    return n;
}

/* Those of the time when the devices were taken, whatever their plugin lists by now. */
static void set_nodes(struct dm_claim *claim, const struct dm_saved_claim *s) {
    for (size_t i = 0; i < claim->n; i++)
        claim->holds[i].numa = 0;
    for (size_t i = 0; i < s->n_nodes; i++)
        for (size_t k = 0; k < s->nodes[i].n && s->nodes[i].node >= 0 && s->nodes[i].node < 64; k++) {
            const struct dm_device *d = dm_devices_get(&claim->resource->by_id, s->nodes[i].ids[k]);
            for (struct dm_hold *h = d->holds; h; h = h->next)
                if (h->claim == claim)
                    h->numa |= UINT64_C(1) << s->nodes[i].node;
        }
}

/* Two containers of one pod with the same device: fine for init containers; else the file is to blame, not we. */
static bool is_doubtful(const struct dm_claim *claim) {
    for (size_t i = 0; i < claim->n && claim->container->kind != DEVMGR_PLAIN_INIT; i++)
        for (const struct dm_hold *h = claim->holds[i].device->holds; h; h = h->next)
            if (h->claim != claim && h->claim->container->kind != DEVMGR_PLAIN_INIT)
                return true;
    return false;
}

void dm_restore_claim(struct dm_manager *m, struct dm_container *c, struct dm_resource *r,
                      struct dm_saved_claim *s) {
    uint32_t *devices;
    size_t n = devices_of(r, s, &devices);
    struct dm_claim *claim = dm_claim_new(c, r, NULL, devices, n);
    claim->saved = dm_saved_claim_ref(s);
    claim->doubtful = is_doubtful(claim);
    set_nodes(claim, s);
    dm_claim_commit(claim);
    dm_claim_keep(m, claim);
    free(devices);
}

/* A device that another pod has already; NULL: none. */
static const struct dm_device *stolen(const struct dm_resource *r, const struct dm_saved_claim *s) {
    for (size_t i = 0; i < s->n_nodes; i++)
        for (size_t k = 0; k < s->nodes[i].n; k++) {
            const struct dm_device *d = dm_devices_get(&r->by_id, s->nodes[i].ids[k]);
            if (d->holds && strcmp(d->holds->claim->container->pod->uid, s->pod_uid))
                return d;
        }
    return NULL;
}

static void take_claim(struct dm_manager *m, struct dm_saved_claim *s) {
    struct dm_resource *r = dm_resource_find(m, s->resource);
    const struct dm_device *d = stolen(r, s);
    if (d) {
        const char *owner = d->holds->claim->container->pod->uid;
        dm_event_log(
            m, 3,
            "checkpoint: device %s of %s is held by pod %s and by pod %s: pod %s keeps it, the claim of "
            "container %s of pod %s is dropped",
            d->id, r->name, owner, s->pod_uid, owner, s->container, s->pod_uid);
        dm_save_durably(m);
        return;
    }
    struct dm_pod *p = dm_pods_get(m, s->pod_uid);
    struct dm_container *c = dm_pod_get_container(p, s->container);
    if (!c)
        c = dm_pod_add_container(p, s->container, -1);
    p->admitted = c->admitted = p->restored = true; /* a kubelet's file has no row for the pod */
    if (dm_container_claim(c, s->resource)) /* twice in the file: the later one counts, as in the kubelet */
        dm_claim_drop(m, dm_container_claim(c, s->resource));
    dm_restore_claim(m, c, r, s);
}

static void drop_empty_pods(struct dm_manager *m) {
    for (size_t i = m->n_pods; i-- > 0;)
        if (!m->pods[i]->admitted)
            dm_pods_drop(m, m->pods[i]);
}

/* In three passes, so that each resource is indexed once. */
static void restore_claims(struct dm_manager *m, const struct dm_snapshot *s) {
    for (size_t i = 0; i < s->n_claims; i++) {
        struct dm_resource *r = dm_resource_find(m, s->claims[i]->resource);
        if (!r) {
            r = dm_resource_get(m, s->claims[i]->resource);
            dm_resource_start_grace(r);
        }
        dm_restore_intern(r, s->claims[i]);
    }
    for (size_t i = 0; i < m->n_resources; i++)
        dm_resource_index(m->resources[i]);
    for (size_t i = 0; i < s->n_claims; i++)
        take_claim(m, s->claims[i]);
    for (size_t i = 0; i < m->n_resources; i++)
        dm_resource_reindex(m->resources[i]); /* without the ids of dropped claims */
}

void dm_manager_restore(struct dm_manager *m, const struct dm_snapshot *s, enum dm_start start) {
    if (s->revision >= m->revision)
        m->revision = s->revision + 1;
    m->opened = m->revision;
    for (size_t i = 0; i < s->n_resources; i++)
        restore_resource(m, s->resources[i]);
    for (size_t i = 0; i < s->n_pods; i++)
        restore_pod(m, s->pods[i]);
    restore_claims(m, s);
    drop_empty_pods(m);
    if (start == DM_START_RECOVERING) {
        dm_recovery_begin(m);
        dm_save_durably(m); /* the main file is set aside: write what we have before anything relies on it */
    }
}
