/* scan.c -- see scan.h. Follows Go's encoding/json scanner state by state; the texts are its texts where it has some. */
#include "checkpoint/scan.h"
#include "base/mem.h"
#include "base/text.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct dm_scan_chunk {
    struct dm_scan_chunk *next;
    _Alignas(16) char data[];
};

void dm_scan_init(struct dm_scan *s, struct dm_span text) {
    *s = (struct dm_scan){.start = text.data, .at = text.data, .end = text.data};
    if (text.len)
        s->end += text.len;
}

void dm_scan_free(struct dm_scan *s) {
    for (struct dm_scan_chunk *c = s->chunks, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    s->chunks = NULL;
    s->chunk_used = s->chunk_size = 0;
}

void *dm_scan_memory(struct dm_scan *s, size_t n) {
    n = (n + 15) & ~(size_t)15;
    if (s->chunk_size - s->chunk_used < n) {
        size_t size = n > 65536 ? n : 65536;
        struct dm_scan_chunk *c = dm_alloc(sizeof *c + size);
        c->next = s->chunks;
        s->chunks = c;
        s->chunk_size = size;
        s->chunk_used = 0;
    }
    void *p = s->chunks->data + s->chunk_used;
    s->chunk_used += n;
    return p;
}

/* ---- what is wrong, and where ------------------------------------------------------------------------------------ */

static void place(const struct dm_scan *s, const uint8_t *where, char *out, size_t size) {
    size_t line = 1;
    const uint8_t *bol = s->start;
    for (const uint8_t *p = s->start; p < where && (p = memchr(p, '\n', (size_t)(where - p))); p++)
        line++, bol = p + 1;
    snprintf(out, size, "line %zu, column %zu", line, (size_t)(where - bol) + 1);
}

/* Syntax error at s->at: "after object key", "in string literal", ... */
static void syntax(struct dm_scan *s, const char *context) {
    char at[64], what[16];
    if (s->bad)
        return;
    s->bad = true;
    place(s, s->at, at, sizeof at);
    if (s->at >= s->end) {
        snprintf(s->syntax, sizeof s->syntax, "%s: unexpected end of JSON input", at);
        return;
    }
    snprintf(what, sizeof what, *s->at > 0x20 && *s->at < 0x7f ? "'%c'" : "'\\x%02x'", *s->at);
    snprintf(s->syntax, sizeof s->syntax, "%s: invalid character %s %s", at, what, context);
}

void dm_scan_mismatch(struct dm_scan *s, const uint8_t *where, const char *format, ...) {
    char what[sizeof s->type - 80], at[64];
    va_list ap;
    if (*s->type)
        return;
    va_start(ap, format);
    vsnprintf(what, sizeof what, format, ap);
    va_end(ap);
    place(s, where, at, sizeof at);
    snprintf(s->type, sizeof s->type, "%s: %s", at, what);
}

bool dm_scan_failed(const struct dm_scan *s) {
    return s->bad || *s->type;
}

static void blanks(struct dm_scan *s) {
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t'))
        s->at++;
}

int dm_scan_end(struct dm_scan *s, devmgr_error *reterr) {
    blanks(s);
    if (!s->bad && s->at < s->end)
        syntax(s, "after top-level value");
    if (!dm_scan_failed(s))
        return 0;
    return dm_error_set(reterr, DEVMGR_ECHECKPOINT, "%s", s->bad ? s->syntax : s->type);
}

const char *dm_json_kind_name(enum dm_json_kind kind) {
    static const char *const names[] = {"nothing",  "an object", "an array", "a string",
                                        "a number", "a boolean", "null"};
    return names[kind];
}

/* ---- structure --------------------------------------------------------------------------------------------------- */

enum dm_json_kind dm_scan_peek(struct dm_scan *s) {
    blanks(s);
    if (s->bad)
        return DM_JSON_NOTHING;
    switch (s->at < s->end ? *s->at : 0) {
    case '{':
        return DM_JSON_OBJECT;
    case '[':
        return DM_JSON_ARRAY;
    case '"':
        return DM_JSON_STRING;
    case '-':
    case '0' ... '9':
        return DM_JSON_NUMBER;
    case 't':
    case 'f':
        return DM_JSON_BOOL;
    case 'n':
        return DM_JSON_NULL;
    }
    syntax(s, "looking for beginning of value");
    return DM_JSON_NOTHING;
}

/* Steps over '{' or '[' that dm_scan_peek announced. */
static void open_container(struct dm_scan *s) {
    if (s->depth == DM_SCAN_MAX_DEPTH)
        syntax(s, "exceeded max depth");
    else
        s->depth++, s->at++;
}

/* Before the n-th item of a container: true when there is one. Eats what opens, separates or closes. */
static bool next_item(struct dm_scan *s, size_t n, char close, const char *after) {
    if (n == 0 && !s->bad)
        open_container(s);
    blanks(s);
    if (s->bad)
        return false;
    if (s->at < s->end && *s->at == close) {
        s->depth--, s->at++;
        return false;
    }
    if (n > 0) {
        if (s->at >= s->end || *s->at != ',') {
            syntax(s, after);
            return false;
        }
        s->at++;
        blanks(s);
    }
    return true;
}

bool dm_scan_element(struct dm_scan *s, size_t n) {
    return next_item(s, n, ']', "after array element");
}

bool dm_scan_member(struct dm_scan *s, size_t n, struct dm_span *key) {
    if (!next_item(s, n, '}', "after object key:value pair"))
        return false;
    if (s->at >= s->end || *s->at != '"') {
        syntax(s, "looking for beginning of object key string");
        return false;
    }
    *key = dm_scan_string(s);
    blanks(s);
    if (!s->bad && (s->at >= s->end || *s->at != ':'))
        syntax(s, "after object key");
    if (s->bad)
        return false;
    s->at++;
    return true;
}

/* ---- literals ---------------------------------------------------------------------------------------------------- */

static void word(struct dm_scan *s, const char *text) {
    char context[48];
    for (const char *p = text; *p && !s->bad; p++) {
        snprintf(context, sizeof context, "in literal %s (expecting '%c')", text, *p);
        if (s->at < s->end && *s->at == (uint8_t)*p)
            s->at++;
        else
            syntax(s, context);
    }
}

bool dm_scan_bool(struct dm_scan *s) {
    bool value = s->at < s->end && *s->at == 't';
    word(s, value ? "true" : "false");
    return value;
}

void dm_scan_null(struct dm_scan *s) {
    word(s, "null");
}

static bool digit(const struct dm_scan *s) {
    return s->at < s->end && *s->at >= '0' && *s->at <= '9';
}

/* One digit at least, then all that follow. */
static void digits(struct dm_scan *s, const char *context) {
    if (!digit(s))
        syntax(s, context);
    while (digit(s))
        s->at++;
}

struct dm_span dm_scan_number(struct dm_scan *s) {
    const uint8_t *first = s->at;
    if (*s->at == '-')
        s->at++;
    if (s->at < s->end && *s->at == '0')
        s->at++;
    else
        digits(s, "in numeric literal");
    if (!s->bad && s->at < s->end && *s->at == '.') {
        s->at++;
        digits(s, "after decimal point in numeric literal");
    }
    if (!s->bad && s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
        s->at++;
        if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
            s->at++;
        digits(s, "in exponent of numeric literal");
    }
    return (struct dm_span){first, (size_t)(s->at - first)};
}

/* Decimal digits and nothing else, at most `limit`. */
static bool decimal(const uint8_t *p, size_t n, uint64_t limit, uint64_t *ret) {
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++)
        if (p[i] < '0' || p[i] > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(p[i] - '0'), &value))
            return false;
    *ret = value;
    return n > 0 && value <= limit;
}

