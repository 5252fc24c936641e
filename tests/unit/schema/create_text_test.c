/* What is read from the text of a CREATE statement. */
#include "tests/unit/tap.h"

#include "formats/schema/create_text.h"

static struct schema_text text(const char *s)
{
    return (struct schema_text){s, s + strlen(s)};
}

static void test_normal(void)
{
    static const struct {
        const char *text, *normal;
    } cases[] = {
        {"", ""},
        {"  a\n>0 ", "a>0"},
        {"(is_nan IN (0,1))", "(is_nan IN (0, 1))"},
        {"\"key\"  = `v` OR [w]<'it''s  \" (x'", "key=v OR w<'it''s  \" (x'"},
        {"a -- b (\n /* c ' */ AND d", "a AND d"},
        {"a - b", "a-b"},
        {"'a' 'b'", "'a''b'"},
        {"a (", "a ()"},
        {"'never closed", "'never closed"},
        {"a /* never closed", "a"},
        {"\"", ""},
        {"((a", "((a))"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b = {0};
        schema_text_normal(text(cases[i].text), &b);
        is_str(buf_str(&b), cases[i].normal, "normal form %zu", i);
        buf_free(&b);
    }
}

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
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b = {0};
        schema_text_column(text(table), cases[i].column, &b);
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
    schema_text_table(text(table), add, &b);
    is_str(buf_str(&b),
           "check (check>0 AND a<>')')\ncheck (a IN (1, 2))\n"
           "definition PRIMARY KEY (a, i) ON CONFLICT REPLACE\noptions WITHOUT ROWID\n",
           "facts of a table");
    buf_reset(&b);
    schema_text_table(text("CREATE TABLE t (a) -- end"), add, &b);
    schema_text_table(text("CREATE TABLE t"), add, &b);
    schema_text_table(text("CREATE TABLE t (a CHECK"), add, &b);
    is_str(buf_str(&b), "", "a table without facts");
    buf_free(&b);
}

int main(void)
{
    test_normal();
    test_columns();
    test_table();
    return done_testing();
}
