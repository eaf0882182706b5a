/* node.c -- see node.h. Every wait has an end; the driver's own limit for a run is beyond all of them. */
#include "node.h"
#include "base/mem.h"
#include "entries.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MS = 20000, END_MS = 20000, CONNECT_MS = 3000 };

#define LIMIT "2s"

static const char *tree(void) {
    const char *build = getenv("BUILD");
    return build && *build ? build : "build";
}

/* ---- saying ------------------------------------------------------------------------------------------------------ */

void lost(const struct node *n, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    printf("at \"%s\": ", n->board->step);
    vprintf(format, ap);
    va_end(ap);
    putchar('\n');
    fflush(stdout);
    _exit(1);
}

void said(const char *who, const char *text) {
    printf("said %s: %s\n", who, text);
    fflush(stdout);
}

void step(struct node *n, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    vsnprintf(n->board->step, sizeof n->board->step, format, ap);
    va_end(ap);
}

/* ---- the fault --------------------------------------------------------------------------------------------------- */

bool trouble(const struct node *n) {
    return atomic_load(&n->board->failed) > 0;
}

bool outage(const struct node *n) {
    return trouble(n) && n->board->forever && atomic_load(&n->board->armed);
}

void calm(struct node *n) {
    atomic_store(&n->board->armed, false);
}

uint64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void nap(unsigned ms) {
    nanosleep(&(struct timespec){ms / 1000, (long)(ms % 1000) * 1000000}, NULL);
}

/* ---- processes --------------------------------------------------------------------------------------------------- */

void node_open(struct node *n, struct nth_board *board, const char *folder) {
    *n = (struct node){.board = board, .out = -1};
    snprintf(n->folder, sizeof n->folder, "%s", folder);
    snprintf(n->root, sizeof n->root, "%s/r", n->folder);
    snprintf(n->log, sizeof n->log, "%s/log", n->folder);
}

/* A child with pipes that dies when we do; stderr goes to the end of the log. */
static pid_t spawn(const struct node *n, const char *const *argv, int *in, int *out) {
    int to[2] = {-1, -1}, from[2];
    if ((in && pipe2(to, O_CLOEXEC) < 0) || pipe2(from, O_CLOEXEC) < 0)
        lost(n, "pipe: %s", strerror(errno));
    pid_t pid = fork();
    if (pid == 0) {
        int log = open(n->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(in ? to[0] : open("/dev/null", O_RDONLY), STDIN_FILENO);
        dup2(from[1], STDOUT_FILENO);
        dup2(log, STDERR_FILENO);
        execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    if (pid < 0)
        lost(n, "fork: %s", strerror(errno));
    close(from[1]);
    *out = from[0];
    if (in) {
        close(to[0]);
        *in = to[1];
    }
    return pid;
}

/* A line without its end; 0: end of file. */
static size_t read_line(const struct node *n, int fd, char *line, size_t size) {
    uint64_t end = now_ms() + LINE_MS;
    size_t len = 0;
    while (len + 1 < size) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        uint64_t now = now_ms();
        if (now >= end || poll(&p, 1, (int)(end - now)) < 0)
            lost(n, "no line came for %d s", LINE_MS / 1000);
        if (p.revents == 0)
            continue;
        if (read(fd, line + len, 1) != 1 || line[len] == '\n')
            break;
        len++;
    }
    line[len] = 0;
    return len;
}

/* How it ended; -1: it did not in time. */
static int wait_end(pid_t pid, unsigned ms) {
    int status;
    for (uint64_t end = now_ms() + ms; now_ms() < end; nap(1))
        if (waitpid(pid, &status, WNOHANG) == pid)
            return status;
    return -1;
}

/* ---- the daemon -------------------------------------------------------------------------------------------------- */

/* The last line of the log that is the daemon's complaint. */
static void last_words(const struct node *n, char *words, size_t size) {
    FILE *log = fopen(n->log, "re");
    char line[2048];
    *words = 0;
    while (log && fgets(line, sizeof line, log))
        if (!strncmp(line, "devmgrd: ", 9))
            snprintf(words, size, "%.*s", (int)strcspn(line, "\n"), line);
    if (log)
        fclose(log);
}

/* It has to say what it could not do, with what, and the system's word for why. */
static void check_complaint(const struct node *n, int status) {
    char words[2048];
    if (!trouble(n))
        lost(n, "the daemon did not start, and nothing had failed (status %#x)", (unsigned)status);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 1)
        lost(n, "the daemon did not start and ended with status %#x", (unsigned)status);
    last_words(n, words, sizeof words);
    said("devmgrd", words);
    if (!*words || strlen(words) < 30)
        lost(n, "the daemon ended without a word for what failed: \"%s\"", words);
    unlink(n->log);
}

