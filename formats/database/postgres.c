/* PostgreSQL by libpq. */
#include <ctype.h>
#include <errno.h>
#include <libpq-fe.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/array.h"
#include "common/arena.h"
#include "common/buf.h"
#include "common/secret.h"
#include "formats/database/internal.h"
#include "formats/database/sql_text.h"

enum { MAX_PARAMETERS = 64 };

/* Rows asked for at a time: few at first, since one may be large, then as many as take about this much
 * memory. */
enum { FETCH_FIRST = 4, FETCH_MOST = 8192, FETCH_BYTES = 1 << 20 };

/* Of types without a declared length any row may be large: these rows are taken from the connection one by
 * one. Those of other types come all at once, at most so many that they take this much memory. */
enum { BATCH_BYTES = 8 << 20 };

/* Types by their number in pg_type, which is the same in every database. */
enum {
    OID_BOOL = 16,
    OID_BYTEA = 17,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_OID = 26,
    OID_FLOAT4 = 700,
    OID_FLOAT8 = 701,
    OID_VARCHAR = 1043,
    OID_NUMERIC = 1700
};

struct postgres_db {
    struct db base;
    PGconn *conn;
    struct postgres_stmt *streaming; /* whose rows are on their way; NULL: nobody's */
    unsigned serial;                 /* of the names of statements and cursors */
    char *schema;                    /* that holds the tables */
    char *search_path;               /* "search_path = …" for it */
    bool writing;                    /* in a transaction of postgres_begin_write */
    uint64_t rows_written;
};

struct parameter {
    struct buf text; /* NUL-terminated */
    bool null;
    bool binary;
};

struct postgres_stmt {
    struct db_stmt base;
    char *sql;     /* with $1 $2 … */
    char name[24]; /* of the prepared statement, or of the cursor */
    bool query;    /* may be read through a cursor */
    bool prepared;
    bool cursor;  /* one is open */
    bool running; /* between the first step and the last */
    PGresult *result;
    int asked;       /* of the cursor: rows in the last request */
    int row;         /* of result; the current one */
    size_t row_most; /* bytes of a row, by its columns' types; 0: any number, or not known yet */
    /* Of a request whose rows come one by one: those that came, their bytes, and those that had to be taken
     * in because another statement needed the connection. */
    int came;
    size_t came_bytes;
    PGresult **queue;
    int n_queue, next_queue;
    int n_parameters;
    struct parameter *parameters;
    struct arena blobs; /* the current row's byteas */
};

static PGconn *conn_of(struct db *db)
{
    return ((struct postgres_db *)db)->conn;
}

static struct postgres_stmt *stmt_of(struct db_stmt *s)
{
    return (struct postgres_stmt *)s;
}

/* ---- errors */

/* libpq's messages have several lines; ours have one. */
static void add_one_line(struct buf *b, const char *message)
{
    if (strncmp(message, "ERROR:  ", 8) == 0)
        message += 8;
    for (const char *p = message; *p; p++)
        if (*p != '\n' && *p != '\t')
            buf_addc(b, *p);
        else if (*p == '\n' && p[1])
            buf_adds(b, "; ");
}

static const char *hint_for(const char *state)
{
    static const struct {
        const char *state, *hint;
    } hints[] = {
        {SQLSTATE_LOCK_NOT_AVAILABLE,
         "another session holds a lock; end it or wait longer (--lock-timeout, where there is one)"},
        {SQLSTATE_INSUFFICIENT_PRIVILEGE,
         "the role in the URL needs to own MLflow's tables, or rights on them"},
        {"53100", "the server's disk is full"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(hints); i++)
        if (strcmp(state, hints[i].state) == 0)
            return hints[i].hint;
    return NULL;
}

/* state: SQLSTATE, or "". */
static bool fail_with(const char *where, const char *message, const char *state, enum err_class class,
                      struct err *e)
{
    struct buf line = {0};
    add_one_line(&line, message);
    err_set(e, where, "%s", buf_str(&line));
    buf_free(&line);
    err_classify(e, class);
    if (e)
        snprintf(e->sqlstate, sizeof e->sqlstate, "%s", state);
    const char *hint = hint_for(state);
    return hint ? err_hint(e, "%s", hint) : false;
}

/* "": it was not the server that failed. */
static const char *state_of(const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    return state ? state : "";
}

/* After an error of severity FATAL or PANIC the server closes the connection. */
static bool ends_session(const PGresult *result)
{
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    return severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0);
}

