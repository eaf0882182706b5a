/* The control API's messages say what devmgr.h's structs say, both ways, over the wire. */
#include "base/mem.h"
#include "check.h"
#include "control/convert.h"

static const devmgr_claim gpu0 = {.pod_uid = "u1",
                                  .pod_namespace = "ns",
                                  .pod_name = "web",
                                  .container = "c",
                                  .resource = "example.com/gpu",
                                  .device = "gpu-0",
                                  .numa = 1 | UINT64_C(1) << 63,
                                  .health = DEVMGR_MISSING,
                                  .is_new = 1};
static const devmgr_claim gpu1 = {"u1", "ns", "web", "c", "example.com/gpu", "gpu-1", 0, DEVMGR_HEALTHY, 0};
static const devmgr_claim *const claims[] = {&gpu0, &gpu1};
static const devmgr_held_container held_c = {"c", DEVMGR_SIDECAR, 1, 2, claims};
static const devmgr_held_container held_d = {"d", DEVMGR_APP, 0, 0, NULL};
static const devmgr_held_container *const containers[] = {&held_c, &held_d};
static const devmgr_held_pod pod = {"u1", "ns", "web", "tag 1", 77, 2, containers};

/* Packs the message and reads it anew, as the other side does. */
static void *over_the_wire(struct dm_arena *a, const void *message) {
    DM_CLEANUP(dm_buf_free) struct dm_buf out = {0};
    const ProtobufCMessage *base = message;
    dm_message_write(message, &out);
    void *read = dm_message_read(a, base->descriptor, out.data, out.len);
    CHECK(read);
    return read;
}

static void check_pod(const devmgr_held_pod *p) {
    CHECK_STR(p->uid, "u1");
    CHECK_STR(p->namespace_, "ns");
    CHECK_STR(p->name, "web");
    CHECK_INT(p->revision, 77);
    CHECK_INT(p->n_containers, 2);
    const devmgr_held_container *c = p->containers[0];
    CHECK_STR(c->name, "c");
    CHECK_INT(c->kind, DEVMGR_SIDECAR);
    CHECK_INT(c->affinity, 1);
    CHECK_INT(c->n_claims, 2);
    CHECK_STR(c->claims[0]->device, "gpu-0");
    CHECK_STR(c->claims[0]->pod_uid, "u1"); /* not on the wire: the pod around says it */
    CHECK_STR(c->claims[0]->container, "c");
    CHECK(c->claims[0]->numa == (1 | UINT64_C(1) << 63));
    CHECK_INT(c->claims[0]->health, DEVMGR_MISSING);
    CHECK_INT(c->claims[0]->is_new, 1);
    CHECK_INT(c->claims[1]->numa, 0);
    CHECK_INT(c->claims[1]->is_new, 0);
    CHECK_STR(p->containers[1]->name, "d");
    CHECK_INT(p->containers[1]->n_claims, 0);
}

TEST(a_held_pod_survives_the_wire) {
    DM_CLEANUP(dm_arena_free) struct dm_arena a = {0};
    bool bad = false;
    const devmgr_held_pod *p = dm_decode_held_pod(&a, over_the_wire(&a, dm_encode_held_pod(&a, &pod)), &bad);
    check_pod(p);
    CHECK_STR(p->tag, "tag 1");
    CHECK(!bad);
}

TEST(an_admitted_pod_comes_with_all_it_holds) {
    DM_CLEANUP(dm_arena_free) struct dm_arena a = {0};
    bool bad = false;
    const devmgr_admission result = {
        .verdict = DEVMGR_ADMITTED, .n_claims = 2, .claims = claims, .pod = &pod};
    const struct dm_admission admission = {&result, "u1", "ns", "web", ""};
    const struct dm_admission *got =
        dm_decode_admission(&a, over_the_wire(&a, dm_encode_admission(&a, &admission)), &bad);
    CHECK_INT(got->result->verdict, DEVMGR_ADMITTED);
    CHECK_INT(got->result->cause, DEVMGR_NO_CAUSE);
    CHECK_STR(got->cause, "");
    CHECK_STR(got->pod_name, "web");
    CHECK_INT(got->result->n_claims, 2);
    CHECK_STR(got->result->claims[1]->device, "gpu-1");
    check_pod(got->result->pod);
}

