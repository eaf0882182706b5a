/* What comes from a checkpoint or a record: whatever it says, every device has one owner afterwards. */
#include "manager/record.h"
#include "manager_rig.h"

/* "p/c x.y/a 0:a0,a1 -1:a2; ..." oldest first, answers "env IDS=saved". */
static struct dm_snapshot *snapshot(const char *claims, const char *resources) {
    struct dm_snapshot *s = dm_snapshot_new();
    char copy[2000], *save = NULL, *inner, *deep;
    snprintf(copy, sizeof copy, "%s", claims);
    s->claims = dm_alloc_array(32, sizeof(*s->claims));
    s->resources = dm_alloc_array(32, sizeof(*s->resources));
    for (char *part = strtok_r(copy, ";", &save); part; part = strtok_r(NULL, ";", &save)) {
        char *uid = strtok_r(part, " ", &inner), *container = strchr(uid, '/');
        *container++ = 0;
        struct dm_saved_claim *c = dm_saved_claim_new(uid, container, strtok_r(NULL, " ", &inner),
                                                      (struct dm_span){(const uint8_t *)"env IDS=saved", 13});
        for (char *node = strtok_r(NULL, " ", &inner); node; node = strtok_r(NULL, " ", &inner)) {
            char *ids = strchr(node, ':');
            *ids++ = 0;
            for (char *id = strtok_r(ids, ",", &deep); id; id = strtok_r(NULL, ",", &deep))
                dm_saved_claim_add(c, strtoll(node, NULL, 10), id);
        }
        s->claims[s->n_claims++] = c;
    }
    snprintf(copy, sizeof copy, "%s", resources);
    for (char *name = strtok_r(copy, " ", &save); name; name = strtok_r(NULL, " ", &save))
        s->resources[s->n_resources++] = dm_saved_resource_new(name);
    return s;
}

static struct rig *restored(const char *claims, const char *resources) {
    struct rig *g = rig_new(NULL);
    struct dm_snapshot *s = snapshot(claims, resources);
    dm_manager_restore(g->m, s, DM_START_LOADED);
    dm_snapshot_free(s);
    rig_drain(g);
    return g;
}

TEST(CKPT_20_21_loaded_ids_are_held_and_loaded_resources_are_gone) {
    struct rig *g = restored("p/c x.y/a 0:a0,a1 1:a1 -1:a2; q/d x.y/b -1:b0", "x.y/a x.y/z");
    CHECK_STR(rig_held(g), "p/c a0?; p/c a1?; p/c a2?; q/d b0?");
    CHECK_STR(rig_resources(g),
              "x.y/a 0/0 held 3 reserved 0 gone; x.y/b 0/0 held 1 reserved 0 gone; x.y/z 0/0 held 0 "
              "reserved 0 gone");
    rig_plugin(g, "x.y/a", "a0 a1 a2 a3", "");
    CHECK_STR(rig_admit(g, "r", "c x.y/a=1")->claims, "c x.y/a a3+");
    CHECK_STR(rig_disk(g), "p/c x.y/a -1:a2 0:a0,a1 1:a1; q/d x.y/b -1:b0; r/c x.y/a -1:a3");
    rig_free(g);
}

TEST(a_device_of_two_pods_stays_with_the_older_entry) {
    struct rig *g = restored("p/c x.y/a -1:a0; q/d x.y/a -1:a0,a1; q/e x.y/a -1:a2", "x.y/a");
    CHECK_STR(rig_held(g), "p/c a0?; q/e a2?");
    CHECK_STR(g->events,
              "log 3 checkpoint: device a0 of x.y/a is held by pod p and by pod q: pod p keeps it, the claim "
              "of container d of pod q is dropped; ");
    CHECK_STR(rig_disk(g), "p/c x.y/a -1:a0; q/e x.y/a -1:a2"); /* and written so */
    rig_plugin(g, "x.y/a", "a0 a1 a2", "");
    CHECK_STR(rig_admit(g, "r", "c x.y/a=1")->claims, "c x.y/a a1+");
    rig_free(g);
}

