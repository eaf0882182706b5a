/* The end of use: release, init_done, sync; and the way back from a damaged checkpoint. */
#include "manager_rig.h"

static struct rig *three_pods(void) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/a", "a0 a1 a2 a3", "");
    rig_admit(g, "p", "c x.y/a=1");
    rig_admit(g, "q", "c x.y/a=1; d x.y/a=1");
    rig_admit(g, "none", "c");
    return g;
}

TEST(release_frees_at_once_and_answers_when_it_is_on_disk) {
    struct rig *g = three_pods();
    g->hold_saves = 1;
    struct outcome *o = rig_release(g, "q", NULL);
    CHECK_STR(rig_held(g), "p/c a0");
    CHECK_INT(o->told, 0);
    CHECK_INT(g->saving_durable, 1);
    rig_saved(g, 0);
    rig_drain(g);
    CHECK_INT(o->told, 1);
    CHECK_INT(o->status, 0);
    CHECK_STR(o->uids, "q");
    CHECK_STR(rig_disk(g), "p/c x.y/a -1:a0"); /* W50 */
    rig_free(g);
}

TEST(a_pod_that_nobody_knows_is_no_error_and_no_write) {
    struct rig *g = three_pods();
    int saves = g->n_saves;
    struct outcome *o = rig_release(g, "stranger", NULL);
    CHECK_INT(o->told, 1);
    CHECK_INT(o->status, 0);
    CHECK_STR(o->uids, "");
    CHECK_INT(rig_release(g, "stranger", "c")->told, 1);
    CHECK_INT(rig_release(g, "p", "stranger")->told, 1);
    CHECK_INT(rig_init_done(g, "stranger")->told, 1);
    CHECK_INT(g->n_saves, saves);
    dm_manager_release(g->m, "p", NULL, NULL, NULL); /* no interest */
    rig_drain(g);
    CHECK_STR(rig_disk(g), "q/c x.y/a -1:a1; q/d x.y/a -1:a2");
    rig_free(g);
}

TEST(a_release_that_cannot_be_saved_says_so_and_is_written_later) {
    struct rig *g = three_pods();
    g->fail_saves = 1;
    struct outcome *o = rig_release(g, "p", NULL);
    CHECK_INT(o->told, 1);
    CHECK_INT(o->status, -ENOSPC);
    CHECK_STR(o->error, "done in memory, but not saved: no space left on device; it is written again");
    CHECK_STR(o->uids, "p");
    CHECK_STR(rig_held(g), "q/c a1; q/d a2");
    CHECK_INT(dm_manager_unsaved(g->m), 1);
    rig_pass(g, 1000);
    CHECK_INT(dm_manager_unsaved(g->m), 0);
    CHECK_STR(rig_disk(g), "q/c x.y/a -1:a1; q/d x.y/a -1:a2");
    rig_free(g);
}

TEST(a_freed_device_may_be_taken_at_once_and_one_file_has_both_changes) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/a", "a0", "");
    rig_admit(g, "p", "c x.y/a=1");
    g->hold_saves = 1;
    rig_release(g, "p", NULL);
    struct outcome *q = rig_admit(g, "q", "c x.y/a=1");
    rig_saved(g, 0); /* p's release alone: q was not in it */
    rig_drain(g);
    CHECK_STR(rig_disk(g), "");
    CHECK_INT(q->told, 0);
    rig_saved(g, 0);
    rig_drain(g);
    CHECK_STR(rig_disk(g), "q/c x.y/a -1:a0");
    CHECK_INT(q->verdict, DEVMGR_ADMITTED);
    rig_free(g);
}

TEST(release_of_one_container_keeps_the_others) {
    struct rig *g = three_pods();
    g->events[0] = 0;
    CHECK_STR(rig_release(g, "q", "c")->uids, "q");
    CHECK_STR(rig_held(g), "p/c a0; q/d a2");
    CHECK_STR(g->events, "released q in part; ");
    CHECK_STR(rig_admit(g, "q", "c x.y/a=2; d x.y/a=1")->claims,
              "c x.y/a a1+ a3+; d x.y/a a2"); /* asks anew */
    rig_free(g);
}

