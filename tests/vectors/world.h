/* world.h -- a manager without edges for the vectors: machine, plugins and pods from JSON, calls answered at once.
 *
 * The plugins are those of the recordings: Allocate answers an empty container response; GetPreferredAllocation, where a
 * plugin offers it, what must be in and then the first by id. Node ids are read as the kubelet does (numa-ids = strict):
 * negative ones and those above 63 are on no node, and still the device is one that has a topology. */
#ifndef VECTORS_WORLD_H
#define VECTORS_WORLD_H
#include "manager/manager.h"
#include "unit/topology_json.h"

struct held { /* of one claim */
    char *container, *resource, *id;
    uint64_t numa;
};
struct answer { /* of an admission */
    int verdict, told;
    char *reason, *message, *detail;
    size_t n, n_containers;
    struct held *held;
    char **containers;
    uint64_t *affinity;
};
struct world {
    struct dm_settings settings;
    struct dm_topology topology;
    struct dm_manager *m;
    uint64_t generation;
    struct answer answer;
};

/* ---- JSON in ---------------------------------------------------------------------------------------------------------- */

static inline const char *word(json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

/* [{"id", "distances"}]: rows are by node id, or one number a node when they are too short for that. */
static inline struct dm_numa json_numa(json_t *list) {
    struct dm_numa numa = {.distances = json_array_size(list) > 0};
    size_t i;
    json_t *node;
    json_array_foreach(list, i, node) {
        uint8_t id = (uint8_t)json_integer_value(json_object_get(node, "id"));
        numa.ids[numa.n++] = id;
        numa.all |= UINT64_C(1) << id;
    }
    json_array_foreach(list, i, node) {
        json_t *row = json_object_get(node, "distances");
        size_t highest = 63 - (size_t)__builtin_clzll(numa.all);
        bool by_id = json_array_size(row) > highest;
        numa.distances &= json_array_size(row) > 0;
        for (size_t k = 0; k < numa.n; k++)
            numa.distance[numa.ids[i]][numa.ids[k]] =
                (uint32_t)json_integer_value(json_array_get(row, by_id ? numa.ids[k] : k));
    }
    return numa;
}

/* 0, or the text that the kubelet ends with. */
static inline int json_topology(json_t *v, struct dm_topology *ret, devmgr_error *err) {
    struct dm_numa numa = json_numa(json_object_get(v, "numa"));
    struct dm_buf options = {0};
    const char *key, *scope = word(v, "scope");
    json_t *value;
    json_object_foreach(json_object_get(v, "options"), key, value)
        dm_buf_printf(&options, "%s%s=%s", options.len ? "," : "", key, json_string_value(value));
    int rc = dm_topology_parse(word(v, "policy"), *scope ? scope : "container",
                               options.len ? options.data : "", &numa, ret, err);
    dm_buf_free(&options);
    return rc;
}

static inline void json_containers(devmgr_pod *p, json_t *list, bool init) {
    size_t i;
    const char *resource;
    json_t *c, *n;
    json_array_foreach(list, i, c) {
        bool restart = json_is_true(json_object_get(c, "restart"));
        devmgr_pod_container(p, word(c, "name"),
                             !init     ? DEVMGR_APP
                             : restart ? DEVMGR_SIDECAR
                                       : DEVMGR_PLAIN_INIT);
        json_object_foreach(json_object_get(c, "limits"), resource, n)
            devmgr_pod_limit(p, word(c, "name"), resource, (uint64_t)json_integer_value(n));
    }
}

static inline devmgr_pod *json_pod(json_t *pod) {
    devmgr_pod *p = devmgr_pod_new(word(pod, "uid"), "default", word(pod, "uid"));
    json_containers(p, json_object_get(pod, "init"), true);
    json_containers(p, json_object_get(pod, "containers"), false);
    return p;
}

/* ---- plugins ---------------------------------------------------------------------------------------------------------- */

static inline int no_options(struct dm_span bytes, struct dm_answer **ret, devmgr_error *reterr) {
    (void)bytes, (void)reterr;
    *ret = DM_NEW(struct dm_answer);
    return 0;
}

static inline int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static inline void reply(struct world *w, const struct dm_call *c) {
    struct dm_call_result r = {.id = c->id, .n_containers = 1};
    const char **ids = dm_alloc_array(c->n_ids + c->n_must, sizeof *ids);
    const char **offer = dm_memdup(c->ids, c->n_ids * sizeof *offer);
    size_t n = 0;
    for (; n < c->n_must; n++)
        ids[n] = c->must[n];
    if (c->n_ids)
        qsort(offer, c->n_ids, sizeof *offer, by_text);
    for (size_t i = 0; i < c->n_ids && n < c->size; i++) {
        bool must = false;
        for (size_t k = 0; k < c->n_must; k++)
            must |= !strcmp(c->must[k], offer[i]);
        if (!must)
            ids[n++] = offer[i];
    }
    r.n_ids = n, r.ids = ids;
    dm_manager_answered(w->m, &r);
    free(ids), free(offer);
}

static inline void drain(struct world *w) {
    struct dm_action a;
    while (dm_manager_next(w->m, &a)) {
        if (a.kind == DM_DO_CALL)
            reply(w, a.call);
        else if (a.kind == DM_DO_ANSWER)
            dm_answer_deliver(a.answer);
        else if (a.kind == DM_DO_SAVE) {
            dm_manager_saved(w->m, 0, NULL);
            dm_snapshot_free(a.snapshot);
        }
    }
    dm_manager_check(w->m);
}

static inline void list_devices(struct world *w, const char *resource, json_t *devices, bool preferred) {
    size_t i, n = json_array_size(devices);
    struct dm_listed_device *rows = dm_alloc_array(n, sizeof *rows);
    struct dm_endpoint_info info = {resource, ++w->generation, "plugin.sock", 1, false, preferred};
    json_t *d;
    json_array_foreach(devices, i, d) {
        json_t *nodes = json_object_get(d, "numa");
        rows[i] = (struct dm_listed_device){word(d, "id"), !strcmp(word(d, "health"), "Healthy"),
                                            json_array_size(nodes) > 0, json_nodes(nodes),
                                            json_is_true(json_object_get(d, "topology"))};
    }
    dm_manager_connected(w->m, &info, NULL);
    dm_manager_listed(w->m, resource, info.generation, &(struct dm_device_list){n, rows});
    drain(w);
    free(rows);
}

/* ---- the world -------------------------------------------------------------------------------------------------------- */

static inline void world_begin(struct world *w, const struct dm_topology *topology) {
    *w = (struct world){.topology = *topology};
    dm_settings_init(&w->settings);
    w->m = dm_manager_new(&w->settings, no_options, 1000, UINT64_C(1700000000000000));
    dm_manager_topology(w->m, &w->topology);
}

static inline void world_plugins(struct world *w, json_t *devices, bool preferred) {
    const char *resource;
    json_t *list;
    json_object_foreach(devices, resource, list) list_devices(w, resource, list, preferred);
}

static inline void answer_free(struct answer *a) {
    for (size_t i = 0; i < a->n; i++)
        free(a->held[i].container), free(a->held[i].resource), free(a->held[i].id);
    for (size_t i = 0; i < a->n_containers; i++)
        free(a->containers[i]);
    free(a->held), free(a->containers), free(a->affinity), free(a->reason), free(a->message), free(a->detail);
    *a = (struct answer){0};
}

static inline void world_end(struct world *w) {
    dm_manager_free(w->m);
    dm_settings_free(&w->settings);
    answer_free(&w->answer);
}

static inline void on_answer(void *arg, const devmgr_admission *r) {
    struct answer *a = arg;
    a->told++;
    a->verdict = r->verdict;
    a->reason = dm_strdup(r->reason), a->message = dm_strdup(r->message), a->detail = dm_strdup(r->detail);
    a->held = dm_alloc_array(r->n_claims, sizeof(*a->held));
    for (; a->n < r->n_claims; a->n++) {
        const devmgr_claim *c = r->claims[a->n];
        a->held[a->n] =
            (struct held){dm_strdup(c->container), dm_strdup(c->resource), dm_strdup(c->device), c->numa};
    }
    size_t n = r->pod ? r->pod->n_containers : 0;
    a->containers = dm_alloc_array(n, sizeof(*a->containers));
    a->affinity = dm_alloc_array(n, sizeof(*a->affinity));
    for (; a->n_containers < n; a->n_containers++) {
        a->containers[a->n_containers] = dm_strdup(r->pod->containers[a->n_containers]->name);
        a->affinity[a->n_containers] = r->pod->containers[a->n_containers]->affinity;
    }
}

static inline void world_admit(struct world *w, json_t *pod) {
    devmgr_pod *p = json_pod(pod);
    answer_free(&w->answer);
    dm_manager_admit(w->m, p, on_answer, &w->answer, NULL);
    drain(w);
    devmgr_pod_free(p);
}
#endif
