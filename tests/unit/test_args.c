/* Command lines: what src/base/args.h accepts and how it refuses. */
#include "base/args.h"
#include "base/mem.h"
#include "check.h"
#include <stdlib.h>

static const struct dm_option options[] = {
    {"root", "DIR", "where everything is", .alias = "root-dir", .env = "TEST_ARGS_ROOT"},
    {"devices", "N", "how many"},
    {"output", "FORMAT", "text or json", 'o'},
    {"timeout", "D", "how long", .per_resource = true},
    {"wait", NULL, "a switch", 'w'},
    {"secret", NULL, NULL},
    {NULL}};
static const struct dm_option_group groups[] = {{"Options", options}, {NULL, NULL}};
static const struct dm_usage usage = {.program = "prog",
                                      .synopsis = "[--root DIR] WHAT",
                                      .summary = "Does it.",
                                      .groups = groups,
                                      .example = "prog --root /tmp it"};

/* Parses a command line split at blanks, and prints what came out: options, then operands, or the error. */
static const char *parsed(const char *line) {
    static char out[2048];
    char *argv[16] = {(char *)"prog"}, copy[256];
    int argc = 1;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    struct dm_args args;
    devmgr_error err;
    size_t at = 0;
    out[0] = 0;
    if (dm_args_parse(&usage, argc, argv, &args, &err) < 0) {
        snprintf(out, sizeof out, "%s", err.message);
    } else {
        for (size_t i = 0; i < args.n_given; i++) {
            const struct dm_given *g = &args.given[i];
            at += (size_t)snprintf(out + at, sizeof out - at, "%s%s%s=%s ", g->option->name,
                                   g->resource ? "@" : "", g->resource ? g->resource : "",
                                   g->value ? g->value : "yes");
        }
        at += (size_t)snprintf(out + at, sizeof out - at, "|");
        for (size_t i = 0; i < args.n_operands; i++)
            at += (size_t)snprintf(out + at, sizeof out - at, "%s%s", i == args.before_dashes ? " -- " : " ",
                                   args.operands[i]);
    }
    dm_args_free(&args);
    return out;
}

TEST(options_stand_anywhere_and_dashes_end_them) {
    static const struct {
        const char *line, *want;
    } rows[] = {{"", "|"},
                {"--root /r it", "root=/r | it"},
                {"it --root=/r", "root=/r | it"},
                {"--root= it", "root= | it"},
                {"a --wait b", "wait=yes | a b"},
                {"-o json -w it", "output=json wait=yes | it"},
                {"-ojson", "output=json |"},
                {"- it", "| - it"},
                {"-o -", "output=- |"},
                {"--root -x", "root=-x |"},
                {"--root-dir /r", "root=/r |"},
                {"--secret", "secret=yes |"},
                {"run -- --wait x", "| run -- --wait x"},
                {"--timeout@example.com/gpu 5s --timeout=1s", "timeout@example.com/gpu=5s timeout=1s |"}};
    EACH(row, rows)
    CHECK_STR(parsed(row->line), row->want);
}

TEST(mistakes_name_the_option_and_the_next_step) {
    static const struct {
        const char *line, *want;
    } rows[] = {
        {"--devics 4", "--devics: unknown option; did you mean --devices?"},
        {"--dev=4", "--dev: unknown option; did you mean --devices?"},
        {"--xylophone", "--xylophone: unknown option; see prog --help"},
        {"-x", "-x: unknown option; see prog --help"},
        {"--verson", "--verson: unknown option; did you mean --version?"},
        {"it --devices", "--devices: needs a value, N"},
        {"--devices --wait", "--devices: needs a value, N"},
        {"--wait=yes", "--wait: takes no value"},
        {"-wx", "-w: takes no value"},
        {"--devices@example.com/gpu 4", "--devices@example.com/gpu: --devices cannot be set for a resource"},
        {"--bad --worse", "--bad: unknown option; see prog --help"}};
    EACH(row, rows)
    CHECK_STR(parsed(row->line), row->want);
}

TEST(help_wins_over_mistakes) {
    CHECK_STR(parsed("--bogus --help"), "help=yes |");
    CHECK_STR(parsed("-h"), "help=yes |");
    CHECK_STR(parsed("--version --devices"), "version=yes |");
}

