/* show.c -- resources, devices, pods: one table each. */
#include "base/mem.h"
#include "ctl.h"
#include <string.h>

static const char *text(const json_t *row, const char *key) {
    const char *s = json_string_value(json_object_get(row, key));
    return s ? s : "";
}

static enum colour colour_of(const char *word) {
    static const struct {
        const char *word;
        enum colour colour;
    } table[] = {{"Healthy", GREEN},   {"Unhealthy", RED},   {"Unknown", YELLOW}, {"Missing", RED},
                 {"connected", GREEN}, {"starting", YELLOW}, {"gone", RED},       {"removed", RED}};
    for (size_t i = 0; i < DM_COUNT(table); i++)
        if (!strcmp(table[i].word, word))
            return table[i].colour;
    return PLAIN;
}

/* Nothing to show: the list is empty on stdout, the reason for people is not. */
static int nothing(const char *why) {
    fprintf(stderr, "devmgrctl: %s\n", why);
    return EXIT_GOOD;
}

/* ---- resources ------------------------------------------------------------------------------------------------- */

static int add_resource(void *rows, const devmgr_resource *r) {
    json_array_append_new(rows, dm_json_resource(r));
    return 0;
}

static void add_number(struct table *t, const json_t *row, const char *key) {
    DM_FREE char *number = dm_printf("%lld", (long long)json_integer_value(json_object_get(row, key)));
    table_add(t, PLAIN, number);
}

static int resources_text(const json_t *rows) {
    static const char *const heads[] = {"RESOURCE",  ">CAPACITY", ">ALLOCATABLE", ">HELD",
                                        ">RESERVED", "PLUGIN",    "LAST ERROR",   NULL};
    DM_CLEANUP(table_freep) struct table *t = table_new(heads);
    json_t *row;
    size_t i;
    if (!json_array_size(rows))
        return nothing("no resources: no device plugin has registered yet");
    json_array_foreach(rows, i, row) {
        table_add(t, PLAIN, text(row, "name"));
        add_number(t, row, "capacity");
        add_number(t, row, "allocatable");
        add_number(t, row, "held");
        add_number(t, row, "reserved");
        table_add(t, colour_of(text(row, "plugin")), text(row, "plugin"));
        table_add(t, PLAIN, text(row, "last_error"));
    }
    table_print(t);
    return EXIT_GOOD;
}

int cmd_resources(struct ctl *c) {
    static const char *const keys[3] = {"name"};
    json_auto_t *rows = json_array();
    devmgr_error err;
    if (ctl_operands(c, 0, 0, NULL))
        return EXIT_USAGE;
    if (ctl_connect(c, 0, &err) < 0 || dm_client_each_resource(c->client, add_resource, rows, &err) < 0)
        return ctl_fail(&err);
    if (c->output == OUT_TEXT) {
        dm_json_sort(rows, keys);
        if (!dm_args_has(&c->args, "verbose") || !json_array_size(rows))
            return resources_text(rows);
        return ctl_print_nodes(c, rows, &err) < 0 ? ctl_fail(&err) : EXIT_GOOD;
    }
    dm_json_print(dm_json_list("resources", json_incref(rows), keys), stdout);
    return EXIT_GOOD;
}

/* ---- devices --------------------------------------------------------------------------------------------------- */

static int add_device(void *rows, const devmgr_device *d) {
    json_array_append_new(rows, dm_json_device(d));
    return 0;
}

static int add_label(void *labels, const devmgr_held_pod *p) {
    DM_FREE char *label = ctl_pod_label(p->uid, p->namespace_, p->name);
    json_object_set_new(labels, p->uid, dm_json_text(label));
    return 0;
}

