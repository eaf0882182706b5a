/* document.c -- see document.h. JSON goes through jansson for its syntax and through libyaml for its tree, because only
 * libyaml knows on which line a field stands. */
#include "document.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include <jansson.h>
#include <stdbool.h>
#include <string.h>

enum {
    MAX_DEPTH = 100,
    MAX_VALUES = 100000,
    MAX_ALIASES = 1000, /* with the anchors */
    MAX_DIRECTIVES = 10,
    MAX_EMPTY = 1000
};

/* ---- what a document costs ------------------------------------------------------------------------------------------ */

struct cost {
    size_t depth, values, aliases;
};

static int excess(devmgr_error *reterr, size_t line, int most, const char *what) {
    return dm_error_set(reterr, DEVMGR_EINVALID, "line %zu: document: at most %d %s are read", line, most,
                        what);
}

static int judge(const struct cost *c, size_t line, devmgr_error *reterr) {
    if (c->depth > MAX_DEPTH)
        return excess(reterr, line, MAX_DEPTH, "levels");
    if (c->values > MAX_VALUES)
        return excess(reterr, line, MAX_VALUES, "values");
    if (c->aliases > MAX_ALIASES)
        return excess(reterr, line, MAX_ALIASES, "anchors and aliases");
    return 0;
}

static void count_event(struct cost *c, const yaml_event_t *e) {
    switch (e->type) {
    case YAML_ALIAS_EVENT:
        c->values++, c->aliases++;
        break;
    case YAML_SCALAR_EVENT:
        c->values++, c->aliases += e->data.scalar.anchor != NULL;
        break;
    case YAML_SEQUENCE_START_EVENT:
        c->values++, c->depth++, c->aliases += e->data.sequence_start.anchor != NULL;
        break;
    case YAML_MAPPING_START_EVENT:
        c->values++, c->depth++, c->aliases += e->data.mapping_start.anchor != NULL;
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        c->depth--;
        break;
    default:
        break;
    }
}

static size_t count_lines(const char *text, size_t n) {
    size_t lines = 0;
    for (size_t i = 0; i < n; i++)
        lines += text[i] == '\n';
    return lines;
}

/* ---- YAML ----------------------------------------------------------------------------------------------------------- */

struct piece { /* of the text: one document */
    const char *text;
    size_t n, line; /* lines before it */
};

static int bad_syntax(const struct piece *in, const yaml_parser_t *p, devmgr_error *reterr) {
    const char *what = p->problem ? p->problem : "not YAML";
    if (p->error != YAML_READER_ERROR)
        return dm_error_set(reterr, DEVMGR_EINVALID, "line %zu, column %zu: %s",
                            in->line + p->problem_mark.line + 1, p->problem_mark.column + 1, what);
    size_t at =
        p->problem_offset < in->n ? p->problem_offset : in->n; /* of what cannot be text there is no mark */
    return dm_error_set(reterr, DEVMGR_EINVALID, "line %zu: %s", in->line + count_lines(in->text, at) + 1,
                        what);
}

/* Over all events of the text: syntax, cost, one document. */
static int check(const struct piece *in, yaml_parser_t *p, devmgr_error *reterr) {
    struct cost cost = {0};
    int documents = 0, rc = 0;
    for (bool end = false; !end && rc == 0;) {
        yaml_event_t e;
        if (!yaml_parser_parse(p, &e))
            return bad_syntax(in, p, reterr);
        size_t at = in->line + e.start_mark.line + 1;
        end = e.type == YAML_STREAM_END_EVENT;
        count_event(&cost, &e);
        rc = judge(&cost, at, reterr);
        if (e.type == YAML_DOCUMENT_START_EVENT && documents++)
            rc = dm_error_set(reterr, DEVMGR_EINVALID,
                              "line %zu: document: must begin with --- after a line end", at);
        yaml_event_delete(&e);
    }
    return rc;
}