TEST(the_environment_stands_in_and_the_option_wins) {
    setenv("TEST_ARGS_ROOT", "/env", 1);
    CHECK_STR(parsed("it"), "root=/env | it");
    char *argv[] = {(char *)"prog", (char *)"--root", (char *)"/opt"};
    struct dm_args args;
    CHECK_INT(dm_args_parse(&usage, 3, argv, &args, NULL), 0);
    CHECK_STR(dm_args_get(&args, "root"), "/opt");
    dm_args_free(&args);
    setenv("TEST_ARGS_ROOT", "", 1);
    CHECK_STR(parsed("it"), "| it");
    unsetenv("TEST_ARGS_ROOT");
}

static const char *typed(const char *option, const char *value) {
    static devmgr_error err;
    static const char *const words[] = {"text", "json", NULL};
    char *argv[] = {(char *)"prog", (char *)option, (char *)value};
    struct dm_args args;
    uint64_t n = 7, ms = 7;
    int choice = 7, r = dm_args_parse(&usage, 3, argv, &args, &err);
    r = r ? r : dm_args_u64(&args, "devices", 1, 100, &n, &err);
    r = r ? r : dm_args_duration(&args, "timeout", &ms, &err);
    r = r ? r : dm_args_choice(&args, "output", words, &choice, &err);
    dm_args_free(&args);
    static char out[64];
    snprintf(out, sizeof out, "%d %d %d", (int)n, (int)ms, choice);
    return r < 0 ? err.message : out;
}

TEST(typed_values_say_what_is_allowed) {
    CHECK_STR(typed("--devices", "100"), "100 7 7");
    CHECK_STR(typed("--devices", "101"), "--devices: \"101\" is not a number from 1 to 100");
    CHECK_STR(typed("--devices", "-1"), "--devices: \"-1\" is not a number from 1 to 100");
    CHECK_STR(typed("--timeout", "1m30s"), "7 90000 7");
    CHECK_STR(typed("--timeout", "5"), "--timeout: \"5\" is not a duration; write 500ms, 5s or 1m30s");
    CHECK_STR(typed("-o", "json"), "7 7 1");
    CHECK_STR(typed("-o", "xml"), "-o: \"xml\" is not one of text or json");
}

TEST(operands_are_counted) {
    char *argv[] = {(char *)"prog", (char *)"a", (char *)"b"};
    struct dm_args args;
    devmgr_error err;
    CHECK_INT(dm_args_parse(&usage, 3, argv, &args, &err), 0);
    CHECK_INT(dm_args_operands(&args, 1, 2, "POD", &err), 0);
    CHECK_INT(dm_args_operands(&args, 0, 1, "POD", &err), -EINVAL);
    CHECK_STR(err.message, "b: one argument too many");
    CHECK_INT(dm_args_operands(&args, 3, 3, "UID", &err), -EINVAL);
    CHECK_STR(err.message, "UID is missing");
    dm_args_free(&args);
}

TEST(help_shows_every_option_but_the_hidden) {
    char *text = dm_args_help_text(&usage);
    static const char *const shown[] = {"Usage: prog [--root DIR] WHAT\nDoes it.\n\nOptions:\n",
                                        "  --root DIR                where everything is [$TEST_ARGS_ROOT]\n",
                                        "  -o, --output FORMAT       text or json\n", "  -h, --help ",
                                        "\nExample:\n  prog --root /tmp it\n"};
    EACH(part, shown)
    if (!strstr(text, *part))
        CHECK_STR(text, *part);
    CHECK(!strstr(text, "secret"));
    CHECK(!strstr(text, "root-dir"));
    free(text);
}

TEST(nearest_is_not_any_word) {
    static const char *const words[] = {"resources", "devices", "pods", NULL};
    CHECK_STR(dm_args_nearest("resource", words), "resources");
    CHECK_STR(dm_args_nearest("dveices", words), "devices");
    CHECK(dm_args_nearest("x", words) == NULL);
    CHECK(dm_args_nearest("admit", words) == NULL);
    CHECK(dm_args_nearest("", words) == NULL);
}
