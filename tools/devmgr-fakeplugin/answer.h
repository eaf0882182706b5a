/* answer.h -- what Allocate and GetPreferredAllocation answer.
 *
 * An answer is a template: in every string "{ids}" becomes the device ids, sorted and joined by commas, and an entry
 * with "{id}" in any of its strings is repeated for each id. It comes from a JSON file or is the built-in one. */
#ifndef FP_ANSWER_H
#define FP_ANSWER_H
#include "base/error.h"
#include "faults.h"
#include "wire.h"

struct fp_entry {    /* one line of an answer; unused texts are "" */
    char *a, *b, *c; /* name, value | container, host | container, host, permissions | name */
    bool read_only;
};
struct fp_entries {
    struct fp_entry *rows;
    size_t n, cap;
};
struct fp_answer { /* zero-initialise */
    char *error;   /* the call fails UNKNOWN with this text; NULL: it does not */
    bool empty;    /* no container response */
    struct fp_entries envs, annotations, mounts, devices, cdi;
};

void fp_answer_default(struct fp_answer *answer);
/* -errno or -EINVAL; the error names file, line or key. */
int fp_answer_load(const char *path, struct fp_answer *answer, devmgr_error *reterr);
void fp_answer_free(struct fp_answer *answer);

/* Appends the AllocateResponse to `request`, bent by `fault`. */
void fp_answer_allocate(const struct fp_answer *answer, const V1beta1__AllocateRequest *request,
                        enum fp_what fault, struct dm_buf *out);
/* "first" or "last" by id after those that must be included, or "none". */
enum fp_preference { FP_PREFER_FIRST, FP_PREFER_LAST, FP_PREFER_NONE, FP_PREFER_ERROR };
void fp_answer_preferred(enum fp_preference preference, const V1beta1__PreferredAllocationRequest *request,
                         enum fp_what fault, struct dm_buf *out);
#endif
