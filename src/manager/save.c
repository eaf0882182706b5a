/* save.c -- see save.h.
 *
 *   clean ──change──► due ──snapshot──► open ──saved──► clean, or due again when something changed meanwhile
 *                      ▲                  └──failed──► later: 1 s doubling to 30 s, or with the next change ──┐
 *                      └────────────────────────────────────────────────────────────────────────────────────┘
 * (1) `change` counts what must be durable; a write that was opened at change N and succeeded makes N the saved one.
 * (2) A failed write may have reached the disk or not: who waited for it is told no, and what is given back then is a
 *     change again, so that the next file does not have it. */
#include "manager/save.h"
#include "manager/admission.h"
#include "manager/answer.h"
#include "manager/claims.h"
#include "manager/release.h"
#include "manager/resource.h"
#include "manager/retry.h"

enum { LAZY_MS = 1000, BACKOFF_MS = 1000, BACKOFF_MAX_MS = 30000 };

void dm_save_init(struct dm_manager *m) {
    m->saving.lazy_at = m->saving.retry_at = DM_NEVER;
    m->saving.backoff = BACKOFF_MS;
}

uint64_t dm_save_durably(struct dm_manager *m) {
    m->saving.retry_at = DM_NEVER; /* a new change: try at once */
    return ++m->saving.change;
}

void dm_save_lazily(struct dm_manager *m) {
    m->saving.dirty = true;
    if (m->saving.lazy_at == DM_NEVER)
        m->saving.lazy_at = m->mono + LAZY_MS;
}

bool dm_save_reached(const struct dm_manager *m, uint64_t change) {
    return m->saving.saved >= change;
}

bool dm_manager_unsaved(const struct dm_manager *m) {
    return m->saving.change > m->saving.saved || m->saving.dirty || m->saving.open_lazy;
}

void dm_manager_save_again(struct dm_manager *m) {
    dm_save_durably(m);
}

/* ---- the picture --------------------------------------------------------------------------------------------------- */

static struct dm_saved_resource *picture_resource(struct dm_resource *r) {
    if (r->saved)
        return dm_saved_resource_ref(r->saved);
    struct dm_saved_resource *s = dm_saved_resource_new(r->name);
    s->healthy = dm_alloc_array(r->n_healthy, sizeof *s->healthy);
    for (size_t i = 0; i < r->n_devices && s->n_healthy < r->n_healthy; i++)
        if (dm_bits_get(&r->healthy, i))
            s->healthy[s->n_healthy++] = dm_strdup(r->devices[i]->id);
    s->has_options = r->has_options, s->prestart = r->prestart, s->preferred = r->preferred;
    r->saved = s;
    return dm_saved_resource_ref(s);
}

static struct dm_saved_pod *picture_pod(struct dm_pod *p) {
    if (p->saved)
        return dm_saved_pod_ref(p->saved);
    struct dm_saved_pod *s = dm_saved_pod_new(p->uid);
    free(s->namespace_), free(s->name), free(s->tag);
    s->namespace_ = dm_strdup(p->namespace_), s->name = dm_strdup(p->name), s->tag = dm_strdup(p->tag);
    s->revision = p->revision > p->saved_revision ? p->revision : p->saved_revision;
    s->init_done = p->init_done;
    s->containers = dm_alloc_array(p->n_containers, sizeof *s->containers);
    for (size_t i = 0; i < p->n_containers; i++) {
        const struct dm_container *c = p->containers[i];
        if (c->admitted || (p->txn && p->txn->state == DM_TXN_SAVING))
            s->containers[s->n_containers++] =
                (struct dm_saved_container){dm_strdup(c->name), c->kind, c->affinity};
    }
    p->saved = s;
    return dm_saved_pod_ref(s);
}

/* Has it a claim in the checkpoint? */
static bool is_saved(const struct dm_pod *p) {
    for (size_t i = 0; i < p->n_containers; i++)
        for (size_t k = 0; k < p->containers[i]->n_claims; k++)
            if (dm_linked(&p->containers[i]->claims[k]->in_manager))
                return true;
    return false;
}

