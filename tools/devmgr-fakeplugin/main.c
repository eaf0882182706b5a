/* main.c -- devmgr-fakeplugin: a device plugin made of options. Here: the options.
 *
 * plugin.h shows the parts. The man page, share/man/devmgr-fakeplugin.1, is the contract. */
#include "base/args.h"
#include "base/mem.h"
#include "plugin.h"
#include <stdio.h>
#include <string.h>

static const struct dm_option options[] = {
    {"root", "DIR", "plugins live in DIR/device-plugins (/var/lib/kubelet)", .alias = "root-dir",
     .env = "DEVMGR_ROOT"},
    {"resource", "R", "the resource to offer, e.g. example.com/gpu"},
    {"devices", "N", "how many: dev-00000, dev-00001, ... (8)"},
    {"numa", "K", "device i is on NUMA node i mod K; without it devices have no topology"},
    {"socket", "NAME", "file name of the plugin's socket (the resource with / as _, and .sock)"},
    {"prestart", NULL, "ask for PreStartContainer before every container create"},
    {"preferred", "HOW",
     "offer GetPreferredAllocation, answering with the first or last by id, none, or an error"},
    {"latency", "D", "time that Allocate takes (0)"},
    {"answer", "FILE",
     "JSON of what Allocate answers: envs, mounts, devices, annotations, cdi; {id} and {ids} stand "
     "for the devices"},
    {"fault", "RPC:WHAT[@N]",
     "do it wrong: e.g. allocate:hang, list:end=ok, options:delay=2s; @N: only the N-th call. "
     "Any number of times. \"--fault list\" shows all"},
    {"manual", NULL, "take commands from stdin, answer in JSON lines; register only when told"},
    {NULL}};
static const struct dm_option_group groups[] = {{"Options", options}, {NULL, NULL}};
static const struct dm_usage usage = {
    .program = FP_PROGRAM,
    .synopsis = "[--root DIR] --resource R [--devices N] [--numa K] [--socket NAME] [--prestart] "
                "[--preferred first|last|none|error] [--latency D] [--answer FILE] [--fault RPC:WHAT[@N]]... "
                "[--manual]",
    .summary = "A Kubernetes device plugin with pretended devices, for tests and demonstrations. Registers "
               "at once and "
               "whenever kubelet.sock comes back; SIGTERM ends it.",
    .groups = groups,
    .example = "devmgr-fakeplugin --root /tmp/node --resource example.com/gpu --devices 4 --numa 2 "
               "--preferred first\n"
               "devmgr-fakeplugin --root /tmp/node --resource example.com/slow --fault allocate:delay=30s@2"};

/* ---- options ---------------------------------------------------------------------------------------------------- */

static int wrong(devmgr_error *reterr, const char *text) {
    return dm_error_set(reterr, -EINVAL, "%s", text);
}

static char *default_socket(const char *resource) {
    char *name = dm_printf("%s.sock", resource);
    for (char *c = name; *c; c++)
        if (*c == '/')
            *c = '_';
    return name;
}

static int read_numbers(const struct dm_args *args, struct fp_config *config, devmgr_error *reterr) {
    static const char *const words[] = {"first", "last", "none", "error", NULL};
    uint64_t devices = 8, numa = 0;
    int r = dm_args_u64(args, "devices", 0, FP_DEVICES_MAX, &devices, reterr);
    if (r == 0)
        r = dm_args_u64(args, "numa", 1, 1024, &numa, reterr);
    if (r == 0)
        r = dm_args_duration(args, "latency", &config->latency_ms, reterr);
    if (r == 0)
        r = dm_args_choice(args, "preferred", words, &config->preference, reterr);
    config->devices = (size_t)devices, config->numa = (size_t)numa;
    config->offer_preferred = dm_args_has(args, "preferred");
    return r;
}

static int read_config(const struct dm_args *args, struct fp_config *config, devmgr_error *reterr) {
    const char *root = dm_args_get(args, "root"), *socket = dm_args_get(args, "socket");
    int r = dm_args_operands(args, 0, 0, "", reterr);
    if (r < 0)
        return r;
    config->resource = dm_args_get(args, "resource");
    if (!config->resource || !*config->resource)
        return wrong(reterr, "--resource is missing; give a name such as example.com/gpu");
    if (socket && (!*socket || strchr(socket, '/')))
        return wrong(reterr, "--socket: give a file name without /; it is made in the plugin folder");
    config->folder = dm_printf("%s/device-plugins", root ? root : "/var/lib/kubelet");
    config->socket = socket ? dm_strdup(socket) : default_socket(config->resource);
    config->prestart = dm_args_has(args, "prestart");
    config->manual = dm_args_has(args, "manual");
    return read_numbers(args, config, reterr);
}

/* 1: --fault list was asked for and is printed. */
static int read_faults(const struct dm_args *args, struct fp_faults *faults, devmgr_error *reterr) {
    for (size_t i = 0; i < args->n_given; i++) {
        const struct dm_given *g = &args->given[i];
        if (strcmp(g->option->name, "fault"))
            continue;
        if (!strcmp(g->value, "list"))
            return fp_faults_print(stdout), 1;
        if (fp_faults_add(faults, g->value, reterr) < 0)
            return dm_error_wrap(reterr, "--fault");
    }
    return 0;
}

static int read_answer(const struct dm_args *args, struct fp_answer *answer, devmgr_error *reterr) {
    const char *path = dm_args_get(args, "answer");
    if (path)
        return fp_answer_load(path, answer, reterr);
    fp_answer_default(answer);
    return 0;
}

int main(int argc, char **argv) {
    static struct fp_plugin plugin;
    DM_CLEANUP(dm_args_free) struct dm_args args = {0};
    devmgr_error err;
    int r = dm_args_parse(&usage, argc, argv, &args, &err), code = 0;
    if (r == 0 && dm_args_answered(&args, &usage, stdout))
        return 0;
    if (r == 0)
        r = read_faults(&args, &plugin.faults, &err);
    if (r == 0)
        r = read_config(&args, &plugin.config, &err);
    if (r == 0)
        r = read_answer(&args, &plugin.answer, &err);
    if (r == 0)
        code = fp_run(&plugin);
    if (r < 0)
        fp_complain(NULL, err.message), code = 2;
    fp_faults_clear(&plugin.faults);
    fp_answer_free(&plugin.answer);
    free(plugin.config.folder), free(plugin.config.socket);
    return code;
}
