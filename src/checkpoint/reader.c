/* reader.c -- the kubelet's file, read as Go's encoding/json reads it into checkpoint.Data (contract CKPT-09, 15..18).
 *
 * What is easy to get wrong, and why it matters: a file that the kubelet accepts must mean the same to us.
 *   keys        match without regard to case, with Unicode's simple folding: U+212A is a k, U+017F an s
 *   twice       scalars: the last wins; objects merge; lists are overwritten in place, element by element
 *   null        nil for lists, maps and bytes; no effect on strings, numbers and structs
 *   AllocResp   base64 with padding, line ends inside it ignored; or a list of numbers 0..255
 *   node keys   strconv.ParseInt: "+1", "01" and "1" are one key, the last wins
 *   Checksum    digits only
 * Syntax is judged over the whole text before types are, as there. */
#include "base/mem.h"
#include "checkpoint/kubelet.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Where we are, for people. */
struct place {
    const char *field; /* NULL: the file itself, or an entry */
    size_t entry;      /* SIZE_MAX: not in an entry */
};

static const struct dm_span nothing = {(const uint8_t *)"", 0}; /* a string that was not given; never NULL */

struct reader {
    struct dm_scan *s;
    struct place at;
    size_t n_ids, cap_ids; /* scratch: the list being read */
    struct dm_span *ids;
};

static const char *path(const struct reader *r, char *out, size_t size) {
    if (r->at.entry != SIZE_MAX)
        snprintf(out, size, "Data.PodDeviceEntries[%zu]%s%s", r->at.entry, r->at.field ? "." : "",
                 r->at.field ? r->at.field : "");
    else
        snprintf(out, size, "%s", r->at.field ? r->at.field : "the file");
    return out;
}

