/* Which devices: src/manager/pick.h (ALLOC-17 to ALLOC-31). Devices are digits: 3 is device 3. */
#include "check.h"
#include "manager/pick.h"
#include <errno.h>

static void set(struct dm_bits *b, const char *devices) {
    for (; *devices; devices++)
        if (*devices >= '0' && *devices <= '9')
            dm_bits_set(b, (size_t)(*devices - '0'));
}

static const char *text(const uint32_t *devices, size_t n) {
    static char out[4][64];
    static int turn;
    char *at = out[turn = (turn + 1) % 4];
    for (size_t i = 0; i < n; i++)
        at[i] = (char)('0' + devices[i]);
    at[n] = 0;
    return at;
}

struct state {
    const char *healthy, *held, *reserved, *node0, *node1, *reuse;
    uint64_t affinity;
};

static int pick(const struct state *s, size_t needed, const char *wish, struct dm_picked *ret) {
    struct dm_bits healthy = {0}, held = {0}, reserved = {0}, nodes[64] = {{0}};
    uint32_t reuse[10], wishes[10];
    set(&healthy, s->healthy), set(&held, s->held), set(&reserved, s->reserved);
    set(&nodes[0], s->node0), set(&nodes[1], s->node1);
    struct dm_choice c = {.n = 10,
                          .healthy = &healthy,
                          .held = &held,
                          .reserved = &reserved,
                          .nodes = *s->node0 || *s->node1 ? nodes : NULL,
                          .reuse = reuse,
                          .n_reuse = strlen(s->reuse),
                          .affinity = s->affinity,
                          .needed = needed,
                          .wish = wishes,
                          .n_wish = strlen(wish),
                          .offers = true};
    for (size_t i = 0; s->reuse[i]; i++)
        reuse[i] = (uint32_t)(s->reuse[i] - '0');
    for (size_t i = 0; wish[i]; i++)
        wishes[i] = (uint32_t)(wish[i] - '0');
    int rc = dm_pick(&c, ret);
    dm_bits_free(&healthy), dm_bits_free(&held), dm_bits_free(&reserved);
    dm_bits_free(&nodes[0]), dm_bits_free(&nodes[1]);
    return rc;
}

static const struct state plain = {"0123", "", "", "", "", "", 0};
static const struct state two_nodes = {"012345", "", "", "012", "345", "", 2};

TEST(the_same_state_gives_the_same_devices_in_natural_order) {
    static const struct {
        struct state state;
        size_t needed;
        const char *wish, *want;
    } rows[] = {
        {{"0123", "", "", "", "", "", 0}, 2, "", "01"},
        {{"0123", "0", "1", "", "", "", 0}, 2, "", "23"},          /* held and reserved are not free */
        {{"0123", "", "", "", "", "", 0}, 0, "", ""},              /* nothing asked */
        {{"012345", "", "", "012", "345", "", 2}, 2, "", "34"},    /* ALLOC-22: near the wanted node first */
        {{"012345", "", "", "012", "345", "", 2}, 4, "", "0345"},  /* the node runs out: spill over */
        {{"01234567", "", "", "01", "23", "", 2}, 5, "", "01234"}, /* then other nodes, then none */
        {{"0123", "", "", "02", "12", "", 2},
         2,
         "",
         "12"},                                            /* ALLOC-23: one of its nodes in the mask counts */
        {{"0123", "", "", "", "", "", 2}, 2, "", "01"},    /* ALLOC-24: no topology, no split */
        {{"0123", "", "", "23", "", "", 0}, 2, "", "01"},  /* ALLOC-24: no mask, no split */
        {{"0123", "23", "", "", "", "23", 0}, 1, "", "2"}, /* ALLOC-20: reuse first */
        {{"0123", "23", "", "", "", "23", 0}, 3, "", "023"},
        {{"0123", "23", "", "012", "3", "23", 2}, 1, "", "3"},    /* reuse near the wanted node first */
        {{"0123", "", "", "", "", "", 0}, 2, "31", "13"},         /* preferred, then the rest */
        {{"0123", "", "", "", "", "", 0}, 3, "3", "013"},         /* ALLOC-29: filled up */
        {{"0123", "3", "", "", "", "", 0}, 2, "392", "02"},       /* ALLOC-28: not on offer: ignored */
        {{"0123", "", "", "", "", "", 0}, 2, "3210", "23"},       /* too many: in the plugin's order */
        {{"0123", "", "", "", "", "", 0}, 2, "3333", "03"},       /* twice the same counts once */
        {{"012345", "", "", "012", "345", "", 2}, 2, "50", "35"}, /* aligned before preferred */
        {{"012345", "", "", "012", "345", "", 2}, 4, "2", "2345"},
    };
    EACH(row, rows) {
        struct dm_picked p;
        CHECK_INT(pick(&row->state, row->needed, row->wish, &p), 0);
        CHECK_STR(text(p.devices, p.n), row->want);
        dm_picked_free(&p);
    }
}

