/* Runs the statements of revisions: upgrades a database, or creates one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "formats/database/sql_text.h"
#include "formats/schema/internal.h"
#include "formats/schema/queries.h"
#include "formats/schema/user_objects.h"

const struct migration_hook *schema_find_hook(const struct schema_part *part)
{
    for (const struct migration_call *c = migration_calls; c->name; c++)
        if (strlen(c->name) == part->len && memcmp(c->name, part->at, part->len) == 0)
            return c->hook;
    return NULL;
}

bool schema_next_part(const char **text, struct schema_part *part)
{
    static const struct {
        const char *begin;
        enum schema_part_kind kind;
    } words[] = {{"-- call: ", SCHEMA_PART_CALL}, {"-- unless: ", SCHEMA_PART_UNLESS}};
    *part = (struct schema_part){SCHEMA_PART_SQL, *text, strcspn(*text, "\n")};
    for (size_t i = 0; i < ARRAY_LENGTH(words); i++) {
        size_t n = strlen(words[i].begin);
        if (strncmp(*text, words[i].begin, n) == 0)
            *part = (struct schema_part){words[i].kind, part->at + n, part->len - n};
    }
    bool more = **text != '\0';
    *text = part->at + part->len;
    *text += **text == '\n';
    return more;
}

/* Evaluates `table.column` of an "unless" line: *out is true if the column exists. */
static bool column_exists(struct db *db, const struct schema_part *part, bool *out, struct err *e)
{
    const char *dot = memchr(part->at, '.', part->len);
    if (!dot)
        return err_set(e, "migrations", "malformed line: unless: %.*s", (int)part->len, part->at);
    char *table = xstrndup(part->at, (size_t)(dot - part->at));
    char *column = xstrndup(dot + 1, part->len - (size_t)(dot + 1 - part->at));
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

static const char *wide_type(struct sql_piece type)
{
    return sql_is(type, "INTEGER") ? "BIGINT" : sql_is(type, "SERIAL") ? "BIGSERIAL" : NULL;
}

/* Replaces the types of experiment ids by 64-bit ones. */
static void widen(struct sql_text sql, struct buf *out)
{
    struct sql_text rest = sql;
    struct sql_piece p, last = {0};
    for (; (p = sql_token(&rest)).kind != SQL_NOTHING; last = p) {
        const char *wide = sql_is(last, "experiment_id") ? wide_type(p) : NULL;
        if (!wide)
            continue;
        buf_add(out, sql.at, (size_t)(p.text.at - sql.at));
        buf_adds(out, wide);
        sql.at = p.text.end;
    }
    buf_add(out, sql.at, (size_t)(sql.end - sql.at));
}

static bool flush(struct db *db, struct buf *sql, bool wide, struct err *e)
{
    struct buf widened = {0};
    if (wide)
        widen(sql_text(DIALECT_POSTGRESQL, buf_str(sql)), &widened);
    bool ok = !sql->len || db_exec(db, buf_str(wide ? &widened : sql), e);
    buf_free(&widened);
    buf_reset(sql);
    return ok;
}

static bool call(struct db *db, const struct schema_part *part, struct err *e)
{
    const struct migration_hook *hook = schema_find_hook(part);
    return hook ? hook->run(db, e) : err_set(e, "migrations", "no function %.*s", (int)part->len, part->at);
}

static bool run_text(struct db *db, const char *text, bool wide, struct err *e)
{
    struct buf sql = {0};
    struct schema_part part;
    bool ok = true, skip = false;
    while (ok && schema_next_part(&text, &part)) {
        if (part.kind == SCHEMA_PART_CALL)
            ok = flush(db, &sql, wide, e) && call(db, &part, e);
        else if (part.kind == SCHEMA_PART_UNLESS)
            ok = flush(db, &sql, wide, e) && column_exists(db, &part, &skip, e);
        else if (skip)
            skip = false;
        else {
            buf_add(&sql, part.at, part.len);
            buf_addc(&sql, '\n');
        }
    }
    ok = ok && flush(db, &sql, wide, e);
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

/* Runs the statements of one revision without its stamp. */
static bool run_revision(struct db *db, int rev, bool wide, struct err *e)
{
    const struct schema_revision *r = &schema_revisions[rev];
    bool sqlite = db_dialect(db) == DIALECT_SQLITE;
    /* Without this a rename would rewrite, or fail on, user-defined views and triggers of a rebuilt table. */
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
    return db_exec(db, schema_widen_postgresql, e);
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
    struct schema_user_objects objects;
    bool wide;
    uint64_t before = db_rows_written(db);
    bool ok = schema_user_objects_save(db, to, &objects, e) && schema_is_wide(db, &wide, e) &&
              run_revision(db, to, wide, e);
    if (rows)
        *rows = db_rows_written(db) - before;
    ok = ok && schema_user_objects_restore(db, &objects, e) && stamp(db, to - 1, to, e);
    schema_user_objects_free(&objects);
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
