/* The manager from end to end: one allocation from a plugin's registration to the release. */
#include "manager_rig.h"

TEST(one_allocation_from_registration_to_release) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g10 g2 g1 g0-", "");
    CHECK_STR(rig_resources(g), "x.y/gpu 4/3 held 0 reserved 0 connected");
    struct outcome *o = rig_admit(g, "a", "main x.y/gpu=2");
    CHECK_INT(o->told, 1);
    CHECK_INT(o->verdict, DEVMGR_ADMITTED);
    CHECK_STR(o->claims, "main x.y/gpu g1+ g2+");
    CHECK_STR(rig_last(g)->ids, "g1 g2");
    CHECK_STR(rig_disk(g), "a/main x.y/gpu -1:g1,g2");
    CHECK_STR(rig_resources(g), "x.y/gpu 4/3 held 2 reserved 0 connected");
    CHECK_STR(rig_options(g, "a", "main", 0)->options, "env IDS=g1 g2 ");
    struct outcome *done = rig_release(g, "a", NULL);
    CHECK_INT(done->told, 1);
    CHECK_STR(done->uids, "a");
    CHECK_STR(rig_held(g), "");
    CHECK_STR(rig_disk(g), "");
    CHECK_STR(rig_resources(g), "x.y/gpu 4/3 held 0 reserved 0 connected");
    rig_free(g);
}

TEST(a_restart_keeps_claims_and_answers_without_the_plugin) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0@0 g1@1 g2@0,1", "");
    rig_admit(g, "a", "main x.y/gpu=3");
    rig_restart(g, DM_START_LOADED);
    CHECK_STR(rig_resources(g), "x.y/gpu 0/0 held 3 reserved 0 gone");
    CHECK_STR(rig_held(g), "a/main g0?; a/main g1?; a/main g2?");
    struct outcome *o = rig_admit(g, "a", "main x.y/gpu=3");
    CHECK_INT(o->verdict, DEVMGR_ADMITTED);
    CHECK_STR(o->claims, "main x.y/gpu g0 g1 g2");
    CHECK_INT(g->n_calls, 0);
    CHECK_STR(rig_options(g, "a", "main", 0)->options, "env IDS=g0 g1 g2 ");
    CHECK_STR(rig_disk(g), "a/main x.y/gpu 0:g0,g2 1:g1,g2");
    rig_free(g);
}