bool dm_scan_u64(struct dm_span text, uint64_t *ret) {
    return decimal(text.data, text.len, UINT64_MAX, ret);
}

bool dm_scan_i64(struct dm_span text, int64_t *ret) {
    bool negative = text.len && *text.data == '-', sign = negative || (text.len && *text.data == '+');
    uint64_t value;
    if (!decimal(text.data + sign, text.len - sign, (uint64_t)INT64_MAX + negative, &value))
        return false;
    *ret = (int64_t)(negative ? -value : value);
    return true;
}

/* ---- strings ----------------------------------------------------------------------------------------------------- */

size_t dm_scan_utf8(const uint8_t *p, const uint8_t *end) {
    if (*p < 0x80)
        return 1;
    size_t n = *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;
    return (size_t)(end - p) >= n && dm_text_utf8(p, n) ? n : 0;
}

static int hex4(const uint8_t *p, const uint8_t *end) {
    int value = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int c = p[i] | 0x20, d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (d < 0 || (p[i] < '0'))
            return -1;
        value = value << 4 | d;
    }
    return value;
}

static char *put_rune(char *out, unsigned r) {
    if (r < 0x80) {
        *out++ = (char)r;
    } else if (r < 0x800) {
        *out++ = (char)(0xc0 | r >> 6), *out++ = (char)(0x80 | (r & 0x3f));
    } else if (r < 0x10000) {
        *out++ = (char)(0xe0 | r >> 12), *out++ = (char)(0x80 | (r >> 6 & 0x3f));
        *out++ = (char)(0x80 | (r & 0x3f));
    } else {
        *out++ = (char)(0xf0 | r >> 18), *out++ = (char)(0x80 | (r >> 12 & 0x3f));
        *out++ = (char)(0x80 | (r >> 6 & 0x3f)), *out++ = (char)(0x80 | (r & 0x3f));
    }
    return out;
}

