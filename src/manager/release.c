/* release.c -- see release.h.
 *
 * (1) Devices are free in memory at once; who takes them over is told ADMITTED only after a save that has both changes.
 * (2) A callback comes when the change is on disk, or with the error when the write failed; it is written again anyway. */
#include "manager/release.h"
#include "manager/admission.h"
#include "manager/answer.h"
#include "manager/claims.h"
#include "manager/events.h"
#include "manager/prestart.h"
#include "manager/resource.h"
#include "manager/retry.h"
#include "manager/save.h"
#include <stdio.h>

/* ---- who waits for a save ------------------------------------------------------------------------------------------ */

static void free_done(struct dm_done *d) {
    for (size_t i = 0; i < d->n; i++)
        free(d->uids[i]);
    dm_list_remove(&d->in_manager);
    free(d->uids), free(d);
}

void dm_done_wait(struct dm_manager *m, devmgr_done_cb cb, void *arg, char **uids, size_t n) {
    struct dm_done *d = DM_NEW(struct dm_done);
    d->change = m->saving.change;
    d->uids = uids;
    d->n = n;
    d->cb = cb;
    d->arg = arg;
    dm_list_append(&m->dones, &d->in_manager);
    dm_done_reached(m);
}

void dm_done_reached(struct dm_manager *m) {
    struct dm_done *d;
    DM_LIST_EACH(d, &m->dones, struct dm_done, in_manager)
    if (dm_save_reached(m, d->change)) {
        dm_answer_done(m, d->cb, d->arg, 0, "", d->uids, d->n);
        free_done(d);
    }
}

void dm_done_failed(struct dm_manager *m, uint64_t change, int status, const char *why) {
    DM_FREE char *text = dm_printf("done in memory, but not saved: %s; it is written again", why);
    struct dm_done *d;
    DM_LIST_EACH(d, &m->dones, struct dm_done, in_manager)
    if (d->change <= change) {
        dm_answer_done(m, d->cb, d->arg, status, text, d->uids, d->n);
        free_done(d);
    }
}

void dm_done_end_all(struct dm_manager *m) {
    struct dm_done *d;
    DM_LIST_EACH(d, &m->dones, struct dm_done, in_manager) {
        dm_answer_done(m, d->cb, d->arg, -ECANCELED, "closing: done in memory, the last write is under way",
                       d->uids, d->n);
        free_done(d);
    }
}

/* ---- freeing ----------------------------------------------------------------------------------------------------------- */

/* Takes a container's held claims away and returns how many. *lost: a device is nobody's now; one that another container
 * of the pod has as well is not lost. */
static size_t drop_claims(struct dm_manager *m, struct dm_container *c, bool *lost) {
    size_t dropped = 0;
    for (size_t k = c->n_claims; k-- > 0;) {
        struct dm_claim *claim = c->claims[k];
        if (claim->txn)
            continue;
        for (size_t i = 0; i < claim->n; i++)
            *lost |= claim->holds[i].device->holds == &claim->holds[i] && !claim->holds[i].next;
        dm_claim_drop(m, claim);
        dm_save_durably(m);
        dropped++;
    }
    return dropped;
}

static bool release_pod(struct dm_manager *m, struct dm_pod *p) {
    DM_FREE char *uid = dm_strdup(p->uid);
    bool admitted = p->admitted, lost = false;
    if (p->txn)
        dm_txn_cancel(p->txn); /* which may be all there was: p is gone then */
    dm_backoff_forget(m, uid);
    dm_recovery_forget(m, uid);
    if (!admitted)
        return false;
    dm_prestart_cancel(m, uid, NULL, "the pod was released");
    for (size_t i = 0; i < p->n_containers; i++)
        drop_claims(m, p->containers[i], &lost);
    dm_pods_drop(m, p);
    dm_event_pod(m, DEVMGR_EV_RELEASED, NULL, uid);
    return lost;
}

static bool names_container(const struct dm_txn *t, const char *container) {
    return t && dm_pod_find(t->request, container);
}

static bool release_container(struct dm_manager *m, struct dm_pod *p, const char *container) {
    DM_FREE char *uid = dm_strdup(p->uid);
    if (names_container(p->txn, container))
        dm_txn_cancel(p->txn);
    p = dm_pods_find(m, uid);
    struct dm_container *c = p ? dm_pod_get_container(p, container) : NULL;
    if (!c || !c->admitted)
        return false;
    dm_prestart_cancel(m, uid, container, "the container was released");
    bool lost = false;
    drop_claims(m, c, &lost);
    if (!c->n_claims)
        dm_container_drop(c);
    dm_pod_changed(p);
    dm_save_lazily(m);
    dm_event_pod(m, DEVMGR_EV_RELEASED, p, uid);
    return lost;
}

static char **one_uid(const char *uid) {
    char **uids = dm_alloc(sizeof *uids);
    *uids = dm_strdup(uid);
    return uids;
}

int dm_manager_release(struct dm_manager *m, const char *uid, const char *container, devmgr_done_cb cb,
                       void *arg) {
    if (m->closed)
        return -ECANCELED;
    if (!uid)
        return DEVMGR_EINVALID;
    struct dm_pod *p = dm_pods_find(m, uid);
    bool lost = p && (container ? release_container(m, p, container) : release_pod(m, p));
    if (!p && !container)
        dm_backoff_forget(m, uid), dm_recovery_forget(m, uid);
    dm_done_wait(m, cb, arg, lost ? one_uid(uid) : NULL, lost);
    dm_manager_settle(m);
    return 0;
}

