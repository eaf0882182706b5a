/* The control API end to end: a server over a pretended devmgr.h, the client of the tools. */
#include "control/calls.h"
#include "control_world.h"
#include <inttypes.h>

/* Collects words, " "-separated. */
struct seen {
    char text[512];
    int n, stop_after;
    struct world *w;
};

static int see(struct seen *s, const char *word) {
    size_t at = strlen(s->text);
    if (at + strlen(word) + 2 < sizeof s->text)
        snprintf(s->text + at, sizeof s->text - at, "%s%s", at ? " " : "", word);
    return ++s->n == s->stop_after ? 7 : 0;
}
static int see_resource(void *arg, const devmgr_resource *r) {
    return see(arg, r->name);
}
static int see_pod(void *arg, const devmgr_held_pod *p) {
    return see(arg, p->uid);
}
static int see_uid(void *arg, const char *uid) {
    return see(arg, uid);
}
static int see_admission(void *arg, const struct dm_admission *a) {
    see(arg, a->pod_uid);
    return see(arg, devmgr_verdict_name(a->result->verdict));
}
static int see_options(void *arg, const devmgr_options *o) {
    return see(arg, o->n_envs ? o->envs[0]->value : "none");
}

#define POD(name) "kind: Pod\nmetadata: {name: " name "}\nspec: {containers: [{name: c}]}\n---\n"

TEST(info_tells_version_and_revision) {
    static struct world w;
    struct dm_info info;
    devmgr_error err = {0};
    world_open(&w);
    struct dm_client *c = world_client(&w);
    CHECK_INT(dm_client_info(c, &info, &err), 0);
    CHECK_STR(info.version, devmgr_version());
    CHECK_INT(info.revision, 43);
    CHECK_INT(info.new_node, 1);
    CHECK_INT(info.pid, getpid());
    dm_client_close(c);
    world_close(&w);
}

TEST(lists_come_whole) {
    static struct world w;
    devmgr_error err = {0};
    struct seen resources = {0}, pods = {0};
    uint64_t revision = 0;
    world_open(&w);
    struct dm_client *c = world_client(&w);
    CHECK_INT(dm_client_each_resource(c, see_resource, &resources, &err), 0);
    CHECK_STR(resources.text, "example.com/gpu example.com/nic");
    CHECK_INT(dm_client_each_pod(c, &revision, see_pod, &pods, &err), 0);
    CHECK_STR(pods.text, "u-web u-bare");
    CHECK_INT(revision, 43);
    dm_client_close(c);
    world_close(&w);
}

struct devices {
    size_t n, wrong;
};
static int count_device(void *arg, const devmgr_device *d) {
    struct devices *s = arg;
    char id[32];
    snprintf(id, sizeof id, "gpu-%zu", s->n++);
    s->wrong += strcmp(id, d->id) || (d->claim != NULL) != (s->n == 2);
    return 0;
}

TEST(a_list_beyond_any_message_limit_comes_in_order) {
    static struct world w;
    devmgr_error err = {0};
    struct devices s = {0};
    world_make(&w);
    w.m.n_devices = 200000;
    world_start(&w);
    struct dm_client *c = world_client(&w);
    CHECK_INT(dm_client_each_device(c, NULL, count_device, &s, &err), 0);
    CHECK_INT(s.n, 200000);
    CHECK_INT(s.wrong, 0);
    CHECK_INT(dm_client_each_device(c, "example.com/none", count_device, &s, &err), -ENOENT);
    CHECK_STR(err.message, "example.com/none: not known");
    dm_client_close(c);
    world_close(&w);
}

TEST(each_pod_of_a_manifest_gets_its_verdict_in_order) {
    static struct world w;
    devmgr_error err = {0};
    struct seen s = {0};
    static const char text[] = POD("web") POD("later") POD("never");
    world_open(&w);
    struct dm_client *c = world_client(&w);
    CHECK_INT(dm_client_admit(c, text, strlen(text), 0, see_admission, &s, &err), 0);
    CHECK_STR(s.text, "default_web admitted default_later not_yet default_never refused");
    dm_client_close(c);
    world_close(&w);
}

TEST(a_mistake_in_the_last_document_admits_nothing) {
    static struct world w;
    devmgr_error err = {0};
    struct seen s = {0};
    static const char text[] = POD("web") "kind: Service\n";
    world_open(&w);
    struct dm_client *c = world_client(&w);
    CHECK_INT(dm_client_admit(c, text, strlen(text), 0, see_admission, &s, &err), DEVMGR_EINVALID);
    CHECK_STR(err.message, "line 5: kind: \"Service\": must be Pod");
    CHECK_INT(w.m.admitted, 0);
    dm_client_close(c);
    world_close(&w);
}

