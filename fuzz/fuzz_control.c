/* Any bytes as messages of the control API: a request's pods are whole or refused with a reason, within the memory that
 * a request may take; what a daemon could answer decodes to what the JSON printer prints as one line. */
#include "base/mem.h"
#include "control/convert.h"
#include "control/json.h"
#include <assert.h>
#include <string.h>

enum { MAX_PODS = 4, MAX_UNFOLDED = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_pods(const uint8_t *data, size_t size) {
    DM_CLEANUP(dm_arena_free) struct dm_arena a = {.limit = MAX_UNFOLDED};
    DM_CLEANUP(dm_pods_free) struct dm_pods pods = {0};
    devmgr_error err = {0};
    const PB(AdmitRequest) *m = PB_READ(&a, admit_request, data, size);
    assert(a.used <= MAX_UNFOLDED);
    if (!m)
        return;
    int r = dm_decode_pods(m->pod, MAX_PODS, &pods, &err);
    assert(r == 0 ? pods.n > 0 && pods.n <= MAX_PODS
                  : pods.n == 0 && *err.message && !strchr(err.message, '\n'));
    for (size_t i = 0; i < pods.n; i++)
        assert(*devmgr_pod_uid(pods.pods[i]) && *devmgr_pod_name(pods.pods[i]));
}

static void check_line(json_t *json) {
    DM_FREE char *line = json_dumps(json, JSON_COMPACT);
    assert(line && !strchr(line, '\n'));
    json_decref(json);
}

static void check_answers(const uint8_t *data, size_t size) {
    DM_CLEANUP(dm_arena_free) struct dm_arena a = {.limit = MAX_UNFOLDED};
    const void *m;
    bool bad = false;
    if ((m = PB_READ(&a, admission, data, size)))
        check_line(dm_json_admission(dm_decode_admission(&a, m, &bad)));
    if ((m = PB_READ(&a, event, data, size)))
        check_line(dm_json_event(dm_decode_event(&a, m, &bad)));
    if ((m = PB_READ(&a, options, data, size)))
        check_line(dm_json_options(dm_decode_options(&a, m, &bad)));
    if ((m = PB_READ(&a, device, data, size)))
        check_line(dm_json_device(dm_decode_device(&a, m, &bad)));
    if ((m = PB_READ(&a, held_pod, data, size)))
        check_line(dm_json_pod(dm_decode_held_pod(&a, m, &bad)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_pods(data, size);
    check_answers(data, size);
    return 0;
}
