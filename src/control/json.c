/* json.c -- see json.h. Everything that is a set comes out in byte order, so that two prints of one state are equal. */
#include "control/json.h"
#include "base/mem.h"
#include <string.h>
#include <time.h>

json_t *dm_json_text(const char *s) {
    json_t *text = json_string(s ? s : "");
    return text ? text : json_string("");
}

static json_t *number(uint64_t n) {
    return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

static void put_text(json_t *o, const char *key, const char *value) {
    json_object_set_new(o, key, dm_json_text(value));
}

static void put_number(json_t *o, const char *key, uint64_t value) {
    json_object_set_new(o, key, number(value));
}

static json_t *nodes(uint64_t numa) {
    json_t *list = json_array();
    for (; numa; numa &= numa - 1)
        json_array_append_new(list, json_integer(__builtin_ctzll(numa)));
    return list;
}

/* ---- order ----------------------------------------------------------------------------------------------------- */

static const char *key_of(const json_t *row, const char *key) {
    const char *s = json_string_value(key ? json_object_get(row, key) : row);
    return s ? s : "";
}

static int by_keys(const void *a, const void *b, void *arg) {
    const char *const *keys = arg;
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    int order = keys ? 0 : strcmp(key_of(x, NULL), key_of(y, NULL));
    for (int i = 0; keys && order == 0 && i < 3 && keys[i]; i++)
        order = strcmp(key_of(x, keys[i]), key_of(y, keys[i]));
    return order;
}

void dm_json_sort(json_t *rows, const char *const keys[3]) {
    size_t n = json_array_size(rows);
    DM_FREE json_t **sorted = dm_alloc_array(n + 1, sizeof *sorted);
    for (size_t i = 0; i < n; i++)
        sorted[i] = json_incref(json_array_get(rows, i));
    qsort_r(sorted, n, sizeof *sorted, by_keys, (void *)(uintptr_t)keys);
    json_array_clear(rows);
    for (size_t i = 0; i < n; i++)
        json_array_append_new(rows, sorted[i]);
}

json_t *dm_json_list(const char *name, json_t *rows, const char *const keys[3]) {
    json_t *o = json_object();
    dm_json_sort(rows, keys);
    json_object_set_new(o, name, rows);
    return o;
}

void dm_json_print(json_t *json, FILE *out) {
    json_dumpf(json, out, JSON_COMPACT);
    putc('\n', out);
    json_decref(json);
}

static int by_container(const void *a, const void *b) {
    const devmgr_claim *x = *(const devmgr_claim *const *)a, *y = *(const devmgr_claim *const *)b;
    int order = strcmp(x->container, y->container);
    order = order ? order : strcmp(x->resource, y->resource);
    return order ? order : strcmp(x->device, y->device);
}

static int by_name(const void *a, const void *b) {
    const devmgr_held_container *x = *(const devmgr_held_container *const *)a;
    const devmgr_held_container *y = *(const devmgr_held_container *const *)b;
    return strcmp(x->name, y->name);
}

static const devmgr_held_container **containers_in_order(const devmgr_held_pod *p) {
    const devmgr_held_container **list = dm_alloc_array(p->n_containers + 1, sizeof *list);
    for (size_t i = 0; i < p->n_containers; i++)
        list[i] = p->containers[i];
    qsort(list, p->n_containers, sizeof *list, by_name);
    return list;
}

/* ---- what a pod holds ------------------------------------------------------------------------------------------ */

/* The object under `key`, made when it is not there. */
static json_t *object_at(json_t *o, const char *key) {
    json_t *found = json_object_get(o, key);
    if (!found)
        json_object_set_new(o, key, found = json_object());
    return found;
}

static json_t *array_at(json_t *o, const char *key) {
    json_t *found = json_object_get(o, key);
    if (!found)
        json_object_set_new(o, key, found = json_array());
    return found;
}

static void count_node(json_t *numa, int node) {
    char key[16];
    snprintf(key, sizeof key, "%d", node);
    json_object_set_new(numa, key, json_integer(json_integer_value(json_object_get(numa, key)) + 1));
}

/* {"-1": n, "0": n, ...}: a device counts on each of its nodes; nodes without one are absent. */
static json_t *counts(const devmgr_claim *const *claims, size_t n) {
    json_t *numa = json_object();
    for (size_t i = 0; i < n; i++)
        if (!claims[i]->numa)
            count_node(numa, -1);
    for (int node = 0; node < 64; node++)
        for (size_t i = 0; i < n; i++)
            if (claims[i]->numa >> node & 1)
                count_node(numa, node);
    return numa;
}

/* {R: [ids]} or, with numa, {R: {"ids": [...], "numa": {...}}} of claims that are in order. */
static json_t *by_resource(const devmgr_claim *const *claims, size_t n, bool with_numa) {
    json_t *resources = json_object();
    for (size_t i = 0, same; i < n; i += same) {
        for (same = 1; i + same < n && !strcmp(claims[i]->resource, claims[i + same]->resource);)
            same++;
        json_t *ids = with_numa ? array_at(object_at(resources, claims[i]->resource), "ids")
                                : array_at(resources, claims[i]->resource);
        for (size_t k = i; k < i + same; k++)
            json_array_append_new(ids, dm_json_text(claims[k]->device));
        if (with_numa)
            json_object_set_new(object_at(resources, claims[i]->resource), "numa", counts(claims + i, same));
    }
    return resources;
}

static json_t *one_container(const devmgr_held_container *c, bool with_numa) {
    DM_FREE const devmgr_claim **claims = dm_alloc_array(c->n_claims + 1, sizeof *claims);
    for (size_t i = 0; i < c->n_claims; i++)
        claims[i] = c->claims[i];
    qsort(claims, c->n_claims, sizeof *claims, by_container);
    return by_resource(claims, c->n_claims, with_numa);
}

/* {C: {R: ...}}, also for containers that hold nothing. */
static json_t *by_container_and_resource(const devmgr_held_pod *p, bool with_numa) {
    json_t *o = json_object();
    if (!p)
        return o;
    DM_FREE const devmgr_held_container **list = containers_in_order(p);
    for (size_t i = 0; i < p->n_containers; i++)
        json_object_set_new(o, list[i]->name, one_container(list[i], with_numa));
    return o;
}

/* {C: [nodes]} of the containers whose devices were aligned. */
static json_t *affinity(const devmgr_held_pod *p) {
    json_t *o = json_object();
    if (!p)
        return o;
    DM_FREE const devmgr_held_container **list = containers_in_order(p);
    for (size_t i = 0; i < p->n_containers; i++)
        if (list[i]->affinity)
            json_object_set_new(o, list[i]->name, nodes(list[i]->affinity));
    return o;
}

/* ---- rows ------------------------------------------------------------------------------------------------------ */

static void put_resource(json_t *o, const devmgr_resource *r) {
    put_text(o, "name", r->name);
    put_number(o, "capacity", r->capacity);
    put_number(o, "allocatable", r->allocatable);
    put_number(o, "held", r->held);
    put_number(o, "reserved", r->reserved);
    put_text(o, "plugin", devmgr_plugin_name(r->plugin));
    put_text(o, "last_error", r->last_error);
}

json_t *dm_json_resource(const devmgr_resource *r) {
    json_t *o = json_object();
    put_resource(o, r);
    return o;
}

json_t *dm_json_device(const devmgr_device *d) {
    json_t *o = json_object();
    put_text(o, "resource", d->resource);
    put_text(o, "id", d->id);
    put_text(o, "health", devmgr_health_name(d->health));
    json_object_set_new(o, "numa", nodes(d->numa));
    put_text(o, "pod", d->claim ? d->claim->pod_uid : "");
    put_text(o, "container", d->claim ? d->claim->container : "");
    return o;
}

json_t *dm_json_pod(const devmgr_held_pod *p) {
    json_t *o = json_object();
    put_text(o, "uid", p->uid);
    put_text(o, "namespace", p->namespace_);
    put_text(o, "name", p->name);
    json_object_set_new(o, "containers", by_container_and_resource(p, false));
    return o;
}

json_t *dm_json_admission(const struct dm_admission *admission) {
    const devmgr_admission *r = admission->result;
    json_t *o = json_object();
    put_text(o, "pod", admission->pod_uid);
    json_object_set_new(o, "admitted", json_boolean(r->verdict == DEVMGR_ADMITTED));
    put_text(o, "verdict", devmgr_verdict_name(r->verdict));
    put_text(o, "cause", admission->cause);
    put_text(o, "reason", r->reason);
    put_text(o, "message", r->message);
    put_text(o, "detail", r->detail);
    put_text(o, "container", r->container);
    put_text(o, "resource", r->resource);
    put_number(o, "retry_after_ms", r->retry_after_ms);
    json_object_set_new(o, "affinity", affinity(r->pod));
    json_object_set_new(o, "containers", by_container_and_resource(r->pod, true));
    return o;
}

static json_t *pairs(const devmgr_pair *const *list, size_t n) {
    json_t *rows = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *o = json_object();
        put_text(o, "name", list[i]->name);
        put_text(o, "value", list[i]->value);
        json_array_append_new(rows, o);
    }
    return rows;
}

