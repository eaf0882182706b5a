/* Rules of src/base/text.h. */
#include "base/text.h"
#include "check.h"

TEST(natural_order_compares_numbers_by_value) {
    static const struct {
        const char *a, *b;
        int order;
    } rows[] = {{"gpu2", "gpu10", -1},    {"gpu10", "gpu2", 1},
                {"a", "b", -1},           {"a01", "a1", 1},
                {"a1", "a01", -1},        {"a", "a1", -1},
                {"0000:05", "0000:5", 1}, {"x", "x", 0},
                {"1a", "a", -1},          {"dev-00009", "dev-00010", -1}};
    EACH(row, rows) {
        int got = dm_text_natural(row->a, row->b);
        CHECK_INT((got > 0) - (got < 0), row->order);
    }
}

TEST(durations_read_and_print) {
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {{"500ms", 500}, {"5s", 5000}, {"1m30s", 90000}, {"2h", 7200000}, {"0", 0},
                {"5", -1},      {"", -1},     {"1x", -1},       {"-1s", -1},     {"1m ", -1}};
    EACH(row, rows) {
        uint64_t ms;
        int bad = dm_text_duration(row->text, &ms);
        CHECK_INT(bad ? -1 : (int64_t)ms, row->ms);
        char out[64];
        if (!bad)
            CHECK_STR(dm_text_duration_format(ms, out, sizeof out), row->text);
    }
}

TEST(utf8_is_judged_as_in_go) {
    static const struct {
        const char *bytes;
        int good;
    } rows[] = {{"plain", 1},
                {"\xc3\xa4", 1},
                {"\xc0\x80", 0},
                {"\xed\xa0\x80", 0},
                {"\xf4\x90\x80\x80", 0},
                {"\xf0\x9f\x98\x80", 1},
                {"\xe2\x82", 0},
                {"\x80", 0}};
    EACH(row, rows)
    CHECK_INT(dm_text_utf8(row->bytes, strlen(row->bytes)), row->good);
}

TEST(patterns_match_with_stars) {
    CHECK_INT(dm_text_match("example.com/*", "example.com/gpu"), 1);
    CHECK_INT(dm_text_match("*.com/g*u", "example.com/gpu"), 1);
    CHECK_INT(dm_text_match("example.com/", "example.com/gpu"), 0);
    CHECK_INT(dm_text_match("*", ""), 1);
}
