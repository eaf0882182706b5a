/* commands.c -- --manual: one command a line on stdin, one JSON object a line on stdout, in order; end of input ends us.
 *
 * (1) While a command is under way (register, storm) the next line waits: `busy`.
 * (2) stdin may be a pipe, a terminal or a file; a file (and /dev/null) is read at once, as epoll does not take it. */
#include "base/args.h"
#include "base/mem.h"
#include "base/text.h"
#include "plugin.h"
#include <string.h>
#include <unistd.h>

enum {
    ARGS_MAX = 3,
    REST = -1, /* one argument, all that is left of the line */
    QUEUE_BYTES = 4 << 20,
    STORM_WAIT_MS = 1
};

#define BLANKS " \t\r"

struct fp_commands {
    struct fp_plugin *plugin;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_pipe_t pipe;
        uv_tty_t tty;
    } in;
    bool open; /* in.handle is to be closed */
    int handles;
    struct dm_buf text; /* read and not yet run */
    bool busy, ended;
    char chunk[65536];
    /* storm */
    uv_timer_t timer;
    struct dm_buf lists[3]; /* 1, 2 and K devices Unhealthy */
    uint64_t left, sent, storm_t0_ns;
};

static void run_lines(struct fp_commands *c);

static void reply_error(const char *what, const char *why) {
    DM_FREE char *text = dm_printf("%s: %s", what, why);
    fp_say(json_pack("{s:s, s:s}", "event", "error", "err", text));
}

static void send_present(struct fp_commands *c) {
    DM_CLEANUP(dm_buf_free) struct dm_buf list = {0};
    fp_devices_encode(&c->plugin->devices, FP_NOTHING, 0, &list);
    uint64_t when = fp_service_send(c->plugin, dm_buf_span(&list));
    fp_say(json_pack("{s:s, s:I}", "event", "sent", "t0_ns", (json_int_t)when));
}

/* ---- the commands ----------------------------------------------------------------------------------------------- */

static void on_registered(struct fp_plugin *p) {
    p->commands->busy = false;
    run_lines(p->commands);
}

static void run_register(struct fp_commands *c, char **args) {
    (void)args;
    c->busy = true;
    fp_enrol(c->plugin, on_registered);
}

static bool read_count(const char *command, const char *text, uint64_t most, uint64_t *ret) {
    if (dm_text_u64(text, ret) == 0 && *ret <= most)
        return true;
    DM_FREE char *why = dm_printf("\"%s\" is not a number from 0 to %llu", text, (unsigned long long)most);
    reply_error(command, why);
    return false;
}

static void run_flap(struct fp_commands *c, char **args) {
    uint64_t k;
    if (!read_count("flap", args[0], FP_DEVICES_MAX, &k))
        return;
    fp_devices_flap(&c->plugin->devices, (size_t)k);
    send_present(c);
}

static void run_list(struct fp_commands *c, char **args) {
    uint64_t n;
    if (!read_count("list", args[0], FP_DEVICES_MAX, &n))
        return;
    fp_devices_resize(&c->plugin->devices, (size_t)n);
    send_present(c);
}

static void run_health(struct fp_commands *c, char **args) {
    if (fp_devices_health(&c->plugin->devices, args[0], args[1]) < 0)
        reply_error(args[0], "no such device");
    else
        send_present(c);
}

static void run_devices(struct fp_commands *c, char **args) {
    json_error_t why;
    devmgr_error err;
    json_t *list = json_loads(args[0], 0, &why);
    if (!list)
        reply_error("devices", why.text);
    else if (fp_devices_give(&c->plugin->devices, list, &err) < 0)
        reply_error("devices", err.message);
    else
        send_present(c);
    json_decref(list);
}

static void run_fault(struct fp_commands *c, char **args) {
    devmgr_error err;
    if (!strcmp(args[0], "clear"))
        fp_faults_clear(&c->plugin->faults);
    else if (fp_faults_add(&c->plugin->faults, args[0], &err) < 0)
        return reply_error("fault", err.message);
    fp_say(json_pack("{s:s, s:s}", "event", "fault", "spec", args[0]));
}

