/* request.c -- one request of a client, on its way to its answer. See service.h, (1). */
#include "base/mem.h"
#include "control/service.h"
#include <string.h>

static void free_request(struct dm_request *r) {
    struct dm_control *c = r->control;
    dm_list_remove(&r->in_control);
    dm_arena_free(&r->arena);
    free(r);
    c->answered(c);
}

void dm_request_finish(struct dm_request *r, const struct dm_status *status) {
    dm_incoming_finish(r->in, status);
    free_request(r);
}

void dm_request_reply_bytes(struct dm_request *r, const struct dm_buf *packed) {
    static const uint8_t nothing[1];
    struct dm_span bytes = packed->len ? dm_buf_span(packed) : (struct dm_span){nothing, 0};
    dm_incoming_reply(r->in, NULL, bytes);
    free_request(r);
}

void dm_request_reply(struct dm_request *r, const void *message) {
    DM_CLEANUP(dm_buf_free) struct dm_buf out = {0};
    dm_message_write(message, &out);
    dm_request_reply_bytes(r, &out);
}

void dm_request_refuse(struct dm_request *r, int status, const char *message) {
    const struct dm_status s = {status, message};
    dm_request_finish(r, &s);
}

int dm_control_status(int code) {
    static const struct {
        int code, status;
    } table[] = {{-EINVAL, DM_INVALID_ARGUMENT},
                 {DEVMGR_EINVALID, DM_INVALID_ARGUMENT},
                 {-ENOENT, DM_NOT_FOUND},
                 {-EEXIST, DM_ALREADY_EXISTS},
                 {-EALREADY, DM_ABORTED},
                 {-ECANCELED, DM_ABORTED},
                 {-EBUSY, DM_FAILED_PRECONDITION},
                 {DEVMGR_EBUSY, DM_FAILED_PRECONDITION},
                 {-ETIMEDOUT, DM_DEADLINE_EXCEEDED},
                 {-ENOSYS, DM_UNIMPLEMENTED},
                 {-EAGAIN, DM_FAILED_PRECONDITION}};
    for (size_t i = 0; i < DM_COUNT(table); i++)
        if (table[i].code == code)
            return table[i].status;
    return DM_INTERNAL;
}

static const char *plain_words(int code) {
    switch (code) {
    case -ENOENT:
        return "not known";
    case -ENOSYS:
        return "not built yet";
    case -EALREADY:
        return "an admission of this pod is in flight; wait for its answer or release the pod";
    case -ECANCELED:
        return "released meanwhile, or the daemon is closing";
    case -EBUSY:
        return "still in use: held, reserved, or its plugin is there";
    case DEVMGR_EINVALID:
        return "not valid";
    default:
        return code > -4096 ? strerror(-code) : devmgr_error_name(code);
    }
}

void dm_request_fail(struct dm_request *r, int code, const devmgr_error *err, const char *what) {
    DM_FREE char *message =
        err && *err->message ? dm_strdup(err->message) : dm_printf("%s: %s", what, plain_words(code));
    dm_request_refuse(r, dm_control_status(code), message);
}

const char *dm_request_text(struct dm_request *r, ProtobufCBinaryData text, const char *field,
                            bool required) {
    bool bad = false;
    const char *s = dm_decode_text(&r->arena, text, &bad);
    if (!bad && (*s || !required))
        return s;
    DM_FREE char *message = dm_printf("%s: %s", field, bad ? "must be UTF-8 without NUL" : "missing");
    dm_request_refuse(r, DM_INVALID_ARGUMENT, message);
    return NULL;
}
