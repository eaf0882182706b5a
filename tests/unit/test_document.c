/* The documents of a text: where each ends, and that none costs more than its bytes promise. */
#include "base/mem.h"
#include "check.h"
#include "document.h"

/* Each document as its line and the text of its root, "{}" for a map, "[]" for a list; or the error. */
static const char *show_n(const char *text, size_t n) {
    static char out[4096];
    struct dm_documents d = {.text = text, .n = n};
    struct dm_document doc;
    devmgr_error err;
    size_t len = 0, before;
    int rc;
    out[0] = 0;
    do {
        before = d.at;
        rc = dm_document_next(&d, &doc, &err);
        if (rc < 0)
            len += (size_t)snprintf(out + len, sizeof out - len, "%s; ", err.message);
        if (rc <= 0)
            continue;
        const yaml_node_t *root = yaml_document_get_root_node(&doc.tree);
        len += (size_t)snprintf(out + len, sizeof out - len, "%zu:%.40s; ", doc.line + 1,
                                root->type == YAML_SCALAR_NODE    ? (char *)root->data.scalar.value
                                : root->type == YAML_MAPPING_NODE ? "{}"
                                                                  : "[]");
        dm_document_free(&doc);
    } while (rc && d.at > before && len < sizeof out / 2);
    CHECK_INT(d.at, d.n);
    return out;
}
static const char *show(const char *text) {
    return show_n(text, strlen(text));
}

TEST(documents_end_where_the_next_begins) {
    static const struct {
        const char *text, *documents;
    } rows[] = {
        {"", ""},
        {" \n\t\r\n", ""},
        {"a\n---\nb\n---\nc", "1:a; 2:b; 4:c; "},
        {"--- a\n--- b\n---\tc\n", "1:a; 2:b; 3:c; "},
        {"---\n---\n\n# x\n---\n~\n---\nnull\n---\na\n", "9:a; "},
        {"%YAML 1.1\n---\na\n...\n%YAML 1.1\n---\nb\n", "1:a; 5:b; "},
        {"a: ---\nb: 1\n---x: 2\n", "1:{}; "},
        {"{\"a\": 1} {\"b\": \"}\\\"{\"}\n[1]\n---\na", "1:{}; 1:{}; 2:[]; 3:a; "},
        {"{a: 1,\n}\n---\nb", "1:{}; 3:b; "},
        {"{\"a\": 1,}\n", "1:{}; "},
        {"\xef\xbb\xbf{\"a\": 1}\n", "1:{}; "},
    };
    EACH(row, rows)
    CHECK_STR(show(row->text), row->documents);
}

TEST(each_fault_has_its_line_and_spares_what_follows) {
    static const struct {
        const char *text, *documents;
    } rows[] = {
        {"a\n---\n[b\n---\nc\n", "1:a; line 4, column 1: did not find expected ',' or ']'; 4:c; "},
        {"{\"a\": 1}\n\n{\"b\": ]\n---\nc\n", "1:{}; line 3, column 7: unexpected token near ']'; 4:c; "},
        {"a\n...\nb\n---\nc\n", "1:a; 3:b; 4:c; "},
        {"a\xc2\x85---\xc2\x85"
         "b\n---\nc\n",
         "line 2: document: must begin with --- after a line end; 2:c; "},
        {"*a\n---\nc\n", "line 1, column 1: found undefined alias; 2:c; "},
        {"\"\\ud800\"\n---\nc\n", "line 1, column 4: found invalid Unicode character escape code; 2:c; "},
        {"{\"a\": \"\\ud800\"}\n---\nc\n",
         "line 1, column 14: invalid Unicode '\\uD800' near '\"\\ud800\"'; 2:c; "},
        {"\xff\xff\n---\nc\n", "line 1: invalid leading UTF-8 octet; 2:c; "},
        {"a: [\n", "line 2, column 1: did not find expected node content; "},
    };
    EACH(row, rows)
    CHECK_STR(show(row->text), row->documents);
    CHECK_STR(show_n("a\n\0b", 4), "line 2: control characters are not allowed; ");
    CHECK_STR(show_n("\0b", 2), "line 1: a NUL byte; ");
}

static const char *many(const char *before, const char *part, size_t times, const char *after) {
    size_t n = strlen(before) + strlen(part) * times + strlen(after), len = strlen(part);
    DM_FREE char *text = dm_alloc(n + 1);
    char *p = text + snprintf(text, n, "%s", before);
    for (size_t i = 0; i < times; i++, p += len)
        memcpy(p, part, len);
    memcpy(p, after, strlen(after) + 1);
    return show_n(text, n);
}

/* Each of these kept libyaml busy for minutes, or took gigabytes. */
TEST(what_is_small_and_would_cost_much_is_refused) {
    enum { MIB = 1 << 20 };
    CHECK_STR(many("", "[", MIB, "\n---\na"), "line 1: document: at most 100 levels are read; 2:a; ");
    CHECK_STR(many("", "{", MIB, ""), "line 1: document: at most 100 levels are read; ");
    CHECK_STR(many("", "{\"a\":", MIB, ""), "line 1: document: at most 100 levels are read; ");
    CHECK_STR(many("", "- ", MIB, "\n---\na"), "line 1: document: at most 100 levels are read; 2:a; ");
    CHECK_STR(many("", "? ", MIB, "\n---\na"), "line 1: document: at most 100 levels are read; 2:a; ");
    CHECK_STR(many("[", "a,", MIB, "]\n---\na"), "line 1: document: at most 100000 values are read; 2:a; ");
    CHECK_STR(many("{\"a\": [0", ",{}", MIB, "]}\n---\na"),
              "line 1: document: at most 100000 values are read; 2:a; ");
    CHECK_STR(many("[&a a", ",*a", 1000, "]\n---\na"),
              "line 1: document: at most 1000 anchors and aliases are read; 2:a; ");
    CHECK_STR(many("[", "&a a,", 1001, "]\n---\na"),
              "line 1: document: at most 1000 anchors and aliases are read; 2:a; ");
    CHECK_STR(many("", "%TAG !a! b\n", MIB / 8, "---\na\n---\nb"),
              "line 1: document: at most 10 directives are read; 131075:b; ");
    CHECK_STR(many("", "%TAG !a! b\xe2\x80\xa8", MIB / 8, "---\na"),
              "line 1: document: at most 10 directives are read; ");
    CHECK_STR(many("", "---\n", MIB, "a"), "line 1002: at most 1000 documents may be empty; ");
    CHECK_STR(many("", "--- ~\n", MIB, "a"), "line 1002: at most 1000 documents may be empty; ");
    CHECK_STR(many("", "---\n", 1000, "a"), "1000:a; ");
}
