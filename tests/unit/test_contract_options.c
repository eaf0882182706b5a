/* The kubelet's rules of container options, capacity and saving (OPT-*, NODE-*, CKPT-13; tests/contract/rows.tsv), as far as
 * the tests of the single files do not carry their ids. */
#include "manager_rig.h"

/* ---- options ------------------------------------------------------------------------------------------------------- */

/* As a kubelet's file has it: without pods' kinds and plugins' options. */
static void restart_from_a_kubelets_file(struct rig *g) {
    for (size_t i = 0; i < g->disk->n_resources; i++)
        g->disk->resources[i]->has_options = g->disk->resources[i]->prestart = false;
    for (size_t i = 0; i < g->disk->n_pods; i++)
        dm_saved_pod_unref(g->disk->pods[i]);
    g->disk->n_pods = 0;
    rig_restart(g, DM_START_LOADED);
}

TEST(OPT_05_prestart_is_for_who_holds_something) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1", "prestart");
    rig_admit(g, "p", "main");
    struct outcome *o = rig_options(g, "p", "main", 0);
    CHECK_INT(o->status, 0);
    CHECK_STR(o->options, "");
    CHECK_INT((int)g->n_calls, 0);
    rig_free(g);
}

TEST(OPT_06_claims_serve_after_the_grace_unless_prestart_needs_the_plugin) {
    struct rig *g = rig_new(NULL);
    uint64_t quiet = rig_plugin(g, "x.y/quiet", "q0", ""),
             asking = rig_plugin(g, "x.y/asking", "a0", "prestart");
    rig_admit(g, "p", "main x.y/quiet=1");
    rig_admit(g, "q", "main x.y/asking=1");
    rig_gone(g, "x.y/quiet", quiet);
    rig_gone(g, "x.y/asking", asking);
    for (int removed = 0; removed < 2; removed++) {
        CHECK_STR(rig_options(g, "p", "main", 0)->options, "env IDS=q0 ");
        CHECK_INT(rig_options(g, "q", "main", 0)->status, -EAGAIN);
        rig_pass(g, 5 * 60 * 1000);
    }
    CHECK_STR(rig_resources(g),
              "x.y/asking 0/0 held 1 reserved 0 removed; x.y/quiet 0/0 held 1 reserved 0 removed");
    rig_free(g);
}

TEST(OPT_07_after_a_restart_kept_options_are_served_and_only_a_known_prestart_waits) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1", "prestart");
    rig_admit(g, "p", "main x.y/gpu=1");
    rig_pass(g, 2000);
    g->n_calls = 0;
    rig_restart(g, DM_START_LOADED);
    CHECK_INT(rig_options(g, "p", "main", 0)->status, -EAGAIN); /* our file says that the plugin wants it */
    restart_from_a_kubelets_file(g);
    CHECK_STR(rig_options(g, "p", "main", 0)->options, "env IDS=g0 "); /* a kubelet's does not: as there */
    CHECK_INT((int)g->n_calls, 0);
    rig_plugin(g, "x.y/gpu", "g0 g1", "prestart");
    CHECK_STR(rig_options(g, "p", "main", 0)->options, "env IDS=g0 ");
    CHECK_INT((int)g->n_calls, 1);
    CHECK_INT(rig_last(g)->rpc, DM_RPC_PRESTART);
    rig_free(g);
}

TEST(OPT_08_09_asking_for_options_allocates_nothing) {
    static const char *const pods[] = {"admitted", "stranger"};
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1", "");
    rig_admit(g, "admitted", "main");
    EACH(pod, pods) {
        struct outcome *o = rig_options(g, *pod, "main", 0);
        CHECK_INT(o->status, 0);
        CHECK_STR(o->options, "");
    }
    CHECK_INT((int)g->n_calls, 0);
    CHECK_STR(rig_held(g), "");
    rig_free(g);
}

TEST(OPT_10_options_survive_restarts_of_container_and_manager_without_a_call) {
    struct rig *g = rig_new(NULL);
    g->answer = "env A=1\nmount /c=/h\ndev /dev/x=/dev/y\nann k=v\ncdi v/c:0";
    static const char want[] = "env A=1 ann k=v mount /c=/h dev /dev/x=/dev/y cdi v/c:0 ";
    rig_plugin(g, "x.y/gpu", "g0 g1", "");
    rig_admit(g, "p", "main x.y/gpu=1");
    g->n_calls = 0;
    for (int i = 0; i < 3; i++)
        CHECK_STR(rig_options(g, "p", "main", 0)->options, want);
    rig_restart(g, DM_START_LOADED);
    CHECK_STR(rig_options(g, "p", "main", 0)->options, want);
    rig_plugin(g, "x.y/gpu", "g0 g1", "");
    CHECK_STR(rig_options(g, "p", "main", 0)->options, want);
    CHECK_INT((int)g->n_calls, 0);
    rig_free(g);
}

static void keep_numbers(void *arg, int status, const devmgr_options *o, const devmgr_error *err) {
    (void)err;
    if (status == 0 && o)
        snprintf(arg, 100, "%zu %zu %zu %zu %zu", o->n_envs, o->n_annotations, o->n_mounts, o->n_devices,
                 o->n_cdi_devices);
}

