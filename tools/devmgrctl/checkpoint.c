/* checkpoint.c -- devmgrctl checkpoint show|verify: a kubelet_internal_checkpoint, without a daemon. */
#include "checkpoint/checkpoint.h"
#include "base/mem.h"
#include "ctl.h"
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_FILE = 1 << 30 };

static int read_all(int fd, size_t size, struct dm_buf *out, devmgr_error *reterr) {
    char *at = dm_buf_reserve(out, size + 1);
    while (out->len <= size) {
        ssize_t n = read(fd, at + out->len, size + 1 - out->len);
        if (n < 0 && errno != EINTR)
            return dm_error_set(reterr, -errno, "reading: %s", strerror(errno));
        if (n == 0)
            return 0;
        out->len += n > 0 ? (size_t)n : 0;
    }
    return dm_error_set(reterr, -EAGAIN, "it grows while it is read; try again");
}

static int read_file(const char *path, struct dm_buf *out, devmgr_error *reterr) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int r = fd < 0 || fstat(fd, &st) < 0 ? dm_error_set(reterr, -errno, "%s", strerror(errno)) : 0;
    if (r == 0 && !S_ISREG(st.st_mode))
        r = dm_error_set(reterr, -EINVAL, "not a file");
    if (r == 0 && st.st_size > MAX_FILE)
        r = dm_error_set(reterr, -EFBIG, "over %d MiB", MAX_FILE >> 20);
    if (r == 0)
        r = read_all(fd, (size_t)st.st_size, out, reterr);
    if (fd >= 0)
        close(fd);
    return r;
}

/* ---- show ------------------------------------------------------------------------------------------------------ */

static const char *text(const json_t *row, const char *key) {
    const char *s = json_string_value(json_object_get(row, key));
    return s ? s : "";
}

/* "gpu-0 gpu-1" of {"0": [...], "1": [...]}: each id once, its nodes are in the next cell. */
static char *ids_of(json_t *devices, char **nodes) {
    json_auto_t *ids = json_array(), *seen = json_object(), *names = json_array();
    const char *node;
    json_t *list, *id;
    size_t i;
    json_object_foreach(devices, node, list) {
        if (strcmp(node, "-1"))
            json_array_append_new(names, json_string(node));
        json_array_foreach(list, i, id) {
            if (!json_object_get(seen, json_string_value(id)))
                json_array_append(ids, id);
            json_object_set(seen, json_string_value(id), json_true());
        }
    }
    *nodes = joined(names, ",");
    return joined(ids, " ");
}

static json_t *names_of_pods(const json_t *checkpoint) {
    json_t *labels = json_object(), *pod;
    size_t i;
    json_array_foreach(json_object_get(checkpoint, "pods"), i, pod) {
        DM_FREE char *label = ctl_pod_label(text(pod, "uid"), text(pod, "namespace"), text(pod, "name"));
        json_object_set_new(labels, text(pod, "uid"), dm_json_text(label));
    }
    return labels;
}

static void print_claims(const json_t *checkpoint) {
    static const char *const heads[] = {"POD", "CONTAINER", "RESOURCE", "NUMA", "DEVICES", "UID", NULL};
    DM_CLEANUP(table_freep) struct table *t = table_new(heads);
    json_auto_t *labels = names_of_pods(checkpoint);
    json_t *entries = json_object_get(checkpoint, "entries"), *row;
    size_t i;
    json_array_foreach(entries, i, row) {
        DM_FREE char *nodes = NULL;
        DM_FREE char *ids = ids_of(json_object_get(row, "devices"), &nodes);
        const char *uid = text(row, "pod"), *label = text(labels, uid);
        table_add(t, PLAIN, *label ? label : uid);
        table_add(t, PLAIN, text(row, "container"));
        table_add(t, PLAIN, text(row, "resource"));
        table_add(t, PLAIN, nodes);
        table_add(t, PLAIN, ids);
        table_add(t, PLAIN, uid);
    }
    if (json_array_size(entries))
        table_print(t);
    else
        puts("no pod holds a device");
}

static void print_registered(const json_t *checkpoint) {
    const char *resource;
    json_t *registered = json_object_get(checkpoint, "registered"), *ids;
    json_object_foreach(registered, resource, ids) {
        DM_FREE char *line =
            dm_printf("%s: %zu healthy devices when it was written", resource, json_array_size(ids));
        print_coloured(PLAIN, line);
        putchar('\n');
    }
}

