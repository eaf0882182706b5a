/* Hashing in blocks (src/checkpoint/hash.h) gives what hashing byte by byte gives; CRC-32C its known values. */
#include "check.h"
#include "checkpoint/hash.h"
#include <stdlib.h>

static uint64_t state = 88172645463325252u;
static uint32_t any(uint32_t below) { /* the same numbers in every run */
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)(state >> 32) % below;
}

TEST(fnv_has_its_known_values) {
    CHECK_INT(dm_fnv(DM_FNV_START, "", 0), 0x811c9dc5);
    CHECK_INT(dm_fnv(DM_FNV_START, "a", 1), 0xe40c292c);
    CHECK_INT(dm_fnv(DM_FNV_START, "foobar", 6), 0xbf9cf968);
}

TEST(crc32c_has_its_known_values) {
    static const struct {
        const char *text;
        uint32_t crc;
    } rows[] = {{"", 0},
                {"a", 0xc1d04330},
                {"123456789", 0xe3069283},
                {"The quick brown fox jumps over the lazy dog", 0x22620404}};
    EACH(row, rows)
    CHECK_INT(dm_crc32c(row->text, strlen(row->text)), row->crc);
    uint8_t zeros[32] = {0};
    CHECK_INT(dm_crc32c(zeros, 32), 0x8a9136aa); /* RFC 3720 B.4 */
}

/* Random blocks, hashed from random places until their tables are there, and after that. */
TEST(a_block_maps_every_start_as_its_bytes_do) {
    static const int kinds[] = {0x0a, 0x80, 0x100}; /* bytes below: digits, ASCII, any */
    EACH(kind, kinds)
    for (int round = 0; round < 40; round++) {
        uint8_t text[400];
        size_t n = any(round < 5 ? 3 : sizeof text), budget = 1 << 20;
        struct dm_block b = {0};
        for (size_t i = 0; i < n; i++)
            text[i] = (uint8_t)((*kind == 0x0a ? '0' : 0) + any((uint32_t)*kind));
        for (int i = 0; i < 300; i++) {
            uint32_t h = any(UINT32_MAX), known;
            CHECK_INT(dm_block_hash(&b, h, text, n, &budget), dm_fnv(h, text, n));
            CHECK(dm_block_known(&b, h, &known));
            CHECK_INT(known, dm_fnv(h, text, n));
        }
        CHECK(b.table != NULL);
        CHECK(b.misses < 300);
        dm_block_free(&b);
    }
}

TEST(a_table_waits_until_it_pays_and_for_its_budget) {
    size_t budget = 0, rich = 100;
    struct dm_block b = {0};
    for (uint32_t i = 0; i < 1000; i++)
        dm_block_hash(&b, i, "0123456789", 10, &budget);
    CHECK(!b.table);
    dm_block_hash(&b, 1000, "0123456789", 10, &rich);
    CHECK(b.table != NULL);
    CHECK_INT(rich, 90);
    dm_block_free(&b);

    dm_block_hash(&b, 1, "0123456789", 10, &rich);
    CHECK(!b.table);
    for (int i = 0; i < 1000; i++) /* nothing before it changes: no table is needed */
        dm_block_hash(&b, 1, "0123456789", 10, &rich);
    CHECK(!b.table);
    CHECK_INT(b.misses, 1);
    dm_block_free(&b);
}
