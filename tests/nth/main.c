/* main.c -- every call that can fail is made to fail, the n-th of its class for every n until a life has no n-th one.
 *
 *   nth              quick: each place once, of gRPC's and memory's many each eighth
 *   nth all          every place once, and every place from there on (of those many, each fourth)
 *   nth CLASS        the same of this class alone; embedded-CLASS: in an embedder's life (embedded.c)
 *   nth CLASS:7      the 7th call of it      nth CLASS:7+    and all after it
 *   nth -v ...       says of each run which call failed where, and what people were told
 *
 * Each run is a process with a node of its own (life.c); some run at once (NTH_JOBS, else one more than there are
 * processors). TAP. */
#include "base/mem.h"
#include "life.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_JOBS = 16, RUN_MS = 90000, OUTAGE_MS = 1000, SPIN_PERCENT = 50 };
enum { FAILED = 1, NOT_REACHED = 3 };

static const struct {
    const char *name;
    int errors[4]; /* the n-th run of a class takes the n-th of them */
} classes[NTH_CLASSES] = {
    [NTH_OPEN] = {"open", {EMFILE, EACCES, ENFILE, EIO}},
    [NTH_READ] = {"read", {EIO}},
    [NTH_WRITE] = {"write", {ENOSPC, EIO, EDQUOT}},
    [NTH_SHORT] = {"short-write", {ENOSPC}},
    [NTH_SYNC] = {"fsync", {EIO, ENOSPC, EDQUOT}},
    [NTH_CLOSE] = {"close", {EIO, EDQUOT}},
    [NTH_RENAME] = {"rename", {EIO, EACCES, ENOSPC, EINVAL}},
    [NTH_LINK] = {"link", {EIO, EPERM, ENOSPC, EACCES}},
    [NTH_UNLINK] = {"unlink", {EIO, EACCES, EROFS}},
    [NTH_MKDIR] = {"mkdir", {ENOSPC, EACCES, EROFS}},
    [NTH_STAT] = {"stat", {EACCES, EIO, ENOMEM}},
    [NTH_OWNER] = {"owner", {EPERM, EIO, ENOLCK}},
    [NTH_DESCRIPTOR] = {"descriptor", {EMFILE, ENFILE, ENOMEM, ENOBUFS}},
    [NTH_BIND] = {"bind", {EACCES, ENOSPC, EROFS}},
    [NTH_LISTEN] = {"listen", {ENOBUFS, EADDRINUSE}},
    [NTH_CONNECT] = {"connect", {EACCES, EAGAIN, ECONNREFUSED}},
    [NTH_PEER] = {"peer", {ENOBUFS, EINVAL}},
    [NTH_ACCEPT] = {"accept", {EMFILE, ECONNABORTED, ENFILE, ENOMEM}},
    [NTH_THREAD] = {"thread", {EAGAIN}},
    [NTH_LOOP] = {"loop", {EMFILE, ENOMEM}},
    [NTH_RPC] = {"rpc", {EIO}},
    [NTH_CHANNEL] = {"channel", {EIO}},
    [NTH_MEMORY] = {"memory", {ENOMEM}},
};

struct series;
struct job { /* a slot: one run at a time */
    char folder[48];
    struct nth_board *board;
    pid_t pid;
    uint64_t begun;
    int class, n, forever;
    bool embedded;
    struct series *series;
};
struct series { /* one class, one way of failing */
    int class, forever;
    bool embedded;          /* the other life */
    int next, only, stride; /* only: this n alone; 0: all */
    int running, tried, broken;
    bool ended, told;
};
#define EMBEDDED "embedded-"
static struct job jobs[MOST_JOBS];
static int n_jobs, descriptors;
static bool verbose;

/* ---- one run ----------------------------------------------------------------------------------------------------- */

static int errors_of(int class) {
    int n = 0;
    while (n < 4 && classes[class].errors[n])
        n++;
    return n;
}

static long cpu_ms(int pid) {
    char path[32], text[512];
    long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "re");
    if (f && fgets(text, sizeof text, f) && strrchr(text, ')'))
        sscanf(strrchr(text, ')'), ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld", &user, &system);
    if (f)
        fclose(f);
    return (user + system) * 1000 / sysconf(_SC_CLK_TCK);
}

/* What goes on failing ends at last; until then nobody may burn the processor over it. */
static void *end_outage(void *arg) {
    struct node *n = arg;
    while (!trouble(n))
        nap(5);
    int pid = n->board->daemon;
    long before = cpu_ms(pid);
    nap(OUTAGE_MS);
    long used = cpu_ms(pid) - before;
    if (pid && pid == n->board->daemon && n->board->class == NTH_ACCEPT &&
        used > OUTAGE_MS * SPIN_PERCENT / 100)
        lost(n, "it used the processor for %ld of %d ms", used, OUTAGE_MS);
    calm(n);
    return NULL;
}

