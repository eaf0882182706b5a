/* encode.c -- devmgr.h's structs to messages of devmgr.v1alpha1. */
#include "control/convert.h"
#include <string.h>

_Static_assert(DEVMGR__V1ALPHA1__VERDICT__VERDICT_CANCELED == DEVMGR_CANCELED + 1,
               "verdicts, shifted by one");
_Static_assert(DEVMGR__V1ALPHA1__HEALTH__HEALTH_MISSING == DEVMGR_MISSING + 1, "health, shifted by one");
_Static_assert(DEVMGR__V1ALPHA1__PLUGIN__PLUGIN_REMOVED == DEVMGR_REMOVED + 1, "plugin, shifted by one");
_Static_assert((int)DEVMGR__V1ALPHA1__CONTAINER_KIND__CONTAINER_KIND_SIDECAR == DEVMGR_SIDECAR, "kinds");
_Static_assert((int)DEVMGR__V1ALPHA1__EVENT_TYPE__EVENT_PLUGIN == DEVMGR_EV_PLUGIN, "events");
_Static_assert(DEVMGR__V1ALPHA1__EVENT_TYPE__EVENT_SYNCED == DM_EVENT_SYNCED, "events");
_Static_assert((int)DEVMGR__V1ALPHA1__HINT_KIND__HINT_MORE == DEVMGR_HINT_MORE, "hints");

void dm_message_write(const void *message, struct dm_buf *out) {
    size_t n = protobuf_c_message_get_packed_size(message);
    uint8_t *at = (uint8_t *)dm_buf_reserve(out, n);
    out->len += protobuf_c_message_pack(message, at);
    out->data[out->len] = 0;
}

ProtobufCBinaryData dm_pb_text(const char *s) {
    return (ProtobufCBinaryData){s ? strlen(s) : 0, (uint8_t *)(uintptr_t)s};
}

uint32_t *dm_encode_numa(struct dm_arena *a, uint64_t numa, size_t *n) {
    uint32_t *nodes = numa ? dm_arena_array(a, (size_t)__builtin_popcountll(numa), sizeof *nodes) : NULL;
    *n = 0;
    for (; numa; numa &= numa - 1)
        nodes[(*n)++] = (uint32_t)__builtin_ctzll(numa);
    return nodes;
}

int dm_encode_health(int health) {
    return health + 1;
}

/* What the message around it says already is left out. */
static PB(Claim) * bare_claim(struct dm_arena *a, const devmgr_claim *c) {
    PB(Claim) *m = PB_NEW(a, claim);
    m->resource = dm_pb_text(c->resource);
    m->device = dm_pb_text(c->device);
    m->numa = dm_encode_numa(a, c->numa, &m->n_numa);
    m->health = dm_encode_health(c->health);
    m->is_new = c->is_new != 0;
    return m;
}

PB(Claim) * dm_encode_claim(struct dm_arena *a, const devmgr_claim *c) {
    PB(Claim) *m = bare_claim(a, c);
    m->pod_uid = dm_pb_text(c->pod_uid);
    m->pod_namespace = dm_pb_text(c->pod_namespace);
    m->pod_name = dm_pb_text(c->pod_name);
    m->container = dm_pb_text(c->container);
    return m;
}

PB(Resource) * dm_encode_resource(struct dm_arena *a, const devmgr_resource *r) {
    PB(Resource) *m = PB_NEW(a, resource);
    m->name = dm_pb_text(r->name);
    m->capacity = r->capacity;
    m->allocatable = r->allocatable;
    m->held = r->held;
    m->reserved = r->reserved;
    m->plugin = r->plugin + 1;
    m->last_error = dm_pb_text(r->last_error);
    return m;
}

PB(Device) * dm_encode_device(struct dm_arena *a, const devmgr_device *d) {
    PB(Device) *m = PB_NEW(a, device);
    m->resource = dm_pb_text(d->resource);
    m->id = dm_pb_text(d->id);
    m->health = dm_encode_health(d->health);
    m->numa = dm_encode_numa(a, d->numa, &m->n_numa);
    if (d->claim) {
        m->pod_uid = dm_pb_text(d->claim->pod_uid);
        m->container = dm_pb_text(d->claim->container);
    }
    return m;
}

static PB(HeldContainer) * held_container(struct dm_arena *a, const devmgr_held_container *c) {
    PB(HeldContainer) *m = PB_NEW(a, held_container);
    m->name = dm_pb_text(c->name);
    m->kind = c->kind;
    m->affinity = dm_encode_numa(a, c->affinity, &m->n_affinity);
    m->n_claims = c->n_claims;
    m->claims = dm_arena_array(a, c->n_claims, sizeof *m->claims);
    for (size_t i = 0; i < c->n_claims; i++)
        m->claims[i] = bare_claim(a, c->claims[i]);
    return m;
}

static PB(HeldContainer) * *held_containers(struct dm_arena *a, const devmgr_held_pod *p) {
    PB(HeldContainer) **containers = dm_arena_array(a, p->n_containers, sizeof *containers);
    for (size_t i = 0; i < p->n_containers; i++)
        containers[i] = held_container(a, p->containers[i]);
    return containers;
}

