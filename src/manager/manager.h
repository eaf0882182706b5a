/* manager.h -- the core: who has which device. Told what happened, answers what to do. No I/O, no clock, no threads.
 *
 *      events in                                             actions out (dm_manager_next)
 *   plugin connected, listed, gone ──►  ┌─────────┐ ──► CALL, CANCEL   an RPC to a plugin
 *   call answered, saved           ──►  │ manager │ ──► SAVE           one snapshot, one write at a time
 *   admit, options, release, sync  ──►  │         │ ──► ANSWER         a caller's callback is due
 *   time                           ──►  └─────────┘ ──► EVENT          for devmgr_event_cb
 *
 * Invariants (dm_manager_check asserts them in tests and fuzzers)
 *   (1) A device is free, reserved by one transaction, or held by claims of one pod.
 *   (2) At most one claim of a device is not a plain init container's.
 *   (3) A transaction that ends in anything but ADMITTED leaves no reservation behind.
 *   (4) ADMITTED is said after a SAVE that contained it succeeded.
 *   (5) Per resource at most one PREFERRED or ALLOCATE call is open (serial = node: at most one in all).
 *   (6) Every callback handed in is answered exactly once.
 *
 * The owner (src/devmgr.c) sets the time, passes an event, then drains dm_manager_next until it says false. Answers may
 * call in again: their actions come later in the same drain. */
#ifndef DM_MANAGER_MANAGER_H
#define DM_MANAGER_MANAGER_H
#include "base/error.h"
#include "base/plugin.h"
#include "base/settings.h"
#include "checkpoint/snapshot.h"
#include "manager/pod.h"

struct dm_manager;
struct dm_topology;

enum dm_start { /* what the checkpoint said at open */
                DM_START_NEW,
                DM_START_LOADED,
                DM_START_RECOVERING /* from a copy that may be one write old, or from nothing: admit nothing until sync */
};
/* Settings must outlive the manager. `decode` reads a plugin's Allocate answer. The clock starts as given. */
struct dm_manager *dm_manager_new(const struct dm_settings *settings, dm_answer_decoder decode,
                                  uint64_t mono_ms, uint64_t unix_us);
void dm_manager_free(struct dm_manager *m); /* no callbacks; close first */
/* Before the first admission; it must outlive the manager. Until then: policy none, one node 0. */
void dm_manager_topology(struct dm_manager *m, const struct dm_topology *topology);
/* Before anything else: takes the saved claims over (parts are ref'd). Checkpointed resources are known, without list
 * or endpoint, their grace starts now. Two pods that hold one device in the file: the older entry keeps it, the other
 * claim is dropped with a log event -- one owner, always. */
void dm_manager_restore(struct dm_manager *m, const struct dm_snapshot *s, enum dm_start start);

/* Time. Before every event; never backwards. */
void dm_manager_time(struct dm_manager *m, uint64_t mono_ms, uint64_t unix_us);
uint64_t
dm_manager_wake(const struct dm_manager *m); /* mono_ms at which _tick wants to run; UINT64_MAX: never */
void dm_manager_tick(struct dm_manager *m);

/* Plugins (struct dm_registration_events has the same shapes). */
int dm_manager_connected(struct dm_manager *m, const struct dm_endpoint_info *info, devmgr_error *reterr);
void dm_manager_listed(struct dm_manager *m, const char *resource, uint64_t generation,
                       const struct dm_device_list *l);
void dm_manager_gone(struct dm_manager *m, const char *resource, uint64_t generation, const char *why);
void dm_manager_note(struct dm_manager *m, const char *resource, int level,
                     const char *text); /* last_error, EV_PLUGIN */
void dm_manager_answered(struct dm_manager *m, const struct dm_call_result *result);
void dm_manager_log(struct dm_manager *m, int level, const char *text); /* an EV_LOG with a revision */

/* The write asked for by SAVE ended. Negative: nothing of it may be relied on; it is asked for again (1 s doubling to
 * 30 s, or at the next change). */
