/* PostgreSQL statements: parameters, rows and values. */
#include "formats/database/postgres.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/arena.h"
#include "common/buf.h"
#include "formats/database/sql_text.h"

enum { MAX_PARAMETERS = 64 };

/* Rows per FETCH: few at first, as one may be large, then as many as take about this much memory. */
enum { FETCH_FIRST = 4, FETCH_MOST = 8192, FETCH_BYTES = 1 << 20 };

/* Rows with columns of unlimited length may be large and are received one by one. Other rows are received as
 * one result of at most this size. */
enum { BATCH_BYTES = 8 << 20 };

/* OIDs in pg_type, which are the same in every database. */
enum {
    OID_BOOL = 16,
    OID_BYTEA = 17,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT4 = 23,
    OID_TEXT = 25,
    OID_OID = 26,
    OID_JSON = 114,
    OID_FLOAT4 = 700,
    OID_FLOAT8 = 701,
    OID_BPCHAR = 1042,
    OID_VARCHAR = 1043,
    OID_NUMERIC = 1700
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
    bool cursor;  /* a cursor is open */
    bool running; /* between the first step and the last */
    PGresult *result;
    int asked;       /* number of rows in the last FETCH */
    int row;         /* the current row of result */
    size_t row_most; /* maximum size of a row by its columns' types; 0: unlimited, or not known yet */
    /* Of a request in single-row mode: rows received, their bytes, and rows buffered because another
     * statement needed the connection. */
    int came;
    size_t came_bytes;
    PGresult **queue;
    int n_queue, next_queue;
    int n_parameters;
    struct parameter *parameters;
    struct arena blobs; /* bytea values of the current row */
};

static struct postgres_stmt *stmt_of(struct db_stmt *s)
{
    return (struct postgres_stmt *)s;
}

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

/* -- parameters */

/* The number of the parameter `?1` or `:'name'` that begins with p; 0 if none does. *text moves past it.
 * names: previous names, numbered from 1, to which a new one is added. */
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

/* -- statements */

static bool is_query(const char *sql)
{
    struct sql_text text = sql_text(DIALECT_POSTGRESQL, sql);
    struct sql_piece p;
    while ((p = sql_token(&text)).kind == SQL_OPEN)
        ;
    return sql_is(p, "SELECT") || sql_is(p, "WITH") || sql_is(p, "VALUES");
}

struct db_stmt *postgres_prepare(struct db *db, const char *sql, struct err *e)
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

void postgres_bind(struct db_stmt *stmt, int i, const struct value *v)
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

/* Runs sql, or the prepared statement if sql is NULL, with the bound parameters. */
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
    PGconn *conn = postgres_idle_conn(s->base.db);
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
    return status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK || postgres_failed(s->base.db, r, e);
}

static bool prepare_once(struct postgres_stmt *s, struct err *e)
{
    if (s->prepared)
        return true;
    PGresult *r = PQprepare(postgres_idle_conn(s->base.db), s->name, s->sql, 0, NULL);
    s->prepared = PQresultStatus(r) == PGRES_COMMAND_OK;
    if (!s->prepared)
        postgres_failed(s->base.db, r, e);
    PQclear(r);
    return s->prepared;
}

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
    take_result(s, NULL); /* never two rows in memory */
    PGresult *r = next_result(s);
    if (PQresultStatus(r) == PGRES_SINGLE_TUPLE) {
        take_result(s, r);
        if (s->came++ == 0)
            s->row_most = longest_row(r);
        s->came_bytes += PQresultMemorySize(r);
        return true;
    }
    bool ok = PQresultStatus(r) == PGRES_TUPLES_OK || postgres_failed(s->base.db, r, e);
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
        bool ok = accept_result(s, PQexec(postgres_idle_conn(s->base.db), fetch), e);
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

/* Advances to the next rows. */
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

/* A query without parameters inside a transaction may return many rows and is read in batches through a
 * cursor. Queries with parameters are look-ups, run often for a few small rows. */
