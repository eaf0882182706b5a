/* explain.c -- devmgrctl explain: what would happen to a pod and why; and the picture of a resource's nodes. */
#include "base/mem.h"
#include "base/text.h"
#include "ctl.h"
#include <string.h>

enum { BAR = 40 };

static const char *word(const json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static long long number(const json_t *o, const char *key) {
    return (long long)json_integer_value(json_object_get(o, key));
}

static bool flag(const json_t *o, const char *key) {
    return json_is_true(json_object_get(o, key));
}

/* ---- a manifest of what is asked about ----------------------------------------------------------------------------- */

static void add_container(json_t *pod, const char *name, int kind, json_t *limits) {
    const char *where = kind == DEVMGR_APP ? "containers" : "initContainers";
    json_t *spec = json_object_get(pod, "spec"), *list = json_object_get(spec, where);
    json_t *c = json_pack("{s:s, s:{s:o}}", "name", name, "resources", "limits", limits);
    if (!list)
        json_object_set_new(spec, where, list = json_array());
    if (kind == DEVMGR_SIDECAR)
        json_object_set_new(c, "restartPolicy", json_string("Always"));
    json_array_append_new(list, c);
}

static json_t *new_pod(const char *uid, const char *ns, const char *name) {
    return json_pack("{s:s, s:s, s:{s:s, s:s, s:s}, s:{}}", "apiVersion", "v1", "kind", "Pod", "metadata",
                     "uid", uid, "namespace", *ns ? ns : "default", "name", *name ? name : uid, "spec");
}

static json_t *asking_for(const char *resource, uint64_t n) {
    DM_FREE char *count = dm_printf("%llu", (unsigned long long)n);
    json_t *pod = new_pod("devmgrctl-explain", "default", "explain");
    add_container(pod, "main", DEVMGR_APP, json_pack("{s:s}", resource, count));
    return pod;
}

struct held {
    const char *uid;
    json_t *pod;
};

static void add_held(json_t *pod, const devmgr_held_container *c) {
    json_t *limits = json_object();
    for (size_t i = 0; i < c->n_claims; i++) {
        const char *resource = c->claims[i]->resource;
        json_int_t before = json_integer_value(json_object_get(limits, resource));
        json_object_set_new(limits, resource, json_integer(before + 1));
    }
    add_container(pod, c->name, c->kind, limits);
}

static int find_held(void *arg, const devmgr_held_pod *p) {
    struct held *h = arg;
    if (strcmp(p->uid, h->uid))
        return 0;
    h->pod = new_pod(p->uid, p->namespace_, p->name);
    for (size_t i = 0; i < p->n_containers; i++)
        add_held(h->pod, p->containers[i]);
    return 1;
}

/* ---- a resource ---------------------------------------------------------------------------------------------------- */

static void say(enum colour colour, const char *before, const char *text) {
    fputs(before, stdout);
    print_coloured(colour, text);
    putchar('\n');
}

/* Of `n` devices among `total`, how many characters; at least one when there is any. */
static int part(long long n, long long total) {
    long long width = total <= BAR ? n : n * BAR / total;
    return (int)(n && !width ? 1 : width);
}

static void repeat(struct dm_buf *b, char c, int n) {
    while (n-- > 0)
        dm_buf_putc(b, c);
}

/* "  node 0  [####....xx]  4 used, 4 free, 2 unhealthy" */
static void print_node(const json_t *node) {
    long long used = number(node, "used"), free_ = number(node, "free"), bad = number(node, "unhealthy");
    long long total = used + free_ + bad;
    DM_CLEANUP(dm_buf_free) struct dm_buf bar = {0};
    repeat(&bar, '#', part(used, total));
    repeat(&bar, '.', part(free_, total));
    repeat(&bar, 'x', part(bad, total));
    if (number(node, "node") < 0)
        printf("  no node ");
    else
        printf("  node %-3lld", number(node, "node"));
    if (total)
        printf("[%s]  %lld used, %lld free, %lld unhealthy\n", bar.data, used, free_, bad);
    else
        printf("no devices\n");
}

static void print_holder(const json_t *holder) {
    DM_FREE char *line = dm_printf("  %lld %s %s, container %s", number(holder, "count"),
                                   flag(holder, "reserved") ? "reserved for" : "held by", word(holder, "pod"),
                                   word(holder, "container"));
    say(PLAIN, "", line);
}

static void print_resource(const json_t *r) {
    json_t *row;
    size_t i;
    DM_FREE char *line =
        dm_printf(": %lld devices, %lld healthy, %lld free, %lld held, %lld reserved; plugin %s%s",
                  number(r, "capacity"), number(r, "healthy"), number(r, "free"), number(r, "held"),
                  number(r, "reserved"), word(r, "plugin"),
                  flag(r, "chooses") ? ", which may prefer some devices to others" : "");
    print_coloured(BOLD, word(r, "name"));
    say(PLAIN, "", line);
    if (*word(r, "last_error"))
        say(YELLOW, "  last error: ", word(r, "last_error"));
    json_array_foreach(json_object_get(r, "nodes"), i, row) {
        print_node(row);
    }
    json_array_foreach(json_object_get(r, "holders"), i, row) {
        print_holder(row);
    }
    if (flag(r, "holders_cut"))
        puts("  ... and others; see devmgrctl devices");
}

/* ---- why ----------------------------------------------------------------------------------------------------------- */

static void print_set(const json_t *hint, const json_t *chosen) {
    json_t *set = json_object_get(hint, "numa");
    DM_FREE char *nodes = joined(set, ",");
    bool won = json_array_size(chosen) && json_equal(set, chosen);
    DM_FREE char *line =
        json_array_size(set)
            ? dm_printf("{%s}: %lld devices%s%s", nodes, number(hint, "count"),
                        flag(hint, "preferred") ? ", preferred" : "", won ? " <- chosen" : "")
            : dm_printf("any node%s", flag(hint, "preferred") ? ", preferred" : "");
    say(won ? GREEN : PLAIN, "    ", line);
}

static void print_row(const json_t *row, const json_t *chosen) {
    const char *kind = word(row, "kind");
    bool any = !strcmp(kind, "any"), none = !strcmp(kind, "impossible");
    json_t *hint;
    size_t i;
    DM_FREE char *wanted =
        flag(row, "device") ? dm_printf(", %lld wanted", number(row, "count")) : dm_strdup("");
    DM_FREE char *line = dm_printf("%s%s: %s", word(row, "name"), wanted,
                                   any    ? "any node would do"
                                   : none ? "no node would do"
                                          : "nodes that would do");
    say(PLAIN, "  ", line);
    json_array_foreach(json_object_get(row, "hints"), i, hint) {
        print_set(hint, chosen);
    }
    if (flag(row, "hints_cut"))
        puts("    ...");
    if (!flag(row, "exhaustive"))
        puts("    not all sets were looked at: there are too many");
}

/* "container main: nodes {1}, topology policy restricted" */
static char *decision_line(const json_t *explained, const json_t *d) {
    const json_t *merged = json_object_get(d, "merged");
    const char *container = word(d, "container"), *policy = word(explained, "policy"), *why = word(d, "why");
    DM_FREE char *who = *container ? dm_printf("container %s", container) : dm_strdup("the pod");
    DM_FREE char *ids = joined(json_object_get(merged, "numa"), ",");
    DM_FREE char *nodes = *ids ? dm_printf("nodes {%s}", ids) : dm_strdup("no node in particular");
    if (!flag(merged, "admit"))
        return dm_printf("%s: refused by topology policy %s: %s", who, policy, why);
    if (*why)
        return dm_printf("%s: %s, the best there are for topology policy %s: %s", who, nodes, policy, why);
    return dm_printf("%s: %s, topology policy %s", who, nodes, policy);
}

static void print_decision(const json_t *explained, const json_t *d) {
    const json_t *merged = json_object_get(d, "merged");
    const json_t *chosen = flag(merged, "admit") ? json_object_get(merged, "numa") : NULL;
    DM_FREE char *line = decision_line(explained, d);
    bool all_sets = true;
    json_t *row;
    size_t i;
    say(BOLD, "", line);
    json_array_foreach(json_object_get(d, "resources"), i, row) {
        print_row(row, chosen);
        all_sets &= flag(row, "exhaustive");
    }
    if (all_sets && !flag(merged, "exhaustive"))
        puts("  not all combinations of these sets were looked at: there are too many");
}

/* The detail ends with the next step, behind its last semicolon. */
static void print_verdict(const json_t *o) {
    const char *verdict = word(o, "verdict"), *cause = word(o, "cause");
    bool good = !strcmp(verdict, "admitted"), later = !strcmp(verdict, "not_yet");
    DM_FREE char *label = ctl_pod_label(word(o, "pod"), word(o, "namespace"), word(o, "name"));
    DM_FREE char *why = dm_strdup(word(o, "detail"));
    char *next = NULL;
    for (char *p = strstr(why, "; "); p; p = strstr(p + 1, "; "))
        next = p;
    print_coloured(PLAIN, label);
    fputs(": ", stdout);
    print_coloured(good    ? GREEN
                   : later ? YELLOW
                           : RED,
                   good    ? "would be admitted"
                   : later ? "not yet"
                           : "would be refused");
    printf("%s%s%s\n", *cause ? " (" : "", cause, *cause ? ")" : "");
    if (next)
        *next = 0;
    say(PLAIN, "  why:  ", why);
    if (next)
        say(PLAIN, "  next: ", next + 2);
    if (flag(o, "in_flight"))
        puts("  an admission of this pod is under way");
}

static void print_text(const json_t *o) {
    json_t *row;
    size_t i;
    print_verdict(o);
    json_array_foreach(json_object_get(o, "resources"), i, row) {
        print_resource(row);
    }
    json_array_foreach(json_object_get(o, "decisions"), i, row) {
        print_decision(o, row);
    }
}

/* ---- the commands -------------------------------------------------------------------------------------------------- */

static int take(void *arg, const char *json, size_t n) {
    *(json_t **)arg = json_loadb(json, n, 0, NULL);
    return 0;
}

static json_t *ask(struct ctl *c, const char *manifest, size_t n, devmgr_error *reterr) {
    json_t *o = NULL;
    if (dm_client_explain(c->client, manifest, n, take, &o, reterr) < 0)
        return NULL;
    if (!o)
        dm_error_set(reterr, -EBADMSG, "the answer to Explain cannot be read; is devmgrd of our version?");
    return o;
}

static json_t *ask_about(struct ctl *c, json_t *pod, devmgr_error *reterr) {
    DM_FREE char *manifest = json_dumps(pod, JSON_COMPACT);
    json_decref(pod);
    return ask(c, manifest, strlen(manifest), reterr);
}

int ctl_print_nodes(struct ctl *c, const json_t *resources, devmgr_error *reterr) {
    json_t *pod = new_pod("devmgrctl-explain", "default", "explain"), *limits = json_object(), *row;
    size_t i;
    json_array_foreach(resources, i, row) {
        json_object_set_new(limits, word(row, "name"), json_string("0"));
    }
    add_container(pod, "main", DEVMGR_APP, limits);
    json_auto_t *o = ask_about(c, pod, reterr);
    if (!o)
        return reterr->code;
    json_array_foreach(json_object_get(o, "resources"), i, row) {
        print_resource(row);
    }
    return 0;
}

static int is_resource(void *name, const devmgr_resource *r) {
    return !strcmp(name, r->name);
}

/* POD, RESOURCE or RESOURCE N. What no pod has as its name and what looks like a resource is one. NULL: reterr. */
static json_t *about_operands(struct ctl *c, uint64_t n, devmgr_error *reterr) {
    const char *what = c->operands[0], *slash = strchr(what, '/'), *dot = strchr(what, '.');
    DM_FREE char *uid = NULL;
    int known = dm_client_each_resource(c->client, is_resource, (void *)(uintptr_t)what, reterr);
    if (known < 0)
        return NULL;
    if (!known && c->n_operands == 1 && ctl_find_pod(c, what, &uid, reterr) < 0)
        return NULL;
    if (uid) {
        struct held h = {uid, NULL};
        if (dm_client_each_pod(c->client, NULL, find_held, &h, reterr) < 0)
            return NULL;
        if (h.pod)
            return h.pod;
    }
    if (known || c->n_operands == 2 || (slash && dot && dot < slash))
        return asking_for(what, n);
    dm_error_set(reterr, -ENOENT, "%s: no such pod is admitted here, and no resource has that name", what);
    return NULL;
}

static json_t *explain(struct ctl *c, const char *file, uint64_t n, devmgr_error *reterr) {
    DM_CLEANUP(dm_buf_free) struct dm_buf manifest = {0};
    const char *name = file && strcmp(file, "-") ? file : "stdin";
    json_t *pod;
    if (file && ctl_read_file(file, &manifest, reterr) < 0)
        return dm_error_wrap(reterr, "%s", name), NULL;
    if (ctl_connect(c, 0, reterr) < 0)
        return NULL;
    if (!file)
        return (pod = about_operands(c, n, reterr)) ? ask_about(c, pod, reterr) : NULL;
    json_t *o = ask(c, manifest.data, manifest.len, reterr);
    if (!o && reterr->code == DEVMGR_EINVALID)
        dm_error_wrap(reterr, "%s", name);
    return o;
}

int cmd_explain(struct ctl *c) {
    const char *file = dm_args_get(&c->args, "file");
    devmgr_error err = {0};
    uint64_t n = 1;
    if (ctl_operands(c, file ? 0 : 1, file ? 0 : 2, "-f POD, POD or RESOURCE"))
        return EXIT_USAGE;
    if (c->n_operands == 2 && dm_text_u64(c->operands[1], &n) < 0) {
        dm_error_set(&err, -EINVAL, "%s: not a number of devices", c->operands[1]);
        return ctl_misused(c, &err);
    }
    json_auto_t *o = explain(c, file, n, &err);
    if (!o)
        return ctl_fail(&err);
    const char *verdict = word(o, "verdict");
    int status = !strcmp(verdict, "admitted")  ? EXIT_GOOD
                 : !strcmp(verdict, "not_yet") ? EXIT_NOT_YET
                                               : EXIT_REFUSED;
    if (c->output == OUT_JSON)
        dm_json_print(json_incref(o), stdout);
    else
        print_text(o);
    return status;
}
