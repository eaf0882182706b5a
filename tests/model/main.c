/* main.c -- random lives of a manager against a model of who may hold what.
 *
 *   STEPS=N   so many events in all (40 000)        SEED=N    the first life's; "random": from the clock (1)
 *
 * Prints TAP. Of a life that fails: the shortest list of events that still fails, and what was wrong. */
#include "run.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

static uint64_t number(const char *name, uint64_t fallback) {
    const char *text = getenv(name);
    if (text && !strcmp(text, "random"))
        return (uint64_t)time(NULL);
    return text && *text ? strtoull(text, NULL, 10) : fallback;
}

static void report(struct life *life, uint64_t seed, uint64_t lives, uint64_t steps) {
    size_t n = life->n, found = n;
    struct event *events = dm_memdup(life->events, n * sizeof *events);
    printf(
        "# seed %llu, life %llu failed at its step %zu (%llu in all)%s; looking for the shortest way there\n",
        (unsigned long long)seed, (unsigned long long)lives, n, (unsigned long long)steps + n,
        life->ending ? ", when it was brought to its end" : "");
    if (life_again(life, events, n, false))
        printf(
            "# it does not fail when it is lived again: not all that happens depends on the events alone\n");
    else
        n = life_shrink(life, events, n);
    printf("# %zu events:\n", n);
    fflush(stdout);
    life_again(life, events, n, true);
    printf("# found after %llu steps, shrunk to %zu\n", (unsigned long long)steps + found, n);
    free(events);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    uint64_t steps = number("STEPS", 40000), seed = number("SEED", 1), done = 0, lives = 0;
    unsigned sum[COUNTS] = {0};
    struct life *life = life_new();
    bool good = true;
    while (good && done < steps) {
        struct random r = {seed * UINT64_C(1000003) + lives};
        size_t length = 20 + below(&r, below(&r, 4) ? 400 : LIFE - 20);
        lives++;
        good = life_random(life, r.state, length < steps - done ? length : steps - done);
        if (!good)
            break;
        done += life->n;
        for (int i = 0; i < COUNTS; i++)
            sum[i] += life->counts[i];
    }
    if (!good)
        report(life, seed, lives, done);
    printf(
        "# seed %llu: %llu steps, %llu lives: %u admitted, %u not yet, %u refused, %u canceled, %u restarts, "
        "%u recoveries, %u adopted\n",
        (unsigned long long)seed, (unsigned long long)done, (unsigned long long)lives, sum[0], sum[1], sum[2],
        sum[3], sum[4], sum[5], sum[6]);
    printf("%sok 1 - random lives agree with the model\n1..1\n", good ? "" : "not ");
    return !good;
}
