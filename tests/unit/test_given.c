/* Hints that come with a pod: they are one more provider of the decision, in the scope that is set; what cannot be one is
 * refused where it is given. */
#include "manager_rig.h"

#define GPU "x.y/gpu"

/* "one cpu 1+; * memory 0,1; one hugepages any": container (*: the pod), resource, nodes or word; + preferred. */
static void give(devmgr_pod *p, const char *spec) {
    static const char *const kinds[] = {"", "any", "impossible", "more"};
    char copy[1000], *save = NULL, *inner;
    snprintf(copy, sizeof copy, "%s", spec);
    for (char *part = strtok_r(copy, ";", &save); part; part = strtok_r(NULL, ";", &save)) {
        const char *container = strtok_r(part, " ", &inner);
        devmgr_hint h = {.resource = strtok_r(NULL, " ", &inner)};
        const char *what = strtok_r(NULL, " ", &inner);
        for (int k = 1; k < (int)DM_COUNT(kinds); k++)
            h.kind = strcmp(what, kinds[k]) ? h.kind : k;
        for (const char *c = what; *c; c++)
            h.numa |= *c >= '0' && *c <= '9' ? UINT64_C(1) << (*c - '0') : 0;
        h.preferred = strchr(what, '+') != NULL;
        CHECK_INT(devmgr_pod_hint(p, *container == '*' ? NULL : container, &h), 0);
    }
}

static struct outcome *admit(struct rig *g, const char *uid, const char *spec, const char *hints) {
    struct outcome *o = rig_outcome(g);
    devmgr_pod *p = rig_pod(uid, spec, 0);
    give(p, hints);
    CHECK_INT(dm_manager_admit(g->m, p, rig_on_admit, o, NULL), 0);
    devmgr_pod_free(p);
    rig_drain(g);
    return o;
}

static int see_pod(void *arg, const devmgr_held_pod *p) {
    for (size_t i = 0; i < p->n_containers; i++)
        rig_add(arg, 1000, " %s/%s@%llx", p->uid, p->containers[i]->name,
                (unsigned long long)p->containers[i]->affinity);
    return 0;
}

static const char *affinities(struct rig *g) { /* " p/main@MASK" */
    static char out[1000];
    out[0] = 0;
    dm_manager_each_pod(g->m, see_pod, out);
    return out;
}

static struct rig *machine(const char *policy, const char *scope) { /* two nodes, two gpus each */
    DM_FREE char *settings = dm_printf("numa=0;1 topology-policy=%s topology-scope=%s", policy, scope);
    struct rig *g = rig_new(settings);
    rig_plugin(g, GPU, "g0@0 g1@0 g2@1 g3@1", "");
    return g;
}

TEST(a_containers_hints_are_merged_with_those_of_its_devices) {
    struct rig *g = machine("restricted", "container");
    CHECK_STR(
        admit(g, "p", "one x.y/gpu=1; two; three x.y/gpu=1", "one cpu 1+; one cpu 0,1; two cpu 1+")->claims,
        "one x.y/gpu g2+; three x.y/gpu g0+");
    CHECK_STR(affinities(g), " p/one@2 p/two@2 p/three@1");
    rig_free(g);
}

TEST(hints_of_several_resources_all_have_their_say) {
    struct rig *g = machine("best-effort", "container");
    CHECK_STR(
        admit(g, "p", "one x.y/gpu=1", "one cpu 0+; one memory 1+; one cpu 1+; one hugepages any")->claims,
        "one x.y/gpu g2+");
    rig_free(g);
}

TEST(the_pods_hints_count_in_scope_pod) {
    struct rig *g = machine("single-numa-node", "pod");
    CHECK_STR(admit(g, "p", "one x.y/gpu=1; two x.y/gpu=1", "* cpu 1+; * cpu 0,1; one cpu 0+")->claims,
              "one x.y/gpu g2+; two x.y/gpu g3+");
    CHECK_STR(affinities(g), " p/one@2 p/two@2");
    rig_free(g);
}

TEST(what_no_nodes_can_give_is_refused_and_named) {
    struct rig *g = machine("restricted", "container");
    struct outcome *o = admit(g, "p", "one x.y/gpu=1", "one cpu impossible");
    CHECK_INT(o->cause, DEVMGR_NO_AFFINITY);
    CHECK(strstr(o->detail, "cpu: no nodes would do"));
    CHECK_STR(o->reason, "TopologyAffinityError");
    o = admit(g, "p", "one x.y/gpu=3", "one cpu 1+");
    CHECK_INT(o->verdict, DEVMGR_REFUSED);
    CHECK_STR(rig_resources(g), "x.y/gpu 4/4 held 0 reserved 0 connected");
    rig_free(g);
}

