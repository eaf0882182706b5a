/* Who waits for whom: one call per resource, order, deadlines, cancel at each stage. Pains P01, P08, W09, W30. */
#include "manager_rig.h"

static struct rig *held(const char *settings) {
    struct rig *g = rig_new(settings);
    rig_plugin(g, "x.y/a", "a0 a1 a2 a3", "");
    rig_plugin(g, "x.y/b", "b0 b1 b2 b3", "");
    g->hold_calls = 1;
    return g;
}

static struct rig_call *open_call(struct rig *g, const char *resource) {
    for (size_t i = 0; i < g->n_calls; i++)
        if (g->calls[i].open && !strcmp(g->calls[i].resource, resource))
            return &g->calls[i];
    return NULL;
}

static int n_open(struct rig *g) {
    int n = 0;
    for (size_t i = 0; i < g->n_calls; i++)
        n += g->calls[i].open;
    return n;
}

TEST(one_call_per_resource_in_the_order_of_reaching_it) {
    struct rig *g = held(NULL);
    struct outcome *p = rig_admit(g, "p", "c x.y/a=1"), *q = rig_admit(g, "q", "c x.y/a=1"),
                   *r = rig_admit(g, "r", "c x.y/a=1");
    CHECK_INT((int)g->n_calls, 1);
    CHECK_STR(rig_resources(g),
              "x.y/a 4/4 held 0 reserved 1 connected; x.y/b 4/4 held 0 reserved 0 connected");
    rig_answer(g, rig_last(g), 0, "");
    CHECK_STR(p->claims, "c x.y/a a0+");
    CHECK_INT((int)g->n_calls, 2);
    rig_answer(g, rig_last(g), 0, "");
    CHECK_STR(q->claims, "c x.y/a a1+");
    rig_answer(g, rig_last(g), 0, "");
    CHECK_STR(r->claims, "c x.y/a a2+");
    rig_free(g);
}

TEST(W30_a_slow_plugin_delays_nobody_who_does_not_need_it) {
    struct rig *g = held(NULL);
    struct outcome *slow = rig_admit(g, "slow", "c x.y/a=1");
    struct outcome *other = rig_admit(g, "other", "c x.y/b=1"), *none = rig_admit(g, "none", "c");
    CHECK_INT(none->verdict, DEVMGR_ADMITTED);
    rig_answer(g, open_call(g, "x.y/b"), 0, "");
    CHECK_INT(other->verdict, DEVMGR_ADMITTED);
    CHECK_INT(slow->told, 0);
    rig_free(g);
}

TEST(a_pod_enters_a_queue_only_when_it_gets_there) {
    struct rig *g = held(NULL);
    rig_admit(g, "first", "c x.y/a=1 x.y/b=1");                   /* at a */
    struct outcome *second = rig_admit(g, "second", "c x.y/b=1"); /* at b, not behind first */
    rig_answer(g, open_call(g, "x.y/b"), 0, "");
    CHECK_STR(second->claims, "c x.y/b b0+");
    rig_answer(g, open_call(g, "x.y/a"), 0, "");
    CHECK_STR(open_call(g, "x.y/b")->ids, "b1");
    rig_free(g);
}

TEST(a_pods_own_calls_go_one_after_another) {
    struct rig *g = held(NULL);
    rig_admit(g, "p", "c x.y/a=1 x.y/b=1; d x.y/a=1");
    for (int i = 0; i < 3; i++) {
        CHECK_INT(n_open(g), 1);
        rig_answer(g, rig_last(g), 0, "");
    }
    CHECK_INT(n_open(g), 0);
    rig_free(g);
}