bool daemon_start(struct node *n) {
    char program[256], numa[80], line[128];
    snprintf(program, sizeof program, "%s/tests/nth/devmgrd", tree());
    snprintf(numa, sizeof numa, "%s/numa", n->folder);
    const char *argv[] = {program,       "--root",
                          n->root,       "--numa-root",
                          numa,          "--topology-policy",
                          "best-effort", "--allocate-timeout",
                          LIMIT,         "--preferred-timeout",
                          LIMIT,         "--prestart-timeout",
                          LIMIT,         "--dial-timeout",
                          LIMIT,         "--options-timeout",
                          LIMIT,         NULL};
    hang_up(n);
    if (n->out >= 0)
        close(n->out);
    n->pid = n->board->daemon = spawn(n, argv, NULL, &n->out);
    while (read_line(n, n->out, line, sizeof line))
        if (!strcmp(line, "ready"))
            return true;
    int status = wait_end(n->pid, END_MS);
    n->pid = n->board->daemon = 0;
    check_complaint(n, status);
    return false;
}

void daemon_look(struct node *n) {
    int status;
    if (n->pid && waitpid(n->pid, &status, WNOHANG) == n->pid)
        lost(n, "the daemon has ended by itself, status %#x", (unsigned)status);
}

void daemon_kill(struct node *n) {
    if (!n->pid)
        return;
    daemon_look(n);
    hang_up(n);
    kill(n->pid, SIGKILL);
    wait_end(n->pid, END_MS);
    n->pid = n->board->daemon = 0;
}

void daemon_stop(struct node *n) {
    if (!n->pid)
        return;
    daemon_look(n);
    hang_up(n);
    kill(n->pid, SIGTERM);
    int status = wait_end(n->pid, END_MS);
    if (status == -1)
        lost(n, "the daemon does not end on SIGTERM");
    if (status != 0)
        lost(n, "the daemon ended with status %#x", (unsigned)status);
    n->pid = n->board->daemon = 0;
}

int daemon_descriptors(const struct node *n) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)n->pid);
    return entries(path) - 2; /* . and .. */
}

int embedded_run(struct node *n, bool armed) {
    char program[256], line[64];
    snprintf(program, sizeof program, "%s/tests/nth/embedded", tree());
    const char *argv[] = {program, n->root, armed ? "armed" : NULL, NULL};
    int out;
    pid_t pid = spawn(n, argv, NULL, &out);
    read_line(n, out, line, sizeof line);
    close(out);
    int status = wait_end(pid, END_MS);
    if (status != 0)
        lost(n, "the embedder ended with status %#x", (unsigned)status);
    return atoi(line);
}

/* ---- plugins ----------------------------------------------------------------------------------------------------- */

static void tell(const struct node *n, struct plugin *p, const char *command) {
    if (write(p->in, command, strlen(command)) != (ssize_t)strlen(command))
        lost(n, "%s: the plugin is gone", p->resource);
}

static void await(struct node *n, struct plugin *p, const char *event) {
    DM_FREE char *wanted = dm_printf("\"event\": \"%s\"", event),
                 *dense = dm_printf("\"event\":\"%s\"", event);
    do
        if (!read_line(n, p->out, p->line, sizeof p->line))
            lost(n, "%s: the plugin has ended", p->resource);
    while (!strstr(p->line, wanted) && !strstr(p->line, dense));
}

void plugin_start(struct node *n, struct plugin *p, const char *const *options) {
    char program[256], devices[16];
    const char *argv[24] = {program,     "--root",    n->root, "--resource",
                            p->resource, "--devices", devices, "--manual"};
    snprintf(program, sizeof program, "%s/devmgr-fakeplugin", tree());
    snprintf(devices, sizeof devices, "%d", p->devices);
    for (size_t i = 8; *options && i < 23; i++)
        argv[i] = *options++;
    p->pid = spawn(n, argv, &p->in, &p->out);
    await(n, p, "listening");
}

void plugin_kill(struct plugin *p) {
    kill(p->pid, SIGKILL);
    waitpid(p->pid, NULL, 0);
    close(p->in);
    close(p->out);
}

bool plugin_register(struct node *n, struct plugin *p) {
    tell(n, p, "relisten\n"); /* a manager sweeps the folder when it starts */
    await(n, p, "listening");
    tell(n, p, "register\n");
    await(n, p, "registered");
    char *err = strstr(p->line, "\"err\":");
    err = err ? err + strcspn(err + 6, "\"") + 7 : p->line;
    if (*err == '"')
        return true;
    said(p->resource, err);
    return false;
}

/* ---- the client -------------------------------------------------------------------------------------------------- */

void hang_up(struct node *n) {
    dm_client_closep(&n->client);
}

bool talk(struct node *n, const char *what, int (*call)(struct dm_client *c, void *arg, devmgr_error *err),
          void *arg, devmgr_error *err) {
    char path[100];
    snprintf(path, sizeof path, "%s/devmgr.sock", n->root);
    for (int i = 0; i < TRIES; i++) {
        daemon_look(n);
        *err = (devmgr_error){0};
        int r = n->client ? 0 : dm_client_open(path, outage(n) ? 100 : CONNECT_MS, &n->client, err);
        if (r == 0)
            r = call(n->client, arg, err);
        if (r == 0)
            return true;
        said(what, err->message);
        if (!trouble(n))
            lost(n, "%s: %s", what, err->message);
        if (!*err->message)
            lost(n, "%s: failed (%d) without a word", what, r);
        if (n->client && (r == -ECONNRESET || r == -EIO || r == -ECANCELED || r == -ETIMEDOUT))
            hang_up(n);
        if (outage(n))
            return false;
    }
    lost(n, "%s: does not work after one failure: %s", what, err->message);
}
