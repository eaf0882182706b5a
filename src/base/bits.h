/* bits.h -- a growing set of small integers (device indices). Zero-initialise; bits beyond the size read as 0. */
#ifndef DM_BASE_BITS_H
#define DM_BASE_BITS_H
#include "base/mem.h"
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct dm_bits {
    uint64_t *words;
    size_t n; /* words */
};

static inline void dm_bits_free(struct dm_bits *b) {
    free(b->words);
    *b = (struct dm_bits){0};
}
static inline bool dm_bits_get(const struct dm_bits *b, size_t i) {
    return i / 64 < b->n && (b->words[i / 64] >> (i % 64) & 1);
}
static inline uint64_t dm_bits_word(const struct dm_bits *b, size_t w) {
    return w < b->n ? b->words[w] : 0;
}
static inline void dm_bits_set(struct dm_bits *b, size_t i) {
    if (i / 64 >= b->n) {
        size_t n = i / 64 + 1 + b->n / 2;
        b->words = dm_realloc(b->words, n * sizeof *b->words);
        memset(b->words + b->n, 0, (n - b->n) * sizeof *b->words);
        b->n = n;
    }
    b->words[i / 64] |= UINT64_C(1) << (i % 64);
}
static inline void dm_bits_clear(struct dm_bits *b, size_t i) {
    if (i / 64 < b->n)
        b->words[i / 64] &= ~(UINT64_C(1) << (i % 64));
}
static inline size_t dm_bits_count(const struct dm_bits *b) {
    size_t sum = 0;
    for (size_t w = 0; w < b->n; w++)
        sum += (size_t)__builtin_popcountll(b->words[w]);
    return sum;
}
#endif
