/* main.c -- devmgr-fakeplugin: a device plugin made of options. Options, start, signals, end.
 *
 * plugin.h shows the parts. The man page, share/man/devmgr-fakeplugin.1, is the contract. */
#include "base/args.h"
#include "base/mem.h"
#include "plugin.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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
    .program = "devmgr-fakeplugin",
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

/* ---- small things everybody needs ------------------------------------------------------------------------------- */

void fp_say(json_t *event) {
    DM_FREE char *text = json_dumps(event, JSON_COMPACT);
    json_decref(event);
    printf("%s\n", text ? text : "{\"event\":\"error\",\"err\":\"not printable\"}");
    fflush(stdout);
}

void fp_complain(const char *what, const char *why) {
    fprintf(stderr, "%s: %s%s%s\n", usage.program, what ? what : "", what ? ": " : "", why);
}

void fp_die(void) {
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

uint64_t fp_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

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

/* ---- life ------------------------------------------------------------------------------------------------------- */

void fp_hold(struct fp_plugin *p) {
    p->holds++;
}

void fp_drop(struct fp_plugin *p) {
    if (--p->holds == 0 && p->rpc)
        dm_rpc_release(DM_MOVE(p->rpc), NULL, NULL);
}

void fp_end(struct fp_plugin *p) {
    uv_handle_t *const handles[] = {(uv_handle_t *)&p->tick, (uv_handle_t *)&p->again,
                                    (uv_handle_t *)&p->terminate, (uv_handle_t *)&p->interrupt};
    if (p->ending)
        return;
    p->ending = true;
    for (size_t i = 0; i < DM_COUNT(handles); i++)
        uv_close(handles[i], NULL);
    fp_commands_stop(p);
    fp_enrol_stop(p);
    fp_service_unlink(p);
    fp_service_stop(p);
    fp_drop(p);
}

static void on_signal(uv_signal_t *handle, int number) {
    (void)number;
    fp_end(handle->data);
}

static void init_loop(struct fp_plugin *p) {
    uv_loop_init(&p->loop);
    uv_timer_init(&p->loop, &p->tick);
    uv_timer_init(&p->loop, &p->again);
    uv_signal_init(&p->loop, &p->terminate);
    uv_signal_init(&p->loop, &p->interrupt);
    p->tick.data = p->again.data = p->terminate.data = p->interrupt.data = p;
    uv_signal_start(&p->terminate, on_signal, SIGTERM);
    uv_signal_start(&p->interrupt, on_signal, SIGINT);
    uv_unref((uv_handle_t *)&p->terminate); /* a signal alone is no reason to stay */
    uv_unref((uv_handle_t *)&p->interrupt);
}

static int start(struct fp_plugin *p, devmgr_error *reterr) {
    int r = dm_rpc_acquire(&p->loop, &p->rpc, reterr);
    if (r < 0)
        return r;
    if ((r = fp_service_start(p, reterr)) < 0) {
        if (r == -ENOENT)
            dm_error_set(reterr, r, "%s: no such folder; start devmgrd first, or give another --root",
                         p->config.folder);
        return r;
    }
    fp_say(json_pack("{s:s}", "event", "listening"));
    if (p->config.manual)
        fp_commands_start(p);
    else
        fp_watch_start(p);
    return 0;
}

/* Runs until the end. The exit code. */
static int run(struct fp_plugin *p) {
    devmgr_error err;
    p->path = dm_printf("%s/%s", p->config.folder, p->config.socket);
    p->kubelet = dm_printf("%s/kubelet.sock", p->config.folder);
    p->mute_fd = -1;
    dm_list_init(&p->calls);
    fp_devices_init(&p->devices, p->config.devices, p->config.numa);
    init_loop(p);
    fp_hold(p);
    if (start(p, &err) < 0) {
        fp_complain(NULL, err.message);
        p->failure = 1;
        fp_end(p);
    }
    uv_run(&p->loop, UV_RUN_DEFAULT);
    uv_loop_close(&p->loop);
    fp_devices_free(&p->devices);
    json_decref(p->log);
    free(p->path), free(p->kubelet), free(p->last_failure);
    return p->failure;
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
        code = run(&plugin);
    if (r < 0)
        fp_complain(NULL, err.message), code = 2;
    fp_faults_clear(&plugin.faults);
    fp_answer_free(&plugin.answer);
    free(plugin.config.folder), free(plugin.config.socket);
    return code;
}
