/* Pod manifests: what is read, and the one line that each mistake gets. */
#include "check.h"
#include "manager/pod.h"
#include "manifest.h"
#include <errno.h>

static const char *
show(const char *text) { /* "uid ns/name kind:container[resource=n ...] ..." or the error */
    static char out[4096];
    size_t used = 0, at = 0, len = strlen(text);
    int n = 0;
    out[0] = 0;
    while (at < len) {
        devmgr_pod *p = NULL;
        devmgr_error err;
        int rc = devmgr_pod_from_manifest(text + at, len - at, &used, &p, &err);
        at += used;
        if (rc < 0)
            n += snprintf(out + n, sizeof out - (size_t)n, "%s%s", n ? "; " : "", err.message);
        if (!p)
            continue;
        n += snprintf(out + n, sizeof out - (size_t)n, "%s%s %s/%s", n ? "; " : "", p->uid, p->namespace_,
                      p->name);
        for (size_t i = 0; i < p->n_containers; i++) {
            n += snprintf(out + n, sizeof out - (size_t)n, " %d:%s[", p->containers[i].kind,
                          p->containers[i].name);
            for (size_t k = 0; k < p->containers[i].n_limits; k++)
                n += snprintf(out + n, sizeof out - (size_t)n, "%s%s=%ju", k ? " " : "",
                              p->containers[i].limits[k].resource,
                              (uintmax_t)p->containers[i].limits[k].count);
            n += snprintf(out + n, sizeof out - (size_t)n, "]");
        }
        devmgr_pod_free(p);
    }
    return out;
}

#define HEAD "kind: Pod\nmetadata: {name: p}\nspec:\n"
#define ONE  "kind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, resources: {limits: {a.b/c: "

TEST(a_manifest_names_its_containers_in_start_order) {
    CHECK_STR(show("apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  namespace: prod\n  uid: u-1\nspec:\n"
                   "  initContainers:\n  - name: setup\n    resources: {limits: {cpu: 500m, ex.com/gpu: 1}}\n"
                   "  - name: proxy\n    restartPolicy: Always\n"
                   "  containers:\n  - name: main\n    resources:\n      limits:\n        ex.com/gpu: \"2\"\n"
                   "        a.b/c: 1\n"),
              "u-1 prod/web 1:setup[ex.com/gpu=1] 2:proxy[] 0:main[a.b/c=1 ex.com/gpu=2]");
}

TEST(a_pod_without_uid_is_named_by_namespace_and_name) {
    CHECK_STR(show(HEAD " containers: [{name: c}]\n"), "default_p default/p 0:c[]");
}

TEST(several_documents_are_read_one_by_one_and_a_bad_one_spares_the_rest) {
    CHECK_STR(show("# first\n---\n" HEAD " containers: [{name: a}]\n---\nkind: Job\n---\n" HEAD
                   " containers: [{name: b}]\n...\n"),
              "default_p default/p 0:a[]; line 2: kind: \"Job\": must be Pod; default_p default/p 0:b[]");
}

TEST(an_empty_document_is_passed_over) {
    CHECK_STR(show("---\n---\n" HEAD " containers: [{name: a}]\n---\n# nothing\n---\n" HEAD
                   " containers: [{name: b}]\n---\n"),
              "default_p default/p 0:a[]; default_p default/p 0:b[]");
}

TEST(json_reads_like_yaml_with_tabs_and_escapes) {
    CHECK_STR(show("{\n\t\"kind\": \"Pod\", \"metadata\": {\"name\": \"p\", \"labels\": {\"x\": "
                   "\"\\ud83d\\ude00\"}},\n"
                   "\t\"spec\": {\"containers\": [{\"name\": \"c\", \"resources\": {\"limits\": "
                   "{\"a.b\\/c\": 2}}}]}}\n"
                   "{\"kind\": \"Pod\"}"),
              "default_p default/p 0:c[a.b/c=2]; line 2: metadata.name: missing; must be the pod's name");
}

