/* retry.c -- see retry.h.
 *
 * A waiting admission holds nothing. It stands with the resource it lacks, or with the manager when there is no such
 * resource, there are several (nodes that none of them has free), or the reason is another; the oldest first. It walks
 * again when something changed that can help; one that called a plugin in vain not before its backoff is over, so that
 * two of them cannot chase each other. */
#include "manager/retry.h"
#include "manager/claims.h"
#include "manager/resource.h"

enum { FIRST_MS = 1000, MOST_MS = 60000, REMEMBERED = 4096, FORGET_MS = 10 * 60 * 1000 };

static void insert(struct dm_list *head, struct dm_txn *t) {
    struct dm_list *before = head->prev;
    while (before != head && DM_CONTAINER(before, struct dm_txn, at)->number > t->number)
        before = before->prev;
    dm_list_append(before->next, &t->at); /* appends before that node */
}

void dm_retry_wait(struct dm_txn *t) {
    struct dm_manager *m = t->manager;
    struct dm_resource *r = t->last.resource ? dm_resource_find(m, t->last.resource) : NULL;
    bool of_resource = r && t->last.cause != DEVMGR_NOT_DURABLE && t->last.cause != DEVMGR_RECOVERING;
    t->state = DM_TXN_WAITING;
    insert(of_resource ? &r->waiters : &m->waiters, t);
}

static void walk_again(struct dm_manager *m, struct dm_txn *t) {
    dm_list_remove(&t->at);
    t->state = DM_TXN_WALKING;
    dm_list_append(&m->to_walk, &t->at);
}

static bool asks_for(const struct dm_txn *t, const char *resource) {
    for (size_t i = 0; i < t->request->n_containers; i++)
        for (size_t k = 0; k < t->request->containers[i].n_limits; k++)
            if (!strcmp(t->request->containers[i].limits[k].resource, resource))
                return true;
    return false;
}

/* Nobody is tried who certainly fails again: a thousand waiters cost a thousand comparisons. Those who are tried may need
 * less than they are thought to, or fail for another reason: then it is the turn of those who were passed over. */
static void try_waiters(struct dm_resource *r, bool passed_over_only) {
    size_t left = r->n_free;
    struct dm_txn *t;
    bool again = false;
    DM_LIST_EACH(t, &r->waiters, struct dm_txn, at) {
        if ((passed_over_only && !t->passed_over) || t->not_before > r->manager->mono)
            continue;
        size_t need = t->last.cause == DEVMGR_INSUFFICIENT_DEVICES ? t->last.need : 0;
        t->passed_over = need > left && need <= r->n_free;
        again |= t->passed_over;
        if (need > left)
            continue;
        left -= need;
        walk_again(r->manager, t);
    }
    if (again && !dm_linked(&r->passed_over))
        dm_list_append(&r->manager->passed_over, &r->passed_over);
}

void dm_retry_resource(struct dm_resource *r) {
    struct dm_txn *t;
    try_waiters(r, false);
    DM_LIST_EACH(t, &r->manager->waiters, struct dm_txn, at)
    if (t->last.cause == DEVMGR_INSUFFICIENT_DEVICES && t->not_before <= r->manager->mono &&
        asks_for(t, r->name))
        walk_again(r->manager, t);
}

bool dm_retry_passed_over(struct dm_manager *m) {
    struct dm_resource *r;
    DM_LIST_EACH(r, &m->passed_over, struct dm_resource, passed_over)
    if (dm_list_empty(&r->queue->waiting)) { /* who was tried has got what it needs, or has failed */
        dm_list_remove(&r->passed_over);
        try_waiters(r, true);
    }
    return !dm_list_empty(&m->to_walk);
}

void dm_retry_cause(struct dm_manager *m, int cause, const char *resource) {
    struct dm_txn *t;
    DM_LIST_EACH(t, &m->waiters, struct dm_txn, at)
    if (t->last.cause == cause && (!resource || (t->last.resource && !strcmp(t->last.resource, resource))))
        walk_again(m, t);
}

/* ---- backoff -------------------------------------------------------------------------------------------------------- */

static uint64_t mix_text(uint64_t h, const char *s) {
    do
        h = (h ^ (unsigned char)*s) * UINT64_C(1099511628211);
    while (*s++);
    return h;
}

static uint64_t hash_request(const devmgr_pod *p) {
    uint64_t h = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < p->n_containers; i++) {
        h = mix_text(h, p->containers[i].name);
        for (size_t k = 0; k < p->containers[i].n_limits; k++)
            h = mix_text(h, p->containers[i].limits[k].resource) ^ p->containers[i].limits[k].count;
    }
    return h;
}

static void forget(struct dm_manager *m, struct dm_backoff *b) {
    dm_map_remove(&m->backoff_by_uid, b->uid);
    dm_list_remove(&b->in_manager);
    free(b->uid), free(b);
}

static struct dm_backoff *remember(struct dm_manager *m, const char *uid) {
    struct dm_backoff *b = dm_map_get(&m->backoff_by_uid, uid), *oldest;
    if (!b) {
        b = DM_NEW(struct dm_backoff);
        b->uid = dm_strdup(uid);
        dm_map_put(&m->backoff_by_uid, uid, b);
    }
    dm_list_remove(&b->in_manager);
    dm_list_append(&m->backoffs, &b->in_manager);
    while ((oldest = DM_LIST_FIRST(&m->backoffs, struct dm_backoff, in_manager)) != b &&
           (m->backoff_by_uid.n > REMEMBERED || m->mono - oldest->at > FORGET_MS))
        forget(m, oldest);
    return b;
}

uint64_t dm_backoff_refused(struct dm_manager *m, const devmgr_pod *request) {
    uint64_t hash = hash_request(request), ms = FIRST_MS;
    struct dm_backoff *b = remember(m, request->uid);
    b->count = b->request == hash && m->mono - b->at <= FORGET_MS ? b->count + 1 : 0;
    b->request = hash;
    b->at = m->mono;
    for (unsigned i = 0; i < b->count && ms < MOST_MS; i++)
        ms *= 2;
    return ms < MOST_MS ? ms : MOST_MS;
}

void dm_backoff_forget(struct dm_manager *m, const char *uid) {
    struct dm_backoff *b = dm_map_get(&m->backoff_by_uid, uid);
    if (b)
        forget(m, b);
}

void dm_backoff_free_all(struct dm_manager *m) {
    struct dm_backoff *b;
    while ((b = DM_LIST_FIRST(&m->backoffs, struct dm_backoff, in_manager)))
        forget(m, b);
    dm_map_free(&m->backoff_by_uid);
}
