/* registration.h -- the edge towards device plugins: the Registration service on kubelet.sock and the plugin client.
 *
 * Serves kubelet.sock, checks who registers, dials, asks for GetDevicePluginOptions, and only then replaces the
 * resource's endpoint; follows one ListAndWatch per registration; carries Allocate, GetPreferredAllocation and
 * PreStartContainer. Nothing from a plugin is trusted: all is bounded, checked and named in the error. Knows nothing of
 * pods. Loop thread only; events come on the loop, never inside a call. */
#ifndef DM_REGISTRATION_REGISTRATION_H
#define DM_REGISTRATION_REGISTRATION_H
#include "base/buf.h"
#include "base/error.h"
#include "base/plugin.h"
#include "base/settings.h"
#include "rpc/rpc.h"

struct dm_registration;

struct dm_registration_events {
    /* The plugin answered GetDevicePluginOptions: its endpoint takes the resource over now. Negative: refused (a limit
     * of the manager); Register fails with that text. The reply to Register goes out after this returns, then
     * ListAndWatch is called. */
    int (*connected)(void *self, const struct dm_endpoint_info *info, devmgr_error *reterr);
    void (*listed)(void *self, const char *resource, uint64_t generation, const struct dm_device_list *list);
    /* The stream of an endpoint ended, for whatever reason. Also for superseded ones: the manager compares generations. */
    void (*gone)(void *self, const char *resource, uint64_t generation, const char *why);
    /* Something about a resource's plugin that people should see: a refused Register (resource may be not a valid
     * name, or "" for one that nobody should see), a list refused whole, what was left out of one. `level` is syslog's:
     * warning and worse for what keeps devices from being used. Becomes last_error and an EV_PLUGIN. */
    void (*note)(void *self, const char *resource, int level, const char *text);
    void (*answered)(void *self,
                     const struct dm_call_result *result); /* exactly once per dm_registration_call */
    void (*log)(void *self, int level, const char *text);  /* about the socket and the folder */
};

/* The folder's lock and the look at kubelet.sock, before anything on disk changes. Makes DIR (0755 & ~umask) if it is
 * missing. DEVMGR_EBUSY: another manager holds the lock or somebody answers on kubelet.sock; the text is
 * "kubelet.sock: in use by NAME (pid N); stop it or choose another --root". The settings and the events must outlive it. */
int dm_registration_new(struct dm_rpc *rpc, const struct dm_settings *settings,
                        const struct dm_registration_events *events, void *self, struct dm_registration **ret,
                        devmgr_error *reterr);
/* Sweep, bind, listen in one go; call it when the state is loaded. Afterwards a folder or socket that is removed or
 * replaced is noticed: `folder_moved` asks the owner to open its store again and write. */
int dm_registration_serve(struct dm_registration *r, void (*folder_moved)(void *self), devmgr_error *reterr);
/* Health of registering (healthz): 0, or what is wrong. */
int dm_registration_check(struct dm_registration *r, devmgr_error *reterr);

/* What the kubelet counts of plugins, in Prometheus text format, appended to `out`. */
void dm_registration_metrics(const struct dm_registration *r, struct dm_buf *out);

/* One RPC to the endpoint of that generation. Strings are copied. The result comes through `answered`, also when the
 * endpoint is not there (UNAVAILABLE). */
void dm_registration_call(struct dm_registration *r, const struct dm_call *call);
void dm_registration_cancel(struct dm_registration *r, uint64_t call_id); /* answered with CANCELLED */

/* Closes all plugins and the server, removes kubelet.sock if it is still ours, gives up the lock. No events any more
 * but `answered` for open calls; `closed` runs last. */
void dm_registration_close(struct dm_registration *r, void (*closed)(void *arg), void *arg);

/* answer.c: pure, also for the checkpoint's entries. An answer may be a message to the kubelet and still be refused by
 * dm_answer_decode: a NUL in a text, too many entries. */
bool dm_answer_is_message(struct dm_span bytes);
int dm_answer_decode(struct dm_span bytes, struct dm_answer **ret, devmgr_error *reterr);
/* rules.c: the kubelet's IsExtendedResourceName. */
bool dm_resource_name_valid(const char *name);
#endif
