/* options.c -- builds devmgrd's option table from the settings' own, so that flags, file and man page agree.
 *
 * The file named by --config is read first, flags and environment win over it, whatever the order on the line. */
#include "daemon/options.h"
#include "base/args.h"
#include "base/mem.h"
#include "base/settings.h"
#include <string.h>

#define DEFAULT_ROOT   "/var/lib/kubelet"
#define DEFAULT_SOCKET "/run/devmgr/devmgr.sock"

static const struct dm_option own_options[] = {
    {"config", "FILE", "read settings from FILE; flags win over it (devmgrd.conf(5))", 0, NULL, NULL, false},
    {"check-config", NULL, "check flags and file, then exit", 0, NULL, NULL, false},
    {"print-config", NULL, "print the settings in effect as a config file, then exit", 0, NULL, NULL, false},
    {NULL, NULL, NULL, 0, NULL, NULL, false}};

static const char *variable(const char *key) {
    return !strcmp(key, "root") ? "DEVMGR_ROOT" : !strcmp(key, "socket") ? "DEVMGR_SOCKET" : NULL;
}

/* One option per row of the settings table; ends with an empty row. The caller frees it and its help texts' block. */
static struct dm_option *setting_options(void) {
    size_t n;
    const struct dm_setting *table = dm_settings_table(&n);
    struct dm_option *options = dm_alloc_array(n + 1, sizeof *options);
    for (size_t i = 0; i < n; i++)
        options[i] = (struct dm_option){.name = table[i].key,
                                        .value = table[i].value_name,
                                        .help = table[i].help,
                                        .alias = table[i].alias,
                                        .env = variable(table[i].key),
                                        .per_resource = table[i].per_resource};
    return options;
}

static int complain(const devmgr_error *err) {
    fprintf(stderr, "devmgrd: %s\n", err->message);
    return 2;
}

static int apply(const struct dm_args *args, devmgr_config *config, devmgr_error *err) {
    const char *file = dm_args_get(args, "config");
    int rc = file ? devmgr_config_load(config, file, err) : 0;
    for (size_t i = 0; i < args->n_given && rc == 0; i++) {
        const struct dm_given *g = &args->given[i];
        if (g->option >= own_options && g->option < own_options + DM_COUNT(own_options))
            continue;
        DM_FREE char *key =
            g->resource ? dm_printf("%s@%s", g->option->name, g->resource) : dm_strdup(g->option->name);
        rc = devmgr_config_set(config, key, g->value, err);
    }
    return rc;
}

static int take_value(void *arg, const char *key, const char *value) {
    struct dm_daemon_options *o = arg;
    struct {
        const char *key;
        char **at;
    } wanted[] = {{"root", &o->root},
                  {"socket", &o->socket},
                  {"socket-group", &o->socket_group},
                  {"log-level", &o->log_level},
                  {"log-format", &o->log_format}};
    for (size_t i = 0; i < DM_COUNT(wanted); i++)
        if (!strcmp(key, wanted[i].key))
            *wanted[i].at = dm_strdup(value);
    return 0;
}

static void derive(struct dm_daemon_options *o) {
    devmgr_config_each(o->config, take_value, o);
    if (*o->socket)
        return;
    free(o->socket);
    o->socket =
        strcmp(o->root, DEFAULT_ROOT) ? dm_printf("%s/devmgr.sock", o->root) : dm_strdup(DEFAULT_SOCKET);
}

static int read_args(int argc, char **argv, const struct dm_usage *usage, struct dm_daemon_options *o) {
    DM_CLEANUP(dm_args_free) struct dm_args args = {0};
    devmgr_error err;
    if (dm_args_parse(usage, argc, argv, &args, &err) < 0)
        return complain(&err);
    if (dm_args_answered(&args, usage, stdout))
        return 0;
    if (dm_args_operands(&args, 0, 0, NULL, &err) < 0 || apply(&args, o->config, &err) < 0)
        return complain(&err);
    o->check_config = dm_args_has(&args, "check-config");
    o->print_config = dm_args_has(&args, "print-config");
    derive(o);
    return -1;
}

int dm_daemon_options_read(int argc, char **argv, struct dm_daemon_options *ret) {
    DM_FREE struct dm_option *settings = setting_options();
    const struct dm_option_group groups[] = {{"Options", own_options}, {"Settings", settings}, {NULL, NULL}};
    const struct dm_usage usage = {
        .program = "devmgrd",
        .synopsis = "[--root DIR] [--socket PATH] [--config FILE] [--SETTING VALUE]...",
        .summary = "Serves kubelet.sock to Kubernetes device plugins and hands out their devices, without a "
                   "kubelet.",
        .groups = groups,
        .notes = "A setting of one resource: --allocate-timeout@example.com/gpu 5s. All are explained in "
                 "devmgrd.conf(5).\n"
                 "Prints \"ready\" on stdout when it serves. SIGTERM: finishes its writes and exits 0.",
        .example = "devmgrd --root /tmp/node --allocate-timeout 5s"};
    *ret = (struct dm_daemon_options){.config = devmgr_config_new()};
    return read_args(argc, argv, &usage, ret);
}

struct print {
    char *section;
};

static int print_value(void *arg, const char *key, const char *value) {
    struct print *p = arg;
    const char *at = strchr(key, '@');
    if (at && (!p->section || strcmp(p->section, at + 1))) {
        free(p->section);
        p->section = dm_strdup(at + 1);
        printf("\n[resource %s]\n", p->section);
    }
    if (!*value)
        printf("# %s =\n", key);
    else
        printf("%.*s = %s\n", at ? (int)(at - key) : (int)strlen(key), key, value);
    return 0;
}

void dm_daemon_options_print(const struct dm_daemon_options *o) {
    struct print p = {NULL};
    devmgr_config_each(o->config, print_value, &p);
    free(p.section);
}

void dm_daemon_options_free(struct dm_daemon_options *o) {
    devmgr_config_free(o->config);
    free(o->root), free(o->socket), free(o->socket_group), free(o->log_level), free(o->log_format);
}
