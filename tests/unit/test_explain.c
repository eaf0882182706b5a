/* What explain says, that it is what an admission does, and that nobody can tell that it was asked. */
#include "manager_rig.h"
#include <jansson.h>

#define GPU "x.y/gpu"
#define NIC "x.y/nic"

static int keep(void *arg, const char *text, size_t n) {
    json_error_t err;
    json_t **ret = arg;
    *ret = json_loadb(text, n, 0, &err);
    if (!*ret)
        CHECK_FAIL("%s: %.*s", err.text, (int)n, text);
    return 0;
}

static json_t *explain(struct rig *g, const char *uid, const char *spec) {
    devmgr_pod *p = rig_pod(uid, spec, 0);
    uint64_t revision = dm_manager_revision(g->m);
    DM_FREE char *held = dm_strdup(rig_held(g)), *resources = dm_strdup(rig_resources(g)),
                 *events = dm_strdup(g->events);
    size_t calls = g->n_calls;
    int saves = g->n_saves;
    json_t *o = NULL;
    CHECK_INT(dm_manager_explain(g->m, p, keep, &o, NULL), 0);
    devmgr_pod_free(p);
    dm_manager_check(g->m);
    rig_drain(g);
    CHECK_STR(rig_held(g), held);
    CHECK_STR(rig_resources(g), resources);
    CHECK_STR(g->events, events);
    CHECK_INT(g->n_calls, calls);
    CHECK_INT(g->n_saves, saves);
    CHECK_INT(dm_manager_revision(g->m), revision);
    return o;
}

static const char *word(json_t *o, const char *key) {
    return json_string_value(json_object_get(o, key));
}

/* The value at a path of keys and indices, as compact JSON: "resources.0.free". */
static const char *at(json_t *o, const char *path) {
    static char out[2000];
    char copy[200], *save = NULL;
    snprintf(copy, sizeof copy, "%s", path);
    for (char *k = strtok_r(copy, ".", &save); k && o; k = strtok_r(NULL, ".", &save))
        o = json_is_array(o) ? json_array_get(o, strtoul(k, NULL, 10)) : json_object_get(o, k);
    DM_FREE char *text = json_dumps(o, JSON_COMPACT | JSON_ENCODE_ANY);
    snprintf(out, sizeof out, "%s", text ? text : "-");
    return out;
}

static struct rig *machine(const char *policy, const char *scope) {
    DM_FREE char *settings = dm_printf("numa=0;1 topology-policy=%s topology-scope=%s", policy, scope);
    return rig_new(settings);
}

static void same_as_admission(struct rig *g, const char *uid, const char *spec) {
    json_t *o = explain(g, uid, spec);
    struct outcome *real = rig_admit(g, uid, spec);
    CHECK_STR(word(o, "verdict"), devmgr_verdict_name(real->verdict));
    CHECK_STR(word(o, "cause"), devmgr_cause_name(real->cause));
    if (real->verdict != DEVMGR_ADMITTED) {
        CHECK_STR(word(o, "detail"), real->detail);
        CHECK_STR(word(o, "reason"), real->reason);
        CHECK_STR(word(o, "message"), real->message);
    }
    json_decref(o);
}

