/* args.c -- see args.h.
 *
 * (1) `given` and `operands` have room for every argument from the start, so that rows never move.
 * (2) Once --help or --version was seen, mistakes are ignored: who asks for help gets it. */
#include "base/args.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include <inttypes.h>
#include <string.h>

enum { HELP_COLUMN = 28, HELP_WIDTH = 100, WORD_MAX = 64 };

static const struct dm_option help_row = {"help", NULL, "show this text", 'h'};
static const struct dm_option version_row = {"version", NULL, "show the version"};

/* ---- finding a row -------------------------------------------------------------------------------------------- */

static bool is_name(const char *name, const char *typed, size_t len) {
    return name && strlen(name) == len && !memcmp(name, typed, len);
}

/* By long name, or by letter when `letter` is not 0. */
static const struct dm_option *find_row(const struct dm_usage *u, const char *typed, size_t len,
                                        char letter) {
    const struct dm_option *own[] = {&help_row, &version_row};
    for (const struct dm_option_group *g = u->groups; g && g->options; g++)
        for (const struct dm_option *o = g->options; o->name; o++)
            if (letter ? o->letter == letter : is_name(o->name, typed, len) || is_name(o->alias, typed, len))
                return o;
    for (size_t i = 0; i < DM_COUNT(own); i++)
        if (letter ? own[i]->letter == letter : is_name(own[i]->name, typed, len))
            return own[i];
    return NULL;
}

/* Edits (insert, delete, replace) between two words of at most WORD_MAX bytes. */
static size_t distance(const char *a, const char *b) {
    size_t row[WORD_MAX + 1], na = strlen(a), nb = strlen(b);
    for (size_t j = 0; j <= nb; j++)
        row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
            size_t least = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            diagonal = row[j];
            row[j] = replaced < least ? replaced : least;
        }
    }
    return row[nb];
}

const char *dm_args_nearest(const char *typed, const char *const *words) {
    const char *best = NULL;
    size_t len = strlen(typed), best_distance = len / 3 > 2 ? len / 3 : 2;
    if (!len || len > WORD_MAX)
        return NULL;
    for (; *words; words++) {
        size_t d = strlen(*words) > WORD_MAX ? WORD_MAX : distance(typed, *words);
        if (!strncmp(typed, *words, len))
            d = 0; /* the beginning of a word: that one is meant */
        if (d < len && (d < best_distance || (d == best_distance && !best)))
            best = *words, best_distance = d;
    }
    return best;
}

static const char *nearest_option(const struct dm_usage *u, const char *typed) {
    const char *words[256] = {help_row.name, version_row.name};
    size_t n = 2;
    for (const struct dm_option_group *g = u->groups; g && g->options; g++)
        for (const struct dm_option *o = g->options; o->name && n < DM_COUNT(words) - 1; o++)
            words[n++] = o->name;
    return dm_args_nearest(typed, words);
}

/* ---- parsing -------------------------------------------------------------------------------------------------- */

struct parser {
    const struct dm_usage *usage;
    char *const *argv;
    int argc, at; /* argv[at] is the next one to read */
    struct dm_args *out;
    size_t used; /* of out->scratch */
};

/* Keeps "--name" or "-o" for errors; fits because scratch is as long as all arguments and a NUL for each. */
static const char *keep(struct parser *p, const char *text, size_t len) {
    char *copy = memcpy(p->out->scratch + p->used, text, len);
    copy[len] = 0;
    p->used += len + 1;
    return copy;
}

static int unknown_option(const struct parser *p, const char *written, devmgr_error *reterr) {
    const char *near = written[1] == '-' ? nearest_option(p->usage, written + 2) : NULL;
    if (near)
        return dm_error_set(reterr, -EINVAL, "%s: unknown option; did you mean --%s?", written, near);
    return dm_error_set(reterr, -EINVAL, "%s: unknown option; see %s --help", written, p->usage->program);
}

/* The value: the rest of this argument, or the next one. One that looks like an option is more likely a forgotten value. */
static int take_value(struct parser *p, struct dm_given *g, const char *attached, devmgr_error *reterr) {
    if (!g->option->value)
        return attached ? dm_error_set(reterr, -EINVAL, "%s: takes no value", g->written) : 0;
    if (!attached && p->at < p->argc && strncmp(p->argv[p->at], "--", 2))
        attached = p->argv[p->at++];
    if (!attached)
        return dm_error_set(reterr, -EINVAL, "%s: needs a value, %s", g->written, g->option->value);
    g->value = attached;
    return 0;
}

