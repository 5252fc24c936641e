/* What a database can hold: the one judgement of whether a value, a record or a row fits into MLflow's tables
 * of a dialect and a revision, before anything is written. ml-load judges against the target's own tables,
 * `ml-transform --fit` against those that MLflow's schema has; both word what does not fit, and decide what
 * becomes of it. What only several records together show (duplicates, references that lead nowhere) is not
 * judged here, but for the name Default.
 *
 * Widths of text and 32-bit integers are those that the columns are declared with. They are the same in both
 * dialects, but SQLite does not enforce them, and all of its integers have 64 bits. */
#ifndef FORMATS_LIMITS_H
#define FORMATS_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "formats/database/db.h"
#include "formats/record/record.h"
#include "formats/record/rows.h"

enum column_type {
    COLUMN_TEXT, /* and JSON */
    COLUMN_INT32,
    COLUMN_INT64,
    COLUMN_FLOAT,
    COLUMN_BOOL,
    COLUMN_BYTES,
    COLUMN_DATE,
};
/* The type of a column that is declared so; INT32 only where the dialect has a narrow INTEGER. */
enum column_type limits_column_type(enum dialect dialect, const char *declared);

enum misfit_kind {
    MISFIT_NO_COLUMN,  /* the revision has no such column */
    MISFIT_LATE_WORD,  /* the column is there, but the word is known to later releases only */
    MISFIT_WORD,       /* none of the words that the column's CHECK, or its code, has */
    MISFIT_ID,         /* an experiment's id that is not decimal */
    MISFIT_WIDE_ID,    /* an experiment's id of more than 32 bits */
    MISFIT_WIDE,       /* another integer of more than 32 bits */
    MISFIT_NAN,        /* there is no is_nan to say so */
    MISFIT_NOT_UTF8,   /* MLflow could not read it back */
    MISFIT_NUL,        /* PostgreSQL's text has no NUL */
    MISFIT_LENGTH,     /* more characters than the column has room for */
    MISFIT_TYPE,       /* not a value of the column's type */
    MISFIT_CONVERSION, /* text that MLflow's upgrade would refuse to convert: dimension_attributes of a span,
                          categories of an issue */
    MISFIT_NULL,       /* no value where the column must have one */
};

struct misfit {
    enum misfit_kind kind;
    bool needed;        /* the record or row makes no sense without the value */
    int since;          /* of NO_COLUMN and LATE_WORD: the first revision that holds it */
    size_t length;      /* of LENGTH: characters of the value, and */
    int64_t room;       /* of its column */
    int entry;          /* of a row: place in its entries; -1: it has none (NULL) */
    const char *column; /* of the database, not NUL-terminated; lives as long as the limits and the row */
    size_t column_len;
    const char *what; /* of WORD, TYPE and CONVERSION: the rest of the message; static */
};

struct limits;

/* Of no tables yet. wide: the columns of experiments' ids have 64 bits, whatever the tables say. */
struct limits *limits_new(enum dialect dialect, int rev, bool wide);
void limits_free(struct limits *l); /* NULL is fine */
/* Takes what a table's columns are; of a table that is known already, nothing. */
void limits_add_table(struct limits *l, const char *table, const struct db_columns *columns);
/* Takes all tables of kinds and rows from a database of the revision. */
bool limits_read(struct limits *l, struct db *db, struct err *e);

/* The first revision that can hold the kind: its table, and the tables of all that it must refer to. */
int limits_kind_since(const struct kind_desc *k);
/* Appends "MLflow 3.2.0", the first release of the revision or a later one. */
void limits_add_release(int rev, struct buf *out);

bool limits_has_kind(const struct limits *l, enum kind kind);
/* False for NULL: a table that is not known here. */
bool limits_has_row_table(const struct limits *l, const struct row_table *t);

/* Judges a field of a record whose kind the revision has. False with m filled when it does not fit. */
bool limits_field(struct limits *l, const struct record *r, int field, struct misfit *m);
/* Judges a row, whose table is there. Returns how many of its values do not fit; out has room for
 * LIMITS_ROW_MISFITS. */
enum { LIMITS_ROW_MISFITS = 2 * ROW_MAX_COLUMNS };
int limits_row(struct limits *l, const struct row_table *t, const struct row_entry *entries, int n,
               struct misfit *out);

/* Takes note of an experiment that is stored. */
void limits_note_experiment(struct limits *l, const struct record *r);
/* After the last record: the id of an experiment that is named Default where there is no experiment 0, with
 * which MLflow of the revision does not start; NULL: there is none. */
const char *limits_stray_default(const struct limits *l);

/* Appends what is wrong, to follow the name of the record: "value: the text is not UTF-8, …". v is the value;
 * name that of the field or column. */
void limits_describe(const struct misfit *m, const char *name, const struct value *v, struct buf *out);
/* Appends what is wrong with it, to follow the experiment. */
void limits_describe_default(struct buf *out);

#endif
