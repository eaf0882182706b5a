/* Every way in which an admission does not pass: verdict, cause, the kubelet's text, the detail, and that exactly what
 * was reserved is given back. */
#include "manager_rig.h"

#define LF "Allocate failed due to "
#define WU ", which is unexpected"

static struct rig *two_plugins(const char *settings, const char *options) {
    struct rig *g = rig_new(settings);
    rig_plugin(g, "x.y/a", "a0 a1 a2", options);
    rig_plugin(g, "x.y/b", "b0 b1 b2", options);
    return g;
}

static void expect(struct rig *g, const struct outcome *o, int verdict, int cause, const char *message) {
    CHECK_INT(o->told, 1);
    CHECK_INT(o->verdict, verdict);
    CHECK_INT(o->cause, cause);
    CHECK_STR(o->message, message);
    CHECK_STR(o->reason, "UnexpectedAdmissionError");
    CHECK_STR(o->claims, "");
    CHECK(!strstr(rig_resources(g), "reserved 1") && !strstr(rig_resources(g), "reserved 2"));
}

TEST(no_plugin) {
    struct rig *g = rig_new(NULL);
    struct outcome *o = rig_admit(g, "p", "main x.y/a=1");
    expect(g, o, DEVMGR_NOT_YET, DEVMGR_NO_PLUGIN, LF "cannot allocate unregistered device x.y/a" WU);
    CHECK_STR(o->detail,
              "pod default/p, container main, x.y/a: no device plugin has registered this resource; start "
              "its plugin, correct the name, or name it in ignore-resources if it is no device");
    CHECK_STR(o->container, "main");
    CHECK_STR(o->resource, "x.y/a");
    CHECK_INT((int)o->retry_after, 1000);
    rig_free(g);
}

TEST(W12_no_device_list) {
    struct rig *g = rig_new(NULL);
    rig_connect(g, "x.y/a", "");
    struct outcome *o = rig_admit(g, "p", "main x.y/a=1");
    expect(g, o, DEVMGR_NOT_YET, DEVMGR_NO_DEVICE_LIST, LF "cannot allocate unregistered device x.y/a" WU);
    CHECK(strstr(o->detail, "its plugin (plugin.sock) is connected and has not listed its devices yet"));
    rig_free(g);
}

TEST(W56_no_device_list_after_a_restart) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/a", "a0", "");
    rig_pass(g, 1000);
    rig_restart(g, DM_START_LOADED);
    struct outcome *o = rig_admit(g, "p", "main x.y/a=1");
    expect(g, o, DEVMGR_NOT_YET, DEVMGR_NO_DEVICE_LIST,
           LF "no healthy devices present; cannot allocate unhealthy devices x.y/a" WU);
    rig_connect(g, "x.y/a", ""); /* back, not listed */
    o = rig_admit(g, "p", "main x.y/a=1");
    expect(g, o, DEVMGR_NOT_YET, DEVMGR_NO_DEVICE_LIST,
           LF "no healthy devices present; cannot allocate unhealthy devices x.y/a" WU);
    rig_free(g);
}

TEST(invalid_pod_when_no_plugin_could_ever_list_so_many) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/a", "a0", "");
    struct outcome *o = rig_admit(g, "p", "main x.y/a=200001");
    expect(g, o, DEVMGR_REFUSED, DEVMGR_INVALID_POD,
           LF "requested number of devices unavailable for x.y/a. Requested: 200001, Available: 1" WU);
    CHECK(strstr(o->detail, "asks for 200001; a plugin may list 200000 at most (max-devices)"));
    rig_free(g);
}

TEST(plugin_gone) {
    struct rig *g = rig_new(NULL);
    uint64_t generation = rig_plugin(g, "x.y/a", "a0", "");
    rig_gone(g, "x.y/a", generation);
    struct outcome *o = rig_admit(g, "p", "main x.y/a=1");
    expect(g, o, DEVMGR_NOT_YET, DEVMGR_PLUGIN_GONE,
           LF "no healthy devices present; cannot allocate unhealthy devices x.y/a" WU);
    CHECK(strstr(o->detail, "its plugin has gone (end of stream); start it again"));
    rig_pass(g, 5 * 60 * 1000);
    o = rig_admit(g, "p", "main x.y/a=1");
    expect(g, o, DEVMGR_NOT_YET, DEVMGR_PLUGIN_GONE, LF "cannot allocate unregistered device x.y/a" WU);
    rig_free(g);
}

