/* The kubelet's rules of allocation one by one (ALLOC-*, tests/contract/rows.tsv), as far as the tests of the single files
 * do not carry their ids: what is picked, what the plugin is asked, who is freed when. */
#include "manager_rig.h"
#include "manifest.h"

static const char *
asked(struct rig *g) { /* since the last look: "preferred g0 g1 must g0 size 2; allocate g0 g1; " */
    static const char *const names[] = {"preferred", "allocate", "prestart"};
    static char out[4000];
    out[0] = 0;
    for (size_t i = 0; i < g->n_calls; i++) {
        rig_add(out, sizeof out, "%s %s", names[g->calls[i].rpc], g->calls[i].ids);
        if (g->calls[i].rpc == DM_RPC_PREFERRED)
            rig_add(out, sizeof out, " must %s size %u", g->calls[i].must, g->calls[i].size);
        rig_add(out, sizeof out, "; ");
    }
    g->n_calls = 0;
    return out;
}

/* ---- what is asked for --------------------------------------------------------------------------------------------- */

TEST(ALLOC_01_a_fraction_of_a_device_is_refused_by_name) {
    static const char text[] =
        "{\"kind\": \"Pod\", \"metadata\": {\"name\": \"p\"}, \"spec\": {\"containers\": [{\"name\": \"c\", "
        "\"resources\": {\"limits\": {\"x.y/gpu\": \"1500m\"}}}]}}";
    devmgr_pod *pod = NULL;
    devmgr_error err;
    size_t used;
    CHECK_INT(devmgr_pod_from_manifest(text, sizeof text - 1, &used, &pod, &err), DEVMGR_EINVALID);
    CHECK_STR(err.message, "line 1: spec.containers[0].resources.limits[x.y/gpu]: \"1500m\": must be a whole "
                           "number of devices");
}

TEST(ALLOC_05_each_call_has_a_deadline_of_its_own) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1 g2", "preferred");
    g->hold_calls = 1;
    struct outcome *o = rig_admit(g, "p", "main x.y/gpu=1");
    CHECK_INT((int)rig_last(g)->timeout, 10000);
    rig_answer(g, rig_last(g), 0, "");
    CHECK_INT((int)rig_last(g)->timeout, 60000);
    rig_answer(g, rig_last(g), DM_DEADLINE_EXCEEDED, "context deadline exceeded");
    CHECK_INT(o->cause, DEVMGR_PLUGIN_TIMEOUT);
    rig_free(g);
}

TEST(ALLOC_06_a_resource_whose_plugin_is_gone_for_good_is_unregistered) {
    struct rig *g = rig_new(NULL);
    uint64_t generation = rig_plugin(g, "x.y/gpu", "g0 g1", "");
    rig_admit(g, "before", "main x.y/gpu=1");
    rig_gone(g, "x.y/gpu", generation);
    rig_pass(g, 5 * 60 * 1000);
    struct outcome *o = rig_admit(g, "p", "main x.y/gpu=1");
    CHECK_STR(o->message,
              "Allocate failed due to cannot allocate unregistered device x.y/gpu, which is unexpected");
    CHECK_STR(o->reason, "UnexpectedAdmissionError");
    rig_free(g);
}

TEST(ALLOC_09_a_request_for_none_is_admitted_without_a_call) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1-", "preferred");
    struct outcome *o = rig_admit(g, "p", "main x.y/gpu=0");
    CHECK_INT(o->verdict, DEVMGR_ADMITTED);
    CHECK_STR(o->claims, "");
    CHECK_STR(asked(g), "");
    rig_free(g);
}

TEST(ALLOC_10_the_text_counts_what_is_still_needed_and_what_is_free) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1 g2-", "");
    struct outcome *o = rig_admit(g, "p", "init:i x.y/gpu=1; main x.y/gpu=3"); /* one can be used again */
    CHECK_STR(o->message, "Allocate failed due to requested number of devices unavailable for x.y/gpu. "
                          "Requested: 2, Available: 1, which is unexpected");
    rig_free(g);
}

/* ---- what a restart changes ---------------------------------------------------------------------------------------- */

static struct rig *restarted(const char *devices) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1 g2", "");
    rig_admit(g, "p", "main x.y/gpu=2");
    rig_restart(g, DM_START_LOADED);
    if (devices)
        rig_plugin(g, "x.y/gpu", devices, "");
    return g;
}