TEST(OPT_18_an_empty_answer_gives_empty_options) {
    struct rig *g = rig_new(NULL);
    char numbers[100] = "";
    g->answer = "";
    rig_plugin(g, "x.y/gpu", "g0", "");
    rig_admit(g, "p", "main x.y/gpu=1");
    CHECK_INT((int)g->disk->claims[0]->answer_len, 0);
    CHECK_INT(dm_manager_options(g->m, "p", "main", 0, keep_numbers, numbers), 0);
    rig_drain(g);
    CHECK_STR(numbers, "0 0 0 0 0");
    rig_free(g);
}

/* ---- capacity and the checkpoint ----------------------------------------------------------------------------------- */

TEST(NODE_05_a_removal_is_written) {
    struct rig *g = rig_new(NULL);
    uint64_t generation = rig_plugin(g, "x.y/gpu", "g0", "");
    rig_pass(g, 2000);
    CHECK_INT((int)g->disk->n_resources, 1);
    rig_gone(g, "x.y/gpu", generation);
    rig_pass(g, 2000);
    CHECK_INT((int)g->disk->n_resources, 1);
    rig_pass(g, 5 * 60 * 1000);
    CHECK_INT((int)g->disk->n_resources, 0);
    rig_free(g);
}

TEST(NODE_06_07_without_a_list_there_is_nothing_to_publish) {
    struct rig *g = rig_new(NULL);
    uint64_t generation = rig_connect(g, "x.y/gpu", "");
    CHECK_STR(g->events, "resource x.y/gpu 0/0 starting; ");
    rig_gone(g, "x.y/gpu", generation);
    CHECK_STR(rig_resources(g), "x.y/gpu 0/0 held 0 reserved 0 gone");
    rig_pass(g, 5 * 60 * 1000);
    CHECK_STR(rig_resources(g), "x.y/gpu 0/0 held 0 reserved 0 removed");
    rig_free(g);
}

TEST(DEV_06_when_a_plugin_is_gone_none_of_its_devices_is_healthy) {
    struct rig *g = rig_new(NULL);
    uint64_t generation = rig_plugin(g, "x.y/gpu", "g0 g1", "");
    rig_admit(g, "p", "main x.y/gpu=1");
    rig_gone(g, "x.y/gpu", generation);
    CHECK_STR(rig_resources(g), "x.y/gpu 2/0 held 1 reserved 0 gone");
    CHECK_STR(rig_held(g), "p/main g0?");
    CHECK_INT(rig_admit(g, "q", "main x.y/gpu=1")->cause, DEVMGR_PLUGIN_GONE);
    rig_free(g);
}

static const char *registered_on_disk(struct rig *g) {
    static char out[500];
    out[0] = 0;
    for (size_t i = 0; i < g->disk->n_resources; i++) {
        const struct dm_saved_resource *r = g->disk->resources[i];
        rig_add(out, sizeof out, "%s:", r->name);
        for (size_t k = 0; k < r->n_healthy; k++)
            rig_add(out, sizeof out, " %s", r->healthy[k]);
        rig_add(out, sizeof out, "; ");
    }
    return out;
}

TEST(CKPT_04_every_known_resource_is_registered_with_its_healthy_ids) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1- g2", "");
    uint64_t nic = rig_plugin(g, "x.y/nic", "n0", "");
    rig_plugin(g, "x.y/none", "", "");
    rig_connect(g, "x.y/silent", "");
    rig_gone(g, "x.y/nic", nic);
    rig_pass(g, 2000);
    CHECK_STR(registered_on_disk(g), "x.y/gpu: g0 g2; x.y/nic:; x.y/none:; x.y/silent:; ");
    rig_free(g);
}

/* Writes so far after each event: the changes of content, and nothing else. */
TEST(CKPT_13_it_is_written_when_its_content_changed) {
    struct rig *g = rig_new(NULL);
    CHECK_INT(g->n_saves, 0); /* a start writes nothing */
    uint64_t generation = rig_plugin(g, "x.y/gpu", "g0 g1", "");
    rig_pass(g, 1000);
    int saves = g->n_saves;
    CHECK(saves > 0);
    rig_list(g, "x.y/gpu", "g0 g1");
    rig_pass(g, 10000);
    CHECK_INT(g->n_saves, saves); /* the same list again */
    rig_list(g, "x.y/gpu", "g0 g1-");
    rig_pass(g, 1000);
    CHECK_INT(g->n_saves, ++saves); /* its health */
    CHECK_INT(g->disk_durable, 0);
    rig_admit(g, "p", "main x.y/gpu=1");
    CHECK_INT(g->n_saves, ++saves); /* an allocation */
    rig_release(g, "p", NULL);
    CHECK_INT(g->n_saves, ++saves); /* and its end, which the kubelet forgets */
    rig_gone(g, "x.y/gpu", generation);
    rig_pass(g, 5 * 60 * 1000 + 2000);
    CHECK_INT((int)g->disk->n_resources, 0); /* a removal */
    rig_free(g);
}

TEST(CKPT_20_the_grace_of_a_loaded_resource_begins_at_the_start) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/gpu", "g0 g1", "");
    rig_pass(g, 2000);
    rig_restart(g, DM_START_LOADED);
    CHECK_STR(rig_resources(g), "x.y/gpu 0/0 held 0 reserved 0 gone");
    rig_pass(g, 5 * 60 * 1000 - 1);
    CHECK_STR(rig_resources(g), "x.y/gpu 0/0 held 0 reserved 0 gone");
    rig_pass(g, 1);
    CHECK_STR(rig_resources(g), "x.y/gpu 0/0 held 0 reserved 0 removed");
    rig_free(g);
}
