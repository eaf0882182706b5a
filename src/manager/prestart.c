/* prestart.c -- see prestart.h. One plugin after the other, by resource name. The container is looked up anew after each
 * call: its claims may have changed meanwhile. */
#include "manager/prestart.h"
#include "manager/answer.h"
#include "manager/call.h"
#include "manager/claims.h"
#include "manager/events.h"
#include "manager/resource.h"
#include "manager/texts.h"

int dm_container_merge(const struct dm_manager *m, const struct dm_container *c, const struct dm_txn *of,
                       struct dm_merged **ret, devmgr_error *reterr) {
    size_t n = 0;
    struct dm_options_source *sources = dm_alloc_array(c ? c->n_claims : 0, sizeof *sources);
    for (size_t k = 0; c && k < c->n_claims; k++) {
        const struct dm_claim *claim = c->claims[k];
        if (claim->saved && (!claim->txn || claim->txn == of))
            sources[n++] = (struct dm_options_source){claim->resource->name,
                                                      {claim->saved->answer, claim->saved->answer_len}};
    }
    int rc = dm_options_merge(m->decode, sources, n, ret, reterr);
    free(sources);
    return rc;
}

static void end(struct dm_prestart *p) {
    if (p->call)
        dm_call_abandon(p->call);
    dm_list_remove(&p->in_manager);
    free(p->uid), free(p->container), free(p->after), free(p);
}

static void fail(struct dm_prestart *p, int status, const char *text) {
    dm_answer_options_failed(p->manager, p->cb, p->arg, status, text);
    end(p);
}

enum { TITLE = 600 };
static const char *title(const struct dm_prestart *p, char *out) {
    const struct dm_pod *pod = dm_pods_find(p->manager, p->uid);
    return pod ? dm_pod_title(pod, out, TITLE) : p->uid;
}

static struct dm_container *container_of(const struct dm_prestart *p) {
    const struct dm_pod *pod = dm_pods_find(p->manager, p->uid);
    return pod ? dm_pod_get_container(pod, p->container) : NULL;
}

static void succeed(struct dm_prestart *p) {
    struct dm_merged *merged;
    struct dm_container *c = container_of(p);
    devmgr_error err;
    int rc = dm_container_merge(p->manager, c, NULL, &merged, &err);
    if (rc < 0) {
        fail(p, rc, err.message);
        return;
    }
    if (merged->conflict && !c->conflict_told) {
        char name[TITLE];
        c->conflict_told = true;
        dm_event_log(p->manager, 4, "pod %s, container %s: answers differ, the first wins: %s",
                     title(p, name), p->container, merged->conflict);
    }
    dm_answer_options(p->manager, p->cb, p->arg, merged);
    end(p);
}

static struct dm_claim *next_claim(const struct dm_prestart *p) {
    const struct dm_container *c = container_of(p);
    for (size_t k = 0; c && p->call_plugins && k < c->n_claims; k++) {
        struct dm_claim *claim = c->claims[k];
        if (!claim->txn && claim->n && claim->resource->prestart &&
            (!p->after || strcmp(claim->resource->name, p->after) > 0))
            return claim;
    }
    return NULL;
}

static void step(struct dm_prestart *p) {
    struct dm_claim *claim = next_claim(p);
    struct dm_resource *r = claim ? claim->resource : NULL;
    if (!claim) {
        succeed(p);
        return;
    }
    if (!r->connected) {
        char name[TITLE];
        DM_FREE char *text =
            dm_printf("pod %s, container %s: %s wants PreStartContainer and its plugin is not there "
                      "(%s); start the plugin, then create the container again",
                      title(p, name), p->container, r->name, *r->last_error ? r->last_error : "gone");
        fail(p, -EAGAIN, text);
        return;
    }
    free(p->after);
    p->after = dm_strdup(r->name);
    p->call = dm_call_open(r, DM_RPC_PRESTART, p->manager->mono + dm_resource_limits(r).prestart_timeout);
    p->call->prestart = p;
}

/* The kubelet's words first, to compare; then for people. */
static char *failure_text(const struct dm_prestart *p, const struct dm_resource *r,
                          const struct dm_status *status) {
    char name[TITLE];
    DM_FREE char *plain = dm_printf(DM_TEXT_RPC, dm_code_name(status->code), status->message);
    DM_FREE char *kubelets = dm_printf(DM_TEXT_PRESTART, plain);
    DM_FREE char *raise = status->code == DM_DEADLINE_EXCEEDED
                              ? dm_printf(", or raise prestart-timeout@%s", r->name)
                              : dm_strdup("");
    return dm_printf("%s (pod %s, container %s, %s: look at its plugin, %s%s)", kubelets, title(p, name),
                     p->container, r->name, r->socket ? r->socket : "?", raise);
}

void dm_prestart_answered(struct dm_prestart *p, const struct dm_open_call *call,
                          const struct dm_call_result *result) {
    p->call = NULL;
    if (result->status.code == DM_OK) {
        step(p);
        return;
    }
    DM_FREE char *text = failure_text(p, call->resource, &result->status);
    dm_event_plugin(p->manager, call->resource->name, 4, "%s", text);
    int status = result->status.code == DM_DEADLINE_EXCEEDED ? -ETIMEDOUT
                 : result->status.code == DM_UNAVAILABLE     ? -EAGAIN
                                                             : -EIO;
    fail(p, status, text);
}

int dm_manager_options(struct dm_manager *m, const char *uid, const char *container, unsigned flags,
                       devmgr_options_cb cb, void *arg) {
    if (m->closed)
        return -ECANCELED;
    if (!uid || !container || !cb)
        return DEVMGR_EINVALID;
    struct dm_prestart *p = DM_NEW(struct dm_prestart);
    p->manager = m;
    p->uid = dm_strdup(uid);
    p->container = dm_strdup(container);
    p->call_plugins = !(flags & DEVMGR_NO_PRESTART);
    p->cb = cb;
    p->arg = arg;
    dm_list_append(&m->prestarts, &p->in_manager);
    step(p);
    dm_manager_settle(m);
    return 0;
}

void dm_prestart_cancel(struct dm_manager *m, const char *uid, const char *container, const char *why) {
    struct dm_prestart *p;
    DM_LIST_EACH(p, &m->prestarts, struct dm_prestart, in_manager)
    if (!uid || (!strcmp(p->uid, uid) && (!container || !strcmp(p->container, container))))
        fail(p, -ECANCELED, why);
}