static bool wanted(struct reader *r, enum dm_json_kind got, enum dm_json_kind want) {
    char at[96];
    if (got == want)
        return true;
    if (got == DM_JSON_NULL) {
        dm_scan_null(r->s);
        return false;
    }
    const char *hint =
        want == DM_JSON_OBJECT && got == DM_JSON_ARRAY && r->at.entry != SIZE_MAX && r->at.field
            ? " (written before Kubernetes 1.20?)"
            : "";
    dm_scan_mismatch(r->s, r->s->at, "%s is %s, must be %s%s", path(r, at, sizeof at), dm_json_kind_name(got),
                     dm_json_kind_name(want), hint);
    dm_scan_skip(r->s);
    return false;
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

/* As bytes.EqualFold for our names, which are ASCII: only U+212A and U+017F fold into ASCII from outside. */
static bool same_key(struct dm_span key, const char *name) {
    size_t i = 0;
    for (; *name; name++) {
        size_t left = key.len - i;
        uint8_t want = (uint8_t)*name | 0x20;
        if (left >= 1 && (key.data[i] | 0x20) == want && key.data[i] >= 'A')
            i += 1;
        else if (want == 'k' && left >= 3 && !memcmp(key.data + i, "\xe2\x84\xaa", 3))
            i += 3;
        else if (want == 's' && left >= 2 && !memcmp(key.data + i, "\xc5\xbf", 2))
            i += 2;
        else
            return false;
    }
    return i == key.len;
}

static const struct dm_go_field *find_field(const struct dm_go_field *table, size_t n, struct dm_span key) {
    for (size_t i = 0; i < n; i++)
        if (same_key(key, table[i].name))
            return &table[i];
    return NULL;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static void read_string(struct reader *r, struct dm_span *ret) {
    if (wanted(r, dm_scan_peek(r->s), DM_JSON_STRING))
        *ret = dm_scan_string(r->s);
}

/* Always a new list: the values of a Go map are decoded afresh. */
static struct dm_go_strings read_strings(struct reader *r) {
    struct dm_go_strings list = {0};
    enum dm_json_kind kind = dm_scan_peek(r->s);
    if (!wanted(r, kind, DM_JSON_ARRAY))
        return list;
    for (r->n_ids = 0; dm_scan_element(r->s, r->n_ids); r->n_ids++) {
        DM_GROW(r->ids, r->n_ids, r->cap_ids);
        r->ids[r->n_ids] = nothing;
        read_string(r, &r->ids[r->n_ids]);
    }
    list.set = true;
    list.n = r->n_ids;
    list.items = dm_scan_memory(r->s, list.n * sizeof *list.items);
    if (list.n)
        memcpy(list.items, r->ids, list.n * sizeof *list.items);
    return list;
}

/* A bigger place in the arena for an array of `size` bytes each; the old one stays behind. */
static void *grown(struct dm_scan *s, void *old, size_t *cap, size_t size) {
    size_t had = *cap;
    *cap = had ? had * 2 : 4;
    void *now = dm_scan_memory(s, *cap * size);
    if (had)
        memcpy(now, old, had * size);
    return now;
}

/* Order of two map items: 2 or -2 by key; 1 or -1 when the key is the same and only their place in the text differs. */
static int by_node(const void *a, const void *b) {
    const struct dm_go_numa *x = a, *y = b;
    if (x->node != y->node)
        return x->node < y->node ? -2 : 2;
    return x->order < y->order ? -1 : 1;
}

static int by_name(const void *a, const void *b) {
    const struct dm_go_resource *x = a, *y = b;
    size_t n = x->name.len < y->name.len ? x->name.len : y->name.len;
    int order = n ? memcmp(x->name.data, y->name.data, n) : 0;
    if (order == 0)
        order = (x->name.len > y->name.len) - (x->name.len < y->name.len);
    if (order)
        return order < 0 ? -2 : 2;
    return x->order < y->order ? -1 : 1;
}

/* A Go map made of appended items: sorted, and of those with one key the last. Returns how many are left. */
static size_t settle(void *items, size_t n, size_t size, int (*compare)(const void *, const void *)) {
    char *base = items;
    size_t kept = 0;
    bool sorted = true;
    for (size_t i = 1; i < n && sorted; i++)
        sorted = compare(base + (i - 1) * size, base + i * size) == -2;
    if (sorted)
        return n;
    qsort(items, n, size, compare);
    for (size_t i = 0; i < n; i++)
        if (i + 1 == n || compare(base + i * size, base + (i + 1) * size) == -2)
            memmove(base + kept++ * size, base + i * size, size);
    return kept;
}

static void read_devices(struct reader *r, struct dm_go_devices *d) {
    enum dm_json_kind kind = dm_scan_peek(r->s);
    if (!wanted(r, kind, DM_JSON_OBJECT)) {
        if (kind == DM_JSON_NULL)
            *d = (struct dm_go_devices){0};
        return;
    }
    struct dm_span key;
    d->set = true;
    for (size_t n = 0; dm_scan_member(r->s, n, &key); n++) {
        struct dm_go_numa numa = {.order = d->n};
        char at[96];
        const uint8_t *where = r->s->at;
        numa.ids = read_strings(r);
        if (!dm_scan_i64(key, &numa.node)) {
            dm_scan_mismatch(r->s, where, "%s: \"%.*s\" is not the number of a NUMA node",
                             path(r, at, sizeof at), (int)(key.len < 40 ? key.len : 40),
                             (const char *)key.data);
            continue;
        }
        if (d->n == d->cap)
            d->items = grown(r->s, d->items, &d->cap, sizeof *d->items);
        d->items[d->n++] = numa;
    }
    d->n = settle(d->items, d->n, sizeof *d->items, by_node);
    for (size_t i = 0; i < d->n; i++)
        d->items[i].order = i; /* the same map may be given a second time */
}

/* ---- AllocResp --------------------------------------------------------------------------------------------------- */

static int base64_digit(uint8_t c) {
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* encoding/base64's StdEncoding: padding needed, nothing behind it, line ends ignored, loose last bits allowed.
 * Returns the length, or -1. */
static ptrdiff_t base64_decode(struct dm_span text, uint8_t *out) {
    uint32_t bits = 0;
    unsigned n = 0, pad = 0; /* of the group of four */
    uint8_t *p = out;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c == '\n' || c == '\r')
            continue;
        int digit = base64_digit(c);
        if (c == '=' ? n < 2 || n + pad == 4 : digit < 0 || pad)
            return -1;
        if (c == '=') {
            pad++;
            continue;
        }
        bits = bits << 6 | (unsigned)digit;
        if (++n == 4) {
            *p++ = (uint8_t)(bits >> 16), *p++ = (uint8_t)(bits >> 8), *p++ = (uint8_t)bits;
            n = 0, bits = 0;
        }
    }
    if (n + pad != 0 && n + pad != 4)
        return -1;
    if (n >= 2)
        *p++ = (uint8_t)(n == 2 ? bits >> 4 : bits >> 10);
    if (n == 3)
        *p++ = (uint8_t)(bits >> 2);
    return p - out;
}

static void read_byte(struct reader *r, uint8_t *ret) {
    char at[96];
    const uint8_t *where;
    uint64_t value;
    enum dm_json_kind kind = dm_scan_peek(r->s);
    where = r->s->at;
    if (!wanted(r, kind, DM_JSON_NUMBER))
        return;
    if (dm_scan_u64(dm_scan_number(r->s), &value) && value <= UINT8_MAX)
        *ret = (uint8_t)value;
    else
        dm_scan_mismatch(r->s, where, "%s: a number that is no byte", path(r, at, sizeof at));
}

static void read_byte_list(struct reader *r, struct dm_go_bytes *b) {
    size_t n = 0;
    for (; dm_scan_element(r->s, n); n++) {
        if (n == b->cap)
            b->items = grown(r->s, b->items, &b->cap, 1);
        if (n == b->high)
            b->items[b->high++] = 0;
        read_byte(r, &b->items[n]);
    }
    if (n == 0)
        b->high = 0;
    b->n = n;
    b->set = true;
}

static void read_bytes(struct reader *r, struct dm_go_bytes *b) {
    char at[96];
    enum dm_json_kind kind = dm_scan_peek(r->s);
    const uint8_t *where = r->s->at;
    if (kind == DM_JSON_ARRAY) {
        read_byte_list(r, b);
    } else if (wanted(r, kind, DM_JSON_STRING)) {
        struct dm_span text = dm_scan_string(r->s);
        uint8_t *data = dm_scan_memory(r->s, text.len / 4 * 3 + 1);
        ptrdiff_t n = base64_decode(text, data);
        if (n < 0)
            dm_scan_mismatch(r->s, where, "%s is not base64", path(r, at, sizeof at));
        else
            *b = (struct dm_go_bytes){true, (size_t)n, (size_t)n, (size_t)n, data};
    } else if (kind == DM_JSON_NULL) {
        *b = (struct dm_go_bytes){0};
    }
}

/* ---- entries, resources, the file -------------------------------------------------------------------------------- */

static void read_entry(struct reader *r, struct dm_go_entry *e) {
    struct dm_span key;
    if (!wanted(r, dm_scan_peek(r->s), DM_JSON_OBJECT))
        return;
    for (size_t n = 0; dm_scan_member(r->s, n, &key); n++) {
        const struct dm_go_field *f = find_field(dm_go_entry_fields, DM_GO_ENTRY_FIELDS, key);
        if (!f) {
            dm_scan_skip(r->s);
            continue;
        }
        void *value = (char *)e + f->offset;
        r->at.field = f->name;
        if (f->kind == DM_GO_STRING)
            read_string(r, value);
        else if (f->kind == DM_GO_DEVICES)
            read_devices(r, value);
        else
            read_bytes(r, value);
        r->at.field = NULL;
    }
}

static void read_entries(struct reader *r, struct dm_go_entries *list) {
    enum dm_json_kind kind = dm_scan_peek(r->s);
    if (!wanted(r, kind, DM_JSON_ARRAY)) {
        if (kind == DM_JSON_NULL)
            *list = (struct dm_go_entries){0};
        return;
    }
    size_t n = 0;
    for (; dm_scan_element(r->s, n); n++) {
        if (n == list->cap)
            list->items = grown(r->s, list->items, &list->cap, sizeof *list->items);
        if (n == list->high)
            list->items[list->high++] = (struct dm_go_entry){nothing, nothing, nothing};
        r->at = (struct place){NULL, n};
        read_entry(r, &list->items[n]);
    }
    if (n == 0)
        list->high = 0;
    list->n = n;
    list->set = true;
}

static void read_registered(struct reader *r, struct dm_go_registered *map) {
    enum dm_json_kind kind = dm_scan_peek(r->s);
    if (!wanted(r, kind, DM_JSON_OBJECT)) {
        if (kind == DM_JSON_NULL)
            *map = (struct dm_go_registered){0};
        return;
    }
    struct dm_span key;
    map->set = true;
    for (size_t n = 0; dm_scan_member(r->s, n, &key); n++) {
        if (map->n == map->cap)
            map->items = grown(r->s, map->items, &map->cap, sizeof *map->items);
        map->items[map->n] = (struct dm_go_resource){key, map->n, read_strings(r)};
        map->n++;
    }
    map->n = settle(map->items, map->n, sizeof *map->items, by_name);
    for (size_t i = 0; i < map->n; i++)
        map->items[i].order = i;
}

static void read_data(struct reader *r, struct dm_go_data *data) {
    struct dm_span key;
    r->at.field = "Data";
    if (!wanted(r, dm_scan_peek(r->s), DM_JSON_OBJECT))
        return;
    for (size_t n = 0; dm_scan_member(r->s, n, &key); n++) {
        const struct dm_go_field *f = find_field(dm_go_data_fields, DM_GO_DATA_FIELDS, key);
        if (!f) {
            dm_scan_skip(r->s);
        } else if (f->kind == DM_GO_ENTRIES) {
            r->at.field = "Data.PodDeviceEntries";
            read_entries(r, &data->entries);
        } else {
            r->at.field = "Data.RegisteredDevices";
            read_registered(r, &data->registered);
        }
        r->at = (struct place){NULL, SIZE_MAX};
    }
}

static void read_checksum(struct reader *r, uint64_t *ret) {
    enum dm_json_kind kind = dm_scan_peek(r->s);
    const uint8_t *where = r->s->at;
    r->at.field = "Checksum";
    if (wanted(r, kind, DM_JSON_NUMBER) && !dm_scan_u64(dm_scan_number(r->s), ret))
        dm_scan_mismatch(r->s, where, "Checksum must be a whole number from 0 to 2^64-1, digits only");
}

/* Bytes in which a key differs from ours; 6: it is another one. What is not UTF-8 was read as U+FFFD. */
static size_t off_ours(struct dm_span key) {
    static const char ours[] = "devmgr", replaced[] = "\xef\xbf\xbd";
    size_t off = 0, at = 0;
    for (size_t i = 0; i < strlen(ours); i++) {
        bool bad = key.len - at >= 3 && !memcmp(key.data + at, replaced, 3);
        if (at == key.len)
            return strlen(ours);
        off += key.data[at] != (uint8_t)ours[i];
        at += bad ? 3 : 1;
    }
    return at == key.len ? off : strlen(ours);
}

static void read_file(struct reader *r, struct dm_kubelet_file *f) {
    struct dm_span key;
    if (!wanted(r, dm_scan_peek(r->s), DM_JSON_OBJECT))
        return;
    for (size_t n = 0; dm_scan_member(r->s, n, &key); n++) {
        if (same_key(key, "Data")) {
            read_data(r, &f->data);
        } else if (same_key(key, "Checksum")) {
            read_checksum(r, &f->checksum);
        } else {
            dm_scan_peek(r->s);
            const uint8_t *first = r->s->at;
            dm_scan_skip(r->s);
            if (off_ours(key) == 0)
                f->extension = (struct dm_span){first, (size_t)(r->s->at - first)};
            f->almost_extension |= off_ours(key) == 1;
        }
        r->at = (struct place){NULL, SIZE_MAX};
    }
}

int dm_kubelet_read(struct dm_span text, struct dm_kubelet_file *f, devmgr_error *reterr) {
    *f = (struct dm_kubelet_file){0};
    /* The kubelet decodes into empty, non-nil values: a missing key is not null. */
    f->data.entries.set = f->data.registered.set = true;
    dm_scan_init(&f->scan, text);
    struct reader r = {.s = &f->scan, .at = {NULL, SIZE_MAX}};
    if (!text.len)
        return dm_error_set(reterr, DEVMGR_ECHECKPOINT, "the file is empty");
    read_file(&r, f);
    free(r.ids);
    return dm_scan_end(&f->scan, reterr);
}

void dm_kubelet_file_free(struct dm_kubelet_file *f) {
    dm_scan_free(&f->scan);
}
