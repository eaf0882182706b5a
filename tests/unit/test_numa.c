/* Where the machine's NUMA nodes come from: a folder as the kernel makes it, or a setting. */
#include "base/mem.h"
#include "check.h"
#include "devmgr.h"
#include "numa.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];

static void file(const char *name, const char *text) {
    DM_FREE char *path = dm_printf("%s/%s", root, name);
    char *slash = strrchr(path, '/');
    *slash = 0;
    mkdir(path, 0755);
    *slash = '/';
    FILE *f = fopen(path, "w");
    CHECK(f);
    fputs(text, f);
    fclose(f);
}

static void machine(const char *online) {
    strcpy(root, "/tmp/devmgr-numa-XXXXXX");
    CHECK(mkdtemp(root));
    if (online)
        file("online", online);
}

static void demolish(void) {
    DM_FREE char *cmd = dm_printf("rm -rf '%s'", root);
    CHECK_INT(system(cmd), 0);
}

/* "0,8 d 10,32/32,10": ids, d: distances are known, and they. */
static const char *seen(void) {
    static char out[2000];
    static devmgr_error err;
    struct dm_numa numa;
    int at = 0;
    if (dm_numa_read(root, &numa, &err) < 0) {
        const char *text = err.message;
        return !strncmp(text, root, strlen(root)) ? text + strlen(root) : text;
    }
    for (size_t i = 0; i < numa.n; i++)
        at += sprintf(out + at, "%s%d", i ? "," : "", numa.ids[i]);
    if (!numa.distances)
        return out;
    at += sprintf(out + at, " d");
    for (size_t i = 0; i < numa.n; i++)
        for (size_t k = 0; k < numa.n; k++)
            at += sprintf(out + at, "%c%u", k ? ',' : i ? '/' : ' ', numa.distance[numa.ids[i]][numa.ids[k]]);
    return out;
}

TEST(nodes_and_distances_as_the_kernel_tells_them) {
    machine("0-1\n");
    file("node0/distance", "10 21\n");
    file("node1/distance", "21 10\n");
    CHECK_STR(seen(), "0,1 d 10,21/21,10");
    demolish();
}

TEST(W17_sparse_ids_have_one_column_for_each_node_that_is_online) {
    machine("0,8,12-13\n");
    file("node0/distance", "10 20 30 40\n");
    file("node8/distance", "20 10 50 60\n");
    file("node12/distance", "30 50 10 70\n");
    file("node13/distance", "40 60 70 10\n");
    CHECK_STR(seen(), "0,8,12,13 d 10,20,30,40/20,10,50,60/30,50,10,70/40,60,70,10");
    demolish();
}

TEST(a_node_that_is_offline_does_not_exist) {
    machine("0,2\n");
    file("node0/distance", "10 20\n");
    file("node1/distance", "20 10\n"); /* a folder, and nobody home */
    file("node2/distance", "20 10\n");
    CHECK_STR(seen(), "0,2 d 10,20/20,10");
    demolish();
}

TEST(distances_that_are_missing_or_do_not_fit_are_not_known) {
    static const char *const rows[] = {"", "10\n", "10 20 30\n", "10 far\n", "10 -20\n"};
    EACH(row, rows) {
        machine("0-1\n");
        file("node0/distance", "10 20\n");
        file("node1/distance", *row);
        CHECK_STR(seen(), "0,1");
        demolish();
    }
    machine("0-1\n");
    CHECK_STR(seen(), "0,1");
    demolish();
}

TEST(a_kernel_without_the_folder_has_one_node) {
    strcpy(root, "/nowhere/at/all");
    CHECK_STR(seen(), "0 d 10");
}

TEST(ids_above_63_are_left_out) {
    machine("0,63-65\n");
    file("node0/distance", "10 20 30 40\n");
    file("node63/distance", "20 10 30 40\n");
    CHECK_STR(seen(), "0,63 d 10,20/20,10");
    demolish();
}

TEST(a_folder_that_says_nothing_usable_is_an_error) {
    static const struct {
        const char *online, *error;
    } rows[] = {{NULL, "/online: No such file or directory"},
                {"", "/online: \"\": no list of NUMA nodes from 0 to 63"},
                {"64\n", "/online: \"64\": no list of NUMA nodes from 0 to 63"},
                {"1-0\n", "/online: \"1-0\": no list of NUMA nodes from 0 to 63"},
                {"0,0\n", "/online: \"0,0\": no list of NUMA nodes from 0 to 63"},
                {"0-99999999999999999999\n",
                 "/online: \"0-99999999999999999999\": no list of NUMA nodes from 0 to 63"},
                {"0;1\n", "/online: \"0;1\": no list of NUMA nodes from 0 to 63"}};
    EACH(row, rows) {
        machine(row->online);
        CHECK_STR(seen(), row->error);
        demolish();
    }
}

/* What devmgr_config_check says to "key=value key=value"; "" when it is content. */
static const char *checked(const char *settings) {
    static devmgr_error err;
    char copy[300], *save = NULL;
    devmgr_config *c = devmgr_config_new();
    snprintf(copy, sizeof copy, "%s", settings);
    for (char *kv = strtok_r(copy, " ", &save); kv; kv = strtok_r(NULL, " ", &save)) {
        char *value = strchr(kv, '=');
        *value++ = 0;
        CHECK_INT(devmgr_config_set(c, kv, value, &err), 0);
    }
    int rc = devmgr_config_check(c, &err);
    devmgr_config_free(c);
    char *ours = rc < 0 ? strstr(err.message, " (topology-policy") : NULL;
    if (ours)
        *ours = 0; /* what the settings are follows */
    return rc < 0 ? err.message : "";
}

TEST(TOPO_30_31_settings_that_the_machine_does_not_allow_are_told_in_the_kubelets_words) {
    static const struct {
        const char *settings, *error;
    } rows[] = {
        {"topology-policy=bogus", "unknown policy: \"bogus\""},
        {"topology-policy=restricted topology-scope=bogus", "unknown scope: \"bogus\""},
        {"topology-policy=restricted topology-option=bogus=1",
         "unknown Topology Manager Policy option: \"bogus\""},
        {"topology-policy=restricted topology-option=max-allowable-numa-nodes=7",
         "the minimum value of \"max-allowable-numa-nodes\" should not be less than 8"},
        {"topology-policy=restricted numa=0;1;2;3;4;5;6;7;8",
         "unsupported on machines with more than 8 NUMA Nodes"},
        {"topology-policy=restricted numa=0;1 topology-option=prefer-closest-numa-nodes=true",
         "cannot discover NUMA topology: error getting NUMA distances from cadvisor"},
        {"topology-policy=none topology-scope=bogus numa=0;1;2;3;4;5;6;7;8", ""},
        {"numa=0:10,20", "numa: node 0 has 2 distances, there are 1 nodes"},
        {"topology-policy=restricted numa-root=/dev/null", "/dev/null: Not a directory"},
        {"numa-root=/dev/null", ""}, /* nobody asks for nodes */
    };
    EACH(row, rows)
    CHECK_STR(checked(row->settings), row->error);
}
