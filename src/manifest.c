/* manifest.c -- reads a Kubernetes Pod, YAML or JSON, into a devmgr_pod.
 *
 * Only what counts for devices is looked at: metadata.{uid,namespace,name} and of each container its name, restartPolicy
 * and resources. Everything else is passed over, so that any manifest a cluster takes is good here. Each error is one
 * line: where, the field, its value, what is allowed. What could make us read another pod than the cluster would (a field
 * given twice, a merge key) is an error too. */
#include "manifest.h"
#include "base/error.h"
#include "base/mem.h"
#include "document.h"
#include "manager/pod.h"
#include <stdbool.h>
#include <string.h>

enum { MAX_MANIFEST = 8 << 20, MAX_QUANTITIES = 1000 };

struct reader {
    struct dm_document doc;
    devmgr_pod *pod;
    devmgr_error *reterr;
    const yaml_node_t *doubt; /* a key that may not be passed over, and why */
    const char *doubt_path, *doubt_allowed;
};

/* ---- walking the tree ------------------------------------------------------------------------------------------- */

static void doubt(struct reader *r, const yaml_node_t *key, const char *path, const char *allowed) {
    if (!r->doubt)
        r->doubt = key, r->doubt_path = path, r->doubt_allowed = allowed;
}

/* A mapping's key, "" when it is no text. What a merge key brings in we would not see. */
static const char *key_text(struct reader *r, const yaml_node_t *key) {
    if (key->type != YAML_SCALAR_NODE || strlen((char *)key->data.scalar.value) != key->data.scalar.length)
        return "";
    const char *text = (const char *)key->data.scalar.value;
    if (key->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !strcmp(text, "<<"))
        doubt(r, key, "merge key", "written out");
    return text;
}

static yaml_node_t *field(struct reader *r, yaml_node_t *map, const char *name) {
    yaml_node_t *found = NULL;
    if (!map || map->type != YAML_MAPPING_NODE)
        return NULL;
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
        yaml_node_t *key = yaml_document_get_node(&r->doc.tree, p->key);
        if (strcmp(key_text(r, key), name))
            continue;
        if (found)
            doubt(r, key, "field", "given once");
        else
            found = yaml_document_get_node(&r->doc.tree, p->value);
    }
    return found;
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

/* `in`: what ought to have the field; NULL: the document. */
static int missing(struct reader *r, const yaml_node_t *in, const char *path, const char *allowed) {
    return dm_error_set(r->reterr, DEVMGR_EINVALID, "line %zu: %s: missing; must be %s",
                        r->doc.line + (in ? in->start_mark.line : 0) + 1, path, allowed);
}