TEST(ALLOC_14_what_runs_keeps_its_devices_whatever_they_are) {
    static const char *const lists[] = {NULL, "g0- g1 g2", "g2", ""};
    EACH(list, lists) {
        struct rig *g = restarted(*list);
        CHECK_STR(rig_admit(g, "p", "main* x.y/gpu=2")->claims, "main x.y/gpu g0 g1");
        CHECK_STR(asked(g), "");
        CHECK_STR(rig_admit(g, "p", "main* x.y/gpu=3")->message, /* but for the count, as in the kubelet */
                  "Allocate failed due to pod \"p\" container \"main\" changed request for resource "
                  "\"x.y/gpu\" from 2 to 3, which is unexpected");
        rig_free(g);
    }
}

TEST(ALLOC_15_what_does_not_run_is_checked_against_the_plugin_that_is_back) {
    struct rig *g = restarted("g0- g1 g2");
    struct outcome *o = rig_admit(g, "p", "main x.y/gpu=2");
    CHECK_INT(o->cause, DEVMGR_HELD_UNHEALTHY);
    CHECK_STR(o->message,
              "Allocate failed due to previously allocated devices are no longer healthy; cannot allocate "
              "unhealthy devices x.y/gpu, which is unexpected");
    rig_free(g);
    g = restarted("g0 g1 g2-");
    CHECK_STR(rig_admit(g, "p", "main x.y/gpu=2")->claims, "main x.y/gpu g0 g1");
    rig_free(g);
}

TEST(ALLOC_16_running_may_be_said_of_each_of_several_runtime_containers) {
    struct rig *g = restarted("g0- g1 g2");
    struct outcome *o = rig_outcome(g);
    devmgr_pod *p = rig_pod("p", "main x.y/gpu=2", 0);
    CHECK_INT(devmgr_pod_running(p, "main"), 0);
    CHECK_INT(devmgr_pod_running(p, "main"), 0);
    CHECK_INT(dm_manager_admit(g->m, p, rig_on_admit, o, NULL), 0);
    devmgr_pod_free(p);
    rig_drain(g);
    CHECK_INT(o->verdict, DEVMGR_ADMITTED);
    rig_free(g);
}

TEST(ALLOC_18_19_of_what_init_containers_left_each_device_goes_to_one_container) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1 g2 g3", "");
    CHECK_STR(rig_admit(g, "p", "init:i x.y/gpu=2; side:s x.y/gpu=1; one x.y/gpu=1; two x.y/gpu=1")->claims,
              "i x.y/gpu g0+ g1+; s x.y/gpu g0+; one x.y/gpu g1+; two x.y/gpu g2+");
    rig_free(g);
}

/* ---- which devices ------------------------------------------------------------------------------------------------- */

TEST(ALLOC_20_what_init_containers_left_comes_before_what_is_aligned) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0@0 g1@1 g2@1", "");
    CHECK_STR(rig_admit(g, "p", "init:i@0 x.y/gpu=1; main@1 x.y/gpu=2")->claims,
              "i x.y/gpu g0+; main x.y/gpu g0+ g1+");
    rig_free(g);
    g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0@0 g1@1 g2@1", "");
    rig_admit(g, "p", "init:i@0 x.y/gpu=1");
    rig_list(g, "x.y/gpu", "g0-@0 g1@1 g2@1"); /* the kubelet would hand it on */
    CHECK_STR(rig_admit(g, "p", "main@0 x.y/gpu=1")->claims, "i x.y/gpu g0; main x.y/gpu g1+");
    rig_free(g);
}

static const struct {
    const char *devices, *spec, *want;
} picks[] = {
    {"g0 g1@0 g2@1", "main@1 x.y/gpu=2", "main x.y/gpu g1+ g2+"}, /* aligned, other nodes, then none */
    {"g0 g1@0 g2@1", "main@1 x.y/gpu=1", "main x.y/gpu g2+"},
    {"g0 g1@0 g2@1", "main@1 x.y/gpu=3", "main x.y/gpu g0+ g1+ g2+"},
    {"g0@0 g1@0,1 g2@2", "main@1 x.y/gpu=1", "main x.y/gpu g1+"}, /* one of its nodes is enough */
    {"g0@0 g1@2,3 g2@0,1", "main@1,3 x.y/gpu=2", "main x.y/gpu g1+ g2+"},
    {"g0@1 g1@0 g2@1", "main x.y/gpu=2", "main x.y/gpu g0+ g1+"}, /* no affinity: no split */
    {"g0 g1 g2", "main@1 x.y/gpu=2", "main x.y/gpu g0+ g1+"},     /* no topology: no split */
};

TEST(ALLOC_22_23_24_near_devices_first_where_there_is_something_to_be_near_to) {
    EACH(row, picks) {
        struct rig *g = rig_new(NULL);
        rig_plugin(g, "x.y/gpu", row->devices, "");
        CHECK_STR(rig_admit(g, "p", row->spec)->claims, row->want);
        rig_free(g);
    }
}

