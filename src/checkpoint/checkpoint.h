/* checkpoint.h -- the kubelet's file kubelet_internal_checkpoint, both ways: text to snapshot.
 *
 * Pure: no file is touched here (store.h does that). What the kubelet reads is accepted as the kubelet accepts it
 * (contract CKPT-*), same verdict, same content, same checksum. What we write it reads back equal. Our own data is one
 * top-level key "devmgr", last in the object, flat ASCII, bound to the file by its "for" and "sum": missing or wrong
 * it is ignored and nothing that Data needs is lost. When it is there and wrong there is a warning, and the snapshot is
 * `recovering`: perhaps it was, and only that part said so. */
#ifndef DM_CHECKPOINT_CHECKPOINT_H
#define DM_CHECKPOINT_CHECKPOINT_H
#include "base/error.h"
#include "checkpoint/snapshot.h"

struct dm_checkpoint_report { /* what the reader saw; texts are for people */
    uint32_t checksum;        /* computed over Data */
    bool extension;           /* our key was there and good */
    char warning[256];        /* "" or why the extension or an entry was ignored */
    size_t dropped;           /* entries whose AllocResp is not a message (CKPT-19) */
};
/* 0 and *ret; DEVMGR_ECHECKPOINT: unusable, the error says what is wrong and where (line and column, or field). The
 * whole text is the file. `decodable` says whether an AllocResp is a ContainerAllocateResponse; NULL: not checked. */
int dm_checkpoint_parse(struct dm_span text, bool (*decodable)(struct dm_span answer),
                        struct dm_snapshot **ret, struct dm_checkpoint_report *report, devmgr_error *reterr);

/* The writer keeps what it rendered and hashed before; one per store, used by one thread at a time. */
struct dm_checkpoint_writer;
struct dm_checkpoint_writer *dm_checkpoint_writer_new(void);
void dm_checkpoint_writer_free(struct dm_checkpoint_writer *w);
/* The whole file's text, in *out (emptied first). Returns the checksum. */
uint32_t dm_checkpoint_render(struct dm_checkpoint_writer *w, const struct dm_snapshot *s,
                              struct dm_buf *out);
/* Logical content as JSON for people and `devmgrctl checkpoint show` (jansson object, the caller's). */
struct json_t;
struct json_t *dm_checkpoint_json(const struct dm_snapshot *s, const struct dm_checkpoint_report *report);
#endif
