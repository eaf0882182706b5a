/* look.c -- the calls that only look.
 *
 * What a visitor shows ends with the visit, so each row is packed at once, as a response that holds this row alone:
 * packed messages put one behind the other read as one message with all their rows. */
#include "base/mem.h"
#include "control/service.h"
#include <string.h>
#include <unistd.h>

enum {
    PIECE = 256 << 10,   /* bytes of a streamed response, more or less */
    MOST_SETS = 1 << 16, /* hints of one resource: all sets of 16 nodes */
    MOST_HINTS = 1 << 19 /* of one answer; both are in the proto */
};

struct rows {
    struct dm_request *request;
    struct dm_buf packed;
    struct dm_arena row; /* of the row being packed */
    bool streamed;
};

static void rows_free(struct rows *rows) {
    dm_buf_free(&rows->packed);
    dm_arena_free(&rows->row);
}

static void send_piece(struct rows *rows) {
    dm_incoming_send(rows->request->in, dm_buf_span(&rows->packed));
    rows->packed.len = 0;
}

static int add_row(struct rows *rows, const void *response) {
    dm_message_write(response, &rows->packed);
    dm_arena_clear(&rows->row);
    if (rows->streamed && rows->packed.len >= PIECE)
        send_piece(rows);
    return 0;
}

/* Sends what is left and the end, or the failure. */
static void end_rows(struct rows *rows, int rc, const char *what) {
    if (rc < 0) {
        dm_request_fail(rows->request, rc, NULL, what);
    } else if (rows->streamed) {
        if (rows->packed.len)
            send_piece(rows);
        dm_request_finish(rows->request, NULL);
    } else {
        dm_request_reply_bytes(rows->request, &rows->packed);
    }
}

/* ---- lists ----------------------------------------------------------------------------------------------------- */

static int add_resource(void *arg, const devmgr_resource *resource) {
    struct rows *rows = arg;
    PB(ListResourcesResponse) *m = PB_NEW(&rows->row, list_resources_response);
    PB(Resource) *row = dm_encode_resource(&rows->row, resource);
    m->n_resources = 1, m->resources = &row;
    return add_row(rows, m);
}

void dm_serve_list_resources(struct dm_request *r) {
    DM_CLEANUP(rows_free) struct rows rows = {.request = r};
    int rc = devmgr_each_resource(r->control->m, add_resource, &rows);
    end_rows(&rows, rc, "resources");
}

static int add_device(void *arg, const devmgr_device *device) {
    struct rows *rows = arg;
    PB(ListDevicesResponse) *m = PB_NEW(&rows->row, list_devices_response);
    PB(Device) *row = dm_encode_device(&rows->row, device);
    m->n_devices = 1, m->devices = &row;
    return add_row(rows, m);
}

void dm_serve_list_devices(struct dm_request *r) {
    const PB(ListDevicesRequest) *m = r->message;
    DM_CLEANUP(rows_free) struct rows rows = {.request = r, .streamed = true};
    const char *resource = dm_request_text(r, m->resource, "resource", false);
    if (!resource)
        return;
    int rc = devmgr_each_device(r->control->m, *resource ? resource : NULL, add_device, &rows);
    end_rows(&rows, rc, resource);
}

static int add_pod(void *arg, const devmgr_held_pod *pod) {
    struct rows *rows = arg;
    PB(ListPodsResponse) *m = PB_NEW(&rows->row, list_pods_response);
    PB(HeldPod) *row = dm_encode_held_pod(&rows->row, pod);
    if (!rows->packed.len) /* each piece says the revision */
        m->revision = devmgr_revision(rows->request->control->m);
    m->n_pods = 1, m->pods = &row;
    return add_row(rows, m);
}

