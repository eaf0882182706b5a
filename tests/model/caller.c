/* caller.c -- the caller of the world: asks, is told, and holds what it is told against the model.
 *
 * It keeps a record beside each container, as an embedder does, and adopts from it. */
#include "world.h"
#include <stdio.h>
#include <string.h>

/* ---- callbacks that are due ------------------------------------------------------------------------------------------- */

static struct asked *new_asked(struct world *w, enum asked_kind kind, int pod) {
    struct asked *a = DM_NEW(struct asked);
    a->w = w, a->kind = kind, a->pod = pod, a->serials = w->serials;
    a->next = w->asked;
    w->asked = a;
    return a;
}

/* The call failed: it must never be told. */
static void never(struct asked *a) {
    a->dead = true;
}

static void tell(struct asked *a) {
    if (a->dead)
        complain("a callback of a call that failed, or of a process that has ended");
    if (a->told++)
        complain("a callback for the second time");
    if (!a->w->draining)
        complain("a callback inside the call");
}

void caller_check_told(const struct world *w) {
    static const char *const kinds[] = {"admit", "options", "release", "release of a container",
                                        "sync",  "adopt"};
    for (const struct asked *a = w->asked; a; a = a->next)
        if (!a->dead && !a->told)
            complain("%s of %s is never answered", kinds[a->kind], a->pod < 0 ? "all" : pod_name(a->pod));
}

void caller_forget(struct world *w) {
    for (struct asked *a = w->asked, *next; a; a = next) {
        next = a->next;
        free(a);
    }
    w->asked = NULL;
}

void caller_free(struct world *w) {
    caller_forget(w);
    for (int p = 0; p < PODS; p++)
        for (int c = 0; c < CONTAINERS; c++)
            free(w->records[p][c]);
}

/* ---- admission ---------------------------------------------------------------------------------------------------------- */

static devmgr_pod *pod_of(int pod, const struct ask *ask) {
    devmgr_pod *p = devmgr_pod_new(pod_name(pod), "default", pod_name(pod));
    for (int c = 0; c < CONTAINERS; c++) {
        if (!(ask->named >> c & 1))
            continue;
        devmgr_pod_container(p, container_names[c], container_kinds[c]);
        if (ask->running >> c & 1)
            devmgr_pod_running(p, container_names[c]);
        if (ask->nodes)
            devmgr_pod_affinity(p, container_names[c], ask->nodes);
        for (int r = 0; r < RESOURCES; r++)
            if (ask->count[c][r])
                devmgr_pod_limit(p, container_names[c], resource_names[r], ask->count[c][r]);
    }
    devmgr_pod_wait(p, ask->wait_ms);
    return p;
}

static int keep_record(void *arg, const char *text, size_t n) {
    char **at = arg;
    free(*at);
    *at = dm_strndup(text, n);
    return 0;
}

static void keep_records(struct world *w, int pod) {
    for (int c = 0; c < CONTAINERS; c++) {
        int rc = dm_manager_claim_record(w->m, pod_name(pod), container_names[c], keep_record,
                                         &w->records[pod][c]);
        if (rc == 0)
            memcpy(w->recorded[pod][c], w->model.kept[pod][c], sizeof w->recorded[pod][c]);
        else
            free(DM_MOVE(w->records[pod][c]));
    }
}

static void read_claims(const devmgr_admission *r, int pod, set now[CONTAINERS][RESOURCES],
                        set fresh[CONTAINERS][RESOURCES]) {
    for (size_t i = 0; i < r->n_claims; i++) {
        const devmgr_claim *x = r->claims[i];
        int c = container_number(x->container), k = resource_number(x->resource);
        set d = 1u << device_number(x->device);
        if (now[c][k] & d || pod_number(x->pod_uid) != pod)
            complain("%s is told of %s twice, or of another pod's", pod_name(pod), x->device);
        now[c][k] |= d;
        fresh[c][k] |= x->is_new ? d : 0;
    }
}

