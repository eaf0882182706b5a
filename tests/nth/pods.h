/* pods.h -- the pods of a life, what is known about each, and the calls about them. Private to the life's files. */
#ifndef NTH_PODS_H
#define NTH_PODS_H
#include "node.h"

#define GPU "example.com/gpu"
#define NIC "example.com/nic"
enum { GPUS = 6, NICS = 4, CONTAINERS = 3, SETTLE_MS = 10000 };

enum is {
    ABSENT,
    HELD,
    UNSURE /* a call about it was not answered, or not durable: it may be there or not */
};
struct pod {
    const char *name, *spec; /* YAML's flow style */
    const char *containers[CONTAINERS];
    enum is is;
    char devices[512];              /* "main example.com/gpu dev-00000;...", sorted */
    char records[CONTAINERS][2048]; /* to adopt it by; "": none */
};
enum { TWO, NIC_ONE, ALL_KINDS, NOTHING, TOO_MUCH, AFTER, LATER, PODS };
struct life {
    struct node *n;
    struct pod pods[PODS];
};
struct admission {
    char manifest[1024], detail[1024], devices[512];
    int verdict, cause;
    bool answered;
};

/* books.c */
void join(char **parts, size_t n, char *out, size_t size); /* sorted, each with ';' behind it; frees them */
/* Who holds what is as it was answered. False: nobody could be asked. */
bool check_books(struct life *l);

/* calls.c */
/* Connected and listed, registered anew when it was lost. False: not while the fault lasts. */
bool enrol(struct life *l, struct plugin *p);
void enrol_all(struct life *l);
/* Asked once. False: no answer. The pod is as the answer says. */
bool ask(struct life *l, struct pod *p, struct admission *a);
void admit(struct life *l, int which);
void refuse(struct life *l, int which);
void tell_options(struct life *l, int which, const char *container);
void let_go(struct life *l, int which);
void adopt_all(struct life *l); /* by their records; who has none may be lost */
void sync_all(struct life *l, bool nobody);
void look_around(struct life *l);
bool healthy(struct life *l, devmgr_error *err);
int plugins_there(struct life *l, int *held);

/* disk.c */
/* With no daemon there: all that is held is in the file, and nothing else. */
void check_disk(struct life *l);
void check_litter(struct life *l);
bool was_set_aside(const struct life *l); /* the daemon found the file unreadable */
#endif
