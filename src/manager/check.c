/* check.c -- asserts the invariants of manager.h and that all counts are what the devices say. */
#include "manager/claims.h"
#include "manager/groups.h"
#include "manager/resource.h"
#include <stdio.h>

#define MUST(e)                                                                                              \
    do {                                                                                                     \
        if (!(e)) {                                                                                          \
            fprintf(stderr, "dm_manager_check: %s:%d: %s\n", __FILE__, __LINE__, #e);                        \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

static void check_device(const struct dm_resource *r, const struct dm_device *d) {
    size_t not_init = 0, pending = 0;
    const struct dm_pod *owner = d->holds ? d->holds->claim->container->pod : NULL;
    bool doubtful = false;
    for (const struct dm_hold *h = d->holds; h; h = h->next) {
        const struct dm_claim *c = h->claim;
        MUST(h->device == d && c->resource == r);
        MUST(c->container->pod == owner);
        doubtful |= c->doubtful;
        not_init += c->container->kind != DEVMGR_PLAIN_INIT;
        pending += c->txn != NULL;
        MUST(!c->txn || c->txn == owner->txn);
    }
    MUST(not_init <= 1 || doubtful);
    bool held = dm_device_held(d);
    bool healthy = r->list_valid && d->listed && d->healthy;
    MUST(dm_bits_get(&r->healthy, d->index) == healthy);
    MUST(dm_bits_get(&r->held, d->index) == held);
    MUST(dm_bits_get(&r->reserved, d->index) == (!held && pending > 0));
}

static void check_resource(const struct dm_resource *r) {
    size_t listed = 0, free_devices = 0;
    for (size_t i = 0; i < r->n_devices; i++) {
        const struct dm_device *d = r->devices[i];
        MUST((d->group != DM_NO_GROUP) == d->listed);
        MUST(!d->listed || (d->group < r->n_groups && r->groups[d->group].numa == d->numa &&
                            r->groups[d->group].topology == (d->topology || d->empty_topology)));
        MUST(d->index == i);
        MUST(dm_devices_get(&r->by_id, d->id) == d);
        check_device(r, d);
        listed += d->listed;
        free_devices += r->list_valid && d->listed && d->healthy && !d->holds;
        for (size_t k = 0; k < 64; k++)
            MUST((r->nodes && dm_bits_get(&r->nodes[k], i)) == (d->listed && (d->numa >> k & 1)));
    }
    MUST(r->by_id.n == r->n_devices);
    MUST(r->n_listed == listed && r->n_free == free_devices);
    for (size_t k = 0; k < r->n_groups; k++)
        listed -= r->groups[k].known, free_devices -= r->groups[k].free;
    MUST(listed == 0 && free_devices == 0);
    MUST(r->n_healthy == dm_bits_count(&r->healthy));
    MUST(r->n_held == dm_bits_count(&r->held));
    MUST(r->n_reserved == dm_bits_count(&r->reserved));
    MUST(!(r->connected && r->removed));
    MUST(r->connected || !r->list_valid);
}

static void check_pod(const struct dm_manager *m, const struct dm_pod *p, size_t *kept) {
    MUST(dm_pods_find(m, p->uid) == p);
    MUST(p->admitted || p->txn);
    for (size_t i = 0; i < p->n_containers; i++) {
        const struct dm_container *c = p->containers[i];
        MUST(c->pod == p && (c->admitted || p->txn));
        for (size_t k = 0; k < c->n_claims; k++) {
            const struct dm_claim *claim = c->claims[k];
            MUST(claim->container == c);
            MUST(!k || strcmp(c->claims[k - 1]->resource->name, claim->resource->name) < 0);
            MUST(claim->txn || (claim->saved && dm_linked(&claim->in_manager)));
            MUST(!claim->txn || claim->txn == p->txn);
            *kept += dm_linked(&claim->in_manager);
            for (size_t j = 1; j < claim->n; j++)
                MUST(claim->holds[j - 1].device->index < claim->holds[j].device->index);
        }
    }
}

static void check_txn(const struct dm_txn *t) {
    MUST(t->pod->txn == t);
    MUST(!t->call || (t->call->txn == t && t->state == DM_TXN_CALLING));
    MUST(t->state != DM_TXN_CALLING || (t->call && t->claim && t->resource->queue->active == t));
    MUST((t->state == DM_TXN_QUEUED || t->state == DM_TXN_WAITING || t->state == DM_TXN_WALKING) ==
         dm_linked(&t->at));
    if (t->state == DM_TXN_WAITING)
        for (size_t i = 0; i < t->pod->n_containers; i++)
            for (size_t k = 0; k < t->pod->containers[i]->n_claims; k++)
                MUST(!t->pod->containers[i]->claims[k]->txn);
}

static void check_calls(const struct dm_manager *m) {
    const struct dm_open_call *c, *other;
    for (const struct dm_list *it = m->calls.next; it != &m->calls; it = it->next) {
        c = DM_CONTAINER(it, struct dm_open_call, in_manager);
        MUST(c->queue == NULL || c->queue->busy == c);
        for (const struct dm_list *x = it->next; x != &m->calls && c->queue; x = x->next) {
            other = DM_CONTAINER(x, struct dm_open_call, in_manager);
            MUST(other->queue != c->queue);
        }
    }
}

void dm_manager_check(const struct dm_manager *m) {
    size_t kept = 0;
    const struct dm_txn *t;
    for (size_t i = 0; i < m->n_resources; i++) {
        MUST(!i || strcmp(m->resources[i - 1]->name, m->resources[i]->name) < 0);
        check_resource(m->resources[i]);
    }
    for (size_t i = 0; i < m->n_pods; i++) {
        MUST(!i || strcmp(m->pods[i - 1]->uid, m->pods[i]->uid) < 0);
        check_pod(m, m->pods[i], &kept);
    }
    MUST(kept == m->n_claims);
    DM_LIST_EACH(t, &m->txns, struct dm_txn, in_manager)
    check_txn(t);
    check_calls(m);
    MUST(dm_list_empty(&m->to_walk) && dm_list_empty(&m->to_serve) && dm_list_empty(&m->to_retry));
}