/* What was said outlives us: it is in a file that a power cut leaves alone. */
static void check_durable(const struct world *w, int pod) {
    for (int c = 0; c < CONTAINERS; c++)
        for (int r = 0; r < RESOURCES; r++) {
            set kept = w->model.kept[pod][c][r].devices;
            set saved = w->durable.text ? w->durable.holds[pod][c][r].devices : 0;
            if (kept && kept != saved)
                complain("%s is told ADMITTED, and %s/%s is not saved: %#x, on disk %#x", pod_name(pod),
                         container_names[c], resource_names[r], kept, saved);
        }
}

static void admit(struct world *w, const struct event *e);

static void then(struct world *w, const struct event *e) {
    struct event again = *e;
    again.how = THEN_NOTHING;
    if (w->model.closing || w->ending)
        return;
    if (e->how % THENS == THEN_RELEASE)
        caller_release(w, e->pod);
    else if (e->how % THENS == THEN_ADMIT)
        admit(w, &again);
}

static void on_refused(struct asked *a, const devmgr_admission *r) {
    struct world *w = a->w;
    int c = r->container ? container_number(r->container) : -1,
        k = r->resource ? resource_number(r->resource) : -1;
    const char *why = model_may_refuse(&w->model, a->pod, r->verdict, r->cause, c, k);
    if (why)
        complain("%s is told %s, %s (%s): %s", pod_name(a->pod), devmgr_verdict_name(r->verdict),
                 devmgr_cause_name(r->cause), r->detail, why);
    if (r->n_claims || !*r->message || !*r->detail)
        complain("%s is told %s without words, or with devices", pod_name(a->pod),
                 devmgr_verdict_name(r->verdict));
    if (w->model.pods[a->pod].took)
        complain("%s failed, and the hint provider is not told", pod_name(a->pod));
    w->model.pods[a->pod].pending = false;
    model_attempt_over(&w->model, a->pod);
}

static int keep_forecast(void *arg, const char *json, size_t n) {
    DM_FREE char *text = dm_strndup(json, n);
    const char *verdict = strstr(text, "\"verdict\":\""), *cause = strstr(text, "\"cause\":\"");
    if (!verdict || !cause)
        complain("explain without a verdict or a cause: %s", text);
    snprintf(arg, 40, "%.*s %.*s", (int)strcspn(verdict + 11, "\""), verdict + 11,
             (int)strcspn(cause + 9, "\""), cause + 9);
    return 0;
}

/* Nobody may notice that it was asked: no revision, no save, nothing to do. look.c sees whether anything has changed. */
static void explain(struct world *w, const devmgr_pod *pod, char *forecast) {
    devmgr_error err;
    struct dm_action a;
    uint64_t revision = dm_manager_revision(w->m);
    bool unsaved = dm_manager_unsaved(w->m);
    if (dm_manager_explain(w->m, pod, keep_forecast, forecast, &err) < 0)
        complain("explain: %s", err.message);
    if (revision != dm_manager_revision(w->m) || unsaved != dm_manager_unsaved(w->m) ||
        (!w->draining && dm_manager_next(w->m, &a)))
        complain("explain has changed something");
}

/* While recovering a pod that nobody has heard of gets nothing, and it is told why; at other times that is never the reason.
 * Where topology has a say it may be refused before. */
void caller_ask_for_a_stranger(struct world *w) {
    const struct model *m = &w->model;
    bool now = m->recovering || m->step % 16 == 0; /* it takes time */
    for (int r = 0; r < RESOURCES && now && !m->closing && !m->strict && !m->provider; r++) {
        char forecast[40];
        if (!m->resources[r].connected)
            continue;
        devmgr_pod *p = devmgr_pod_new("stranger", "default", "stranger");
        devmgr_pod_container(p, container_names[0], container_kinds[0]);
        devmgr_pod_limit(p, container_names[0], resource_names[r], 1);
        explain(w, p, forecast);
        devmgr_pod_free(p);
        if ((strstr(forecast, devmgr_cause_name(DEVMGR_RECOVERING)) != NULL) != m->recovering)
            complain("recovery is%s over, and a stranger who wants %s hears \"%s\"",
                     m->recovering ? " not" : "", resource_names[r], forecast);
        return;
    }
}

