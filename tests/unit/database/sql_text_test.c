/* The scanner of SQL, on text that is made to mislead it; what a statement is, SQLite and a PostgreSQL server
 * say too. */
#include "common/array.h"
#include "tests/unit/server.h"

#include <libpq-fe.h>
#include <sqlite3.h>

#include "formats/database/sql_text.h"

#define LITE     DIALECT_SQLITE
#define POSTGRES DIALECT_POSTGRESQL

/* Appends the tokens of a text: a letter for the kind, and what is inside. */
static void show_tokens(struct sql_text t, struct buf *out)
{
    static const char letters[] = {[SQL_WORD] = 'w', [SQL_NAME] = 'n',  [SQL_STRING] = 's',
                                   [SQL_OPEN] = '(', [SQL_CLOSE] = ')', [SQL_SIGN] = '.'};
    struct sql_piece p;
    while ((p = sql_token(&t)).kind != SQL_NOTHING)
        buf_addf(out, "%s%c:%.*s", out->len ? " " : "", letters[p.kind], (int)(p.inside.end - p.inside.at),
                 p.inside.at);
}

static void test_tokens(void)
{
    static const struct {
        enum dialect dialect;
        const char *sql, *tokens;
    } cases[] = {
        {LITE, "", ""},
        {LITE, "a -- b'\n c", "w:a w:c"},
        {LITE, "a -- the end", "w:a"},
        {LITE, "a/* ' -- /* */b", "w:a w:b"},
        {POSTGRES, "a/* ' -- /* */b */c", "w:a w:c"},
        {LITE, "a/* never closed", "w:a"},
        {POSTGRES, "a/* /* never closed */", "w:a"},
        {LITE, "/*/a*/b", "w:b"},
        {LITE, "a-b - -c", "w:a .:- w:b .:- .:- w:c"},
        {LITE, "'it''s' ''''", "s:it''s s:''"},
        {LITE, "'' 'x", "s: s:x"},
        {LITE, "'\\'; DROP", "s:\\ .:; w:DROP"},
        {POSTGRES, "'\\'; DROP", "s:\\ .:; w:DROP"},
        {POSTGRES, "E'\\'; DROP' x", "s:\\'; DROP w:x"},
        {POSTGRES, "e'\\\\'';' x", "s:\\\\''; w:x"},
        {POSTGRES, "e'\\", "s:\\"},
        {LITE, "E'\\' x", "w:E s:\\ w:x"},
        {POSTGRES, "nameE'a' B'1' U&'b' U&\"c\"\"d\" u&e", "w:nameE s:a s:1 s:b n:c\"\"d w:u .:& w:e"},
        {LITE, "X'00' B'1'", "s:00 w:B s:1"},
        {LITE, "\"a\"\"b\" `c``d` [e[f] [g", "n:a\"\"b n:c``d n:e[f n:g"},
        {POSTGRES, "\"a'b\" a[1] `", "n:a'b w:a .:[ w:1 .:] .:`"},
        {POSTGRES, "$$a;'$b$ $$ $1", "s:a;'$b$  w:$1"},
        {POSTGRES, "$a$ $$ $b$ $a$ $B1$;$B1$", "s: $$ $b$  s:;"},
        {POSTGRES, "$a$ $A$ x", "s: $A$ x"},
        {POSTGRES, "x$$y $1$ $ a$b$c", "w:x$$y w:$1$ w:$ w:a$b$c"},
        {LITE, "$$a $b$", "w:$$a w:$b$"},
        {LITE, "(a))", "(:( w:a ):) ):)"},
        {LITE, "\xc3\xa4 \xff.1e5", "w:\xc3\xa4 w:\xff .:. w:1e5"},
        {LITE, "?1:a", ".:? w:1 .:: w:a"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct buf b = {0};
        show_tokens(sql_text(cases[i].dialect, cases[i].sql), &b);
        is_str(buf_str(&b), cases[i].tokens, "tokens %zu", i);
        buf_free(&b);
    }
}

static void test_normal(void)
{
    static const struct {
        enum dialect dialect;
        const char *text, *normal;
    } cases[] = {
        {LITE, "", ""},
        {LITE, "  a\n>0 ", "a>0"},
        {LITE, "(is_nan IN (0,1))", "(is_nan IN (0, 1))"},
        {LITE, "\"key\"  = `v` OR [w]<'it''s  \" (x'", "key=v OR w<'it''s  \" (x'"},
        {LITE, "a -- b (\n /* c ' */ AND d", "a AND d"},
        {LITE, "a - b", "a-b"},
        {LITE, "'a' 'b'", "'a' 'b'"},
        {LITE, "a (", "a ()"},
        {LITE, "'never closed", "'never closed"},
        {LITE, "a /* never closed", "a"},
        {LITE, "\"", ""},
        {LITE, "((a", "((a))"},
        {LITE, "a) (b", "a) (b)"},
        {POSTGRES, "x = ANY (ARRAY['a', \"b\" ])", "x=ANY (ARRAY['a', b])"},
        {POSTGRES, "$q$ a  b $q$;E'\\''", "$q$ a  b $q$;E'\\''"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct buf b = {0};
        sql_normal(sql_text(cases[i].dialect, cases[i].text), &b);
        is_str(buf_str(&b), cases[i].normal, "normal form %zu", i);
        buf_free(&b);
    }
}

static void test_pieces(void)
{
    struct sql_text t = sql_text(POSTGRES, "TABLE  x (a, f(b, ')'), \"c,d\" /* , */), , e)"), inside, after,
                    one;
    struct buf items = {0};
    ok(!sql_take(&t, "TABLE y") && sql_take(&t, "table X"), "words are taken all together, in whatever case");
    ok(sql_brackets(t, &inside, &after), "brackets are found");
    while (sql_item(&inside, &one))
        buf_addf(&items, "<%.*s>", (int)(one.end - one.at), one.at);
    while (sql_item(&after, &one))
        buf_addf(&items, "<%.*s>", (int)(one.end - one.at), one.at);
    is_str(buf_str(&items), "<a><f(b, ')')><\"c,d\"><><><e)>", "items of lists");
    buf_free(&items);
    ok(sql_at_end(sql_text(LITE, " -- a\n/* b */ ")) && !sql_at_end(sql_text(LITE, "/**/x")),
       "comments are nothing");
}

static void is_unquoted(enum dialect dialect, const char *sql, const char *want)
{
    struct sql_text t = sql_text(dialect, sql);
    char *got = sql_unquoted(sql_token(&t));
    is_str(got, want, "%s without quotes", sql);
    free(got);
}

static void test_quotes(void)
{
    is_unquoted(LITE, "'it''s'''", "it's'");
    is_unquoted(LITE, "\"a\"\"b\"", "a\"b");
    is_unquoted(LITE, "[a]]", "a");
    is_unquoted(LITE, "`a``b`", "a`b");
    is_unquoted(LITE, "'a''", "a'");
    is_unquoted(POSTGRES, "$x$a''b$x$", "a''b");
    is_unquoted(POSTGRES, "word", "word");
    struct buf b = {0};
    sql_add_quoted(&b, '\'', "it's");
    sql_add_quoted(&b, '"', "a\"'");
    is_str(buf_str(&b), "'it''s'\"a\"\"'\"", "quotes are put");
    buf_free(&b);
}

/* What is deep is scanned without recursion, and a NUL is one more sign. */
static void test_depth(void)
{
    enum { DEPTH = 1000000 };
    struct buf b = {0}, normal = {0};
    for (int i = 0; i < DEPTH; i++)
        buf_addc(&b, '(');
    struct sql_text t = sql_text(POSTGRES, buf_str(&b));
    ok(sql_piece(&t).kind == SQL_GROUP && sql_at_end(t), "a million brackets are one piece");
    sql_normal(sql_text(POSTGRES, buf_str(&b)), &normal);
    is_int((int64_t)normal.len, 2 * DEPTH, "and are closed in the normal form");
    buf_free(&b);
    buf_free(&normal);
    static const char zeros[] = "a\0'\0";
    struct sql_text nul = {zeros, zeros + 4, POSTGRES};
    struct sql_piece a = sql_token(&nul), sign = sql_token(&nul), literal = sql_token(&nul);
    ok(a.kind == SQL_WORD && sign.kind == SQL_SIGN && literal.kind == SQL_STRING && sql_at_end(nul),
       "a NUL does not end a text");
}

/* -- statements, as the databases themselves see them */

static const char lite_statements[] =
    ";; -- none\n"
    "CREATE TABLE \"a;b\" (x TEXT DEFAULT ';', [;] TEXT, `;c` /* ; */ TEXT);\n"
    "CREATE TABLE log (x TEXT);;\n"
    "CREATE TEMP TRIGGER t AFTER INSERT ON \"a;b\" BEGIN\n"
    "  INSERT INTO log SELECT CASE WHEN new.x = 'END;' THEN ';' ELSE x'3b' END; -- END;\n"
    "  DELETE FROM log WHERE x = '''' ; END;\n"
    "INSERT INTO \"a;b\" (x) VALUES ('it''s; /* '), (';');\n"
    "SELECT 1 /* ; */ -- ;";

static void test_sqlite_statements(void)
{
    sqlite3 *h;
    sqlite3_open(":memory:", &h);
    struct sql_text t = sql_text(LITE, lite_statements), statement;
    const char *tail = lite_statements;
    int n = 0, wrong = 0;
    while (sql_statement(&t, &statement)) {
        sqlite3_stmt *s = NULL;
        while (!s && sqlite3_prepare_v2(h, tail, -1, &s, &tail) == SQLITE_OK && *tail)
            ;
        const char *read = s ? sqlite3_sql(s) : "";
        size_t length = (size_t)(statement.end - statement.at);
        const char *found = strstr(read, "CREATE") ? strstr(read, "CREATE") : read + strspn(read, "\n;");
        bool same = strncmp(found, statement.at, length) == 0 &&
                    (found[length] == '\0' || found[length + strspn(found + length, " ")] == ';' ||
                     strncmp(found + length, " /*", 3) == 0);
        if (!same)
            printf("# ours: %.*s\n# SQLite's: %s\n", (int)length, statement.at, read);
        wrong += !same || (sqlite3_step(s) != SQLITE_DONE && sqlite3_column_count(s) == 0);
        sqlite3_finalize(s);
        n++;
    }
    sqlite3_close(h);
    is_int(n, 5, "SQLite's statements are found");
    is_int(wrong, 0, "and are what SQLite takes for them");
}

static const char postgres_statements[] =
    "; /* ; /* */ ; */ CREATE TEMP TABLE \"a;b\" (x text DEFAULT ';', y text[] DEFAULT ARRAY[';','[']);\n"
    "INSERT INTO \"a;b\" VALUES (E'\\';', '{}'), ('\\', NULL), ($$;'$$, NULL), ($q$ $$ ; $q$, NULL);;\n"
    "DO $do$ BEGIN PERFORM 1; EXECUTE $$SELECT ';'$$; -- $do\n END $do$;\n"
    "CREATE FUNCTION pg_temp.f() RETURNS int AS 'SELECT 1;' LANGUAGE sql;\n"
    "CREATE RULE r AS ON INSERT TO \"a;b\" DO ALSO (SELECT 1; SELECT ';');\n"
    "SELECT U&'\\003b;', U&\"\\0061;\" FROM (SELECT 1 AS \"a;\") x -- ;\n";

/* The extended protocol takes one statement, so that two in one are refused. */
static void test_postgres_statements(void)
{
    struct db *db = open_server();
    struct sql_text t = sql_text(POSTGRES, postgres_statements), statement;
    int n = 0, wrong = 0;
    while (sql_statement(&t, &statement)) {
        char *sql = sql_copy(statement);
        PGresult *r = PQexecParams(db_native(db), sql, 0, NULL, NULL, NULL, NULL, 0);
        bool good = PQresultStatus(r) == PGRES_COMMAND_OK || PQresultStatus(r) == PGRES_TUPLES_OK;
        if (!good)
            printf("# %s: %s\n", sql, PQresultErrorMessage(r));
        wrong += !good;
        PQclear(r);
        free(sql);
        n++;
    }
    db_close(db);
    is_int(n, 6, "PostgreSQL's statements are found");
    is_int(wrong, 0, "and are what the server takes for one each");
}

int main(void)
{
    test_tokens();
    test_normal();
    test_pieces();
    test_quotes();
    test_depth();
    test_sqlite_statements();
    if (start_server())
        test_postgres_statements();
    return done_testing();
}
