/* The topology decision within admissions: per container and per pod, kept, shown, saved, forgotten; what happens when it
 * cannot be kept; hint providers. TOPO-* are the kubelet's behaviours. */
#include "manager_rig.h"

#define GPU "x.y/gpu"
#define NIC "x.y/nic"

static int see_pod(void *arg, const devmgr_held_pod *p) {
    for (size_t i = 0; i < p->n_containers; i++) {
        const devmgr_held_container *c = p->containers[i];
        rig_add(arg, 2000, "%s%s/%s", *(char *)arg ? "; " : "", p->uid, c->name);
        for (uint64_t left = c->affinity; left; left &= left - 1)
            rig_add(arg, 2000, "%c%d", left == c->affinity ? '@' : ',', __builtin_ctzll(left));
    }
    return 0;
}

static const char *affinities(struct rig *g) { /* "p/main@0,1; q/main" */
    static char out[2000];
    out[0] = 0;
    dm_manager_each_pod(g->m, see_pod, out);
    return out;
}

static struct rig *machine(const char *policy, const char *scope) { /* two nodes */
    DM_FREE char *settings = dm_printf("numa=0;1 topology-policy=%s topology-scope=%s", policy, scope);
    return rig_new(settings);
}

/* Each word stands in the text. */
static void mentions(const char *text, const char *words) {
    char copy[1000], *save = NULL;
    snprintf(copy, sizeof copy, "%s", words);
    for (char *w = strtok_r(copy, "|", &save); w; w = strtok_r(NULL, "|", &save))
        if (!strstr(text, w))
            CHECK_FAIL("\"%s\" is not in \"%s\"", w, text);
}

/* ---- policies ---------------------------------------------------------------------------------------------------------- */

TEST(TOPO_23_policy_none_stores_no_affinity_and_asks_for_none) {
    struct rig *g = machine("none", "container");
    rig_plugin(g, GPU, "g0@0 g1@1", "");
    CHECK_STR(rig_admit(g, "p", "main x.y/gpu=1")->claims, "main x.y/gpu g0+");
    CHECK_STR(affinities(g), "p/main");
    rig_free(g);
}

TEST(TOPO_24_best_effort_aligns_where_it_can_and_admits_where_not) {
    struct rig *g = machine("best-effort", "container");
    rig_plugin(g, GPU, "g0@0 g1@1 g2@1", "");
    CHECK_STR(rig_admit(g, "p", "main x.y/gpu=2")->claims, "main x.y/gpu g1+ g2+");
    CHECK_STR(affinities(g), "p/main@1");
    rig_free(g);
    g = machine("best-effort", "container");
    rig_plugin(g, GPU, "g0@0 g1@1 g2-@1", "");
    CHECK_STR(rig_admit(g, "p", "main x.y/gpu=2")->claims, "main x.y/gpu g0+ g1+");
    CHECK_STR(affinities(g), "p/main@0,1");
    struct outcome *o = rig_admit(g, "q", "main x.y/gpu=1"); /* the kubelet comes to allocating */
    CHECK_INT(o->cause, DEVMGR_INSUFFICIENT_DEVICES);
    CHECK_STR(o->reason, "UnexpectedAdmissionError");
    rig_free(g);
}

TEST(TOPO_25_27_restricted_refuses_what_would_not_fit_an_idle_machine_either) {
    struct rig *g = machine("restricted", "container");
    rig_plugin(g, GPU, "g0@0 g1@0", "");
    rig_plugin(g, NIC, "n0@1", "");
    struct outcome *o = rig_admit(g, "p", "other; main x.y/gpu=1 x.y/nic=1");
    CHECK_INT(o->verdict, DEVMGR_REFUSED);
    CHECK_INT(o->cause, DEVMGR_NO_AFFINITY);
    CHECK_STR(o->reason, "TopologyAffinityError");
    CHECK_STR(o->message, "Resources cannot be allocated with Topology locality");
    CHECK_STR(o->container, "main");
    CHECK_STR(o->resource, "-"); /* two of them are in each other's way */
    mentions(o->detail,
             "pod default/p, container main: topology policy restricted, scope container: |"
             "x.y/gpu: 1 wanted, free: 2 on node 0, would do: {0} preferred|"
             "x.y/nic: 1 wanted, free: 1 on node 1, would do: {1} preferred|relax topology-policy");
    CHECK_STR(affinities(g), "");
    rig_free(g);
}

