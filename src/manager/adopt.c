/* adopt.c -- records: given out beside a container, taken back when the checkpoint is lost. No plugin is called.
 *
 * What the state knows already wins: a resource that the container holds is left as it is. All of the rest is taken
 * over, or, when a device is somebody else's, nothing. */
#include "base/error.h"
#include "manager/claims.h"
#include "manager/events.h"
#include "manager/record.h"
#include "manager/release.h"
#include "manager/resource.h"
#include "manager/restore.h"
#include "manager/save.h"

int dm_manager_claim_record(struct dm_manager *m, const char *uid, const char *container,
                            int (*write)(void *, const char *, size_t), void *arg) {
    const struct dm_pod *p = uid ? dm_pods_find(m, uid) : NULL;
    const struct dm_container *c = p && container ? dm_pod_get_container(p, container) : NULL;
    DM_CLEANUP(dm_buf_free) struct dm_buf out = {0};
    struct dm_record r = {0};
    DM_FREE struct dm_saved_claim **claims = dm_alloc_array(c ? c->n_claims : 0, sizeof *claims);
    if (!write)
        return DEVMGR_EINVALID;
    for (size_t k = 0; c && k < c->n_claims; k++)
        if (!c->claims[k]->txn)
            claims[r.n_claims++] = c->claims[k]->saved;
    if (!r.n_claims)
        return -ENOENT;
    r.uid = p->uid, r.namespace_ = p->namespace_, r.name = p->name, r.container = c->name;
    r.kind = c->kind < 0 ? DEVMGR_APP : c->kind;
    r.affinity = c->affinity;
    r.claims = claims;
    dm_record_write(&out, &r);
    return write(arg, out.data, out.len);
}

/* ---- taking over ----------------------------------------------------------------------------------------------------- */

static int taken(const struct dm_resource *r, const struct dm_hold *h, const struct dm_record *record,
                 devmgr_error *reterr) {
    char title[600];
    return dm_error_set(
        reterr, -EEXIST,
        "device %s of %s: held by pod %s, container %s; the record says pod %s, container %s: release "
        "the one that does not run",
        h->device->id, r->name, dm_pod_title(h->claim->container->pod, title, sizeof title),
        h->claim->container->name, record->uid, record->container);
}

/* May the container have this device too? Within its pod init containers share. */
static int check_device(const struct dm_resource *r, const char *id, const struct dm_record *record, int kind,
                        devmgr_error *reterr) {
    const struct dm_device *d = dm_devices_get(&r->by_id, id);
    for (const struct dm_hold *h = d ? d->holds : NULL; h; h = h->next) {
        const struct dm_container *c = h->claim->container;
        if (strcmp(c->pod->uid, record->uid) ||
            (kind != DEVMGR_PLAIN_INIT && c->kind != DEVMGR_PLAIN_INIT && strcmp(c->name, record->container)))
            return taken(r, h, record, reterr);
    }
    return 0;
}

static bool is_ours_already(const struct dm_manager *m, const struct dm_record *record,
                            const char *resource) {
    const struct dm_pod *p = dm_pods_find(m, record->uid);
    const struct dm_container *c = p ? dm_pod_get_container(p, record->container) : NULL;
    return c && dm_container_claim(c, resource);
}

static int check(struct dm_manager *m, const struct dm_record *record, int kind, devmgr_error *reterr) {
    for (size_t i = 0; i < record->n_claims; i++) {
        const struct dm_saved_claim *s = record->claims[i];
        const struct dm_resource *r = dm_resource_find(m, s->resource);
        struct dm_answer *answer = NULL;
        int rc = m->decode((struct dm_span){s->answer, s->answer_len}, &answer, reterr);
        dm_answer_free(answer);
        if (rc < 0) {
            dm_error_wrap(reterr, "record: the answer for %s", s->resource);
            return rc == -ENOMEM ? rc : DEVMGR_EINVALID;
        }
        for (size_t k = 0; r && !is_ours_already(m, record, s->resource) && k < s->n_nodes; k++)
            for (size_t j = 0; j < s->nodes[k].n; j++)
                if ((rc = check_device(r, s->nodes[k].ids[j], record, kind, reterr)) < 0)
                    return rc;
        for (size_t k = 0; k < i; k++)
            if (!strcmp(record->claims[k]->resource, s->resource))
                return dm_error_set(reterr, DEVMGR_EINVALID, "record: names %s twice", s->resource);
    }
    return 0;
}

