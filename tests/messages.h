/* messages.h -- write protobuf by hand, also what no generator would: for tests of readers and for fake plugins. */
#ifndef MESSAGES_H
#define MESSAGES_H
#include "base/buf.h"
#include <string.h>

static inline void put_varint(struct dm_buf *b, uint64_t v) {
    for (; v >= 0x80; v >>= 7)
        dm_buf_putc(b, (char)(v | 0x80));
    dm_buf_putc(b, (char)v);
}
static inline void put_number(struct dm_buf *b, unsigned field, uint64_t v) {
    put_varint(b, field << 3);
    put_varint(b, v);
}
static inline void put_bytes(struct dm_buf *b, unsigned field, const void *data, size_t n) {
    put_varint(b, field << 3 | 2);
    put_varint(b, n);
    dm_buf_add(b, data, n);
}
static inline void put_text(struct dm_buf *b, unsigned field, const char *text) {
    put_bytes(b, field, text, strlen(text));
}
/* Appends `inner` as a message field and empties it. */
static inline void put_message(struct dm_buf *b, unsigned field, struct dm_buf *inner) {
    put_bytes(b, field, inner->data, inner->len);
    dm_buf_free(inner);
}

/* One Device of a ListAndWatchResponse; numa < -1: no topology, -1 and above: one node of that id. */
static inline void put_device(struct dm_buf *list, const char *id, const char *health, int64_t numa) {
    struct dm_buf device = {0}, topology = {0}, node = {0};
    put_text(&device, 1, id);
    put_text(&device, 2, health);
    if (numa >= -1) {
        if (numa)
            put_number(&node, 1, (uint64_t)numa);
        put_message(&topology, 1, &node);
        put_message(&device, 3, &topology);
    }
    put_message(list, 1, &device);
}
#endif