/* Lines that begin with %, and perhaps some that do not: libyaml compares each with all before it, in one step. */
static size_t count_directives(const char *text, size_t n) {
    size_t found = 0;
    for (size_t i = 0; i < n; i++)
        found += text[i] == '%' && (i == 0 || text[i - 1] < ' ' || text[i - 1] > '~');
    return found;
}

static int start(const struct piece *in, yaml_parser_t *p, devmgr_error *reterr) {
    if (!yaml_parser_initialize(p))
        return dm_error_set(reterr, -ENOMEM, "out of memory");
    yaml_parser_set_input_string(p, (const unsigned char *)in->text, in->n);
    return 0;
}

static bool is_empty(yaml_document_t *doc) {
    const yaml_node_t *root = yaml_document_get_root_node(doc);
    if (!root)
        return true;
    if (root->type != YAML_SCALAR_NODE || root->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    const char *word = (const char *)root->data.scalar.value;
    return !*word || !strcmp(word, "null") || !strcmp(word, "~");
}

/* 0: comments only, or nothing between two `---`, as templates like to leave. */
static int load(const char *text, size_t n, struct dm_document *ret, devmgr_error *reterr) {
    const struct piece in = {text, n, ret->line};
    yaml_parser_t p;
    if (count_directives(text, n) > MAX_DIRECTIVES)
        return excess(reterr, ret->line + 1, MAX_DIRECTIVES, "directives");
    int rc = start(&in, &p, reterr);
    if (rc < 0)
        return rc;
    rc = check(&in, &p, reterr);
    yaml_parser_delete(&p);
    if (rc == 0)
        rc = start(&in, &p, reterr);
    if (rc < 0)
        return rc;
    rc = yaml_parser_load(&p, &ret->tree) ? 1 : bad_syntax(&in, &p, reterr);
    yaml_parser_delete(&p);
    if (rc == 1 && is_empty(&ret->tree))
        yaml_document_delete(&ret->tree), rc = 0;
    return rc;
}

static bool marker(const char *line, const char *end, const char *mark) {
    return end - line >= 3 && !memcmp(line, mark, 3) &&
           (end - line == 3 || line[3] == ' ' || line[3] == '\t' || line[3] == '\r' || line[3] == '\n');
}

static const char *next_line(const char *p, const char *end) {
    const char *nl = memchr(p, '\n', (size_t)(end - p));
    return nl ? nl + 1 : end;
}

/* Does the line say anything? Blanks, comments, directives and `...` do not. */
static bool says(const char *p, const char *end) {
    if (*p == '%' || marker(p, end, "..."))
        return false;
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r'))
        p++;
    return p < end && *p != '\n' && *p != '#';
}

/* Bytes of the first YAML document: to the next `---` that follows content or another `---`, or to behind a `...` that
 * does. At column 0 these are never content. */
static size_t yaml_extent(const char *text, size_t n) {
    const char *end = text + n;
    bool begun = false;
    for (const char *p = text; p < end; p = next_line(p, end)) {
        if (marker(p, end, "---") && begun)
            return (size_t)(p - text);
        if (marker(p, end, "...") && begun)
            return (size_t)(next_line(p, end) - text);
        begun = begun || says(p, end);
    }
    return n;
}

/* ---- JSON ------------------------------------------------------------------------------------------------------------ */

/* Bytes up to the bracket that closes the first, or n; counts what stands between. */
static size_t json_extent(const char *text, size_t n, struct cost *c) {
    bool string = false;
    for (size_t i = 0, depth = 0; i < n; i++) {
        if (string && text[i] == '\\')
            i++;
        else if (string || text[i] == '"')
            string = !string || text[i] != '"';
        if (string)
            continue;
        c->values += text[i] == ',' || text[i] == ':' || text[i] == '{' || text[i] == '[';
        if (text[i] == '{' || text[i] == '[')
            c->depth = ++depth > c->depth ? depth : c->depth;
        else if ((text[i] == '}' || text[i] == ']') && --depth == 0)
            return i + 1;
    }
    return n;
}

static uint32_t hex4(const char *p) {
    char digits[5] = {p[0], p[1], p[2], p[3], 0};
    return (uint32_t)strtoul(digits, NULL, 16);
}

/* As libyaml takes it, byte for line: tabs between tokens become blanks, surrogate pairs become UTF-8. */
static char *json_for_yaml(const char *p, size_t n) {
    struct dm_buf out = {0};
    bool string = false;
    for (const char *end = p + n; p < end; p++) {
        if (string && *p == '\\' && end - p >= 12 && p[1] == 'u' && (hex4(p + 2) & 0xfc00) == 0xd800 &&
            p[6] == '\\' && p[7] == 'u') {
            uint32_t c = 0x10000 + ((hex4(p + 2) & 0x3ff) << 10 | (hex4(p + 8) & 0x3ff));
            char utf8[4] = {(char)(0xf0 | c >> 18), (char)(0x80 | (c >> 12 & 0x3f)),
                            (char)(0x80 | (c >> 6 & 0x3f)), (char)(0x80 | (c & 0x3f))};
            dm_buf_add(&out, utf8, 4);
            p += 11;
        } else if (string && *p == '\\' && end - p > 1) {
            dm_buf_add(&out, p++, 2);
        } else {
            string ^= *p == '"';
            dm_buf_putc(&out, *p == '\t' ? ' ' : *p);
        }
    }
    return dm_buf_steal(&out);
}

static int check_json(const char *text, size_t n, size_t line, devmgr_error *reterr) {
    json_error_t at;
    json_t *root = json_loadb(text, n, 0, &at);
    json_decref(root);
    return root ? 0
                : dm_error_set(reterr, DEVMGR_EINVALID, "line %zu, column %d: %s", line + (size_t)at.line,
                               at.column, at.text);
}

/* ---- one after the other ----------------------------------------------------------------------------------------------- */

static void advance(struct dm_documents *d, size_t n) {
    d->line += count_lines(d->text + d->at, n);
    d->at += n;
}

static int next_yaml(struct dm_documents *d, struct dm_document *ret, devmgr_error *reterr) {
    const char *text = d->text + d->at;
    size_t n = yaml_extent(text, d->n - d->at);
    advance(d, n);
    return load(text, n, ret, reterr);
}

static int next_json(struct dm_documents *d, struct dm_document *ret, devmgr_error *reterr) {
    const char *text = d->text + d->at;
    struct cost cost = {0};
    size_t n = json_extent(text, d->n - d->at, &cost);
    int rc = judge(&cost, d->line + 1, reterr), flow;
    if (rc < 0)
        return advance(d, n), rc;
    rc = check_json(text, n, d->line, reterr);
    if (rc < 0) { /* maybe YAML's flow style; if not, jansson says better what is wrong */
        flow = next_yaml(d, ret, NULL);
        return flow < 0 ? rc : flow;
    }
    advance(d, n);
    DM_FREE char *yaml = json_for_yaml(text, n);
    return load(yaml, strlen(yaml), ret, reterr);
}

static int next(struct dm_documents *d, struct dm_document *ret, devmgr_error *reterr) {
    char first = d->text[d->at];
    ret->line = d->line;
    if (first == '{')
        return next_json(d, ret, reterr);
    if (first)
        return next_yaml(d, ret, reterr);
    d->at = d->n;
    return dm_error_set(reterr, DEVMGR_EINVALID, "line %zu: a NUL byte", ret->line + 1);
}

int dm_document_next(struct dm_documents *d, struct dm_document *ret, devmgr_error *reterr) {
    for (size_t empty = 0; empty <= MAX_EMPTY; empty++) {
        while (d->at < d->n && strchr(" \t\r\n", d->text[d->at]) && d->text[d->at])
            advance(d, 1);
        if (d->at == d->n)
            return 0;
        int rc = next(d, ret, reterr);
        if (rc)
            return rc;
    }
    size_t line = d->line;
    advance(d, d->n - d->at);
    return dm_error_set(reterr, DEVMGR_EINVALID, "line %zu: at most %d documents may be empty", line + 1,
                        MAX_EMPTY);
}

void dm_document_free(struct dm_document *doc) {
    yaml_document_delete(&doc->tree);
}