void dm_serve_list_pods(struct dm_request *r) {
    DM_CLEANUP(rows_free) struct rows rows = {.request = r, .streamed = true};
    int rc = devmgr_each_pod(r->control->m, add_pod, &rows);
    if (rc == 0 && !rows.packed.len) { /* no pod: say the revision all the same */
        PB(ListPodsResponse) *m = PB_NEW(&rows.row, list_pods_response);
        m->revision = devmgr_revision(r->control->m);
        add_row(&rows, m);
    }
    end_rows(&rows, rc, "pods");
}

static int add_change(void *arg, const devmgr_health_change *change) {
    struct rows *rows = arg;
    PB(HealthHistoryResponse) *m = PB_NEW(&rows->row, health_history_response);
    PB(HealthChange) *row = PB_NEW(&rows->row, health_change);
    row->unix_ms = change->unix_ms;
    row->health = dm_encode_health(change->health);
    m->n_changes = 1, m->changes = &row;
    return add_row(rows, m);
}

void dm_serve_health_history(struct dm_request *r) {
    const PB(HealthHistoryRequest) *m = r->message;
    DM_CLEANUP(rows_free) struct rows rows = {.request = r};
    const char *resource = dm_request_text(r, m->resource, "resource", true);
    const char *id = resource ? dm_request_text(r, m->id, "id", true) : NULL;
    if (!id)
        return;
    int rc = devmgr_each_health_change(r->control->m, resource, id, add_change, &rows);
    DM_FREE char *what = dm_printf("%s, device %s", resource, id);
    end_rows(&rows, rc, what);
}

/* ---- topology -------------------------------------------------------------------------------------------------- */

struct hints {
    struct rows rows;
    char *resource; /* of the last hint */
    size_t n, all;  /* told of it; in all */
    bool cut;       /* of it there are more, and that was said */
};

static void hints_free(struct hints *h) {
    rows_free(&h->rows);
    free(h->resource);
}

static int write_hint(struct rows *rows, const devmgr_hint *hint) {
    PB(HintsResponse) *m = PB_NEW(&rows->row, hints_response);
    PB(Hint) *row = PB_NEW(&rows->row, hint);
    row->resource = dm_pb_text(hint->resource);
    row->kind = (PB(HintKind))hint->kind;
    row->preferred = hint->preferred != 0;
    row->numa = dm_encode_numa(&rows->row, hint->numa, &row->n_numa);
    m->n_hints = 1, m->hints = &row;
    return add_row(rows, m);
}

static int add_hint(void *arg, const devmgr_hint *hint) {
    struct hints *h = arg;
    const devmgr_hint more = {.resource = hint->resource, .kind = DEVMGR_HINT_MORE};
    if (!h->resource || strcmp(h->resource, hint->resource)) {
        free(h->resource);
        h->resource = dm_strdup(hint->resource);
        h->n = 0, h->cut = false;
    }
    bool set = hint->kind == DEVMGR_HINT, full = set && (h->n == MOST_SETS || h->all == MOST_HINTS);
    if (h->cut)
        return 0;
    h->cut = full || hint->kind == DEVMGR_HINT_MORE;
    h->n += set && !full;
    h->all += set && !full;
    return write_hint(&h->rows, full ? &more : hint);
}

void dm_serve_hints(struct dm_request *r) {
    const PB(HintsRequest) *m = r->message;
    DM_CLEANUP(hints_free) struct hints hints = {.rows = {.request = r, .streamed = true}};
    DM_CLEANUP(dm_pods_free) struct dm_pods pods = {0};
    devmgr_error err = {0};
    const char *container = dm_request_text(r, m->container, "container", false);
    if (!container)
        return;
    int rc = dm_decode_pods(m->pod, 1, &pods, &err);
    if (rc < 0) {
        dm_request_fail(r, rc, &err, "hints");
        return;
    }
    const devmgr_pod *pod = pods.pods[0];
    rc = devmgr_hints(r->control->m, pod, *container ? container : NULL, add_hint, &hints);
    if (rc == -ENOENT)
        dm_error_set(&err, rc, "container: \"%.100s\": pod %s/%s has no such container", container,
                     devmgr_pod_namespace(pod), devmgr_pod_name(pod));
    if (rc < 0)
        dm_request_fail(r, rc, &err, "hints");
    else
        end_rows(&hints.rows, rc, "hints");
}

