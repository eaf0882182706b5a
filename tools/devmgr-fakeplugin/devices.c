/* devices.c -- see devices.h. A list is built in a few arrays and packed once: 10 000 devices take about a millisecond. */
#include "devices.h"
#include "base/mem.h"
#include "wire.h"
#include <string.h>

enum { ID_SIZE = 32 };

struct listed {
    size_t device;
    bool sick; /* shown as Unhealthy, whatever its health */
};

void fp_devices_init(struct fp_devices *d, size_t n, size_t numa) {
    *d = (struct fp_devices){.n = n, .numa = numa, .health = dm_alloc_array(n + 1, sizeof *d->health)};
}

static void free_given(struct fp_devices *d) {
    for (size_t i = 0; d->given && i < d->n; i++)
        free(d->given[i].id), free(d->given[i].nodes);
    free(DM_MOVE(d->given));
}

void fp_devices_free(struct fp_devices *d) {
    free_given(d);
    for (size_t i = 0; i < d->n; i++)
        free(d->health[i]);
    free(d->health);
    *d = (struct fp_devices){0};
}

void fp_devices_resize(struct fp_devices *d, size_t n) {
    free_given(d);
    for (size_t i = n; i < d->n; i++)
        free(d->health[i]);
    d->health = dm_realloc(d->health, (n + 1) * sizeof *d->health);
    for (size_t i = d->n; i < n; i++)
        d->health[i] = NULL;
    d->n = n;
}

static void set_health(struct fp_devices *d, size_t i, const char *word) {
    free(d->health[i]);
    d->health[i] = strcmp(word, "Healthy") ? dm_strdup(word) : NULL;
}

void fp_devices_flap(struct fp_devices *d, size_t k) {
    for (size_t i = 0; i < d->n; i++)
        set_health(d, i, i < k ? "Unhealthy" : "Healthy");
}

/* Of device i; `space` is used where it was not given. */
static const char *id_of(const struct fp_devices *d, size_t i, char space[ID_SIZE]) {
    if (d->given)
        return d->given[i].id;
    snprintf(space, ID_SIZE, "dev-%05zu", i);
    return space;
}

int fp_devices_health(struct fp_devices *d, const char *id, const char *word) {
    bool all = !strcmp(id, "*"), found = all;
    for (size_t i = 0; i < d->n; i++) {
        char space[ID_SIZE];
        if (all || !strcmp(id_of(d, i, space), id))
            set_health(d, i, word), found = true;
    }
    return found ? 0 : -ENOENT;
}

/* ---- a list that is given --------------------------------------------------------------------------------------- */

static int give_nodes(struct fp_given *g, json_t *nodes) {
    size_t i;
    json_t *node;
    g->nodes = dm_alloc_array(json_array_size(nodes) + 1, sizeof *g->nodes);
    json_array_foreach(nodes, i, node) {
        if (!json_is_integer(node))
            return -EINVAL;
        g->nodes[g->n_nodes++] = json_integer_value(node);
    }
    g->topology |= g->n_nodes > 0;
    return 0;
}

static int give_one(struct fp_devices *d, size_t i, json_t *o, devmgr_error *reterr) {
    const char *id = NULL, *health = "Healthy", *wrong = NULL;
    int topology = 0;
    json_t *nodes = NULL;
    json_error_t why;
    if (json_unpack_ex(o, &why, JSON_STRICT, "{s:s, s?s, s?o, s?b}", "id", &id, "health", &health, "numa",
                       &nodes, "topology", &topology) < 0)
        wrong = why.text;
    else if (nodes && !json_is_array(nodes) && !json_is_null(nodes))
        wrong = "numa must be a list of numbers";
    d->given[i].id = dm_strdup(wrong ? "" : id);
    d->given[i].topology = topology != 0;
    if (!wrong && give_nodes(&d->given[i], nodes) < 0)
        wrong = "numa must be a list of numbers";
    if (wrong)
        return dm_error_set(reterr, DEVMGR_EINVALID, "device %zu: %s", i, wrong);
    set_health(d, i, health);
    return 0;
}

