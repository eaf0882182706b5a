/* claims.h -- pods, their containers and what each holds; the reverse index from a device to its claims. */
#ifndef DM_MANAGER_CLAIMS_H
#define DM_MANAGER_CLAIMS_H
#include "manager/state.h"

struct dm_pod *dm_pods_find(const struct dm_manager *m,
                            const char *uid); /* also one whose admission is in flight */
struct dm_pod *dm_pods_get(struct dm_manager *m,
                           const char *uid); /* made when missing: not admitted, no names */
void dm_pods_drop(struct dm_manager *m,
                  struct dm_pod *p); /* with containers and claims; its txn must be gone */
void dm_pod_name(struct dm_pod *p, const char *namespace_, const char *name,
                 const char *tag);         /* NULL: unchanged */
bool dm_pod_holds(const struct dm_pod *p); /* a device, not counting reservations */
/* Invalidates what is saved of it; the save is the caller's to ask for. */
void dm_pod_changed(struct dm_pod *p);

struct dm_container *dm_pod_get_container(const struct dm_pod *p, const char *name); /* NULL */
struct dm_container *dm_pod_add_container(struct dm_pod *p, const char *name, int kind);
void dm_container_drop(struct dm_container *c);                                          /* with its claims */
struct dm_claim *dm_container_claim(const struct dm_container *c, const char *resource); /* NULL */

/* Puts a hold on each device (by index, all of r, ascending); devices of other pods are the caller's mistake. With txn:
 * a reservation. */
struct dm_claim *dm_claim_new(struct dm_container *c, struct dm_resource *r, struct dm_txn *txn,
                              const uint32_t *devices, size_t n);
void dm_claim_drop(struct dm_manager *m,
                   struct dm_claim *claim); /* takes its holds away; devices may be free now */
/* Its devices look as if it were not there, until resume; nothing may change between. */
void dm_claim_suspend(struct dm_claim *claim);
void dm_claim_resume(struct dm_claim *claim);
void dm_claim_commit(struct dm_claim *claim); /* reserved becomes held */
/* Makes claim->saved from the holds and the plugin's answer. False: no memory for it. */
bool dm_claim_save(struct dm_claim *claim, struct dm_span answer);
void dm_claim_keep(struct dm_manager *m, struct dm_claim *claim); /* from now on it is in the checkpoint */
/* Healthy devices that the pod's plain init containers hold and nobody else: its later containers may take them.
 * Indices ascending; the caller frees. */
size_t dm_pod_reusable(const struct dm_pod *p, const struct dm_resource *r, uint32_t **ret);
/* Who has a device: the hold that is not a plain init container's, else any; NULL: free. */
struct dm_hold *dm_device_holder(const struct dm_device *d);
const char *dm_pod_title(const struct dm_pod *p, char *out, size_t size); /* "namespace/name", or the uid */
#endif
