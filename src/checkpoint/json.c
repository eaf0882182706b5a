/* json.c -- a checkpoint's content as JSON for people and scripts. Rows by name, ids in byte order, every key always there. */
#include "base/mem.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/kubelet.h"
#include "devmgr.h"
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* jansson takes UTF-8 only; what a program put in beside that is shown as a question mark, not left out. */
static json_t *text(const char *s) {
    json_t *value = json_string(s);
    return value ? value : json_string("?");
}

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static json_t *sorted_ids(char *const *ids, size_t n) {
    json_t *list = json_array();
    char **sorted = dm_memdup(ids, n * sizeof *ids);
    if (n > 1)
        qsort(sorted, n, sizeof *sorted, by_bytes);
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, text(sorted[i]));
    free(sorted);
    return list;
}

static json_t *claim_json(const struct dm_saved_claim *c) {
    json_t *devices = json_object();
    struct dm_buf answer = {0};
    char node[24];
    for (size_t i = 0; i < c->n_nodes; i++) {
        snprintf(node, sizeof node, "%" PRId64, c->nodes[i].node);
        json_object_set_new(devices, node, sorted_ids(c->nodes[i].ids, c->nodes[i].n));
    }
    dm_go_base64(&answer, c->answer, c->answer_len);
    json_t *row = json_object();
    json_object_set_new(row, "pod", text(c->pod_uid));
    json_object_set_new(row, "container", text(c->container));
    json_object_set_new(row, "resource", text(c->resource));
    json_object_set_new(row, "devices", devices);
    json_object_set_new(row, "answer", json_string(answer.data ? answer.data : ""));
    dm_buf_free(&answer);
    return row;
}

static int by_owner(const void *a, const void *b) {
    const struct dm_saved_claim *x = *(struct dm_saved_claim *const *)a,
                                *y = *(struct dm_saved_claim *const *)b;
    int order = strcmp(x->pod_uid, y->pod_uid);
    order = order ? order : strcmp(x->container, y->container);
    return order ? order : strcmp(x->resource, y->resource);
}

static json_t *claims_json(const struct dm_snapshot *s) {
    json_t *list = json_array();
    struct dm_saved_claim **sorted = dm_memdup(s->claims, s->n_claims * sizeof *sorted);
    if (s->n_claims > 1)
        qsort(sorted, s->n_claims, sizeof *sorted, by_owner);
    for (size_t i = 0; i < s->n_claims; i++)
        json_array_append_new(list, claim_json(sorted[i]));
    free(sorted);
    return list;
}

static const char *kind_name(int kind) {
    return kind == DEVMGR_APP          ? "app"
           : kind == DEVMGR_PLAIN_INIT ? "init"
           : kind == DEVMGR_SIDECAR    ? "sidecar"
                                       : "unknown";
}

static json_t *pod_json(const struct dm_saved_pod *p) {
    json_t *containers = json_array(), *row = json_object();
    for (size_t i = 0; i < p->n_containers; i++) {
        const struct dm_saved_container *c = &p->containers[i];
        json_t *affinity = json_array(), *container = json_object();
        for (int node = 0; node < 64; node++)
            if (c->affinity >> node & 1)
                json_array_append_new(affinity, json_integer(node));
        json_object_set_new(container, "name", text(c->name));
        json_object_set_new(container, "kind", json_string(kind_name(c->kind)));
        json_object_set_new(container, "affinity", affinity);
        json_array_append_new(containers, container);
    }
    json_object_set_new(row, "uid", text(p->uid));
    json_object_set_new(row, "namespace", text(p->namespace_));
    json_object_set_new(row, "name", text(p->name));
    json_object_set_new(row, "tag", text(p->tag));
    json_object_set_new(row, "revision", json_integer((json_int_t)p->revision));
    json_object_set_new(row, "init_done", json_boolean(p->init_done));
    json_object_set_new(row, "containers", containers);
    return row;
}

static int by_uid(const void *a, const void *b) {
    return strcmp((*(struct dm_saved_pod *const *)a)->uid, (*(struct dm_saved_pod *const *)b)->uid);
}

static json_t *pods_json(const struct dm_snapshot *s) {
    json_t *list = json_array();
    struct dm_saved_pod **sorted = dm_memdup(s->pods, s->n_pods * sizeof *sorted);
    if (s->n_pods > 1)
        qsort(sorted, s->n_pods, sizeof *sorted, by_uid);
    for (size_t i = 0; i < s->n_pods; i++)
        json_array_append_new(list, pod_json(sorted[i]));
    free(sorted);
    return list;
}

struct json_t *dm_checkpoint_json(const struct dm_snapshot *s, const struct dm_checkpoint_report *report) {
    json_t *root = json_object(), *registered = json_object(), *warnings = json_array();
    for (size_t i = 0; i < s->n_resources; i++) {
        const struct dm_saved_resource *r = s->resources[i];
        json_t *key = text(r->name);
        json_object_set_new(registered, json_string_value(key), sorted_ids(r->healthy, r->n_healthy));
        json_decref(key);
    }
    if (*report->warning)
        json_array_append_new(warnings, text(report->warning));
    json_object_set_new(root, "checksum", json_integer(report->checksum));
    json_object_set_new(root, "extension", json_boolean(report->extension));
    json_object_set_new(root, "revision", json_integer((json_int_t)s->revision));
    json_object_set_new(root, "recovering", json_boolean(s->recovering));
    json_object_set_new(root, "entries", claims_json(s));
    json_object_set_new(root, "registered", registered);
    json_object_set_new(root, "pods", pods_json(s));
    json_object_set_new(root, "warnings", warnings);
    return root;
}
