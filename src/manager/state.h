/* state.h -- the manager's state: plain structs, one owner each. Internal to src/manager.
 *
 *   dm_manager ─┬─ dm_resource ── dm_device (index = natural order of ids) ──► dm_hold of each claim on it
 *               ├─ dm_pod ── dm_container ── dm_claim (one resource) ── dm_hold[n] ──► dm_device
 *               ├─ dm_txn: an admission in flight; its claims have claim->txn set: reserved, not held
 *               ├─ dm_open_call, dm_prestart, dm_done: what waits for an answer
 *               └─ actions: what the owner has to do, in order
 *
 * A device's state is derived: no hold: free; a hold of a claim without txn: held; else reserved. The bitsets and counts
 * of a resource mirror that and are only changed in resource.c. */
#ifndef DM_MANAGER_STATE_H
#define DM_MANAGER_STATE_H
#include "base/bits.h"
#include "base/list.h"
#include "base/map.h"
#include "manager/devices.h"
#include "manager/manager.h"
#include "topology/policy.h"

#define DM_NEVER UINT64_MAX

static inline bool dm_linked(const struct dm_list *node) {
    return node->next && node->next != node;
}

/* Something to hand out, in manager->actions; embedded in its subject, or allocated (events.c, answer.c). */
struct dm_act {
    struct dm_list at;
    enum { DM_ACT_CALL, DM_ACT_CANCEL, DM_ACT_ANSWER, DM_ACT_EVENT, DM_ACT_RESOURCE, DM_ACT_CLAIM } kind;
    uint64_t revision; /* of the event */
};

/* ---- resources (resource.c, listing.c) -------------------------------------------------------------------------- */

struct dm_hold { /* one device in one claim */
    struct dm_device *device;
    struct dm_claim *claim;
    struct dm_hold *next; /* of the same device */
    uint64_t numa;        /* as it was when it was taken */
    int shown;            /* health that was told last; -1: none yet */
};
struct dm_device {
    struct dm_hold *holds; /* all of one pod; NULL: free */
    uint64_t numa;
    uint32_t index; /* in its resource: natural order of ids; changes when ids come or go */
    uint32_t hash;  /* devices.c */
    uint32_t group; /* groups.c; DM_NO_GROUP: not listed */
    bool listed, healthy, topology, empty_topology; /* struct dm_listed_device */
    bool seen;                                      /* scratch of listing.c */
    char id[];
};
struct dm_node_group { /* listed devices on the same nodes */
    uint64_t numa;
    bool topology;        /* also an empty one */
    uint64_t known, free; /* all; of these, free and healthy */
};
struct dm_queue {              /* one Allocate or GetPreferredAllocation at a time */
    struct dm_list waiting;    /* dm_txn.at */
    struct dm_list to_serve;   /* in manager: somebody may be next */
    struct dm_txn *active;     /* whose turn it is */
    struct dm_open_call *busy; /* also that of a txn which gave up: its result still comes */
};
struct dm_resource {
    struct dm_manager *manager;
    char *name;
    struct dm_devices by_id;
    struct dm_device **devices; /* by index: all that are listed or have a hold */
    size_t n_devices;
    struct dm_device **order; /* as the last list had them */
    size_t n_order;
    struct dm_bits healthy, held, reserved; /* healthy: listed, Healthy, and the list is valid */
    struct dm_bits *nodes;                  /* [64], NULL: no device has a node */
    size_t n_listed, n_healthy, n_held, n_reserved, n_free;
    struct dm_node_group *groups; /* groups.c */
    size_t n_groups, groups_cap, group_mask;
    uint32_t *group_slots;
    bool topology; /* some listed device has a node */

    uint64_t generation; /* of the endpoint; 0: never had one in this process */
    bool connected;
    bool listed;   /* this endpoint sent a list */
    bool had_list; /* some endpoint did, since it was removed or before this process: the kubelet knows it */
    bool list_valid; /* the devices are those of a plugin that has been connected ever since */
    bool removed;    /* grace is over */
    bool has_options, prestart, preferred;
    char *socket;
    uint64_t grace_until; /* DM_NEVER while connected or removed */
    char *last_error;     /* "": none */

