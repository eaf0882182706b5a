/* main.c -- devmgrctl: look at and steer a devmgrd (or devmgr-cri) over its control socket.
 *
 * share/man/devmgrctl.1 is the contract. Exit 0 good, 1 failed, 2 usage; admit: also 3 refused, 4 not yet. */
#include "base/mem.h"
#include "ctl.h"
#include <stdio.h>
#include <string.h>

#define DEFAULT_ROOT   "/var/lib/kubelet"
#define DEFAULT_SOCKET "/run/devmgr/devmgr.sock"

struct command {
    const char *name, *synopsis, *summary;
    const struct dm_option *options; /* of its own; NULL: none */
    int (*run)(struct ctl *c);
    const char *outputs[4]; /* what -o may be, the first is the default */
    const char *notes, *example;
    bool local; /* needs no daemon */
};

/* ---- the table of commands ------------------------------------------------------------------------------------- */

static const struct dm_option connection_options[] = {
    {"root", "DIR",
     "the daemon's --root; its socket is DIR/devmgr.sock (" DEFAULT_ROOT ": " DEFAULT_SOCKET ")",
     .alias = "root-dir", .env = "DEVMGR_ROOT"},
    {"socket", "PATH", "the daemon's control socket", .env = "DEVMGR_SOCKET"},
    {NULL}};
static const struct dm_option output_option[] = {{"output", "FORMAT", "text or json", .letter = 'o'}, {NULL}};
static const struct dm_option flags_output_option[] = {
    {"output", "FORMAT", "text, json, or flags: arguments for podman, nerdctl and docker", .letter = 'o'},
    {NULL}};

static const struct dm_option admit_options[] = {
    {"file", "POD", "a Kubernetes Pod, YAML or JSON, one or several documents; - is stdin", .letter = 'f'},
    {"wait", NULL, "wait while the answer is \"not yet\""},
    {"timeout", "D", "wait that long at most, each pod; 500ms, 5s, 1m30s"},
    {NULL}};
static const struct dm_option explain_options[] = {
    {"file", "POD", "a Kubernetes Pod, YAML or JSON; - is stdin", .letter = 'f'}, {NULL}};
static const struct dm_option resources_options[] = {
    {"verbose", NULL, "draw the NUMA nodes of each, and name who holds devices", .letter = 'v'}, {NULL}};
static const struct dm_option options_options[] = {
    {"dry-run", NULL, "look only: do not call PreStartContainer"}, {NULL}};
static const struct dm_option sync_options[] = {
    {"none", NULL, "no pod lives: release everything"},
    {"as-of", "REV", "spare pods admitted after this revision (pods -o json shows it); default: now"},
    {"dry-run", NULL, "say what would be released, change nothing"},
    {NULL}};
static const struct dm_option wait_options[] = {
    {"resource", "R", "also until this resource has allocatable devices"},
    {"count", "N", "so many of them (1)"},
    {"timeout", "D", "give up after that long; 500ms, 5s, 1m30s"},
    {NULL}};

#define TEXT_JSON                                                                                            \
    { "text", "json" }
#define POD_IS    "a uid, NAMESPACE/NAME, or NAME (in namespace default)."
#define POD_NOTES "POD is " POD_IS

