/* PostgreSQL by libpq: connections, the session's schema, transactions. */
#include "formats/database/postgres.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/array.h"
#include "common/buf.h"
#include "common/secret.h"
#include "formats/database/postgres_trust.h"

/* -- connections */

static void postgres_close(struct db *db)
{
    PQfinish(postgres_conn(db));
    free(((struct postgres_db *)db)->schema);
    free(((struct postgres_db *)db)->search_path);
    free(db);
}

static uint64_t postgres_rows_written(struct db *db)
{
    return ((struct postgres_db *)db)->rows_written;
}

/* libpq may mistake parts of the password in a malformed URL for something else and quote them, or the whole
 * URL. */
static bool fail_to_connect(const struct db_url *u, const char *message, const char *state,
                            enum err_class class, struct err *e)
{
    char *shown = secret_mask_quoted(strstr(message, u->conninfo) ? "malformed URL" : message, &u->hidden);
    postgres_fail_with(u->display, shown, state, class, e);
    free(shown);
    return false;
}

static bool check_conninfo(const struct db_url *u, struct err *e)
{
    char *message = NULL;
    PQconninfoOption *options = PQconninfoParse(u->conninfo, &message);
    if (!options)
        fail_to_connect(u, message ? message : "malformed URL", "", ERR_OTHER, e);
    PQfreemem(message);
    PQconninfoFree(options);
    return options != NULL;
}

/* Before a connection is established, libpq provides neither an SQLSTATE nor an errno, only text; this is the
 * one place that interprets it. The verbose form of a server's message (`FATAL:  28P01: password …`) contains
 * the SQLSTATE and ends with a line that names a place in the server's source; both are removed, and the
 * SQLSTATE is stored in state ("": the server was not reached). For system and network failures libpq uses
 * strerror(). Returns ERR_CONNECTION if another try may succeed, else ERR_OTHER. */
static enum err_class read_connect_message(char *message, char state[6])
{
    static const char *const states[] = {
        "57P03", /* cannot_connect_now: the server is starting or stopping */
        "57P01", /* admin_shutdown */
        "57P02", /* crash_shutdown */
        "53300", /* too_many_connections */
    };
    static const int errors[] = {ECONNREFUSED, ECONNRESET, ENOENT, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH};
    char *location = strstr(message, "\nLOCATION:"), *severity = strstr(message, "FATAL:  ");
    state[0] = '\0';
    if (location)
        *location = '\0';
    if (severity && strlen(severity) > 15 && severity[13] == ':') {
        memcpy(state, severity + 8, 5);
        state[5] = '\0';
        memmove(severity + 8, severity + 15, strlen(severity + 15) + 1);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(states); i++)
        if (strcmp(state, states[i]) == 0)
            return ERR_CONNECTION;
    for (size_t i = 0; !*state && i < ARRAY_LENGTH(errors); i++)
        if (strstr(message, strerror(errors[i])))
            return ERR_CONNECTION;
    return !*state && strstr(message, "closed the connection unexpectedly") ? ERR_CONNECTION : ERR_OTHER;
}

/* Seconds to wait for a connection: connect_timeout of the URL, else long enough for any reachable server. */
static int connect_seconds(PGconn *conn)
{
    int seconds = 30;
    PQconninfoOption *options = PQconninfo(conn);
    for (PQconninfoOption *o = options; o && o->keyword; o++)
        if (strcmp(o->keyword, "connect_timeout") == 0 && o->val && atoi(o->val) > 0)
            seconds = atoi(o->val);
    PQconninfoFree(options);
    return seconds;
}

enum connected { CONNECTED, CONNECT_FAILED, CONNECT_TIMED_OUT, CONNECT_INTERRUPTED };