TEST(the_same_entry_twice_the_later_counts) {
    struct rig *g = restored("p/c x.y/a -1:a0; p/c x.y/a -1:a1", "x.y/a");
    CHECK_STR(rig_held(g), "p/c a1?");
    rig_free(g);
}

TEST(a_device_in_two_app_containers_of_one_pod_is_left_as_the_file_says) {
    struct rig *g = restored("p/c x.y/a -1:a0; p/d x.y/a -1:a0", "x.y/a");
    CHECK_STR(rig_held(g), "p/c a0?; p/d a0?");
    CHECK_STR(rig_resources(g), "x.y/a 0/0 held 1 reserved 0 gone");
    CHECK_STR(rig_admit(g, "p", "c x.y/a=1; d x.y/a=1")->claims, "c x.y/a a0; d x.y/a a0");
    rig_release(g, "p", "c");
    CHECK_STR(rig_held(g), "p/d a0?");
    rig_free(g);
}

TEST(entries_without_devices_and_odd_nodes_are_kept) {
    struct rig *g = restored("p/c x.y/a; q/c x.y/a 64:a0 -7:a1", "x.y/a");
    CHECK_STR(rig_held(g), "q/c a0?; q/c a1?");
    CHECK_STR(rig_options(g, "p", "c", 0)->options, "env IDS=saved ");
    rig_admit(g, "r", "c");
    dm_manager_save_again(g->m);
    rig_drain(g);
    CHECK_STR(rig_disk(g), "p/c x.y/a; q/c x.y/a -7:a1 64:a0");
    rig_free(g);
}

TEST(a_list_begun_before_the_start_spares_the_pods_of_a_kubelets_file) {
    struct rig *g = restored("p/c x.y/a -1:a0", "x.y/a");
    CHECK_STR(rig_sync(g, "", g->unix_us - 1, 0)->uids, "");
    CHECK_STR(rig_sync(g, "", dm_manager_revision(g->m), 0)->uids, "p");
    rig_free(g);
}

TEST(revisions_go_on_above_the_saved_one_and_the_clock) {
    struct rig *g = rig_new(NULL);
    CHECK(dm_manager_revision(g->m) == g->unix_us);
    struct dm_snapshot *s = snapshot("", "");
    s->revision = g->unix_us + 500;
    dm_manager_restore(g->m, s, DM_START_LOADED);
    CHECK(dm_manager_revision(g->m) > s->revision);
    dm_snapshot_free(s);
    rig_free(g);
}

TEST(ids_are_in_natural_order_whatever_the_file_says) {
    struct rig *g = restored("p/c x.y/a -1:a10,a9,a1", "x.y/a");
    CHECK_STR(rig_held(g), "p/c a1?; p/c a9?; p/c a10?");
    rig_free(g);
}

/* ---- records ------------------------------------------------------------------------------------------------------- */

struct line {
    char text[2000];
    int calls;
};
static int keep(void *arg, const char *text, size_t n) {
    struct line *l = arg;
    l->calls++;
    snprintf(l->text, sizeof l->text, "%.*s", (int)n, text);
    return 0;
}
static int refuse(void *arg, const char *text, size_t n) {
    (void)arg, (void)text, (void)n;
    return -EPIPE;
}

static int adopt(struct rig *g, const char *uid, const char *spec, const char *container, const char *record,
                 struct outcome **ret, devmgr_error *err) {
    struct outcome *o = rig_outcome(g);
    devmgr_pod *p = rig_pod(uid, spec, 0);
    int rc = dm_manager_adopt(g->m, p, container, record, rig_on_done, o, err);
    devmgr_pod_free(p);
    rig_drain(g);
    if (ret)
        *ret = o;
    return rc;
}