static struct dm_snapshot *picture(struct dm_manager *m) {
    struct dm_snapshot *s = dm_snapshot_new();
    struct dm_claim *claim;
    s->revision = m->revision;
    s->recovering = m->recovering;
    s->claims = dm_alloc_array(m->n_claims, sizeof(*s->claims));
    DM_LIST_EACH(claim, &m->claims, struct dm_claim, in_manager)
    s->claims[s->n_claims++] = dm_saved_claim_ref(claim->saved);
    s->resources = dm_alloc_array(m->n_resources, sizeof(*s->resources));
    for (size_t i = 0; i < m->n_resources; i++)
        if (!m->resources[i]->removed || m->resources[i]->n_held || m->resources[i]->n_reserved)
            s->resources[s->n_resources++] = picture_resource(m->resources[i]);
    s->pods = dm_alloc_array(m->n_pods, sizeof(*s->pods));
    for (size_t i = 0; i < m->n_pods; i++)
        if (is_saved(m->pods[i]))
            s->pods[s->n_pods++] = picture_pod(m->pods[i]);
    return s;
}

/* ---- when ---------------------------------------------------------------------------------------------------------- */

static bool due(const struct dm_manager *m) {
    const struct dm_saving *s = &m->saving;
    if (s->open)
        return false;
    if (s->change > s->saved && (s->retry_at == DM_NEVER || m->mono >= s->retry_at))
        return true;
    return s->dirty && (m->mono >= s->lazy_at || m->closed) &&
           (s->retry_at == DM_NEVER || m->mono >= s->retry_at);
}

struct dm_snapshot *dm_save_due(struct dm_manager *m, bool *durable) {
    struct dm_saving *s = &m->saving;
    struct dm_txn *t;
    if (!due(m))
        return NULL;
    s->open = true;
    s->open_change = s->change;
    s->open_durable = *durable = s->change > s->saved;
    s->open_lazy = s->dirty;
    s->dirty = false;
    s->lazy_at = s->retry_at = DM_NEVER;
    s->number++;
    DM_LIST_EACH(t, &m->txns, struct dm_txn, in_manager)
    if (t->state == DM_TXN_SAVING && !t->save)
        t->save = s->number;
    return picture(m);
}

uint64_t dm_save_wake(const struct dm_manager *m) {
    const struct dm_saving *s = &m->saving;
    if (s->open || m->closed)
        return DM_NEVER;
    if (s->retry_at != DM_NEVER)
        return s->retry_at;
    if (s->change > s->saved)
        return m->mono;
    return s->lazy_at;
}

static void failed(struct dm_manager *m, const devmgr_error *err) {
    struct dm_saving *s = &m->saving;
    const char *why = err ? err->message : "unknown error";
    struct dm_txn *t;
    s->retry_at = m->mono + s->backoff;
    s->backoff = s->backoff * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : s->backoff * 2;
    if (s->open_lazy)
        s->dirty = true, s->lazy_at = m->mono;
    DM_LIST_EACH(t, &m->txns, struct dm_txn, in_manager)
    if (t->state == DM_TXN_SAVING && t->save == s->number)
        dm_txn_not_durable(t, why);
    dm_done_failed(m, s->open_change, err ? err->code : -EIO, why);
}

void dm_manager_saved(struct dm_manager *m, int status, const devmgr_error *err) {
    struct dm_saving *s = &m->saving;
    struct dm_txn *t;
    s->open = false;
    if (status < 0) {
        failed(m, err);
    } else {
        s->backoff = BACKOFF_MS;
        if (s->open_durable)
            s->saved = s->open_change;
        DM_LIST_EACH(t, &m->txns, struct dm_txn, in_manager)
        if (t->state == DM_TXN_SAVING && t->save == s->number)
            dm_txn_commit(t);
        dm_done_reached(m);
        dm_retry_cause(m, DEVMGR_NOT_DURABLE, NULL);
    }
    s->open_lazy = false;
    dm_manager_settle(m);
}
