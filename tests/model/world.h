/* world.h -- everything around a manager, simulated: caller, plugins, disk, clock. It compares with the model as it goes.
 *
 *   world.c    one event after the other; the drain; time; the end, when all must be free again
 *   caller.c   admit, release, sync, adopt, options: what is asked, and each answer held against the model
 *   plugins.c  calls and their answers, lists
 *   disk.c     the file, the copy before it, and what of them a restart finds
 *   look.c     the state as the manager shows it, its events and the model: all the same after every step
 *
 * A difference is reported on stderr and ends the process: a run has a process of its own. */
#ifndef WORLD_H
#define WORLD_H
#include "base/buf.h"
#include "base/mem.h"
#include "checkpoint/checkpoint.h"
#include "event.h"
#include "manager/manager.h"
#include "topology/policy.h"

struct call { /* open at a plugin */
    uint64_t id, generation, until;
    enum dm_rpc_kind rpc;
    int pod, container, resource; /* pod -1: nobody waits for it any more */
    set ids;
    bool canceled;
};
enum asked_kind { ASKED_ADMIT, ASKED_OPTIONS, ASKED_RELEASE, ASKED_CONTAINER, ASKED_SYNC, ASKED_ADOPT };
struct asked { /* a callback that is due; lives until the end */
    struct asked *next;
    struct world *w;
    enum asked_kind kind;
    int pod, container, told;
    set containers, lost; /* of a release: what must be gone from the file; who lost devices */
    set maybe;            /* ... and who need not have: an admission in flight may have taken them over */
    unsigned serials;     /* what was given later is not meant */
    unsigned spared[CONTAINERS][RESOURCES]; /* nor what an admission in flight had got then */
    bool dead;                              /* the process that should have called is gone */
    struct event event;
    char forecast[40]; /* what explain said: verdict and cause */
};
struct image {  /* a checkpoint file */
    char *text; /* NULL: not there */
    size_t len;
    book holds; /* what it says */
    int kind[PODS][CONTAINERS];
    set init_done;
};
enum { CALLS = 64 };
enum {
    COUNT_RESTARTS = DEVMGR_CANCELED + 1,
    COUNT_RECOVERIES,
    COUNT_ADOPTED,
    COUNTS
}; /* after the verdicts */
struct world {
    struct model model;
    struct dm_settings settings;
    struct dm_topology topology;
    struct dm_manager *m;
    uint64_t mono, unix_us, generations, before[RESOURCES];
    unsigned serials;
    bool draining, ending;
    bool unchecked; /* see main.c */
    int provider;   /* provider_flags */

    struct call calls[CALLS];
    size_t n_calls;

    struct asked *asked;
    char *records[PODS][CONTAINERS];
    struct grant recorded[PODS][CONTAINERS][RESOURCES];
    uint64_t listed_at; /* when the caller began to list, and what lived */
    set listed;

    struct dm_checkpoint_writer *writer;
    struct dm_snapshot *saving;
    struct image to_save, file, copy, durable;
    bool saving_durable, file_durable, damaged;

    unsigned counts[COUNTS]; /* how much has happened */

    uint64_t last_revision;
    struct {
        bool there;
        uint64_t capacity, allocatable;
        int plugin;
    } rows[RESOURCES];                                   /* as the last event of each said */
    int8_t health[PODS][CONTAINERS][RESOURCES][DEVICES]; /* the same; -1: not held */
};

/* `complaint_kind`: where its format is copied to, so that two complaints can be told apart; NULL: nowhere. */
enum { COMPLAINT = 100 };
extern char *complaint_kind;
_Noreturn void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* What the manager does, as a line, when somebody reads along. */
extern bool story_is_told;
void story(const char *format, ...) __attribute__((format(printf, 1, 2)));
int number_of(const char *const *names, int n, const char *name); /* complains about others */
int pod_number(const char *uid);
int device_number(const char *id);
const char *pod_name(int pod);
int resource_number(const char *name);
int container_number(const char *name);
int live_claims(const struct world *w, int pod, int container); /* the truth */

void world_begin(struct world *w, const struct event *settings);
void world_do(struct world *w, const struct event *e);
struct look world_look(const struct world *w);
void world_end(struct world *w); /* all must come to an end, all be free, nothing be left in the file */
void world_drain(struct world *w);
void world_pass(struct world *w, uint64_t ms);
void world_start(struct world *w); /* a manager, without restore */

void caller_join(struct world *w); /* as a hint provider */
void caller_do(struct world *w, const struct event *e);
void caller_forget(struct world *w); /* our process has ended: nobody will be told */
void caller_free(struct world *w);   /* and what it keeps over restarts */
void caller_check_told(const struct world *w);
void caller_release(struct world *w, int pod);
void caller_ask_for_a_stranger(struct world *w); /* explain, for a pod that is in no book */

void plugins_do(struct world *w, const struct event *e);
void plugins_called(struct world *w, const struct dm_call *c);
void plugins_canceled(struct world *w, uint64_t id);
void plugins_list(struct world *w, int resource, uint64_t generation, set listed, set healthy,
                  uint32_t nodes);
void plugins_connect(struct world *w, int resource, int how);
void plugins_answer(struct world *w, size_t call, int outcome, set prefers);
bool plugins_time_out(struct world *w); /* one call; false: there is none */
int plugins_decode(struct dm_span bytes, struct dm_answer **ret, devmgr_error *reterr);

void disk_begin(struct world *w, struct dm_snapshot *s, bool durable);
void disk_saved(struct world *w, int written);
void disk_restart(struct world *w, const struct event *e);
void disk_free(struct world *w);

void look_event(struct world *w, const devmgr_event *e);
void look_begin(struct world *w); /* the events' picture starts with what is shown */
void look_compare(struct world *w);
#endif