/* result NULL: the failure is the connection's. */
static enum err_class class_of(PGconn *conn, const PGresult *result)
{
    static const struct {
        const char *state; /* or its first two characters, which are common to all of a kind */
        enum err_class class;
    } classes[] = {
        {"23", ERR_CONSTRAINT},
        {SQLSTATE_SERIALIZATION_FAILURE, ERR_CONFLICT},
        {SQLSTATE_DEADLOCK_DETECTED, ERR_CONFLICT},
        {SQLSTATE_INSUFFICIENT_PRIVILEGE, ERR_DENIED},
        {SQLSTATE_LOCK_NOT_AVAILABLE, ERR_BUSY},
    };
    const char *state = state_of(result);
    if (PQstatus(conn) == CONNECTION_BAD || ends_session(result))
        return ERR_CONNECTION;
    if (strcmp(state, "57014") == 0 && err_interrupted()) /* query_canceled */
        return ERR_INTERRUPTED;
    for (size_t i = 0; i < ARRAY_LENGTH(classes); i++)
        if (strncmp(state, classes[i].state, strlen(classes[i].state)) == 0)
            return classes[i].class;
    return ERR_OTHER;
}

static bool failed(struct db *db, const PGresult *result, struct err *e)
{
    const char *message = result ? PQresultErrorMessage(result) : "";
    if (!*message)
        message = PQerrorMessage(conn_of(db));
    return fail_with(db->display, message, state_of(result), class_of(conn_of(db), result), e);
}

bool db_classify_postgres(struct db *db, const struct pg_result *result, struct err *e)
{
    if (e)
        snprintf(e->sqlstate, sizeof e->sqlstate, "%s", state_of(result));
    return err_classify(e, class_of(conn_of(db), result));
}

static void say_notice(void *arg, const char *message)
{
    struct buf line = {0};
    (void)arg;
    add_one_line(&line, message);
    err_verbose("%s", buf_str(&line));
    buf_free(&line);
}

/* ---- connections */

static void postgres_close(struct db *db)
{
    PQfinish(conn_of(db));
    free(((struct postgres_db *)db)->schema);
    free(((struct postgres_db *)db)->search_path);
    free(db);
}

static void free_queue(struct postgres_stmt *s)
{
    while (s->next_queue < s->n_queue)
        PQclear(s->queue[s->next_queue++]);
    free(s->queue);
    s->queue = NULL;
    s->n_queue = s->next_queue = 0;
}

/* Before the connection is used: takes in the rows that are on their way to another statement. */
static PGconn *idle_conn(struct db *db)
{
    struct postgres_stmt *s = ((struct postgres_db *)db)->streaming;
    PGresult *r;
    ((struct postgres_db *)db)->streaming = NULL;
    while (s && (r = PQgetResult(conn_of(db)))) {
        s->queue = xrealloc(s->queue, (size_t)(s->n_queue + 1) * sizeof *s->queue);
        s->queue[s->n_queue++] = r;
    }
    return conn_of(db);
}

/* The rows of a statement that gives none back: its tag names them. */
static void count_written(struct db *db, PGresult *r)
{
    if (PQresultStatus(r) == PGRES_COMMAND_OK)
        ((struct postgres_db *)db)->rows_written += strtoull(PQcmdTuples(r), NULL, 10);
}

