/* numa.h -- the machine's NUMA nodes, from the settings or from the system. Reads files; what it finds is src/topology's. */
#ifndef DM_NUMA_H
#define DM_NUMA_H
#include "base/settings.h"
#include "topology/policy.h"

/* The nodes that are online under `root` (/sys/devices/system/node), ascending, with their distances; `distances` is
 * false when one is not told. No such folder: a kernel without NUMA, one node 0. Ids above 63 are left out. -errno:
 * the folder is there and cannot be read. */
int dm_numa_read(const char *root, struct dm_numa *ret, devmgr_error *reterr);
/* Nodes (setting numa, else numa-root), policy, scope and options of the settings. DEVMGR_EINVALID: in the kubelet's
 * words, with the settings to look at. Policy none needs no nodes: unreadable ones are one node 0 then. */
int dm_numa_topology(const struct dm_settings *s, struct dm_topology *ret, devmgr_error *reterr);
#endif