TEST(a_second_admission_of_a_pod_in_flight_is_a_status_not_a_verdict) {
    static struct world w;
    devmgr_error err = {0};
    struct seen s = {0};
    static const char text[] = POD("busy");
    world_open(&w);
    struct dm_client *c = world_client(&w);
    CHECK_INT(dm_client_admit(c, text, strlen(text), 0, see_admission, &s, &err), -EALREADY);
    CHECK(strstr(err.message, "pod default/busy: an admission of this pod is in flight"));
    CHECK_INT(s.n, 0);
    dm_client_close(c);
    world_close(&w);
}

TEST(a_client_that_goes_away_ends_what_was_not_begun) {
    static struct world w;
    devmgr_error err = {0};
    struct seen s = {.stop_after = 2};
    static const char text[] = POD("web") POD("hang") POD("web");
    world_open(&w);
    struct dm_client *c = world_client(&w);
    CHECK_INT(dm_client_admit(c, text, strlen(text), 0, see_admission, &s, &err), 7);
    while (!w.m.hangs)
        usleep(1000);
    dm_client_close(c);
    struct dm_client *other = world_client(&w);
    struct seen released = {0};
    CHECK_INT(dm_client_release(other, "u-web", see_uid, &released, &err), 0); /* ends the one in flight */
    CHECK_STR(released.text, "u-web");
    dm_client_close(other);
    world_close(&w);
    CHECK_INT(w.m.admitted, 1); /* the third was never begun */
}

static void *stop_when_it_hangs(void *arg) {
    struct world *w = arg;
    while (!w->m.hangs)
        usleep(1000);
    uv_async_send(&w->stop);
    return NULL;
}

TEST(closing_tells_a_pending_admission_that_it_is_canceled) {
    static struct world w;
    devmgr_error err = {0};
    struct seen s = {0};
    pthread_t stopper;
    static const char text[] = POD("hang");
    world_open(&w);
    struct dm_client *c = world_client(&w);
    pthread_create(&stopper, NULL, stop_when_it_hangs, &w);
    CHECK_INT(dm_client_admit(c, text, strlen(text), 0, see_admission, &s, &err), 0);
    CHECK_STR(s.text, "default_hang canceled");
    pthread_join(stopper, NULL);
    dm_client_close(c);
    pthread_join(w.thread, NULL);
    CHECK_INT(rmdir(w.dir), 0);
}

TEST(options_come_or_fail_with_the_plugins_words) {
    static struct world w;
    devmgr_error err = {0};
    struct seen s = {0};
    world_open(&w);
    struct dm_client *c = world_client(&w);
    CHECK_INT(dm_client_options(c, "u-web", "c", DEVMGR_NO_PRESTART, see_options, &s, &err), 0);
    CHECK_STR(s.text, "gpu-1");
    CHECK_INT(dm_client_options(c, "u-web", "c", 0, see_options, &s, &err), -EIO);
    CHECK_STR(err.message, "PreStartContainer failed");
    CHECK_INT(dm_client_options(c, "u-none", "c", 0, see_options, &s, &err), -ENOENT);
    CHECK_STR(err.message, "pod u-none, container c: not known");
    CHECK_INT(dm_client_options(c, "u-none", "", 0, see_options, &s, &err), DEVMGR_EINVALID);
    CHECK_STR(err.message, "container: missing");
    dm_client_close(c);
    world_close(&w);
}

/* ---- topology -------------------------------------------------------------------------------------------------- */

struct told { /* of Hints */
    char text[512];
    size_t n, more, pieces;
};

static int take_hints(void *arg, struct dm_arena *a, const void *response, bool *bad) {
    static const char *const kinds[] = {"", " any", " impossible", " more"};
    struct told *told = arg;
    const PB(HintsResponse) *m = response;
    told->pieces++;
    for (size_t i = 0; i < m->n_hints; i++) {
        const PB(Hint) *h = m->hints[i];
        size_t at = strlen(told->text);
        told->more += h->kind == DEVMGR__V1ALPHA1__HINT_KIND__HINT_MORE;
        if (told->n++ < 8)
            snprintf(told->text + at, sizeof told->text - at, "%s%s%s %" PRIx64 "%s", at ? "; " : "",
                     dm_decode_text(a, h->resource, bad), kinds[h->kind], dm_decode_numa(h->numa, h->n_numa),
                     h->preferred ? "+" : "");
    }
    return 0;
}

