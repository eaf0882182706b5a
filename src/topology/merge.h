/* merge.h -- from every resource's hints to one node set: the Topology Manager's decision, without its product.
 *
 * Cost: lists are folded one after the other. For a preferred result, sorting the preferred masks; else what family.h
 * says, after which the result is marked not exhaustive: then it is a good one, perhaps not the kubelet's. */
#ifndef DM_TOPOLOGY_MERGE_H
#define DM_TOPOLOGY_MERGE_H
#include "topology/hints.h"
#include "topology/policy.h"

struct dm_affinity {
    bool any; /* no mask: no preference; mask is 0 */
    uint64_t mask;
    bool preferred;
    bool admit;
    bool exhaustive; /* also false when a list of hints was not */
};
/* `lists`: one per resource and provider; a provider without any counts as one list of kind DM_HINTS_ANY. Policy none:
 * admitted, no mask, lists are not looked at. */
struct dm_affinity dm_topology_merge(const struct dm_topology *t, const struct dm_hints *lists, size_t n);
#endif
