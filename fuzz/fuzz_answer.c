/* Any bytes as an AllocateResponse: the first container's bytes decode, lie inside the message, and hold unique keys;
 * other plugin messages from the same bytes do no harm. */
#include "base/map.h"
#include "registration/answer.h"
#include "registration/convert.h"
#include "registration/registration.h"
#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_unique(const devmgr_pair *pairs, size_t n) {
    struct dm_map seen = {0};
    for (size_t i = 0; i < n; i++)
        assert(dm_map_put(&seen, pairs[i].name, &seen));
    dm_map_free(&seen);
}

static void check_first(struct dm_span all) {
    struct dm_answer *a = NULL;
    struct dm_span first;
    size_t n;
    if (dm_answer_first(all, &n, &first, NULL) < 0)
        return;
    assert(first.len <= all.len &&
           (!first.len || (first.data >= all.data && first.data + first.len <= all.data + all.len)));
    assert(dm_answer_decode(first, &a, NULL) == 0);
    assert(dm_answer_is_message(first)); /* who was given a device must not lose it at a restart */
    check_unique(a->envs, a->n_envs);
    check_unique(a->annotations, a->n_annotations);
    dm_answer_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct dm_span all = {data, size};
    struct dm_register r;
    struct dm_ids ids = {0};
    bool prestart, preferred;
    check_first(all);
    dm_convert_register(all, &r, NULL);
    bool options = dm_convert_options(all, &prestart, &preferred, NULL) == 0;
    assert(options == (dm_convert_prestart(all, NULL) == 0)); /* both want a message, whatever is in it */
    if (dm_convert_preferred(all, 16, &ids, NULL) == 0)
        assert(ids.n <= 16);
    dm_ids_free(&ids);
    return 0;
}
