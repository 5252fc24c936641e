/* PostgreSQL statements: parameters and execution. */
#include "formats/database/postgres_statement.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/database/sql_text.h"

enum { MAX_PARAMETERS = 64 };

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
    struct postgres_stmt *s = postgres_stmt_of(stmt);
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

/* Runs sql, or if it is NULL the statement, prepared or not, with the bound parameters. */
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
    if (!sql && !s->prepared)
        sql = s->sql;
    if (sql)
        return PQexecParams(conn, sql, s->n_parameters, NULL, values, lengths, formats, 0);
    return PQexecPrepared(conn, s->name, s->n_parameters, values, lengths, formats, 0);
}

static bool prepare_once(struct postgres_stmt *s, struct err *e)
{
    if (s->prepared || ((struct postgres_db *)s->base.db)->pooled)
        return true;
    PGresult *r = PQprepare(postgres_idle_conn(s->base.db), s->name, s->sql, 0, NULL);
    s->prepared = PQresultStatus(r) == PGRES_COMMAND_OK;
    if (!s->prepared)
        postgres_failed(s->base.db, r, e);
    PQclear(r);
    return s->prepared;
}

/* A query without parameters inside a transaction may return many rows and is read in batches through a
 * cursor. Queries with parameters are look-ups, run often for a few small rows. */
static bool start(struct postgres_stmt *s, struct err *e)
{
    PGconn *conn = postgres_conn(s->base.db);
    s->running = true;
    if (!s->query || s->n_parameters > 0 || PQtransactionStatus(conn) != PQTRANS_INTRANS)
        return prepare_once(s, e) && postgres_accept_result(s, run_bound(s, NULL), e);
    return postgres_rows_begin(s, e);
}

void postgres_reset(struct db_stmt *stmt)
{
    postgres_rows_end(postgres_stmt_of(stmt));
}

int postgres_step(struct db_stmt *stmt, struct err *e)
{
    struct postgres_stmt *s = postgres_stmt_of(stmt);
    arena_reset(&s->blobs);
    bool ok = s->running || start(s, e);
    if (ok && ++s->row >= PQntuples(s->result) && s->cursor) {
        ok = postgres_rows_more(s, e);
        s->row = 0;
    }
    if (ok && s->row < PQntuples(s->result))
        return 1;
    postgres_reset(stmt);
    return ok ? 0 : -1;
}

int postgres_column_count(struct db_stmt *stmt)
{
    const struct postgres_stmt *s = postgres_stmt_of(stmt);
    return s->result ? PQnfields(s->result) : 0;
}

void postgres_finalize(struct db_stmt *stmt)
{
    struct postgres_stmt *s = postgres_stmt_of(stmt);
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
