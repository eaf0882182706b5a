/* event.c -- see event.h. */
#include "event.h"
#include "devmgr.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

unsigned below(struct random *r, unsigned n) { /* splitmix64 */
    uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (unsigned)((z ^ z >> 31) >> 33) % n;
}

/* ---- what a pod asks for: 5 bits named, 5 running, 3 wait, 2 nodes, 1 explain, in b ------------------------------------------------ */

static const uint64_t waits[] = {0, 0, 0, 0, 900, 20000, 200000, 1000000000};

struct ask ask_of(const struct event *e) {
    struct ask ask = {.named = e->b & 31,
                      .running = e->b >> 5 & 31,
                      .wait_ms = waits[e->b >> 10 & 7],
                      .nodes = e->b >> 13 & 3,
                      .explain = e->b >> 15 & 1};
    for (int c = 0; c < CONTAINERS; c++)
        for (int r = 0; r < RESOURCES && ask.named >> c & 1; r++)
            ask.count[c][r] = e->a >> 2 * (c * RESOURCES + r) & 3;
    return ask;
}

static uint32_t some_counts(struct random *r, bool crowd) {
    uint32_t a = 0;
    for (int i = 0; i < CONTAINERS * RESOURCES; i++) {
        unsigned n = below(r, 12);
        if (crowd && i % RESOURCES != 1)
            n = n < 10 ? 0 : 7;
        a |= (n < 7 ? 0u : n < 10 ? 1u : n < 11 ? 2u : 3u) << 2 * i;
    }
    return a;
}

static void make_ask(struct random *r, struct habits *h, struct event *e) {
    struct event *habit = &h->asks[e->pod];
    if (!habit->b || !below(r, 30)) {
        habit->a = some_counts(r, h->crowd);
        habit->b = 1 + below(r, 31);
    }
    e->a = habit->a, e->b = habit->b;
    if (!below(r, 3))
        e->b &= 1u << below(r, CONTAINERS) | 1u << below(r, CONTAINERS); /* container by container */
    if (!(e->b & 31))
        e->b = habit->b;
    if (!below(r, 20))
        e->a ^= 1u << below(r, 2 * CONTAINERS * RESOURCES); /* a changed count */
    e->b |= below(r, 6) ? 0 : below(r, 32) << 5;
    e->b |= (h->crowd ? 5 + below(r, 3) : below(r, 8)) << 10;
    e->b |= below(r, 2) ? 0 : below(r, 4) << 13;
    e->b |= below(r, 4) ? 0 : 1u << 15;
    e->how = (uint8_t)(below(r, 8) ? THEN_NOTHING : below(r, THENS));
}

/* ---- making ------------------------------------------------------------------------------------------------------- */

static void make_list(struct random *r, struct habits *h, struct event *e) {
    uint32_t *list = &h->list[e->res], *nodes = &h->nodes[e->res];
    if (!*list || !below(r, 12)) {
        *list = *nodes = 0;
        for (int d = 0; d < DEVICES; d++) {
            *list |= (below(r, 10) ? 1u : 0u) << 2 * d;
            *nodes |= (below(r, 4) ? 1u << (d >= DEVICES / 2) : below(r, 4)) << 2 * d;
        }
    } else if (below(r, 4)) {
        unsigned at = 2 * below(r, DEVICES), now = *list >> at & 3;
        *list = (*list & ~(3u << at)) | (now != 1 ? 1u : below(r, 2) * 2) << at; /* a flap, mostly */
    }
    e->a = *list, e->b = *nodes;
    e->how = (uint8_t)!below(r, 15);
}

static void make_outcome(struct random *r, const struct habits *h, struct event *e) {
    int well = h->quarrel && below(r, 3) ? OUT_CONFLICT : OUT_OK;
    e->how = (uint8_t)(below(r, 10) ? well : (int)below(r, OUTCOMES));
    e->a = below(r, 3) ? below(r, 1u << DEVICES) : 0;
}

