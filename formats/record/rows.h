/* Rows of MLflow's tables without a kind of their own: records of kind `row`. Their tables, keys and
 * references are listed in entities.def (TABLE, REF). */
#ifndef FORMATS_ROWS_H
#define FORMATS_ROWS_H

#include "common/buf.h"
#include "formats/record/record.h"

enum row_table_flag {
    ROW_SERVER = 1 << 0,  /* filled by MLflow's server itself */
    ROW_SECRETS = 1 << 1, /* dumped only on request */
    ROW_REST = 1 << 2,    /* a table of kinds: only its rows of none of those kinds */
    ROW_ACTING = 1 << 3,  /* triggers actions: a sync brings it only on request */
    ROW_OLD = 1 << 4,     /* all its rows are of a kind: rows of it are of streams from before that */
};
/* In addition to enum field_flag. */
enum { ROW_SECRET = 1 << 16 };

struct row_table {
    const char *name;
    const char *key;    /* comma-separated columns */
    const char *parent; /* "" for none */
    const char *link;   /* comma-separated columns */
    const char *needed; /* of a table of kinds: a column that is never null, besides the key; else "" */
    unsigned flags;
};

struct row_ref {
    const char *table, *column;
    unsigned flags;        /* FIELD_EXP … FIELD_WS, ROW_SECRET */
    const char *by, *text; /* only in rows with this text in column `by`; "": in all */
};

extern const struct row_table row_tables[]; /* parents before their children */
extern const int row_tables_count;
extern const struct row_ref row_refs[]; /* by table */
extern const int row_refs_count;

/* Whether it is a table of kinds: ROW_REST, ROW_OLD. */
bool row_is_of_kinds(const struct row_table *t);
/* NULL if there is none. */
const struct row_table *row_table_by_name(const char *name, size_t len);
/* The table of a record of kind row; NULL if it is unknown, and for unknown columns of a row that is a record
 * of a kind, with that row's primary key and no more (formats/database/others.h), though the table may also
 * have rows of its own. */
const struct row_table *row_table_of(const struct record *r);

/* -- values: a map of columns. */

enum { ROW_MAX_COLUMNS = 64 };

struct row_entry {
    const char *column; /* not NUL-terminated */
    size_t column_len;
    struct value v;
};

/* Appends the map of the non-null entries. */
void row_encode(const struct row_entry *entries, int n, struct buf *out);

struct row_decoder;
struct row_decoder *row_decoder_new(void);
/* Decodes a record's values into entries, which live until the next call with the same d (texts as long as
 * the record). Returns their number, or -1 with e filled if a value is not a scalar or there are too many. */
int row_decode(struct row_decoder *d, const struct record *r, const struct row_entry **out, struct err *e);
void row_decoder_free(struct row_decoder *d); /* NULL is fine */
/* By column; NULL if there is none. */
const struct row_entry *row_entry_find(const struct row_entry *entries, int n, const char *column,
                                       size_t len);
/* The value of a column; null if there is none. */
struct value row_entry_value(const struct row_entry *entries, int n, const char *column);
struct row_entry row_entry_of(const char *column, struct value v);

/* Iterates over a comma-separated list of columns (of struct row_table): returns the length of the next one,
 * 0 at the end. */
size_t row_next_column(const char **list);
/* Appends the sort key of the table's key columns: equal for equal keys, in the order of rows_next
 * (formats/database/row_cursor.h). */
void row_key(const struct row_table *t, const struct row_entry *entries, int n, struct buf *out);
/* Appends "spans (trace_id=tr-1, span_id=2)". */
void row_describe(const struct row_table *t, const struct row_entry *entries, int n, struct buf *out);
/* Appends the name of a record for messages: that of record_describe(), or of a row with its key. Uses d. */
void row_record_describe(struct row_decoder *d, const struct record *r, struct buf *out);
/* Makes a row of the table of spans, as streams from before that kind have it, the span that it is; its texts live as long as
 * the row's, its experiment's id in `id`. False, with r as it was, where the row has what a span does not. */
bool row_as_span(struct row_decoder *d, struct record *r, char id[24]);
/* Whether the column holds a secret or a reference to one. */
bool row_is_secret(const struct row_table *t, const char *column, size_t len);

#endif
