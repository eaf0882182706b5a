/* devices.h -- the devices the plugin claims to have: ids dev-00000, dev-00001, ..., or a list that was given; their
 * health; their lists as bytes. */
#ifndef FP_DEVICES_H
#define FP_DEVICES_H
#include "base/buf.h"
#include "base/error.h"
#include "faults.h"
#include <jansson.h>

enum { FP_DEVICES_MAX = 1000000 };
struct fp_given { /* a device as it was given */
    char *id;
    bool topology; /* says something about nodes, be it that there are none */
    size_t n_nodes;
    int64_t *nodes;
};
struct fp_devices {
    size_t n, numa;         /* device i is on node i % numa; 0: no topology */
    char **health;          /* n words; NULL: "Healthy" */
    struct fp_given *given; /* n; NULL: ids and nodes follow from the number */
};

void fp_devices_init(struct fp_devices *d, size_t n, size_t numa);
void fp_devices_free(struct fp_devices *d);
void fp_devices_resize(struct fp_devices *d, size_t n); /* new ones are Healthy; given ones go */
/* These and no others: [{"id", "health", "numa": [...], "topology"}]; but for id all may be left out: Healthy, on no
 * node, nothing said about nodes. DEVMGR_EINVALID names the device and what is wrong; nothing is changed. */
int fp_devices_give(struct fp_devices *d, json_t *list, devmgr_error *reterr);
void fp_devices_flap(struct fp_devices *d, size_t k); /* 0..k-1 Unhealthy, all others Healthy */
int fp_devices_health(struct fp_devices *d, const char *id, const char *word); /* id "*": all. -ENOENT */

/* Appends a ListAndWatchResponse. `shape` is the list's fault: FP_EMPTY, FP_DUP, FP_FLAP (odd `turn`s: the first
 * device is Unhealthy), FP_REPEAT (begins with device `turn`); others change nothing here. */
void fp_devices_encode(const struct fp_devices *d, enum fp_what shape, size_t turn, struct dm_buf *out);
#endif
