/* common.c -- small things that every part of the plugin needs. */
#include "base/mem.h"
#include "plugin.h"
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

void fp_say(json_t *event) {
    DM_FREE char *text = json_dumps(event, JSON_COMPACT);
    json_decref(event);
    printf("%s\n", text ? text : "{\"event\":\"error\",\"err\":\"not printable\"}");
    fflush(stdout);
}

/* With --manual a line is the answer to a command, and nothing else. */
void fp_say_fault(const struct fp_plugin *p, enum fp_rpc rpc, const struct fp_plan *plan) {
    const char *word = fp_plan_word(plan);
    if (word && !p->config.manual)
        fp_say(json_pack("{s:s, s:s, s:s}", "event", "fault", "rpc", fp_rpc_word(rpc), "what", word));
}

void fp_complain(const char *what, const char *why) {
    fprintf(stderr, FP_PROGRAM ": %s%s%s\n", what ? what : "", what ? ": " : "", why);
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

void fp_hold(struct fp_plugin *p) {
    p->holds++;
}

void fp_drop(struct fp_plugin *p) {
    if (--p->holds == 0 && p->rpc)
        dm_rpc_release(DM_MOVE(p->rpc), NULL, NULL);
}

void fp_end(struct fp_plugin *p) {
    if (p->ending)
        return;
    p->ending = true;
    p->stop(p);
}

struct fp_identity fp_identify(const char *path) {
    struct stat st;
    if (lstat(path, &st) < 0)
        return (struct fp_identity){0};
    return (struct fp_identity){true, st.st_dev, st.st_ino, st.st_mtim};
}

bool fp_identity_same(const struct fp_identity *a, const struct fp_identity *b) {
    return a->there == b->there && a->device == b->device && a->inode == b->inode &&
           a->made.tv_sec == b->made.tv_sec && a->made.tv_nsec == b->made.tv_nsec;
}