static int parse_option(struct parser *p, const char *arg, devmgr_error *reterr) {
    bool is_long = arg[1] == '-';
    const char *equals = is_long ? strchr(arg, '=') : NULL;
    const char *attached = equals ? equals + 1 : !is_long && arg[2] ? arg + 2 : NULL;
    struct dm_given g = {0};
    g.written = keep(p, arg, equals ? (size_t)(equals - arg) : is_long ? strlen(arg) : 2);
    if (is_long) {
        const char *name = g.written + 2, *at = strchr(name, '@');
        g.option = find_row(p->usage, name, at ? (size_t)(at - name) : strlen(name), 0);
        g.resource = at ? at + 1 : NULL;
    } else {
        g.option = find_row(p->usage, NULL, 0, arg[1]);
    }
    if (!g.option)
        return unknown_option(p, g.written, reterr);
    if (g.resource && (!g.option->per_resource || !*g.resource))
        return dm_error_set(reterr, -EINVAL, "%s: --%s cannot be set for a resource", g.written,
                            g.option->name);
    int r = take_value(p, &g, attached, reterr);
    if (r < 0)
        return r;
    p->out->help |= g.option == &help_row;
    p->out->version |= g.option == &version_row;
    p->out->given[p->out->n_given++] = g;
    return 0;
}

static int parse_all(struct parser *p, devmgr_error *reterr) {
    struct dm_args *out = p->out;
    int first = 0;
    while (p->at < p->argc) {
        const char *arg = p->argv[p->at++];
        if (!out->dashes && !strcmp(arg, "--")) {
            out->dashes = true;
            out->before_dashes = out->n_operands;
        } else if (out->dashes || arg[0] != '-' || !arg[1]) {
            out->operands[out->n_operands++] = arg;
        } else {
            devmgr_error *err = first ? NULL : reterr; /* the first mistake is the one to tell */
            int r = parse_option(p, arg, err);
            first = first ? first : r;
        }
    }
    if (!out->dashes)
        out->before_dashes = out->n_operands;
    return out->help || out->version ? 0 : first;
}

static void add_environment(struct parser *p) {
    for (const struct dm_option_group *g = p->usage->groups; g && g->options; g++)
        for (const struct dm_option *o = g->options; o->name; o++) {
            const char *value = o->env ? getenv(o->env) : NULL;
            if (value && *value)
                p->out->given[p->out->n_given++] = (struct dm_given){o, NULL, value, o->env};
        }
}

static size_t count_rows(const struct dm_usage *u) {
    size_t n = 0;
    for (const struct dm_option_group *g = u->groups; g && g->options; g++)
        for (const struct dm_option *o = g->options; o->name; o++)
            n++;
    return n;
}

int dm_args_parse(const struct dm_usage *usage, int argc, char *const *argv, struct dm_args *ret,
                  devmgr_error *reterr) {
    struct parser p = {.usage = usage, .argv = argv, .argc = argc, .at = 1, .out = ret};
    size_t bytes = 1;
    for (int i = 1; i < argc; i++)
        bytes += strlen(argv[i]) + 1;
    size_t n = argc > 0 ? (size_t)argc : 1;
    *ret = (struct dm_args){.given = dm_alloc_array(n + count_rows(usage), sizeof *ret->given),
                            .operands = dm_alloc_array(n, sizeof *ret->operands),
                            .scratch = dm_alloc(bytes)};
    add_environment(&p);
    return parse_all(&p, reterr);
}

void dm_args_free(struct dm_args *args) {
    free(args->given), free(args->operands), free(args->scratch);
    *args = (struct dm_args){0};
}

/* ---- reading the result --------------------------------------------------------------------------------------- */

const struct dm_given *dm_args_find(const struct dm_args *args, const char *name) {
    for (size_t i = args->n_given; i-- > 0;)
        if (!args->given[i].resource && !strcmp(args->given[i].option->name, name))
            return &args->given[i];
    return NULL;
}

const char *dm_args_get(const struct dm_args *args, const char *name) {
    const struct dm_given *g = dm_args_find(args, name);
    return g ? g->value : NULL;
}

bool dm_args_has(const struct dm_args *args, const char *name) {
    return dm_args_find(args, name) != NULL;
}

int dm_args_u64(const struct dm_args *args, const char *name, uint64_t least, uint64_t most, uint64_t *ret,
                devmgr_error *reterr) {
    const struct dm_given *g = dm_args_find(args, name);
    uint64_t value;
    if (!g)
        return 0;
    if (dm_text_u64(g->value, &value) < 0 || value < least || value > most)
        return dm_error_set(reterr, -EINVAL, "%s: \"%s\" is not a number from %" PRIu64 " to %" PRIu64,
                            g->written, g->value, least, most);
    *ret = value;
    return 0;
}

int dm_args_duration(const struct dm_args *args, const char *name, uint64_t *ret_ms, devmgr_error *reterr) {
    const struct dm_given *g = dm_args_find(args, name);
    if (g && dm_text_duration(g->value, ret_ms) < 0)
        return dm_error_set(reterr, -EINVAL, "%s: \"%s\" is not a duration; write 500ms, 5s or 1m30s",
                            g->written, g->value);
    return 0;
}

