/* faults.c -- see faults.h. */
#include "faults.h"
#include "base/args.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/text.h"
#include <string.h>

static const char *const rpc_words[FP_RPCS + 1] = {"register", "options",  "list", "preferred",
                                                   "allocate", "prestart", NULL};

/* A row per fault; a column per RPC says what it does there, NULL that it means nothing there. */
static const struct row {
    const char *word;  /* as typed, without the value */
    const char *value; /* "=D": it takes one */
    enum fp_what what;
    const char *help[FP_RPCS];
} rows[] = {
    {"hang",
     "",
     FP_HANG,
     {"connects to kubelet.sock, holds the connection and never sends Register", "never answers",
      "opens the stream and never sends a list", "never answers", "never answers", "never answers"}},
    {"crash",
     "",
     FP_CRASH,
     {"stops serving, sends Register and is killed before the answer; its socket file stays",
      "is killed when asked; its socket file stays", "is killed when the stream opens; its socket file stays",
      "is killed when asked; its socket file stays", "is killed when asked; its socket file stays",
      "is killed when asked; its socket file stays"}},
    {"delay",
     "=D",
     FP_DELAY,
     {"connects and sends Register after D", "answers after D", "sends the first list after D",
      "answers after D", "answers after D, in addition to --latency", "answers after D"}},
    {"error",
     "=CODE",
     FP_ERROR,
     {NULL, "answers with status CODE", "ends the stream with status CODE before any list",
      "answers with status CODE", "answers with status CODE", "answers with status CODE"}},
    {"empty",
     "",
     FP_EMPTY,
     {"sends a request without version, endpoint and resource",
      "offers no option, whatever --prestart and --preferred say", "the first list has no devices",
      "answers without a container response", "answers without a container response", NULL}},
    {"none",
     "",
     FP_NONE,
     {NULL, NULL, NULL, "answers with one container response that names no device",
      "answers with one container response that has nothing in it", NULL}},
    {"two",
     "",
     FP_TWO,
     {"sends Register twice at once", NULL, NULL,
      "answers with two container responses; the second names no device",
      "answers with two container responses; the second sets DEVMGR_FAKEPLUGIN_SECOND", NULL}},
    {"huge",
     "",
     FP_HUGE,
     {"sends a request of 65 MiB", "answers with a message of 65 MiB",
      "the first list is a message of 65 MiB", "answers with a message of 65 MiB",
      "answers with a message of 65 MiB", "answers with a message of 65 MiB"}},
    {"garbage",
     "",
     FP_GARBAGE,
     {"sends version v0garbage, resource garbage, endpoint ../garbage.sock",
      "answers with bytes that are no message", "the first list is bytes that are no message",
      "answers with bytes that are no message", "answers with bytes that are no message",
      "answers with bytes that are no message"}},
    {"dup",
     "",
     FP_DUP,
     {NULL, NULL, "the first list names every device twice, first as Unhealthy, then as it is", NULL,
      "answers with every env, annotation, mount, device node and CDI device twice", NULL}},
    {"repeat",
     "",
     FP_REPEAT,
     {"registers again 100 ms after each success", NULL,
      "sends the unchanged list every 100 ms, each time in another order",
      "names the first device of the answer in place of all others", NULL, NULL}},
    {"without-held",
     "",
     FP_WITHOUT_HELD,
     {NULL, NULL, NULL, "leaves out the devices that must be included", NULL, NULL}},
    {"flap",
     "",
     FP_FLAP,
     {NULL, NULL, "the first device is Unhealthy and Healthy in turn, every 100 ms", NULL, NULL, NULL}},
    {"end=ok", "", FP_END_OK, {NULL, NULL, "ends the stream with OK after the first list", NULL, NULL, NULL}},
    {"end=error",
     "",
     FP_END_ERROR,
     {NULL, NULL, "ends the stream with INTERNAL after the first list", NULL, NULL, NULL}},
};

const char *fp_rpc_word(enum fp_rpc rpc) {
    return rpc_words[rpc];
}

/* What `rpc` can be told: "hang, crash, delay=D, ..." */
static void list_words(struct dm_buf *b, enum fp_rpc rpc) {
    for (const struct row *row = rows; row < rows + DM_COUNT(rows); row++)
        if (row->help[rpc])
            dm_buf_printf(b, "%s%s%s", b->len ? ", " : "", row->word, row->value);
}

/* Is `row` the word that was meant, with a value too many, too few, or for the wrong RPC? */
static bool same_word(const struct row *row, const char *what) {
    size_t len = strlen(row->word);
    return !strncmp(what, row->word, len) && (!what[len] || what[len] == '=');
}

static int unknown_what(enum fp_rpc rpc, const char *spec, const char *what, devmgr_error *reterr) {
    DM_CLEANUP(dm_buf_free) struct dm_buf can = {0};
    list_words(&can, rpc);
    for (const struct row *row = rows; row < rows + DM_COUNT(rows); row++)
        if (same_word(row, what) && row->help[rpc])
            return dm_error_set(reterr, -EINVAL, "%s: write %s:%s%s", spec, rpc_words[rpc], row->word,
                                row->value);
        else if (same_word(row, what))
            return dm_error_set(reterr, -EINVAL, "%s: %s has no meaning for %s, which can: %s", spec,
                                row->word, rpc_words[rpc], can.data);
    return dm_error_set(reterr, -EINVAL, "%s: unknown fault; %s can: %s", spec, rpc_words[rpc], can.data);
}

