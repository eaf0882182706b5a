/* -o json: every key, in its order, rows by name, ids in byte order; one line. */
#include "base/mem.h"
#include "check.h"
#include "control/json.h"

/* The JSON as text, until the next call. Takes `json`. */
static const char *text(json_t *json) {
    static char *last;
    free(last);
    last = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return last;
}

#define CLAIM(container_, resource_, device_, numa_)                                                         \
    &(const devmgr_claim) {                                                                                  \
        .pod_uid = "u1", .pod_namespace = "ns", .pod_name = "web", .container = container_,                  \
        .resource = resource_, .device = device_, .numa = numa_                                              \
    }
static const devmgr_held_container init_ = {
    "z-init", DEVMGR_PLAIN_INIT, 1, 1, (const devmgr_claim *const[]){CLAIM("z-init", "a.b/gpu", "gpu-2", 1)}};
static const devmgr_held_container main_ = {
    "main", DEVMGR_APP, UINT64_C(1) << 63 | 1, 4,
    (const devmgr_claim *const[]){CLAIM("main", "a.b/nic", "n", 0), CLAIM("main", "a.b/gpu", "gpu-2", 1),
                                  CLAIM("main", "a.b/gpu", "gpu-10", 3), CLAIM("main", "a.b/gpu", "x", 0)}};
static const devmgr_held_container idle_ = {"idle", DEVMGR_APP, 0, 0, NULL};
static const devmgr_held_pod web = {
    "u1", "ns", "web", "tag", 9, 3, (const devmgr_held_container *const[]){&init_, &main_, &idle_}};

TEST(a_pod_shows_all_containers_by_name_and_ids_in_byte_order) {
    CHECK_STR(text(dm_json_pod(&web)),
              "{\"uid\":\"u1\",\"namespace\":\"ns\",\"name\":\"web\",\"containers\":{\"idle\":{},"
              "\"main\":{\"a.b/gpu\":[\"gpu-10\",\"gpu-2\",\"x\"],\"a.b/nic\":[\"n\"]},"
              "\"z-init\":{\"a.b/gpu\":[\"gpu-2\"]}}}");
}

TEST(an_admission_counts_devices_on_each_of_their_nodes) {
    const devmgr_admission result = {.pod = &web};
    const struct dm_admission admission = {&result, "u1", "ns", "web", ""};
    CHECK_STR(
        text(dm_json_admission(&admission)),
        "{\"pod\":\"u1\",\"admitted\":true,\"verdict\":\"admitted\",\"cause\":\"\",\"reason\":\"\","
        "\"message\":\"\",\"detail\":\"\",\"container\":\"\",\"resource\":\"\",\"retry_after_ms\":0,"
        "\"affinity\":{\"main\":[0,63],\"z-init\":[0]},\"containers\":{\"idle\":{},"
        "\"main\":{\"a.b/gpu\":{\"ids\":[\"gpu-10\",\"gpu-2\",\"x\"],\"numa\":{\"-1\":1,\"0\":2,\"1\":1}},"
        "\"a.b/nic\":{\"ids\":[\"n\"],\"numa\":{\"-1\":1}}},"
        "\"z-init\":{\"a.b/gpu\":{\"ids\":[\"gpu-2\"],\"numa\":{\"0\":1}}}}}");
}

TEST(a_refusal_has_the_same_keys) {
    const devmgr_admission result = {.verdict = DEVMGR_REFUSED,
                                     .detail = "d",
                                     .reason = "r",
                                     .message = "m",
                                     .container = "c",
                                     .resource = "a.b/gpu",
                                     .retry_after_ms = UINT64_MAX};
    const struct dm_admission admission = {&result, "u1", "ns", "web", "FromTheFuture"};
    CHECK_STR(
        text(dm_json_admission(&admission)),
        "{\"pod\":\"u1\",\"admitted\":false,\"verdict\":\"refused\",\"cause\":\"FromTheFuture\","
        "\"reason\":\"r\",\"message\":\"m\",\"detail\":\"d\",\"container\":\"c\",\"resource\":\"a.b/gpu\","
        "\"retry_after_ms\":9223372036854775807,\"affinity\":{},\"containers\":{}}");
}

