/* pod.c -- builds a devmgr_pod (devmgr.h) and checks what goes in.
 *
 * Names are bounded and printable so that they can stand in one line of any error, log or record. */
#include "manager/pod.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include <errno.h>
#include <string.h>

enum { MAX_NAME = 253, MAX_TAG = 256, MAX_RESOURCE = 317, MAX_CONTAINERS = 4096, MAX_LIMITS = 256 };

/* Not empty, not too long, valid UTF-8, no control characters, no blanks. */
static bool good_name(const char *s, size_t most) {
    size_t n = s ? strlen(s) : 0;
    if (!n || n > most || !dm_text_utf8(s, n))
        return false;
    for (; *s; s++)
        if ((unsigned char)*s <= ' ' || *s == 0x7f)
            return false;
    return true;
}

static bool good_tag(const char *s) {
    size_t n = strlen(s);
    if (n > MAX_TAG || !dm_text_utf8(s, n))
        return false;
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 0x7f)
            return false;
    return true;
}

/* NULL: one of the names is empty, too long or not printable. Empty namespace means "default". */
devmgr_pod *devmgr_pod_new(const char *uid, const char *namespace_, const char *name) {
    const char *ns = namespace_ && *namespace_ ? namespace_ : "default";
    if (!good_name(uid, MAX_NAME) || !good_name(ns, MAX_NAME) || !good_name(name, MAX_NAME))
        return NULL;
    devmgr_pod *p = DM_NEW(devmgr_pod);
    p->uid = dm_strdup(uid);
    p->namespace_ = dm_strdup(ns);
    p->name = dm_strdup(name);
    p->tag = dm_strdup("");
    return p;
}

struct dm_pod_container *dm_pod_find(const devmgr_pod *p, const char *container) {
    for (size_t i = 0; container && i < p->n_containers; i++)
        if (!strcmp(p->containers[i].name, container))
            return &p->containers[i];
    return NULL;
}

int devmgr_pod_container(devmgr_pod *p, const char *container, int kind) {
    if (!good_name(container, MAX_NAME) || kind < DEVMGR_APP || kind > DEVMGR_SIDECAR ||
        p->n_containers >= MAX_CONTAINERS)
        return DEVMGR_EINVALID;
    if (dm_pod_find(p, container))
        return -EEXIST;
    p->containers = dm_realloc(p->containers, (p->n_containers + 1) * sizeof *p->containers);
    p->containers[p->n_containers++] = (struct dm_pod_container){.name = dm_strdup(container), .kind = kind};
    return 0;
}

/* Keeps limits sorted by name; a second limit for one resource is a contradiction. */
int devmgr_pod_limit(devmgr_pod *p, const char *container, const char *resource, uint64_t count) {
    struct dm_pod_container *c = dm_pod_find(p, container);
    size_t at = 0;
    if (!c)
        return -ENOENT;
    if (!good_name(resource, MAX_RESOURCE) || c->n_limits >= MAX_LIMITS)
        return DEVMGR_EINVALID;
    while (at < c->n_limits && strcmp(c->limits[at].resource, resource) < 0)
        at++;
    if (at < c->n_limits && !strcmp(c->limits[at].resource, resource))
        return -EEXIST;
    c->limits = dm_realloc(c->limits, (c->n_limits + 1) * sizeof *c->limits);
    memmove(c->limits + at + 1, c->limits + at, (c->n_limits - at) * sizeof *c->limits);
    c->limits[at] = (struct dm_limit){dm_strdup(resource), count};
    c->n_limits++;
    return 0;
}

int devmgr_pod_running(devmgr_pod *p, const char *container) {
    struct dm_pod_container *c = dm_pod_find(p, container);
    if (!c)
        return -ENOENT;
    c->running = true;
    return 0;
}

int devmgr_pod_affinity(devmgr_pod *p, const char *container, uint64_t numa) {
    struct dm_pod_container *c = dm_pod_find(p, container);
    if (!c)
        return -ENOENT;
    c->affinity = numa;
    c->has_affinity = true;
    return 0;
}

int devmgr_pod_hint(devmgr_pod *p, const char *container, const devmgr_hint *hint) {
    struct dm_pod_container *c = dm_pod_find(p, container);
    if (container && !c)
        return -ENOENT;
    if (!hint || !good_name(hint->resource, MAX_RESOURCE) || hint->kind < DEVMGR_HINT ||
        hint->kind > DEVMGR_HINT_MORE || (hint->kind == DEVMGR_HINT) != (hint->numa != 0))
        return DEVMGR_EINVALID;
    return dm_given_add(c ? &c->given : &p->given, hint);
}

int devmgr_pod_wait(devmgr_pod *p, uint64_t ms) {
    p->wait_ms = ms;
    return 0;
}

int devmgr_pod_tag(devmgr_pod *p, const char *tag) {
    if (!tag || !good_tag(tag))
        return DEVMGR_EINVALID;
    free(p->tag);
    p->tag = dm_strdup(tag);
    return 0;
}

const char *devmgr_pod_uid(const devmgr_pod *p) {
    return p->uid;
}

const char *devmgr_pod_namespace(const devmgr_pod *p) {
    return p->namespace_;
}

const char *devmgr_pod_name(const devmgr_pod *p) {
    return p->name;
}

void devmgr_pod_free(devmgr_pod *p) {
    if (!p)
        return;
    for (size_t i = 0; i < p->n_containers; i++) {
        for (size_t k = 0; k < p->containers[i].n_limits; k++)
            free(p->containers[i].limits[k].resource);
        free(p->containers[i].limits);
        free(p->containers[i].name);
        dm_given_free(&p->containers[i].given);
    }
    dm_given_free(&p->given);
    free(p->containers), free(p->uid), free(p->namespace_), free(p->name), free(p->tag), free(p);
}

static struct dm_pod_container copy_container(const struct dm_pod_container *c) {
    struct dm_pod_container copy = *c;
    copy.name = dm_strdup(c->name);
    copy.given = dm_given_copy(&c->given);
    copy.limits = dm_memdup(c->limits, c->n_limits * sizeof *c->limits);
    for (size_t k = 0; k < c->n_limits; k++)
        copy.limits[k].resource = dm_strdup(c->limits[k].resource);
    return copy;
}

devmgr_pod *dm_pod_copy(const devmgr_pod *p) {
    devmgr_pod *copy = DM_NEW(devmgr_pod);
    *copy = *p;
    copy->uid = dm_strdup(p->uid);
    copy->namespace_ = dm_strdup(p->namespace_);
    copy->name = dm_strdup(p->name);
    copy->tag = dm_strdup(p->tag);
    copy->given = dm_given_copy(&p->given);
    copy->containers = dm_alloc_array(p->n_containers, sizeof *copy->containers);
    for (size_t i = 0; i < p->n_containers; i++)
        copy->containers[i] = copy_container(&p->containers[i]);
    return copy;
}