TEST(quantities_are_whole_numbers) {
    static const struct {
        const char *text;
        int rc;
        uint64_t value;
    } rows[] = {{"2", 0, 2},
                {"2k", 0, 2000},
                {"2000m", 0, 2},
                {"2Ki", 0, 2048},
                {"1e3", 0, 1000},
                {"0.5k", 0, 500},
                {"1.0", 0, 1},
                {"0", 0, 0},
                {"1.5", -EDOM, 0},
                {"500m", -EDOM, 0},
                {"-1", -EINVAL, 0},
                {"", -EINVAL, 0},
                {"x", -EINVAL, 0},
                {"2kk", -EINVAL, 0},
                {"9223372036854775807", 0, INT64_MAX},
                {"9223372036854775808", -ERANGE, 0},
                {"16Ei", -ERANGE, 0},
                {"1E", 0, UINT64_C(1000000000000000000)},
                {"1e30", -ERANGE, 0}};
    EACH(row, rows) {
        uint64_t got = 0;
        CHECK_INT(dm_quantity_parse(row->text, &got), row->rc);
        CHECK_INT(got, row->value);
    }
}

TEST(each_mistake_gets_one_line_with_place_field_value_and_what_is_allowed) {
    static const struct {
        const char *text, *error;
    } rows[] = {
        {ONE "-1}}}]}\n", "line 3: spec.containers[0].resources.limits[a.b/c]: \"-1\": must be a whole "
                          "number of devices, 0 or more"},
        {ONE "1.5}}}]}\n",
         "line 3: spec.containers[0].resources.limits[a.b/c]: \"1.5\": must be a whole number of devices"},
        {ONE "99999999999999999999}}}]}\n", "line 3: spec.containers[0].resources.limits[a.b/c]: "
                                            "\"99999999999999999999\": must be a number that fits 63 bits"},
        {HEAD " containers: [{name: c, resources: {requests: {a.b/c: 1}}}]\n",
         "line 4: spec.containers[0].resources.requests[a.b/c]: \"1\": set it under limits: an extended "
         "resource needs a limit"},
        {HEAD " containers: [{name: c, resources: {requests: {a.b/c: 1}, limits: {a.b/c: 2}}}]\n",
         "line 4: spec.containers[0].resources.requests[a.b/c]: \"1\": must be equal to its limit"},
        {HEAD " containers: [{name: c}, {name: c}]\n",
         "line 4: spec.containers[1].name: \"c\": must be a name no other container of the pod has"},
        {"kind: Pod\nspec: {}\n", "line 1: metadata.name: missing; must be the pod's name"},
        {HEAD " initContainers: 3\n", "line 4: spec.initContainers: \"3\": must be a list of containers"},
        {"kind: Pod\nmetadata: {name: p}\n", "line 1: spec: missing; must be the pod's spec"},
        {"- a\n- b\n", "line 1: document: must be a Kubernetes Pod"},
        {"a: [1\n", "line 2, column 1: did not find expected ',' or ']'"},
        {"{\"kind\": \"Pod\" \"spec\": }", "line 1, column 21: '}' expected near '\"spec\"'"},
    };
    EACH(row, rows)
    CHECK_STR(show(row->text), row->error);
}

/* What a cluster would read otherwise than we, and what nobody could mean. */
TEST(nothing_that_counts_is_passed_over) {
    static const struct {
        const char *text, *error;
    } rows[] = {
        {"x: &x {a.b/c: 1}\n" HEAD " containers: [{name: c, resources: {limits: {<<: *x}}}]\n",
         "line 5: merge key: \"<<\": must be written out"},
        {"x: &x {resources: {}}\n" HEAD " containers:\n - name: c\n   <<: *x\n",
         "line 7: merge key: \"<<\": must be written out"},
        {HEAD " containers: [{name: c, resources: {limits: {\"<<\": 1}}}]\n", "default_p default/p 0:c[]"},
        {HEAD " containers:\n - name: c\n   resources: {limits: {a.b/c: 1}}\n   resources: {}\n",
         "line 7: field: \"resources\": must be given once"},
        {HEAD " containers: []\n containers: [{name: c}]\n",
         "line 5: field: \"containers\": must be given once"},
        {"{\"kind\": \"Pod\", \"metadata\": {\"name\": \"p\"}, \"spec\": {\"containers\": []},\n\"spec\": "
         "{}}",
         "line 2: field: \"spec\": must be given once"},
        {ONE "1, a.b/c: 2}}}]}\n",
         "line 3: spec.containers[0].resources.limits[a.b/c]: \"2\": must be given once"},
        {ONE "010}}}]}\n", "line 3: spec.containers[0].resources.limits[a.b/c]: \"010\": must be a number "
                           "without zeros before it"},
        {ONE "\"010\"}}}]}\n", "default_p default/p 0:c[a.b/c=10]"},
        {ONE "[1]}}}]}\n", "line 3: spec.containers[0].resources.limits[a.b/c]: must be a whole number of "
                           "devices, 0 or more"},
        {ONE "null}}}]}\n", "line 3: spec.containers[0].resources.limits[a.b/c]: must be a whole number of "
                            "devices, 0 or more"},
        {HEAD " containers: [{name: c, resources: {limits: {\"a.b/c\\0d\": 1}}}]\n",
         "line 4: spec.containers[0].resources.limits: must be a map of resource names to quantities"},
        {HEAD " containers: [{name: c, resources: {limits: {[a]: 1}}}]\n",
         "line 4: spec.containers[0].resources.limits: must be a map of resource names to quantities"},
        {HEAD " containers: [{name: c, resources: {limits: [a.b/c]}}]\n",
         "line 4: spec.containers[0].resources.limits: must be a map of resource names to quantities"},
        {HEAD " containers: [{name: c, resources: {requests: 3}}]\n",
         "line 4: spec.containers[0].resources.requests: \"3\": must be a map of resource names to "
         "quantities"},
        {HEAD " containers: [{name: c, resources: {limits: {\"a.b/c d\": 1}}}]\n",
         "line 4: spec.containers[0].resources.limits[a.b/c d]: \"1\": must be a printable resource name of "
         "at most 317 bytes, one of at most 256 in a container"},
    };
    EACH(row, rows)
    CHECK_STR(show(row->text), row->error);
}

