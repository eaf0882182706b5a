/* convert.c -- see convert.h. Out through protobuf-c, in through fields.h: protobuf-c refuses what Go accepts (a known
 * number with another type, groups) and takes memory without a bound for what it does not know. */
#include "registration/convert.h"
#include "base/mem.h"
#include "base/text.h"
#include "deviceplugin/v1beta1/deviceplugin.pb-c.h"
#include "registration/fields.h"
#include <string.h>

static const struct {
    const char *name, *method;
} rpcs[] = {
    [DM_RPC_PREFERRED] = {"GetPreferredAllocation", "/v1beta1.DevicePlugin/GetPreferredAllocation"},
    [DM_RPC_ALLOCATE] = {"Allocate", "/v1beta1.DevicePlugin/Allocate"},
    [DM_RPC_PRESTART] = {"PreStartContainer", "/v1beta1.DevicePlugin/PreStartContainer"},
};

const char *dm_convert_method(enum dm_rpc_kind rpc) {
    return rpcs[rpc].method;
}
const char *dm_convert_rpc_name(enum dm_rpc_kind rpc) {
    return rpcs[rpc].name;
}

/* ---- in --------------------------------------------------------------------------------------------------------- */

int dm_convert_register(struct dm_span message, struct dm_register *ret, devmgr_error *reterr) {
    struct dm_span *fields[] = {NULL, &ret->version, &ret->endpoint, &ret->resource};
    struct dm_field f;
    int more;
    *ret = (struct dm_register){0};
    while ((more = dm_field_next(&message, &f)) > 0) {
        if (f.type != DM_FIELD_BYTES || f.number >= DM_COUNT(fields))
            continue;
        if (!dm_text_utf8(f.bytes.data, f.bytes.len))
            return dm_error_set(reterr, -EBADMSG, "RegisterRequest: field %u is not valid UTF-8", f.number);
        *fields[f.number] = f.bytes;
    }
    return more < 0 ? dm_error_set(reterr, -EBADMSG, "not a RegisterRequest") : 0;
}

int dm_convert_options(struct dm_span message, bool *prestart, bool *preferred, devmgr_error *reterr) {
    struct dm_field f;
    int more;
    *prestart = *preferred = false;
    while ((more = dm_field_next(&message, &f)) > 0) {
        if (dm_field_is(&f, 1, DM_FIELD_VARINT))
            *prestart = f.value != 0;
        else if (dm_field_is(&f, 2, DM_FIELD_VARINT))
            *preferred = f.value != 0;
    }
    return more < 0 ? dm_error_set(reterr, -EBADMSG, "not DevicePluginOptions") : 0;
}

int dm_convert_prestart(struct dm_span message, devmgr_error *reterr) {
    struct dm_field f;
    int more;
    while ((more = dm_field_next(&message, &f)) > 0)
        continue;
    return more < 0 ? dm_error_set(reterr, -EBADMSG, "not PreStartContainerResponse") : 0;
}

/* Ids of one ContainerPreferredAllocationResponse. As in the list, an id and its NUL need no more room than they took
 * in the message. */
static int read_ids(struct dm_span container, size_t max, struct dm_ids *ret, devmgr_error *reterr) {
    struct dm_field f;
    size_t cap = 0, at = 0;
    int more;
    ret->text = dm_realloc(NULL, container.len + 1);
    while ((more = dm_field_next(&container, &f)) > 0) {
        if (!dm_field_is(&f, 1, DM_FIELD_BYTES))
            continue;
        if (dm_field_text(f.bytes))
            return dm_error_set(reterr, -EBADMSG, "an id is not valid UTF-8 or contains a NUL byte");
        if (ret->n >= max)
            return dm_error_set(reterr, -EBADMSG, "more than %zu ids", max);
        DM_GROW(ret->ids, ret->n, cap);
        ret->ids[ret->n++] = ret->text + at;
        if (f.bytes.len)
            memcpy(ret->text + at, f.bytes.data, f.bytes.len);
        at += f.bytes.len;
        ret->text[at++] = 0;
    }
    return more < 0 ? dm_error_set(reterr, -EBADMSG, "not a ContainerPreferredAllocationResponse") : 0;
}