static void run_stats(struct fp_commands *c, char **args) {
    static const char *const names[FP_RPCS] = {"Register",     "GetDevicePluginOptions",
                                               "ListAndWatch", "GetPreferredAllocation",
                                               "Allocate",     "PreStartContainer"};
    json_t *event = json_pack("{s:s}", "event", "stats");
    (void)args;
    for (int i = 0; i < FP_RPCS; i++)
        json_object_set_new(event, names[i], json_integer((json_int_t)c->plugin->counts[i]));
    fp_say(event);
}

static void run_calls(struct fp_commands *c, char **args) {
    (void)args;
    json_t *log = c->plugin->log ? c->plugin->log : json_array();
    c->plugin->log = json_array(); /* the first `calls` is what turns it on */
    fp_say(json_pack("{s:s, s:o}", "event", "calls", "calls", log));
}

static void run_relisten(struct fp_commands *c, char **args) {
    devmgr_error err;
    (void)args;
    if (fp_service_listen(c->plugin, &err) < 0)
        reply_error("relisten", err.message);
    else
        fp_say(json_pack("{s:s}", "event", "listening"));
}

static void run_die(struct fp_commands *c, char **args) {
    (void)c, (void)args;
    fp_die();
}

static void run_quit(struct fp_commands *c, char **args) {
    (void)args;
    fp_end(c->plugin);
}

/* Lists are handed out as fast as they are taken: a queue of all of them could be gigabytes. */
static void blow(struct fp_commands *c) {
    while (c->left > 0 && fp_service_queued(c->plugin) < QUEUE_BYTES) {
        const struct dm_buf *list = --c->left ? &c->lists[c->sent++ % 2] : &c->lists[2];
        fp_service_send(c->plugin, dm_buf_span(list));
    }
}

static void on_storm(uv_timer_t *timer) {
    struct fp_commands *c = timer->data;
    blow(c);
    if (c->left > 0)
        return;
    uv_timer_stop(timer);
    fp_say(json_pack("{s:s, s:I, s:I}", "event", "storm", "t0_ns", (json_int_t)c->storm_t0_ns, "t1_ns",
                     (json_int_t)fp_now_ns()));
    for (int i = 0; i < 3; i++)
        dm_buf_free(&c->lists[i]);
    c->busy = false;
    run_lines(c);
}

static void run_storm(struct fp_commands *c, char **args) {
    struct fp_devices *d = &c->plugin->devices;
    uint64_t k;
    if (!read_count("storm", args[0], UINT32_MAX, &c->left) ||
        !read_count("storm", args[1], FP_DEVICES_MAX, &k))
        return;
    for (size_t i = 0; i < 3; i++) {
        fp_devices_flap(d, i < 2 ? i + 1 : (size_t)k);
        fp_devices_encode(d, FP_NOTHING, 0, &c->lists[i]);
    }
    c->busy = true, c->sent = 0;
    c->storm_t0_ns = fp_now_ns();
    blow(c);
    uv_timer_start(&c->timer, on_storm, 0, STORM_WAIT_MS);
}

static const struct command {
    const char *name;
    int n_args;
    void (*run)(struct fp_commands *c, char **args);
    const char *usage;
} commands[] = {
    {"register", 0, run_register, "register"},
    {"flap", 1, run_flap, "flap K"},
    {"storm", 2, run_storm, "storm U K"},
    {"stats", 0, run_stats, "stats"},
    {"calls", 0, run_calls, "calls"},
    {"relisten", 0, run_relisten, "relisten"},
    {"health", 2, run_health, "health ID WORD"},
    {"list", 1, run_list, "list N"},
    {"devices", REST, run_devices, "devices JSON"},
    {"fault", 1, run_fault, "fault SPEC"},
    {"die", 0, run_die, "die"},
    {"quit", 0, run_quit, "quit"},
};

static const struct command *find_command(const char *name) {
    for (size_t i = 0; i < DM_COUNT(commands); i++)
        if (!strcmp(commands[i].name, name))
            return &commands[i];
    return NULL;
}

