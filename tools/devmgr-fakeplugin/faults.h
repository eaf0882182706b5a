/* faults.h -- what a plugin can be told to do wrong: RPC:WHAT[=VALUE][@N].
 *
 * One table says which fault means what for which RPC; what has no meaning is refused, `--fault list` prints the rest.
 * Each fault counts the calls of its RPC since it was set; @N acts on the N-th alone. Of several faults for one call the
 * delays add up and the first of the others acts. */
#ifndef FP_FAULTS_H
#define FP_FAULTS_H
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum fp_rpc { FP_REGISTER, FP_OPTIONS, FP_LIST, FP_PREFERRED, FP_ALLOCATE, FP_PRESTART, FP_RPCS };
enum fp_what {
    FP_NOTHING,
    FP_HANG,
    FP_CRASH,
    FP_DELAY,
    FP_ERROR,
    FP_EMPTY,
    FP_NONE,
    FP_TWO,
    FP_HUGE,
    FP_GARBAGE,
    FP_DUP,
    FP_REPEAT,
    FP_WITHOUT_HELD,
    FP_FLAP,
    FP_END_OK,
    FP_END_ERROR
};

struct fp_fault {
    enum fp_rpc rpc;
    enum fp_what what;
    uint64_t delay_ms; /* FP_DELAY */
    int code;          /* FP_ERROR: enum dm_code */
    uint64_t nth;      /* 0: every call */
    uint64_t seen;     /* calls since it was set */
};
struct fp_faults { /* zero-initialise */
    struct fp_fault *faults;
    size_t n, cap;
};
struct fp_plan { /* for one call */
    uint64_t delay_ms;
    enum fp_what what; /* never FP_DELAY */
    int code;
};

/* -EINVAL: the error says what the RPC can do instead. */
int fp_faults_add(struct fp_faults *f, const char *spec, devmgr_error *reterr);
void fp_faults_clear(struct fp_faults *f); /* frees */
/* Counts a call, and says what to do with it. */
struct fp_plan fp_faults_next(struct fp_faults *f, enum fp_rpc rpc);
const char *fp_rpc_word(enum fp_rpc rpc); /* "allocate" */
/* What a plan does that is not good, without a value: "hang", "end=ok", "delay"; NULL: nothing. */
const char *fp_plan_word(const struct fp_plan *plan);
void fp_faults_print(FILE *out); /* one line for each fault there is */
#endif
