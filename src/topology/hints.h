/* hints.h -- which NUMA node sets could serve a request for devices of one resource.
 *
 * Cost: devices are counted in groups of equal nodes. With k nodes that bear devices, k up to DM_HINT_TABLE, the counts of
 * all 2^k sets are made at once, O(k * 2^k + groups); with more one set costs O(groups). Sets are looked at by size, from
 * the least size for which the richest nodes have enough; after DM_HINT_BUDGET steps the list is marked not exhaustive. */
#ifndef DM_TOPOLOGY_HINTS_H
#define DM_TOPOLOGY_HINTS_H
#include "topology/numa.h"

enum { DM_HINT_TABLE = 16, DM_HINT_BUDGET = 1 << 19 };

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
/* The hints: by size, then in the order of the nodes; where not all sets were looked at, up to two more of any size. */
struct dm_hints { /* zero-initialise; dm_hints_free */
    enum dm_hints_kind kind;
    bool exhaustive;
    size_t least; /* nodes in the smallest set that would do if all known devices were free; 0: not known */
    size_t n, cap;
    struct dm_hint *hints;
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
