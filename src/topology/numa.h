/* numa.h -- the machine's NUMA nodes: which there are, how far apart. Pure; where the facts come from is the caller's.
 *
 * A node set is a 64-bit word, bit n = node n. Ids outside 0 ... 63 do not exist here. Distances are by node id, so
 * that sparse ids (nodes 0 and 8, say) need no care elsewhere. */
#ifndef DM_TOPOLOGY_NUMA_H
#define DM_TOPOLOGY_NUMA_H
#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

enum { DM_NUMA_NODES = 64, DM_NUMA_MAX_DISTANCE = 1 << 20 };
struct dm_numa {
    size_t n;
    uint8_t ids[DM_NUMA_NODES]; /* in the order given */
    uint64_t all;
    bool distances; /* known for all pairs */
    uint32_t distance[DM_NUMA_NODES][DM_NUMA_NODES];
};

/* "0:10,20;1:20,10": node ':' distances to the nodes in the order in which they stand there. Distances may be left out
 * for all ("0;1"). DEVMGR_EINVALID says what is wrong with which node. */
int dm_numa_parse(const char *spec, struct dm_numa *ret, devmgr_error *reterr);
/* Mean distance over all ordered pairs of nodes in `set`, each with itself too. 0 for the empty set. */
double dm_numa_average(const struct dm_numa *numa, uint64_t set);
/* Fewer nodes, or as many and a smaller number (more low nodes). */
bool dm_numa_narrower(uint64_t a, uint64_t b);
#endif
