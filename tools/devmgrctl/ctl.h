/* ctl.h -- devmgrctl's parts: commands, the connection, what they share.
 *
 *   main.c        commands and their options, dispatch
 *   show.c        resources, devices, pods          watch.c        watch, wait
 *   admit.c       admit                             checkpoint.c   checkpoint show, verify
 *   explain.c     explain, nodes drawn
 *   options.c     options                           address.c      POD on the command line to a uid
 *   release.c     release, sync                     table.c        columns for people
 *
 * A command answers with its exit status and has printed why when that is not 0. Rows are jansson objects as -o json
 * prints them (control/json.h); the text form is made of the same rows. */
#ifndef DEVMGRCTL_CTL_H
#define DEVMGRCTL_CTL_H
#include "base/args.h"
#include "base/buf.h"
#include "control/client.h"
#include "control/json.h"
#include <stdbool.h>

enum { EXIT_GOOD = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_REFUSED = 3, EXIT_NOT_YET = 4 };
enum output { OUT_TEXT, OUT_JSON, OUT_FLAGS };

struct ctl {
    const char *program;         /* "devmgrctl admit" */
    struct dm_args args;         /* operands[0] is the command */
    const char *const *operands; /* after the command */
    size_t n_operands;
    char *socket;
    enum output output;
    struct dm_client *client; /* open in commands that need one */
};

int ctl_fail(const devmgr_error *err);                                  /* prints it; EXIT_FAILED */
int ctl_misused(const struct ctl *c, const devmgr_error *err);          /* prints it; EXIT_USAGE */
int ctl_connect(struct ctl *c, uint64_t wait_ms, devmgr_error *reterr); /* 0 also when it is connected */
/* EXIT_USAGE when the number of operands after the command is not within; `what` names what is missing. */
int ctl_operands(const struct ctl *c, size_t least, size_t most, const char *what);

int cmd_resources(struct ctl *c);
int cmd_devices(struct ctl *c);
int cmd_pods(struct ctl *c);
int cmd_admit(struct ctl *c);
int cmd_explain(struct ctl *c);
int cmd_options(struct ctl *c);
int cmd_release(struct ctl *c);
int cmd_sync(struct ctl *c);
int cmd_watch(struct ctl *c);
int cmd_wait(struct ctl *c);
int cmd_checkpoint(struct ctl *c);

/* ---- explain.c. Each of these rows with its nodes and holders. */
int ctl_print_nodes(struct ctl *c, const json_t *resources, devmgr_error *reterr);
/* ---- admit.c. A file, or - for stdin, 8 MiB at most. */
int ctl_read_file(const char *path, struct dm_buf *out, devmgr_error *reterr);

/* ---- address.c. The uid of the held pod that `pod` (uid, NAMESPACE/NAME, NAME in namespace default) means; NULL: none is
 * held. The caller frees. -EEXIST: several have that name, the error shows their uids. */
int ctl_find_pod(struct ctl *c, const char *pod, char **ret_uid, devmgr_error *reterr);
/* The same of several, in one look. All of ret_uids is written, with NULL when it fails. */
int ctl_find_pods(struct ctl *c, const char *const *pods, size_t n, char **ret_uids, devmgr_error *reterr);
/* "namespace/name", or the uid when the name is not known. The caller frees. */
char *ctl_pod_label(const char *uid, const char *namespace_, const char *name);

/* ---- table.c */
enum colour { PLAIN, BOLD, GREEN, YELLOW, RED };
struct table;
struct table *
table_new(const char *const *heads); /* ends with NULL; ">HEAD": its column is set to the right */
void table_free(struct table *t);
void table_freep(struct table **t);
void table_add(struct table *t, enum colour colour, const char *text); /* the next cell; "" shows as - */
void table_print(const struct table *t);
/* Colours are for a terminal whose owner has not set NO_COLOR. `text` with control characters as '?'. */
void print_coloured(enum colour colour, const char *text);
char *printable(const char *text); /* the caller frees */
/* The strings of a JSON array (numbers too) with `between` them. Natural order. The caller frees. */
char *joined(const json_t *list, const char *between);
#endif
