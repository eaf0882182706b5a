/* kubelet.c -- the table of the kubelet's fields, and both texts made from it. See kubelet.h. */
#include "checkpoint/kubelet.h"
#include "base/mem.h"
#include "base/text.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const struct dm_go_field dm_go_data_fields[DM_GO_DATA_FIELDS] = {
    {"PodDeviceEntries", DM_GO_ENTRIES, "[]checkpoint.PodDevicesEntry", offsetof(struct dm_go_data, entries)},
    {"RegisteredDevices", DM_GO_REGISTERED, "map[string][]string", offsetof(struct dm_go_data, registered)},
};
const struct dm_go_field dm_go_entry_fields[DM_GO_ENTRY_FIELDS] = {
    {"PodUID", DM_GO_STRING, "string", offsetof(struct dm_go_entry, pod_uid)},
    {"ContainerName", DM_GO_STRING, "string", offsetof(struct dm_go_entry, container)},
    {"ResourceName", DM_GO_STRING, "string", offsetof(struct dm_go_entry, resource)},
    {"DeviceIDs", DM_GO_DEVICES, "checkpoint.DevicesPerNUMA", offsetof(struct dm_go_entry, devices)},
    {"AllocResp", DM_GO_BYTES, "[]uint8", offsetof(struct dm_go_entry, answer)},
};

/* ---- the hashed text --------------------------------------------------------------------------------------------- */

/* Raw, but as a reader of the JSON will see it: what is not UTF-8 becomes U+FFFD. */
static void text_string(struct dm_buf *out, struct dm_span s) {
    if (dm_text_utf8(s.data, s.len)) {
        dm_buf_add(out, s.data, s.len);
        return;
    }
    for (const uint8_t *p = s.data, *end = p + s.len; p < end;) {
        size_t n = dm_scan_utf8(p, end);
        dm_buf_add(out, n ? (const char *)p : "\xef\xbf\xbd", n ? n : 3);
        p += n ? n : 1;
    }
}

static void text_strings(struct dm_buf *out, const struct dm_go_strings *l) {
    if (!l->set) {
        dm_buf_puts(out, "<nil>");
        return;
    }
    dm_buf_putc(out, '[');
    for (size_t i = 0; i < l->n; i++) {
        if (i)
            dm_buf_putc(out, ' ');
        text_string(out, l->items[i]);
    }
    dm_buf_putc(out, ']');
}

static void text_devices(struct dm_buf *out, const struct dm_go_devices *d) {
    if (!d->set) {
        dm_buf_puts(out, "<nil>");
        return;
    }
    dm_buf_puts(out, "map[");
    for (size_t i = 0; i < d->n; i++) {
        dm_buf_printf(out, i ? " %" PRId64 ":" : "%" PRId64 ":", d->items[i].node);
        text_strings(out, &d->items[i].ids);
    }
    dm_buf_putc(out, ']');
}

/* By hand: two thirds of the whole text are these numbers. */
static void text_bytes(struct dm_buf *out, const struct dm_go_bytes *b) {
    if (!b->set) {
        dm_buf_puts(out, "<nil>");
        return;
    }
    char *p = dm_buf_reserve(out, b->n * 4 + 2), *first = p;
    *p++ = '[';
    for (size_t i = 0; i < b->n; i++) {
        unsigned v = b->items[i];
        if (i)
            *p++ = ' ';
        if (v >= 100)
            *p++ = (char)('0' + v / 100);
        if (v >= 10)
            *p++ = (char)('0' + v / 10 % 10);
        *p++ = (char)('0' + v % 10);
    }
    *p++ = ']';
    *p = 0;
    out->len += (size_t)(p - first);
}

static void text_registered(struct dm_buf *out, const struct dm_go_registered *r) {
    if (!r->set) {
        dm_buf_puts(out, "<nil>");
        return;
    }
    dm_buf_puts(out, "map[");
    for (size_t i = 0; i < r->n; i++) {
        if (i)
            dm_buf_putc(out, ' ');
        text_string(out, r->items[i].name);
        dm_buf_putc(out, ':');
        text_strings(out, &r->items[i].ids);
    }
    dm_buf_putc(out, ']');
}

static void text_name(struct dm_buf *out, const struct dm_go_field *f) {
    dm_buf_puts(out, f->name);
    dm_buf_puts(out, ":(");
    dm_buf_puts(out, f->type);
    dm_buf_putc(out, ')');
}

void dm_go_text_entry(struct dm_buf *out, const struct dm_go_entry *entry) {
    dm_buf_putc(out, '{');
    for (size_t i = 0; i < DM_GO_ENTRY_FIELDS; i++) {
        const struct dm_go_field *f = &dm_go_entry_fields[i];
        const void *value = (const char *)entry + f->offset;
        if (i)
            dm_buf_putc(out, ' ');
        text_name(out, f);
        if (f->kind == DM_GO_STRING)
            text_string(out, *(const struct dm_span *)value);
        else if (f->kind == DM_GO_DEVICES)
            text_devices(out, value);
        else
            text_bytes(out, value);
    }
    dm_buf_putc(out, '}');
}

void dm_go_text_head(struct dm_buf *out) {
    dm_buf_puts(out, "(checkpoint.checkpointData){");
    text_name(out, &dm_go_data_fields[0]);
}

void dm_go_text_tail(struct dm_buf *out, const struct dm_go_registered *r) {
    dm_buf_putc(out, ' ');
    text_name(out, &dm_go_data_fields[1]);
    text_registered(out, r);
    dm_buf_putc(out, '}');
}