static const struct command commands[] = {
    {"resources", "[-v]", "Shows each resource: capacity, allocatable, held, its plugin.", resources_options,
     cmd_resources, TEXT_JSON, .example = "devmgrctl resources\ndevmgrctl resources -v"},
    {"devices", "[RESOURCE]", "Shows each device: health, NUMA nodes, who holds it.", NULL, cmd_devices,
     TEXT_JSON, .example = "devmgrctl devices example.com/gpu"},
    {"pods", "", "Shows which pod holds what.", NULL, cmd_pods, TEXT_JSON, .example = "devmgrctl pods"},
    {"admit", "-f POD [--wait [--timeout D]]", "Admits pods: all their devices or none.", admit_options,
     cmd_admit, TEXT_JSON,
     .notes = "Exit status: 0 admitted, 4 not yet, 3 refused, 1 canceled or failed; of several the highest.\n"
              "Interrupting it does not undo an admission: release the pod.",
     .example = "devmgrctl admit -f pod.yaml --wait --timeout 1m"},
    {"explain", "-f POD | POD | RESOURCE [N]", "Says what would happen to a pod and why; changes nothing.",
     explain_options, cmd_explain, TEXT_JSON,
     .notes = "RESOURCE: a pod that asks for N of it (1). POD: one that is admitted; " POD_IS "\n"
              "Exit status: 0 would be admitted, 4 not yet, 3 would be refused, 1 failed.",
     .example = "devmgrctl explain -f pod.yaml\ndevmgrctl explain example.com/gpu 2"},
    {"options",
     "POD CONTAINER [--dry-run]",
     "Shows what a container must be created with.",
     options_options,
     cmd_options,
     {"text", "json", "flags"},
     .notes = "To be asked before each create of the container: plugins may want to prepare the "
              "devices.\n" POD_NOTES,
     .example = "devmgrctl options web main -o json\n"
                "eval \"podman run $(devmgrctl options web main -o flags) IMAGE\""},
    {"release", "POD", "Says that a pod ended: frees what it holds, cancels its pending admission.", NULL,
     cmd_release, TEXT_JSON, .notes = POD_NOTES "\nA pod that holds nothing is no error.",
     .example = "devmgrctl release web"},
    {"sync", "UID... | --none [--as-of REV] [--dry-run]",
     "Says which pods live: everything else is released.", sync_options, cmd_sync, TEXT_JSON,
     .notes = "A NAMESPACE/NAME or NAME of a held pod stands for its uid. Admissions in flight are spared.",
     .example = "rev=$(devmgrctl pods -o json | jq .revision)\n"
                "devmgrctl sync $(my-pods --uids) --as-of \"$rev\" --dry-run"},
    {"watch", "", "Shows the state as events, \"synced\", then what changes, one a line, until interrupted.",
     NULL, cmd_watch, TEXT_JSON,
     .example = "devmgrctl watch -o json | jq -c 'select(.type == \"claim_health\")'"},
    {"checkpoint", "show|verify FILE", "Reads a kubelet_internal_checkpoint; needs no daemon.", NULL,
     cmd_checkpoint, TEXT_JSON,
     .notes = "Exit status 1 when the file is not usable; says what is wrong and where.",
     .example = "devmgrctl checkpoint show /var/lib/kubelet/device-plugins/kubelet_internal_checkpoint",
     .local = true},
    {"wait", "[--resource R [--count N]] [--timeout D]",
     "Waits until the daemon serves, or a resource has allocatable devices.", wait_options, cmd_wait,
     TEXT_JSON, .notes = "Exit status 1 when --timeout is over.",
     .example = "devmgrctl wait --resource example.com/gpu --count 4 --timeout 1m"},
};

/* ---- usages ---------------------------------------------------------------------------------------------------- */

static const struct command *find_command(const char *name) {
    for (size_t i = 0; i < DM_COUNT(commands); i++)
        if (!strcmp(commands[i].name, name))
            return &commands[i];
    return NULL;
}

/* Every option there is: enough to find the command among them. Ends with an empty group. */
static void all_groups(struct dm_option_group groups[DM_COUNT(commands) + 3]) {
    size_t n = 0;
    groups[n++] = (struct dm_option_group){"Options", connection_options};
    groups[n++] = (struct dm_option_group){"Output", output_option};
    for (size_t i = 0; i < DM_COUNT(commands); i++)
        if (commands[i].options)
            groups[n++] = (struct dm_option_group){commands[i].name, commands[i].options};
    groups[n] = (struct dm_option_group){0};
}

static char *list_of_commands(void) {
    struct dm_buf b = {0};
    dm_buf_puts(&b, "Commands:\n");
    for (size_t i = 0; i < DM_COUNT(commands); i++) {
        const char *synopsis = commands[i].synopsis;
        DM_FREE char *left = dm_printf("%s%s%s", commands[i].name, *synopsis ? " " : "", synopsis);
        dm_buf_printf(&b, "  %s\n      %s\n", left, commands[i].summary);
    }
    dm_buf_puts(&b, "\n\"devmgrctl COMMAND --help\" says more about one.");
    return dm_buf_steal(&b);
}

static void usage_of_all(struct dm_usage *u, char **notes) {
    static const struct dm_option_group groups[] = {
        {"Options", connection_options}, {"Output", output_option}, {NULL, NULL}};
    *notes = list_of_commands();
    *u =
        (struct dm_usage){.program = "devmgrctl",
                          .synopsis = "COMMAND [--root DIR | --socket PATH] [-o text|json]",
                          .summary = "Looks at and steers a devmgrd (or devmgr-cri) over its control socket.",
                          .groups = groups,
                          .notes = *notes,
                          .example = "devmgrctl resources\ndevmgrctl admit -f pod.yaml --wait"};
}

/* ---- shared by commands ---------------------------------------------------------------------------------------- */

int ctl_fail(const devmgr_error *err) {
    DM_FREE char *text = printable(err->message);
    fprintf(stderr, "devmgrctl: %s\n", text);
    return EXIT_FAILED;
}

