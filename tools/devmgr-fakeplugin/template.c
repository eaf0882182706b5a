/* template.c -- an answer's template: read from JSON, or the built-in one. See answer.h. */
#include "answer.h"
#include "base/args.h"
#include "base/mem.h"
#include <jansson.h>
#include <string.h>

static void add(struct fp_entries *e, const char *a, const char *b, const char *c, bool read_only) {
    DM_GROW(e->rows, e->n, e->cap);
    e->rows[e->n++] = (struct fp_entry){dm_strdup(a), dm_strdup(b), dm_strdup(c), read_only};
}

void fp_answer_default(struct fp_answer *answer) {
    add(&answer->envs, "BENCH_VISIBLE_DEVICES", "{ids}", "", false);
    add(&answer->mounts, "/usr/lib/bench", "/opt/bench/lib", "", true);
    add(&answer->devices, "/dev/bench/{id}", "/dev/bench/{id}", "rw", false);
}

static void free_entries(struct fp_entries *e) {
    for (size_t i = 0; i < e->n; i++)
        free(e->rows[i].a), free(e->rows[i].b), free(e->rows[i].c);
    free(e->rows);
}

void fp_answer_free(struct fp_answer *answer) {
    free(answer->error);
    free_entries(&answer->envs), free_entries(&answer->annotations), free_entries(&answer->mounts);
    free_entries(&answer->devices), free_entries(&answer->cdi);
    *answer = (struct fp_answer){0};
}

/* ---- JSON: each reader takes the value of one key --------------------------------------------------------------- */

static int wrong_type(const char *key, const char *want, devmgr_error *reterr) {
    return dm_error_set(reterr, -EINVAL, "\"%s\" is not %s", key, want);
}

static int unknown_key(const char *key, const char *const *known, devmgr_error *reterr) {
    const char *near = dm_args_nearest(key, known);
    return dm_error_set(reterr, -EINVAL,
                        near ? "unknown key \"%s\"; did you mean \"%s\"?" : "unknown key \"%s\"", key, near);
}

/* {"NAME": "VALUE", ...} */
static int read_pairs(json_t *value, const char *key, struct fp_entries *out, devmgr_error *reterr) {
    const char *name;
    json_t *text;
    if (!json_is_object(value))
        return wrong_type(key, "an object of strings", reterr);
    json_object_foreach(value, name, text) {
        if (!json_is_string(text))
            return wrong_type(name, "a string", reterr);
        add(out, name, json_string_value(text), "", false);
    }
    return 0;
}

static int check_keys(json_t *object, const char *const *known, devmgr_error *reterr) {
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        const char *const *k = known;
        while (*k && strcmp(*k, key))
            k++;
        if (!*k)
            return unknown_key(key, known, reterr);
    }
    return 0;
}

/* One mount or device node: {"container", "host"} and `extra`, "ro" (a bool) or "perm" (a string). */
static int read_path(json_t *object, const char *extra, struct fp_entries *out, devmgr_error *reterr) {
    const char *const known[] = {"container", "host", extra, NULL};
    json_t *more = json_object_get(object, extra);
    const char *container = json_string_value(json_object_get(object, "container"));
    const char *host = json_string_value(json_object_get(object, "host"));
    bool is_flag = !strcmp(extra, "ro");
    int r = check_keys(object, known, reterr);
    if (r < 0)
        return r;
    if (!container || !host)
        return dm_error_set(reterr, -EINVAL, "\"container\" and \"host\" must be strings");
    if (more && (is_flag ? !json_is_boolean(more) : !json_is_string(more)))
        return wrong_type(extra, is_flag ? "true or false" : "a string", reterr);
    add(out, container, host, more && !is_flag ? json_string_value(more) : "", json_is_true(more));
    return 0;
}

static int read_paths(json_t *value, const char *key, const char *extra, struct fp_entries *out,
                      devmgr_error *reterr) {
    size_t i;
    json_t *object;
    if (!json_is_array(value))
        return wrong_type(key, "a list", reterr);
    json_array_foreach(value, i, object) {
        if (!json_is_object(object))
            return dm_error_set(reterr, -EINVAL, "%s[%zu] is not an object", key, i);
        if (read_path(object, extra, out, reterr) < 0)
            return dm_error_wrap(reterr, "%s[%zu]", key, i);
    }
    return 0;
}

static int read_names(json_t *value, const char *key, struct fp_entries *out, devmgr_error *reterr) {
    size_t i;
    json_t *name;
    if (!json_is_array(value))
        return wrong_type(key, "a list of strings", reterr);
    json_array_foreach(value, i, name) {
        if (!json_is_string(name))
            return dm_error_set(reterr, -EINVAL, "%s[%zu] is not a string", key, i);
        add(out, json_string_value(name), "", "", false);
    }
    return 0;
}

static int read_key(const char *key, json_t *value, struct fp_answer *answer, devmgr_error *reterr) {
    static const char *const known[] = {"error",  "empty",   "envs", "annotations",
                                        "mounts", "devices", "cdi",  NULL};
    if (!strcmp(key, "envs"))
        return read_pairs(value, key, &answer->envs, reterr);
    if (!strcmp(key, "annotations"))
        return read_pairs(value, key, &answer->annotations, reterr);
    if (!strcmp(key, "mounts"))
        return read_paths(value, key, "ro", &answer->mounts, reterr);
    if (!strcmp(key, "devices"))
        return read_paths(value, key, "perm", &answer->devices, reterr);
    if (!strcmp(key, "cdi"))
        return read_names(value, key, &answer->cdi, reterr);
    if (!strcmp(key, "empty"))
        return answer->empty = json_is_true(value),
               json_is_boolean(value) ? 0 : wrong_type(key, "true or false", reterr);
    if (strcmp(key, "error"))
        return unknown_key(key, known, reterr);
    if (!json_is_string(value))
        return wrong_type(key, "a string", reterr);
    free(answer->error);
    answer->error = *json_string_value(value) ? dm_strdup(json_string_value(value)) : NULL;
    return 0;
}

int fp_answer_load(const char *path, struct fp_answer *answer, devmgr_error *reterr) {
    json_error_t at;
    const char *key;
    json_t *value;
    FILE *file = fopen(path, "re");
    if (!file)
        return dm_error_errno(reterr, "%s", path);
    json_auto_t *root = json_loadf(file, JSON_REJECT_DUPLICATES, &at);
    fclose(file);
    if (!root)
        return dm_error_set(reterr, -EINVAL, "%s: line %d: %s", path, at.line, at.text);
    if (!json_is_object(root))
        return dm_error_set(reterr, -EINVAL, "%s: not a JSON object", path);
    json_object_foreach(root, key, value) if (read_key(key, value, answer, reterr) < 0) {
        fp_answer_free(answer);
        return dm_error_wrap(reterr, "%s", path);
    }
    return 0;
}
