/* fields.c -- see fields.h. One-byte varints, nearly all there are, take the short way. */
#include "registration/fields.h"
#include "base/text.h"
#include <string.h>

enum {
    MAX_NUMBER = (1 << 29) - 1, /* protobuf's largest field number */
    MAX_DEPTH = 100             /* of groups in groups; nobody sends any */
};

static bool long_varint(struct dm_span *rest, uint64_t *ret) {
    uint64_t value = 0;
    for (size_t i = 0; i < rest->len && i < 10; i++) {
        uint8_t byte = rest->data[i];
        if (i == 9 && byte > 1)
            return false;
        value |= (uint64_t)(byte & 0x7f) << 7 * i;
        if (byte < 0x80) {
            rest->data += i + 1, rest->len -= i + 1;
            *ret = value;
            return true;
        }
    }
    return false;
}

static inline bool varint(struct dm_span *rest, uint64_t *ret) {
    if (!rest->len || *rest->data >= 0x80)
        return long_varint(rest, ret);
    *ret = *rest->data++;
    rest->len--;
    return true;
}

static inline bool take(struct dm_span *rest, uint64_t n, struct dm_span *ret) {
    if (n > rest->len)
        return false;
    *ret = (struct dm_span){rest->data, (size_t)n};
    rest->data += n, rest->len -= (size_t)n;
    return true;
}

static inline bool tag(struct dm_span *rest, struct dm_field *f) {
    uint64_t t;
    if (!varint(rest, &t) || t >> 3 < 1 || t >> 3 > MAX_NUMBER)
        return false;
    f->number = (uint32_t)(t >> 3), f->type = t & 7;
    return true;
}

static inline bool plain_value(struct dm_span *rest, struct dm_field *f) {
    uint64_t n;
    switch (f->type) {
    case DM_FIELD_VARINT:
        return varint(rest, &f->value);
    case DM_FIELD_BYTES:
        return varint(rest, &n) && take(rest, n, &f->bytes);
    case DM_FIELD_FIXED64:
        return take(rest, 8, &f->bytes);
    case DM_FIELD_FIXED32:
        return take(rest, 4, &f->bytes);
    default:
        return false;
    }
}

/* Steps over the group whose start was just read, groups inside included. */
static bool skip_group(struct dm_span *rest, uint32_t number) {
    uint32_t open[MAX_DEPTH] = {number};
    for (int depth = 1; depth;) {
        struct dm_field f;
        if (!tag(rest, &f))
            return false;
        if (f.type == DM_FIELD_END) {
            if (open[--depth] != f.number)
                return false;
        } else if (f.type == DM_FIELD_GROUP) {
            if (depth == MAX_DEPTH)
                return false;
            open[depth++] = f.number;
        } else if (!plain_value(rest, &f)) {
            return false;
        }
    }
    return true;
}

int dm_field_next_slow(struct dm_span *rest, struct dm_field *ret) {
    if (!rest->len)
        return 0;
    if (!tag(rest, ret))
        return -EBADMSG;
    bool good = ret->type == DM_FIELD_GROUP ? skip_group(rest, ret->number) : plain_value(rest, ret);
    return good ? 1 : -EBADMSG;
}

int dm_field_text(struct dm_span bytes) {
    if (!dm_text_utf8(bytes.data, bytes.len))
        return -EBADMSG;
    return bytes.len && memchr(bytes.data, 0, bytes.len) ? -EILSEQ : 0;
}
