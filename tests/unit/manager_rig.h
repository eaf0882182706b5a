/* manager_rig.h -- plays plugin, disk and embedder against the manager, in one line each.
 *
 *   struct rig *g = rig_new(NULL);
 *   rig_plugin(g, "x.y/gpu", "g0 g1 g2-", "");         connected and listed; g2 is Unhealthy
 *   struct outcome *o = rig_admit(g, "a", "main x.y/gpu=2");
 *   CHECK_STR(o->claims, "main x.y/gpu g0+ g1+");       + : is_new
 *
 * Calls and saves are answered at once unless g->hold_calls, g->hold_saves say that the test does it. Every drain ends
 * with dm_manager_check. A plugin's answer is text, see rig_decode. */
#ifndef MANAGER_RIG_H
#define MANAGER_RIG_H
#include "base/mem.h"
#include "base/text.h"
#include "check.h"
#include "manager/manager.h"
#include "topology/policy.h"
#include <stdlib.h>

#define RIG_USED __attribute__((unused))

struct outcome { /* of one admission, options or done callback */
    int told;    /* how often it was called */
    int verdict, cause, status;
    char claims[2000], detail[1500], reason[64], message[700], container[64], resource[64], error[1020];
    char uids[500];     /* of a done */
    char options[2000]; /* "env A=1 mount /c=/h" */
    uint64_t retry_after, revision;
    size_t n_claims;
};
struct rig_call {
    uint64_t id, generation, timeout;
    int rpc;
    char resource[64], ids[2000], must[500];
    uint32_t size;
    int open, canceled;
};
struct rig {
    struct dm_settings settings;
    struct dm_topology topology; /* of the settings; numa "": one node 0 */
    struct dm_manager *m;
    uint64_t mono, unix_us, generations;
    int hold_calls, hold_saves, fail_saves, in_drain, unchecked;
    const char *answer;                /* of Allocate; NULL: "env IDS=<ids>" */
    struct dm_snapshot *saving, *disk; /* handed out, not answered; last one that was saved */
    bool saving_durable, disk_durable;
    int n_saves, n_durable;
    struct rig_call calls[1024];
    size_t n_calls;
    char events[16000]; /* "admitted a; ..." */
    struct outcome outcomes[1024];
    size_t n_outcomes;
    uint64_t last_revision;
};

/* ---- the plugin's answers: lines "env N=V", "ann N=V", "mount C=H", "dev C=H", "cdi N"; "bad" cannot be decoded ----- */

RIG_USED static int rig_decode(struct dm_span bytes, struct dm_answer **ret, devmgr_error *reterr) {
    DM_FREE char *text = dm_strndup((const char *)bytes.data, bytes.len);
    if (!strcmp(text, "bad"))
        return dm_error_set(reterr, -EBADMSG, "not a message");
    struct dm_answer *a = DM_NEW(struct dm_answer);
    size_t room = bytes.len + 1;
    a->envs = dm_alloc_array(room, sizeof *a->envs),
    a->annotations = dm_alloc_array(room, sizeof *a->annotations);
    a->mounts = dm_alloc_array(room, sizeof *a->mounts),
    a->devices = dm_alloc_array(room, sizeof *a->devices);
    a->cdi_devices = dm_alloc_array(room, sizeof *a->cdi_devices);
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *name = strchr(line, ' ') + 1, *value = strchr(name, '=');
        if (value)
            *value++ = 0;
        if (!strncmp(line, "env ", 4))
            a->envs[a->n_envs++] = (devmgr_pair){dm_strdup(name), dm_strdup(value)};
        else if (!strncmp(line, "ann ", 4))
            a->annotations[a->n_annotations++] = (devmgr_pair){dm_strdup(name), dm_strdup(value)};
        else if (!strncmp(line, "mount ", 6))
            a->mounts[a->n_mounts++] = (devmgr_mount){dm_strdup(name), dm_strdup(value), 0};
        else if (!strncmp(line, "dev ", 4))
            a->devices[a->n_devices++] =
                (devmgr_device_node){dm_strdup(name), dm_strdup(value), dm_strdup("rw")};
        else
            a->cdi_devices[a->n_cdi_devices++] = dm_strdup(name);
    }
    *ret = a;
    return 0;
}

/* ---- what comes out --------------------------------------------------------------------------------------------------- */