    struct dm_queue own, *queue;     /* own, or the node's with serial = node */
    struct dm_list waiters;          /* dm_txn.at: NOT_YET for want of this resource, oldest first */
    struct dm_list to_retry;         /* in manager: they may pass now */
    struct dm_list passed_over;      /* in manager: some were not tried, for the sake of others */
    struct dm_act to_show;           /* an EV_RESOURCE is due */
    size_t n_calls;                  /* open ones, of any kind */
    struct dm_saved_resource *saved; /* NULL: to be made anew */
};

/* ---- pods (claims.c) --------------------------------------------------------------------------------------------- */

struct dm_claim {
    struct dm_list in_manager; /* in the order of the checkpoint */
    struct dm_act to_show;     /* EV_CLAIM_HEALTH is due for some of its holds */
    struct dm_container *container;
    struct dm_resource *resource;
    struct dm_txn *txn; /* reserved by it; NULL: held */
    size_t n;
    struct dm_hold *holds;        /* by index */
    struct dm_saved_claim *saved; /* has the plugin's answer; NULL until it came */
    bool doubtful;                /* the checkpoint had it so: shares a device with another app container */
};
struct dm_container {
    struct dm_pod *pod;
    char *name;
    int kind; /* -1: not known (a kubelet's file) */
    uint64_t affinity;
    bool admitted; /* false: of an admission in flight */
    bool conflict_told;
    size_t n_claims;
    struct dm_claim **claims; /* by resource name */
};
struct dm_pod {
    char *uid, *namespace_, *name, *tag;
    uint64_t revision;       /* at which it was admitted */
    uint64_t saved_revision; /* of an admission that waits for its save; a little before `revision` */
    bool restored;           /* from the checkpoint: what `revision` it was told as is not known exactly */
    uint64_t adopted;        /* the change (save.c) that has to be saved before what was adopted is durable */
    bool admitted;           /* false: only an admission in flight knows it */
    bool init_done;
    struct dm_txn *txn;
    size_t n_containers;
    struct dm_container **containers; /* in start order */
    struct dm_saved_pod *saved;       /* NULL: to be made anew */
};

/* ---- admissions (admission.c, queue.c, retry.c) -------------------------------------------------------------------- */

struct dm_verdict {
    int verdict, cause;
    char *detail, *message, *container, *resource; /* owned; container, resource NULL: the pod's */
    size_t need;                                   /* InsufficientDevices: free devices that would do */
    bool locality; /* to the kubelet it is a matter of topology, whatever the cause */
};
enum dm_txn_state { DM_TXN_WALKING, DM_TXN_QUEUED, DM_TXN_CALLING, DM_TXN_SAVING, DM_TXN_WAITING };
struct dm_txn {
    struct dm_list in_manager; /* oldest first */
    struct dm_list at;         /* to_walk, a queue or a list of waiters; or nowhere */
    enum dm_txn_state state;
    struct dm_manager *manager;
    uint64_t number; /* rising: who came first */
    struct dm_pod *pod;
    devmgr_pod *request;
    devmgr_admit_cb cb;
    void *arg;

    size_t container, limit; /* where the walk is */
    struct dm_resource *resource;
    struct dm_claim *claim;    /* being made: picked, not answered yet */
    struct dm_open_call *call; /* open now */
    uint64_t deadline;         /* of this resource: queue and Allocate */
    uint64_t called_at;        /* GetPreferredAllocation: its time is not counted */
    uint64_t save;             /* number of the save that it waits for */
    uint64_t *affinity;        /* affinity.c: of each container so far; NULL: none yet */
    uint64_t pod_affinity;     /* scope pod, once decided */
    bool pod_decided;
    uint64_t took;          /* providers.c */
    bool asked;             /* a plugin was called in this attempt */
    uint64_t wait_until;    /* request->wait_ms as a moment */
    bool passed_over;       /* while waiting: what is free was thought to go to others */
    uint64_t not_before;    /* while waiting: no new attempt before that */
    uint64_t retry_at;      /* while waiting: a new attempt even if nothing changed; DM_NEVER */
    struct dm_verdict last; /* while waiting */
    char *conflict;         /* for detail */
    struct dm_trial *trial; /* explain.c: a question only; NULL: in earnest */
};

