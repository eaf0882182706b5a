/* merge.h -- from every resource's hints to one node set: the Topology Manager's decision, without its product.
 *
 * Cost: lists are folded one after the other. With k nodes that any hint names, a fold is O(k * 2^k) for k up to
 * DM_MERGE_DENSE, whatever the lengths of the lists; beyond, it is the product of distinct sets, at most
 * DM_MERGE_BUDGET steps, then the result is marked not exhaustive. */
#ifndef DM_TOPOLOGY_MERGE_H
#define DM_TOPOLOGY_MERGE_H
#include "topology/hints.h"
#include "topology/policy.h"

enum { DM_MERGE_DENSE = 16, DM_MERGE_BUDGET = 1 << 26 };

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
