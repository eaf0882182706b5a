/* settings.h -- every setting there is: one table for flags, config file, man page and bindings.
 *
 * A key is a long option without its dashes ("allocate-timeout"), for one resource "KEY@example.com/gpu". Values are
 * text in, typed in the struct. No I/O here: src/config.c reads the file. */
#ifndef DM_BASE_SETTINGS_H
#define DM_BASE_SETTINGS_H
#include "base/map.h"
#include "devmgr.h"
#include <stdbool.h>

/* Settings that one resource may have of its own (KEY@RESOURCE). */
struct dm_resource_settings {
    uint64_t options_timeout, preferred_timeout, allocate_timeout, prestart_timeout, stop_grace; /* ms */
    uint64_t max_devices, max_message;
};
enum dm_unknown_resource { DM_UNKNOWN_WAIT, DM_UNKNOWN_SKIP };
enum dm_serial { DM_SERIAL_RESOURCE, DM_SERIAL_NODE };
enum dm_numa_ids { DM_NUMA_IDS_NORMAL, DM_NUMA_IDS_STRICT };
enum dm_conflicts { DM_CONFLICTS_FIRST, DM_CONFLICTS_REFUSE };

#define DM_INHERIT UINT64_MAX

struct dm_settings {
    char *root;             /* "/var/lib/kubelet"; plugins in root/device-plugins */
    char *numa;             /* "" = read /sys; else "0:10,20;1:20,10" */
    char *numa_root;        /* "/sys/devices/system/node" */
    char *topology_policy;  /* "none" */
    char *topology_scope;   /* "container" */
    char *topology_options; /* "" or "K=V,K=V" (each --topology-option adds one) */
    char *ignore_resources; /* "" or patterns, comma separated: not ours */
    int unknown_resource, serial, numa_ids, conflicts; /* the enums above */
    uint64_t dial_timeout;                             /* ms */
    uint64_t max_id, max_resources, max_registering;
    struct dm_resource_settings defaults;
    struct dm_map
        per_resource; /* resource -> struct dm_resource_settings; DM_INHERIT where nothing was set */
    /* Used by programs only; the library accepts and ignores them. */
    char *socket, *socket_group, *log_level, *log_format, *metrics;
};

struct dm_setting { /* a row of the table, for --help, the man page and completion */
    const char *key, *value_name, *fallback, *help;
    const char *allowed; /* what a value may be, for errors */
    bool per_resource;   /* KEY@RESOURCE works */
    bool program_only;   /* devmgrd's, not the library's */
    const char *alias;   /* the kubelet's flag name, or NULL */
};
const struct dm_setting *dm_settings_table(size_t *n); /* in the order of the man page */

void dm_settings_init(struct dm_settings *s); /* all defaults */
void dm_settings_copy(struct dm_settings *to, const struct dm_settings *from);
void dm_settings_free(struct dm_settings *s);
/* -DEVMGR_EINVALID; the error names key, value and what is allowed. */
int dm_settings_set(struct dm_settings *s, const char *key, const char *value, devmgr_error *reterr);
/* The text that dm_settings_set would take back; "" for an empty one. NULL: no such key. The caller frees. */
char *dm_settings_get(const struct dm_settings *s, const char *key);
/* For one resource: its own where set, else the defaults. */
struct dm_resource_settings dm_settings_for(const struct dm_settings *s, const char *resource);
/* Is an extended resource at all ours to hand out? Not: cpu, memory, hugepages-*, ephemeral-storage, no '/', names
 * containing kubernetes.io/, and what ignore-resources matches. */
bool dm_settings_ours(const struct dm_settings *s, const char *resource);
#endif