struct dm_open_call {
    struct dm_act to_send;
    struct dm_list in_manager;
    struct dm_call call; /* ids are made when it is handed out */
    struct dm_resource *resource;
    struct dm_queue *queue;       /* NULL: PRESTART */
    struct dm_txn *txn;           /* NULL: it gave up */
    struct dm_prestart *prestart; /* NULL: it gave up */
    uint64_t until;               /* moment of its deadline */
    bool sent, canceled;
};

/* ---- container options (prestart.c) and ends (release.c) ----------------------------------------------------------- */

struct dm_prestart { /* one devmgr_container_options */
    struct dm_list in_manager;
    struct dm_manager *manager;
    char *uid, *container;
    bool call_plugins;
    char *after; /* name of the resource that was asked last; NULL: none yet */
    struct dm_open_call *call;
    devmgr_options_cb cb;
    void *arg;
};
struct dm_done { /* waits for a save */
    struct dm_list in_manager;
    uint64_t change; /* the change that must be on disk */
    char **uids;
    size_t n;
    devmgr_done_cb cb;
    void *arg;
};
struct dm_saving {          /* save.c */
    uint64_t change, saved; /* durable changes so far; of these, on disk */
    uint64_t open_change;   /* what the open write will have on disk */
    uint64_t number;        /* of saves */
    bool open, open_durable;
    bool dirty;                 /* something that need not be durable changed */
    bool open_lazy;             /* the open write has it */
    uint64_t lazy_at, retry_at; /* DM_NEVER: not */
    uint64_t backoff;           /* ms */
};
struct dm_backoff {            /* retry.c: one pod that was refused lately */
    struct dm_list in_manager; /* last refused last */
    char *uid;
    uint64_t request, at; /* hash of what it asked for; when */
    unsigned count;
};

struct dm_manager {
    const struct dm_settings *settings;
    const struct dm_topology *topology;
    devmgr_provider *providers; /* in the order in which they came */
    size_t n_providers;
    dm_answer_decoder decode;
    uint64_t mono, unix_us, revision, numbers;
    uint64_t opened; /* revision at which the checkpoint had been taken over */
    bool closed, settling;

    struct dm_map resource_by_name, pod_by_uid;
    struct dm_resource **resources; /* by name, bytes */
    size_t n_resources, resources_cap;
    struct dm_pod **pods; /* by uid, bytes */
    size_t n_pods, pods_cap;
    struct dm_list claims; /* those that belong in the checkpoint, oldest first */
    size_t n_claims;

    struct dm_list txns, prestarts, dones, calls;
    struct dm_list to_walk, to_serve, to_retry, passed_over; /* work for settle */
    struct dm_list waiters; /* dm_txn.at: NOT_YET, but for no resource that we have */
    struct dm_queue node_queue;
    uint64_t last_call;

    bool recovering, synced; /* synced: `unknown` was told */
    char **unknown;          /* live pods that we do not know; they keep admission closed */
    size_t n_unknown;

    struct dm_saving saving;
    struct dm_list backoffs;
    struct dm_map backoff_by_uid;

    struct dm_list actions;     /* dm_act.at */
    struct dm_act_event *shown; /* handed out last: what it points to */
    const char **call_ids, **call_must;
};

/* Does everything that became possible; at the end of every entry point. */
void dm_manager_settle(struct dm_manager *m);
#endif
