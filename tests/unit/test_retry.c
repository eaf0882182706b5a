/* Waiting admissions and backoff. Pains P03, P04. */
#include "manager_rig.h"

TEST(P03_a_pod_waits_for_a_plugin_that_registers) {
    struct rig *g = rig_new(NULL);
    struct outcome *o = rig_admit_waiting(g, "p", "c x.y/a=1", 60000);
    rig_pass(g, 5000);
    CHECK_INT(o->told, 0);
    rig_connect(g, "x.y/a", "");
    CHECK_INT(o->told, 0); /* no list yet */
    rig_list(g, "x.y/a", "a0");
    CHECK_STR(o->claims, "c x.y/a a0+");
    rig_free(g);
}

TEST(P03_after_a_reboot_pods_wait_for_the_plugin_to_come_back) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/a", "a0", "");
    rig_pass(g, 1000);
    rig_restart(g, DM_START_LOADED);
    struct outcome *o = rig_admit_waiting(g, "p", "c x.y/a=1", 60000);
    rig_plugin(g, "x.y/a", "a0", "");
    CHECK_STR(o->claims, "c x.y/a a0+");
    rig_free(g);
}

TEST(the_last_not_yet_is_the_answer_when_the_time_is_over) {
    struct rig *g = rig_new(NULL);
    struct outcome *o = rig_admit_waiting(g, "p", "c x.y/a=1", 7000);
    rig_plugin(g, "x.y/a", "a0-", "");
    rig_pass(g, 6999);
    CHECK_INT(o->told, 0);
    rig_pass(g, 1);
    CHECK_INT(o->verdict, DEVMGR_NOT_YET);
    CHECK_INT(o->cause, DEVMGR_INSUFFICIENT_DEVICES);
    rig_free(g);
}

TEST(who_waits_longest_is_served_first) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/a", "a0 a1", "");
    rig_admit(g, "holder", "c x.y/a=2");
    struct outcome *p = rig_admit_waiting(g, "p", "c x.y/a=1", 60000),
                   *q = rig_admit_waiting(g, "q", "c x.y/a=1", 60000),
                   *r = rig_admit_waiting(g, "r", "c x.y/a=1", 60000);
    g->hold_calls = 1;
    rig_release(g, "holder", NULL);
    CHECK_STR(rig_resources(g),
              "x.y/a 2/2 held 0 reserved 1 connected"); /* q stands in the queue, r still waits */
    g->hold_calls = 0;
    rig_drain(g);
    CHECK_STR(p->claims, "c x.y/a a0+");
    CHECK_STR(q->claims, "c x.y/a a1+");
    CHECK_INT(r->told, 0);
    rig_release(g, "p", NULL);
    CHECK_STR(r->claims, "c x.y/a a0+");
    rig_free(g);
}

TEST(who_needs_more_than_is_free_does_not_block_who_needs_less) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/a", "a0 a1", "");
    rig_admit(g, "h0", "c x.y/a=1");
    rig_admit(g, "h1", "c x.y/a=1");
    struct outcome *big = rig_admit_waiting(g, "big", "c x.y/a=2", 60000),
                   *small = rig_admit_waiting(g, "small", "c x.y/a=1", 60000);
    rig_release(g, "h0", NULL);
    CHECK_STR(small->claims, "c x.y/a a0+");
    CHECK_INT(big->told, 0);
    rig_release(g, "h1", NULL);
    CHECK_INT(big->told, 0);
    rig_release(g, "small", NULL);
    CHECK_STR(big->claims, "c x.y/a a0+ a1+");
    rig_free(g);
}

TEST(who_was_passed_over_for_one_that_needs_less_than_thought_is_tried_too) {
    struct rig *g = rig_new(NULL);
    uint64_t generation = rig_plugin(g, "x.y/a", "a0", "");
    rig_admit(g, "p", "init:i x.y/a=1");
    rig_list_as(g, "x.y/a", generation, "");
    struct outcome *p = rig_admit_waiting(g, "p", "c x.y/a=3",
                                          60000), /* a0 cannot be reused now: it needs 3 */
        *q = rig_admit_waiting(g, "q", "c x.y/a=3", 60000),
                   *r = rig_admit_waiting(g, "r", "c x.y/a=3", 60000);
    rig_list_as(g, "x.y/a", generation, "a0 a1 a2 a3 a4 a5");
    CHECK_STR(p->claims, "i x.y/a a0; c x.y/a a0+ a1+ a2+");
    CHECK_STR(q->claims, "c x.y/a a3+ a4+ a5+");
    CHECK_INT(r->told, 0);
    rig_free(g);
}

TEST(a_reservation_given_back_wakes_who_waits) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/a", "a0", "");
    g->hold_calls = 1;
    rig_admit(g, "p", "c x.y/a=1");
    struct outcome *q = rig_admit_waiting(g, "q", "c x.y/a=1", 60000);
    rig_answer(g, rig_last(g), DM_INTERNAL, "no");
    CHECK_STR(rig_last(g)->ids, "a0");
    rig_answer(g, rig_last(g), 0, "");
    CHECK_STR(q->claims, "c x.y/a a0+");
    rig_free(g);
}

TEST(a_healthy_device_wakes_who_waits) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/a", "a0-", "");
    struct outcome *o = rig_admit_waiting(g, "p", "c x.y/a=1", 60000);
    rig_list(g, "x.y/a", "a0");
    CHECK_INT(o->verdict, DEVMGR_ADMITTED);
    rig_free(g);
}

