/* A PostgreSQL statement, shared by postgres_statement.c (parameters, execution), postgres_rows.c (receiving
 * rows) and postgres_value.c (their values). */
#ifndef FORMATS_POSTGRES_STATEMENT_H
#define FORMATS_POSTGRES_STATEMENT_H

#include "common/arena.h"
#include "common/buf.h"
#include "formats/database/postgres.h"

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

static inline struct postgres_stmt *postgres_stmt_of(struct db_stmt *s)
{
    return (struct postgres_stmt *)s;
}

/* -- postgres_rows.c */

/* Makes r the statement's result, before its first row. */
void postgres_take_result(struct postgres_stmt *s, PGresult *r);
/* The same for a new result: counts written rows; false with e filled if it is an error. */
bool postgres_accept_result(struct postgres_stmt *s, PGresult *r, struct err *e);
/* Opens a cursor for the statement and requests the first rows. */
bool postgres_rows_begin(struct postgres_stmt *s, struct err *e);
/* Advances to the next rows of the cursor. */
bool postgres_rows_more(struct postgres_stmt *s, struct err *e);
/* Discards rows still to come, and closes the cursor. */
void postgres_rows_end(struct postgres_stmt *s);

#endif