TEST(TOPO_05_devices_that_are_merely_in_use_make_it_not_yet_with_the_kubelets_words) {
    struct rig *g = machine("restricted", "container");
    rig_plugin(g, GPU, "g0@0 g1@0 g2@1 g3@1", "");
    CHECK_STR(rig_admit(g, "a", "main x.y/gpu=1")->claims, "main x.y/gpu g0+");
    CHECK_STR(rig_admit(g, "b", "main x.y/gpu=1")->claims, "main x.y/gpu g1+");
    CHECK_STR(rig_admit(g, "c", "main x.y/gpu=1")->claims, "main x.y/gpu g2+");
    rig_release(g, "a", NULL);
    struct outcome *o = rig_admit(g, "p", "main x.y/gpu=2"); /* one is free on each node */
    CHECK_INT(o->verdict, DEVMGR_NOT_YET);
    CHECK_INT(o->cause, DEVMGR_INSUFFICIENT_DEVICES);
    CHECK_STR(o->reason, "TopologyAffinityError");
    CHECK_STR(o->message, "Resources cannot be allocated with Topology locality");
    CHECK_STR(o->resource, GPU);
    mentions(o->detail,
             "2 wanted, free: 1 on node 0, 1 on node 1, would do: {0,1}|2 held by default/b|admit again");
    rig_free(g);
}

TEST(TOPO_02_too_few_free_devices_are_insufficient_in_the_kubelets_words_of_topology) {
    struct rig *g = machine("single-numa-node", "container");
    rig_plugin(g, GPU, "g0@0 g1@1", "");
    rig_admit(g, "a", "main x.y/gpu=1");
    struct outcome *o = rig_admit(g, "p", "main x.y/gpu=2");
    CHECK_INT(o->verdict, DEVMGR_NOT_YET);
    CHECK_INT(o->cause, DEVMGR_INSUFFICIENT_DEVICES);
    CHECK_STR(o->reason, "TopologyAffinityError");
    CHECK_STR(o->container, "main");
    CHECK_STR(o->resource, GPU);
    mentions(o->detail, "2 wanted, 1 of 2 free|held by default/a");
    rig_free(g);
}

TEST(a_plugin_that_is_gone_is_the_cause_whatever_the_policy) {
    struct rig *g = machine("restricted", "pod");
    uint64_t generation = rig_plugin(g, GPU, "g0@0 g1@1", "");
    rig_gone(g, GPU, generation);
    struct outcome *o = rig_admit(g, "p", "main; second x.y/gpu=1");
    CHECK_INT(o->verdict, DEVMGR_NOT_YET);
    CHECK_INT(o->cause, DEVMGR_PLUGIN_GONE);
    CHECK_STR(o->reason, "TopologyAffinityError"); /* to the kubelet nothing is free */
    CHECK_STR(o->container, "second");
    CHECK_STR(o->resource, GPU);
    rig_free(g);
}

TEST(TOPO_26_single_numa_node_stores_no_mask_when_that_is_the_whole_machine) {
    struct rig *g = rig_new("numa=0 topology-policy=single-numa-node");
    rig_plugin(g, GPU, "g0@0 g1@0", "");
    CHECK_INT(rig_admit(g, "p", "main x.y/gpu=1")->verdict, DEVMGR_ADMITTED);
    CHECK_STR(affinities(g), "p/main");
    rig_free(g);
    g = machine("single-numa-node", "container");
    rig_plugin(g, GPU, "g0@0 g1@0 g2@1", "");
    rig_admit(g, "p", "main x.y/gpu=2; idle");
    CHECK_STR(affinities(g), "p/main@0; p/idle");
    CHECK_INT(rig_admit(g, "q", "main x.y/gpu=3")->verdict, DEVMGR_NOT_YET);
    rig_free(g);
}

