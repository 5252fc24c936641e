/* Common to all dialects: dispatches each call to the functions of its dialect. */
#include "formats/database/db.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/buf.h"
#include "formats/database/internal.h"

/* -- connections */

struct db *db_open(const struct db_url *u, enum db_mode mode, struct err *e)
{
    const struct db_ops *ops = u->dialect == DIALECT_SQLITE ? &db_sqlite_ops : &db_postgres_ops;
    struct db *db = ops->open(u, mode, e);
    if (!db)
        return NULL;
    db->ops = ops;
    db->dialect = u->dialect;
    db->display = xstrdup(u->display);
    return db;
}

/* Sleeps; a caught signal ends it. */
static bool wait_ms(long ms, struct err *e)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&left, NULL);
    return !err_interrupted() || err_set_interrupted(e);
}

static bool may_pass(const struct err *why)
{
    return why->class == ERR_CONNECTION || why->class == ERR_BUSY;
}

/* Opens a database and checks that it can be read. */
static struct db *open_and_probe(const struct db_url *u, enum db_mode mode, struct err *e)
{
    struct db *db = db_open(u, mode, e);
    if (!db || !db->ops->probe || db->ops->probe(db, e))
        return db;
    db_close(db);
    return NULL;
}

struct db *db_open_retry(const struct db_url *u, enum db_mode mode, unsigned retries, struct err *e)
{
    struct err why;
    long wait = 0; /* ms */
    for (unsigned i = 0;; i++) {
        struct db *db = open_and_probe(u, mode, &why);
        if (db)
            return db;
        if (!may_pass(&why) || i == retries) {
            err_copy(e, &why);
            return NULL;
        }
        wait = 2 * wait + 100 < 60000 ? 2 * wait + 100 : 60000;
        err_note("%s: %s; trying again in %ld.%ld s", why.where, why.what, wait / 1000, wait % 1000 / 100);
        if (!wait_ms(wait, e))
            return NULL;
    }
}

void db_close(struct db *db)
{
    if (!db)
        return;
    free(db->display);
    db->ops->close(db);
}

void db_abandon(struct db *db)
{
    if (db)
        db->abandoned = true;
    db_close(db);
}

enum dialect db_dialect(const struct db *db)
{
    return db->dialect;
}

const char *db_display(const struct db *db)
{
    return db->display;
}

void db_leave_wal(struct db *db, bool leave)
{
    if (db->ops->leave_wal)
        db->ops->leave_wal(db, leave);
}

void db_lock_timeout(struct db *db, int ms)
{
    db->ops->lock_timeout(db, ms);
}

void *db_native(struct db *db)
{
    return db->ops->native(db);
}

/* -- statements */

bool db_exec(struct db *db, const char *sql, struct err *e)
{
    return db->ops->exec(db, sql, e);
}

uint64_t db_rows_written(struct db *db)
{
    return db->ops->rows_written(db);
}

struct db_stmt *db_prepare(struct db *db, const char *sql, struct err *e)
{
    return db->ops->prepare(db, sql, e);
}

void db_bind(struct db_stmt *s, int i, const struct value *v)
{
    s->db->ops->bind(s, i, v);
}

int db_step(struct db_stmt *s, struct err *e)
{
    return s->db->ops->step(s, e);
}

void db_reset(struct db_stmt *s)
{
    s->db->ops->reset(s);
}

int db_column_count(struct db_stmt *s)
{
    return s->db->ops->column_count(s);
}

void db_column(struct db_stmt *s, int i, struct value *v)
{
    s->db->ops->column(s, i, v);
}

bool db_column_is_blob(struct db_stmt *s, int i)
{
    return s->db->ops->column_is_blob && s->db->ops->column_is_blob(s, i);
}

void db_finalize(struct db_stmt *s)
{
    if (s)
        s->db->ops->finalize(s);
}

/* Runs a query and gives its first value to `take`; NULL stands for no row. */
static bool query_first(struct db *db, const char *sql, void (*take)(const struct value *, void *), void *arg,
                        struct err *e)
{
    struct db_stmt *s = db_prepare(db, sql, e);
    if (!s)
        return false;
    struct value v = value_null();
    int row = db_step(s, e);
    if (row == 1)
        db_column(s, 0, &v);
    if (row >= 0)
        take(&v, arg);
    db_finalize(s);
    return row >= 0;
}

static void take_int(const struct value *v, void *arg)
{
    int64_t *out = arg;
    *out = 0;
    if (v->type == VALUE_INT)
        *out = v->i;
    else if (v->type == VALUE_BOOL)
        *out = v->b;
    else if (v->type == VALUE_FLOAT)
        *out = (int64_t)v->f;
}