TEST(who_could_be_admitted_is_told_so_and_what_there_is) {
    struct rig *g = machine("restricted", "container");
    rig_plugin(g, GPU, "g0@0 g1@0 g2-@1 g3@1 g4", "preferred");
    rig_admit(g, "a", "main x.y/gpu=1");
    json_t *o = explain(g, "p", "main x.y/gpu=1; idle");
    CHECK_STR(word(o, "verdict"), "admitted");
    CHECK_STR(word(o, "cause"), "");
    CHECK_STR(word(o, "detail"),
              "pod default/p: all it asks for could be had now, if its plugins agree; admit it");
    CHECK_STR(
        at(o, "containers"),
        "[{\"name\":\"main\",\"affinity\":[0],\"resources\":[{\"name\":\"x.y/gpu\",\"count\":1,\"held\":0}]},"
        "{\"name\":\"idle\",\"affinity\":[0,1],\"resources\":[]}]");
    CHECK_STR(at(o, "resources.0.capacity"), "5");
    CHECK_STR(at(o, "resources.0.healthy"), "4");
    CHECK_STR(at(o, "resources.0.free"), "3");
    CHECK_STR(at(o, "resources.0.held"), "1");
    CHECK_STR(at(o, "resources.0.reserved"), "0");
    CHECK_STR(at(o, "resources.0.plugin"), "\"connected\"");
    CHECK_STR(at(o, "resources.0.chooses"), "true");
    CHECK_STR(at(o, "resources.0.holders"), "[{\"pod\":\"default/a\",\"uid\":\"a\",\"container\":\"main\","
                                            "\"count\":1,\"reserved\":false}]");
    CHECK_STR(at(o, "resources.0.nodes"), "[{\"node\":-1,\"free\":1,\"used\":0,\"unhealthy\":0},"
                                          "{\"node\":0,\"free\":1,\"used\":1,\"unhealthy\":0},"
                                          "{\"node\":1,\"free\":1,\"used\":0,\"unhealthy\":1}]");
    CHECK_STR(at(o, "decisions.0.container"), "\"main\"");
    CHECK_STR(at(o, "decisions.0.merged"),
              "{\"numa\":[0],\"preferred\":true,\"admit\":true,\"exhaustive\":true}");
    CHECK_STR(at(o, "decisions.0.resources.0.hints"),
              "[{\"numa\":[0],\"count\":1,\"preferred\":true},{\"numa\":[1],\"count\":1,\"preferred\":true},"
              "{\"numa\":[0,1],\"count\":2,\"preferred\":false}]");
    json_decref(o);
    rig_free(g);
}

TEST(a_refusal_is_the_one_that_an_admission_would_get_word_for_word) {
    static const char *const specs[] = {"main x.y/gpu=2",
                                        "main x.y/gpu=9",
                                        "main x.y/none=1",
                                        "main x.y/gpu=1 x.y/nic=1",
                                        "main x.y/gpu=1; second x.y/gpu=2",
                                        "init:i x.y/gpu=2; main x.y/gpu=2",
                                        "side:s x.y/gpu=2; main x.y/gpu=1",
                                        "main x.y/gpu=99999999"};
    EACH(spec, specs)
    for (int k = 0; k < 8; k++) {
        static const char *const policies[] = {"none", "best-effort", "restricted", "single-numa-node"};
        struct rig *g = machine(policies[k / 2], k % 2 ? "pod" : "container");
        rig_plugin(g, GPU, "g0@0 g1@0 g2@1 g3@1", "");
        rig_plugin(g, NIC, "n0@1 n1-@0", "");
        rig_admit(g, "a", "main x.y/gpu=1");
        same_as_admission(g, "p", *spec);
        same_as_admission(g, "p", *spec); /* again: held, or refused once more */
        rig_free(g);
    }
}

TEST(what_earlier_containers_take_is_not_there_for_later_ones) {
    struct rig *g = machine("none", "container");
    rig_plugin(g, GPU, "g0 g1 g2", "");
    json_t *o = explain(g, "p", "one x.y/gpu=2; two x.y/gpu=2");
    CHECK_STR(word(o, "cause"), "InsufficientDevices");
    CHECK_STR(word(o, "container"), "two");
    CHECK_STR(at(o, "resources.0.free"), "3"); /* as it is now */
    CHECK_STR(at(o, "decisions"), "[]");
    json_decref(o);
    o = explain(g, "p", "init:one x.y/gpu=2; two x.y/gpu=2"); /* these it leaves */
    CHECK_STR(word(o, "verdict"), "admitted");
    json_decref(o);
    rig_free(g);
}

