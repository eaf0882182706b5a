/* resource.c -- see resource.h.
 *
 * (1) devices[] is in natural order of ids and dense: index i is devices[i]->index.
 * (2) free = healthy and neither held nor reserved; n_free counts it.
 * (3) Without a valid list no device is healthy: allocatable is 0, capacity is still n_listed. */
#include "manager/resource.h"
#include "base/text.h"
#include "manager/events.h"
#include "manager/groups.h"
#include "manager/save.h"

struct dm_resource *dm_resource_find(const struct dm_manager *m, const char *name) {
    return dm_map_get(&m->resource_by_name, name);
}

static void add_sorted(struct dm_manager *m, struct dm_resource *r) {
    size_t at = m->n_resources;
    DM_GROW(m->resources, m->n_resources, m->resources_cap);
    for (; at && strcmp(m->resources[at - 1]->name, r->name) > 0; at--)
        m->resources[at] = m->resources[at - 1];
    m->resources[at] = r;
    m->n_resources++;
    dm_map_put(&m->resource_by_name, r->name, r);
}

struct dm_resource *dm_resource_get(struct dm_manager *m, const char *name) {
    struct dm_resource *r = dm_resource_find(m, name);
    if (r)
        return r;
    r = DM_NEW(struct dm_resource);
    r->manager = m;
    r->name = dm_strdup(name);
    r->last_error = dm_strdup("");
    r->removed = true;
    r->grace_until = DM_NEVER;
    r->queue = m->settings->serial == DM_SERIAL_NODE ? &m->node_queue : &r->own;
    r->to_show.kind = DM_ACT_RESOURCE;
    dm_list_init(&r->own.waiting);
    dm_list_init(&r->waiters);
    add_sorted(m, r);
    return r;
}

void dm_resource_drop(struct dm_resource *r) {
    struct dm_manager *m = r->manager;
    size_t at = 0;
    while (m->resources[at] != r)
        at++;
    m->n_resources--;
    memmove(m->resources + at, m->resources + at + 1, (m->n_resources - at) * sizeof *m->resources);
    dm_map_remove(&m->resource_by_name, r->name);
    dm_list_remove(&r->to_retry);
    dm_list_remove(&r->passed_over);
    dm_list_remove(&r->to_show.at);
    dm_list_remove(&r->own.to_serve);
    for (size_t i = 0; i < r->n_devices; i++)
        free(r->devices[i]);
    for (size_t k = 0; r->nodes && k < 64; k++)
        dm_bits_free(&r->nodes[k]);
    dm_bits_free(&r->healthy), dm_bits_free(&r->held), dm_bits_free(&r->reserved);
    dm_devices_free(&r->by_id);
    dm_saved_resource_unref(r->saved);
    free(r->groups), free(r->group_slots);
    free(r->nodes), free(r->devices), free(r->order), free(r->socket), free(r->last_error), free(r->name),
        free(r);
}

struct dm_resource_settings dm_resource_limits(const struct dm_resource *r) {
    return dm_settings_for(r->manager->settings, r->name);
}

struct dm_device *dm_resource_intern(struct dm_resource *r, const char *id) {
    struct dm_device *d = dm_devices_get(&r->by_id, id);
    if (d)
        return d;
    d = dm_alloc(sizeof *d + strlen(id) + 1);
    memcpy(d->id, id, strlen(id) + 1);
    d->index = UINT32_MAX; /* new: behind all others until reindex */
    d->group = DM_NO_GROUP;
    dm_devices_add(&r->by_id, d);
    /* Grows by powers of two: n_devices has no capacity of its own. */
    if ((r->n_devices & (r->n_devices - 1)) == 0)
        r->devices = dm_realloc(r->devices, (r->n_devices ? r->n_devices * 2 : 1) * sizeof(*r->devices));
    r->devices[r->n_devices++] = d;
    return d;
}

static int natural(const void *a, const void *b) {
    return dm_text_natural((*(struct dm_device *const *)a)->id, (*(struct dm_device *const *)b)->id);
}

static bool in_order(struct dm_device *const *devices, size_t n) {
    for (size_t i = 1; i < n; i++)
        if (dm_text_natural(devices[i - 1]->id, devices[i]->id) > 0)
            return false;
    return true;
}

void dm_resource_index(struct dm_resource *r) {
    if (!in_order(r->devices, r->n_devices))
        qsort(r->devices, r->n_devices, sizeof(*r->devices), natural);
    for (size_t i = 0; i < r->n_devices; i++)
        r->devices[i]->index = (uint32_t)i;
    dm_resource_rebuild(r);
}