TEST(TOPO_26_single_numa_node_refuses_two_nodes_also_where_fewer_would_not_do) {
    struct rig *g = machine("single-numa-node", "container");
    rig_plugin(g, GPU, "g0@0 g1@1", "");
    CHECK_INT(rig_admit(g, "p", "main x.y/gpu=2")->cause, DEVMGR_NO_AFFINITY);
    rig_free(g);
    g = machine("restricted", "container");
    rig_plugin(g, GPU, "g0@0 g1@1", "");
    CHECK_STR(rig_admit(g, "p", "main x.y/gpu=2")->claims, "main x.y/gpu g0+ g1+");
    rig_free(g);
}

TEST(ALLOC_22_two_resources_come_from_the_same_node) {
    struct rig *g = machine("restricted", "container");
    rig_plugin(g, GPU, "g0@0 g1@1", "");
    rig_plugin(g, NIC, "n0@1 n1@1", "");
    CHECK_STR(rig_admit(g, "p", "main x.y/gpu=1 x.y/nic=1")->claims, "main x.y/gpu g1+; main x.y/nic n0+");
    CHECK_STR(affinities(g), "p/main@1");
    rig_free(g);
}

/* ---- scopes ------------------------------------------------------------------------------------------------------------ */

TEST(TOPO_28_container_scope_decides_after_the_container_before_was_served) {
    struct rig *g = machine("restricted", "container");
    rig_plugin(g, GPU, "g0@0 g1@0 g2@1 g3@1", "");
    struct outcome *o = rig_admit(g, "p", "one x.y/gpu=1; two x.y/gpu=2; three x.y/gpu=1");
    CHECK_STR(o->claims, "one x.y/gpu g0+; two x.y/gpu g2+ g3+; three x.y/gpu g1+");
    CHECK_STR(affinities(g), "p/one@0; p/two@1; p/three@0");
    rig_free(g);
}

TEST(TOPO_29_14_pod_scope_has_one_affinity_for_all_containers) {
    struct rig *g = machine("restricted", "pod");
    rig_plugin(g, GPU, "g0@0 g1@1 g2@1 g3@1", "");
    CHECK_STR(rig_admit(g, "p", "init:i x.y/gpu=3; side:s x.y/gpu=1; c x.y/gpu=1")->claims,
              "i x.y/gpu g1+ g2+ g3+; s x.y/gpu g1+; c x.y/gpu g2+");
    CHECK_STR(affinities(g), "p/i@1; p/s@1; p/c@1");
    struct outcome *o = rig_admit(g, "q", "a x.y/gpu=1; b x.y/gpu=1");
    CHECK_INT(o->cause, DEVMGR_INSUFFICIENT_DEVICES);
    CHECK_STR(o->reason, "TopologyAffinityError");
    rig_free(g);
}

TEST(TOPO_14_an_init_container_runs_beside_the_sidecars_before_it) {
    struct rig *g = machine("restricted", "pod");
    rig_plugin(g, GPU, "g0@0 g1@0 g2@1 g3@1 g4@1", "");
    CHECK_STR(rig_admit(g, "p", "side:s x.y/gpu=1; init:i x.y/gpu=2; c x.y/gpu=1")->claims,
              "s x.y/gpu g2+; i x.y/gpu g3+ g4+; c x.y/gpu g3+"); /* three at once: not on node 0 */
    rig_free(g);
}

TEST(TOPO_29_pod_scope_refuses_what_fits_container_by_container) {
    for (int pod = 0; pod < 2; pod++) {
        struct rig *g = machine("restricted", pod ? "pod" : "container");
        rig_plugin(g, GPU, "g0@0 g1@0 g2@1 g3@1", "");
        rig_admit(g, "x", "main@0 x.y/gpu=1");
        rig_admit(g, "y", "main@1 x.y/gpu=1");
        CHECK_INT(rig_admit(g, "p", "a x.y/gpu=1; b x.y/gpu=1")->cause,
                  pod ? DEVMGR_INSUFFICIENT_DEVICES : 0);
        rig_free(g);
    }
}

