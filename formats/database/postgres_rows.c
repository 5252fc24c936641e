/* Receives the rows of PostgreSQL statements: results, cursors, batches. */
#include <stdio.h>
#include <stdlib.h>

#include "formats/database/postgres_statement.h"

/* Rows per FETCH: few at first, as one may be large, then as many as take about this much memory. */
enum { FETCH_FIRST = 4, FETCH_MOST = 8192, FETCH_BYTES = 1 << 20 };

/* Rows with columns of unlimited length may be large and are received one by one. Other rows are received as
 * one result of at most this size. */
enum { BATCH_BYTES = 8 << 20 };

/* -- the connection */

static void free_queue(struct postgres_stmt *s)
{
    while (s->next_queue < s->n_queue)
        PQclear(s->queue[s->next_queue++]);
    free(s->queue);
    s->queue = NULL;
    s->n_queue = s->next_queue = 0;
}

/* Before the connection is used: buffers rows still being received for another statement. */
PGconn *postgres_idle_conn(struct db *db)
{
    struct postgres_stmt *s = ((struct postgres_db *)db)->streaming;
    PGresult *r;
    ((struct postgres_db *)db)->streaming = NULL;
    while (s && (r = PQgetResult(postgres_conn(db)))) {
        s->queue = xrealloc(s->queue, (size_t)(s->n_queue + 1) * sizeof *s->queue);
        s->queue[s->n_queue++] = r;
    }
    return postgres_conn(db);
}

/* Counts the rows written by a statement, from its command tag. */
static void count_written(struct db *db, PGresult *r)
{
    if (PQresultStatus(r) == PGRES_COMMAND_OK)
        ((struct postgres_db *)db)->rows_written += strtoull(PQcmdTuples(r), NULL, 10);
}

/* Handles the result of each statement in the text; PQexec would return only the last. */
bool postgres_exec(struct db *db, const char *sql, struct err *e)
{
    PGresult *r;
    bool ok = PQsendQuery(postgres_idle_conn(db), sql) || postgres_failed(db, NULL, e);
    while ((r = PQgetResult(postgres_conn(db)))) {
        ExecStatusType status = PQresultStatus(r);
        bool good = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY;
        count_written(db, r);
        if (ok && !good)
            ok = postgres_failed(db, r, e);
        PQclear(r);
    }
    return ok;
}

/* -- results */

void postgres_take_result(struct postgres_stmt *s, PGresult *r)
{
    PQclear(s->result);
    s->result = r;
    s->row = -1;
}

bool postgres_accept_result(struct postgres_stmt *s, PGresult *r, struct err *e)
{
    ExecStatusType status = PQresultStatus(r);
    postgres_take_result(s, r);
    count_written(s->base.db, r);
    return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || postgres_failed(s->base.db, r, e);
}

/* -- cursors */

/* Maximum size of a row as text, by the types of its columns; 0: unlimited. */
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

/* How many rows to request next, by the size of the last ones and by their maximum size. */
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

/* The next result of a request in single-row mode; NULL: complete. */
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

/* Sets the result to the next row of the request, or to none if it is complete. */
static bool next_single(struct postgres_stmt *s, struct err *e)
{
    postgres_take_result(s, NULL); /* never two rows in memory */
    PGresult *r = next_result(s);
    if (PQresultStatus(r) == PGRES_SINGLE_TUPLE) {
        postgres_take_result(s, r);
        if (s->came++ == 0)
            s->row_most = longest_row(r);
        s->came_bytes += PQresultMemorySize(r);
        return true;
    }
    bool ok = PQresultStatus(r) == PGRES_TUPLES_OK || postgres_failed(s->base.db, r, e);
    postgres_take_result(s, r);
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
    postgres_take_result(s, NULL);
    snprintf(fetch, sizeof fetch, "FETCH %d FROM %s", s->asked, s->name);
    if (s->row_most) {
        bool ok = postgres_accept_result(s, PQexec(postgres_idle_conn(s->base.db), fetch), e);
        s->came = PQntuples(s->result);
        s->came_bytes = PQresultMemorySize(s->result);
        return ok;
    }
    if (!PQsendQuery(postgres_idle_conn(s->base.db), fetch))
        return postgres_failed(s->base.db, NULL, e);
    PQsetSingleRowMode(db->conn);
    db->streaming = s;
    return next_single(s, e);
}

/* Whether the last request is in single-row mode and incomplete. */
static bool comes_singly(const struct postgres_stmt *s)
{
    return ((struct postgres_db *)s->base.db)->streaming == s || s->next_queue < s->n_queue;
}

/* Whether the cursor should return binary values: if there is a bytea column, as text takes twice the size
 * and the server could not send a value of more than half of 1 GiB. Not if a column has a type whose binary
 * form is not handled here. 1, 0 or -1: error. */
static int wants_binary(struct postgres_stmt *s, struct err *e)
{
    PGresult *r = PQdescribePortal(postgres_idle_conn(s->base.db), s->name);
    bool has_bytea = false, known = true;
    if (PQresultStatus(r) != PGRES_COMMAND_OK) {
        postgres_failed(s->base.db, r, e);
        PQclear(r);
        return -1;
    }
    for (int i = 0; i < PQnfields(r); i++) {
        switch (PQftype(r, i)) {
        case OID_BYTEA:
            has_bytea = true;
            break;
        case OID_BOOL:
        case OID_INT2:
        case OID_INT4:
        case OID_INT8:
        case OID_FLOAT8:
        case OID_TEXT:
        case OID_VARCHAR:
        case OID_BPCHAR:
        case OID_JSON:
            break;
        default:
            known = false;
        }
    }
    PQclear(r);
    return has_bytea && known;
}

static bool declare(struct postgres_stmt *s, bool binary, struct err *e)
{
    char *sql = xasprintf("DECLARE %s NO SCROLL %sCURSOR FOR %s", s->name, binary ? "BINARY " : "", s->sql);
    s->cursor = postgres_exec(s->base.db, sql, e);
    free(sql);
    return s->cursor;
}

static void close_cursor(struct postgres_stmt *s)
{
    char *sql = xasprintf("CLOSE %s", s->name);
    postgres_exec(s->base.db, sql, NULL);
    free(sql);
    s->cursor = false;
}

bool postgres_rows_begin(struct postgres_stmt *s, struct err *e)
{
    int binary = declare(s, false, e) ? wants_binary(s, e) : -1;
    if (binary > 0) {
        close_cursor(s);
        binary = declare(s, true, e) ? 1 : -1;
    }
    return binary >= 0 && request(s, e);
}

bool postgres_rows_more(struct postgres_stmt *s, struct err *e)
{
    if (comes_singly(s)) {
        if (!next_single(s, e))
            return false;
        if (PQntuples(s->result) > 0)
            return true;
    }
    if (s->came == s->asked)
        return request(s, e);
    postgres_take_result(s, NULL);
    return true;
}

void postgres_rows_end(struct postgres_stmt *s)
{
    PGresult *r;
    while ((r = next_result(s)))
        PQclear(r);
    if (s->cursor && PQtransactionStatus(postgres_conn(s->base.db)) == PQTRANS_INTRANS)
        close_cursor(s);
    s->cursor = s->running = false;
    s->asked = 0;
    s->row_most = 0;
    postgres_take_result(s, NULL);
}
