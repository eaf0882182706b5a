/* fields.h -- walk a protobuf message field by field, straight from the received bytes, without memory.
 *
 * Everything that a plugin sends is read through this. It accepts and refuses what Go's protobuf does: unknown fields,
 * groups and known numbers with another wire type are skipped, a broken tag, length or varint ends the message. What
 * grows with the message (counts, texts) is bounded by the readers built on top. */
#ifndef DM_REGISTRATION_FIELDS_H
#define DM_REGISTRATION_FIELDS_H
#include "base/buf.h"
#include "base/error.h"
#include <stdbool.h>

enum dm_field_type {
    DM_FIELD_VARINT,
    DM_FIELD_FIXED64,
    DM_FIELD_BYTES,
    DM_FIELD_GROUP,
    DM_FIELD_END,
    DM_FIELD_FIXED32
};
struct dm_field {
    uint32_t number;
    enum dm_field_type type;
    uint64_t value;       /* VARINT */
    struct dm_span bytes; /* BYTES: borrowed from the message */
};

int dm_field_next_slow(struct dm_span *rest, struct dm_field *ret);

/* Takes the next field off `rest`. 1: here it is, 0: the message is over, -EBADMSG: it is broken. The short way here
 * is for short texts with small numbers, which is what a list of 100 000 devices is made of. */
static inline int dm_field_next(struct dm_span *rest, struct dm_field *ret) {
    const uint8_t *p = rest->data;
    if (rest->len < 2 || p[0] >= 0x80 || p[0] < 8 || (p[0] & 7) != DM_FIELD_BYTES || p[1] >= 0x80 ||
        p[1] > rest->len - 2)
        return dm_field_next_slow(rest, ret);
    ret->number = p[0] >> 3, ret->type = DM_FIELD_BYTES;
    ret->bytes = (struct dm_span){p + 2, p[1]};
    rest->data += 2 + p[1], rest->len -= 2u + p[1];
    return 1;
}

/* A string field: 0, -EBADMSG (invalid UTF-8), -EILSEQ (a NUL byte: fine in Go, but no C string). */
int dm_field_text(struct dm_span bytes);

static inline bool dm_field_is(const struct dm_field *f, uint32_t number, enum dm_field_type type) {
    return f->number == number && f->type == type;
}
#endif