static struct line record_of_p(const char *devices) {
    struct rig *g = rig_new(NULL);
    struct line l = {.calls = 0};
    rig_plugin(g, "x.y/a", devices, "");
    rig_plugin(g, "x.y/b", "b0", "");
    rig_admit(g, "p", "main@1 x.y/a=2 x.y/b=1");
    dm_manager_claim_record(g->m, "p", "main", keep, &l);
    rig_free(g);
    return l;
}

TEST(a_record_is_one_line_of_ascii) {
    struct line l = record_of_p("a0@0,1 a1@1 a2");
    CHECK_INT(l.calls, 1);
    CHECK_STR(l.text,
              "devmgr-claim/1 p default p main 0 2 x.y/a 0:a0;1:a0,a1 ZW52IElEUz1hMCBhMQ== x.y/b -1:b0 "
              "ZW52IElEUz1iMA== 9f65cf2d");
    struct rig *g = rig_new(NULL);
    CHECK_INT(dm_manager_claim_record(g->m, "p", "main", keep, &l), -ENOENT);
    rig_admit(g, "p", "main");
    CHECK_INT(dm_manager_claim_record(g->m, "p", "main", keep, &l), -ENOENT);
    rig_free(g);
    g = restored("p/c x.y/a -1:a0", "x.y/a");
    CHECK_INT(dm_manager_claim_record(g->m, "p", "c", refuse, NULL), -EPIPE);
    rig_free(g);
}

TEST(adopting_gives_back_what_the_record_says_without_a_call) {
    struct line l = record_of_p("a0@0,1 a1@1 a2");
    struct rig *g = rig_new(NULL);
    struct outcome *o;
    rig_plugin(g, "x.y/a", "a0@0,1 a1@1 a2", "");
    g->hold_saves = 1;
    g->events[0] = 0;
    CHECK_INT(adopt(g, "p", "main x.y/a=2 x.y/b=1", "main", l.text, &o, NULL), 0);
    CHECK_INT(o->told, 0);
    rig_saved(g, 0);
    g->hold_saves = 0;
    rig_drain(g);
    CHECK_INT(o->told, 1);
    CHECK_INT(o->status, 0);
    CHECK_INT((int)g->n_calls, 0);
    CHECK_STR(rig_held(g), "p/main a0; p/main a1; p/main b0?");
    CHECK(strstr(g->events, "admitted p; "));
    CHECK_STR(rig_disk(g), "p/main x.y/a 0:a0 1:a0,a1; p/main x.y/b -1:b0");
    CHECK_STR(rig_options(g, "p", "main", 0)->options, "env IDS=a0 a1 ");
    CHECK_STR(rig_admit(g, "p", "main x.y/a=2 x.y/b=1")->claims, "main x.y/a a0 a1; main x.y/b b0");
    CHECK_STR(rig_admit(g, "q", "c x.y/a=1")->claims, "c x.y/a a2+");
    struct line again = {.calls = 0};
    dm_manager_claim_record(g->m, "p", "main", keep, &again);
    CHECK_STR(again.text, l.text);
    CHECK_INT(adopt(g, "p", "main x.y/a=2 x.y/b=1", "main", l.text, &o, NULL), 0); /* again: nothing to do */
    CHECK_INT(o->told, 1);
    rig_free(g);
}

TEST(what_our_state_knows_wins) {
    struct line l = record_of_p("a0 a1");
    struct rig *g = restored("p/main x.y/a -1:a7,a8", "x.y/a");
    CHECK_INT(adopt(g, "p", "main x.y/a=2 x.y/b=1", "main", l.text, NULL, NULL), 0);
    CHECK_STR(rig_held(g), "p/main a7?; p/main a8?; p/main b0?");
    rig_free(g);
}

