/* model.c -- the books of model.h: who has what, and what each thing that happens makes of it. */
#include "model.h"
#include "devmgr.h"
#include <string.h>

const char *const container_names[CONTAINERS] = {"i", "j", "s", "a", "b"};
const int container_kinds[CONTAINERS] = {DEVMGR_PLAIN_INIT, DEVMGR_PLAIN_INIT, DEVMGR_SIDECAR, DEVMGR_APP,
                                         DEVMGR_APP};
const char *const resource_names[RESOURCES] = {"x.y/a", "x.y/b", "x.y/c"};

/* ---- sets -------------------------------------------------------------------------------------------------------- */

int model_size(set s) {
    return __builtin_popcount(s);
}

static set in_book(const book b, int pod, int resource) {
    set all = 0;
    for (int c = 0; c < CONTAINERS; c++)
        all |= b[pod][c][resource].devices;
    return all;
}

set model_held(const struct model *m, int resource) {
    set all = 0;
    for (int p = 0; p < PODS; p++)
        all |= in_book(m->kept, p, resource);
    return all;
}

/* Of one that may wait nobody says when its attempt has failed: what it was granted may be free again. */
static set certain(const struct model_pod *p, int resource) {
    set all = 0;
    for (int c = 0; c < CONTAINERS && p->pending && !p->ask.wait_ms; c++)
        all |= p->grants[c][resource].devices;
    return all;
}

set model_of_others(const struct model *m, int pod, int resource, bool in_flight) {
    set all = 0;
    for (int p = 0; p < PODS; p++)
        if (p != pod)
            all |= in_book(m->told, p, resource) | in_book(m->kept, p, resource) |
                   (in_flight ? certain(&m->pods[p], resource) : 0);
    return all;
}

int model_kind(const struct model *m, int pod, int container) {
    const struct model_pod *p = &m->pods[pod];
    return p->containers >> container & 1 ? p->kind[container] : container_kinds[container];
}

set model_in_pod(const struct model *m, int pod, int resource, bool inits) {
    set all = 0;
    for (int c = 0; c < CONTAINERS; c++)
        if ((model_kind(m, pod, c) == DEVMGR_PLAIN_INIT) == inits)
            all |= m->kept[pod][c][resource].devices | m->pods[pod].grants[c][resource].devices;
    return all;
}

set model_usable(const struct model *m, int resource) {
    const struct model_resource *r = &m->resources[resource];
    return r->valid ? r->listing & r->healthy : 0;
}

set model_broken(const struct model *m, int pod, int container, int resource) {
    const struct model_resource *r = &m->resources[resource];
    return r->valid ? m->kept[pod][container][resource].devices & ~(r->listing & r->healthy) : 0;
}

int model_lacks(const struct model *m, int pod, int resource) {
    int n = 0;
    for (int c = 0; c < CONTAINERS && m->pods[pod].pending; c++)
        n += m->kept[pod][c][resource].devices ? 0 : m->pods[pod].ask.count[c][resource];
    return n;
}

int model_reserved(const struct model *m, int resource, set *sure) {
    int most = 0;
    *sure = 0;
    for (int p = 0; p < PODS; p++) {
        most += model_lacks(m, p, resource);
        *sure |= certain(&m->pods[p], resource) & ~model_held(m, resource);
    }
    return most;
}

/* ---- what happens ------------------------------------------------------------------------------------------------ */

void model_attempt_over(struct model *m, int pod) {
    memset(m->pods[pod].grants, 0, sizeof m->pods[pod].grants);
}

/* The caller or the state said so of these: recovery ends with the last one. What the copy knows of them is what counts. */
static void become_known(struct model *m, set pods) {
    m->unknown &= ~pods;
    if (!m->recovering || !m->synced || m->unknown)
        return;
    m->recovering = false;
    for (int p = 0; p < PODS; p++)
        if (m->pods[p].admitted)
            memcpy(m->told[p], m->kept[p], sizeof m->told[p]);
}

void model_admitted(struct model *m, int pod, const set now[CONTAINERS][RESOURCES]) {
    struct model_pod *p = &m->pods[pod];
    for (int c = 0; c < CONTAINERS; c++)
        if (p->ask.named >> c & 1) {
            p->kind[c] = model_kind(m, pod, c);
            p->containers |= 1u << c;
        }
    EACH_CLAIM(c, r)
    if (now[c][r] && !m->kept[pod][c][r].devices)
        m->kept[pod][c][r] = m->told[pod][c][r] = p->grants[c][r];
    p->admitted = true;
    p->pending = false;
    model_attempt_over(m, pod);
    if (m->recovering)
        memcpy(m->told[pod], m->kept[pod], sizeof m->told[pod]);
    become_known(m, 1u << pod);
}

