/* convert.h -- the v1beta1 messages but for the device list (list.h) and the answer (answer.h). Pure. */
#ifndef DM_REGISTRATION_CONVERT_H
#define DM_REGISTRATION_CONVERT_H
#include "base/error.h"
#include "base/plugin.h"

struct
    dm_register { /* RegisterRequest; spans borrow from the message and are valid UTF-8. `options` is not read. */
    struct dm_span version, endpoint, resource;
};
int dm_convert_register(struct dm_span message, struct dm_register *ret, devmgr_error *reterr);
int dm_convert_options(struct dm_span message, bool *prestart, bool *preferred, devmgr_error *reterr);
/* PreStartContainerResponse has no field that we know, but must be a message. */
int dm_convert_prestart(struct dm_span message, devmgr_error *reterr);

const char *dm_convert_method(enum dm_rpc_kind rpc);   /* "/v1beta1.DevicePlugin/Allocate" */
const char *dm_convert_rpc_name(enum dm_rpc_kind rpc); /* "Allocate" */
/* The packed request of `call`, always with one container; appended to `ret`. */
void dm_convert_request(const struct dm_call *call, struct dm_buf *ret);

struct dm_ids { /* zero-initialise; memory is its own */
    size_t n;
    const char **ids;
    char *text;
};
/* deviceIDs of the first container response; none: n = 0. -EBADMSG: undecodable, more than `max` ids, a NUL byte. */
int dm_convert_preferred(struct dm_span message, size_t max, struct dm_ids *ret, devmgr_error *reterr);
void dm_ids_free(struct dm_ids *ids); /* also for DM_CLEANUP */
#endif
