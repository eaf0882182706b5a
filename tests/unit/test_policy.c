/* NUMA specs, policies, scopes, options: what is read and the texts of what is not. */
#include "check.h"
#include "topology/policy.h"

static const char *parse(const char *policy, const char *scope, const char *options, const char *numa) {
    static char text[1100];
    devmgr_error err;
    struct dm_numa n;
    struct dm_topology t;
    if (dm_numa_parse(numa, &n, &err) < 0 || dm_topology_parse(policy, scope, options, &n, &t, &err) < 0)
        return strcpy(text, err.message);
    snprintf(text, sizeof text, "%s %s closest=%d max=%ju nodes=%zu", dm_policy_name(t.policy),
             dm_scope_name(t.scope), t.prefer_closest, (uintmax_t)t.max_nodes, t.numa.n);
    return text;
}

TEST(TOPO_30_TOPO_31_policies_and_options_read_with_the_kubelets_texts) {
    static const char nine[] = "0;1;2;3;4;5;6;7;8", two[] = "0:10,20;1:20,10";
    static const struct {
        const char *policy, *scope, *options, *numa, *result;
    } rows[] = {
        {"none", "container", "", two, "none container closest=0 max=8 nodes=2"},
        {"none", "x", "y", nine, "none container closest=0 max=8 nodes=9"},
        {"restricted", "pod", "prefer-closest-numa-nodes=true", two,
         "restricted pod closest=1 max=8 nodes=2"},
        {"best-effort", "container", "max-allowable-numa-nodes=9", nine,
         "best-effort container closest=0 max=9 nodes=9"},
        {"best-effort", "container", "", nine, "unsupported on machines with more than 8 NUMA Nodes"},
        {"best", "container", "", two, "unknown policy: \"best\""},
        {"restricted", "node", "", two, "unknown scope: \"node\""},
        {"restricted", "pod", "a=b", two, "unknown Topology Manager Policy option: \"a\""},
        {"restricted", "pod", "max-allowable-numa-nodes=7", two,
         "the minimum value of \"max-allowable-numa-nodes\" should not be less than 8"},
        {"restricted", "pod", "max-allowable-numa-nodes=x", two,
         "unable to convert policy option to integer \"max-allowable-numa-nodes\": strconv.Atoi: parsing "
         "\"x\": invalid syntax"},
        {"restricted", "pod", "prefer-closest-numa-nodes=yes", two,
         "bad value for option \"prefer-closest-numa-nodes\": strconv.ParseBool: parsing \"yes\": invalid "
         "syntax"},
        {"restricted", "pod", "prefer-closest-numa-nodes=1", "0;1",
         "cannot discover NUMA topology: error getting NUMA distances from cadvisor"},
    };
    EACH(row, rows)
    CHECK_STR(parse(row->policy, row->scope, row->options, row->numa), row->result);
}

TEST(a_numa_spec_says_what_is_wrong_with_it) {
    static const struct {
        const char *spec, *error;
    } rows[] = {{"0:10,20;1:20", "numa: node 1 has 1 distances, there are 2 nodes"},
                {"0;0", "numa: node 0 stands there twice"},
                {"64", "numa: \"64\": a node is a number from 0 to 63"},
                {"", "numa: \"\": a node is a number from 0 to 63"},
                {"0:10,x", "numa: node 0: \"x\": a distance is a number"},
                {"0 1", "numa: node 0: \" 1\": expected NODE:DISTANCE,...;..."}};
    EACH(row, rows)
    CHECK_STR(parse("none", "container", "", row->spec), row->error);
}

TEST(sparse_nodes_keep_their_distances) {
    struct dm_numa n;
    CHECK_INT(dm_numa_parse("0:10,40;8:40,10", &n, NULL), 0);
    CHECK_INT(n.distance[0][8], 40);
    CHECK_INT((int)dm_numa_average(&n, 0x101), 25);
}
