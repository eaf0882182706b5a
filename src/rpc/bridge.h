/* bridge.h -- what the files of src/rpc share: tags, the bridge seen from inside, messages and status texts.
 * Private to this folder: it shows gRPC. */
#ifndef DM_RPC_BRIDGE_H
#define DM_RPC_BRIDGE_H
#include "rpc/rpc.h"
#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <stdbool.h>

/* Something that will happen on the loop: a finished gRPC batch, or a step we post ourselves. Lives inside its owner;
 * from handing it out until `run` it must stay where it is. `run` may free the owner. */
struct dm_tag {
    void (*run)(struct dm_tag *tag, bool ok);
    struct dm_tag *next;
    bool ok;
};

/* The way from handing a tag to gRPC until it comes back leads through a library that ThreadSanitizer cannot see into:
 * tell it. */
#if defined(__SANITIZE_THREAD__)
#define DM_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define DM_TSAN 1
#endif
#endif
#ifdef DM_TSAN
void __tsan_release(void *address);
void __tsan_acquire(void *address);
#define DM_HANDED_OUT(tag) __tsan_release(tag)
#define DM_CAME_BACK(tag)  __tsan_acquire(tag)
#else
#define DM_HANDED_OUT(tag) ((void)(tag))
#define DM_CAME_BACK(tag)  ((void)(tag))
#endif

grpc_completion_queue *dm_bridge_queue(struct dm_rpc *rpc);
/* Runs `tag` in a later turn of the loop, ok = true. */
void dm_bridge_post(struct dm_rpc *rpc, struct dm_tag *tag);
/* Starts a batch; false: gRPC refused it, and `tag` never comes (a bug of ours, or a call that is over). */
bool dm_bridge_batch(grpc_call *call, const grpc_op *ops, size_t n, struct dm_tag *tag);
/* Who uses the queue (channel, dial, server) holds the bridge: it stops after the last of them, whatever the order of
 * releases. */
void dm_bridge_note_sent(struct dm_rpc *rpc, size_t bytes);
void dm_bridge_hold(struct dm_rpc *rpc);
void dm_bridge_drop(struct dm_rpc *rpc);

/* args.c */
enum { DM_ARGS_COMMON = 6 };
grpc_arg dm_arg_integer(const char *key, uint64_t value);
/* What one connection may hold in memory. Its last reference must outlive the channel or server: gRPC enforces nothing
 * after that is gone. */
grpc_resource_quota *dm_quota_new(size_t bytes);
/* Fills in DM_ARGS_COMMON arguments and returns that number. */
size_t dm_args_common(grpc_arg *list, size_t max_receive, grpc_resource_quota *quota);

/* wire.c */
grpc_byte_buffer *dm_wire_pack(struct dm_rpc *rpc, struct dm_span bytes); /* copies */
/* One contiguous block with a message's bytes; without a copy when gRPC has it in one piece. */
struct dm_message {
    grpc_byte_buffer *whole;
    grpc_slice flat;
    bool flattened;
    struct dm_span bytes;
};
/* Owns the buffer. NULL: an empty span. False: compressed, also empty. */
bool dm_message_open(struct dm_message *m, grpc_byte_buffer *buffer);
void dm_message_close(struct dm_message *m); /* also a zeroed one */
enum { DM_STATUS_TEXT_MAX = 1024 };
/* Valid UTF-8 without NUL, at most DM_STATUS_TEXT_MAX bytes (cut: ends "..."). The caller frees. */
char *dm_status_text(const void *text, size_t len);
grpc_slice dm_status_slice(const char *message);
#endif
