/* Plans how each kind's records become rows of the target's tables. */
#include "formats/database/trace_columns.h"
#include "formats/load/tables.h"

/* Sets *column to the field's index, NO_COLUMN, or MISSING_COLUMN if the revision has none. false: the table
 * lacks a column of the revision. */
static bool plan_field(struct load_tables *all, struct load_table *t, const struct db_columns *have,
                       const struct field_desc *f, int *column, struct err *e)
{
    *column = f->column[0] ? MISSING_COLUMN : NO_COLUMN;
    if (!f->column[0] || all->rev < f->since || (f->until && all->rev >= f->until))
        return true;
    *column = load_plan_column(all, t, have, f->column, e);
    return *column != MISSING_COLUMN;
}

/* Plans the columns that MLflow derives. */
static bool plan_extras(struct load_tables *all, enum kind kind, struct load_table *t,
                        const struct db_columns *have, struct err *e)
{
    static const char *const assessment_columns[] = {"experiment_id", "trace_timestamp_ms", "aggregate_value",
                                                     "is_numeric_value", NULL};
    if (all->rev < REV_TRACE_ANALYTICS)
        return true;
    const char *const *c = kind == KIND_trace        ? trace_columns
                           : kind == KIND_assessment ? assessment_columns
                                                     : NULL;
    for (; c && *c; c++)
        if (load_plan_column(all, t, have, *c, e) < 0)
            return false;
    return true;
}

bool load_plan_kind(struct load_tables *all, struct db *db, const struct kind_desc *k, struct err *e)
{
    struct load_plan *p = &all->plans[k->kind];
    p->is_nan = NO_COLUMN;
    if (!limits_has_kind(all->limits, k->kind))
        return true;
    struct db_columns have;
    if (!db_table_columns(db, k->table, &have, e))
        return false;
    limits_add_table(all->limits, k->table, &have);
    struct load_table *t = p->table = load_table_named(all, k->table);
    t->of_kind = true;
    bool ok = have.n > 0 || err_set(e, k->table, "the table is missing, but its revision has it");
    for (int i = 0; ok && i < k->n_fields; i++) {
        ok = plan_field(all, t, &have, &k->fields[i], &p->column[i], e);
        if (ok && k->fields[i].codec == CODEC_METRIC && db_columns_find(&have, "is_nan"))
            p->is_nan = load_plan_column(all, t, &have, "is_nan", e);
    }
    for (int i = 0; ok && i < k->n_consts; i++)
        ok = (p->consts[i] = load_plan_column(all, t, &have, k->consts[i].column, e)) >= 0;
    ok = ok && plan_extras(all, k->kind, t, &have, e);
    db_columns_free(&have);
    return ok;
}