int fp_devices_give(struct fp_devices *d, json_t *list, devmgr_error *reterr) {
    struct fp_devices given;
    size_t i;
    json_t *o;
    if (!json_is_array(list) || json_array_size(list) > FP_DEVICES_MAX)
        return dm_error_set(reterr, DEVMGR_EINVALID, "must be a list of at most %d devices", FP_DEVICES_MAX);
    fp_devices_init(&given, json_array_size(list), d->numa);
    given.given = dm_alloc_array(given.n + 1, sizeof *given.given);
    json_array_foreach(list, i, o) {
        int r = give_one(&given, i, o, reterr);
        if (r < 0) {
            fp_devices_free(&given);
            return r;
        }
    }
    fp_devices_free(d);
    *d = given;
    return 0;
}

/* ---- as bytes --------------------------------------------------------------------------------------------------- */

/* Which devices, in which order. The caller frees. */
static struct listed *arrange(const struct fp_devices *d, enum fp_what shape, size_t turn, size_t *ret_n) {
    struct listed *out = dm_alloc_array(2 * d->n + 1, sizeof *out);
    size_t n = 0;
    for (size_t i = 0; i < d->n && shape != FP_EMPTY; i++) {
        size_t device = shape == FP_REPEAT ? (i + turn) % d->n : i;
        if (shape == FP_DUP)
            out[n++] = (struct listed){device, true};
        out[n++] = (struct listed){device, shape == FP_FLAP && turn % 2 && device == 0};
    }
    *ret_n = n;
    return out;
}

/* Everything one listed device points to. */
struct message {
    V1beta1__Device device;
    V1beta1__TopologyInfo topology;
    char id[ID_SIZE];
};
/* Nodes of all listed devices, handed out in order. */
struct nodes {
    V1beta1__NUMANode *nodes, **pointers;
    size_t used;
};

static size_t nodes_of(const struct fp_devices *d, size_t device) {
    return d->given ? d->given[device].n_nodes : d->numa > 0;
}

static void fill_topology(const struct fp_devices *d, size_t device, struct nodes *nodes,
                          V1beta1__TopologyInfo *ret) {
    v1beta1__topology_info__init(ret);
    ret->nodes = &nodes->pointers[nodes->used];
    for (; ret->n_nodes < nodes_of(d, device); ret->n_nodes++) {
        V1beta1__NUMANode *node = nodes->pointers[nodes->used] = &nodes->nodes[nodes->used];
        v1beta1__numanode__init(node);
        node->id = d->given ? d->given[device].nodes[ret->n_nodes] : (int64_t)(device % d->numa);
        nodes->used++;
    }
}

static void fill_message(const struct fp_devices *d, const struct listed *listed, struct nodes *nodes,
                         struct message *m) {
    const char *health = d->health[listed->device] ? d->health[listed->device] : "Healthy";
    v1beta1__device__init(&m->device);
    m->device.id = fp_wire_text(id_of(d, listed->device, m->id));
    m->device.health = fp_wire_text(listed->sick ? "Unhealthy" : health);
    if (!(d->given ? d->given[listed->device].topology : d->numa > 0))
        return;
    fill_topology(d, listed->device, nodes, &m->topology);
    m->device.topology = &m->topology;
}

static void nodes_free(struct nodes *nodes) {
    free(nodes->nodes), free(nodes->pointers);
}

static void nodes_make(const struct fp_devices *d, const struct listed *listed, size_t n, struct nodes *ret) {
    size_t all = 1;
    for (size_t i = 0; i < n; i++)
        all += nodes_of(d, listed[i].device);
    *ret = (struct nodes){dm_alloc_array(all, sizeof *ret->nodes),
                          dm_alloc_array(all, sizeof(*ret->pointers)), 0};
}

void fp_devices_encode(const struct fp_devices *d, enum fp_what shape, size_t turn, struct dm_buf *out) {
    size_t n;
    DM_FREE struct listed *listed = arrange(d, shape, turn, &n);
    DM_FREE struct message *messages = dm_alloc_array(n + 1, sizeof *messages);
    DM_FREE V1beta1__Device **pointers = dm_alloc_array(n + 1, sizeof *pointers);
    DM_CLEANUP(nodes_free) struct nodes nodes;
    V1beta1__ListAndWatchResponse list = V1BETA1__LIST_AND_WATCH_RESPONSE__INIT;
    nodes_make(d, listed, n, &nodes);
    for (size_t i = 0; i < n; i++) {
        fill_message(d, &listed[i], &nodes, &messages[i]);
        pointers[i] = &messages[i].device;
    }
    list.n_devices = n, list.devices = pointers;
    fp_wire_pack(&list.base, out);
}
