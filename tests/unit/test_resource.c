/* Resources: lists, health, capacity, grace. Rows NODE-*, DEV-* and REG-2x. */
#include "manager_rig.h"
#include <time.h>

TEST(NODE_01_capacity_is_all_allocatable_is_the_healthy_ones) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1 g2-", "");
    CHECK_STR(rig_resources(g), "x.y/gpu 3/2 held 0 reserved 0 connected");
    rig_free(g);
}

TEST(NODE_02_use_lowers_neither) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1", "");
    rig_admit(g, "a", "main x.y/gpu=2");
    CHECK_STR(rig_resources(g), "x.y/gpu 2/2 held 2 reserved 0 connected");
    rig_free(g);
}

TEST(NODE_03_04_09_gone_is_n_0_for_the_grace_then_0_0_removed) {
    struct rig *g = rig_new(NULL);
    uint64_t generation = rig_plugin(g, "x.y/gpu", "g0 g1", "");
    rig_gone(g, "x.y/gpu", generation);
    CHECK_STR(rig_resources(g), "x.y/gpu 2/0 held 0 reserved 0 gone");
    rig_pass(g, 5 * 60 * 1000 - 1);
    CHECK_STR(rig_resources(g), "x.y/gpu 2/0 held 0 reserved 0 gone");
    g->events[0] = 0;
    rig_pass(g, 1);
    CHECK_STR(rig_resources(g), "x.y/gpu 0/0 held 0 reserved 0 removed");
    CHECK_STR(g->events, "resource x.y/gpu 0/0 removed; ");
    rig_pass(g, 5000);
    CHECK_INT((int)g->disk->n_resources, 0); /* NODE-05 */
    rig_plugin(g, "x.y/gpu", "g0", "");
    CHECK_STR(rig_resources(g), "x.y/gpu 1/1 held 0 reserved 0 connected");
    rig_free(g);
}

TEST(stop_grace_can_be_set_for_one_resource) {
    struct rig *g = rig_new("stop-grace@x.y/gpu=10s");
    uint64_t a = rig_plugin(g, "x.y/gpu", "g0", ""), b = rig_plugin(g, "x.y/nic", "n0", "");
    rig_gone(g, "x.y/gpu", a);
    rig_gone(g, "x.y/nic", b);
    rig_pass(g, 10000);
    CHECK_STR(rig_resources(g), "x.y/gpu 0/0 held 0 reserved 0 removed; x.y/nic 1/0 held 0 reserved 0 gone");
    rig_free(g);
}

TEST(NODE_06_07_a_plugin_without_a_list_is_starting_and_publishes_nothing) {
    struct rig *g = rig_new(NULL);
    uint64_t generation = rig_connect(g, "x.y/gpu", "");
    CHECK_STR(rig_resources(g), "x.y/gpu 0/0 held 0 reserved 0 starting");
    rig_gone(g, "x.y/gpu", generation);
    CHECK_STR(rig_resources(g), "x.y/gpu 0/0 held 0 reserved 0 gone");
    rig_free(g);
}

TEST(NODE_08_after_a_restart_0_0_until_the_plugin_is_back_or_the_grace_is_over) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1", "");
    rig_pass(g, 1000);
    rig_restart(g, DM_START_LOADED);
    CHECK_STR(rig_resources(g), "x.y/gpu 0/0 held 0 reserved 0 gone");
    rig_pass(g, 5 * 60 * 1000);
    CHECK_STR(rig_resources(g), "x.y/gpu 0/0 held 0 reserved 0 removed");
    rig_pass(g, 1000);
    rig_restart(g, DM_START_LOADED);
    CHECK_STR(rig_resources(g), ""); /* nothing held: forgotten by the restart */
    rig_free(g);
}

TEST(a_removed_resource_with_claims_is_known_after_a_restart_too) {
    struct rig *g = rig_new(NULL);
    uint64_t generation = rig_plugin(g, "x.y/gpu", "g0 g1", "prestart");
    rig_admit(g, "a", "main x.y/gpu=1");
    rig_gone(g, "x.y/gpu", generation);
    rig_pass(g, 6 * 60 * 1000);
    CHECK_STR(rig_resources(g), "x.y/gpu 0/0 held 1 reserved 0 removed");
    CHECK_STR(rig_held(g), "a/main g0?");
    rig_restart(g, DM_START_LOADED);
    CHECK_STR(rig_resources(g), "x.y/gpu 0/0 held 1 reserved 0 gone");
    rig_pass(g, 6 * 60 * 1000);
    CHECK_STR(rig_resources(g), "x.y/gpu 0/0 held 1 reserved 0 removed");
    rig_free(g);
}