TEST(ALLOC_07_no_healthy_device) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/a", "a0- a1-", "");
    struct outcome *o = rig_admit(g, "p", "main x.y/a=1");
    expect(g, o, DEVMGR_NOT_YET, DEVMGR_INSUFFICIENT_DEVICES,
           LF "no healthy devices present; cannot allocate unhealthy devices x.y/a" WU);
    CHECK_STR(o->detail,
              "pod default/p, container main, x.y/a: 1 wanted, 0 of 2 free; 2 not healthy; admit again when "
              "enough are free, or release a pod that ended");
    rig_free(g);
}

TEST(ALLOC_10_P34_insufficient_devices_names_who_holds_and_who_reserved) {
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/a", "a0 a1 a2 a3-", "");
    rig_admit(g, "one", "c x.y/a=1");
    g->hold_calls = 1;
    rig_admit(g, "two", "d x.y/a=1");
    struct outcome *o = rig_admit(g, "p", "main x.y/a=2");
    CHECK_INT(o->cause, DEVMGR_INSUFFICIENT_DEVICES);
    CHECK_STR(o->message,
              LF "requested number of devices unavailable for x.y/a. Requested: 2, Available: 1" WU);
    CHECK_STR(o->detail, "pod default/p, container main, x.y/a: 2 wanted, 1 of 4 free; 1 held by default/one "
                         "(container c: a0); 1 "
                         "reserved for default/two (container d: a1), whose admission is in flight; 1 not "
                         "healthy; admit again "
                         "when enough are free, or release a pod that ended");
    o = rig_admit(g, "q", "main x.y/a=9");
    CHECK(strstr(o->detail, "the plugin does not list that many: ask for fewer, or add devices"));
    rig_free(g);
}

TEST(ALLOC_33_34_plugin_error) {
    struct rig *g = two_plugins(NULL, "");
    g->hold_calls = 1;
    struct outcome *o = rig_admit(g, "p", "main x.y/a=1 x.y/b=1");
    rig_answer(g, rig_last(g), 0, "");
    CHECK_STR(rig_resources(g),
              "x.y/a 3/3 held 0 reserved 1 connected; x.y/b 3/3 held 0 reserved 1 connected");
    rig_answer(g, rig_last(g), DM_UNKNOWN, "no way");
    expect(g, o, DEVMGR_REFUSED, DEVMGR_PLUGIN_ERROR, LF "rpc error: code = Unknown desc = no way" WU);
    CHECK_STR(o->detail,
              "pod default/p, container main, x.y/b: its plugin (plugin.sock) failed Allocate with Unknown: "
              "no way; the plugin's log says more");
    rig_free(g);
}

TEST(an_answer_that_could_not_be_read_is_the_plugins_fault) {
    struct rig *g = two_plugins(NULL, "");
    g->hold_calls = 1;
    struct outcome *o = rig_admit(g, "p", "main x.y/a=1");
    struct dm_call_result r = {.id = rig_last(g)->id,
                               .status = {.code = DM_INTERNAL, .message = "70 MiB", .unusable = true}};
    dm_manager_answered(g->m, &r);
    rig_drain(g);
    expect(g, o, DEVMGR_REFUSED, DEVMGR_PLUGIN_BAD_ANSWER, LF "rpc error: code = Internal desc = 70 MiB" WU);
    rig_free(g);
}

TEST(ALLOC_32_preferred_error) {
    struct rig *g = two_plugins(NULL, "preferred");
    g->hold_calls = 1;
    struct outcome *o = rig_admit(g, "p", "main x.y/a=1");
    rig_answer(g, rig_last(g), DM_INTERNAL, "oops");
    expect(g, o, DEVMGR_REFUSED, DEVMGR_PLUGIN_ERROR,
           LF "device plugin GetPreferredAllocation rpc failed with err: rpc error: code = Internal desc = "
              "oops" WU);
    CHECK_INT((int)g->n_calls, 1);
    rig_free(g);
}

TEST(P01_plugin_timeout) {
    struct rig *g = two_plugins(NULL, "");
    g->hold_calls = 1;
    struct outcome *o = rig_admit(g, "p", "main x.y/a=1");
    CHECK_INT((int)rig_last(g)->timeout, 60000);
    rig_answer(g, rig_last(g), DM_DEADLINE_EXCEEDED, "too slow");
    expect(g, o, DEVMGR_NOT_YET, DEVMGR_PLUGIN_TIMEOUT,
           LF "rpc error: code = DeadlineExceeded desc = too slow" WU);
    CHECK(strstr(o->detail, "raise allocate-timeout@x.y/a"));
    rig_free(g);
}

TEST(plugin_gone_during_the_call) {
    struct rig *g = two_plugins(NULL, "");
    g->hold_calls = 1;
    struct outcome *o = rig_admit(g, "p", "main x.y/a=1");
    rig_gone(g, "x.y/a", 1);
    CHECK_INT(o->told, 0); /* the call's result comes */
    rig_answer(g, rig_last(g), DM_UNAVAILABLE, "connection reset");
    expect(g, o, DEVMGR_NOT_YET, DEVMGR_PLUGIN_GONE,
           LF "rpc error: code = Unavailable desc = connection reset" WU);
    rig_free(g);
}

