/* pick.h -- which devices: reuse, then aligned, then preferred, then the rest; each in natural order. Pure. */
#ifndef DM_MANAGER_PICK_H
#define DM_MANAGER_PICK_H
#include "base/bits.h"
#include <stdint.h>

struct dm_choice {
    size_t n; /* devices are 0 ... n-1, in natural order */
    const struct dm_bits *healthy, *held, *reserved;
    const struct dm_bits *nodes; /* [64]: who is on node k; NULL: the resource has no topology */
    const uint32_t *reuse;       /* ascending; may be taken although they are held or reserved */
    size_t n_reuse;
    uint64_t affinity; /* 0: none */
    size_t needed;
    const uint32_t *wish; /* the plugin's preference, in its order; ids not on offer are ignored */
    size_t n_wish;
    bool offers; /* offer and must are wanted: with many devices they cost more than the choice */
};
struct dm_picked {
    uint32_t *devices; /* ascending */
    size_t n;          /* == needed on success */
    size_t available;  /* free devices there were */
    bool spilled;      /* some are on nodes, and on none of the affinity */
    /* A preference would count (ALLOC-25 and ALLOC-27). With dm_choice.offers: what the plugin would be offered, and
     * what it must include. Both ascending. */
    bool ask;
    uint32_t *offer, *must;
    size_t n_offer, n_must;
};
/* 0; -ENODEV: not enough (devices: those to be reused). dm_picked_free either way. */
int dm_pick(const struct dm_choice *c, struct dm_picked *ret);
void dm_picked_free(struct dm_picked *p); /* also for DM_CLEANUP */
#endif