TEST(NODE_11_12_allocatable_is_raised_to_what_is_in_use_for_pods_with_devices) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1 g2", "");
    rig_admit(g, "a", "main x.y/gpu=2");
    rig_admit(g, "b", "main");
    CHECK_INT((int)dm_manager_node_allocatable(g->m, "a", "x.y/gpu", 0), 2);
    CHECK_INT((int)dm_manager_node_allocatable(g->m, "a", "x.y/gpu", 7), 7);
    CHECK_INT((int)dm_manager_node_allocatable(g->m, "b", "x.y/gpu", 0), 0);
    CHECK_INT((int)dm_manager_node_allocatable(g->m, "nobody", "x.y/gpu", 0), 0);
    CHECK_INT((int)dm_manager_node_allocatable(g->m, "a", "x.y/other", 1), 1);
    rig_free(g);
}

TEST(DEV_01_03_each_list_is_the_whole_set_also_an_empty_one) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1", "");
    rig_list(g, "x.y/gpu", "g1 g2 g3");
    CHECK_STR(rig_resources(g), "x.y/gpu 3/3 held 0 reserved 0 connected");
    rig_list(g, "x.y/gpu", "");
    CHECK_STR(rig_resources(g), "x.y/gpu 0/0 held 0 reserved 0 connected");
    rig_free(g);
}

TEST(a_shuffled_list_is_the_same_list) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1 g2", "");
    rig_pass(g, 2000);
    int saves = g->n_saves;
    g->events[0] = 0;
    rig_list(g, "x.y/gpu", "g2 g0 g1");
    CHECK_STR(g->events, "");
    rig_pass(g, 5000);
    CHECK_INT(g->n_saves, saves); /* and is not written */
    rig_free(g);
}

TEST(health_changes_are_written_within_a_second_and_not_durably) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1", "");
    rig_pass(g, 2000);
    int saves = g->n_saves, durable = g->n_durable;
    rig_list(g, "x.y/gpu", "g0- g1");
    rig_list(g, "x.y/gpu", "g0- g1-");
    rig_list(g, "x.y/gpu", "g0 g1-");
    CHECK_INT(g->n_saves, saves);
    CHECK_INT(dm_manager_unsaved(g->m), 1);
    rig_pass(g, 1000);
    CHECK_INT(g->n_saves, saves + 1);
    CHECK_INT(g->n_durable, durable);
    CHECK_INT(dm_manager_unsaved(g->m), 0);
    CHECK_INT((int)g->disk->resources[0]->n_healthy, 1);
    CHECK_STR(g->disk->resources[0]->healthy[0], "g0");
    rig_free(g);
}

TEST(DEV_08_the_owner_of_a_device_hears_of_its_health) {
    struct rig *g = rig_new(NULL);
    uint64_t generation = rig_plugin(g, "x.y/gpu", "g0 g1 g2", "");
    rig_admit(g, "a", "main x.y/gpu=2");
    g->events[0] = 0;
    rig_list(g, "x.y/gpu", "g0- g1 g2-"); /* g2 is nobody's */
    CHECK_STR(g->events, "health a/main g0 Unhealthy; resource x.y/gpu 3/1 connected; ");
    g->events[0] = 0;
    rig_list(g, "x.y/gpu", "g0 g1 g2");
    CHECK_STR(g->events, "health a/main g0 Healthy; resource x.y/gpu 3/3 connected; ");
    g->events[0] = 0;
    rig_list(g, "x.y/gpu", "g0 g2"); /* W14: vanished is Missing, not Healthy */
    CHECK_STR(g->events, "health a/main g1 Missing; resource x.y/gpu 2/2 connected; ");
    CHECK_STR(rig_held(g), "a/main g0; a/main g1!");
    g->events[0] = 0;
    rig_gone(g, "x.y/gpu", generation); /* W14: lost is Unknown */
    CHECK_STR(g->events, "plugin x.y/gpu: plugin gone: end of stream; resource x.y/gpu 2/0 gone; "
                         "health a/main g0 Unknown; health a/main g1 Unknown; ");
    g->events[0] = 0;
    rig_plugin(g, "x.y/gpu", "g0 g1 g2", "");
    CHECK_STR(g->events, "resource x.y/gpu 2/0 starting; health a/main g0 Healthy; "
                         "resource x.y/gpu 3/3 connected; health a/main g1 Healthy; ");
    rig_free(g);
}

