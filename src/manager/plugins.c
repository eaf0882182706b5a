/* plugins.c -- the life of the plugin behind a resource.
 *
 *   (none) ──connected──► STARTING ──listed──► CONNECTED        a new endpoint replaces the old one: STARTING again,
 *                            ▲   └──gone──┐       │ gone        capacity and health stay until its first list
 *   checkpoint ──► GONE ─────┘connected   ▼       ▼
 *                   └──grace over──► REMOVED ◄── GONE
 *
 * (1) Only the generation that is the resource's counts: lists and ends of superseded endpoints are ignored.
 * (2) allocatable is 0 from the moment the plugin is gone; capacity is kept for the grace. */
#include "base/error.h"
#include "manager/admission.h"
#include "manager/events.h"
#include "manager/resource.h"
#include "manager/retry.h"
#include "manager/save.h"

static void set_text(char **at, const char *text) {
    char *copy = dm_strdup(text ? text : "");
    free(*at);
    *at = copy;
}

void dm_resource_start_grace(struct dm_resource *r) {
    r->removed = false;
    r->grace_until = r->manager->mono + dm_resource_limits(r).stop_grace;
}

/* Capacity is 0 from now on; what is held stays known. */
void dm_resource_end_grace(struct dm_resource *r) {
    r->grace_until = DM_NEVER;
    r->removed = true;
    r->had_list = false;
    free(r->order);
    r->order = NULL;
    r->n_order = 0;
    for (size_t i = 0; i < r->n_devices; i++)
        r->devices[i]->listed = false;
    dm_resource_reindex(r);
    dm_resource_touch(r);
    dm_resource_show(r);
}

int dm_manager_connected(struct dm_manager *m, const struct dm_endpoint_info *info, devmgr_error *reterr) {
    struct dm_resource *r = dm_resource_find(m, info->resource);
    if (m->closed)
        return dm_error_set(reterr, -ECANCELED, "closing");
    if (!r && m->n_resources >= m->settings->max_resources)
        return dm_error_set(
            reterr, -ENOSPC,
            "%s: refused: %zu resources are known, as many as max-resources allows; forget one, or raise "
            "max-resources",
            info->resource, m->n_resources);
    r = dm_resource_get(m, info->resource);
    bool options = !r->has_options || r->prestart != info->prestart || r->preferred != info->preferred;
    r->generation = info->generation;
    r->connected = true;
    r->listed = false;
    r->removed = false;
    r->grace_until = DM_NEVER;
    r->has_options = true;
    r->prestart = info->prestart;
    r->preferred = info->preferred;
    set_text(&r->socket, info->socket);
    set_text(&r->last_error, "");
    if (options || !r->saved)
        dm_resource_touch(r);
    dm_resource_show(r);
    dm_resource_retry(r);
    dm_retry_cause(m, DEVMGR_NO_PLUGIN, r->name);
    dm_manager_settle(m);
    return 0;
}

void dm_manager_listed(struct dm_manager *m, const char *resource, uint64_t generation,
                       const struct dm_device_list *l) {
    struct dm_resource *r = dm_resource_find(m, resource);
    if (!r || !r->connected || r->generation != generation || m->closed)
        return;
    uint64_t capacity = r->n_listed, allocatable = r->n_healthy;
    bool first = !r->listed;
    r->listed = r->had_list = true;
    if (dm_resource_take_list(r, l))
        dm_resource_touch(r);
    if (first || r->n_listed != capacity || r->n_healthy != allocatable)
        dm_resource_show(r);
    dm_resource_retry(r);
    dm_manager_settle(m);
}

static void fail_queued(struct dm_manager *m, const struct dm_resource *r) {
    struct dm_txn *t;
    DM_LIST_EACH(t, &m->txns, struct dm_txn, in_manager)
    if (t->state == DM_TXN_QUEUED && t->resource == r)
        dm_txn_gone(t);
}

void dm_manager_gone(struct dm_manager *m, const char *resource, uint64_t generation, const char *why) {
    struct dm_resource *r = dm_resource_find(m, resource);
    if (!r || !r->connected || r->generation != generation)
        return;
    r->connected = r->listed = false;
    bool had = r->list_valid;
    r->list_valid = false;
    set_text(&r->last_error, why);
    dm_resource_start_grace(r);
    dm_resource_rebuild(r);
    if (had)
        dm_resource_touch(r);
    dm_event_plugin(m, r->name, 4, "plugin gone: %s", *r->last_error ? r->last_error : "no reason known");
    dm_resource_show(r);
    dm_resource_show_claims(r);
    fail_queued(m, r);
    dm_manager_settle(m);
}

void dm_manager_note(struct dm_manager *m, const char *resource, int level, const char *text) {
    struct dm_resource *r = dm_resource_find(m, resource);
    if (r && level <= 4 && strcmp(r->last_error, text)) {
        set_text(&r->last_error, text);
        dm_resource_show(r);
    }
    dm_event_plugin(m, resource, level, "%s", text);
}

void dm_manager_log(struct dm_manager *m, int level, const char *text) {
    dm_event_log(m, level, "%s", text);
}

int dm_manager_forget_resource(struct dm_manager *m, const char *resource) {
    struct dm_resource *r = resource ? dm_resource_find(m, resource) : NULL;
    if (m->closed)
        return -ECANCELED;
    if (!r)
        return -ENOENT;
    if (!r->removed || r->n_held || r->n_reserved || r->n_calls || !dm_list_empty(&r->own.waiting) ||
        r->own.active)
        return -EBUSY;
    dm_event_plugin(m, r->name, 5, "forgotten");
    struct dm_txn *t;
    DM_LIST_EACH(t, &r->waiters, struct dm_txn, at) { /* they wait for a plugin that is not known now */
        dm_list_remove(&t->at);
        t->state = DM_TXN_WALKING;
        dm_list_append(&m->to_walk, &t->at);
    }
    dm_resource_drop(r);
    dm_save_lazily(m);
    dm_manager_settle(m);
    return 0;
}
