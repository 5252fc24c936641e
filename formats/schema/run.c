/* The runner: takes a database from one revision to the next, or makes one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/schema/internal.h"
#include "formats/schema/user_objects.h"

const struct migration_hook *schema_find_hook(const char *name, size_t len)
{
    for (const struct migration_call *c = migration_calls; c->name; c++)
        if (strlen(c->name) == len && memcmp(c->name, name, len) == 0)
            return c->hook;
    return NULL;
}

/* `table.column` of an "unless" line: true in *out when the column is there. */
static bool column_exists(struct db *db, const char *name, size_t len, bool *out, struct err *e)
{
    const char *dot = memchr(name, '.', len);
    if (!dot)
        return err_set(e, "migrations", "malformed line: unless: %.*s", (int)len, name);
    char *table = xstrndup(name, (size_t)(dot - name));
    char *column = xstrndup(dot + 1, len - (size_t)(dot + 1 - name));
    struct db_columns columns;
    bool ok = db_table_columns(db, table, &columns, e);
    if (ok) {
        *out = db_columns_find(&columns, column) != NULL;
        db_columns_free(&columns);
    }
    free(table);
    free(column);
    return ok;
}

static bool flush(struct db *db, struct buf *sql, struct err *e)
{
    bool ok = !sql->len || db_exec(db, buf_str(sql), e);
    buf_reset(sql);
    return ok;
}

/* Appends a line of a revision; wide: its columns of experiment ids get 64 bits. */
static void add_line(struct buf *sql, const char *line, size_t n, bool wide)
{
    static const struct {
        const char *narrow, *wide;
    } types[] = {{"experiment_id INTEGER", "experiment_id BIGINT"},
                 {"experiment_id SERIAL", "experiment_id BIGSERIAL"}};
    for (size_t i = 0; wide && i < sizeof types / sizeof types[0]; i++) {
        size_t len = strlen(types[i].narrow);
        const char *at = memmem(line, n, types[i].narrow, len);
        if (at) {
            buf_add(sql, line, (size_t)(at - line));
            buf_adds(sql, types[i].wide);
            n -= (size_t)(at - line) + len;
            line = at + len;
        }
    }
    buf_add(sql, line, n);
    buf_addc(sql, '\n');
}

/* Runs the text of a revision: statements, and between them lines that SQL has no words for:
 *   -- call: NAME           runs migration_NAME, which the revision's C file defines
 *   -- unless: TABLE.COLUMN leaves the next line out when that column is there */
static bool run_text(struct db *db, const char *text, bool wide, struct err *e)
{
    struct buf sql = {0};
    bool ok = true, skip = false;
    while (ok && *text) {
        size_t n = strcspn(text, "\n");
        if (strncmp(text, "-- call: ", 9) == 0) {
            const struct migration_hook *hook = schema_find_hook(text + 9, n - 9);
            ok = flush(db, &sql, e) &&
                 (hook || err_set(e, "migrations", "no function %.*s", (int)n - 9, text + 9));
            ok = ok && hook->run(db, e);
        } else if (strncmp(text, "-- unless: ", 11) == 0)
            ok = flush(db, &sql, e) && column_exists(db, text + 11, n - 11, &skip, e);
        else if (skip)
            skip = false;
        else
            add_line(&sql, text, n, wide);
        text += n + (text[n] == '\n');
    }
    ok = ok && flush(db, &sql, e);
    buf_free(&sql);
    return ok;
}

void schema_stamp_sql(int from, int to, struct buf *sql)
{
    if (from > 0)
        buf_addf(sql, "UPDATE alembic_version SET version_num = '%s'", schema_revisions[to].revision);
    else
        buf_addf(sql,
                 "CREATE TABLE IF NOT EXISTS alembic_version (\n"
                 "    version_num VARCHAR(32) NOT NULL,\n"
                 "    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)\n"
                 ");\n"
                 "INSERT INTO alembic_version (version_num) VALUES ('%s')",
                 schema_revisions[to].revision);
}

static bool stamp(struct db *db, int from, int to, struct err *e)
{
    struct buf sql = {0};
    schema_stamp_sql(from, to, &sql);
    bool ok = db_exec(db, buf_str(&sql), e);
    buf_free(&sql);
    return ok;
}

/* The statements of one revision without its stamp. */
static bool run_revision(struct db *db, int rev, bool wide, struct err *e)
{
    const struct schema_revision *r = &schema_revisions[rev];
    bool sqlite = db_dialect(db) == DIALECT_SQLITE;
    /* Without it a rename would rewrite, or trip over, the views and triggers that users have on a rebuilt
     * table. */
    if (sqlite && !db_exec(db, "PRAGMA legacy_alter_table = ON", e))
        return false;
    bool ok = run_text(db, sqlite ? r->sqlite : r->postgresql, wide, e);
    if (sqlite)
        db_exec(db, "PRAGMA legacy_alter_table = OFF", NULL);
    if (!ok && e) {
        char *what = xstrdup(e->what);
        snprintf(e->what, sizeof e->what, "revision %s (%s): %s", r->revision, r->title, what);
        free(what);
    }
    return ok;
}

bool schema_widen(struct db *db, struct err *e)
{
    static const char sql[] =
        "DO $$ DECLARE c record; BEGIN\n"
        "FOR c IN SELECT a.attrelid::regclass AS t, a.attname FROM pg_attribute a JOIN pg_class r ON r.oid = "
        "a.attrelid\n"
        "    WHERE a.attname = 'experiment_id' AND a.atttypid = 'integer'::regtype AND r.relkind = 'r'\n"
        "    AND r.relnamespace = quote_ident(current_schema())::regnamespace AND NOT a.attisdropped\n"
        "LOOP EXECUTE format('ALTER TABLE %s ALTER COLUMN %I TYPE bigint', c.t, c.attname); END LOOP;\n"
        "EXECUTE format('ALTER SEQUENCE %s AS bigint', pg_get_serial_sequence('experiments', "
        "'experiment_id'));\n"
        "END $$";
    return db_exec(db, sql, e);
}

bool schema_is_wide(struct db *db, bool *wide, struct err *e)
{
    int64_t n = 0;
    static const char sql[] =
        "SELECT count(*) FROM pg_attribute a JOIN pg_class r ON r.oid = a.attrelid\n"
        "WHERE r.relname = 'experiments' AND r.relnamespace = quote_ident(current_schema())::regnamespace\n"
        "AND a.attname = 'experiment_id' AND a.atttypid = 'bigint'::regtype";
    bool ok = db_dialect(db) == DIALECT_SQLITE || db_query_int(db, sql, &n, e);
    *wide = n > 0;
    return ok;
}

bool schema_step(struct db *db, int to, uint64_t *rows, struct err *e)
{
    struct schema_extras extras;
    bool wide;
    uint64_t before = db_rows_written(db);
    bool ok = schema_extras_save(db, to, &extras, e) && schema_is_wide(db, &wide, e) &&
              run_revision(db, to, wide, e);
    if (rows)
        *rows = db_rows_written(db) - before;
    ok = ok && schema_extras_restore(db, &extras, e) && stamp(db, to - 1, to, e);
    schema_extras_free(&extras);
    return ok;
}

static bool create(struct db *db, int rev, bool wide, struct err *e)
{
    for (int i = 0; i <= rev; i++)
        if (!run_revision(db, i, wide, e))
            return false;
    return rev == 0 || stamp(db, 0, rev, e);
}

bool schema_create(struct db *db, int rev, struct err *e)
{
    return create(db, rev, false, e);
}

bool schema_create_wide(struct db *db, int rev, struct err *e)
{
    return create(db, rev, true, e);
}
