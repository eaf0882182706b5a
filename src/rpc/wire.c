/* wire.c -- bytes and texts between us and gRPC: messages as one block, status messages that anybody can print. */
#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "rpc/bridge.h"
#include <grpc/byte_buffer_reader.h>
#include <string.h>

grpc_byte_buffer *dm_wire_pack(struct dm_rpc *rpc, struct dm_span bytes) {
    dm_bridge_note_sent(rpc, bytes.len);
    grpc_slice slice = grpc_slice_from_copied_buffer((const char *)bytes.data, bytes.len);
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return buffer;
}

static bool in_one_piece(const grpc_byte_buffer *b) {
    return b->type == GRPC_BB_RAW && b->data.raw.slice_buffer.count == 1;
}

static struct dm_span span_of(const grpc_slice *slice) {
    return (struct dm_span){GRPC_SLICE_START_PTR(*slice), GRPC_SLICE_LENGTH(*slice)};
}

bool dm_message_open(struct dm_message *m, grpc_byte_buffer *buffer) {
    grpc_byte_buffer_reader reader;
    *m = (struct dm_message){.bytes = {(const uint8_t *)"", 0}};
    if (!buffer)
        return true;
    if (buffer->data.raw.compression != GRPC_COMPRESS_NONE) {
        grpc_byte_buffer_destroy(buffer);
        return false;
    }
    if (in_one_piece(buffer)) {
        m->whole = buffer;
        m->bytes = span_of(&buffer->data.raw.slice_buffer.slices[0]);
        return true;
    }
    if (grpc_byte_buffer_reader_init(&reader, buffer)) {
        m->flat = grpc_byte_buffer_reader_readall(&reader);
        m->flattened = true;
        m->bytes = span_of(&m->flat);
        grpc_byte_buffer_reader_destroy(&reader);
    }
    grpc_byte_buffer_destroy(
        buffer); /* now, not later: a big message is in memory once while it is looked at */
    return true;
}

void dm_message_close(struct dm_message *m) {
    if (m->whole)
        grpc_byte_buffer_destroy(m->whole);
    if (m->flattened)
        grpc_slice_unref(m->flat);
    *m = (struct dm_message){0};
}

/* Bytes of the valid character at `p`, 0 if there is none. */
static size_t character(const uint8_t *p, size_t left) {
    for (size_t n = 1; n <= 4 && n <= left; n++)
        if (*p && dm_text_utf8(p, n))
            return n;
    return 0;
}

char *dm_status_text(const void *text, size_t len) {
    static const char unknown[] = "\xef\xbf\xbd", more[] = "..."; /* U+FFFD for what cannot be shown */
    struct dm_buf out = {0};
    const uint8_t *p = text;
    size_t keep = 0; /* where to cut if it gets too long */
    for (size_t at = 0; at < len && out.len <= DM_STATUS_TEXT_MAX;) {
        size_t n = character(p + at, len - at);
        dm_buf_add(&out, n ? (const char *)p + at : unknown, n ? n : strlen(unknown));
        at += n ? n : 1;
        if (out.len + strlen(more) <= DM_STATUS_TEXT_MAX)
            keep = out.len;
    }
    if (out.len > DM_STATUS_TEXT_MAX) {
        out.len = keep;
        dm_buf_puts(&out, more);
    }
    return dm_buf_steal(&out);
}

grpc_slice dm_status_slice(const char *message) {
    DM_FREE char *clean = dm_status_text(message, strlen(message));
    return grpc_slice_from_copied_string(clean);
}
