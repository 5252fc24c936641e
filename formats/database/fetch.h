/* Reads rows of a database as records, for verification and mldb-dump. Driven by entities.def and the
 * catalog: a missing column is null, a missing table has no rows, so the same code reads every revision.
 *
 * Values are as MLflow's API returns them: ids as text, NaN from is_nan, infinities from the greatest
 * doubles, words for a logged model's status; trace name, session, token usage and cost are the trace's tags
 * and metadata wherever they are stored. A value of the wrong type (SQLite permits it) is returned unchanged,
 * or as ALIEN if it could be mistaken for a valid one; records are not validated here. */
#ifndef FORMATS_FETCH_H
#define FORMATS_FETCH_H

#include "formats/database/db.h"
#include "formats/record/record.h"

/* Which tables and columns a database has for each kind. */
struct fetch;

/* Reads the catalog. A database without MLflow's tables is an error. Borrows db. */
struct fetch *fetch_new(struct db *db, struct err *e);
void fetch_free(struct fetch *f); /* NULL is fine */

/* Whether the database has the kind's table. */
bool fetch_has_kind(const struct fetch *f, enum kind kind);
/* Whether the table has this column in the database. */
bool fetch_has_column(const struct fetch *f, const char *table, const char *column);
/* Whether the database has the field's column, or the field needs none. */
bool fetch_has_field(const struct fetch *f, enum kind kind, int field);

/* Whether the database stores the trace tag or metadata of this key in columns of trace_info. */
bool fetch_promotes(const struct fetch *f, const char *key);

/* The fields that rows of a kind are sorted by (as value_compare does): its identity, in the order of the
 * primary key if that has the same columns (so that an index can be used), for points followed by the fields
 * that may differ within one identity. Returns their number; fields has room for RECORD_MAX_FIELDS. identity:
 * how many of them form the identity. */
int fetch_order(const struct fetch *f, enum kind kind, int *fields, int *identity);

/* A column that MLflow derives from others, with its actual and expected value. */
struct fetch_derived {
    const char *column;
    struct value actual;
    struct value expected; /* looked up in the same database; null if there is no look-up */
};
enum { FETCH_MAX_DERIVED = 4 };

struct fetch_cursor;
enum fetch_flag {
    FETCH_ORDERED = 1 << 0,
    FETCH_DERIVED = 1 << 1,
    /* Omits rows whose key MLflow stores in columns of trace_info from revision 66 on; its API ignores
     * them. */
    FETCH_NO_SHADOWED = 1 << 2,
};
/* Opens a cursor on all rows of a kind; none if the database has no such table. Call it within db_begin_read.
 * where: a condition on the kind's table, alias x, or NULL. NULL with e filled. */
struct fetch_cursor *fetch_open(const struct fetch *f, enum kind kind, unsigned flags, const char *where,
                                struct err *e);
/* 1: out is the next record, which lives until the next call; 0: no more; -1: error. */
int fetch_next(struct fetch_cursor *c, struct record *out, struct err *e);
/* The current row's derived columns that the database has (with FETCH_DERIVED). */
const struct fetch_derived *fetch_derived(const struct fetch_cursor *c, int *n);
void fetch_close(struct fetch_cursor *c); /* NULL is fine */

#endif
