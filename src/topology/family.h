/* family.h -- a family of node sets that is cut down list by list: all ANDs of one set from each list. Pure.
 *
 * Cost of one list: k is the number of nodes that sets name, and one for all the others together. Up to k = DM_FAMILY_DENSE,
 * O(k * 2^k), however many sets there are. Beyond, every member is cut with every set of the list, DM_FAMILY_BUDGET times
 * at most: if that would be more, smaller sets only, and the family is marked as not exhaustive. */
#ifndef DM_TOPOLOGY_FAMILY_H
#define DM_TOPOLOGY_FAMILY_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DM_FAMILY_DENSE = 16, DM_FAMILY_BUDGET = 1 << 19 };

struct dm_family { /* members: distinct, within `all`, none empty */
    uint64_t all;
    bool exhaustive;
    size_t n;
    uint64_t *sets; /* after dm_family_members */
    /* inside */
    uint64_t others;   /* nodes that no list names: all of them, or none, are in a set */
    uint64_t at;       /* where members can differ: the named ones, and the lowest of the others */
    uint32_t *present; /* by packed set; NULL: not dense */
    size_t cap;
};
/* One member, `all`. `named`: the nodes that any set of any list will name. */
void dm_family_init(struct dm_family *f, uint64_t all, uint64_t named);
/* Every member cut with every set. The sets may be reordered and repeat each other. */
void dm_family_cut(struct dm_family *f, uint64_t *sets, size_t n);
void dm_family_members(struct dm_family *f); /* makes n and sets */
void dm_family_free(struct dm_family *f);
#endif
