/* Loads records of kind row into tables of the same name. */
#include "formats/load/untyped_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/record/idmap.h"
#include "formats/schema/schema.h"

struct load_untyped {
    struct load_conversion *conversion;
    const struct load_tables *tables; /* these three are the conversion's */
    struct load_problems *problems;
    struct load_stage *stage;
    struct row_decoder *decoder;
    struct spill *spill;
    struct idmap *reported; /* tables and columns missing from the target, as (table, column or "") */
    bool default_workspace; /* its row has come */
};

struct load_untyped *load_untyped_new(struct load_conversion *conversion, const char *tmpdir)
{
    struct load_untyped *u = xcalloc(1, sizeof *u);
    u->conversion = conversion;
    u->tables = conversion->tables;
    u->problems = conversion->problems;
    u->stage = conversion->stage;
    u->decoder = row_decoder_new();
    u->spill = spill_new(tmpdir);
    u->reported = idmap_new(u->spill);
    return u;
}

void load_untyped_free(struct load_untyped *u)
{
    if (!u)
        return;
    row_decoder_free(u->decoder);
    idmap_free(u->reported);
    spill_free(u->spill);
    free(u);
}

/* A row record with its table and values. */
struct row_in {
    const struct record *r;
    const struct row_table *known; /* NULL: an unknown table */
    const struct row_entry *entries;
    int n;
};

/* Reports a problem, or counts what is dropped. True if the record can be loaded without the value. */
static bool unsupported(struct load_untyped *u, const struct row_in *in, bool value_only, const char *what)
{
    struct err e;
    if (u->problems->drop_unsupported && value_only)
        u->problems->report.dropped_values[KIND_row][F_row_values]++;
    else if (u->problems->drop_unsupported)
        u->problems->report.dropped[KIND_row]++;
    if (u->problems->drop_unsupported)
        return value_only;
    err_set(&e, load_describe(u->problems, in->r), "%s", what);
    err_hint(&e, "%s", load_drop_hint);
    return load_problem(u->problems, &e);
}

/* Whether the missing table (column NULL) or column was reported before. */
static bool was_reported(struct load_untyped *u, const struct row_in *in, const struct row_entry *column)
{
    struct value name[] = {in->r->v[F_row_table],
                           column ? value_strn(column->column, column->column_len) : value_str("")};
    return !idmap_add(u->reported, id_key(0, name, 2), 0);
}

/* Reports that the schema has no such table (column NULL) or column: one message for all rows, with the first
 * one's key. */
static bool not_in_schema(struct load_untyped *u, const struct row_in *in, const struct row_entry *column)
{
    struct buf what = {0}, releases = {0};
    char name[64] = "";
    if (!u->problems->drop_unsupported && was_reported(u, in, column))
        return load_problem_again(u->problems);
    if (column)
        snprintf(name, sizeof name, "%.*s", (int)column->column_len, column->column);
    if (!u->problems->drop_unsupported && in->known)
        schema_releases_with(in->known->name, column ? name : NULL, &releases);
    if (column)
        buf_addf(&what, "this schema has no column %s.%s", in->known->name, name);
    else
        buf_addf(&what, "this schema has no table %.*s", (int)in->r->v[F_row_table].len,
                 in->r->v[F_row_table].s);
    buf_addf(&what, "%s%s (not repeated for other rows)", releases.len ? "; the releases that have it: " : "",
             buf_str(&releases));
    bool go_on = unsupported(u, in, column != NULL, buf_str(&what));
    buf_free(&what);
    buf_free(&releases);
    return go_on;
}

/* Converts a value that fits to the column's type. */
static struct value convert(enum column_type type, struct value v)
{
    if ((type == COLUMN_INT32 || type == COLUMN_INT64) && v.type == VALUE_BOOL)
        return value_int(v.b);
    if (type == COLUMN_FLOAT && v.type == VALUE_INT)
        return value_float((double)v.i);
    if (type == COLUMN_BOOL && v.type == VALUE_INT)
        return value_bool(v.i == 1);
    if (type == COLUMN_BYTES)
        v.type = VALUE_BIN;
    return v;
}

static int find_column(const struct load_table *t, const struct row_entry *entry)
{
    for (int i = 0; i < t->n_columns; i++)
        if (strlen(t->columns[i].name) == entry->column_len &&
            memcmp(t->columns[i].name, entry->column, entry->column_len) == 0)
            return i;
    return -1;
}

/* Reports a value that does not fit, or drops it on request. False if the row is not to be stored. */
static bool misfit(struct load_untyped *u, const struct row_in *in, const struct misfit *m)
{
    const struct row_entry *entry = m->entry < 0 ? NULL : &in->entries[m->entry];
    if (m->kind == MISFIT_NO_COLUMN)
        return not_in_schema(u, in, entry);
    struct buf what = {0};
    char *name = xstrndup(m->column, m->column_len);
    limits_describe(m, name, entry ? &entry->v : NULL, &what);
    bool whole = unsupported(u, in, !m->needed, buf_str(&what));
    free(name);
    buf_free(&what);
    return whole;
}