TEST(a_pod_not_admitted_comes_with_its_cause_and_texts) {
    DM_CLEANUP(dm_arena_free) struct dm_arena a = {0};
    bool bad = false;
    const devmgr_admission result = {.verdict = DEVMGR_NOT_YET,
                                     .cause = DEVMGR_NO_PLUGIN,
                                     .detail = "wait",
                                     .reason = "UnexpectedAdmissionError",
                                     .message = "Allocate failed",
                                     .container = "c",
                                     .resource = "example.com/gpu",
                                     .retry_after_ms = 1500};
    const struct dm_admission admission = {&result, "u1", "ns", "web", devmgr_cause_name(DEVMGR_NO_PLUGIN)};
    const struct dm_admission *got =
        dm_decode_admission(&a, over_the_wire(&a, dm_encode_admission(&a, &admission)), &bad);
    CHECK_INT(got->result->verdict, DEVMGR_NOT_YET);
    CHECK_INT(got->result->cause, DEVMGR_NO_PLUGIN);
    CHECK_STR(got->cause, "NoPlugin");
    CHECK_STR(got->result->detail, "wait");
    CHECK_STR(got->result->reason, "UnexpectedAdmissionError");
    CHECK_STR(got->result->message, "Allocate failed");
    CHECK_STR(got->result->container, "c");
    CHECK_STR(got->result->resource, "example.com/gpu");
    CHECK_INT(got->result->retry_after_ms, 1500);
    CHECK(!got->result->pod);
}

TEST(a_message_that_says_nothing_is_not_an_admission) {
    DM_CLEANUP(dm_arena_free) struct dm_arena a = {0};
    bool bad = false;
    const struct dm_admission *got =
        dm_decode_admission(&a, dm_message_read(&a, &devmgr__v1alpha1__admission__descriptor, "", 0), &bad);
    CHECK_INT(got->result->verdict == DEVMGR_ADMITTED, 0);
    CHECK_STR(devmgr_verdict_name(got->result->verdict), "other");
}

TEST(options_survive_the_wire) {
    DM_CLEANUP(dm_arena_free) struct dm_arena a = {0};
    bool bad = false;
    static const devmgr_pair env = {"A", "1 2"}, note = {"k", ""};
    static const devmgr_mount mount = {"/c", "/h", 1};
    static const devmgr_device_node node = {"/dev/c", "/dev/h", "rw"};
    static const devmgr_pair *const envs[] = {&env}, *const notes[] = {&note};
    static const devmgr_mount *const mounts[] = {&mount};
    static const devmgr_device_node *const nodes[] = {&node};
    static const char *const cdi[] = {"v.com/gpu=0"};
    const devmgr_options o = {1, 1, 1, 1, 1, envs, notes, mounts, nodes, cdi};
    const devmgr_options *got = dm_decode_options(&a, over_the_wire(&a, dm_encode_options(&a, &o)), &bad);
    CHECK_INT(got->n_envs * got->n_annotations * got->n_mounts * got->n_devices * got->n_cdi_devices, 1);
    CHECK_STR(got->envs[0]->name, "A");
    CHECK_STR(got->envs[0]->value, "1 2");
    CHECK_STR(got->annotations[0]->value, "");
    CHECK_STR(got->mounts[0]->container_path, "/c");
    CHECK_STR(got->mounts[0]->host_path, "/h");
    CHECK_INT(got->mounts[0]->read_only, 1);
    CHECK_STR(got->devices[0]->permissions, "rw");
    CHECK_STR(got->devices[0]->host_path, "/dev/h");
    CHECK_STR(got->cdi_devices[0], "v.com/gpu=0");
}

TEST(events_carry_what_they_are_about) {
    DM_CLEANUP(dm_arena_free) struct dm_arena a = {0};
    bool bad = false;
    static const devmgr_resource gpus = {"example.com/gpu", 8, 7, 2, 1, DEVMGR_GONE, "socket closed"};
    const devmgr_event ev = {.type = DEVMGR_EV_RESOURCE,
                             .level = 4,
                             .revision = UINT64_MAX,
                             .unix_ms = 5,
                             .message = "m",
                             .resource = gpus.name,
                             .pod_uid = "u1",
                             .pod = &pod,
                             .claim = &gpu0,
                             .changed = &gpus};
    const devmgr_event *got = dm_decode_event(&a, over_the_wire(&a, dm_encode_event(&a, &ev)), &bad);
    CHECK_INT(got->type, DEVMGR_EV_RESOURCE);
    CHECK_INT(got->level, 4);
    CHECK(got->revision == UINT64_MAX);
    CHECK_STR(got->message, "m");
    CHECK_STR(got->claim->pod_name, "web"); /* a claim of its own names its pod */
    CHECK_INT(got->changed->capacity, 8);
    CHECK_INT(got->changed->allocatable, 7);
    CHECK_INT(got->changed->held, 2);
    CHECK_INT(got->changed->reserved, 1);
    CHECK_INT(got->changed->plugin, DEVMGR_GONE);
    CHECK_STR(got->changed->last_error, "socket closed");
    check_pod(got->pod);
}

