/* settings.c -- the table of settings and its typed storage.
 *
 * One row a key: where it lives in struct dm_settings, how it reads, what is allowed. A row of a resource's own
 * settings lives in struct dm_resource_settings, once as default and once per resource that overrides it. */
#include "base/settings.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include <stdio.h>
#include <string.h>

enum kind { TEXT, APPEND, WORD, DURATION, NUMBER };
struct row {
    struct dm_setting shown;
    enum kind kind;
    size_t offset;            /* in dm_settings, or in dm_resource_settings when per_resource */
    uint64_t least, most;     /* DURATION (ms), NUMBER */
    const char *const *words; /* WORD: allowed, in the order of the enum */
};

#define AT(field)  offsetof(struct dm_settings, field)
#define OWN(field) offsetof(struct dm_resource_settings, field)
#define HOUR       UINT64_C(3600000)
static const char *const unknown_words[] = {"wait", "skip", NULL};
static const char *const serial_words[] = {"resource", "node", NULL};
static const char *const numa_words[] = {"normal", "strict", NULL};
static const char *const conflict_words[] = {"first", "refuse", NULL};

#define DURATION_ROW(key, fallback, own, field, help)                                                        \
    {                                                                                                        \
        {key, "DURATION", fallback, help, "1ms to 24h", own, false, NULL}, DURATION, own ? OWN(field) : 0,   \
            1, 24 * HOUR, NULL                                                                               \
    }
static const struct row rows[] = {
    {{"root", "DIR", "/var/lib/kubelet", "folder that holds device-plugins/, where kubelet.sock is served",
      "an absolute path", false, false, "root-dir"},
     TEXT,
     AT(root),
     0,
     0,
     NULL},
    {{"socket", "PATH", "",
      "control socket; default /run/devmgr/devmgr.sock, with another root DIR/devmgr.sock", "a path", false,
      true, NULL},
     TEXT,
     AT(socket),
     0,
     0,
     NULL},
    {{"socket-group", "GROUP", "", "who else may use the control socket (mode 0660 instead of 0600)",
      "a group name or number", false, true, NULL},
     TEXT,
     AT(socket_group),
     0,
     0,
     NULL},
    {{"numa", "SPEC", "", "NUMA nodes and distances instead of /sys: \"0:10,20;1:20,10\"",
      "node:distance,...;...", false, false, NULL},
     TEXT,
     AT(numa),
     0,
     0,
     NULL},
    {{"numa-root", "DIR", "/sys/devices/system/node", "where the NUMA nodes are read when numa is empty",
      "an absolute path", false, false, NULL},
     TEXT,
     AT(numa_root),
     0,
     0,
     NULL},
    /* Words that are not allowed are left to the topology: it has the kubelet's texts, and its order of checks. */
    {{"topology-policy", "POLICY", "none", "none, best-effort, restricted or single-numa-node", "one line",
      false, false, "topology-manager-policy"},
     TEXT,
     AT(topology_policy),
     0,
     0,
     NULL},
    {{"topology-scope", "SCOPE", "container", "align each container or the pod as a whole", "one line", false,
      false, "topology-manager-scope"},
     TEXT,
     AT(topology_scope),
     0,
     0,
     NULL},
    {{"topology-option", "K=V", "", "a topology policy option; may be given again", "KEY=VALUE", false, false,
      "topology-manager-policy-options"},
     APPEND,
     AT(topology_options),
     0,
     0,
     NULL},
    {{"unknown-resource", "HOW", "wait",
      "a resource that no plugin registered: wait for it, or skip it silently as "
      "the kubelet does",
      "wait, skip", false, false, NULL},
     WORD,
     AT(unknown_resource),
     0,
     0,
     unknown_words},
    {{"ignore-resources", "PATTERNS", "",
      "extended resources that are not devices: \"vendor.example/*,a.b/c\"",
      "patterns with *, comma separated", false, false, NULL},
     TEXT,
     AT(ignore_resources),
     0,
     0,
     NULL},
    {{"serial", "HOW", "resource", "one plugin call at a time per resource, or per node as in the kubelet",
      "resource, node", false, false, NULL},
     WORD,
     AT(serial),
     0,
     0,
     serial_words},
    {{"numa-ids", "HOW", "normal",
      "normal: negative node ids mean no topology; strict: the kubelet's reading", "normal, strict", false,
      false, NULL},
     WORD,
     AT(numa_ids),
     0,
     0,
     numa_words},
    {{"conflicts", "HOW", "first",
      "two plugins answer the same env or path differently: first wins, or refuse", "first, refuse", false,
      false, NULL},
     WORD,
     AT(conflicts),
     0,
     0,
     conflict_words},
    {{"dial-timeout", "DURATION", "10s", "connecting to a plugin that registers", "1ms to 24h", false, false,
      NULL},
     DURATION,
     AT(dial_timeout),
     1,
     24 * HOUR,
     NULL},
    DURATION_ROW("options-timeout", "10s", true, options_timeout, "GetDevicePluginOptions"),
    DURATION_ROW("preferred-timeout", "10s", true, preferred_timeout, "GetPreferredAllocation"),
    DURATION_ROW("allocate-timeout", "1m", true, allocate_timeout,
                 "Allocate, from entering the resource's queue"),
    DURATION_ROW("prestart-timeout", "30s", true, prestart_timeout, "PreStartContainer"),
    DURATION_ROW("stop-grace", "5m", true, stop_grace, "capacity is kept that long after a plugin has gone"),
    {{"max-devices", "N", "200000", "devices a plugin may list", "1 to 1000000", true, false, NULL},
     NUMBER,
     OWN(max_devices),
     1,
     1000000,
     NULL},
    {{"max-message", "BYTES", "67108864", "largest message from a plugin", "4096 to 1073741824", true, false,
      NULL},
     NUMBER,
     OWN(max_message),
     4096,
     1 << 30,
     NULL},
    {{"max-id", "BYTES", "1024", "longest device id", "1 to 65536", false, false, NULL},
     NUMBER,
     AT(max_id),
     1,
     65536,
     NULL},
    {{"max-resources", "N", "4096", "resources at once", "1 to 65536", false, false, NULL},
     NUMBER,
     AT(max_resources),
     1,
     65536,
     NULL},
    {{"max-registering", "N", "256", "plugins registering at once", "1 to 65536", false, false, NULL},
     NUMBER,
     AT(max_registering),
     1,
     65536,
     NULL},
    {{"log-level", "LEVEL", "info", "error, warning, info or debug", "error, warning, info, debug", false,
      true, NULL},
     TEXT,
     AT(log_level),
     0,
     0,
     NULL},
    {{"log-format", "FORMAT", "text", "text or json, one line each on stderr", "text, json", false, true,
      NULL},
     TEXT,
     AT(log_format),
     0,
     0,
     NULL},
    {{"metrics", "ADDRESS", "", "serve Prometheus metrics there (not built yet)", "HOST:PORT", false, true,
      NULL},
     TEXT,
     AT(metrics),
     0,
     0,
     NULL},
};

