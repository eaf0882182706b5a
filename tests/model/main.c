/* main.c -- random lives of a manager against a model of who may hold what.
 *
 *   STEPS=N   so many events in all (40 000)        SEED=N    "random": from the clock (1)
 *   LIFE=N    begins with the seed's N-th life, not the first
 *   UNCHECKED=1   without dm_manager_check(): what does the model find by itself?
 *
 * Prints TAP. Of a life that fails: how to live it again, the shortest list of events that still fails, with what the manager
 * did at each, and what was wrong. */
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
    printf("# life %llu failed at its step %zu (%llu in all)%s; looking for the shortest way there\n",
           (unsigned long long)lives, n, (unsigned long long)steps + n,
           life->ending ? ", when it was brought to its end" : "");
    if (life_again(life, events, n, false))
        printf(
            "# it does not fail when it is lived again: not all that happens depends on the events alone\n");
    else
        n = life_shrink(life, events, n);
    printf("# %zu events:\n", n);
    fflush(stdout);
    life_again(life, events, n, true);
    printf("# found after %llu steps, shrunk to %zu; again: make model SEED=%llu LIFE=%llu STEPS=%zu\n",
           (unsigned long long)steps + found, n, (unsigned long long)seed, (unsigned long long)lives, found);
    free(events);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    uint64_t steps = number("STEPS", 40000), seed = number("SEED", 1), lives = number("LIFE", 1), done = 0;
    unsigned sum[COUNTS] = {0};
    struct life *life = life_new();
    bool good = true;
    printf("# %llu steps from seed %llu, life %llu on\n", (unsigned long long)steps, (unsigned long long)seed,
           (unsigned long long)lives);
    for (; good && done < steps; lives++) {
        struct random r = {seed * UINT64_C(1000003) + lives - 1};
        size_t length = 20 + below(&r, below(&r, 4) ? 400 : LIFE - 20);
        good = life_random(life, r.state, length < steps - done ? length : steps - done);
        if (!good)
            break;
        done += life->n;
        for (int i = 0; i < COUNTS; i++)
            sum[i] += life->counts[i];
    }
    if (!good)
        report(life, seed, lives, done);
    printf("# %llu steps: %u admitted, %u not yet, %u refused, %u canceled, %u restarts, %u recoveries, %u "
           "adopted\n",
           (unsigned long long)done, sum[0], sum[1], sum[2], sum[3], sum[4], sum[5], sum[6]);
    printf("%sok 1 - random lives agree with the model\n1..1\n", good ? "" : "not ");
    return !good;
}
