/* numa.c -- see numa.h.
 *
 * The kernel's node folder: `online` is a list as "0-1,8"; node8/distance has one number for each online node, in
 * ascending order of their ids, so with ids 0, 1, 8 the third number is the distance to node 8. Offline nodes may have
 * a folder and have no column. */
#include "numa.h"
#include "base/mem.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_ID = 4095, LOCAL = 10 };

struct nodes { /* online ones, also those that have no bit in a set */
    size_t n;
    unsigned ids[MAX_ID + 1]; /* ascending */
};

/* The first bytes of a small file, as text. */
static int read_text(int folder, const char *name, char *out, size_t size) {
    size_t n = 0;
    ssize_t got = 1;
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    while (got > 0 && n < size - 1) {
        got = read(fd, out + n, size - 1 - n);
        n += got > 0 ? (size_t)got : 0;
    }
    int rc = got < 0 ? -errno : 0;
    close(fd);
    out[n] = 0;
    return rc;
}

/* Digits; steps over them. -1: none, or too large. */
static long number(const char **p) {
    char *end;
    if (**p < '0' || **p > '9')
        return -1;
    errno = 0;
    long value = strtol(*p, &end, 10);
    *p = end;
    return errno || value > DM_NUMA_MAX_DISTANCE ? -1 : value;
}

/* "0-1,8" and a line's end; ascending, as the kernel writes it. */
static bool parse_list(const char *p, struct nodes *nodes) {
    long last = -1;
    while (*p && *p != '\n') {
        long from = number(&p), to = from;
        if (*p == '-') {
            p++;
            to = number(&p);
        }
        if (from <= last || to < from || to > MAX_ID || (*p && *p != ',' && *p != '\n'))
            return false;
        for (last = to; from <= to; from++)
            nodes->ids[nodes->n++] = (unsigned)from;
        p += *p == ',';
    }
    return nodes->n > 0;
}

/* distance[id] from a row as "10 21 31"; false: it is not one number for each node. */
static bool parse_row(const char *p, const struct nodes *nodes, unsigned id, struct dm_numa *numa) {
    size_t k = 0;
    for (p += strspn(p, " \t"); *p && *p != '\n'; p += strspn(p, " \t"), k++) {
        long d = number(&p);
        if (d < 0 || k >= nodes->n)
            return false;
        if (nodes->ids[k] < DM_NUMA_NODES)
            numa->distance[id][nodes->ids[k]] = (uint32_t)d;
    }
    return k == nodes->n;
}

static bool read_row(int folder, const struct nodes *nodes, unsigned id, struct dm_numa *numa) {
    DM_FREE char *text = dm_alloc(1 << 16), *name = dm_printf("node%u/distance", id);
    return read_text(folder, name, text, 1 << 16) == 0 && parse_row(text, nodes, id, numa);
}

static void fill(int folder, const struct nodes *nodes, struct dm_numa *ret) {
    *ret = (struct dm_numa){.distances = true};
    for (size_t i = 0; i < nodes->n && nodes->ids[i] < DM_NUMA_NODES; i++) {
        ret->ids[ret->n++] = (uint8_t)nodes->ids[i];
        ret->all |= UINT64_C(1) << nodes->ids[i];
        ret->distances &= read_row(folder, nodes, nodes->ids[i], ret);
    }
}

static void one_node(struct dm_numa *ret) {
    *ret = (struct dm_numa){.n = 1, .all = 1, .distances = true, .distance = {{LOCAL}}};
}

int dm_numa_read(const char *root, struct dm_numa *ret, devmgr_error *reterr) {
    DM_FREE struct nodes *nodes = DM_NEW(struct nodes);
    char text[4096];
    int folder = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;
    if (folder < 0 && errno == ENOENT) {
        one_node(ret);
        return 0;
    }
    if (folder < 0)
        return dm_error_errno(reterr, "%s", root);
    rc = read_text(folder, "online", text, sizeof text);
    if (rc < 0)
        rc = dm_error_set(reterr, rc, "%s/online: %s", root, strerror(-rc));
    else if (!parse_list(text, nodes) || nodes->ids[0] >= DM_NUMA_NODES)
        rc = dm_error_set(reterr, -EBADMSG, "%s/online: \"%.*s\": no list of NUMA nodes from 0 to %d", root,
                          (int)strcspn(text, "\n"), text, DM_NUMA_NODES - 1);
    else
        fill(folder, nodes, ret);
    close(folder);
    return rc;
}

int dm_numa_topology(const struct dm_settings *s, struct dm_topology *ret, devmgr_error *reterr) {
    DM_FREE struct dm_numa *numa = DM_NEW(struct dm_numa);
    devmgr_error err;
    int rc = *s->numa ? dm_numa_parse(s->numa, numa, reterr) : dm_numa_read(s->numa_root, numa, reterr);
    if (rc < 0 && !*s->numa && !strcmp(s->topology_policy, dm_policy_name(DM_POLICY_NONE))) {
        one_node(numa);
        rc = 0;
    }
    if (rc == 0 &&
        dm_topology_parse(s->topology_policy, s->topology_scope, s->topology_options, numa, ret, &err) < 0)
        rc = dm_error_set(reterr, err.code,
                          "%s (topology-policy = %.40s, topology-scope = %.40s, topology-option = %.200s; "
                          "NUMA nodes: %zu%s)",
                          err.message, s->topology_policy, s->topology_scope, s->topology_options, numa->n,
                          numa->distances ? "" : ", distances not known");
    return rc;
}