TEST(a_device_of_another_pod_is_not_adopted_and_both_are_named) {
    struct line l = record_of_p("a0 a1");
    struct rig *g = restored("q/c x.y/a -1:a1", "x.y/a");
    devmgr_error err;
    struct outcome *o;
    CHECK_INT(adopt(g, "p", "main x.y/a=2 x.y/b=1", "main", l.text, &o, &err), -EEXIST);
    CHECK_STR(err.message,
              "device a1 of x.y/a: held by pod q, container c; the record says pod p, container main: "
              "release the one that does not run");
    CHECK_INT(o->told, 0);
    CHECK_STR(rig_held(g), "q/c a1?"); /* all or nothing */
    rig_free(g);
    g = restored("p/other x.y/a -1:a1", "x.y/a"); /* of the same pod: no better */
    CHECK_INT(adopt(g, "p", "other; main x.y/a=2 x.y/b=1", "main", l.text, NULL, &err), -EEXIST);
    rig_free(g);
}

TEST(adopting_the_pods_that_the_copy_lacks_ends_the_recovery) {
    struct line l = record_of_p("a0 a1");
    struct rig *g = rig_new(NULL);
    rig_restart(g, DM_START_RECOVERING);
    rig_plugin(g, "x.y/a", "a0 a1 a2", "");
    rig_sync(g, "p", dm_manager_revision(g->m), 0);
    struct outcome *o = rig_admit_waiting(g, "new", "c x.y/a=1", 60000);
    CHECK_INT(o->told, 0);
    CHECK_INT(adopt(g, "p", "main", "main", l.text, NULL, NULL), 0);
    CHECK_STR(o->claims, "c x.y/a a2+");
    rig_free(g);
}

TEST(a_pod_whose_containers_are_adopted_one_by_one_is_known_with_the_last) {
    struct line l = record_of_p("a0 a1");
    struct rig *g = rig_new(NULL);
    rig_restart(g, DM_START_RECOVERING);
    rig_plugin(g, "x.y/a", "a0 a1 a2", "");
    rig_sync(g, "p", dm_manager_revision(g->m), 0);
    struct outcome *o = rig_admit_waiting(g, "new", "c x.y/a=1", 60000);
    CHECK_INT(adopt(g, "p", "main x.y/a=2 x.y/b=1; other x.y/a=1", "main", l.text, NULL, NULL), 0);
    CHECK_INT(o->told, 0); /* a2 may be other's */
    CHECK_INT(adopt(g, "p", "main x.y/a=2 x.y/b=1", "main", l.text, NULL, NULL), 0);
    CHECK_STR(o->claims, "c x.y/a a2+");
    rig_free(g);
}

TEST(adopting_tells_the_kind_that_a_kubelets_file_does_not_say) {
    struct line l = record_of_p("a0 a1");
    struct rig *g = restored("p/main x.y/a -1:a0,a1", "x.y/a");
    rig_plugin(g, "x.y/a", "a0 a1", "");
    CHECK_INT(adopt(g, "p", "init:main x.y/a=2", "main", l.text, NULL, NULL), 0);
    CHECK_STR(rig_admit(g, "p", "c x.y/a=1")->claims, "main x.y/a a0 a1; main x.y/b b0; c x.y/a a0+");
    rig_free(g);
}

TEST(adopted_devices_are_near_the_nodes_of_the_record) {
    struct line l = record_of_p("a0@0 a1");
    struct rig *g = rig_new(NULL);
    rig_plugin(g, "x.y/a", "a0@1 a1@1", "");
    CHECK_INT(adopt(g, "p", "main x.y/a=2 x.y/b=1", "main", l.text, NULL, NULL), 0);
    struct line again = {.calls = 0};
    dm_manager_claim_record(g->m, "p", "main", keep, &again);
    CHECK_STR(again.text, l.text);
    CHECK_STR(rig_numa(g, "p"), "a0:1 a1:0 b0:0 ");
    rig_free(g);
}

