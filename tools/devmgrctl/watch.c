/* watch.c -- devmgrctl watch and wait. */
#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "ctl.h"
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- watch as text --------------------------------------------------------------------------------------------- */

static const char *level_word(int level) {
    return level <= 3 ? "error: " : level == 4 ? "warning: " : "";
}

static char *held_words(const devmgr_event *ev) {
    struct dm_buf b = {0};
    json_auto_t *row = dm_json_event(ev);
    const char *container, *resource;
    json_t *resources, *ids;
    DM_FREE char *label =
        ctl_pod_label(ev->pod_uid, ev->pod ? ev->pod->namespace_ : "", ev->pod ? ev->pod->name : "");
    dm_buf_puts(&b, label);
    json_object_foreach(json_object_get(row, "containers"), container, resources) {
        json_object_foreach(resources, resource, ids) {
            DM_FREE char *list = joined(ids, " ");
            dm_buf_printf(&b, "; %s: %s: %s", container, resource, list);
        }
    }
    return dm_buf_steal(&b);
}

static char *words(const devmgr_event *ev) {
    const devmgr_resource *r = ev->changed;
    const devmgr_claim *c = ev->claim;
    if (ev->type == DEVMGR_EV_RESOURCE && r)
        return dm_printf("%s: %llu of %llu allocatable, %llu held; plugin %s", r->name,
                         (unsigned long long)r->allocatable, (unsigned long long)r->capacity,
                         (unsigned long long)r->held, devmgr_plugin_name(r->plugin));
    if (ev->type == DEVMGR_EV_CLAIM_HEALTH && c) {
        DM_FREE char *label = ctl_pod_label(c->pod_uid, c->pod_namespace, c->pod_name);
        return dm_printf("%s; %s: %s: %s is %s", label, c->container, c->resource, c->device,
                         devmgr_health_name(c->health));
    }
    if (ev->type == DEVMGR_EV_ADMITTED || ev->type == DEVMGR_EV_RELEASED)
        return held_words(ev);
    if (ev->type == DEVMGR_EV_PLUGIN)
        return dm_printf("%s: %s%s", ev->resource, level_word(ev->level), ev->message);
    if (ev->type == DM_EVENT_SYNCED)
        return dm_strdup("this is all; changes follow");
    return dm_printf("%s%s", level_word(ev->level), ev->message);
}

static void print_text(const devmgr_event *ev) {
    time_t seconds = (time_t)(ev->unix_ms / 1000);
    struct tm tm = {0};
    char clock[16];
    DM_FREE char *line = words(ev);
    localtime_r(&seconds, &tm);
    strftime(clock, sizeof clock, "%H:%M:%S", &tm);
    printf("%s.%03u  %-12s  ", clock, (unsigned)(ev->unix_ms % 1000),
           ev->type == DM_EVENT_SYNCED ? "synced" : devmgr_event_name(ev->type));
    print_coloured(ev->type == DEVMGR_EV_CLAIM_HEALTH || (ev->level && ev->level <= 4) ? YELLOW : PLAIN,
                   line);
    putchar('\n');
}

static int show(void *arg, const devmgr_event *ev) {
    const struct ctl *c = arg;
    if (c->output == OUT_JSON)
        dm_json_print(dm_json_event(ev), stdout);
    else
        print_text(ev);
    return fflush(stdout) == 0 ? 0 : 1; /* nobody reads: main says so */
}

/* Each line is out when it is printed: nothing is lost. */
static void on_enough(int number) {
    (void)number;
    _exit(EXIT_GOOD);
}

int cmd_watch(struct ctl *c) {
    devmgr_error err;
    if (ctl_operands(c, 0, 0, NULL))
        return EXIT_USAGE;
    signal(SIGINT, on_enough);
    signal(SIGTERM, on_enough);
    if (ctl_connect(c, 0, &err) < 0 || dm_client_watch(c->client, 0, show, c, &err) < 0)
        return ctl_fail(&err);
    return EXIT_FAILED;
}

/* ---- wait ------------------------------------------------------------------------------------------------------ */

struct wait {
    const char *resource;
    uint64_t count, timeout_ms; /* UINT64_MAX: none */
    struct timespec start;
    bool seen; /* the resource is known */
    uint64_t allocatable;
    int plugin;
};

/* 0: over. */
static uint64_t left_ms(const struct wait *w) {
    struct timespec now;
    if (w->timeout_ms == UINT64_MAX)
        return UINT64_MAX;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t past =
        (uint64_t)((now.tv_sec - w->start.tv_sec) * 1000 + (now.tv_nsec - w->start.tv_nsec) / 1000000);
    return past < w->timeout_ms ? w->timeout_ms - past : 0;
}

static int enough(void *arg, const devmgr_event *ev) {
    struct wait *w = arg;
    if (ev->type != DEVMGR_EV_RESOURCE || !ev->changed || strcmp(ev->changed->name, w->resource))
        return 0;
    w->seen = true;
    w->allocatable = ev->changed->allocatable;
    w->plugin = ev->changed->plugin;
    return w->allocatable >= w->count;
}

/* 1: it is there; 0: try again; negative: it failed. */
static int wait_once(struct ctl *c, struct wait *w, devmgr_error *reterr) {
    struct dm_info info;
    uint64_t left = left_ms(w);
    int r = ctl_connect(c, left, reterr);
    if (r == 0)
        r = dm_client_info(c->client, &info, reterr);
    if (r == 0 && !w->resource)
        return 1;
    left = left_ms(w);
    if (r == 0)
        r = dm_client_watch(c->client, left == UINT64_MAX ? 0 : left ? left : 1, enough, w, reterr);
    dm_client_closep(&c->client);
    /* The daemon went away, or cut us off: that is what waiting is for. */
    return (r == -ECONNRESET || r == -ENOBUFS) && left_ms(w) ? 0 : r;
}

static int timed_out(const struct wait *w, int r, devmgr_error *err) {
    char limit[32];
    if (w->timeout_ms != UINT64_MAX)
        dm_text_duration_format(w->timeout_ms, limit, sizeof limit);
    if (r == -ETIMEDOUT && w->seen)
        dm_error_set(err, r, "%s: %llu of %llu allocatable after %s (plugin: %s)", w->resource,
                     (unsigned long long)w->allocatable, (unsigned long long)w->count, limit,
                     devmgr_plugin_name(w->plugin));
    else if (r == -ETIMEDOUT && w->resource)
        dm_error_set(err, r, "%s: no plugin has registered it after %s", w->resource, limit);
    return ctl_fail(err);
}

int cmd_wait(struct ctl *c) {
    struct wait w = {.count = 1, .timeout_ms = UINT64_MAX};
    devmgr_error err;
    int r;
    if (ctl_operands(c, 0, 0, NULL))
        return EXIT_USAGE;
    w.resource = dm_args_get(&c->args, "resource");
    if (dm_args_u64(&c->args, "count", 0, UINT64_MAX, &w.count, &err) < 0 ||
        dm_args_duration(&c->args, "timeout", &w.timeout_ms, &err) < 0)
        return ctl_misused(c, &err);
    if (!w.resource && dm_args_has(&c->args, "count")) {
        dm_error_set(&err, -EINVAL, "--count: needs --resource");
        return ctl_misused(c, &err);
    }
    clock_gettime(CLOCK_MONOTONIC, &w.start);
    while ((r = wait_once(c, &w, &err)) == 0)
        usleep(50 * 1000); /* it answers, but not for long: closing, or full */
    return r > 0 ? EXIT_GOOD : timed_out(&w, r, &err);
}
