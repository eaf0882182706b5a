/* map.h -- string (bytes and length) to pointer. Keys are copied; values stay the caller's. Hashing is seeded per
 * process, so that ids chosen by a stranger cannot make it slow. Not for iteration in a stable order: keep an array. */
#ifndef DM_BASE_MAP_H
#define DM_BASE_MAP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dm_map_slot;
struct dm_map { /* zero-initialise */
    struct dm_map_slot *slots;
    size_t n, used, cap; /* entries; entries and graves; slots (a power of two) */
};

void *dm_map_get(const struct dm_map *m, const char *key); /* NULL: not there */
void *dm_map_get_n(const struct dm_map *m, const char *key, size_t len);
bool dm_map_put(struct dm_map *m, const char *key, void *value); /* false: key was there, value replaced */
bool dm_map_put_n(struct dm_map *m, const char *key, size_t len, void *value);
/* 1: new; 0: replaced; -ENOMEM: as it was. */
int dm_map_try_put(struct dm_map *m, const char *key, void *value);
void *dm_map_remove(struct dm_map *m, const char *key); /* the value, or NULL */
void dm_map_free(struct dm_map *m);                     /* not the values; leaves it empty */
/* The seeded hash of the keys, for tables of one's own and for fingerprints; differs from process to process. */
uint64_t dm_map_hash(const void *key, size_t len);
/* Any order; do not change the map inside. *it starts at 0; NULL at the end. */
void *dm_map_next(const struct dm_map *m, size_t *it, const char **key);
#endif
