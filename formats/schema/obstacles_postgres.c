/* Finds what would stop an upgrade on PostgreSQL, where the structure cannot be copied for a rehearsal:
 * queries the catalog for conflicts with what the revisions' texts create, change and require. */
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "formats/schema/internal.h"
#include "formats/schema/needs.h"
#include "formats/schema/queries.h"

/* -- queries
 *
 * Each query returns the obstacle, a connecting word, the revision, and what the revision does. */

struct search {
    struct db *db;
    struct buf needs; /* the parameter of all queries */
    schema_report *report;
    void *arg;
    int *found;
};

struct finding {
    char *thing, *leads, *does; /* the last two may be NULL */
    int rev;
};

typedef bool take_finding(struct search *s, const struct finding *f, struct err *e);

static void report_line(struct search *s, char *line)
{
    s->report(line, s->arg);
    free(line);
    ++*s->found;
}

static bool take_thing(struct search *s, const struct finding *f, struct err *e)
{
    (void)e;
    report_line(s, f->does ? xasprintf("%s, %s revision %s %s", f->thing, f->leads,
                                       schema_revisions[f->rev].revision, f->does)
                           : xstrdup(f->thing));
    return true;
}

static bool take_write(struct search *s, const struct finding *f, struct err *e)
{
    struct err why;
    if (db_exec(s->db, f->thing, &why))
        return true;
    if (why.class == ERR_INTERRUPTED || why.class == ERR_CONNECTION)
        return err_copy(e, &why);
    report_line(s, xasprintf("revision %s: %s", schema_revisions[f->rev].revision, why.what));
    return true;
}

static char *text_of(struct db_stmt *stmt, int column)
{
    struct value v;
    db_column(stmt, column, &v);
    return value_is_null(&v) ? NULL : xstrndup(v.s, v.len);
}

static const struct query {
    const char *text;
    take_finding *take;
} queries[] = {
    {schema_obstacle_names_postgresql, take_thing},  {schema_obstacle_dependents_postgresql, take_thing},
    {schema_obstacle_tables_postgresql, take_thing}, {schema_obstacle_missing_postgresql, take_thing},
    {schema_obstacle_rights_postgresql, take_thing}, {schema_obstacle_writes_postgresql, take_write},
};

static bool ask(struct search *s, const struct query *q, struct err *e)
{
    struct value needs = value_strn(buf_str(&s->needs), s->needs.len);
    struct db_stmt *stmt = db_prepare(s->db, q->text, e);
    int row = -1;
    bool ok = true;
    if (stmt)
        db_bind(stmt, 1, &needs);
    while (ok && stmt && (row = db_step(stmt, e)) == 1) {
        struct value rev;
        db_column(stmt, 2, &rev);
        struct finding f = {text_of(stmt, 0), text_of(stmt, 1), text_of(stmt, 3), (int)rev.i};
        ok = q->take(s, &f, e);
        free(f.thing);
        free(f.leads);
        free(f.does);
    }
    db_finalize(stmt);
    return ok && row == 0;
}

/* -- what an upgrade requires */

/* The keys that the revision of workspaces finds by their columns: primary keys (NULL), and unique ones on
 * one column. */
static void add_replaced(struct schema_needs *needs)
{
    static const struct {
        const char *table, *column;
    } replaced[] = {
        {"registered_models", NULL},     {"model_versions", NULL},           {"model_version_tags", NULL},
        {"registered_model_tags", NULL}, {"registered_model_aliases", NULL}, {"experiments", "name"},
        {"registered_models", "name"},   {"secrets", "secret_name"},         {"endpoints", "name"},
        {"model_definitions", "name"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(replaced); i++)
        schema_needs_add_row(needs, SCHEMA_REPLACED, replaced[i].table, replaced[i].column, NULL,
                             REV_WORKSPACES);
}

/* Adds writes that appear in no text: the stamp, and rows written by functions. */
static void add_other_writes(struct schema_needs *needs, int from, int to)
{
    static const char *const tables[] = {"trace_info", "spans", "assessments"};
    if (from > 0 && from < to) /* the first stamp creates its table */
        schema_needs_add_row(needs, SCHEMA_WRITTEN, "alembic_version", NULL, "UPDATE", from + 1);
    if (from < REV_TRACE_ANALYTICS && REV_TRACE_ANALYTICS <= to)
        for (size_t i = 0; i < ARRAY_LENGTH(tables); i++)
            schema_needs_add_row(needs, SCHEMA_WRITTEN, tables[i], NULL, "UPDATE", REV_TRACE_ANALYTICS);
}

static void write_needs(int from, int to, struct buf *out)
{
    struct schema_needs known = {0}, needs = {0};
    for (int i = 0; i <= from; i++)
        schema_needs_add(&known, i);
    for (int i = from + 1; i <= to; i++)
        schema_needs_add(&needs, i);
    if (from < REV_WORKSPACES && REV_WORKSPACES <= to)
        add_replaced(&needs);
    add_other_writes(&needs, from, to);
    buf_addc(out, '{');
    for (int i = 0; i < SCHEMA_NEEDS; i++) {
        schema_needs_write(&needs, (enum schema_need)i, "", out);
        buf_adds(out, ",\n");
    }
    schema_needs_write(&known, SCHEMA_MADE, "known_", out);
    buf_adds(out, ",\n");
    schema_needs_write(&known, SCHEMA_KEYS, "known_", out);
    buf_addc(out, '}');
    schema_needs_free(&known);
    schema_needs_free(&needs);
}

bool schema_obstacles_postgres(struct db *db, int from, int to, schema_report *report, void *arg, int *found,
                               struct err *e)
{
    struct search s = {.db = db, .report = report, .arg = arg, .found = found};
    bool ok = true;
    write_needs(from, to, &s.needs);
    for (size_t i = 0; ok && i < ARRAY_LENGTH(queries); i++)
        ok = ask(&s, &queries[i], e);
    buf_free(&s.needs);
    return ok;
}
