/* providers.c -- see providers.h.
 *
 * (1) A provider's functions run inside our calls and must not call back: they are told what to say and what to take.
 * (2) t->took has a bit for each provider of which some container of t took; give_back is told once for these. */
#include "manager/providers.h"
#include "base/error.h"
#include "manager/admission.h"
#include "manager/texts.h"
#include "manager/verdict.h"
#include <stddef.h>

enum { MOST = 64 };

int dm_manager_add_provider(struct dm_manager *m, const devmgr_provider *p) {
    if (m->closed)
        return -ECANCELED;
    if (!p || p->size < sizeof *p)
        return DEVMGR_EINVALID;
    if (m->n_providers == MOST)
        return -ENOSPC;
    m->providers = dm_realloc(m->providers, (m->n_providers + 1) * sizeof(*m->providers));
    m->providers[m->n_providers++] = *p;
    return 0;
}

void dm_providers_free(struct dm_manager *m) {
    free(m->providers);
    m->providers = NULL;
    m->n_providers = 0;
}

/* ---- hints ----------------------------------------------------------------------------------------------------------- */

struct collect {
    struct dm_decision *d;
    size_t first; /* row of this provider */
};

static struct dm_hint_row *row_of(struct collect *c, const char *resource) {
    for (size_t i = c->first; i < c->d->n; i++)
        if (!strcmp(c->d->rows[i].resource, resource))
            return &c->d->rows[i];
    struct dm_hint_row *row = dm_decision_add(c->d);
    row->resource = row->name = dm_strdup(resource);
    row->hints = DM_HINTS_NOT_TOLD;
    return row;
}

static int collect_hint(void *arg, const devmgr_hint *hint) {
    struct dm_hint_row *row = row_of(arg, hint->resource ? hint->resource : "");
    dm_hints_tell(&row->hints, hint);
    return 0;
}

int dm_provider_hints(const devmgr_provider *p, const char *uid, const char *container, struct dm_decision *d,
                      devmgr_error *reterr) {
    struct collect c = {d, d->n};
    int rc = p->hints ? p->hints(p->arg, uid, container, collect_hint, &c) : 0;
    if (rc < 0)
        return dm_error_set(reterr, rc, "it could not give hints: %s", devmgr_error_name(rc));
    if (d->n == c.first) { /* no preference */
        struct dm_hint_row *row = dm_decision_add(d);
        row->resource = "";
        row->hints.exhaustive = true;
    }
    return 0;
}

/* ---- take and give back ---------------------------------------------------------------------------------------------- */

void dm_provider_refused(struct dm_verdict *v, const struct dm_txn *t, const char *why) {
    dm_verdict_make(v, t, DEVMGR_PROVIDER_REFUSED, why, "a hint provider of this program refused: %s", why);
}

bool dm_providers_take(struct dm_txn *t, const struct dm_pod_container *c, uint64_t numa,
                       struct dm_verdict *v) {
    const struct dm_manager *m = t->manager;
    for (size_t i = 0; i < m->n_providers; i++) {
        const devmgr_provider *p = &m->providers[i];
        devmgr_error err = {0};
        int rc = p->take ? p->take(p->arg, t->pod->uid, c->name, numa, &err) : 0;
        if (rc < 0) {
            dm_provider_refused(v, t, *err.message ? err.message : devmgr_error_name(rc));
            return false;
        }
        t->took |= p->take ? UINT64_C(1) << i : 0;
    }
    return true;
}

void dm_providers_give_back(struct dm_txn *t) {
    const struct dm_manager *m = t->manager;
    for (size_t i = 0; i < m->n_providers; i++)
        if (t->took >> i & 1 && m->providers[i].give_back)
            m->providers[i].give_back(m->providers[i].arg, t->pod->uid);
    t->took = 0;
}
