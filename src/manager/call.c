/* call.c -- see call.h.
 *
 * (1) queue->busy: a PREFERRED or ALLOCATE call of this queue is open; nobody else's turn comes before its result.
 * (2) queue->active: the txn whose turn it is; NULL while an abandoned call is still open. */
#include "manager/call.h"
#include "manager/admission.h"
#include "manager/claims.h"
#include "manager/events.h"
#include "manager/pick.h"
#include "manager/resource.h"

struct dm_open_call *dm_call_open(struct dm_resource *r, enum dm_rpc_kind rpc, uint64_t until) {
    struct dm_manager *m = r->manager;
    struct dm_open_call *c = DM_NEW(struct dm_open_call);
    c->call = (struct dm_call){.id = ++m->last_call, .rpc = rpc, .generation = r->generation};
    c->resource = r;
    c->until = until;
    c->to_send.kind = DM_ACT_CALL;
    if (rpc != DM_RPC_PRESTART) {
        c->queue = r->queue;
        r->queue->busy = c;
    }
    r->n_calls++;
    dm_list_append(&m->calls, &c->in_manager);
    dm_act_queue(m, &c->to_send);
    return c;
}

static void wake(struct dm_manager *m, struct dm_queue *q) {
    if (!dm_linked(&q->to_serve))
        dm_list_append(&m->to_serve, &q->to_serve);
}

void dm_call_free(struct dm_open_call *c) {
    struct dm_manager *m = c->resource->manager;
    c->resource->n_calls--;
    if (c->queue && c->queue->busy == c) {
        c->queue->busy = NULL;
        wake(m, c->queue);
    }
    dm_list_remove(&c->in_manager);
    dm_list_remove(&c->to_send.at);
    free(c);
}

void dm_call_abandon(struct dm_open_call *c) {
    c->txn = NULL;
    c->prestart = NULL;
    if (!c->sent)
        dm_call_free(c);
    else if (!c->canceled) {
        c->canceled = true;
        dm_act_cancel(c->resource->manager, c->call.id);
    }
}

/* ---- what a call carries ------------------------------------------------------------------------------------------- */

static size_t ids_of_claim(struct dm_manager *m, const struct dm_claim *claim) {
    m->call_ids = dm_realloc(m->call_ids, (claim->n + 1) * sizeof(*m->call_ids));
    for (size_t i = 0; i < claim->n; i++)
        m->call_ids[i] = claim->holds[i].device->id;
    return claim->n;
}

static const char **ids_of(const char **at, const struct dm_resource *r, const uint32_t *devices, size_t n) {
    at = dm_realloc(at, (n + 1) * sizeof *at);
    for (size_t i = 0; i < n; i++)
        at[i] = r->devices[devices[i]]->id;
    return at;
}

/* What is on offer is looked up now: the state may have changed since the call was queued. When that left no choice, what
 * was reserved is offered: a plugin asked to choose from nothing would say that this is an error. */
static void fill_preferred(struct dm_manager *m, struct dm_open_call *c) {
    DM_CLEANUP(dm_picked_free) struct dm_picked picked = {0};
    dm_txn_offer(c->txn, &picked);
    m->call_must = ids_of(m->call_must, c->resource, picked.must, picked.n_must);
    c->call.n_must = picked.n_must;
    if (picked.ask) {
        m->call_ids = ids_of(m->call_ids, c->resource, picked.offer, picked.n_offer);
        c->call.n_ids = picked.n_offer;
    } else {
        c->call.n_ids = ids_of_claim(m, c->txn->claim);
    }
    c->call.must = m->call_must;
    c->call.size = (uint32_t)c->txn->claim->n;
}

const struct dm_call *dm_call_send(struct dm_manager *m, struct dm_open_call *c) {
    const struct dm_claim *claim = c->txn ? c->txn->claim : NULL;
    if (c->call.rpc == DM_RPC_PRESTART)
        claim = dm_container_claim(
            dm_pod_get_container(dm_pods_find(m, c->prestart->uid), c->prestart->container),
            c->resource->name);
    if (c->call.rpc == DM_RPC_PREFERRED)
        fill_preferred(m, c);
    else
        c->call.n_ids = ids_of_claim(m, claim);
    c->call.ids = m->call_ids;
    c->call.generation = c->resource->generation; /* it may have been replaced since the call was queued */
    c->call.resource = c->resource->name;
    c->call.timeout_ms = c->until > m->mono ? c->until - m->mono : 1;
    c->sent = true;
    return &c->call;
}

/* ---- queues ---------------------------------------------------------------------------------------------------------- */

void dm_queue_enter(struct dm_queue *q, struct dm_txn *t) {
    t->state = DM_TXN_QUEUED;
    dm_list_append(&q->waiting, &t->at);
    wake(t->resource->manager, q);
}

void dm_queue_leave(struct dm_txn *t) {
    struct dm_queue *q = t->resource ? t->resource->queue : NULL;
    dm_list_remove(&t->at);
    if (!q || q->active != t)
        return;
    q->active = NULL;
    wake(t->resource->manager, q);
}

void dm_queue_serve(struct dm_queue *q) {
    struct dm_txn *t;
    while (!q->busy && !q->active && (t = DM_LIST_FIRST(&q->waiting, struct dm_txn, at))) {
        dm_list_remove(&t->at);
        q->active = t;
        dm_txn_turn(t);
    }
}

const struct dm_txn *dm_queue_ahead(const struct dm_queue *q) {
    return q->active;
}