void dm_manager_saved(struct dm_manager *m, int status, const devmgr_error *err);
void dm_manager_save_again(struct dm_manager *m);    /* the file may be gone: write even if nothing changed */
bool dm_manager_unsaved(const struct dm_manager *m); /* at close: something is not on disk yet */

/* What devmgr.h says, word for word; 0 or negative at once, else the callback is answered through an action. */
int dm_manager_admit(struct dm_manager *m, const devmgr_pod *pod, devmgr_admit_cb cb, void *arg,
                     devmgr_error *reterr);
int dm_manager_options(struct dm_manager *m, const char *uid, const char *container, unsigned flags,
                       devmgr_options_cb cb, void *arg);
int dm_manager_init_done(struct dm_manager *m, const char *uid, devmgr_done_cb cb, void *arg);
int dm_manager_release(struct dm_manager *m, const char *uid, const char *container_or_null,
                       devmgr_done_cb cb, void *arg);
int dm_manager_sync(struct dm_manager *m, const char *const *uids, size_t n, uint64_t as_of, unsigned flags,
                    devmgr_done_cb cb, void *arg);
int dm_manager_claim_record(struct dm_manager *m, const char *uid, const char *container,
                            int (*write)(void *, const char *, size_t), void *arg);
int dm_manager_adopt(struct dm_manager *m, const devmgr_pod *pod, const char *container, const char *record,
                     devmgr_done_cb cb, void *arg, devmgr_error *reterr);
int dm_manager_forget_resource(struct dm_manager *m, const char *resource);
uint64_t dm_manager_revision(const struct dm_manager *m);
int dm_manager_each_resource(struct dm_manager *m, int (*visit)(void *, const devmgr_resource *), void *arg);
int dm_manager_each_device(struct dm_manager *m, const char *resource,
                           int (*visit)(void *, const devmgr_device *), void *arg);
int dm_manager_each_claim(struct dm_manager *m, const char *uid, int (*visit)(void *, const devmgr_claim *),
                          void *arg);
int dm_manager_each_pod(struct dm_manager *m, int (*visit)(void *, const devmgr_held_pod *), void *arg);
uint64_t dm_manager_node_allocatable(struct dm_manager *m, const char *uid, const char *resource,
                                     uint64_t allocatable);
int dm_manager_add_provider(struct dm_manager *m, const devmgr_provider *p);
int dm_manager_hints(struct dm_manager *m, const devmgr_pod *pod, const char *container, devmgr_hint_cb visit,
                     void *arg);
int dm_manager_explain(struct dm_manager *m, const devmgr_pod *pod,
                       int (*write)(void *arg, const char *json, size_t n), void *arg, devmgr_error *reterr);
/* Ends all that is open (admissions CANCELED, the rest -ECANCELED) and cancels calls; drain afterwards. */
void dm_manager_close(struct dm_manager *m);

enum dm_action_kind { DM_DO_CALL, DM_DO_CANCEL, DM_DO_SAVE, DM_DO_ANSWER, DM_DO_EVENT };
struct dm_answer_due; /* a callback and what it will be told */
struct dm_action {
    enum dm_action_kind kind;
    const struct dm_call *call; /* CALL */
    uint64_t cancel;            /* CANCEL: the call's id; its result still comes */
    struct dm_snapshot
        *snapshot; /* SAVE: the receiver's, free it with dm_snapshot_free after dm_manager_saved */
    bool durable;  /* SAVE: with fsync */
    struct dm_answer_due *answer; /* ANSWER: dm_answer_deliver it, once */
    const devmgr_event *event;    /* EVENT */
};
/* The next thing to do, in order. What it points to lasts until the next dm_manager_next. */
bool dm_manager_next(struct dm_manager *m, struct dm_action *ret);
void dm_answer_deliver(struct dm_answer_due *answer);
/* Asserts the invariants; O(everything). */
void dm_manager_check(const struct dm_manager *m);
#endif
