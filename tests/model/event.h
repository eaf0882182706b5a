/* event.h -- one thing that happens to a manager, as numbers: made at random, replayed, left out, shown as a line.
 *
 * An event means the same whatever came before it, as far as that is possible: "what x.y/a is asked first is answered",
 * not "the third open call". So a list of events from which some were taken away still makes sense. */
#ifndef EVENT_H
#define EVENT_H
#include "model.h"
#include <stddef.h>

enum event_kind {
    EV_SETTINGS, /* how: bits of setting_flags, a: topology-policy, b: -scope; first of all, or without effect */
    EV_CONNECT, /* res, how: 1 prestart, 2 preferred */
    EV_LIST, /* res, how: 1 by the endpoint before; a: 2 bits a device (absent, Healthy, Unhealthy), b: 2 a device, nodes */
    EV_GONE, /* res, how: 1 the endpoint before */
    EV_ADMIT, /* pod, how: enum then; a: 2 bits a count, b: see ask_of */
    EV_ANSWER, /* res, how: enum outcome of the oldest Allocate or GetPreferredAllocation; a: devices preferred */
    EV_STARTED, /* res, how: enum outcome of the oldest PreStartContainer */
    EV_SAVED,   /* how: enum written */
    EV_SAVE_AGAIN,
    EV_RELEASE,   /* pod */
    EV_CONTAINER, /* pod, how: container; it is released */
    EV_INIT_DONE, /* pod */
    EV_LOOK,      /* the caller begins to list what lives */
    EV_SYNC,      /* how: 1 with that list, 2 dry; a: pods that live for the caller but are not named */
    EV_OPTIONS,   /* pod, how: container, + 8: no prestart */
    EV_ADOPT,     /* pod, how: container, 7: all of all pods */
    EV_FORGET,    /* res */
    EV_PASS,      /* a: ms */
    EV_RESTART,   /* how: enum end; a: 1 what is being written got there, b: ms until it is back */
    EV_PROVIDER,  /* how: bits of provider_flags; what a hint provider of the caller says from now on */
    EV_KINDS
};
enum setting_flags { SET_ONE_QUEUE = 1, SET_SKIP = 2, SET_REFUSE = 4, SET_FEW = 8, SET_PROVIDER = 16 };
enum provider_flags {
    HINTS_NODE_0 = 1,
    HINTS_NODE_1 = 2,
    HINTS_FAIL = 4,
    TAKE_FAILS = 8
};                                                           /* the next one, once */
enum then { THEN_NOTHING, THEN_RELEASE, THEN_ADMIT, THENS }; /* what the caller does inside the callback */
enum outcome {
    OUT_OK,
    OUT_NOTHING,  /* no container response; no preference */
    OUT_BAD,      /* bytes that are no answer */
    OUT_CONFLICT, /* an answer that goes against the others' */
    OUT_UNAVAILABLE,
    OUT_DEADLINE,
    OUT_ERROR,
    OUT_UNUSABLE,
    OUT_CANCELLED,
    OUTCOMES
};
enum written { WRITTEN_OK, WRITTEN_NOT, WRITTEN_YET, WRITTENS }; /* YET: it got there, and failed */
enum end {
    END_CLOSE,
    END_KILL,
    END_POWER,
    END_KUBELET,
    END_DAMAGE,
    END_LOSS,
    ENDS
}; /* KUBELET: it wrote the file since */

enum { POLICIES = 4 };
extern const char *const policy_names[POLICIES];
struct event {
    uint8_t kind, pod, res, how;
    uint32_t a, b;
};

struct ask ask_of(const struct event *e);
/* Like what came before for this pod or resource, mostly: `habit` keeps that. */
struct habits {
    struct event asks[PODS];
    uint32_t list[RESOURCES], nodes[RESOURCES];
    bool calm, quarrel,
        crowd; /* restarts are rare; plugins' answers contradict each other; all want the same, and wait */
};
struct look {            /* what the maker of events may know, so that most of them do something */
    set asked, starting; /* resources with an open call */
    bool saving;
    set connected, pending, admitted;
};
struct random {
    uint64_t state;
};
unsigned below(struct random *r, unsigned n);
struct event event_make(struct random *r, struct habits *h, const struct look *look);
/* Makes a smaller thing of the same event; the n-th way to do so. False: there are not that many. */
bool event_simpler(struct event *e, unsigned n);
char *event_line(const struct event *e, char *out, size_t size);
#endif
