/* What devmgr-fakeplugin says, without a socket: faults, answers, lists. Its files are included, as no library has them. */
#include "../../tools/devmgr-fakeplugin/answer.c"
#include "../../tools/devmgr-fakeplugin/devices.c"
#include "../../tools/devmgr-fakeplugin/faults.c"
#include "../../tools/devmgr-fakeplugin/template.c"
#include "../../tools/devmgr-fakeplugin/wire.c"
#include "check.h"
#include <unistd.h>

/* What N calls of `rpc` meet with these faults (NULL-terminated): a word a call, "-" for nothing. */
static const char *met(const char *const *specs, enum fp_rpc rpc, int calls) {
    static char out[256];
    struct fp_faults faults = {0};
    size_t at = 0;
    out[0] = 0;
    for (; *specs; specs++)
        CHECK_INT(fp_faults_add(&faults, *specs, NULL), 0);
    for (int i = 0; i < calls; i++) {
        struct fp_plan plan = fp_faults_next(&faults, rpc);
        at += (size_t)snprintf(out + at, sizeof out - at, "%s%d", i ? " " : "", (int)plan.what);
        if (plan.delay_ms)
            at += (size_t)snprintf(out + at, sizeof out - at, "+%d", (int)plan.delay_ms);
        if (plan.code)
            at += (size_t)snprintf(out + at, sizeof out - at, "/%d", plan.code);
    }
    fp_faults_clear(&faults);
    return out;
}
#define MET(rpc, calls, ...) met((const char *const[]){__VA_ARGS__, NULL}, rpc, calls)

TEST(a_fault_acts_on_every_call_or_on_the_nth) {
    CHECK_INT(FP_HANG, 1);
    CHECK_STR(MET(FP_ALLOCATE, 3, "allocate:hang"), "1 1 1");
    CHECK_STR(MET(FP_ALLOCATE, 4, "allocate:hang@3"), "0 0 1 0");
    CHECK_STR(MET(FP_LIST, 2, "allocate:hang"), "0 0");
}

TEST(a_plan_has_the_word_of_its_fault) {
    CHECK_STR(fp_plan_word(&(struct fp_plan){.what = FP_END_OK}), "end=ok");
    CHECK_STR(fp_plan_word(&(struct fp_plan){.what = FP_ERROR, .delay_ms = 5}), "error");
    CHECK_STR(fp_plan_word(&(struct fp_plan){.delay_ms = 5}), "delay");
    CHECK_INT(fp_plan_word(&(struct fp_plan){0}) == NULL, true);
}

TEST(delays_add_up_and_the_first_of_the_others_acts) {
    CHECK_INT(FP_ERROR, 4);
    CHECK_STR(MET(FP_ALLOCATE, 3, "allocate:delay=1s", "allocate:delay=500ms@2", "allocate:error=INTERNAL@2",
                  "allocate:error=14"),
              "4+1000/14 4+1500/13 4+1000/14");
}

TEST(what_has_no_meaning_is_refused) {
    static const char *const bad[] = {"",
                                      "hang",
                                      "allocate",
                                      "allocate:",
                                      "allocate:hang@",
                                      "allocate:hang@x",
                                      "allocate:hang=1",
                                      "allocate:delay",
                                      "allocate:delay=5",
                                      "allocate:error",
                                      "allocate:error=OK",
                                      "allocate:error=0",
                                      "allocate:flap",
                                      "allocate:end=ok",
                                      "list:end",
                                      "list:two",
                                      "register:error=INTERNAL",
                                      "options:dup",
                                      "prestart:empty",
                                      "preferred:dup",
                                      "Allocate:hang"};
    EACH(spec, bad) {
        struct fp_faults faults = {0};
        devmgr_error err = {0};
        if (fp_faults_add(&faults, *spec, &err) == 0)
            CHECK_STR("accepted", *spec);
        CHECK_INT(strncmp(err.message, *spec, strlen(*spec)), 0);
    }
}

/* ---- lists ------------------------------------------------------------------------------------------------------ */