static void run(struct job *j) {
    struct node node;
    pthread_t clock;
    DM_FREE char *out = dm_printf("%s/out", j->folder), *board = dm_printf("%s/board", j->folder);
    if (!freopen(out, "we", stdout))
        _exit(FAILED);
    setenv(NTH_ENV, board, 1);
    signal(SIGPIPE, SIG_IGN);
    node_open(&node, j->board, j->folder);
    if (j->forever)
        pthread_create(&clock, NULL, end_outage, &node);
    if (j->embedded)
        live_embedded(&node);
    else
        live(&node, descriptors);
    fflush(stdout);
    _exit(trouble(&node) ? 0 : NOT_REACHED);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static void begin(struct job *j, int class, int n, int forever, bool embedded) {
    DM_FREE char *board = dm_printf("%s/board", j->folder);
    nftw(j->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    if (j->board)
        munmap(j->board, sizeof *j->board);
    mkdir(j->folder, 0700);
    int fd = open(board, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof *j->board) < 0)
        perror(board), exit(2);
    j->board = mmap(NULL, sizeof *j->board, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    j->board->class = class, j->board->n = n, j->board->forever = forever;
    j->board->error = classes[class].errors[(n + forever) % errors_of(class)];
    j->class = class, j->n = n, j->forever = forever, j->embedded = embedded, j->begun = now_ms();
    fflush(stdout);
    j->pid = fork();
    if (j->pid == 0)
        run(j);
}

/* ---- what became of it ------------------------------------------------------------------------------------------- */

static void show_file(const char *folder, const char *name, const char *only, int most) {
    DM_FREE char *path = dm_printf("%s/%s", folder, name);
    char line[1024];
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f) && most-- > 0)
        if (!only || !strncmp(line, only, strlen(only)))
            printf("#     %s", line);
    if (f)
        fclose(f);
}

static void show_site(const struct nth_board *b, const char *program) {
    const char *build = getenv("BUILD");
    char command[1024], line[512];
    size_t len = (size_t)snprintf(command, sizeof command, "addr2line -sfipe %s/tests/nth/%s",
                                  build ? build : "build", program);
    for (int i = 0; i < b->sites && len < sizeof command - 24; i++)
        len += (size_t)snprintf(command + len, sizeof command - len, " %#lx", (unsigned long)b->site[i] - 1);
    snprintf(command + len, sizeof command - len, " 2>/dev/null");
    printf("#     %s(%s) failed: %s%s; called by\n", b->call, b->on, strerror(b->error),
           b->forever ? ", and all later ones" : "");
    FILE *p = b->sites ? popen(command, "re") : NULL;
    for (int shown = 0; p && fgets(line, sizeof line, p);)
        if (!strstr(line, "??") && shown++ < (verbose ? 6 : 12))
            printf("#       %s", line);
    if (p)
        pclose(p);
}

static void show(const struct job *j, bool bad) {
    printf("# %s%s:%d%s%s\n", j->embedded ? EMBEDDED : "", classes[j->class].name, j->n,
           j->forever ? "+" : "", bad ? " FAILED" : "");
    show_site(j->board, j->embedded ? "embedded" : "devmgrd");
    show_file(j->folder, "out", bad ? NULL : "said", 200);
    if (bad)
        show_file(j->folder, "log", NULL, 200);
}

