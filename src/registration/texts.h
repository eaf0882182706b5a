/* texts.h -- what Register answers when it fails: the kubelet's words first, byte for byte, then what they leave out.
 * All pure but dm_text_dial, which looks at the file. Texts are appended to `out`. */
#ifndef DM_REGISTRATION_TEXTS_H
#define DM_REGISTRATION_TEXTS_H
#include "base/buf.h"
#include "base/error.h"
#include "base/status.h"

/* Go's %q: quotes, escapes; what cannot be shown becomes \n, \x07, \u0085, \xff. At most about `max` bytes, then "...". */
void dm_text_quote(struct dm_buf *out, struct dm_span text, size_t max);

/* "NAME (pid N)", for a pid that SO_PEERCRED gave; 0: a process in a pid namespace that we cannot see. */
void dm_text_process(struct dm_buf *out, int pid);

void dm_text_version(struct dm_buf *out, struct dm_span version);
void dm_text_resource(struct dm_buf *out, struct dm_span resource);
/* The name of an endpoint must be a plain file name; `folder` is where plugins' sockets are. */
void dm_text_endpoint(struct dm_buf *out, const char *resource, struct dm_span endpoint, const char *folder);
void dm_text_path_too_long(struct dm_buf *out, const char *resource, const char *path);
void dm_text_too_many(struct dm_buf *out, const char *resource, size_t limit);

struct dm_target { /* whom we tried to reach, and how far that got */
    const char *resource, *socket;
    int pid;        /* who listens there, 0: not connected */
    uint64_t limit; /* ms that were allowed */
};
/* No connection. `err` is the dial's; -ECANCELED: the plugin gave up waiting for the answer to Register. */
void dm_text_dial(struct dm_buf *out, const struct dm_target *to, const devmgr_error *err);
/* Connected, but GetDevicePluginOptions failed. */
void dm_text_options(struct dm_buf *out, const struct dm_target *to, const struct dm_status *status);
/* "rpc error: code = Unavailable desc = ..." */
void dm_text_rpc_error(struct dm_buf *out, const struct dm_status *status);
#endif