/* One result for each statement of the text, where PQexec would give the last alone. */
static bool exec_plain(struct db *db, const char *sql, struct err *e)
{
    PGresult *r;
    bool ok = PQsendQuery(idle_conn(db), sql) || failed(db, NULL, e);
    while ((r = PQgetResult(conn_of(db)))) {
        ExecStatusType status = PQresultStatus(r);
        bool good = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY;
        count_written(db, r);
        if (ok && !good)
            ok = failed(db, r, e);
        PQclear(r);
    }
    return ok;
}

static uint64_t postgres_rows_written(struct db *db)
{
    return ((struct postgres_db *)db)->rows_written;
}

/* Of a URL that is not well-formed libpq takes parts of the password for something else, and quotes them, or
 * the whole URL. */
static bool fail_to_connect(const struct db_url *u, const char *message, const char *state,
                            enum err_class class, struct err *e)
{
    char *shown = secret_mask_quoted(strstr(message, u->conninfo) ? "malformed URL" : message, &u->hidden);
    fail_with(u->display, shown, state, class, e);
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

/* Before a connection stands libpq has neither an SQLSTATE nor an errno to give, only text: all that is
 * concluded from that text is concluded here. In its verbose form (`FATAL:  28P01: password …`) it begins
 * with what the server has sent, the SQLSTATE and last a line that names a place in the server's source:
 * these two are taken out, the SQLSTATE goes to state ("": the server was not reached). What the system or
 * the network has failed by libpq words as strerror() does. Returns ERR_CONNECTION where another try may
 * succeed, else ERR_OTHER. */
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

/* Seconds to wait for a connection: connect_timeout of the URL, else enough for any server that is there. */
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

/* Connects step by step, so that a message has its SQLSTATE and a signal is seen. */
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

/* ---- parameters */

/* The number of the parameter that begins with p, `?1` or `:'name'`; 0 where none does. *text moves past it.
 * names: those of before, numbered from 1; the new one is added. */
static int parameter_number(struct sql_piece p, struct sql_text *text, struct sql_text *names, int *n_names)
{
    if (sql_is_sign(p, '?') && isdigit((unsigned char)*text->at))
        return atoi(sql_token(text).text.at);
    if (!sql_is_sign(p, ':') || *text->at != '\'' || *n_names > MAX_PARAMETERS)
        return 0;
    struct sql_text name = sql_token(text).inside;
    size_t len = (size_t)(name.end - name.at);
    int i = 0;
    while (i < *n_names &&
           ((size_t)(names[i].end - names[i].at) != len || memcmp(names[i].at, name.at, len) != 0))
        i++;
    if (i == *n_names)
        names[(*n_names)++] = name;
    return i + 1;
}

/* Rewrites parameters to $1, $2 …; counts them. */
static char *numbered(const char *sql, int *parameters)
{
    struct buf b = {0};
    struct sql_text text = sql_text(DIALECT_POSTGRESQL, sql), names[MAX_PARAMETERS + 1];
    struct sql_piece p;
    int n_names = 0;
    *parameters = 0;
    while ((p = sql_token(&text)).kind != SQL_NOTHING) {
        int n = parameter_number(p, &text, names, &n_names);
        if (n == 0)
            continue;
        buf_add(&b, sql, (size_t)(p.text.at - sql));
        buf_addf(&b, "$%d", n);
        sql = text.at;
        if (n > *parameters)
            *parameters = n;
    }
    buf_adds(&b, sql);
    return b.data;
}

/* ---- the session's schema
 *
 * All tables are looked for, and made, in one schema: the first of the user's search_path that is there and
 * may be used. Nothing else is in the path: not `public` with what anybody may have put there
 * (CVE-2018-1058), and temporary tables come last. pg_catalog, which is not named, comes first, so nothing
 * takes the place of a function or operator of PostgreSQL's own with the same arguments; but in a schema in
 * which others may create, one whose arguments fit better would be chosen, and run with our rights. It is
 * looked for before the schema enters the path, and again where a transaction that writes begins and ends. */

/* Sessions that read settings and catalogs see nothing but pg_catalog. */
static const char only_catalog[] = "search_path = pg_catalog, pg_temp";

/* With nothing but pg_catalog in the path. */
static bool look_for_intruder(struct postgres_db *db, struct err *e)
{
    const char *schema = db->schema;
    int parameters;
    char *sql = numbered(database_intruder_postgresql, &parameters);
    PGresult *r = PQexecParams(db->conn, sql, parameters, NULL, &schema, NULL, NULL, 0);
    free(sql);
    bool ok = PQresultStatus(r) == PGRES_TUPLES_OK || failed(&db->base, r, e);
    if (ok && PQntuples(r) > 0) {
        ok = err_set(e, db->base.display,
                     "schema %s holds %s of role %s, which could run in the place of PostgreSQL's own",
                     schema, PQgetvalue(r, 0, 0), PQgetvalue(r, 0, 1));
        err_hint(e,
                 "drop it, and leave others no right to create there: REVOKE CREATE ON SCHEMA %s FROM "
                 "PUBLIC; or take a schema of your own: ?options=-csearch_path%%3DNAME in the URL",
                 schema);
    }
    PQclear(r);
    return ok;
}

/* SET, or within a transaction SET LOCAL. */
static bool set(struct db *db, const char *how, const char *setting, struct err *e)
{
    char *sql = xasprintf("%s %s", how, setting);
    bool ok = exec_plain(db, sql, e);
    free(sql);
    return ok;
}

/* Looks for an intruder, and lets the session, or with SET LOCAL the transaction, look for tables. */
static bool enter_schema(struct postgres_db *db, const char *how, struct err *e)
{
    return set(&db->base, how, only_catalog, e) && look_for_intruder(db, e) &&
           set(&db->base, how, db->search_path, e);
}

/* Finds the schema to work in. */
static bool find_schema(struct postgres_db *db, struct err *e)
{
    PGresult *r =
        PQexec(db->conn, "SELECT pg_catalog.current_schema(), pg_catalog.current_setting('search_path')");
    bool ok = PQresultStatus(r) == PGRES_TUPLES_OK || failed(&db->base, r, e);
    if (ok && PQgetisnull(r, 0, 0)) {
        const char *path = PQgetvalue(r, 0, 1);
        ok = err_set(e, db->base.display, "no schema to work in; search_path is %s", *path ? path : "empty");
        err_hint(e, "create one of those, grant the role USAGE on it, or name another: "
                    "?options=-csearch_path%%3DNAME in the URL, ALTER ROLE … SET search_path");
    }
    if (ok) {
        db->schema = xstrdup(PQgetvalue(r, 0, 0));
        char *quoted = PQescapeIdentifier(db->conn, db->schema, strlen(db->schema));
        ok = quoted || failed(&db->base, NULL, e);
        db->search_path = quoted ? xasprintf("search_path = %s, pg_temp", quoted) : NULL;
        PQfreemem(quoted);
    }
    PQclear(r);
    return ok;
}

/* What the user, the database or the server may have set otherwise. A load waits for its stream as long as it
 * takes; not every server knows each of the limits. */
static bool set_up(struct postgres_db *db, enum db_mode mode, struct err *e)
{
    static const char settings[] =
        "SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('statement_timeout',\n"
        "    'idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout');\n"
        "SET standard_conforming_strings = on; SET bytea_output = hex; SET extra_float_digits = 3;\n"
        "SET lock_timeout = 5000";
    static const char read_only[] = "SET default_transaction_read_only = on";
    return find_schema(db, e) && set(&db->base, "SET", only_catalog, e) &&
           exec_plain(&db->base, settings, e) && (mode != DB_READ || exec_plain(&db->base, read_only, e)) &&
           enter_schema(db, "SET", e);
}

static struct db *postgres_open(const struct db_url *u, enum db_mode mode, struct err *e)
{
    if (!check_conninfo(u, e))
        return NULL;
    struct postgres_db *db = xcalloc(1, sizeof *db);
    db->base.display = u->display; /* for messages; db_open gives it its own */
    const char *keys[] = {"dbname", "fallback_application_name", "client_encoding", NULL};
    const char *values[] = {u->conninfo, "mlruns-tools", "UTF8", NULL};
    db->conn = PQconnectStartParams(keys, values, 1);
    if (make_connection(db->conn, u, e)) {
        PQsetNoticeProcessor(db->conn, say_notice, NULL);
        if (set_up(db, mode, e))
            return &db->base;
    }
    postgres_close(&db->base);
    return NULL;
}

static void postgres_lock_timeout(struct db *db, int ms)
{
    char *sql = xasprintf("SET lock_timeout = %d", ms < 0 ? 0 : ms);
    exec_plain(db, sql, NULL);
    free(sql);
}

static void *postgres_native(struct db *db)
{
    return idle_conn(db);
}

/* ---- statements */

static bool is_query(const char *sql)
{
    struct sql_text text = sql_text(DIALECT_POSTGRESQL, sql);
    struct sql_piece p;
    while ((p = sql_token(&text)).kind == SQL_OPEN)
        ;
    return sql_is(p, "SELECT") || sql_is(p, "WITH") || sql_is(p, "VALUES");
}

static struct db_stmt *postgres_prepare(struct db *db, const char *sql, struct err *e)
{
    struct postgres_stmt *s = xcalloc(1, sizeof *s);
    s->base.db = db;
    s->sql = numbered(sql, &s->n_parameters);
    s->query = is_query(s->sql);
    snprintf(s->name, sizeof s->name, "ml_%u", ((struct postgres_db *)db)->serial++);
    s->parameters = xcalloc((size_t)s->n_parameters + 1, sizeof *s->parameters);
    for (int i = 0; i < s->n_parameters; i++)
        s->parameters[i].null = true;
    if (s->n_parameters <= MAX_PARAMETERS)
        return &s->base;
    err_set(e, db->display, "a statement has more than %d parameters", MAX_PARAMETERS);
    db_finalize(&s->base);
    return NULL;
}

static void postgres_bind(struct db_stmt *stmt, int i, const struct value *v)
{
    struct postgres_stmt *s = stmt_of(stmt);
    if (i < 1 || i > s->n_parameters)
        return;
    struct parameter *p = &s->parameters[i - 1];
    char number[32];
    buf_reset(&p->text);
    p->null = v->type == VALUE_NULL;
    p->binary = v->type == VALUE_BIN || v->type == VALUE_MAP;
    switch (v->type) {
    case VALUE_NULL:
        break;
    case VALUE_INT:
        buf_addf(&p->text, "%lld", (long long)v->i);
        break;
    case VALUE_FLOAT:
        if (isfinite(v->f))
            snprintf(number, sizeof number, "%.17g", v->f);
        else
            snprintf(number, sizeof number, "%s", isnan(v->f) ? "NaN" : v->f > 0 ? "Infinity" : "-Infinity");
        buf_adds(&p->text, number);
        break;
    case VALUE_BOOL:
        buf_addc(&p->text, v->b ? 't' : 'f');
        break;
    case VALUE_STR:
    case VALUE_BIN:
    case VALUE_MAP:
    case VALUE_ALIEN:
        buf_add(&p->text, v->s, v->len);
        break;
    }
}

/* Runs sql, or the prepared statement where sql is NULL, with what is bound. */
static PGresult *run_bound(struct postgres_stmt *s, const char *sql)
{
    const char *values[MAX_PARAMETERS];
    int lengths[MAX_PARAMETERS], formats[MAX_PARAMETERS];
    for (int i = 0; i < s->n_parameters; i++) {
        const struct parameter *p = &s->parameters[i];
        values[i] = p->null ? NULL : buf_str(&p->text);
        lengths[i] = (int)p->text.len;
        formats[i] = p->binary;
    }
    PGconn *conn = idle_conn(s->base.db);
    if (sql)
        return PQexecParams(conn, sql, s->n_parameters, NULL, values, lengths, formats, 0);
    return PQexecPrepared(conn, s->name, s->n_parameters, values, lengths, formats, 0);
}

static void take_result(struct postgres_stmt *s, PGresult *r)
{
    PQclear(s->result);
    s->result = r;
    s->row = -1;
}

static bool accept_result(struct postgres_stmt *s, PGresult *r, struct err *e)
{
    ExecStatusType status = PQresultStatus(r);
    take_result(s, r);
    count_written(s->base.db, r);
    return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || failed(s->base.db, r, e);
}

static bool prepare_once(struct postgres_stmt *s, struct err *e)
{
    if (s->prepared)
        return true;
    PGresult *r = PQprepare(idle_conn(s->base.db), s->name, s->sql, 0, NULL);
    s->prepared = PQresultStatus(r) == PGRES_COMMAND_OK;
    if (!s->prepared)
        failed(s->base.db, r, e);
    PQclear(r);
    return s->prepared;
}

/* Bytes that a row may take as text, by the types of its columns; 0: any number. */
static size_t longest_row(const PGresult *r)
{
    size_t sum = 0;
    for (int i = 0; i < PQnfields(r); i++) {
        bool number = PQfsize(r, i) > 0; /* of a fixed size */
        int characters = PQfmod(r, i) - 4;
        if (!number && (PQftype(r, i) != OID_VARCHAR || characters < 0))
            return 0;
        sum += number ? 32 : (size_t)characters * 4; /* of UTF-8 */
    }
    return sum;
}

/* How many rows to ask for next, by the memory that the last ones took, and by what they may take at most. */
static int next_request(const struct postgres_stmt *s)
{
    if (s->asked == 0)
        return FETCH_FIRST;
    size_t fit = (size_t)s->asked * FETCH_BYTES / (s->came_bytes + 1);
    size_t most = (size_t)s->asked * 8 < FETCH_MOST ? (size_t)s->asked * 8 : FETCH_MOST;
    if (s->row_most && most > BATCH_BYTES / s->row_most)
        most = BATCH_BYTES / s->row_most;
    return (int)(fit < most ? fit : most) + (fit < 1 || most < 1);
}

/* The next result of a request whose rows come one by one; NULL: it is over. */
static PGresult *next_result(struct postgres_stmt *s)
{
    struct postgres_db *db = (struct postgres_db *)s->base.db;
    if (s->next_queue < s->n_queue)
        return s->queue[s->next_queue++];
    free_queue(s);
    if (db->streaming != s)
        return NULL;
    PGresult *r = PQgetResult(db->conn);
    if (!r)
        db->streaming = NULL;
    return r;
}

/* Makes the next row of the request the result, with no row where it is over. */
static bool next_single(struct postgres_stmt *s, struct err *e)
{
    take_result(s, NULL); /* never two of them in memory */
    PGresult *r = next_result(s);
    if (PQresultStatus(r) == PGRES_SINGLE_TUPLE) {
        take_result(s, r);
        if (s->came++ == 0)
            s->row_most = longest_row(r);
        s->came_bytes += PQresultMemorySize(r);
        return true;
    }
    bool ok = PQresultStatus(r) == PGRES_TUPLES_OK || failed(s->base.db, r, e);
    take_result(s, r);
    while ((r = next_result(s)))
        PQclear(r);
    return ok;
}

static bool request(struct postgres_stmt *s, struct err *e)
{
    struct postgres_db *db = (struct postgres_db *)s->base.db;
    char fetch[64];
    s->asked = next_request(s);
    s->came = 0;
    s->came_bytes = 0;
    take_result(s, NULL);
    snprintf(fetch, sizeof fetch, "FETCH %d FROM %s", s->asked, s->name);
    if (s->row_most) {
        bool ok = accept_result(s, PQexec(idle_conn(s->base.db), fetch), e);
        s->came = PQntuples(s->result);
        s->came_bytes = PQresultMemorySize(s->result);
        return ok;
    }
    if (!PQsendQuery(idle_conn(s->base.db), fetch))
        return failed(s->base.db, NULL, e);
    PQsetSingleRowMode(db->conn);
    db->streaming = s;
    return next_single(s, e);
}

/* True when the rows of the last request come one by one, and are not over. */
static bool comes_singly(const struct postgres_stmt *s)
{
    return ((struct postgres_db *)s->base.db)->streaming == s || s->next_queue < s->n_queue;
}

/* Goes on to the next rows. */
static bool fetch_more(struct postgres_stmt *s, struct err *e)
{
    if (comes_singly(s)) {
        if (!next_single(s, e))
            return false;
        if (PQntuples(s->result) > 0)
            return true;
    }
    if (s->came == s->asked)
        return request(s, e);
    take_result(s, NULL);
    return true;
}

/* A query without parameters inside a transaction may have many rows: it is read through a cursor, a few at a
 * time. What has parameters is a look-up that is run often. */
static bool start(struct postgres_stmt *s, struct err *e)
{
    PGconn *conn = conn_of(s->base.db);
    s->running = true;
    if (!s->query || s->n_parameters > 0 || PQtransactionStatus(conn) != PQTRANS_INTRANS)
        return prepare_once(s, e) && accept_result(s, run_bound(s, NULL), e);
    char *sql = xasprintf("DECLARE %s NO SCROLL CURSOR FOR %s", s->name, s->sql);
    s->cursor = exec_plain(s->base.db, sql, e);
    free(sql);
    return s->cursor && request(s, e);
}

static void postgres_reset(struct db_stmt *stmt)
{
    struct postgres_stmt *s = stmt_of(stmt);
    PGconn *conn = conn_of(stmt->db);
    PGresult *r;
    while ((r = next_result(s)))
        PQclear(r);
    if (s->cursor && PQtransactionStatus(conn) == PQTRANS_INTRANS) {
        char *sql = xasprintf("CLOSE %s", s->name);
        exec_plain(stmt->db, sql, NULL);
        free(sql);
    }
    s->cursor = s->running = false;
    s->asked = 0;
    s->row_most = 0;
    take_result(s, NULL);
}

static int postgres_step(struct db_stmt *stmt, struct err *e)
{
    struct postgres_stmt *s = stmt_of(stmt);
    arena_reset(&s->blobs);
    bool ok = s->running || start(s, e);
    if (ok && ++s->row >= PQntuples(s->result) && s->cursor) {
        ok = fetch_more(s, e);
        s->row = 0;
    }
    if (ok && s->row < PQntuples(s->result))
        return 1;
    postgres_reset(stmt);
    return ok ? 0 : -1;
}

static int postgres_column_count(struct db_stmt *stmt)
{
    const struct postgres_stmt *s = stmt_of(stmt);
    return s->result ? PQnfields(s->result) : 0;
}

static struct value number_value(const char *text)
{
    int64_t n;
    if (value_parse_int(text, strlen(text), &n))
        return value_int(n);
    return value_float(strtod(text, NULL));
}

static unsigned hex_digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* Decodes \\x0123…, the form that postgres_open asks for. */
static struct value bytea_value(struct arena *a, const char *text, size_t len)
{
    size_t n = len < 2 ? 0 : len / 2 - 1;
    char *bytes = arena_alloc(a, n + 1);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)(hex_digit(text[2 + 2 * i]) << 4 | hex_digit(text[3 + 2 * i]));
    return (struct value){.type = VALUE_BIN, .len = (uint32_t)n, .s = bytes};
}

