/* turn.c -- one resource of one admission, when its turn in the queue has come: pick, reserve, ask the plugin.
 *
 *   turn: pick, reserve ──► GetPreferredAllocation? ──► look again, pick, reserve ──► Allocate ──► still good? ──► walk on
 *
 * The reservation stands from the first pick on, so that others see what is taken; what it consists of may change once. */
#include "base/error.h"
#include "manager/admission.h"
#include "manager/affinity.h"
#include "manager/call.h"
#include "manager/claims.h"
#include "manager/events.h"
#include "manager/resource.h"
#include "manager/texts.h"
#include "manager/verdict.h"

/* What is reserved here already counts as free. */
static int choose(const struct dm_txn *t, size_t needed, const uint32_t *wish, size_t n_wish, bool offers,
                  struct dm_picked *ret) {
    const struct dm_resource *r = t->resource;
    uint32_t *reuse;
    if (t->claim)
        dm_claim_suspend(t->claim);
    size_t n_reuse = dm_pod_reusable(t->pod, r, &reuse);
    struct dm_choice c = {.n = r->n_devices,
                          .healthy = &r->healthy,
                          .held = &r->held,
                          .reserved = &r->reserved,
                          .nodes = r->topology ? r->nodes : NULL,
                          .reuse = reuse,
                          .n_reuse = n_reuse,
                          .affinity = dm_txn_affinity(t),
                          .needed = needed,
                          .wish = wish,
                          .n_wish = n_wish,
                          .offers = offers};
    int rc = dm_pick(&c, ret);
    if (t->claim)
        dm_claim_resume(t->claim);
    free(reuse);
    return rc;
}

void dm_txn_offer(const struct dm_txn *t, struct dm_picked *ret) {
    choose(t, t->claim->n, NULL, 0, true, ret);
}

/* Chooses; when it cannot be near enough to what was decided, because others were faster, decides anew. */
static bool pick(struct dm_txn *t, size_t needed, const uint32_t *wish, size_t n_wish,
                 struct dm_picked *picked, struct dm_verdict *v) {
    int rc = choose(t, needed, wish, n_wish, false, picked);
    if (dm_txn_binding(t, t->resource) && (rc < 0 || picked->spilled)) {
        dm_picked_free(picked);
        if (!dm_txn_decide_again(t, v))
            return false;
        rc = choose(t, needed, wish, n_wish, false, picked);
    }
    if (rc < 0)
        dm_verdict_insufficient(v, t, t->resource, needed, picked->n, picked->available);
    return rc == 0;
}

/* Reserves what is picked, in place of what was reserved here before. */
static bool try_reserve(struct dm_txn *t, const uint32_t *wish, size_t n_wish, bool *ask,
                        struct dm_verdict *v) {
    DM_CLEANUP(dm_picked_free) struct dm_picked picked = {0};
    if (!dm_verdict_available(v, t, t->resource) ||
        !pick(t, dm_txn_limit(t)->count, wish, n_wish, &picked, v))
        return false;
    if (t->claim)
        dm_claim_drop(t->manager, t->claim);
    t->claim = dm_claim_new(dm_txn_holder(t), t->resource, t, picked.devices, picked.n);
    *ask = picked.ask;
    return true;
}

/* False: t failed. */
static bool reserve(struct dm_txn *t, const uint32_t *wish, size_t n_wish, bool *ask) {
    struct dm_verdict v;
    bool ok = try_reserve(t, wish, n_wish, ask, &v);
    if (!ok)
        dm_txn_fail(t, &v);
    return ok;
}

bool dm_txn_try(struct dm_txn *t, struct dm_verdict *v) {
    bool ask;
    bool ok = try_reserve(t, NULL, 0, &ask, v);
    t->claim = NULL;
    t->resource = NULL;
    return ok;
}

static void call(struct dm_txn *t, enum dm_rpc_kind rpc, uint64_t until) {
    t->state = DM_TXN_CALLING;
    t->asked = true;
    t->called_at = t->manager->mono;
    t->call = dm_call_open(t->resource, rpc, until);
    t->call->txn = t;
}

void dm_txn_time_out(struct dm_txn *t) {
    struct dm_verdict v;
    dm_verdict_queue_timeout(&v, t);
    dm_txn_fail(t, &v);
}

void dm_txn_turn(struct dm_txn *t) {
    bool ask;
    if (t->manager->mono >= t->deadline)
        dm_txn_time_out(t);
    else if (reserve(t, NULL, 0, &ask)) {
        if (ask && t->resource->preferred)
            call(t, DM_RPC_PREFERRED, t->manager->mono + dm_resource_limits(t->resource).preferred_timeout);
        else
            call(t, DM_RPC_ALLOCATE, t->deadline);
    }
}

void dm_txn_gone(struct dm_txn *t) {
    struct dm_verdict v;
    if (!dm_verdict_available(&v, t, t->resource))
        dm_txn_fail(t, &v);
}