static int devices_text(const json_t *rows, const json_t *labels) {
    static const char *const heads[] = {"RESOURCE", "DEVICE", "HEALTH", "NUMA", "POD", "CONTAINER", NULL};
    DM_CLEANUP(table_freep) struct table *t = table_new(heads);
    json_t *row;
    size_t i;
    if (!json_array_size(rows))
        return nothing("no devices");
    json_array_foreach(rows, i, row) {
        DM_FREE char *numa = joined(json_object_get(row, "numa"), ",");
        const char *pod = text(row, "pod"), *label = text(labels, pod);
        table_add(t, PLAIN, text(row, "resource"));
        table_add(t, PLAIN, text(row, "id"));
        table_add(t, colour_of(text(row, "health")), text(row, "health"));
        table_add(t, PLAIN, numa);
        table_add(t, PLAIN, *label ? label : pod);
        table_add(t, PLAIN, text(row, "container"));
    }
    table_print(t);
    return EXIT_GOOD;
}

int cmd_devices(struct ctl *c) {
    static const char *const keys[3] = {"resource", "id"};
    json_auto_t *rows = json_array(), *labels = json_object();
    devmgr_error err;
    if (ctl_operands(c, 0, 1, NULL))
        return EXIT_USAGE;
    const char *resource = c->n_operands ? c->operands[0] : NULL;
    if (ctl_connect(c, 0, &err) < 0 || dm_client_each_device(c->client, resource, add_device, rows, &err) < 0)
        return ctl_fail(&err);
    if (c->output == OUT_JSON) {
        dm_json_print(dm_json_list("devices", json_incref(rows), keys), stdout);
        return EXIT_GOOD;
    }
    if (dm_client_each_pod(c->client, NULL, add_label, labels, &err) < 0)
        return ctl_fail(&err);
    return devices_text(rows, labels); /* in the daemon's order, which is natural */
}

/* ---- pods ------------------------------------------------------------------------------------------------------ */

static int add_pod(void *rows, const devmgr_held_pod *p) {
    json_array_append_new(rows, dm_json_pod(p));
    return 0;
}

static void add_pod_row(struct table *t, const json_t *pod, const char *container, const char *resource,
                        const json_t *ids) {
    DM_FREE char *label = ctl_pod_label(text(pod, "uid"), text(pod, "namespace"), text(pod, "name"));
    DM_FREE char *devices = joined(ids, " ");
    table_add(t, PLAIN, label);
    table_add(t, PLAIN, container);
    table_add(t, PLAIN, resource);
    table_add(t, PLAIN, devices);
    table_add(t, PLAIN, text(pod, "uid"));
}

static void add_pod_rows(struct table *t, json_t *pod) {
    json_t *containers = json_object_get(pod, "containers"), *resources, *ids;
    const char *container, *resource;
    if (!json_object_size(containers))
        add_pod_row(t, pod, "", "", NULL);
    json_object_foreach(containers, container, resources) {
        if (!json_object_size(resources))
            add_pod_row(t, pod, container, "", NULL);
        json_object_foreach(resources, resource, ids) {
            add_pod_row(t, pod, container, resource, ids);
        }
    }
}

static int pods_text(const json_t *rows) {
    static const char *const heads[] = {"POD", "CONTAINER", "RESOURCE", "DEVICES", "UID", NULL};
    DM_CLEANUP(table_freep) struct table *t = table_new(heads);
    json_t *row;
    size_t i;
    if (!json_array_size(rows))
        return nothing("no pods");
    json_array_foreach(rows, i, row) {
        add_pod_rows(t, row);
    }
    table_print(t);
    return EXIT_GOOD;
}

int cmd_pods(struct ctl *c) {
    static const char *const keys[3] = {"namespace", "name", "uid"};
    json_auto_t *rows = json_array();
    devmgr_error err;
    uint64_t revision = 0;
    if (ctl_operands(c, 0, 0, NULL))
        return EXIT_USAGE;
    if (ctl_connect(c, 0, &err) < 0 || dm_client_each_pod(c->client, &revision, add_pod, rows, &err) < 0)
        return ctl_fail(&err);
    dm_json_sort(rows, keys);
    if (c->output == OUT_TEXT)
        return pods_text(rows);
    json_t *o = json_object();
    json_object_set_new(o, "revision", json_integer((json_int_t)revision));
    json_object_set(o, "pods", rows);
    dm_json_print(o, stdout);
    return EXIT_GOOD;
}
