/* run.c -- see run.h. */
#include "run.h"
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SECONDS = 20 }; /* more than any life takes, also under a sanitizer */

struct life *life_new(void) {
    struct life *life = mmap(NULL, sizeof *life, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (life == MAP_FAILED)
        abort();
    return life;
}

static void end(struct world *w, struct life *life) {
    life->ending = true;
    world_end(w);
    memcpy(life->counts, w->counts, sizeof life->counts);
    exit(0); /* a leak checker looks now */
}

/* 0: in the new process. Else: did it end well? */
static int begin(struct life *life) {
    int status;
    fflush(NULL);
    life->n = 0;
    life->ending = false;
    life->complaint[0] = 0;
    pid_t pid = fork();
    if (pid < 0)
        abort();
    if (pid == 0) {
        alarm(SECONDS);
        complaint_kind = life->complaint;
        return 0;
    }
    while (waitpid(pid, &status, 0) < 0)
        ;
    return status == 0 ? 1 : -1;
}

static struct event settings(struct random *r) {
    struct event e = {.kind = EV_SETTINGS};
    e.how = (uint8_t)(below(r, 2) ? 0 : below(r, 32));
    e.a = below(r, 2) ? 0 : below(r, POLICIES);
    e.b = below(r, 2);
    return e;
}

bool life_random(struct life *life, uint64_t seed, size_t steps) {
    int ended = begin(life);
    if (ended)
        return ended > 0;
    struct random r = {seed};
    struct habits habits = {.calm = below(&r, 2), .quarrel = !below(&r, 4), .crowd = !below(&r, 4)};
    struct world *w = DM_NEW(struct world);
    while (life->n < steps && life->n < LIFE) {
        struct look look = {0};
        if (life->n)
            look = world_look(w);
        struct event *e = &life->events[life->n];
        *e = life->n ? event_make(&r, &habits, &look) : settings(&r);
        life->n++;
        if (life->n == 1)
            world_begin(w, e);
        else
            world_do(w, e);
    }
    end(w, life);
    return true;
}

bool life_again(struct life *life, const struct event *events, size_t n, bool loud) {
    char line[400];
    int ended = begin(life);
    if (ended)
        return ended > 0;
    if (!loud && !(freopen("/dev/null", "w", stderr) && freopen("/dev/null", "w", stdout)))
        abort();
    struct world *w = DM_NEW(struct world);
    story_is_told = loud;
    world_begin(w, n ? events : NULL);
    for (size_t i = 0; i < n; i++) {
        life->n = i + 1;
        if (loud) {
            printf("#   %2zu  %s\n", i + 1, event_line(&events[i], line, sizeof line));
            fflush(stdout);
        }
        world_do(w, &events[i]);
    }
    if (loud)
        printf("#       all comes to its end\n");
    fflush(stdout);
    end(w, life);
    return true;
}

/* ---- shrinking ---------------------------------------------------------------------------------------------------- */

/* In the same way: or we would end with another fault than the one that was found. */
static bool still_fails(struct life *scratch, const struct event *events, size_t n) {
    char complaint[COMPLAINT];
    memcpy(complaint, scratch->complaint, sizeof complaint);
    bool same = !life_again(scratch, events, n, false) && !strcmp(complaint, scratch->complaint);
    memcpy(scratch->complaint, complaint, sizeof complaint);
    return same;
}

/* Without events[at .. at + size), if that still fails. */
static bool leave_away(struct life *scratch, struct event *events, size_t *n, size_t at, size_t size) {
    struct event *fewer = dm_memdup(events, *n * sizeof *events);
    memmove(fewer + at, fewer + at + size, (*n - at - size) * sizeof *fewer);
    bool good = still_fails(scratch, fewer, *n - size);
    if (good) {
        *n -= size;
        memcpy(events, fewer, *n * sizeof *events);
    }
    free(fewer);
    return good;
}

static bool leave_chunks_away(struct life *scratch, struct event *events, size_t *n, size_t size) {
    bool any = false;
    for (size_t at = *n; at > 0;) { /* from behind: what comes late depends on what came before */
        size_t from = at > size ? at - size : 0;
        any |= leave_away(scratch, events, n, from, at - from);
        at = from;
    }
    return any;
}

static bool simplify(struct life *scratch, struct event *events, size_t n) {
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        struct event before = events[i];
        for (unsigned way = 0; event_simpler(&events[i], way); way++) {
            if (!memcmp(&before, &events[i], sizeof before))
                continue;
            if (still_fails(scratch, events, n))
                before = events[i], any = true;
            else
                events[i] = before;
        }
        events[i] = before;
    }
    return any;
}

size_t life_shrink(struct life *scratch, struct event *events, size_t n) {
    for (size_t size = n / 2; size; size /= 2)
        leave_chunks_away(scratch, events, &n, size);
    do {
        while (n && leave_chunks_away(scratch, events, &n, 1))
            ;
    } while (n && simplify(scratch, events, n));
    return n;
}