TEST(first_sight_after_a_restart_is_told_too) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1", "");
    rig_admit(g, "a", "main x.y/gpu=2");
    rig_restart(g, DM_START_LOADED);
    rig_plugin(g, "x.y/gpu", "g0-", "");
    CHECK_STR(rig_held(g), "a/main g0-; a/main g1!");
    CHECK(strstr(g->events, "health a/main g0 Unhealthy; "));
    CHECK(strstr(g->events, "health a/main g1 Missing; "));
    rig_free(g);
}

TEST(a_health_that_changed_back_before_it_was_told_is_not_told) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0", "");
    rig_admit(g, "a", "main x.y/gpu=1");
    g->events[0] = 0;
    struct dm_listed_device d = {"g0", false, false, 0};
    struct dm_device_list l = {1, &d};
    dm_manager_listed(g->m, "x.y/gpu", g->generations, &l);
    d.healthy = true;
    dm_manager_listed(g->m, "x.y/gpu", g->generations, &l);
    rig_drain(g);
    CHECK_STR(g->events, "resource x.y/gpu 1/1 connected; ");
    rig_free(g);
}

TEST(REG_20_21_22_a_new_endpoint_replaces_the_old_one_and_keeps_its_lists_until_it_lists) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1-", "");
    rig_connect(g, "x.y/gpu", "");
    CHECK_STR(rig_resources(g), "x.y/gpu 2/1 held 0 reserved 0 starting");
    struct outcome *o = rig_admit(g, "a", "main x.y/gpu=1");
    CHECK_INT(o->verdict, DEVMGR_ADMITTED);
    CHECK_INT((int)rig_last(g)->generation, 2); /* the new one serves */
    rig_list_as(g, "x.y/gpu", 2, "h0");
    CHECK_STR(rig_resources(g), "x.y/gpu 1/1 held 1 reserved 0 connected");
    CHECK_STR(rig_held(g), "a/main g0!");
    rig_free(g);
}

TEST(W03_W05_what_a_superseded_endpoint_says_or_how_it_ends_is_ignored) {
    struct rig *g = rig_new(NULL);
    uint64_t old = rig_plugin(g, "x.y/gpu", "g0", "");
    rig_plugin(g, "x.y/gpu", "g0 g1", "");
    rig_list_as(g, "x.y/gpu", old, "g7 g8 g9");
    CHECK_STR(rig_resources(g), "x.y/gpu 2/2 held 0 reserved 0 connected");
    rig_gone(g, "x.y/gpu", old);
    CHECK_STR(rig_resources(g), "x.y/gpu 2/2 held 0 reserved 0 connected");
    rig_gone(g, "x.y/gpu", old + 1);
    CHECK_STR(rig_resources(g), "x.y/gpu 2/0 held 0 reserved 0 gone");
    rig_list_as(g, "x.y/gpu", old + 1, "g7"); /* after its end: a list that was under way */
    CHECK_STR(rig_resources(g), "x.y/gpu 2/0 held 0 reserved 0 gone");
    rig_free(g);
}

TEST(coming_back_ends_the_grace) {
    struct rig *g = rig_new(NULL);
    uint64_t generation = rig_plugin(g, "x.y/gpu", "g0 g1", "");
    rig_gone(g, "x.y/gpu", generation);
    rig_pass(g, 4 * 60 * 1000);
    rig_connect(g, "x.y/gpu", "");
    CHECK_STR(rig_resources(g), "x.y/gpu 2/0 held 0 reserved 0 starting");
    rig_pass(g, 10 * 60 * 1000);
    CHECK_STR(rig_resources(g), "x.y/gpu 2/0 held 0 reserved 0 starting");
    rig_free(g);
}

TEST(resources_have_a_limit) {
    struct rig *g = rig_new("max-resources=2");
    rig_plugin(g, "x.y/a", "", "");
    rig_plugin(g, "x.y/b", "", "");
    struct dm_endpoint_info info = {"x.y/c", 9, "c.sock", 1, false, false};
    devmgr_error err;
    CHECK_INT(dm_manager_connected(g->m, &info, &err), -ENOSPC);
    CHECK_STR(err.message,
              "x.y/c: refused: 2 resources are known, as many as max-resources allows; forget one, or "
              "raise max-resources");
    rig_plugin(g, "x.y/b", "b0", ""); /* a known one may come again */
    rig_free(g);
}

