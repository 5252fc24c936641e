/* COPY into PostgreSQL in binary format. */
#include "formats/load/copy.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COPY_BUFFER = 256 << 10 };

struct load_copy {
    struct db *db;
    PGconn *conn;
    const struct load_table *t; /* being filled */
    struct buf out;
};

static void put16(struct buf *b, unsigned n)
{
    char bytes[2] = {(char)(n >> 8), (char)n};
    buf_add(b, bytes, sizeof bytes);
}

static void put32(struct buf *b, uint32_t n)
{
    char bytes[4];
    for (int i = 0; i < 4; i++)
        bytes[i] = (char)(n >> (24 - 8 * i));
    buf_add(b, bytes, sizeof bytes);
}

static void put64(struct buf *b, uint64_t n)
{
    put32(b, 8);
    put32(b, (uint32_t)(n >> 32));
    put32(b, (uint32_t)n);
}

/* Converts a date of the form YYYY-MM-DD to PostgreSQL's days. */
static int days_since_2000(const struct value *v)
{
    char text[11] = "";
    int year = 2000, month = 1, day = 1;
    memcpy(text, v->s, v->len < 10 ? v->len : 10);
    sscanf(text, "%d-%d-%d", &year, &month, &day);
    year -= month <= 2; /* years begin in March here, so that the leap day comes last */
    int day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 730425;
}

/* Reads the server's result of a COPY. */
static bool finish_copy(struct load_copy *k, struct err *e)
{
    PGconn *conn = k->conn;
    bool ok = true;
    for (PGresult *r; (r = PQgetResult(conn)); PQclear(r)) {
        if (PQresultStatus(r) == PGRES_COMMAND_OK || !ok)
            continue;
        const char *primary = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
        const char *detail = PQresultErrorField(r, PG_DIAG_MESSAGE_DETAIL);
        const char *hint = PQresultErrorField(r, PG_DIAG_MESSAGE_HINT);
        err_set(e, k->t->name, "%s%s%s", primary ? primary : PQerrorMessage(conn), detail ? ": " : "",
                detail ? detail : "");
        if (hint)
            err_hint(e, "%s", hint);
        ok = db_classify_postgres(k->db, r, e);
    }
    return ok;
}

/* If sending fails, the server has reported why, or the connection is lost. libpq buffers data before
 * sending, so large values are passed piece by piece. */
static bool send_bytes(struct load_copy *k, const char *data, size_t len, struct err *e)
{
    for (size_t at = 0, n; at < len; at += n) {
        n = len - at < COPY_BUFFER ? len - at : COPY_BUFFER;
        if (PQputCopyData(k->conn, data + at, (int)n) == 1)
            continue;
        err_set(e, db_display(k->db), "%s", PQerrorMessage(k->conn));
        db_classify_postgres(k->db, NULL, e);
        PQputCopyEnd(k->conn, "the load has failed");
        finish_copy(k, e);
        return false;
    }
    return true;
}

static bool send(struct load_copy *k, struct err *e)
{
    if (!send_bytes(k, k->out.data, k->out.len, e))
        return false;
    buf_reset(&k->out);
    return true;
}

static void put_value(struct buf *b, const struct load_column *c, const struct value *v)
{
    uint64_t bits;
    double f;
    if (value_is_null(v)) {
        put32(b, UINT32_MAX);
        return;
    }
    switch (c->type) {
    case COLUMN_TEXT:
    case COLUMN_BYTES:
        put32(b, v->len);
        buf_add(b, v->s, v->len);
        break;
    case COLUMN_INT32:
        put32(b, 4);
        put32(b, (uint32_t)v->i);
        break;
    case COLUMN_INT64:
        put64(b, (uint64_t)v->i);
        break;
    case COLUMN_FLOAT:
        f = v->type == VALUE_FLOAT ? v->f : (double)v->i;
        memcpy(&bits, &f, sizeof bits);
        put64(b, bits);
        break;
    case COLUMN_DATE:
        put32(b, 4);
        put32(b, (uint32_t)days_since_2000(v));
        break;
    case COLUMN_BOOL:
        put32(b, 1);
        buf_addc(b, v->type == VALUE_BOOL ? v->b : v->i != 0);
        break;
    }
}

struct load_copy *load_copy_new(struct db *db)
{
    struct load_copy *k = xcalloc(1, sizeof *k);
    k->db = db;
    k->conn = db_native(db);
    return k;
}

void load_copy_free(struct load_copy *k)
{
    if (k)
        buf_free(&k->out);
    free(k);
}

bool load_copy_begin(struct load_copy *k, const char *into, const struct load_table *t, bool freeze,
                     struct err *e)
{
    static const char signature[] = "PGCOPY\n\377\r\n"; /* and a zero byte */
    struct buf sql = {0};
    k->t = t;
    buf_addf(&sql, "COPY %s (", into);
    for (int i = 0; i < t->n_columns; i++)
        buf_addf(&sql, "%s%s", i ? ", " : "", t->columns[i].name);
    buf_addf(&sql, ") FROM STDIN (FORMAT binary%s)", freeze ? ", FREEZE" : "");
    PGresult *r = PQexec(k->conn, buf_str(&sql));
    bool ok = PQresultStatus(r) == PGRES_COPY_IN;
    if (!ok) {
        err_set(e, t->name, "%s", PQerrorMessage(k->conn));
        db_classify_postgres(k->db, r, e);
    }
    PQclear(r);
    buf_free(&sql);
    buf_reset(&k->out);
    buf_add(&k->out, signature, sizeof signature);
    put32(&k->out, 0);
    put32(&k->out, 0);
    return ok;
}

static bool put_large(struct load_copy *k, const struct value *v, struct err *e)
{
    put32(&k->out, v->len);
    return send(k, e) && send_bytes(k, v->s, v->len, e);
}

bool load_copy_row(struct load_copy *k, const struct value *row, struct err *e)
{
    const struct load_table *t = k->t;
    put16(&k->out, (unsigned)t->n_columns);
    for (int i = 0; i < t->n_columns; i++) {
        bool bytes = t->columns[i].type == COLUMN_TEXT || t->columns[i].type == COLUMN_BYTES;
        if (!bytes || value_is_null(&row[i]) || row[i].len < COPY_BUFFER)
            put_value(&k->out, &t->columns[i], &row[i]);
        else if (!put_large(k, &row[i], e))
            return false;
    }
    return k->out.len < COPY_BUFFER || send(k, e);
}

bool load_copy_end(struct load_copy *k, struct err *e)
{
    put16(&k->out, UINT16_MAX);
    if (!send(k, e))
        return false;
    PQputCopyEnd(k->conn, NULL);
    return finish_copy(k, e);
}

bool load_copy_table(struct load_copy *k, const char *into, const struct load_table *t, bool freeze,
                     struct load_row_source *from, struct err *e)
{
    const struct value *row;
    struct err why;
    int got;
    if (!load_copy_begin(k, into, t, freeze, e))
        return false;
    while ((got = from->next(from, &row, e)) == 1)
        if (!load_copy_row(k, row, e))
            return false;
    if (got == 0)
        return load_copy_end(k, e);
    PQputCopyEnd(k->conn, "the load has failed");
    finish_copy(k, &why); /* e has the first error */
    return false;
}