int ctl_misused(const struct ctl *c, const devmgr_error *err) {
    DM_FREE char *text = printable(err->message);
    fprintf(stderr, "%s: %s\n", c->program, text);
    return EXIT_USAGE;
}

int ctl_connect(struct ctl *c, uint64_t wait_ms, devmgr_error *reterr) {
    return c->client ? 0 : dm_client_open(c->socket, wait_ms, &c->client, reterr);
}

int ctl_operands(const struct ctl *c, size_t least, size_t most, const char *what) {
    devmgr_error err;
    if (dm_args_operands(&c->args, least + 1, most + 1, what, &err) == 0)
        return 0;
    return ctl_misused(c, &err);
}

/* ---- dispatch -------------------------------------------------------------------------------------------------- */

/* As devmgrd finds it. */
static char *socket_path(const struct dm_args *args) {
    const char *socket = dm_args_get(args, "socket"), *root = dm_args_get(args, "root");
    if (socket)
        return dm_strdup(socket);
    return root && strcmp(root, DEFAULT_ROOT) ? dm_printf("%s/devmgr.sock", root) : dm_strdup(DEFAULT_SOCKET);
}

static int run(struct ctl *c, const struct command *command, const struct dm_usage *usage) {
    devmgr_error err;
    int output = OUT_TEXT;
    if (dm_args_answered(&c->args, usage, stdout))
        return EXIT_GOOD;
    if (dm_args_choice(&c->args, "output", command->outputs, &output, &err) < 0)
        return ctl_misused(c, &err);
    c->output = (enum output)output;
    c->operands = c->args.operands + 1;
    c->n_operands = c->args.n_operands - 1;
    if (!command->local)
        c->socket = socket_path(&c->args);
    int status = command->run(c);
    dm_client_close(c->client);
    free(c->socket);
    return status;
}

static int run_command(const struct command *command, int argc, char **argv) {
    struct dm_option_group groups[4];
    DM_FREE char *program = dm_printf("devmgrctl %s", command->name);
    const struct dm_usage usage = {.program = program,
                                   .synopsis = command->synopsis,
                                   .summary = command->summary,
                                   .groups = groups,
                                   .notes = command->notes,
                                   .example = command->example};
    struct ctl c = {.program = program};
    devmgr_error err;
    size_t n = 0;
    if (command->options)
        groups[n++] = (struct dm_option_group){"Options", command->options};
    if (!command->local)
        groups[n++] = (struct dm_option_group){"Where the daemon is", connection_options};
    groups[n++] =
        (struct dm_option_group){"Output", command->outputs[2] ? flags_output_option : output_option};
    groups[n] = (struct dm_option_group){0};
    int r = dm_args_parse(&usage, argc, argv, &c.args, &err);
    int status = r < 0 ? ctl_misused(&c, &err) : run(&c, command, &usage);
    dm_args_free(&c.args);
    return status;
}

/* No command, or none that we know. */
static int without_command(const struct dm_args *args, const char *parse_error) {
    struct dm_usage usage;
    DM_FREE char *notes = NULL;
    const char *names[DM_COUNT(commands) + 1] = {0};
    usage_of_all(&usage, &notes);
    if (dm_args_answered(args, &usage, stdout))
        return EXIT_GOOD;
    if (parse_error) {
        fprintf(stderr, "devmgrctl: %s\n", parse_error);
        return EXIT_USAGE;
    }
    if (!args->n_operands) {
        fprintf(stderr, "devmgrctl: a command is missing; see devmgrctl --help\n");
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < DM_COUNT(commands); i++)
        names[i] = commands[i].name;
    const char *near = dm_args_nearest(args->operands[0], names);
    DM_FREE char *typed = printable(args->operands[0]);
    fprintf(stderr,
            near ? "devmgrctl: %s: unknown command; did you mean %s?\n"
                 : "devmgrctl: %s: unknown command; see devmgrctl --help\n",
            typed, near);
    return EXIT_USAGE;
}

int main(int argc, char **argv) {
    struct dm_option_group groups[DM_COUNT(commands) + 3];
    DM_CLEANUP(dm_args_free) struct dm_args args = {0};
    const struct dm_usage everything = {.program = "devmgrctl", .groups = groups};
    devmgr_error err;
    all_groups(groups);
    int r = dm_args_parse(&everything, argc, argv, &args, &err);
    const struct command *command = args.n_operands ? find_command(args.operands[0]) : NULL;
    int status =
        command ? run_command(command, argc, argv) : without_command(&args, r < 0 ? err.message : NULL);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "devmgrctl: writing the result: %m\n");
        return status ? status : EXIT_FAILED;
    }
    return status;
}
