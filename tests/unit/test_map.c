/* The string map, the buffer and the bit set of src/base. */
#include "base/bits.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include "check.h"

TEST(a_map_finds_what_was_put_and_forgets_what_was_removed) {
    struct dm_map m = {0};
    char key[32];
    for (intptr_t i = 0; i < 5000; i++) {
        snprintf(key, sizeof key, "key-%jd", (intmax_t)i);
        CHECK_INT(dm_map_put(&m, key, (void *)(i + 1)), 1);
    }
    CHECK_INT(dm_map_put(&m, "key-7", (void *)9000), 0);
    for (intptr_t i = 0; i < 5000; i += 2) {
        snprintf(key, sizeof key, "key-%jd", (intmax_t)i);
        CHECK_INT((intptr_t)dm_map_remove(&m, key), i + 1);
        CHECK(!dm_map_remove(&m, key));
    }
    CHECK_INT(m.n, 2500);
    CHECK_INT((intptr_t)dm_map_get(&m, "key-7"), 9000);
    CHECK(!dm_map_get(&m, "key-8"));
    dm_map_free(&m);
}

TEST(a_map_that_may_run_out_of_memory_takes_the_same) {
    struct dm_map m = {0};
    char key[32];
    for (intptr_t i = 0; i < 500; i++) {
        snprintf(key, sizeof key, "%.*s", (int)(i % 30), "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
        CHECK_INT(dm_map_try_put(&m, key, (void *)(i + 1)), i < 30);
    }
    CHECK_INT(m.n, 30);
    CHECK_INT((intptr_t)dm_map_get(&m, ""), 481);
    dm_map_free(&m);
}

TEST(a_map_that_is_filled_and_emptied_for_ever_does_not_grow) {
    struct dm_map m = {0};
    char key[32];
    for (int i = 0; i < 100000; i++) {
        snprintf(key, sizeof key, "%d", i);
        dm_map_put(&m, key, key);
        dm_map_remove(&m, key);
    }
    CHECK_INT(m.n, 0);
    CHECK(m.cap <= 64);
    dm_map_free(&m);
}

TEST(keys_may_hold_any_bytes) {
    struct dm_map m = {0};
    dm_map_put_n(&m, "a\0b", 3, &m);
    CHECK(!dm_map_get(&m, "a"));
    CHECK(dm_map_get_n(&m, "a\0b", 3) == &m);
    dm_map_free(&m);
}

TEST(a_buffer_grows_and_stays_terminated) {
    struct dm_buf b = {0};
    for (int i = 0; i < 1000; i++)
        dm_buf_printf(&b, "%d,", i);
    CHECK_INT(b.len, strlen(b.data));
    DM_FREE char *text = dm_buf_steal(&b);
    CHECK_INT(strncmp(text, "0,1,2,", 6), 0);
    DM_FREE char *empty = dm_buf_steal(&b);
    CHECK_STR(empty, "");
}

TEST(bits_beyond_the_size_read_as_zero) {
    struct dm_bits b = {0};
    CHECK_INT(dm_bits_get(&b, 1000), 0);
    dm_bits_set(&b, 1000);
    dm_bits_set(&b, 3);
    dm_bits_clear(&b, 5000);
    CHECK_INT(dm_bits_get(&b, 1000), 1);
    CHECK_INT(dm_bits_count(&b), 2);
    dm_bits_free(&b);
}
