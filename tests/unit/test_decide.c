/* The devices' hints, as decide.c makes them and devmgr_hints tells them to a Topology Manager of the caller's own. */
#include "manager_rig.h"

#define GPU "x.y/gpu"
#define NIC "x.y/nic"

static struct rig *machine(const char *policy, const char *scope) { /* two nodes */
    DM_FREE char *settings = dm_printf("numa=0;1 topology-policy=%s topology-scope=%s", policy, scope);
    return rig_new(settings);
}

static int see_hint(void *arg, const devmgr_hint *h) {
    static const char *const kinds[] = {"", " any", " impossible"};
    rig_add(arg, 2000, "%s%s%s", *(char *)arg ? "; " : "", h->resource, kinds[h->kind]);
    for (uint64_t left = h->numa; left; left &= left - 1)
        rig_add(arg, 2000, "%c%d", left == h->numa ? ' ' : ',', __builtin_ctzll(left));
    rig_add(arg, 2000, h->preferred ? "+" : "");
    return 0;
}

static const char *hints(struct rig *g, const char *uid, const char *spec, const char *container) {
    static char out[2000];
    devmgr_pod *p = rig_pod(uid, spec, 0);
    out[0] = 0;
    int rc = dm_manager_hints(g->m, p, container, see_hint, out);
    devmgr_pod_free(p);
    if (rc < 0)
        snprintf(out, sizeof out, "%s", devmgr_error_name(rc));
    return out;
}

TEST(hints_for_a_topology_manager_of_the_callers_own) {
    struct rig *g = machine("none", "container");
    rig_plugin(g, GPU, "g0@0 g1@1 g2@1", "");
    rig_plugin(g, NIC, "n0", "");
    CHECK_STR(hints(g, "p", "main x.y/gpu=2 x.y/nic=1 cpu=1 x.y/unknown=1", "main"),
              "x.y/gpu 1+; x.y/gpu 0,1; x.y/nic any");
    CHECK_STR(hints(g, "p", "main x.y/gpu=1; other x.y/gpu=2", NULL), "x.y/gpu 0,1+");
    CHECK_STR(hints(g, "p", "main x.y/gpu=4", "main"), "x.y/gpu impossible");
    CHECK_STR(hints(g, "p", "main", "other"), "ENOENT");
    rig_admit(g, "p", "main x.y/gpu=1");
    CHECK_STR(hints(g, "p", "main x.y/gpu=1", "main"), "x.y/gpu 0+; x.y/gpu 0,1"); /* TOPO-10 */
    CHECK_STR(hints(g, "p", "main x.y/gpu=2", "main"), "x.y/gpu impossible");      /* TOPO-11 */
    rig_free(g);
}

TEST(TOPO_08_where_only_unknown_nodes_are_told_all_of_the_machine_are_looked_at) {
    struct rig *g = machine("none", "container");
    rig_plugin(g, GPU, "g0@5 g1@63", "");
    CHECK_STR(hints(g, "p", "main x.y/gpu=0", "main"), "x.y/gpu 0+; x.y/gpu 1+; x.y/gpu 0,1");
    CHECK_STR(hints(g, "p", "main x.y/gpu=1", "main"), "x.y/gpu impossible"); /* none of them is on a node */
    rig_list(g, GPU, "g0@1 g1@63");
    CHECK_STR(hints(g, "p", "main x.y/gpu=1", "main"), "x.y/gpu 1+");
    rig_free(g);
}

struct counted {
    size_t hints, more;
    int last;
};

static int count_hint(void *arg, const devmgr_hint *h) {
    struct counted *c = arg;
    c->hints += h->kind == DEVMGR_HINT;
    c->more += h->kind == DEVMGR_HINT_MORE;
    c->last = h->kind;
    return 0;
}

TEST(hints_without_end_are_followed_by_a_word_that_there_are_more) {
    struct rig *g =
        rig_new("topology-policy=none numa="
                "0;1;2;3;4;5;6;7;8;9;10;11;12;13;14;15;16;17;18;19;20;21;22;23;24;25;26;27;28;29;30;31");
    struct dm_listed_device rows[32];
    char ids[32][8];
    struct counted c = {0};
    for (int i = 0; i < 32; i++) { /* one on each node */
        snprintf(ids[i], sizeof ids[i], "g%d", i);
        rows[i] = (struct dm_listed_device){ids[i], true, true, UINT64_C(1) << i};
    }
    dm_manager_listed(g->m, GPU, rig_connect(g, GPU, ""), &(struct dm_device_list){32, rows});
    rig_drain(g);
    devmgr_pod *p = rig_pod("p", "main x.y/gpu=1", 0);
    CHECK_INT(dm_manager_hints(g->m, p, "main", count_hint, &c), 0);
    CHECK(c.hints > 1000);
    CHECK_INT(c.more, 1);
    CHECK_INT(c.last, DEVMGR_HINT_MORE);
    devmgr_pod_free(p);
    rig_free(g);
}

TEST(TOPO_10_11_what_is_held_gives_the_hints_when_it_is_as_many_as_asked_for) {
    struct rig *g = machine("none", "container");
    rig_plugin(g, GPU, "g0@0 g1@1 g2@1 g3@1", "");
    CHECK_STR(rig_admit(g, "p", "main x.y/gpu=1")->claims, "main x.y/gpu g0+");
    CHECK_STR(rig_admit(g, "q", "main x.y/gpu=2")->claims, "main x.y/gpu g1+ g2+");
    CHECK_STR(hints(g, "p", "main x.y/gpu=1", "main"), "x.y/gpu 0+; x.y/gpu 0,1"); /* g3 is free, on 1 */
    CHECK_STR(hints(g, "p", "main x.y/gpu=2", "main"), "x.y/gpu impossible");
    CHECK_STR(hints(g, "q", "main x.y/gpu=2", "main"), "x.y/gpu 1+; x.y/gpu 0,1");
    CHECK_STR(hints(g, "q", "main x.y/gpu=1", "main"), "x.y/gpu impossible");
    rig_free(g);
}

TEST(TOPO_13_a_request_for_none_has_every_set) {
    struct rig *g = machine("none", "container");
    rig_plugin(g, GPU, "g0@0 g1-@1", "");
    CHECK_STR(hints(g, "p", "main x.y/gpu=0", "main"), "x.y/gpu 0+; x.y/gpu 1+; x.y/gpu 0,1");
    rig_free(g);
}

TEST(TOPO_15_W02_a_held_device_that_vanished_is_on_no_node) {
    struct rig *g = machine("none", "container");
    rig_plugin(g, GPU, "g0@0 g1@1", "");
    rig_admit(g, "p", "main x.y/gpu=1");
    rig_list(g, GPU, "g1@1");
    CHECK_STR(hints(g, "p", "main x.y/gpu=1", "main"), "x.y/gpu impossible");
    CHECK_STR(hints(g, "p", "main x.y/gpu=1", NULL), "x.y/gpu impossible");
    rig_free(g);
}
