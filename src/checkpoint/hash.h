/* hash.h -- FNV-1a 32 over long texts of which little changes, and CRC-32C.
 *
 * FNV-1a's step is h = (h ^ c) * P. The low 8 bits of h evolve alone (what is above never comes down), and what is above
 * them is only multiplied. So a fixed block of n bytes maps h to h * P^n + K[h & 255]: one multiply-add instead of n
 * steps, with a table of 256 words; of 128 when all its bytes are ASCII, since then bit 7 is only multiplied too.
 * A table costs as much as hashing the block 8 times (without AVX2: 30), so it is made once that much has been spent on the
 * block anyway; until then the block remembers its last result, which is enough while nothing before it changes. */
#ifndef DM_CHECKPOINT_HASH_H
#define DM_CHECKPOINT_HASH_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DM_FNV_START 2166136261u
uint32_t dm_fnv(uint32_t h, const void *data, size_t n);

struct dm_block {     /* zero-initialise */
    bool hashed;      /* once: `in` and `out` hold */
    uint32_t in, out; /* the last one */
    uint32_t power;   /* P^n; with a table */
    uint32_t mask;    /* entries - 1 */
    uint32_t *table;  /* NULL: not yet */
    unsigned misses;  /* times it was hashed byte by byte */
};
/* What h becomes behind the block, if that is known without its text. */
bool dm_block_known(const struct dm_block *b, uint32_t h, uint32_t *ret);
/* The same with its text, which must always be the same. `budget`: bytes for which tables may still be made in this
 * round; less of it is left afterwards. */
uint32_t dm_block_hash(struct dm_block *b, uint32_t h, const void *text, size_t n, size_t *budget);
void dm_block_free(struct dm_block *b);

uint32_t dm_crc32c(const void *data, size_t n);
#endif
