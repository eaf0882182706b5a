/* list.c -- see list.h. A stranger's 64 MiB may be two bytes per device: count before taking memory.
 *
 * One pass collects the entries (32 bytes each, ids in one block that the message's own size bounds), one folds the
 * duplicates through a hash table: O(n), 100 000 devices in a few ms. As in Go: a repeated singular field counts with
 * its last value, a repeated message field is merged (nodes of both). */
#include "registration/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"
#include "registration/fields.h"
#include <string.h>

enum {
    LIST_DEVICES = 1,
    DEVICE_ID = 1,
    DEVICE_HEALTH = 2,
    DEVICE_TOPOLOGY = 3,
    TOPOLOGY_NODES = 1,
    NODE_ID = 1
};

enum {
    SLOT_BITS = 22,
    MAX_DEVICES = (1 << SLOT_BITS) - 1
}; /* see fold(); four times what max-devices can be */

struct reader {
    const struct dm_listing_limits *limits;
    struct dm_listing *out;
    size_t cap, ids_len;
    devmgr_error *reterr;
};

static int broken(struct reader *r, const char *what) {
    return dm_error_set(r->reterr, -EBADMSG, "%s (device %zu of the list)", what, r->out->list.n + 1);
}

/* int64 ID of a NUMANode; absent means 0. */
static int read_node(struct dm_span node, int64_t *ret) {
    struct dm_field f;
    int more;
    *ret = 0;
    while ((more = dm_field_next(&node, &f)) > 0)
        if (dm_field_is(&f, NODE_ID, DM_FIELD_VARINT))
            *ret = (int64_t)f.value;
    return more;
}

struct nodes { /* what the topology of one device says */
    uint64_t mask;
    bool told, any, negative, high; /* told: there is a TopologyInfo */
};

static int read_topology(struct dm_span topology, struct nodes *nodes) {
    struct dm_field f;
    int more;
    while ((more = dm_field_next(&topology, &f)) > 0) {
        int64_t id;
        if (!dm_field_is(&f, TOPOLOGY_NODES, DM_FIELD_BYTES))
            continue;
        if (read_node(f.bytes, &id) < 0)
            return -EBADMSG;
        nodes->any = true;
        if (id < 0)
            nodes->negative = true;
        else if (id > 63)
            nodes->high = true;
        else
            nodes->mask |= UINT64_C(1) << id;
    }
    return more;
}

struct entry {
    struct dm_span id, health;
    struct nodes nodes;
};

static int read_entry(struct reader *r, struct dm_span device, struct entry *e) {
    struct dm_field f;
    int more;
    while ((more = dm_field_next(&device, &f)) > 0) {
        if (dm_field_is(&f, DEVICE_ID, DM_FIELD_BYTES)) {
            if (!dm_text_utf8(f.bytes.data, f.bytes.len))
                return broken(r, "Device.ID is not valid UTF-8");
            e->id = f.bytes;
        } else if (dm_field_is(&f, DEVICE_HEALTH, DM_FIELD_BYTES)) {
            if (!dm_text_utf8(f.bytes.data, f.bytes.len))
                return broken(r, "Device.health is not valid UTF-8");
            e->health = f.bytes;
        } else if (dm_field_is(&f, DEVICE_TOPOLOGY, DM_FIELD_BYTES)) {
            e->nodes.told = true;
            if (read_topology(f.bytes, &e->nodes) < 0)
                return broken(r, "Device.topology is not a TopologyInfo");
        }
    }
    return more < 0 ? broken(r, "not a Device") : 0;
}

static int check_limits(struct reader *r, const struct entry *e) {
    const struct dm_listing_limits *l = r->limits;
    if (r->out->list.n >= l->max_devices || r->out->list.n >= MAX_DEVICES)
        return dm_error_set(r->reterr, -E2BIG, "more than %zu devices (limit max-devices)", l->max_devices);
    if (e->id.len > l->max_id)
        return dm_error_set(r->reterr, -ENAMETOOLONG,
                            "device %zu has an id of %zu bytes, more than %zu (limit max-id)",
                            r->out->list.n + 1, e->id.len, l->max_id);
    if (e->id.len && memchr(e->id.data, 0, e->id.len))
        return dm_error_set(r->reterr, -EILSEQ, "device %zu has a NUL byte in its id", r->out->list.n + 1);
    return 0;
}

static bool is_healthy(struct dm_span word) {
    return word.len == 7 && !memcmp(word.data, "Healthy", 7);
}

static int no_memory(struct reader *r) {
    return dm_error_set(r->reterr, -ENOMEM, "no memory for a list of more than %zu devices", r->out->list.n);
}

