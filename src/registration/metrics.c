/* metrics.c -- see metrics.h. Names, help texts and buckets are the kubelet's. */
#include "registration/metrics.h"
#include "base/mem.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define COUNT "kubelet_device_plugin_registration_total"
#define TIME  "kubelet_device_plugin_alloc_duration_seconds"

/* In nanoseconds, and as Go writes them in seconds. */
static const struct {
    uint64_t ns;
    const char *text;
} bounds[] = {
    {5000000, "0.005"},  {10000000, "0.01"},  {25000000, "0.025"}, {50000000, "0.05"},
    {100000000, "0.1"},  {250000000, "0.25"}, {500000000, "0.5"},  {1000000000, "1"},
    {2500000000, "2.5"}, {5000000000, "5"},   {10000000000, "10"},
};
enum { N_BOUNDS = sizeof bounds / sizeof *bounds };

struct row {
    const char *name; /* the map's key */
    uint64_t registered, allocated, nanoseconds,
        below[N_BOUNDS]; /* below: each call in its own bucket only */
};

static struct row *row_of(struct dm_metrics *m, const char *name) {
    struct row *row = dm_map_get(&m->rows, name);
    if (!row && strchr(name, '/') && m->named >= m->max)
        return row_of(m, "other");
    if (!row) {
        row = DM_NEW(struct row);
        m->named += strchr(name, '/') != NULL;
        dm_map_put(&m->rows, name, row);
    }
    return row;
}

void dm_metrics_registered(struct dm_metrics *m, const char *resource) {
    row_of(m, resource ? resource : "invalid")->registered++;
}

void dm_metrics_allocated(struct dm_metrics *m, const char *resource, uint64_t nanoseconds) {
    struct row *row = row_of(m, resource);
    size_t i = 0;
    while (i < N_BOUNDS && nanoseconds > bounds[i].ns)
        i++;
    if (i < N_BOUNDS)
        row->below[i]++;
    row->allocated++;
    row->nanoseconds += nanoseconds;
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(struct row *const *)a)->name, (*(struct row *const *)b)->name);
}

static void head(struct dm_buf *out, bool *told, const char *name, const char *help, const char *type) {
    if (!*told)
        dm_buf_printf(out, "# HELP %s [ALPHA] %s Broken down by resource name.\n# TYPE %s %s\n", name, help,
                      name, type);
    *told = true;
}

static void write_histogram(const struct row *row, struct dm_buf *out) {
    uint64_t sum = 0;
    for (size_t i = 0; i < N_BOUNDS; i++) {
        sum += row->below[i];
        dm_buf_printf(out, TIME "_bucket{resource_name=\"%s\",le=\"%s\"} %" PRIu64 "\n", row->name,
                      bounds[i].text, sum);
    }
    dm_buf_printf(out, TIME "_bucket{resource_name=\"%s\",le=\"+Inf\"} %" PRIu64 "\n", row->name,
                  row->allocated);
    dm_buf_printf(out, TIME "_sum{resource_name=\"%s\"} %" PRIu64 ".%09" PRIu64 "\n", row->name,
                  row->nanoseconds / 1000000000, row->nanoseconds % 1000000000);
    dm_buf_printf(out, TIME "_count{resource_name=\"%s\"} %" PRIu64 "\n", row->name, row->allocated);
}

void dm_metrics_write(const struct dm_metrics *m, struct dm_buf *out) {
    DM_FREE struct row **rows = dm_alloc_array(m->rows.n, sizeof *rows);
    size_t n = 0, it = 0;
    const char *name;
    bool told = false;
    for (struct row *row; (row = dm_map_next(&m->rows, &it, &name));) {
        row->name = name;
        rows[n++] = row;
    }
    qsort(rows, n, sizeof *rows, by_name);
    for (size_t i = 0; i < n; i++)
        if (rows[i]->allocated) {
            head(out, &told, TIME, "Duration in seconds to serve a device plugin Allocation request.",
                 "histogram");
            write_histogram(rows[i], out);
        }
    told = false;
    for (size_t i = 0; i < n; i++)
        if (rows[i]->registered) {
            head(out, &told, COUNT, "Cumulative number of device plugin registrations.", "counter");
            dm_buf_printf(out, COUNT "{resource_name=\"%s\"} %" PRIu64 "\n", rows[i]->name,
                          rows[i]->registered);
        }
}

void dm_metrics_free(struct dm_metrics *m) {
    size_t it = 0;
    const char *name;
    for (struct row *row; (row = dm_map_next(&m->rows, &it, &name));)
        free(row);
    dm_map_free(&m->rows);
}
