/* An error's message is one line of UTF-8, whatever went into it. */
#include "base/error.h"
#include "base/text.h"
#include "check.h"

TEST(a_strangers_value_cannot_begin_a_line_or_steer_a_terminal) {
    devmgr_error err = {0};
    CHECK_INT(dm_error_set(&err, -EINVAL, "name: \"%s\"", "a\nb\033[31m\x7f\t"), -EINVAL);
    CHECK_STR(err.message, "name: \"a?b?[31m??\"");
}

TEST(what_is_cut_inside_a_character_stays_UTF8) {
    for (int pad = 0; pad < 4; pad++) {
        devmgr_error err = {0};
        char text[3000] = {0};
        memset(text, 'x', (size_t)pad);
        for (size_t i = (size_t)pad; i + 3 < sizeof text; i += 3)
            memcpy(text + i, "\xe2\x82\xac", 3);
        dm_error_set(&err, -EIO, "%s", text);
        CHECK(dm_text_utf8(err.message, strlen(err.message)));
        CHECK_INT(strlen(err.message), sizeof err.message - 1);
    }
    devmgr_error err = {0};
    dm_error_set(&err, -EIO, "\"%.4s\": bad", "\xe2\x82\xac\xe2\x82\xac");
    CHECK_STR(err.message, "\"\xe2\x82\xac?\": bad");
}

TEST(a_wrapped_error_keeps_its_code) {
    devmgr_error err = {0};
    dm_error_set(&err, -ENOENT, "no such file");
    CHECK_INT(dm_error_wrap(&err, "reading %s", "x"), -ENOENT);
    CHECK_STR(err.message, "reading x: no such file");
}
