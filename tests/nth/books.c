/* books.c -- who holds what, compared with what was answered. See life.c for what must hold. */
#include "base/mem.h"
#include "pods.h"
#include <stdio.h>
#include <string.h>

enum { MOST_DEVICES = 16 };

/* ---- a pod's devices as one text --------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void join(char **parts, size_t n, char *out, size_t size) {
    size_t len = 0;
    *out = 0;
    qsort(parts, n, sizeof *parts, by_text);
    for (size_t i = 0; i < n; i++) {
        len += (size_t)snprintf(out + len, len < size ? size - len : 0, "%s;", parts[i]);
        free(parts[i]);
    }
}

static void devices_of(const devmgr_held_pod *p, char *out, size_t size) {
    char *parts[MOST_DEVICES];
    size_t n = 0;
    for (size_t i = 0; i < p->n_containers; i++)
        for (size_t k = 0; k < p->containers[i]->n_claims && n < MOST_DEVICES; k++)
            parts[n++] = dm_printf("%s %s %s", p->containers[i]->name, p->containers[i]->claims[k]->resource,
                                   p->containers[i]->claims[k]->device);
    join(parts, n, out, size);
}

static struct pod *pod_named(struct life *l, const char *name) {
    for (int i = 0; i < PODS; i++)
        if (!strcmp(l->pods[i].name, name))
            return &l->pods[i];
    lost(l->n, "a pod \"%s\" that nobody asked for", name);
}

/* ---- the books --------------------------------------------------------------------------------------------------- */

struct books {
    struct life *l;
    bool seen[PODS];
    size_t n; /* of these: who holds what */
    struct {
        char device[96];
        const struct pod *owner;
    } held[64];
    int resources, distinct[PLUGINS];
};

static void own(struct books *b, const struct pod *owner, const devmgr_claim *c) {
    char device[96];
    snprintf(device, sizeof device, "%s %s", c->resource, c->device);
    for (size_t i = 0; i < b->n; i++) {
        if (strcmp(b->held[i].device, device))
            continue;
        if (b->held[i].owner != owner)
            lost(b->l->n, "%s is held by %s and by %s", device, b->held[i].owner->name, owner->name);
        return;
    }
    memcpy(b->held[b->n].device, device, sizeof device);
    b->held[b->n++].owner = owner;
    b->distinct[strcmp(c->resource, GPU) ? 1 : 0]++;
}

static int visit_pod(void *arg, const devmgr_held_pod *p) {
    struct books *b = arg;
    struct pod *pod = pod_named(b->l, p->name);
    char devices[sizeof pod->devices];
    b->seen[pod - b->l->pods] = true;
    devices_of(p, devices, sizeof devices);
    if (pod->is == ABSENT)
        lost(b->l->n, "%s was not admitted and holds \"%s\"", pod->name, devices);
    if (pod->is == HELD && strcmp(devices, pod->devices))
        lost(b->l->n, "%s holds \"%s\", was admitted with \"%s\"", pod->name, devices, pod->devices);
    for (size_t i = 0; i < p->n_containers; i++)
        for (size_t k = 0; k < p->containers[i]->n_claims; k++)
            own(b, pod, p->containers[i]->claims[k]);
    return 0;
}

static int visit_resource(void *arg, const devmgr_resource *r) {
    struct books *b = arg;
    int which = strcmp(r->name, GPU) ? 1 : 0;
    b->resources++;
    if (r->reserved)
        lost(b->l->n, "%s: %d reserved, and nothing is in flight", r->name, (int)r->reserved);
    if ((int)r->held != b->distinct[which])
        lost(b->l->n, "%s: %d held by count, %d by name", r->name, (int)r->held, b->distinct[which]);
    return 0;
}

static int look(struct dm_client *c, void *arg, devmgr_error *err) {
    struct books *b = arg;
    struct life *l = b->l;
    *b = (struct books){.l = l};
    int r = dm_client_each_pod(c, NULL, visit_pod, b, err);
    return r < 0 ? r : dm_client_each_resource(c, visit_resource, b, err);
}

bool check_books(struct life *l) {
    struct books b = {.l = l};
    devmgr_error err;
    if (!talk(l->n, "looking", look, &b, &err))
        return false;
    for (int i = 0; i < PODS; i++) {
        struct pod *p = &l->pods[i];
        if (p->is == HELD && !b.seen[i])
            lost(l->n, "%s was admitted with \"%s\" and is not there", p->name, p->devices);
    }
    return true;
}
