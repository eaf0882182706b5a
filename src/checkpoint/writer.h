/* writer.h -- what store.c needs of the writer beyond checkpoint.h: the text without a copy. */
#ifndef DM_CHECKPOINT_WRITER_H
#define DM_CHECKPOINT_WRITER_H
#include "checkpoint/checkpoint.h"

/* The file's text; the writer's, good until the next call. data NULL: no memory for it; the next call may have it. */
struct dm_span dm_checkpoint_write(struct dm_checkpoint_writer *w, const struct dm_snapshot *s,
                                   uint32_t *checksum);
/* The text of the call before that one. */
struct dm_span dm_checkpoint_written(const struct dm_checkpoint_writer *w);
#endif
