/* numa.c -- see numa.h. */
#include "topology/numa.h"
#include <stdlib.h>
#include <string.h>

/* Digits up to `most`; steps over them. -1: none there, or too large. */
static long number(const char **p, long most) {
    long value = 0;
    if (**p < '0' || **p > '9')
        return -1;
    for (; **p >= '0' && **p <= '9'; (*p)++)
        if ((value = value * 10 + (**p - '0')) > most)
            return -1;
    return value;
}

/* "ID[:D,D,...]": adds the node; its distances go to row[], in the order written. */
static int parse_node(const char **p, struct dm_numa *numa, uint32_t *row, size_t *n_row,
                      devmgr_error *reterr) {
    const char *written = *p;
    long id = number(p, DM_NUMA_NODES - 1);
    if (id < 0)
        return dm_error_set(reterr, DEVMGR_EINVALID, "numa: \"%.40s\": a node is a number from 0 to %d",
                            written, DM_NUMA_NODES - 1);
    if (numa->all >> id & 1)
        return dm_error_set(reterr, DEVMGR_EINVALID, "numa: node %ld stands there twice", id);
    numa->ids[numa->n++] = (uint8_t)id;
    numa->all |= UINT64_C(1) << id;
    for (*n_row = 0; **p == (*n_row ? ',' : ':') && *n_row < DM_NUMA_NODES;) {
        (*p)++;
        long d = number(p, DM_NUMA_MAX_DISTANCE);
        if (d < 0)
            return dm_error_set(reterr, DEVMGR_EINVALID, "numa: node %ld: \"%.40s\": a distance is a number",
                                id, *p);
        row[(*n_row)++] = (uint32_t)d;
    }
    if (**p && **p != ';')
        return dm_error_set(reterr, DEVMGR_EINVALID,
                            "numa: node %ld: \"%.40s\": expected NODE:DISTANCE,...;...", id, *p);
    return 0;
}

/* Rows as written, once all nodes are known: every node has none, or one distance for each node. */
static int place_distances(struct dm_numa *numa, uint32_t rows[][DM_NUMA_NODES], const size_t *n_row,
                           devmgr_error *reterr) {
    numa->distances = n_row[0] > 0;
    for (size_t i = 0; i < numa->n; i++) {
        if (n_row[i] != (numa->distances ? numa->n : 0))
            return dm_error_set(reterr, DEVMGR_EINVALID,
                                "numa: node %d has %zu distances, there are %zu nodes", numa->ids[i],
                                n_row[i], numa->n);
        for (size_t k = 0; k < n_row[i]; k++)
            numa->distance[numa->ids[i]][numa->ids[k]] = rows[i][k];
    }
    return 0;
}

int dm_numa_parse(const char *spec, struct dm_numa *ret, devmgr_error *reterr) {
    uint32_t rows[DM_NUMA_NODES][DM_NUMA_NODES];
    size_t n_row[DM_NUMA_NODES] = {0};
    struct dm_numa numa = {0};
    for (const char *p = spec; numa.n < DM_NUMA_NODES; p++) {
        size_t at = numa.n;
        int rc = parse_node(&p, &numa, rows[at], &n_row[at], reterr);
        if (rc < 0)
            return rc;
        if (!*p)
            break;
    }
    int rc = place_distances(&numa, rows, n_row, reterr);
    if (rc == 0)
        *ret = numa;
    return rc;
}

double dm_numa_average(const struct dm_numa *numa, uint64_t set) {
    uint64_t sum = 0, pairs = 0;
    for (uint64_t a = set; a; a &= a - 1)
        for (uint64_t b = set; b; b &= b - 1, pairs++)
            sum += numa->distance[__builtin_ctzll(a)][__builtin_ctzll(b)];
    return pairs ? (double)sum / (double)pairs : 0;
}

bool dm_numa_narrower(uint64_t a, uint64_t b) {
    int ca = __builtin_popcountll(a), cb = __builtin_popcountll(b);
    return ca != cb ? ca < cb : a < b;
}
