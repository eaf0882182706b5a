/* checkpoints.c -- reads folders of checkpoints beside which the kubelet's reading of each lies, and says where ours differs.
 *
 *   build/tests/vectors/checkpoints FOLDER...        (make check-checkpoints DIR=FOLDER)
 *
 * prints the differences and "N passed, N failed". Without a folder it reads tests/data/checkpoint-read and prints TAP.
 *
 * FOLDER/NAME is a file, FOLDER/NAME.json what the kubelet's own code made of it: "ok" or "error", "checksum", and
 * "checksum_expected" (the file's, where that was wrong); "entries" in the order of the file, each with "PodUID",
 * "Container", "Resource", "DeviceIDs", "AllocResp" (base64) and "Decoded" (its fields, or "error"); "registered"; and
 * "hash_input", the text that the checksum is of. What is accepted is written again as well: it must read back equal, and be
 * the same bytes where the kubelet wrote the file itself (NAME begins with "ckpt"). */
#include "../same_snapshot.h"
#include "base/mem.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/hash.h"
#include "checkpoint/kubelet.h"
#include "registration/registration.h"
#include <dirent.h>
#include <jansson.h>
#include <stdlib.h>

struct file {
    const char *name;
    char *text;
    size_t len;
    json_t *want;
    char wrong[300]; /* "": nothing so far */
};

