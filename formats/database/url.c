/* Parses database URLs as MLflow and SQLAlchemy do. */
#include "formats/database/url.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/array.h"
#include "common/buf.h"
#include "common/io.h"
#include "common/secret.h"

static bool starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* Length of the scheme including `+driver` if text begins with `scheme:` or `scheme+driver:`; else 0. */
static size_t scheme_length(const char *text, const char *scheme)
{
    size_t n = strlen(scheme);
    if (strncmp(text, scheme, n) != 0)
        return 0;
    if (text[n] == '+') {
        n++;
        n += strspn(text + n, "abcdefghijklmnopqrstuvwxyz0123456789_");
    }
    return text[n] == ':' ? n : 0;
}

static size_t sqlite_scheme(const char *text)
{
    return scheme_length(text, "sqlite");
}

static size_t postgres_scheme(const char *text)
{
    size_t n = scheme_length(text, "postgresql");
    return n ? n : scheme_length(text, "postgres");
}

bool db_url_is_database(const char *text)
{
    return sqlite_scheme(text) || postgres_scheme(text);
}

const char *db_default_url(void)
{
    static const char *const variables[] = {"MLFLOW_BACKEND_STORE_URI", "MLFLOW_TRACKING_URI"};
    for (size_t i = 0; i < ARRAY_LENGTH(variables); i++) {
        const char *text = getenv(variables[i]);
        if (text && db_url_is_database(text))
            return text;
    }
    return "sqlite:///mlflow.db";
}

static bool is_escape(const char *s)
{
    return s[0] == '%' && isxdigit((unsigned char)s[1]) && isxdigit((unsigned char)s[2]) &&
           (s[1] != '0' || s[2] != '0');
}

/* Decodes escapes as Python's unquote does: any other percent sign is literal. */
static char *decoded(const char *s)
{
    struct buf b = {0};
    while (*s) {
        char escape[4] = "";
        if (is_escape(s)) {
            memcpy(escape, s, 3);
            io_percent_decode(escape);
            buf_adds(&b, escape);
            s += 3;
        } else {
            buf_addc(&b, *s++);
        }
    }
    return b.data ? b.data : xstrdup("");
}

static bool parse_sqlite(const char *text, const char *rest, struct db_url *u, struct err *e)
{
    if (!starts(rest, "///") || !rest[3] || rest[3] == '?') {
        err_set(e, text, "this URL names no file");
        return err_hint(e, "sqlite:///relative/path.db and sqlite:////absolute/path.db are SQLite URLs");
    }
    rest += 3;
    size_t n = strcspn(rest, "?");
    char *raw = xstrndup(rest, n);
    u->path = decoded(raw);
    if (rest[n])
        u->options = xstrdup(rest + n + 1);
    if (starts(u->path, "file:")) /* SQLite itself decodes such a name */
        memmove(u->path, u->path + 5, strlen(u->path + 5) + 1);
    else if (strcmp(raw, u->path) != 0)
        u->undecoded = xstrdup(raw);
    free(raw);
    if (!u->path[0] || strcmp(u->path, ":memory:") == 0 ||
        (u->options && strstr(u->options, "mode=memory"))) {
        err_set(e, text, "a database in memory is lost when the program ends");
        return err_hint(e, "name a file: sqlite:///mlflow.db");
    }
    return true;
}

bool db_url_parse(const char *text, struct db_url *u, struct err *e)
{
    memset(u, 0, sizeof *u);
    u->display = secret_mask(text, &u->hidden);
    size_t n = sqlite_scheme(text);
    if (n) {
        u->dialect = DIALECT_SQLITE;
        if (parse_sqlite(u->display, text + n + 1, u, e))
            return true;
        db_url_free(u);
        return false;
    }
    n = postgres_scheme(text);
    if (n && starts(text + n, "://")) {
        u->dialect = DIALECT_POSTGRESQL;
        u->conninfo = xasprintf("postgresql%s", text + n);
        return true;
    }
    if (n || scheme_length(text, "mysql") || scheme_length(text, "mssql"))
        err_set(e, u->display, n ? "not a PostgreSQL URL" : "only SQLite and PostgreSQL are supported");
    else
        err_set(e, u->display, "not a database URL");
    err_hint(e, "sqlite:///mlflow.db, sqlite:////abs/mlflow.db or postgresql://user@host/database");
    db_url_free(u);
    return false;
}

char *db_url_of_file(const char *path)
{
    for (const char *p = path; *p; p++)
        if (*p == '?' || is_escape(p) || iscntrl((unsigned char)*p))
            return NULL;
    return xasprintf("sqlite:///%s", path);
}

void db_url_warn(const struct db_url *u)
{
    if (!u->undecoded)
        return;
    err_warn(u->display, "this is the file %s; MLflow with SQLAlchemy before 2.1 reads it as %s", u->path,
             u->undecoded);
    char *plain = db_url_of_file(u->path);
    if (plain)
        err_print_hint("for every MLflow the URL is %s", plain);
    else
        err_print_hint("no URL refers to this file in every MLflow; choose a name without ? and %%");
    free(plain);
}

void db_url_free(struct db_url *u)
{
    free(u->path);
    free(u->undecoded);
    free(u->options);
    free(u->conninfo);
    free(u->display);
    buf_free(&u->hidden);
    memset(u, 0, sizeof *u);
}
