/* Admissions that pass: what is picked, asked, stored, shown; init containers; re-admission. ALLOC-*. */
#include "manager_rig.h"

static const char *calls(struct rig *g) { /* since the last look: "allocate x.y/gpu: g0 g1; " */
    static const char *const names[] = {"preferred", "allocate", "prestart"};
    static char out[4000];
    out[0] = 0;
    for (size_t i = 0; i < g->n_calls; i++) {
        rig_add(out, sizeof out, "%s %s: %s", names[g->calls[i].rpc], g->calls[i].resource, g->calls[i].ids);
        if (g->calls[i].rpc == DM_RPC_PREFERRED)
            rig_add(out, sizeof out, " must %s size %u", g->calls[i].must, g->calls[i].size);
        rig_add(out, sizeof out, "; ");
    }
    g->n_calls = 0;
    return out;
}

TEST(ALLOC_03_one_call_per_container_and_resource_containers_in_order_resources_by_name) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/b", "b0 b1 b2", "");
    rig_plugin(g, "x.y/a", "a0 a1 a2", "");
    struct outcome *o = rig_admit(g, "p", "two x.y/b=1 x.y/a=2; one x.y/b=2");
    CHECK_INT(o->verdict, DEVMGR_ADMITTED);
    CHECK_STR(calls(g), "allocate x.y/a: a0 a1; allocate x.y/b: b0; allocate x.y/b: b1 b2; ");
    CHECK_STR(o->claims, "two x.y/a a0+ a1+; two x.y/b b0+; one x.y/b b1+ b2+");
    CHECK_STR(o->message, "");
    CHECK_INT(g->n_durable, 1); /* ALLOC-39, ours: one durable write per pod */
    rig_free(g);
}

TEST(ALLOC_01_only_limits_that_are_ours_count) {
    struct rig *g = rig_new("ignore-resources=vendor.example/*");
    rig_plugin(g, "x.y/a", "a0 a1", "");
    struct outcome *o = rig_admit(
        g, "p", "main cpu=4 memory=100 hugepages-2Mi=1 vendor.example/x=1 kubernetes.io/z=1 x.y/a=1");
    CHECK_STR(o->claims, "main x.y/a a0+");
    rig_free(g);
}

TEST(ALLOC_01_unknown_resource_skip_is_the_kubelets_way) {
    struct rig *g = rig_new("unknown-resource=skip");
    rig_plugin(g, "x.y/a", "a0 a1", "");
    CHECK_STR(rig_admit(g, "p", "main no.such/thing=1 x.y/a=1")->claims, "main x.y/a a0+");
    rig_free(g);
}

TEST(ALLOC_08_09_W19_a_request_for_none_passes_also_when_nothing_is_healthy) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/a", "a0-", "");
    struct outcome *o = rig_admit(g, "p", "main x.y/a=0 x.y/nobody=0");
    CHECK_INT(o->verdict, DEVMGR_ADMITTED);
    CHECK_STR(calls(g), "");
    CHECK_INT(g->n_durable, 0); /* nothing to save */
    rig_free(g);
}

TEST(a_pod_without_devices_is_admitted_shown_and_not_saved) {
    struct rig *g = rig_new(NULL);
    struct outcome *o = rig_admit(g, "p", "main; other");
    CHECK_INT(o->verdict, DEVMGR_ADMITTED);
    CHECK_INT(g->n_saves, 0);
    CHECK_STR(g->events, "admitted p; ");
    CHECK_STR(rig_release(g, "p", NULL)->uids, ""); /* it lost no devices */
    CHECK_STR(g->events, "admitted p; released p; ");
    rig_free(g);
}