int dm_convert_preferred(struct dm_span message, size_t max, struct dm_ids *ret, devmgr_error *reterr) {
    DM_CLEANUP(dm_ids_free) struct dm_ids ids = {0};
    struct dm_span first = {0};
    struct dm_field f;
    int more;
    bool found = false;
    while ((more = dm_field_next(&message, &f)) > 0)
        if (!found && dm_field_is(&f, 1, DM_FIELD_BYTES))
            first = f.bytes, found = true;
    if (more < 0)
        return dm_error_set(reterr, -EBADMSG, "not a PreferredAllocationResponse");
    int bad = read_ids(first, max, &ids, reterr);
    if (bad)
        return bad;
    *ret = ids;
    ids = (struct dm_ids){0};
    return 0;
}

void dm_ids_free(struct dm_ids *ids) {
    free(ids->ids), free(ids->text);
    *ids = (struct dm_ids){0};
}

/* ---- out -------------------------------------------------------------------------------------------------------- */

static ProtobufCBinaryData *wrap_ids(const char *const *ids, size_t n) {
    ProtobufCBinaryData *out = dm_alloc_array(n, sizeof *out);
    for (size_t i = 0; i < n; i++)
        out[i] = (ProtobufCBinaryData){strlen(ids[i]), (uint8_t *)ids[i]};
    return out;
}

static void pack(const ProtobufCMessage *message, struct dm_buf *ret) {
    size_t n = protobuf_c_message_get_packed_size(message);
    ret->len += protobuf_c_message_pack(message, (uint8_t *)dm_buf_reserve(ret, n));
    ret->data[ret->len] = 0;
}

static void pack_preferred(const struct dm_call *call, ProtobufCBinaryData *ids, struct dm_buf *ret) {
    DM_FREE ProtobufCBinaryData *must = wrap_ids(call->must, call->n_must);
    V1beta1__ContainerPreferredAllocationRequest container =
        V1BETA1__CONTAINER_PREFERRED_ALLOCATION_REQUEST__INIT;
    V1beta1__ContainerPreferredAllocationRequest *containers[] = {&container};
    V1beta1__PreferredAllocationRequest request = V1BETA1__PREFERRED_ALLOCATION_REQUEST__INIT;
    container.n_available_deviceids = call->n_ids, container.available_deviceids = ids;
    container.n_must_include_deviceids = call->n_must, container.must_include_deviceids = must;
    container.allocation_size = call->size > INT32_MAX ? INT32_MAX : (int32_t)call->size;
    request.n_container_requests = 1, request.container_requests = containers;
    pack(&request.base, ret);
}

static void pack_allocate(const struct dm_call *call, ProtobufCBinaryData *ids, struct dm_buf *ret) {
    V1beta1__ContainerAllocateRequest container = V1BETA1__CONTAINER_ALLOCATE_REQUEST__INIT;
    V1beta1__ContainerAllocateRequest *containers[] = {&container};
    V1beta1__AllocateRequest request = V1BETA1__ALLOCATE_REQUEST__INIT;
    container.n_devices_ids = call->n_ids, container.devices_ids = ids;
    request.n_container_requests = 1, request.container_requests = containers;
    pack(&request.base, ret);
}

static void pack_prestart(const struct dm_call *call, ProtobufCBinaryData *ids, struct dm_buf *ret) {
    V1beta1__PreStartContainerRequest request = V1BETA1__PRE_START_CONTAINER_REQUEST__INIT;
    request.n_devices_ids = call->n_ids, request.devices_ids = ids;
    pack(&request.base, ret);
}

void dm_convert_request(const struct dm_call *call, struct dm_buf *ret) {
    DM_FREE ProtobufCBinaryData *ids = wrap_ids(call->ids, call->n_ids);
    if (call->rpc == DM_RPC_PREFERRED)
        pack_preferred(call, ids, ret);
    else if (call->rpc == DM_RPC_ALLOCATE)
        pack_allocate(call, ids, ret);
    else
        pack_prestart(call, ids, ret);
}