TEST(forget_is_for_removed_resources_of_which_nothing_is_held) {
    struct rig *g = rig_new(NULL);
    uint64_t generation = rig_plugin(g, "x.y/gpu", "g0", "");
    rig_admit(g, "a", "main x.y/gpu=1");
    CHECK_INT(dm_manager_forget_resource(g->m, "x.y/other"), -ENOENT);
    CHECK_INT(dm_manager_forget_resource(g->m, "x.y/gpu"), -EBUSY);
    rig_gone(g, "x.y/gpu", generation);
    CHECK_INT(dm_manager_forget_resource(g->m, "x.y/gpu"), -EBUSY);
    rig_pass(g, 5 * 60 * 1000);
    CHECK_INT(dm_manager_forget_resource(g->m, "x.y/gpu"), -EBUSY);
    rig_release(g, "a", NULL);
    CHECK_INT(dm_manager_forget_resource(g->m, "x.y/gpu"), 0);
    rig_drain(g);
    CHECK_STR(rig_resources(g), "");
    CHECK_INT(dm_manager_forget_resource(g->m, "x.y/gpu"), -ENOENT);
    rig_free(g);
}

TEST(notes_become_last_error_until_the_plugin_connects_again) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0", "");
    g->events[0] = 0;
    dm_manager_note(g->m, "x.y/gpu", 4, "a list of 300000 devices was refused");
    dm_manager_note(g->m, "not a name", 4, "Register refused");
    dm_manager_log(g->m, 6, "hello");
    rig_drain(g);
    CHECK_STR(g->events,
              "resource x.y/gpu 1/1 connected; plugin x.y/gpu: a list of 300000 devices was refused; "
              "plugin not a name: Register refused; log 6 hello; ");
    rig_free(g);
}

static int see_device(void *arg, const devmgr_device *d) {
    static const char *const health[] = {"Healthy", "Unhealthy", "Unknown", "Missing"};
    rig_add(arg, 2000, "%s %s %llx %s; ", d->id, health[d->health], (unsigned long long)d->numa,
            d->claim ? d->claim->container : "-");
    return 0;
}

TEST(each_device_shows_all_that_are_listed_or_held_and_the_holder_that_counts) {
    struct rig *g = rig_new(NULL);
    char out[2000] = "";
    rig_plugin(g, "x.y/gpu", "g10@1 g2@0,1 g1", "");
    rig_admit(g, "a", "init:setup x.y/gpu=2; main x.y/gpu=1");
    rig_list(g, "x.y/gpu", "g10@1 g2-@0");
    dm_manager_each_device(g->m, "x.y/gpu", see_device, out);
    CHECK_STR(out, "g1 Missing 0 main; g2 Unhealthy 1 setup; g10 Healthy 2 -; ");
    out[0] = 0;
    dm_manager_each_device(g->m, "x.y/none", see_device, out);
    CHECK_STR(out, "");
    rig_free(g);
}

/* Not timed: it must only not be absurd; the bench has the numbers. */
TEST(a_hundred_thousand_devices_are_no_trouble) {
    enum { N = 100000 };
    struct rig *g = rig_new(NULL);
    static char ids[N][12];
    struct dm_listed_device *rows = dm_alloc_array(N, sizeof *rows);
    struct dm_device_list l = {N, rows};
    g->unchecked = 1;
    for (int i = 0; i < N; i++) {
        snprintf(ids[i], sizeof ids[i], "d%d", (int)((i * 7919u) % N));
        rows[i] = (struct dm_listed_device){ids[i], true, true, UINT64_C(1) << i % 4};
    }
    uint64_t generation = rig_connect(g, "x.y/gpu", "");
    dm_manager_listed(g->m, "x.y/gpu", generation, &l);
    rig_drain(g);
    for (int i = 0; i < 100; i++) {
        rows[i * 13].healthy = false;
        dm_manager_listed(g->m, "x.y/gpu", generation, &l);
    }
    rig_drain(g);
    CHECK_STR(rig_resources(g), "x.y/gpu 100000/99900 held 0 reserved 0 connected");
    dm_manager_check(g->m);
    struct outcome *o = rig_admit(g, "a", "main x.y/gpu=3");
    CHECK_STR(o->claims, "main x.y/gpu d1+ d2+ d3+");
    free(rows);
    rig_free(g);
}
