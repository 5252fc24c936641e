/* Decides again about a range of staged rows after others have written to the target, in a transaction that keeps
 * them from writing: what identity and comparison found may no longer be so. */
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "formats/record/references.h"
#include "formats/sync/internal.h"

struct range {
    struct sync *x;
    struct sync_table *t;
    int64_t first, last;
};

/* Sets *found if the query has a row. Takes a `SELECT 1 …` with the range's condition on s at its end. */
static bool finds(const struct range *r, const struct buf *query, bool *found, struct err *e)
{
    int64_t n = 0;
    bool ok = sync_int(r->x, &n, e, "SELECT EXISTS (%s AND s.sync_id BETWEEN %lld AND %lld)", buf_str(query),
                       (long long)r->first, (long long)r->last);
    *found = n != 0;
    return ok;
}

/* Whether ids and names of new experiments are taken. */
static bool are_taken(const struct range *r, bool *taken, struct err *e)
{
    struct buf query = {0};
    buf_addf(&query,
             "SELECT 1 FROM @@s_experiments s JOIN @@d_experiments d ON d.sync_id = s.sync_id JOIN "
             "experiments t ON "
             "(t.experiment_id = s.experiment_id OR (%st.name = s.name)) WHERE d.added = 1",
             sync_find_column(r->t, "workspace") >= 0 ? "t.workspace = s.workspace AND " : "");
    bool ok = finds(r, &query, taken, e);
    buf_free(&query);
    return ok;
}

/* Whether the target has rows of the natural key under other ids alone. */
static bool have_other_ids(const struct range *r, bool *other, struct err *e)
{
    const char *id, *table = r->t->t->name;
    struct buf query = {0}, same = {0};
    *other = false;
    if (!sync_add_natural_join(r->t, &id, &same))
        return true;
    buf_addf(&query,
             "SELECT 1 FROM @@s_%s s WHERE s.sync_out IS NULL AND EXISTS (SELECT 1 FROM %s t WHERE %s) AND "
             "NOT EXISTS "
             "(SELECT 1 FROM %s t WHERE %s AND t.%s = s.%s)",
             table, table, buf_str(&same), table, buf_str(&same), id, id);
    bool ok = finds(r, &query, other, e);
    buf_free(&same);
    buf_free(&query);
    return ok;
}

/* Whether rows that are to be added refer to rows that are gone. */
static bool lack(const struct range *r, const char *column, const char *parent, const char *key,
                 bool *lacking, struct err *e)
{
    const char *table = r->t->t->name;
    struct buf query = {0};
    *lacking = false;
    if (sync_find_column(r->t, column) < 0 || strcmp(table, parent) == 0)
        return true;
    bool in_ws = strcmp(parent, "registered_models") == 0 && sync_find_column(r->t, "workspace") >= 0;
    buf_addf(&query,
             "SELECT 1 FROM @@s_%s s JOIN @@d_%s d ON d.sync_id = s.sync_id WHERE d.added = 1 AND s.sync_out "
             "IS NULL "
             "AND s.%s IS NOT NULL AND NOT EXISTS (SELECT 1 FROM %s p WHERE p.%s = s.%s%s)",
             table, table, column, parent, key, column, in_ws ? " AND p.workspace = s.workspace" : "");
    bool ok = finds(r, &query, lacking, e);
    buf_free(&query);
    return ok;
}

static bool lack_parents(const struct range *r, bool *lacking, struct err *e)
{
    static const struct {
        unsigned flag;
        enum load_ref ref;
    } refs[] = {{FIELD_EXP, REF_EXPERIMENT},
                {FIELD_RUN, REF_RUN},
                {FIELD_TRACE, REF_TRACE},
                {FIELD_MODEL, REF_MODEL},
                {FIELD_REG, REF_REGISTERED}};
    const struct kind_desc *k = &kinds[r->t->kind];
    *lacking = false;
    if (r->t->kind == KIND_row) {
        const char *link = r->t->rows ? r->t->rows->link : "";
        char *column = xstrndup(link, row_next_column(&link));
        bool ok = !*column || lack(r, column, r->t->rows->parent, column, lacking, e);
        free(column);
        return ok;
    }
    for (size_t i = 0; i < ARRAY_LENGTH(refs); i++)
        for (int f = 0; f < k->n_fields && !*lacking; f++)
            if ((k->fields[f].flags & refs[i].flag) && k->fields[f].column[0] && ref_is_hard(k, f) &&
                !lack(r, k->fields[f].column, load_refs[refs[i].ref].table, load_refs[refs[i].ref].columns[0],
                      lacking, e))
                return false;
    return true;
}

/* Whether rows are now to be excluded: purged, or aliases of versions that were deleted. */
static bool are_out(const struct range *r, bool *out, struct err *e)
{
    const char *table = r->t->t->name;
    struct buf query = {0}, condition = {0};
    bool ok = true;
    *out = false;
    if (strcmp(table, "registered_model_aliases") == 0)
        sync_add_dead_alias(r->x, r->t, &condition);
    else if (r->x->delta)
        sync_add_purged(r->t, &condition);
    if (condition.len) {
        buf_addf(
            &query,
            "SELECT 1 FROM @@s_%s s JOIN @@d_%s d ON d.sync_id = s.sync_id WHERE s.sync_out IS NULL AND (%s)",
            table, table, buf_str(&condition));
        ok = finds(r, &query, out, e);
    }
    buf_free(&condition);
    buf_free(&query);
    return ok;
}

static bool count_conflicts(const struct range *r, int64_t *n, struct err *e)
{
    return sync_int(r->x, n, e,
                    "SELECT count(*) FROM @@d_%s WHERE conflict <> 0 AND sync_id BETWEEN %lld AND %lld",
                    r->t->t->name, (long long)r->first, (long long)r->last);
}

/* Compares the range again; *otherwise: with other conflicts. */
static bool compare(const struct range *r, bool *otherwise, struct err *e)
{
    int64_t before, after;
    bool ok = count_conflicts(r, &before, e) &&
              sync_exec(r->x, e, "DELETE FROM @@d_%s WHERE sync_id BETWEEN %lld AND %lld", r->t->t->name,
                        (long long)r->first, (long long)r->last) &&
              sync_judge_range(r->x, r->t, r->first, r->last, e) &&
              sync_compare_range(r->x, r->t, r->first, r->last, e) && count_conflicts(r, &after, e);
    *otherwise = ok && before != after;
    return ok;
}

bool sync_recheck(struct sync *x, struct sync_table *t, enum sync_part part, int64_t first, int64_t last,
                  bool *holds, struct err *e)
{
    static bool (*const checks[])(const struct range *, bool *, struct err *) = {have_other_ids, compare,
                                                                                 are_out, lack_parents};
    struct range r = {x, t, first, last};
    bool changed = false;
    bool ok = t->kind != KIND_experiment || part != SYNC_ADD || are_taken(&r, &changed, e);
    for (size_t i = 0; ok && !changed && i < ARRAY_LENGTH(checks); i++)
        ok = checks[i](&r, &changed, e);
    *holds = !changed;
    return ok;
}