/* Behind "\u": decodes one escape, or two that make a pair. A surrogate without its partner is U+FFFD. */
static char *put_escaped_rune(const uint8_t **p, const uint8_t *end, char *out) {
    unsigned r = (unsigned)hex4(*p, end);
    *p += 4;
    if (r >= 0xd800 && r < 0xe000) {
        int low = end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u' ? hex4(*p + 2, end) : -1;
        if (r < 0xdc00 && low >= 0xdc00 && low < 0xe000) {
            r = 0x10000 + ((r - 0xd800) << 10 | ((unsigned)low - 0xdc00));
            *p += 6;
        } else {
            r = 0xfffd;
        }
    }
    return put_rune(out, r);
}

/* Decodes what stands between the quotes; the syntax was checked. A byte grows to three at most. */
static struct dm_span decode(struct dm_scan *s, const uint8_t *p, const uint8_t *end) {
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    char *text = dm_scan_memory(s, (size_t)(end - p) * 3), *out = text;
    while (p < end) {
        size_t n = dm_scan_utf8(p, end);
        if (*p == '\\') {
            const char *known = memchr(from, p[1], sizeof from - 1);
            p += 2;
            if (p[-1] == 'u')
                out = put_escaped_rune(&p, end, out);
            else
                *out++ = known ? to[known - from] : (char)p[-1];
        } else if (n) {
            memcpy(out, p, n);
            p += n, out += n;
        } else {
            out = put_rune(out, 0xfffd);
            p++;
        }
    }
    return (struct dm_span){(uint8_t *)text, (size_t)(out - text)};
}

/* At a backslash: steps over the escape, or says what is wrong with it. */
static void escape(struct dm_scan *s) {
    s->at++;
    if (s->at >= s->end || !memchr("bfnrt\\/\"u", *s->at, 9)) {
        syntax(s, "in string escape code");
        return;
    }
    if (*s->at++ != 'u')
        return;
    for (int i = 0; i < 4; i++, s->at++) {
        uint8_t c = s->at < s->end ? *s->at : 0;
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))) {
            syntax(s, "in \\u hexadecimal character escape");
            return;
        }
    }
}

struct dm_span dm_scan_string(struct dm_scan *s) {
    const uint8_t *first = ++s->at;
    bool plain = true;
    while (!s->bad && s->at < s->end && *s->at != '"') {
        if (*s->at >= 0x20 && *s->at < 0x80 && *s->at != '\\') {
            s->at++;
        } else if (*s->at >= 0x80) {
            size_t n = dm_scan_utf8(s->at, s->end);
            plain &= n > 0;
            s->at += n ? n : 1;
        } else if (*s->at == '\\') {
            plain = false;
            escape(s);
        } else {
            syntax(s, "in string literal");
        }
    }
    if (!s->bad && s->at >= s->end)
        syntax(s, "");
    if (s->bad)
        return (struct dm_span){0};
    const uint8_t *last = s->at++;
    return plain ? (struct dm_span){first, (size_t)(last - first)} : decode(s, first, last);
}

/* ---- any value --------------------------------------------------------------------------------------------------- */

static void skip_scalar(struct dm_scan *s, enum dm_json_kind kind) {
    if (kind == DM_JSON_STRING) {
        dm_scan_string(s);
    } else if (kind == DM_JSON_NUMBER) {
        dm_scan_number(s);
    } else if (kind == DM_JSON_BOOL) {
        dm_scan_bool(s);
    } else if (kind == DM_JSON_NULL) {
        dm_scan_null(s);
    }
}

/* Without recursion: ten thousand levels must not need a stack. One bit per level: object or array. */
void dm_scan_skip(struct dm_scan *s) {
    uint64_t objects[DM_SCAN_MAX_DEPTH / 64 + 1] = {0};
    size_t level = 0, n = 1;
    struct dm_span key;
    do {
        enum dm_json_kind kind = dm_scan_peek(s);
        n = kind != DM_JSON_OBJECT && kind != DM_JSON_ARRAY;
        if (n) {
            skip_scalar(s, kind);
        } else {
            uint64_t bit = UINT64_C(1) << (level % 64), *set = &objects[level / 64];
            *set = kind == DM_JSON_OBJECT ? *set | bit : *set & ~bit;
            level++;
        }
        for (; level && !s->bad; level--, n = 1) {
            bool object = objects[(level - 1) / 64] >> ((level - 1) % 64) & 1;
            if (object ? dm_scan_member(s, n, &key) : dm_scan_element(s, n))
                break;
        }
    } while (level && !s->bad);
}