TEST(pod_scope_containers_that_come_one_by_one_stay_near_what_the_pod_has) {
    struct rig *g = machine("restricted", "pod");
    rig_plugin(g, GPU, "g0@0 g1@0 g2@1 g3@1 g4@1", "");
    CHECK_STR(rig_admit(g, "x", "main x.y/gpu=1")->claims, "main x.y/gpu g0+");
    CHECK_STR(rig_admit(g, "p", "one x.y/gpu=2")->claims, "one x.y/gpu g2+ g3+");
    CHECK_STR(rig_admit(g, "p", "two x.y/gpu=1")->claims,
              "one x.y/gpu g2 g3; two x.y/gpu g4+"); /* g1 is further */
    CHECK_STR(affinities(g), "p/one@1; p/two@1; x/main@0");
    CHECK_STR(rig_admit(g, "p", "idle")->claims, "one x.y/gpu g2 g3; two x.y/gpu g4"); /* needs nothing */
    CHECK_STR(affinities(g), "p/one@1; p/two@1; p/idle@1; x/main@0");
    CHECK_INT(rig_admit(g, "p", "three x.y/gpu=1")->verdict,
              DEVMGR_ADMITTED); /* four need both nodes anyway */
    CHECK_STR(affinities(g), "p/one@1; p/two@1; p/idle@1; p/three@0,1; x/main@0");
    rig_free(g);
}

TEST(pod_scope_an_app_container_that_comes_later_takes_what_the_init_container_left) {
    struct rig *g = machine("restricted", "pod");
    rig_plugin(g, GPU, "g0@0 g1@0 g2@1", "");
    CHECK_STR(rig_admit(g, "p", "init:i x.y/gpu=2")->claims, "i x.y/gpu g0+ g1+");
    CHECK_STR(rig_admit(g, "p", "c x.y/gpu=2")->claims, "i x.y/gpu g0 g1; c x.y/gpu g0+ g1+");
    rig_free(g);
}

TEST(TOPO_12_container_scope_what_init_containers_left_must_be_near) {
    struct rig *g = machine("restricted", "container");
    rig_plugin(g, GPU, "g0@0 g1@0 g2@1 g3@1 g4@1", "");
    CHECK_STR(rig_admit(g, "p", "init:i x.y/gpu=1; c x.y/gpu=2")->claims, "i x.y/gpu g0+; c x.y/gpu g0+ g1+");
    CHECK_STR(affinities(g), "p/i@0; p/c@0");
    rig_free(g);
}

/* ---- somebody was faster ----------------------------------------------------------------------------------------------- */

/* q and then p decided for node 0 and stand in the queue behind the first pod. */
static struct rig *crowd(const char *policy, const char *devices, struct outcome **p) {
    struct rig *g = machine(policy, "container");
    rig_plugin(g, GPU, devices, "");
    g->hold_calls = 1;
    rig_admit(g, "first", "main x.y/gpu=1");
    rig_admit(g, "q", "main x.y/gpu=2");
    *p = rig_admit(g, "p", "main x.y/gpu=2");
    g->hold_calls = 0;
    rig_drain(g);
    return g;
}

TEST(an_affinity_that_others_made_impossible_is_decided_anew) {
    struct outcome *p;
    struct rig *g = crowd("restricted", "a@0 g0@0 g1@0 g2@1 g3@1", &p);
    CHECK_STR(p->claims, "main x.y/gpu g2+ g3+");
    CHECK_STR(affinities(g), "first/main@0; p/main@1; q/main@0");
    rig_free(g);
}