PB(HeldPod) * dm_encode_held_pod(struct dm_arena *a, const devmgr_held_pod *p) {
    PB(HeldPod) *m = PB_NEW(a, held_pod);
    m->uid = dm_pb_text(p->uid);
    m->namespace_ = dm_pb_text(p->namespace_);
    m->name = dm_pb_text(p->name);
    m->tag = dm_pb_text(p->tag);
    m->revision = p->revision;
    m->n_containers = p->n_containers;
    m->containers = held_containers(a, p);
    return m;
}

static PB(Pair) * *pairs(struct dm_arena *a, const devmgr_pair *const *from, size_t n) {
    PB(Pair) **to = dm_arena_array(a, n, sizeof *to);
    for (size_t i = 0; i < n; i++) {
        to[i] = PB_NEW(a, pair);
        to[i]->name = dm_pb_text(from[i]->name);
        to[i]->value = dm_pb_text(from[i]->value);
    }
    return to;
}

static PB(Mount) * *mounts(struct dm_arena *a, const devmgr_options *o) {
    PB(Mount) **to = dm_arena_array(a, o->n_mounts, sizeof *to);
    for (size_t i = 0; i < o->n_mounts; i++) {
        to[i] = PB_NEW(a, mount);
        to[i]->container_path = dm_pb_text(o->mounts[i]->container_path);
        to[i]->host_path = dm_pb_text(o->mounts[i]->host_path);
        to[i]->read_only = o->mounts[i]->read_only != 0;
    }
    return to;
}

static PB(DeviceNode) * *device_nodes(struct dm_arena *a, const devmgr_options *o) {
    PB(DeviceNode) **to = dm_arena_array(a, o->n_devices, sizeof *to);
    for (size_t i = 0; i < o->n_devices; i++) {
        to[i] = PB_NEW(a, device_node);
        to[i]->container_path = dm_pb_text(o->devices[i]->container_path);
        to[i]->host_path = dm_pb_text(o->devices[i]->host_path);
        to[i]->permissions = dm_pb_text(o->devices[i]->permissions);
    }
    return to;
}

static PB(CdiDevice) * *cdi_devices(struct dm_arena *a, const devmgr_options *o) {
    PB(CdiDevice) **to = dm_arena_array(a, o->n_cdi_devices, sizeof *to);
    for (size_t i = 0; i < o->n_cdi_devices; i++) {
        to[i] = PB_NEW(a, cdi_device);
        to[i]->name = dm_pb_text(o->cdi_devices[i]);
    }
    return to;
}

PB(Options) * dm_encode_options(struct dm_arena *a, const devmgr_options *o) {
    PB(Options) *m = PB_NEW(a, options);
    m->n_envs = o->n_envs, m->envs = pairs(a, o->envs, o->n_envs);
    m->n_annotations = o->n_annotations, m->annotations = pairs(a, o->annotations, o->n_annotations);
    m->n_mounts = o->n_mounts, m->mounts = mounts(a, o);
    m->n_devices = o->n_devices, m->devices = device_nodes(a, o);
    m->n_cdi_devices = o->n_cdi_devices, m->cdi_devices = cdi_devices(a, o);
    return m;
}

PB(Admission) * dm_encode_admission(struct dm_arena *a, const struct dm_admission *admission) {
    const devmgr_admission *r = admission->result;
    PB(Admission) *m = PB_NEW(a, admission);
    m->pod_uid = dm_pb_text(admission->pod_uid);
    m->pod_namespace = dm_pb_text(admission->pod_namespace);
    m->pod_name = dm_pb_text(admission->pod_name);
    m->verdict = r->verdict + 1;
    m->cause = dm_pb_text(admission->cause);
    m->reason = dm_pb_text(r->reason);
    m->message = dm_pb_text(r->message);
    m->detail = dm_pb_text(r->detail);
    m->container = dm_pb_text(r->container);
    m->resource = dm_pb_text(r->resource);
    m->retry_after_ms = r->retry_after_ms;
    if (r->verdict == DEVMGR_ADMITTED && r->pod) {
        m->n_containers = r->pod->n_containers;
        m->containers = held_containers(a, r->pod);
        m->revision = r->pod->revision;
    }
    return m;
}

PB(Event) * dm_encode_event(struct dm_arena *a, const devmgr_event *ev) {
    PB(Event) *m = PB_NEW(a, event);
    m->type = (PB(EventType))ev->type;
    m->revision = ev->revision;
    m->unix_ms = ev->unix_ms;
    m->level = (uint32_t)ev->level;
    m->message = dm_pb_text(ev->message);
    m->resource = dm_pb_text(ev->resource);
    m->pod_uid = dm_pb_text(ev->pod_uid);
    m->pod = ev->pod ? dm_encode_held_pod(a, ev->pod) : NULL;
    m->claim = ev->claim ? dm_encode_claim(a, ev->claim) : NULL;
    m->changed = ev->changed ? dm_encode_resource(a, ev->changed) : NULL;
    return m;
}

PB(Released) * dm_encode_released(struct dm_arena *a, const char *const *uids, size_t n) {
    PB(Released) *m = PB_NEW(a, released);
    m->n_released = n;
    m->released = dm_arena_array(a, n, sizeof *m->released);
    for (size_t i = 0; i < n; i++)
        m->released[i] = dm_pb_text(uids[i]);
    return m;
}