static void take_text(const struct value *v, void *arg)
{
    char **out = arg;
    *out = value_is_text(v) ? xstrndup(v->s, v->len) : NULL;
}

bool db_query_int(struct db *db, const char *sql, int64_t *out, struct err *e)
{
    return query_first(db, sql, take_int, out, e);
}

bool db_query_text(struct db *db, const char *sql, char **out, struct err *e)
{
    return query_first(db, sql, take_text, out, e);
}

/* -- transactions */

bool db_begin_read(struct db *db, struct err *e)
{
    return db->ops->begin_read(db, e);
}

bool db_begin_write(struct db *db, struct err *e)
{
    return db->ops->begin_write(db, e);
}

bool db_begin_waiting(struct db *db, int timeout, bool (*begin)(struct db *, struct err *), struct err *e)
{
    if (db_dialect(db) == DIALECT_SQLITE) {
        struct err why;
        db_lock_timeout(db, 0);
        bool begun = begin(db, &why);
        db_lock_timeout(db, timeout);
        if (begun)
            return true;
        if (why.class != ERR_BUSY)
            return err_copy(e, &why);
        err_note("waiting for another program that is using %s", db_display(db));
    }
    return begin(db, e);
}

bool db_commit(struct db *db, struct err *e)
{
    return db->ops->commit(db, e);
}

bool db_check_writes(struct db *db, struct err *e)
{
    return !db->ops->check_writes || db->ops->check_writes(db, e);
}

void db_rollback(struct db *db)
{
    db->ops->rollback(db);
}

bool db_backup(struct db *db, const char *file, struct err *e)
{
    return db->ops->backup(db, file, e);
}

/* -- what a database has */

static char *column_text(struct db_stmt *s, int i)
{
    struct value v;
    db_column(s, i, &v);
    return value_is_text(&v) ? xstrndup(v.s, v.len) : NULL;
}

static bool column_true(struct db_stmt *s, int i)
{
    struct value v;
    int64_t n;
    db_column(s, i, &v);
    take_int(&v, &n);
    return n != 0;
}

static int column_int(struct db_stmt *s, int i)
{
    struct value v;
    db_column(s, i, &v);
    return v.type == VALUE_INT ? (int)v.i : 0;
}

static int64_t declared_length(const char *type)
{
    const char *open = strchr(type, '(');
    return open && strncasecmp(type, "varchar", 7) == 0 ? strtoll(open + 1, NULL, 10) : 0;
}

bool db_table_columns(struct db *db, const char *table, struct db_columns *out, struct err *e)
{
    *out = (struct db_columns){0};
    struct db_stmt *s = db_prepare(db, db->ops->columns_query, e);
    if (!s)
        return false;
    struct value name = value_str(table);
    db_bind(s, 1, &name);
    int row;
    while ((row = db_step(s, e)) == 1) {
        out->items = xrealloc(out->items, (size_t)(out->n + 1) * sizeof *out->items);
        struct db_column_info *c = &out->items[out->n++];
        c->name = column_text(s, 0);
        c->type = column_text(s, 1);
        if (!c->type)
            c->type = xstrdup("");
        c->length = declared_length(c->type);
        c->not_null = column_true(s, 2);
        c->dflt = column_text(s, 3);
        c->generated = column_true(s, 4);
        c->key = column_int(s, 5);
    }
    db_finalize(s);
    if (row < 0)
        db_columns_free(out);
    return row == 0;
}

void db_columns_free(struct db_columns *c)
{
    for (int i = 0; i < c->n; i++) {
        free(c->items[i].name);
        free(c->items[i].type);
        free(c->items[i].dflt);
    }
    free(c->items);
    *c = (struct db_columns){0};
}

int db_columns_key(const struct db_columns *c, const struct db_column_info *key[DB_MAX_KEY])
{
    int n = 0;
    for (int last = 0;; n++) {
        const struct db_column_info *next = NULL;
        for (int i = 0; i < c->n; i++)
            if (c->items[i].key > last && (!next || c->items[i].key < next->key))
                next = &c->items[i];
        if (!next)
            return n;
        last = next->key;
        if (n < DB_MAX_KEY)
            key[n] = next;
    }
}

const struct db_column_info *db_columns_find(const struct db_columns *c, const char *name)
{
    for (int i = 0; i < c->n; i++)
        if (strcmp(c->items[i].name, name) == 0)
            return &c->items[i];
    return NULL;
}

bool db_table_exists(struct db *db, const char *table, bool *out, struct err *e)
{
    struct db_stmt *s = db_prepare(db, db->ops->table_query, e);
    if (!s)
        return false;
    struct value name = value_str(table);
    db_bind(s, 1, &name);
    int row = db_step(s, e);
    *out = row == 1;
    db_finalize(s);
    return row >= 0;
}
