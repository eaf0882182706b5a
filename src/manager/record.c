/* record.c -- a container's claims and answers as one line of ASCII, to keep beside the container, and back.
 *
 *   devmgr-claim/1 UID NAMESPACE NAME CONTAINER KIND AFFINITY {RESOURCE NODE:ID,ID;NODE:ID ANSWER} CRC
 *
 * Fields are separated by one blank. Texts: bytes that could be mistaken are %XX, "" is "-" (a lone "-": %2D). ANSWER:
 * base64. NODE -1: no topology; a device on two nodes stands under both. CRC: CRC-32 of all before it, hexadecimal. */
#include "manager/record.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAGIC "devmgr-claim/1"

static uint32_t crc32(const char *p, size_t n) {
    uint32_t crc = 0xffffffff;
    for (; n--; p++) {
        crc ^= (unsigned char)*p;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

/* ---- writing ------------------------------------------------------------------------------------------------------- */

static void put_text(struct dm_buf *out, const char *s) {
    if (!*s)
        dm_buf_putc(out, '-');
    if (!strcmp(s, "-"))
        dm_buf_puts(out, "%2D");
    else
        for (; *s; s++) {
            if (*s > ' ' && *s < 0x7f && !strchr("%,;:", *s))
                dm_buf_putc(out, *s);
            else
                dm_buf_printf(out, "%%%02X", (unsigned char)*s);
        }
}

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void put_base64(struct dm_buf *out, struct dm_span bytes) {
    if (!bytes.len)
        dm_buf_putc(out, '-');
    for (size_t i = 0; i < bytes.len; i += 3) {
        uint32_t v = (uint32_t)bytes.data[i] << 16;
        v |= i + 1 < bytes.len ? (uint32_t)bytes.data[i + 1] << 8 : 0;
        v |= i + 2 < bytes.len ? bytes.data[i + 2] : 0;
        dm_buf_putc(out, digits[v >> 18]);
        dm_buf_putc(out, digits[v >> 12 & 63]);
        dm_buf_putc(out, i + 1 < bytes.len ? digits[v >> 6 & 63] : '=');
        dm_buf_putc(out, i + 2 < bytes.len ? digits[v & 63] : '=');
    }
}

static void put_claim(struct dm_buf *out, const struct dm_saved_claim *c) {
    dm_buf_putc(out, ' ');
    put_text(out, c->resource);
    dm_buf_putc(out, ' ');
    if (!c->n_nodes)
        dm_buf_putc(out, '-');
    for (size_t i = 0; i < c->n_nodes; i++) {
        dm_buf_printf(out, "%s%" PRId64 ":", i ? ";" : "", c->nodes[i].node);
        for (size_t k = 0; k < c->nodes[i].n; k++) {
            if (k)
                dm_buf_putc(out, ',');
            put_text(out, c->nodes[i].ids[k]);
        }
    }
    dm_buf_putc(out, ' ');
    put_base64(out, (struct dm_span){c->answer, c->answer_len});
}

void dm_record_write(struct dm_buf *out, const struct dm_record *r) {
    const char *texts[] = {r->uid, r->namespace_, r->name, r->container};
    dm_buf_puts(out, MAGIC);
    for (size_t i = 0; i < DM_COUNT(texts); i++) {
        dm_buf_putc(out, ' ');
        put_text(out, texts[i]);
    }
    dm_buf_printf(out, " %d %" PRIu64, r->kind, r->affinity);
    for (size_t i = 0; i < r->n_claims; i++)
        put_claim(out, r->claims[i]);
    dm_buf_putc(out, ' ');
    dm_buf_printf(out, "%08" PRIx32, crc32(out->data, out->len));
}

/* ---- reading ------------------------------------------------------------------------------------------------------- */

static int hex(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Up to one of `ends` or the end; NULL: not well-formed. Steps over what it read, not over what ended it. */
static char *take_text(const char **at, const char *ends) {
    size_t n = strcspn(*at, ends), len = 0;
    DM_FREE char *text = dm_alloc(n + 1);
    for (size_t i = 0; i < n; i++) {
        char c = (*at)[i];
        if (c == '%') {
            if (n - i < 3 || hex((*at)[i + 1]) < 0 || hex((*at)[i + 2]) < 0)
                return NULL;
            c = (char)(hex((*at)[i + 1]) << 4 | hex((*at)[i + 2]));
            i += 2;
        }
        text[len++] = c;
    }
    if (!n || memchr(text, 0, len) || !dm_text_utf8(text, len))
        return NULL;
    bool empty = n == 1 && **at == '-';
    *at += n;
    if (empty)
        text[0] = 0;
    return DM_MOVE(text);
}

/* A whole field and the blank after it. */
static char *take_field(const char **at) {
    char *text = take_text(at, " ");
    if (text && **at == ' ')
        ++*at;
    return text;
}

static int take_number(const char **at, uint64_t *ret) {
    DM_FREE char *text = take_field(at);
    return text ? dm_text_u64(text, ret) : -EINVAL;
}

static int take_base64(const char **at, struct dm_buf *out) {
    size_t n = strcspn(*at, " "), bits = 0;
    uint32_t v = 0;
    const char *p = *at, *end = *at + n;
    dm_buf_reserve(out, n);
    *at = end + (*end == ' ');
    if (n == 1 && *p == '-')
        return 0;
    if (!n || n % 4)
        return -EINVAL;
    for (; p < end && *p != '='; p++) {
        const char *digit = strchr(digits, *p);
        if (!digit)
            return -EINVAL;
        v = v << 6 | (uint32_t)(digit - digits);
        if ((bits += 6) >= 8)
            dm_buf_putc(out, (char)(v >> (bits -= 8)));
    }
    return end - p <= 2 && strspn(p, "=") >= (size_t)(end - p) ? 0 : -EINVAL;
}

/* "0:a,b;1:c" */
static int take_nodes(const char **at, struct dm_saved_claim *c) {
    if (!strncmp(*at, "- ", 2)) {
        *at += 2;
        return 0;
    }
    for (;;) {
        char *colon;
        long long node = strtoll(*at, &colon, 10);
        if (colon == *at || *colon != ':')
            return -EINVAL;
        *at = colon;
        do {
            ++*at; /* the colon, or a comma */
            DM_FREE char *id = take_text(at, ",; ");
            if (!id)
                return -EINVAL;
            dm_saved_claim_add(c, node, id);
        } while (**at == ',');
        if (**at != ';')
            break;
        ++*at;
    }
    return *(*at)++ == ' ' ? 0 : -EINVAL;
}

static int take_claim(const char **at, struct dm_record *r) {
    DM_CLEANUP(dm_buf_free) struct dm_buf answer = {0};
    DM_FREE char *resource = take_field(at);
    struct dm_saved_claim *c;
    if (!resource || !*resource)
        return -EINVAL;
    r->claims = dm_realloc(r->claims, (r->n_claims + 1) * sizeof(*r->claims));
    c = r->claims[r->n_claims++] = dm_saved_claim_new(r->uid, r->container, resource, (struct dm_span){0});
    if (take_nodes(at, c) < 0 || take_base64(at, &answer) < 0)
        return -EINVAL;
    free(c->answer);
    c->answer = dm_memdup(answer.data, answer.len);
    c->answer_len = answer.len;
    return 0;
}

static int take_all(const char *at, const char *end, struct dm_record *r) {
    char **texts[] = {&r->uid, &r->namespace_, &r->name, &r->container};
    uint64_t kind;
    for (size_t i = 0; i < DM_COUNT(texts); i++)
        if (!(*texts[i] = take_field(&at)))
            return -EINVAL;
    if (take_number(&at, &kind) < 0 || kind > DEVMGR_SIDECAR || take_number(&at, &r->affinity) < 0)
        return -EINVAL;
    r->kind = (int)kind;
    while (at < end)
        if (take_claim(&at, r) < 0)
            return -EINVAL;
    return *r->uid && *r->container && r->n_claims ? 0 : -EINVAL;
}

int dm_record_read(const char *text, struct dm_record *ret, devmgr_error *reterr) {
    size_t n = strcspn(text, "\r\n"), head = strlen(MAGIC " ");
    *ret = (struct dm_record){0};
    if (strncmp(text, MAGIC " ", head))
        return dm_error_set(reterr, DEVMGR_EINVALID, "record: does not begin with \"" MAGIC "\"");
    if (n < head + 9 || text[n - 9] != ' ' || strtoul(text + n - 8, NULL, 16) != crc32(text, n - 8))
        return dm_error_set(reterr, DEVMGR_EINVALID, "record: damaged (its checksum does not match)");
    DM_FREE char *body = dm_strndup(text + head, n - 8 - head);
    if (take_all(body, body + strlen(body), ret) == 0)
        return 0;
    dm_record_free(ret);
    return dm_error_set(reterr, DEVMGR_EINVALID, "record: not well-formed");
}

void dm_record_free(struct dm_record *r) {
    for (size_t i = 0; i < r->n_claims; i++)
        dm_saved_claim_unref(r->claims[i]);
    free(r->claims), free(r->uid), free(r->namespace_), free(r->name), free(r->container);
    *r = (struct dm_record){0};
}
