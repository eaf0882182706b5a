/* Settings by key and from a file. */
#include "base/mem.h"
#include "check.h"
#include "config.h"
#include <unistd.h>

static const char *load(const char *text, devmgr_config *c) {
    static devmgr_error err;
    char path[] = "/tmp/devmgr-config-XXXXXX";
    int fd = mkstemp(path);
    CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    int rc = devmgr_config_load(c, path, &err);
    unlink(path);
    return rc == 0                                    ? "ok"
           : strncmp(err.message, path, strlen(path)) ? err.message
                                                      : err.message + strlen(path) + 2;
}

TEST(a_file_sets_keys_and_resources_of_their_own) {
    devmgr_config *c = devmgr_config_new();
    CHECK_STR(load("# comment\nroot = /tmp/x\nallocate-timeout = 1m30s\n[resource example.com/gpu]\n"
                   "allocate-timeout = 5s\n",
                   c),
              "ok");
    CHECK_STR(c->settings.root, "/tmp/x");
    CHECK_INT(dm_settings_for(&c->settings, "a.b/c").allocate_timeout, 90000);
    CHECK_INT(dm_settings_for(&c->settings, "example.com/gpu").allocate_timeout, 5000);
    CHECK_INT(dm_settings_for(&c->settings, "example.com/gpu").prestart_timeout, 30000);
    devmgr_config_free(c);
}

TEST(a_mistake_names_the_line_and_what_is_allowed_and_keeps_nothing) {
    static const struct {
        const char *text, *error;
    } rows[] = {{"root = /a\nallocte-timeout = 5s\n", "line 2: allocte-timeout: no such setting"},
                {"allocate-timeout = 5\n", "line 1: allocate-timeout: \"5\": must be 1ms to 24h"},
                {"serial = both\n", "line 1: serial: \"both\": must be resource, node"},
                {"root = relative\n", "line 1: root: \"relative\": must be an absolute path"},
                {"[resource a.b/c]\nroot = /x\n", "line 2: root@a.b/c: cannot be set for one resource"},
                {"[plugin]\nroot = /x\n", "line 2: unknown section; [resource NAME] is the only one"},
                {"root /x\n", "line 1: not `key = value`"}};
    EACH(row, rows) {
        devmgr_config *c = devmgr_config_new();
        CHECK_STR(load(row->text, c), row->error);
        CHECK_STR(c->settings.root, "/var/lib/kubelet");
        devmgr_config_free(c);
    }
}

TEST(every_setting_reads_back_what_was_set_and_knows_the_kubelets_name) {
    size_t n;
    const struct dm_setting *table = dm_settings_table(&n);
    struct dm_settings s, copy;
    dm_settings_init(&s);
    for (size_t i = 0; i < n; i++) {
        DM_FREE char *value = dm_settings_get(&s, table[i].key);
        CHECK_STR(value, table[i].fallback);
        if (*value)
            CHECK_INT(dm_settings_set(&s, table[i].key, value, NULL), 0);
    }
    CHECK_INT(dm_settings_set(&s, "topology-manager-policy", "restricted", NULL), 0);
    CHECK_INT(dm_settings_set(&s, "topology-option", "a=1", NULL), 0);
    CHECK_INT(dm_settings_set(&s, "topology-option", "b=2", NULL), 0);
    dm_settings_copy(&copy, &s);
    dm_settings_free(&s);
    CHECK_STR(copy.topology_policy, "restricted");
    CHECK_STR(copy.topology_options, "a=1,b=2");
    dm_settings_free(&copy);
}

TEST(what_is_ours_to_hand_out) {
    struct dm_settings s;
    dm_settings_init(&s);
    CHECK_INT(dm_settings_set(&s, "ignore-resources", "vendor.example/*, a.b/c", NULL), 0);
    static const struct {
        const char *resource;
        int ours;
    } rows[] = {{"cpu", 0},
                {"memory", 0},
                {"hugepages-2Mi", 0},
                {"ephemeral-storage", 0},
                {"ex.com/gpu", 1},
                {"vendor.example/x", 0},
                {"a.b/c", 0},
                {"a.b/d", 1},
                {"x.kubernetes.io/y", 0}};
    EACH(row, rows)
    CHECK_INT(dm_settings_ours(&s, row->resource), row->ours);
    dm_settings_free(&s);
}
