/* Container options: PreStartContainer, cached answers, restarts. OPT-*. */
#include "manager_rig.h"

static struct rig *prestarting(void) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/a", "a0 a1 a2", "prestart");
    rig_plugin(g, "x.y/b", "b0 b1", "");
    rig_plugin(g, "x.y/c", "c0 c1", "prestart");
    rig_admit(g, "p", "main x.y/a=2 x.y/b=1 x.y/c=1");
    g->n_calls = 0;
    return g;
}

TEST(OPT_02_prestart_goes_to_each_plugin_that_wants_it_by_name_with_all_ids) {
    struct rig *g = prestarting();
    g->hold_calls = 1;
    struct outcome *o = rig_options(g, "p", "main", 0);
    CHECK_INT((int)g->n_calls, 1);
    CHECK_STR(rig_last(g)->resource, "x.y/a");
    CHECK_STR(rig_last(g)->ids, "a0 a1");
    CHECK_INT(rig_last(g)->rpc, DM_RPC_PRESTART);
    CHECK_INT((int)rig_last(g)->timeout, 30000);
    rig_answer(g, rig_last(g), 0, "");
    CHECK_STR(rig_last(g)->resource, "x.y/c");
    CHECK_INT(o->told, 0);
    rig_answer(g, rig_last(g), 0, "");
    CHECK_INT(o->told, 1);
    CHECK_INT(o->status, 0);
    CHECK_STR(o->options, "env IDS=a0 a1 ");
    rig_options(g, "p", "main", 0); /* before every create */
    CHECK_INT((int)g->n_calls, 3);
    rig_free(g);
}

TEST(looking_only_calls_nobody) {
    struct rig *g = prestarting();
    CHECK_INT(rig_options(g, "p", "main", DEVMGR_NO_PRESTART)->status, 0);
    CHECK_INT((int)g->n_calls, 0);
    rig_free(g);
}

TEST(OPT_01_03_without_devices_there_are_empty_options_and_no_error) {
    struct rig *g = prestarting();
    rig_admit(g, "none", "main x.y/a=0");
    static const char *const rows[][2] = {
        {"none", "main"}, {"none", "x"}, {"stranger", "main"}, {"p", "other"}};
    EACH(row, rows) {
        struct outcome *o = rig_options(g, (*row)[0], (*row)[1], 0);
        CHECK_INT(o->told, 1);
        CHECK_INT(o->status, 0);
        CHECK_STR(o->options, "");
    }
    CHECK_INT((int)g->n_calls, 0);
    rig_free(g);
}

TEST(OPT_04_a_prestart_error_fails_with_the_kubelets_text_and_says_whose) {
    struct rig *g = prestarting();
    g->hold_calls = 1;
    g->events[0] = 0;
    struct outcome *o = rig_options(g, "p", "main", 0);
    rig_answer(g, rig_last(g), DM_UNKNOWN, "prestart failed");
    CHECK_INT(o->told, 1);
    CHECK_INT(o->status, -EIO);
    CHECK_STR(
        o->error,
        "device plugin PreStartContainer rpc failed with err: rpc error: code = Unknown desc = prestart "
        "failed (pod default/p, container main, x.y/a: look at its plugin, plugin.sock)");
    CHECK(!strncmp(g->events, "plugin x.y/a: device plugin PreStartContainer rpc failed with err: ", 60));
    o = rig_options(g, "p", "main", 0);
    rig_answer(g, rig_last(g), DM_DEADLINE_EXCEEDED, "slow");
    CHECK_INT(o->status, -ETIMEDOUT);
    CHECK(strstr(o->error, "or raise prestart-timeout@x.y/a"));
    rig_free(g);
}

TEST(OPT_10_11_restarts_and_bad_health_do_not_matter) {
    struct rig *g = prestarting();
    rig_list_as(g, "x.y/a", 1, "a0- a2");
    CHECK_STR(rig_options(g, "p", "main", 0)->options, "env IDS=a0 a1 ");
    rig_free(g);
}

TEST(W13_after_a_restart_the_claims_serve_and_prestart_waits_for_its_plugin) {
    struct rig *g = prestarting();
    rig_admit(g, "q", "main x.y/b=1"); /* needs no prestart */
    rig_restart(g, DM_START_LOADED);
    CHECK_STR(rig_options(g, "q", "main", 0)->options, "env IDS=b1 ");
    struct outcome *o = rig_options(g, "p", "main", 0);
    CHECK_INT(o->status, -EAGAIN);
    CHECK_STR(o->error, "pod default/p, container main: x.y/a wants PreStartContainer and its plugin is not "
                        "there (gone); start "
                        "the plugin, then create the container again");
    CHECK_STR(rig_options(g, "p", "main", DEVMGR_NO_PRESTART)->options, "env IDS=a0 a1 ");
    rig_plugin(g, "x.y/a", "a0 a1", "prestart");
    CHECK_INT(rig_options(g, "p", "main", 0)->status, -EAGAIN); /* x.y/c is still away */
    rig_plugin(g, "x.y/c", "c0 c1", "");                        /* and has changed its mind */
    CHECK_INT(rig_options(g, "p", "main", 0)->status, 0);
    rig_free(g);
}

TEST(after_the_grace_claims_still_serve) {
    struct rig *g = prestarting();
    rig_admit(g, "q", "main x.y/b=1");
    rig_gone(g, "x.y/b", 2);
    rig_pass(g, 6 * 60 * 1000);
    CHECK_STR(rig_options(g, "q", "main", 0)->options, "env IDS=b1 ");
    rig_free(g);
}

TEST(a_release_during_prestart_ends_it) {
    struct rig *g = prestarting();
    g->hold_calls = 1;
    struct outcome *o = rig_options(g, "p", "main", 0);
    rig_release(g, "p", "other");
    CHECK_INT(o->told, 0);
    rig_release(g, "p", "main");
    CHECK_INT(o->told, 1);
    CHECK_INT(o->status, -ECANCELED);
    CHECK_STR(o->error, "the container was released");
    CHECK_INT(rig_last(g)->canceled, 1);
    rig_answer(g, rig_last(g), DM_CANCELLED, "");
    CHECK_INT(o->told, 1);
    rig_free(g);
}

TEST(init_done_during_the_prestart_of_an_init_container_ends_it) {
    struct rig *g = rig_new(NULL);
    struct outcome *o = rig_outcome(g);
    rig_plugin(g, "x.y/a", "a0", "prestart");
    rig_admit(g, "p", "init:i x.y/a=1");
    dm_manager_options(g->m, "p", "i", 0, rig_on_options, o); /* its call is not even sent */
    rig_init_done(g, "p");
    CHECK_INT(o->status, -ECANCELED);
    rig_free(g);
}

TEST(prestart_does_not_wait_for_allocate) {
    struct rig *g = prestarting();
    g->hold_calls = 1;
    rig_admit(g, "q", "main x.y/a=1");
    rig_options(g, "p", "main", 0);
    CHECK_INT((int)g->n_calls, 2);
    rig_free(g);
}