int dm_args_choice(const struct dm_args *args, const char *name, const char *const *words, int *ret,
                   devmgr_error *reterr) {
    const struct dm_given *g = dm_args_find(args, name);
    DM_CLEANUP(dm_buf_free) struct dm_buf list = {0};
    if (!g)
        return 0;
    for (int i = 0; words[i]; i++) {
        if (!strcmp(words[i], g->value))
            return *ret = i, 0;
        dm_buf_printf(&list, "%s%s", !i ? "" : words[i + 1] ? ", " : " or ", words[i]);
    }
    return dm_error_set(reterr, -EINVAL, "%s: \"%s\" is not one of %s", g->written, g->value, list.data);
}

int dm_args_operands(const struct dm_args *args, size_t least, size_t most, const char *what,
                     devmgr_error *reterr) {
    if (args->n_operands < least)
        return dm_error_set(reterr, -EINVAL, "%s is missing", what);
    if (args->n_operands > most)
        return dm_error_set(reterr, -EINVAL, "%s: one argument too many", args->operands[most]);
    return 0;
}

/* ---- help ----------------------------------------------------------------------------------------------------- */

/* Appends `text` from column `column` on (where the line already is), broken between words before HELP_WIDTH. */
static void fill(struct dm_buf *b, const char *text, int column) {
    int at = column;
    while (*text) {
        size_t blanks = strspn(text, " "), word = strcspn(text + blanks, " \n");
        bool forced = text[blanks] == '\n';
        if (forced || (at > column && at + (int)(blanks + word) > HELP_WIDTH)) {
            dm_buf_printf(b, "\n%*s", column, "");
            at = column;
            text += blanks + forced;
            continue;
        }
        dm_buf_add(b, text, blanks + word);
        at += (int)(blanks + word);
        text += blanks + word;
    }
    dm_buf_putc(b, '\n');
}

static void render_row(struct dm_buf *b, const struct dm_option *o) {
    DM_FREE char *letter = o->letter ? dm_printf("-%c, ", o->letter) : dm_strdup("");
    DM_FREE char *left =
        dm_printf("  %s--%s%s%s", letter, o->name, o->value ? " " : "", o->value ? o->value : "");
    DM_FREE char *env = o->env ? dm_printf(" [$%s]", o->env) : dm_strdup("");
    DM_FREE char *help = dm_printf("%s%s", o->help, env);
    dm_buf_printf(b, "%-*s", HELP_COLUMN, left);
    if (strlen(left) + 2 > HELP_COLUMN)
        dm_buf_printf(b, "\n%*s", HELP_COLUMN, "");
    fill(b, help, HELP_COLUMN);
}

static void render_indented(struct dm_buf *b, const char *text) {
    while (*text) {
        size_t line = strcspn(text, "\n");
        dm_buf_puts(b, "  ");
        dm_buf_add(b, text, line);
        dm_buf_putc(b, '\n');
        text += line + (text[line] == '\n');
    }
}

char *dm_args_help_text(const struct dm_usage *u) {
    struct dm_buf b = {0};
    dm_buf_printf(&b, "Usage: %s%s", u->program, u->synopsis && *u->synopsis ? " " : "");
    fill(&b, u->synopsis ? u->synopsis : "", (int)strlen("Usage: ") + (int)strlen(u->program) + 1);
    fill(&b, u->summary, 0);
    bool own = false;
    for (const struct dm_option_group *g = u->groups; g && g->options; g++) {
        dm_buf_printf(&b, "\n%s:\n", g->title);
        for (const struct dm_option *o = g->options; o->name; o++)
            if (o->help)
                render_row(&b, o);
        own = true;
        if (!g[1].options)
            render_row(&b, &help_row), render_row(&b, &version_row);
    }
    if (!own) {
        dm_buf_puts(&b, "\nOptions:\n");
        render_row(&b, &help_row), render_row(&b, &version_row);
    }
    if (u->notes)
        dm_buf_printf(&b, "\n%s%s", u->notes, u->notes[strlen(u->notes) - 1] == '\n' ? "" : "\n");
    if (u->example) {
        dm_buf_puts(&b, strchr(u->example, '\n') ? "\nExamples:\n" : "\nExample:\n");
        render_indented(&b, u->example);
    }
    return dm_buf_steal(&b);
}

bool dm_args_answered(const struct dm_args *args, const struct dm_usage *usage, FILE *out) {
    if (args->help) {
        DM_FREE char *text = dm_args_help_text(usage);
        fputs(text, out);
    } else if (args->version) {
        /* "devmgrctl admit --version" is devmgrctl's */
        fprintf(out, "%.*s %s\n", (int)strcspn(usage->program, " "), usage->program, DM_VERSION);
    }
    return args->help || args->version;
}
