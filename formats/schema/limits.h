/* Decides whether a value, record or row fits into MLflow's tables of a dialect and a revision, before
 * anything is written. ml-load checks against the target's actual tables, `ml-transform --fit` against those
 * of MLflow's schema; the callers decide what to do with misfits. Properties of several records together
 * (duplicates, dangling references) are not checked here, except for the name Default.
 *
 * Lengths of text and 32-bit integers are those of the column declarations. They are the same in both
 * dialects, but SQLite does not enforce them, and all its integers have 64 bits. */
#ifndef FORMATS_LIMITS_H
#define FORMATS_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "formats/database/db.h"
#include "formats/record/record.h"
#include "formats/record/rows.h"

enum column_type {
    COLUMN_TEXT, /* or JSON */
    COLUMN_INT32,
    COLUMN_INT64,
    COLUMN_FLOAT,
    COLUMN_BOOL,
    COLUMN_BYTES,
    COLUMN_DATE,
};
/* The type of a column with this declaration; INT32 only if the dialect has a 32-bit INTEGER. */
enum column_type limits_column_type(enum dialect dialect, const char *declared);

enum misfit_kind {
    MISFIT_NO_COLUMN, /* the revision has no such column */
    MISFIT_LATE_WORD, /* the column exists, but only later releases know the word */
    MISFIT_WORD,      /* not among the words of the column's CHECK or encoding */
    MISFIT_ID,        /* an experiment's id that is not decimal */
    MISFIT_WIDE_ID,   /* an experiment's id of more than 32 bits */
    MISFIT_WIDE,      /* another integer of more than 32 bits */
    MISFIT_NAN,       /* there is no column is_nan */
    MISFIT_NOT_UTF8,  /* MLflow could not read it */
    MISFIT_NUL,       /* PostgreSQL's text cannot contain NUL */
    MISFIT_LENGTH,    /* longer than the column allows */
    MISFIT_TYPE,      /* not a value of the column's type */
    /* text that MLflow's upgrade rejects: dimension_attributes of a span, categories of an issue */
    MISFIT_CONVERSION,
    MISFIT_NULL, /* null, but the column is NOT NULL */
};

struct misfit {
    enum misfit_kind kind;
    bool needed;        /* the record or row is useless without the value */
    int since;          /* of NO_COLUMN and LATE_WORD: the first revision that can store it */
    size_t length;      /* of LENGTH: characters of the value, and */
    int64_t room;       /* of its column */
    int entry;          /* of a row: index of the entry; -1: none (NULL) */
    const char *column; /* of the database, not NUL-terminated; valid as long as the limits and the row */
    size_t column_len;
    const char *what; /* of WORD, TYPE and CONVERSION: the rest of the message; static */
};

struct limits;

/* Creates limits without tables. wide: columns of experiment ids have 64 bits regardless of the tables. */
struct limits *limits_new(enum dialect dialect, int rev, bool wide);
void limits_free(struct limits *l); /* NULL is fine */
/* Adds a table with its columns; does nothing if it was added before. */
void limits_add_table(struct limits *l, const char *table, const struct db_columns *columns);
/* Adds all tables of kinds and rows from a database of the revision. */
bool limits_read(struct limits *l, struct db *db, struct err *e);

/* The first revision that can store the kind: with its table, and those of everything it must refer to. */
int limits_kind_since(const struct kind_desc *k);
/* Appends the first release of the revision or a later one, as in "MLflow 3.2.0". */
void limits_add_release(int rev, struct buf *out);

bool limits_has_kind(const struct limits *l, enum kind kind);
/* False also for NULL: an unknown table. */
bool limits_has_row_table(const struct limits *l, const struct row_table *t);

/* Checks a field of a record whose kind the revision has. False with m filled if it does not fit. */
bool limits_field(struct limits *l, const struct record *r, int field, struct misfit *m);
/* Checks a row whose table exists. Returns how many of its values do not fit; out has room for
 * LIMITS_ROW_MISFITS. */
enum { LIMITS_ROW_MISFITS = 2 * ROW_MAX_COLUMNS };
int limits_row(struct limits *l, const struct row_table *t, const struct row_entry *entries, int n,
               struct misfit *out);

/* Records that an experiment is stored. */
void limits_note_experiment(struct limits *l, const struct record *r);
/* After the last record: the id of an experiment named Default if there is no experiment 0, as MLflow of this
 * revision then does not start; else NULL. */
const char *limits_stray_default(const struct limits *l);

/* Appends what is wrong, to be printed after the name of the record: "value: the text is not UTF-8, …". v is
 * the value; name is the field or column. */
void limits_describe(const struct misfit *m, const char *name, const struct value *v, struct buf *out);
/* Appends what is wrong with the stray Default, to be printed after the experiment. */
void limits_describe_default(struct buf *out);

#endif
