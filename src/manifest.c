/* manifest.c -- reads a Kubernetes Pod, YAML or JSON, into a devmgr_pod.
 *
 * Only what counts for devices is looked at: metadata.{uid,namespace,name} and of each container its name, restartPolicy
 * and resources. Everything else is passed over, so that any manifest a cluster takes is good here. Each error is one
 * line: where, the field, its value, what is allowed. JSON goes through jansson for its syntax and through libyaml for
 * its tree, because only libyaml knows on which line a field stands. */
#include "manifest.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "manager/pod.h"
#include <jansson.h>
#include <stdbool.h>
#include <string.h>
#include <yaml.h>

enum { MAX_MANIFEST = 8 << 20 };

struct reader {
    yaml_document_t doc;
    size_t line; /* of the document's first line in the caller's text, from 0 */
    devmgr_pod *pod;
    devmgr_error *reterr;
};

/* ---- walking the tree ------------------------------------------------------------------------------------------- */

static yaml_node_t *field(struct reader *r, yaml_node_t *map, const char *key) {
    if (!map || map->type != YAML_MAPPING_NODE)
        return NULL;
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
        yaml_node_t *k = yaml_document_get_node(&r->doc, p->key);
        if (k->type == YAML_SCALAR_NODE && !strcmp((char *)k->data.scalar.value, key))
            return yaml_document_get_node(&r->doc, p->value);
    }
    return NULL;
}