TEST(hints_on_the_other_scopes_level_alone_are_refused) {
    struct rig *g = machine("restricted", "container");
    struct outcome *o = admit(g, "p", "one x.y/gpu=1", "* cpu 1+");
    CHECK_INT(o->cause, DEVMGR_INVALID_POD);
    CHECK(strstr(
        o->detail,
        "topology-scope is container, and hints came for the pod alone: give them for each container"));
    CHECK_STR(admit(g, "p", "one x.y/gpu=1", "* cpu 0+; one cpu 1+")->claims,
              "one x.y/gpu g2+"); /* both: who does not know */
    rig_free(g);
    g = machine("restricted", "pod");
    o = admit(g, "p", "one x.y/gpu=1", "one cpu 1+");
    CHECK_INT(o->verdict, DEVMGR_REFUSED);
    CHECK(strstr(o->detail,
                 "topology-scope is pod, and hints came for containers alone: give them for the pod"));
    rig_free(g);
}

TEST(where_nothing_is_decided_hints_are_not_looked_at) {
    struct rig *g = machine("none", "container");
    CHECK_STR(admit(g, "p", "one x.y/gpu=1", "one cpu impossible; * cpu 1+")->claims, "one x.y/gpu g0+");
    CHECK_STR(affinities(g), " p/one@0");
    rig_free(g);
    g = machine("restricted", "container");
    CHECK_STR(admit(g, "p", "one@1 x.y/gpu=1", "one cpu 0+")->claims,
              "one x.y/gpu g2+"); /* decided by the caller */
    CHECK_STR(admit(g, "p", "one x.y/gpu=1", "one cpu 0+")->claims,
              "one x.y/gpu g2"); /* what is held stays */
    rig_free(g);
}

static int see_resource(void *arg, const devmgr_hint *h) {
    rig_add(arg, 200, " %s", h->resource);
    return 0;
}

TEST(the_hints_of_devices_are_told_without_them) {
    struct rig *g = machine("restricted", "container");
    char seen[200] = "";
    devmgr_pod *p = rig_pod("p", "one x.y/gpu=1", 0);
    give(p, "one cpu 1+");
    CHECK_INT(dm_manager_hints(g->m, p, "one", see_resource, seen), 0);
    CHECK_STR(seen, " x.y/gpu x.y/gpu x.y/gpu");
    devmgr_pod_free(p);
    rig_free(g);
}

TEST(what_is_no_hint_is_not_taken) {
    static const devmgr_hint bad[] = {
        {"", DEVMGR_HINT_ANY, 0, 0},          {NULL, DEVMGR_HINT_ANY, 0, 0},
        {"two words", DEVMGR_HINT_ANY, 0, 0}, {"cpu", -1, 0, 1},
        {"cpu", DEVMGR_HINT_MORE + 1, 0, 0},  {"cpu", DEVMGR_HINT, 1, 0},
        {"cpu", DEVMGR_HINT_ANY, 0, 1},       {"cpu", DEVMGR_HINT_IMPOSSIBLE, 0, 1}};
    devmgr_pod *p = rig_pod("p", "one x.y/gpu=1", 0);
    EACH(h, bad) CHECK_INT(devmgr_pod_hint(p, "one", h), DEVMGR_EINVALID);
    CHECK_INT(devmgr_pod_hint(p, "one", NULL), DEVMGR_EINVALID);
    CHECK_INT(devmgr_pod_hint(p, "two", &(devmgr_hint){"cpu", DEVMGR_HINT_ANY, 0, 0}), -ENOENT);
    devmgr_pod_free(p);
}

TEST(there_is_an_end_to_hints) {
    devmgr_pod *p = rig_pod("p", "one x.y/gpu=1; two x.y/gpu=1", 0);
    char name[16];
    for (int i = 0; i < 64; i++) {
        snprintf(name, sizeof name, "r%d", i);
        CHECK_INT(devmgr_pod_hint(p, "one", &(devmgr_hint){name, DEVMGR_HINT_ANY, 0, 0}), 0);
    }
    CHECK_INT(devmgr_pod_hint(p, "one", &(devmgr_hint){"r64", DEVMGR_HINT_ANY, 0, 0}), -ENOSPC);
    CHECK_INT(devmgr_pod_hint(p, "one", &(devmgr_hint){"r0", DEVMGR_HINT_ANY, 0, 0}), 0);
    for (uint64_t i = 1; i <= 65536; i++)
        CHECK_INT(devmgr_pod_hint(p, "two", &(devmgr_hint){"cpu", DEVMGR_HINT, 0, i}), 0);
    CHECK_INT(devmgr_pod_hint(p, "two", &(devmgr_hint){"cpu", DEVMGR_HINT, 0, 1}), -ENOSPC);
    CHECK_INT(devmgr_pod_hint(p, NULL, &(devmgr_hint){"cpu", DEVMGR_HINT, 0, 1}), 0);
    devmgr_pod_free(p);
}