TEST(ALLOC_04_36_answers_are_kept_verbatim_and_ids_by_node) {
    struct rig *g = rig_new(NULL);
    g->answer = "env A=1\nmount /c=/h";
    rig_plugin(g, "x.y/a", "a0@0 a1@0,1 a2", "");
    rig_admit(g, "p", "main x.y/a=3");
    CHECK_STR(rig_disk(g), "p/main x.y/a -1:a2 0:a0,a1 1:a1");
    CHECK_INT((int)g->disk->claims[0]->answer_len, (int)strlen(g->answer));
    CHECK_STR(rig_options(g, "p", "main", 0)->options, "env A=1 mount /c=/h ");
    rig_free(g);
}

TEST(ALLOC_17_what_a_plain_init_container_holds_later_containers_take) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1 g2 g3", "");
    struct outcome *o = rig_admit(g, "p", "init:i0 x.y/gpu=2; init:i1 x.y/gpu=1; c0 x.y/gpu=1; c1 x.y/gpu=1");
    CHECK_STR(o->claims, "i0 x.y/gpu g0+ g1+; i1 x.y/gpu g0+; c0 x.y/gpu g0+; c1 x.y/gpu g1+");
    CHECK_STR(rig_resources(g), "x.y/gpu 4/4 held 2 reserved 0 connected"); /* distinct ids */
    rig_free(g);
}

TEST(ALLOC_18_a_sidecar_takes_from_init_containers_and_keeps_what_it_has) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1 g2 g3", "preferred");
    struct outcome *o = rig_admit(g, "p", "side:s0 x.y/gpu=1; init:i1 x.y/gpu=2; c0 x.y/gpu=3");
    CHECK_STR(o->claims, "s0 x.y/gpu g0+; i1 x.y/gpu g1+ g2+; c0 x.y/gpu g1+ g2+ g3+");
    CHECK_STR(calls(g), "preferred x.y/gpu: g0 g1 g2 g3 must  size 1; allocate x.y/gpu: g0; "
                        "preferred x.y/gpu: g1 g2 g3 must  size 2; allocate x.y/gpu: g1 g2; "
                        "preferred x.y/gpu: g1 g2 g3 must g1 g2 size 3; allocate x.y/gpu: g1 g2 g3; ");
    o = rig_admit(g, "q", "init:i0 x.y/gpu=0; side:s x.y/gpu=1");
    CHECK_INT(o->verdict, DEVMGR_NOT_YET); /* nothing is left */
    rig_free(g);
}

TEST(ALLOC_19_app_containers_never_share) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1", "");
    CHECK_INT(rig_admit(g, "p", "c0 x.y/gpu=1; c1 x.y/gpu=2")->cause, DEVMGR_INSUFFICIENT_DEVICES);
    CHECK_STR(rig_admit(g, "p", "c0 x.y/gpu=1; c1 x.y/gpu=1")->claims, "c0 x.y/gpu g0+; c1 x.y/gpu g1+");
    rig_free(g);
}

TEST(ALLOC_21_P31_reuse_survives_other_pods_one_by_one_admission_and_restarts) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1 g2", "");
    rig_admit(g, "p", "init:i x.y/gpu=2");
    rig_admit(g, "q", "c x.y/gpu=1");
    rig_restart(g, DM_START_LOADED);
    rig_plugin(g, "x.y/gpu", "g0 g1 g2", "");
    CHECK_STR(rig_admit(g, "p", "c0 x.y/gpu=1")->claims, "i x.y/gpu g0 g1; c0 x.y/gpu g0+");
    CHECK_STR(rig_admit(g, "p", "c1 x.y/gpu=1")->claims, "i x.y/gpu g0 g1; c0 x.y/gpu g0; c1 x.y/gpu g1+");
    CHECK_INT(rig_admit(g, "p", "c2 x.y/gpu=1")->cause, DEVMGR_INSUFFICIENT_DEVICES);
    rig_free(g);
}

TEST(reuse_does_not_hand_on_an_unhealthy_device) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1", "");
    rig_admit(g, "p", "init:i x.y/gpu=1");
    rig_list(g, "x.y/gpu", "g0- g1");
    CHECK_STR(rig_admit(g, "p", "c x.y/gpu=1")->claims, "i x.y/gpu g0; c x.y/gpu g1+");
    rig_free(g);
}