/* How many words there are; the first ARGS_MAX of them, or with REST the line as it is. */
static int split(int how, char *rest, char **args) {
    int n = 0;
    char *save;
    if (how == REST) {
        args[0] = rest + strspn(rest, BLANKS);
        return *args[0] ? REST : 0;
    }
    for (char *word = strtok_r(rest, BLANKS, &save); word; word = strtok_r(NULL, BLANKS, &save))
        if (n++ < ARGS_MAX)
            args[n - 1] = word;
    return n;
}

static void run_line(struct fp_commands *c, char *line) {
    char *args[ARGS_MAX + 1] = {0}, *name = line + strspn(line, BLANKS), *rest = name + strcspn(name, BLANKS);
    if (*rest)
        *rest++ = 0;
    if (!*name)
        return;
    const struct command *command = find_command(name);
    if (command && split(command->n_args, rest, args) == command->n_args) {
        command->run(c, args);
    } else if (command) {
        reply_error(name, command->usage);
    } else {
        DM_FREE char *text = dm_printf("unknown command %s", name);
        fp_say(json_pack("{s:s, s:s}", "event", "error", "err", text));
    }
}

/* ---- stdin ------------------------------------------------------------------------------------------------------ */

static void run_lines(struct fp_commands *c) {
    char *end;
    while (!c->busy && !c->plugin->ending && c->text.len && (end = memchr(c->text.data, '\n', c->text.len))) {
        size_t len = (size_t)(end - c->text.data);
        DM_FREE char *line = dm_strndup(c->text.data, len);
        memmove(c->text.data, end + 1, c->text.len - len - 1);
        c->text.len -= len + 1;
        run_line(c, line);
    }
    if (c->ended && !c->busy && !c->plugin->ending)
        fp_end(c->plugin);
}

static void take(struct fp_commands *c, const char *data, ssize_t n) {
    if (n > 0) {
        dm_buf_add(&c->text, data, (size_t)n);
    } else if (n < 0) {
        c->ended = true;
        if (c->text.len) /* a last line without its end */
            dm_buf_putc(&c->text, '\n');
    }
    run_lines(c);
}

static void give_chunk(uv_handle_t *handle, size_t size, uv_buf_t *ret) {
    struct fp_commands *c = handle->data;
    (void)size;
    *ret = uv_buf_init(c->chunk, sizeof c->chunk);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    struct fp_commands *c = stream->data;
    if (n < 0)
        uv_read_stop(stream);
    take(c, buf->base, n);
}

static void read_file(struct fp_commands *c) {
    ssize_t n;
    while ((n = read(STDIN_FILENO, c->chunk, sizeof c->chunk)) > 0)
        dm_buf_add(&c->text, c->chunk, (size_t)n);
    take(c, NULL, -1);
}

void fp_commands_start(struct fp_plugin *p) {
    struct fp_commands *c = p->commands = DM_NEW(struct fp_commands);
    uv_handle_type type = uv_guess_handle(STDIN_FILENO);
    c->plugin = p;
    uv_timer_init(&p->loop, &c->timer);
    c->timer.data = c, c->handles = 1;
    if (type == UV_TTY)
        c->open = uv_tty_init(&p->loop, &c->in.tty, STDIN_FILENO, 0) == 0;
    else if (type == UV_NAMED_PIPE)
        c->open = uv_pipe_init(&p->loop, &c->in.pipe, 0) == 0;
    if (type == UV_NAMED_PIPE && c->open)
        uv_pipe_open(&c->in.pipe, STDIN_FILENO);
    if (!c->open)
        return read_file(c);
    c->handles++;
    c->in.handle.data = c;
    if (uv_read_start(&c->in.stream, give_chunk, on_read) < 0) /* closed, or not for reading */
        take(c, NULL, -1);
}

static void on_handle_closed(uv_handle_t *handle) {
    struct fp_commands *c = handle->data;
    if (--c->handles > 0)
        return;
    for (int i = 0; i < 3; i++)
        dm_buf_free(&c->lists[i]);
    dm_buf_free(&c->text);
    free(c);
}

void fp_commands_stop(struct fp_plugin *p) {
    struct fp_commands *c = p->commands;
    if (!c)
        return;
    uv_close((uv_handle_t *)&c->timer, on_handle_closed);
    if (c->open)
        uv_close(&c->in.handle, on_handle_closed);
}
