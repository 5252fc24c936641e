/* The class and SQLSTATE that failures get: those of SQLite, and with the URL of a PostgreSQL database that
 * may be changed, of a role that is not a superuser, those of PostgreSQL. */
#include "tests/unit/tap.h"

#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/buf.h"
#include "formats/database/db.h"
#include "formats/database/interrupt.h"

static struct db *open_url(const char *text, struct err *e)
{
    struct db_url u;
    if (!db_url_parse(text, &u, e))
        return NULL;
    struct db *db = db_open(&u, u.dialect == DIALECT_SQLITE ? DB_CREATE : DB_WRITE, e);
    db_url_free(&u);
    return db;
}

static struct db *must_open(const char *text)
{
    struct err e;
    struct db *db = open_url(text, &e);
    if (!db) {
        printf("Bail out! %s: %s\n", e.where, e.what);
        exit(1);
    }
    return db;
}

static void must(struct db *db, const char *sql)
{
    struct err e;
    if (!db_exec(db, sql, &e))
        ok(false, "%s: %s", sql, e.what);
}

static void fails_as(bool done, const struct err *e, enum err_class class, const char *state,
                     const char *name)
{
    bool good = !done && e->class == class && strcmp(e->sqlstate, state) == 0;
    ok(good, "%s", name);
    if (!good)
        printf("# %s: class %d, SQLSTATE '%s': %s\n", done ? "done" : "failed", (int)e->class, e->sqlstate,
               e->what);
}

static void fails(struct db *db, const char *sql, enum err_class class, const char *state, const char *name)
{
    struct err e = {.what = ""};
    bool done = db_exec(db, sql, &e);
    fails_as(done, &e, class, state, name);
}

static void test_filling(void)
{
    struct err e, cause = {.class = ERR_BUSY, .sqlstate = SQLSTATE_LOCK_NOT_AVAILABLE}, copy;
    e = cause;
    ok(!err_set(&e, "w", "x") && e.class == ERR_OTHER && !e.sqlstate[0], "err_set begins with no class");
    ok(!err_caused_by(&e, &cause) && e.class == ERR_BUSY && strcmp(e.sqlstate, cause.sqlstate) == 0,
       "err_caused_by gives the cause's");
    ok(!err_copy(&copy, &e) && copy.class == ERR_BUSY && strcmp(copy.what, "x") == 0, "err_copy gives all");
    ok(!err_set_interrupted(&e) && e.class == ERR_INTERRUPTED && !e.sqlstate[0], "err_set_interrupted");
    ok(!err_set_interrupted(NULL) && !err_copy(NULL, &cause) && !err_caused_by(NULL, &cause) &&
           !err_classify(NULL, ERR_BUSY),
       "nobody may want to know");
}

/* -- SQLite */

/* Sends a signal, in the middle of the statement that calls it. */
static void signal_in_statement(sqlite3_context *ctx, int argc, sqlite3_value **argv)
{
    (void)argc, (void)argv;
    raise(SIGTERM);
    sqlite3_result_int(ctx, 1);
}

static void test_sqlite_locks(struct db *a, struct db *b)
{
    struct err e = {.what = ""};
    int64_t n;
    db_lock_timeout(b, 0);
    must(a, "BEGIN IMMEDIATE");
    fails(b, "BEGIN IMMEDIATE", ERR_BUSY, "", "SQLite: locked by a writer");
    must(a, "ROLLBACK");
    ok(db_begin_read(b, &e) && db_query_int(b, "SELECT count(*) FROM t", &n, &e), "SQLite: a reader");
    db_lock_timeout(a, 0);
    ok(db_begin_write(a, &e), "SQLite: another writer");
    must(a, "INSERT INTO t VALUES (7)");
    bool done = db_commit(a, &e);
    fails_as(done, &e, ERR_BUSY, "", "SQLite: a commit that readers hinder");
    db_rollback(b);
    ok(db_commit(a, &e), "SQLite: is tried again, in the same transaction");
}