static int append(struct reader *r, const struct entry *e) {
    struct dm_listing *out = r->out;
    char *id = out->ids + r->ids_len;
    if (out->list.n >= r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 8;
        void *larger = dm_try_realloc(out->devices, cap * sizeof *out->devices);
        if (!larger)
            return no_memory(r);
        out->devices = larger, r->cap = cap;
    }
    if (e->id.len)
        memcpy(id, e->id.data, e->id.len);
    id[e->id.len] = 0;
    r->ids_len += e->id.len + 1;
    out->devices[out->list.n++] = (struct dm_listed_device){
        .id = id,
        .healthy = is_healthy(e->health),
        .topology = r->limits->strict_numa ? e->nodes.any : e->nodes.mask != 0,
        .numa = e->nodes.mask,
        .empty = r->limits->strict_numa && e->nodes.told && !e->nodes.any,
    };
    out->empty_ids += e->id.len == 0;
    out->negative_numa += e->nodes.negative;
    out->high_numa += e->nodes.high;
    return 0;
}

static int collect(struct reader *r, struct dm_span message) {
    struct dm_field f;
    int more;
    while ((more = dm_field_next(&message, &f)) > 0) {
        struct entry e = {0};
        if (!dm_field_is(&f, LIST_DEVICES, DM_FIELD_BYTES))
            continue;
        int bad = read_entry(r, f.bytes, &e);
        if (!bad)
            bad = check_limits(r, &e);
        if (!bad)
            bad = append(r, &e);
        if (bad)
            return bad;
    }
    return more < 0 ? broken(r, "not a ListAndWatchResponse") : 0;
}

/* ---- duplicates: the last entry wins, at the place of the first ------------------------------------------------ */

static uint64_t one_fingerprint(uint64_t id_hash, const struct dm_listed_device *d) {
    uint64_t word = id_hash + d->numa * UINT64_C(0x9e3779b97f4a7c15) +
                    ((uint64_t)d->empty << 2 | (uint64_t)d->healthy << 1 | d->topology);
    return dm_map_hash(&word, sizeof word);
}

/* A slot holds index + 1 below and ten bits of the hash above, so that the wrong device is seldom looked at; 0: free. */
static uint32_t *find_slot(uint32_t *table, size_t mask, uint64_t hash, const struct dm_listing *l,
                           const char *id) {
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        uint32_t slot = table[i];
        if (!slot ||
            (slot >> SLOT_BITS == hash >> 54 && !strcmp(l->devices[(slot & MAX_DEVICES) - 1].id, id)))
            return &table[i];
    }
}

static int fold(struct reader *r) {
    struct dm_listing *l = r->out;
    size_t cap = 16, n = l->list.n;
    while (cap < 2 * n)
        cap *= 2;
    DM_FREE uint32_t *table = dm_try_realloc(NULL, cap * sizeof *table);
    if (!table)
        return no_memory(r);
    memset(table, 0, cap * sizeof *table);
    l->list.n = 0;
    for (size_t i = 0; i < n; i++) {
        struct dm_listed_device d = l->devices[i];
        uint64_t hash = dm_map_hash(d.id, strlen(d.id));
        uint32_t *slot = find_slot(table, cap - 1, hash, l, d.id);
        if (*slot) {
            struct dm_listed_device *first = &l->devices[(*slot & MAX_DEVICES) - 1];
            l->fingerprint -= one_fingerprint(hash, first);
            *first = d;
            l->duplicates++;
        } else {
            l->devices[l->list.n++] = d;
            *slot = (uint32_t)(hash >> 54) << SLOT_BITS | (uint32_t)l->list.n;
        }
        l->fingerprint += one_fingerprint(hash, &d);
    }
    return 0;
}

int dm_listing_read(struct dm_span message, const struct dm_listing_limits *limits, struct dm_listing *ret,
                    devmgr_error *reterr) {
    DM_CLEANUP(dm_listing_free) struct dm_listing l = {0};
    struct reader r = {.limits = limits, .out = &l, .reterr = reterr};
    l.ids =
        dm_try_realloc(NULL, message.len + 1); /* an id's NUL takes no more room than its device's tag did */
    int bad = l.ids ? collect(&r, message) : no_memory(&r);
    if (!bad)
        bad = fold(&r);
    if (bad)
        return bad;
    l.list.devices = l.devices;
    *ret = l;
    l = (struct dm_listing){0};
    return 0;
}

void dm_listing_free(struct dm_listing *l) {
    free(l->devices), free(l->ids);
    *l = (struct dm_listing){0};
}