struct order { /* how often the others had been told when the release was */
    const struct outcome *others[4];
    int told[4], released;
};

static void on_released_last(void *arg, int status, const char *const *uids, size_t n,
                             const devmgr_error *err) {
    struct order *o = arg;
    (void)status, (void)uids, (void)n, (void)err;
    o->released++;
    for (size_t i = 0; i < DM_COUNT(o->others); i++)
        o->told[i] = o->others[i]->told;
}

TEST(the_callback_of_a_release_is_the_last_that_names_the_pod) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/a", "a0 a1 a2 a3", "prestart");
    rig_admit(g, "p", "init:i x.y/a=2; c x.y/a=1");
    g->hold_calls = g->hold_saves = 1;
    struct order o = {.others = {rig_init_done(g, "p"), rig_options(g, "p", "c", 0),
                                 rig_admit(g, "p", "d x.y/a=1"), rig_release(g, "p", "stranger")}};
    CHECK_INT(g->n_calls, 4); /* PreStartContainer for c and Allocate for d are open */
    dm_manager_release(g->m, "p", NULL, on_released_last, &o);
    rig_drain(g);
    CHECK_INT(o.released, 0);
    rig_saved(g, 0); /* what began before the release */
    rig_drain(g);
    rig_saved(g, 0);
    rig_drain(g);
    CHECK_INT(o.released, 1);
    for (size_t i = 0; i < DM_COUNT(o.told); i++)
        CHECK_INT(o.told[i], 1);
    CHECK_INT(o.others[1]->status, -ECANCELED);
    CHECK_INT(o.others[2]->verdict, DEVMGR_CANCELED);
    g->hold_calls = g->hold_saves = 0;
    for (size_t i = 0; i < g->n_calls; i++) /* the plugin answers after all */
        if (g->calls[i].open)
            rig_answer(g, &g->calls[i], 0, "env LATE=1");
    for (size_t i = 0; i < DM_COUNT(o.others); i++)
        CHECK_INT(o.others[i]->told, 1);
    CHECK_INT(o.released, 1);
    rig_free(g);
}

TEST(a_pod_that_still_has_the_device_elsewhere_has_not_lost_it) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/a", "a0 a1", "");
    rig_admit(g, "p", "init:i x.y/a=1; init:j x.y/a=1; c x.y/a=1"); /* a0 for all of them */
    CHECK_STR(rig_release(g, "p", "i")->uids, "");
    CHECK_STR(rig_release(g, "p", "c")->uids, "");
    CHECK_STR(rig_held(g), "p/j a0");
    CHECK_STR(rig_release(g, "p", "j")->uids, "p");
    rig_free(g);
}

TEST(W59_init_done_frees_what_only_plain_init_containers_hold) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/a", "a0 a1 a2 a3", "");
    rig_admit(g, "p", "side:s x.y/a=1; init:i x.y/a=3; c x.y/a=1");
    CHECK_STR(rig_held(g), "p/s a0; p/i a1; p/i a2; p/i a3; p/c a1");
    g->events[0] = 0;
    CHECK_STR(rig_init_done(g, "p")->uids, "p");
    CHECK_STR(rig_held(g), "p/s a0; p/c a1");
    CHECK_STR(g->events, "released p in part; ");
    CHECK_STR(rig_disk(g), "p/s x.y/a -1:a0; p/c x.y/a -1:a1");
    CHECK_STR(rig_init_done(g, "p")->uids, ""); /* again: nothing to do */
    /* Its claims ended for good: an admission of the whole pod does not ask for them again, also after a restart. */
    CHECK_STR(rig_admit(g, "p", "side:s x.y/a=1; init:i x.y/a=3; c x.y/a=1")->claims,
              "s x.y/a a0; c x.y/a a1");
    rig_restart(g, DM_START_LOADED);
    CHECK_STR(rig_admit(g, "p", "side:s x.y/a=1; init:i x.y/a=3; c x.y/a=1")->claims,
              "s x.y/a a0; c x.y/a a1");
    rig_free(g);
}