static bool is_null(const yaml_node_t *n) {
    if (!n)
        return true;
    if (n->type != YAML_SCALAR_NODE || n->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    const char *v = (const char *)n->data.scalar.value;
    return !*v || !strcmp(v, "null") || !strcmp(v, "~");
}

/* The text of a scalar; NULL when it is absent, null, or no scalar, or carries a NUL. */
static const char *scalar(const yaml_node_t *n) {
    if (is_null(n) || n->type != YAML_SCALAR_NODE ||
        strlen((char *)n->data.scalar.value) != n->data.scalar.length)
        return NULL;
    return (const char *)n->data.scalar.value;
}

static int complain(struct reader *r, const yaml_node_t *at, const char *path, const char *allowed) {
    const char *value = at ? scalar(at) : NULL;
    size_t line = r->line + (at ? at->start_mark.line : 0) + 1;
    if (!at)
        return dm_error_set(r->reterr, DEVMGR_EINVALID, "line %zu: %s: missing; must be %s", line, path,
                            allowed);
    if (!value)
        return dm_error_set(r->reterr, DEVMGR_EINVALID, "line %zu: %s: must be %s", line, path, allowed);
    return dm_error_set(r->reterr, DEVMGR_EINVALID, "line %zu: %s: \"%.100s\": must be %s", line, path, value,
                        allowed);
}

/* ---- quantities --------------------------------------------------------------------------------------------------- */

typedef unsigned __int128 wide;

/* Suffix of a quantity: decimal exponent or binary shift. false: not a suffix. */
static bool read_suffix(const char *s, int *ten, int *two) {
    static const struct {
        const char *name;
        int ten, two;
    } table[] = {{"", 0, 0},    {"n", -9, 0},  {"u", -6, 0},  {"m", -3, 0}, {"k", 3, 0},   {"M", 6, 0},
                 {"G", 9, 0},   {"T", 12, 0},  {"P", 15, 0},  {"E", 18, 0}, {"Ki", 0, 10}, {"Mi", 0, 20},
                 {"Gi", 0, 30}, {"Ti", 0, 40}, {"Pi", 0, 50}, {"Ei", 0, 60}};
    for (size_t i = 0; i < DM_COUNT(table); i++)
        if (!strcmp(s, table[i].name))
            return *ten = table[i].ten, *two = table[i].two, true;
    if ((*s == 'e' || *s == 'E') && s[1]) {
        char *end;
        long e = strtol(s + 1, &end, 10);
        *two = 0, *ten = (int)e;
        return !*end && e >= -30 && e <= 30;
    }
    return false;
}

int dm_quantity_parse(const char *s, uint64_t *ret) {
    wide value = 0;
    int ten, two, fraction = 0, digits = 0;
    bool dot = false;
    if (*s == '+')
        s++;
    for (; (*s >= '0' && *s <= '9') || (*s == '.' && !dot); s++) {
        if (*s == '.') {
            dot = true;
            continue;
        }
        if (value > (wide)1 << 90)
            return -ERANGE;
        value = value * 10 + (wide)(*s - '0');
        fraction += dot, digits++;
    }
    if (!digits || !read_suffix(s, &ten, &two))
        return -EINVAL;
    ten -= fraction;
    for (; two > 0; two--) /* at most 60 */
        if ((value <<= 1) >> 120)
            return -ERANGE;
    for (; ten < 0 && value; ten++) {
        if (value % 10)
            return -EDOM; /* not whole */
        value /= 10;
    }
    for (; ten > 0 && value; ten--)
        if ((value *= 10) >> 120)
            return -ERANGE;
    if (value > INT64_MAX)
        return -ERANGE;
    *ret = (uint64_t)value;
    return 0;
}

/* ---- the pod -------------------------------------------------------------------------------------------------------- */

static bool extended(const char *resource) {
    return strchr(resource, '/') && !strstr(resource, "kubernetes.io/") &&
           strncmp(resource, "hugepages-", 10);
}

static int read_quantity(struct reader *r, yaml_node_t *n, const char *path, uint64_t *ret) {
    const char *text = scalar(n);
    switch (text ? dm_quantity_parse(text, ret) : -EINVAL) {
    case 0:
        return 0;
    case -EDOM:
        return complain(r, n, path, "a whole number of devices");
    case -ERANGE:
        return complain(r, n, path, "a number that fits 63 bits");
    default:
        return complain(r, n, path, "a whole number of devices, 0 or more");
    }
}

static int read_limits(struct reader *r, yaml_node_t *limits, const char *container, const char *path) {
    if (is_null(limits))
        return 0;
    if (limits->type != YAML_MAPPING_NODE)
        return complain(r, limits, path, "a map of resource names to quantities");
    for (yaml_node_pair_t *p = limits->data.mapping.pairs.start; p < limits->data.mapping.pairs.top; p++) {
        yaml_node_t *key = yaml_document_get_node(&r->doc, p->key);
        const char *resource = scalar(key);
        uint64_t count;
        if (!resource || !extended(resource))
            continue;
        DM_FREE char *where = dm_printf("%s[%.100s]", path, resource);
        int rc = read_quantity(r, yaml_document_get_node(&r->doc, p->value), where, &count);
        if (rc < 0)
            return rc;
        rc = devmgr_pod_limit(r->pod, container, resource, count);
        if (rc < 0)
            return complain(r, key, where, rc == -EEXIST ? "given once" : "a resource name");
    }
    return 0;
}

/* Kubernetes takes an extended resource only as a limit, or as a request equal to it. */
static int check_requests(struct reader *r, yaml_node_t *requests, yaml_node_t *limits, const char *path) {
    if (is_null(requests) || requests->type != YAML_MAPPING_NODE)
        return 0;
    for (yaml_node_pair_t *p = requests->data.mapping.pairs.start; p < requests->data.mapping.pairs.top;
         p++) {
        const char *resource = scalar(yaml_document_get_node(&r->doc, p->key));
        yaml_node_t *value = yaml_document_get_node(&r->doc, p->value), *limit;
        uint64_t asked, limited;
        if (!resource || !extended(resource))
            continue;
        DM_FREE char *where = dm_printf("%s.requests[%.100s]", path, resource);
        int rc = read_quantity(r, value, where, &asked);
        if (rc < 0)
            return rc;
        limit = is_null(limits) ? NULL : field(r, limits, resource);
        if (!limit)
            return dm_error_set(r->reterr, DEVMGR_EINVALID,
                                "line %zu: %s: set it under limits: an extended resource needs a limit",
                                r->line + value->start_mark.line + 1, where);
        if (dm_quantity_parse(scalar(limit) ? scalar(limit) : "", &limited) == 0 && limited != asked)
            return complain(r, value, where, "equal to its limit");
    }
    return 0;
}

static int container_kind(struct reader *r, yaml_node_t *c, bool init) {
    const char *policy = scalar(field(r, c, "restartPolicy"));
    if (!init)
        return DEVMGR_APP;
    return policy && !strcmp(policy, "Always") ? DEVMGR_SIDECAR : DEVMGR_PLAIN_INIT;
}

static int read_container(struct reader *r, yaml_node_t *c, bool init, const char *path) {
    yaml_node_t *name_node = field(r, c, "name"), *resources = field(r, c, "resources");
    const char *name = scalar(name_node);
    DM_FREE char *name_path = dm_printf("%s.name", path), *resource_path = dm_printf("%s.resources", path),
                 *limit_path = dm_printf("%s.resources.limits", path);
    if (c->type != YAML_MAPPING_NODE)
        return complain(r, c, path, "a container");
    int rc = name ? devmgr_pod_container(r->pod, name, container_kind(r, c, init)) : DEVMGR_EINVALID;
    if (rc == -EEXIST)
        return complain(r, name_node, name_path, "a name no other container of the pod has");
    if (rc < 0)
        return complain(r, name_node ? name_node : c, name_path, "a container name");
    if (is_null(resources))
        return 0;
    if (resources->type != YAML_MAPPING_NODE)
        return complain(r, resources, resource_path, "a map with limits");
    yaml_node_t *limits = field(r, resources, "limits");
    rc = read_limits(r, limits, name, limit_path);
    return rc < 0 ? rc : check_requests(r, field(r, resources, "requests"), limits, resource_path);
}

static int read_containers(struct reader *r, yaml_node_t *spec, const char *key, bool init) {
    yaml_node_t *list = field(r, spec, key);
    DM_FREE char *path = dm_printf("spec.%s", key);
    if (is_null(list))
        return init ? 0 : complain(r, NULL, path, "a list of containers");
    if (list->type != YAML_SEQUENCE_NODE)
        return complain(r, list, path, "a list of containers");
    yaml_node_item_t *first = list->data.sequence.items.start;
    for (yaml_node_item_t *it = first; it < list->data.sequence.items.top; it++) {
        DM_FREE char *element = dm_printf("spec.%s[%td]", key, it - first);
        int rc = read_container(r, yaml_document_get_node(&r->doc, *it), init, element);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int read_identity(struct reader *r, yaml_node_t *meta) {
    const char *name = scalar(field(r, meta, "name")), *uid = scalar(field(r, meta, "uid")),
               *ns = scalar(field(r, meta, "namespace"));
    if (is_null(meta) || !name)
        return complain(r, meta ? field(r, meta, "name") : NULL, "metadata.name", "the pod's name");
    if (!ns || !*ns)
        ns = "default";
    DM_FREE char *made = dm_printf("%s_%s", ns, name);
    r->pod = devmgr_pod_new(uid && *uid ? uid : made, ns, name);
    return r->pod ? 0
                  : complain(r, meta, "metadata", "a printable uid, namespace and name of at most 253 bytes");
}

static int read_pod(struct reader *r, yaml_node_t *root) {
    yaml_node_t *kind = field(r, root, "kind"), *spec = field(r, root, "spec");
    if (root->type != YAML_MAPPING_NODE)
        return complain(r, root, "document", "a Kubernetes Pod");
    if (!scalar(kind) || strcmp(scalar(kind), "Pod"))
        return complain(r, kind, "kind", "Pod");
    int rc = read_identity(r, field(r, root, "metadata"));
    if (rc < 0)
        return rc;
    if (is_null(spec) || spec->type != YAML_MAPPING_NODE)
        return complain(r, spec, "spec", "the pod's spec");
    rc = read_containers(r, spec, "initContainers", true);
    return rc < 0 ? rc : read_containers(r, spec, "containers", false);
}

/* ---- documents in a text --------------------------------------------------------------------------------------------- */

static bool marker(const char *line, const char *end, const char *mark) {
    return end - line >= 3 && !memcmp(line, mark, 3) && (end - line == 3 || strchr(" \t\r\n", line[3]));
}

static const char *next_line(const char *p, const char *end) {
    const char *nl = memchr(p, '\n', (size_t)(end - p));
    return nl ? nl + 1 : end;
}

/* Bytes of the first YAML document: up to the next `---` that follows content or another `---`. At column 0 that is
 * never content. */
static size_t yaml_extent(const char *text, size_t n) {
    const char *end = text + n;
    bool begun = false;
    for (const char *p = text; p < end; p = next_line(p, end)) {
        const char *q = p + strspn(p, " \t\r");
        if (marker(p, end, "---") && begun)
            return (size_t)(p - text);
        begun |= marker(p, end, "---") ||
                 (q < end && *q != '\n' && *q != '#' && !marker(p, end, "...") && *p != '%');
    }
    return n;
}

static uint32_t hex4(const char *p) {
    char digits[5] = {p[0], p[1], p[2], p[3], 0};
    return (uint32_t)strtoul(digits, NULL, 16);
}

/* JSON as libyaml takes it, byte for line: tabs between tokens become blanks, surrogate pairs become UTF-8. */
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

/* First document of JSON text: checks its syntax, sets *extent to its bytes. */
static int json_extent(const char *text, size_t n, size_t line, size_t *extent, devmgr_error *reterr) {
    json_error_t at;
    json_t *root = json_loadb(text, n, JSON_DISABLE_EOF_CHECK, &at);
    if (!root)
        return dm_error_set(reterr, DEVMGR_EINVALID, "line %zu, column %d: %s", line + (size_t)at.line,
                            at.column, at.text);
    json_decref(root);
    *extent = (size_t)at.position;
    return 0;
}

/* 0: no document in it (comments only); 1: loaded. */
static int load_document(struct reader *r, const char *text, size_t n) {
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return dm_error_set(r->reterr, -ENOMEM, "out of memory");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
    int ok = yaml_parser_load(&parser, &r->doc), rc = 1;
    if (!ok)
        rc = dm_error_set(r->reterr, DEVMGR_EINVALID, "line %zu, column %zu: %s",
                          r->line + parser.problem_mark.line + 1, parser.problem_mark.column + 1,
                          parser.problem ? parser.problem : "not YAML");
    else if (is_null(yaml_document_get_root_node(&r->doc)))
        rc = 0; /* comments only, or nothing between two `---`, as templates like to leave */
    if (ok && rc == 0)
        yaml_document_delete(&r->doc);
    yaml_parser_delete(&parser);
    return rc;
}

static int read_document(const char *text, size_t n, size_t line, devmgr_pod **ret, devmgr_error *reterr) {
    struct reader r = {.line = line, .reterr = reterr};
    int rc = load_document(&r, text, n);
    if (rc <= 0)
        return rc;
    rc = read_pod(&r, yaml_document_get_root_node(&r.doc));
    yaml_document_delete(&r.doc);
    if (rc < 0)
        devmgr_pod_free(r.pod);
    else
        *ret = r.pod;
    return rc < 0 ? rc : 1;
}

static size_t count_lines(const char *text, size_t n) {
    size_t lines = 0;
    for (size_t i = 0; i < n; i++)
        lines += text[i] == '\n';
    return lines;
}

/* One document from text + at: 0 none there, 1 read. Moves *at behind it in any case, so that the next can be tried. */
static int one_document(const char *text, size_t n, size_t *at, devmgr_pod **ret, devmgr_error *reterr) {
    size_t start = *at, line = count_lines(text, start), extent;
    if (text[start] != '{') {
        extent = yaml_extent(text + start, n - start);
        *at = start + extent;
        return read_document(text + start, extent, line, ret, reterr);
    }
    int rc = json_extent(text + start, n - start, line, &extent, NULL);
    if (rc < 0) { /* maybe YAML's flow style; if not, jansson says better what is wrong */
        extent = yaml_extent(text + start, n - start);
        *at = start + extent;
        rc = read_document(text + start, extent, line, ret, NULL);
        return rc < 0 ? json_extent(text + start, extent, line, &extent, reterr) : rc;
    }
    *at = start + extent;
    DM_FREE char *yaml = json_for_yaml(text + start, extent);
    return read_document(yaml, strlen(yaml), line, ret, reterr);
}

int devmgr_pod_from_manifest(const char *text, size_t n, size_t *used, devmgr_pod **ret,
                             devmgr_error *reterr) {
    size_t at = 0;
    int rc = 0;
    *ret = NULL;
    if (n > MAX_MANIFEST) {
        *used = n;
        return dm_error_set(reterr, DEVMGR_EINVALID, "manifest of %zu bytes: at most %d are read", n,
                            MAX_MANIFEST);
    }
    DM_FREE char *copy = dm_strndup(text, n); /* NUL-terminated for the scanners */
    while (at < n && rc == 0) {
        at += strspn(copy + at, " \t\r\n");
        if (at < n && !copy[at])
            rc = dm_error_set(reterr, DEVMGR_EINVALID, "line %zu: a NUL byte", count_lines(copy, at) + 1),
            at = n;
        else if (at < n)
            rc = one_document(copy, n, &at, ret, reterr);
    }
    *used = at;
    return rc < 0 ? rc : 0;
}