RIG_USED static void rig_add(char *at, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
RIG_USED static void rig_add(char *at, size_t size, const char *format, ...) {
    size_t n = strlen(at);
    va_list ap;
    va_start(ap, format);
    vsnprintf(at + n, size - n, format, ap);
    va_end(ap);
}

RIG_USED static void rig_claims(char *out, size_t size, const devmgr_claim *const *claims, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const devmgr_claim *c = claims[i], *before = i ? claims[i - 1] : NULL;
        if (!before || strcmp(before->container, c->container) || strcmp(before->resource, c->resource))
            rig_add(out, size, "%s%s %s", before ? "; " : "", c->container, c->resource);
        rig_add(out, size, " %s%s", c->device, c->is_new ? "+" : "");
    }
}

RIG_USED static void rig_on_admit(void *arg, const devmgr_admission *r) {
    struct outcome *o = arg;
    o->told++;
    o->verdict = r->verdict, o->cause = r->cause, o->retry_after = r->retry_after_ms,
    o->n_claims = r->n_claims;
    rig_claims(o->claims, sizeof o->claims, r->claims, r->n_claims);
    snprintf(o->detail, sizeof o->detail, "%s", r->detail);
    snprintf(o->reason, sizeof o->reason, "%s", r->reason);
    snprintf(o->message, sizeof o->message, "%s", r->message);
    snprintf(o->container, sizeof o->container, "%s", r->container ? r->container : "-");
    snprintf(o->resource, sizeof o->resource, "%s", r->resource ? r->resource : "-");
    o->revision = r->pod ? r->pod->revision : 0;
}

RIG_USED static void rig_on_done(void *arg, int status, const char *const *uids, size_t n,
                                 const devmgr_error *err) {
    struct outcome *o = arg;
    o->told++;
    o->status = status;
    for (size_t i = 0; i < n; i++)
        rig_add(o->uids, sizeof o->uids, "%s%s", i ? " " : "", uids[i]);
    snprintf(o->error, sizeof o->error, "%s", err ? err->message : "");
}

RIG_USED static void rig_on_options(void *arg, int status, const devmgr_options *x, const devmgr_error *err) {
    struct outcome *o = arg;
    o->told++;
    o->status = status;
    snprintf(o->error, sizeof o->error, "%s", err ? err->message : "");
    for (size_t i = 0; x && i < x->n_envs; i++)
        rig_add(o->options, sizeof o->options, "env %s=%s ", x->envs[i]->name, x->envs[i]->value);
    for (size_t i = 0; x && i < x->n_annotations; i++)
        rig_add(o->options, sizeof o->options, "ann %s=%s ", x->annotations[i]->name,
                x->annotations[i]->value);
    for (size_t i = 0; x && i < x->n_mounts; i++)
        rig_add(o->options, sizeof o->options, "mount %s=%s ", x->mounts[i]->container_path,
                x->mounts[i]->host_path);
    for (size_t i = 0; x && i < x->n_devices; i++)
        rig_add(o->options, sizeof o->options, "dev %s=%s ", x->devices[i]->container_path,
                x->devices[i]->host_path);
    for (size_t i = 0; x && i < x->n_cdi_devices; i++)
        rig_add(o->options, sizeof o->options, "cdi %s ", x->cdi_devices[i]);
}

static void rig_on_event(struct rig *g, const devmgr_event *e) {
    static const char *const health[] = {"Healthy", "Unhealthy", "Unknown", "Missing"};
    static const char *const plugin[] = {"starting", "connected", "gone", "removed"};
    if (e->revision <= g->last_revision)
        CHECK_FAIL("revision %llu after %llu", (unsigned long long)e->revision,
                   (unsigned long long)g->last_revision);
    g->last_revision = e->revision;
    if (strlen(g->events) > sizeof g->events - 2000)
        g->events[0] = 0;
    if (e->type == DEVMGR_EV_RESOURCE)
        rig_add(g->events, sizeof g->events, "resource %s %llu/%llu %s; ", e->resource,
                (unsigned long long)e->changed->capacity, (unsigned long long)e->changed->allocatable,
                plugin[e->changed->plugin]);
    else if (e->type == DEVMGR_EV_CLAIM_HEALTH)
        rig_add(g->events, sizeof g->events, "health %s/%s %s %s; ", e->claim->pod_uid, e->claim->container,
                e->claim->device, health[e->claim->health]);
    else if (e->type == DEVMGR_EV_ADMITTED)
        rig_add(g->events, sizeof g->events, "admitted %s; ", e->pod_uid);
    else if (e->type == DEVMGR_EV_RELEASED)
        rig_add(g->events, sizeof g->events, "released %s%s; ", e->pod_uid, e->pod ? " in part" : "");
    else if (e->type == DEVMGR_EV_PLUGIN)
        rig_add(g->events, sizeof g->events, "plugin %s: %s; ", e->resource, e->message);
    else
        rig_add(g->events, sizeof g->events, "log %d %s; ", e->level, e->message);
}

