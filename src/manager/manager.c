/* manager.c -- see manager.h: begin, end, time, and settle, where everything that became possible is done.
 *
 * An entry point changes the state and leaves marks (who may walk on, which queue may serve, who may try again); settle
 * works them off until none is left. So nothing recurses, and order does not depend on call depth. */
#include "manager/manager.h"
#include "manager/admission.h"
#include "manager/call.h"
#include "manager/claims.h"
#include "manager/events.h"
#include "manager/prestart.h"
#include "manager/providers.h"
#include "manager/release.h"
#include "manager/resource.h"
#include "manager/retry.h"
#include "manager/save.h"

static const struct dm_topology no_topology = {.policy = DM_POLICY_NONE, .numa = {.n = 1, .all = 1}};

struct dm_manager *dm_manager_new(const struct dm_settings *settings, dm_answer_decoder decode,
                                  uint64_t mono_ms, uint64_t unix_us) {
    struct dm_manager *m = DM_NEW(struct dm_manager);
    struct dm_list *lists[] = {&m->claims,      &m->txns,    &m->prestarts,          &m->dones,
                               &m->calls,       &m->to_walk, &m->to_serve,           &m->to_retry,
                               &m->passed_over, &m->waiters, &m->node_queue.waiting, &m->backoffs,
                               &m->actions};
    for (size_t i = 0; i < DM_COUNT(lists); i++)
        dm_list_init(lists[i]);
    m->settings = settings;
    m->topology = &no_topology;
    m->decode = decode;
    m->mono = mono_ms;
    m->unix_us = m->revision = unix_us;
    dm_save_init(m);
    return m;
}

void dm_manager_free(struct dm_manager *m) {
    struct dm_open_call *c;
    if (!m)
        return;
    dm_manager_close(m);
    dm_act_free_all(m);
    DM_LIST_EACH(c, &m->calls, struct dm_open_call, in_manager)
    dm_call_free(c);
    while (m->n_pods)
        dm_pods_drop(m, m->pods[m->n_pods - 1]);
    while (m->n_resources)
        dm_resource_drop(m->resources[m->n_resources - 1]);
    dm_backoff_free_all(m);
    dm_recovery_free(m);
    dm_providers_free(m);
    dm_map_free(&m->resource_by_name);
    dm_map_free(&m->pod_by_uid);
    free(m->resources), free(m->pods), free(m->call_ids), free(m->call_must), free(m);
}

void dm_manager_topology(struct dm_manager *m, const struct dm_topology *topology) {
    m->topology = topology;
}

static bool settle_one(struct dm_manager *m) {
    struct dm_txn *t = DM_LIST_FIRST(&m->to_walk, struct dm_txn, at);
    struct dm_queue *q = DM_LIST_FIRST(&m->to_serve, struct dm_queue, to_serve);
    struct dm_resource *r = DM_LIST_FIRST(&m->to_retry, struct dm_resource, to_retry);
    if (t)
        dm_txn_walk(t);
    else if (q) {
        dm_list_remove(&q->to_serve);
        dm_queue_serve(q);
    } else if (r) {
        dm_list_remove(&r->to_retry);
        dm_retry_resource(r);
    }
    return t || q || r || dm_retry_passed_over(m);
}

void dm_manager_settle(struct dm_manager *m) {
    while (settle_one(m))
        ;
}

/* ---- time ------------------------------------------------------------------------------------------------------------ */

void dm_manager_time(struct dm_manager *m, uint64_t mono_ms, uint64_t unix_us) {
    if (mono_ms > m->mono)
        m->mono = mono_ms;
    m->unix_us = unix_us;
}

static void earlier(uint64_t *wake, uint64_t at) {
    if (at < *wake)
        *wake = at;
}

uint64_t dm_manager_wake(const struct dm_manager *m) {
    uint64_t wake = dm_save_wake(m);
    const struct dm_txn *t;
    DM_LIST_EACH(t, &m->txns, struct dm_txn, in_manager)
    earlier(&wake, dm_txn_wake(t));
    for (size_t i = 0; i < m->n_resources; i++)
        earlier(&wake, m->resources[i]->grace_until);
    return wake;
}

void dm_manager_tick(struct dm_manager *m) {
    struct dm_txn *t;
    for (size_t i = 0; i < m->n_resources; i++)
        if (m->mono >= m->resources[i]->grace_until)
            dm_resource_end_grace(m->resources[i]);
    DM_LIST_EACH(t, &m->txns, struct dm_txn, in_manager)
    dm_txn_tick(t);
    dm_manager_settle(m);
}

/* ---- calls ------------------------------------------------------------------------------------------------------------ */

void dm_manager_answered(struct dm_manager *m, const struct dm_call_result *result) {
    struct dm_open_call *c, *found = NULL;
    DM_LIST_EACH(c, &m->calls, struct dm_open_call, in_manager)
    if (c->call.id == result->id)
        found = c;
    if (!found || !found->sent)
        return;
    if (found->txn)
        dm_txn_answered(found->txn, found, result);
    else if (found->prestart)
        dm_prestart_answered(found->prestart, found, result);
    dm_call_free(found);
    dm_manager_settle(m);
}

void dm_manager_close(struct dm_manager *m) {
    struct dm_txn *t;
    if (m->closed)
        return;
    m->closed = true;
    DM_LIST_EACH(t, &m->txns, struct dm_txn, in_manager)
    dm_txn_cancel(t);
    dm_prestart_cancel(m, NULL, NULL, "closing");
    dm_done_end_all(m);
    dm_manager_settle(m);
}