TEST(resources_and_devices_have_all_keys) {
    const devmgr_resource r = {"a.b/gpu", 4, 3, 2, 1, DEVMGR_REMOVED, NULL};
    const devmgr_device free_ = {"a.b/gpu", "x", 5, DEVMGR_UNKNOWN, NULL},
                        held = {"a.b/gpu", "y", 0, DEVMGR_MISSING, CLAIM("main", "a.b/gpu", "y", 0)};
    CHECK_STR(text(dm_json_resource(&r)),
              "{\"name\":\"a.b/gpu\",\"capacity\":4,\"allocatable\":3,\"held\":2,\"reserved\":1,"
              "\"plugin\":\"removed\",\"last_error\":\"\"}");
    CHECK_STR(text(dm_json_device(&free_)), "{\"resource\":\"a.b/gpu\",\"id\":\"x\",\"health\":\"Unknown\","
                                            "\"numa\":[0,2],\"pod\":\"\",\"container\":\"\"}");
    CHECK_STR(text(dm_json_device(&held)), "{\"resource\":\"a.b/gpu\",\"id\":\"y\",\"health\":\"Missing\","
                                           "\"numa\":[],\"pod\":\"u1\",\"container\":\"main\"}");
}

TEST(options_have_all_keys_also_when_empty) {
    const devmgr_options empty = {0};
    CHECK_STR(text(dm_json_options(&empty)),
              "{\"envs\":[],\"mounts\":[],\"devices\":[],\"annotations\":[],\"cdi_devices\":[]}");
}

TEST(lists_are_in_order_of_their_keys) {
    static const char *const keys[3] = {"namespace", "name"};
    json_t *rows = json_pack("[{s:s,s:s},{s:s,s:s},{s:s,s:s}]", "namespace", "b", "name", "x", "namespace",
                             "a", "name", "z", "namespace", "a", "name", "y");
    CHECK_STR(text(dm_json_list("pods", rows, keys)),
              "{\"pods\":[{\"namespace\":\"a\",\"name\":\"y\"},{\"namespace\":\"a\",\"name\":\"z\"},"
              "{\"namespace\":\"b\",\"name\":\"x\"}]}");
    CHECK_STR(text(dm_json_list("released", json_pack("[s,s]", "u-2", "u-10"), NULL)),
              "{\"released\":[\"u-10\",\"u-2\"]}");
}

TEST(each_event_begins_with_revision_time_and_type) {
    const devmgr_resource r = {"a.b/gpu", 4, 3, 2, 1, DEVMGR_CONNECTED, ""};
    const devmgr_event rows[] = {
        {.type = DEVMGR_EV_LOG, .revision = 1, .level = 4, .message = "m"},
        {.type = DEVMGR_EV_PLUGIN, .revision = 2, .level = 3, .message = "m", .resource = "a.b/gpu"},
        {.type = DEVMGR_EV_RESOURCE, .revision = 3, .changed = &r, .resource = r.name},
        {.type = DEVMGR_EV_RELEASED, .revision = 4, .pod_uid = "u1"},
        {.type = DEVMGR_EV_CLAIM_HEALTH, .revision = 5, .claim = CLAIM("main", "a.b/gpu", "y", 2)},
        {.type = DM_EVENT_SYNCED, .revision = 6},
        {.type = 33, .revision = 7}}; /* from the future */
    static const char *const want[] = {
        "\"type\":\"log\",\"level\":\"warning\",\"message\":\"m\"}",
        "\"type\":\"plugin\",\"resource\":\"a.b/gpu\",\"level\":\"error\",\"message\":\"m\"}",
        "\"type\":\"resource\",\"name\":\"a.b/"
        "gpu\",\"capacity\":4,\"allocatable\":3,\"held\":2,\"reserved\":1,"
        "\"plugin\":\"connected\",\"last_error\":\"\"}",
        "\"type\":\"released\",\"pod\":\"u1\",\"namespace\":\"\",\"name\":\"\",\"containers\":{}}",
        "\"type\":\"claim_health\",\"pod\":\"u1\",\"namespace\":\"ns\",\"name\":\"web\",\"container\":"
        "\"main\","
        "\"resource\":\"a.b/gpu\",\"id\":\"y\",\"health\":\"Healthy\",\"numa\":[1]}",
        "\"type\":\"synced\"}",
        "\"type\":\"other\"}"};
    for (size_t i = 0; i < DM_COUNT(rows); i++) {
        DM_FREE char *line =
            dm_printf("{\"revision\":%zu,\"time\":\"1970-01-01T00:00:00.000Z\",%s", i + 1, want[i]);
        CHECK_STR(text(dm_json_event(&rows[i])), line);
    }
}

TEST(time_is_UTC_with_milliseconds) {
    char out[32];
    CHECK_STR(dm_json_time(1763708281123, out), "2025-11-21T06:58:01.123Z");
}

TEST(a_text_that_is_no_utf8_does_not_break_the_line) {
    CHECK_STR(text(json_pack("{s:o}", "x", dm_json_text("\xff"))), "{\"x\":\"\"}");
}
