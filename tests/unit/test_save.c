/* When the state is written: one write at a time, durable before it is said, again after a failure. */
#include "manager_rig.h"

static struct rig *with_plugin(void) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/a", "a0 a1 a2 a3 a4 a5", "");
    rig_pass(g, 2000);
    return g;
}

TEST(ADMITTED_is_said_after_the_write) {
    struct rig *g = with_plugin();
    g->hold_saves = 1;
    struct outcome *o = rig_admit(g, "p", "c x.y/a=1");
    CHECK_INT(o->told, 0);
    CHECK_INT(g->saving_durable, 1);
    CHECK_STR(rig_held(g), "");
    CHECK_STR(rig_resources(g), "x.y/a 6/6 held 0 reserved 1 connected");
    rig_saved(g, 0);
    rig_drain(g);
    CHECK_INT(o->verdict, DEVMGR_ADMITTED);
    CHECK_STR(rig_held(g), "p/c a0");
    rig_free(g);
}

TEST(changes_during_a_write_lead_to_one_more) {
    struct rig *g = with_plugin();
    int saves = g->n_saves;
    g->hold_saves = 1;
    struct outcome *p = rig_admit(g, "p", "c x.y/a=1"), *q = rig_admit(g, "q", "c x.y/a=1"),
                   *r = rig_admit(g, "r", "c x.y/a=1");
    rig_saved(g, 0);
    rig_drain(g);
    CHECK_INT(p->told, 1);
    CHECK_INT(q->told + r->told, 0);
    rig_saved(g, 0);
    rig_drain(g);
    CHECK_INT(q->told + r->told, 2);
    CHECK_INT(g->n_saves, saves + 2);
    rig_free(g);
}

TEST(a_failed_write_fails_those_who_were_in_it_and_no_others) {
    struct rig *g = with_plugin();
    g->hold_saves = 1;
    struct outcome *p = rig_admit(g, "p", "c x.y/a=1"), *q = rig_admit(g, "q", "c x.y/a=1");
    rig_saved(g, -ENOSPC);
    rig_drain(g);
    CHECK_INT(p->cause, DEVMGR_NOT_DURABLE);
    CHECK_INT(q->told, 0);
    CHECK(g->saving != NULL); /* q, and p's giving back: at once */
    rig_saved(g, 0);
    rig_drain(g);
    CHECK_INT(q->verdict, DEVMGR_ADMITTED);
    CHECK_STR(rig_disk(g), "q/c x.y/a -1:a1");
    CHECK_STR(rig_resources(g), "x.y/a 6/6 held 1 reserved 0 connected");
    rig_free(g);
}

TEST(it_is_tried_again_after_1_s_doubling_to_30_s) {
    struct rig *g = with_plugin();
    rig_admit(g, "p", "c x.y/a=1");
    g->hold_saves = 1;
    rig_release(g, "p", NULL);
    static const int seconds[] = {1, 2, 4, 8, 16, 30, 30};
    EACH(s, seconds) {
        rig_saved(g, -ENOSPC);
        rig_drain(g);
        rig_pass(g, (uint64_t)*s * 1000 - 1);
        CHECK(g->saving == NULL);
        rig_pass(g, 1);
        CHECK(g->saving != NULL);
    }
    rig_saved(g, -ENOSPC);
    rig_drain(g);
    CHECK(g->saving == NULL);
    rig_admit(g, "q", "c x.y/a=1"); /* a change: at once */
    CHECK(g->saving != NULL);
    rig_saved(g, 0);
    rig_drain(g);
    CHECK_STR(rig_disk(g), "q/c x.y/a -1:a0");
    rig_free(g);
}

TEST(a_failed_write_of_health_is_tried_again_too) {
    struct rig *g = with_plugin();
    g->fail_saves = 1;
    rig_list(g, "x.y/a", "a0-");
    rig_pass(g, 1000);
    CHECK_INT(dm_manager_unsaved(g->m), 1);
    rig_pass(g, 1000);
    CHECK_INT(dm_manager_unsaved(g->m), 0);
    CHECK_INT((int)g->disk->resources[0]->n_healthy, 0);
    rig_free(g);
}

TEST(save_again_writes_what_did_not_change) {
    struct rig *g = with_plugin();
    int saves = g->n_saves;
    dm_manager_save_again(g->m);
    rig_drain(g);
    CHECK_INT(g->n_saves, saves + 1);
    CHECK_INT(g->disk_durable, 1);
    rig_free(g);
}

TEST(nothing_changed_nothing_is_written) {
    struct rig *g = with_plugin();
    rig_admit(g, "p", "c x.y/a=1");
    int saves = g->n_saves;
    rig_admit(g, "p", "c x.y/a=1");
    rig_options(g, "p", "c", 0);
    rig_list(g, "x.y/a", "a0 a1 a2 a3 a4 a5");
    rig_pass(g, 60000);
    CHECK_INT(g->n_saves, saves);
    CHECK(dm_manager_wake(g->m) == UINT64_MAX);
    rig_free(g);
}

TEST(parts_that_did_not_change_are_shared_between_snapshots) {
    struct rig *g = with_plugin();
    rig_admit(g, "p", "c x.y/a=1");
    struct dm_saved_claim *claim = dm_saved_claim_ref(g->disk->claims[0]);
    struct dm_saved_pod *pod = dm_saved_pod_ref(g->disk->pods[0]);
    struct dm_saved_resource *resource = dm_saved_resource_ref(g->disk->resources[0]);
    rig_admit(g, "q", "c x.y/a=1");
    CHECK(g->disk->claims[0] == claim);
    CHECK(g->disk->pods[0] == pod);
    CHECK(g->disk->resources[0] == resource);
    CHECK_INT((int)g->disk->n_claims, 2); /* oldest first */
    dm_saved_claim_unref(claim), dm_saved_pod_unref(pod), dm_saved_resource_unref(resource);
    rig_free(g);
}

TEST(close_writes_what_could_wait) {
    struct rig *g = with_plugin();
    rig_list(g, "x.y/a", "a0-");
    CHECK_INT(dm_manager_unsaved(g->m), 1);
    dm_manager_close(g->m);
    rig_drain(g);
    CHECK_INT(dm_manager_unsaved(g->m), 0);
    rig_free(g);
}
