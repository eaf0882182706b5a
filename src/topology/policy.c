/* policy.c -- see policy.h. The texts are the kubelet's, since people look for them. */
#include "topology/policy.h"
#include "base/mem.h"
#include <string.h>

static const char *const policies[] = {"none", "best-effort", "restricted", "single-numa-node"};
static const char *const scopes[] = {"container", "pod"};

const char *dm_policy_name(enum dm_policy policy) {
    return policies[policy];
}

const char *dm_scope_name(enum dm_scope scope) {
    return scopes[scope];
}

static int word(const char *const *words, size_t n, const char *text) {
    for (size_t i = 0; i < n; i++)
        if (!strcmp(words[i], text))
            return (int)i;
    return -1;
}

/* Go's strconv.ParseBool. */
static int parse_bool(const char *text, bool *ret) {
    static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
    static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False"};
    if (word(yes, DM_COUNT(yes), text) >= 0)
        return *ret = true, 0;
    if (word(no, DM_COUNT(no), text) >= 0)
        return *ret = false, 0;
    return -1;
}

/* Go's strconv.Atoi; *why: its words on failure. */
static int parse_int(const char *text, long *ret, const char **why) {
    const char *digits = text + (*text == '-' || *text == '+');
    char *end;
    *why = "invalid syntax";
    if (!*digits || strspn(digits, "0123456789") != strlen(digits))
        return -1;
    errno = 0;
    *ret = strtol(text, &end, 10);
    *why = "value out of range";
    return errno ? -1 : 0;
}

static int set_option(struct dm_topology *t, const char *key, const char *value, devmgr_error *reterr) {
    const char *why;
    long n;
    if (!strcmp(key, "prefer-closest-numa-nodes"))
        return parse_bool(value, &t->prefer_closest) == 0
                   ? 0
                   : dm_error_set(
                         reterr, DEVMGR_EINVALID,
                         "bad value for option \"%s\": strconv.ParseBool: parsing \"%.100s\": invalid syntax",
                         key, value);
    if (strcmp(key, "max-allowable-numa-nodes"))
        return dm_error_set(reterr, DEVMGR_EINVALID, "unknown Topology Manager Policy option: \"%.100s\"",
                            key);
    if (parse_int(value, &n, &why) < 0)
        return dm_error_set(
            reterr, DEVMGR_EINVALID,
            "unable to convert policy option to integer \"%s\": strconv.Atoi: parsing \"%.100s\": %s", key,
            value, why);
    if (n < 8)
        return dm_error_set(reterr, DEVMGR_EINVALID, "the minimum value of \"%s\" should not be less than 8",
                            key);
    t->max_nodes = (uint64_t)n;
    return 0;
}

static int parse_options(struct dm_topology *t, const char *options, devmgr_error *reterr) {
    for (const char *p = options; *p;) {
        size_t n = strcspn(p, ",");
        DM_FREE char *pair = dm_strndup(p, n);
        char *value = strchr(pair, '=');
        if (!value)
            return dm_error_set(reterr, DEVMGR_EINVALID, "topology-option: \"%.100s\": must be KEY=VALUE",
                                pair);
        *value++ = 0;
        int rc = set_option(t, pair, value, reterr);
        if (rc < 0)
            return rc;
        p += n + (p[n] == ',');
    }
    return 0;
}

/* The kubelet's order: options, then the machine, then policy and scope. */
static int check_machine(const struct dm_topology *t, devmgr_error *reterr) {
    if (t->prefer_closest && !t->numa.distances)
        return dm_error_set(reterr, DEVMGR_EINVALID,
                            "cannot discover NUMA topology: error getting NUMA distances from cadvisor");
    if (t->numa.n > t->max_nodes)
        return dm_error_set(reterr, DEVMGR_EINVALID, "unsupported on machines with more than %llu NUMA Nodes",
                            (unsigned long long)t->max_nodes);
    return 0;
}

int dm_topology_parse(const char *policy, const char *scope, const char *options, const struct dm_numa *numa,
                      struct dm_topology *ret, devmgr_error *reterr) {
    struct dm_topology t = {.max_nodes = 8, .numa = *numa};
    int p = word(policies, DM_COUNT(policies), policy), s = word(scopes, DM_COUNT(scopes), scope);
    if (p != DM_POLICY_NONE) {
        int rc = parse_options(&t, options, reterr);
        if (rc == 0)
            rc = check_machine(&t, reterr);
        if (rc < 0)
            return rc;
        if (p < 0)
            return dm_error_set(reterr, DEVMGR_EINVALID, "unknown policy: \"%.100s\"", policy);
        if (s < 0)
            return dm_error_set(reterr, DEVMGR_EINVALID, "unknown scope: \"%.100s\"", scope);
    }
    t.policy = (enum dm_policy)p;
    t.scope = s < 0 ? DM_SCOPE_CONTAINER : (enum dm_scope)s;
    *ret = t;
    return 0;
}
