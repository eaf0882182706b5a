/* checkpoint.c -- a file's text as a snapshot: the kubelet's verdict on it, its content, and ours if it is there. */
#include "checkpoint/checkpoint.h"
#include "base/map.h"
#include "base/mem.h"
#include "checkpoint/extension.h"
#include "checkpoint/hash.h"
#include "checkpoint/kubelet.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The first warning stays: it names its cause, later ones often follow from it. */
static void __attribute__((format(printf, 2, 3)))
warn(struct dm_checkpoint_report *report, const char *format, ...) {
    va_list ap;
    if (*report->warning)
        return;
    va_start(ap, format);
    vsnprintf(report->warning, sizeof report->warning, format, ap);
    va_end(ap);
}

/* A C string of the kubelet's text. NUL, which no plugin may send us but the kubelet would keep, becomes U+FFFD. */
static char *text_of(struct dm_span s, struct dm_checkpoint_report *report) {
    struct dm_buf out = {0};
    if (!s.len || !memchr(s.data, 0, s.len))
        return dm_strndup((const char *)s.data, s.len);
    warn(report, "a name or id holds a NUL byte, which is kept as U+FFFD");
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i])
            dm_buf_putc(&out, (char)s.data[i]);
        else
            dm_buf_puts(&out, "\xef\xbf\xbd");
    return dm_buf_steal(&out);
}

/* NULL: no memory. */
static struct dm_saved_claim *claim_of(const struct dm_go_entry *e, struct dm_checkpoint_report *report) {
    DM_FREE char *uid = text_of(e->pod_uid, report), *container = text_of(e->container, report),
                 *resource = text_of(e->resource, report);
    struct dm_saved_claim *c =
        dm_saved_claim_new(uid, container, resource, (struct dm_span){e->answer.items, e->answer.n});
    for (size_t i = 0; c && i < e->devices.n; i++)
        for (size_t k = 0; k < e->devices.items[i].ids.n; k++) {
            DM_FREE char *id = text_of(e->devices.items[i].ids.items[k], report);
            dm_saved_claim_add(c, e->devices.items[i].node, id);
        }
    return c;
}

/* The kubelet keeps entries in a map: of two for one container and resource the later counts. Ours takes its place. */
static int take_entries(const struct dm_go_data *data, bool (*decodable)(struct dm_span),
                        struct dm_snapshot *s, struct dm_checkpoint_report *report) {
    DM_CLEANUP(dm_map_free) struct dm_map places = {0}; /* "uid\0container\0resource" -> place + 1 */
    DM_CLEANUP(dm_buf_free) struct dm_buf key = {0};
    s->claims = dm_alloc_array(data->entries.n, sizeof *s->claims);
    for (size_t i = 0; i < data->entries.n; i++) {
        const struct dm_go_entry *e = &data->entries.items[i];
        if (decodable && !decodable((struct dm_span){e->answer.items, e->answer.n})) {
            report->dropped++;
            warn(report,
                 "Data.PodDeviceEntries[%zu] is dropped: its AllocResp is not a ContainerAllocateResponse "
                 "(pod %.*s)",
                 i, (int)(e->pod_uid.len < 63 ? e->pod_uid.len : 63), (const char *)e->pod_uid.data);
            continue;
        }
        struct dm_saved_claim *c = claim_of(e, report);
        if (!c)
            return -ENOMEM;
        key.len = 0;
        dm_buf_add(&key, c->pod_uid, strlen(c->pod_uid) + 1);
        dm_buf_add(&key, c->container, strlen(c->container) + 1);
        dm_buf_add(&key, c->resource, strlen(c->resource) + 1);
        size_t place = (size_t)(uintptr_t)dm_map_get_n(&places, key.data, key.len);
        if (place) {
            warn(report,
                 "pod %.40s, container %.63s: two entries for %.63s; the later counts, as in the kubelet",
                 c->pod_uid, c->container, c->resource);
            dm_saved_claim_unref(s->claims[place - 1]);
            s->claims[place - 1] = c;
            continue;
        }
        s->claims[s->n_claims++] = c;
        dm_map_put_n(&places, key.data, key.len, (void *)(uintptr_t)s->n_claims);
    }
    return 0;
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(struct dm_saved_resource *const *)a)->name,
                  (*(struct dm_saved_resource *const *)b)->name);
}

