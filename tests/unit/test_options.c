/* Merging answers: src/manager/options.h (OPT-12 to OPT-17). */
#include "manager/options.h"
#include "manager_rig.h"

struct answer {
    const char *resource, *text;
};

static int merge(const struct answer *answers, size_t n, char *out, size_t size, char *conflict,
                 size_t *conflicts) {
    struct dm_options_source sources[4];
    struct dm_merged *m = NULL;
    devmgr_error err = {0};
    struct outcome o = {0};
    for (size_t i = 0; i < n; i++)
        sources[i] = (struct dm_options_source){answers[i].resource,
                                                {(const uint8_t *)answers[i].text, strlen(answers[i].text)}};
    int rc = dm_options_merge(rig_decode, sources, n, &m, &err);
    if (rc == 0) {
        rig_on_options(&o, 0, &m->options, NULL);
        snprintf(conflict, 1100, "%s", m->conflict ? m->conflict : "");
        *conflicts = m->n_conflicts;
    } else {
        snprintf(conflict, 1100, "%s", err.message);
    }
    snprintf(out, size, "%s", o.options);
    dm_merged_free(m);
    return rc;
}

TEST(OPT_12_to_17_first_wins_and_message_order_is_kept) {
    static const struct {
        const char *a, *b, *want, *conflict;
        size_t conflicts;
    } rows[] = {
        {"env X=1", "env Y=2", "env X=1 env Y=2 ", "", 0},
        {"env X=1", "env X=1", "env X=1 ", "", 0},
        {"env X=1", "env X=2", "env X=1 ", "env \"X\": x.y/a has \"1\", x.y/b has \"2\"", 1},
        {"mount /c=/h\nmount /a=/h2", "mount /b=/h", "mount /c=/h mount /a=/h2 mount /b=/h ", "", 0},
        {"mount /c=/h", "mount /c=/other", "mount /c=/h ",
         "mount \"/c\": x.y/a has \"/h\", x.y/b has \"/other\"", 1},
        {"dev /dev/b=/dev/b\ndev /dev/a=/dev/a", "dev /dev/a=/dev/a", "dev /dev/b=/dev/b dev /dev/a=/dev/a ",
         "", 0},
        {"dev /dev/a=/dev/a", "dev /dev/a=/dev/x", "dev /dev/a=/dev/a ",
         "device \"/dev/a\": x.y/a has \"/dev/a\", x.y/b has \"/dev/x\"", 1},
        {"ann k=1", "ann k=2\nann l=3", "ann k=1 ann l=3 ",
         "annotation \"k\": x.y/a has \"1\", x.y/b has \"2\"", 1},
        {"env X=1\nmount /X=/h", "mount /X=/h\nenv X=1", "env X=1 mount /X=/h ", "", 0},
        {"dev /d=/1\ndev /d=/2", "", "dev /d=/1 ", "device \"/d\": x.y/a has \"/1\", x.y/a has \"/2\"", 1},
        {"env X=1", "env X=2\nenv X=3", "env X=1 ", "env \"X\": x.y/a has \"1\", x.y/b has \"2\"", 2},
        {"", "", "", "", 0}, /* OPT-18 */
    };
    EACH(row, rows) {
        struct answer answers[] = {{"x.y/a", row->a}, {"x.y/b", row->b}};
        char out[2000], conflict[1100];
        size_t conflicts;
        CHECK_INT(merge(answers, 2, out, sizeof out, conflict, &conflicts), 0);
        CHECK_STR(out, row->want);
        CHECK_STR(conflict, row->conflict);
        CHECK_INT((int)conflicts, (int)row->conflicts);
    }
}

TEST(OPT_16_cdi_devices_by_name) {
    struct answer answers[] = {{"x.y/a", "cdi v/c:1\ncdi v/c:0"}, {"x.y/b", "cdi v/c:0\ncdi v/c:2"}};
    char out[2000], conflict[1100];
    size_t conflicts;
    CHECK_INT(merge(answers, 2, out, sizeof out, conflict, &conflicts), 0);
    CHECK_STR(out, "cdi v/c:1 cdi v/c:0 cdi v/c:2 ");
}

TEST(an_answer_that_cannot_be_decoded_names_its_resource) {
    struct answer answers[] = {{"x.y/a", "env X=1"}, {"x.y/b", "bad"}};
    char out[2000], conflict[1100];
    size_t conflicts;
    CHECK_INT(merge(answers, 2, out, sizeof out, conflict, &conflicts), -EBADMSG);
    CHECK_STR(conflict, "x.y/b: the plugin's answer: not a message");
}

TEST(no_answers_give_empty_options) {
    char out[2000], conflict[1100];
    size_t conflicts;
    CHECK_INT(merge(NULL, 0, out, sizeof out, conflict, &conflicts), 0);
    CHECK_STR(out, "");
}
