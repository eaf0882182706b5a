/* policy.h -- what was asked of the topology manager: policy, scope, options, and the machine they apply to. */
#ifndef DM_TOPOLOGY_POLICY_H
#define DM_TOPOLOGY_POLICY_H
#include "topology/numa.h"

enum dm_policy { DM_POLICY_NONE, DM_POLICY_BEST_EFFORT, DM_POLICY_RESTRICTED, DM_POLICY_SINGLE_NUMA_NODE };
enum dm_scope { DM_SCOPE_CONTAINER, DM_SCOPE_POD };
struct dm_topology {
    enum dm_policy policy;
    enum dm_scope scope;
    bool prefer_closest; /* option prefer-closest-numa-nodes */
    uint64_t max_nodes;  /* option max-allowable-numa-nodes: 8 or more */
    struct dm_numa numa;
};
/* `options`: "" or "KEY=VALUE,KEY=VALUE". DEVMGR_EINVALID with the kubelet's text. Policy none looks at nothing else. */
int dm_topology_parse(const char *policy, const char *scope, const char *options, const struct dm_numa *numa,
                      struct dm_topology *ret, devmgr_error *reterr);
const char *dm_policy_name(enum dm_policy policy);
const char *dm_scope_name(enum dm_scope scope);
#endif