static void make_end(struct random *r, struct event *e) {
    static const uint8_t ends[] = {END_KILL,  END_KILL,    END_KILL,   END_CLOSE,  END_CLOSE,
                                   END_POWER, END_KUBELET, END_DAMAGE, END_DAMAGE, END_LOSS};
    e->how = ends[below(r, sizeof ends)];
    e->a = below(r, 2);
    e->b = below(r, 4) ? 1000 : below(r, 400000);
}

static void fill(struct random *r, struct habits *h, struct event *e) {
    static const uint32_t passes[] = {10, 1000, 3000, 11000, 62000, 320000};
    switch (e->kind) {
    case EV_CONNECT:
        e->how = (uint8_t)below(r, 4);
        break;
    case EV_LIST:
        make_list(r, h, e);
        break;
    case EV_GONE:
        e->how = (uint8_t)!below(r, 3);
        break;
    case EV_ADMIT:
        make_ask(r, h, e);
        break;
    case EV_ANSWER:
    case EV_STARTED:
        make_outcome(r, h, e);
        break;
    case EV_SAVED:
        e->how = (uint8_t)(below(r, 8) ? WRITTEN_OK : below(r, WRITTENS));
        break;
    case EV_CONTAINER:
    case EV_OPTIONS:
        e->how = (uint8_t)(below(r, CONTAINERS) + (e->kind == EV_OPTIONS && !below(r, 4) ? 8 : 0));
        break;
    case EV_SYNC:
        e->how = (uint8_t)((below(r, 2) ? 1 : 0) + (below(r, 6) ? 0 : 2));
        e->a = below(r, 2) ? 0 : 1u << below(r, PODS);
        break;
    case EV_ADOPT:
        e->how = (uint8_t)(below(r, 3) ? 7 : below(r, CONTAINERS));
        break;
    case EV_PASS:
        e->a = 1 + below(r, passes[below(r, below(r, 3) ? 3 : 6)]);
        break;
    case EV_PROVIDER:
        e->how = (uint8_t)(below(r, 4) | (below(r, 4) ? 0 : HINTS_FAIL) | (below(r, 2) ? 0 : TAKE_FAILS));
        break;
    case EV_RESTART:
        make_end(r, e);
    }
}

/* How often each happens, when nothing else is more likely. */
static const uint8_t weights[EV_KINDS] = {
    [EV_CONNECT] = 6,   [EV_LIST] = 8,     [EV_GONE] = 2,       [EV_ADMIT] = 24,  [EV_ANSWER] = 3,
    [EV_STARTED] = 1,   [EV_SAVED] = 3,    [EV_SAVE_AGAIN] = 1, [EV_RELEASE] = 8, [EV_CONTAINER] = 3,
    [EV_INIT_DONE] = 3, [EV_LOOK] = 2,     [EV_SYNC] = 2,       [EV_OPTIONS] = 4, [EV_ADOPT] = 2,
    [EV_FORGET] = 1,    [EV_PROVIDER] = 2, [EV_PASS] = 7,       [EV_RESTART] = 2};

static uint8_t one_of(struct random *r, set choice) {
    unsigned n = below(r, (unsigned)model_size(choice));
    for (uint8_t i = 0;; i++)
        if (choice >> i & 1 && !n--)
            return i;
}

static void choose(struct random *r, const struct look *look, bool calm, struct event *e) {
    unsigned sum = 0, at;
    for (int k = 0; k < EV_KINDS; k++)
        sum += weights[k];
    at = below(r, sum);
    while (at >= weights[e->kind])
        at -= weights[e->kind++];
    if (e->kind <= EV_GONE && !(look->connected >> e->res & 1))
        e->kind = EV_CONNECT;
    if (look->asked && below(r, 5) < 2)
        e->kind = EV_ANSWER, e->res = one_of(r, look->asked);
    else if (look->starting && !below(r, 3))
        e->kind = EV_STARTED, e->res = one_of(r, look->starting);
    else if (look->saving && !below(r, 4))
        e->kind = EV_SAVED;
    else if (e->kind == EV_RESTART && calm && below(r, 10))
        e->kind = EV_ADMIT;
}

