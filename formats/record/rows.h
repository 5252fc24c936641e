/* Rows of MLflow's tables that are no kind of their own: records of kind `row`. Which tables, their keys and
 * what in them refers to something is listed in entities.def (TABLE, REF). */
#ifndef FORMATS_ROWS_H
#define FORMATS_ROWS_H

#include "common/buf.h"
#include "formats/database/db.h"
#include "formats/record/record.h"

enum row_table_flag {
    ROW_SERVER = 1 << 0,  /* filled by MLflow's server itself */
    ROW_SECRETS = 1 << 1, /* leaves the database only when asked for */
    ROW_REST = 1 << 2,    /* a table of kinds: only the rows that are none of them */
};
/* Beside those of enum field_flag. */
enum { ROW_SECRET = 1 << 16 };

struct row_table {
    const char *name;
    const char *key;    /* columns, split by commas */
    const char *parent; /* "" for none */
    const char *link;   /* columns, split by commas */
    unsigned flags;
};

struct row_ref {
    const char *table, *column;
    unsigned flags;        /* FIELD_EXP … FIELD_WS, ROW_SECRET */
    const char *by, *text; /* in rows whose column `by` holds text; "": in all */
};

extern const struct row_table row_tables[]; /* parents before their children */
extern const int row_tables_count;
extern const struct row_ref row_refs[]; /* by table */
extern const int row_refs_count;

/* NULL when there is none. */
const struct row_table *row_table_by_name(const char *name, size_t len);
/* The table of a record of kind row; NULL when it is not known. */
const struct row_table *row_table_of(const struct record *r);

/* -- values: a map of columns. */

enum { ROW_MAX_COLUMNS = 64 };

struct row_entry {
    const char *column; /* not NUL-terminated */
    size_t column_len;
    struct value v;
};

/* Appends the map of the entries that are not null. */
void row_encode(const struct row_entry *entries, int n, struct buf *out);

struct row_decoder;
struct row_decoder *row_decoder_new(void);
/* The entries of a record's values, which live until the next call with the same d (texts as long as the
 * record). Returns their number, -1 with e filled when a value is no scalar or there are too many. */
int row_decode(struct row_decoder *d, const struct record *r, const struct row_entry **out, struct err *e);
void row_decoder_free(struct row_decoder *d); /* NULL is fine */
/* By column; NULL when there is none. */
const struct row_entry *row_entry_find(const struct row_entry *entries, int n, const char *column,
                                       size_t len);

/* Appends the sort key of the table's key columns: equal for equal keys, in the order in which rows_next
 * gives them. */
void row_key(const struct row_table *t, const struct row_entry *entries, int n, struct buf *out);
/* Appends "spans (trace_id=tr-1, span_id=2)". */
void row_describe(const struct row_table *t, const struct row_entry *entries, int n, struct buf *out);
/* True when the column holds a secret, or what refers to one. */
bool row_is_secret(const struct row_table *t, const char *column, size_t len);

/* -- reading */

enum rows_flag { ROWS_ORDERED = 1 << 0, ROWS_WITH_SECRETS = 1 << 1 };

struct rows_cursor;
/* All rows of a table, none when the database does not have it. where: a condition on the table, alias x, or
 * NULL. Without ROWS_WITH_SECRETS what is secret is null. Call it within db_begin_read. NULL with e filled.
 */
struct rows_cursor *rows_open(struct db *db, const struct row_table *t, unsigned flags, const char *where,
                              struct err *e);
/* 1: out is the next record, which lives until the next call; 0: no more; -1: error. */
int rows_next(struct rows_cursor *c, struct record *out, struct err *e);
/* The current row's entries, nulls left out. */
const struct row_entry *rows_entries(const struct rows_cursor *c, int *n);
/* The column of the current row that holds a value against its type, which SQLite lets it; NULL: none does.
 * Such a value is ALIEN where its bytes would pass for what belongs there. */
const char *rows_misfit(const struct rows_cursor *c);
/* True when the column is declared as JSON. */
bool rows_is_json(const struct rows_cursor *c, const char *column, size_t len);
bool rows_has_table(const struct rows_cursor *c);
uint64_t rows_secrets(const struct rows_cursor *c); /* values that were left out so far */
void rows_close(struct rows_cursor *c);             /* NULL is fine */

#endif
