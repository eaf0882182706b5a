/* affinity.c -- see affinity.h; the decision itself is decide.c's.
 *
 * A decision counts what is free now; devices are picked when the resource's queue comes to it, and another pod may have
 * been there first. Policies best-effort and none take what is left then, as a wish that could not be met. Restricted and
 * single-numa-node promise: they decide anew, with what the container already got as given, and refuse when that fails.
 *
 * A container that holds what it asks is not judged again: its devices stay, and with them its affinity. */
#include "manager/affinity.h"
#include "base/error.h"
#include "manager/admission.h"
#include "manager/claims.h"
#include "manager/decide.h"
#include "manager/explain.h"
#include "manager/providers.h"
#include "manager/resource.h"
#include "manager/save.h"
#include "manager/verdict.h"
#include "manager/why.h"

static bool strict(const struct dm_manager *m) {
    return m->topology->policy == DM_POLICY_RESTRICTED || m->topology->policy == DM_POLICY_SINGLE_NUMA_NODE;
}

uint64_t dm_txn_affinity(const struct dm_txn *t) {
    return t->affinity ? t->affinity[t->container] : 0;
}

bool dm_txn_binding(const struct dm_txn *t, const struct dm_resource *r) {
    return strict(t->manager) && r->topology && !dm_txn_container(t)->has_affinity;
}

/* ---- refused --------------------------------------------------------------------------------------------------------- */

/* t stands at `resource` while a verdict about it is made: of the pod, in the first container that asks for it. */
static void stand_at(struct dm_txn *t, const char *resource, bool pod) {
    for (size_t i = pod ? 0 : t->container; i < t->request->n_containers; i++)
        for (size_t k = 0; k < t->request->containers[i].n_limits; k++)
            if (!strcmp(t->request->containers[i].limits[k].resource, resource)) {
                t->container = i, t->limit = k;
                return;
            }
}

/* Nobody can be served, whatever the nodes: said as without a policy, but for the words of the pod's status. */
static bool refuse_lacking(struct dm_txn *t, struct dm_verdict *v, const struct dm_decision *d, bool pod) {
    size_t container = t->container, limit = t->limit;
    const struct dm_hint_row *row = NULL;
    for (size_t i = 0; i < d->n; i++) /* who has no plugin first */
        if (d->rows[i].lacking && (!row || (row->of->list_valid && !d->rows[i].of->list_valid)))
            row = &d->rows[i];
    if (!row)
        return false;
    stand_at(t, row->resource, pod);
    if (dm_verdict_available(v, t, row->of))
        dm_verdict_insufficient(v, t, row->of, row->count, row->reusable, row->free);
    dm_verdict_locality(v);
    t->container = container, t->limit = limit;
    return true;
}

static void refuse(struct dm_txn *t, struct dm_verdict *v, const struct dm_decision *d, bool pod) {
    const struct dm_manager *m = t->manager;
    DM_CLEANUP(dm_buf_free) struct dm_buf why = {0};
    const struct dm_hint_row *only = NULL;
    size_t ours = 0;
    if (refuse_lacking(t, v, d, pod))
        return;
    dm_why_put_all(&why, m, d);
    bool later = dm_decide_idle(m, t->pod, t->request, pod ? NULL : dm_txn_container(t), d);
    for (size_t i = 0; i < d->n; i++)
        if (d->rows[i].of && d->rows[i].of->topology)
            only = &d->rows[i], ours++;
    for (size_t i = 0; i < d->n && later; i++)
        if (d->rows[i].of)
            dm_verdict_name_holders(&why, d->rows[i].of);
    dm_buf_puts(&why,
                later ? "; it would fit if all devices were free: admit again when some are, or release a "
                        "pod that ended"
                      : "; no nodes would be good for it if all devices were free either: ask for what fits "
                        "fewer nodes, or relax topology-policy");
    dm_verdict_affinity(v, t, pod, later ? DEVMGR_INSUFFICIENT_DEVICES : DEVMGR_NO_AFFINITY, why.data);
    if (ours == 1) {
        v->resource = dm_strdup(only->resource);
        v->need = only->count > only->held + only->reusable ? only->count - only->held - only->reusable : 0;
    }
}

/* ---- the decision ---------------------------------------------------------------------------------------------------- */

/* false: v says why not. *numa: the nodes, 0: no affinity. */
static bool decide(struct dm_txn *t, const struct dm_pod_container *c, uint64_t *numa, struct dm_verdict *v) {
    DM_CLEANUP(dm_decision_free) struct dm_decision d;
    devmgr_error err;
    if (dm_decide(t->manager, t->pod, t->request, c, DM_DECIDE_REST, &d, &err) < 0) {
        dm_provider_refused(v, t, err.message);
        return false;
    }
    *numa = d.merged.any ? 0 : d.merged.mask;
    if (t->trial)
        dm_trial_decided(t, c, &d);
    if (!d.merged.admit && !d.changed) /* a changed count is for the walk to refuse */
        refuse(t, v, &d, !c);
    return d.merged.admit || d.changed;
}