static int complain(struct reader *r, const yaml_node_t *at, const char *path, const char *allowed) {
    const char *value = scalar(at);
    size_t line = r->doc.line + at->start_mark.line + 1;
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
    if (text && n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && text[0] == '0' && text[1] >= '0' &&
        text[1] <= '9') /* YAML 1.1 reads an octal number */
        return complain(r, n, path, "a number without zeros before it");
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

/* One quantity of an extended resource; `path` names it. */
typedef int (*take_quantity)(struct reader *r, const char *container, const char *resource, uint64_t count,
                             yaml_node_t *at, const char *path);

static int each_quantity(struct reader *r, yaml_node_t *map, const char *container, const char *path,
                         take_quantity take) {
    if (is_null(map))
        return 0;
    if (map->type != YAML_MAPPING_NODE)
        return complain(r, map, path, "a map of resource names to quantities");
    if (map->data.mapping.pairs.top - map->data.mapping.pairs.start > MAX_QUANTITIES)
        return complain(r, map, path, "a map of at most 1000 resource names");
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
        yaml_node_t *key = yaml_document_get_node(&r->doc.tree, p->key);
        yaml_node_t *value = yaml_document_get_node(&r->doc.tree, p->value);
        const char *resource = key_text(r, key);
        uint64_t count;
        if (!*resource)
            return complain(r, key, path, "a map of resource names to quantities");
        if (!extended(resource))
            continue;
        DM_FREE char *where = dm_printf("%s[%.100s]", path, resource);
        int rc = read_quantity(r, value, where, &count);
        if (rc == 0)
            rc = take(r, container, resource, count, value, where);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int take_limit(struct reader *r, const char *container, const char *resource, uint64_t count,
                      yaml_node_t *at, const char *path) {
    switch (devmgr_pod_limit(r->pod, container, resource, count)) {
    case 0:
        return 0;
    case -EEXIST:
        return complain(r, at, path, "given once");
    default:
        return complain(r, at, path,
                        "a printable resource name of at most 317 bytes, one of at most 256 in a container");
    }
}

/* Kubernetes takes an extended resource only as a limit, or as a request equal to it. */
static int take_request(struct reader *r, const char *container, const char *resource, uint64_t count,
                        yaml_node_t *at, const char *path) {
    const struct dm_pod_container *c = dm_pod_find(r->pod, container);
    for (size_t i = 0; i < c->n_limits; i++)
        if (!strcmp(c->limits[i].resource, resource))
            return c->limits[i].count == count ? 0 : complain(r, at, path, "equal to its limit");
    return dm_error_set(r->reterr, DEVMGR_EINVALID,
                        "line %zu: %s: \"%.100s\": set it under limits: an extended resource needs a limit",
                        r->doc.line + at->start_mark.line + 1, path, scalar(at));
}

/* Text of a field; NULL when it is absent or null. */
static int read_text(struct reader *r, yaml_node_t *map, const char *name, const char *path,
                     const char **ret) {
    yaml_node_t *node = field(r, map, name);
    *ret = scalar(node);
    return *ret || is_null(node) ? 0 : complain(r, node, path, "text");
}

static int read_kind(struct reader *r, yaml_node_t *c, bool init, const char *path, int *ret) {
    const char *policy;
    int rc = read_text(r, c, "restartPolicy", path, &policy);
    if (rc < 0)
        return rc;
    if (policy && strcmp(policy, "Always") && strcmp(policy, "OnFailure") && strcmp(policy, "Never"))
        return complain(r, field(r, c, "restartPolicy"), path, "Always, OnFailure or Never");
    *ret = !init ? DEVMGR_APP : policy && !strcmp(policy, "Always") ? DEVMGR_SIDECAR : DEVMGR_PLAIN_INIT;
    return 0;
}

static int read_resources(struct reader *r, yaml_node_t *resources, const char *container, const char *path) {
    DM_FREE char *limits = dm_printf("%s.limits", path), *requests = dm_printf("%s.requests", path);
    if (is_null(resources))
        return 0;
    if (resources->type != YAML_MAPPING_NODE)
        return complain(r, resources, path, "a map with limits");
    int rc = each_quantity(r, field(r, resources, "limits"), container, limits, take_limit);
    return rc < 0 ? rc : each_quantity(r, field(r, resources, "requests"), container, requests, take_request);
}

static int read_container(struct reader *r, yaml_node_t *c, bool init, const char *path) {
    DM_FREE char *name_path = dm_printf("%s.name", path), *policy_path = dm_printf("%s.restartPolicy", path),
                 *resource_path = dm_printf("%s.resources", path);
    const char *name;
    int kind = DEVMGR_APP;
    if (c->type != YAML_MAPPING_NODE)
        return complain(r, c, path, "a container");
    int rc = read_text(r, c, "name", name_path, &name);
    if (rc == 0 && !name)
        return missing(r, c, name_path, "a container name");
    if (rc == 0)
        rc = read_kind(r, c, init, policy_path, &kind);
    if (rc < 0)
        return rc;
    rc = devmgr_pod_container(r->pod, name, kind);
    if (rc == -EEXIST)
        return complain(r, field(r, c, "name"), name_path, "a name no other container of the pod has");
    if (rc < 0)
        return complain(r, field(r, c, "name"), name_path,
                        "a printable name of at most 253 bytes, one of at most 4096 in a pod");
    return read_resources(r, field(r, c, "resources"), name, resource_path);
}

static int read_containers(struct reader *r, yaml_node_t *spec, const char *key, bool init) {
    yaml_node_t *list = field(r, spec, key);
    DM_FREE char *path = dm_printf("spec.%s", key);
    if (is_null(list))
        return init ? 0 : missing(r, spec, path, "a list of containers");
    if (list->type != YAML_SEQUENCE_NODE)
        return complain(r, list, path, "a list of containers");
    yaml_node_item_t *first = list->data.sequence.items.start;
    for (yaml_node_item_t *it = first; it < list->data.sequence.items.top; it++) {
        DM_FREE char *element = dm_printf("spec.%s[%td]", key, it - first);
        int rc = read_container(r, yaml_document_get_node(&r->doc.tree, *it), init, element);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* One of the three names of a pod: NULL when it is absent or empty. */
static int read_name(struct reader *r, yaml_node_t *meta, const char *name, const char *path,
                     const char **ret) {
    int rc = read_text(r, meta, name, path, ret);
    if (rc < 0 || !*ret)
        return rc;
    if (!**ret)
        return *ret = NULL, 0;
    devmgr_pod *pod = devmgr_pod_new(*ret, *ret, *ret); /* knows what a name may be */
    devmgr_pod_free(pod);
    return pod ? 0 : complain(r, field(r, meta, name), path, "printable, without blanks, at most 253 bytes");
}

static int read_identity(struct reader *r, yaml_node_t *root) {
    yaml_node_t *meta = field(r, root, "metadata");
    const char *uid, *ns, *name;
    if (is_null(meta))
        return missing(r, root, "metadata.name", "the pod's name");
    if (meta->type != YAML_MAPPING_NODE)
        return complain(r, meta, "metadata", "a map with the pod's name");
    int rc = read_name(r, meta, "uid", "metadata.uid", &uid);
    if (rc == 0)
        rc = read_name(r, meta, "namespace", "metadata.namespace", &ns);
    if (rc == 0)
        rc = read_name(r, meta, "name", "metadata.name", &name);
    if (rc < 0)
        return rc;
    if (!name)
        return missing(r, meta, "metadata.name", "the pod's name");
    DM_FREE char *made = dm_printf("%s_%s", ns ? ns : "default", name);
    r->pod = devmgr_pod_new(uid ? uid : made, ns, name);
    return r->pod ? 0
                  : missing(r, meta, "metadata.uid",
                            "given: that made of namespace and name has more than 253 bytes");
}

static int read_pod(struct reader *r, yaml_node_t *root) {
    yaml_node_t *kind = field(r, root, "kind"), *spec = field(r, root, "spec");
    if (root->type != YAML_MAPPING_NODE)
        return complain(r, root, "document", "a Kubernetes Pod");
    if (is_null(kind))
        return missing(r, root, "kind", "Pod");
    if (!scalar(kind) || strcmp(scalar(kind), "Pod"))
        return complain(r, kind, "kind", "Pod");
    int rc = read_identity(r, root);
    if (rc < 0)
        return rc;
    if (is_null(spec))
        return missing(r, root, "spec", "the pod's spec");
    if (spec->type != YAML_MAPPING_NODE)
        return complain(r, spec, "spec", "the pod's spec");
    rc = read_containers(r, spec, "initContainers", true);
    return rc < 0 ? rc : read_containers(r, spec, "containers", false);
}

static int read_document(struct reader *r) {
    int rc = read_pod(r, yaml_document_get_root_node(&r->doc.tree));
    if (rc == 0 && r->doubt)
        rc = complain(r, r->doubt, r->doubt_path, r->doubt_allowed);
    if (rc < 0)
        devmgr_pod_free(DM_MOVE(r->pod));
    return rc;
}

int devmgr_pod_from_manifest(const char *text, size_t n, size_t *used, devmgr_pod **ret,
                             devmgr_error *reterr) {
    struct dm_documents all = {.text = text, .n = n};
    struct reader r = {.reterr = reterr};
    *ret = NULL;
    *used = n;
    if (n > MAX_MANIFEST)
        return dm_error_set(reterr, DEVMGR_EINVALID, "line 1: manifest of %zu bytes: at most %d are read", n,
                            MAX_MANIFEST);
    int rc = dm_document_next(&all, &r.doc, reterr);
    *used = all.at;
    if (rc <= 0)
        return rc;
    rc = read_document(&r);
    dm_document_free(&r.doc);
    *ret = r.pod;
    return rc;
}
