/* admit.c -- devmgrctl admit: the manifest's text to the daemon, one result each back. */
#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "ctl.h"
#include <string.h>

enum { MAX_FILE = 8 << 20 };

struct admit {
    struct ctl *c;
    int status; /* the highest so far */
};

/* ---- the file -------------------------------------------------------------------------------------------------- */

static int read_all(FILE *f, struct dm_buf *out, devmgr_error *reterr) {
    size_t n;
    do {
        n = fread(dm_buf_reserve(out, 65536), 1, 65536, f);
        out->len += n;
        if (out->len > MAX_FILE)
            return dm_error_set(reterr, -EFBIG, "over %d MiB", MAX_FILE >> 20);
    } while (n);
    return ferror(f) ? dm_error_errno(reterr, "reading") : 0;
}

int ctl_read_file(const char *path, struct dm_buf *out, devmgr_error *reterr) {
    if (!strcmp(path, "-"))
        return read_all(stdin, out, reterr);
    FILE *f = fopen(path, "re");
    if (!f)
        return dm_error_set(reterr, -errno, "%s", strerror(errno));
    int r = read_all(f, out, reterr);
    fclose(f);
    return r;
}

/* ---- the result ------------------------------------------------------------------------------------------------ */

static int status_of(int verdict) {
    switch (verdict) {
    case DEVMGR_ADMITTED:
        return EXIT_GOOD;
    case DEVMGR_NOT_YET:
        return EXIT_NOT_YET;
    case DEVMGR_REFUSED:
        return EXIT_REFUSED;
    default:
        return EXIT_FAILED;
    }
}

static char *node_counts(json_t *numa) {
    struct dm_buf b = {0};
    const char *node;
    json_t *n;
    json_object_foreach(numa, node, n) {
        if (strcmp(node, "-1"))
            dm_buf_printf(&b, "%s%lld on NUMA node %s", b.len ? ", " : "  (",
                          (long long)json_integer_value(n), node);
    }
    if (b.len)
        dm_buf_putc(&b, ')');
    return dm_buf_steal(&b);
}

static void print_held(json_t *admission) {
    const char *container, *resource;
    json_t *resources, *held;
    json_object_foreach(json_object_get(admission, "containers"), container, resources) {
        json_object_foreach(resources, resource, held) {
            DM_FREE char *ids = joined(json_object_get(held, "ids"), " ");
            DM_FREE char *nodes = node_counts(json_object_get(held, "numa"));
            DM_FREE char *line = dm_printf("  %s: %s: %s%s", container, resource, ids, nodes);
            print_coloured(PLAIN, line);
            putchar('\n');
        }
    }
}

static void print_why_not(const struct dm_admission *a) {
    const devmgr_admission *r = a->result;
    char wait[32];
    DM_FREE char *line =
        dm_printf("  %s%s%s", a->cause, *a->cause ? ": " : "", *r->detail ? r->detail : r->message);
    print_coloured(PLAIN, line);
    putchar('\n');
    if (r->verdict == DEVMGR_NOT_YET && r->retry_after_ms)
        printf("  try again in %s, or wait with --wait\n",
               dm_text_duration_format(r->retry_after_ms, wait, sizeof wait));
}

static void print_text(const struct dm_admission *a) {
    static const char *const words[] = {"admitted", "not yet", "refused", "canceled"};
    static const enum colour colours[] = {GREEN, YELLOW, RED, YELLOW};
    int verdict = a->result->verdict;
    bool known = verdict >= 0 && (size_t)verdict < DM_COUNT(words);
    DM_FREE char *label = ctl_pod_label(a->pod_uid, a->pod_namespace, a->pod_name);
    print_coloured(PLAIN, label);
    printf(": ");
    print_coloured(known ? colours[verdict] : RED, known ? words[verdict] : "other");
    putchar('\n');
    if (verdict != DEVMGR_ADMITTED) {
        print_why_not(a);
        return;
    }
    json_auto_t *json = dm_json_admission(a);
    print_held(json);
}

static int show(void *arg, const struct dm_admission *a) {
    struct admit *admit = arg;
    int status = status_of(a->result->verdict);
    if (status > admit->status)
        admit->status = status;
    if (admit->c->output == OUT_JSON)
        dm_json_print(dm_json_admission(a), stdout);
    else
        print_text(a);
    fflush(stdout); /* the next one may wait for long */
    return 0;
}

/* ---- the command ----------------------------------------------------------------------------------------------- */

static int read_wait(struct ctl *c, uint64_t *ret_ms) {
    devmgr_error err;
    bool wait = dm_args_has(&c->args, "wait");
    *ret_ms = wait ? UINT64_MAX : 0;
    if (dm_args_duration(&c->args, "timeout", ret_ms, &err) < 0)
        return ctl_misused(c, &err);
    if (!wait && dm_args_has(&c->args, "timeout")) {
        dm_error_set(&err, -EINVAL, "--timeout: needs --wait");
        return ctl_misused(c, &err);
    }
    return 0;
}

int cmd_admit(struct ctl *c) {
    DM_CLEANUP(dm_buf_free) struct dm_buf manifest = {0};
    struct admit admit = {.c = c};
    const char *file = dm_args_get(&c->args, "file");
    uint64_t wait_ms;
    devmgr_error err;
    if (ctl_operands(c, 0, 0, NULL) || read_wait(c, &wait_ms))
        return EXIT_USAGE;
    if (!file) {
        dm_error_set(&err, -EINVAL, "-f POD is missing");
        return ctl_misused(c, &err);
    }
    const char *name = strcmp(file, "-") ? file : "stdin";
    if (ctl_read_file(file, &manifest, &err) < 0) {
        dm_error_wrap(&err, "%s", name);
        return ctl_fail(&err);
    }
    if (ctl_connect(c, 0, &err) < 0)
        return ctl_fail(&err);
    int r = dm_client_admit(c->client, manifest.data, manifest.len, wait_ms, show, &admit, &err);
    if (r >= 0)
        return admit.status;
    if (r == DEVMGR_EINVALID)
        dm_error_wrap(&err, "%s", name);
    int failed = ctl_fail(&err);
    return admit.status > failed ? admit.status : failed;
}
