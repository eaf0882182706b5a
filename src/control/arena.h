/* arena.h -- memory that ends all at once: what one message, request or answer is made of.
 *
 * Zero-initialise it (or set `limit` alone); dm_arena_free (or DM_CLEANUP) ends it and everything in it. */
#ifndef DM_CONTROL_ARENA_H
#define DM_CONTROL_ARENA_H
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

struct dm_arena_block;
struct dm_arena {
    struct dm_arena_block *blocks;
    size_t used;  /* bytes handed out */
    size_t limit; /* of a decoded message, 0: none; see dm_message_read */
    bool starved; /* there was no memory for a message */
};

void dm_arena_free(struct dm_arena *a);
void dm_arena_clear(struct dm_arena *a);            /* as new, but keeps a block for what comes next */
void *dm_arena_alloc(struct dm_arena *a, size_t n); /* zeroed, aligned for anything; never NULL */
void *dm_arena_array(struct dm_arena *a, size_t n, size_t size);
char *dm_arena_strndup(struct dm_arena *a, const void *data, size_t n); /* adds a NUL */

/* An empty message in the arena. */
void *dm_message_new(struct dm_arena *a, const ProtobufCMessageDescriptor *descriptor);
/* Reads one into the arena. NULL: not such a message, no memory for it (`starved`), or one that unfolds to more than `limit` bytes (protobuf-c makes
 * 40 bytes and more of an empty element, which takes two on the wire). */
void *dm_message_read(struct dm_arena *a, const ProtobufCMessageDescriptor *descriptor, const void *data,
                      size_t n);
#endif