static void test_sqlite(bool interrupt)
{
    char *dir = strdup("/tmp/errors_test.XXXXXX");
    char *url = xasprintf("sqlite:///%s/x.db", mkdtemp(dir)), *path = xasprintf("%s/x.db", dir);
    struct db *a = must_open(url), *b = must_open(url);
    must(a, "CREATE TABLE t (id INTEGER PRIMARY KEY CHECK (id <> 13));"
            "CREATE TRIGGER no BEFORE INSERT ON t WHEN new.id = 5 BEGIN SELECT RAISE(ABORT, 'no five'); END;"
            "INSERT INTO t VALUES (1)");
    fails(a, "INSERT INTO t VALUES (1)", ERR_CONSTRAINT, "", "SQLite: a key twice");
    fails(a, "INSERT INTO t VALUES (13)", ERR_CONSTRAINT, "", "SQLite: a check");
    fails(a, "INSERT INTO t VALUES (5)", ERR_CONSTRAINT, "", "SQLite: a trigger's own words");
    fails(a, "SELECT 'constraint failed' FROM nowhere", ERR_OTHER, "", "SQLite: a statement that is wrong");
    test_sqlite_locks(a, b);
    if (interrupt) {
        sqlite3_create_function(db_native(a), "send_signal", 0, SQLITE_UTF8, NULL, signal_in_statement, NULL,
                                NULL);
        db_interrupt_on_signal(a);
        fails(a,
              "WITH RECURSIVE n(i) AS (SELECT send_signal() UNION ALL SELECT i + 1 FROM n) SELECT count(*) "
              "FROM n "
              "WHERE i < 0",
              ERR_INTERRUPTED, "", "SQLite: a signal");
        db_interrupt_on_signal(NULL);
    }
    db_close(b);
    db_close(a);
    unlink(path);
    rmdir(dir);
    free(path);
    free(url);
    free(dir);
}

/* -- PostgreSQL */

static void test_postgres_rows(struct db *a)
{
    must(a, "CREATE TABLE t (id int PRIMARY KEY CHECK (id <> 13), n int REFERENCES t); INSERT INTO t VALUES "
            "(1), (2)");
    fails(a, "INSERT INTO t VALUES (1)", ERR_CONSTRAINT, SQLSTATE_UNIQUE_VIOLATION, "a key twice");
    fails(a, "INSERT INTO t VALUES (3, 4)", ERR_CONSTRAINT, SQLSTATE_FOREIGN_KEY_VIOLATION, "no such parent");
    fails(a, "INSERT INTO t VALUES (13)", ERR_CONSTRAINT, "23514", "a check");
    fails(a, "SELECT 1 / 0", ERR_OTHER, "22012", "anything else");
    fails(a, "SELECT * FROM pg_authid", ERR_DENIED, SQLSTATE_INSUFFICIENT_PRIVILEGE, "no right");
    fails(a, "SET statement_timeout = 1; SELECT pg_sleep(600)", ERR_OTHER, "57014",
          "cancelled, without a signal");
    must(a, "SET statement_timeout = 0");
}

static void test_postgres_locks(struct db *a, struct db *b)
{
    must(a, "BEGIN; LOCK TABLE t");
    db_lock_timeout(b, 1);
    fails(b, "UPDATE t SET n = 1", ERR_BUSY, SQLSTATE_LOCK_NOT_AVAILABLE, "a lock that is not let go");
    db_lock_timeout(b, 60000);
    must(a, "ROLLBACK; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM t");
    must(b, "UPDATE t SET n = 1 WHERE id = 1");
    fails(a, "UPDATE t SET n = 2 WHERE id = 1", ERR_CONFLICT, SQLSTATE_SERIALIZATION_FAILURE,
          "a row that has changed");
    must(a, "ROLLBACK");
}

struct update {
    struct db *db;
    bool done;
    struct err e;
};

static void *update_first(void *arg)
{
    struct update *u = arg;
    u->done = db_exec(u->db, "UPDATE t SET n = 1 WHERE id = 1", &u->e);
    db_rollback(u->db);
    return NULL;
}