TEST(an_affinity_that_cannot_be_had_any_more_is_not_yet_and_never_spills) {
    struct outcome *p;
    struct rig *g = crowd("restricted", "a@0 g0@0 g1@0 g2@1 g3-@1", &p);
    CHECK_INT(p->verdict, DEVMGR_NOT_YET);
    CHECK_INT(p->cause, DEVMGR_INSUFFICIENT_DEVICES);
    CHECK_STR(p->reason, "TopologyAffinityError");
    CHECK_STR(rig_resources(g), "x.y/gpu 5/4 held 3 reserved 0 connected");
    rig_free(g);
    g = crowd("single-numa-node", "a@0 g0@0 g1@0 g2@1 g3@1 g4@0", &p);
    CHECK_STR(p->claims, "main x.y/gpu g2+ g3+");
    rig_free(g);
}

TEST(best_effort_spills) {
    struct outcome *p;
    struct rig *g = crowd("best-effort", "a@0 g0@0 g1@0 g2@0 g3@1 g4-@1", &p);
    CHECK_STR(p->claims, "main x.y/gpu g2+ g3+");
    CHECK_STR(affinities(g), "first/main@0; p/main@0; q/main@0");
    rig_free(g);
}

TEST(deciding_anew_counts_what_the_container_has_got_already) {
    struct rig *g = machine("restricted", "container");
    rig_plugin(g, "x.y/a", "a0@0 a1@1", "");
    rig_plugin(g, GPU, "g0@0 g1@1", "");
    g->hold_calls = 1;
    struct outcome *q = rig_admit(g, "q", "main x.y/gpu=1");         /* has g0, its call is open */
    struct outcome *p = rig_admit(g, "p", "main x.y/a=1 x.y/gpu=1"); /* node 1, has a1, waits for the gpu */
    CHECK_STR(rig_last(g)->ids, "a1");
    rig_list(g, GPU, "g0@0 g1-@1"); /* ... which goes bad; generation of the newest plugin is the gpu's */
    g->hold_calls = 0;
    rig_drain(g);
    CHECK_INT(q->verdict, DEVMGR_ADMITTED);
    CHECK_INT(p->cause, DEVMGR_INSUFFICIENT_DEVICES);
    CHECK_STR(rig_resources(g),
              "x.y/a 2/2 held 0 reserved 0 connected; x.y/gpu 2/1 held 1 reserved 0 connected");
    rig_free(g);
}

/* ---- waiting ----------------------------------------------------------------------------------------------------------- */

TEST(a_pod_that_waits_for_nodes_passes_when_they_are_free) {
    struct rig *g = machine("restricted", "container");
    rig_plugin(g, GPU, "g0@0 g1@0", "");
    rig_plugin(g, NIC, "n0@0 n1@1", "");
    rig_admit(g, "a", "main x.y/gpu=2");
    rig_admit(g, "b", "main x.y/nic=1");
    struct outcome *both = rig_admit_waiting(g, "p", "main x.y/gpu=1 x.y/nic=1", 60000);
    struct outcome *gpus = rig_admit_waiting(g, "r", "main x.y/gpu=1", 60000);
    rig_release(g, "a", NULL);
    CHECK_STR(gpus->claims, "main x.y/gpu g0+");
    CHECK_INT(both->told, 0); /* the nic near the gpus is taken */
    rig_release(g, "b", NULL);
    CHECK_STR(both->claims, "main x.y/gpu g1+; main x.y/nic n0+");
    rig_free(g);
}

/* ---- what stays -------------------------------------------------------------------------------------------------------- */

TEST(readmission_decides_nothing_and_the_affinity_is_saved_with_the_container) {
    struct rig *g = machine("restricted", "container");
    rig_plugin(g, GPU, "g0@0 g1@0 g2@1 g3@1", "");
    rig_admit(g, "p", "one x.y/gpu=2; two x.y/gpu=2; idle");
    CHECK_STR(affinities(g), "p/one@0; p/two@1; p/idle@0,1");
    rig_pass(g, 2000);
    rig_restart(g, DM_START_LOADED);
    CHECK_STR(affinities(g), "p/one@0; p/two@1; p/idle@0,1");
    CHECK_INT(rig_admit(g, "p", "one x.y/gpu=2; two x.y/gpu=2; idle")->verdict, DEVMGR_ADMITTED);
    rig_plugin(g, GPU, "g0@0 g1@1 g2@1 g3@1", ""); /* g1 moved: it would not be admitted anew */
    struct outcome *o = rig_admit(g, "p", "one x.y/gpu=2; two x.y/gpu=2; idle");
    CHECK_INT(o->verdict, DEVMGR_ADMITTED);
    CHECK_STR(affinities(g), "p/one@0; p/two@1; p/idle@0,1");
    rig_free(g);
}