/* ---- answers of the plugin ------------------------------------------------------------------------------------------- */

static bool may_skip(int code) {
    return code == DM_DEADLINE_EXCEEDED || code == DM_UNIMPLEMENTED || code == DM_RESOURCE_EXHAUSTED;
}

static void fail_call(struct dm_txn *t, const struct dm_open_call *call, const struct dm_status *status) {
    struct dm_verdict v;
    dm_verdict_plugin_error(&v, t, call, status);
    dm_txn_fail(t, &v);
}

static void fail_memory(struct dm_txn *t, const struct dm_open_call *call) {
    fail_call(
        t, call,
        &(struct dm_status){DM_RESOURCE_EXHAUSTED, "there is no memory here to keep the answer", false});
}

/* Its time in the queue and in Allocate is limited; that of GetPreferredAllocation had a limit of its own. */
static void preferred(struct dm_txn *t, const struct dm_open_call *open,
                      const struct dm_call_result *result) {
    struct dm_manager *m = t->manager;
    struct dm_resource *r = t->resource;
    int code = result->status.code;
    bool ask;
    if (code != DM_OK && !may_skip(code)) {
        fail_call(t, open, &result->status);
        return;
    }
    if (code != DM_OK) {
        char title[600];
        dm_event_plugin(m, r->name, 4, "GetPreferredAllocation for pod %s, container %s skipped: %s: %s",
                        dm_pod_title(t->pod, title, sizeof title), dm_txn_container(t)->name,
                        dm_code_name(code), result->status.message);
    }
    size_t n = 0, given = code == DM_OK ? result->n_ids : 0;
    uint32_t *wish = dm_alloc_array(given, sizeof *wish);
    for (size_t i = 0; i < given; i++) {
        const struct dm_device *d = dm_devices_get(&r->by_id, result->ids[i]);
        if (d)
            wish[n++] = d->index;
    }
    t->deadline += m->mono - t->called_at;
    if (reserve(t, wish, n, &ask))
        call(t, DM_RPC_ALLOCATE, t->deadline);
    free(wish);
}

static void bad_answer(struct dm_txn *t, const char *inner, const char *what) {
    struct dm_verdict v;
    dm_verdict_make(&v, t, DEVMGR_PLUGIN_BAD_ANSWER, inner,
                    "its plugin (%s) answered Allocate with %s; this is a fault of the plugin",
                    t->resource->socket ? t->resource->socket : "?", what);
    dm_txn_fail(t, &v);
}

/* The list may have changed while the plugin was at work. */
static bool still_good(struct dm_txn *t) {
    struct dm_verdict v;
    size_t good = 0;
    const char *bad = NULL;
    if (!dm_verdict_available(&v, t, t->resource)) {
        dm_txn_fail(t, &v);
        return false;
    }
    for (size_t i = 0; i < t->claim->n; i++) {
        const struct dm_device *d = t->claim->holds[i].device;
        if (dm_device_health(t->resource, d) == DEVMGR_HEALTHY)
            good++;
        else
            bad = d->id;
    }
    if (!bad)
        return true;
    DM_FREE char *inner = dm_printf(DM_TEXT_UNAVAILABLE, t->resource->name, t->claim->n, good);
    dm_verdict_make(
        &v, t, DEVMGR_INSUFFICIENT_DEVICES, inner,
        "device %s was withdrawn or became unhealthy while its plugin answered Allocate; admit again to get "
        "another one",
        bad);
    dm_txn_fail(t, &v);
    return false;
}

static void allocated(struct dm_txn *t, const struct dm_open_call *open,
                      const struct dm_call_result *result) {
    struct dm_answer *decoded = NULL;
    devmgr_error err;
    if (result->status.code != DM_OK) {
        fail_call(t, open, &result->status);
        return;
    }
    if (!result->n_containers) {
        bad_answer(t, DM_TEXT_NO_CONTAINERS, "no container response");
        return;
    }
    int rc = t->manager->decode(result->answer, &decoded, &err);
    if (rc == -ENOMEM) {
        fail_memory(t, open);
        return;
    }
    if (rc < 0) {
        DM_FREE char *inner = dm_printf(DM_SAY_BAD_ANSWER, err.message);
        bad_answer(t, inner, err.message);
        return;
    }
    dm_answer_free(decoded);
    if (!still_good(t))
        return;
    if (!dm_claim_save(t->claim, result->answer)) {
        fail_memory(t, open);
        return;
    }
    t->claim = NULL;
    dm_queue_leave(t);
    t->resource = NULL;
    dm_txn_next_limit(t);
    dm_txn_walk_on(t);
}

void dm_txn_answered(struct dm_txn *t, const struct dm_open_call *open, const struct dm_call_result *result) {
    t->call = NULL;
    if (open->call.rpc == DM_RPC_PREFERRED)
        preferred(t, open, result);
    else
        allocated(t, open, result);
}
