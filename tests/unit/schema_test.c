/* Releases and revisions, database URLs, and text and numbers as Python reads them. What is expected of
 * pytext was printed by CPython 3.11. */
#include "tap.h"

#include <math.h>
#include <stdlib.h>

#include "common/err.h"
#include "formats/database/db.h"
#include "formats/python/text.h"
#include "formats/schema/schema.h"

static void test_chain(void)
{
    is_int(schema_head, 70, "the newest revision's order");
    for (int i = 0; i <= schema_head; i++)
        if (schema_revisions[i].order != i || !schema_revisions[i].sqlite || !schema_revisions[i].postgresql)
            ok(false, "revision %d is in its place and has both texts", i);
    for (int i = 0; i < schema_releases_count; i++)
        if (schema_find_revision(schema_releases[i].revision) != schema_releases[i].order)
            ok(false, "release %s has a revision of the chain", schema_releases[i].release);
#define X(name, order, id) is_int(schema_find_revision(id), REV_##name, "REV_" #name " is " id);
    NAMED_REVISIONS(X)
#undef X
    is_int(schema_find_revision("1bd49d398cd23"), 41, "a revision by its id");
    is_int(schema_find_revision("1bd49d398cd2"), -1, "a part of an id is none");
}

static void test_releases(void)
{
    static const struct {
        const char *text, *release;
    } cases[] = {
        {"3.1", "3.1.4"}, {"3.1.0", "3.1.0"}, {"3.0", "3.0.1"}, {"2.13", "2.13.3"},
        {"1.0", "1.0.0"}, {"3.10", "3.10.1"}, {"3", NULL},      {"3.1.", NULL},
        {"", NULL},       {"3.1.0.0", NULL},  {"03.1", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e;
        const struct schema_release *r = schema_find_release(cases[i].text, &e);
        is_str(r ? r->release : NULL, cases[i].release, "release '%s'", cases[i].text);
    }
    struct buf b = {0};
    schema_releases_of(31, &b);
    is_str(buf_str(&b), "3.0.1, 3.1.1 to 3.1.4", "the releases of a revision");
    buf_reset(&b);
    schema_releases_of(1, &b);
    is_str(buf_str(&b), "no release", "a revision that no release ends at");
    buf_free(&b);
    is_str(schema_first_release_with(31)->release, "3.0.1", "the first release with a revision");
    is_str(schema_first_release_with(29)->release, "3.0.0", "the first release with one that none ends at");
    is_int(schema_find_target("head", NULL), schema_head, "head");
    is_int(schema_find_target("base", NULL), 0, "base");
    is_int(schema_find_target("3.1", NULL), 31, "a release as a target");
    is_int(schema_find_target("zzz", NULL), -1, "nonsense as a target");
}

static void test_urls(void)
{
    static const struct {
        const char *text, *path, *display;
    } cases[] = {
        {"sqlite:///a.db", "a.db", "sqlite:///a.db"},
        {"sqlite:////tmp/a%20b.db", "/tmp/a b.db", "sqlite:////tmp/a%20b.db"},
        {"sqlite+pysqlite:///a.db?timeout=5", "a.db", "sqlite+pysqlite:///a.db?timeout=5"},
        {"sqlite:///100%.db", "100%.db", "sqlite:///100%.db"},
        {"sqlite:///file:a.db?mode=rwc&uri=true", "a.db", "sqlite:///file:a.db?mode=rwc&uri=true"},
        {"postgresql+psycopg2://u:p@h:5/d?sslmode=require", NULL,
         "postgresql+psycopg2://u:***@h:5/d?sslmode=require"},
        {"postgres://u:p@w@h/d", NULL, "postgres://u:***@h/d"},
        {"postgresql://h/d?password=p&user=u", NULL, "postgresql://h/d?password=***&user=u"},
        {"postgresql://u@h/d", NULL, "postgresql://u@h/d"},
        {"postgresql://h/d?p%61ssword=a%26b&sslpassword=c&sslkey=k", NULL,
         "postgresql://h/d?p%61ssword=***&sslpassword=***&sslkey=k"},
        {"postgresql:///d?host=/tmp/a:b&user=u@v", NULL, "postgresql:///d?host=/tmp/a:b&user=u@v"},
        {"sqlite:////a:b/c@d.db", "/a:b/c@d.db", "sqlite:////a:b/c@d.db"},
        {"sqlite:///%41%zz%2", "A%zz%2", "sqlite:///%41%zz%2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct db_url u;
        struct err e;
        if (!ok(db_url_parse(cases[i].text, &u, &e), "%s is a URL", cases[i].text))
            continue;
        is_str(u.path, cases[i].path, "its file");
        is_str(u.display, cases[i].display, "as it is shown");
        db_url_free(&u);
    }
    static const char *const wrong[] = {"a.db",          "sqlite:a.db",        "sqlite://a.db",
                                        "sqlite:///",    "sqlite:///:memory:", "mysql://u:geheim@h/d",
                                        "postgresql:/d", "file:///d",          ""};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct db_url u;
        struct err e;
        ok(!db_url_parse(wrong[i], &u, &e) && !strstr(e.where, "geheim") && !strstr(e.what, "geheim"),
           "'%s' is no URL of a database", wrong[i]);
    }
}

static void test_plain_urls(void)
{
    static const struct {
        const char *text, *undecoded, *plain;
    } cases[] = {
        {"sqlite:///a b#&=;@:'+.db", NULL, "sqlite:///a b#&=;@:'+.db"},
        {"sqlite:///100%zz%.db", NULL, "sqlite:///100%zz%.db"},
        {"sqlite:///a%20b.db", "a%20b.db", "sqlite:///a b.db"},
        {"sqlite:///a%3Fb.db", "a%3Fb.db", NULL},
        {"sqlite:///a%2541.db", "a%2541.db", NULL},
        {"sqlite:///a%0Ab.db", "a%0Ab.db", NULL},
        {"sqlite:///file:a%20b.db?uri=true", NULL, "sqlite:///a b.db"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct db_url u;
        struct err e;
        if (!ok(db_url_parse(cases[i].text, &u, &e), "%s is a URL", cases[i].text))
            continue;
        is_str(u.undecoded, cases[i].undecoded, "its file to those who do not decode");
        char *plain = db_url_of_file(u.path);
        is_str(plain, cases[i].plain, "its URL for all");
        free(plain);
        db_url_free(&u);
    }
}

static void test_numbers(void)
{
    static const struct {
        const char *text;
        bool is_integer;
        int64_t integer;
        bool is_float;
        double real;
    } cases[] = {
        {" 12 ", true, 12, true, 12},
        {"1_000", true, 1000, true, 1000},
        {"1__0", true, 10, false, 0},
        {"_1", true, 1, false, 0},
        {"+5", true, 5, true, 5},
        {"5.", true, 5, true, 5},
        {".5e1", true, 5, true, 5},
        {"12.000", true, 12, true, 12},
        {"1e2", true, 100, true, 100},
        {"１２", true, 12, true, 12},
        {"\u2003-3\u3000", true, -3, true, -3},
        {"1.5", false, 0, true, 1.5},
        {"0x10", false, 0, false, 0},
        {"9223372036854775807", true, INT64_MAX, true, 9223372036854775807.0},
        {"9223372036854775808", false, 0, true, 9223372036854775808.0},
        {"-9223372036854775808", true, INT64_MIN, true, -9223372036854775808.0},
        {"922337203685477580.7e1", true, INT64_MAX, true, 9223372036854775807.0},
        {"1e400", false, 0, true, INFINITY},
        {"-inf", false, 0, true, -INFINITY},
        {"0e999999999999999999999", true, 0, true, 0},
        {"1e-999999999999999999999", false, 0, true, 0},
        {"", false, 0, false, 0},
        {"e5", false, 0, false, 0},
        {"1 2", false, 0, false, 0},
        {"3\x1c", true, 3, false, 0},
        {"\x1f 3", true, 3, false, 0},
        {"१२\x1c", true, 12, false, 0},
        {"\x1d٣", true, 3, false, 0},
        {"3\x1c\u2003", true, 3, false, 0},
        {"3\xc2\x85", true, 3, true, 3},
        {"\u00a0٣\u2003", true, 3, true, 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *text = cases[i].text;
        int64_t n = 0;
        double d = 0;
        bool is_integer = py_integer(text, strlen(text), &n), is_float = py_float(text, strlen(text), &d);
        ok(is_integer == cases[i].is_integer && n == cases[i].integer, "Decimal('%s')", text);
        ok(is_float == cases[i].is_float && d == cases[i].real, "float('%s')", text);
    }
}

static void test_lower(void)
{
    static const struct {
        const char *text, *lower;
    } cases[] = {
        {"Straße ÀÉ", "straße àé"},
        {"ΑΣ", "ας"},
        {"ΑΣ.", "ας."},
        {"ΣΑΣ Σ", "σας σ"},
        {"AΣ\u0301B", "aσ\u0301b"},
        {"İ", "i\u0307"},
        {"\u1e9e", "ß"},
        {"𐐀", "𐐨"},
        {"Ǆ", "ǆ"},
        {"", ""},
        {"已经 123", "已经 123"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf b = {0};
        py_lower(cases[i].text, strlen(cases[i].text), &b);
        is_str(buf_str(&b), cases[i].lower, "'%s' in lower case", cases[i].text);
        buf_free(&b);
    }
    const char *s = " \x1c\u00a0\u2003x y\u3000\n";
    size_t len = strlen(s);
    py_strip(&s, &len);
    ok(len == 3 && memcmp(s, "x y", 3) == 0, "white space of every kind is stripped");
}

static void test_json(void)
{
    static const struct {
        const char *text, *type; /* NULL: malformed */
    } cases[] = {
        {"null", "NoneType"},   {"true", "bool"},       {" [1, {\"a\": []}] ", "list"},
        {"-0", "int"},          {"1E5", "float"},       {"NaN", "float"},
        {"-Infinity", "float"}, {"\"\\ud800\"", "str"}, {"{}", "dict"},
        {"nan", NULL},          {"01", NULL},           {"1.", NULL},
        {"[1,]", NULL},         {"{\"a\":1,}", NULL},   {"\"\t\"", NULL},
        {"\ufeff1", NULL},      {"\"a\" x", NULL},      {"", NULL},
        {"{\"a\"", NULL},       {"\"\\x\"", NULL},
    };
    struct pyjson d = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool good = pyjson_parse(&d, cases[i].text, strlen(cases[i].text));
        is_str(good ? pyjson_type_name(&d.top) : NULL, cases[i].type, "json.loads('%s')", cases[i].text);
    }
    const char *text = "{\"a\": 1, \"b\": {\"a\": 2}, \"a\": \"\\ud83d\\ude00\"}";
    ok(pyjson_parse(&d, text, strlen(text)) && d.n_members == 3, "an object");
    const struct pyjson_value *v = pyjson_get(&d, "a");
    ok(v && v->type == PYJSON_STRING && v->len == 4 && memcmp(v->s, "😀", 4) == 0 && !v->surrogate,
       "the last of equal keys counts, and a pair is one character");
    ok(!pyjson_get(&d, "c"), "a key that is not there");
    size_t depth = 100000;
    char *deep = malloc(2 * depth);
    memset(deep, '[', depth);
    memset(deep + depth, ']', depth);
    ok(pyjson_parse(&d, deep, 2 * depth) && !pyjson_parse(&d, deep, 2 * depth - 1), "any depth is read");
    memset(deep, '1', 4301);
    ok(pyjson_parse(&d, deep, 4300) && !pyjson_parse(&d, deep, 4301), "a number has at most 4300 digits");
    free(deep);
    pyjson_free(&d);
}

int main(void)
{
    test_chain();
    test_releases();
    test_urls();
    test_plain_urls();
    test_numbers();
    test_lower();
    test_json();
    return done_testing();
}