TEST(TOPO_32_the_affinity_is_forgotten_with_the_container) {
    struct rig *g = machine("restricted", "container");
    rig_plugin(g, GPU, "g0@0 g1@0 g2@1 g3@1", "");
    rig_admit(g, "p", "one x.y/gpu=2; two x.y/gpu=2");
    rig_release(g, "p", "one");
    CHECK_STR(affinities(g), "p/two@1");
    rig_admit(g, "q", "main x.y/gpu=1");
    CHECK_INT(rig_admit(g, "p", "one x.y/gpu=2")->verdict, DEVMGR_NOT_YET);
    CHECK_STR(affinities(g), "p/two@1; q/main@0");
    rig_free(g);
}

TEST(a_decision_of_the_callers_own_overrides_and_is_a_wish) {
    struct rig *g = machine("restricted", "container");
    rig_plugin(g, GPU, "g0@0 g1@0 g2@1 g3@1", "");
    CHECK_STR(rig_admit(g, "p", "main@1 x.y/gpu=3; none@ x.y/gpu=1")->claims,
              "main x.y/gpu g0+ g2+ g3+; none x.y/gpu g1+");
    CHECK_STR(affinities(g), "p/main@1; p/none");
    rig_free(g);
    g = machine("restricted", "pod");
    rig_plugin(g, GPU, "g0@0 g1@0 g2@1 g3@1", "");
    CHECK_STR(rig_admit(g, "p", "main@1 x.y/gpu=1; a x.y/gpu=1; b x.y/gpu=1")->claims,
              "main x.y/gpu g2+; a x.y/gpu g0+; b x.y/gpu g1+");
    CHECK_STR(affinities(g), "p/main@1; p/a@0,1; p/b@0,1");
    rig_free(g);
}

/* ---- nodes that change ------------------------------------------------------------------------------------------------- */

TEST(DEV_01_TOPO_01_06_07_a_node_that_disappears_from_a_live_plugins_list_is_no_choice_any_more) {
    struct rig *g = machine("restricted", "container");
    rig_plugin(g, GPU, "g0@0 g1@1", "");
    rig_admit(g, "a", "main x.y/gpu=1");
    rig_list(g, GPU, "g0@0 g1"); /* node 1 is not told any more */
    struct outcome *o = rig_admit(g, "p", "main x.y/gpu=1");
    CHECK_INT(o->verdict, DEVMGR_NOT_YET); /* TOPO-06: g1 is free, and counts for no node; g0 would do */
    mentions(o->detail, "none on any node");
    rig_list(g, GPU, "g0 g1");
    CHECK_STR(rig_admit(g, "p", "main x.y/gpu=1")->claims,
              "main x.y/gpu g1+"); /* TOPO-01: nobody has a preference */
    CHECK_STR(affinities(g), "a/main@0; p/main@0,1");
    rig_free(g);
}

TEST(DEV_01_TOPO_07_a_device_that_moves_to_another_node_counts_there) {
    struct rig *g = machine("restricted", "container");
    rig_plugin(g, GPU, "g0@0 g1@1", "");
    rig_list(g, GPU, "g0@1 g1@1");
    CHECK_STR(rig_admit(g, "p", "main x.y/gpu=2")->claims, "main x.y/gpu g0+ g1+");
    CHECK_STR(affinities(g), "p/main@1");
    rig_list(g, GPU, "g0@0 g1@1");
    CHECK_INT(rig_admit(g, "p", "main x.y/gpu=2")->verdict, DEVMGR_ADMITTED);
    rig_free(g);
}

