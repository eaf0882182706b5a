/* snapshot.h -- what is saved: a plain picture of the manager's state, made of immutable shared parts.
 *
 * The manager makes one part per claim, pod and resource, keeps it while nothing about it changes, and a snapshot is
 * little more than arrays of references: taking one is O(parts) pointer copies. Parts are counted without atomics:
 * ref and unref on the loop thread only; the writer thread only reads the plain fields. Rendered texts and hash
 * blocks inside a part belong to the checkpoint's writer alone (opaque here). */
#ifndef DM_CHECKPOINT_SNAPSHOT_H
#define DM_CHECKPOINT_SNAPSHOT_H
#include "base/buf.h"
#include <stdbool.h>
#include <stdint.h>

/* One (pod, container, resource) that holds devices: a PodDevicesEntry of the kubelet. */
struct dm_saved_ids {
    int64_t node; /* -1: devices without topology. A device on k nodes is listed under each of them */
    size_t n;
    char **ids;
};
struct dm_saved_claim {
    unsigned refs;
    char *pod_uid, *container, *resource;
    size_t n_nodes;
    struct dm_saved_ids *nodes; /* ascending node */
    uint8_t *answer;            /* ContainerAllocateResponse, verbatim; never NULL */
    size_t answer_len;
    void *rendered; /* the writer's */
};
/* RegisteredDevices of one resource, and what we need beyond it. */
struct dm_saved_resource {
    unsigned refs;
    char *name;
    size_t n_healthy;
    char **healthy; /* ids, in the order to be written; values are ignored on load by the kubelet and by us */
    bool has_options, prestart, preferred; /* of the last endpoint; has_options false: not known */
    void *rendered;
};
struct dm_saved_container {
    char *name;
    int kind;          /* DEVMGR_APP, DEVMGR_PLAIN_INIT, DEVMGR_SIDECAR; -1: not known (a kubelet's file) */
    uint64_t affinity; /* 0: none */
};
/* A pod that holds devices, as the kubelet's file cannot say it. */
struct dm_saved_pod {
    unsigned refs;
    char *uid, *namespace_, *name, *tag; /* "" when not known */
    uint64_t revision;                   /* at which it was admitted */
    bool init_done;                      /* its plain init containers ended for good */
    size_t n_containers;
    struct dm_saved_container *containers; /* in start order */
    void *rendered;
};

struct dm_snapshot {
    uint64_t revision; /* the last one given out */
    bool recovering; /* loaded from a copy that may be old, not synced yet: a restart must not forget that */
    size_t n_claims, n_resources, n_pods;
    struct dm_saved_claim *
        *claims; /* oldest first: order is kept over writes, so that little is hashed anew */
    struct dm_saved_resource **resources; /* by name, bytes */
    struct dm_saved_pod **pods;
};

/* refs 1, no nodes yet. NULL: no memory for the answer; never for an empty one. */
struct dm_saved_claim *dm_saved_claim_new(const char *pod_uid, const char *container, const char *resource,
                                          struct dm_span answer);
void dm_saved_claim_add(struct dm_saved_claim *c, int64_t node, const char *id); /* before it is shared */
struct dm_saved_resource *dm_saved_resource_new(const char *name);
void dm_saved_resource_add(struct dm_saved_resource *r, const char *id); /* a healthy one */
struct dm_saved_pod *dm_saved_pod_new(const char *uid);                  /* the other texts "" */
void dm_saved_pod_add(struct dm_saved_pod *p, const char *container, int kind, uint64_t affinity);
struct dm_saved_claim *dm_saved_claim_ref(struct dm_saved_claim *c);
struct dm_saved_resource *dm_saved_resource_ref(struct dm_saved_resource *r);
struct dm_saved_pod *dm_saved_pod_ref(struct dm_saved_pod *p);
void dm_saved_claim_unref(struct dm_saved_claim *c); /* NULL is fine, here and below */
void dm_saved_resource_unref(struct dm_saved_resource *r);
void dm_saved_pod_unref(struct dm_saved_pod *p);

struct dm_snapshot *dm_snapshot_new(void);
void dm_snapshot_free(struct dm_snapshot *s); /* unrefs its parts */
void dm_snapshot_freep(struct dm_snapshot **s);
#endif
