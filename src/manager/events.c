/* events.c -- see events.h. Also dm_manager_next: acts become actions when they are handed out, in the order queued.
 *
 * (1) Revisions rise in the order of delivery: an act takes its revision when it is queued and the queue is a FIFO.
 * (2) A subject (resource, claim) is in the queue at most once; it shows the state at the time it is handed out.
 * (3) SAVE comes when nothing else is due, so that one write takes all changes of a drain. */
#include "manager/events.h"
#include "base/text.h"
#include "manager/answer.h"
#include "manager/call.h"
#include "manager/resource.h"
#include "manager/save.h"
#include "manager/view.h"
#include <stdio.h>

void dm_act_queue(struct dm_manager *m, struct dm_act *act) {
    if (dm_linked(&act->at))
        return;
    if (act->kind >= DM_ACT_EVENT)
        act->revision = ++m->revision;
    dm_list_append(&m->actions, &act->at);
}

struct dm_act_event *dm_event_new(int type) {
    struct dm_act_event *e = DM_NEW(struct dm_act_event);
    e->act.kind = DM_ACT_EVENT;
    e->event.type = type;
    return e;
}

void dm_event_queue(struct dm_manager *m, struct dm_act_event *e) {
    dm_act_queue(m, &e->act);
    e->event.revision = e->act.revision;
    e->event.unix_ms = m->unix_us / 1000;
}

__attribute__((format(printf, 5, 0))) static void say(struct dm_manager *m, int type, const char *resource,
                                                      int level, const char *format, va_list ap) {
    struct dm_act_event *e = dm_event_new(type);
    char text[2048];
    vsnprintf(text, sizeof text, format, ap);
    dm_text_one_line(text);
    e->event.level = level;
    e->event.resource = dm_pages_text(&e->pages, resource);
    e->event.message = dm_pages_text(&e->pages, text);
    dm_event_queue(m, e);
}

void dm_event_log(struct dm_manager *m, int level, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    say(m, DEVMGR_EV_LOG, NULL, level, format, ap);
    va_end(ap);
}

void dm_event_plugin(struct dm_manager *m, const char *resource, int level, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    say(m, DEVMGR_EV_PLUGIN, resource, level, format, ap);
    va_end(ap);
}

void dm_event_pod(struct dm_manager *m, int type, const struct dm_pod *pod, const char *uid) {
    struct dm_act_event *e = dm_event_new(type);
    e->event.pod_uid = dm_pages_text(&e->pages, uid);
    e->event.pod = pod ? dm_view_pod(&e->pages, pod, NULL, true) : NULL;
    dm_event_queue(m, e);
}

struct act_cancel {
    struct dm_act act;
    uint64_t call;
};

void dm_act_cancel(struct dm_manager *m, uint64_t call) {
    struct act_cancel *c = DM_NEW(struct act_cancel);
    c->act.kind = DM_ACT_CANCEL;
    c->call = call;
    dm_act_queue(m, &c->act);
}

static void free_event(struct dm_act_event *e) {
    if (e)
        dm_pages_free(&e->pages);
    free(e);
}

/* ---- handing out ------------------------------------------------------------------------------------------------- */

static struct dm_act_event *show(struct dm_manager *m, int type, const struct dm_act *act) {
    struct dm_act_event *e = dm_event_new(type);
    e->event.level = 6;
    e->event.revision = act->revision;
    e->event.unix_ms = m->unix_us / 1000;
    m->shown = e;
    return e;
}

static void show_resource(struct dm_manager *m, const struct dm_resource *r) {
    struct dm_act_event *e = show(m, DEVMGR_EV_RESOURCE, &r->to_show);
    devmgr_resource *row = dm_pages_alloc(&e->pages, sizeof *row);
    dm_resource_fill(r, row);
    row->name = dm_pages_text(&e->pages, row->name);
    row->last_error = dm_pages_text(&e->pages, row->last_error);
    e->event.resource = row->name;
    e->event.changed = row;
}

static struct dm_hold *next_to_show(struct dm_claim *c) {
    for (size_t i = 0; i < c->n; i++)
        if (c->holds[i].shown != dm_device_health(c->resource, c->holds[i].device))
            return &c->holds[i];
    return NULL;
}

/* One event per device; the claim goes to the end of the queue while more of its devices are to be told. */
static bool show_claim(struct dm_manager *m, struct dm_claim *c) {
    struct dm_hold *h = next_to_show(c);
    if (!h)
        return false;
    struct dm_act_event *e = show(m, DEVMGR_EV_CLAIM_HEALTH, &c->to_show);
    e->event.claim = dm_view_hold(&e->pages, h);
    e->event.pod_uid = e->event.claim->pod_uid;
    e->event.resource = e->event.claim->resource;
    h->shown = e->event.claim->health;
    if (next_to_show(c))
        dm_act_queue(m, &c->to_show);
    return true;
}

/* False: nothing came of it (a health that changed back before it was told). */
static bool hand_out(struct dm_manager *m, struct dm_act *act, struct dm_action *ret) {
    switch (act->kind) {
    case DM_ACT_CALL:
        ret->kind = DM_DO_CALL;
        ret->call = dm_call_send(m, DM_CONTAINER(act, struct dm_open_call, to_send));
        return true;
    case DM_ACT_CANCEL:
        ret->kind = DM_DO_CANCEL;
        ret->cancel = DM_CONTAINER(act, struct act_cancel, act)->call;
        free(DM_CONTAINER(act, struct act_cancel, act));
        return true;
    case DM_ACT_ANSWER:
        ret->kind = DM_DO_ANSWER;
        ret->answer = DM_CONTAINER(act, struct dm_answer_due, act);
        return true;
    case DM_ACT_EVENT:
        m->shown = DM_CONTAINER(act, struct dm_act_event, act);
        break;
    case DM_ACT_RESOURCE:
        show_resource(m, DM_CONTAINER(act, struct dm_resource, to_show));
        break;
    case DM_ACT_CLAIM:
        if (!show_claim(m, DM_CONTAINER(act, struct dm_claim, to_show)))
            return false;
        break;
    }
    ret->kind = DM_DO_EVENT;
    ret->event = &m->shown->event;
    return true;
}

bool dm_manager_next(struct dm_manager *m, struct dm_action *ret) {
    free_event(DM_MOVE(m->shown));
    *ret = (struct dm_action){0};
    while (!dm_list_empty(&m->actions)) {
        struct dm_act *act = DM_CONTAINER(m->actions.next, struct dm_act, at);
        dm_list_remove(&act->at);
        if (hand_out(m, act, ret))
            return true;
    }
    ret->snapshot = dm_save_due(m, &ret->durable);
    ret->kind = DM_DO_SAVE;
    return ret->snapshot != NULL;
}

void dm_act_free_all(struct dm_manager *m) {
    free_event(DM_MOVE(m->shown));
    while (!dm_list_empty(&m->actions)) {
        struct dm_act *act = DM_CONTAINER(m->actions.next, struct dm_act, at);
        dm_list_remove(&act->at);
        if (act->kind == DM_ACT_EVENT)
            free_event(DM_CONTAINER(act, struct dm_act_event, act));
        else if (act->kind == DM_ACT_CANCEL)
            free(DM_CONTAINER(act, struct act_cancel, act));
        else if (act->kind == DM_ACT_ANSWER)
            dm_answer_drop(DM_CONTAINER(act, struct dm_answer_due, act));
    }
}