/* "id:Health@node,node ..." of a list; "@" alone: a topology without nodes */
static const char *listed(const struct fp_devices *d, enum fp_what shape, size_t turn) {
    static char out[512];
    struct dm_buf bytes = {0};
    fp_devices_encode(d, shape, turn, &bytes);
    V1beta1__ListAndWatchResponse *list =
        v1beta1__list_and_watch_response__unpack(NULL, bytes.len, (const uint8_t *)bytes.data);
    CHECK(list != NULL);
    size_t at = 0;
    out[0] = 0;
    for (size_t i = 0; i < list->n_devices; i++) {
        const V1beta1__Device *device = list->devices[i];
        at += (size_t)snprintf(out + at, sizeof out - at, "%s%.*s:%.*s", i ? " " : "", (int)device->id.len,
                               (const char *)device->id.data, (int)device->health.len,
                               (const char *)device->health.data);
        if (device->topology)
            at += (size_t)snprintf(out + at, sizeof out - at, "@");
        for (size_t k = 0; device->topology && k < device->topology->n_nodes; k++)
            at += (size_t)snprintf(out + at, sizeof out - at, "%s%d", k ? "," : "",
                                   (int)device->topology->nodes[k]->id);
    }
    v1beta1__list_and_watch_response__free_unpacked(list, NULL);
    dm_buf_free(&bytes);
    return out;
}

TEST(lists_are_what_the_commands_made_of_the_devices) {
    struct fp_devices d;
    fp_devices_init(&d, 3, 2);
    CHECK_STR(listed(&d, FP_NOTHING, 0), "dev-00000:Healthy@0 dev-00001:Healthy@1 dev-00002:Healthy@0");
    CHECK_INT(fp_devices_health(&d, "dev-00001", "Odd"), 0);
    CHECK_INT(fp_devices_health(&d, "dev-00003", "Odd"), -ENOENT);
    fp_devices_resize(&d, 2);
    CHECK_STR(listed(&d, FP_NOTHING, 0), "dev-00000:Healthy@0 dev-00001:Odd@1");
    fp_devices_resize(&d, 3);
    fp_devices_flap(&d, 1);
    CHECK_STR(listed(&d, FP_NOTHING, 0), "dev-00000:Unhealthy@0 dev-00001:Healthy@1 dev-00002:Healthy@0");
    CHECK_INT(fp_devices_health(&d, "*", "Healthy"), 0);
    fp_devices_free(&d);
}

/* "" or why not */
static const char *give(struct fp_devices *d, const char *json) {
    static devmgr_error err;
    json_t *list = json_loads(json, 0, NULL);
    err.message[0] = 0;
    fp_devices_give(d, list, &err);
    json_decref(list);
    return err.message;
}

TEST(devices_can_be_given_one_by_one) {
    struct fp_devices d;
    fp_devices_init(&d, 3, 2);
    CHECK_STR(give(&d, "[{\"id\":\"b\",\"numa\":[1,-1,64]},{\"id\":\"a\",\"health\":\"Odd\"},"
                       "{\"id\":\"c\",\"topology\":true}]"),
              "");
    CHECK_STR(listed(&d, FP_NOTHING, 0), "b:Healthy@1,-1,64 a:Odd c:Healthy@");
    CHECK_INT(fp_devices_health(&d, "c", "Unhealthy"), 0);
    CHECK_STR(listed(&d, FP_REPEAT, 2), "c:Unhealthy@ b:Healthy@1,-1,64 a:Odd");
    CHECK_STR(give(&d, "[]"), "");
    CHECK_STR(listed(&d, FP_NOTHING, 0), "");
    CHECK_STR(give(&d, "[{\"id\":\"x\",\"numa\":[0]}]"), "");
    fp_devices_resize(&d, 2);
    CHECK_STR(listed(&d, FP_NOTHING, 0), "dev-00000:Healthy@0 dev-00001:Healthy@1");
    fp_devices_free(&d);
}

