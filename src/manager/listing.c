/* listing.c -- takes over what a plugin lists: the whole set each time, mostly the same as before.
 *
 * Most plugins send all devices when the health of one changes, in the same order: then nothing but one comparison of
 * strings per device is paid. Some (Go maps) shuffle: one look-up per device. Only new or vanished ids cost a sort. */
#include "manager/events.h"
#include "manager/resource.h"

static bool same_ids(const struct dm_resource *r, const struct dm_device_list *l) {
    if (l->n != r->n_order)
        return false;
    for (size_t k = 0; k < l->n; k++)
        if (strcmp(r->order[k]->id, l->devices[k].id))
            return false;
    return true;
}

/* Makes order[] that of the list; interns new ids and marks who vanished. True: reindex is needed. */
static bool resolve(struct dm_resource *r, const struct dm_device_list *l) {
    size_t guess_n = r->n_order;
    bool changed = false;
    struct dm_device **guess = DM_MOVE(r->order);
    r->order = dm_alloc_array(l->n ? l->n : 1, sizeof(*r->order));
    r->n_order = l->n;
    for (size_t k = 0; k < l->n; k++) {
        struct dm_device *d = k < guess_n ? guess[k] : NULL;
        if (!d || strcmp(d->id, l->devices[k].id))
            d = dm_resource_intern(r, l->devices[k].id);
        r->order[k] = d;
        d->seen = true;
    }
    free(guess);
    for (size_t i = 0; i < r->n_devices; i++) {
        struct dm_device *d = r->devices[i];
        changed |= d->listed != d->seen;
        d->listed = d->seen;
        d->seen = false;
    }
    return changed;
}

static bool differs(const struct dm_device *d, const struct dm_listed_device *x) {
    return d->healthy != x->healthy || d->numa != x->numa || d->topology != x->topology ||
           d->empty_topology != x->empty;
}

/* Copies health and nodes. Bits follow at once unless they will be rebuilt anyway; nodes: always rebuilt. */
static bool copy_states(struct dm_resource *r, const struct dm_device_list *l, bool rebuild) {
    bool health = false, nodes = false;
    for (size_t k = 0; k < l->n; k++) {
        struct dm_device *d = r->order[k];
        const struct dm_listed_device *x = &l->devices[k];
        if (!differs(d, x))
            continue;
        health |= d->healthy != x->healthy;
        nodes |= d->numa != x->numa || d->topology != x->topology || d->empty_topology != x->empty;
        d->healthy = x->healthy, d->numa = x->numa, d->topology = x->topology;
        d->empty_topology = x->empty;
        if (rebuild)
            continue;
        dm_device_changed(r, d);
        for (struct dm_hold *h = d->holds; h; h = h->next)
            if (!h->claim->txn)
                dm_act_queue(r->manager, &h->claim->to_show);
    }
    if (nodes && !rebuild)
        dm_resource_rebuild(r);
    return health;
}

bool dm_resource_take_list(struct dm_resource *r, const struct dm_device_list *l) {
    bool fresh = !r->list_valid, ids = false;
    r->list_valid = true;
    if (!same_ids(r, l))
        ids = resolve(r, l);
    bool health = copy_states(r, l, fresh || ids);
    if (ids)
        dm_resource_reindex(r);
    else if (fresh)
        dm_resource_rebuild(r);
    if (fresh || ids)
        dm_resource_show_claims(r);
    return fresh || ids || health;
}
