/* config.c -- devmgr_config: settings by key, and from a file in devmgrd.conf(5)'s form.
 *
 * The file is `key = value`, keys as the long options, `[resource example.com/gpu]` begins settings of one resource.
 * An error names file, line and what is allowed; nothing of a bad file is kept. */
#include "config.h"
#include "base/error.h"
#include "base/mem.h"
#include <ini.h>
#include <stdio.h>
#include <string.h>

devmgr_config *devmgr_config_new(void) {
    devmgr_config *c = DM_NEW(devmgr_config);
    dm_settings_init(&c->settings);
    return c;
}

int devmgr_config_set(devmgr_config *c, const char *key, const char *value, devmgr_error *reterr) {
    return dm_settings_set(&c->settings, key, value, reterr);
}

void devmgr_config_free(devmgr_config *c) {
    if (!c)
        return;
    dm_settings_free(&c->settings);
    free(c);
}

static int visit_setting(const struct dm_settings *s, const char *key,
                         int (*visit)(void *, const char *, const char *), void *arg) {
    DM_FREE char *value = dm_settings_get(s, key);
    return visit(arg, key, value);
}

/* A resource's own settings: those that differ from the defaults. */
static int visit_resource(const struct dm_settings *s, const char *resource,
                          int (*visit)(void *, const char *, const char *), void *arg) {
    size_t n;
    const struct dm_setting *table = dm_settings_table(&n);
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (!table[i].per_resource)
            continue;
        DM_FREE char *key = dm_printf("%s@%s", table[i].key, resource);
        DM_FREE char *own = dm_settings_get(s, key), *common = dm_settings_get(s, table[i].key);
        if (strcmp(own, common))
            rc = visit(arg, key, own);
    }
    return rc;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int devmgr_config_each(const devmgr_config *c, int (*visit)(void *, const char *key, const char *value),
                       void *arg) {
    size_t n, resources = 0;
    const struct dm_setting *table = dm_settings_table(&n);
    DM_FREE const char **names = dm_alloc_array(c->settings.per_resource.n, sizeof *names);
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = visit_setting(&c->settings, table[i].key, visit, arg);
    for (size_t it = 0; dm_map_next(&c->settings.per_resource, &it, &names[resources]);)
        resources++;
    qsort(names, resources, sizeof *names, by_name);
    for (size_t i = 0; i < resources && rc == 0; i++)
        rc = visit_resource(&c->settings, names[i], visit, arg);
    return rc;
}

struct load {
    struct dm_settings settings;
    const char *file;
    devmgr_error *reterr;
    int line, rc;
    FILE *in;
};

/* inih does not tell the handler the line; its reader passes through here, so count there. */
static char *read_line(char *out, int size, void *stream) {
    struct load *l = stream;
    char *line = fgets(out, size, l->in);
    l->line += line != NULL;
    return line;
}

static int refuse(struct load *l, const char *what) {
    l->rc = dm_error_set(l->reterr, DEVMGR_EINVALID, "%s: line %d: %s", l->file, l->line, what);
    return 0; /* inih: stop */
}

static int on_value(void *arg, const char *section, const char *key, const char *value) {
    struct load *l = arg;
    devmgr_error err;
    if (l->rc < 0)
        return 0;
    const char *resource =
        !strncmp(section, "resource ", 9) ? section + 9 + strspn(section + 9, " \t") : NULL;
    if (*section && !resource)
        return refuse(l, "unknown section; [resource NAME] is the only one");
    DM_FREE char *full = resource ? dm_printf("%s@%s", key, resource) : dm_strdup(key);
    return dm_settings_set(&l->settings, full, value, &err) < 0 ? refuse(l, err.message) : 1;
}

static int load_stream(struct load *l) {
    int rc = ini_parse_stream(read_line, l, on_value, l);
    if (l->rc == 0 && rc != 0)
        l->rc = dm_error_set(l->reterr, DEVMGR_EINVALID, "%s: line %d: not `key = value`", l->file,
                             rc > 0 ? rc : l->line);
    return l->rc;
}

int devmgr_config_load(devmgr_config *c, const char *file, devmgr_error *reterr) {
    struct load l = {.file = file, .reterr = reterr, .in = fopen(file, "re")};
    if (!l.in)
        return dm_error_errno(reterr, "%s", file);
    dm_settings_copy(&l.settings, &c->settings);
    int rc = load_stream(&l);
    fclose(l.in);
    if (rc < 0) {
        dm_settings_free(&l.settings);
        return rc;
    }
    dm_settings_free(&c->settings);
    c->settings = l.settings;
    return 0;
}
