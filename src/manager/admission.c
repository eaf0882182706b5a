/* admission.c -- see admission.h.
 *
 *              ┌──────────────── next container, next resource ◄───────────────┐
 *   admit ► WALKING ─needs a plugin► QUEUED ─its turn► CALLING ─Allocate answered┘
 *              │                        │                 │
 *              │ all done, nothing new  └──── fails ──────┴──► everything given back
 *              ├──────────────► ADMITTED                            │ NOT_YET and may wait: WAITING ─change► WALKING
 *              └─ new claims ─► SAVING ─on disk► ADMITTED           └ else: answered
 *
 * (1) Reservations are claims with claim->txn == t; give_back drops all of them, on every way out but commit.
 * (2) t->at is in at most one list: manager->to_walk, a queue's, a list of waiters.
 * (3) The pod and its new containers exist from the start, not admitted: only an admission in flight shows them. */
#include "manager/admission.h"
#include "base/error.h"
#include "manager/affinity.h"
#include "manager/answer.h"
#include "manager/call.h"
#include "manager/claims.h"
#include "manager/events.h"
#include "manager/prestart.h"
#include "manager/release.h"
#include "manager/resource.h"
#include "manager/retry.h"
#include "manager/save.h"
#include "manager/texts.h"
#include "manager/verdict.h"

const struct dm_pod_container *dm_txn_container(const struct dm_txn *t) {
    return t->container < t->request->n_containers ? &t->request->containers[t->container] : NULL;
}

const struct dm_limit *dm_txn_limit(const struct dm_txn *t) {
    return &dm_txn_container(t)->limits[t->limit];
}

void dm_txn_walk_on(struct dm_txn *t) {
    t->state = DM_TXN_WALKING;
    dm_list_append(&t->manager->to_walk, &t->at);
}

/* ---- begin and end ------------------------------------------------------------------------------------------------- */

/* A kubelet's checkpoint does not say kinds: the request does. What holds devices otherwise keeps its kind. */
static void learn(struct dm_txn *t) {
    struct dm_pod *p = t->pod;
    for (size_t i = 0; i < t->request->n_containers; i++) {
        const struct dm_pod_container *pc = &t->request->containers[i];
        struct dm_container *c = dm_pod_get_container(p, pc->name);
        if (!c) {
            dm_pod_add_container(p, pc->name, pc->kind);
        } else if (c->kind != pc->kind && (c->kind < 0 || !c->n_claims)) {
            c->kind = pc->kind;
            dm_pod_changed(p);
        }
    }
    dm_pod_name(p, t->request->namespace_, t->request->name, *t->request->tag ? t->request->tag : NULL);
    if (p->admitted && !p->saved)
        dm_save_lazily(t->manager);
}

int dm_manager_admit(struct dm_manager *m, const devmgr_pod *pod, devmgr_admit_cb cb, void *arg,
                     devmgr_error *reterr) {
    if (m->closed)
        return dm_error_set(reterr, -ECANCELED, "closing");
    if (!pod || !cb)
        return dm_error_set(reterr, DEVMGR_EINVALID, "admit: no pod or no callback");
    struct dm_pod *p = dm_pods_get(m, pod->uid);
    if (p->txn)
        return dm_error_set(
            reterr, -EALREADY,
            "pod %s/%s: an admission of it is in flight; wait for its result, or release the pod",
            pod->namespace_, pod->name);
    struct dm_txn *t = DM_NEW(struct dm_txn);
    t->manager = m;
    t->number = ++m->numbers;
    t->pod = p;
    t->request = dm_pod_copy(pod);
    t->cb = cb;
    t->arg = arg;
    t->retry_at = DM_NEVER;
    t->wait_until = pod->wait_ms > DM_NEVER - 1 - m->mono ? DM_NEVER - 1 : m->mono + pod->wait_ms;
    p->txn = t;
    dm_list_append(&m->txns, &t->in_manager);
    learn(t);
    dm_txn_walk_on(t);
    dm_manager_settle(m);
    return 0;
}

/* Its pod goes with it when nobody else knows the pod. */
static void end(struct dm_txn *t) {
    struct dm_pod *p = t->pod;
    p->txn = NULL;
    for (size_t i = p->n_containers; i-- > 0;)
        if (!p->containers[i]->admitted)
            dm_container_drop(p->containers[i]);
    if (!p->admitted)
        dm_pods_drop(t->manager, p);
    dm_list_remove(&t->in_manager);
    dm_list_remove(&t->at);
    dm_verdict_free(&t->last);
    devmgr_pod_free(t->request);
    free(t->affinity), free(t->conflict), free(t);
}