const struct dm_setting *dm_settings_table(size_t *n) {
    static struct dm_setting shown[DM_COUNT(rows)];
    for (size_t i = 0; i < DM_COUNT(rows); i++)
        shown[i] = rows[i].shown;
    *n = DM_COUNT(rows);
    return shown;
}

static const struct row *find(const char *key, size_t len) {
    for (const struct row *r = rows; r < rows + DM_COUNT(rows); r++) {
        const char *alias = r->shown.alias;
        if ((strlen(r->shown.key) == len && !memcmp(r->shown.key, key, len)) ||
            (alias && strlen(alias) == len && !memcmp(alias, key, len)))
            return r;
    }
    return NULL;
}

static int invalid(const struct row *r, const char *key, const char *value, devmgr_error *reterr) {
    return dm_error_set(reterr, DEVMGR_EINVALID, "%s: \"%.200s\": must be %s", key, value, r->shown.allowed);
}

static int parse_word(const struct row *r, const char *value) {
    for (int i = 0; r->words[i]; i++)
        if (!strcmp(r->words[i], value))
            return i;
    return -1;
}

/* DURATION and NUMBER. */
static int parse_u64(const struct row *r, const char *value, uint64_t *ret) {
    int bad = r->kind == DURATION ? dm_text_duration(value, ret) : dm_text_u64(value, ret);
    return bad || *ret < r->least || *ret > r->most ? -EINVAL : 0;
}

static bool allowed_text(const struct row *r, const char *value) {
    if (r->offset == AT(root) || r->offset == AT(numa_root))
        return *value == '/';
    if (strchr(r->shown.allowed, ' ') && r->shown.fallback[0] && strchr(r->shown.allowed, ',')) {
        /* a closed list of words, "a, b, c" */
        DM_FREE char *list = dm_printf(", %s,", r->shown.allowed), *want = dm_printf(", %s,", value);
        return strstr(list, want) != NULL;
    }
    return true;
}

static int set_text(char **at, const struct row *r, const char *value) {
    if (!allowed_text(r, value) || strpbrk(value, "\n\r"))
        return -EINVAL;
    char *text = r->kind == APPEND && **at ? dm_printf("%s,%s", *at, value) : dm_strdup(value);
    free(*at);
    *at = text;
    return 0;
}

static struct dm_resource_settings *overrides(struct dm_settings *s, const char *resource) {
    struct dm_resource_settings *own = dm_map_get(&s->per_resource, resource);
    if (!own) {
        own = dm_alloc(sizeof *own);
        memset(own, 0xff, sizeof *own); /* DM_INHERIT everywhere */
        dm_map_put(&s->per_resource, resource, own);
    }
    return own;
}

