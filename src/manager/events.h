/* events.h -- what the owner has to do next: one queue of acts, in order; events about one subject coalesce in it. */
#ifndef DM_MANAGER_EVENTS_H
#define DM_MANAGER_EVENTS_H
#include "manager/pages.h"
#include "manager/state.h"

struct dm_act_event { /* an event with its own copy of everything it shows */
    struct dm_act act;
    devmgr_event event;
    struct dm_pages pages;
};

void dm_act_queue(struct dm_manager *m,
                  struct dm_act *act); /* no-op while it is queued; takes a revision for an event */
/* An event to be filled in and then queued with dm_event_queue; texts go into its pages. */
struct dm_act_event *dm_event_new(int type);
void dm_event_queue(struct dm_manager *m, struct dm_act_event *e);
void dm_event_log(struct dm_manager *m, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void dm_event_plugin(struct dm_manager *m, const char *resource, int level, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void dm_event_pod(struct dm_manager *m, int type, const struct dm_pod *pod_or_null, const char *uid);
void dm_act_cancel(struct dm_manager *m, uint64_t call);
void dm_act_free_all(struct dm_manager *m); /* at the end: what was never handed out */
#endif
