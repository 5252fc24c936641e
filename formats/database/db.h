/* Databases: connections and statements, with one interface for all dialects (implemented by sqlite*.c and
 * postgres*.c). Statements and values borrow; whoever opens closes. Functions that can fail return false (or
 * -1) with e filled: `where` is the database's display name or the table, the class follows from the
 * database's result code, the SQLSTATE is PostgreSQL's. */
#ifndef FORMATS_DB_H
#define FORMATS_DB_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "formats/database/url.h"
#include "formats/record/value.h"

/* SQLSTATEs that callers test for. */
#define SQLSTATE_FOREIGN_KEY_VIOLATION  "23503"
#define SQLSTATE_UNIQUE_VIOLATION       "23505"
#define SQLSTATE_SERIALIZATION_FAILURE  "40001"
#define SQLSTATE_DEADLOCK_DETECTED      "40P01"
#define SQLSTATE_INSUFFICIENT_PRIVILEGE "42501"
#define SQLSTATE_LOCK_NOT_AVAILABLE     "55P03"

enum db_mode {
    /* Must exist; nothing is written. If SQLite has to create a -wal and -shm to read, they are removed at
     * the end; an existing -wal is left alone and not checkpointed. A -journal left by a killed program is
     * rolled back. */
    DB_READ,
    DB_WRITE,  /* must exist */
    DB_CREATE, /* SQLite: the file is created if it does not exist */
};

struct db;
/* Timeouts are up to the caller (connect_timeout in the URL, db_lock_timeout). Opening succeeds even if
 * another program has locked the SQLite file; statements then wait for it. */
struct db *db_open(const struct db_url *u, enum db_mode mode, struct err *e);
/* Like db_open, but retries transient failures up to `retries` times and reports each (ERR_CONNECTION: the
 * server is starting, has too many connections, or is unreachable; ERR_BUSY: a SQLite file stays locked). It
 * waits 0.1 s, 0.3 s, 0.7 s and so on, each time twice as long plus 0.1 s, at most 60 s. Any other failure,
 * such as a wrong password, is returned immediately. */
struct db *db_open_retry(const struct db_url *u, enum db_mode mode, unsigned retries, struct err *e);
void db_close(struct db *db); /* NULL is fine; an open transaction is rolled back */
/* db_close for a program that exits on a failure: statements may still be open and are discarded. */
void db_abandon(struct db *db);
enum dialect db_dialect(const struct db *db);
const char *db_display(const struct db *db);
/* How long to wait for a locked database, in ms; initially 5000. */
void db_lock_timeout(struct db *db, int ms);
/* leave: closing does not bring the -wal that others have left of a SQLite file into it, as the last one to close it
 * else does. For who may find nothing to write. */
void db_leave_wal(struct db *db, bool leave);
/* The native handle: sqlite3 * or PGconn *. For dialect-specific code only. */
void *db_native(struct db *db);
/* For such code that fills e itself: sets class and SQLSTATE from a failed PGresult or, if that is NULL, from
 * the connection. Returns false. */
struct pg_result;
bool db_classify_postgres(struct db *db, const struct pg_result *result, struct err *e);

/* Runs one or more statements that return no rows, but not COPY. */
bool db_exec(struct db *db, const char *sql, struct err *e);
/* Number of rows written on this connection by INSERT, UPDATE, DELETE and CREATE TABLE AS, including those
 * rolled back: compare two calls. DO blocks and COPY are not counted. */
uint64_t db_rows_written(struct db *db);
/* Runs a query for one integer (first column of the first row; 0 when there is no row or it is NULL). */
bool db_query_int(struct db *db, const char *sql, int64_t *out, struct err *e);
/* The same for text, malloc'ed; NULL when there is no row or it is NULL. */
bool db_query_text(struct db *db, const char *sql, char **out, struct err *e);

struct db_stmt;
/* Prepares one statement. Its parameters are ?1 ?2 … in both dialects, or named as in the .sql files
 * (sql_files.h): `:name` on SQLite, `:'name'` on PostgreSQL, numbered in order of first appearance. NULL on
 * error. */
struct db_stmt *db_prepare(struct db *db, const char *sql, struct err *e);
/* i counts from 1. Text must live until the statement is run or reset. BIN is bound as a blob; callers never
 * pass text that is not UTF-8. */
void db_bind(struct db_stmt *s, int i, const struct value *v);
/* 1: a row; 0: done; -1: error. After 0 or -1 the statement is reset and can be bound and run again. */
int db_step(struct db_stmt *s, struct err *e);
void db_reset(struct db_stmt *s);
int db_column_count(struct db_stmt *s);
/* i counts from 0. The type is that of storage: INT, FLOAT, STR, BIN (blob, or text that is not UTF-8), BOOL
 * (PostgreSQL). Valid until the next step. */
void db_column(struct db_stmt *s, int i, struct value *v);
/* SQLite: whether the value is a BLOB, regardless of the column's declared type. */
bool db_column_is_blob(struct db_stmt *s, int i);
void db_finalize(struct db_stmt *s); /* NULL is fine */

/* Copies a SQLite database into a new file with permissions no wider than the original's. It is built under a
 * temporary name (new_file.h), synced, and never replaces a file. For PostgreSQL this fails with a hint at
 * pg_dump. */
bool db_backup(struct db *db, const char *file, struct err *e);

bool db_begin_read(struct db *db, struct err *e);  /* one snapshot for all that follows */
bool db_begin_write(struct db *db, struct err *e); /* SQLite: BEGIN IMMEDIATE */
/* Calls begin, one of the above or another function of the dialect. If the SQLite file is locked, reports
 * that it waits and waits up to timeout ms, which remains the lock timeout (db_lock_timeout). */
bool db_begin_waiting(struct db *db, int timeout, bool (*begin)(struct db *, struct err *), struct err *e);
/* Class ERR_COMMIT: it is unknown whether the transaction was committed. ERR_BUSY (SQLite): it is still open
 * and commit can be retried. */
bool db_commit(struct db *db, struct err *e);
/* PostgreSQL: false if writing to MLflow's tables would run functions of a role that neither owns the table
 * nor is trusted (postgres_trust.h). Opening to write, db_begin_write and db_commit check this too; this
 * function is for callers that only plan to write, and for a check after the tables are locked, when nobody
 * can change them any more. */
bool db_check_writes(struct db *db, struct err *e);
void db_rollback(struct db *db); /* no open transaction is fine */

struct db_column_info {
    char *name;
    char *type;     /* as declared: "VARCHAR(250)", "BIGINT" */
    int64_t length; /* characters of a VARCHAR; 0: no limit */
    bool not_null;
    char *dflt; /* default expression, or NULL */
    bool generated;
    int key; /* position in the primary key, greater than 0; 0: not part of it */
};
struct db_columns {
    struct db_column_info *items;
    int n;
};
/* Columns of a table, in order; n == 0 if there is no such table. */
bool db_table_columns(struct db *db, const char *table, struct db_columns *out, struct err *e);
void db_columns_free(struct db_columns *c);
enum { DB_MAX_KEY = 16 };
/* The columns of the table's primary key, in its order; returns their number, of which the first DB_MAX_KEY
 * are in key. */
int db_columns_key(const struct db_columns *c, const struct db_column_info *key[DB_MAX_KEY]);
/* NULL when there is no such column. */
const struct db_column_info *db_columns_find(const struct db_columns *c, const char *name);
bool db_table_exists(struct db *db, const char *table, bool *out, struct err *e);

#endif