/* Told within the step in which it was asked: nobody but the manager had a say. */
static void check_forecast(const struct asked *a, const devmgr_admission *r) {
    char told[40];
    const struct model_pod *p = &a->w->model.pods[a->pod];
    snprintf(told, sizeof told, "%s %s", devmgr_verdict_name(r->verdict),
             r->cause ? devmgr_cause_name(r->cause) : "");
    bool alone = p->asked_in == a->w->model.step && !p->called_at && p->released_in != a->w->model.step;
    if (*a->forecast && alone && r->cause != DEVMGR_PROVIDER_REFUSED && strcmp(a->forecast, told))
        complain("%s is told \"%s\", and explain said \"%s\"", pod_name(a->pod), told, a->forecast);
}

static void on_admission(void *arg, const devmgr_admission *r) {
    struct asked *a = arg;
    struct world *w = a->w;
    set now[CONTAINERS][RESOURCES] = {0}, fresh[CONTAINERS][RESOURCES] = {0};
    struct event event = a->event;
    tell(a);
    w->counts[r->verdict]++;
    story("%s is told %s %s", pod_name(a->pod), devmgr_verdict_name(r->verdict), r->detail);
    check_forecast(a, r);
    if (r->verdict != DEVMGR_ADMITTED) {
        on_refused(a, r);
    } else {
        read_claims(r, a->pod, now, fresh);
        const char *why = model_may_admit(&w->model, a->pod, now, fresh);
        if (why)
            complain("%s is told ADMITTED: %s", pod_name(a->pod), why);
        model_admitted(&w->model, a->pod, now);
        w->model.pods[a->pod].took = false; /* it keeps that */
        check_durable(w, a->pod);
        keep_records(w, a->pod);
    }
    then(w, &event);
}

static void admit(struct world *w, const struct event *e) {
    struct model_pod *p = &w->model.pods[e->pod];
    struct ask ask = ask_of(e);
    devmgr_error err;
    devmgr_pod *pod = pod_of(e->pod, &ask);
    struct asked *a = new_asked(w, ASKED_ADMIT, e->pod);
    a->event = *e;
    if (!p->pending) {
        p->ask = ask;
        if (ask.explain)
            explain(w, pod, a->forecast);
    }
    int rc = dm_manager_admit(w->m, pod, on_admission, a, &err);
    devmgr_pod_free(pod);
    if (rc != (p->pending ? -EALREADY : 0))
        complain("admit %s: %d", pod_name(e->pod), rc);
    if (rc < 0) {
        never(a);
        return;
    }
    p->pending = true;
    p->asked_at = w->mono;
    p->asked_in = w->model.step;
    p->called_at = p->answered_in = 0;
    model_attempt_over(&w->model, e->pod);
    for (int c = 0; c < CONTAINERS; c++)
        if (ask.named >> c & 1 && p->containers >> c & 1)
            p->kind[c] = p->kind[c] < 0 ? container_kinds[c] : p->kind[c];
}

/* ---- ends ------------------------------------------------------------------------------------------------------------------- */

static bool gone_from_file(const struct world *w, const struct asked *a, int pod, int c, int r) {
    const struct grant *saved = &w->durable.holds[pod][c][r];
    return !w->durable.text || !(a->containers >> c & 1) || !saved->devices || saved->serial > a->serials ||
           (pod == a->pod && saved->serial == a->spared[c][r]) ||
           saved->serial == w->model.kept[pod][c][r].serial ||
           saved->serial == w->model.pods[pod].grants[c][r].serial;
}

