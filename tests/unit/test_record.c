/* A container's claims as a line of text: what is not well-formed is refused even when its checksum is right. */
#include "manager/record.h"
#include "manager_rig.h"

/* The line with the checksum it needs. */
static const char *sealed(const char *body) {
    static char out[600];
    uint32_t crc = 0xffffffff;
    snprintf(out, sizeof out, "devmgr-claim/1 %s ", body);
    for (const char *p = out; *p; p++) {
        crc ^= (unsigned char)*p;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    rig_add(out, sizeof out, "%08" PRIx32, ~crc);
    return out;
}

TEST(well_formed_lines_are_read) {
    static const char *const rows[] = {"p default p main 0 2 x.y/a 0:a0;1:a0,a1 QQ==",
                                       "p - - main 2 0 x.y/a - -", /* no names, no ids, no answer */
                                       "p a b main 1 0 x.y/a -1:a0 QUE= x.y/b -1:b%2C,%2D QUFB"};
    EACH(row, rows) {
        struct dm_record r;
        devmgr_error err = {0};
        int rc = dm_record_read(sealed(*row), &r, &err);
        if (rc < 0)
            CHECK_FAIL("%s: %s", *row, err.message);
        CHECK_STR(r.uid, "p");
        CHECK_STR(r.claims[0]->resource, "x.y/a");
        dm_record_free(&r);
    }
}

TEST(what_is_not_well_formed_is_refused) {
    static const char *const rows[] = {
        "p default p main 0 2",                     /* no claim */
        "p default p main 3 2 x.y/a 0:a0 QQ==",     /* no such kind */
        "p default p main x 2 x.y/a 0:a0 QQ==",     /* not a number */
        "p default p main 0 -2 x.y/a 0:a0 QQ==",    /* not a set of nodes */
        "- default p main 0 2 x.y/a 0:a0 QQ==",     /* no uid */
        "p default p - 0 2 x.y/a 0:a0 QQ==",        /* no container */
        "p default p main 0 2 - 0:a0 QQ==",         /* no resource */
        "p default p main 0 2 x.y/a a0 QQ==",       /* no node */
        "p default p main 0 2 x.y/a 0 QQ==",        /* no ids */
        "p default p main 0 2 x.y/a 0:a0, QQ==",    /* an empty id */
        "p default p main 0 2 x.y/a 0:a0; QQ==",    /* an empty node */
        "p default p main 0 2 x.y/a 0:a0:a1 QQ=",   /* base64 of a wrong length */
        "p default p main 0 2 x.y/a 0:a0 Q*==",     /* not base64 */
        "p default p main 0 2 x.y/a 0:a0 Q===",     /* too much padding */
        "p default p main 0 2 x.y/a 0:a0 QQ=Q",     /* padding in between */
        "p default p main 0 2 x.y/a 0:a0",          /* no answer */
        "p default p%zz main 0 2 x.y/a 0:a0 QQ==",  /* not hexadecimal */
        "p default p%4 main 0 2 x.y/a 0:a0 QQ==",   /* cut */
        "p default p%00q main 0 2 x.y/a 0:a0 QQ==", /* NUL */
        "p default p%FF main 0 2 x.y/a 0:a0 QQ==",  /* not UTF-8 */
        "p default  main 0 2 x.y/a 0:a0 QQ==",      /* an empty field */
        "",
    };
    EACH(row, rows) {
        struct dm_record r;
        devmgr_error err = {0};
        if (dm_record_read(sealed(*row), &r, &err) != DEVMGR_EINVALID)
            CHECK_FAIL("accepted: %s", *row);
        CHECK_STR(err.message, "record: not well-formed");
    }
}

static int adopt(struct rig *g, const char *record, devmgr_error *err) {
    devmgr_pod *p = rig_pod("p", "main", 0);
    int rc = dm_manager_adopt(g->m, p, "main", record, NULL, NULL, err);
    devmgr_pod_free(p);
    rig_drain(g);
    return rc;
}

TEST(adopt_checks_what_a_record_says) {
    struct rig *g = rig_new(NULL);
    devmgr_error err;
    CHECK_INT(adopt(g, "nonsense", &err), DEVMGR_EINVALID);
    CHECK_INT(adopt(g, sealed("p a b main 0 0 x.y/a -1:a0 YmFk"), &err), DEVMGR_EINVALID); /* "bad" */
    CHECK_STR(err.message, "record: the answer for x.y/a: not a message");
    CHECK_INT(adopt(g, sealed("p a b main 0 0 x.y/a -1:a0 - x.y/a -1:a1 -"), &err), DEVMGR_EINVALID);
    CHECK_STR(err.message, "record: names x.y/a twice");
    CHECK_INT(dm_manager_adopt(g->m, NULL, "main", "x", NULL, NULL, &err), DEVMGR_EINVALID);
    CHECK_INT(dm_manager_claim_record(g->m, "p", "main", NULL, NULL), DEVMGR_EINVALID);
    CHECK_STR(rig_held(g), "");
    /* resources in any order; shown by name */
    CHECK_INT(adopt(g, sealed("p a b main 0 0 x.y/b -1:b0 - x.y/a -1:a0 -"), &err), 0);
    CHECK_STR(rig_held(g), "p/main a0?; p/main b0?");
    dm_manager_close(g->m);
    rig_drain(g);
    CHECK_INT(adopt(g, "x", &err), -ECANCELED);
    rig_free(g);
}
