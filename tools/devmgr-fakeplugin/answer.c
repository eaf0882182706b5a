/* answer.c -- from template and request to the bytes of a response. See answer.h. */
#include "answer.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"
#include <string.h>

struct ids {
    char **ids;
    size_t n;
    char *joined;
};

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int by_nature(const void *a, const void *b) {
    return dm_text_natural(*(char *const *)a, *(char *const *)b);
}

static void ids_read(struct ids *out, const ProtobufCBinaryData *bytes, size_t n) {
    *out = (struct ids){dm_alloc_array(n + 1, sizeof *out->ids), n, NULL};
    for (size_t i = 0; i < n; i++)
        out->ids[i] = fp_wire_string(bytes[i]);
}

static void ids_free(struct ids *ids) {
    for (size_t i = 0; i < ids->n; i++)
        free(ids->ids[i]);
    free(ids->ids), free(ids->joined);
}

static void ids_sort_and_join(struct ids *ids) {
    struct dm_buf b = {0};
    qsort(ids->ids, ids->n, sizeof *ids->ids, by_bytes);
    for (size_t i = 0; i < ids->n; i++)
        dm_buf_printf(&b, "%s%s", i ? "," : "", ids->ids[i]);
    ids->joined = dm_buf_steal(&b);
}

/* ---- Allocate --------------------------------------------------------------------------------------------------- */

static ProtobufCBinaryData substitute(const char *text, const char *id, const char *joined) {
    struct dm_buf b = {0};
    while (*text) {
        bool all = !strncmp(text, "{ids}", 5), one = id && !strncmp(text, "{id}", 4);
        if (all)
            dm_buf_puts(&b, joined);
        else if (one)
            dm_buf_puts(&b, id);
        else
            dm_buf_putc(&b, *text);
        text += all ? 5 : one ? 4 : 1;
    }
    size_t len = b.len;
    return (ProtobufCBinaryData){len, (uint8_t *)dm_buf_steal(&b)};
}

/* How to make the message of one entry; `id` NULL where the entry is not repeated. */
typedef void *(*make_fn)(const struct fp_entry *e, const char *id, const char *joined);

static void *make_pair(const struct fp_entry *e, const char *id, const char *joined) {
    V1beta1__StringPair *pair = DM_NEW(V1beta1__StringPair);
    v1beta1__string_pair__init(pair);
    pair->key = substitute(e->a, id, joined), pair->value = substitute(e->b, id, joined);
    return pair;
}

static void *make_mount(const struct fp_entry *e, const char *id, const char *joined) {
    V1beta1__Mount *mount = DM_NEW(V1beta1__Mount);
    v1beta1__mount__init(mount);
    mount->container_path = substitute(e->a, id, joined), mount->host_path = substitute(e->b, id, joined);
    mount->read_only = e->read_only;
    return mount;
}

static void *make_device(const struct fp_entry *e, const char *id, const char *joined) {
    V1beta1__DeviceSpec *device = DM_NEW(V1beta1__DeviceSpec);
    v1beta1__device_spec__init(device);
    device->container_path = substitute(e->a, id, joined), device->host_path = substitute(e->b, id, joined);
    device->permissions = fp_wire_copy(e->c);
    return device;
}

static void *make_cdi(const struct fp_entry *e, const char *id, const char *joined) {
    V1beta1__CDIDevice *device = DM_NEW(V1beta1__CDIDevice);
    v1beta1__cdidevice__init(device);
    device->name = substitute(e->a, id, joined);
    return device;
}

static bool names_each(const struct fp_entry *e) {
    return strstr(e->a, "{id}") || strstr(e->b, "{id}");
}

/* The messages of all entries, each `copies` times; the array is the caller's. */
static void *expand(const struct fp_entries *entries, const struct ids *ids, size_t copies, make_fn make,
                    size_t *ret_n) {
    size_t n = 0, most = entries->n * (ids->n + 1) * copies;
    void **out = dm_alloc_array(most + 1, sizeof *out);
    for (const struct fp_entry *e = entries->rows; e < entries->rows + entries->n; e++) {
        bool each = names_each(e);
        for (size_t i = 0; i < (each ? ids->n : 1); i++)
            for (size_t copy = 0; copy < copies; copy++)
                out[n++] = make(e, each ? ids->ids[i] : NULL, ids->joined);
    }
    *ret_n = n;
    return out;
}

static V1beta1__ContainerAllocateResponse *new_response(void) {
    V1beta1__ContainerAllocateResponse *r = DM_NEW(V1beta1__ContainerAllocateResponse);
    v1beta1__container_allocate_response__init(r);
    return r;
}

static V1beta1__ContainerAllocateResponse *make_response(const struct fp_answer *answer,
                                                         const V1beta1__ContainerAllocateRequest *request,
                                                         size_t copies) {
    V1beta1__ContainerAllocateResponse *r = new_response();
    DM_CLEANUP(ids_free) struct ids ids;
    ids_read(&ids, request->devices_ids, request->n_devices_ids);
    ids_sort_and_join(&ids);
    r->envs = expand(&answer->envs, &ids, copies, make_pair, &r->n_envs);
    r->annotations = expand(&answer->annotations, &ids, copies, make_pair, &r->n_annotations);
    r->mounts = expand(&answer->mounts, &ids, copies, make_mount, &r->n_mounts);
    r->devices = expand(&answer->devices, &ids, copies, make_device, &r->n_devices);
    r->cdi_devices = expand(&answer->cdi, &ids, copies, make_cdi, &r->n_cdi_devices);
    return r;
}

