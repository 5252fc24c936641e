/* Rows into PostgreSQL: with the tables' owner's rights, keys, indexes and foreign keys are dropped by their
 * definitions in the catalog, the tables truncated and filled by COPY with FREEZE, and all definitions made
 * again; else plain COPY, parents first. */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/load/internal.h"
#include "formats/load/postgres_structure.h"

enum { COPY_BUFFER = 256 << 10 };

struct postgres_sink {
    struct load_sink base;
    const struct load_table *tables;
    int n_tables;
    bool owner;
    const struct load_table *streamed; /* NULL: none */
    int streamed_keys;                 /* of keys: how many are its own, the first */
    struct buf list;                   /* of the tables, for SQL: 'a'::regclass, ... */
    struct load_structure structure;   /* what was dropped */
    struct buf out;
};

static struct postgres_sink *sink_of(struct load_sink *k)
{
    return (struct postgres_sink *)k;
}

static PGconn *conn_of(struct load_sink *k)
{
    return db_native(k->db);
}

/* Whether this role can drop and make again what the tables of the list have. */
static bool find_owner(struct postgres_sink *k, char **why, struct err *e)
{
    bool ok = load_structure_obstacle(k->base.db, buf_str(&k->list), why, e);
    k->owner = ok && !*why;
    return ok;
}

/* Makes the tables of the list ready for COPY with FREEZE, which needs tables that this transaction has made
 * or truncated. What is dropped is added to what will be made again. */
static bool strip_tables(struct postgres_sink *k, const char *truncate, struct err *e)
{
    return load_structure_drop(k->base.db, buf_str(&k->list), &k->structure, e) &&
           db_exec(k->base.db, truncate, e);
}

/* Appends a command for the tables that are filled, but one (or NULL). */
static void add_names(const struct postgres_sink *k, const char *command, const struct load_table *but,
                      struct buf *out)
{
    const char *before = command;
    for (int i = 0; i < k->n_tables; i++)
        if (k->tables[i].filled && &k->tables[i] != but) {
            buf_addf(out, "%s%s", before, k->tables[i].name);
            before = ", ";
        }
}

static bool postgres_begin(struct load_sink *base, struct err *e)
{
    struct postgres_sink *k = sink_of(base);
    struct buf truncate = {0};
    buf_reset(&k->list);
    for (int i = 0; i < k->n_tables; i++)
        if (k->tables[i].filled && &k->tables[i] != k->streamed)
            buf_addf(&k->list, "%s'%s'::regclass", k->list.len ? ", " : "", k->tables[i].name);
    add_names(k, "TRUNCATE ", k->streamed, &truncate);
    char *why = NULL;
    bool ok = !k->list.len || find_owner(k, &why, e);
    if (ok && k->list.len && k->owner)
        ok = strip_tables(k, buf_str(&truncate), e);
    else if (ok && k->list.len)
        err_note("%s: indexes stay while the tables are filled, which takes longer", why);
    free(why);
    buf_free(&truncate);
    return ok;
}

/* ---- COPY, in its binary form */

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

/* A date of the form YYYY-MM-DD, as PostgreSQL counts it. */
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

/* The server's answer to a COPY. */
static enum sink_answer finish_copy(struct postgres_sink *k, const struct load_table *t, struct err *e)
{
    PGconn *conn = conn_of(&k->base);
    enum sink_answer answer = SINK_STORED;
    for (PGresult *r; (r = PQgetResult(conn)); PQclear(r)) {
        if (PQresultStatus(r) == PGRES_COMMAND_OK || answer != SINK_STORED)
            continue;
        const char *primary = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
        const char *detail = PQresultErrorField(r, PG_DIAG_MESSAGE_DETAIL);
        const char *hint = PQresultErrorField(r, PG_DIAG_MESSAGE_HINT);
        err_set(e, t->name, "%s%s%s", primary ? primary : PQerrorMessage(conn), detail ? ": " : "",
                detail ? detail : "");
        if (hint)
            err_hint(e, "%s", hint);
        answer = SINK_FAILED;
    }
    return answer;
}