TEST(ALLOC_24_without_affinity_or_topology_the_plugin_chooses_from_all_that_is_free) {
    static const char *const rows[][2] = {{"g0@0 g1@1 g2@1", "main x.y/gpu=1"},
                                          {"g0 g1 g2", "main@1 x.y/gpu=1"}};
    EACH(row, rows) {
        struct rig *g = rig_new(NULL);
        rig_plugin(g, "x.y/gpu", (*row)[0], "preferred");
        rig_admit(g, "p", (*row)[1]);
        CHECK_STR(asked(g), "preferred g0 g1 g2 must  size 1; allocate g0; ");
        rig_free(g);
    }
}

/* ---- what the plugin is asked about -------------------------------------------------------------------------------- */

TEST(ALLOC_25_a_choice_among_the_aligned_is_the_plugins) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0@0 g1@0 g2@1 g3@1 g4@1", "preferred");
    rig_admit(g, "p", "main@1 x.y/gpu=2");
    CHECK_STR(asked(g), "preferred g2 g3 g4 must  size 2; allocate g2 g3; ");
    rig_release(g, "p", NULL);
    rig_admit(g, "q", "init:i@0 x.y/gpu=1; main@1 x.y/gpu=2"); /* g0 is taken again: it must be in */
    CHECK_STR(asked(g), "preferred g0 g1 must  size 1; allocate g0; "
                        "preferred g0 g2 g3 g4 must g0 size 2; allocate g0 g2; ");
    rig_free(g);
}

TEST(ALLOC_26_where_there_is_no_choice_among_the_aligned_the_plugin_is_not_asked) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0@0 g1@0 g2@1 g3@1 g4@1", "preferred");
    rig_admit(g, "p", "main@1 x.y/gpu=3");
    CHECK_STR(asked(g), "allocate g2 g3 g4; ");
    rig_admit(g, "q", "main x.y/gpu=2"); /* without an affinity it is, also without a choice */
    CHECK_STR(asked(g), "preferred g0 g1 must  size 2; allocate g0 g1; ");
    rig_free(g);
}

TEST(ALLOC_27_when_the_aligned_are_not_enough_the_rest_is_the_plugins_choice) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0@0 g1@0 g2@1 g3@1 g4", "preferred");
    g->hold_calls = 1;
    rig_admit(g, "p", "main@1 x.y/gpu=3");
    rig_answer(g, rig_last(g), 0, "g2 g3 g4"); /* the one without a node, though g0 would be nearer */
    CHECK_STR(asked(g), "preferred g0 g1 g2 g3 g4 must g2 g3 size 3; allocate g2 g3 g4; ");
    rig_free(g);
}

TEST(ALLOC_28_29_30_a_preference_counts_as_far_as_it_fits) {
    static const struct {
        const char *answer, *want;
    } rows[] = {{"g4 zz g3", "g3 g4"}, {"g0 g4", "g2 g4"}, {"g4", "g2 g4"}, {"", "g2 g3"}, {"zz", "g2 g3"}};
    EACH(row, rows) {
        struct rig *g = rig_new(NULL);
        rig_plugin(g, "x.y/gpu", "g0@0 g1@0 g2@1 g3@1 g4@1", "preferred");
        g->hold_calls = 1;
        rig_admit(g, "p", "main@1 x.y/gpu=2");
        rig_answer(g, rig_last(g), 0, row->answer);
        CHECK_INT(rig_last(g)->rpc, DM_RPC_ALLOCATE);
        CHECK_STR(rig_last(g)->ids, row->want);
        rig_free(g);
    }
}

TEST(ALLOC_31_who_did_not_offer_preferences_is_not_asked) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1 g2", "");
    rig_admit(g, "p", "main x.y/gpu=1");
    CHECK_STR(asked(g), "allocate g0; ");
    rig_plugin(g, "x.y/gpu", "g0 g1 g2", "preferred"); /* what the last registration said counts */
    rig_admit(g, "q", "main x.y/gpu=1");
    CHECK_STR(asked(g), "preferred g1 g2 must  size 1; allocate g1; ");
    rig_plugin(g, "x.y/gpu", "g0 g1 g2", "");
    rig_admit(g, "r", "main x.y/gpu=1");
    CHECK_STR(asked(g), "allocate g2; ");
    rig_free(g);
}

/* ---- what is kept, and who is freed -------------------------------------------------------------------------------- */

