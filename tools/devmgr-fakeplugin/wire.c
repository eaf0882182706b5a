/* wire.c -- see wire.h. */
#include "wire.h"
#include "base/mem.h"
#include <string.h>

enum { HUGE_BYTES = 65 << 20, UNKNOWN_FIELD = 1000, LENGTH_DELIMITED = 2 };

ProtobufCBinaryData fp_wire_text(const char *text) {
    return (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
}

ProtobufCBinaryData fp_wire_copy(const char *text) {
    return (ProtobufCBinaryData){strlen(text), (uint8_t *)dm_strdup(text)};
}

char *fp_wire_string(ProtobufCBinaryData bytes) {
    return bytes.len ? dm_strndup((const char *)bytes.data, bytes.len) : dm_strdup("");
}

void fp_wire_pack(const ProtobufCMessage *message, struct dm_buf *out) {
    size_t n = protobuf_c_message_get_packed_size(message);
    protobuf_c_message_pack(message, (uint8_t *)dm_buf_reserve(out, n));
    out->len += n;
    dm_buf_add(out, "", 0); /* the NUL behind it */
}

static void add_varint(struct dm_buf *out, uint32_t value) {
    for (; value >= 0x80; value >>= 7)
        dm_buf_putc(out, (char)(value | 0x80));
    dm_buf_putc(out, (char)value);
}

void fp_wire_pad(struct dm_buf *out) {
    add_varint(out, UNKNOWN_FIELD << 3 | LENGTH_DELIMITED);
    add_varint(out, HUGE_BYTES);
    memset(dm_buf_reserve(out, HUGE_BYTES), 'x', HUGE_BYTES);
    out->len += HUGE_BYTES;
    dm_buf_add(out, "", 0);
}

void fp_wire_garbage(struct dm_buf *out) {
    static const char bytes[] = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff garbage";
    out->len = 0;
    dm_buf_add(out, bytes, sizeof bytes - 1);
}
