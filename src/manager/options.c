/* options.c -- see options.h. What counts as the same: devices and mounts with the same path in the
 * container and on the host (permissions and read_only are not compared), envs and annotations with the same value. */
#include "manager/options.h"
#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"
#include <string.h>

enum kind { ENV, ANNOTATION, MOUNT, DEVICE, CDI, KINDS };
static const char *const kind_names[] = {"env", "annotation", "mount", "device", "CDI device"};

struct merge {
    struct dm_merged *out;
    const char **resources;    /* of out->answers */
    struct dm_map seen[KINDS]; /* name -> struct entry */
    struct entry **entries;    /* all of them, to free */
    size_t n_entries, cap;
};
struct entry {
    const char *value, *resource;
};

static void conflict(struct merge *m, enum kind kind, const char *name, const struct entry *first,
                     const char *value, const char *resource) {
    if (m->out->n_conflicts++)
        return;
    m->out->conflict = dm_printf("%s \"%.200s\": %s has \"%.200s\", %s has \"%.200s\"", kind_names[kind],
                                 name, first->resource, first->value, resource, value);
    dm_text_one_line(m->out->conflict);
}

/* True: the name is new. */
static bool add(struct merge *m, enum kind kind, const char *name, const char *value, const char *resource) {
    struct entry *e = dm_map_get(&m->seen[kind], name);
    if (e) {
        if (strcmp(e->value, value))
            conflict(m, kind, name, e, value, resource);
        return false;
    }
    e = DM_NEW(struct entry);
    *e = (struct entry){value, resource};
    dm_map_put(&m->seen[kind], name, e);
    DM_GROW(m->entries, m->n_entries, m->cap);
    m->entries[m->n_entries++] = e;
    return true;
}

static void merge_envs(struct merge *m, enum kind kind, const devmgr_pair **list, size_t *n) {
    for (size_t a = 0; a < m->out->n_answers; a++) {
        const struct dm_answer *answer = m->out->answers[a];
        const devmgr_pair *pairs = kind == ENV ? answer->envs : answer->annotations;
        size_t n_pairs = kind == ENV ? answer->n_envs : answer->n_annotations;
        for (size_t i = 0; i < n_pairs; i++)
            if (add(m, kind, pairs[i].name, pairs[i].value, m->resources[a]))
                list[(*n)++] = &pairs[i];
    }
}

static void merge_mounts(struct merge *m, const devmgr_mount **list, size_t *n) {
    for (size_t a = 0; a < m->out->n_answers; a++)
        for (size_t i = 0; i < m->out->answers[a]->n_mounts; i++) {
            const devmgr_mount *x = &m->out->answers[a]->mounts[i];
            if (add(m, MOUNT, x->container_path, x->host_path, m->resources[a]))
                list[(*n)++] = x;
        }
}

static void merge_devices(struct merge *m, const devmgr_device_node **list, size_t *n) {
    for (size_t a = 0; a < m->out->n_answers; a++)
        for (size_t i = 0; i < m->out->answers[a]->n_devices; i++) {
            const devmgr_device_node *x = &m->out->answers[a]->devices[i];
            if (add(m, DEVICE, x->container_path, x->host_path, m->resources[a]))
                list[(*n)++] = x;
        }
}

static void merge_cdi(struct merge *m, const char **list, size_t *n) {
    for (size_t a = 0; a < m->out->n_answers; a++)
        for (size_t i = 0; i < m->out->answers[a]->n_cdi_devices; i++) {
            const char *name = m->out->answers[a]->cdi_devices[i];
            if (add(m, CDI, name, name, m->resources[a]))
                list[(*n)++] = name;
        }
}

static void merge_all(struct merge *m) {
    size_t sizes[KINDS] = {0};
    devmgr_options *o = &m->out->options;
    for (size_t a = 0; a < m->out->n_answers; a++) {
        const struct dm_answer *x = m->out->answers[a];
        sizes[ENV] += x->n_envs, sizes[ANNOTATION] += x->n_annotations, sizes[MOUNT] += x->n_mounts;
        sizes[DEVICE] += x->n_devices, sizes[CDI] += x->n_cdi_devices;
    }
    for (int k = 0; k < KINDS; k++)
        m->out->arrays[k] = dm_alloc_array(sizes[k], sizeof(void *));
    merge_envs(m, ENV, m->out->arrays[ENV], &o->n_envs);
    merge_envs(m, ANNOTATION, m->out->arrays[ANNOTATION], &o->n_annotations);
    merge_mounts(m, m->out->arrays[MOUNT], &o->n_mounts);
    merge_devices(m, m->out->arrays[DEVICE], &o->n_devices);
    merge_cdi(m, m->out->arrays[CDI], &o->n_cdi_devices);
    o->envs = m->out->arrays[ENV], o->annotations = m->out->arrays[ANNOTATION],
    o->mounts = m->out->arrays[MOUNT];
    o->devices = m->out->arrays[DEVICE], o->cdi_devices = m->out->arrays[CDI];
}

int dm_options_merge(dm_answer_decoder decode, const struct dm_options_source *sources, size_t n,
                     struct dm_merged **ret, devmgr_error *reterr) {
    struct merge m = {.out = DM_NEW(struct dm_merged)};
    int rc = 0;
    m.out->answers = dm_alloc_array(n, sizeof(*m.out->answers));
    m.resources = dm_alloc_array(n, sizeof(*m.resources));
    for (size_t i = 0; i < n && rc == 0; i++) {
        m.resources[m.out->n_answers] = sources[i].resource;
        rc = decode(sources[i].answer, &m.out->answers[m.out->n_answers], reterr);
        if (rc == 0)
            m.out->n_answers++;
        else
            dm_error_wrap(reterr, "%s: the plugin's answer", sources[i].resource);
    }
    if (rc == 0)
        merge_all(&m);
    for (int k = 0; k < KINDS; k++)
        dm_map_free(&m.seen[k]);
    for (size_t i = 0; i < m.n_entries; i++)
        free(m.entries[i]);
    free(m.entries), free(m.resources);
    if (rc == 0)
        *ret = m.out;
    else
        dm_merged_free(m.out);
    return rc;
}

void dm_merged_free(struct dm_merged *m) {
    if (!m)
        return;
    for (size_t i = 0; i < m->n_answers; i++)
        dm_answer_free(m->answers[i]);
    for (int k = 0; k < KINDS; k++)
        free(m->arrays[k]);
    free(m->answers), free(m->conflict), free(m);
}

void dm_merged_freep(struct dm_merged **m) {
    dm_merged_free(*m);
}
