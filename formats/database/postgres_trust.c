/* Checks whose functions would run when the programs use a database (CVE-2018-1058 and the like). */
#include "formats/database/postgres_trust.h"

#include "formats/database/internal.h"
#include "formats/record/rows.h"

static struct db_stmt *ask(struct db *db, const char *sql, const char *const *parameters, int n,
                           struct err *e)
{
    struct db_stmt *s = db_prepare(db, sql, e);
    for (int i = 0; s && i < n; i++) {
        struct value v = value_str(parameters[i]);
        db_bind(s, i + 1, &v);
    }
    return s;
}

static bool refuse_intruder(struct db *db, const char *schema, struct db_stmt *s, struct err *e)
{
    struct value what, role;
    db_column(s, 0, &what);
    db_column(s, 1, &role);
    err_set(e, db_display(db),
            "schema %s contains %.*s of role %.*s, which could be called instead of PostgreSQL's own", schema,
            (int)what.len, what.s, (int)role.len, role.s);
    return err_hint(e,
                    "drop it and revoke the right to create objects there: REVOKE CREATE ON SCHEMA %s FROM "
                    "PUBLIC; or use a schema of your own: ?options=-csearch_path%%3DNAME in the URL",
                    schema);
}

bool postgres_check_schema(struct db *db, const char *schema, struct err *e)
{
    struct db_stmt *s = ask(db, database_intruder_postgresql, &schema, 1, e);
    int found = s ? db_step(s, e) : -1;
    if (found > 0)
        refuse_intruder(db, schema, s, e);
    db_finalize(s);
    return found == 0;
}

/* Appends the names of MLflow's tables of all revisions as a PostgreSQL array. */
static void add_tables(struct buf *out)
{
    buf_adds(out, "{alembic_version");
    for (int i = 0; i < KIND_COUNT; i++)
        if (*kinds[i].table)
            buf_addf(out, ",%s", kinds[i].table);
    for (int i = 0; i < row_tables_count; i++)
        buf_addf(out, ",%s", row_tables[i].name);
    buf_addc(out, '}');
}

static bool refuse_code(struct db *db, struct db_stmt *s, struct err *e)
{
    enum { PART, TABLE, FUNCTION, ROLE, OWNER, REMEDY, COLUMNS };
    struct value v[COLUMNS];
    for (int i = 0; i < COLUMNS; i++)
        db_column(s, i, &v[i]);
    err_set(e, db_display(db),
            "%.*s of table %.*s calls function %.*s of role %.*s, which would run with your rights",
            (int)v[PART].len, v[PART].s, (int)v[TABLE].len, v[TABLE].s, (int)v[FUNCTION].len, v[FUNCTION].s,
            (int)v[ROLE].len, v[ROLE].s);
    return err_hint(e,
                    "inspect it with \\sf %.*s in psql; then give it to the table's owner: ALTER FUNCTION "
                    "%.*s OWNER TO %.*s; or remove it: %.*s",
                    (int)v[FUNCTION].len, v[FUNCTION].s, (int)v[FUNCTION].len, v[FUNCTION].s,
                    (int)v[OWNER].len, v[OWNER].s, (int)v[REMEDY].len, v[REMEDY].s);
}

bool postgres_check_code(struct db *db, const char *schema, struct err *e)
{
    struct buf tables = {0};
    add_tables(&tables);
    const char *parameters[] = {schema, buf_str(&tables)};
    struct db_stmt *s = ask(db, database_foreign_code_postgresql, parameters, 2, e);
    int found = s ? db_step(s, e) : -1;
    if (found > 0)
        refuse_code(db, s, e);
    db_finalize(s);
    buf_free(&tables);
    return found == 0;
}
