/* options.h -- several plugins' answers become one container's options. Pure. */
#ifndef DM_MANAGER_OPTIONS_H
#define DM_MANAGER_OPTIONS_H
#include "base/plugin.h"

struct dm_options_source { /* one resource's answer; borrowed */
    const char *resource;
    struct dm_span answer;
};
struct dm_merged {
    devmgr_options options; /* points into the rest */
    size_t n_conflicts;
    char *conflict; /* the first: 'env "X": example.com/a has "1", example.com/b has "2"'; NULL: none */
    struct dm_answer **answers;
    size_t n_answers;
    void *arrays[5];
};
/* In the order given, which is that of resource names; within one in message order; the first of a name wins. Fails
 * (-EBADMSG) only for an answer that cannot be decoded; the error names its resource. *ret: dm_merged_free. */
int dm_options_merge(dm_answer_decoder decode, const struct dm_options_source *sources, size_t n,
                     struct dm_merged **ret, devmgr_error *reterr);
void dm_merged_free(struct dm_merged *m);   /* NULL is fine */
void dm_merged_freep(struct dm_merged **m); /* for DM_CLEANUP */
#endif
