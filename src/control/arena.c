/* arena.c -- see arena.h. Blocks in a list, the newest first; big pieces get a block of their own. */
#include "control/arena.h"
#include "base/mem.h"
#include <stdint.h>
#include <string.h>

enum { BLOCK = 8192 };
struct dm_arena_block {
    struct dm_arena_block *next;
    size_t used, size;
    max_align_t data[];
};

void dm_arena_free(struct dm_arena *a) {
    for (struct dm_arena_block *b = a->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    *a = (struct dm_arena){.limit = a->limit};
}

void dm_arena_clear(struct dm_arena *a) {
    struct dm_arena_block *keep = a->blocks;
    if (!keep)
        return;
    a->blocks = keep->next;
    dm_arena_free(a);
    memset(keep->data, 0, keep->used); /* what is handed out is zeroed */
    keep->used = 0;
    keep->next = NULL;
    a->blocks = keep;
}

static struct dm_arena_block *add_block(struct dm_arena *a, size_t size, void *(*get)(void *p, size_t n)) {
    struct dm_arena_block *b = get(NULL, sizeof *b + size);
    if (!b)
        return NULL;
    memset(b, 0, sizeof *b + size);
    b->size = size;
    b->next = a->blocks;
    a->blocks = b;
    return b;
}

static void *alloc(struct dm_arena *a, size_t n, void *(*get)(void *p, size_t n)) {
    struct dm_arena_block *b = a->blocks;
    n = (n + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    if (!b || b->size - b->used < n)
        b = add_block(a, n > BLOCK ? n : BLOCK, get);
    if (!b)
        return NULL;
    void *at = (char *)b->data + b->used;
    b->used += n;
    a->used += n;
    return at;
}

void *dm_arena_alloc(struct dm_arena *a, size_t n) {
    return alloc(a, n, dm_realloc);
}

void *dm_arena_array(struct dm_arena *a, size_t n, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes))
        bytes = PTRDIFF_MAX / 2; /* which dm_alloc does not survive */
    return dm_arena_alloc(a, bytes);
}

char *dm_arena_strndup(struct dm_arena *a, const void *data, size_t n) {
    char *copy = dm_arena_alloc(a, n + 1);
    if (n)
        memcpy(copy, data, n);
    return copy;
}

void *dm_message_new(struct dm_arena *a, const ProtobufCMessageDescriptor *descriptor) {
    void *message = dm_arena_alloc(a, descriptor->sizeof_message);
    protobuf_c_message_init(descriptor, message);
    return message;
}

static void *limited_alloc(void *arena, size_t n) {
    struct dm_arena *a = arena;
    if (a->limit && (n > a->limit || a->used > a->limit - n))
        return NULL;
    void *at = alloc(a, n, dm_try_realloc);
    a->starved |= !at;
    return at;
}

static void no_free(void *arena, void *p) {
    (void)arena, (void)p;
}

void *dm_message_read(struct dm_arena *a, const ProtobufCMessageDescriptor *descriptor, const void *data,
                      size_t n) {
    ProtobufCAllocator allocator = {limited_alloc, no_free, a};
    static const uint8_t nothing[1];
    return protobuf_c_message_unpack(descriptor, &allocator, n, n ? data : nothing);
}
