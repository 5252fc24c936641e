/* Converts PostgreSQL's messages and SQLSTATEs to errors. */
#include "formats/database/postgres.h"

#include <stdio.h>
#include <string.h>

#include "common/array.h"
#include "common/buf.h"

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
         "another session holds a lock; end it or wait longer (--lock-timeout, if the program has it)"},
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
bool postgres_fail_with(const char *where, const char *message, const char *state, enum err_class class,
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

/* "": the failure was not reported by the server. */
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

/* result NULL: the connection failed. */
static enum err_class class_of(PGconn *conn, const PGresult *result)
{
    static const struct {
        const char *state; /* or its first two characters, the SQLSTATE class */
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

bool postgres_failed(struct db *db, const PGresult *result, struct err *e)
{
    const char *message = result ? PQresultErrorMessage(result) : "";
    if (!*message)
        message = PQerrorMessage(postgres_conn(db));
    postgres_fail_with(db->display, message, state_of(result), class_of(postgres_conn(db), result), e);
    /* Its SQLSTATE is that of a missing privilege, and its text is in the server's language. */
    const char *function = PQresultErrorField(result, PG_DIAG_SOURCE_FUNCTION);
    if (function && strcmp(function, "check_enable_rls") == 0)
        err_hint(e, "use the tables' owner or a role with BYPASSRLS, which see all rows");
    return false;
}

bool db_classify_postgres(struct db *db, const struct pg_result *result, struct err *e)
{
    if (e)
        snprintf(e->sqlstate, sizeof e->sqlstate, "%s", state_of(result));
    return err_classify(e, class_of(postgres_conn(db), result));
}

void postgres_say_notice(void *arg, const char *message)
{
    struct buf line = {0};
    (void)arg;
    add_one_line(&line, message);
    err_verbose("%s", buf_str(&line));
    buf_free(&line);
}
