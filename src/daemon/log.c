/* log.c -- see log.h. Text lines begin with the level; under journald that is its own "<N>" prefix. */
#include "daemon/log.h"
#include "base/buf.h"
#include "base/mem.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { ERROR = 3, WARNING = 4, NOTICE = 5, INFO = 6, DEBUG = 7 };

static const char *level_name(int level) {
    return level <= ERROR ? "error" : level == WARNING ? "warning" : level <= INFO ? "info" : "debug";
}

void dm_log_init(struct dm_log *log, const char *level, const char *format) {
    static const int levels[] = {ERROR, WARNING, INFO, DEBUG};
    log->level = INFO;
    for (size_t i = 0; i < DM_COUNT(levels); i++)
        if (!strcmp(level, level_name(levels[i])))
            log->level = levels[i];
    log->json = !strcmp(format, "json");
}

struct line {
    int level;
    uint64_t unix_ms;
    const char *type, *text, *resource, *pod_uid;
};

static void print_json(const struct line *l) {
    json_t *o = json_pack("{s:I, s:s, s:s, s:s, s:s, s:s}", "time", (json_int_t)l->unix_ms, "level",
                          level_name(l->level), "type", l->type, "message", l->text, "resource",
                          l->resource ? l->resource : "", "pod", l->pod_uid ? l->pod_uid : "");
    DM_FREE char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    if (text)
        fprintf(stderr, "%s\n", text);
}

static void print_text(const struct line *l) {
    char stamp[32];
    time_t seconds = (time_t)(l->unix_ms / 1000);
    struct tm tm;
    if (getenv("JOURNAL_STREAM")) {
        fprintf(stderr, "<%d>%s\n", l->level, l->text);
        return;
    }
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &tm));
    fprintf(stderr, "%s.%03uZ %s: %s\n", stamp, (unsigned)(l->unix_ms % 1000), level_name(l->level), l->text);
}

static void print(const struct dm_log *log, const struct line *l) {
    if (l->level > log->level)
        return;
    if (log->json)
        print_json(l);
    else
        print_text(l);
}

void dm_log_line(const struct dm_log *log, int level, const char *text) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    print(log, &(struct line){level, (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000, "log", text,
                              NULL, NULL});
}

static const char *describe(const devmgr_event *ev, struct dm_buf *out) {
    if (ev->message && *ev->message) {
        bool named = !ev->resource || !*ev->resource || strstr(ev->message, ev->resource);
        dm_buf_printf(out, "%s%s%s", named ? "" : ev->resource, named ? "" : ": ", ev->message);
        return out->data;
    }
    if (ev->type == DEVMGR_EV_RESOURCE && ev->changed)
        dm_buf_printf(out, "%s: capacity %ju, allocatable %ju, held %ju, plugin %s", ev->changed->name,
                      (uintmax_t)ev->changed->capacity, (uintmax_t)ev->changed->allocatable,
                      (uintmax_t)ev->changed->held, devmgr_plugin_name(ev->changed->plugin));
    else if (ev->type == DEVMGR_EV_CLAIM_HEALTH && ev->claim)
        dm_buf_printf(out, "%s: device %s of pod %s/%s container %s is %s", ev->claim->resource,
                      ev->claim->device, ev->claim->pod_namespace, ev->claim->pod_name, ev->claim->container,
                      devmgr_health_name(ev->claim->health));
    else if (ev->pod)
        dm_buf_printf(out, "pod %s/%s %s", ev->pod->namespace_, ev->pod->name, devmgr_event_name(ev->type));
    else
        dm_buf_printf(out, "pod %s %s", ev->pod_uid ? ev->pod_uid : "?", devmgr_event_name(ev->type));
    return out->data;
}

void dm_log_event(const struct dm_log *log, const devmgr_event *ev) {
    DM_CLEANUP(dm_buf_free) struct dm_buf made = {0};
    bool told = ev->type == DEVMGR_EV_LOG || ev->type == DEVMGR_EV_PLUGIN;
    bool ill = ev->type == DEVMGR_EV_CLAIM_HEALTH && ev->claim && ev->claim->health != DEVMGR_HEALTHY;
    int level = told ? ev->level : ill ? WARNING : INFO;
    if (level > log->level)
        return;
    print(log, &(struct line){level, ev->unix_ms, devmgr_event_name(ev->type), describe(ev, &made),
                              ev->resource, ev->pod_uid});
}