TEST(kinds_unknown_from_a_kubelets_file_are_told_by_the_readmission) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1", "");
    rig_admit(g, "p", "init:i x.y/gpu=1; c x.y/gpu=1");
    rig_pass(g, 2000);
    for (size_t i = 0; i < g->disk->n_pods; i++) /* as a kubelet would write it */
        dm_saved_pod_unref(g->disk->pods[i]);
    g->disk->n_pods = 0;
    rig_restart(g, DM_START_LOADED);
    CHECK_STR(rig_held(g), "p/i g0?; p/c g0?");
    struct outcome *o = rig_admit(g, "p", "init:i x.y/gpu=1; c x.y/gpu=1");
    CHECK_INT(o->verdict, DEVMGR_ADMITTED);
    CHECK_STR(o->claims, "i x.y/gpu g0; c x.y/gpu g0");
    rig_plugin(g, "x.y/gpu", "g0 g1", "");
    rig_init_done(g, "p");
    CHECK_STR(rig_held(g), "p/c g0");
    rig_free(g);
}

TEST(P02_readmission_answers_from_the_claims_without_a_call_or_a_write) {
    struct rig *g = rig_new(NULL);
    uint64_t generation = rig_plugin(g, "x.y/gpu", "g0 g1", "");
    rig_admit(g, "p", "main x.y/gpu=1");
    calls(g);
    int saves = g->n_saves;
    struct outcome *o = rig_admit(g, "p", "main x.y/gpu=1");
    CHECK_INT(o->verdict, DEVMGR_ADMITTED);
    CHECK_STR(o->claims, "main x.y/gpu g0");
    rig_gone(g, "x.y/gpu", generation);
    CHECK_STR(rig_admit(g, "p", "main x.y/gpu=1")->claims, "main x.y/gpu g0"); /* plugin gone */
    rig_pass(g, 6 * 60 * 1000);
    CHECK_STR(rig_admit(g, "p", "main x.y/gpu=1")->claims, "main x.y/gpu g0"); /* removed */
    rig_connect(g, "x.y/gpu", "");
    CHECK_STR(rig_admit(g, "p", "main x.y/gpu=1")->claims, "main x.y/gpu g0"); /* not listed yet */
    CHECK_STR(calls(g), "");
    CHECK_INT(g->n_durable, 1);
    (void)saves;
    rig_free(g);
}

TEST(ALLOC_12_13_14_only_a_connected_plugin_disowns_and_only_what_does_not_run) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1", "");
    rig_admit(g, "p", "main x.y/gpu=1");
    rig_list(g, "x.y/gpu", "g0- g1");
    struct outcome *o = rig_admit(g, "p", "main x.y/gpu=1");
    CHECK_INT(o->verdict, DEVMGR_REFUSED);
    CHECK_INT(o->cause, DEVMGR_HELD_UNHEALTHY);
    CHECK_STR(o->message,
              "Allocate failed due to previously allocated devices are no longer healthy; cannot allocate "
              "unhealthy devices x.y/gpu, which is unexpected");
    CHECK_STR(rig_held(g), "p/main g0-"); /* it keeps them */
    CHECK_STR(rig_admit(g, "p", "main* x.y/gpu=1")->claims, "main x.y/gpu g0");
    rig_list(g, "x.y/gpu", "g1"); /* W02: vanished must not crash */
    o = rig_admit(g, "p", "main x.y/gpu=1");
    CHECK_INT(o->cause, DEVMGR_HELD_UNHEALTHY);
    CHECK(strstr(o->detail, "holds g0, which its plugin (plugin.sock) does not list any more"));
    CHECK_STR(rig_admit(g, "p", "main* x.y/gpu=1")->claims, "main x.y/gpu g0");
    rig_free(g);
}