/* Asks for hints of the pod of a manifest. */
static int ask_hints(struct dm_client *c, const char *text, const char *container, struct told *told,
                     devmgr_error *err) {
    DM_CLEANUP(dm_arena_free) struct dm_arena a = {0};
    PB(HintsRequest) *m = PB_NEW(&a, hints_request);
    *told = (struct told){0}, *err = (devmgr_error){0};
    m->pod = text ? PB_NEW(&a, pod) : NULL;
    if (text)
        m->pod->manifest = dm_pb_text(text);
    m->container = dm_pb_text(container);
    return dm_client_exchange(c,
                              &(struct dm_exchange){.method = "Hints",
                                                    .request = m,
                                                    .response = &devmgr__v1alpha1__hints_response__descriptor,
                                                    .streaming = true,
                                                    .timeout_ms = 30000,
                                                    .take = take_hints,
                                                    .arg = told},
                              err);
}

TEST(hints_come_for_a_container_or_the_pod) {
    static struct world w;
    devmgr_error err;
    struct told told;
    static const char all[] = "example.com/fpga impossible 0; example.com/gpu 2+; example.com/gpu 3; "
                              "example.com/gpu more 0; example.com/nic any 0";
    world_open(&w);
    struct dm_client *c = world_client(&w);
    CHECK_INT(ask_hints(c, POD("web"), "c", &told, &err), 0);
    CHECK_STR(told.text, all);
    CHECK_INT(ask_hints(c, POD("web"), "", &told, &err), 0);
    CHECK_STR(told.text, all);
    CHECK_INT(w.m.admitted, 0);
    dm_client_close(c);
    world_close(&w);
}

TEST(hints_that_cannot_be_told_say_which_field_is_wrong) {
    static struct world w;
    devmgr_error err;
    struct told told;
    world_open(&w);
    struct dm_client *c = world_client(&w);
    CHECK_INT(ask_hints(c, POD("web"), "d", &told, &err), -ENOENT);
    CHECK_STR(err.message, "container: \"d\": pod default/web has no such container");
    CHECK_INT(ask_hints(c, POD("web"), "\xff", &told, &err), DEVMGR_EINVALID);
    CHECK_STR(err.message, "container: must be UTF-8 without NUL");
    CHECK_INT(ask_hints(c, NULL, "c", &told, &err), DEVMGR_EINVALID);
    CHECK_STR(err.message, "pod: missing");
    CHECK_INT(ask_hints(c, POD("web") POD("later"), "c", &told, &err), DEVMGR_EINVALID);
    CHECK(strstr(err.message, "more than one pod in the manifest"));
    CHECK_INT(ask_hints(c, "kind: Node\n", "c", &told, &err), DEVMGR_EINVALID);
    CHECK_STR(err.message, "line 1: kind: \"Node\": must be Pod");
    CHECK_INT(told.n, 0);
    dm_client_close(c);
    world_close(&w);
}

TEST(hints_without_number_are_cut_and_it_is_said) {
    static struct world w;
    devmgr_error err;
    struct told told;
    world_open(&w);
    struct dm_client *c = world_client(&w);
    CHECK_INT(ask_hints(c, POD("many"), "c", &told, &err), 0);
    CHECK_INT(told.more, 12);          /* of twelve resources */
    CHECK_INT(told.n, (1 << 19) + 12); /* 65 536 of each of eight, none of the others */
    CHECK(told.pieces > 10);           /* no message that a client would not take */
    dm_client_close(c);
    world_close(&w);
}

static int keep_json(void *arg, const char *json, size_t n) {
    snprintf(arg, 256, "%.*s", (int)n, json);
    return 0;
}

TEST(explain_tells_and_admits_nobody) {
    static struct world w;
    devmgr_error err = {0};
    char json[256] = "";
    world_open(&w);
    struct dm_client *c = world_client(&w);
    CHECK_INT(dm_client_explain(c, POD("web"), strlen(POD("web")), keep_json, json, &err), 0);
    CHECK_STR(json, "{\"pod\":\"default_web\",\"verdict\":\"not_yet\",\"nodes\":[{\"node\":0}]}");
    CHECK_INT(dm_client_explain(c, POD("never"), strlen(POD("never")), keep_json, json, &err),
              DEVMGR_EINVALID);
    CHECK_STR(err.message, "pod default_never: not to be explained");
    CHECK_INT(dm_client_explain(c, POD("a") POD("b"), strlen(POD("a") POD("b")), keep_json, json, &err),
              DEVMGR_EINVALID);
    CHECK(strstr(err.message, "more than one pod in the manifest"));
    CHECK_INT(dm_client_explain(c, "x", 1, keep_json, json, &err), DEVMGR_EINVALID);
    CHECK_INT(w.m.admitted, 0);
    dm_client_close(c);
    world_close(&w);
}

