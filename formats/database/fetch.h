/* Rows of a database -> records, for verification and mldb-dump. Generic over entities.def and over what the
 * database has: a column that it lacks is null, a table that it lacks has no rows, so that every revision is
 * read by the same code.
 *
 * Values are given as MLflow's API gives them: ids as text, NaN from is_nan, infinities from the greatest
 * doubles, words for a logged model's status, trace name, session, token usage and cost as the trace's tag
 * and metadata wherever they lie. What a column holds against its type (SQLite lets it) is given as it is, or
 * as ALIEN where that would pass for something else; a record is not validated here. */
#ifndef FORMATS_FETCH_H
#define FORMATS_FETCH_H

#include "formats/database/db.h"
#include "formats/record/record.h"

/* What a database has of each kind. */
struct fetch;

/* Reads the catalog. A database without MLflow's tables is an error. Borrows db. */
struct fetch *fetch_new(struct db *db, struct err *e);
void fetch_free(struct fetch *f); /* NULL is fine */

/* The database has the kind's table. */
bool fetch_has_kind(const struct fetch *f, enum kind kind);
/* The database has this column in the table. */
bool fetch_has_column(const struct fetch *f, const char *table, const char *column);
/* The database has the field's column, or the field needs none. */
bool fetch_has_field(const struct fetch *f, enum kind kind, int field);

/* The database keeps the trace tag or metadata of this key in columns of trace_info. */
bool fetch_promotes(const struct fetch *f, const char *key);

/* The fields by which the rows of a kind come ordered, in the order of value_compare: its identity, in the
 * order of the table's primary key where that is all of it (so that an index gives it), for points followed
 * by what may differ within one identity. Returns their number; fields has room for RECORD_MAX_FIELDS.
 * identity: how many of them identify. */
int fetch_order(const struct fetch *f, enum kind kind, int *fields, int *identity);

/* A column that MLflow fills from other columns, and what is there. */
struct fetch_derived {
    const char *column;
    struct value actual;
    struct value expected; /* by a look-up in the same database; null where there is no look-up */
};
enum { FETCH_MAX_DERIVED = 4 };

struct fetch_cursor;
enum fetch_flag {
    FETCH_ORDERED = 1 << 0,
    FETCH_DERIVED = 1 << 1,
    /* Rows whose key MLflow keeps in columns of trace_info from revision 66 on, and which its API therefore
     * ignores, are left out. */
    FETCH_NO_SHADOWED = 1 << 2,
};
/* All rows of a kind, none when the database has no such table. Call it within db_begin_read. where: a
 * condition on the kind's table, alias x, or NULL. NULL with e filled. */
struct fetch_cursor *fetch_open(const struct fetch *f, enum kind kind, unsigned flags, const char *where,
                                struct err *e);
/* 1: out is the next record, which lives until the next call; 0: no more; -1: error. */
int fetch_next(struct fetch_cursor *c, struct record *out, struct err *e);
/* The current row's derived columns, those that the database has (with FETCH_DERIVED). */
const struct fetch_derived *fetch_derived(const struct fetch_cursor *c, int *n);
void fetch_close(struct fetch_cursor *c); /* NULL is fine */

#endif
