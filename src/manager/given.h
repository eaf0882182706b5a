/* given.h -- hints that came with a pod: of another provider (CPU, memory) that is not in this process. */
#ifndef DM_MANAGER_GIVEN_H
#define DM_MANAGER_GIVEN_H
#include "devmgr.h"
#include "topology/hints.h"

struct dm_given_list { /* of one resource */
    char *resource;
    struct dm_hints hints;
};
struct dm_given {                /* of a container, or of the pod; zero-initialise, dm_given_free */
    size_t n, told;              /* resources; hints of all of them */
    struct dm_given_list *lists; /* in the order in which they came */
};
/* -ENOSPC: too many hints, or resources. The caller has looked at the hint. */
int dm_given_add(struct dm_given *g, const devmgr_hint *hint);
struct dm_given dm_given_copy(const struct dm_given *g);
void dm_given_free(struct dm_given *g);

/* A list before its first hint, and what a hint makes of it. */
#define DM_HINTS_NOT_TOLD ((struct dm_hints){.kind = DM_HINTS_IMPOSSIBLE, .exhaustive = true})
void dm_hints_tell(struct dm_hints *h, const devmgr_hint *hint);
struct dm_hints dm_hints_copy(const struct dm_hints *h); /* dm_hints_free */
#endif