static void postgres_column(struct db_stmt *stmt, int i, struct value *v)
{
    struct postgres_stmt *s = stmt_of(stmt);
    *v = value_null();
    if (PQgetisnull(s->result, s->row, i))
        return;
    const char *text = PQgetvalue(s->result, s->row, i);
    size_t len = (size_t)PQgetlength(s->result, s->row, i);
    switch (PQftype(s->result, i)) {
    case OID_BOOL:
        *v = value_bool(*text == 't');
        break;
    case OID_INT2:
    case OID_INT4:
    case OID_INT8:
    case OID_OID:
        *v = value_int(strtoll(text, NULL, 10));
        break;
    case OID_FLOAT4:
    case OID_FLOAT8:
        *v = value_float(strtod(text, NULL)); /* strtod knows NaN and Infinity */
        break;
    case OID_NUMERIC:
        *v = number_value(text);
        break;
    case OID_BYTEA:
        *v = bytea_value(&s->blobs, text, len);
        break;
    default:
        *v = value_text(text, len);
    }
}

static void postgres_finalize(struct db_stmt *stmt)
{
    struct postgres_stmt *s = stmt_of(stmt);
    postgres_reset(stmt);
    if (s->prepared && PQtransactionStatus(conn_of(stmt->db)) != PQTRANS_INERROR) {
        char *sql = xasprintf("DEALLOCATE %s", s->name);
        exec_plain(stmt->db, sql, NULL);
        free(sql);
    }
    for (int i = 0; i < s->n_parameters; i++)
        buf_free(&s->parameters[i].text);
    free(s->parameters);
    arena_free(&s->blobs);
    free(s->sql);
    free(s);
}