int dm_manager_init_done(struct dm_manager *m, const char *uid, devmgr_done_cb cb, void *arg) {
    if (m->closed)
        return -ECANCELED;
    if (!uid)
        return DEVMGR_EINVALID;
    struct dm_pod *p = dm_pods_find(m, uid);
    bool freed = false, ended = false;
    for (size_t i = 0; p && p->admitted && i < p->n_containers; i++)
        if (p->containers[i]->kind == DEVMGR_PLAIN_INIT) {
            dm_prestart_cancel(m, uid, p->containers[i]->name, "the pod's init containers have ended");
            ended |= drop_claims(m, p->containers[i], &freed) > 0;
        }
    if (p && p->admitted && !p->init_done) {
        p->init_done = true;
        dm_pod_changed(p);
        dm_save_lazily(m);
    }
    if (ended)
        dm_event_pod(m, DEVMGR_EV_RELEASED, p, uid);
    dm_done_wait(m, cb, arg, freed ? one_uid(uid) : NULL, freed);
    dm_manager_settle(m);
    return 0;
}

/* ---- sync -------------------------------------------------------------------------------------------------------------- */

/* In flight, or admitted after the caller began to list: its list cannot know the pod. The file has a pod's revision from
 * a moment before it was told; a list begun before this start may be older than that, so it says nothing of such a pod. */
static bool too_young(const struct dm_manager *m, const struct dm_pod *p, uint64_t as_of) {
    return p->txn || p->revision > as_of || (p->restored && as_of < m->opened);
}

static size_t doomed(const struct dm_manager *m, const struct dm_map *live, uint64_t as_of,
                     struct dm_pod ***ret) {
    size_t n = 0;
    struct dm_pod **list = dm_alloc_array(m->n_pods, sizeof *list);
    for (size_t i = 0; i < m->n_pods; i++)
        if (!dm_map_get(live, m->pods[i]->uid) && !too_young(m, m->pods[i], as_of))
            list[n++] = m->pods[i];
    *ret = list;
    return n;
}

static void live_pods_are(struct dm_manager *m, const char *const *uids, size_t n, uint64_t as_of);

int dm_manager_sync(struct dm_manager *m, const char *const *uids, size_t n, uint64_t as_of, unsigned flags,
                    devmgr_done_cb cb, void *arg) {
    struct dm_map live = {0};
    struct dm_pod **gone;
    if (m->closed)
        return -ECANCELED;
    for (size_t i = 0; i < n; i++)
        if (!uids || !uids[i])
            return DEVMGR_EINVALID;
    for (size_t i = 0; i < n; i++)
        dm_map_put(&live, uids[i], m);
    size_t n_gone = doomed(m, &live, as_of, &gone), n_lost = 0;
    char **lost = dm_alloc_array(n_gone, sizeof *lost);
    for (size_t i = 0; i < n_gone; i++) {
        DM_FREE char *uid = dm_strdup(gone[i]->uid);
        if (flags & DEVMGR_DRY_RUN ? dm_pod_holds(gone[i]) : release_pod(m, gone[i]))
            lost[n_lost++] = DM_MOVE(uid);
    }
    if (!(flags & DEVMGR_DRY_RUN))
        live_pods_are(m, uids, n, as_of);
    dm_map_free(&live);
    free(gone);
    dm_done_wait(m, cb, arg, lost, n_lost);
    dm_manager_settle(m);
    return 0;
}

/* ---- recovery ---------------------------------------------------------------------------------------------------------- */

void dm_recovery_begin(struct dm_manager *m) {
    m->recovering = true;
    m->synced = false;
}

static void end_when_all_known(struct dm_manager *m) {
    if (!m->recovering || !m->synced || m->n_unknown)
        return;
    m->recovering = false;
    dm_event_log(m, 5, "recovered: all live pods are known, new devices are given out again");
    dm_save_durably(m);
    dm_retry_cause(m, DEVMGR_RECOVERING, NULL);
}

void dm_recovery_free(struct dm_manager *m) {
    for (size_t i = 0; i < m->n_unknown; i++)
        free(m->unknown[i]);
    free(m->unknown);
    m->unknown = NULL;
    m->n_unknown = 0;
}

/* A list begun before this start may lack a pod that was admitted since, and that the copy lacks, too. */
static void live_pods_are(struct dm_manager *m, const char *const *uids, size_t n, uint64_t as_of) {
    if (!m->recovering)
        return;
    if (as_of < m->opened) {
        dm_event_log(m, 4,
                     "recovering: a list of live pods begun before this start is not enough; sync again");
        return;
    }
    dm_recovery_free(m);
    m->synced = true;
    m->unknown = dm_alloc_array(n, sizeof(*m->unknown));
    for (size_t i = 0; i < n; i++) {
        const struct dm_pod *p = dm_pods_find(m, uids[i]);
        if (!p || !p->admitted)
            m->unknown[m->n_unknown++] = dm_strdup(uids[i]);
    }
    if (m->n_unknown)
        dm_event_log(
            m, 4,
            "recovering: %zu live pods are not in the copy of the checkpoint (%s, ...): release or adopt "
            "them; until then no new device is given out",
            m->n_unknown, m->unknown[0]);
    end_when_all_known(m);
}

void dm_recovery_forget(struct dm_manager *m, const char *uid) {
    for (size_t i = 0; i < m->n_unknown; i++)
        if (!strcmp(m->unknown[i], uid)) {
            free(m->unknown[i]);
            m->unknown[i--] = m->unknown[--m->n_unknown];
        }
    end_when_all_known(m);
}

void dm_recovery_seen(struct dm_manager *m, const struct dm_pod *p) {
    if (m->recovering)
        dm_recovery_forget(m, p->uid);
}