TEST(a_plugin_that_timed_out_is_asked_again_after_the_backoff) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/a", "a0 a1", "");
    g->hold_calls = 1;
    struct outcome *o = rig_admit_waiting(g, "p", "c x.y/a=1", 60000);
    rig_answer(g, rig_last(g), DM_DEADLINE_EXCEEDED, "slow");
    CHECK_INT(o->told, 0);
    CHECK_STR(rig_resources(g), "x.y/a 2/2 held 0 reserved 0 connected"); /* who waits holds nothing */
    rig_list(g, "x.y/a", "a0 a1 a2");                                     /* a change does not hurry it */
    CHECK_INT((int)g->n_calls, 1);
    rig_pass(g, 1000);
    CHECK_INT((int)g->n_calls, 2);
    rig_answer(g, rig_last(g), DM_DEADLINE_EXCEEDED, "slow");
    rig_pass(g, 1999);
    CHECK_INT((int)g->n_calls, 2);
    rig_pass(g, 1);
    CHECK_INT((int)g->n_calls, 3);
    rig_answer(g, rig_last(g), 0, "");
    CHECK_INT(o->verdict, DEVMGR_ADMITTED);
    rig_free(g);
}

TEST(a_pod_that_could_not_be_saved_waits_for_the_disk) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/a", "a0 a1", "");
    g->fail_saves = 2;
    struct outcome *o = rig_admit_waiting(g, "p", "c x.y/a=1", 60000);
    CHECK_INT(o->told, 0);
    rig_pass(g, 5000);
    CHECK_INT(o->verdict, DEVMGR_ADMITTED);
    rig_free(g);
}

TEST(REFUSED_does_not_wait) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/a", "a0 a1", "");
    g->hold_calls = 1;
    struct outcome *o = rig_admit_waiting(g, "p", "c x.y/a=1", 60000);
    rig_answer(g, rig_last(g), DM_UNKNOWN, "no");
    CHECK_INT(o->verdict, DEVMGR_REFUSED);
    rig_free(g);
}

TEST(forgetting_a_resource_keeps_who_waits_for_it) {
    struct rig *g = rig_new(NULL);
    uint64_t generation = rig_plugin(g, "x.y/a", "a0", "");
    rig_gone(g, "x.y/a", generation);
    rig_pass(g, 5 * 60 * 1000);
    struct outcome *o = rig_admit_waiting(g, "p", "c x.y/a=1", 60000);
    CHECK_INT(dm_manager_forget_resource(g->m, "x.y/a"), 0);
    rig_drain(g);
    CHECK_INT(o->told, 0);
    rig_plugin(g, "x.y/a", "a0", "");
    CHECK_INT(o->verdict, DEVMGR_ADMITTED);
    rig_free(g);
}

TEST(P04_the_same_refusal_again_and_again_waits_longer_and_longer) {
    struct rig *g = rig_new(NULL);
    static const int seconds[] = {1, 2, 4, 8, 16, 32, 60, 60};
    EACH(s, seconds)
    CHECK_INT((int)rig_admit(g, "p", "c x.y/a=1")->retry_after, *s * 1000);
    CHECK_INT((int)rig_admit(g, "q", "c x.y/a=1")->retry_after, 1000); /* another pod */
    CHECK_INT((int)rig_admit(g, "p", "c x.y/a=2")->retry_after, 1000); /* another request */
    rig_release(g, "p", NULL);
    CHECK_INT((int)rig_admit(g, "p", "c x.y/a=2")->retry_after, 1000); /* forgotten by the release */
    CHECK_INT((int)rig_admit(g, "p", "c x.y/a=2")->retry_after, 2000);
    rig_plugin(g, "x.y/a", "a0 a1", "");
    CHECK_INT(rig_admit(g, "p", "c x.y/a=2")->verdict, DEVMGR_ADMITTED);
    rig_release(g, "p", NULL);
    rig_list(g, "x.y/a", "");
    CHECK_INT((int)rig_admit(g, "p", "c x.y/a=2")->retry_after, 1000); /* forgotten by the success */
    rig_free(g);
}

TEST(P04_refusals_of_thousands_of_pods_do_not_grow_memory_without_end) {
    struct rig *g = rig_new(NULL);
    g->unchecked = 1;
    for (int i = 0; i < 10000; i++) {
        char uid[20];
        snprintf(uid, sizeof uid, "p%d", i);
        rig_admit(g, uid, "c x.y/a=1");
        g->n_outcomes = 0;
    }
    CHECK_INT((int)rig_admit(g, "p9999", "c x.y/a=1")->retry_after, 2000); /* remembered */
    CHECK_INT((int)rig_admit(g, "p0", "c x.y/a=1")->retry_after, 1000);    /* not any more */
    rig_free(g);
}

TEST(wake_says_when_time_matters_and_never_otherwise) {
    struct rig *g = rig_new(NULL);
    CHECK(dm_manager_wake(g->m) == UINT64_MAX);
    rig_admit_waiting(g, "p", "c x.y/a=1", 9000);
    CHECK(dm_manager_wake(g->m) == g->mono + 9000);
    rig_pass(g, 9000);
    CHECK(dm_manager_wake(g->m) == UINT64_MAX);
    rig_admit_waiting(g, "p", "c x.y/a=1", UINT64_MAX); /* for ever */
    CHECK(dm_manager_wake(g->m) > g->mono + UINT64_C(1000000000000));
    rig_free(g);
}