TEST(init_done_while_a_later_container_takes_the_device) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/a", "a0 a1", "");
    rig_admit(g, "p", "init:i x.y/a=1");
    g->hold_calls = 1;
    struct outcome *o = rig_admit(g, "p", "c x.y/a=1");
    CHECK_STR(rig_resources(g), "x.y/a 2/2 held 1 reserved 0 connected"); /* held by i, taken by c */
    CHECK_STR(rig_init_done(g, "p")->uids, "");
    CHECK_STR(rig_resources(g), "x.y/a 2/2 held 0 reserved 1 connected");
    rig_answer(g, rig_last(g), 0, "");
    CHECK_STR(o->claims, "c x.y/a a0+");
    rig_free(g);
}

TEST(sync_releases_what_does_not_live) {
    struct rig *g = three_pods();
    uint64_t now = dm_manager_revision(g->m);
    struct outcome *o = rig_sync(g, "q", now, DEVMGR_DRY_RUN);
    CHECK_STR(o->uids, "p"); /* "none" lost no devices */
    CHECK_STR(rig_held(g), "p/c a0; q/c a1; q/d a2");
    o = rig_sync(g, "q stranger", now, 0);
    CHECK_STR(o->uids, "p");
    CHECK_STR(rig_held(g), "q/c a1; q/d a2");
    o = rig_sync(g, "", now, 0); /* nothing lives */
    CHECK_STR(o->uids, "q");
    CHECK_STR(rig_disk(g), "");
    rig_free(g);
}

TEST(a_sync_begun_before_a_restart_spares_what_the_restart_brought_back) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/a", "a0 a1", "");
    uint64_t as_of = dm_manager_revision(g->m);
    rig_admit(g, "p", "c x.y/a=1");
    as_of++; /* at least what is on disk for the pod, less than what was told */
    rig_restart(g, DM_START_LOADED);
    CHECK_STR(rig_sync(g, "", as_of, 0)->uids, "");
    CHECK_STR(rig_sync(g, "", dm_manager_revision(g->m), 0)->uids, "p");
    rig_free(g);
}

TEST(sync_leaves_pods_alone_that_came_after_as_of_or_are_in_flight) {
    struct rig *g = three_pods();
    uint64_t as_of = dm_manager_revision(g->m);
    rig_admit(g, "late", "c x.y/a=1");
    rig_admit(g, "p", "c x.y/a=1"); /* seen alive again */
    g->hold_calls = 1;
    struct outcome *waiting = rig_admit_waiting(g, "w", "c x.y/a=1", 10000);
    CHECK_STR(rig_sync(g, "", as_of, 0)->uids, "q");
    CHECK_STR(rig_held(g), "late/c a3; p/c a0");
    CHECK_INT(waiting->told, 0);
    rig_free(g);
}

/* ---- recovery ------------------------------------------------------------------------------------------------------ */

static struct rig *recovering(void) {
    struct rig *g = three_pods();
    rig_restart(g, DM_START_RECOVERING);
    rig_plugin(g, "x.y/a", "a0 a1 a2 a3", "");
    return g;
}

TEST(W51_while_recovering_what_is_held_is_served_and_nothing_new_is_given) {
    struct rig *g = recovering();
    CHECK_INT(g->disk->recovering, 1); /* written at once, and says so */
    CHECK_STR(rig_admit(g, "p", "c x.y/a=1")->claims, "c x.y/a a0");
    CHECK_STR(rig_options(g, "p", "c", 0)->options, "env IDS=a0 ");
    CHECK_INT(rig_admit(g, "p", "c x.y/a=1; e x.y/a=1")->cause, DEVMGR_RECOVERING);
    CHECK_INT(rig_admit(g, "new", "c x.y/a=1")->cause, DEVMGR_RECOVERING);
    CHECK_INT(rig_admit(g, "plain", "c")->verdict, DEVMGR_ADMITTED); /* asks for nothing */
    rig_free(g);
}