TEST(a_device_that_cannot_be_given_changes_nothing) {
    static const char *const bad[] = {"{}",
                                      "[1]",
                                      "[{\"id\":1}]",
                                      "[{\"health\":\"Healthy\"}]",
                                      "[{\"id\":\"a\",\"numa\":1}]",
                                      "[{\"id\":\"a\",\"numa\":[\"0\"]}]",
                                      "[{\"id\":\"a\"},{\"id\":\"b\",\"nodes\":[0]}]"};
    struct fp_devices d;
    fp_devices_init(&d, 1, 0);
    EACH(json, bad) {
        if (!*give(&d, *json))
            CHECK_STR("accepted", *json);
    }
    CHECK_STR(give(&d, "[{\"id\":\"a\"},{\"id\":\"b\",\"numa\":[0.5]}]"),
              "device 1: numa must be a list of numbers");
    CHECK_STR(listed(&d, FP_NOTHING, 0), "dev-00000:Healthy");
    fp_devices_free(&d);
}

TEST(lists_bend_as_the_fault_says) {
    struct fp_devices d;
    fp_devices_init(&d, 2, 0);
    CHECK_STR(listed(&d, FP_EMPTY, 0), "");
    CHECK_STR(listed(&d, FP_DUP, 0),
              "dev-00000:Unhealthy dev-00000:Healthy dev-00001:Unhealthy dev-00001:Healthy");
    CHECK_STR(listed(&d, FP_FLAP, 1), "dev-00000:Unhealthy dev-00001:Healthy");
    CHECK_STR(listed(&d, FP_FLAP, 2), "dev-00000:Healthy dev-00001:Healthy");
    CHECK_STR(listed(&d, FP_REPEAT, 1), "dev-00001:Healthy dev-00000:Healthy");
    fp_devices_free(&d);
}

/* ---- answers ---------------------------------------------------------------------------------------------------- */

static struct fp_answer template_of(const char *json) {
    struct fp_answer answer = {0};
    char path[] = "/tmp/dm-answer-XXXXXX";
    devmgr_error err;
    int fd = mkstemp(path);
    CHECK(fd >= 0 && write(fd, json, strlen(json)) == (ssize_t)strlen(json));
    close(fd);
    int r = fp_answer_load(path, &answer, &err);
    unlink(path);
    if (r < 0)
        CHECK_STR(err.message, "no error");
    return answer;
}

static size_t add_pairs(char *out, size_t size, V1beta1__StringPair **pairs, size_t n) {
    size_t at = 0;
    for (size_t i = 0; i < n; i++)
        at += (size_t)snprintf(out + at, size - at, "%.*s=%.*s ", (int)pairs[i]->key.len,
                               (const char *)pairs[i]->key.data, (int)pairs[i]->value.len,
                               (const char *)pairs[i]->value.data);
    return at;
}

static size_t add_response(char *out, size_t size, const V1beta1__ContainerAllocateResponse *r) {
    size_t at = add_pairs(out, size, r->envs, r->n_envs);
    for (size_t i = 0; i < r->n_mounts; i++)
        at += (size_t)snprintf(out + at, size - at, "%.*s<%.*s%s ", (int)r->mounts[i]->container_path.len,
                               (const char *)r->mounts[i]->container_path.data,
                               (int)r->mounts[i]->host_path.len, (const char *)r->mounts[i]->host_path.data,
                               r->mounts[i]->read_only ? "(ro)" : "");
    for (size_t i = 0; i < r->n_devices; i++)
        at += (size_t)snprintf(out + at, size - at, "%.*s(%.*s) ", (int)r->devices[i]->container_path.len,
                               (const char *)r->devices[i]->container_path.data,
                               (int)r->devices[i]->permissions.len,
                               (const char *)r->devices[i]->permissions.data);
    at += add_pairs(out + at, size - at, r->annotations, r->n_annotations);
    for (size_t i = 0; i < r->n_cdi_devices; i++)
        at += (size_t)snprintf(out + at, size - at, "cdi:%.*s ", (int)r->cdi_devices[i]->name.len,
                               (const char *)r->cdi_devices[i]->name.data);
    return at;
}

