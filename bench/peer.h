/* peer.h -- a program beside ours that answers a line of JSON with a line of JSON, as long as it does so in time.
 *
 * One that takes longer, or more memory than it may have, is ended; the next question starts it anew. */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PEER_MEMORY_GIB = 4 };

struct peer {
    const char *program; /* NULL: there is none, and nothing is asked */
    int limit_s;
    pid_t pid; /* 0: does not run */
    FILE *to, *from;
};
enum peer_end {
    PEER_NOT_ASKED,
    PEER_ANSWERED,
    PEER_TOO_LONG,
    PEER_DIED
}; /* died: of memory, or it said why */
struct peer_answer {
    enum peer_end end;
    uint64_t ns, median_ns; /* PEER_ANSWERED */
};

static inline void peer_run(struct peer *p, int in, int out) {
    struct rlimit most = {(rlim_t)PEER_MEMORY_GIB << 30, (rlim_t)PEER_MEMORY_GIB << 30};
    dup2(in, 0), dup2(out, 1);
    setrlimit(RLIMIT_DATA, &most);
    execl(p->program, p->program, (char *)NULL);
    perror(p->program);
    _exit(127);
}

static inline void peer_start(struct peer *p) {
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || (p->pid = fork()) < 0) {
        perror(p->program);
        exit(1);
    }
    if (p->pid == 0)
        peer_run(p, in[0], out[1]);
    close(in[0]), close(out[1]);
    p->to = fdopen(in[1], "w"), p->from = fdopen(out[0], "r");
}

static inline void peer_end(struct peer *p, bool kill_it) {
    if (!p->pid)
        return;
    if (kill_it)
        kill(p->pid, SIGKILL);
    fclose(p->to), fclose(p->from);
    waitpid(p->pid, NULL, 0);
    p->pid = 0;
}

/* The line is there, or will not come. */
static inline struct peer_answer peer_read(struct peer *p) {
    struct peer_answer a = {.end = PEER_DIED};
    char *line = NULL;
    size_t cap = 0;
    if (getline(&line, &cap, p->from) > 0) {
        json_t *o = json_loads(line, 0, NULL);
        a.ns = (uint64_t)json_integer_value(json_object_get(o, "ns"));
        a.median_ns = (uint64_t)json_integer_value(json_object_get(o, "median_ns"));
        if (a.ns)
            a.end = PEER_ANSWERED;
        else
            fprintf(stderr, "%s: %s", p->program, line);
        json_decref(o);
    }
    free(line);
    return a;
}

static inline struct peer_answer peer_ask(struct peer *p, const json_t *question) {
    struct peer_answer a = {.end = PEER_NOT_ASKED};
    if (!p->program)
        return a;
    if (!p->pid)
        peer_start(p);
    json_dumpf(question, p->to, JSON_COMPACT);
    fputc('\n', p->to);
    fflush(p->to);
    struct pollfd readable = {.fd = fileno(p->from), .events = POLLIN};
    if (poll(&readable, 1, p->limit_s * 1000) == 0)
        a.end = PEER_TOO_LONG;
    else
        a = peer_read(p);
    if (a.end != PEER_ANSWERED)
        peer_end(p, true);
    return a;
}
#endif
