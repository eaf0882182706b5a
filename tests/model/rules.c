/* rules.c -- what may be said and done, see model.h. Each rule is asked before the books follow. */
#include "base/status.h"
#include "devmgr.h"
#include "model.h"
#include <stddef.h>

/* Another pod's never; of its own pod's, what its plain inits have. */
static const char *may_have(const struct model *m, int pod, int container, int resource, set ids) {
    set apps = 0;
    for (int c = 0; c < CONTAINERS; c++)
        if (c != container && model_kind(m, pod, c) != DEVMGR_PLAIN_INIT)
            apps |= m->kept[pod][c][resource].devices | m->pods[pod].grants[c][resource].devices;
    if (ids & model_of_others(m, pod, resource, true))
        return "a device of another pod";
    return ids & apps ? "a device of another container that keeps it" : NULL;
}

const char *model_may_call(const struct model *m, int pod, int container, int resource, set ids) {
    const struct model_pod *p = &m->pods[pod];
    if (!p->pending || !(p->ask.named >> container & 1))
        return "for a container that nobody asks for";
    if (model_size(ids) != p->ask.count[container][resource])
        return "another number of devices than was asked for";
    if (m->kept[pod][container][resource].devices)
        return "for a container that has its devices";
    if (m->recovering)
        return "new devices while recovering";
    if (ids & ~model_usable(m, resource))
        return "a device that is not healthy, or not listed, or whose plugin is away";
    return may_have(m, pod, container, resource, ids);
}

/* An init container that has ended is not looked at. */
static bool over(const struct model *m, int pod, int container) {
    return model_kind(m, pod, container) == DEVMGR_PLAIN_INIT && m->pods[pod].init_done;
}

static const char *may_admit(const struct model *m, int pod, int c, int r, set now, set fresh) {
    const struct model_pod *p = &m->pods[pod];
    set before = m->kept[pod][c][r].devices;
    int want = p->ask.count[c][r];
    if (before && now != before)
        return "what it held has changed";
    if (fresh != (before ? 0 : now))
        return "is_new does not say what is new";
    if (!(p->ask.named >> c & 1))
        return now == before ? NULL : "a container that was not named got devices";
    bool skipped =
        over(m, pod, c) || (!now && m->skip_unknown); /* what was unknown may have become known since */
    if (model_size(now) != want && !skipped)
        return before ? "a changed count was not refused" : "not as many devices as were asked for";
    if (before || !now)
        return NULL;
    if (p->grants[c][r].devices != now || !p->grants[c][r].serial)
        return "devices for which Allocate was not called, or not answered well";
    /* That an init's device is an app's by now, too, is how it is meant. */
    return model_kind(m, pod, c) == DEVMGR_PLAIN_INIT && !(now & model_of_others(m, pod, r, true))
               ? NULL
               : may_have(m, pod, c, r, now);
}

/* Of the containers that it asks for and that do not run. */
static bool any_broken(const struct model *m, int pod) {
    const struct model_pod *p = &m->pods[pod];
    EACH_CLAIM(c, r)
    if (model_broken(m, pod, c, r) && p->ask.named >> c & 1 && !(p->ask.running >> c & 1) && !over(m, pod, c))
        return true;
    return false;
}

const char *model_may_admit(const struct model *m, int pod, const set now[CONTAINERS][RESOURCES],
                            const set fresh[CONTAINERS][RESOURCES]) {
    const char *why = NULL;
    set news = 0;
    if (!m->pods[pod].pending)
        return "nobody asked";
    EACH_CLAIM(c, r) {
        news |= fresh[c][r];
        if (!why)
            why = may_admit(m, pod, c, r, now[c][r], fresh[c][r]);
    }
    if (!why && !news && m->pods[pod].asked_in == m->step &&
        any_broken(m, pod)) /* later on it need not look again */
        why = "it holds a device that is not healthy, and does not run";
    return why;
}