TEST(an_error_of_a_replaced_endpoint_is_plugin_gone) {
    struct rig *g = two_plugins(NULL, "");
    g->hold_calls = 1;
    struct outcome *o = rig_admit(g, "p", "main x.y/a=1");
    rig_plugin(g, "x.y/a", "a0 a1", "");
    rig_answer(g, rig_last(g), DM_CANCELLED, "channel closed");
    expect(g, o, DEVMGR_NOT_YET, DEVMGR_PLUGIN_GONE,
           LF "rpc error: code = Canceled desc = channel closed" WU);
    rig_free(g);
}

TEST(an_answer_of_a_replaced_endpoint_counts_if_the_devices_are_still_there) {
    struct rig *g = two_plugins(NULL, "");
    g->hold_calls = 1;
    struct outcome *o = rig_admit(g, "p", "main x.y/a=1");
    rig_plugin(g, "x.y/a", "a0 a1", "");
    rig_answer(g, rig_last(g), 0, "");
    CHECK_STR(o->claims, "main x.y/a a0+");
    rig_free(g);
}

TEST(an_answer_after_the_plugin_has_gone_is_plugin_gone) {
    struct rig *g = two_plugins(NULL, "");
    g->hold_calls = 1;
    struct outcome *o = rig_admit(g, "p", "main x.y/a=1");
    rig_gone(g, "x.y/a", 1);
    rig_answer(g, rig_last(g), 0, "");
    expect(g, o, DEVMGR_NOT_YET, DEVMGR_PLUGIN_GONE,
           LF "no healthy devices present; cannot allocate unhealthy devices x.y/a" WU);
    rig_free(g);
}

TEST(ALLOC_37_W01_a_device_withdrawn_during_allocate_is_not_given) {
    static const char *const lists[] = {"a1 a2", "a0- a1 a2", ""};
    EACH(list, lists) {
        struct rig *g = two_plugins(NULL, "");
        g->hold_calls = 1;
        struct outcome *o = rig_admit(g, "p", "main x.y/a=1");
        rig_list_as(g, "x.y/a", 1, *list);
        rig_answer(g, rig_last(g), 0, "");
        expect(g, o, DEVMGR_NOT_YET, DEVMGR_INSUFFICIENT_DEVICES,
               LF "requested number of devices unavailable for x.y/a. Requested: 1, Available: 0" WU);
        CHECK(strstr(o->detail,
                     "device a0 was withdrawn or became unhealthy while its plugin answered Allocate"));
        rig_free(g);
    }
}

TEST(ALLOC_35_W07_bad_answers) {
    static const struct {
        const char *answer, *message;
    } rows[] = {{NULL, LF "no containers return in allocation response " WU},
                {"bad", LF "undecodable allocation response: not a message" WU}};
    EACH(row, rows) {
        struct rig *g = two_plugins(NULL, "");
        g->hold_calls = 1;
        struct outcome *o = rig_admit(g, "p", "main x.y/a=1");
        rig_answer(g, rig_last(g), 0, row->answer);
        expect(g, o, DEVMGR_REFUSED, DEVMGR_PLUGIN_BAD_ANSWER, row->message);
        rig_free(g);
    }
}

TEST(ALLOC_40_not_durable) {
    struct rig *g = two_plugins(NULL, "");
    g->fail_saves = 1;
    struct outcome *o = rig_admit(g, "p", "main x.y/a=1");
    expect(g, o, DEVMGR_NOT_YET, DEVMGR_NOT_DURABLE,
           LF "failed to write checkpoint file \"kubelet_internal_checkpoint\": no space left on device" WU);
    CHECK_STR(o->container, "-");
    CHECK_STR(rig_disk(g), "");
    CHECK_STR(rig_held(g), "");
    o = rig_admit(g, "p", "main x.y/a=1");
    CHECK_INT(o->verdict, DEVMGR_ADMITTED);
    rig_free(g);
}

TEST(recovering) {
    struct rig *g = rig_new(NULL);
    rig_restart(g, DM_START_RECOVERING);
    rig_plugin(g, "x.y/a", "a0 a1", "");
    struct outcome *o = rig_admit(g, "p", "main x.y/a=1");
    expect(g, o, DEVMGR_NOT_YET, DEVMGR_RECOVERING,
           LF "devices are being recovered: waiting for the list of live pods" WU);
    CHECK(strstr(o->detail, "after a sync with the list of all live pods"));
    rig_free(g);
}