TEST(serial_node_is_one_call_in_all) {
    struct rig *g = held("serial=node");
    struct outcome *p = rig_admit(g, "p", "c x.y/a=1"), *q = rig_admit(g, "q", "c x.y/b=1");
    CHECK_INT(n_open(g), 1);
    rig_answer(g, rig_last(g), 0, "");
    CHECK_INT(p->verdict, DEVMGR_ADMITTED);
    CHECK_INT(n_open(g), 1);
    struct outcome *r = rig_admit(g, "r", "c x.y/a=1");
    rig_pass(g, 60000);
    CHECK_INT(r->cause, DEVMGR_PLUGIN_TIMEOUT);
    CHECK(strstr(r->detail,
                 "its plugin (plugin.sock) waits for that of x.y/b (serial = node), which still works for "
                 "default/q"));
    rig_answer(g, rig_last(g), 0, "");
    CHECK_INT(q->verdict, DEVMGR_ADMITTED);
    rig_free(g);
}

TEST(the_deadline_runs_from_entering_the_queue) {
    struct rig *g = held("allocate-timeout@x.y/a=10s");
    rig_admit(g, "p", "c x.y/a=1");
    rig_pass(g, 4000);
    struct outcome *q = rig_admit(g, "q", "c x.y/a=1");
    rig_pass(g, 5000);
    rig_answer(g, rig_last(g), 0, "");
    CHECK_INT((int)rig_last(g)->timeout, 5000); /* of q's ten seconds five are left */
    struct outcome *r = rig_admit(g, "r", "c x.y/a=1");
    rig_pass(g, 9999);
    CHECK_INT(r->told, 0);
    rig_pass(g, 1);
    CHECK_INT(r->cause, DEVMGR_PLUGIN_TIMEOUT);
    CHECK_INT(r->verdict, DEVMGR_NOT_YET);
    CHECK_STR(r->message,
              "Allocate failed due to rpc error: code = DeadlineExceeded desc = waited too long for the "
              "device plugin of x.y/a, which is unexpected");
    CHECK_STR(
        r->detail,
        "pod default/r, container c, x.y/a: its plugin (plugin.sock) still works for default/q, and the "
        "time in its queue is over; look at the plugin, or raise allocate-timeout@x.y/a");
    CHECK_INT(q->told, 0); /* its own call ends through the plugin's answer */
    rig_free(g);
}

TEST(the_time_of_a_preference_is_not_counted) {
    struct rig *g = rig_new("allocate-timeout=10s preferred-timeout=8s");
    rig_plugin(g, "x.y/a", "a0 a1", "preferred");
    g->hold_calls = 1;
    rig_admit(g, "p", "c x.y/a=1");
    CHECK_INT((int)rig_last(g)->timeout, 8000);
    rig_pass(g, 7000);
    rig_answer(g, rig_last(g), 0, "a1");
    CHECK_INT((int)rig_last(g)->timeout, 10000);
    rig_free(g);
}

TEST(who_cannot_get_enough_is_told_at_once_and_not_at_its_turn) {
    struct rig *g = held(NULL);
    rig_admit(g, "p", "c x.y/a=3");
    struct outcome *q = rig_admit(g, "q", "c x.y/a=2");
    CHECK_INT(q->cause, DEVMGR_INSUFFICIENT_DEVICES);
    CHECK(strstr(q->detail, "3 reserved for default/p"));
    rig_free(g);
}

TEST(who_is_overtaken_by_a_list_is_told_at_its_turn) {
    struct rig *g = held(NULL);
    struct outcome *p = rig_admit(g, "p", "c x.y/a=2"), *q = rig_admit(g, "q", "c x.y/a=2");
    rig_list_as(g, "x.y/a", 1, "a0 a1 a2- a3-");
    CHECK_INT(q->told, 0);
    rig_answer(g, rig_last(g), 0, "");
    CHECK_INT(p->verdict, DEVMGR_ADMITTED);
    CHECK_INT(q->cause, DEVMGR_INSUFFICIENT_DEVICES);
    rig_free(g);
}

TEST(those_in_the_queue_of_a_plugin_that_goes_are_told_at_once) {
    struct rig *g = held(NULL);
    struct outcome *p = rig_admit(g, "p", "c x.y/a=1"), *q = rig_admit(g, "q", "c x.y/a=1");
    rig_gone(g, "x.y/a", 1);
    CHECK_INT(q->cause, DEVMGR_PLUGIN_GONE);
    CHECK_INT(p->told, 0);
    rig_free(g);
}

