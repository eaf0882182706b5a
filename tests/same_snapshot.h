/* same_snapshot.h -- two snapshots compared, for tests and fuzz targets. */
#ifndef SAME_SNAPSHOT_H
#define SAME_SNAPSHOT_H
#include "checkpoint/checkpoint.h"
#include <stdbool.h>
#include <string.h>

/* Everything of a snapshot that can be saved is in its text: equal texts, equal snapshots. */
static bool same_snapshot(const struct dm_snapshot *a, const struct dm_snapshot *b) {
    struct dm_checkpoint_writer *w[2] = {dm_checkpoint_writer_new(), dm_checkpoint_writer_new()};
    struct dm_buf text[2] = {{0}};
    dm_checkpoint_render(w[0], a, &text[0]);
    dm_checkpoint_render(w[1], b, &text[1]);
    bool same = text[0].len == text[1].len && !memcmp(text[0].data, text[1].data, text[0].len);
    for (int i = 0; i < 2; i++) {
        dm_checkpoint_writer_free(w[i]);
        dm_buf_free(&text[i]);
    }
    return same;
}
#endif
