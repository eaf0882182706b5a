/* why.c -- see why.h.
 *
 * When no nodes are good for all that is asked, that has one of three reasons: a resource that no nodes can serve; one of
 * which the devices that are free lie on more nodes than they should; resources of which each could be served well, but not
 * by the same nodes. The first that holds is said. Under single-numa-node only one node is good. */
#include "manager/why.h"
#include <inttypes.h>

enum { SHOWN = 3 }; /* sets of nodes of a resource */

static void put_nodes(struct dm_buf *out, uint64_t set) {
    dm_buf_puts(out, "{");
    for (bool first = true; set; set &= set - 1, first = false)
        dm_buf_printf(out, "%s%d", first ? "" : ",", __builtin_ctzll(set));
    dm_buf_puts(out, "}");
}

static void put_free(struct dm_buf *out, const struct dm_manager *m, const struct dm_hint_row *row) {
    bool any = false;
    for (uint64_t left = m->topology->numa.all; left; left &= left - 1) {
        uint64_t n = 0;
        for (size_t i = 0; i < row->n_groups; i++)
            n += row->groups[i].nodes & left & -left ? row->groups[i].candidates : 0;
        if (n)
            dm_buf_printf(out, "%s%" PRIu64 " on node %d", any ? ", " : "", n, __builtin_ctzll(left));
        any |= n > 0;
    }
    if (!any)
        dm_buf_puts(out, "none on any node");
}

/* ---- the reason -------------------------------------------------------------------------------------------------------- */

static bool is_single(const struct dm_manager *m) {
    return m->topology->policy == DM_POLICY_SINGLE_NUMA_NODE;
}

static size_t n_hints(const struct dm_hint_row *row) {
    return row->hints.kind == DM_HINTS_LIST ? row->hints.n : 0;
}

static bool is_good(const struct dm_manager *m, const struct dm_hint *h) {
    return h->preferred && (h->any || !is_single(m) || __builtin_popcountll(h->mask) == 1);
}

static bool has_good(const struct dm_manager *m, const struct dm_hint_row *row) {
    bool good = row->hints.kind == DM_HINTS_ANY;
    for (size_t i = 0; i < n_hints(row); i++)
        good |= is_good(m, &row->hints.hints[i]);
    return good;
}

static void put_no_nodes(struct dm_buf *out, const char *which, const struct dm_hint_row *row) {
    if (row->of)
        dm_buf_printf(out, "no %s has %" PRIu64 " %s free", which, row->count, row->resource);
    else
        dm_buf_printf(out, "no %s will do for %s", which, row->resource);
}

/* It has hints, and none is good. */
static void put_not_good(struct dm_buf *out, const struct dm_manager *m, const struct dm_hint_row *row) {
    size_t least = row->hints.least;
    if (is_single(m) && least <= 1) {
        put_no_nodes(out, "single node", row);
    } else if (is_single(m)) {
        dm_buf_printf(out, "%" PRIu64 " %s take %zu nodes even if all are free", row->count, row->resource,
                      least);
    } else if (row->of) {
        dm_buf_printf(out,
                      "%" PRIu64 " %s would fit on %zu node%s if all were free, but now they take nodes ",
                      row->count, row->resource, least, least == 1 ? "" : "s");
        put_nodes(out, row->hints.hints[0].mask);
    } else {
        dm_buf_printf(out, "the nodes that are left for %s are not those it should have", row->resource);
    }
}

static void put_good_ones(struct dm_buf *out, const struct dm_manager *m, const struct dm_hint_row *row) {
    size_t shown = 0;
    for (size_t i = 0; i < n_hints(row) && shown <= SHOWN; i++) {
        const struct dm_hint *h = &row->hints.hints[i];
        if (h->any || !is_good(m, h))
            continue;
        dm_buf_puts(out, !shown ? "" : shown < SHOWN ? " or " : " or others");
        if (shown++ < SHOWN)
            put_nodes(out, h->mask);
    }
}

/* Each has good ones. */
static void put_apart(struct dm_buf *out, const struct dm_manager *m, const struct dm_decision *d) {
    bool any = false;
    dm_buf_puts(out, "no nodes are good for all of it: ");
    for (size_t i = 0; i < d->n; i++) {
        if (!n_hints(&d->rows[i]))
            continue;
        dm_buf_printf(out, "%s%s should be on ", any ? ", " : "", d->rows[i].resource);
        put_good_ones(out, m, &d->rows[i]);
        any = true;
    }
}

void dm_why_put(struct dm_buf *out, const struct dm_manager *m, const struct dm_decision *d) {
    const struct dm_hint_row *bad = NULL;
    if (d->merged.preferred || m->topology->policy == DM_POLICY_NONE)
        return;
    for (size_t i = 0; i < d->n && !(bad && !n_hints(bad)); i++)
        if (!has_good(m, &d->rows[i]) && (!bad || !n_hints(&d->rows[i])))
            bad = &d->rows[i];
    if (!bad)
        put_apart(out, m, d);
    else if (!n_hints(bad))
        put_no_nodes(out, is_single(m) ? "node" : "set of nodes", bad);
    else
        put_not_good(out, m, bad);
}

/* ---- and all the rest --------------------------------------------------------------------------------------------------- */

static void put_sets(struct dm_buf *out, const struct dm_hints *h) {
    size_t shown = 0;
    if (h->kind == DM_HINTS_ANY)
        dm_buf_puts(out, "any nodes would do");
    else if (h->kind == DM_HINTS_IMPOSSIBLE)
        dm_buf_puts(out, "no nodes would do");
    else
        dm_buf_puts(out, "would do: ");
    for (; h->kind == DM_HINTS_LIST && shown < h->n && shown < SHOWN; shown++) {
        dm_buf_puts(out, shown ? ", " : "");
        put_nodes(out, h->hints[shown].any ? 0 : h->hints[shown].mask);
        dm_buf_puts(out, h->hints[shown].preferred ? " preferred" : "");
    }
    if (h->kind == DM_HINTS_LIST && shown < h->n)
        dm_buf_puts(out, ", ...");
}

static void put_row(struct dm_buf *out, const struct dm_manager *m, const struct dm_hint_row *row) {
    if (!*row->resource)
        return;
    dm_buf_printf(out, "; %s: ", row->resource);
    if (row->of) {
        dm_buf_printf(out, "%" PRIu64 " wanted, free: ", row->count);
        put_free(out, m, row);
        dm_buf_puts(out, ", ");
    }
    put_sets(out, &row->hints);
}

void dm_why_put_all(struct dm_buf *out, const struct dm_manager *m, const struct dm_decision *d) {
    dm_buf_printf(out, "topology policy %s, scope %s: ", dm_policy_name(m->topology->policy),
                  dm_scope_name(m->topology->scope));
    dm_why_put(out, m, d);
    for (size_t i = 0; i < d->n; i++)
        put_row(out, m, &d->rows[i]);
    if (!d->merged.exhaustive)
        dm_buf_puts(out, "; not all sets of nodes were looked at: there are too many");
}
