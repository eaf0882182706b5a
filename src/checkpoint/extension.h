/* extension.h -- our own key in the kubelet's file: "devmgr", last, flat ASCII, which the kubelet ignores and drops.
 *
 *   "devmgr":{"version":1,"for":<Checksum>,"sum":"<crc32c of all behind it>","revision":N,"recovering":false,
 *             "resources":[{"name","prestart","preferred"}],
 *             "pods":[{"uid","namespace","name","tag","revision","init_done",
 *                      "containers":[{"name","kind":"app"|"init"|"sidecar"|"unknown","affinity":N}]}]}
 *
 * `for` ties it to the Data beside it, `sum` to itself: a file that the kubelet or a hand changed loses it, not more.
 * Unknown keys are skipped, so that a later version 1 may add some. */
#ifndef DM_CHECKPOINT_EXTENSION_H
#define DM_CHECKPOINT_EXTENSION_H
#include "checkpoint/snapshot.h"

/* Writing: open, each pod (commas are the caller's), close. open returns what close wants. */
size_t dm_extension_open(struct dm_buf *out, const struct dm_snapshot *s, uint32_t checksum);
void dm_extension_pod(struct dm_buf *out, const struct dm_saved_pod *p);
void dm_extension_close(struct dm_buf *out, size_t opened);

/* `text`: the value of our key, a part of `file`. Fills revision, recovering, pods, and the options of resources that
 * `s` has. False: `s` is as it was, `why` says why. */
bool dm_extension_read(struct dm_span file, struct dm_span text, uint32_t checksum, struct dm_snapshot *s,
                       char *why, size_t size);
#endif