TEST(sync_wants_to_know_as_of_when) {
    static struct world w;
    devmgr_error err = {0};
    struct seen s = {0};
    const char *lives[] = {"u-web"}, *other[] = {"u-other"};
    world_open(&w);
    struct dm_client *c = world_client(&w);
    CHECK_INT(dm_client_sync(c, lives, 1, 43, 0, see_uid, &s, &err), 0);
    CHECK_INT(s.n, 0);
    CHECK_INT(dm_client_sync(c, other, 1, 43, DEVMGR_DRY_RUN, see_uid, &s, &err), 0);
    CHECK_STR(s.text, "u-web");
    CHECK_INT(dm_client_sync(c, other, 1, 0, 0, see_uid, &s, &err), DEVMGR_EINVALID);
    CHECK(strstr(err.message, "as_of: missing"));
    dm_client_close(c);
    world_close(&w);
}

/* ---- watch ----------------------------------------------------------------------------------------------------- */

static int see_event(void *arg, const devmgr_event *ev) {
    struct seen *s = arg;
    if (ev->type != DM_EVENT_SYNCED)
        return see(s, devmgr_event_name(ev->type));
    see(s, "synced");
    return s->w ? 0 : 7;
}

TEST(watch_begins_with_the_state) {
    static struct world w;
    devmgr_error err = {0};
    struct seen s = {0};
    world_open(&w);
    struct dm_client *c = world_client(&w);
    CHECK_INT(dm_client_watch(c, 0, see_event, &s, &err), 7);
    CHECK_STR(s.text, "resource resource admitted admitted claim_health synced");
    dm_client_close(c);
    world_close(&w);
}

TEST(watch_ends_at_the_clients_limit) {
    static struct world w;
    devmgr_error err = {0};
    struct seen s = {.w = &w};
    world_open(&w);
    struct dm_client *c = world_client(&w);
    CHECK_INT(dm_client_watch(c, 50, see_event, &s, &err), -ETIMEDOUT);
    CHECK(strstr(err.message, "no answer within 50ms"));
    dm_client_close(c);
    world_close(&w);
}

/* Has the server flood all watchers while this one looks away; then reads on. */
static int look_away(void *arg, const devmgr_event *ev) {
    struct seen *s = arg;
    static const char text[] = POD("flood");
    struct seen flooded = {0};
    devmgr_error err = {0};
    s->n++;
    if (ev->type != DM_EVENT_SYNCED)
        return 0;
    struct dm_client *other = world_client(s->w);
    dm_client_admit(other, text, strlen(text), 0, see_admission, &flooded, &err);
    dm_client_close(other);
    return 0;
}

TEST(a_watcher_that_reads_too_slowly_is_cut_off) {
    static struct world w;
    devmgr_error err = {0};
    struct seen s = {.w = &w};
    world_make(&w);
    w.m.flood = 1000; /* of 64 KiB */
    world_start(&w);
    struct dm_client *c = world_client(&w);
    CHECK_INT(dm_client_watch(c, 0, look_away, &s, &err), -ENOBUFS);
    CHECK(strstr(err.message, "watch again"));
    CHECK(s.n < 200); /* six of the state, and what fits 8 MiB */
    dm_client_close(c);
    world_close(&w);
}

static int see_synced_then_stop(void *arg, const devmgr_event *ev) {
    struct seen *s = arg;
    if (ev->type == DM_EVENT_SYNCED)
        s->w->m.hangs = 1; /* the watch has begun: now */
    return 0;
}

TEST(closing_ends_watchers) {
    static struct world w;
    devmgr_error err = {0};
    struct seen s = {.w = &w};
    pthread_t stopper;
    world_open(&w);
    struct dm_client *c = world_client(&w);
    pthread_create(&stopper, NULL, stop_when_it_hangs, &w);
    int r = dm_client_watch(c, 0, see_synced_then_stop, &s, &err);
    CHECK_INT(r, -ECONNRESET);
    pthread_join(stopper, NULL);
    dm_client_close(c);
    pthread_join(w.thread, NULL);
    CHECK_INT(rmdir(w.dir), 0);
}
