/* devices.h -- the devices the plugin claims to have: ids dev-00000, dev-00001, ...; their health; their lists as bytes. */
#ifndef FP_DEVICES_H
#define FP_DEVICES_H
#include "base/buf.h"
#include "faults.h"

enum { FP_DEVICES_MAX = 1000000 };
struct fp_devices {
    size_t n, numa; /* device i is on node i % numa; 0: no topology */
    char **health;  /* n words; NULL: "Healthy" */
};

void fp_devices_init(struct fp_devices *d, size_t n, size_t numa);
void fp_devices_free(struct fp_devices *d);
void fp_devices_resize(struct fp_devices *d, size_t n); /* new ones are Healthy */
void fp_devices_flap(struct fp_devices *d, size_t k);   /* 0..k-1 Unhealthy, all others Healthy */
int fp_devices_health(struct fp_devices *d, const char *id, const char *word); /* id "*": all. -ENOENT */

/* Appends a ListAndWatchResponse. `shape` is the list's fault: FP_EMPTY, FP_DUP, FP_FLAP (odd `turn`s: the first
 * device is Unhealthy), FP_REPEAT (begins with device `turn`); others change nothing here. */
void fp_devices_encode(const struct fp_devices *d, enum fp_what shape, size_t turn, struct dm_buf *out);
#endif