/* Connects asynchronously, so that messages have an SQLSTATE and signals are noticed. */
static enum connected connect_by_steps(PGconn *conn)
{
    PQsetErrorVerbosity(conn, PQERRORS_VERBOSE);
    time_t end = time(NULL) + connect_seconds(conn);
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;
    while (PQstatus(conn) != CONNECTION_BAD && status != PGRES_POLLING_OK && status != PGRES_POLLING_FAILED) {
        struct pollfd p = {.fd = PQsocket(conn),
                           .events = status == PGRES_POLLING_READING ? POLLIN : POLLOUT};
        int ready = poll(&p, 1, 1000);
        if (err_interrupted())
            return CONNECT_INTERRUPTED;
        if (time(NULL) > end)
            return CONNECT_TIMED_OUT;
        if (ready > 0)
            status = PQconnectPoll(conn);
    }
    PQsetErrorVerbosity(conn, PQERRORS_DEFAULT);
    return PQstatus(conn) == CONNECTION_OK ? CONNECTED : CONNECT_FAILED;
}

static bool make_connection(PGconn *conn, const struct db_url *u, struct err *e)
{
    if (!conn)
        return err_set(e, NULL, "out of memory");
    switch (connect_by_steps(conn)) {
    case CONNECTED:
        return true;
    case CONNECT_TIMED_OUT:
        return fail_to_connect(u, "timeout expired", "", ERR_CONNECTION, e);
    case CONNECT_INTERRUPTED:
        return err_set_interrupted(e);
    case CONNECT_FAILED:
        break;
    }
    char state[6], *message = xstrdup(PQerrorMessage(conn));
    enum err_class class = read_connect_message(message, state);
    fail_to_connect(u, message, state, class, e);
    free(message);
    return false;
}

/* -- the session's schema
 *
 * All tables are found and created in one schema: the first in the user's search_path that exists and may be
 * used. It is the only one in our search_path: `public` may contain anybody's objects (CVE-2018-1058);
 * temporary tables come last. pg_catalog implicitly comes first, so nothing hides a built-in function or
 * operator with the same argument types; but in a schema in which others may create objects, a function whose
 * argument types match better would be chosen and run with our rights. That is checked before the schema
 * enters the path, and again at the beginning and end of each writing transaction, where functions run by
 * triggers, rules and the like are checked, too. */

/* While settings and catalogs are read, only pg_catalog is visible. */
static const char only_catalog[] = "search_path = pg_catalog, pg_temp";

static void postgres_rollback(struct db *db);

/* how: "SET" or, within a transaction, "SET LOCAL". */
static bool set(struct db *db, const char *how, const char *setting, struct err *e)
{
    char *sql = xasprintf("%s %s", how, setting);
    bool ok = postgres_exec(db, sql, e);
    free(sql);
    return ok;
}

/* Checks the schema for objects of others (if `writes`, also for functions that writing would run), then
 * makes it the search_path of the session or, with SET LOCAL, the transaction. In a pooler's
 * session "SET" only checks. */
static bool enter_schema(struct postgres_db *db, const char *how, bool writes, struct err *e)
{
    bool alone = db->pooled && strcmp(how, "SET") == 0;
    if (alone) {
        bool ok = postgres_exec(&db->base, "BEGIN", e) && enter_schema(db, "SET LOCAL", writes, e);
        postgres_rollback(&db->base);
        return ok;
    }
    return set(&db->base, how, only_catalog, e) && postgres_check_schema(&db->base, db->schema, e) &&
           (!writes || postgres_check_code(&db->base, db->schema, e)) &&
           set(&db->base, how, db->search_path, e);
}

static bool postgres_check_writes(struct db *db, struct err *e)
{
    PGTransactionStatusType status = PQtransactionStatus(postgres_idle_conn(db));
    return enter_schema((struct postgres_db *)db, status == PQTRANS_INTRANS ? "SET LOCAL" : "SET", true, e);
}

/* Determines the schema to work in. */
static bool find_schema(struct postgres_db *db, struct err *e)
{
    PGresult *r =
        PQexec(db->conn, "SELECT pg_catalog.current_schema(), pg_catalog.current_setting('search_path')");
    bool ok = PQresultStatus(r) == PGRES_TUPLES_OK || postgres_failed(&db->base, r, e);
    if (ok && PQgetisnull(r, 0, 0)) {
        const char *path = PQgetvalue(r, 0, 1);
        ok = err_set(e, db->base.display, "no schema to work in; search_path is %s", *path ? path : "empty");
        err_hint(e, "create one of these, grant the role USAGE on it, or name another: "
                    "?options=-csearch_path%%3DNAME in the URL, ALTER ROLE … SET search_path");
    }
    if (ok) {
        db->schema = xstrdup(PQgetvalue(r, 0, 0));
        char *quoted = PQescapeIdentifier(db->conn, db->schema, strlen(db->schema));
        ok = quoted || postgres_failed(&db->base, NULL, e);
        db->search_path = quoted ? xasprintf("search_path = %s, pg_temp", quoted) : NULL;
        PQfreemem(quoted);
    }
    PQclear(r);
    return ok;
}

