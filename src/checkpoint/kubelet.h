/* kubelet.h -- the Data of the kubelet's checkpoint exactly as its own decoder leaves it, and its two texts.
 *
 * null, missing and empty are different things here, because the checksum tells them apart. One table names the fields;
 * the JSON reader, the JSON writer and the text that is hashed (contract CKPT-07) all walk it. Spans belong to whoever
 * made the data: the scanner that read it, or the saved parts that it is a view of. */
#ifndef DM_CHECKPOINT_KUBELET_H
#define DM_CHECKPOINT_KUBELET_H
#include "base/buf.h"
#include "checkpoint/scan.h"

/* Go's slices and maps: `set` false is nil. `high`: elements that were ever used; a later, shorter list under the same
 * key hides them, a still later, longer one shows them again (Go re-slices without clearing). */
struct dm_go_strings {
    bool set;
    size_t n;
    struct dm_span *items;
};
struct dm_go_numa {
    int64_t node;
    size_t order; /* in the text; of a key that comes twice the later one counts */
    struct dm_go_strings ids;
};
struct dm_go_devices { /* ascending node, no node twice */
    bool set;
    size_t n, cap;
    struct dm_go_numa *items;
};
struct dm_go_bytes {
    bool set;
    size_t n, high, cap;
    uint8_t *items;
};
struct dm_go_entry {
    struct dm_span pod_uid, container, resource;
    struct dm_go_devices devices;
    struct dm_go_bytes answer;
};
struct dm_go_entries {
    bool set;
    size_t n, high, cap;
    struct dm_go_entry *items;
};
struct dm_go_resource {
    struct dm_span name;
    size_t order;
    struct dm_go_strings ids;
};
struct dm_go_registered { /* ascending name, no name twice */
    bool set;
    size_t n, cap;
    struct dm_go_resource *items;
};
struct dm_go_data {
    struct dm_go_entries entries;
    struct dm_go_registered registered;
};

enum dm_go_kind { DM_GO_STRING, DM_GO_DEVICES, DM_GO_BYTES, DM_GO_ENTRIES, DM_GO_REGISTERED };
struct dm_go_field {
    const char *name;
    enum dm_go_kind kind;
    const char *type; /* Go's name of it: part of the hashed text */
    size_t offset;    /* in dm_go_data or dm_go_entry */
};
#define DM_GO_DATA_FIELDS  2
#define DM_GO_ENTRY_FIELDS 5
extern const struct dm_go_field dm_go_data_fields[DM_GO_DATA_FIELDS], dm_go_entry_fields[DM_GO_ENTRY_FIELDS];

/* What a file says. */
struct dm_kubelet_file {
    struct dm_scan scan; /* owns all below */
    struct dm_go_data data;
    uint64_t checksum;        /* 0 when there is none, as in Go */
    struct dm_span extension; /* the value of our key, as written; len 0: not there */
    bool almost_extension;    /* a key that is one byte off ours: nobody else writes one there */
};
/* 0, or DEVMGR_ECHECKPOINT with line, column and field. The checksum is not looked at. Free `f` in any case. */
int dm_kubelet_read(struct dm_span text, struct dm_kubelet_file *f, devmgr_error *reterr);
void dm_kubelet_file_free(struct dm_kubelet_file *f); /* also for DM_CLEANUP */

/* The hashed text, whole or in pieces; appended to `out`. */
void dm_go_text_data(struct dm_buf *out, const struct dm_go_data *data);
void dm_go_text_head(struct dm_buf *out); /* up to the value of the entries */
void dm_go_text_entry(struct dm_buf *out, const struct dm_go_entry *entry); /* "{PodUID:...}" */
void dm_go_text_tail(struct dm_buf *out, const struct dm_go_registered *r); /* behind the entries' value */
/* As json.Marshal writes them. */
void dm_go_json_string(struct dm_buf *out, struct dm_span s);
void dm_go_json_entry(struct dm_buf *out, const struct dm_go_entry *entry);
void dm_go_json_resource(struct dm_buf *out, const struct dm_go_resource *r); /* "name":[...] */
void dm_go_base64(struct dm_buf *out, const uint8_t *data, size_t n);
#endif