TEST(a_device_names_its_holder) {
    DM_CLEANUP(dm_arena_free) struct dm_arena a = {0};
    bool bad = false;
    const devmgr_device held = {"example.com/gpu", "gpu-0", 1, DEVMGR_UNHEALTHY, &gpu0},
                        unheld = {"r/x", "i", 0, 0, NULL};
    const devmgr_device *got = dm_decode_device(&a, over_the_wire(&a, dm_encode_device(&a, &held)), &bad);
    CHECK_STR(got->id, "gpu-0");
    CHECK_INT(got->health, DEVMGR_UNHEALTHY);
    CHECK_STR(got->claim->pod_uid, "u1");
    CHECK_STR(got->claim->container, "c");
    CHECK(!dm_decode_device(&a, over_the_wire(&a, dm_encode_device(&a, &unheld)), &bad)->claim);
}

TEST(a_text_with_NUL_or_bad_utf8_is_noticed) {
    DM_CLEANUP(dm_arena_free) struct dm_arena a = {0};
    bool bad = false;
    CHECK_STR(dm_decode_text(&a, (ProtobufCBinaryData){3, (uint8_t *)"a\0b"}, &bad), "");
    CHECK(bad);
    bad = false;
    dm_decode_text(&a, (ProtobufCBinaryData){1, (uint8_t *)"\xff"}, &bad);
    CHECK(bad);
}

TEST(a_small_message_that_unfolds_without_end_is_refused) {
    DM_CLEANUP(dm_arena_free) struct dm_arena a = {.limit = 1 << 20};
    DM_CLEANUP(dm_buf_free) struct dm_buf out = {0};
    for (int i = 0; i < 100000; i++)
        dm_buf_add(&out, "\x2a\x00", 2); /* an empty container */
    CHECK(!dm_message_read(&a, &devmgr__v1alpha1__pod__descriptor, out.data, out.len));
    CHECK(a.used <= 1 << 20);
}

/* ---- pods of a request ----------------------------------------------------------------------------------------- */

static PB(Pod) * manifest(struct dm_arena *a, const char *text) {
    PB(Pod) *m = PB_NEW(a, pod);
    m->manifest = dm_pb_text(text);
    return m;
}

#define POD_TEXT(name) "kind: Pod\nmetadata: {name: " name "}\nspec: {containers: [{name: c}]}\n"

TEST(a_manifest_may_hold_several_pods) {
    DM_CLEANUP(dm_arena_free) struct dm_arena a = {0};
    DM_CLEANUP(dm_pods_free) struct dm_pods pods = {0};
    devmgr_error err = {0};
    CHECK_INT(dm_decode_pods(manifest(&a, POD_TEXT("one") "---\n" POD_TEXT("two")), 10, &pods, &err), 0);
    CHECK_INT(pods.n, 2);
    CHECK_STR(devmgr_pod_uid(pods.pods[0]), "default_one");
    CHECK_STR(devmgr_pod_name(pods.pods[1]), "two");
}

TEST(Admit_takes_one_pod_only) {
    DM_CLEANUP(dm_arena_free) struct dm_arena a = {0};
    struct dm_pods pods;
    devmgr_error err = {0};
    CHECK_INT(dm_decode_pods(manifest(&a, POD_TEXT("one") "---\n" POD_TEXT("two")), 1, &pods, &err),
              DEVMGR_EINVALID);
    CHECK_STR(err.message, "more than one pod in the manifest; AdmitEach takes several");
}

TEST(an_error_in_the_second_document_names_the_line_of_the_whole_text) {
    DM_CLEANUP(dm_arena_free) struct dm_arena a = {0};
    struct dm_pods pods;
    devmgr_error err = {0};
    CHECK_INT(
        dm_decode_pods(
            manifest(&a, POD_TEXT("one") "---\nkind: Pod\nmetadata: {name: two}\nspec:\n  containers: 7\n"),
            10, &pods, &err),
        DEVMGR_EINVALID);
    CHECK_STR(err.message, "line 8: spec.containers: \"7\": must be a list of containers");
    CHECK_INT(pods.n, 0);
}

