/* Databases: connections, statements; the same interface for each dialect (sqlite.c, postgres.c hold all that
 * a dialect is). Statements and values borrow; whoever opens closes. Functions that can fail
 * return false (or -1) with e filled, `where` being the database's display name or the table, its class after
 * the database's result code, its SQLSTATE that of PostgreSQL. */
#ifndef FORMATS_DB_H
#define FORMATS_DB_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "formats/database/url.h"
#include "formats/record/value.h"

/* SQLSTATEs that something depends on. */
#define SQLSTATE_FOREIGN_KEY_VIOLATION  "23503"
#define SQLSTATE_UNIQUE_VIOLATION       "23505"
#define SQLSTATE_SERIALIZATION_FAILURE  "40001"
#define SQLSTATE_DEADLOCK_DETECTED      "40P01"
#define SQLSTATE_INSUFFICIENT_PRIVILEGE "42501"
#define SQLSTATE_LOCK_NOT_AVAILABLE     "55P03"

enum db_mode {
    /* Must exist; nothing is written. A -wal and -shm that SQLite needs to read are removed at the end where
     * there was no -wal before; one that was there stays as it is, nothing of it moves into the database.
     * What a program that was killed has left in a -journal is rolled back. */
    DB_READ,
    DB_WRITE,  /* must exist */
    DB_CREATE, /* SQLite: the file is made when absent */
};

struct db;
/* connect_timeout and lock waiting are the caller's (db_lock_timeout). A SQLite file that another program has
 * locked is opened all the same: the statements wait for it. */
struct db *db_open(const struct db_url *u, enum db_mode mode, struct err *e);
/* Like db_open, but a failure that may pass by itself (ERR_CONNECTION: the server is starting or has too many
 * connections, nothing listens yet, the network is away; ERR_BUSY: a SQLite file stays locked) is reported
 * and tried again, `retries` times, after 0.1 s, 0.3 s, 0.7 s and so on, each wait twice the last and 0.1 s,
 * at most 60 s. Any other failure, a wrong password among them, is returned at once. */
struct db *db_open_retry(const struct db_url *u, enum db_mode mode, unsigned retries, struct err *e);
void db_close(struct db *db); /* NULL is fine; an open transaction is rolled back */
/* db_close in a program that ends because of a failure: statements may still be open, and end with it. */
void db_abandon(struct db *db);
enum dialect db_dialect(const struct db *db);
const char *db_display(const struct db *db);
/* How long a locked database is waited for, in ms; 5000 at first. */
void db_lock_timeout(struct db *db, int ms);
/* leave: closing does not bring the -wal that others have left of a SQLite file into it, as the last one to close it
 * else does. For who may find nothing to write. */
void db_leave_wal(struct db *db, bool leave);
/* The native handle: sqlite3 * or PGconn *. For dialect-specific code only. */
void *db_native(struct db *db);
/* For such code that fills e by itself: gives it the class and SQLSTATE of a failed PGresult, or, where that
 * is NULL, of the connection. Returns false. */
struct pg_result;
bool db_classify_postgres(struct db *db, const struct pg_result *result, struct err *e);

/* Runs one or more statements that return no rows; COPY is none of them. */
bool db_exec(struct db *db, const char *sql, struct err *e);
/* How many rows INSERT, UPDATE, DELETE and CREATE TABLE AS have written on this connection, rolled back ones
 * too; the difference of two calls is what is of use. What a DO block does is not known, nor COPY. */
uint64_t db_rows_written(struct db *db);
/* Runs a query for one integer (first column of the first row; 0 when there is no row or it is NULL). */
bool db_query_int(struct db *db, const char *sql, int64_t *out, struct err *e);
/* The same for text, malloc'ed; NULL when there is no row or it is NULL. */
bool db_query_text(struct db *db, const char *sql, char **out, struct err *e);

struct db_stmt;
/* One statement, whose parameters are ?1 ?2 … in both dialects, or have names, as in the .sql files
 * (sql_files.h):
 * `:name` on SQLite, `:'name'` on PostgreSQL, numbered in the order in which they first appear. NULL on
 * error. */
struct db_stmt *db_prepare(struct db *db, const char *sql, struct err *e);
/* i from 1. Text must live until the statement is run or reset. BIN is bound as a blob; text that is not
 * UTF-8 never gets here. */
void db_bind(struct db_stmt *s, int i, const struct value *v);
/* 1: a row; 0: done; -1: error. After 0 or -1 it is reset and can be bound and run again. */
int db_step(struct db_stmt *s, struct err *e);
void db_reset(struct db_stmt *s);
int db_column_count(struct db_stmt *s);
/* i from 0. By storage: INT, FLOAT, STR, BIN (blob, or text that is not UTF-8), BOOL (PostgreSQL). Lives
 * until the next step. */
void db_column(struct db_stmt *s, int i, struct value *v);
/* SQLite: the value is a BLOB, whatever the column is declared as. */
bool db_column_is_blob(struct db_stmt *s, int i);
void db_finalize(struct db_stmt *s); /* NULL is fine */

/* Copies a whole SQLite database, as it is now, into a new file that nobody may read who may not read the
 * database: built aside (new_file.h), synced, and never replacing a file. For PostgreSQL an error that names
 * pg_dump. */
bool db_backup(struct db *db, const char *file, struct err *e);

bool db_begin_read(struct db *db, struct err *e);  /* one snapshot for all that follows */
bool db_begin_write(struct db *db, struct err *e); /* SQLite: BEGIN IMMEDIATE */
/* Begins by one of the above, or another function of the dialect, at once; where SQLite's file is locked,
 * reports that it waits, and does so for timeout ms, which stays the time to wait (db_lock_timeout). */
bool db_begin_or_tell(struct db *db, int timeout, bool (*begin)(struct db *, struct err *), struct err *e);
/* Class ERR_COMMIT: nobody knows whether the transaction is committed. ERR_BUSY, on SQLite: it is still open,
 * and can be tried again. */
bool db_commit(struct db *db, struct err *e);
/* PostgreSQL: false where writing rows into MLflow's tables would run functions of a role that owns neither
 * the table nor is trusted (postgres_trust.h). Opening to write, db_begin_write and db_commit look for them
 * too; this is for what only plans to write, and for after the tables are locked, when nobody adds to them
 * any more. */
bool db_check_writes(struct db *db, struct err *e);
void db_rollback(struct db *db); /* no open transaction is fine */

struct db_column_info {
    char *name;
    char *type;     /* as declared: "VARCHAR(250)", "BIGINT" */
    int64_t length; /* characters of a VARCHAR; 0: no limit */
    bool not_null;
    char *dflt; /* default expression, or NULL */
    bool generated;
    int key; /* by which the columns of the primary key sort, greater than 0; 0: not in it */
};
struct db_columns {
    struct db_column_info *items;
    int n;
};
/* Columns of a table in order; n == 0 when there is no such table. */
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
