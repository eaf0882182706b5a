/* pod.h -- a pod as it is asked for: the inside of devmgr_pod. pod.c implements devmgr_pod_*. */
#ifndef DM_MANAGER_POD_H
#define DM_MANAGER_POD_H
#include "manager/given.h"
#include <stdbool.h>

struct dm_limit {
    char *resource;
    uint64_t count;
};
struct dm_pod_container {
    char *name;
    int kind; /* DEVMGR_APP, DEVMGR_PLAIN_INIT, DEVMGR_SIDECAR */
    bool running, has_affinity;
    uint64_t affinity;
    size_t n_limits;
    struct dm_limit *limits; /* by resource name, bytes; each resource once */
    struct dm_given given;   /* hints of the caller's, for scope container */
};
struct devmgr_pod {
    char *uid, *namespace_, *name, *tag; /* tag: "" */
    uint64_t wait_ms;
    size_t n_containers;
    struct dm_pod_container *containers; /* as added: in start order */
    struct dm_given given;               /* for scope pod */
};
struct devmgr_pod *dm_pod_copy(const struct devmgr_pod *p);
struct dm_pod_container *dm_pod_find(const struct devmgr_pod *p, const char *container); /* NULL */
#endif