TEST(a_sync_ends_the_recovery_and_wakes_who_waits) {
    struct rig *g = recovering();
    struct outcome *o = rig_admit_waiting(g, "new", "c x.y/a=1", 60000);
    CHECK_INT(o->told, 0);
    CHECK_STR(rig_sync(g, "q", dm_manager_revision(g->m), DEVMGR_DRY_RUN)->uids, "p");
    CHECK_INT(o->told, 0); /* a dry run changes nothing */
    rig_sync(g, "q", dm_manager_revision(g->m), 0);
    CHECK_INT(o->verdict, DEVMGR_ADMITTED);
    CHECK_INT(g->disk->recovering, 0);
    rig_free(g);
}

TEST(a_list_begun_before_the_start_does_not_end_the_recovery) {
    struct rig *g = three_pods();
    uint64_t as_of = dm_manager_revision(g->m);
    /* A fourth pod is admitted now; the copy, one write old, does not have it, and the list neither. */
    rig_restart(g, DM_START_RECOVERING);
    rig_plugin(g, "x.y/a", "a0 a1 a2 a3", "");
    rig_sync(g, "p q", as_of, 0);
    CHECK(strstr(g->events, "begun before this start is not enough; sync again"));
    CHECK_INT(rig_admit(g, "new", "c x.y/a=1")->cause, DEVMGR_RECOVERING);
    rig_sync(g, "p q", dm_manager_revision(g->m), 0);
    CHECK_INT(rig_admit(g, "new", "c x.y/a=1")->verdict, DEVMGR_ADMITTED);
    rig_free(g);
}

TEST(a_live_pod_that_the_copy_does_not_know_keeps_admission_closed_by_name) {
    struct rig *g = recovering();
    rig_sync(g, "p q lost other", dm_manager_revision(g->m), 0);
    struct outcome *o = rig_admit(g, "new", "c x.y/a=1");
    CHECK_INT(o->cause, DEVMGR_RECOVERING);
    CHECK(strstr(o->detail, "does not know these live pods: lost, other; release or adopt each of them"));
    rig_release(g, "lost", NULL);
    CHECK_INT(rig_admit(g, "new", "c x.y/a=1")->cause, DEVMGR_RECOVERING);
    CHECK_INT(rig_admit(g, "other", "c")->verdict, DEVMGR_ADMITTED); /* it has no devices, we know that now */
    CHECK_INT(rig_admit(g, "new", "c x.y/a=1")->verdict, DEVMGR_ADMITTED);
    rig_free(g);
}

TEST(another_sync_corrects_the_first) {
    struct rig *g = recovering();
    rig_sync(g, "p q lost", dm_manager_revision(g->m), 0);
    CHECK_INT(rig_admit(g, "new", "c x.y/a=1")->cause, DEVMGR_RECOVERING);
    rig_sync(g, "p q", dm_manager_revision(g->m), 0);
    CHECK_INT(rig_admit(g, "new", "c x.y/a=1")->verdict, DEVMGR_ADMITTED);
    rig_free(g);
}

TEST(a_restart_does_not_end_the_recovery) {
    struct rig *g = recovering();
    CHECK_INT(g->disk->recovering, 1);
    rig_restart(g, g->disk->recovering ? DM_START_RECOVERING : DM_START_LOADED);
    rig_plugin(g, "x.y/a", "a0 a1 a2 a3", "");
    CHECK_INT(rig_admit(g, "new", "c x.y/a=1")->cause, DEVMGR_RECOVERING);
    rig_free(g);
}