static json_t *mounts(const devmgr_options *from) {
    json_t *rows = json_array();
    for (size_t i = 0; i < from->n_mounts; i++) {
        json_t *o = json_object();
        put_text(o, "container_path", from->mounts[i]->container_path);
        put_text(o, "host_path", from->mounts[i]->host_path);
        json_object_set_new(o, "read_only", json_boolean(from->mounts[i]->read_only));
        json_array_append_new(rows, o);
    }
    return rows;
}

static json_t *device_nodes(const devmgr_options *from) {
    json_t *rows = json_array();
    for (size_t i = 0; i < from->n_devices; i++) {
        json_t *o = json_object();
        put_text(o, "container_path", from->devices[i]->container_path);
        put_text(o, "host_path", from->devices[i]->host_path);
        put_text(o, "permissions", from->devices[i]->permissions);
        json_array_append_new(rows, o);
    }
    return rows;
}

static json_t *cdi_devices(const devmgr_options *from) {
    json_t *rows = json_array();
    for (size_t i = 0; i < from->n_cdi_devices; i++) {
        json_t *o = json_object();
        put_text(o, "name", from->cdi_devices[i]);
        json_array_append_new(rows, o);
    }
    return rows;
}

json_t *dm_json_options(const devmgr_options *from) {
    json_t *o = json_object();
    json_object_set_new(o, "envs", pairs(from->envs, from->n_envs));
    json_object_set_new(o, "mounts", mounts(from));
    json_object_set_new(o, "devices", device_nodes(from));
    json_object_set_new(o, "annotations", pairs(from->annotations, from->n_annotations));
    json_object_set_new(o, "cdi_devices", cdi_devices(from));
    return o;
}

