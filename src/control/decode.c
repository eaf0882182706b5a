/* decode.c -- messages of devmgr.v1alpha1 to devmgr.h's structs. An absent message reads as an empty one. */
#include "base/text.h"
#include "control/convert.h"
#include <string.h>

const char *dm_decode_text(struct dm_arena *a, ProtobufCBinaryData text, bool *bad) {
    if (!text.len)
        return "";
    if (memchr(text.data, 0, text.len) || !dm_text_utf8(text.data, text.len))
        return *bad = true, "";
    return dm_arena_strndup(a, text.data, text.len);
}

uint64_t dm_decode_numa(const uint32_t *numa, size_t n) {
    uint64_t set = 0;
    for (size_t i = 0; i < n; i++)
        if (numa[i] < 64)
            set |= UINT64_C(1) << numa[i];
    return set;
}

/* The words that the message around the claim says for it. */
struct around {
    const char *pod_uid, *pod_namespace, *pod_name, *container;
};

static const devmgr_claim *claim(struct dm_arena *a, const PB(Claim) * m, const struct around *w, bool *bad) {
    devmgr_claim *c = dm_arena_alloc(a, sizeof *c);
    c->pod_uid = w ? w->pod_uid : dm_decode_text(a, m->pod_uid, bad);
    c->pod_namespace = w ? w->pod_namespace : dm_decode_text(a, m->pod_namespace, bad);
    c->pod_name = w ? w->pod_name : dm_decode_text(a, m->pod_name, bad);
    c->container = w ? w->container : dm_decode_text(a, m->container, bad);
    c->resource = dm_decode_text(a, m->resource, bad);
    c->device = dm_decode_text(a, m->device, bad);
    c->numa = dm_decode_numa(m->numa, m->n_numa);
    c->health = m->health - 1;
    c->is_new = m->is_new;
    return c;
}

const devmgr_resource *dm_decode_resource(struct dm_arena *a, const PB(Resource) * m, bool *bad) {
    devmgr_resource *r = dm_arena_alloc(a, sizeof *r);
    r->name = dm_decode_text(a, m->name, bad);
    r->capacity = m->capacity;
    r->allocatable = m->allocatable;
    r->held = m->held;
    r->reserved = m->reserved;
    r->plugin = m->plugin - 1;
    r->last_error = dm_decode_text(a, m->last_error, bad);
    return r;
}

const devmgr_device *dm_decode_device(struct dm_arena *a, const PB(Device) * m, bool *bad) {
    devmgr_device *d = dm_arena_alloc(a, sizeof *d);
    d->resource = dm_decode_text(a, m->resource, bad);
    d->id = dm_decode_text(a, m->id, bad);
    d->numa = dm_decode_numa(m->numa, m->n_numa);
    d->health = m->health - 1;
    if (m->pod_uid.len) {
        devmgr_claim *c = dm_arena_alloc(a, sizeof *c);
        *c = (devmgr_claim){.pod_uid = dm_decode_text(a, m->pod_uid, bad),
                            .pod_namespace = "",
                            .pod_name = "",
                            .container = dm_decode_text(a, m->container, bad),
                            .resource = d->resource,
                            .device = d->id,
                            .numa = d->numa,
                            .health = d->health};
        d->claim = c;
    }
    return d;
}

static const devmgr_held_container *held_container(struct dm_arena *a, const PB(HeldContainer) * m,
                                                   const devmgr_held_pod *p, bool *bad) {
    devmgr_held_container *c = dm_arena_alloc(a, sizeof *c);
    const devmgr_claim **claims = dm_arena_array(a, m->n_claims, sizeof *claims);
    c->name = dm_decode_text(a, m->name, bad);
    c->kind = (int)m->kind;
    c->affinity = dm_decode_numa(m->affinity, m->n_affinity);
    c->n_claims = m->n_claims;
    c->claims = claims;
    const struct around around = {p->uid, p->namespace_, p->name, c->name};
    for (size_t i = 0; i < m->n_claims; i++)
        claims[i] = claim(a, m->claims[i], &around, bad);
    return c;
}

static void held_containers(struct dm_arena *a, PB(HeldContainer) * *from, size_t n, devmgr_held_pod *to,
                            bool *bad) {
    const devmgr_held_container **containers = dm_arena_array(a, n, sizeof *containers);
    to->n_containers = n;
    to->containers = containers;
    for (size_t i = 0; i < n; i++)
        containers[i] = held_container(a, from[i], to, bad);
}

const devmgr_held_pod *dm_decode_held_pod(struct dm_arena *a, const PB(HeldPod) * m, bool *bad) {
    devmgr_held_pod *p = dm_arena_alloc(a, sizeof *p);
    p->uid = dm_decode_text(a, m->uid, bad);
    p->namespace_ = dm_decode_text(a, m->namespace_, bad);
    p->name = dm_decode_text(a, m->name, bad);
    p->tag = dm_decode_text(a, m->tag, bad);
    p->revision = m->revision;
    held_containers(a, m->containers, m->n_containers, p, bad);
    return p;
}

/* ---- options --------------------------------------------------------------------------------------------------- */

static const devmgr_pair *const *pairs(struct dm_arena *a, PB(Pair) * *from, size_t n, bool *bad) {
    const devmgr_pair **to = dm_arena_array(a, n, sizeof *to);
    for (size_t i = 0; i < n; i++) {
        devmgr_pair *p = dm_arena_alloc(a, sizeof *p);
        p->name = dm_decode_text(a, from[i]->name, bad);
        p->value = dm_decode_text(a, from[i]->value, bad);
        to[i] = p;
    }
    return to;
}