static void show_text(const json_t *checkpoint) {
    json_t *warning;
    size_t i;
    print_claims(checkpoint);
    print_registered(checkpoint);
    json_array_foreach(json_object_get(checkpoint, "warnings"), i, warning) {
        DM_FREE char *line = dm_printf("warning: %s", json_string_value(warning));
        print_coloured(YELLOW, line);
        putchar('\n');
    }
}

/* ---- verify ---------------------------------------------------------------------------------------------------- */

static void verify_text(const char *path, const struct dm_snapshot *s, const struct dm_checkpoint_report *r) {
    DM_FREE char *line =
        dm_printf("%s: good: %zu claims of %s, checksum %u", path, s->n_claims,
                  r->extension ? "devmgr" : "a kubelet (no data of devmgr's own)", r->checksum);
    print_coloured(PLAIN, line);
    putchar('\n');
    if (r->dropped)
        printf("  %zu claims dropped: their answer cannot be read\n", r->dropped);
    if (*r->warning) {
        print_coloured(YELLOW, "  warning: ");
        print_coloured(PLAIN, r->warning);
        putchar('\n');
    }
}

static int bad_file(const struct ctl *c, const char *path, devmgr_error *err, bool verify) {
    if (c->output == OUT_JSON && verify) {
        json_t *o = json_object();
        json_object_set_new(o, "usable", json_false());
        json_object_set_new(o, "error", dm_json_text(err->message));
        json_object_set_new(o, "checksum", json_integer(0));
        json_object_set_new(o, "extension", json_false());
        json_object_set_new(o, "claims", json_integer(0));
        json_object_set_new(o, "warnings", json_array());
        dm_json_print(o, stdout);
    }
    dm_error_wrap(err, "%s", path);
    return ctl_fail(err);
}

static void verify_json(const struct dm_snapshot *s, const struct dm_checkpoint_report *r) {
    json_t *o = json_object(), *warnings = json_array();
    if (*r->warning)
        json_array_append_new(warnings, dm_json_text(r->warning));
    json_object_set_new(o, "usable", json_true());
    json_object_set_new(o, "error", json_string(""));
    json_object_set_new(o, "checksum", json_integer(r->checksum));
    json_object_set_new(o, "extension", json_boolean(r->extension));
    json_object_set_new(o, "claims", json_integer((json_int_t)s->n_claims));
    json_object_set_new(o, "warnings", warnings);
    dm_json_print(o, stdout);
}

/* ---- the command ----------------------------------------------------------------------------------------------- */

static void print(const struct ctl *c, const char *path, bool verify, const struct dm_snapshot *s,
                  const struct dm_checkpoint_report *report) {
    json_t *json = verify ? NULL : dm_checkpoint_json(s, report);
    if (verify && c->output == OUT_JSON)
        verify_json(s, report);
    else if (verify)
        verify_text(path, s, report);
    else if (c->output == OUT_JSON)
        dm_json_print(json_incref(json), stdout);
    else
        show_text(json);
    json_decref(json);
}

int cmd_checkpoint(struct ctl *c) {
    DM_CLEANUP(dm_buf_free) struct dm_buf file = {0};
    DM_CLEANUP(dm_snapshot_freep) struct dm_snapshot *snapshot = NULL;
    struct dm_checkpoint_report report = {0};
    devmgr_error err;
    if (ctl_operands(c, 2, 2, c->n_operands ? "FILE" : "show or verify"))
        return EXIT_USAGE;
    bool verify = !strcmp(c->operands[0], "verify");
    const char *path = c->operands[1];
    if (!verify && strcmp(c->operands[0], "show")) {
        dm_error_set(&err, -EINVAL, "%s: must be show or verify", c->operands[0]);
        return ctl_misused(c, &err);
    }
    if (read_file(path, &file, &err) < 0) {
        dm_error_wrap(&err, "%s", path);
        return ctl_fail(&err);
    }
    if (dm_checkpoint_parse(dm_buf_span(&file), NULL, &snapshot, &report, &err) < 0)
        return bad_file(c, path, &err, verify);
    print(c, path, verify, snapshot, &report);
    return EXIT_GOOD;
}
