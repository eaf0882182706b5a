/* calls.c -- the calls of a life, each with what is known after it. */
#include "control/calls.h"
#include "base/mem.h"
#include "pods.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { MOST_DEVICES = 16, EXCHANGE_MS = 5000 };

/* ---- plugins ----------------------------------------------------------------------------------------------------- */

struct state {
    const char *resource;
    int plugin, allocatable;
};

static int visit_state(void *arg, const devmgr_resource *r) {
    struct state *s = arg;
    if (!strcmp(r->name, s->resource))
        s->plugin = r->plugin, s->allocatable = (int)r->allocatable;
    return 0;
}

static int ask_state(struct dm_client *c, void *arg, devmgr_error *err) {
    ((struct state *)arg)->plugin = -1;
    return dm_client_each_resource(c, visit_state, arg, err);
}

/* Connected and listed, registered anew when it was lost. False: not while the fault lasts. */
bool enrol(struct life *l, struct plugin *p) {
    devmgr_error err;
    struct state s = {.resource = p->resource};
    uint64_t end = now_ms() + SETTLE_MS;
    for (int tries = 0; now_ms() < end;) {
        if (!talk(l->n, p->resource, ask_state, &s, &err))
            return false;
        if (s.plugin == DEVMGR_CONNECTED && s.allocatable == p->devices)
            return true;
        if (s.plugin != DEVMGR_STARTING && s.plugin != DEVMGR_CONNECTED) {
            bool taken = plugin_register(l->n, p);
            if (!taken && !trouble(l->n))
                lost(l->n, "%s: Register failed: %s", p->resource, p->line);
            if (!taken && outage(l->n))
                return false;
            if (++tries > TRIES && !outage(l->n))
                lost(l->n, "%s: cannot register any more: %s", p->resource, p->line);
        }
        if (outage(l->n) && now_ms() + SETTLE_MS > end + 500)
            return false;
        nap(1);
    }
    lost(l->n, "%s: registered, and not connected with %d devices (state %d, %d)", p->resource, p->devices,
         s.plugin, s.allocatable);
}