TEST(ALLOC_11_a_changed_count_is_refused) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1 g2", "");
    rig_admit(g, "p", "main x.y/gpu=2");
    struct outcome *o = rig_admit(g, "p", "main x.y/gpu=1");
    CHECK_INT(o->verdict, DEVMGR_REFUSED);
    CHECK_INT(o->cause, DEVMGR_REQUEST_CHANGED);
    CHECK_STR(o->message, "Allocate failed due to pod \"p\" container \"main\" changed request for resource "
                          "\"x.y/gpu\" from 2 to 1, which is unexpected");
    CHECK_INT(rig_admit(g, "p", "main x.y/gpu=3")->cause, DEVMGR_REQUEST_CHANGED);
    CHECK_INT(rig_admit(g, "p", "main x.y/gpu=0")->cause, DEVMGR_REQUEST_CHANGED);
    o = rig_admit(g, "p", "main");
    CHECK_INT(o->cause, DEVMGR_REQUEST_CHANGED);
    CHECK(strstr(o->message, "from 2 to 0"));
    CHECK_STR(rig_held(g), "p/main g0; p/main g1");
    rig_free(g);
}

TEST(containers_that_a_later_admission_does_not_name_stay) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1 g2", "");
    rig_admit(g, "p", "a x.y/gpu=1");
    struct outcome *o = rig_admit(g, "p", "b x.y/gpu=1");
    CHECK_STR(o->claims, "a x.y/gpu g0; b x.y/gpu g1+");
    o = rig_admit(g, "p", "b x.y/gpu=1; a x.y/gpu=1; c"); /* all named: their order is the order */
    CHECK_STR(o->claims, "b x.y/gpu g1; a x.y/gpu g0");
    rig_free(g);
}

TEST(a_failed_readmission_leaves_what_was_held) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1 g2", "");
    rig_admit(g, "p", "a x.y/gpu=1");
    struct outcome *o = rig_admit(g, "p", "a x.y/gpu=1; b x.y/gpu=1; c x.y/gpu=9");
    CHECK_INT(o->verdict, DEVMGR_NOT_YET);
    CHECK_STR(rig_held(g), "p/a g0");
    CHECK_STR(rig_resources(g), "x.y/gpu 3/3 held 1 reserved 0 connected");
    CHECK_STR(rig_disk(g), "p/a x.y/gpu -1:g0");
    rig_free(g);
}

TEST(ALLOC_22_the_given_affinity_is_used_and_shown) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0@0 g1@0 g2@1 g3@1", "preferred");
    struct outcome *o = rig_admit(g, "p", "main@1 x.y/gpu=2");
    CHECK_STR(o->claims, "main x.y/gpu g2+ g3+");
    CHECK_STR(calls(g), "allocate x.y/gpu: g2 g3; "); /* ALLOC-26 */
    rig_release(g, "p", NULL);
    rig_admit(g, "p", "main@1 x.y/gpu=1");
    CHECK_STR(calls(g), "preferred x.y/gpu: g2 g3 must  size 1; allocate x.y/gpu: g2; "); /* ALLOC-25 */
    rig_release(g, "p", NULL);
    rig_admit(g, "p", "main@1 x.y/gpu=3");
    CHECK_STR(calls(g), "preferred x.y/gpu: g0 g1 g2 g3 must g2 g3 size 3; allocate x.y/gpu: g0 g2 g3; ");
    rig_free(g);
}

static int see_affinity(void *arg, const devmgr_held_pod *p) {
    rig_add(arg, 500, "%s/%s %s r%d:", p->namespace_, p->name, p->tag, p->revision > 0);
    for (size_t i = 0; i < p->n_containers; i++)
        rig_add(arg, 500, " %s kind %d affinity %llx n %d", p->containers[i]->name, p->containers[i]->kind,
                (unsigned long long)p->containers[i]->affinity, (int)p->containers[i]->n_claims);
    return 0;
}