static void give_back(struct dm_txn *t) {
    bool saved = false;
    dm_queue_leave(t);
    dm_txn_forget_affinities(t);
    if (t->call)
        dm_call_abandon(DM_MOVE(t->call));
    for (size_t i = 0; i < t->pod->n_containers; i++) {
        struct dm_container *c = t->pod->containers[i];
        for (size_t k = c->n_claims; k-- > 0;)
            if (c->claims[k]->txn == t) {
                saved |= dm_linked(&c->claims[k]->in_manager);
                dm_claim_drop(t->manager, c->claims[k]);
            }
    }
    if (saved)
        dm_save_durably(t->manager); /* a file that has them may be on disk, or on its way there */
    t->claim = NULL;
    t->resource = NULL;
    t->container = t->limit = 0;
    t->save = 0;
}

void dm_txn_fail(struct dm_txn *t, struct dm_verdict *v) {
    struct dm_manager *m = t->manager;
    uint64_t after = v->verdict == DEVMGR_CANCELED ? 0 : dm_backoff_refused(m, t->request);
    give_back(t);
    if (v->verdict != DEVMGR_NOT_YET || t->wait_until <= m->mono || m->closed) {
        dm_answer_refused(t, v, after);
        dm_verdict_free(v);
        end(t);
        return;
    }
    dm_verdict_free(&t->last);
    t->last = *v;
    bool timed = t->asked || v->cause == DEVMGR_PLUGIN_TIMEOUT;
    t->retry_at = timed ? m->mono + after : DM_NEVER;
    t->not_before = t->asked ? m->mono + after : 0;
    t->asked = false;
    dm_retry_wait(t);
}

void dm_txn_cancel(struct dm_txn *t) {
    struct dm_verdict v;
    dm_verdict_canceled(&v, t);
    dm_txn_fail(t, &v);
}

void dm_txn_not_durable(struct dm_txn *t, const char *why) {
    struct dm_verdict v;
    DM_FREE char *inner = dm_printf(DM_TEXT_NOT_WRITTEN, why);
    dm_verdict_make(
        &v, t, DEVMGR_NOT_DURABLE, inner,
        "the devices could not be saved (%s), so nothing was kept; make the disk writable, then admit again",
        why);
    dm_txn_fail(t, &v);
}

/* ---- the walk -------------------------------------------------------------------------------------------------------- */

enum step { NEXT, STAY, FAILED };

static enum step changed(struct dm_txn *t, struct dm_verdict *v, const char *resource, size_t held,
                         uint64_t wanted) {
    DM_FREE char *inner = dm_printf(DM_TEXT_CHANGED, t->pod->uid, dm_txn_container(t)->name, resource, held,
                                    (unsigned long long)wanted);
    dm_verdict_make(
        v, t, DEVMGR_REQUEST_CHANGED, inner,
        "holds %zu of %s and asks for %llu now; a count cannot change, release the container or the pod "
        "first",
        held, resource, (unsigned long long)wanted);
    return FAILED;
}

/* What is held stays, whether the plugin is there or not; only a connected plugin can disown it. */
static enum step check_held(struct dm_txn *t, struct dm_verdict *v, const struct dm_claim *claim,
                            uint64_t wanted) {
    const struct dm_resource *r = claim->resource;
    if (claim->n != wanted)
        return changed(t, v, r->name, claim->n, wanted);
    for (size_t i = 0; i < claim->n && !dm_txn_container(t)->running; i++) {
        int health = dm_device_health(r, claim->holds[i].device);
        if (health != DEVMGR_UNHEALTHY && health != DEVMGR_MISSING)
            continue;
        DM_FREE char *inner = dm_printf(DM_TEXT_HELD_UNHEALTHY, r->name);
        dm_verdict_make(
            v, t, DEVMGR_HELD_UNHEALTHY, inner,
            "holds %s, which its plugin (%s) %s; release the pod and create it anew, or say that the "
            "container is running",
            claim->holds[i].device->id, r->socket ? r->socket : "?",
            health == DEVMGR_MISSING ? "does not list any more" : "lists as not healthy");
        return FAILED;
    }
    return NEXT;
}

/* A resource that it holds and does not ask for any more is a changed count, too. */
static enum step check_unnamed(struct dm_txn *t, struct dm_verdict *v, const struct dm_container *c) {
    const struct dm_pod_container *pc = dm_txn_container(t);
    for (size_t k = 0; k < c->n_claims; k++) {
        const char *resource = c->claims[k]->resource->name;
        bool named =
            c->claims[k]->txn || !c->claims[k]->n || !dm_settings_ours(t->manager->settings, resource);
        for (size_t i = 0; i < pc->n_limits && !named; i++)
            named = !strcmp(pc->limits[i].resource, resource);
        if (!named)
            return changed(t, v, resource, c->claims[k]->n, 0);
    }
    return NEXT;
}