TEST(a_pod_that_is_known_is_explained_with_what_it_holds) {
    struct rig *g = machine("restricted", "pod");
    uint64_t generation = rig_plugin(g, GPU, "g0@0 g1@1", "");
    rig_admit(g, "p", "main x.y/gpu=1");
    json_t *o = explain(g, "p", "main x.y/gpu=1");
    CHECK_STR(at(o, "containers.0.resources.0.held"), "1");
    CHECK_STR(word(o, "detail"),
              "pod default/p: needs no device that it does not hold; admit it at any time");
    json_decref(o);
    same_as_admission(g, "p", "main x.y/gpu=2"); /* a changed count */
    rig_gone(g, GPU, generation);
    same_as_admission(g, "p", "main x.y/gpu=1");
    same_as_admission(g, "q", "main x.y/gpu=1");
    o = explain(g, "q", "main x.y/gpu=1");
    CHECK_STR(at(o, "resources.0.plugin"), "\"gone\"");
    CHECK_STR(at(o, "resources.0.last_error"), "\"end of stream\"");
    json_decref(o);
    rig_free(g);
}

TEST(a_pod_that_waits_can_be_asked_about_and_nobody_who_waits_is_woken) {
    struct rig *g = machine("none", "container");
    rig_plugin(g, GPU, "g0 g1", "");
    rig_admit(g, "a", "main x.y/gpu=1");
    struct outcome *waits = rig_admit_waiting(g, "p", "main x.y/gpu=2", 100000);
    json_t *o = explain(g, "p", "main x.y/gpu=2");
    CHECK_STR(word(o, "cause"), "InsufficientDevices");
    CHECK_STR(at(o, "in_flight"), "true");
    json_decref(o);
    json_decref(explain(g, "q", "main x.y/gpu=1"));
    CHECK_INT(waits->told, 0);
    rig_release(g, "a", NULL);
    CHECK_INT(waits->verdict, DEVMGR_ADMITTED);
    rig_free(g);
}

TEST(an_admission_in_flight_keeps_what_it_reserved) {
    struct rig *g = machine("none", "container");
    g->hold_calls = 1;
    rig_plugin(g, GPU, "g0 g1", "");
    struct outcome *p = rig_admit(g, "p", "main x.y/gpu=2");
    json_t *o = explain(g, "p", "main x.y/gpu=2");
    CHECK_STR(at(o, "resources.0.holders.0.reserved"), "true");
    CHECK_STR(at(o, "containers.0.resources.0.held"), "2");
    json_decref(o);
    o = explain(g, "q", "main x.y/gpu=1");
    CHECK_STR(word(o, "cause"), "InsufficientDevices");
    CHECK_STR(at(o, "resources.0.reserved"), "2");
    json_decref(o);
    rig_answer(g, rig_last(g), 0, "env A=1");
    CHECK_INT(p->verdict, DEVMGR_ADMITTED);
    rig_free(g);
}

static int never_take(void *arg, const char *uid, const char *container, uint64_t numa, devmgr_error *err) {
    (void)uid, (void)container, (void)numa, (void)err;
    ++*(int *)arg;
    return 0;
}

static int hint_of_cpu(void *arg, const char *uid, const char *container, devmgr_hint_cb add, void *to) {
    (void)arg, (void)uid, (void)container;
    return add(to, &(devmgr_hint){.resource = "cpu", .kind = DEVMGR_HINT, .numa = 2, .preferred = 1});
}

TEST(providers_are_asked_for_hints_and_told_to_take_nothing) {
    struct rig *g = machine("restricted", "container");
    int taken = 0;
    devmgr_provider provider = {
        .size = sizeof provider, .arg = &taken, .hints = hint_of_cpu, .take = never_take};
    CHECK_INT(dm_manager_add_provider(g->m, &provider), 0);
    rig_plugin(g, GPU, "g0@0 g1@1", "");
    json_t *o = explain(g, "p", "main x.y/gpu=1");
    CHECK_INT(taken, 0);
    CHECK_STR(at(o, "decisions.0.resources.1.name"), "\"cpu\"");
    CHECK_STR(at(o, "decisions.0.resources.1.device"), "false");
    CHECK_STR(at(o, "containers.0.affinity"), "[1]");
    json_decref(o);
    rig_free(g);
}

static int no_cpu(void *arg, const char *uid, const char *container, devmgr_hint_cb add, void *to) {
    (void)arg, (void)uid, (void)container;
    return add(to, &(devmgr_hint){.resource = "cpu", .kind = DEVMGR_HINT_IMPOSSIBLE});
}