/* Overrides settings of the user, the database and the server. A load may wait for its stream indefinitely;
 * not every server has all of these timeouts. JIT is off, as it takes seconds to compile catalog queries
 * whose cost is overestimated. With row_security off, a policy that would silently hide rows is an error. */
static bool set_session(struct postgres_db *db, bool local, struct err *e)
{
    static const char values[] =
        "SELECT set_config(name, '0', %s) FROM pg_settings WHERE name IN ('statement_timeout',\n"
        "    'idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout');\n"
        "SELECT set_config(name, 'off', %s) FROM pg_settings WHERE name = 'jit';\n"
        "%s standard_conforming_strings = on; %s bytea_output = hex; %s extra_float_digits = 3;\n"
        "%s lock_timeout = 5000; %s row_security = off";
    const char *flag = local ? "true" : "false", *how = local ? "SET LOCAL" : "SET";
    char *sql = xasprintf(values, flag, flag, how, how, how, how, how);
    bool ok = postgres_exec(&db->base, sql, e);
    free(sql);
    return ok;
}

/* A pooler gives clients another process id than the server's. */
static bool find_pooler(struct postgres_db *db, struct err *e)
{
    int64_t pid;
    bool ok = db_query_int(&db->base, "SELECT pg_catalog.pg_backend_pid()", &pid, e);
    db->pooled = ok && pid != PQbackendPID(db->conn);
    return ok;
}

/* In a pooler's session row_security can be off only within a transaction, so there must be no policies. */
static bool check_policies(struct postgres_db *db, struct err *e)
{
    int64_t n;
    if (!db_query_int(
            &db->base,
            "SELECT count(*) FROM pg_catalog.pg_class WHERE relkind IN ('r', 'p') AND relnamespace = "
            "quote_ident(current_schema())::regnamespace AND row_security_active(oid)",
            &n, e))
        return false;
    if (n == 0)
        return true;
    err_set(e, db->base.display, "row-level security may hide rows behind a pooler");
    return err_hint(e, "connect to the server itself");
}

static bool set_up(struct postgres_db *db, enum db_mode mode, struct err *e)
{
    static const char read_only[] = "SET default_transaction_read_only = on";
    db->pooled = true; /* until known */
    if (!find_schema(db, e) || !find_pooler(db, e))
        return false;
    if (db->pooled)
        return enter_schema(db, "SET", mode != DB_READ, e) && check_policies(db, e);
    return set(&db->base, "SET", only_catalog, e) && set_session(db, false, e) &&
           (mode != DB_READ || postgres_exec(&db->base, read_only, e)) &&
           enter_schema(db, "SET", mode != DB_READ, e);
}

/* The certificates that `sslrootcert=system` means. An OpenSSL that is linked in looks where Debian has them; other
 * distributions keep a file elsewhere. SSL_CERT_FILE and SSL_CERT_DIR, when set, are the user's word. */
static void find_certificates(void)
{
#ifdef MLRUNS_TOOLS_STATIC_LIBRARIES
    static const char *const bundles[] = {
        "/etc/ssl/certs/ca-certificates.crt", /* Debian, Alpine, Arch */
        "/etc/pki/tls/certs/ca-bundle.crt",   /* Red Hat */
        "/etc/ssl/ca-bundle.pem",             /* SUSE */
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
        "/etc/ssl/cert.pem",
    };
    if (getenv("SSL_CERT_FILE") || getenv("SSL_CERT_DIR"))
        return;
    for (size_t i = 0; i < ARRAY_LENGTH(bundles); i++)
        if (access(bundles[i], R_OK) == 0) {
            setenv("SSL_CERT_FILE", bundles[i], 0);
            return;
        }
#endif
}