static void on_done(void *arg, int status, const char *const *uids, size_t n, const devmgr_error *err) {
    struct asked *a = arg;
    struct world *w = a->w;
    set lost = 0;
    tell(a);
    if ((status < 0) != (err != NULL))
        complain("a callback with status %d, and %s error", status, err ? "an" : "no");
    for (size_t i = 0; i < n; i++)
        lost |= 1u << pod_number(uids[i]);
    if ((lost & ~a->maybe) != (a->lost & ~a->maybe) || (size_t)model_size(lost) != n)
        complain("pods %#x lost devices, and %#x are named", a->lost, lost);
    for (int p = 0; p < PODS && status == 0; p++)
        for (int c = 0; c < CONTAINERS && (a->pod == p || lost >> p & 1); c++)
            for (int r = 0; r < RESOURCES; r++)
                if (!gone_from_file(w, a, p, c, r))
                    complain("%s/%s is released, and still in the file", pod_name(p), container_names[c]);
}

static void asked_to(int rc) {
    if (rc < 0)
        complain("a call fails with %d", rc);
}

void caller_release(struct world *w, int pod) {
    struct asked *a = new_asked(w, ASKED_RELEASE, pod);
    a->containers = ~0u;
    a->lost = model_release(&w->model, pod);
    w->model.pods[pod].revision = 0;
    for (int c = 0; c < CONTAINERS; c++)
        free(DM_MOVE(w->records[pod][c]));
    asked_to(dm_manager_release(w->m, pod_name(pod), NULL, on_done, a));
}

static set holding(const struct world *w, int pod) {
    set containers = 0;
    for (int c = 0; c < CONTAINERS; c++)
        for (int r = 0; r < RESOURCES; r++)
            containers |= w->model.kept[pod][c][r].devices ? 1u << c : 0;
    return containers;
}

static void release_container(struct world *w, int pod, int container) {
    struct asked *a = new_asked(w, ASKED_CONTAINER, pod);
    a->containers = holding(w, pod) & 1u << container;
    a->maybe = w->model.pods[pod].pending ? 1u << pod : 0;
    a->lost = model_release_container(&w->model, pod, container);
    free(DM_MOVE(w->records[pod][container]));
    asked_to(dm_manager_release(w->m, pod_name(pod), container_names[container], on_done, a));
}

static void init_done(struct world *w, int pod) {
    struct asked *a = new_asked(w, ASKED_CONTAINER, pod);
    set held = holding(w, pod);
    EACH_CLAIM(c, r)
    a->spared[c][r] = w->model.pods[pod].grants[c][r].serial;
    a->maybe = w->model.pods[pod].pending ? 1u << pod : 0;
    a->lost = model_init_done(&w->model, pod);
    a->containers = held & ~holding(w, pod);
    for (int c = 0; c < CONTAINERS; c++)
        if (container_kinds[c] == DEVMGR_PLAIN_INIT)
            free(DM_MOVE(w->records[pod][c]));
    asked_to(dm_manager_init_done(w->m, pod_name(pod), on_done, a));
}

static set what_lives(const struct world *w) {
    set live = 0;
    for (int p = 0; p < PODS; p++)
        live |= w->model.pods[p].admitted || live_claims(w, p, -1) ? 1u << p : 0;
    return live;
}

static void sync_all(struct world *w, const struct event *e) {
    struct asked *a = new_asked(w, ASKED_SYNC, -1);
    const char *uids[PODS];
    size_t n = 0;
    set live = (e->how & 1 && w->listed_at ? w->listed : what_lives(w)) & ~e->a;
    uint64_t as_of = e->how & 1 && w->listed_at ? w->listed_at : UINT64_MAX;
    for (int p = 0; p < PODS; p++)
        if (live >> p & 1)
            uids[n++] = pod_name(p);
    a->containers = ~0u;
    a->lost = model_sync(&w->model, live, as_of, e->how & 2);
    if (e->how & 2)
        a->containers = 0;
    asked_to(dm_manager_sync(w->m, uids, n, as_of, e->how & 2 ? DEVMGR_DRY_RUN : 0, on_done, a));
}

