/* metrics.h -- what the kubelet counts of plugins, under its names: calls of Register, and the time that Allocate takes.
 *
 * A row per resource, `max` of them at most: names come from strangers. What is beyond counts as "other"; a Register without a
 * valid name counts as "invalid". Neither can be a resource's name, which has a slash. */
#ifndef DM_REGISTRATION_METRICS_H
#define DM_REGISTRATION_METRICS_H
#include "base/buf.h"
#include "base/map.h"
#include <stdint.h>

struct dm_metrics { /* zero-initialise, but for max */
    size_t max, named;
    struct dm_map rows; /* resource -> its numbers; `named` of them are resources */
};

void dm_metrics_registered(struct dm_metrics *m, const char *resource); /* NULL: no valid name */
void dm_metrics_allocated(struct dm_metrics *m, const char *resource, uint64_t nanoseconds);
/* Prometheus text format, rows by name; nothing for what was never counted, as there. */
void dm_metrics_write(const struct dm_metrics *m, struct dm_buf *out);
void dm_metrics_free(struct dm_metrics *m);
#endif
