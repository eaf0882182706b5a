/* model.h -- who may hold what: a naive statement of it, to compare the manager with.
 *
 * Written from devmgr.h and the documentation, not from src/manager, and without any of its cleverness: small arrays that
 * are looked through from end to end. Two books are kept. `told` is what the pods were told, and so what their containers
 * use: the truth. `kept` is what the manager must show. They differ only after a damaged checkpoint, until it recovered.
 *
 * The rules answer NULL, or what is wrong. */
#ifndef MODEL_H
#define MODEL_H
#include <stdbool.h>
#include <stdint.h>

enum { PODS = 6, CONTAINERS = 5, RESOURCES = 3, DEVICES = 6 };
typedef unsigned set; /* bit n: the n-th device, container or pod */

/* Containers in start order. A kind of -1 is one that a kubelet's checkpoint did not say. */
extern const char *const container_names[CONTAINERS], *const resource_names[RESOURCES];
extern const int container_kinds[CONTAINERS];

struct ask { /* what a pod asks for */
    set named, running, nodes;
    uint8_t count[CONTAINERS][RESOURCES];
    uint64_t wait_ms;
    bool explain; /* asked before what would happen */
};
struct grant { /* devices of one resource for one container */
    set devices;
    uint8_t numa[DEVICES]; /* bit n: node n, as it was when the device was taken */
    unsigned serial;       /* of the plugin's answer; 0: not answered yet */
};
typedef struct grant book[PODS][CONTAINERS][RESOURCES];

struct model_resource {
    bool known, connected, listed, removed;
    bool valid; /* a plugin that listed is connected since then; a new endpoint inherits it */
    bool prestart, preferred;
    uint64_t generation; /* 0: none in this process */
    uint64_t grace_until;
    uint64_t answered_at; /* the last call to it ended */
    set listing, healthy;
    uint8_t nodes[DEVICES];
};
struct model_pod {
    bool admitted, init_done, restored;
    set containers; /* the manager has them */
    int kind[CONTAINERS];
    uint64_t revision;

    bool pending;
    struct ask ask;
    uint64_t asked_at;
    unsigned asked_in;                          /* a step */
    struct grant grants[CONTAINERS][RESOURCES]; /* Allocate was called for these in the present attempt */
    uint64_t called_at;                         /* last call or answer for it; 0: none in this admission */
    unsigned answered_in;                       /* the step of the last answer to a call for it ... */
    int code;                                   /* ... its code (enum dm_code) ... */
    bool bad, superseded,
        withdrawn;        /* ... no usable answer; by an old endpoint; for a device that had gone */
    bool took;            /* a hint provider took something for it */
    unsigned released_in; /* the step in which the caller released it */
};
struct model {
    unsigned step;
    uint64_t now; /* ms */
    struct model_resource resources[RESOURCES];
    struct model_pod pods[PODS];
    book told, kept;
    uint64_t opened; /* the revision then: a list that was begun before says nothing of what was restored */
    bool recovering, synced; /* from a copy; and a sync came since */
    set unknown;             /* live pods that the copy does not know */
    unsigned save_failed_in; /* a step */
    bool closing, skip_unknown, refuse_conflicts, one_queue;
    bool strict, provider; /* the topology policy may refuse; a hint provider may */
};

#define EACH_CLAIM(c, r)                                                                                     \
    for (int c = 0; c < CONTAINERS; c++)                                                                     \
        for (int r = 0; r < RESOURCES; r++)

/* ---- sets -------------------------------------------------------------------------------------------------------- */

int model_size(set s);
set model_held(const struct model *m, int resource); /* by anybody, as the manager shows it */
set model_of_others(const struct model *m, int pod, int resource, bool in_flight); /* told or kept */
set model_in_pod(const struct model *m, int pod, int resource,
                 bool inits);                          /* plain inits' alone, or all others' */
set model_usable(const struct model *m, int resource); /* listed, Healthy, plugin connected */
int model_kind(const struct model *m, int pod,
               int container); /* as this pod's admission in flight makes it */
/* Held by a container, and the plugin says that it should not be. */
set model_broken(const struct model *m, int pod, int container, int resource);
/* How many an admission in flight asks for and does not hold. */
int model_lacks(const struct model *m, int pod, int resource);
/* How many devices admissions in flight have reserved at most, and which are so for sure. */
int model_reserved(const struct model *m, int resource, set *sure);

/* ---- rules (rules.c) ------------------------------------------------------------------------------------------------------- */

/* Allocate is called: may it name these devices? */
const char *model_may_call(const struct model *m, int pod, int container, int resource, set ids);
/* ADMITTED: `now` is what the pod has, `fresh` what is marked as new. */
const char *model_may_admit(const struct model *m, int pod, const set now[CONTAINERS][RESOURCES],
                            const set fresh[CONTAINERS][RESOURCES]);
/* Any other verdict. container, resource -1: the pod's. */
const char *model_may_refuse(const struct model *m, int pod, int verdict, int cause, int container,
                             int resource);
/* The pod waits, and nothing is in its way that anybody would have to tell it. */
bool model_could_pass(const struct model *m, int pod);

/* ---- what happens ------------------------------------------------------------------------------------------------ */

void model_admitted(struct model *m, int pod, const set now[CONTAINERS][RESOURCES]);
void model_attempt_over(struct model *m, int pod); /* reservations are given back */
/* These return who lost devices. */
set model_release(struct model *m, int pod);
set model_release_container(struct model *m, int pod, int container);
set model_init_done(struct model *m, int pod);
set model_sync(struct model *m, set live, uint64_t as_of, bool dry);
void model_adopted(struct model *m, int pod, int container, const struct grant record[RESOURCES], set wanted);
void model_gone(struct model *m, int resource, uint64_t grace);
void model_time(struct model *m, uint64_t now);
#endif