TEST(a_structured_pod_is_checked_field_by_field) {
    DM_CLEANUP(dm_arena_free) struct dm_arena a = {0};
    struct dm_pods pods;
    devmgr_error err = {0};
    PB(Pod) *m = PB_NEW(&a, pod);
    PB(Container) *c = PB_NEW(&a, container), *containers_[] = {c, c};
    PB(Limit) *l = PB_NEW(&a, limit), *limits[] = {l, l};
    CHECK_INT(dm_decode_pods(NULL, 1, &pods, &err), DEVMGR_EINVALID);
    CHECK_STR(err.message, "pod: missing");
    CHECK_INT(dm_decode_pods(m, 1, &pods, &err), DEVMGR_EINVALID);
    CHECK_STR(err.message, "pod.uid: missing; give uid and name, or a manifest");
    m->uid = dm_pb_text("u"), m->name = dm_pb_text("web"), m->n_containers = 1, m->containers = containers_;
    CHECK_INT(dm_decode_pods(m, 1, &pods, &err), DEVMGR_EINVALID);
    CHECK_STR(err.message, "pod.containers[0].name: \"\": must be a container name");
    c->name = dm_pb_text("c"), c->n_limits = 2, c->limits = limits,
    l->resource = dm_pb_text("example.com/gpu");
    CHECK_INT(dm_decode_pods(m, 1, &pods, &err), DEVMGR_EINVALID);
    CHECK_STR(err.message, "pod.containers[0].limits[1].resource: \"example.com/gpu\": given twice");
    c->n_limits = 1, m->n_containers = 2;
    CHECK_INT(dm_decode_pods(m, 1, &pods, &err), DEVMGR_EINVALID);
    CHECK_STR(err.message, "pod.containers[1].name: \"c\": given twice");
    m->n_containers = 1, m->wait_ms = UINT64_MAX;
    CHECK_INT(dm_decode_pods(m, 1, &pods, &err), 0);
    CHECK_STR(devmgr_pod_namespace(pods.pods[0]), "default");
    dm_pods_free(&pods);
}

TEST(a_manifest_may_be_told_which_containers_run) {
    DM_CLEANUP(dm_arena_free) struct dm_arena a = {0};
    DM_CLEANUP(dm_pods_free) struct dm_pods pods = {0};
    devmgr_error err = {0};
    PB(Pod) *m = manifest(&a, POD_TEXT("one"));
    PB(Container) *c = PB_NEW(&a, container);
    c->name = dm_pb_text("c"), c->running = true;
    m->n_containers = 1, m->containers = &c;
    CHECK_INT(dm_decode_pods(m, 1, &pods, &err), 0);
    dm_pods_free(&pods);
    c->name = dm_pb_text("x");
    CHECK_INT(dm_decode_pods(m, 1, &pods, &err), DEVMGR_EINVALID);
    CHECK_STR(err.message, "pod.containers[0].name: \"x\": the pod has no such container");
}

TEST(a_decision_about_nodes_names_nodes_that_can_be) {
    DM_CLEANUP(dm_arena_free) struct dm_arena a = {0};
    DM_CLEANUP(dm_pods_free) struct dm_pods pods = {0};
    devmgr_error err = {0};
    uint32_t nodes[] = {0, 63, 64};
    PB(Pod) *m = manifest(&a, POD_TEXT("one"));
    PB(Container) *c = PB_NEW(&a, container);
    c->name = dm_pb_text("c"), c->affinity = PB_NEW(&a, affinity);
    m->n_containers = 1, m->containers = &c;
    CHECK_INT(dm_decode_pods(m, 1, &pods, &err), 0); /* no preference */
    dm_pods_free(&pods);
    c->affinity->numa = nodes, c->affinity->n_numa = 2;
    CHECK_INT(dm_decode_pods(m, 1, &pods, &err), 0);
    dm_pods_free(&pods);
    c->affinity->n_numa = 3;
    CHECK_INT(dm_decode_pods(m, 1, &pods, &err), DEVMGR_EINVALID);
    CHECK_STR(err.message, "pod.containers[0].affinity.numa[2]: 64: must be a NUMA node from 0 to 63");
}