TEST(too_few_says_how_many_were_free) {
    struct state s = {"012345", "0", "1", "", "", "0", 0};
    struct dm_picked p;
    CHECK_INT(pick(&s, 6, "", &p), -ENODEV);
    CHECK_INT((int)p.available, 4);
    CHECK_INT((int)p.n, 1); /* the one to be reused */
    CHECK_INT(p.ask, 0);
    dm_picked_free(&p);
}

TEST(the_plugin_is_asked_where_the_kubelet_asks_it) {
    static const struct {
        struct state state;
        size_t needed;
        int ask;
        const char *offer, *must;
    } rows[] = {
        {{"0123", "", "", "", "", "", 0}, 2, 1, "0123", ""},
        {{"0123", "", "", "", "", "", 0}, 4, 1, "0123", ""},        /* no mask: asked even without a choice */
        {{"012345", "", "", "012", "345", "", 2}, 2, 1, "345", ""}, /* ALLOC-25 */
        {{"012345", "", "", "012", "345", "", 2}, 3, 0, "", ""},    /* ALLOC-26: exactly the aligned ones */
        {{"012345", "", "", "012", "345", "", 2}, 4, 1, "012345", "345"}, /* ALLOC-27 */
        {{"0123", "01", "", "", "", "01", 0}, 2, 0, "", ""},              /* reuse is enough */
        {{"0123", "01", "", "", "", "01", 0}, 3, 1, "0123", "01"},
        {{"0123", "", "", "", "", "", 0}, 0, 0, "", ""},
    };
    EACH(row, rows) {
        struct dm_picked p;
        CHECK_INT(pick(&row->state, row->needed, "", &p), 0);
        CHECK_INT(p.ask, row->ask);
        CHECK_STR(text(p.offer, p.n_offer), row->offer);
        CHECK_STR(text(p.must, p.n_must), row->must);
        dm_picked_free(&p);
    }
}

TEST(an_offer_that_nobody_wants_is_not_made) {
    struct dm_bits healthy = {0}, none = {0};
    struct dm_picked p;
    for (size_t i = 0; i < 4; i++)
        dm_bits_set(&healthy, i);
    CHECK_INT(
        dm_pick(
            &(struct dm_choice){.n = 4, .healthy = &healthy, .held = &none, .reserved = &none, .needed = 2},
            &p),
        0);
    CHECK_INT(p.ask, 1);
    CHECK_INT(p.n_offer + p.n_must, 0);
    CHECK_STR(text(p.devices, p.n), "01");
    dm_picked_free(&p);
    dm_bits_free(&healthy);
}

TEST(P13_a_thousand_times_the_same) {
    for (int i = 0; i < 1000; i++) {
        struct dm_picked p;
        CHECK_INT(pick(i % 2 ? &plain : &two_nodes, 3, "", &p), 0);
        CHECK_STR(text(p.devices, p.n), i % 2 ? "012" : "345");
        dm_picked_free(&p);
    }
}