static int set_row(struct dm_settings *s, const struct row *r, const char *resource, const char *value) {
    uint64_t number;
    int word;
    switch (r->kind) {
    case TEXT:
    case APPEND:
        return set_text((char **)((char *)s + r->offset), r, value);
    case WORD:
        if ((word = parse_word(r, value)) < 0)
            return -EINVAL;
        *(int *)((char *)s + r->offset) = word;
        return 0;
    default:
        if (parse_u64(r, value, &number) < 0)
            return -EINVAL;
        char *base = !r->shown.per_resource ? (char *)s
                     : resource             ? (char *)overrides(s, resource)
                                            : (char *)&s->defaults;
        *(uint64_t *)(base + r->offset) = number;
        return 0;
    }
}

int dm_settings_set(struct dm_settings *s, const char *key, const char *value, devmgr_error *reterr) {
    const char *at = strchr(key, '@');
    const struct row *r = find(key, at ? (size_t)(at - key) : strlen(key));
    if (!r)
        return dm_error_set(reterr, DEVMGR_EINVALID, "%.200s: no such setting", key);
    if (at && (!r->shown.per_resource || !strchr(at, '/')))
        return dm_error_set(reterr, DEVMGR_EINVALID, "%.200s: %s", key,
                            r->shown.per_resource ? "not a resource name" : "cannot be set for one resource");
    return set_row(s, r, at ? at + 1 : NULL, value) < 0 ? invalid(r, key, value, reterr) : 0;
}

char *dm_settings_get(const struct dm_settings *s, const char *key) {
    const char *at = strchr(key, '@');
    const struct row *r = find(key, at ? (size_t)(at - key) : strlen(key));
    char text[64];
    if (!r)
        return NULL;
    struct dm_resource_settings own = at ? dm_settings_for(s, at + 1) : s->defaults;
    const char *base = r->shown.per_resource ? (const char *)&own : (const char *)s;
    switch (r->kind) {
    case TEXT:
    case APPEND:
        return dm_strdup(*(char *const *)(base + r->offset));
    case WORD:
        return dm_strdup(r->words[*(const int *)(base + r->offset)]);
    case DURATION:
        return dm_strdup(dm_text_duration_format(*(const uint64_t *)(base + r->offset), text, sizeof text));
    default:
        return dm_printf("%llu", (unsigned long long)*(const uint64_t *)(base + r->offset));
    }
}

void dm_settings_init(struct dm_settings *s) {
    *s = (struct dm_settings){0};
    for (const struct row *r = rows; r < rows + DM_COUNT(rows); r++) {
        if (r->kind == TEXT || r->kind == APPEND)
            *(char **)((char *)s + r->offset) = dm_strdup(r->shown.fallback);
        else
            set_row(s, r, NULL, r->shown.fallback);
    }
}

void dm_settings_copy(struct dm_settings *to, const struct dm_settings *from) {
    *to = *from;
    for (const struct row *r = rows; r < rows + DM_COUNT(rows); r++)
        if (r->kind == TEXT || r->kind == APPEND)
            *(char **)((char *)to + r->offset) = dm_strdup(*(char *const *)((const char *)from + r->offset));
    to->per_resource = (struct dm_map){0};
    const char *resource;
    struct dm_resource_settings *own;
    for (size_t it = 0; (own = dm_map_next(&from->per_resource, &it, &resource));)
        *overrides(to, resource) = *own;
}

void dm_settings_free(struct dm_settings *s) {
    void *own;
    for (const struct row *r = rows; r < rows + DM_COUNT(rows); r++)
        if (r->kind == TEXT || r->kind == APPEND)
            free(*(char **)((char *)s + r->offset));
    for (size_t it = 0; (own = dm_map_next(&s->per_resource, &it, NULL));)
        free(own);
    dm_map_free(&s->per_resource);
    *s = (struct dm_settings){0};
}

struct dm_resource_settings dm_settings_for(const struct dm_settings *s, const char *resource) {
    struct dm_resource_settings result = s->defaults;
    const struct dm_resource_settings *own = dm_map_get(&s->per_resource, resource);
    for (const struct row *r = rows; own && r < rows + DM_COUNT(rows); r++) {
        uint64_t value =
            r->shown.per_resource ? *(const uint64_t *)((const char *)own + r->offset) : DM_INHERIT;
        if (value != DM_INHERIT)
            *(uint64_t *)((char *)&result + r->offset) = value;
    }
    return result;
}

bool dm_settings_ours(const struct dm_settings *s, const char *resource) {
    if (!strchr(resource, '/') || strstr(resource, "kubernetes.io/") || !strncmp(resource, "hugepages-", 10))
        return false;
    for (const char *p = s->ignore_resources; *p;) {
        size_t n = strcspn(p, ", ");
        DM_FREE char *pattern = dm_strndup(p, n);
        if (n && dm_text_match(pattern, resource))
            return false;
        p += n + strspn(p + n, ", ");
    }
    return true;
}
