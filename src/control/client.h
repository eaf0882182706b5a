/* client.h -- call the control API from a command line tool: blocking, one call at a time, devmgr.h's structs.
 *
 * A client has a loop of its own and turns it inside each call. Results: 0 or negative, the error is one line to print
 * after "program: "; what the daemon said is in it word for word. Visitors may not call in again; non-zero from one stops
 * the call and is returned. What they are shown ends with the visit. */
#ifndef DM_CONTROL_CLIENT_H
#define DM_CONTROL_CLIENT_H
#include "base/error.h"
#include <stdbool.h>

struct dm_client;
#define DM_EVENT_SYNCED 64 /* a devmgr_event.type of dm_client_watch, beyond devmgr.h's: changes follow */

struct dm_admission { /* devmgr_admission and whose it is */
    const devmgr_admission *result;
    const char *pod_uid, *pod_namespace, *pod_name;
    const char *cause; /* its word; kept as text, because a daemon may know more causes than we do */
};
struct dm_info {
    char version[32];
    uint64_t revision;
    bool new_node;
    uint32_t pid;
};

/* Connects. While nobody serves there, again and again for `wait_ms` (0: one attempt). */
int dm_client_open(const char *socket, uint64_t wait_ms, struct dm_client **ret, devmgr_error *reterr);
void dm_client_close(struct dm_client *c);   /* NULL is fine */
void dm_client_closep(struct dm_client **c); /* for DM_CLEANUP */

int dm_client_info(struct dm_client *c, struct dm_info *ret, devmgr_error *reterr);
int dm_client_each_resource(struct dm_client *c, int (*visit)(void *arg, const devmgr_resource *), void *arg,
                            devmgr_error *reterr);
int dm_client_each_device(struct dm_client *c, const char *resource_or_null,
                          int (*visit)(void *arg, const devmgr_device *), void *arg, devmgr_error *reterr);
/* *revision: of the picture, set before the first visit. */
int dm_client_each_pod(struct dm_client *c, uint64_t *revision,
                       int (*visit)(void *arg, const devmgr_held_pod *), void *arg, devmgr_error *reterr);
/* Every Pod of a manifest, one visit each, in order. DEVMGR_EINVALID: the manifest is bad, nothing was admitted. */
int dm_client_admit(struct dm_client *c, const char *manifest, size_t n, uint64_t wait_ms,
                    int (*visit)(void *arg, const struct dm_admission *), void *arg, devmgr_error *reterr);
/* One Pod of a manifest; `visit` gets one JSON object as text. DEVMGR_EINVALID: the manifest is bad. */
int dm_client_explain(struct dm_client *c, const char *manifest, size_t n,
                      int (*visit)(void *arg, const char *json, size_t n), void *arg, devmgr_error *reterr);
int dm_client_options(struct dm_client *c, const char *pod_uid, const char *container, unsigned flags,
                      int (*visit)(void *arg, const devmgr_options *), void *arg, devmgr_error *reterr);
/* `visit` is told the uid of each pod that lost devices. */
int dm_client_release(struct dm_client *c, const char *pod_uid, int (*visit)(void *arg, const char *pod_uid),
                      void *arg, devmgr_error *reterr);
int dm_client_sync(struct dm_client *c, const char *const *pod_uids, size_t n, uint64_t as_of, unsigned flags,
                   int (*visit)(void *arg, const char *pod_uid), void *arg, devmgr_error *reterr);
/* `timeout_ms` 0: none; over: -ETIMEDOUT. Ends by a visit, or negative. */
int dm_client_watch(struct dm_client *c, uint64_t timeout_ms, int (*visit)(void *arg, const devmgr_event *),
                    void *arg, devmgr_error *reterr);
#endif