TEST(release_cancels_at_each_stage_and_gives_everything_back) {
    for (int stage = 0; stage < 6; stage++) {
        struct rig *g = rig_new(NULL);
        rig_plugin(g, "x.y/a", "a0 a1 a2", "preferred");
        g->hold_calls = g->hold_saves = 1;
        if (stage == 0)
            rig_admit(g, "first", "c x.y/a=1"); /* p stands in the queue */
        DM_FREE char *before = dm_strdup(rig_resources(g));
        struct outcome *p =
            rig_admit_waiting(g, "p", stage == 5 ? "c x.y/none=1" : "c x.y/a=1; d x.y/a=1", 5000);
        for (int i = 1; i < stage && stage < 5; i++)
            rig_answer(g, rig_last(g), 0, ""); /* preferred; allocate; preferred */
        if (stage == 4)
            rig_answer(g, rig_last(g), 0, ""); /* the last allocate: it waits for the save */
        CHECK_INT(g->saving != NULL, stage == 4);
        size_t open = (size_t)n_open(g);
        CHECK_INT(p->told, 0);
        struct outcome *done = rig_release(g, "p", NULL);
        CHECK_INT(p->told, 1);
        CHECK_INT(p->verdict, DEVMGR_CANCELED);
        CHECK_STR(rig_resources(g), before);
        if (open && stage > 0)
            CHECK_INT(rig_last(g)->canceled, 1);
        if (stage == 4) { /* the write that has it may succeed: another one must follow */
            rig_saved(g, 0);
            rig_drain(g);
            CHECK_STR(rig_disk(g), "p/c x.y/a -1:a0; p/d x.y/a -1:a1");
            CHECK_INT(done->told, 0);
            rig_saved(g, 0);
            rig_drain(g);
            CHECK_STR(rig_disk(g), "");
        }
        CHECK_INT(done->told, 1);
        CHECK_STR(done->uids, "");
        CHECK_STR(rig_held(g), "");
        rig_free(g);
    }
}

TEST(W09_ALLOC_46_the_plugin_of_a_canceled_call_is_not_called_before_its_result) {
    struct rig *g = held(NULL);
    rig_admit(g, "p", "c x.y/a=1");
    rig_release(g, "p", NULL);
    struct outcome *q = rig_admit(g, "q", "c x.y/a=1");
    CHECK_INT((int)g->n_calls, 1);
    rig_answer(g, &g->calls[0], DM_CANCELLED, "canceled");
    CHECK_INT((int)g->n_calls, 2);
    CHECK_STR(rig_last(g)->ids, "a0");
    rig_answer(g, rig_last(g), 0, "");
    CHECK_INT(q->verdict, DEVMGR_ADMITTED);
    rig_free(g);
}

TEST(a_call_that_was_not_sent_yet_is_just_dropped) {
    struct rig *g = held(NULL);
    struct outcome *o = rig_outcome(g);
    devmgr_pod *p = rig_pod("p", "c x.y/a=1", 0);
    dm_manager_admit(g->m, p, rig_on_admit, o, NULL); /* no drain */
    dm_manager_release(g->m, "p", NULL, NULL, NULL);
    rig_drain(g);
    CHECK_INT((int)g->n_calls, 0);
    CHECK_INT(o->verdict, DEVMGR_CANCELED);
    rig_admit(g, "q", "c x.y/a=1");
    CHECK_INT((int)g->n_calls, 1);
    devmgr_pod_free(p);
    rig_free(g);
}

TEST(a_turn_that_comes_too_late_is_a_timeout_even_before_the_tick) {
    struct rig *g = held("allocate-timeout@x.y/a=10s");
    rig_admit(g, "p", "c x.y/a=1");
    struct outcome *q = rig_admit(g, "q", "c x.y/a=1");
    g->mono += 10000; /* the loop was busy */
    dm_manager_time(g->m, g->mono, g->unix_us);
    rig_answer(g, rig_last(g), 0, "");
    CHECK_INT(q->cause, DEVMGR_PLUGIN_TIMEOUT);
    CHECK(strstr(q->detail, "its plugin (plugin.sock) was too slow with the calls before, and the time"));
    rig_free(g);
}

