/* The JSON scanner's own rules (src/checkpoint/scan.h). What Go accepts is tested by tests/data/checkpoint-edge. */
#include "base/mem.h"
#include "check.h"
#include "checkpoint/scan.h"

static devmgr_error err;

static int skim(const char *text, size_t n) {
    struct dm_scan s;
    dm_scan_init(&s, (struct dm_span){(const uint8_t *)text, n});
    dm_scan_skip(&s);
    int r = dm_scan_end(&s, &err);
    dm_scan_free(&s);
    return r;
}

static char *nested(size_t depth, const char *open, const char *close) {
    struct dm_buf b = {0};
    for (size_t i = 0; i < depth; i++)
        dm_buf_puts(&b, open);
    dm_buf_puts(&b, "1");
    for (size_t i = 0; i < depth; i++)
        dm_buf_puts(&b, close);
    return dm_buf_steal(&b);
}

TEST(ten_thousand_levels_are_read_and_no_more) {
    static const struct {
        const char *open, *close;
    } rows[] = {{"[", "]"}, {"{\"a\":", "}"}, {"[{\"a\":", "}]"}};
    EACH(row, rows) {
        size_t limit = row == &rows[2] ? 5000 : 10000;
        DM_FREE char *good = nested(limit, row->open, row->close),
                     *bad = nested(limit + 1, row->open, row->close);
        CHECK_INT(skim(good, strlen(good)), 0);
        CHECK_INT(skim(bad, strlen(bad)), DEVMGR_ECHECKPOINT);
        CHECK(strstr(err.message, "exceeded max depth"));
    }
}

TEST(every_cut_of_a_text_is_an_unexpected_end) {
    static const char text[] = "{\"a\":[1,-2.5e+3,true,false,null,\"x\\u00e4\\n\"],\"b\":{}}";
    CHECK_INT(skim(text, sizeof text - 1), 0);
    for (size_t n = 0; n < sizeof text - 1; n++) {
        DM_FREE char *cut = dm_memdup(text, n); /* its own block: reading beyond it is seen */
        CHECK_INT(skim(cut, n), DEVMGR_ECHECKPOINT);
        if (!strstr(err.message, "unexpected end of JSON input"))
            CHECK_FAIL("%zu bytes: %s", n, err.message);
    }
}

TEST(numbers_are_what_strconv_takes) {
    static const struct {
        const char *text;
        int u64, i64;
    } rows[] = {{"0", 1, 1},
                {"007", 1, 1},
                {"-1", 0, 1},
                {"+1", 0, 1},
                {"", 0, 0},
                {"-", 0, 0},
                {"1.0", 0, 0},
                {"1e3", 0, 0},
                {" 1", 0, 0},
                {"1_0", 0, 0},
                {"9223372036854775807", 1, 1},
                {"9223372036854775808", 1, 0},
                {"-9223372036854775808", 0, 1},
                {"-9223372036854775809", 0, 0},
                {"18446744073709551615", 1, 0},
                {"18446744073709551616", 0, 0},
                {"99999999999999999999999", 0, 0}};
    EACH(row, rows) {
        uint64_t u;
        int64_t i;
        struct dm_span text = {(const uint8_t *)row->text, strlen(row->text)};
        if (dm_scan_u64(text, &u) != row->u64 || dm_scan_i64(text, &i) != row->i64)
            CHECK_FAIL("\"%s\"", row->text);
    }
    int64_t least;
    CHECK(dm_scan_i64((struct dm_span){(const uint8_t *)"-9223372036854775808", 20}, &least));
    CHECK_INT(least, INT64_MIN);
}

TEST(syntax_wins_over_types_wherever_it_stands) {
    struct dm_scan s;
    static const char text[] = "[\"x\",}";
    dm_scan_init(&s, (struct dm_span){(const uint8_t *)text, strlen(text)});
    CHECK_INT(dm_scan_element(&s, 0), true);
    dm_scan_mismatch(&s, s.at, "%s", "first");
    dm_scan_mismatch(&s, s.at, "%s", "second");
    dm_scan_skip(&s);
    CHECK_INT(dm_scan_element(&s, 1), true);
    CHECK_INT(dm_scan_peek(&s), DM_JSON_NOTHING);
    CHECK_INT(dm_scan_end(&s, &err), DEVMGR_ECHECKPOINT);
    CHECK_STR(err.message, "line 1, column 6: invalid character '}' looking for beginning of value");
    CHECK_STR(s.type, "line 1, column 2: first");
    dm_scan_free(&s);
}
