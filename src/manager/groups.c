/* groups.c -- see groups.h. Mostly there are as many groups as nodes; a plugin may list each device on other nodes, so
 * a group is looked up by a hash of them. */
#include "manager/groups.h"

void dm_groups_clear(struct dm_resource *r) {
    r->n_groups = 0;
    free(r->group_slots);
    r->group_slots = NULL;
    r->group_mask = 0;
    for (size_t i = 0; i < r->n_devices; i++)
        r->devices[i]->group = DM_NO_GROUP;
}

static uint32_t *slot(const struct dm_resource *r, uint64_t numa, bool topology) {
    uint64_t key = numa * 2 + topology;
    size_t i = (size_t)dm_map_hash(&key, sizeof key) & r->group_mask;
    for (;; i = (i + 1) & r->group_mask) {
        uint32_t at = r->group_slots[i]; /* index + 1; 0: nobody */
        if (!at || (r->groups[at - 1].numa == numa && r->groups[at - 1].topology == topology))
            return &r->group_slots[i];
    }
}

static void make_room(struct dm_resource *r) {
    size_t n = r->group_mask ? (r->group_mask + 1) * 2 : 64;
    free(r->group_slots);
    r->group_slots = dm_alloc_array(n, sizeof(*r->group_slots));
    r->group_mask = n - 1;
    for (size_t i = 0; i < r->n_groups; i++)
        *slot(r, r->groups[i].numa, r->groups[i].topology) = (uint32_t)i + 1;
}

void dm_groups_add(struct dm_resource *r, struct dm_device *d) {
    if (!r->group_mask || r->n_groups * 2 > r->group_mask)
        make_room(r);
    bool topology = d->topology || d->empty_topology;
    uint32_t *at = slot(r, d->numa, topology);
    if (!*at) {
        DM_GROW(r->groups, r->n_groups, r->groups_cap);
        r->groups[r->n_groups] = (struct dm_node_group){.numa = d->numa, .topology = topology};
        *at = (uint32_t)++r->n_groups;
    }
    d->group = *at - 1;
    r->groups[d->group].known++;
}