static int read_rpc(const char *spec, const char **rest, enum fp_rpc *ret, devmgr_error *reterr) {
    const char *colon = strchr(spec, ':');
    DM_FREE char *word = dm_strndup(spec, colon ? (size_t)(colon - spec) : strlen(spec));
    for (int i = 0; colon && i < FP_RPCS; i++)
        if (!strcmp(word, rpc_words[i]))
            return *ret = (enum fp_rpc)i, *rest = colon + 1, 0;
    const char *near = dm_args_nearest(word, rpc_words);
    if (colon && near)
        return dm_error_set(reterr, -EINVAL, "%s: unknown RPC %s; did you mean %s?", spec, word, near);
    return dm_error_set(reterr, -EINVAL,
                        "%s: write RPC:WHAT[@N], RPC one of register, options, list, preferred, allocate, "
                        "prestart; --fault list shows all",
                        spec);
}

/* Cuts "@N" off `text`. */
static int cut_nth(char *text, const char *spec, uint64_t *ret, devmgr_error *reterr) {
    char *at = strchr(text, '@');
    *ret = 0;
    if (!at)
        return 0;
    if (dm_text_u64(at + 1, ret) < 0 || *ret == 0)
        return dm_error_set(reterr, -EINVAL, "%s: \"%s\" is not the number of a call (1, 2, ...)", spec,
                            at + 1);
    *at = 0;
    return 0;
}

static int read_code(const char *text, int *ret) {
    uint64_t number;
    if (dm_text_u64(text, &number) == 0)
        *ret = number <= 1000 ? (int)number : -1;
    else
        *ret = dm_code_from_name(text);
    return *ret > 0 ? 0 : -EINVAL;
}

static int read_value(const struct row *row, const char *value, const char *spec, struct fp_fault *fault,
                      devmgr_error *reterr) {
    if (row->what == FP_DELAY && dm_text_duration(value, &fault->delay_ms) < 0)
        return dm_error_set(reterr, -EINVAL, "%s: \"%s\" is not a duration; write 500ms, 5s or 1m30s", spec,
                            value);
    if (row->what == FP_ERROR && read_code(value, &fault->code) < 0)
        return dm_error_set(reterr, -EINVAL,
                            "%s: \"%s\" is not a gRPC status; write UNAVAILABLE, INTERNAL, ... or its number",
                            spec, value);
    return 0;
}

/* The row that `what` (without @N) names, and its value ("" when it takes none). */
static const struct row *find_row(const char *what, enum fp_rpc rpc, const char **value) {
    for (const struct row *row = rows; row < rows + DM_COUNT(rows); row++) {
        size_t len = strlen(row->word);
        if (!row->help[rpc] || strncmp(what, row->word, len))
            continue;
        if (*row->value ? what[len] == '=' : !what[len])
            return *value = what + len + (*row->value != 0), row;
    }
    return NULL;
}

int fp_faults_add(struct fp_faults *f, const char *spec, devmgr_error *reterr) {
    struct fp_fault fault = {0};
    const char *rest = NULL, *value = NULL;
    int r = read_rpc(spec, &rest, &fault.rpc, reterr);
    if (r < 0)
        return r;
    DM_FREE char *what = dm_strdup(rest);
    if ((r = cut_nth(what, spec, &fault.nth, reterr)) < 0)
        return r;
    const struct row *row = find_row(what, fault.rpc, &value);
    if (!row)
        return unknown_what(fault.rpc, spec, what, reterr);
    fault.what = row->what;
    if ((r = read_value(row, value, spec, &fault, reterr)) < 0)
        return r;
    DM_GROW(f->faults, f->n, f->cap);
    f->faults[f->n++] = fault;
    return 0;
}

void fp_faults_clear(struct fp_faults *f) {
    free(f->faults);
    *f = (struct fp_faults){0};
}

struct fp_plan fp_faults_next(struct fp_faults *f, enum fp_rpc rpc) {
    struct fp_plan plan = {0};
    for (struct fp_fault *fault = f->faults; fault < f->faults + f->n; fault++) {
        if (fault->rpc != rpc || (fault->seen++, fault->nth && fault->seen != fault->nth))
            continue;
        if (fault->what == FP_DELAY)
            plan.delay_ms += fault->delay_ms;
        else if (plan.what == FP_NOTHING)
            plan.what = fault->what, plan.code = fault->code;
    }
    return plan;
}

const char *fp_plan_word(const struct fp_plan *plan) {
    enum fp_what what = plan->what == FP_NOTHING && plan->delay_ms ? FP_DELAY : plan->what;
    for (const struct row *row = rows; row < rows + DM_COUNT(rows); row++)
        if (row->what == what)
            return row->word;
    return NULL;
}

void fp_faults_print(FILE *out) {
    for (int rpc = 0; rpc < FP_RPCS; rpc++)
        for (const struct row *row = rows; row < rows + DM_COUNT(rows); row++)
            if (row->help[rpc]) {
                DM_FREE char *name = dm_printf("%s:%s%s", rpc_words[rpc], row->word, row->value);
                fprintf(out, "%-24s %s\n", name, row->help[rpc]);
            }
}