static void rig_on_call(struct rig *g, const struct dm_call *c) {
    struct rig_call *r = &g->calls[g->n_calls++];
    if (g->n_calls == DM_COUNT(g->calls))
        abort();
    *r = (struct rig_call){.id = c->id,
                           .generation = c->generation,
                           .timeout = c->timeout_ms,
                           .rpc = (int)c->rpc,
                           .size = c->size,
                           .open = 1};
    snprintf(r->resource, sizeof r->resource, "%s", c->resource);
    for (size_t i = 0; i < c->n_ids; i++)
        rig_add(r->ids, sizeof r->ids, "%s%s", i ? " " : "", c->ids[i]);
    for (size_t i = 0; i < c->n_must; i++)
        rig_add(r->must, sizeof r->must, "%s%s", i ? " " : "", c->must[i]);
}

/* ---- the drain ---------------------------------------------------------------------------------------------------------- */

RIG_USED static struct rig_call *rig_call_at(struct rig *g, size_t from_last) {
    return from_last < g->n_calls ? &g->calls[g->n_calls - 1 - from_last] : NULL;
}
RIG_USED static struct rig_call *rig_last(struct rig *g) {
    if (!g->n_calls)
        CHECK_FAIL("no call was made");
    return rig_call_at(g, 0);
}
static void rig_drain(struct rig *g);

/* Answers without draining. `text`: the answer, the ids of PREFERRED, or the status message. */
static void rig_reply(struct rig *g, struct rig_call *c, int code, const char *text) {
    const char *ids[256];
    char copy[2000];
    struct dm_call_result r = {.id = c->id, .status = {code, code ? text : ""}};
    c->open = 0;
    snprintf(copy, sizeof copy, "%s", text ? text : "");
    if (code == 0 && c->rpc == DM_RPC_PREFERRED) {
        char *save = NULL;
        for (char *id = strtok_r(copy, " ", &save); id; id = strtok_r(NULL, " ", &save))
            ids[r.n_ids++] = id;
        r.ids = ids;
    } else if (code == 0 && c->rpc == DM_RPC_ALLOCATE && text) {
        r.n_containers = 1;
        r.answer = (struct dm_span){(const uint8_t *)copy, strlen(copy)};
    }
    dm_manager_answered(g->m, &r);
}
RIG_USED static void rig_answer(struct rig *g, struct rig_call *c, int code, const char *text) {
    rig_reply(g, c, code, text);
    rig_drain(g);
}

static void rig_auto(struct rig *g) {
    for (size_t i = 0; i < g->n_calls && !g->hold_calls; i++)
        if (g->calls[i].open) {
            DM_FREE char *text = g->answer ? dm_strdup(g->answer) : dm_printf("env IDS=%s", g->calls[i].ids);
            rig_reply(g, &g->calls[i], 0, g->calls[i].rpc == DM_RPC_ALLOCATE ? text : "");
            i = (size_t)-1; /* there may be new ones */
        }
}

RIG_USED static void rig_saved(struct rig *g, int status) {
    devmgr_error err;
    struct dm_snapshot *s = DM_MOVE(g->saving);
    if (!s)
        CHECK_FAIL("no save is open");
    dm_error_set(&err, status, "no space left on device");
    dm_manager_saved(g->m, status, status < 0 ? &err : NULL);
    if (status < 0) {
        dm_snapshot_free(s);
        return;
    }
    dm_snapshot_free(g->disk);
    g->disk = s;
    g->disk_durable = g->saving_durable;
    g->n_saves++;
    g->n_durable += g->saving_durable;
}

static int rig_step(struct rig *g) {
    struct dm_action a;
    if (!dm_manager_next(g->m, &a))
        return 0;
    if (a.kind == DM_DO_CALL)
        rig_on_call(g, a.call);
    else if (a.kind == DM_DO_ANSWER)
        dm_answer_deliver(a.answer);
    else if (a.kind == DM_DO_EVENT)
        rig_on_event(g, a.event);
    else if (a.kind == DM_DO_SAVE) {
        if (g->saving)
            CHECK_FAIL("two saves at once");
        g->saving = a.snapshot, g->saving_durable = a.durable;
    } else
        for (size_t i = 0; i < g->n_calls; i++)
            g->calls[i].canceled |= g->calls[i].id == a.cancel;
    return 1;
}