int live_claims(const struct world *w, int pod, int container) {
    int n = 0;
    for (int c = 0; c < CONTAINERS; c++)
        for (int r = 0; r < RESOURCES; r++)
            n += (container < 0 || c == container) && w->model.told[pod][c][r].devices;
    return n;
}

/* ---- adopting ------------------------------------------------------------------------------------------------------------------ */

/* All that hold something, as the caller's runtime would name them. */
static struct ask all_of(const struct world *w, int pod) {
    struct ask ask = {0};
    for (int c = 0; c < CONTAINERS; c++) {
        ask.named |= live_claims(w, pod, c) ? 1u << c : 0;
        for (int r = 0; r < RESOURCES; r++)
            ask.count[c][r] = (uint8_t)model_size(w->model.told[pod][c][r].devices);
    }
    return ask;
}

static bool collides(const struct world *w, int pod, int container) {
    for (int r = 0; r < RESOURCES; r++) {
        set d = w->recorded[pod][container][r].devices;
        if (w->model.kept[pod][container][r].devices)
            continue;
        for (int p = 0; p < PODS; p++)
            for (int c = 0; c < CONTAINERS; c++) {
                bool shares =
                    p == pod && (c == container || container_kinds[container] == DEVMGR_PLAIN_INIT ||
                                 model_kind(&w->model, p, c) == DEVMGR_PLAIN_INIT);
                if (!shares && d & (w->model.kept[p][c][r].devices | w->model.pods[p].grants[c][r].devices))
                    return true;
            }
    }
    return false;
}

static void adopt(struct world *w, int pod, int container) {
    struct model_pod *p = &w->model.pods[pod];
    struct ask ask = all_of(w, pod);
    devmgr_error err;
    if (!w->records[pod][container] || !live_claims(w, pod, container))
        return;
    struct asked *a = new_asked(w, ASKED_ADOPT, -1);
    devmgr_pod *x = pod_of(pod, &ask);
    int rc =
        dm_manager_adopt(w->m, x, container_names[container], w->records[pod][container], on_done, a, &err);
    devmgr_pod_free(x);
    if (rc < 0)
        never(a);
    if (p->pending ? rc != -EALREADY : rc && (rc != -EEXIST || !collides(w, pod, container)))
        complain("adopt %s/%s: %s", pod_name(pod), container_names[container],
                 rc < 0 ? err.message : "in flight");
    if (rc == 0) {
        w->counts[COUNT_ADOPTED]++;
        for (int r = 0; r < RESOURCES; r++)
            if (w->recorded[pod][container][r].devices && !w->model.resources[r].known) {
                w->model.resources[r] = (struct model_resource){.known = true};
                model_gone(&w->model, r, dm_settings_for(&w->settings, resource_names[r]).stop_grace);
            }
        model_adopted(&w->model, pod, container, w->recorded[pod][container], ask.named);
    }
}

/* ---- options ---------------------------------------------------------------------------------------------------------------------- */

static void on_options(void *arg, int status, const devmgr_options *x, const devmgr_error *err) {
    struct asked *a = arg;
    struct world *w = a->w;
    tell(a);
    if ((status < 0) == (x != NULL) || (status < 0) != (err != NULL))
        complain("options with status %d", status);
    if (!x)
        return;
    for (int r = 0; r < RESOURCES; r++) {
        unsigned serial = w->model.kept[a->pod][a->container][r].serial;
        char name[2] = {(char)('a' + r), 0}, value[20];
        size_t found = 0;
        snprintf(value, sizeof value, "%u", serial);
        for (size_t i = 0; i < x->n_envs; i++) {
            found += !strcmp(x->envs[i]->name, name);
            if (!strcmp(x->envs[i]->name, name) && strcmp(x->envs[i]->value, value))
                complain("options of %s: another answer, %s, than the plugin's", pod_name(a->pod),
                         x->envs[i]->value);
        }
        if (found != (w->model.kept[a->pod][a->container][r].devices != 0))
            complain("options of %s/%s: %zu answers of %s", pod_name(a->pod), container_names[a->container],
                     found, resource_names[r]);
    }
}

