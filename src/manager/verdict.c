/* verdict.c -- see verdict.h. Every text says what is wrong, who is in the way, and what to do next. */
#include "manager/verdict.h"
#include "base/text.h"
#include "manager/admission.h"
#include "manager/call.h"
#include "manager/claims.h"
#include "manager/resource.h"
#include "manager/texts.h"
#include <stdio.h>

static void where(struct dm_buf *out, const struct dm_txn *t) {
    char title[600];
    const struct dm_pod_container *c = dm_txn_container(t);
    dm_buf_printf(out, "pod %s", dm_pod_title(t->pod, title, sizeof title));
    if (c)
        dm_buf_printf(out, ", container %s", c->name);
    if (c && t->limit < c->n_limits)
        dm_buf_printf(out, ", %s", c->limits[t->limit].resource);
    dm_buf_puts(out, ": ");
}

static int verdict_of(int cause) {
    return cause <= DEVMGR_RECOVERING ? DEVMGR_NOT_YET : DEVMGR_REFUSED;
}

/* Takes over the texts. */
static void fill(struct dm_verdict *v, const struct dm_txn *t, int cause, const char *inner,
                 struct dm_buf *detail) {
    const struct dm_pod_container *c = dm_txn_container(t);
    *v = (struct dm_verdict){.verdict = verdict_of(cause), .cause = cause};
    v->message = dm_printf(DM_TEXT_ADMISSION, inner);
    v->detail = dm_buf_steal(detail);
    dm_text_one_line(v->detail); /* values of strangers are in it */
    v->container = c ? dm_strdup(c->name) : NULL;
    v->resource = c && t->limit < c->n_limits ? dm_strdup(c->limits[t->limit].resource) : NULL;
}

void dm_verdict_make(struct dm_verdict *v, const struct dm_txn *t, int cause, const char *inner,
                     const char *format, ...) {
    struct dm_buf detail = {0};
    char text[2048];
    va_list ap;
    where(&detail, t);
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    dm_buf_puts(&detail, text);
    fill(v, t, cause, inner, &detail);
}

void dm_verdict_canceled(struct dm_verdict *v, const struct dm_txn *t) {
    dm_verdict_make(
        v, t, DEVMGR_NO_CAUSE, DM_SAY_CANCELED,
        "canceled: the pod was released, or the manager is closing, before its admission was through");
    v->verdict = DEVMGR_CANCELED;
}

void dm_verdict_free(struct dm_verdict *v) {
    free(v->detail), free(v->message), free(v->container), free(v->resource);
    *v = (struct dm_verdict){0};
}

const char *dm_verdict_reason(const struct dm_verdict *v) {
    return v->locality ? DM_REASON_AFFINITY : DM_REASON_UNEXPECTED;
}

/* ---- the resource ---------------------------------------------------------------------------------------------------- */

static const char *why(const struct dm_resource *r) {
    return *r->last_error ? r->last_error : "no reason known";
}

bool dm_verdict_available(struct dm_verdict *v, const struct dm_txn *t, const struct dm_resource *r) {
    DM_FREE char *no_healthy = dm_printf(DM_TEXT_NO_HEALTHY, r->name);
    DM_FREE char *unregistered = dm_printf(DM_TEXT_UNREGISTERED, r->name);
    if (r->list_valid)
        return true;
    if (r->connected)
        dm_verdict_make(
            v, t, DEVMGR_NO_DEVICE_LIST, r->had_list ? no_healthy : unregistered,
            "its plugin (%s) is connected and has not listed its devices yet; admit again when it has, "
            "or look at the plugin's log",
            r->socket);
    else if (r->removed)
        dm_verdict_make(
            v, t, DEVMGR_PLUGIN_GONE, unregistered,
            "its plugin has been gone for longer than the grace period (%s); start the plugin again", why(r));
    else if (!r->generation)
        dm_verdict_make(
            v, t, DEVMGR_NO_DEVICE_LIST, no_healthy,
            "known from the checkpoint, its plugin has not registered again yet; start the plugin, or "
            "admit again when it is there");
    else
        dm_verdict_make(v, t, DEVMGR_PLUGIN_GONE, no_healthy,
                        "its plugin has gone (%s); start it again, or admit again when it is back", why(r));
    return false;
}