TEST(releasing_a_container_cancels_the_admission_that_names_it) {
    struct rig *g = held(NULL);
    struct outcome *p = rig_admit(g, "p", "c x.y/a=1; d x.y/b=1");
    rig_release(g, "p", "other");
    CHECK_INT(p->told, 0);
    rig_release(g, "p", "d");
    CHECK_INT(p->verdict, DEVMGR_CANCELED);
    CHECK_STR(rig_resources(g),
              "x.y/a 4/4 held 0 reserved 0 connected; x.y/b 4/4 held 0 reserved 0 connected");
    rig_free(g);
}

TEST(an_answer_nobody_asked_for_changes_nothing) {
    struct rig *g = held(NULL);
    struct dm_call_result r = {.id = 4711, .status = {DM_OK, ""}};
    dm_manager_answered(g->m, &r);
    rig_drain(g);
    rig_free(g);
}

TEST(two_pods_that_overlap_on_two_resources_do_not_wait_for_each_other_for_ever) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/a", "a0", "");
    rig_plugin(g, "x.y/b", "b0", "");
    g->hold_calls = 1;
    struct outcome *p = rig_admit_waiting(g, "p", "c x.y/a=1; d x.y/b=1", 600000);
    struct outcome *q = rig_admit_waiting(g, "q", "c x.y/b=1; d x.y/a=1", 600000);
    CHECK_INT(n_open(g), 2);
    rig_answer(g, open_call(g, "x.y/a"), 0, "");
    rig_answer(g, open_call(g, "x.y/b"), 0, "");
    g->hold_calls = 0;
    rig_drain(g);
    rig_pass(g, 5000);
    CHECK_INT((p->verdict == DEVMGR_ADMITTED) + (q->verdict == DEVMGR_ADMITTED), 1);
    rig_release(g, p->verdict == DEVMGR_ADMITTED ? "p" : "q", NULL);
    rig_pass(g, 70000);
    CHECK_INT((p->verdict == DEVMGR_ADMITTED) + (q->verdict == DEVMGR_ADMITTED), 2);
    rig_free(g);
}

TEST(close_ends_everything_that_is_open) {
    struct rig *g = held(NULL);
    rig_plugin(g, "x.y/p", "p0", "prestart");
    g->hold_calls = 0;
    rig_admit(g, "with", "c x.y/p=1");
    g->hold_calls = g->hold_saves = 1;
    struct outcome *calling = rig_admit(g, "p", "c x.y/a=1"), *queued = rig_admit(g, "q", "c x.y/a=1");
    struct outcome *waiting = rig_admit_waiting(g, "w", "c x.y/none=1", 10000);
    struct outcome *options = rig_options(g, "with", "c", 0), *done = rig_release(g, "with", NULL);
    CHECK_INT(options->status, -ECANCELED); /* its pod is gone */
    dm_manager_close(g->m);
    rig_drain(g);
    CHECK_INT(calling->verdict, DEVMGR_CANCELED);
    CHECK_INT(queued->verdict, DEVMGR_CANCELED);
    CHECK_INT(waiting->verdict, DEVMGR_CANCELED);
    CHECK_INT(done->status, -ECANCELED);
    CHECK_INT(dm_manager_unsaved(g->m), 1);
    rig_saved(g, 0);
    rig_drain(g);
    CHECK_INT(dm_manager_unsaved(g->m), 0);
    devmgr_pod *p = rig_pod("p", "c", 0);
    CHECK_INT(dm_manager_admit(g->m, p, rig_on_admit, NULL, NULL), -ECANCELED);
    devmgr_pod_free(p);
    CHECK_INT(dm_manager_release(g->m, "p", NULL, NULL, NULL), -ECANCELED);
    rig_free(g);
}
