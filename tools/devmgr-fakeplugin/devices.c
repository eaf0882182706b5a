/* devices.c -- see devices.h. A list is built in four arrays and packed once: 10 000 devices take about a millisecond. */
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

void fp_devices_free(struct fp_devices *d) {
    for (size_t i = 0; i < d->n; i++)
        free(d->health[i]);
    free(d->health);
    *d = (struct fp_devices){0};
}

void fp_devices_resize(struct fp_devices *d, size_t n) {
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

static void write_id(size_t i, char id[ID_SIZE]) {
    snprintf(id, ID_SIZE, "dev-%05zu", i);
}

int fp_devices_health(struct fp_devices *d, const char *id, const char *word) {
    bool all = !strcmp(id, "*"), found = all;
    for (size_t i = 0; i < d->n; i++) {
        char own[ID_SIZE];
        write_id(i, own);
        if (all || !strcmp(own, id))
            set_health(d, i, word), found = true;
    }
    return found ? 0 : -ENOENT;
}

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
    V1beta1__NUMANode node, *node_pointer;
    char id[ID_SIZE];
};

static void fill_message(const struct fp_devices *d, const struct listed *listed, struct message *m) {
    const char *health = d->health[listed->device] ? d->health[listed->device] : "Healthy";
    v1beta1__device__init(&m->device);
    write_id(listed->device, m->id);
    m->device.id = fp_wire_text(m->id);
    m->device.health = fp_wire_text(listed->sick ? "Unhealthy" : health);
    if (!d->numa)
        return;
    v1beta1__numanode__init(&m->node);
    m->node.id = (int64_t)(listed->device % d->numa);
    m->node_pointer = &m->node;
    v1beta1__topology_info__init(&m->topology);
    m->topology.n_nodes = 1, m->topology.nodes = &m->node_pointer;
    m->device.topology = &m->topology;
}

void fp_devices_encode(const struct fp_devices *d, enum fp_what shape, size_t turn, struct dm_buf *out) {
    size_t n;
    DM_FREE struct listed *listed = arrange(d, shape, turn, &n);
    DM_FREE struct message *messages = dm_alloc_array(n + 1, sizeof *messages);
    DM_FREE V1beta1__Device **pointers = dm_alloc_array(n + 1, sizeof *pointers);
    V1beta1__ListAndWatchResponse list = V1BETA1__LIST_AND_WATCH_RESPONSE__INIT;
    for (size_t i = 0; i < n; i++) {
        fill_message(d, &listed[i], &messages[i]);
        pointers[i] = &messages[i].device;
    }
    list.n_devices = n, list.devices = pointers;
    fp_wire_pack(&list.base, out);
}
