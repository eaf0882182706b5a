/* scan.h -- a JSON reader that accepts what Go's encoding/json accepts, byte for byte, and nothing else.
 *
 * Pull style, with a sticky error: once something is wrong every call answers "nothing more", so that callers need no
 * check after each step, only dm_scan_end at the end. Two kinds of wrong are told apart as in Go: bad syntax (wins,
 * wherever it stands) and a value of the wrong type (the first one is remembered, reading goes on).
 *
 * Strings are spans into the text, or into the scanner's arena when they had to be decoded. Both last until
 * dm_scan_free. */
#ifndef DM_CHECKPOINT_SCAN_H
#define DM_CHECKPOINT_SCAN_H
#include "base/buf.h"
#include "base/error.h"
#include <stdbool.h>

#define DM_SCAN_MAX_DEPTH 10000 /* Go's limit; deeper files are refused whole */

enum dm_json_kind {
    DM_JSON_NOTHING, /* bad syntax, or the end */
    DM_JSON_OBJECT,
    DM_JSON_ARRAY,
    DM_JSON_STRING,
    DM_JSON_NUMBER,
    DM_JSON_BOOL,
    DM_JSON_NULL
};

struct dm_scan_chunk;
struct dm_scan {
    const uint8_t *start, *at, *end;
    size_t depth;
    bool bad; /* syntax error: over */
    char syntax[160], type[400];
    struct dm_scan_chunk *chunks; /* the arena */
    size_t chunk_used, chunk_size;
};

void dm_scan_init(struct dm_scan *s, struct dm_span text);
void dm_scan_free(struct dm_scan *s);
/* Zeroed memory that lives as long as the scanner. */
void *dm_scan_memory(struct dm_scan *s, size_t n);

/* What comes next; nothing is consumed but blanks. */
enum dm_json_kind dm_scan_peek(struct dm_scan *s);
/* for (size_t n = 0; dm_scan_member(s, n, &key); n++) ...read or skip one value...; the first call eats '{'. */
bool dm_scan_member(struct dm_scan *s, size_t n, struct dm_span *key);
bool dm_scan_element(struct dm_scan *s, size_t n);
/* Each consumes the value that dm_scan_peek announced. */
struct dm_span dm_scan_string(struct dm_scan *s); /* decoded; invalid UTF-8 and lone surrogates are U+FFFD */
struct dm_span dm_scan_number(struct dm_scan *s); /* as written */
bool dm_scan_bool(struct dm_scan *s);
void dm_scan_null(struct dm_scan *s);
void dm_scan_skip(struct dm_scan *s); /* any value, however deep */

/* Remembers the first value of a wrong type; `where`: its first byte. Reading goes on. */
void dm_scan_mismatch(struct dm_scan *s, const uint8_t *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool dm_scan_failed(const struct dm_scan *s);
/* After the top value: nothing but blanks may follow. 0 or DEVMGR_ECHECKPOINT. */
int dm_scan_end(struct dm_scan *s, devmgr_error *reterr);

const char *dm_json_kind_name(enum dm_json_kind kind); /* "an object", "a string", ... */
/* As strconv.ParseUint and ParseInt, base 10: false when it is no such number or does not fit. */
bool dm_scan_u64(struct dm_span text, uint64_t *ret);
bool dm_scan_i64(struct dm_span text, int64_t *ret);
/* Length of the well-formed UTF-8 sequence at p (1 to 4), 0: none. */
size_t dm_scan_utf8(const uint8_t *p, const uint8_t *end);
#endif
