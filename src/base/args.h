/* args.h -- the command line of every program: options from a table, anywhere, --help and --version for free.
 *
 * `--name value`, `--name=value`, `-o value`, `-ovalue`; `--` ends options; a lone `-` is an operand. --help (-h) and
 * --version need no row. Nothing is copied: tables, argv and the environment must outlive the result. Nothing here
 * prints but to the stream it is given, and nothing exits.
 *
 *     if ((r = dm_args_parse(&usage, argc, argv, &args, &err)) == 0) {
 *         if (dm_args_answered(&args, &usage, stdout))
 *             return 0;
 *         root = dm_args_get(&args, "root");
 *     } else fprintf(stderr, "%s: %s\n", usage.program, err.message), return 2;
 *
 * A program with commands parses twice: with all options to find operands[0], then with that command's usage, whose
 * errors are about that command. */
#ifndef DM_BASE_ARGS_H
#define DM_BASE_ARGS_H
#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct dm_option {
    const char *name;  /* long, without dashes */
    const char *value; /* what help calls its value ("DIR"); NULL: a switch */
    const char *help;  /* filled to the line's width; '\n' begins a new line. NULL: accepted, not shown */
    char letter;       /* 'o' for -o; 0: none */
    const char *alias; /* another long name, not shown; NULL: none */
    const char *env;   /* variable that stands in while the option is not given; empty counts as unset */
    bool per_resource; /* --name@RESOURCE is accepted too */
};
struct dm_option_group {
    const char *title;               /* "Options" */
    const struct dm_option *options; /* ends with a row whose name is NULL */
};
struct dm_usage {
    const char *program;                  /* "devmgrctl", or "devmgrctl admit" */
    const char *synopsis;                 /* what follows it: "-f POD [--wait]" */
    const char *summary;                  /* one sentence */
    const struct dm_option_group *groups; /* ends with a group whose options are NULL */
    const char *notes;                    /* shown as it is after the options, or NULL */
    const char *example;                  /* lines, shown indented */
};

struct dm_given {
    const struct dm_option *option;
    const char *resource; /* of --name@RESOURCE, else NULL */
    const char *value;    /* NULL for a switch */
    const char *written;  /* as the user wrote it, "--devices" or "DEVMGR_ROOT", for errors; of the result */
};
struct dm_args {
    struct dm_given *given; /* the environment's first, then in order */
    size_t n_given;
    const char **operands;
    size_t n_operands;
    size_t before_dashes; /* so many operands came before `--`; all when there was none */
    bool dashes;          /* there was a `--` */
    bool help, version;
    char *scratch; /* its own */
};

/* -EINVAL and an error ready to print after "program: " (the user's mistake: exit 2); it names the nearest option when
 * one is unknown. When --help or --version is among the arguments, mistakes do not count. *ret is to be freed either way. */
int dm_args_parse(const struct dm_usage *usage, int argc, char *const *argv, struct dm_args *ret,
                  devmgr_error *reterr);
void dm_args_free(struct dm_args *args); /* also for DM_CLEANUP */
/* Prints help or version where asked for; did it? */
bool dm_args_answered(const struct dm_args *args, const struct dm_usage *usage, FILE *out);

/* The last one given (without a RESOURCE); NULL: not given. For a switch: its row. */
const struct dm_given *dm_args_find(const struct dm_args *args, const char *name);
const char *dm_args_get(const struct dm_args *args, const char *name); /* its value, or NULL */
bool dm_args_has(const struct dm_args *args, const char *name);
/* Typed; *ret stays when it was not given. -EINVAL names the option, the value and what is allowed. */
int dm_args_u64(const struct dm_args *args, const char *name, uint64_t least, uint64_t most, uint64_t *ret,
                devmgr_error *reterr);
int dm_args_duration(const struct dm_args *args, const char *name, uint64_t *ret_ms, devmgr_error *reterr);
/* `words` ends with NULL; *ret is the index. */
int dm_args_choice(const struct dm_args *args, const char *name, const char *const *words, int *ret,
                   devmgr_error *reterr);
/* -EINVAL unless the number of operands is within; the error names the first one too many, or says what is missing. */
int dm_args_operands(const struct dm_args *args, size_t least, size_t most, const char *what,
                     devmgr_error *reterr);

char *dm_args_help_text(const struct dm_usage *usage); /* the caller frees */
/* The word of `words` (ends with NULL) that `typed` was probably meant to be, or NULL: for commands, faults, keys. */
const char *dm_args_nearest(const char *typed, const char *const *words);
#endif