void dm_verdict_no_plugin(struct dm_verdict *v, const struct dm_txn *t, const char *resource) {
    DM_FREE char *inner = dm_printf(DM_TEXT_UNREGISTERED, resource);
    dm_verdict_make(
        v, t, DEVMGR_NO_PLUGIN, inner,
        "no device plugin has registered this resource; start its plugin, correct the name, or name it in "
        "ignore-resources if it is no device");
}

void dm_verdict_recovering(struct dm_verdict *v, const struct dm_txn *t) {
    const struct dm_manager *m = t->manager;
    DM_FREE char *inner = dm_printf(DM_SAY_RECOVERING, "waiting for the list of live pods");
    struct dm_buf names = {0};
    for (size_t i = 0; i < m->n_unknown && i < 5; i++)
        dm_buf_printf(&names, "%s%s", i ? ", " : "", m->unknown[i]);
    if (m->n_unknown > 5)
        dm_buf_printf(&names, " and %zu more", m->n_unknown - 5);
    if (names.len)
        dm_verdict_make(
            v, t, DEVMGR_RECOVERING, inner,
            "the checkpoint was damaged and its previous copy does not know these live pods: %s; release "
            "or adopt each of them, then new devices are given out again",
            names.data);
    else
        dm_verdict_make(
            v, t, DEVMGR_RECOVERING, inner,
            "the checkpoint was damaged; new devices are given out again after a sync with the list of "
            "all live pods");
    dm_buf_free(&names);
}

/* ---- who is in the way ------------------------------------------------------------------------------------------------- */

enum { NAMED_PODS = 3, LOOKED_AT = 512 };

struct named {
    const struct dm_pod *pods[NAMED_PODS];
    size_t n, looked;
};

/* True: enough were named. */
static bool name_pod(struct dm_buf *out, struct named *named, const struct dm_device *d) {
    const struct dm_hold *h = dm_device_holder(d);
    const struct dm_pod *pod = h->claim->container->pod;
    char title[600];
    named->looked++;
    for (size_t k = 0; k < named->n; k++)
        if (named->pods[k] == pod)
            return named->looked == LOOKED_AT;
    if (named->n == NAMED_PODS)
        return true;
    dm_buf_printf(out, "%s%s (container %s: %s)", named->n ? ", " : "",
                  dm_pod_title(pod, title, sizeof title), h->claim->container->name, d->id);
    named->pods[named->n++] = pod;
    return named->looked == LOOKED_AT;
}

/* "default/a (container main: gpu0), default/b (container c: gpu1), ...": who has the devices in `bits`. */
static void name_pods(struct dm_buf *out, const struct dm_resource *r, const struct dm_bits *bits) {
    struct named named = {.n = 0};
    for (size_t w = 0; w < bits->n; w++)
        for (uint64_t left = bits->words[w]; left; left &= left - 1)
            if (name_pod(out, &named, r->devices[w * 64 + (size_t)__builtin_ctzll(left)])) {
                dm_buf_puts(out, ", ...");
                return;
            }
}

void dm_verdict_name_holders(struct dm_buf *out, const struct dm_resource *r) {
    if (r->n_held) {
        dm_buf_printf(out, "; %zu held by ", r->n_held);
        name_pods(out, r, &r->held);
    }
    if (r->n_reserved) {
        dm_buf_printf(out, "; %zu reserved for ", r->n_reserved);
        name_pods(out, r, &r->reserved);
        dm_buf_puts(out, ", whose admission is in flight");
    }
    if (r->n_listed > r->n_healthy)
        dm_buf_printf(out, "; %zu not healthy", r->n_listed - r->n_healthy);
}

void dm_verdict_insufficient(struct dm_verdict *v, const struct dm_txn *t, const struct dm_resource *r,
                             size_t needed, size_t reusable, size_t free_devices) {
    size_t rest = needed > reusable ? needed - reusable : 0;
    DM_FREE char *inner = r->n_healthy ? dm_printf(DM_TEXT_UNAVAILABLE, r->name, rest, free_devices)
                                       : dm_printf(DM_TEXT_NO_HEALTHY, r->name);
    struct dm_buf detail = {0};
    where(&detail, t);
    dm_buf_printf(&detail, "%zu wanted, %zu of %zu free", needed, free_devices, r->n_listed);
    if (reusable)
        dm_buf_printf(&detail, " and %zu left by its init containers", reusable);
    dm_verdict_name_holders(&detail, r);
    dm_buf_puts(&detail, needed > r->n_listed
                             ? "; the plugin does not list that many: ask for fewer, or add devices"
                             : "; admit again when enough are free, or release a pod that ended");
    fill(v, t, DEVMGR_INSUFFICIENT_DEVICES, inner, &detail);
    v->need = rest;
}