TEST(what_was_adopted_is_on_disk_before_a_readmission_says_so) {
    struct line l = record_of_p("a0 a1");
    struct rig *g = rig_new(NULL);
    g->hold_saves = 1;
    rig_plugin(g, "x.y/a", "a0 a1", "");
    CHECK_INT(adopt(g, "p", "main x.y/a=2 x.y/b=1", "main", l.text, NULL, NULL), 0);
    struct outcome *o = rig_admit(g, "p", "main x.y/a=2 x.y/b=1");
    CHECK_INT(o->told, 0);
    rig_saved(g, -ENOSPC);
    rig_drain(g);
    rig_pass(g, 2000);
    CHECK_INT(o->told, 0); /* it came after the write that failed, and the next one is open */
    rig_saved(g, 0);
    rig_drain(g);
    CHECK_STR(o->claims, "main x.y/a a0 a1; main x.y/b b0");
    CHECK_STR(rig_disk(g), "p/main x.y/a -1:a0,a1; p/main x.y/b -1:b0");
    rig_free(g);
}

TEST(adopting_needs_the_right_pod_container_and_moment) {
    struct line l = record_of_p("a0 a1");
    struct rig *g = rig_new(NULL);
    devmgr_error err;
    CHECK_INT(adopt(g, "q", "main", "main", l.text, NULL, &err), DEVMGR_EINVALID);
    CHECK_STR(err.message, "record: of pod p, container main, not of pod q, container main");
    CHECK_INT(adopt(g, "p", "other", "other", l.text, NULL, &err), DEVMGR_EINVALID);
    rig_admit_waiting(g, "p", "main x.y/a=1", 10000);
    CHECK_INT(adopt(g, "p", "main", "main", l.text, NULL, &err), -EALREADY);
    rig_free(g);
}

TEST(a_damaged_record_is_refused_at_every_byte) {
    struct line l = record_of_p("a0 a1");
    struct dm_record r;
    devmgr_error err;
    CHECK_INT(dm_record_read(l.text, &r, &err), 0);
    dm_record_free(&r);
    size_t n = strlen(l.text);
    for (size_t i = 0; i < n; i++) {
        struct line bad = l;
        bad.text[i] ^= 1;
        CHECK_INT(dm_record_read(bad.text, &r, &err), DEVMGR_EINVALID);
        bad.text[i] = 0;
        CHECK_INT(dm_record_read(bad.text, &r, &err), DEVMGR_EINVALID);
    }
    CHECK_INT(dm_record_read("", &r, &err), DEVMGR_EINVALID);
    CHECK_STR(err.message, "record: does not begin with \"devmgr-claim/1\"");
    rig_add(l.text, sizeof l.text, "\nnext line");
    CHECK_INT(dm_record_read(l.text, &r, &err), 0);
    dm_record_free(&r);
}

TEST(odd_texts_survive_a_record) {
    static const char *const texts[] = {"-", "a b", "100%", "x,y;z:1", "\xc3\xa4", "%41"};
    EACH(text, texts) {
        struct dm_saved_claim *c = dm_saved_claim_new("u", "c", "x.y/a", (struct dm_span){0});
        char u[] = "u", none[] = "", container[] = "c";
        struct dm_record r = {u, none, (char *)*text, container, 0, 0, 1, &c}, back;
        struct dm_buf out = {0};
        dm_saved_claim_add(c, 3, *text);
        dm_saved_claim_add(c, 3, "second");
        dm_record_write(&out, &r);
        CHECK_INT(dm_record_read(out.data, &back, NULL), 0);
        CHECK_STR(back.namespace_, "");
        CHECK_STR(back.name, *text);
        CHECK_STR(back.claims[0]->nodes[0].ids[0], *text);
        CHECK_INT((int)back.claims[0]->nodes[0].n, 2);
        CHECK_INT((int)back.claims[0]->answer_len, 0);
        dm_record_free(&back);
        dm_buf_free(&out);
        dm_saved_claim_unref(c);
    }
}