static void take_claim(struct dm_manager *m, struct dm_container *c, struct dm_saved_claim *s) {
    struct dm_resource *r = dm_resource_find(m, s->resource);
    if (!r) {
        r = dm_resource_get(m, s->resource);
        dm_resource_start_grace(r);
        dm_resource_show(r);
    }
    dm_restore_intern(r, s);
    dm_resource_index(r);
    dm_restore_claim(m, c, r, s);
}

/* Its names and kind: the caller's word first, then the record's. */
static struct dm_container *container_for(struct dm_manager *m, const devmgr_pod *pod,
                                          const struct dm_record *record, int kind) {
    struct dm_pod *p = dm_pods_get(m, record->uid);
    dm_pod_name(p, pod->namespace_, pod->name, *pod->tag ? pod->tag : NULL);
    p->admitted = true;
    struct dm_container *c = dm_pod_get_container(p, record->container);
    if (!c)
        c = dm_pod_add_container(p, record->container, kind);
    if (!c->n_claims)
        c->affinity = record->affinity;
    if (c->kind != kind && (c->kind < 0 || !c->n_claims)) { /* a kubelet's checkpoint does not say kinds */
        c->kind = kind;
        dm_pod_changed(p);
        dm_save_lazily(m);
    }
    c->admitted = true;
    return c;
}

/* Does it hold all that it is said to ask for? Its containers are adopted one by one, and recovery must not end in between:
 * what is not adopted yet would be given away. */
static bool is_whole(const struct dm_manager *m, const struct dm_pod *p, const devmgr_pod *pod) {
    for (size_t i = 0; i < pod->n_containers; i++)
        for (size_t k = 0; k < pod->containers[i].n_limits; k++) {
            const struct dm_limit *limit = &pod->containers[i].limits[k];
            const struct dm_container *c = dm_pod_get_container(p, pod->containers[i].name);
            if (limit->count && dm_settings_ours(m->settings, limit->resource) &&
                !(c && dm_container_claim(c, limit->resource)))
                return false;
        }
    return true;
}

static void take_over(struct dm_manager *m, const devmgr_pod *pod, const struct dm_record *record, int kind) {
    struct dm_container *c = container_for(m, pod, record, kind);
    bool news = false;
    for (size_t i = 0; i < record->n_claims; i++)
        if (!dm_container_claim(c, record->claims[i]->resource)) {
            take_claim(m, c, record->claims[i]);
            news = true;
        }
    if (news) {
        c->pod->revision = m->revision + 1;
        dm_pod_changed(c->pod);
        c->pod->adopted = dm_save_durably(m);
        dm_event_pod(m, DEVMGR_EV_ADMITTED, c->pod, c->pod->uid);
    }
    if (is_whole(m, c->pod, pod))
        dm_recovery_seen(m, c->pod);
}

int dm_manager_adopt(struct dm_manager *m, const devmgr_pod *pod, const char *container, const char *record,
                     devmgr_done_cb cb, void *arg, devmgr_error *reterr) {
    DM_CLEANUP(dm_record_free) struct dm_record r = {0};
    if (m->closed)
        return dm_error_set(reterr, -ECANCELED, "closing");
    if (!pod || !container || !record)
        return dm_error_set(reterr, DEVMGR_EINVALID, "adopt: no pod, no container or no record");
    int rc = dm_record_read(record, &r, reterr);
    if (rc < 0)
        return rc;
    if (strcmp(r.uid, pod->uid) || strcmp(r.container, container))
        return dm_error_set(reterr, DEVMGR_EINVALID,
                            "record: of pod %s, container %s, not of pod %s, container %s", r.uid,
                            r.container, pod->uid, container);
    const struct dm_pod *known = dm_pods_find(m, r.uid);
    if (known && known->txn)
        return dm_error_set(reterr, -EALREADY, "pod %s: an admission of it is in flight; wait for its result",
                            r.uid);
    const struct dm_pod_container *pc = dm_pod_find(pod, container);
    int kind = pc ? pc->kind : r.kind;
    rc = check(m, &r, kind, reterr);
    if (rc < 0)
        return rc;
    take_over(m, pod, &r, kind);
    dm_done_wait(m, cb, arg, NULL, 0);
    dm_manager_settle(m);
    return 0;
}