void dm_verdict_locality(struct dm_verdict *v) {
    free(v->message);
    v->message = dm_strdup(DM_TEXT_NO_AFFINITY);
    v->locality = true;
}

void dm_verdict_affinity(struct dm_verdict *v, const struct dm_txn *t, bool pod, int cause,
                         const char *detail) {
    const struct dm_pod_container *c = pod ? NULL : dm_txn_container(t);
    char title[600];
    dm_pod_title(t->pod, title, sizeof title);
    *v = (struct dm_verdict){.verdict = verdict_of(cause), .cause = cause};
    v->detail = c ? dm_printf("pod %s, container %s: %s", title, c->name, detail)
                  : dm_printf("pod %s: %s", title, detail);
    dm_text_one_line(v->detail); /* names from the embedder's providers are in it */
    v->container = c ? dm_strdup(c->name) : NULL;
    dm_verdict_locality(v);
}

/* ---- calls ------------------------------------------------------------------------------------------------------------- */

void dm_verdict_plugin_error(struct dm_verdict *v, const struct dm_txn *t, const struct dm_open_call *call,
                             const struct dm_status *status) {
    const struct dm_resource *r = call->resource;
    const char *rpc = call->call.rpc == DM_RPC_PREFERRED ? "GetPreferredAllocation" : "Allocate";
    DM_FREE char *plain = dm_printf(DM_TEXT_RPC, dm_code_name(status->code), status->message);
    DM_FREE char *inner =
        call->call.rpc == DM_RPC_PREFERRED ? dm_printf(DM_TEXT_PREFERRED, plain) : dm_strdup(plain);
    const char *socket = r->socket ? r->socket : "?";
    if (status->code == DM_UNAVAILABLE || !r->connected || r->generation != call->call.generation)
        dm_verdict_make(v, t, DEVMGR_PLUGIN_GONE, inner,
                        "its plugin (%s) went away during %s: %s; admit again when the plugin is back",
                        socket, rpc, status->message);
    else if (status->code == DM_DEADLINE_EXCEEDED)
        dm_verdict_make(
            v, t, DEVMGR_PLUGIN_TIMEOUT, inner,
            "its plugin (%s) did not answer %s in time; look at the plugin, or raise allocate-timeout@%s",
            socket, rpc, r->name);
    else if (status->unusable)
        dm_verdict_make(
            v, t, DEVMGR_PLUGIN_BAD_ANSWER, inner,
            "its plugin (%s) answered %s with what cannot be used: %s; report that to its authors", socket,
            rpc, status->message);
    else
        dm_verdict_make(v, t, DEVMGR_PLUGIN_ERROR, inner,
                        "its plugin (%s) failed %s with %s: %s; the plugin's log says more", socket, rpc,
                        dm_code_name(status->code), status->message);
}

void dm_verdict_queue_timeout(struct dm_verdict *v, const struct dm_txn *t) {
    const struct dm_resource *r = t->resource;
    const struct dm_txn *ahead = dm_queue_ahead(r->queue);
    DM_FREE char *inner = dm_printf(DM_SAY_QUEUED, r->name);
    DM_FREE char *busy = NULL;
    char title[600];
    if (!ahead || ahead == t)
        busy = dm_strdup(ahead ? "was too slow with the calls before"
                               : "still works for a pod that was canceled");
    else if (ahead->resource == r)
        busy = dm_printf("still works for %s", dm_pod_title(ahead->pod, title, sizeof title));
    else
        busy = dm_printf("waits for that of %s (serial = node), which still works for %s",
                         ahead->resource->name, dm_pod_title(ahead->pod, title, sizeof title));
    dm_verdict_make(v, t, DEVMGR_PLUGIN_TIMEOUT, inner,
                    "its plugin (%s) %s, and the time in its queue is over; look at the plugin, or raise "
                    "allocate-timeout@%s",
                    r->socket ? r->socket : "?", busy, r->name);
}
