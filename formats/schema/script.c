/* Writes an upgrade as a script. */
#include <string.h>

#include "formats/schema/internal.h"
#include "formats/schema/user_objects.h"

/* Adds a statement that fails unless the query returns 0. */
static void add_guard(struct buf *out, enum dialect dialect, const char *query, const char *message)
{
    if (dialect == DIALECT_SQLITE)
        buf_addf(out, "-- stops here if: %s\nINSERT INTO temp.ml_schema_guard %s;\n", message, query);
    else
        buf_addf(out, "DO $$ BEGIN IF (%s) <> 0 THEN RAISE EXCEPTION '%s'; END IF; END $$;\n", query,
                 message);
}

/* Adds the text of a revision without directives, and a guard for rows that these would convert. */
static void add_text(struct buf *out, enum dialect dialect, const char *text)
{
    struct schema_part part;
    while (schema_next_part(&text, &part)) {
        const struct migration_hook *hook = part.kind == SCHEMA_PART_CALL ? schema_find_hook(&part) : NULL;
        if (hook && hook->rows)
            add_guard(out, dialect, hook->rows, "there are rows that only ml-schema upgrade can convert");
        if (part.kind == SCHEMA_PART_SQL) {
            buf_add(out, part.at, part.len);
            buf_addc(out, '\n');
        }
    }
}

static void add_objects_guard(const char *query, const char *words, void *out)
{
    add_guard(out, DIALECT_SQLITE, query, words);
}

static void add_head(struct buf *out, enum dialect dialect)
{
    if (dialect == DIALECT_SQLITE)
        buf_adds(out, ".bail on\n"
                      "PRAGMA foreign_keys = OFF;\n"
                      "PRAGMA legacy_alter_table = ON;\n"
                      "CREATE TEMP TABLE ml_schema_guard (wrong INTEGER CHECK (wrong = 0));\n");
    else
        buf_adds(out,
                 "\\set ON_ERROR_STOP on\n"
                 "-- Everything is created in the first schema of search_path, and only that is searched.\n"
                 "DO $$ BEGIN PERFORM pg_catalog.set_config('search_path',\n"
                 "    pg_catalog.concat(pg_catalog.quote_ident(pg_catalog.current_schema()), ', pg_temp'), "
                 "false);\n"
                 "END $$;\n");
}

static void add_revision_guard(struct buf *out, enum dialect dialect, int from)
{
    if (from <= 0)
        return;
    struct buf query = {0}, message = {0};
    buf_addf(&query, "SELECT count(*) <> 1 FROM alembic_version WHERE version_num = '%s'",
             schema_revisions[from].revision);
    if (dialect == DIALECT_POSTGRESQL) {
        buf_reset(&query);
        buf_addf(&query, "SELECT 1 - count(*) FROM alembic_version WHERE version_num = '%s'",
                 schema_revisions[from].revision);
    }
    buf_addf(&message, "the database is not at revision %s", schema_revisions[from].revision);
    add_guard(out, dialect, buf_str(&query), buf_str(&message));
    buf_free(&query);
    buf_free(&message);
}

void schema_script(enum dialect dialect, int from, int to, struct buf *out)
{
    bool sqlite = dialect == DIALECT_SQLITE;
    add_head(out, dialect);
    for (int i = from + 1; sqlite && from >= 0 && i <= to; i++)
        schema_user_objects_each(i, add_objects_guard, out);
    for (int i = from + 1; i <= to; i++) {
        const struct schema_revision *r = &schema_revisions[i];
        buf_addf(out, "\n-- [%d/%d] %s %s\n", i, schema_head, r->revision, r->title);
        buf_adds(out, sqlite ? "BEGIN IMMEDIATE;\n" : "BEGIN;\nSET CONSTRAINTS ALL IMMEDIATE;\n");
        add_revision_guard(out, dialect, i - 1);
        add_text(out, dialect, sqlite ? r->sqlite : r->postgresql);
        if (i > 0) {
            schema_stamp_sql(i - 1, i, out);
            buf_adds(out, ";\n");
        }
        buf_adds(out, "COMMIT;\n");
    }
}