static void rig_drain(struct rig *g) {
    if (g->in_drain++)
        return;
    for (int more = 1; more;) {
        more = 0;
        while (rig_step(g))
            more = 1;
        if (!g->unchecked)
            dm_manager_check(g->m);
        if (g->saving && !g->hold_saves) {
            rig_saved(g, g->fail_saves > 0 ? (g->fail_saves--, -ENOSPC) : 0);
            more = 1;
        }
        size_t n = g->n_calls, open = 0;
        for (size_t i = 0; i < n; i++)
            open += g->calls[i].open != 0;
        if (open && !g->hold_calls)
            rig_auto(g), more = 1;
    }
    g->in_drain = 0;
}

/* ---- what goes in --------------------------------------------------------------------------------------------------------- */

RIG_USED static void rig_topology(struct rig *g) {
    const struct dm_settings *s = &g->settings;
    struct dm_numa numa;
    if (dm_numa_parse(*s->numa ? s->numa : "0", &numa, NULL) < 0 ||
        dm_topology_parse(s->topology_policy, s->topology_scope, s->topology_options, &numa, &g->topology,
                          NULL) < 0)
        abort();
}

RIG_USED static struct rig *rig_new(const char *settings) { /* "key=value key=value" */
    struct rig *g = DM_NEW(struct rig);
    char copy[500], *save = NULL;
    dm_settings_init(&g->settings);
    snprintf(copy, sizeof copy, "%s", settings ? settings : "");
    for (char *kv = strtok_r(copy, " ", &save); kv; kv = strtok_r(NULL, " ", &save)) {
        char *value = strchr(kv, '=');
        *value++ = 0;
        if (dm_settings_set(&g->settings, kv, value, NULL) < 0)
            abort();
    }
    g->mono = 1000000;
    g->unix_us = UINT64_C(1700000000000000);
    rig_topology(g);
    g->m = dm_manager_new(&g->settings, rig_decode, g->mono, g->unix_us);
    dm_manager_topology(g->m, &g->topology);
    return g;
}

RIG_USED static void rig_free(struct rig *g) {
    dm_snapshot_free(g->saving), dm_snapshot_free(g->disk);
    dm_manager_free(g->m);
    dm_settings_free(&g->settings);
    free(g);
}

/* The process ends and comes back with what was saved last. */
RIG_USED static void rig_restart(struct rig *g, enum dm_start start) {
    struct dm_snapshot *none = dm_snapshot_new();
    dm_snapshot_free(DM_MOVE(g->saving));
    dm_manager_free(g->m);
    g->mono += 1000, g->unix_us += 1000000;
    g->n_calls = 0, g->events[0] = 0;
    g->m = dm_manager_new(&g->settings, rig_decode, g->mono, g->unix_us);
    dm_manager_topology(g->m, &g->topology);
    dm_manager_restore(g->m, g->disk ? g->disk : none, start);
    dm_snapshot_free(none);
    rig_drain(g);
}

/* Time passes; whatever is due in between happens. */
RIG_USED static void rig_pass(struct rig *g, uint64_t ms) {
    uint64_t end = g->mono + ms;
    for (int i = 0; g->mono < end; i++) {
        uint64_t wake = dm_manager_wake(g->m), to = wake < end ? wake : end;
        if (i > 10000)
            CHECK_FAIL("wakes for ever");
        g->unix_us += (to > g->mono ? to - g->mono : 0) * 1000;
        g->mono = to > g->mono ? to : g->mono;
        dm_manager_time(g->m, g->mono, g->unix_us);
        dm_manager_tick(g->m);
        rig_drain(g);
    }
}

/* options: "prestart", "preferred". Returns the generation. */
RIG_USED static uint64_t rig_connect(struct rig *g, const char *resource, const char *options) {
    struct dm_endpoint_info info = {resource,
                                    ++g->generations,
                                    "plugin.sock",
                                    7,
                                    strstr(options, "prestart") != NULL,
                                    strstr(options, "preferred") != NULL};
    devmgr_error err = {0};
    if (dm_manager_connected(g->m, &info, &err) < 0)
        CHECK_FAIL("connected: %s", err.message);
    rig_drain(g);
    return g->generations;
}

