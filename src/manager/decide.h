/* decide.h -- which NUMA nodes a container's devices, or a pod's, should come from, and why: hints of each resource and
 * provider, and those that came with the pod, merged by the policy. Reads the state, changes nothing; admission, devmgr_hints and explain use it. */
#ifndef DM_MANAGER_DECIDE_H
#define DM_MANAGER_DECIDE_H
#include "manager/state.h"
#include "topology/merge.h"

struct dm_hint_row {              /* one resource's part */
    const char *resource;         /* a provider without any preference has one row, named "" */
    const struct dm_resource *of; /* NULL: a provider's */
    char *name;                   /* a provider's resource is ours to free */
    uint64_t count;               /* devices that must lie in the set, held ones too */
    uint64_t free, reusable;      /* that could be given; reusable: left by the pod's init containers */
    uint64_t held;                /* of `count`, those that it has already */
    bool lacking;                 /* fewer are free than it still needs: IMPOSSIBLE for that reason */
    struct dm_device_group *groups;
    size_t n_groups;
    struct dm_hints hints;
};
struct dm_decision { /* zero-initialise; dm_decision_free */
    size_t n, cap;
    struct dm_hint_row
        *rows;    /* resources by name, then the providers' in their order, then what came with the pod */
    bool changed; /* holds another count than it asks for */
    struct dm_affinity merged;
};

enum {
    DM_DECIDE_DEVICES = 1, /* flag: leave out the providers, and what came with the pod */
    DM_DECIDE_IDLE = 2,    /* flag: as if all that is listed were healthy and no other pod had any */
    DM_DECIDE_REST =
        4 /* flag, of a pod: for what it lacks. Else as the kubelet: it holds nothing or all of it */
};
/* `pod`: as we know it, NULL: not at all. `request`: what it asks for. `container`: of the request; NULL: the pod as a
 * whole. Negative: a provider failed, reterr has its words. */
int dm_decide(const struct dm_manager *m, const struct dm_pod *pod, const devmgr_pod *request,
              const struct dm_pod_container *container, unsigned flags, struct dm_decision *ret,
              devmgr_error *reterr);
/* Something that is not held yet? */
bool dm_decide_needed(const struct dm_manager *m, const struct dm_pod *pod, const devmgr_pod *request,
                      const struct dm_pod_container *container);
/* Would the request of `now`, a decision for the rest, be admitted if all that is listed were healthy and no other pod
 * had any? */
bool dm_decide_idle(const struct dm_manager *m, const struct dm_pod *pod, const devmgr_pod *request,
                    const struct dm_pod_container *container, const struct dm_decision *now);
struct dm_hint_row *dm_decision_add(struct dm_decision *d); /* an empty row */
void dm_decision_free(struct dm_decision *d);
#endif
