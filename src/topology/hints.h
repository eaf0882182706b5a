/* hints.h -- which NUMA node sets could serve a request for devices of one resource.
 *
 * Cost: devices are counted in groups of equal nodes (there are few), so one set costs O(groups). Sets are enumerated
 * by size; sizes at which even the richest nodes do not suffice are passed over whole. With k nodes that bear devices
 * at most 2^k - 1 sets are looked at, and never more than DM_HINT_BUDGET: beyond, the list is marked not exhaustive. */
#ifndef DM_TOPOLOGY_HINTS_H
#define DM_TOPOLOGY_HINTS_H
#include "topology/numa.h"

enum { DM_HINT_BUDGET = 1 << 17 };

enum dm_hints_kind {
    DM_HINTS_ANY,        /* no preference (the kubelet's nil list) */
    DM_HINTS_IMPOSSIBLE, /* cannot be had (its empty list) */
    DM_HINTS_LIST
};
struct dm_hint {
    uint64_t mask;
    bool any; /* no mask: no preference, mask is 0 */
    bool preferred;
};
struct dm_hints { /* zero-initialise; dm_hints_free */
    enum dm_hints_kind kind;
    bool exhaustive;
    size_t n, cap;
    struct dm_hint *hints; /* by size, then in the order of the nodes */
};

/* Devices that lie on the same nodes. */
struct dm_device_group {
    uint64_t nodes;      /* 0: on none that we know */
    bool topology;       /* the plugin said something about nodes, be it an empty or an unknown one */
    uint64_t known;      /* listed, whatever their health and use */
    uint64_t candidates; /* that may be taken */
    uint64_t reusable;   /* that must be taken first: each must lie in the set */
};
/* Hints for `count` devices out of `groups` on that machine. Enough candidates there must be (else: IMPOSSIBLE is the
 * caller's answer; here sets are judged only). No group with topology: ANY. */
void dm_hints_generate(const struct dm_numa *numa, const struct dm_device_group *groups, size_t n,
                       uint64_t count, struct dm_hints *ret);
void dm_hints_add(struct dm_hints *h, struct dm_hint hint);
void dm_hints_free(struct dm_hints *h); /* leaves it empty; for DM_CLEANUP */
#endif