/* "g0 g1- g2@0 g3-@0,1": - is Unhealthy, @ the nodes. */
RIG_USED static void rig_list_as(struct rig *g, const char *resource, uint64_t generation,
                                 const char *devices) {
    struct dm_listed_device rows[300];
    struct dm_device_list list = {0, rows};
    char copy[4000], *save = NULL;
    snprintf(copy, sizeof copy, "%s", devices);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        struct dm_listed_device *d = &rows[list.n++];
        char *nodes = strchr(word, '@');
        *d = (struct dm_listed_device){word, true, nodes != NULL, 0};
        if (nodes)
            for (char *p = nodes; *p; p++)
                d->numa |= *p >= '0' && *p <= '9' ? UINT64_C(1) << (*p - '0') : 0;
        if (nodes)
            *nodes = 0;
        if (word[strlen(word) - 1] == '-') {
            word[strlen(word) - 1] = 0;
            d->healthy = false;
        }
    }
    dm_manager_listed(g->m, resource, generation, &list);
    rig_drain(g);
}
RIG_USED static void rig_list(struct rig *g, const char *resource, const char *devices) {
    uint64_t newest = 0;
    newest = g->generations;
    rig_list_as(g, resource, newest, devices);
}
RIG_USED static uint64_t rig_plugin(struct rig *g, const char *resource, const char *devices,
                                    const char *options) {
    uint64_t generation = rig_connect(g, resource, options);
    rig_list_as(g, resource, generation, devices);
    return generation;
}
RIG_USED static void rig_gone(struct rig *g, const char *resource, uint64_t generation) {
    dm_manager_gone(g->m, resource, generation, "end of stream");
    rig_drain(g);
}

/* "main x.y/gpu=2 x.y/nic=1; init:setup x.y/gpu=1; side:proxy; main*" (* running, main@0,1: affinity) */
RIG_USED static devmgr_pod *rig_pod(const char *uid, const char *spec, uint64_t wait_ms) {
    devmgr_pod *p = devmgr_pod_new(uid, "default", uid);
    char copy[2000], *save = NULL, *inner;
    snprintf(copy, sizeof copy, "%s", spec);
    for (char *part = strtok_r(copy, ";", &save); part; part = strtok_r(NULL, ";", &save)) {
        char *name = strtok_r(part, " ", &inner), *word;
        int kind = DEVMGR_APP;
        if (!strncmp(name, "init:", 5))
            kind = DEVMGR_PLAIN_INIT, name += 5;
        else if (!strncmp(name, "side:", 5))
            kind = DEVMGR_SIDECAR, name += 5;
        char *at = strchr(name, '@'), *star = strchr(name, '*');
        uint64_t nodes = 0;
        for (char *c = at; c && *c; c++)
            nodes |= *c >= '0' && *c <= '9' ? UINT64_C(1) << (*c - '0') : 0;
        if (at)
            *at = 0;
        if (star)
            *star = 0;
        devmgr_pod_container(p, name, kind);
        if (star)
            devmgr_pod_running(p, name);
        if (at)
            devmgr_pod_affinity(p, name, nodes);
        while ((word = strtok_r(NULL, " ", &inner))) {
            char *count = strchr(word, '=');
            *count++ = 0;
            devmgr_pod_limit(p, name, word, strtoull(count, NULL, 10));
        }
    }
    devmgr_pod_wait(p, wait_ms);
    return p;
}