void dm_resource_reindex(struct dm_resource *r) {
    size_t n = 0;
    for (size_t i = 0; i < r->n_devices; i++) {
        struct dm_device *d = r->devices[i];
        if (d->listed || d->holds) {
            r->devices[n++] = d;
        } else {
            dm_devices_remove(&r->by_id, d);
            free(d);
        }
    }
    size_t room = 1;
    while (room < n)
        room *= 2;
    r->devices = dm_realloc(r->devices, room * sizeof(*r->devices)); /* as dm_resource_intern wants it */
    r->n_devices = n;
    dm_resource_index(r);
}

bool dm_device_held(const struct dm_device *d) {
    for (const struct dm_hold *h = d->holds; h; h = h->next)
        if (!h->claim->txn)
            return true;
    return false;
}

int dm_device_health(const struct dm_resource *r, const struct dm_device *d) {
    if (!r->list_valid)
        return DEVMGR_UNKNOWN;
    return !d->listed ? DEVMGR_MISSING : d->healthy ? DEVMGR_HEALTHY : DEVMGR_UNHEALTHY;
}

/* Sets or clears one bit and keeps the count. */
static void mark(struct dm_bits *bits, size_t *count, size_t i, bool on) {
    bool was = dm_bits_get(bits, i);
    if (was == on)
        return;
    if (on)
        dm_bits_set(bits, i), ++*count;
    else
        dm_bits_clear(bits, i), --*count;
}

static bool is_free(const struct dm_resource *r, size_t i) {
    return dm_bits_get(&r->healthy, i) && !dm_bits_get(&r->held, i) && !dm_bits_get(&r->reserved, i);
}

void dm_device_changed(struct dm_resource *r, struct dm_device *d) {
    bool held = dm_device_held(d);
    if (d->index == UINT32_MAX)
        return; /* new; reindex comes */
    int was_free = is_free(r, d->index);
    mark(&r->healthy, &r->n_healthy, d->index, r->list_valid && d->listed && d->healthy);
    mark(&r->held, &r->n_held, d->index, held);
    mark(&r->reserved, &r->n_reserved, d->index, d->holds && !held);
    int change = is_free(r, d->index) - was_free;
    r->n_free += (size_t)change;
    dm_groups_free(r, d, change);
}

static void add_nodes(struct dm_resource *r, const struct dm_device *d) {
    if (!r->nodes)
        r->nodes = dm_alloc_array(64, sizeof *r->nodes);
    for (uint64_t left = d->numa; left; left &= left - 1)
        dm_bits_set(&r->nodes[__builtin_ctzll(left)], d->index);
}

void dm_resource_rebuild(struct dm_resource *r) {
    dm_bits_free(&r->healthy), dm_bits_free(&r->held), dm_bits_free(&r->reserved);
    for (size_t k = 0; r->nodes && k < 64; k++)
        dm_bits_free(&r->nodes[k]);
    r->n_listed = r->n_healthy = r->n_held = r->n_reserved = r->n_free = 0;
    r->topology = false;
    dm_groups_clear(r);
    for (size_t i = r->n_devices; i-- > 0;) { /* backwards: the bitsets grow once */
        struct dm_device *d = r->devices[i];
        r->n_listed += d->listed;
        r->topology |= d->listed && d->topology;
        if (d->listed)
            dm_groups_add(r, d);
        if (d->listed && d->numa)
            add_nodes(r, d);
        dm_device_changed(r, d);
    }
}

int dm_resource_plugin(const struct dm_resource *r) {
    if (r->connected)
        return r->listed ? DEVMGR_CONNECTED : DEVMGR_STARTING;
    return r->removed ? DEVMGR_REMOVED : DEVMGR_GONE;
}

void dm_resource_fill(const struct dm_resource *r, devmgr_resource *ret) {
    *ret = (devmgr_resource){r->name,       r->n_listed,           r->n_healthy, r->n_held,
                             r->n_reserved, dm_resource_plugin(r), r->last_error};
}

void dm_resource_show(struct dm_resource *r) {
    dm_act_queue(r->manager, &r->to_show);
}

void dm_resource_show_claims(struct dm_resource *r) {
    for (size_t w = 0; w < r->held.n; w++)
        for (uint64_t left = r->held.words[w]; left; left &= left - 1) {
            const struct dm_device *d = r->devices[w * 64 + (size_t)__builtin_ctzll(left)];
            for (struct dm_hold *h = d->holds; h; h = h->next)
                if (!h->claim->txn && h->shown != dm_device_health(r, d))
                    dm_act_queue(r->manager, &h->claim->to_show);
        }
}

void dm_resource_touch(struct dm_resource *r) {
    dm_saved_resource_unref(r->saved);
    r->saved = NULL;
    dm_save_lazily(r->manager);
}

void dm_resource_retry(struct dm_resource *r) {
    if (!dm_linked(&r->to_retry) && (!dm_list_empty(&r->waiters) || !dm_list_empty(&r->manager->waiters)))
        dm_list_append(&r->manager->to_retry, &r->to_retry);
}