TEST(each_pod_shows_kinds_affinities_and_tags_also_after_a_restart) {
    static const char *const want = "default/p box-1 r1: setup kind 1 affinity 0 n 1 proxy kind 2 affinity 0 "
                                    "n 0 main kind 0 affinity 2 n 1";
    struct rig *g = rig_new(NULL);
    struct outcome *o = rig_outcome(g);
    char out[500] = "";
    rig_plugin(g, "x.y/gpu", "g0@0 g1@1", "");
    devmgr_pod *p = rig_pod("p", "init:setup x.y/gpu=1; side:proxy; main@1 x.y/gpu=1", 0);
    devmgr_pod_tag(p, "box-1");
    dm_manager_admit(g->m, p, rig_on_admit, o, NULL);
    devmgr_pod_free(p);
    rig_drain(g);
    dm_manager_each_pod(g->m, see_affinity, out);
    CHECK_STR(out, want);
    rig_restart(g, DM_START_LOADED);
    out[0] = 0;
    dm_manager_each_pod(g->m, see_affinity, out);
    CHECK_STR(out, want);
    rig_free(g);
}

TEST(pods_are_shown_by_uid_and_not_before_they_are_admitted) {
    struct rig *g = rig_new(NULL);
    char out[500] = "";
    rig_plugin(g, "x.y/gpu", "g0 g1 g2", "");
    rig_admit(g, "b", "c x.y/gpu=1");
    rig_admit(g, "a", "c x.y/gpu=1");
    g->hold_calls = 1;
    rig_admit(g, "aa", "c x.y/gpu=1");
    dm_manager_each_pod(g->m, see_affinity, out);
    CHECK_STR(out, "default/a  r1: c kind 0 affinity 0 n 1default/b  r1: c kind 0 affinity 0 n 1");
    CHECK_STR(rig_held(g), "a/c g1; b/c g0");
    CHECK_STR(rig_resources(g), "x.y/gpu 3/3 held 2 reserved 1 connected");
    rig_free(g);
}

TEST(ALLOC_28_29_30_31_preferences_are_taken_as_far_as_they_go) {
    static const struct {
        const char *options, *answer, *want;
    } rows[] = {
        {"preferred", "g3 g1", "main x.y/gpu g1+ g3+"},    {"preferred", "zz g2", "main x.y/gpu g0+ g2+"},
        {"preferred", "g3", "main x.y/gpu g0+ g3+"},       {"preferred", "", "main x.y/gpu g0+ g1+"},
        {"preferred", "g3 g2 g1", "main x.y/gpu g2+ g3+"}, {"", NULL, "main x.y/gpu g0+ g1+"}};
    EACH(row, rows) {
        struct rig *g = rig_new(NULL);
        rig_plugin(g, "x.y/gpu", "g0 g1 g2 g3", row->options);
        g->hold_calls = 1;
        struct outcome *o = rig_admit(g, "p", "main x.y/gpu=2");
        CHECK_STR(rig_resources(g),
                  "x.y/gpu 4/4 held 0 reserved 2 connected"); /* reserved while it is asked */
        if (row->answer)
            rig_answer(g, rig_last(g), 0, row->answer);
        CHECK_STR(rig_resources(g), "x.y/gpu 4/4 held 0 reserved 2 connected");
        rig_answer(g, rig_last(g), 0, "");
        CHECK_STR(o->claims, row->want);
        rig_free(g);
    }
}

TEST(W10_after_the_preference_the_state_is_looked_at_again) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1 g2", "preferred");
    g->hold_calls = 1;
    struct outcome *o = rig_admit(g, "p", "main x.y/gpu=2");
    rig_list(g, "x.y/gpu", "g0- g1 g2");
    rig_answer(g, rig_last(g), 0, "g0 g1");
    CHECK_STR(rig_last(g)->ids, "g1 g2");
    rig_answer(g, rig_last(g), 0, "");
    CHECK_STR(o->claims, "main x.y/gpu g1+ g2+");
    rig_free(g);
}