static int append(void *arg, const char *text, size_t n) {
    dm_buf_add(arg, text, n);
    return 0;
}

static ProtobufCBinaryData bytes_of(const struct dm_buf *b) {
    return (ProtobufCBinaryData){b->len, (uint8_t *)b->data};
}

void dm_serve_explain(struct dm_request *r) {
    const PB(ExplainRequest) *m = r->message;
    DM_CLEANUP(dm_pods_free) struct dm_pods pods = {0};
    DM_CLEANUP(dm_buf_free) struct dm_buf json = {0};
    devmgr_error err = {0};
    int rc = dm_decode_pods(m->pod, 1, &pods, &err);
    if (rc == 0)
        rc = devmgr_explain(r->control->m, pods.pods[0], append, &json, &err);
    if (rc < 0) {
        dm_request_fail(r, rc, &err, "explain");
        return;
    }
    PB(ExplainResponse) *answer = PB_NEW(&r->arena, explain_response);
    answer->json = bytes_of(&json);
    dm_request_reply(r, answer);
}

/* ---- the rest -------------------------------------------------------------------------------------------------- */

void dm_serve_info(struct dm_request *r) {
    PB(InfoResponse) *m = PB_NEW(&r->arena, info_response);
    m->version = dm_pb_text(devmgr_version());
    m->revision = devmgr_revision(r->control->m);
    m->new_node = devmgr_new_node(r->control->m) > 0;
    m->pid = (uint32_t)getpid();
    dm_request_reply(r, m);
}

void dm_serve_claim_record(struct dm_request *r) {
    const PB(ClaimRecordRequest) *m = r->message;
    DM_CLEANUP(dm_buf_free) struct dm_buf record = {0};
    const char *uid = dm_request_text(r, m->pod_uid, "pod_uid", true);
    const char *container = uid ? dm_request_text(r, m->container, "container", true) : NULL;
    if (!container)
        return;
    int rc = devmgr_claim_record(r->control->m, uid, container, append, &record);
    if (rc < 0) {
        DM_FREE char *what = dm_printf("pod %s, container %s", uid, container);
        dm_request_fail(r, rc, NULL, what);
        return;
    }
    PB(ClaimRecordResponse) *answer = PB_NEW(&r->arena, claim_record_response);
    answer->record = bytes_of(&record);
    dm_request_reply(r, answer);
}

void dm_serve_node_allocatable(struct dm_request *r) {
    const PB(NodeAllocatableRequest) *m = r->message;
    const char *uid = dm_request_text(r, m->pod_uid, "pod_uid", true);
    const char *resource = uid ? dm_request_text(r, m->resource, "resource", true) : NULL;
    if (!resource)
        return;
    PB(NodeAllocatableResponse) *answer = PB_NEW(&r->arena, node_allocatable_response);
    answer->allocatable = devmgr_node_allocatable(r->control->m, uid, resource, m->allocatable);
    dm_request_reply(r, answer);
}

void dm_serve_check(struct dm_request *r) {
    devmgr_error err = {0};
    PB(CheckResponse) *m = PB_NEW(&r->arena, check_response);
    int rc = devmgr_check(r->control->m, &err);
    m->ok = rc == 0;
    m->message = dm_pb_text(rc < 0 ? err.message : "");
    dm_request_reply(r, m);
}

void dm_serve_metrics(struct dm_request *r) {
    DM_CLEANUP(dm_buf_free) struct dm_buf text = {0};
    PB(MetricsResponse) *m = PB_NEW(&r->arena, metrics_response);
    int rc = devmgr_metrics(r->control->m, append, &text);
    if (rc < 0) {
        dm_request_fail(r, rc, NULL, "metrics");
        return;
    }
    m->text = bytes_of(&text);
    dm_request_reply(r, m);
}