/* What is said of this hint of container c. */
static const char *about(const char *resource, int kind, const uint32_t *nodes, size_t n) {
    static devmgr_error err;
    DM_CLEANUP(dm_arena_free) struct dm_arena a = {0};
    DM_CLEANUP(dm_pods_free) struct dm_pods pods = {0};
    PB(Pod) *m = manifest(&a, POD_TEXT("one"));
    PB(Container) *c = PB_NEW(&a, container);
    PB(Hint) *good = PB_NEW(&a, hint), *h = PB_NEW(&a, hint), *hints[] = {good, h};
    good->resource = dm_pb_text("memory"), good->kind = DEVMGR__V1ALPHA1__HINT_KIND__HINT_ANY;
    h->resource = dm_pb_text(resource), h->kind = (PB(HintKind))kind;
    h->numa = (uint32_t *)(uintptr_t)nodes, h->n_numa = n;
    c->name = dm_pb_text("c"), c->n_hints = 2, c->hints = hints;
    m->n_containers = 1, m->containers = &c;
    m->n_hints = 1, m->hints = &good;
    err.message[0] = 0;
    dm_decode_pods(m, 1, &pods, &err);
    return err.message;
}

TEST(hints_that_come_with_a_pod_are_checked_field_by_field) {
    static const uint32_t nodes[] = {0, 63, 64};
    CHECK_STR(about("cpu", DEVMGR_HINT, nodes, 2), "");
    CHECK_STR(about("cpu", DEVMGR_HINT_IMPOSSIBLE, NULL, 0), "");
    CHECK_STR(about("cpu", DEVMGR_HINT, nodes, 3),
              "pod.containers[0].hints[1].numa[2]: 64: must be a NUMA node from 0 to 63");
    CHECK_STR(about("cpu", DEVMGR_HINT, NULL, 0),
              "pod.containers[0].hints[1].numa: empty: HINT_NODES wants nodes");
    CHECK_STR(about("cpu", DEVMGR_HINT_ANY, nodes, 1),
              "pod.containers[0].hints[1].numa: only HINT_NODES has nodes");
    CHECK_STR(about("cpu", 9, NULL, 0), "pod.containers[0].hints[1].kind: 9: must be a HintKind");
    CHECK_STR(about("", DEVMGR_HINT_ANY, NULL, 0),
              "pod.containers[0].hints[1].resource: \"\": must be a resource name");
    CHECK_STR(about("\xff", DEVMGR_HINT_ANY, NULL, 0),
              "pod.containers[0].hints[1].resource: must be UTF-8 without NUL");
}

TEST(hints_have_an_end_and_one_pod_and_no_decision_beside_them) {
    DM_CLEANUP(dm_arena_free) struct dm_arena a = {0};
    struct dm_pods pods;
    devmgr_error err = {0};
    PB(Pod) *m = manifest(&a, POD_TEXT("one") "---\n" POD_TEXT("two"));
    PB(Container) *c = PB_NEW(&a, container);
    PB(Hint) *h = PB_NEW(&a, hint), **many = dm_arena_array(&a, 65537, sizeof *many);
    h->resource = dm_pb_text("cpu"), h->kind = DEVMGR__V1ALPHA1__HINT_KIND__HINT_ANY;
    for (size_t i = 0; i < 65537; i++)
        many[i] = h;
    m->n_hints = 1, m->hints = many;
    CHECK_INT(dm_decode_pods(m, 10, &pods, &err), DEVMGR_EINVALID);
    CHECK_STR(err.message, "pod.hints: of which pod? The manifest has 2; send one at a time");
    m->manifest = dm_pb_text(POD_TEXT("one")), m->n_hints = 65537;
    CHECK_INT(dm_decode_pods(m, 1, &pods, &err), DEVMGR_EINVALID);
    CHECK_STR(err.message, "pod.hints[65536]: too many: 65536 hints of 64 resources are allowed");
    c->name = dm_pb_text("c"), c->affinity = PB_NEW(&a, affinity), c->n_hints = 1, c->hints = many;
    m->n_hints = 0, m->n_containers = 1, m->containers = &c;
    CHECK_INT(dm_decode_pods(m, 1, &pods, &err), DEVMGR_EINVALID);
    CHECK_STR(err.message, "pod.containers[0].hints: affinity says what was decided; give one of them");
    c->affinity = NULL, c->name = dm_pb_text("x");
    CHECK_INT(dm_decode_pods(m, 1, &pods, &err), DEVMGR_EINVALID);
    CHECK_STR(err.message, "pod.containers[0].name: \"x\": the pod has no such container");
}
