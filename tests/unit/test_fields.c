/* Rules of src/registration/fields.h: what Go's protobuf takes and refuses. */
#include "check.h"
#include "registration/fields.h"

#define BYTES(s)                                                                                             \
    { (const uint8_t *)(s), sizeof(s) - 1 }

/* Fields in `message`, or -1 when it is broken. */
static int count(struct dm_span message) {
    struct dm_field f;
    int n = 0, more;
    while ((more = dm_field_next(&message, &f)) > 0)
        n++;
    return more < 0 ? -1 : n;
}

TEST(a_message_is_walked_or_refused_as_in_go) {
    static const struct {
        struct dm_span message;
        int fields;
        const char *what;
    } rows[] = {
        {BYTES(""), 0, "empty"},
        {BYTES("\x0a\x00"), 1, "empty bytes"},
        {BYTES("\x0a\x01"), -1, "bytes cut off"},
        {BYTES("\x0a"), -1, "length missing"},
        {BYTES("\x08\x01\x12\x01z"), 2, "two fields"},
        {BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), 1, "largest varint"},
        {BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), -1, "varint over 64 bits"},
        {BYTES("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"), -1, "varint of 11 bytes"},
        {BYTES("\x08\x81\x00"), 1, "varint with a superfluous byte"},
        {BYTES("\x00\x00"), -1, "field 0"},
        {BYTES("\xf8\xff\xff\xff\x0f\x00"), 1, "largest field number"},
        {BYTES("\x80\x80\x80\x80\x10\x00"), -1, "field number over 2^29-1"},
        {BYTES("\x0d\x01\x02\x03\x04"), 1, "fixed32"},
        {BYTES("\x0d\x01\x02\x03"), -1, "fixed32 cut off"},
        {BYTES("\x09\x01\x02\x03\x04\x05\x06\x07\x08"), 1, "fixed64"},
        {BYTES("\x0e"), -1, "wire type 6"},
        {BYTES("\x0f"), -1, "wire type 7"},
        {BYTES("\x0b\x0c"), 1, "empty group"},
        {BYTES("\x0b\x08\x01\x13\x14\x0c\x10\x01"), 2, "group in a group, then a field"},
        {BYTES("\x0b\x14"), -1, "group ended by another number"},
        {BYTES("\x0b\x08\x01"), -1, "group without end"},
        {BYTES("\x0c"), -1, "end without a group"},
        {BYTES("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), -1, "length of 2^64-1"},
    };
    EACH(row, rows) {
        int got = count(row->message);
        if (got != row->fields)
            CHECK_FAIL("%s: got %d, want %d", row->what, got, row->fields);
    }
}

TEST(groups_nest_only_so_deep) {
    uint8_t deep[400];
    memset(deep, 0x0b, 200);
    memset(deep + 200, 0x0c, 200);
    CHECK_INT(count((struct dm_span){deep, sizeof deep}), -1);
    CHECK_INT(count((struct dm_span){deep + 150, 100}), 1);
}

TEST(texts_are_utf8_without_nul) {
    CHECK_INT(dm_field_text((struct dm_span)BYTES("gpu-\xc3\xbc")), 0);
    CHECK_INT(dm_field_text((struct dm_span){NULL, 0}), 0);
    CHECK_INT(dm_field_text((struct dm_span)BYTES("a\0b")), -EILSEQ);
    CHECK_INT(dm_field_text((struct dm_span)BYTES("\xff")), -EBADMSG);
}