static const devmgr_mount *const *mounts(struct dm_arena *a, const PB(Options) * m, bool *bad) {
    const devmgr_mount **to = dm_arena_array(a, m->n_mounts, sizeof *to);
    for (size_t i = 0; i < m->n_mounts; i++) {
        devmgr_mount *mount = dm_arena_alloc(a, sizeof *mount);
        mount->container_path = dm_decode_text(a, m->mounts[i]->container_path, bad);
        mount->host_path = dm_decode_text(a, m->mounts[i]->host_path, bad);
        mount->read_only = m->mounts[i]->read_only;
        to[i] = mount;
    }
    return to;
}

static const devmgr_device_node *const *device_nodes(struct dm_arena *a, const PB(Options) * m, bool *bad) {
    const devmgr_device_node **to = dm_arena_array(a, m->n_devices, sizeof *to);
    for (size_t i = 0; i < m->n_devices; i++) {
        devmgr_device_node *node = dm_arena_alloc(a, sizeof *node);
        node->container_path = dm_decode_text(a, m->devices[i]->container_path, bad);
        node->host_path = dm_decode_text(a, m->devices[i]->host_path, bad);
        node->permissions = dm_decode_text(a, m->devices[i]->permissions, bad);
        to[i] = node;
    }
    return to;
}

const devmgr_options *dm_decode_options(struct dm_arena *a, const PB(Options) * m, bool *bad) {
    devmgr_options *o = dm_arena_alloc(a, sizeof *o);
    const char **names = dm_arena_array(a, m->n_cdi_devices, sizeof *names);
    o->n_envs = m->n_envs, o->envs = pairs(a, m->envs, m->n_envs, bad);
    o->n_annotations = m->n_annotations, o->annotations = pairs(a, m->annotations, m->n_annotations, bad);
    o->n_mounts = m->n_mounts, o->mounts = mounts(a, m, bad);
    o->n_devices = m->n_devices, o->devices = device_nodes(a, m, bad);
    o->n_cdi_devices = m->n_cdi_devices, o->cdi_devices = names;
    for (size_t i = 0; i < m->n_cdi_devices; i++)
        names[i] = dm_decode_text(a, m->cdi_devices[i]->name, bad);
    return o;
}

/* ---- admissions and events ------------------------------------------------------------------------------------- */

/* All claims of the pod in one array, as in devmgr_admission. */
static void gather_claims(struct dm_arena *a, const devmgr_held_pod *p, devmgr_admission *r) {
    size_t n = 0;
    for (size_t i = 0; i < p->n_containers; i++)
        n += p->containers[i]->n_claims;
    const devmgr_claim **claims = dm_arena_array(a, n, sizeof *claims);
    for (size_t i = 0; i < p->n_containers; i++)
        for (size_t k = 0; k < p->containers[i]->n_claims; k++)
            claims[r->n_claims++] = p->containers[i]->claims[k];
    r->claims = claims;
}

static int cause_number(const char *word) {
    for (int i = DEVMGR_NO_CAUSE; strcmp(devmgr_cause_name(i), "other"); i++)
        if (!strcmp(devmgr_cause_name(i), word))
            return i;
    return -1;
}

const struct dm_admission *dm_decode_admission(struct dm_arena *a, const PB(Admission) * m, bool *bad) {
    struct dm_admission *admission = dm_arena_alloc(a, sizeof *admission);
    devmgr_admission *r = dm_arena_alloc(a, sizeof *r);
    devmgr_held_pod *pod = dm_arena_alloc(a, sizeof *pod);
    admission->result = r;
    admission->pod_uid = pod->uid = dm_decode_text(a, m->pod_uid, bad);
    admission->pod_namespace = pod->namespace_ = dm_decode_text(a, m->pod_namespace, bad);
    admission->pod_name = pod->name = dm_decode_text(a, m->pod_name, bad);
    admission->cause = dm_decode_text(a, m->cause, bad);
    pod->tag = "";
    pod->revision = m->revision;
    held_containers(a, m->containers, m->n_containers, pod, bad);
    r->verdict = m->verdict - 1;
    r->cause = cause_number(admission->cause);
    r->reason = dm_decode_text(a, m->reason, bad);
    r->message = dm_decode_text(a, m->message, bad);
    r->detail = dm_decode_text(a, m->detail, bad);
    r->container = m->container.len ? dm_decode_text(a, m->container, bad) : NULL;
    r->resource = m->resource.len ? dm_decode_text(a, m->resource, bad) : NULL;
    r->retry_after_ms = m->retry_after_ms;
    r->pod = r->verdict == DEVMGR_ADMITTED ? pod : NULL;
    gather_claims(a, pod, r);
    return admission;
}

const devmgr_event *dm_decode_event(struct dm_arena *a, const PB(Event) * m, bool *bad) {
    devmgr_event *ev = dm_arena_alloc(a, sizeof *ev);
    ev->type = (int)m->type;
    ev->level = (int)m->level;
    ev->revision = m->revision;
    ev->unix_ms = m->unix_ms;
    ev->message = dm_decode_text(a, m->message, bad);
    ev->resource = dm_decode_text(a, m->resource, bad);
    ev->pod_uid = dm_decode_text(a, m->pod_uid, bad);
    ev->pod = m->pod ? dm_decode_held_pod(a, m->pod, bad) : NULL;
    ev->claim = m->claim ? claim(a, m->claim, NULL, bad) : NULL;
    ev->changed = m->changed ? dm_decode_resource(a, m->changed, bad) : NULL;
    return ev;
}