static V1beta1__ContainerAllocateResponse *make_second(void) {
    static const struct fp_entry second = {(char *)"DEVMGR_FAKEPLUGIN_SECOND", (char *)"1", (char *)"",
                                           false};
    V1beta1__ContainerAllocateResponse *r = new_response();
    r->envs = dm_alloc_array(1, sizeof *r->envs);
    r->envs[r->n_envs++] = make_pair(&second, NULL, "");
    return r;
}

void fp_answer_allocate(const struct fp_answer *answer, const V1beta1__AllocateRequest *request,
                        enum fp_what fault, struct dm_buf *out) {
    V1beta1__AllocateResponse *response = DM_NEW(V1beta1__AllocateResponse);
    v1beta1__allocate_response__init(response);
    size_t n = answer->empty || fault == FP_EMPTY ? 0 : request->n_container_requests;
    response->container_responses = dm_alloc_array(n + 1, sizeof *response->container_responses);
    for (size_t i = 0; i < n; i++)
        response->container_responses[response->n_container_responses++] =
            fault == FP_NONE ? new_response()
                             : make_response(answer, request->container_requests[i], fault == FP_DUP ? 2 : 1);
    if (fault == FP_TWO)
        response->container_responses[response->n_container_responses++] = make_second();
    fp_wire_pack(&response->base, out);
    v1beta1__allocate_response__free_unpacked(response, NULL);
}

/* ---- GetPreferredAllocation ------------------------------------------------------------------------------------- */

/* The ids of `q` in the order in which they are preferred: must-include first, then the rest by id. */
static void rank(const V1beta1__ContainerPreferredAllocationRequest *q, bool last, bool without_must,
                 struct ids *out) {
    struct dm_map must = {0};
    struct ids available;
    ids_read(&available, q->available_deviceids, q->n_available_deviceids);
    ids_read(out, q->must_include_deviceids, q->n_must_include_deviceids);
    for (size_t i = 0; i < out->n; i++)
        dm_map_put(&must, out->ids[i], out);
    if (without_must)
        ids_free(out), *out = (struct ids){0};
    qsort(available.ids, available.n, sizeof *available.ids, by_nature);
    out->ids = dm_realloc(out->ids, (out->n + available.n + 1) * sizeof *out->ids);
    for (size_t i = 0; i < available.n; i++) {
        size_t at = last ? available.n - 1 - i : i;
        if (!dm_map_get(&must, available.ids[at]))
            out->ids[out->n++] = DM_MOVE(available.ids[at]);
    }
    dm_map_free(&must);
    ids_free(&available);
}

static V1beta1__ContainerPreferredAllocationResponse *
prefer(enum fp_preference preference, const V1beta1__ContainerPreferredAllocationRequest *q,
       enum fp_what fault) {
    V1beta1__ContainerPreferredAllocationResponse *r = DM_NEW(V1beta1__ContainerPreferredAllocationResponse);
    v1beta1__container_preferred_allocation_response__init(r);
    if (preference == FP_PREFER_NONE || fault == FP_NONE)
        return r;
    DM_CLEANUP(ids_free) struct ids ids;
    rank(q, preference == FP_PREFER_LAST, fault == FP_WITHOUT_HELD, &ids);
    size_t n_must = fault == FP_WITHOUT_HELD ? 0 : q->n_must_include_deviceids;
    size_t size = q->allocation_size > 0 ? (size_t)q->allocation_size : 0;
    size_t n = size < n_must ? n_must : size < ids.n ? size : ids.n;
    r->deviceids = dm_alloc_array(n + 1, sizeof *r->deviceids);
    for (size_t i = 0; i < n; i++)
        r->deviceids[r->n_deviceids++] = fp_wire_copy(ids.ids[fault == FP_REPEAT ? 0 : i]);
    return r;
}

void fp_answer_preferred(enum fp_preference preference, const V1beta1__PreferredAllocationRequest *request,
                         enum fp_what fault, struct dm_buf *out) {
    V1beta1__PreferredAllocationResponse *response = DM_NEW(V1beta1__PreferredAllocationResponse);
    v1beta1__preferred_allocation_response__init(response);
    size_t n = fault == FP_EMPTY ? 0 : request->n_container_requests;
    response->container_responses = dm_alloc_array(n + 1, sizeof *response->container_responses);
    for (size_t i = 0; i < n; i++)
        response->container_responses[response->n_container_responses++] =
            prefer(preference, request->container_requests[i], fault);
    if (fault == FP_TWO) {
        static const V1beta1__ContainerPreferredAllocationRequest nothing =
            V1BETA1__CONTAINER_PREFERRED_ALLOCATION_REQUEST__INIT;
        response->container_responses[response->n_container_responses++] =
            prefer(FP_PREFER_NONE, &nothing, FP_NONE);
    }
    fp_wire_pack(&response->base, out);
    v1beta1__preferred_allocation_response__free_unpacked(response, NULL);
}
