/* What is read from the text of a CREATE statement. */
#include "common/array.h"
#include "tests/unit/tap.h"

#include "formats/schema/create_text.h"

static const char table[] =
    "CREATE TABLE \"odd (name\" (a TEXT DEFAULT 'COLLATE b, c' /* , d COLLATE e */, -- f\n"
    "  \"check\" INTEGER NOT NULL ON CONFLICT IGNORE CHECK (\"check\" > 0 AND a <> ')'),\n"
    "  `g h` TEXT COLLATE \"nocase\" REFERENCES o (p) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,\n"
    "  i INT GENERATED ALWAYS AS (a + /* */ 1) STORED COLLATE binary UNIQUE ON CONFLICT ABORT,\n"
    "  CONSTRAINT q CHECK(a IN (1,2)), PRIMARY KEY (a, i) ON CONFLICT REPLACE, UNIQUE (a)) WITHOUT ROWID";

static void test_columns(void)
{
    static const struct {
        const char *column, *clauses;
    } cases[] = {
        {"a", ""},
        {"check", " ON CONFLICT IGNORE"},
        {"CHECK", " ON CONFLICT IGNORE"},
        {"g h", " COLLATE NOCASE DEFERRED"},
        {"i", " GENERATED AS (a+1)"},
        {"d", ""},
        {"q", ""},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct buf b = {0};
        schema_text_column(sql_text(DIALECT_SQLITE, table), cases[i].column, &b);
        is_str(buf_str(&b), cases[i].clauses, "clauses of column %s", cases[i].column);
        buf_free(&b);
    }
}

static void add(const char *fact, void *arg)
{
    buf_addf(arg, "%s\n", fact);
}

static void test_table(void)
{
    struct buf b = {0};
    schema_text_table(sql_text(DIALECT_SQLITE, table), add, &b);
    is_str(buf_str(&b),
           "check (check>0 AND a<>')')\ncheck (a IN (1, 2))\n"
           "definition PRIMARY KEY (a, i) ON CONFLICT REPLACE\noptions WITHOUT ROWID\n",
           "facts of a table");
    buf_reset(&b);
    schema_text_table(sql_text(DIALECT_SQLITE, "CREATE TABLE t (a) -- end"), add, &b);
    schema_text_table(sql_text(DIALECT_SQLITE, "CREATE TABLE t"), add, &b);
    schema_text_table(sql_text(DIALECT_SQLITE, "CREATE TABLE t (a CHECK"), add, &b);
    is_str(buf_str(&b), "", "a table without facts");
    buf_free(&b);
}

int main(void)
{
    test_columns();
    test_table();
    return done_testing();
}