static struct db *postgres_open(const struct db_url *u, enum db_mode mode, struct err *e)
{
    if (!check_conninfo(u, e))
        return NULL;
    find_certificates();
    struct postgres_db *db = xcalloc(1, sizeof *db);
    db->base.ops = &db_postgres_ops;
    db->base.display = u->display; /* for messages; db_open sets its own copy */
    const char *keys[] = {"dbname", "fallback_application_name", "client_encoding", NULL};
    const char *values[] = {u->conninfo, "mlruns-tools", "UTF8", NULL};
    db->conn = PQconnectStartParams(keys, values, 1);
    if (make_connection(db->conn, u, e)) {
        PQsetNoticeProcessor(db->conn, postgres_say_notice, NULL);
        if (set_up(db, mode, e))
            return &db->base;
    }
    postgres_close(&db->base);
    return NULL;
}

static void postgres_lock_timeout(struct db *db, int ms)
{
    bool pooled = ((struct postgres_db *)db)->pooled;
    if (pooled && PQtransactionStatus(postgres_idle_conn(db)) != PQTRANS_INTRANS)
        return;
    char *sql = xasprintf("SET %slock_timeout = %d", pooled ? "LOCAL " : "", ms < 0 ? 0 : ms);
    postgres_exec(db, sql, NULL);
    free(sql);
}

static void *postgres_native(struct db *db)
{
    return postgres_idle_conn(db);
}

/* -- transactions */

static bool postgres_begin_read(struct db *db, struct err *e)
{
    struct postgres_db *p = (struct postgres_db *)db;
    return postgres_exec(db, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", e) &&
           (!p->pooled || (set_session(p, true, e) && set(db, "SET LOCAL", p->search_path, e)));
}

static void postgres_rollback(struct db *db)
{
    PGTransactionStatusType status = PQtransactionStatus(postgres_idle_conn(db));
    if (status == PQTRANS_INTRANS || status == PQTRANS_INERROR)
        postgres_exec(db, "ROLLBACK", NULL);
    ((struct postgres_db *)db)->writing = false;
}

static bool postgres_begin_write(struct db *db, struct err *e)
{
    struct postgres_db *p = (struct postgres_db *)db;
    if (!postgres_exec(db, "BEGIN ISOLATION LEVEL READ COMMITTED", e))
        return false;
    p->writing = (!p->pooled || set_session(p, true, e)) && enter_schema(p, "SET LOCAL", true, e);
    if (!p->writing)
        postgres_rollback(db);
    return p->writing;
}

static bool postgres_commit(struct db *db, struct err *e)
{
    struct postgres_db *p = (struct postgres_db *)db;
    if (p->writing && !enter_schema(p, "SET LOCAL", true, e))
        return false;
    p->writing = false;
    bool lost_before = PQstatus(p->conn) == CONNECTION_BAD;
    if (postgres_exec(db, "COMMIT", e))
        return true;
    if (PQstatus(p->conn) == CONNECTION_BAD && !lost_before) {
        err_classify(e, ERR_COMMIT);
        err_hint(e, "the server may or may not have committed: check with ml-verify");
    }
    return false;
}

static bool postgres_backup(struct db *db, const char *file, struct err *e)
{
    err_set(e, db->display, "PostgreSQL databases are backed up with pg_dump");
    return err_hint(e, "pg_dump --format=custom --file=%s URL", file);
}

const struct db_ops db_postgres_ops = {
    .open = postgres_open,
    .close = postgres_close,
    .lock_timeout = postgres_lock_timeout,
    .native = postgres_native,
    .exec = postgres_exec,
    .rows_written = postgres_rows_written,
    .prepare = postgres_prepare,
    .bind = postgres_bind,
    .step = postgres_step,
    .reset = postgres_reset,
    .column_count = postgres_column_count,
    .column = postgres_column,
    .finalize = postgres_finalize,
    .begin_read = postgres_begin_read,
    .begin_write = postgres_begin_write,
    .commit = postgres_commit,
    .rollback = postgres_rollback,
    .check_writes = postgres_check_writes,
    .backup = postgres_backup,
    .columns_query = database_columns_postgresql,
    .table_query = "SELECT 1 FROM pg_class WHERE relkind IN ('r', 'p') AND relname = ?1\n"
                   "AND relnamespace = quote_ident(current_schema())::regnamespace",
};
