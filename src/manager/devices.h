/* devices.h -- a resource's devices by id: pointers only, the key is the device's own. A hundred thousand devices are
 * common, and lists that come shuffled look each of them up. */
#ifndef DM_MANAGER_DEVICES_H
#define DM_MANAGER_DEVICES_H
#include <stddef.h>
#include <stdint.h>

struct dm_device;
struct dm_devices { /* zero-initialise */
    struct dm_device **slots;
    size_t n, cap; /* devices; slots, a power of two */
};
struct dm_device *dm_devices_get(const struct dm_devices *t, const char *id); /* NULL */
void dm_devices_add(struct dm_devices *t, struct dm_device *d); /* its id must not be there yet */
void dm_devices_remove(struct dm_devices *t, struct dm_device *d);
void dm_devices_free(struct dm_devices *t); /* not the devices */
#endif
