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

/* What was read can be written, and reads the same. */
static void check_options(struct dm_arena *a, const PB(Options) * m) {
    DM_CLEANUP(dm_buf_free) struct dm_buf out = {0};
    bool bad = false;
    const devmgr_options *o = dm_decode_options(a, m, &bad);
    check_line(dm_json_options(o));
    dm_message_write(dm_encode_options(a, o), &out);
    const PB(Options) *again = PB_READ(a, options, out.data, out.len);
    if (!again)
        return; /* the arena is full */
    json_t *first = dm_json_options(o), *second = dm_json_options(dm_decode_options(a, again, &bad));
    assert(json_equal(first, second));
    json_decref(first), json_decref(second);
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
        check_options(&a, m);
    if ((m = PB_READ(&a, device, data, size)))
        check_line(dm_json_device(dm_decode_device(&a, m, &bad)));
    if ((m = PB_READ(&a, held_pod, data, size)))
        check_line(dm_json_pod(dm_decode_held_pod(&a, m, &bad)));
    if ((m = PB_READ(&a, resource, data, size)))
        check_line(dm_json_resource(dm_decode_resource(&a, m, &bad)));
}

static void check_others(const uint8_t *data, size_t size) {
    DM_CLEANUP(dm_arena_free) struct dm_arena a = {.limit = MAX_UNFOLDED};
    bool bad = false;
    const PB(SyncRequest) *sync = PB_READ(&a, sync_request, data, size);
    for (size_t i = 0; sync && i < sync->n_pod_uids; i++)
        assert(strlen(dm_decode_text(&a, sync->pod_uids[i], &bad)) <= size);
    dm_arena_clear(&a);
    const PB(AdoptRequest) *adopt = PB_READ(&a, adopt_request, data, size);
    DM_CLEANUP(dm_pods_free) struct dm_pods pods = {0};
    if (adopt)
        assert(dm_decode_pods(adopt->pod, 1, &pods, NULL) < 0 || pods.n == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_pods(data, size);
    check_answers(data, size);
    check_others(data, size);
    return 0;
}