RIG_USED static struct outcome *rig_outcome(struct rig *g) {
    struct outcome *o = &g->outcomes[g->n_outcomes++];
    if (g->n_outcomes == DM_COUNT(g->outcomes))
        abort();
    *o = (struct outcome){.verdict = -1, .cause = -1};
    return o;
}
RIG_USED static struct outcome *rig_admit_waiting(struct rig *g, const char *uid, const char *spec,
                                                  uint64_t wait_ms) {
    struct outcome *o = rig_outcome(g);
    devmgr_pod *p = rig_pod(uid, spec, wait_ms);
    devmgr_error err = {0};
    int rc = dm_manager_admit(g->m, p, rig_on_admit, o, &err);
    devmgr_pod_free(p);
    if (rc < 0)
        CHECK_FAIL("admit: %s", err.message);
    if (o->told)
        CHECK_FAIL("answered inside the call");
    rig_drain(g);
    return o;
}
RIG_USED static struct outcome *rig_admit(struct rig *g, const char *uid, const char *spec) {
    return rig_admit_waiting(g, uid, spec, 0);
}
RIG_USED static struct outcome *rig_options(struct rig *g, const char *uid, const char *container,
                                            unsigned flags) {
    struct outcome *o = rig_outcome(g);
    if (dm_manager_options(g->m, uid, container, flags, rig_on_options, o) < 0)
        CHECK_FAIL("options failed at once");
    rig_drain(g);
    return o;
}
RIG_USED static struct outcome *rig_release(struct rig *g, const char *uid, const char *container) {
    struct outcome *o = rig_outcome(g);
    if (dm_manager_release(g->m, uid, container, rig_on_done, o) < 0)
        CHECK_FAIL("release failed at once");
    rig_drain(g);
    return o;
}
RIG_USED static struct outcome *rig_init_done(struct rig *g, const char *uid) {
    struct outcome *o = rig_outcome(g);
    if (dm_manager_init_done(g->m, uid, rig_on_done, o) < 0)
        CHECK_FAIL("init_done failed at once");
    rig_drain(g);
    return o;
}
RIG_USED static struct outcome *rig_sync(struct rig *g, const char *uids, uint64_t as_of, unsigned flags) {
    struct outcome *o = rig_outcome(g);
    const char *list[256];
    size_t n = 0;
    char copy[4000], *save = NULL;
    snprintf(copy, sizeof copy, "%s", uids);
    for (char *uid = strtok_r(copy, " ", &save); uid; uid = strtok_r(NULL, " ", &save))
        list[n++] = uid;
    if (dm_manager_sync(g->m, list, n, as_of, flags, rig_on_done, o) < 0)
        CHECK_FAIL("sync failed at once");
    rig_drain(g);
    return o;
}

/* ---- looking ------------------------------------------------------------------------------------------------------------------ */

static int rig_see_resource(void *arg, const devmgr_resource *r) {
    static const char *const plugin[] = {"starting", "connected", "gone", "removed"};
    rig_add(arg, 2000, "%s%s %llu/%llu held %llu reserved %llu %s", *(char *)arg ? "; " : "", r->name,
            (unsigned long long)r->capacity, (unsigned long long)r->allocatable, (unsigned long long)r->held,
            (unsigned long long)r->reserved, plugin[r->plugin]);
    return 0;
}
RIG_USED static const char *rig_resources(struct rig *g) { /* "x.y/gpu 4/3 held 1 reserved 0 connected" */
    static char out[2000];
    out[0] = 0;
    dm_manager_each_resource(g->m, rig_see_resource, out);
    return out;
}
static int rig_see_claim(void *arg, const devmgr_claim *c) {
    static const char *const health[] = {"", "-", "?", "!"};
    rig_add(arg, 4000, "%s%s/%s %s%s", *(char *)arg ? "; " : "", c->pod_uid, c->container, c->device,
            health[c->health]);
    return 0;
}
RIG_USED static const char *
rig_held(struct rig *g) { /* "a/main g0; a/main g1-": - Unhealthy ? Unknown ! Missing */
    static char out[4000];
    out[0] = 0;
    dm_manager_each_claim(g->m, NULL, rig_see_claim, out);
    return out;
}
static int rig_see_numa(void *arg, const devmgr_claim *c) {
    rig_add(arg, 4000, "%s:%llx ", c->device, (unsigned long long)c->numa);
    return 0;
}
RIG_USED static const char *rig_numa(struct rig *g, const char *uid) { /* "a0:1 a1:3 " */
    static char out[4000];
    out[0] = 0;
    dm_manager_each_claim(g->m, uid, rig_see_numa, out);
    return out;
}
RIG_USED static const char *rig_disk(struct rig *g) { /* the claims on disk: "a/main x.y/gpu -1:g0,g1" */
    static char out[4000];
    out[0] = 0;
    for (size_t i = 0; g->disk && i < g->disk->n_claims; i++) {
        const struct dm_saved_claim *c = g->disk->claims[i];
        rig_add(out, sizeof out, "%s%s/%s %s", i ? "; " : "", c->pod_uid, c->container, c->resource);
        for (size_t k = 0; k < c->n_nodes; k++) {
            rig_add(out, sizeof out, " %d:", (int)c->nodes[k].node);
            for (size_t j = 0; j < c->nodes[k].n; j++)
                rig_add(out, sizeof out, "%s%s", j ? "," : "", c->nodes[k].ids[j]);
        }
    }
    return out;
}
#endif
