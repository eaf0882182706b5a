/* convert.h -- devmgr.h's structs and the messages of devmgr.v1alpha1, both ways.
 *
 * Nothing is copied that need not be: what comes out borrows the strings of what went in, the rest is the arena's. */
#ifndef DM_CONTROL_CONVERT_H
#define DM_CONTROL_CONVERT_H
#include "base/buf.h"
#include "base/error.h"
#include "control/arena.h"
#include "control/client.h"
#include "devmgr/v1alpha1/devmgr.pb-c.h"
#include <stdbool.h>

#define PB(name)            Devmgr__V1alpha1__##name
#define PB_NEW(arena, name) dm_message_new((arena), &devmgr__v1alpha1__##name##__descriptor)
#define PB_READ(arena, name, data, n)                                                                        \
    dm_message_read((arena), &devmgr__v1alpha1__##name##__descriptor, (data), (n))

/* The bytes of a message appended to `out`. */
void dm_message_write(const void *message, struct dm_buf *out);
ProtobufCBinaryData dm_pb_text(const char *s); /* NULL: empty */

/* ---- encode.c: structs to messages */
PB(Claim) * dm_encode_claim(struct dm_arena *a, const devmgr_claim *c);
PB(Resource) * dm_encode_resource(struct dm_arena *a, const devmgr_resource *r);
PB(Device) * dm_encode_device(struct dm_arena *a, const devmgr_device *d);
PB(HeldPod) * dm_encode_held_pod(struct dm_arena *a, const devmgr_held_pod *p);
PB(Options) * dm_encode_options(struct dm_arena *a, const devmgr_options *o);
PB(Admission) * dm_encode_admission(struct dm_arena *a, const struct dm_admission *admission);
PB(Event) * dm_encode_event(struct dm_arena *a, const devmgr_event *ev);
PB(Released) * dm_encode_released(struct dm_arena *a, const char *const *uids, size_t n);
/* A set of NUMA nodes as ascending numbers; *n 0 and NULL: none. */
uint32_t *dm_encode_numa(struct dm_arena *a, uint64_t numa, size_t *n);
int dm_encode_health(int health); /* devmgr.h's number to the wire's, which keeps 0 for "unspecified" */

/* ---- decode.c: messages to structs. Never NULL; a text that is no UTF-8 or holds a NUL sets *bad and reads "". */
const char *dm_decode_text(struct dm_arena *a, ProtobufCBinaryData text, bool *bad);
const devmgr_resource *dm_decode_resource(struct dm_arena *a, const PB(Resource) * m, bool *bad);
const devmgr_device *dm_decode_device(struct dm_arena *a, const PB(Device) * m, bool *bad);
const devmgr_held_pod *dm_decode_held_pod(struct dm_arena *a, const PB(HeldPod) * m, bool *bad);
const devmgr_options *dm_decode_options(struct dm_arena *a, const PB(Options) * m, bool *bad);
const struct dm_admission *dm_decode_admission(struct dm_arena *a, const PB(Admission) * m, bool *bad);
const devmgr_event *dm_decode_event(struct dm_arena *a, const PB(Event) * m, bool *bad);
uint64_t dm_decode_numa(const uint32_t *numa, size_t n); /* nodes above 63 are dropped */

/* ---- pod.c: the pods of a request. At most `most` of them; -EINVALID names the field, and the line of a manifest. */
struct dm_pods {
    size_t n, cap;
    devmgr_pod **pods;
};
int dm_decode_pods(const PB(Pod) * m, size_t most, struct dm_pods *ret, devmgr_error *reterr);
void dm_pods_free(struct dm_pods *pods); /* also for DM_CLEANUP */
#endif