struct event event_make(struct random *r, struct habits *h, const struct look *look) {
    struct event e = {0};
    e.pod = (uint8_t)below(r, PODS);
    e.res = (uint8_t)below(r, RESOURCES);
    choose(r, look, h->calm, &e);
    if (e.kind == EV_ADMIT && look->pending >> e.pod & 1 && below(r, 8))
        e.kind = below(r, 2) ? EV_PASS : EV_LIST;
    fill(r, h, &e);
    return e;
}

/* ---- making smaller -------------------------------------------------------------------------------------------------- */

bool event_simpler(struct event *e, unsigned n) {
    if (n < 32 && (e->kind == EV_ADMIT || e->kind == EV_LIST || e->kind == EV_SYNC || e->kind == EV_ANSWER))
        e->a &= ~(1u << n);
    else if (n < 64 && n >= 32 && (e->kind == EV_ADMIT || e->kind == EV_LIST))
        e->b &= ~(1u << (n - 32));
    else if (n == 64)
        e->how = 0;
    else if (n == 65 && e->kind == EV_PASS)
        e->a = e->a > 62000 ? 62000 : 1000;
    else if (n == 66 && e->kind == EV_RESTART)
        e->b = 1000;
    else if (n == 67 && e->kind == EV_RESTART &&
             e->how > END_KILL) /* not from END_CLOSE: it would never end */
        e->how = END_KILL;
    return n <= 67;
}

/* ---- a line for people ------------------------------------------------------------------------------------------------- */

struct line {
    char *at;
    size_t left;
};
__attribute__((format(printf, 2, 3))) static void say(struct line *l, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(l->at, l->left, format, ap);
    va_end(ap);
    size_t used = n < 0 ? 0 : (size_t)n < l->left ? (size_t)n : l->left - 1;
    l->at += used, l->left -= used;
}

static void say_list(struct line *l, const struct event *e) {
    say(l, "%s lists", resource_names[e->res]);
    if (e->how)
        say(l, ", by the endpoint before,");
    for (int d = 0; d < DEVICES; d++)
        if (e->a >> 2 * d & 3) {
            static const char *const nodes[] = {"", "@0", "@1", "@0,1"};
            say(l, " d%d%s%s", d, nodes[e->b >> 2 * d & 3], (e->a >> 2 * d & 3) == 1 ? "" : " (Unhealthy)");
        }
}

static void say_ask(struct line *l, const struct event *e) {
    static const char *const kinds[] = {"", "init ", "sidecar "}, *const thens[] = {
                                                                      "", "; told, it releases it",
                                                                      "; told, it admits it again"};
    struct ask ask = ask_of(e);
    say(l, "admit p%d:", e->pod);
    for (int c = 0; c < CONTAINERS; c++) {
        if (!(ask.named >> c & 1))
            continue;
        say(l, " %s%s%s(", kinds[container_kinds[c]], container_names[c],
            ask.running >> c & 1 ? " running " : "");
        for (int r = 0; r < RESOURCES; r++)
            if (ask.count[c][r])
                say(l, " %s=%d", resource_names[r], ask.count[c][r]);
        say(l, " )");
    }
    if (ask.explain)
        say(l, ", explained before");
    if (ask.nodes)
        say(l, ", near nodes %#x", ask.nodes);
    if (ask.wait_ms)
        say(l, ", may wait %llu ms", (unsigned long long)ask.wait_ms);
    say(l, "%s", thens[e->how % THENS]);
}

static const char *const outcomes[OUTCOMES] = {"OK",
                                               "with nothing",
                                               "with bytes that are no answer",
                                               "with a conflict",
                                               "Unavailable",
                                               "DeadlineExceeded",
                                               "Unknown",
                                               "unusably",
                                               "Canceled"};