struct dm_container *dm_txn_holder(const struct dm_txn *t) {
    return dm_pod_get_container(t->pod, dm_txn_container(t)->name);
}

static size_t count_reusable(const struct dm_txn *t, const struct dm_resource *r) {
    uint32_t *list;
    size_t n = dm_pod_reusable(t->pod, r, &list);
    free(list);
    return n;
}

static enum step enter(struct dm_txn *t, struct dm_verdict *v, struct dm_resource *r, uint64_t needed) {
    size_t reusable;
    if (!dm_verdict_available(v, t, r))
        return FAILED;
    reusable = count_reusable(t, r);
    if (needed > reusable + r->n_free) {
        dm_verdict_insufficient(v, t, r, needed, reusable, r->n_free);
        return FAILED;
    }
    t->resource = r;
    if (t->trial)
        return dm_txn_try(t, v) ? NEXT : FAILED;
    t->deadline = t->manager->mono + dm_resource_limits(r).allocate_timeout;
    dm_queue_enter(r->queue, t);
    return STAY;
}

/* More than a plugin may ever list: waiting cannot help. */
static enum step too_many(struct dm_txn *t, struct dm_verdict *v, const struct dm_limit *limit,
                          uint64_t most) {
    const struct dm_resource *r = dm_resource_find(t->manager, limit->resource);
    DM_FREE char *inner =
        dm_printf(DM_TEXT_UNAVAILABLE, limit->resource, (size_t)limit->count, r ? r->n_free : 0);
    dm_verdict_make(v, t, DEVMGR_INVALID_POD, inner,
                    "asks for %llu; a plugin may list %llu at most (max-devices), so correct the limit",
                    (unsigned long long)limit->count, (unsigned long long)most);
    return FAILED;
}

static enum step step(struct dm_txn *t, struct dm_verdict *v) {
    struct dm_manager *m = t->manager;
    const struct dm_limit *limit = dm_txn_limit(t);
    struct dm_container *c = dm_txn_holder(t);
    struct dm_claim *claim = dm_container_claim(c, limit->resource);
    if (!dm_settings_ours(m->settings, limit->resource) ||
        (c->kind == DEVMGR_PLAIN_INIT && t->pod->init_done))
        return NEXT;
    if (claim)
        return check_held(t, v, claim, limit->count);
    if (!limit->count)
        return NEXT;
    uint64_t most = dm_settings_for(m->settings, limit->resource).max_devices;
    if (limit->count > most)
        return too_many(t, v, limit, most);
    struct dm_resource *r = dm_resource_find(m, limit->resource);
    bool known = r && !(r->removed && !r->n_held && !r->n_reserved);
    if (!known && m->settings->unknown_resource == DM_UNKNOWN_SKIP)
        return NEXT;
    if (m->recovering)
        dm_verdict_recovering(v, t);
    else if (!r)
        dm_verdict_no_plugin(v, t, limit->resource);
    else
        return enter(t, v, r, limit->count);
    return FAILED;
}

static void finish(struct dm_txn *t);

void dm_txn_next_limit(struct dm_txn *t) {
    if (++t->limit >= dm_txn_container(t)->n_limits)
        t->container++, t->limit = 0;
}

static enum step begin_container(struct dm_txn *t, struct dm_verdict *v) {
    enum step result = check_unnamed(t, v, dm_txn_holder(t));
    if (result == NEXT && !dm_txn_decide(t, v))
        result = FAILED;
    return result;
}

static enum step walk(struct dm_txn *t, struct dm_verdict *v) {
    enum step result = NEXT;
    while (result == NEXT && dm_txn_container(t)) {
        if (t->limit == 0)
            result = begin_container(t, v);
        if (result == NEXT && t->limit < dm_txn_container(t)->n_limits)
            result = step(t, v);
        if (result == NEXT)
            dm_txn_next_limit(t);
    }
    return result;
}

void dm_txn_walk(struct dm_txn *t) {
    struct dm_verdict v;
    dm_list_remove(&t->at);
    enum step result = walk(t, &v);
    if (result == FAILED)
        dm_txn_fail(t, &v);
    else if (result == NEXT)
        finish(t);
}

bool dm_txn_rehearse(struct dm_txn *t, struct dm_verdict *v) {
    return walk(t, v) == NEXT;
}

/* ---- the end ----------------------------------------------------------------------------------------------------------- */