static void end(struct job *j, struct series *s, int status) {
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : FAILED;
    bool reached = atomic_load(&j->board->failed) > 0;
    j->pid = 0;
    s->running--;
    s->tried += reached;
    if (code == NOT_REACHED || s->only)
        s->ended = true;
    if (code == FAILED) {
        show(j, true);
        if (!WIFEXITED(status))
            printf("#     the run was at \"%s\" and ended with status %#x\n", j->board->step,
                   (unsigned)status);
        s->broken++;
        s->ended |= !reached || s->broken > 5; /* enough to look at */
    } else if (verbose && reached) {
        show(j, false);
    }
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

static struct job *free_job(void) {
    for (int i = 0; i < n_jobs; i++)
        if (!jobs[i].pid)
            return &jobs[i];
    return NULL;
}

static struct series *next_series(struct series *all, int n) {
    for (int i = 0; i < n; i++)
        if (!all[i].ended && !(all[i].only && all[i].next > all[i].only))
            return &all[i];
    return NULL;
}

/* One that has ended, or is over its time: then it is ended. NULL: none yet. */
static struct job *ended_job(int *status) {
    for (int i = 0; i < n_jobs; i++) {
        struct job *j = &jobs[i];
        if (!j->pid)
            continue;
        if (waitpid(j->pid, status, WNOHANG) == j->pid)
            return j;
        if (now_ms() - j->begun > RUN_MS) {
            printf("# %s%s:%d%s hangs\n", j->embedded ? EMBEDDED : "", classes[j->class].name, j->n,
                   j->forever ? "+" : "");
            kill(j->pid, SIGKILL); /* what it started goes with it */
            waitpid(j->pid, status, 0);
            return j;
        }
    }
    return NULL;
}

static void tell_ended(struct series *all, int n, int *told) {
    for (struct series *s = all; s < all + n; s++) {
        if (s->told || s->running || !s->ended)
            continue;
        s->told = true;
        if (s->embedded && !s->tried && !s->broken)
            continue; /* that life has no such call */
        printf("%sok %d - %s%s: %d places failed %s\n", s->broken ? "not " : "", ++*told,
               s->embedded ? EMBEDDED : "", classes[s->class].name, s->tried,
               s->forever ? "in turn, and all after each" : "in turn");
    }
}

/* How many of them were told of. */
static int run_all(struct series *all, int n) {
    int told = 0;
    for (int running = 0, status;;) {
        struct job *j = free_job();
        struct series *s = j ? next_series(all, n) : NULL;
        if (s) {
            begin(j, s->class, s->next, s->forever, s->embedded);
            j->series = s;
            s->next += s->stride;
            s->running++, running++;
        } else if (!running) {
            break;
        } else if ((j = ended_job(&status))) {
            end(j, j->series, status);
            tell_ended(all, n, &told);
            running--;
        } else {
            nap(2);
        }
    }
    return told;
}

/* A life in which nothing fails: what it needs is what every other may have open at its end. */
static bool run_reference(void) {
    int status;
    begin(&jobs[0], NTH_OPEN, 0, 0, false);
    waitpid(jobs[0].pid, &status, 0);
    jobs[0].pid = 0;
    descriptors = jobs[0].board->descriptors;
    if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_REACHED)
        return true;
    printf("# a life without a failure fails\n");
    show(&jobs[0], true);
    return false;
}

/* Most of the places are of two classes, and much alike. With `all` each of them fails once; the rest is sampled. */
static int stride_of(int class, int forever, bool quick) {
    bool many = class == NTH_RPC || class == NTH_MEMORY;
    return many && quick ? 8 : many && forever ? 4 : 1;
}

static int add_series(struct series *all, int which, bool embedded, int n, bool quick) {
    int found = 0;
    for (int forever = 0; forever < (quick ? 1 : 2); forever++)
        all[found++] = (struct series){.class = which,
                                       .forever = forever,
                                       .embedded = embedded,
                                       .next = n ? n : 1,
                                       .only = n,
                                       .stride = stride_of(which, forever, quick)};
    return found;
}

/* "all", "fsync", "fsync:7", "embedded-fsync:7+" */
static int read_series(struct series *all, const char *word, bool quick) {
    char name[32], plus = 0;
    int n = 0, found = 0, fields = sscanf(word, "%31[^:]:%d%c", name, &n, &plus);
    for (int embedded = 0; embedded < 2; embedded++)
        for (int which = 0; which < NTH_CLASSES; which++) {
            DM_FREE char *full = dm_printf("%s%s", embedded ? EMBEDDED : "", classes[which].name);
            if (strcmp(name, "all") && strcmp(name, full))
                continue;
            found += add_series(all + found, which, embedded, n, quick);
            if (fields > 1) /* this run alone */
                all[0] = all[plus == '+'], found = 1;
        }
    return found;
}

int main(int argc, char **argv) {
    static struct series all[16 * NTH_CLASSES];
    char top[] = "/tmp/devmgr-nth-XXXXXX";
    const char *wanted = getenv("NTH_JOBS");
    int n = 0, option, bad = 0, runs = 0;
    bool quick;
    uint64_t begun = now_ms();
    setvbuf(stdout, NULL, _IOLBF, 0);
    while ((option = getopt(argc, argv, "v")) != -1)
        verbose |= option == 'v';
    quick = optind == argc;
    for (; optind < argc && n <= 12 * NTH_CLASSES; optind++)
        n += read_series(all + n, argv[optind], false);
    if (quick)
        n = read_series(all, "all", true);
    if (!n)
        return fprintf(stderr, "nth: no such class; see the head of tests/nth/main.c\n"), 2;
    n_jobs = wanted ? atoi(wanted) : (int)sysconf(_SC_NPROCESSORS_ONLN) + 1;
    n_jobs = n_jobs < 1 ? 1 : n_jobs > MOST_JOBS ? MOST_JOBS : n_jobs;
    if (!mkdtemp(top))
        return perror(top), 2;
    for (int i = 0; i < n_jobs; i++)
        snprintf(jobs[i].folder, sizeof jobs[i].folder, "%s/%d", top, i);
    bool sound = run_reference();
    int told = sound ? run_all(all, n) : 1;
    for (int i = 0; i < n; i++)
        bad += all[i].broken > 0, runs += all[i].tried;
    if (!sound)
        printf("not ok 1 - a life without a failure\n");
    printf("# %d failures in all, %.1f s\n1..%d\n", runs, (double)(now_ms() - begun) / 1000, told);
    nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return bad || !sound;
}