/* ---- events ---------------------------------------------------------------------------------------------------- */

char *dm_json_time(uint64_t unix_ms, char out[32]) {
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm tm;
    if (!gmtime_r(&seconds, &tm) || tm.tm_year > 8099)
        memset(&tm, 0, sizeof tm);
    size_t n = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, 32 - n, ".%03uZ", (unsigned)(unix_ms % 1000));
    return out;
}

static const char *level_name(int level) {
    static const char *const words[] = {"emerg",   "alert",  "crit", "error",
                                        "warning", "notice", "info", "debug"};
    return level >= 0 && (size_t)level < DM_COUNT(words) ? words[level] : "other";
}

static void put_held(json_t *o, const devmgr_event *ev) {
    put_text(o, "pod", ev->pod_uid);
    put_text(o, "namespace", ev->pod ? ev->pod->namespace_ : "");
    put_text(o, "name", ev->pod ? ev->pod->name : "");
    json_object_set_new(o, "containers", by_container_and_resource(ev->pod, false));
}

static void put_claim(json_t *o, const devmgr_claim *c) {
    put_text(o, "pod", c->pod_uid);
    put_text(o, "namespace", c->pod_namespace);
    put_text(o, "name", c->pod_name);
    put_text(o, "container", c->container);
    put_text(o, "resource", c->resource);
    put_text(o, "id", c->device);
    put_text(o, "health", devmgr_health_name(c->health));
    json_object_set_new(o, "numa", nodes(c->numa));
}

json_t *dm_json_event(const devmgr_event *ev) {
    char time[32];
    json_t *o = json_object();
    put_number(o, "revision", ev->revision);
    put_text(o, "time", dm_json_time(ev->unix_ms, time));
    put_text(o, "type", ev->type == DM_EVENT_SYNCED ? "synced" : devmgr_event_name(ev->type));
    if (ev->type == DEVMGR_EV_RESOURCE && ev->changed)
        put_resource(o, ev->changed);
    else if (ev->type == DEVMGR_EV_CLAIM_HEALTH && ev->claim)
        put_claim(o, ev->claim);
    else if (ev->type == DEVMGR_EV_ADMITTED || ev->type == DEVMGR_EV_RELEASED)
        put_held(o, ev);
    else if (ev->type == DEVMGR_EV_PLUGIN)
        put_text(o, "resource", ev->resource);
    if (ev->type == DEVMGR_EV_PLUGIN || ev->type == DEVMGR_EV_LOG) {
        put_text(o, "level", level_name(ev->level));
        put_text(o, "message", ev->message);
    }
    return o;
}