TEST(W75_options_conflict) {
    struct rig *g = two_plugins("conflicts=refuse", "");
    g->hold_calls = 1;
    struct outcome *o = rig_admit(g, "p", "main x.y/a=1 x.y/b=1");
    rig_answer(g, rig_last(g), 0, "env X=1");
    rig_answer(g, rig_last(g), 0, "env X=2");
    expect(g, o, DEVMGR_REFUSED, DEVMGR_OPTIONS_CONFLICT,
           LF "conflicting allocation responses: env \"X\": x.y/a has \"1\", x.y/b has \"2\"" WU);
    CHECK_STR(o->container, "main");
    rig_free(g);
}

TEST(P29_a_conflict_is_told_once_and_the_first_wins) {
    struct rig *g = two_plugins(NULL, "");
    g->hold_calls = 1;
    g->events[0] = 0;
    struct outcome *o = rig_admit(g, "p", "main x.y/a=1 x.y/b=1");
    rig_answer(g, rig_last(g), 0, "env X=1");
    rig_answer(g, rig_last(g), 0, "env X=2");
    CHECK_INT(o->verdict, DEVMGR_ADMITTED);
    CHECK_STR(o->detail,
              "pod default/p, container main: answers differ, the first wins: env \"X\": x.y/a has \"1\", "
              "x.y/b has \"2\"");
    CHECK_STR(g->events,
              "log 4 pod default/p, container main: answers differ, the first wins: env \"X\": x.y/a has "
              "\"1\", x.y/b has \"2\"; admitted p; ");
    g->events[0] = 0;
    CHECK_STR(rig_options(g, "p", "main", 0)->options, "env X=1 ");
    CHECK_STR(g->events, "");
    rig_restart(g, DM_START_LOADED);
    rig_options(g, "p", "main", 0);
    rig_options(g, "p", "main", 0);
    CHECK_STR(
        g->events,
        "log 4 pod default/p, container main: answers differ, the first wins: env \"X\": x.y/a has \"1\", "
        "x.y/b has \"2\"; ");
    rig_free(g);
}

TEST(what_strangers_say_does_not_break_the_line) {
    struct rig *g = two_plugins(NULL, "");
    g->hold_calls = 1;
    g->events[0] = 0;
    struct outcome *o = rig_admit(g, "p", "main x.y/a=1");
    rig_answer(g, rig_last(g), DM_UNKNOWN, "one\ntwo \033[31m");
    CHECK_STR(o->message,
              LF "rpc error: code = Unknown desc = one\ntwo \033[31m" WU); /* the kubelet's, as it is */
    CHECK(strstr(o->detail, "with Unknown: one?two ?[31m; the plugin's log says more"));
    dm_manager_note(g->m, "x.y/a", 4, "one\ntwo");
    rig_drain(g);
    CHECK(strstr(g->events, "plugin x.y/a: one?two; "));
    rig_free(g);
}

TEST(W08_a_failure_at_each_call_gives_back_everything) {
    for (int fail_at = 0; fail_at < 8; fail_at++) {
        struct rig *g = two_plugins(NULL, "preferred");
        DM_FREE char *before = dm_strdup(rig_resources(g));
        g->hold_calls = 1;
        struct outcome *o = rig_admit(g, "p", "init:i x.y/a=1 x.y/b=1; main x.y/a=2 x.y/b=2");
        for (int i = 0; !o->told && i < 20; i++) /* both calls of all four steps, one of them fails */
            rig_answer(g, rig_last(g), i == fail_at ? DM_INTERNAL : 0, "");
        CHECK_INT(o->told, 1);
        CHECK_INT(o->verdict, DEVMGR_REFUSED);
        CHECK_STR(rig_resources(g), before);
        CHECK_STR(rig_held(g), "");
        g->hold_calls = 0;
        CHECK_INT(rig_admit(g, "q", "main x.y/a=3 x.y/b=3")->verdict, DEVMGR_ADMITTED);
        rig_free(g);
    }
}

TEST(bad_arguments_are_said_at_once) {
    struct rig *g = rig_new(NULL);
    devmgr_error err;
    CHECK_INT(dm_manager_admit(g->m, NULL, rig_on_admit, NULL, &err), DEVMGR_EINVALID);
    CHECK_INT(dm_manager_options(g->m, "p", NULL, 0, rig_on_options, NULL), DEVMGR_EINVALID);
    CHECK_INT(dm_manager_release(g->m, NULL, NULL, NULL, NULL), DEVMGR_EINVALID);
    CHECK_INT(dm_manager_init_done(g->m, NULL, NULL, NULL), DEVMGR_EINVALID);
    CHECK_INT(dm_manager_sync(g->m, NULL, 1, 0, 0, NULL, NULL), DEVMGR_EINVALID);
    rig_free(g);
}