/* The response to a request for dev-b and dev-a, container responses parted by "| ". Frees the answer. */
static const char *allocated(struct fp_answer answer, enum fp_what fault) {
    static char out[1024];
    ProtobufCBinaryData ids[] = {fp_wire_text("dev-b"), fp_wire_text("dev-a")};
    V1beta1__ContainerAllocateRequest one = V1BETA1__CONTAINER_ALLOCATE_REQUEST__INIT, *all[] = {&one};
    V1beta1__AllocateRequest q = V1BETA1__ALLOCATE_REQUEST__INIT;
    struct dm_buf bytes = {0};
    one.n_devices_ids = 2, one.devices_ids = ids;
    q.n_container_requests = 1, q.container_requests = all;
    fp_answer_allocate(&answer, &q, fault, &bytes);
    fp_answer_free(&answer);
    V1beta1__AllocateResponse *r =
        v1beta1__allocate_response__unpack(NULL, bytes.len, (const uint8_t *)bytes.data);
    CHECK(r != NULL);
    size_t at = 0;
    out[0] = 0;
    for (size_t i = 0; i < r->n_container_responses; i++) {
        at += (size_t)snprintf(out + at, sizeof out - at, "| ");
        at += add_response(out + at, sizeof out - at, r->container_responses[i]);
    }
    v1beta1__allocate_response__free_unpacked(r, NULL);
    dm_buf_free(&bytes);
    return out;
}

static struct fp_answer built_in(void) {
    struct fp_answer answer = {0};
    fp_answer_default(&answer);
    return answer;
}

TEST(the_built_in_answer_names_each_device) {
    CHECK_STR(allocated(built_in(), FP_NOTHING),
              "| BENCH_VISIBLE_DEVICES=dev-a,dev-b /usr/lib/bench</opt/bench/lib(ro) "
              "/dev/bench/dev-a(rw) /dev/bench/dev-b(rw) ");
}

TEST(an_answer_from_a_file_is_filled_in) {
    CHECK_STR(
        allocated(template_of("{\"envs\":{\"A\":\"x{ids}y\",\"B_{id}\":\"{id}{id}\"},"
                              "\"mounts\":[{\"container\":\"/c\",\"host\":\"/h/{id}\"}],"
                              "\"devices\":[{\"container\":\"/dev/z\",\"host\":\"/dev/z\"}],"
                              "\"annotations\":{\"n\":\"{oid}\"},\"cdi\":[\"v/c={id}\"]}"),
                  FP_NOTHING),
        "| A=xdev-a,dev-by B_dev-a=dev-adev-a B_dev-b=dev-bdev-b /c</h/dev-a /c</h/dev-b /dev/z() n={oid} "
        "cdi:v/c=dev-a cdi:v/c=dev-b ");
    CHECK_STR(allocated(template_of("{\"empty\":true,\"envs\":{\"A\":\"1\"}}"), FP_NOTHING), "");
    CHECK_STR(allocated(template_of("{}"), FP_NOTHING), "| ");
}

TEST(an_answer_bends_as_the_fault_says) {
    const char *one = "{\"envs\":{\"A\":\"1\"},\"cdi\":[\"{id}\"]}";
    CHECK_STR(allocated(template_of(one), FP_EMPTY), "");
    CHECK_STR(allocated(template_of(one), FP_NONE), "| ");
    CHECK_STR(allocated(template_of(one), FP_TWO), "| A=1 cdi:dev-a cdi:dev-b | DEVMGR_FAKEPLUGIN_SECOND=1 ");
    CHECK_STR(allocated(template_of(one), FP_DUP), "| A=1 A=1 cdi:dev-a cdi:dev-a cdi:dev-b cdi:dev-b ");
}