void dm_go_text_data(struct dm_buf *out, const struct dm_go_data *data) {
    dm_go_text_head(out);
    dm_buf_puts(out, data->entries.set ? "[" : "<nil>");
    for (size_t i = 0; i < data->entries.n; i++) {
        if (i)
            dm_buf_putc(out, ' ');
        dm_go_text_entry(out, &data->entries.items[i]);
    }
    if (data->entries.set)
        dm_buf_putc(out, ']');
    dm_go_text_tail(out, &data->registered);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static void escape_ascii(struct dm_buf *out, uint8_t c) {
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *known = c ? memchr(from, c, sizeof from - 1) : NULL;
    if (known)
        dm_buf_printf(out, "\\%c", to[known - from]);
    else
        dm_buf_printf(out, "\\u%04x", c);
}

/* Printable ASCII that needs no escape. */
static bool plain(uint8_t c) {
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

/* Go escapes what HTML and JavaScript would stumble over, and says U+FFFD for what is not UTF-8. */
void dm_go_json_string(struct dm_buf *out, struct dm_span s) {
    const uint8_t *p = s.data, *end = p + s.len, *copied = p;
    dm_buf_putc(out, '"');
    while (p < end) {
        size_t n = plain(*p) ? 1 : dm_scan_utf8(p, end);
        bool line_end = n == 3 && p[0] == 0xe2 && p[1] == 0x80 && (p[2] & 0xfe) == 0xa8;
        if (n > 1 ? !line_end : n && plain(*p)) {
            p += n;
            continue;
        }
        dm_buf_add(out, copied, (size_t)(p - copied));
        if (n == 0)
            dm_buf_puts(out, "\\ufffd");
        else if (n == 3)
            dm_buf_puts(out, p[2] == 0xa8 ? "\\u2028" : "\\u2029");
        else
            escape_ascii(out, *p);
        p += n ? n : 1;
        copied = p;
    }
    dm_buf_add(out, copied, (size_t)(p - copied));
    dm_buf_putc(out, '"');
}

static void json_strings(struct dm_buf *out, const struct dm_go_strings *l) {
    if (!l->set) {
        dm_buf_puts(out, "null");
        return;
    }
    dm_buf_putc(out, '[');
    for (size_t i = 0; i < l->n; i++) {
        if (i)
            dm_buf_putc(out, ',');
        dm_go_json_string(out, l->items[i]);
    }
    dm_buf_putc(out, ']');
}

struct key {
    char text[24];
    const struct dm_go_strings *ids;
};

static int by_text(const void *a, const void *b) {
    return strcmp(((const struct key *)a)->text, ((const struct key *)b)->text);
}

/* Keys go in the order of their decimal text: "-1", "0", "1", "10", "2". */
static void json_devices(struct dm_buf *out, const struct dm_go_devices *d) {
    struct key few[8], *keys = few;
    if (!d->set) {
        dm_buf_puts(out, "null");
        return;
    }
    if (d->n > DM_COUNT(few))
        keys = dm_alloc_array(d->n, sizeof *keys);
    for (size_t i = 0; i < d->n; i++) {
        snprintf(keys[i].text, sizeof keys[i].text, "%" PRId64, d->items[i].node);
        keys[i].ids = &d->items[i].ids;
    }
    if (d->n > 1)
        qsort(keys, d->n, sizeof *keys, by_text);
    dm_buf_putc(out, '{');
    for (size_t i = 0; i < d->n; i++) {
        dm_buf_printf(out, i ? ",\"%s\":" : "\"%s\":", keys[i].text);
        json_strings(out, keys[i].ids);
    }
    dm_buf_putc(out, '}');
    if (keys != few)
        free(keys);
}

void dm_go_base64(struct dm_buf *out, const uint8_t *data, size_t n) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *p = dm_buf_reserve(out, (n + 2) / 3 * 4), *first = p;
    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i;
        unsigned v = (unsigned)data[i] << 16;
        v |= left > 1 ? (unsigned)data[i + 1] << 8 : 0;
        v |= left > 2 ? data[i + 2] : 0;
        *p++ = digits[v >> 18];
        *p++ = digits[v >> 12 & 63];
        *p++ = left > 1 ? digits[v >> 6 & 63] : '=';
        *p++ = left > 2 ? digits[v & 63] : '=';
    }
    *p = 0;
    out->len += (size_t)(p - first);
}

static void json_bytes(struct dm_buf *out, const struct dm_go_bytes *b) {
    if (!b->set) {
        dm_buf_puts(out, "null");
        return;
    }
    dm_buf_putc(out, '"');
    dm_go_base64(out, b->items, b->n);
    dm_buf_putc(out, '"');
}

void dm_go_json_entry(struct dm_buf *out, const struct dm_go_entry *entry) {
    for (size_t i = 0; i < DM_GO_ENTRY_FIELDS; i++) {
        const struct dm_go_field *f = &dm_go_entry_fields[i];
        const void *value = (const char *)entry + f->offset;
        dm_buf_puts(out, i ? ",\"" : "{\"");
        dm_buf_puts(out, f->name);
        dm_buf_puts(out, "\":");
        if (f->kind == DM_GO_STRING)
            dm_go_json_string(out, *(const struct dm_span *)value);
        else if (f->kind == DM_GO_DEVICES)
            json_devices(out, value);
        else
            json_bytes(out, value);
    }
    dm_buf_putc(out, '}');
}

void dm_go_json_resource(struct dm_buf *out, const struct dm_go_resource *r) {
    dm_go_json_string(out, r->name);
    dm_buf_putc(out, ':');
    json_strings(out, &r->ids);
}