/* What its other containers got. */
static uint64_t affinity_of_pod(const struct dm_pod *p) {
    for (size_t i = 0; i < p->n_containers; i++)
        if (p->containers[i]->admitted && p->containers[i]->affinity)
            return p->containers[i]->affinity;
    return 0;
}

static bool decide_pod(struct dm_txn *t, struct dm_verdict *v) {
    bool known = t->pod->admitted && !dm_decide_needed(t->manager, t->pod, t->request, NULL);
    if (known)
        t->pod_affinity = affinity_of_pod(t->pod);
    else if (!t->pod_decided && !decide(t, NULL, &t->pod_affinity, v))
        return false;
    t->pod_decided = true;
    t->affinity[t->container] = t->pod_affinity;
    return true;
}

/* Are hints that came with the pod where this scope looks for them? */
static bool check_given(struct dm_txn *t, struct dm_verdict *v) {
    const char *who = t->manager->topology->scope == DM_SCOPE_POD ? "pod" : "container";
    bool of_pod = t->request->given.n > 0, of_container = false;
    for (size_t i = 0; i < t->request->n_containers; i++)
        of_container |= t->request->containers[i].given.n > 0;
    if (of_pod == of_container || of_pod == (*who == 'p'))
        return true;
    dm_verdict_make(v, t, DEVMGR_INVALID_POD, "hints of another scope",
                    "topology-scope is %s, and hints came for %s alone: give them for %s", who,
                    of_pod ? "the pod" : "containers", of_pod ? "each container" : "the pod");
    return false;
}

static bool decide_here(struct dm_txn *t, struct dm_verdict *v) {
    const struct dm_pod_container *pc = dm_txn_container(t);
    const struct dm_container *c = dm_txn_holder(t);
    uint64_t *numa = &t->affinity[t->container];
    *numa = pc->has_affinity ? pc->affinity : c->affinity;
    if (pc->has_affinity || t->manager->topology->policy == DM_POLICY_NONE)
        return true;
    if (c->admitted && !dm_decide_needed(t->manager, t->pod, t->request, pc))
        return true;
    if (!check_given(t, v))
        return false;
    return t->manager->topology->scope == DM_SCOPE_POD ? decide_pod(t, v) : decide(t, pc, numa, v);
}

static bool take(struct dm_txn *t, struct dm_verdict *v) {
    return t->trial || dm_txn_holder(t)->admitted ||
           dm_providers_take(t, dm_txn_container(t), dm_txn_affinity(t), v);
}

bool dm_txn_decide(struct dm_txn *t, struct dm_verdict *v) {
    if (!t->affinity)
        t->affinity = dm_alloc_array(t->request->n_containers, sizeof(*t->affinity));
    return decide_here(t, v) && take(t, v);
}

/* Providers took for the container with nodes that may change now: they give back, and take for all so far again. */
static bool take_again(struct dm_txn *t, size_t until, struct dm_verdict *v) {
    size_t container = t->container;
    bool ok = true;
    for (t->container = 0; ok && t->container < until; t->container++)
        ok = take(t, v);
    t->container = container;
    return ok;
}

bool dm_txn_decide_again(struct dm_txn *t, struct dm_verdict *v) {
    if (t->claim)
        dm_claim_drop(t->manager, DM_MOVE(t->claim));
    dm_providers_give_back(t);
    t->pod_decided = false;
    return take_again(t, t->container, v) && decide_here(t, v) && take(t, v);
}

/* ---- the end --------------------------------------------------------------------------------------------------------- */

void dm_txn_keep_affinities(struct dm_txn *t) {
    for (size_t i = 0; i < t->request->n_containers; i++) {
        struct dm_container *c = dm_pod_get_container(t->pod, t->request->containers[i].name);
        bool got = !c->admitted;
        for (size_t k = 0; k < c->n_claims; k++)
            got |= c->claims[k]->txn == t;
        if (!got || c->affinity == t->affinity[i])
            continue;
        c->affinity = t->affinity[i];
        dm_pod_changed(t->pod);
        dm_save_lazily(t->manager);
    }
}

void dm_txn_forget_affinities(struct dm_txn *t) {
    dm_providers_give_back(t);
    free(t->affinity);
    t->affinity = NULL;
    t->pod_decided = false;
}