/* ---- transactions */

static bool postgres_begin_read(struct db *db, struct err *e)
{
    return exec_plain(db, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", e);
}

static void postgres_rollback(struct db *db)
{
    PGTransactionStatusType status = PQtransactionStatus(idle_conn(db));
    if (status == PQTRANS_INTRANS || status == PQTRANS_INERROR)
        exec_plain(db, "ROLLBACK", NULL);
    ((struct postgres_db *)db)->writing = false;
}

static bool postgres_begin_write(struct db *db, struct err *e)
{
    struct postgres_db *p = (struct postgres_db *)db;
    if (!exec_plain(db, "BEGIN", e))
        return false;
    p->writing = enter_schema(p, "SET LOCAL", e);
    if (!p->writing)
        postgres_rollback(db);
    return p->writing;
}

static bool postgres_commit(struct db *db, struct err *e)
{
    struct postgres_db *p = (struct postgres_db *)db;
    if (p->writing && !enter_schema(p, "SET LOCAL", e))
        return false;
    p->writing = false;
    bool lost_before = PQstatus(p->conn) == CONNECTION_BAD;
    if (exec_plain(db, "COMMIT", e))
        return true;
    if (PQstatus(p->conn) == CONNECTION_BAD && !lost_before) {
        err_classify(e, ERR_COMMIT);
        err_hint(e, "the server had been asked to commit: look whether it has, with ml-verify");
    }
    return false;
}

static bool postgres_backup(struct db *db, const char *file, struct err *e)
{
    err_set(e, db->display, "a PostgreSQL database is backed up by its own program");
    return err_hint(e, "pg_dump --format=custom --file=%s URL", file);
}

const struct db_ops db_postgres_ops = {
    .open = postgres_open,
    .close = postgres_close,
    .lock_timeout = postgres_lock_timeout,
    .native = postgres_native,
    .exec = exec_plain,
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
    .backup = postgres_backup,
    .columns_query = database_columns_postgresql,
    .table_query = "SELECT 1 FROM pg_class WHERE relkind IN ('r', 'p') AND relname = ?1\n"
                   "AND relnamespace = quote_ident(current_schema())::regnamespace",
};