TEST(TOPO_08_nodes_that_the_machine_does_not_have_do_not_count) {
    struct rig *g = machine("restricted", "container");
    rig_plugin(g, GPU, "g0@5 g1@0", "");
    CHECK_STR(rig_admit(g, "p", "main x.y/gpu=1")->claims, "main x.y/gpu g1+");
    CHECK_INT(rig_admit(g, "q", "main x.y/gpu=1")->verdict, DEVMGR_NOT_YET);
    rig_free(g);
}

/* ---- hint providers ---------------------------------------------------------------------------------------------------- */

struct cpus { /* a provider that writes down what it is told */
    uint64_t numa;
    int kind, preferred, fail_hints, fail_at_take;
    int takes;
    char log[2000];
};

static int cpu_hints(void *arg, const char *uid, const char *container, devmgr_hint_cb add, void *add_arg) {
    struct cpus *c = arg;
    devmgr_hint hint = {"cpu", c->kind, c->preferred, c->numa};
    rig_add(c->log, sizeof c->log, "hints %s/%s; ", uid, container ? container : "*");
    if (c->fail_hints)
        return -EIO;
    return c->kind < 0 ? 0 : add(add_arg, &hint);
}

static int cpu_take(void *arg, const char *uid, const char *container, uint64_t numa, devmgr_error *reterr) {
    struct cpus *c = arg;
    rig_add(c->log, sizeof c->log, "take %s/%s %llx; ", uid, container, (unsigned long long)numa);
    if (++c->takes != c->fail_at_take)
        return 0;
    snprintf(reterr->message, sizeof reterr->message, "no whole core is left");
    return reterr->code = -ENOSPC;
}

static void cpu_give_back(void *arg, const char *uid) {
    struct cpus *c = arg;
    rig_add(c->log, sizeof c->log, "back %s; ", uid);
}

static struct rig *with_cpus(const char *policy, const char *scope, struct cpus *c) {
    devmgr_provider p = {sizeof p, c, cpu_hints, cpu_take, cpu_give_back};
    struct rig *g = machine(policy, scope);
    rig_plugin(g, GPU, "g0@0 g1@0 g2@1 g3@1", "");
    if (dm_manager_add_provider(g->m, &p) < 0)
        CHECK_FAIL("the provider was not added");
    return g;
}

TEST(a_provider_has_its_say_and_takes_before_the_devices_are_allocated) {
    struct cpus c = {.numa = 2, .preferred = 1};
    struct rig *g = with_cpus("restricted", "container", &c);
    CHECK_STR(rig_admit(g, "p", "one x.y/gpu=1; two")->claims, "one x.y/gpu g2+");
    CHECK_STR(affinities(g), "p/one@1; p/two@1");
    CHECK_STR(c.log, "hints p/one; take p/one 2; hints p/two; take p/two 2; ");
    c.log[0] = 0;
    rig_admit(g, "p", "one x.y/gpu=1; two");
    CHECK_STR(c.log, ""); /* what it has stays */
    rig_free(g);
}

TEST(a_provider_is_asked_once_for_the_pod_and_not_at_all_with_policy_none) {
    struct cpus c = {.numa = 2, .preferred = 1};
    struct rig *g = with_cpus("single-numa-node", "pod", &c);
    rig_admit(g, "p", "one x.y/gpu=1; two x.y/gpu=1");
    CHECK_STR(c.log, "hints p/*; take p/one 2; take p/two 2; ");
    rig_free(g);
    c = (struct cpus){.numa = 2};
    g = with_cpus("none", "container", &c);
    rig_admit(g, "p", "one x.y/gpu=1");
    CHECK_STR(c.log, "take p/one 0; ");
    rig_free(g);
}

