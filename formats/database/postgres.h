/* Shared by the files of the PostgreSQL dialect: postgres.c (connections, the session's schema,
 * transactions), postgres_statement.c, postgres_rows.c, postgres_value.c, postgres_error.c and
 * postgres_trust.c (objects of other roles). */
#ifndef FORMATS_POSTGRES_H
#define FORMATS_POSTGRES_H

#include <libpq-fe.h>

#include "formats/database/internal.h"

struct postgres_db {
    struct db base;
    PGconn *conn;
    struct postgres_stmt *streaming; /* whose rows are being received; NULL: none */
    unsigned serial;                 /* for names of statements and cursors */
    char *schema;                    /* schema of the tables */
    char *search_path;               /* "search_path = …" for that schema */
    bool writing;                    /* in a transaction of postgres_begin_write */
    bool pooled; /* the session is one of a pooler's, which may give it to others after each
                                        transaction: nothing of ours may stay in it */
    uint64_t rows_written;
};

static inline PGconn *postgres_conn(struct db *db)
{
    return ((struct postgres_db *)db)->conn;
}

/* -- errors: false with e filled */

/* state: a SQLSTATE, or "". */
bool postgres_fail_with(const char *where, const char *message, const char *state, enum err_class class,
                        struct err *e);
/* result NULL: the connection failed. */
bool postgres_failed(struct db *db, const PGresult *result, struct err *e);
/* For PQsetNoticeProcessor. */
void postgres_say_notice(void *arg, const char *message);

/* -- statements */

/* The connection, ready for another statement: rows still being received for one are buffered first. */
PGconn *postgres_idle_conn(struct db *db);
bool postgres_exec(struct db *db, const char *sql, struct err *e);
struct db_stmt *postgres_prepare(struct db *db, const char *sql, struct err *e);
void postgres_bind(struct db_stmt *s, int i, const struct value *v);
int postgres_step(struct db_stmt *s, struct err *e);
void postgres_reset(struct db_stmt *s);
int postgres_column_count(struct db_stmt *s);
void postgres_column(struct db_stmt *s, int i, struct value *v);
void postgres_finalize(struct db_stmt *s);

#endif