static void take_resources(const struct dm_go_data *data, struct dm_snapshot *s,
                           struct dm_checkpoint_report *report) {
    s->resources = dm_alloc_array(data->registered.n, sizeof *s->resources);
    for (size_t i = 0; i < data->registered.n; i++) {
        const struct dm_go_resource *from = &data->registered.items[i];
        DM_FREE char *name = text_of(from->name, report);
        struct dm_saved_resource *r = s->resources[s->n_resources++] = dm_saved_resource_new(name);
        for (size_t k = 0; k < from->ids.n; k++) {
            DM_FREE char *id = text_of(from->ids.items[k], report);
            dm_saved_resource_add(r, id);
        }
    }
    if (s->n_resources > 1) /* they are sorted already, unless a NUL was replaced */
        qsort(s->resources, s->n_resources, sizeof *s->resources, by_name);
}

static void add_container(struct dm_saved_pod *p, const char *name) {
    for (size_t i = 0; i < p->n_containers; i++)
        if (!strcmp(p->containers[i].name, name))
            return;
    dm_saved_pod_add(p, name, -1, 0);
}

/* Every claim has its pod and container among s->pods, known to the extension or not: the manager need not care. */
static void complete_pods(struct dm_snapshot *s) {
    struct dm_map by_uid = {0};
    size_t cap = s->n_pods;
    for (size_t i = 0; i < s->n_pods; i++)
        dm_map_put(&by_uid, s->pods[i]->uid, s->pods[i]);
    for (size_t i = 0; i < s->n_claims; i++) {
        const struct dm_saved_claim *c = s->claims[i];
        struct dm_saved_pod *p = dm_map_get(&by_uid, c->pod_uid);
        if (!p) {
            p = dm_saved_pod_new(c->pod_uid);
            DM_GROW(s->pods, s->n_pods, cap);
            s->pods[s->n_pods++] = p;
            dm_map_put(&by_uid, c->pod_uid, p);
        }
        add_container(p, c->container);
    }
    dm_map_free(&by_uid);
}

static int verify(const struct dm_kubelet_file *f, uint32_t *checksum, devmgr_error *reterr) {
    struct dm_buf text = {0};
    dm_go_text_data(&text, &f->data);
    *checksum = dm_fnv(DM_FNV_START, text.data, text.len);
    dm_buf_free(&text);
    if (f->checksum == *checksum)
        return 0;
    if (f->checksum == 0)
        return dm_error_set(reterr, DEVMGR_ECHECKPOINT, "there is no Checksum (%" PRIu32 " would be right)",
                            *checksum);
    return dm_error_set(reterr, DEVMGR_ECHECKPOINT,
                        "the content does not fit its Checksum: the file says %" PRIu64
                        ", its Data gives %" PRIu32 "; it was changed or damaged",
                        f->checksum, *checksum);
}

/* That a sync is owed is said there alone: when the part is there and cannot be read, it may have been. */
static void take_extension(const struct dm_kubelet_file *f, struct dm_span text, struct dm_snapshot *s,
                           struct dm_checkpoint_report *report) {
    char why[220];
    if (f->extension.len) {
        report->extension = dm_extension_read(text, f->extension, report->checksum, s, why, sizeof why);
        if (!report->extension)
            warn(report, "the \"devmgr\" part is ignored: %.180s", why);
    } else if (f->almost_extension) {
        warn(report, "the \"devmgr\" part is ignored: its name was changed");
    } else {
        return;
    }
    s->recovering |= !report->extension;
}

int dm_checkpoint_parse(struct dm_span text, bool (*decodable)(struct dm_span answer),
                        struct dm_snapshot **ret, struct dm_checkpoint_report *report, devmgr_error *reterr) {
    DM_CLEANUP(dm_kubelet_file_free) struct dm_kubelet_file f;
    struct dm_checkpoint_report nobody;
    report = report ? report : &nobody;
    *report = (struct dm_checkpoint_report){0};
    int r = dm_kubelet_read(text, &f, reterr);
    if (r == 0)
        r = verify(&f, &report->checksum, reterr);
    if (r < 0)
        return r;
    struct dm_snapshot *s = dm_snapshot_new();
    if (take_entries(&f.data, decodable, s, report) < 0) {
        dm_snapshot_free(s);
        return dm_error_set(reterr, -ENOMEM, "no memory for what it holds");
    }
    take_resources(&f.data, s, report);
    take_extension(&f, text, s, report);
    complete_pods(s);
    *ret = s;
    return 0;
}
