/* The queries in .sql files: psql and the sqlite3 shell run each as it stands, on MLflow's tables, and each
 * says what its parameters are. */
#include "tests/unit/server.h"

#include <unistd.h>

#include "formats/database/sql_files.h"
#include "formats/database/sql_text.h"
#include "formats/schema/schema.h"

static enum dialect dialect_of(const struct sql_file *f)
{
    return strstr(f->path, ".sqlite.sql") ? DIALECT_SQLITE : DIALECT_POSTGRESQL;
}

/* Whether the comment on top names every parameter, and there is one statement. */
static void check_comment(const struct sql_file *f)
{
    struct sql_text t = sql_text(dialect_of(f), f->text), statement;
    bool one = sql_statement(&t, &statement) && sql_at_end(t), named = strncmp(f->text, "-- ", 3) == 0;
    char *comment = xstrndup(f->text, (size_t)(statement.at - f->text));
    struct sql_piece p, last = {0};
    for (; (p = sql_token(&statement)).kind != SQL_NOTHING; last = p) {
        if (!sql_is_sign(last, ':') || last.text.end != p.text.at || sql_is_sign(p, ':') ||
            p.kind == SQL_CLOSE || last.text.at[-1] == ':')
            continue;
        char *parameter = xasprintf(":%.*s", (int)(p.text.end - p.text.at), p.text.at);
        named = named && strstr(comment, parameter);
        free(parameter);
    }
    ok(one && named, "%s is one statement, and a comment on top says what its parameters are", f->path);
    free(comment);
}

static void run(const struct sql_file *f, const char *command)
{
    ok(system(command) == 0, "%s runs", f->path);
}

/* In a transaction that is rolled back. */
static void run_by_psql(const struct sql_file *f)
{
    char *command =
        xasprintf("psql -qX -d mlflow -v ON_ERROR_STOP=1 -v table=runs -v name=runs -v schema=public "
                  "-v needs='{}' -v tables='{runs,tags}' -v keys=true "
                  "-c BEGIN -f %s -c ROLLBACK >/dev/null",
                  f->path);
    run(f, command);
    free(command);
}

static void run_by_sqlite3(const struct sql_file *f, const char *file)
{
    char *command = xasprintf(
        "{ echo '.bail on'; echo '.param set :table runs'; cat %s; } | sqlite3 %s >/dev/null", f->path, file);
    run(f, command);
    free(command);
}

static void make_tables(struct db *db)
{
    struct err e;
    if (!db || !db_begin_write(db, &e) || !schema_create(db, schema_head, &e) || !db_commit(db, &e))
        err_die(&e);
    db_close(db);
}

int main(void)
{
    char dir[] = "/tmp/mlruns-tools-sql.XXXXXX";
    struct err e;
    if (!start_server() || !mkdtemp(dir))
        return done_testing();
    char *file = xasprintf("%s/x.db", dir);
    struct db_url u = {.dialect = DIALECT_SQLITE, .path = file, .display = file};
    make_tables(open_server());
    make_tables(db_open(&u, DB_CREATE, &e));
    for (const struct sql_file *f = sql_files; f->path; f++) {
        check_comment(f);
        if (dialect_of(f) == DIALECT_SQLITE)
            run_by_sqlite3(f, file);
        else
            run_by_psql(f);
    }
    unlink(file);
    rmdir(dir);
    free(file);
    return done_testing();
}