static set drop(struct model *m, int pod, set containers) {
    set lost = 0;
    for (int r = 0; r < RESOURCES; r++) {
        set before = in_book(m->kept, pod, r);
        for (int c = 0; c < CONTAINERS; c++)
            if (containers >> c & 1)
                m->kept[pod][c][r] = m->told[pod][c][r] = (struct grant){0};
        lost |= before & ~in_book(m->kept, pod, r);
    }
    return lost ? 1u << pod : 0;
}

set model_release(struct model *m, int pod) {
    struct model_pod *p = &m->pods[pod];
    set lost = drop(m, pod, ~0u);
    p->admitted = p->init_done = p->restored = false;
    p->containers = 0;
    p->released_in = m->step;
    become_known(m, 1u << pod);
    return lost;
}

set model_release_container(struct model *m, int pod, int container) {
    struct model_pod *p = &m->pods[pod];
    if (p->pending && p->ask.named >> container & 1)
        p->released_in = m->step;
    if (p->admitted)
        p->containers &= ~(1u << container);
    return drop(m, pod, 1u << container);
}

set model_init_done(struct model *m, int pod) {
    struct model_pod *p = &m->pods[pod];
    set inits = 0;
    for (int c = 0; c < CONTAINERS; c++) {
        int kind = p->admitted ? p->containers >> c & 1 ? p->kind[c] : -1 : container_kinds[c];
        inits |= kind == DEVMGR_PLAIN_INIT ? 1u << c : 0;
    }
    p->init_done = p->admitted;
    return drop(m, pod, inits);
}

set model_sync(struct model *m, set live, uint64_t as_of, bool dry) {
    set lost = 0;
    bool counts = m->recovering && !dry && as_of >= m->opened;
    m->synced |= counts;
    for (int p = 0; p < PODS && counts; p++)
        m->unknown = (m->unknown & ~(1u << p)) | (m->pods[p].admitted ? 0 : live & 1u << p);
    for (int p = 0; p < PODS; p++) {
        const struct model_pod *x = &m->pods[p];
        bool young = x->revision > as_of || (x->restored && as_of < m->opened);
        bool over = !(live >> p & 1) && !x->pending && !young;
        for (int r = 0; r < RESOURCES; r++)
            lost |= over && in_book(m->kept, p, r) ? 1u << p : 0;
        if (over && !dry)
            model_release(m, p);
        if (counts && !x->admitted && !(live >> p & 1))
            memset(m->told[p], 0, sizeof m->told[p]); /* what the copy does not know, and does not live */
    }
    if (counts)
        become_known(m, 0);
    return lost;
}

void model_adopted(struct model *m, int pod, int container, const struct grant record[RESOURCES],
                   set wanted) {
    struct model_pod *p = &m->pods[pod];
    bool all = true;
    if (!(p->containers >> container & 1) || p->kind[container] < 0)
        p->kind[container] = container_kinds[container];
    p->containers |= 1u << container;
    p->admitted = true;
    for (int r = 0; r < RESOURCES; r++) {
        if (!m->kept[pod][container][r].devices)
            m->kept[pod][container][r] = record[r];
        m->told[pod][container][r] = m->kept[pod][container][r];
    }
    for (int c = 0; c < CONTAINERS; c++)
        for (int r = 0; r < RESOURCES && wanted >> c & 1; r++)
            all &= !m->told[pod][c][r].devices || m->kept[pod][c][r].devices;
    if (all)
        become_known(m, 1u << pod);
}

void model_gone(struct model *m, int resource, uint64_t grace) {
    struct model_resource *r = &m->resources[resource];
    r->connected = r->listed = r->valid = r->removed = false;
    r->grace_until = m->now + grace;
}

void model_time(struct model *m, uint64_t now) {
    m->now = now;
    for (int i = 0; i < RESOURCES; i++) {
        struct model_resource *r = &m->resources[i];
        if (r->known && !r->connected && !r->removed && now >= r->grace_until) {
            r->removed = true;
            r->listing = 0;
        }
    }
}