static void options(struct world *w, const struct event *e) {
    struct asked *a = new_asked(w, ASKED_OPTIONS, e->pod);
    a->container = e->how % 8 % CONTAINERS;
    asked_to(dm_manager_options(w->m, pod_name(e->pod), container_names[a->container],
                                e->how & 8 ? DEVMGR_NO_PRESTART : 0, on_options, a));
}

/* ---- a hint provider ---------------------------------------------------------------------------------------------- */

static int give_hints(void *arg, const char *uid, const char *container, devmgr_hint_cb add, void *add_arg) {
    const struct world *w = arg;
    (void)uid, (void)container;
    for (int node = 0; node < 2; node++) {
        devmgr_hint hint = {.resource = "cpu", .kind = DEVMGR_HINT, .preferred = 1, .numa = 1u << node};
        if (w->provider >> node & 1)
            add(add_arg, &hint);
    }
    return w->provider & HINTS_FAIL ? -EIO : 0;
}

static int take(void *arg, const char *uid, const char *container, uint64_t numa, devmgr_error *reterr) {
    struct world *w = arg;
    struct model_pod *p = &w->model.pods[pod_number(uid)];
    (void)container, (void)numa;
    if (w->provider & TAKE_FAILS) {
        w->provider &= ~TAKE_FAILS;
        return dm_error_set(reterr, -EBUSY, "no CPU is free");
    }
    p->took = true;
    return 0;
}

static void give_back(void *arg, const char *uid) {
    struct world *w = arg;
    struct model_pod *p = &w->model.pods[pod_number(uid)];
    if (!p->took)
        complain("the hint provider is to give back for %s, and took nothing", uid);
    p->took = false;
}

void caller_join(struct world *w) {
    devmgr_provider p = {sizeof p, w, give_hints, take, give_back};
    if (dm_manager_add_provider(w->m, &p) < 0)
        complain("a hint provider may not join");
}

/* ---- one event ------------------------------------------------------------------------------------------------------------------------ */

static void forget_resource(struct world *w, int resource) {
    struct model_resource *r = &w->model.resources[resource];
    int rc = dm_manager_forget_resource(w->m, resource_names[resource]);
    if (rc == 0 && (!r->known || !r->removed || model_held(&w->model, resource)))
        complain("%s is forgotten, and it is in use", resource_names[resource]);
    if (rc == -ENOENT && r->known)
        complain("%s is not found", resource_names[resource]);
    if (rc == 0) {
        *r = (struct model_resource){0};
        w->rows[resource].there = false;
    }
}

static void adopt_all(struct world *w) {
    for (int p = 0; p < PODS; p++)
        for (int c = 0; c < CONTAINERS; c++)
            adopt(w, p, c);
}

void caller_do(struct world *w, const struct event *e) {
    switch (e->kind) {
    case EV_ADMIT:
        admit(w, e);
        break;
    case EV_RELEASE:
        caller_release(w, e->pod);
        break;
    case EV_CONTAINER:
        release_container(w, e->pod, e->how % CONTAINERS);
        break;
    case EV_INIT_DONE:
        init_done(w, e->pod);
        break;
    case EV_LOOK:
        w->listed_at = dm_manager_revision(w->m);
        w->listed = what_lives(w);
        break;
    case EV_SYNC:
        sync_all(w, e);
        break;
    case EV_OPTIONS:
        options(w, e);
        break;
    case EV_ADOPT:
        if (e->how == 7)
            adopt_all(w);
        else
            adopt(w, e->pod, e->how % CONTAINERS);
        break;
    default:
        forget_resource(w, e->res);
    }
}