/* Preferred ids of {d10 d9 d1 d2}, of which `must` must be included; responses parted by "|". */
static const char *preferred(enum fp_preference how, int size, const char *must, enum fp_what fault) {
    static char out[256];
    ProtobufCBinaryData available[] = {fp_wire_text("d10"), fp_wire_text("d9"), fp_wire_text("d1"),
                                       fp_wire_text("d2")};
    ProtobufCBinaryData include[] = {fp_wire_text(must)};
    V1beta1__ContainerPreferredAllocationRequest one = V1BETA1__CONTAINER_PREFERRED_ALLOCATION_REQUEST__INIT,
                                                 *all[] = {&one};
    V1beta1__PreferredAllocationRequest q = V1BETA1__PREFERRED_ALLOCATION_REQUEST__INIT;
    struct dm_buf bytes = {0};
    one.n_available_deviceids = 4, one.available_deviceids = available, one.allocation_size = size;
    one.n_must_include_deviceids = *must != 0, one.must_include_deviceids = include;
    q.n_container_requests = 1, q.container_requests = all;
    fp_answer_preferred(how, &q, fault, &bytes);
    V1beta1__PreferredAllocationResponse *r =
        v1beta1__preferred_allocation_response__unpack(NULL, bytes.len, (const uint8_t *)bytes.data);
    CHECK(r != NULL);
    size_t at = 0;
    out[0] = 0;
    for (size_t i = 0; i < r->n_container_responses; i++) {
        at += (size_t)snprintf(out + at, sizeof out - at, "|");
        for (size_t j = 0; j < r->container_responses[i]->n_deviceids; j++)
            at += (size_t)snprintf(out + at, sizeof out - at, " %.*s",
                                   (int)r->container_responses[i]->deviceids[j].len,
                                   (const char *)r->container_responses[i]->deviceids[j].data);
    }
    v1beta1__preferred_allocation_response__free_unpacked(r, NULL);
    dm_buf_free(&bytes);
    return out;
}

TEST(preferences_begin_with_what_must_be_included) {
    CHECK_STR(preferred(FP_PREFER_FIRST, 3, "d9", FP_NOTHING), "| d9 d1 d2");
    CHECK_STR(preferred(FP_PREFER_LAST, 3, "d9", FP_NOTHING), "| d9 d10 d2");
    CHECK_STR(preferred(FP_PREFER_FIRST, 9, "", FP_NOTHING), "| d1 d2 d9 d10");
    CHECK_STR(preferred(FP_PREFER_FIRST, -1, "", FP_NOTHING), "|");
    CHECK_STR(preferred(FP_PREFER_NONE, 3, "d9", FP_NOTHING), "|");
}

TEST(preferences_bend_as_the_fault_says) {
    CHECK_STR(preferred(FP_PREFER_FIRST, 2, "d9", FP_EMPTY), "");
    CHECK_STR(preferred(FP_PREFER_FIRST, 2, "d9", FP_NONE), "|");
    CHECK_STR(preferred(FP_PREFER_FIRST, 2, "d9", FP_TWO), "| d9 d1|");
    CHECK_STR(preferred(FP_PREFER_FIRST, 2, "d9", FP_REPEAT), "| d9 d9");
    CHECK_STR(preferred(FP_PREFER_FIRST, 2, "d9", FP_WITHOUT_HELD), "| d1 d2");
}

TEST(bad_messages_are_bad_and_huge_ones_are_good) {
    struct dm_buf bytes = {0};
    V1beta1__DevicePluginOptions options = V1BETA1__DEVICE_PLUGIN_OPTIONS__INIT;
    options.pre_start_required = 1;
    fp_wire_pack(&options.base, &bytes);
    fp_wire_pad(&bytes);
    CHECK(bytes.len > (64u << 20));
    V1beta1__DevicePluginOptions *back =
        v1beta1__device_plugin_options__unpack(NULL, bytes.len, (const uint8_t *)bytes.data);
    CHECK(back && back->pre_start_required);
    v1beta1__device_plugin_options__free_unpacked(back, NULL);
    fp_wire_garbage(&bytes);
    CHECK(!v1beta1__device_plugin_options__unpack(NULL, bytes.len, (const uint8_t *)bytes.data));
    dm_buf_free(&bytes);
}
