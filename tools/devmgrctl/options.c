/* options.c -- devmgrctl options: what a container must be created with. */
#include "base/buf.h"
#include "base/mem.h"
#include "ctl.h"
#include <string.h>

/* ---- -o flags -------------------------------------------------------------------------------------------------- */

/* One word for a shell; plain when it is plain. */
static void add_word(struct dm_buf *b, const char *text) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,@%+";
    if (*text && !text[strspn(text, plain)]) {
        dm_buf_puts(b, text);
        return;
    }
    dm_buf_putc(b, '\'');
    for (; *text; text++) {
        if (*text == '\'')
            dm_buf_puts(b, "'\\''");
        else
            dm_buf_putc(b, *text);
    }
    dm_buf_putc(b, '\'');
}

static void add_flag(struct dm_buf *b, const char *flag, char *value) {
    dm_buf_printf(b, "%s%s ", b->len ? " " : "", flag);
    add_word(b, value);
    free(value);
}

static void print_flags(const devmgr_options *o) {
    DM_CLEANUP(dm_buf_free) struct dm_buf b = {0};
    for (size_t i = 0; i < o->n_devices; i++) {
        const devmgr_device_node *d = o->devices[i];
        add_flag(&b, "--device",
                 dm_printf("%s:%s%s%s", d->host_path, d->container_path, *d->permissions ? ":" : "",
                           d->permissions));
    }
    for (size_t i = 0; i < o->n_cdi_devices; i++)
        add_flag(&b, "--device", dm_strdup(o->cdi_devices[i]));
    for (size_t i = 0; i < o->n_mounts; i++) {
        const devmgr_mount *m = o->mounts[i];
        add_flag(&b, "--volume",
                 dm_printf("%s:%s%s", m->host_path, m->container_path, m->read_only ? ":ro" : ""));
    }
    for (size_t i = 0; i < o->n_envs; i++)
        add_flag(&b, "--env", dm_printf("%s=%s", o->envs[i]->name, o->envs[i]->value));
    for (size_t i = 0; i < o->n_annotations; i++)
        add_flag(&b, "--annotation", dm_printf("%s=%s", o->annotations[i]->name, o->annotations[i]->value));
    printf("%s\n", b.data ? b.data : "");
}

/* ---- text ------------------------------------------------------------------------------------------------------ */

static void add_row(struct table *t, const char *kind, const char *inside, const char *value,
                    const char *mode) {
    table_add(t, PLAIN, kind);
    table_add(t, PLAIN, inside);
    table_add(t, PLAIN, value);
    table_add(t, PLAIN, mode);
}

static void print_text(const devmgr_options *o) {
    static const char *const heads[] = {"KIND", "IN THE CONTAINER", "VALUE OR HOST PATH", "MODE", NULL};
    DM_CLEANUP(table_freep) struct table *t = table_new(heads);
    for (size_t i = 0; i < o->n_envs; i++)
        add_row(t, "env", o->envs[i]->name, o->envs[i]->value, "");
    for (size_t i = 0; i < o->n_mounts; i++)
        add_row(t, "mount", o->mounts[i]->container_path, o->mounts[i]->host_path,
                o->mounts[i]->read_only ? "ro" : "rw");
    for (size_t i = 0; i < o->n_devices; i++)
        add_row(t, "device", o->devices[i]->container_path, o->devices[i]->host_path,
                o->devices[i]->permissions);
    for (size_t i = 0; i < o->n_annotations; i++)
        add_row(t, "annotation", o->annotations[i]->name, o->annotations[i]->value, "");
    for (size_t i = 0; i < o->n_cdi_devices; i++)
        add_row(t, "cdi", o->cdi_devices[i], "", "");
    if (o->n_envs + o->n_mounts + o->n_devices + o->n_annotations + o->n_cdi_devices)
        table_print(t);
    else
        puts("nothing to add: the container holds no devices");
}

/* ---- the command ----------------------------------------------------------------------------------------------- */

static int show(void *arg, const devmgr_options *options) {
    const struct ctl *c = arg;
    if (c->output == OUT_JSON)
        dm_json_print(dm_json_options(options), stdout);
    else if (c->output == OUT_FLAGS)
        print_flags(options);
    else
        print_text(options);
    return 0;
}

int cmd_options(struct ctl *c) {
    DM_FREE char *uid = NULL;
    devmgr_error err;
    if (ctl_operands(c, 2, 2, c->n_operands ? "CONTAINER" : "POD"))
        return EXIT_USAGE;
    const char *pod = c->operands[0];
    unsigned flags = dm_args_has(&c->args, "dry-run") ? DEVMGR_NO_PRESTART : 0;
    if (ctl_connect(c, 0, &err) < 0 || ctl_find_pod(c, pod, &uid, &err) < 0)
        return ctl_fail(&err);
    if (!uid) /* as any container without devices: nothing is added. But maybe it is a slip of the pen */
        fprintf(stderr, "devmgrctl: %s: no such pod is known here; admit it first\n", pod);
    return dm_client_options(c->client, uid ? uid : pod, c->operands[1], flags, show, c, &err) < 0
               ? ctl_fail(&err)
               : EXIT_GOOD;
}