/* What the caller does when it is told may leave no choice before the call goes out. */
static void release_keeper(void *arg, const devmgr_admission *r) {
    CHECK_INT(r->verdict, DEVMGR_NOT_YET);
    dm_manager_release(((struct rig *)arg)->m, "keeper", NULL, NULL, NULL);
}

TEST(a_plugin_is_never_asked_to_choose_from_nothing) {
    struct rig *g = rig_new(NULL);
    uint64_t generation = rig_plugin(g, "x.y/a", "a0 a1@0 a2 a3", "");
    rig_admit(g, "keeper", "c@0 x.y/a=1"); /* a1 */
    rig_gone(g, "x.y/a", generation);
    rig_plugin(g, "x.y/a", "a0 a1@0 a2 a3", "preferred");
    g->hold_calls = 1;
    devmgr_pod *first = rig_pod("first", "c x.y/a=1; d x.y/a=9", 0);
    dm_manager_admit(g->m, first, release_keeper, g, NULL);
    devmgr_pod_free(first);
    rig_drain(g);
    rig_admit(g, "p", "c@0 x.y/a=1");
    rig_answer(g, rig_last(g), 0, "");
    rig_answer(g, rig_last(g), 0, ""); /* first fails, its caller releases a1, p's turn has come */
    CHECK_STR(rig_last(g)->ids, "a0");
    CHECK_INT((int)rig_last(g)->size, 1);
    rig_answer(g, rig_last(g), 0, "");
    CHECK_STR(rig_last(g)->ids, "a1"); /* looked at again: the aligned one */
    rig_free(g);
}

TEST(a_preference_that_comes_too_late_or_cannot_be_given_is_done_without) {
    static const int codes[] = {DM_DEADLINE_EXCEEDED, DM_UNIMPLEMENTED, DM_RESOURCE_EXHAUSTED};
    EACH(code, codes) {
        struct rig *g = rig_new(NULL);
        rig_plugin(g, "x.y/gpu", "g0 g1 g2", "preferred");
        g->hold_calls = 1;
        struct outcome *o = rig_admit(g, "p", "main x.y/gpu=2");
        CHECK_INT((int)rig_last(g)->timeout, 10000);
        g->events[0] = 0;
        rig_answer(g, rig_last(g), *code, "too much");
        CHECK(strstr(g->events,
                     "plugin x.y/gpu: GetPreferredAllocation for pod default/p, container main skipped: "));
        rig_answer(g, rig_last(g), 0, "");
        CHECK_STR(o->claims, "main x.y/gpu g0+ g1+");
        rig_free(g);
    }
}

TEST(one_admission_per_pod_at_a_time) {
    struct rig *g = rig_new(NULL);
    devmgr_error err;
    rig_plugin(g, "x.y/gpu", "g0", "");
    g->hold_calls = 1;
    rig_admit(g, "p", "main x.y/gpu=1");
    devmgr_pod *p = rig_pod("p", "main x.y/gpu=1", 0);
    CHECK_INT(dm_manager_admit(g->m, p, rig_on_admit, NULL, &err), -EALREADY);
    CHECK_STR(err.message,
              "pod default/p: an admission of it is in flight; wait for its result, or release the pod");
    devmgr_pod_free(p);
    rig_free(g);
}

TEST(revisions_of_event_answer_and_pod_are_the_same) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1", "");
    struct outcome *o = rig_admit(g, "p", "main x.y/gpu=1");
    CHECK(o->revision > g->unix_us);
    CHECK(o->revision == g->last_revision);
    uint64_t before = o->revision;
    o = rig_admit(g, "p", "main x.y/gpu=1");
    CHECK(o->revision > before); /* it was seen alive again: a sync that began before must not take it */
    CHECK(dm_manager_revision(g->m) == o->revision);
    rig_free(g);
}