/* Checks the row, and removes what is dropped from entries, which are in's. False if it is not to be
 * stored. */
static bool judge(struct load_untyped *u, struct row_in *in, struct row_entry *entries)
{
    struct misfit found[LIMITS_ROW_MISFITS];
    int n = limits_row(u->tables->limits, in->known, in->entries, in->n, found), kept = 0;
    bool whole = true; /* all problems of a row are reported; a dropped row is counted once */
    for (int i = 0; i < n && (whole || !u->problems->drop_unsupported); i++)
        whole &= misfit(u, in, &found[i]);
    for (int i = 0, next = 0; whole && n > 0 && i < in->n; i++) {
        if (next < n && found[next].entry == i)
            next++;
        else
            entries[kept++] = entries[i];
    }
    if (whole && n > 0)
        in->n = kept;
    return whole;
}

/* Fills the row from a record's values, which fit. */
static void fill_row(const struct row_in *in, const struct load_table *t, struct value *row)
{
    load_table_defaults(t, row);
    for (int i = 0; i < in->n; i++) {
        int column = find_column(t, &in->entries[i]);
        if (column >= 0)
            row[column] = convert(t->columns[column].type, in->entries[i].v);
    }
}

/* Counts a row for the report. */
static void note_row(struct load_untyped *u, const struct row_in *in)
{
    const struct row_entry *name = row_entry_find(in->entries, in->n, "name", 4);
    const struct row_entry *status = row_entry_find(in->entries, in->n, "status", 6);
    if (strcmp(in->known->name, "workspaces") == 0)
        u->default_workspace |= name && value_eqs(&name->v, "default");
    /* PENDING, RUNNING and NEEDS_RECOVERY in mlflow/entities/_job_status.py */
    if (strcmp(in->known->name, "jobs") == 0)
        u->problems->report.unfinished_jobs += status && status->v.type == VALUE_INT &&
                                               (status->v.i == 0 || status->v.i == 1 || status->v.i == 6);
}

bool load_add_untyped(struct load_untyped *u, const struct record *r, struct err *e)
{
    struct row_entry entries[ROW_MAX_COLUMNS + 1];
    struct row_in in = {.r = r, .known = row_table_of(r)};
    struct load_table *t = in.known ? u->tables->of_rows[in.known - row_tables] : NULL;
    struct value row[LOAD_MAX_COLUMNS];
    in.n = in.known ? row_decode(u->decoder, r, &in.entries, e) : 0;
    if (in.n < 0)
        return false;
    if (!t) {
        not_in_schema(u, &in, NULL);
        return spill_check(u->spill, e);
    }
    memcpy(entries, in.entries, (size_t)in.n * sizeof *entries);
    in.entries = entries;
    note_row(u, &in);
    if (!judge(u, &in, entries))
        return spill_check(u->spill, e);
    if (!load_convert_issue(u->conversion, t, entries, &in.n, e))
        return false;
    fill_row(&in, t, row);
    int converted = load_convert_metric(u->conversion, r, t, row, e);
    return converted < 0 ? false : converted > 0 || load_stage_row(u->stage, KIND_row, PART_WHOLE, t, row, e);
}

/* A new database has the default workspace. If the stream has workspaces, they replace its row. */
bool load_replace_workspaces(struct load_untyped *u, struct db *db, struct err *e)
{
    struct load_table *t = load_table_of_rows(u->tables, "workspaces");
    struct value row[LOAD_MAX_COLUMNS] = {{.type = VALUE_NULL}};
    if (!t || !t->filled)
        return true;
    if (!u->default_workspace) {
        int name = load_table_find(t, "name"), description = load_table_find(t, "description");
        if (name >= 0)
            row[name] = value_str("default");
        if (description >= 0)
            row[description] = value_str("Default workspace for legacy resources");
        if (!load_stage_row(u->stage, KIND_row, PART_WHOLE, t, row, e))
            return false;
        u->problems->report.rows[KIND_row]--; /* it is not from the stream */
    }
    return db_exec(db, "DELETE FROM workspaces", e);
}

/* MLflow finds nothing in a workspace without a row, and a file store has no such rows. */
bool load_add_workspaces(const struct load_tables *tables, struct load_report *report, struct db *db,
                         struct err *e)
{
    bool ok = true;
    int64_t others = 0;
    if (!load_table_of_rows(tables, "workspaces"))
        return true;
    uint64_t before = db_rows_written(db);
    for (int i = 0; ok && i < tables->n; i++) {
        const struct load_table *t = &tables->items[i];
        if (!t->filled || load_table_find(t, "workspace") < 0)
            continue;
        char *sql =
            xasprintf("INSERT INTO workspaces (name) SELECT DISTINCT workspace FROM %s\n"
                      "WHERE workspace <> 'default' AND workspace NOT IN (SELECT name FROM workspaces)",
                      t->name);
        ok = db_exec(db, sql, e);
        free(sql);
    }
    report->added_workspaces = db_rows_written(db) - before;
    ok = ok && db_query_int(db, "SELECT count(*) FROM workspaces WHERE name <> 'default'", &others, e);
    report->workspaces = (uint64_t)others;
    return ok;
}