TEST(a_provider_without_any_nodes_is_named_as_the_reason) {
    struct rig *g = machine("restricted", "container");
    devmgr_provider provider = {.size = sizeof provider, .hints = no_cpu};
    CHECK_INT(dm_manager_add_provider(g->m, &provider), 0);
    rig_plugin(g, GPU, "g0@0 g1@1", "");
    json_t *o = explain(g, "p", "main x.y/gpu=1");
    CHECK_STR(at(o, "decisions.0.why"), "\"no set of nodes will do for cpu\"");
    json_decref(o);
    rig_free(g);
}

TEST(why_no_nodes_are_good_is_said_in_words) {
    static const struct {
        const char *policy, *gpus, *nics, *spec, *why;
    } rows[] = {
        {"restricted", "g0@0 g1@0 g2@1", "n0@1", "main x.y/gpu=2", ""},
        {"restricted", "g0@0 g1-@0 g2@1 g3-@1", "", "main x.y/gpu=2",
         "2 x.y/gpu would fit on 1 node if all were free, but now they take nodes {0,1}"},
        {"best-effort", "g0@0 g1-@0 g2@1 g3-@1", "", "main x.y/gpu=2",
         "2 x.y/gpu would fit on 1 node if all were free, but now they take nodes {0,1}"},
        {"single-numa-node", "g0@0 g1-@0 g2@1 g3-@1", "", "main x.y/gpu=2",
         "no single node has 2 x.y/gpu free"},
        {"single-numa-node", "g0@0 g1@0 g2@1 g3@1", "", "main x.y/gpu=3",
         "3 x.y/gpu take 2 nodes even if all are free"},
        {"restricted", "g0@0 g1", "", "main x.y/gpu=2", "no set of nodes has 2 x.y/gpu free"},
        {"single-numa-node", "g0@0 g1", "", "main x.y/gpu=3", "no node has 3 x.y/gpu free"},
        {"restricted", "g0@0 g1-@1", "n0-@0 n1@1", "main x.y/gpu=1 x.y/nic=1",
         "no nodes are good for all of it: x.y/gpu should be on {0}, x.y/nic should be on {1}"},
        {"single-numa-node", "g0@0 g1-@1", "n0-@0 n1@1", "main x.y/gpu=1 x.y/nic=1",
         "no nodes are good for all of it: x.y/gpu should be on {0}, x.y/nic should be on {1}"},
        {"restricted", "g0@0 g1-@0 g2@1 g3-@1", "n0@0", "main x.y/gpu=2 x.y/nic=2",
         "no set of nodes has 2 x.y/nic free"},
    };
    EACH(row, rows) {
        struct rig *g = machine(row->policy, "container");
        rig_plugin(g, GPU, row->gpus, "");
        rig_plugin(g, NIC, row->nics, "");
        json_t *o = explain(g, "p", row->spec);
        CHECK_STR(
            json_string_value(json_object_get(json_array_get(json_object_get(o, "decisions"), 0), "why")),
            row->why);
        if (*row->why && !strcmp(word(o, "cause"), "NoAffinity") && !strstr(word(o, "detail"), row->why))
            CHECK_FAIL("%s: not in %s", row->why, word(o, "detail"));
        json_decref(o);
        rig_free(g);
    }
}

TEST(long_lists_are_cut_and_say_so) {
    struct rig *g = rig_new("numa=0;1;2;3;4;5;6;7 topology-policy=best-effort");
    char devices[3000] = "";
    for (int i = 0; i < 64; i++)
        rig_add(devices, sizeof devices, "%sg%d@%d", i ? " " : "", i, i % 8);
    rig_plugin(g, GPU, devices, "");
    for (int i = 0; i < 25; i++) {
        DM_FREE char *uid = dm_printf("h%d", i);
        rig_admit(g, uid, "main x.y/gpu=1");
    }
    json_t *o = explain(g, "p", "main x.y/gpu=1");
    CHECK_INT(json_array_size(json_object_get(json_array_get(json_object_get(o, "resources"), 0), "holders")),
              20);
    CHECK_STR(at(o, "resources.0.holders_cut"), "true");
    CHECK_STR(at(o, "decisions.0.resources.0.hints_cut"), "true");
    json_decref(o);
    rig_free(g);
}
