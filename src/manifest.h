/* manifest.h -- what manifest.c offers beside devmgr_pod_from_manifest. */
#ifndef DM_MANIFEST_H
#define DM_MANIFEST_H
#include <stdint.h>

/* A Kubernetes quantity that must be a whole number: "2", "2k", "2000m" = 2. -EINVAL: not a quantity, or negative;
 * -EDOM: not whole; -ERANGE: beyond 63 bits. */
int dm_quantity_parse(const char *text, uint64_t *ret);
#endif