static const char *insufficient(const struct model *m, int pod, int c, int r) {
    const struct model_pod *p = &m->pods[pod];
    set inits = model_in_pod(m, pod, r, true) & ~model_in_pod(m, pod, r, false);
    set sure, own = model_in_pod(m, pod, r, true) | model_in_pod(m, pod, r, false);
    int in_flight = model_reserved(m, r, &sure) - model_lacks(m, pod, r);
    int left = model_size(model_usable(m, r) & ~model_held(m, r) & ~own) - in_flight;
    if (p->withdrawn && p->answered_in == m->step)
        return NULL;
    left = (left > 0 ? left : 0) + model_size(inits & model_usable(m, r));
    return p->ask.count[c][r] <= left ? "there are enough devices" : NULL;
}

static bool any_changed(const struct model *m, int pod) {
    const struct model_pod *p = &m->pods[pod];
    EACH_CLAIM(c, r)
    if (p->ask.named >> c & 1 && m->kept[pod][c][r].devices &&
        model_size(m->kept[pod][c][r].devices) != p->ask.count[c][r])
        return true;
    return false;
}

/* The resource's part: what its plugin did in this step, or is. */
static bool plugin_did(const struct model *m, int pod, int cause, int r) {
    const struct model_resource *x = &m->resources[r];
    const struct model_pod *p = &m->pods[pod];
    bool answered = p->answered_in == m->step;
    switch (cause) {
    case DEVMGR_NO_PLUGIN:
        return !x->known;
    case DEVMGR_NO_DEVICE_LIST:
        return x->known && !x->valid && (x->connected || !x->generation);
    case DEVMGR_PLUGIN_GONE:
        return !x->connected || (answered && (p->superseded || p->code == DM_UNAVAILABLE));
    case DEVMGR_PLUGIN_TIMEOUT:
        return m->now >= p->asked_at + 60000 || (answered && p->code == DM_DEADLINE_EXCEEDED);
    case DEVMGR_PLUGIN_ERROR:
        return answered && p->code != DM_OK;
    case DEVMGR_PLUGIN_BAD_ANSWER:
        return answered && p->bad;
    }
    return false;
}

static bool is_true(const struct model *m, int pod, int cause, int c, int r) {
    switch (cause) {
    case DEVMGR_NOT_DURABLE:
        return m->save_failed_in == m->step;
    case DEVMGR_RECOVERING:
        return m->recovering;
    case DEVMGR_HELD_UNHEALTHY:
        return any_broken(m, pod);
    case DEVMGR_REQUEST_CHANGED:
        return any_changed(m, pod);
    case DEVMGR_OPTIONS_CONFLICT:
        return m->refuse_conflicts;
    case DEVMGR_INSUFFICIENT_DEVICES: /* by nodes: of several resources, perhaps */
        return m->strict || (c >= 0 && r >= 0 && m->resources[r].valid);
    case DEVMGR_NO_AFFINITY:
        return m->strict;
    case DEVMGR_PROVIDER_REFUSED:
        return m->provider;
    }
    return r >= 0 && plugin_did(m, pod, cause, r);
}

const char *model_may_refuse(const struct model *m, int pod, int verdict, int cause, int container,
                             int resource) {
    const struct model_pod *p = &m->pods[pod];
    if (!p->pending)
        return "nobody asked";
    if (verdict == DEVMGR_CANCELED)
        return m->closing || p->released_in == m->step ? NULL : "nobody released it";
    if ((verdict == DEVMGR_NOT_YET) != (cause <= DEVMGR_RECOVERING) || cause == DEVMGR_NO_CAUSE)
        return "that cause does not go with that verdict";
    if (p->ask.wait_ms) /* it may tell what was so when it was tried last */
        return NULL;
    if (!is_true(m, pod, cause, container, resource))
        return "the cause it names is not so";
    return cause == DEVMGR_INSUFFICIENT_DEVICES && !m->strict ? insufficient(m, pod, container, resource)
                                                              : NULL;
}

bool model_could_pass(const struct model *m, int pod) {
    const struct model_pod *p = &m->pods[pod];
    if (any_changed(m, pod) || any_broken(m, pod) || m->strict)
        return false;
    for (int r = 0; r < RESOURCES; r++) {
        set sure;
        int need = 0, in_flight = model_reserved(m, r, &sure) - model_lacks(m, pod, r);
        for (int c = 0; c < CONTAINERS; c++)
            need += m->kept[pod][c][r].devices ? 0 : p->ask.count[c][r];
        if (need && (m->recovering || need > model_size(model_usable(m, r) & ~model_held(m, r)) - in_flight))
            return false;
    }
    return true;
}
