/* Determines the merge rules of a table's columns, by the fields of its kinds or for a table without a
 * kind. */
#include <string.h>

#include "formats/database/trace_columns.h"
#include "formats/sync/internal.h"

int sync_find_column(const struct sync_table *t, const char *name)
{
    return load_table_find(t->t, name);
}

static struct sync_unit *add_unit(struct sync_table *t, enum merge_rule rule, int leader)
{
    struct sync_unit *u = &t->units[t->n_units++];
    *u = (struct sync_unit){.rule = rule, .leader = leader, .time = -1, .maker = -1};
    return u;
}

static void put_column(struct sync_table *t, int column, const struct sync_unit *u)
{
    struct sync_unit *unit = &t->units[u - t->units];
    t->columns[column].unit = (int)(u - t->units);
    unit->columns[unit->n_columns++] = column;
}

/* Adds a column as the only one of a unit with this rule. */
static void put_alone(struct sync_table *t, int column, enum merge_rule rule)
{
    for (int i = 0; rule == MERGE_RULE_KEEP && i < t->n_units; i++)
        if (t->units[i].rule ==
            rule) { /* one unit for all columns that are kept: it does not matter which of them differ */
            put_column(t, column, &t->units[i]);
            return;
        }
    put_column(t, column, add_unit(t, rule, column));
}

/* The column of a field; -1: it has none here. */
static int column_of(const struct sync_table *t, const struct kind_desc *k, int field)
{
    const struct field_desc *f = &k->fields[field];
    return field >= 0 && f->column[0] ? sync_find_column(t, f->column) : -1;
}

/* A word as stored in its column. */
static const char *word_in_column(const struct field_desc *f, const char *word)
{
    if (f->codec != CODEC_MODEL_STATUS)
        return word;
    /* formats/load/convert.c: UNSPECIFIED, PENDING, READY, FAILED */
    return strcmp(word, "PENDING") == 0 ? "1" : strcmp(word, "READY,FAILED") == 0 ? "2,3" : "0";
}

static void add_exception(struct sync_table *t, const struct kind_desc *k, const struct merge_exception *m)
{
    int column = column_of(t, k, m->field), by = m->by < 0 ? -1 : column_of(t, k, m->by);
    if (column < 0 || t->columns[column].unit < 0)
        return;
    struct sync_unit *u = &t->units[t->columns[column].unit];
    switch (m->what) {
    case MERGE_CASE_WHERE:
        if (by >= 0 && u->n_cases < SYNC_MAX_CASES) {
            u->cases[u->n_cases].by = by;
            u->cases[u->n_cases].text = m->text;
            u->cases[u->n_cases++].rule = m->rule;
        }
        break;
    case MERGE_CASE_NULL:
        t->columns[column].null_by = by;
        t->columns[column].null_texts = m->text;
        break;
    case MERGE_CASE_NEVER:
        u->never = word_in_column(&k->fields[m->field], m->text);
        u->over = word_in_column(&k->fields[m->field], m->over);
        break;
    case MERGE_CASE_ABSORB:
        u->absorb = m->text;
        break;
    case MERGE_CASE_MAKER:
        u->maker = by >= 0 ? by : sync_find_column(t, "artifact_location");
        break;
    }
}

static void plan_kind(struct sync_table *t, const struct kind_desc *k)
{
    const struct merge_field *m = merge_fields(k->kind);
    int time = merge_time(k->kind) < 0 ? -1 : column_of(t, k, merge_time(k->kind));
    for (int pass = 0; pass < 2; pass++) /* leaders first */
        for (int i = 0; i < k->n_fields; i++) {
            int column = column_of(t, k, i), lead = column_of(t, k, m[i].unit);
            if (column < 0 || t->t->columns[column].in_key || (m[i].unit == i) != (pass == 0) ||
                m[i].rule == MERGE_RULE_KEY)
                continue;
            if (lead >= 0 && lead != column)
                put_column(t, column, &t->units[t->columns[lead].unit]);
            else
                put_alone(t, column, m[i].rule);
            struct sync_unit *u = &t->units[t->columns[column].unit];
            u->of_fields = true;
            u->named |= k->kind == KIND_run && i == F_run_run_name;
            if (u->rule == MERGE_RULE_NEWER || u->rule == MERGE_RULE_NEWER_OR_EQUAL)
                u->time = time;
            int companion = k->fields[i].codec == CODEC_METRIC ? sync_find_column(t, "is_nan") : -1;
            if (companion >= 0)
                put_column(t, companion, u);
        }
    for (int i = 0; i < merge_exceptions_count; i++)
        if (merge_exceptions[i].kind == k->kind)
            add_exception(t, k, &merge_exceptions[i]);
}

/* Columns without a field: from a trace's tags and metadata, or derived from an assessment's value. */
static enum merge_rule rule_of_other(const struct sync_table *t, const char *column)
{
    for (const char *const *c = trace_columns; t->kind == KIND_trace && *c; c++)
        if (strcmp(*c, column) == 0)
            return MERGE_RULE_SRC;
    return MERGE_RULE_KEEP;
}

static void plan_others(struct sync_table *t)
{
    int value = t->kind == KIND_assessment ? sync_find_column(t, "value") : -1;
    for (int i = 0; i < t->t->n_columns; i++) {
        const char *name = t->t->columns[i].name;
        if (t->columns[i].unit >= 0 || t->t->columns[i].in_key)
            continue;
        if (value >= 0 && (strcmp(name, "aggregate_value") == 0 || strcmp(name, "is_numeric_value") == 0))
            put_column(t, i, &t->units[t->columns[value].unit]);
        else
            put_alone(t, i, rule_of_other(t, name));
    }
}

static void plan_rows(struct sync_table *t)
{
    const char *updated = merge_updated(t->t->name);
    int time = updated ? sync_find_column(t, updated) : -1;
    if (time < 0)
        return; /* the target's is kept */
    struct sync_unit *u = add_unit(t, MERGE_RULE_NEWER, time);
    u->time = time;
    for (int i = 0; i < t->t->n_columns; i++)
        if (!t->t->columns[i].in_key)
            put_column(t, i, u);
}

void sync_plan(struct sync_table *t)
{
    t->kind = KIND_row;
    t->rows = row_table_by_name(t->t->name, strlen(t->t->name));
    for (int i = 0; i < t->t->n_columns; i++)
        t->columns[i].unit = t->columns[i].null_by = -1;
    for (int k = KIND_COUNT - 1; k >= 0; k--)
        if (kinds[k].table[0] && strcmp(kinds[k].table, t->t->name) == 0)
            t->kind = (enum kind)k;
    t->latest = t->kind == KIND_latest_metric;
    t->points = kind_has_trait(t->kind, TRAIT_POINT) || t->kind == KIND_span;
    if (t->kind == KIND_row)
        plan_rows(t);
    else
        plan_kind(t, &kinds[t->kind]);
    plan_others(t);
}
