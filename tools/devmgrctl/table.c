/* table.c -- columns that a person likes to read. Cells are kept whole until the widths are known. */
#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "ctl.h"
#include <string.h>
#include <unistd.h>

struct cell {
    char *text;
    enum colour colour;
    size_t width; /* in characters */
};
struct table {
    const char *const *heads;
    size_t columns, n, cap;
    struct cell *cells;
};

/* ---- text ------------------------------------------------------------------------------------------------------ */

/* Ids and messages come from plugins: nothing of theirs may steer a terminal. */
char *printable(const char *text) {
    char *copy = dm_strdup(text ? text : "");
    for (unsigned char *p = (unsigned char *)copy; *p; p++) {
        if (*p < ' ' || *p == 0x7f)
            *p = '?';
        else if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) /* C1 controls */
            p[0] = p[1] = '?';
    }
    return copy;
}

static size_t width_of(const char *text) {
    size_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static bool colours(void) {
    static int known = -1;
    if (known < 0) {
        const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
        known = isatty(STDOUT_FILENO) && !(no && *no) && term && *term && strcmp(term, "dumb");
    }
    return known;
}

static void put(enum colour colour, const char *text) {
    static const char *const on[] = {"", "\033[1m", "\033[32m", "\033[33m", "\033[31m"};
    if (colour == PLAIN || !colours())
        fputs(text, stdout);
    else
        printf("%s%s\033[0m", on[colour], text);
}

void print_coloured(enum colour colour, const char *text) {
    DM_FREE char *safe = printable(text);
    put(colour, safe);
}

static int by_nature(const void *a, const void *b) {
    return dm_text_natural(*(const char *const *)a, *(const char *const *)b);
}

static char *word_of(const json_t *value) {
    return json_is_integer(value) ? dm_printf("%lld", (long long)json_integer_value(value))
                                  : dm_strdup(json_is_string(value) ? json_string_value(value) : "");
}

char *joined(const json_t *list, const char *between) {
    size_t n = json_array_size(list);
    char **words = dm_alloc_array(n + 1, sizeof *words);
    struct dm_buf b = {0};
    for (size_t i = 0; i < n; i++)
        words[i] = word_of(json_array_get(list, i));
    qsort(words, n, sizeof *words, by_nature);
    for (size_t i = 0; i < n; i++) {
        dm_buf_printf(&b, "%s%s", i ? between : "", words[i]);
        free(words[i]);
    }
    free(words);
    return dm_buf_steal(&b);
}

/* ---- tables ---------------------------------------------------------------------------------------------------- */

struct table *table_new(const char *const *heads) {
    struct table *t = DM_NEW(struct table);
    t->heads = heads;
    for (; heads[t->columns]; t->columns++) {
        const char *head = heads[t->columns];
        table_add(t, BOLD, head + (*head == '>'));
    }
    return t;
}

void table_free(struct table *t) {
    if (!t)
        return;
    for (size_t i = 0; i < t->n; i++)
        free(t->cells[i].text);
    free(t->cells);
    free(t);
}

void table_freep(struct table **t) {
    table_free(*t);
}

void table_add(struct table *t, enum colour colour, const char *text) {
    DM_GROW(t->cells, t->n, t->cap);
    struct cell *cell = &t->cells[t->n++];
    cell->text = printable(text && *text ? text : "-");
    cell->colour = colour;
    cell->width = width_of(cell->text);
}

static void print_cell(const struct cell *cell, size_t width, bool right, bool last) {
    int space = (int)(width - cell->width);
    if (right)
        printf("%*s", space, "");
    put(cell->colour, cell->text);
    if (!last)
        printf("%*s", (right ? 0 : space) + 2, "");
}

void table_print(const struct table *t) {
    DM_FREE size_t *widths = dm_alloc_array(t->columns, sizeof *widths);
    for (size_t i = 0; i < t->n; i++)
        if (t->cells[i].width > widths[i % t->columns])
            widths[i % t->columns] = t->cells[i].width;
    for (size_t i = 0; i < t->n; i++) {
        size_t column = i % t->columns;
        bool last = column == t->columns - 1;
        print_cell(&t->cells[i], widths[column], t->heads[column][0] == '>', last);
        if (last)
            putchar('\n');
    }
}