void enrol_all(struct life *l) {
    for (int i = 0; i < PLUGINS; i++)
        enrol(l, &l->n->plugins[i]);
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

static void manifest_of(const struct pod *p, char *out, size_t size) {
    snprintf(out, size, "{apiVersion: v1, kind: Pod, metadata: {name: %s}, spec: {%s}}", p->name, p->spec);
}

struct request {
    struct life *l;
    struct pod *pod;
    const char *uid, *container;
    char *record;
    char options[256];
    size_t n;
    bool ok;
};

static int take_record(void *arg, struct dm_arena *a, const void *response, bool *bad) {
    const PB(ClaimRecordResponse) *m = response;
    struct request *q = arg;
    snprintf(q->record, sizeof q->pod->records[0], "%s", dm_decode_text(a, m->record, bad));
    return 0;
}

static int exchange(struct dm_client *c, const char *method, const void *request,
                    const ProtobufCMessageDescriptor *response,
                    int (*take)(void *, struct dm_arena *, const void *, bool *), void *arg,
                    devmgr_error *err) {
    const struct dm_exchange x = {.method = method,
                                  .request = request,
                                  .response = response,
                                  .timeout_ms = EXCHANGE_MS,
                                  .take = take,
                                  .arg = arg};
    return dm_client_exchange(c, &x, err);
}

static int ask_record(struct dm_client *c, void *arg, devmgr_error *err) {
    struct request *q = arg;
    PB(ClaimRecordRequest) m = DEVMGR__V1ALPHA1__CLAIM_RECORD_REQUEST__INIT;
    m.pod_uid = dm_pb_text(q->uid), m.container = dm_pb_text(q->container);
    return exchange(c, "ClaimRecord", &m, &devmgr__v1alpha1__claim_record_response__descriptor, take_record,
                    q, err);
}

/* What a runtime keeps beside each container. */
static void keep_records(struct life *l, struct pod *p) {
    DM_FREE char *uid = dm_printf("default_%s", p->name);
    devmgr_error err;
    for (int i = 0; i < CONTAINERS && p->is == HELD && *p->devices && p->containers[i]; i++) {
        struct request q = {
            .l = l, .pod = p, .uid = uid, .container = p->containers[i], .record = p->records[i]};
        step(l->n, "record of %s, %s", uid, q.container);
        if (!*p->records[i])
            talk(l->n, "record", ask_record, &q, &err);
    }
}

static int take_nothing(void *arg, struct dm_arena *a, const void *response, bool *bad) {
    (void)arg, (void)a, (void)response, (void)bad;
    return 0;
}

static int ask_adopt(struct dm_client *c, void *arg, devmgr_error *err) {
    struct request *q = arg;
    char manifest[1024];
    PB(AdoptRequest) m = DEVMGR__V1ALPHA1__ADOPT_REQUEST__INIT;
    PB(Pod) pod = DEVMGR__V1ALPHA1__POD__INIT;
    manifest_of(q->pod, manifest, sizeof manifest);
    pod.manifest = dm_pb_text(manifest);
    m.pod = &pod, m.container = dm_pb_text(q->container), m.record = dm_pb_text(q->record);
    return exchange(c, "Adopt", &m, &devmgr__v1alpha1__adopt_response__descriptor, take_nothing, q, err);
}

void adopt_all(struct life *l) {
    devmgr_error err;
    for (struct pod *p = l->pods; p < l->pods + PODS; p++)
        for (int i = 0; i < CONTAINERS && p->is == HELD && *p->devices && p->containers[i]; i++) {
            struct request q = {.l = l, .pod = p, .container = p->containers[i], .record = p->records[i]};
            step(l->n, "adopting %s, %s", p->name, q.container);
            if (!*q.record || !talk(l->n, "adopt", ask_adopt, &q, &err))
                p->is = UNSURE;
        }
}

/* ---- admissions -------------------------------------------------------------------------------------------------- */

static int visit_admission(void *arg, const struct dm_admission *a) {
    struct admission *ret = arg;
    char *parts[MOST_DEVICES];
    size_t n = 0;
    ret->answered = true;
    ret->verdict = a->result->verdict, ret->cause = a->result->cause;
    snprintf(ret->detail, sizeof ret->detail, "%s", a->result->detail);
    for (; n < a->result->n_claims && n < MOST_DEVICES; n++)
        parts[n] = dm_printf("%s %s %s", a->result->claims[n]->container, a->result->claims[n]->resource,
                             a->result->claims[n]->device);
    join(parts, n, ret->devices, sizeof ret->devices);
    return 0;
}

static int ask_admission(struct dm_client *c, void *arg, devmgr_error *err) {
    struct admission *a = arg;
    a->answered = false;
    int r = dm_client_admit(c, a->manifest, strlen(a->manifest), 0, visit_admission, a, err);
    return r < 0 || a->answered ? r : dm_error_set(err, -EIO, "no verdict");
}

static void take_verdict(struct life *l, struct pod *p, const struct admission *a) {
    DM_FREE char *name = dm_printf("default/%s", p->name);
    if (a->verdict == DEVMGR_ADMITTED) {
        if (p->is == HELD && strcmp(p->devices, a->devices))
            lost(l->n, "%s held \"%s\", is admitted again with \"%s\"", p->name, p->devices, a->devices);
        memcpy(p->devices, a->devices, sizeof p->devices);
        p->is = HELD;
        return;
    }
    said(p->name, a->detail);
    if (p->is == HELD)
        lost(l->n, "%s holds devices, and is told %s", p->name, a->detail);
    if (!strstr(a->detail, name))
        lost(l->n, "a verdict that does not name %s: %s", name, a->detail);
    if (p->is == ABSENT && a->cause == DEVMGR_NOT_DURABLE)
        p->is = UNSURE; /* only on disk, see (3) */
}

/* Asked once. False: no answer. The pod is as the answer says. */
bool ask(struct life *l, struct pod *p, struct admission *a) {
    devmgr_error err;
    *a = (struct admission){0};
    manifest_of(p, a->manifest, sizeof a->manifest);
    step(l->n, "admitting %s", p->name);
    enum is was = p->is;
    if (!talk(l->n, p->name, ask_admission, a, &err)) {
        if (was != HELD)
            p->is = UNSURE; /* it may have been begun */
        return false;
    }
    take_verdict(l, p, a);
    step(l->n, "looking after %s", p->name);
    bool perhaps_on_disk = p->is == UNSURE && was == ABSENT;
    if (perhaps_on_disk)
        p->is = ABSENT; /* in memory it holds nothing: at once */
    check_books(l);
    if (perhaps_on_disk)
        p->is = UNSURE;
    keep_records(l, p);
    return true;
}

/* It is admitted, at the latest after a few tries; while the fault goes on perhaps not. */
void admit(struct life *l, int which) {
    struct admission a = {0};
    for (int i = 0; i < TRIES; i++) {
        step(l->n, "registering for %s", l->pods[which].name);
        enrol_all(l);
        if (ask(l, &l->pods[which], &a) && a.verdict == DEVMGR_ADMITTED)
            return;
        if (!trouble(l->n))
            lost(l->n, "%s: %s", l->pods[which].name, a.detail);
        if (outage(l->n))
            return;
    }
    lost(l->n, "%s is not admitted after one failure: %s", l->pods[which].name, a.detail);
}

void refuse(struct life *l, int which) {
    struct admission a;
    if (ask(l, &l->pods[which], &a) && a.verdict == DEVMGR_ADMITTED)
        lost(l->n, "%s is admitted with \"%s\"", l->pods[which].name, a.devices);
}

/* ---- the other calls --------------------------------------------------------------------------------------------- */

static int visit_options(void *arg, const devmgr_options *o) {
    struct request *q = arg;
    char *parts[4];
    size_t n = 0;
    for (; n < o->n_envs && n < DM_COUNT(parts); n++)
        parts[n] = dm_printf("%s=%s", o->envs[n]->name, o->envs[n]->value);
    join(parts, n, q->options, sizeof q->options);
    return 0;
}

static int ask_options(struct dm_client *c, void *arg, devmgr_error *err) {
    struct request *q = arg;
    return dm_client_options(c, q->uid, q->container, 0, visit_options, q, err);
}

/* What the plugins answered for exactly these devices. */
static void wanted_options(const struct pod *p, const char *container, char *out, size_t size) {
    static const char *const resources[][2] = {{GPU, "gpu"}, {NIC, "nic"}};
    DM_FREE char *text = dm_strdup(p->devices);
    size_t len = 0;
    *out = 0;
    for (size_t i = 0; i < DM_COUNT(resources); i++) {
        DM_FREE char *begin = dm_printf("%s %s ", container, resources[i][0]);
        const char *sign = "=";
        for (char *at = strstr(text, begin); at; at = strstr(at + 1, begin), sign = ",") {
            const char *id = at + strlen(begin);
            len += (size_t)snprintf(out + len, size - len, "%s%s%.*s", *sign == '=' ? resources[i][1] : "",
                                    sign, (int)strcspn(id, ";"), id);
        }
        if (*sign == ',')
            len += (size_t)snprintf(out + len, size - len, ";");
    }
}

void tell_options(struct life *l, int which, const char *container) {
    DM_FREE char *uid = dm_printf("default_%s", l->pods[which].name);
    struct request q = {.l = l, .uid = uid, .container = container};
    char wanted[sizeof q.options];
    devmgr_error err;
    if (l->pods[which].is != HELD)
        return;
    step(l->n, "options of %s", uid);
    enrol_all(l); /* PreStartContainer needs its plugin */
    wanted_options(&l->pods[which], container, wanted, sizeof wanted);
    if (talk(l->n, "options", ask_options, &q, &err) && strcmp(q.options, wanted))
        lost(l->n, "%s, %s: options \"%s\", want \"%s\"", uid, container, q.options, wanted);
}

static int visit_released(void *arg, const char *uid) {
    (void)uid;
    ((struct request *)arg)->n++;
    return 0;
}

static int ask_release(struct dm_client *c, void *arg, devmgr_error *err) {
    struct request *q = arg;
    return dm_client_release(c, q->uid, visit_released, q, err);
}

void let_go(struct life *l, int which) {
    struct pod *p = &l->pods[which];
    DM_FREE char *uid = dm_printf("default_%s", p->name);
    struct request q = {.l = l, .uid = uid};
    devmgr_error err;
    if (p->is != HELD)
        return;
    step(l->n, "releasing %s", uid);
    p->is = UNSURE;
    if (talk(l->n, "release", ask_release, &q, &err))
        p->is = ABSENT;
    check_books(l);
}

static int ask_sync(struct dm_client *c, void *arg, devmgr_error *err) {
    struct request *q = arg;
    struct dm_info info;
    char *uids[PODS];
    size_t n = 0;
    int r = dm_client_info(c, &info, err);
    for (int i = 0; i < PODS && !q->uid; i++)
        if (q->l->pods[i].is == HELD)
            uids[n++] = dm_printf("default_%s", q->l->pods[i].name);
    if (r == 0)
        r = dm_client_sync(c, (const char *const *)uids, n, info.revision, 0, visit_released, q, err);
    while (n)
        free(uids[--n]);
    return r;
}

/* Who is not held is not there any more. `nobody`: none lives. */
void sync_all(struct life *l, bool nobody) {
    struct request q = {.l = l, .uid = nobody ? "" : NULL};
    devmgr_error err;
    step(l->n, nobody ? "syncing: nobody lives" : "syncing");
    for (int i = 0; i < PODS && nobody; i++)
        l->pods[i].is = UNSURE;
    bool done = talk(l->n, "sync", ask_sync, &q, &err);
    for (int i = 0; i < PODS && done; i++)
        if (l->pods[i].is == UNSURE)
            l->pods[i].is = ABSENT;
    check_books(l);
}

static int visit_event(void *arg, const devmgr_event *e) {
    struct request *q = arg;
    q->ok = e->type == DM_EVENT_SYNCED;
    return q->ok;
}

static int ask_watch(struct dm_client *c, void *arg, devmgr_error *err) {
    struct request *q = arg;
    int r = dm_client_watch(c, 3000, visit_event, q, err);
    return q->ok ? 0 : r < 0 ? r : dm_error_set(err, -EIO, "the watch ended");
}

static int visit_device(void *arg, const devmgr_device *d) {
    (void)d;
    ((struct request *)arg)->n++;
    return 0;
}

static int ask_devices(struct dm_client *c, void *arg, devmgr_error *err) {
    return dm_client_each_device(c, NULL, visit_device, arg, err);
}

static int take_check(void *arg, struct dm_arena *a, const void *response, bool *bad) {
    const PB(CheckResponse) *m = response;
    struct request *q = arg;
    q->ok = m->ok;
    snprintf(q->options, sizeof q->options, "%s", dm_decode_text(a, m->message, bad));
    return 0;
}

static int ask_check(struct dm_client *c, void *arg, devmgr_error *err) {
    PB(CheckRequest) m = DEVMGR__V1ALPHA1__CHECK_REQUEST__INIT;
    struct request *q = arg;
    int r = exchange(c, "Check", &m, &devmgr__v1alpha1__check_response__descriptor, take_check, q, err);
    return r < 0 || q->ok ? r : dm_error_set(err, -EAGAIN, "not healthy: %s", q->options);
}

bool healthy(struct life *l, devmgr_error *err) {
    struct request q = {.l = l};
    *err = (devmgr_error){0};
    daemon_look(l->n);
    return l->n->client && ask_check(l->n->client, &q, err) == 0;
}

void look_around(struct life *l) {
    struct request q = {.l = l};
    devmgr_error err;
    step(l->n, "looking at devices");
    talk(l->n, "devices", ask_devices, &q, &err);
    step(l->n, "watching");
    talk(l->n, "watch", ask_watch, &q, &err);
}

/* ---- the end ----------------------------------------------------------------------------------------------------- */

struct sum {
    int connected, held;
};

static int visit_sum(void *arg, const devmgr_resource *r) {
    struct sum *s = arg;
    s->held += (int)r->held;
    s->connected += r->plugin == DEVMGR_CONNECTED;
    return 0;
}

static int ask_sum(struct dm_client *c, void *arg, devmgr_error *err) {
    *(struct sum *)arg = (struct sum){0};
    return dm_client_each_resource(c, visit_sum, arg, err);
}

int plugins_there(struct life *l, int *held) {
    struct sum s;
    devmgr_error err;
    talk(l->n, "resources", ask_sum, &s, &err);
    *held = s.held;
    return s.connected;
}