static void wrong(struct file *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void wrong(struct file *f, const char *format, ...) {
    va_list ap;
    if (*f->wrong)
        return;
    va_start(ap, format);
    vsnprintf(f->wrong, sizeof f->wrong, format, ap);
    va_end(ap);
}

/* ---- one value against its JSON -------------------------------------------------------------------------------------- */

/* jansson has no NUL in keys: on both sides it becomes U+E0FF. */
#define NO_NUL "\xee\x83\xbf"

static void put_without_nul(struct dm_buf *out, const void *data, size_t n) {
    for (const char *c = data, *end = c + n; c < end; c++)
        if (*c)
            dm_buf_putc(out, *c);
        else
            dm_buf_puts(out, NO_NUL);
    dm_buf_reserve(out, 1);
    out->data[out->len] = 0;
}

static bool is_text(const json_t *want, const void *data, size_t n) {
    DM_CLEANUP(dm_buf_free) struct dm_buf text = {0};
    put_without_nul(&text, data, n);
    return json_is_string(want) && !strcmp(json_string_value(want), text.data);
}

static const json_t *get(const json_t *object, const void *key, size_t n) {
    DM_CLEANUP(dm_buf_free) struct dm_buf text = {0};
    put_without_nul(&text, key, n);
    return json_object_get(object, text.data);
}

static bool same_ids(const json_t *want, const struct dm_go_strings *ids) {
    if (!ids->set || !json_is_array(want))
        return !ids->set && json_is_null(want);
    bool same = json_array_size(want) == ids->n;
    for (size_t i = 0; same && i < ids->n; i++)
        same = is_text(json_array_get(want, i), ids->items[i].data, ids->items[i].len);
    return same;
}

static bool same_devices(const json_t *want, const struct dm_go_devices *devices) {
    if (!devices->set || !json_is_object(want))
        return !devices->set && json_is_null(want);
    bool same = json_object_size(want) == devices->n;
    for (size_t i = 0; same && i < devices->n; i++) {
        char node[32];
        snprintf(node, sizeof node, "%lld", (long long)devices->items[i].node);
        same = same_ids(json_object_get(want, node), &devices->items[i].ids);
    }
    return same;
}

static bool same_bytes(const json_t *want, const struct dm_go_bytes *bytes) {
    DM_CLEANUP(dm_buf_free) struct dm_buf text = {0};
    if (!bytes->set)
        return !want || json_is_null(want);
    dm_go_base64(&text, bytes->items, bytes->n);
    return is_text(want, text.len ? text.data : "", text.len);
}

static bool same_word(const json_t *object, const char *key, const char *got) {
    const json_t *want = json_object_get(object, key); /* left out when it is empty */
    return want ? is_text(want, got, strlen(got)) : !*got;
}

static bool same_pairs(const json_t *want, const devmgr_pair *pairs, size_t n) {
    bool same = json_object_size(want) == n;
    for (size_t i = 0; same && i < n; i++)
        same = is_text(json_object_get(want, pairs[i].name), pairs[i].value, strlen(pairs[i].value));
    return same;
}

static bool same_answer(const json_t *want, const struct dm_answer *a) {
    const json_t *mounts = json_object_get(want, "mounts"), *devices = json_object_get(want, "devices"),
                 *cdi = json_object_get(want, "cdi_devices");
    bool same = same_pairs(json_object_get(want, "envs"), a->envs, a->n_envs) &&
                same_pairs(json_object_get(want, "annotations"), a->annotations, a->n_annotations) &&
                json_array_size(mounts) == a->n_mounts && json_array_size(devices) == a->n_devices &&
                json_array_size(cdi) == a->n_cdi_devices;
    for (size_t i = 0; same && i < a->n_mounts; i++) {
        const json_t *m = json_array_get(mounts, i);
        same = same_word(m, "container_path", a->mounts[i].container_path) &&
               same_word(m, "host_path", a->mounts[i].host_path) &&
               json_is_true(json_object_get(m, "read_only")) == (a->mounts[i].read_only != 0);
    }
    for (size_t i = 0; same && i < a->n_devices; i++) {
        const json_t *d = json_array_get(devices, i);
        same = same_word(d, "container_path", a->devices[i].container_path) &&
               same_word(d, "host_path", a->devices[i].host_path) &&
               same_word(d, "permissions", a->devices[i].permissions);
    }
    for (size_t i = 0; same && i < a->n_cdi_devices; i++)
        same = same_word(json_array_get(cdi, i), "name", a->cdi_devices[i]);
    return same;
}

/* ---- one file --------------------------------------------------------------------------------------------------------- */

static void check_entry(struct file *f, size_t i, const struct dm_go_entry *e) {
    const json_t *want = json_array_get(json_object_get(f->want, "entries"), i);
    const json_t *decoded = json_object_get(want, "Decoded");
    struct dm_answer *a = NULL;
    devmgr_error err = {0};
    if (!is_text(json_object_get(want, "PodUID"), e->pod_uid.data, e->pod_uid.len) ||
        !is_text(json_object_get(want, "Container"), e->container.data, e->container.len) ||
        !is_text(json_object_get(want, "Resource"), e->resource.data, e->resource.len))
        wrong(f, "entry %zu: another pod, container or resource", i);
    if (!same_devices(json_object_get(want, "DeviceIDs"), &e->devices))
        wrong(f, "entry %zu: other DeviceIDs", i);
    if (!same_bytes(json_object_get(want, "AllocResp"), &e->answer))
        wrong(f, "entry %zu: another AllocResp", i);
    const struct dm_span bytes = {e->answer.items, e->answer.n};
    bool message = dm_answer_is_message(bytes);
    if (message == (json_object_get(decoded, "error") != NULL))
        wrong(f, "entry %zu: the kubelet %s its AllocResp, we do not", i,
              message ? "cannot decode" : "decodes");
    else if (message && dm_answer_decode(bytes, &a, &err) < 0 && !strstr(err.message, "NUL"))
        wrong(f, "entry %zu: AllocResp: %s", i, err.message);
    else if (a && !same_answer(decoded, a))
        wrong(f, "entry %zu: AllocResp is decoded otherwise", i);
    dm_answer_free(a);
}

static void check_content(struct file *f, const struct dm_go_data *data) {
    const json_t *registered = json_object_get(f->want, "registered"),
                 *input = json_object_get(f->want, "hash_input");
    DM_CLEANUP(dm_buf_free) struct dm_buf text = {0};
    if (json_array_size(json_object_get(f->want, "entries")) != data->entries.n)
        wrong(f, "%zu entries, the kubelet has %zu", data->entries.n,
              json_array_size(json_object_get(f->want, "entries")));
    for (size_t i = 0; i < data->entries.n && !*f->wrong; i++)
        check_entry(f, i, &data->entries.items[i]);
    if (json_is_null(registered) == data->registered.set ||
        json_object_size(registered) != data->registered.n)
        wrong(f, "another number of RegisteredDevices");
    for (size_t i = 0; i < data->registered.n && !*f->wrong; i++) {
        const struct dm_go_resource *r = &data->registered.items[i];
        if (!same_ids(get(registered, r->name.data, r->name.len), &r->ids))
            wrong(f, "other RegisteredDevices of %.*s", (int)r->name.len, (const char *)r->name.data);
    }
    dm_go_text_data(&text, data);
    if (input && !is_text(input, text.data, text.len))
        wrong(f, "another text is hashed: %.100s", text.data);
}

/* Also of a file whose checksum is wrong: both sums. */
static void check_sums(struct file *f, const struct dm_kubelet_file *k, uint32_t computed) {
    uint64_t want = (uint64_t)json_integer_value(json_object_get(f->want, "checksum")),
             expected = (uint64_t)json_integer_value(json_object_get(f->want, "checksum_expected"));
    if (want && computed != want)
        wrong(f, "checksum %lu, the kubelet has %lu", (unsigned long)computed, (unsigned long)want);
    if (want && k->checksum != (expected                                       ? expected
                                : json_is_true(json_object_get(f->want, "ok")) ? want
                                                                               : 0))
        wrong(f, "reads %lu as the file's checksum", (unsigned long)k->checksum);
}

static void check_round(struct file *f, const struct dm_snapshot *s,
                        const struct dm_checkpoint_report *report) {
    DM_CLEANUP(dm_buf_free) struct dm_buf out = {0};
    struct dm_checkpoint_writer *w = dm_checkpoint_writer_new();
    struct dm_checkpoint_report again_report;
    struct dm_snapshot *again = NULL;
    devmgr_error err = {0};
    dm_checkpoint_render(w, s, &out);
    dm_checkpoint_writer_free(w);
    if (dm_checkpoint_parse(dm_buf_span(&out), NULL, &again, &again_report, &err) < 0)
        wrong(f, "what we write for it we do not read: %s", err.message);
    else if (!same_snapshot(s, again))
        wrong(f, "what we write for it reads back otherwise");
    if (!strncmp(f->name, "ckpt", 4) && !*report->warning && strncmp(out.data, f->text, f->len - 1))
        wrong(f, "what we write for it is not what the kubelet wrote");
    dm_snapshot_free(again);
}

static void check_file(struct file *f) {
    const struct dm_span text = {(const uint8_t *)f->text, f->len};
    struct dm_checkpoint_report report = {0};
    struct dm_kubelet_file k = {0};
    struct dm_snapshot *s = NULL;
    devmgr_error err = {0};
    bool ok = json_is_true(json_object_get(f->want, "ok"));
    int verdict = dm_checkpoint_parse(text, dm_answer_is_message, &s, &report, &err);
    if ((verdict == 0) != ok)
        wrong(f, "the kubelet %s it (%s), we %s", ok ? "accepts" : "refuses",
              ok ? "" : json_string_value(json_object_get(f->want, "error")), ok ? err.message : "accept it");
    if (dm_kubelet_read(text, &k, &err) == 0)
        check_sums(f, &k, report.checksum);
    if (ok && !*f->wrong)
        check_content(f, &k.data);
    if (ok && !*f->wrong)
        check_round(f, s, &report);
    dm_kubelet_file_free(&k);
    dm_snapshot_free(s);
}

/* ---- folders ---------------------------------------------------------------------------------------------------------- */

static char *read_all(const char *path, size_t *n) {
    DM_CLEANUP(dm_buf_free) struct dm_buf b = {0};
    FILE *in = fopen(path, "rb");
    if (!in)
        return NULL;
    for (size_t got; (got = fread(dm_buf_reserve(&b, 65536), 1, 65536, in));)
        b.len += got;
    fclose(in);
    *n = b.len;
    dm_buf_putc(&b, 0);
    return dm_buf_steal(&b);
}

/* Its JSON; \u0000 as said above. */
static json_t *load_reading(const char *path, char *text, size_t n) {
    DM_CLEANUP(dm_buf_free) struct dm_buf out = {0};
    json_error_t err;
    for (size_t i = 0; i < n; i++) {
        if (text[i] != '\\' || strncmp(text + i, "\\u0000", 6)) {
            dm_buf_putc(&out, text[i]);
            if (text[i] == '\\')
                dm_buf_putc(&out, text[++i]);
        } else {
            dm_buf_puts(&out, NO_NUL);
            i += 5;
        }
    }
    json_t *value = json_loadb(out.len ? out.data : "", out.len, 0, &err);
    if (!value)
        printf("# %s: line %d: %s\n", path, err.line, err.text);
    return value;
}

/* -1: there is no reading beside it, so it is none of ours; else whether it is read otherwise. */
static int look_at(const char *folder, const char *name) {
    DM_FREE char *path = dm_printf("%s/%s", folder, name), *beside = dm_printf("%s/%s.json", folder, name);
    struct file f = {.name = name};
    size_t n;
    DM_FREE char *reading = read_all(beside, &n);
    if (!reading)
        return -1;
    f.want = load_reading(beside, reading, n);
    f.text = read_all(path, &f.len);
    if (!f.text || !f.want)
        wrong(&f, "cannot be read");
    else
        check_file(&f);
    if (*f.wrong)
        printf("# %s: %s\n", path, f.wrong);
    free(f.text);
    json_decref(f.want);
    return *f.wrong != 0;
}

static int is_checkpoint(const struct dirent *e) {
    size_t n = strlen(e->d_name);
    return e->d_name[0] != '.' && (n < 5 || strcmp(e->d_name + n - 5, ".json") != 0);
}

static void read_folder(const char *folder, bool tap, int *passed, int *failed) {
    struct dirent **names = NULL;
    int n = scandir(folder, &names, is_checkpoint, alphasort), before = *passed + *failed;
    for (int i = 0; i < n; i++) {
        int result = look_at(folder, names[i]->d_name);
        *passed += result == 0, *failed += result > 0;
        if (tap && result >= 0)
            printf("%sok %d - %s\n", result ? "not " : "", *passed + *failed, names[i]->d_name);
        free(names[i]);
    }
    free(names);
    if (*passed + *failed == before)
        printf("# %s: no NAME with NAME.json beside it\n", folder), ++*failed;
}

int main(int argc, char **argv) {
    int passed = 0, failed = 0;
    for (int i = 1; i < argc; i++)
        read_folder(argv[i], false, &passed, &failed);
    if (argc == 1) {
        read_folder("tests/data/checkpoint-read", true, &passed, &failed);
        printf("1..%d\n", passed + failed);
    } else {
        printf("%d passed, %d failed\n", passed, failed);
    }
    return failed || !passed;
}