TEST(ALLOC_39_41_a_pod_is_one_durable_write_and_all_or_nothing) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/a", "a0 a1 a2", "");
    rig_plugin(g, "x.y/b", "b0 b1", "");
    rig_admit(g, "p", "one x.y/a=1 x.y/b=1; two x.y/a=1");
    CHECK_INT(g->n_durable, 1);
    CHECK_INT((int)g->disk->n_claims, 3);
    g->hold_calls = 1;
    struct outcome *o = rig_admit(g, "q", "one x.y/a=1; two x.y/b=1");
    rig_answer(g, rig_last(g), 0, "");
    rig_answer(g, rig_last(g), DM_UNKNOWN, "no way");
    CHECK_INT(o->verdict, DEVMGR_REFUSED);
    CHECK_STR(rig_resources(g),
              "x.y/a 3/3 held 2 reserved 0 connected; x.y/b 2/2 held 1 reserved 0 connected");
    CHECK_INT(g->n_durable, 1);
    rig_free(g);
}

TEST(ALLOC_34_41_a_container_that_held_something_before_gets_no_more_when_it_fails) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/a", "a0", "");
    rig_plugin(g, "x.y/b", "b0 b1", "");
    rig_admit(g, "p", "one x.y/a=1");
    g->hold_calls = 1;
    rig_admit(g, "p", "one x.y/a=1 x.y/b=1");
    rig_answer(g, rig_last(g), DM_UNKNOWN, "no way");
    CHECK_STR(rig_resources(g),
              "x.y/a 1/1 held 1 reserved 0 connected; x.y/b 2/2 held 0 reserved 0 connected");
    CHECK_STR(rig_held(g), "p/one a0");
    rig_free(g);
}

TEST(ALLOC_41_who_waits_for_a_later_container_keeps_nothing_of_the_earlier_ones) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/a", "a0", "");
    rig_plugin(g, "x.y/b", "b0-", "");
    struct outcome *o = rig_admit_waiting(g, "p", "one x.y/a=1; two x.y/b=1", 60000);
    CHECK_INT(o->told, 0);
    CHECK_STR(rig_resources(g),
              "x.y/a 1/1 held 0 reserved 0 connected; x.y/b 1/0 held 0 reserved 0 connected");
    CHECK_STR(rig_admit(g, "q", "main x.y/a=1")->claims, "main x.y/a a0+");
    rig_free(g);
}

TEST(ALLOC_42_nobody_is_freed_but_by_being_released) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1", "");
    rig_admit(g, "ended", "main x.y/gpu=1");
    rig_pass(g, 24 * 60 * 60 * 1000);
    CHECK_INT(rig_admit(g, "p", "main x.y/gpu=2")->cause, DEVMGR_INSUFFICIENT_DEVICES);
    CHECK_STR(rig_held(g), "ended/main g0");
    rig_release(g, "ended", NULL);
    CHECK_STR(rig_admit(g, "p", "main x.y/gpu=2")->claims, "main x.y/gpu g0+ g1+");
    rig_free(g);
}

TEST(ALLOC_43_freeing_tells_the_plugin_nothing_and_is_saved) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1", "prestart");
    rig_admit(g, "p", "main x.y/gpu=1");
    asked(g);
    CHECK_STR(rig_release(g, "p", NULL)->uids, "p");
    CHECK_STR(asked(g), "");
    CHECK_STR(rig_disk(g), "");
    CHECK_INT(g->disk_durable, 1);
    rig_free(g);
}

TEST(ALLOC_44_an_admitted_pod_keeps_its_devices_whatever_becomes_of_it_until_it_is_released) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1", "");
    rig_admit(g, "turned-away", "main x.y/gpu=1"); /* by somebody who was asked after us */
    CHECK_STR(rig_admit(g, "p", "main x.y/gpu=1")->claims, "main x.y/gpu g1+");
    rig_restart(g, DM_START_LOADED);
    CHECK_STR(rig_held(g), "p/main g1?; turned-away/main g0?");
    rig_release(g, "turned-away", NULL);
    CHECK_STR(rig_held(g), "p/main g1?");
    rig_free(g);
}

TEST(ALLOC_46_a_release_during_a_call_leaves_the_calls_reservation_alone) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1", "");
    rig_admit(g, "ended", "main x.y/gpu=1");
    g->hold_calls = 1;
    struct outcome *open = rig_admit(g, "open", "main x.y/gpu=1");
    struct rig_call *its_call = rig_last(g);
    CHECK_STR(its_call->ids, "g1");
    rig_release(g, "ended", NULL);
    struct outcome *next = rig_admit(g, "next", "main x.y/gpu=1"),
                   *late = rig_admit(g, "late", "main x.y/gpu=1");
    rig_answer(g, its_call, 0, "");
    CHECK_STR(open->claims, "main x.y/gpu g1+");
    rig_answer(g, rig_last(g), 0, "");
    CHECK_STR(next->claims, "main x.y/gpu g0+");
    CHECK_INT(late->cause, DEVMGR_INSUFFICIENT_DEVICES);
    CHECK_STR(rig_held(g), "next/main g0; open/main g1");
    rig_free(g);
}