/* False: conflicts are refused. One merge per container that got something new. */
static bool check_conflicts(struct dm_txn *t, struct dm_container *c, struct dm_verdict *v) {
    DM_CLEANUP(dm_merged_freep) struct dm_merged *merged = NULL;
    if (dm_container_merge(t->manager, c, t, &merged, NULL) < 0 || !merged->conflict)
        return true;
    if (t->manager->settings->conflicts == DM_CONFLICTS_REFUSE) {
        DM_FREE char *inner = dm_printf(DM_SAY_CONFLICT, merged->conflict);
        dm_verdict_make(
            v, t, DEVMGR_OPTIONS_CONFLICT, inner,
            "the plugins' answers for container %s contradict each other: %s; correct a plugin, or set "
            "conflicts = first",
            c->name, merged->conflict);
        v->container = dm_strdup(c->name);
        return false;
    }
    free(t->conflict);
    t->conflict = dm_printf("pod %s/%s, container %s: answers differ, the first wins: %s",
                            t->request->namespace_, t->request->name, c->name, merged->conflict);
    dm_event_log(t->manager, 4, "%s", t->conflict);
    c->conflict_told = true;
    return true;
}

/* A request that names all containers tells their order; one that names a few adds them at the end. */
static void put_in_order(struct dm_txn *t) {
    struct dm_pod *p = t->pod;
    if (t->request->n_containers != p->n_containers)
        return;
    for (size_t i = 0; i < p->n_containers; i++) {
        struct dm_container *c = dm_pod_get_container(p, t->request->containers[i].name);
        size_t at = i;
        while (p->containers[at] != c)
            at++;
        if (at == i)
            continue;
        p->containers[at] = p->containers[i];
        p->containers[i] = c;
        dm_pod_changed(p);
        dm_save_lazily(t->manager);
    }
}

static void finish(struct dm_txn *t) {
    bool anew = !dm_save_reached(t->manager, t->pod->adopted); /* not durable yet */
    put_in_order(t);
    dm_txn_keep_affinities(t);
    for (size_t i = 0; i < t->pod->n_containers; i++) {
        struct dm_container *c = t->pod->containers[i];
        struct dm_verdict v;
        bool got = false;
        for (size_t k = 0; k < c->n_claims; k++)
            got |= c->claims[k]->txn == t;
        anew |= got;
        if (got && !check_conflicts(t, c, &v)) {
            dm_txn_fail(t, &v);
            return;
        }
    }
    if (!anew) {
        dm_txn_commit(t);
        return;
    }
    for (size_t i = 0; i < t->pod->n_containers; i++)
        for (size_t k = 0; k < t->pod->containers[i]->n_claims; k++)
            if (t->pod->containers[i]->claims[k]->txn == t)
                dm_claim_keep(t->manager, t->pod->containers[i]->claims[k]);
    t->state = DM_TXN_SAVING;
    t->pod->saved_revision = ++t->manager->revision;
    dm_save_durably(t->manager);
}

static bool commit_containers(struct dm_txn *t) {
    bool news = !t->pod->admitted;
    for (size_t i = 0; i < t->request->n_containers; i++) {
        const struct dm_pod_container *pc = &t->request->containers[i];
        struct dm_container *c = dm_pod_get_container(t->pod, pc->name);
        news |= !c->admitted;
        c->admitted = true;
        for (size_t k = 0; k < c->n_claims; k++)
            if (c->claims[k]->txn == t) {
                dm_claim_commit(c->claims[k]);
                news = true;
            }
    }
    t->pod->admitted = true;
    return news;
}

void dm_txn_commit(struct dm_txn *t) {
    struct dm_manager *m = t->manager;
    struct dm_pod *p = t->pod;
    p->revision = m->revision + 1; /* that of the event, or of nothing */
    struct dm_answer_due *answer = dm_answer_admitted(t);
    if (commit_containers(t))
        dm_event_pod(m, DEVMGR_EV_ADMITTED, p, p->uid);
    else
        m->revision++;
    dm_act_queue(m, &answer->act);
    dm_backoff_forget(m, t->request->uid);
    dm_recovery_seen(m, p);
    end(t);
}

/* ---- time ---------------------------------------------------------------------------------------------------------------- */

void dm_txn_tick(struct dm_txn *t) {
    struct dm_manager *m = t->manager;
    if (t->state == DM_TXN_QUEUED && m->mono >= t->deadline) {
        dm_txn_time_out(t);
    } else if (t->state == DM_TXN_WAITING && m->mono >= t->wait_until) {
        dm_answer_refused(t, &t->last, dm_backoff_refused(m, t->request));
        end(t);
    } else if (t->state == DM_TXN_WAITING && m->mono >= t->retry_at) {
        dm_list_remove(&t->at);
        t->retry_at = DM_NEVER;
        dm_txn_walk_on(t);
    }
}

uint64_t dm_txn_wake(const struct dm_txn *t) {
    if (t->state == DM_TXN_QUEUED)
        return t->deadline;
    if (t->state != DM_TXN_WAITING)
        return DM_NEVER;
    return t->retry_at < t->wait_until ? t->retry_at : t->wait_until;
}
