/* resource.h -- resources and their devices: who is listed, healthy, held, reserved; counts that are always right.
 *
 * Bits and counts follow from the devices' fields and holds; whoever changes those says dm_device_changed. */
#ifndef DM_MANAGER_RESOURCE_H
#define DM_MANAGER_RESOURCE_H
#include "manager/state.h"

struct dm_resource *dm_resource_find(const struct dm_manager *m, const char *name); /* NULL: never heard of */
struct dm_resource *dm_resource_get(struct dm_manager *m, const char *name); /* makes it: removed, 0/0 */
void dm_resource_drop(struct dm_resource *r); /* out of the manager; no hold, call or txn may be left */
struct dm_resource_settings dm_resource_limits(const struct dm_resource *r);

/* The device of that id, made when missing (not listed); its index is right only after dm_resource_reindex. */
struct dm_device *dm_resource_intern(struct dm_resource *r, const char *id);
void dm_resource_index(struct dm_resource *r); /* puts all in natural order, makes all bits anew */
void dm_resource_reindex(
    struct dm_resource *r); /* the same, without those that are neither listed nor in a claim */
void dm_resource_rebuild(struct dm_resource *r);                    /* all bits and counts from the devices */
void dm_device_changed(struct dm_resource *r, struct dm_device *d); /* holds or health: its bits */
int dm_device_health(const struct dm_resource *r, const struct dm_device *d);
bool dm_device_held(const struct dm_device *d); /* by a claim that is not pending */

/* A whole list of the current endpoint (listing.c). Nothing is reported from here: true: the set of healthy ids changed. */
bool dm_resource_take_list(struct dm_resource *r, const struct dm_device_list *l);

int dm_resource_plugin(const struct dm_resource *r); /* enum devmgr_plugin */
void dm_resource_show(struct dm_resource *r);        /* an EV_RESOURCE */
void dm_resource_show_claims(
    struct dm_resource *r);                    /* EV_CLAIM_HEALTH for all whose health is another than told */
void dm_resource_touch(struct dm_resource *r); /* what is saved of it changed: a lazy save */
void dm_resource_retry(struct dm_resource *r); /* who waits for it may pass now */
void dm_resource_fill(const struct dm_resource *r, devmgr_resource *ret);

/* Connection and grace (plugins.c). */
void dm_resource_start_grace(struct dm_resource *r);
void dm_resource_end_grace(struct dm_resource *r);
#endif