/* Each holds a row and wants the other's: the server ends one of them. */
static void test_postgres_deadlock(struct db *a, struct db *b)
{
    struct update one = {.db = b}, two = {.db = a};
    pthread_t thread;
    db_lock_timeout(a, 60000);
    must(a, "BEGIN; UPDATE t SET n = 1 WHERE id = 1");
    must(b, "BEGIN; UPDATE t SET n = 1 WHERE id = 2");
    pthread_create(&thread, NULL, update_first, &one);
    two.done = db_exec(a, "UPDATE t SET n = 1 WHERE id = 2", &two.e);
    db_rollback(a);
    pthread_join(thread, NULL);
    ok(one.done != two.done, "of two in a deadlock one goes on");
    fails_as(false, one.done ? &two.e : &one.e, ERR_CONFLICT, SQLSTATE_DEADLOCK_DETECTED,
             "and the other is reported");
}

static void test_postgres_lost(const char *url, struct db *b)
{
    struct err e = {.what = ""};
    struct db *a = must_open(url);
    int64_t pid;
    db_query_int(a, "SELECT pg_backend_pid()", &pid, &e);
    char *end = xasprintf("SELECT pg_terminate_backend(%lld, 60000)", (long long)pid);
    must(b, end);
    free(end);
    bool done = db_exec(a, "SELECT 1", &e);
    fails_as(done, &e, ERR_CONNECTION, e.sqlstate, "a connection that is lost");
    fails(a, "SELECT 1", ERR_CONNECTION, "", "and stays lost");
    done = db_commit(a, &e);
    fails_as(done, &e, ERR_CONNECTION, "", "lost before COMMIT");
    db_close(a);
    a = must_open(url);
    must(a, "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM "
            "pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(600); RETURN NULL; END';"
            "CREATE CONSTRAINT TRIGGER die AFTER UPDATE ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW "
            "EXECUTE FUNCTION die(); BEGIN; UPDATE t SET n = 2");
    done = db_commit(a, &e);
    fails_as(done, &e, ERR_COMMIT, "57P01", "a connection that is lost at COMMIT");
    db_close(a);
}

static void test_postgres_connecting(void)
{
    struct err e = {.what = ""};
    struct db *db = open_url("postgresql:///x?host=/nowhere", &e);
    fails_as(db != NULL, &e, ERR_CONNECTION, "", "a server that is not there");
    db = open_url("postgresql:///no-such-database", &e);
    fails_as(db != NULL, &e, ERR_OTHER, "3D000", "a database that is not there");
    db = open_url("postgresql:///x?no-such-option=1", &e);
    fails_as(db != NULL, &e, ERR_OTHER, "", "a URL that is wrong");
}

/* Waits until `a` sleeps, and sends this process a signal. */
static void *signal_when_asleep(void *arg)
{
    struct db *b = arg;
    int64_t asleep = 0;
    while (!asleep && db_query_int(b, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'",
                                   &asleep, NULL))
        continue;
    kill(getpid(), SIGTERM);
    return NULL;
}

static void test_postgres_signal(struct db *a, struct db *b)
{
    pthread_t thread;
    db_interrupt_on_signal(a);
    pthread_create(&thread, NULL, signal_when_asleep, b);
    fails(a, "SELECT pg_sleep(600)", ERR_INTERRUPTED, "57014", "a signal");
    pthread_join(thread, NULL);
    db_interrupt_on_signal(NULL);
}

int main(int argc, char **argv)
{
    err_program_set(argv[0]);
    err_catch_signals();
    test_filling();
    test_sqlite(argc < 2); /* of one signal all that follows is the consequence */
    if (argc > 1) {
        struct db *a = must_open(argv[1]), *b = must_open(argv[1]);
        test_postgres_rows(a);
        test_postgres_locks(a, b);
        test_postgres_deadlock(a, b);
        test_postgres_lost(argv[1], b);
        test_postgres_connecting();
        test_postgres_signal(a, b);
        db_close(b);
        db_close(a);
    }
    return done_testing();
}
