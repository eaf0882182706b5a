/* release.c -- devmgrctl release and sync: what ended. */
#include "base/mem.h"
#include "ctl.h"
#include <string.h>

static int add_uid(void *rows, const char *uid) {
    json_array_append_new(rows, dm_json_text(uid));
    return 0;
}

static int print_released(const struct ctl *c, json_t *rows, const char *verb, const char *nothing) {
    json_t *row;
    size_t i;
    if (c->output == OUT_JSON) {
        dm_json_print(dm_json_list("released", json_incref(rows), NULL), stdout);
        return EXIT_GOOD;
    }
    dm_json_sort(rows, NULL);
    json_array_foreach(rows, i, row) {
        printf("%s ", verb);
        print_coloured(PLAIN, json_string_value(row));
        putchar('\n');
    }
    if (!json_array_size(rows))
        fprintf(stderr, "devmgrctl: %s\n", nothing);
    return EXIT_GOOD;
}

/* A pod that holds nothing may still have an admission in flight, under the uid that it gave or that a manifest without
 * one gets. Releasing a uid that is not known does nothing. */
static int release_unheld(struct ctl *c, const char *pod, json_t *rows, devmgr_error *reterr) {
    const char *slash = strchr(pod, '/');
    DM_FREE char *made =
        slash ? dm_printf("%.*s_%s", (int)(slash - pod), pod, slash + 1) : dm_printf("default_%s", pod);
    int r = slash ? 0 : dm_client_release(c->client, pod, add_uid, rows, reterr);
    return r < 0 ? r : dm_client_release(c->client, made, add_uid, rows, reterr);
}

int cmd_release(struct ctl *c) {
    json_auto_t *rows = json_array();
    DM_FREE char *uid = NULL;
    devmgr_error err;
    if (ctl_operands(c, 1, 1, "POD"))
        return EXIT_USAGE;
    if (ctl_connect(c, 0, &err) < 0 || ctl_find_pod(c, c->operands[0], &uid, &err) < 0)
        return ctl_fail(&err);
    int r = uid ? dm_client_release(c->client, uid, add_uid, rows, &err)
                : release_unheld(c, c->operands[0], rows, &err);
    return r < 0 ? ctl_fail(&err)
                 : print_released(c, rows, "released", "nothing to release: it holds no devices");
}

/* ---- sync ------------------------------------------------------------------------------------------------------ */

static int read_sync(struct ctl *c, uint64_t *as_of) {
    bool none = dm_args_has(&c->args, "none");
    devmgr_error err;
    int r = dm_args_u64(&c->args, "as-of", 1, UINT64_MAX, as_of, &err);
    if (r == 0 && !c->n_operands && !none)
        r = dm_error_set(&err, -EINVAL,
                         "UID is missing; --none says that no pod lives and releases everything");
    if (r == 0 && c->n_operands && none)
        r = dm_error_set(&err, -EINVAL, "--none: but %s lives?", c->operands[0]);
    return r < 0 ? ctl_misused(c, &err) : 0;
}

/* The operands as uids: a name that a held pod has means that pod, or it would be released by mistake. */
static int find_all(struct ctl *c, char **uids, devmgr_error *reterr) {
    int r = ctl_find_pods(c, c->operands, c->n_operands, uids, reterr);
    for (size_t i = 0; r == 0 && i < c->n_operands; i++)
        if (!uids[i])
            uids[i] = dm_strdup(c->operands[i]);
    return r;
}

static int sync_with(struct ctl *c, char **uids, uint64_t as_of, json_t *rows, devmgr_error *reterr) {
    struct dm_info info;
    unsigned flags = dm_args_has(&c->args, "dry-run") ? DEVMGR_DRY_RUN : 0;
    int r = ctl_connect(c, 0, reterr);
    if (r == 0 && !as_of) {
        r = dm_client_info(c->client, &info, reterr);
        as_of = info.revision;
    }
    if (r == 0)
        r = find_all(c, uids, reterr);
    return r < 0 ? r
                 : dm_client_sync(c->client, (const char *const *)uids, c->n_operands, as_of, flags, add_uid,
                                  rows, reterr);
}

int cmd_sync(struct ctl *c) {
    json_auto_t *rows = json_array();
    uint64_t as_of = 0;
    devmgr_error err;
    if (read_sync(c, &as_of))
        return EXIT_USAGE;
    char **uids = dm_alloc_array(c->n_operands + 1, sizeof *uids);
    int r = sync_with(c, uids, as_of, rows, &err);
    for (size_t i = 0; i < c->n_operands; i++)
        free(uids[i]);
    free(uids);
    if (r < 0)
        return ctl_fail(&err);
    bool dry = dm_args_has(&c->args, "dry-run");
    return print_released(c, rows, dry ? "would release" : "released", "nothing to release");
}
