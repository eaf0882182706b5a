/* verdict.h -- why an admission ends as it does: the kubelet's text for the pod's status, ours for people. */
#ifndef DM_MANAGER_VERDICT_H
#define DM_MANAGER_VERDICT_H
#include "manager/state.h"

/* Verdict and reason follow from the cause. `inner`: goes into the kubelet's "Allocate failed due to ...". The rest is
 * the detail, said about the container and resource where t is ("pod a/b, container c, x.y/z: " comes before it). */
void dm_verdict_make(struct dm_verdict *v, const struct dm_txn *t, int cause, const char *inner,
                     const char *format, ...) __attribute__((format(printf, 5, 6)));
void dm_verdict_canceled(struct dm_verdict *v, const struct dm_txn *t);
void dm_verdict_free(struct dm_verdict *v);
const char *dm_verdict_reason(const struct dm_verdict *v);

/* Can devices of r be had at all? false: v says why not. */
bool dm_verdict_available(struct dm_verdict *v, const struct dm_txn *t, const struct dm_resource *r);
/* `missing` more devices were wanted than the `free` ones; names who holds and who reserved. */
void dm_verdict_insufficient(struct dm_verdict *v, const struct dm_txn *t, const struct dm_resource *r,
                             size_t needed, size_t reusable, size_t free_devices);
void dm_verdict_name_holders(struct dm_buf *out,
                             const struct dm_resource *r); /* "; 2 held by default/a (...)" */
/* The topology policy is in the way of the container where t is, or of the pod. `detail`: as it is. */
void dm_verdict_affinity(struct dm_verdict *v, const struct dm_txn *t, bool pod, int cause,
                         const char *detail);
/* The kubelet gives the same refusal another reason: it never came to allocating. */
void dm_verdict_locality(struct dm_verdict *v);
void dm_verdict_no_plugin(struct dm_verdict *v, const struct dm_txn *t, const char *resource);
void dm_verdict_recovering(struct dm_verdict *v, const struct dm_txn *t);
void dm_verdict_plugin_error(struct dm_verdict *v, const struct dm_txn *t, const struct dm_open_call *call,
                             const struct dm_status *status);
void dm_verdict_queue_timeout(struct dm_verdict *v, const struct dm_txn *t);
#endif
