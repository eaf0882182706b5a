/* extension.c -- see extension.h. */
#include "checkpoint/extension.h"
#include "base/mem.h"
#include "checkpoint/hash.h"
#include "checkpoint/kubelet.h"
#include "devmgr.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct {
    int kind;
    const char *word;
} kinds[] = {{DEVMGR_APP, "app"}, {DEVMGR_PLAIN_INIT, "init"}, {DEVMGR_SIDECAR, "sidecar"}, {-1, "unknown"}};

static const char *kind_word(int kind) {
    for (size_t i = 0; i < DM_COUNT(kinds); i++)
        if (kinds[i].kind == kind)
            return kinds[i].word;
    return "unknown";
}

static int kind_of(struct dm_span word) {
    for (size_t i = 0; i < DM_COUNT(kinds); i++)
        if (word.len == strlen(kinds[i].word) && !memcmp(word.data, kinds[i].word, word.len))
            return kinds[i].kind;
    return -1;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* One code point of well-formed UTF-8. */
static unsigned rune_at(const uint8_t *p, size_t n) {
    unsigned r = n == 1 ? *p : *p & (0x7fu >> n);
    for (size_t i = 1; i < n; i++)
        r = r << 6 | (p[i] & 0x3f);
    return r;
}

/* As Go's JSON, and all that is not ASCII escaped too: survives any editor and any transport. */
static void add_string(struct dm_buf *out, const char *s) {
    struct dm_buf utf8 = {0};
    dm_go_json_string(&utf8, (struct dm_span){(const uint8_t *)s, strlen(s)});
    const uint8_t *p = (const uint8_t *)utf8.data, *end = p + utf8.len;
    while (p < end) {
        size_t n = dm_scan_utf8(p, end);
        unsigned r = rune_at(p, n);
        if (r < 0x80)
            dm_buf_putc(out, (char)r);
        else if (r < 0x10000)
            dm_buf_printf(out, "\\u%04x", r);
        else
            dm_buf_printf(out, "\\u%04x\\u%04x", 0xd800 + ((r - 0x10000) >> 10),
                          0xdc00 + ((r - 0x10000) & 0x3ff));
        p += n;
    }
    dm_buf_free(&utf8);
}

static void add_member(struct dm_buf *out, const char *key, const char *value) {
    dm_buf_printf(out, "\"%s\":", key);
    add_string(out, value);
    dm_buf_putc(out, ',');
}

size_t dm_extension_open(struct dm_buf *out, const struct dm_snapshot *s, uint32_t checksum) {
    dm_buf_printf(out, "{\"version\":1,\"for\":%" PRIu32 ",\"sum\":\"00000000\"", checksum);
    size_t opened = out->len;
    dm_buf_printf(out, ",\"revision\":%" PRIu64 ",\"recovering\":%s,\"resources\":[", s->revision,
                  s->recovering ? "true" : "false");
    bool first = true;
    for (size_t i = 0; i < s->n_resources; i++) {
        const struct dm_saved_resource *r = s->resources[i];
        if (!r->has_options)
            continue;
        dm_buf_puts(out, first ? "{" : ",{");
        add_member(out, "name", r->name);
        dm_buf_printf(out, "\"prestart\":%s,\"preferred\":%s}", r->prestart ? "true" : "false",
                      r->preferred ? "true" : "false");
        first = false;
    }
    dm_buf_puts(out, "],\"pods\":[");
    return opened;
}

void dm_extension_pod(struct dm_buf *out, const struct dm_saved_pod *p) {
    dm_buf_putc(out, '{');
    add_member(out, "uid", p->uid);
    add_member(out, "namespace", p->namespace_);
    add_member(out, "name", p->name);
    add_member(out, "tag", p->tag);
    dm_buf_printf(out, "\"revision\":%" PRIu64 ",\"init_done\":%s,\"containers\":[", p->revision,
                  p->init_done ? "true" : "false");
    for (size_t i = 0; i < p->n_containers; i++) {
        const struct dm_saved_container *c = &p->containers[i];
        dm_buf_puts(out, i ? ",{" : "{");
        add_member(out, "name", c->name);
        dm_buf_printf(out, "\"kind\":\"%s\",\"affinity\":%" PRIu64 "}", kind_word(c->kind), c->affinity);
    }
    dm_buf_puts(out, "]}");
}

void dm_extension_close(struct dm_buf *out, size_t opened) {
    char sum[9];
    dm_buf_puts(out, "]}");
    snprintf(sum, sizeof sum, "%08" PRIx32, dm_crc32c(out->data + opened, out->len - opened));
    memcpy(out->data + opened - 9, sum, 8);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

struct reading {
    struct dm_scan scan;
    uint64_t revision;
    bool recovering;
    size_t n_pods, cap_pods, n_options, cap_options;
    struct dm_saved_pod **pods;
    struct dm_saved_resource *options; /* name and options only */
};

static bool is(struct dm_span key, const char *name) {
    return key.len == strlen(name) && !memcmp(key.data, name, key.len);
}

/* The next value if it is of that kind; otherwise the extension is not ours to understand. */
static bool expect(struct dm_scan *s, enum dm_json_kind kind) {
    if (dm_scan_peek(s) == kind)
        return true;
    dm_scan_mismatch(s, s->at, "not %s", dm_json_kind_name(kind));
    dm_scan_skip(s);
    return false;
}

static char *read_text(struct dm_scan *s) {
    if (!expect(s, DM_JSON_STRING))
        return dm_strdup("");
    const uint8_t *where = s->at;
    struct dm_span text = dm_scan_string(s);
    if (text.len && memchr(text.data, 0, text.len))
        dm_scan_mismatch(s, where, "a NUL in a text");
    return dm_strndup((const char *)text.data, text.len);
}

static uint64_t read_number(struct dm_scan *s) {
    uint64_t value = 0;
    if (!expect(s, DM_JSON_NUMBER))
        return 0;
    const uint8_t *where = s->at;
    if (!dm_scan_u64(dm_scan_number(s), &value))
        dm_scan_mismatch(s, where, "not a whole number");
    return value;
}

static bool read_bool(struct dm_scan *s) {
    return expect(s, DM_JSON_BOOL) && dm_scan_bool(s);
}

static void replace(char **text, char *now) {
    free(*text);
    *text = now;
}

static void read_container(struct dm_scan *s, struct dm_saved_pod *p) {
    struct dm_span key;
    struct dm_saved_container c = {NULL, -1, 0};
    if (!expect(s, DM_JSON_OBJECT))
        return;
    for (size_t n = 0; dm_scan_member(s, n, &key); n++) {
        if (is(key, "name")) {
            replace(&c.name, read_text(s));
        } else if (is(key, "kind")) {
            if (expect(s, DM_JSON_STRING))
                c.kind = kind_of(dm_scan_string(s));
        } else if (is(key, "affinity")) {
            c.affinity = read_number(s);
        } else {
            dm_scan_peek(s);
            dm_scan_skip(s);
        }
    }
    dm_saved_pod_add(p, c.name ? c.name : "", c.kind, c.affinity);
    free(c.name);
}

static void read_containers(struct dm_scan *s, struct dm_saved_pod *p) {
    if (expect(s, DM_JSON_ARRAY))
        for (size_t n = 0; dm_scan_element(s, n); n++)
            read_container(s, p);
}

static struct dm_saved_pod *read_pod(struct dm_scan *s) {
    struct dm_span key;
    struct dm_saved_pod *p = dm_saved_pod_new("");
    if (!expect(s, DM_JSON_OBJECT))
        return p;
    for (size_t n = 0; dm_scan_member(s, n, &key); n++) {
        char **text = is(key, "uid")         ? &p->uid
                      : is(key, "namespace") ? &p->namespace_
                      : is(key, "name")      ? &p->name
                      : is(key, "tag")       ? &p->tag
                                             : NULL;
        if (text)
            replace(text, read_text(s));
        else if (is(key, "revision"))
            p->revision = read_number(s);
        else if (is(key, "init_done"))
            p->init_done = read_bool(s);
        else if (is(key, "containers"))
            read_containers(s, p);
        else
            dm_scan_skip(s);
    }
    return p;
}

static void read_options(struct reading *r) {
    struct dm_span key;
    struct dm_saved_resource o = {.has_options = true};
    if (!expect(&r->scan, DM_JSON_OBJECT))
        return;
    for (size_t n = 0; dm_scan_member(&r->scan, n, &key); n++) {
        if (is(key, "name"))
            replace(&o.name, read_text(&r->scan));
        else if (is(key, "prestart"))
            o.prestart = read_bool(&r->scan);
        else if (is(key, "preferred"))
            o.preferred = read_bool(&r->scan);
        else
            dm_scan_skip(&r->scan);
    }
    DM_GROW(r->options, r->n_options, r->cap_options);
    r->options[r->n_options++] = o;
}

static void read_member(struct reading *r, struct dm_span key) {
    struct dm_scan *s = &r->scan;
    if (is(key, "revision")) {
        r->revision = read_number(s);
    } else if (is(key, "recovering")) {
        r->recovering = read_bool(s);
    } else if (is(key, "resources")) {
        if (expect(s, DM_JSON_ARRAY))
            for (size_t n = 0; dm_scan_element(s, n); n++)
                read_options(r);
    } else if (is(key, "pods")) {
        if (expect(s, DM_JSON_ARRAY))
            for (size_t n = 0; dm_scan_element(s, n); n++) {
                DM_GROW(r->pods, r->n_pods, r->cap_pods);
                r->pods[r->n_pods++] = read_pod(s);
            }
    } else {
        dm_scan_skip(s);
    }
}

/* {"version":1,"for":N,"sum":"x": these three, first and in this order. Steps over them. */
static bool read_bond(struct reading *r, uint32_t checksum, char *why, size_t size) {
    struct dm_scan *s = &r->scan;
    struct dm_span key;
    char sum[9];
    if (dm_scan_peek(s) != DM_JSON_OBJECT || !dm_scan_member(s, 0, &key) || !is(key, "version"))
        return snprintf(why, size, "it does not begin with a version"), false;
    uint64_t version = read_number(s);
    if (version != 1)
        return snprintf(why, size, "version %" PRIu64 " is not known here (1 is)", version), false;
    if (!dm_scan_member(s, 1, &key) || !is(key, "for") || read_number(s) != checksum)
        return snprintf(why, size, "it belongs to other data (\"for\" is not this file's Checksum)"), false;
    if (!dm_scan_member(s, 2, &key) || !is(key, "sum") || !expect(s, DM_JSON_STRING))
        return snprintf(why, size, "it has no sum"), false;
    struct dm_span said = dm_scan_string(s);
    snprintf(sum, sizeof sum, "%08" PRIx32, dm_crc32c(s->at, (size_t)(s->end - s->at)));
    if (!is(said, sum))
        return snprintf(why, size, "its sum is not right: it was changed"), false;
    return true;
}

static void adopt(struct reading *r, struct dm_snapshot *s) {
    s->revision = r->revision;
    s->recovering = r->recovering;
    s->pods = DM_MOVE(r->pods);
    s->n_pods = r->n_pods;
    r->n_pods = 0;
    for (size_t i = 0, k = 0; i < r->n_options; i++) { /* both by name */
        struct dm_saved_resource *o = &r->options[i];
        while (k < s->n_resources && o->name && strcmp(s->resources[k]->name, o->name) < 0)
            k++;
        if (k == s->n_resources || !o->name || strcmp(s->resources[k]->name, o->name))
            continue;
        s->resources[k]->has_options = true;
        s->resources[k]->prestart = o->prestart;
        s->resources[k]->preferred = o->preferred;
    }
}

bool dm_extension_read(struct dm_span file, struct dm_span text, uint32_t checksum, struct dm_snapshot *s,
                       char *why, size_t size) {
    struct reading r = {0};
    struct dm_span key;
    devmgr_error err;
    dm_scan_init(&r.scan, text);
    r.scan.start = file.data; /* so that places are the file's */
    bool good = read_bond(&r, checksum, why, size);
    if (good) {
        for (size_t n = 3; dm_scan_member(&r.scan, n, &key); n++)
            read_member(&r, key);
        good = dm_scan_end(&r.scan, &err) == 0;
        if (good)
            adopt(&r, s);
        else
            snprintf(why, size, "%.200s", err.message);
    }
    for (size_t i = 0; i < r.n_pods; i++)
        dm_saved_pod_unref(r.pods[i]);
    for (size_t i = 0; i < r.n_options; i++)
        free(r.options[i].name);
    free(r.pods);
    free(r.options);
    dm_scan_free(&r.scan);
    return good;
}