/* When nothing more can be sent the server has said why, or the connection is lost. libpq takes in what it is
 * given before it sends it: large values go piece by piece. */
static bool send_bytes(struct postgres_sink *k, const struct load_table *t, const char *data, size_t len,
                       struct err *e)
{
    for (size_t at = 0, n; at < len; at += n) {
        n = len - at < COPY_BUFFER ? len - at : COPY_BUFFER;
        if (PQputCopyData(conn_of(&k->base), data + at, (int)n) == 1)
            continue;
        err_set(e, db_display(k->base.db), "%s", PQerrorMessage(conn_of(&k->base)));
        PQputCopyEnd(conn_of(&k->base), "the load has failed");
        finish_copy(k, t, e);
        return false;
    }
    return true;
}

static bool send(struct postgres_sink *k, const struct load_table *t, struct err *e)
{
    if (!send_bytes(k, t, k->out.data, k->out.len, e))
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

static bool begin_copy(struct postgres_sink *k, const struct load_table *t, struct err *e)
{
    static const char signature[] = "PGCOPY\n\377\r\n"; /* and a zero byte */
    struct buf sql = {0};
    buf_addf(&sql, "COPY %s (", t->name);
    for (int i = 0; i < t->n_columns; i++)
        buf_addf(&sql, "%s%s", i ? ", " : "", t->columns[i].name);
    buf_addf(&sql, ") FROM STDIN (FORMAT binary%s)", k->owner ? ", FREEZE" : "");
    PGresult *r = PQexec(conn_of(&k->base), buf_str(&sql));
    bool ok = PQresultStatus(r) == PGRES_COPY_IN;
    if (!ok)
        err_set(e, t->name, "%s", PQerrorMessage(conn_of(&k->base)));
    PQclear(r);
    buf_free(&sql);
    buf_reset(&k->out);
    buf_add(&k->out, signature, sizeof signature);
    put32(&k->out, 0);
    put32(&k->out, 0);
    return ok;
}

static bool put_large(struct postgres_sink *k, const struct load_table *t, const struct value *v,
                      struct err *e)
{
    put32(&k->out, v->len);
    return send(k, t, e) && send_bytes(k, t, v->s, v->len, e);
}

/* Puts the row into the buffer, and sends that when it is full. */
static bool put_row(struct postgres_sink *k, const struct load_table *t, const struct value *row,
                    struct err *e)
{
    put16(&k->out, (unsigned)t->n_columns);
    for (int i = 0; i < t->n_columns; i++) {
        bool bytes = t->columns[i].type == COLUMN_TEXT || t->columns[i].type == COLUMN_BYTES;
        if (!bytes || value_is_null(&row[i]) || row[i].len < COPY_BUFFER)
            put_value(&k->out, &t->columns[i], &row[i]);
        else if (!put_large(k, t, &row[i], e))
            return false;
    }
    return k->out.len < COPY_BUFFER || send(k, t, e);
}

static enum sink_answer end_copy(struct postgres_sink *k, const struct load_table *t, struct err *e)
{
    put16(&k->out, UINT16_MAX);
    if (!send(k, t, e))
        return SINK_FAILED;
    PQputCopyEnd(conn_of(&k->base), NULL);
    return finish_copy(k, t, e);
}

static enum sink_answer postgres_fill(struct load_sink *base, const struct load_table *t,
                                      struct load_row_source *from, struct err *e)
{
    struct postgres_sink *k = sink_of(base);
    const struct value *row;
    struct err why;
    int got;
    if (!begin_copy(k, t, e))
        return SINK_FAILED;
    while ((got = from->next(from, &row, e)) == 1) {
        if (!put_row(k, t, row, e))
            return SINK_FAILED;
    }
    if (got == 0)
        return end_copy(k, t, e);
    PQputCopyEnd(conn_of(base), "the load has failed");
    finish_copy(k, t, &why); /* e says what was first */
    return SINK_FAILED;
}

/* ---- a table that is filled before all others */

static bool postgres_begin_streamed(struct load_sink *base, struct load_table *t, struct err *e)
{
    struct postgres_sink *k = sink_of(base);
    buf_addf(&k->list, "'%s'::regclass", t->name);
    char *why = NULL;
    bool can = find_owner(k, &why, e) && k->owner;
    free(why);
    if (!can)
        return false;
    char *truncate = xasprintf("TRUNCATE %s", t->name);
    bool ok = strip_tables(k, truncate, e) && begin_copy(k, t, e);
    free(truncate);
    k->streamed = t;
    k->streamed_keys = k->structure.keys.n;
    return ok;
}

static bool postgres_put_streamed(struct load_sink *base, const struct value *row, struct err *e)
{
    struct postgres_sink *k = sink_of(base);
    return put_row(k, k->streamed, row, e);
}

static bool postgres_end_streamed(struct load_sink *base, struct err *e)
{
    struct postgres_sink *k = sink_of(base);
    return end_copy(k, k->streamed, e) == SINK_STORED;
}

/* Leaves one of each set of equal rows (-0.0 and 0.0 are equal, as in the key). A publication of all tables
 * refuses to delete from one without a key, which is its replica identity, unless whole rows are that. */
static bool collapse(struct postgres_sink *k, uint64_t *collapsed, struct err *e)
{
    struct buf sql = {0};
    const struct load_table *t = k->streamed;
    uint64_t before = db_rows_written(k->base.db);
    buf_addf(&sql,
             "ALTER TABLE %s REPLICA IDENTITY FULL;\n"
             "DELETE FROM %s WHERE ctid IN (SELECT ctid FROM (SELECT ctid, row_number() OVER (PARTITION BY ",
             t->name, t->name);
    for (int i = 0; i < t->n_columns; i++)
        buf_addf(&sql, "%s%s", i ? ", " : "", t->columns[i].name);
    buf_addf(&sql,
             " ORDER BY ctid) AS n FROM %s) AS x WHERE n > 1);\n"
             "ALTER TABLE %s REPLICA IDENTITY DEFAULT",
             t->name, t->name);
    bool ok = db_exec(k->base.db, buf_str(&sql), e);
    *collapsed += db_rows_written(k->base.db) - before;
    buf_free(&sql);
    return ok;
}

/* Its keys. Rows that are there twice are rare, and found when a key cannot be made. */
static bool make_streamed_keys(struct postgres_sink *k, uint64_t *collapsed, struct err *e)
{
    for (int i = 0; i < k->streamed_keys; i++) {
        if (err_interrupted() || !db_exec(k->base.db, "SAVEPOINT streamed", e))
            return false;
        PGresult *r = PQexec(conn_of(&k->base), k->structure.keys.items[i].make);
        const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
        bool ok = PQresultStatus(r) == PGRES_COMMAND_OK, twice = state && strcmp(state, "23505") == 0;
        if (!ok)
            err_set(e, k->streamed->name, "%s", PQresultErrorMessage(r));
        PQclear(r);
        if (twice)
            ok = db_exec(k->base.db, "ROLLBACK TO SAVEPOINT streamed", e) && collapse(k, collapsed, e) &&
                 db_exec(k->base.db, k->structure.keys.items[i].make, e);
        if (!ok || !db_exec(k->base.db, "RELEASE SAVEPOINT streamed", e))
            return false;
    }
    return true;
}

/* ---- after the rows */

/* The query with {column} as it is: a column of the table that is updated. */
static bool look_up(struct postgres_sink *k, const struct load_table *t, const struct load_column *c,
                    struct err *e)
{
    struct buf sql = {0};
    const char *query = c->look_up, *open;
    buf_addf(&sql, "UPDATE %s SET %s = (", t->name, c->name);
    while ((open = strchr(query, '{'))) {
        const char *close = strchr(open, '}');
        buf_add(&sql, query, (size_t)(open - query));
        buf_addf(&sql, "%s.%.*s", t->name, (int)(close - open) - 1, open + 1);
        query = close + 1;
    }
    buf_addf(&sql, "%s) WHERE %s IS NULL AND %s", query, c->name, c->look_up_if);
    bool ok = db_exec(k->base.db, buf_str(&sql), e);
    buf_free(&sql);
    return ok;
}

static bool postgres_end(struct load_sink *base, uint64_t *collapsed, struct err *e)
{
    struct postgres_sink *k = sink_of(base);
    struct load_structure *made = &k->structure;
    /* A table whose triggers wait for the end of the transaction cannot get an index. */
    bool ok = (!k->owner || db_exec(base->db, "SET CONSTRAINTS ALL IMMEDIATE", e)) &&
              make_streamed_keys(k, collapsed, e) &&
              load_structure_make(base->db, &made->keys, k->streamed_keys, e);
    for (int t = 0; ok && t < k->n_tables; t++)
        for (int i = 0; ok && i < k->tables[t].n_columns; i++)
            if (k->tables[t].filled && k->tables[t].columns[i].look_up)
                ok = look_up(k, &k->tables[t], &k->tables[t].columns[i], e);
    return ok && load_structure_make(base->db, &made->indexes, 0, e);
}

static bool postgres_finish(struct load_sink *base, struct err *e)
{
    struct postgres_sink *k = sink_of(base);
    struct buf sql = {0};
    add_names(k, "ANALYZE ", NULL, &sql);
    bool ok = load_structure_make(base->db, &k->structure.foreign_keys, 0, e) &&
              (!k->owner || db_exec(base->db, buf_str(&sql), e));
    buf_free(&sql);
    return ok;
}

static void postgres_free(struct load_sink *base)
{
    struct postgres_sink *k = sink_of(base);
    load_structure_free(&k->structure);
    buf_free(&k->list);
    buf_free(&k->out);
    free(k);
}

/* A sequence cannot be set to 0: with experiment 0 alone it stays at its start. setval outlives a transaction
 * that fails, RESTART does not, but only the owner may do that. */
bool load_advance_ids(const struct load *s, struct db *db, struct err *e)
{
    struct buf sql = {0};
    if (s->dialect == DIALECT_SQLITE)
        return true;
    buf_adds(&sql,
             "DO $$ DECLARE c record; highest bigint; BEGIN\n"
             "FOR c IN SELECT a.attrelid::regclass AS t, a.attname AS a, "
             "pg_get_serial_sequence(a.attrelid::regclass::text, "
             "a.attname) AS s\n"
             "    FROM pg_attribute a WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid IN (NULL");
    for (int i = 0; i < s->n_tables; i++)
        if (s->tables[i].filled)
            buf_addf(&sql, ", '%s'::regclass", s->tables[i].name);
    buf_adds(
        &sql,
        ")\nLOOP\n"
        "    CONTINUE WHEN c.s IS NULL;\n"
        "    EXECUTE format('SELECT max(%I) FROM %s', c.a, c.t) INTO highest;\n"
        "    CONTINUE WHEN highest IS NULL OR highest <= 0;\n"
        "    IF highest < (SELECT seqmax FROM pg_sequence WHERE seqrelid = c.s::regclass)\n"
        "        AND pg_has_role((SELECT relowner FROM pg_class WHERE oid = c.s::regclass), 'USAGE') THEN\n"
        "        EXECUTE format('ALTER SEQUENCE %s RESTART WITH %s', c.s, highest + 1);\n"
        "    ELSE\n"
        "        PERFORM setval(c.s, highest);\n"
        "    END IF;\n"
        "END LOOP; END $$");
    bool ok = db_exec(db, buf_str(&sql), e);
    buf_free(&sql);
    return ok;
}

static const struct load_sink_ops postgres_ops = {
    .begin_streamed = postgres_begin_streamed,
    .put_streamed = postgres_put_streamed,
    .end_streamed = postgres_end_streamed,
    .begin = postgres_begin,
    .fill = postgres_fill,
    .end = postgres_end,
    .finish = postgres_finish,
    .free = postgres_free,
};

struct load_sink *load_postgres_sink(struct db *db, const struct load_table *tables, int n_tables)
{
    struct postgres_sink *k = xcalloc(1, sizeof *k);
    k->base.ops = &postgres_ops;
    k->base.db = db;
    k->tables = tables;
    k->n_tables = n_tables;
    return &k->base;
}
