/* Database URLs. */
#include "common/array.h"
#include "tests/unit/tap.h"

#include <stdlib.h>

#include "formats/database/url.h"

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
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
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
    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++) {
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
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
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

int main(void)
{
    test_urls();
    test_plain_urls();
    return done_testing();
}