static bool start(struct postgres_stmt *s, struct err *e)
{
    PGconn *conn = postgres_conn(s->base.db);
    s->running = true;
    if (!s->query || s->n_parameters > 0 || PQtransactionStatus(conn) != PQTRANS_INTRANS)
        return prepare_once(s, e) && accept_result(s, run_bound(s, NULL), e);
    int binary = declare(s, false, e) ? wants_binary(s, e) : -1;
    if (binary > 0) {
        close_cursor(s);
        binary = declare(s, true, e) ? 1 : -1;
    }
    return binary >= 0 && request(s, e);
}

void postgres_reset(struct db_stmt *stmt)
{
    struct postgres_stmt *s = stmt_of(stmt);
    PGconn *conn = postgres_conn(stmt->db);
    PGresult *r;
    while ((r = next_result(s)))
        PQclear(r);
    if (s->cursor && PQtransactionStatus(conn) == PQTRANS_INTRANS)
        close_cursor(s);
    s->cursor = s->running = false;
    s->asked = 0;
    s->row_most = 0;
    take_result(s, NULL);
}

int postgres_step(struct db_stmt *stmt, struct err *e)
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

int postgres_column_count(struct db_stmt *stmt)
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

/* Decodes \\x0123…, the format that postgres_open sets. */
static struct value bytea_value(struct arena *a, const char *text, size_t len)
{
    size_t n = len < 2 ? 0 : len / 2 - 1;
    char *bytes = arena_alloc(a, n + 1);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)(hex_digit(text[2 + 2 * i]) << 4 | hex_digit(text[3 + 2 * i]));
    return (struct value){.type = VALUE_BIN, .len = (uint32_t)n, .s = bytes};
}

static uint64_t big_endian(const char *bytes, size_t len)
{
    uint64_t n = 0;
    for (size_t i = 0; i < len; i++)
        n = n << 8 | (unsigned char)bytes[i];
    return n;
}

/* Decodes a binary value of one of the types accepted by wants_binary(). */
static struct value binary_value(Oid type, const char *bytes, size_t len)
{
    uint64_t bits = big_endian(bytes, len < 8 ? len : 8);
    double f;
    switch (type) {
    case OID_BOOL:
        return value_bool(bits != 0);
    case OID_INT2:
        return value_int((int16_t)bits);
    case OID_INT4:
        return value_int((int32_t)bits);
    case OID_INT8:
        return value_int((int64_t)bits);
    case OID_FLOAT8:
        memcpy(&f, &bits, sizeof f);
        return value_float(f);
    case OID_BYTEA:
        return (struct value){.type = VALUE_BIN, .len = (uint32_t)len, .s = bytes};
    default:
        return value_text(bytes, len);
    }
}

void postgres_column(struct db_stmt *stmt, int i, struct value *v)
{
    struct postgres_stmt *s = stmt_of(stmt);
    *v = value_null();
    if (PQgetisnull(s->result, s->row, i))
        return;
    const char *text = PQgetvalue(s->result, s->row, i);
    size_t len = (size_t)PQgetlength(s->result, s->row, i);
    if (PQfformat(s->result, i) == 1) {
        *v = binary_value(PQftype(s->result, i), text, len);
        return;
    }
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
        *v = value_float(strtod(text, NULL)); /* strtod accepts NaN and Infinity */
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

void postgres_finalize(struct db_stmt *stmt)
{
    struct postgres_stmt *s = stmt_of(stmt);
    postgres_reset(stmt);
    if (s->prepared && PQtransactionStatus(postgres_conn(stmt->db)) != PQTRANS_INERROR) {
        char *sql = xasprintf("DEALLOCATE %s", s->name);
        postgres_exec(stmt->db, sql, NULL);
        free(sql);
    }
    for (int i = 0; i < s->n_parameters; i++)
        buf_free(&s->parameters[i].text);
    free(s->parameters);
    arena_free(&s->blobs);
    free(s->sql);
    free(s);
}