TEST(what_a_provider_cannot_serve_is_refused_whatever_the_devices) {
    struct cpus c = {.kind = DEVMGR_HINT_IMPOSSIBLE};
    struct rig *g = with_cpus("restricted", "container", &c);
    struct outcome *o = rig_admit(g, "p", "one x.y/gpu=1");
    CHECK_INT(o->cause, DEVMGR_NO_AFFINITY);
    mentions(o->detail, "cpu: no nodes would do");
    CHECK_STR(c.log, "hints p/one; ");
    c = (struct cpus){.kind = -1}; /* no preference */
    CHECK_STR(rig_admit(g, "p", "one x.y/gpu=1")->claims, "one x.y/gpu g0+");
    c = (struct cpus){.kind = DEVMGR_HINT_ANY};
    CHECK_STR(rig_admit(g, "q", "one x.y/gpu=1")->claims, "one x.y/gpu g1+");
    c = (struct cpus){.fail_hints = 1};
    o = rig_admit(g, "r", "one x.y/gpu=1");
    CHECK_INT(o->cause, DEVMGR_PROVIDER_REFUSED);
    mentions(o->detail, "EIO");
    rig_free(g);
}

TEST(a_provider_that_refuses_to_take_ends_it_with_its_words_and_the_others_give_back) {
    struct cpus first = {.kind = -1}, second = {.kind = -1, .fail_at_take = 2};
    devmgr_provider p = {sizeof p, &second, cpu_hints, cpu_take, cpu_give_back};
    struct rig *g = with_cpus("best-effort", "container", &first);
    CHECK_INT(dm_manager_add_provider(g->m, &p), 0);
    struct outcome *o = rig_admit(g, "p", "one x.y/gpu=1; two x.y/gpu=1");
    CHECK_INT(o->verdict, DEVMGR_REFUSED);
    CHECK_INT(o->cause, DEVMGR_PROVIDER_REFUSED);
    CHECK_STR(o->reason, "UnexpectedAdmissionError");
    CHECK_STR(o->message, "Allocate failed due to no whole core is left, which is unexpected");
    CHECK_STR(o->container, "two");
    mentions(o->detail, "default/p|container two|no whole core is left");
    CHECK_STR(first.log, "hints p/one; take p/one 1; hints p/two; take p/two 1; back p; ");
    CHECK_STR(second.log, "hints p/one; take p/one 1; hints p/two; take p/two 1; back p; ");
    CHECK_STR(rig_resources(g), "x.y/gpu 4/4 held 0 reserved 0 connected");
    rig_free(g);
}

TEST(a_provider_gives_back_on_every_later_failure) {
    static const char *const ways[] = {"plugin", "disk", "cancel", "lacking"};
    EACH(way, ways) {
        struct cpus c = {.kind = -1};
        struct rig *g = with_cpus("best-effort", "container", &c);
        g->answer = **way == 'p' ? "bad" : NULL;
        g->fail_saves = **way == 'd';
        g->hold_calls = **way == 'c';
        struct outcome *o = rig_admit(g, "p", **way == 'l' ? "one x.y/gpu=5" : "one x.y/gpu=1");
        if (**way == 'c')
            rig_release(g, "p", NULL);
        CHECK_INT(o->told, 1);
        CHECK(o->verdict != DEVMGR_ADMITTED);
        CHECK_STR(strstr(c.log, "take"), **way == 'l' ? "take p/one 3; back p; " : "take p/one 1; back p; ");
        rig_free(g);
    }
}

TEST(a_provider_takes_again_when_the_nodes_are_decided_anew) {
    struct cpus c = {.kind = -1};
    struct rig *g = with_cpus("restricted", "container", &c);
    g->hold_calls = 1;
    rig_admit(g, "q", "main x.y/gpu=2");
    struct outcome *p = rig_admit(g, "p", "zero; main x.y/gpu=2");
    c.log[0] = 0;
    rig_list(g, GPU, "g0@1 g1@1 g2@0 g3@0"); /* before its turn all change places */
    g->hold_calls = 0;
    rig_drain(g);
    CHECK_STR(p->claims, "main x.y/gpu g2+ g3+");
    CHECK_STR(c.log, "back p; take p/zero 3; hints p/main; take p/main 1; ");
    rig_free(g);
}