static const char *const writtens[WRITTENS] = {"the file is saved", "the file is not saved",
                                               "saving fails, but the file is there"};
static const char *const ends[ENDS] = {"close",
                                       "kill",
                                       "power cut",
                                       "kill, and a kubelet rewrites the file",
                                       "kill, and the file is damaged",
                                       "kill, and the file and its copy are damaged"};

static void say_rest(struct line *l, const struct event *e) {
    switch (e->kind) {
    case EV_SAVE_AGAIN:
        say(l, "the file may be gone: save again");
        break;
    case EV_RELEASE:
        say(l, "release p%d", e->pod);
        break;
    case EV_CONTAINER:
        say(l, "release container %s of p%d", container_names[e->how % CONTAINERS], e->pod);
        break;
    case EV_INIT_DONE:
        say(l, "the init containers of p%d have ended", e->pod);
        break;
    case EV_LOOK:
        say(l, "the caller begins to list what lives");
        break;
    case EV_SYNC:
        say(l, "%ssync%s, without pods %#x", e->how & 2 ? "dry " : "", e->how & 1 ? " as of then" : "", e->a);
        break;
    case EV_OPTIONS:
        say(l, "options of p%d, container %s%s", e->pod, container_names[e->how % 8 % CONTAINERS],
            e->how & 8 ? ", without prestart" : "");
        break;
    case EV_ADOPT:
        if (e->how == 7)
            say(l, "adopt all containers of all pods");
        else
            say(l, "adopt container %s of p%d", container_names[e->how % CONTAINERS], e->pod);
        break;
    case EV_FORGET:
        say(l, "forget %s", resource_names[e->res]);
        break;
    case EV_PROVIDER:
        say(l, "a hint provider says nodes %#x%s%s", e->how & 3, e->how & HINTS_FAIL ? ", fails to hint" : "",
            e->how & TAKE_FAILS ? ", refuses once" : "");
        break;
    case EV_PASS:
        say(l, "%u ms pass", e->a);
        break;
    case EV_RESTART:
        say(l, "%s%s; back after %u ms", ends[e->how % ENDS],
            e->a ? ", what is being written gets there" : "", e->b);
    }
}

const char *const policy_names[POLICIES] = {"none", "best-effort", "restricted", "single-numa-node"};

char *event_line(const struct event *e, char *out, size_t size) {
    struct line l = {out, size};
    *out = 0;
    switch (e->kind) {
    case EV_SETTINGS:
        say(&l, "settings: topology-policy=%s topology-scope=%s%s%s%s%s%s", policy_names[e->a % POLICIES],
            e->b ? "pod" : "container", e->how & SET_PROVIDER ? " and a hint provider" : "",
            e->how & SET_ONE_QUEUE ? " serial=node" : "", e->how & SET_SKIP ? " unknown-resource=skip" : "",
            e->how & SET_REFUSE ? " conflicts=refuse" : "", e->how & SET_FEW ? " max-resources=2" : "");
        break;
    case EV_CONNECT:
        say(&l, "%s registers%s%s", resource_names[e->res], e->how & 1 ? ", with PreStartContainer" : "",
            e->how & 2 ? ", with GetPreferredAllocation" : "");
        break;
    case EV_LIST:
        say_list(&l, e);
        break;
    case EV_GONE:
        say(&l, "%s%s goes away", resource_names[e->res], e->how ? ", the endpoint before," : "");
        break;
    case EV_ADMIT:
        say_ask(&l, e);
        break;
    case EV_ANSWER:
        say(&l, "%s answers %s, prefers %#x", resource_names[e->res], outcomes[e->how % OUTCOMES], e->a);
        break;
    case EV_STARTED:
        say(&l, "%s answers PreStartContainer %s", resource_names[e->res], outcomes[e->how % OUTCOMES]);
        break;
    case EV_SAVED:
        say(&l, "%s", writtens[e->how % WRITTENS]);
        break;
    default:
        say_rest(&l, e);
    }
    return out;
}
