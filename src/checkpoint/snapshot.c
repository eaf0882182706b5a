/* snapshot.c -- see snapshot.h. Arrays without a capacity of their own grow when their length is a power of two. */
#include "checkpoint/snapshot.h"
#include "base/mem.h"
#include <string.h>

/* Room for element n of an array that has n elements and was grown by this function only. */
static void *room(void *array, size_t n, size_t size) {
    return n & (n - 1) ? array : dm_realloc(array, (n ? n * 2 : 1) * size);
}

struct dm_saved_claim *dm_saved_claim_new(const char *pod_uid, const char *container, const char *resource,
                                          struct dm_span answer) {
    uint8_t *copy = dm_try_realloc(NULL, answer.len);
    if (!copy)
        return NULL;
    if (answer.len)
        memcpy(copy, answer.data, answer.len);
    struct dm_saved_claim *c = DM_NEW(struct dm_saved_claim);
    c->refs = 1;
    c->pod_uid = dm_strdup(pod_uid);
    c->container = dm_strdup(container);
    c->resource = dm_strdup(resource);
    c->answer = copy;
    c->answer_len = answer.len;
    return c;
}

/* The place of `node`: nodes stay ascending, because that is their order in the hashed text. */
static struct dm_saved_ids *node_of(struct dm_saved_claim *c, int64_t node) {
    size_t i = c->n_nodes;
    while (i > 0 && c->nodes[i - 1].node >= node)
        i--;
    if (i < c->n_nodes && c->nodes[i].node == node)
        return &c->nodes[i];
    c->nodes = room(c->nodes, c->n_nodes, sizeof *c->nodes);
    memmove(&c->nodes[i + 1], &c->nodes[i], (c->n_nodes - i) * sizeof *c->nodes);
    c->n_nodes++;
    c->nodes[i] = (struct dm_saved_ids){.node = node};
    return &c->nodes[i];
}

void dm_saved_claim_add(struct dm_saved_claim *c, int64_t node, const char *id) {
    struct dm_saved_ids *ids = node_of(c, node);
    ids->ids = room(ids->ids, ids->n, sizeof *ids->ids);
    ids->ids[ids->n++] = dm_strdup(id);
}

struct dm_saved_resource *dm_saved_resource_new(const char *name) {
    struct dm_saved_resource *r = DM_NEW(struct dm_saved_resource);
    r->refs = 1;
    r->name = dm_strdup(name);
    return r;
}

void dm_saved_resource_add(struct dm_saved_resource *r, const char *id) {
    r->healthy = room(r->healthy, r->n_healthy, sizeof *r->healthy);
    r->healthy[r->n_healthy++] = dm_strdup(id);
}

struct dm_saved_pod *dm_saved_pod_new(const char *uid) {
    struct dm_saved_pod *p = DM_NEW(struct dm_saved_pod);
    p->refs = 1;
    p->uid = dm_strdup(uid);
    p->namespace_ = dm_strdup("");
    p->name = dm_strdup("");
    p->tag = dm_strdup("");
    return p;
}

void dm_saved_pod_add(struct dm_saved_pod *p, const char *container, int kind, uint64_t affinity) {
    p->containers = room(p->containers, p->n_containers, sizeof *p->containers);
    p->containers[p->n_containers++] = (struct dm_saved_container){dm_strdup(container), kind, affinity};
}

struct dm_saved_claim *dm_saved_claim_ref(struct dm_saved_claim *c) {
    c->refs++;
    return c;
}

struct dm_saved_resource *dm_saved_resource_ref(struct dm_saved_resource *r) {
    r->refs++;
    return r;
}

struct dm_saved_pod *dm_saved_pod_ref(struct dm_saved_pod *p) {
    p->refs++;
    return p;
}

static void free_strings(char **strings, size_t n) {
    for (size_t i = 0; i < n; i++)
        free(strings[i]);
    free(strings);
}

void dm_saved_claim_unref(struct dm_saved_claim *c) {
    if (!c || --c->refs)
        return;
    for (size_t i = 0; i < c->n_nodes; i++)
        free_strings(c->nodes[i].ids, c->nodes[i].n);
    free(c->nodes);
    free(c->pod_uid);
    free(c->container);
    free(c->resource);
    free(c->answer);
    free(c->rendered);
    free(c);
}

void dm_saved_resource_unref(struct dm_saved_resource *r) {
    if (!r || --r->refs)
        return;
    free_strings(r->healthy, r->n_healthy);
    free(r->name);
    free(r->rendered);
    free(r);
}

void dm_saved_pod_unref(struct dm_saved_pod *p) {
    if (!p || --p->refs)
        return;
    for (size_t i = 0; i < p->n_containers; i++)
        free(p->containers[i].name);
    free(p->containers);
    free(p->uid);
    free(p->namespace_);
    free(p->name);
    free(p->tag);
    free(p->rendered);
    free(p);
}

struct dm_snapshot *dm_snapshot_new(void) {
    return DM_NEW(struct dm_snapshot);
}

void dm_snapshot_free(struct dm_snapshot *s) {
    if (!s)
        return;
    for (size_t i = 0; i < s->n_claims; i++)
        dm_saved_claim_unref(s->claims[i]);
    for (size_t i = 0; i < s->n_resources; i++)
        dm_saved_resource_unref(s->resources[i]);
    for (size_t i = 0; i < s->n_pods; i++)
        dm_saved_pod_unref(s->pods[i]);
    free(s->claims);
    free(s->resources);
    free(s->pods);
    free(s);
}

void dm_snapshot_freep(struct dm_snapshot **s) {
    dm_snapshot_free(*s);
}