TEST(a_field_of_another_kind_is_named) {
    static const struct {
        const char *text, *error;
    } rows[] = {
        {HEAD " initContainers: [{name: c, restartPolicy: always}]\n containers: []\n",
         "line 4: spec.initContainers[0].restartPolicy: \"always\": must be Always, OnFailure or Never"},
        {HEAD " initContainers: [{name: c, restartPolicy: {}}]\n containers: []\n",
         "line 4: spec.initContainers[0].restartPolicy: must be text"},
        {HEAD " containers:\n - image: x\n",
         "line 5: spec.containers[0].name: missing; must be a container name"},
        {HEAD " containers: [{name: \"a b\"}]\n",
         "line 4: spec.containers[0].name: \"a b\": must be a printable name of at most 253 bytes, one of at "
         "most 4096 in a pod"},
        {HEAD " containers: [3]\n", "line 4: spec.containers[0]: \"3\": must be a container"},
        {HEAD " containers: [{name: c, resources: 3}]\n",
         "line 4: spec.containers[0].resources: \"3\": must be a map with limits"},
        {"kind: Pod\nmetadata:\n name: a b\n",
         "line 3: metadata.name: \"a b\": must be printable, without blanks, at most 253 bytes"},
        {"kind: Pod\nmetadata:\n name: a\n uid: [1]\n", "line 4: metadata.uid: must be text"},
        {"kind: Pod\nmetadata: 3\n", "line 2: metadata: \"3\": must be a map with the pod's name"},
        {"kind: [Pod]\n", "line 1: kind: must be Pod"},
        {HEAD " containers: [{name: a}]\n...\n" HEAD " containers: [{name: b}]\n",
         "default_p default/p 0:a[]; default_p default/p 0:b[]"},
        {HEAD " containers: [{name: a}]\n}\n", "line 5, column 1: did not find expected key"},
    };
    EACH(row, rows)
    CHECK_STR(show(row->text), row->error);
}

static const char *repeated(const char *before, const char *part, size_t times, const char *after) {
    static char out[700000];
    size_t n = (size_t)snprintf(out, sizeof out, "%s", before), len = strlen(part);
    for (size_t i = 0; i < times && n + len < sizeof out; i++, n += len)
        memcpy(out + n, part, len);
    snprintf(out + n, sizeof out - n, "%s", after);
    return out;
}

TEST(names_that_are_too_long_or_too_many_are_named) {
    CHECK(strstr(
        show(repeated("kind: Pod\nmetadata: {name: p, namespace: ", "n", 254, "}\nspec: {containers: []}\n")),
        "nn\": must be printable, without blanks, at most 253 bytes"));
    CHECK_STR(
        show(repeated("kind: Pod\nmetadata: {name: p, namespace: ", "n", 253, "}\nspec: {containers: []}\n")),
        "line 2: metadata.uid: missing; must be given: that made of namespace and name has more than "
        "253 bytes");
    CHECK_STR(
        show(repeated(HEAD " containers: [{name: c, resources: {requests: {", "cpu: 1, ", 1001, "}}}]\n")),
        "line 4: spec.containers[0].resources.requests: must be a map of at most 1000 resource names");
}
