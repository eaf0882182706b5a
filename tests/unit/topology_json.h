/* topology_json.h -- reads the topology vectors' JSON into src/topology's structs, for tests. */
#ifndef TOPOLOGY_JSON_H
#define TOPOLOGY_JSON_H
#include "base/buf.h"
#include "base/mem.h"
#include "topology/merge.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static inline uint64_t json_nodes(json_t *list) {
    uint64_t mask = 0;
    size_t i;
    json_t *x;
    json_array_foreach(list, i, x) {
        json_int_t id = json_integer_value(x);
        mask |= id >= 0 && id < 64 ? UINT64_C(1) << id : 0;
    }
    return mask;
}

/* null: no preference; []: impossible; else hints, their node set under `key`. */
static inline struct dm_hints json_hints(json_t *list, const char *key) {
    struct dm_hints h = {.exhaustive = true, .kind = json_is_array(list) ? DM_HINTS_LIST : DM_HINTS_ANY};
    size_t i;
    json_t *x;
    json_array_foreach(list, i, x) {
        json_t *nodes = json_object_get(x, key);
        dm_hints_add(&h, (struct dm_hint){.mask = json_nodes(nodes),
                                          .any = !json_is_array(nodes),
                                          .preferred = json_is_true(json_object_get(x, "preferred"))});
    }
    if (h.kind == DM_HINTS_LIST && !h.n)
        h.kind = DM_HINTS_IMPOSSIBLE;
    return h;
}

/* "[0,1]+" preferred, "[0,1]" not, "null" no mask. */
static inline void show_mask(struct dm_buf *out, bool any, uint64_t mask, bool preferred) {
    bool first = true;
    dm_buf_puts(out, any ? "null" : "[");
    for (; !any && mask; mask &= mask - 1, first = false)
        dm_buf_printf(out, "%s%d", first ? "" : ",", __builtin_ctzll(mask));
    dm_buf_puts(out, any ? "" : "]");
    dm_buf_puts(out, preferred ? "+" : "");
}

static inline char *show_hints(const struct dm_hints *h) {
    struct dm_buf out = {0};
    if (h->kind == DM_HINTS_ANY)
        dm_buf_puts(&out, "any");
    if (h->kind == DM_HINTS_IMPOSSIBLE)
        dm_buf_puts(&out, "impossible");
    for (size_t i = 0; h->kind == DM_HINTS_LIST && i < h->n; i++) {
        dm_buf_puts(&out, i ? " " : "");
        show_mask(&out, h->hints[i].any, h->hints[i].mask, h->hints[i].preferred);
    }
    return dm_buf_steal(&out);
}

static inline char *show_affinity(const struct dm_affinity *a) {
    struct dm_buf out = {0};
    show_mask(&out, a->any, a->mask, a->preferred);
    dm_buf_puts(&out, a->admit ? " admitted" : " refused");
    return dm_buf_steal(&out);
}
#endif
