/* plugin.h -- what the manager and a device plugin say to each other, in plain structs.
 *
 * src/manager asks (struct dm_call) and is told (the rest); src/registration turns both into v1beta1 messages. Neither
 * sees the other's header, and nothing above src/registration sees a wire type. Everything here is borrowed for the
 * call in which it is shown, unless a line says otherwise. Strings from a plugin are checked before they get here:
 * valid UTF-8, no NUL, within the limits of the settings. */
#ifndef DM_BASE_PLUGIN_H
#define DM_BASE_PLUGIN_H
#include "base/buf.h"
#include "base/status.h"
#include "devmgr.h"
#include <stdbool.h>

/* An endpoint is one registration of one plugin. Generations rise over all resources and are never reused; what an
 * endpoint that is no longer its resource's says, or how it ends, is ignored. */
struct dm_endpoint_info {
    const char *resource;
    uint64_t generation;
    const char *socket; /* path that was dialled */
    int pid;            /* of the plugin's process, 0: unknown */
    bool prestart,
        preferred; /* GetDevicePluginOptions: pre_start_required, get_preferred_allocation_available */
};

struct dm_listed_device {
    const char *id;
    bool healthy;  /* the word was exactly "Healthy" */
    bool topology; /* a NUMA node counts for it; normal numa-ids: the same as numa != 0 */
    uint64_t numa; /* bit n: on node n; ids that are negative or above 63 are dropped */
    bool empty;    /* strict numa-ids: it has a TopologyInfo that names no node at all */
};
/* A whole ListAndWatchResponse, duplicates already folded (the last one wins, at the place of the first). */
struct dm_device_list {
    size_t n;
    const struct dm_listed_device *devices;
};

enum dm_rpc_kind { DM_RPC_PREFERRED, DM_RPC_ALLOCATE, DM_RPC_PRESTART };
struct dm_call {
    uint64_t id; /* the manager's; comes back with the result */
    enum dm_rpc_kind rpc;
    const char *resource;
    uint64_t generation; /* the endpoint to ask; gone meanwhile: UNAVAILABLE */
    size_t n_ids;        /* ALLOCATE, PRESTART: the devices; PREFERRED: available_deviceIDs */
    const char *const *ids;
    size_t n_must; /* PREFERRED: must_include_deviceIDs */
    const char *const *must;
    uint32_t size;       /* PREFERRED: allocation_size */
    uint64_t timeout_ms; /* what is left of its deadline, > 0 */
};
struct dm_call_result {
    uint64_t id;
    struct dm_status status;
    size_t n_ids; /* PREFERRED: deviceIDs of the first container response, unchecked against what was asked */
    const char *const *ids;
    size_t n_containers; /* ALLOCATE: container responses in the answer; the kubelet reads the first only */
    struct dm_span
        answer; /* ALLOCATE: bytes of the first ContainerAllocateResponse, kept verbatim; decodable */
};

/* A decoded ContainerAllocateResponse in message order; duplicate map keys folded (last wins). */
struct dm_answer {
    size_t n_envs, n_annotations, n_mounts, n_devices, n_cdi_devices;
    devmgr_pair *envs, *annotations;
    devmgr_mount *mounts;
    devmgr_device_node *devices;
    const char **cdi_devices;
};
/* Pure. On success *ret is freed by dm_answer_free. -EBADMSG: not a message, invalid UTF-8, NUL, over a limit. */
typedef int (*dm_answer_decoder)(struct dm_span bytes, struct dm_answer **ret, devmgr_error *reterr);
void dm_answer_free(struct dm_answer *answer); /* in base: one block and its arrays; NULL is fine */
#endif
