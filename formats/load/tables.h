/* The target's tables and columns, and how each kind's records become rows of them. Read once when a load
 * begins; afterwards only `filled` and `streamed` change. */
#ifndef FORMATS_LOAD_TABLES_H
#define FORMATS_LOAD_TABLES_H

#include <stdbool.h>

#include "common/arena.h"
#include "formats/database/db.h"
#include "formats/record/record.h"
#include "formats/record/rows.h"
#include "formats/schema/limits.h"
#include "migrations/migrations.h"

enum { LOAD_MAX_COLUMNS = 64, LOAD_MAX_TABLES = 96, LOAD_MAX_KEY = 8 };

struct load_column {
    const char *name;
    enum column_type type;
    bool not_null;
    struct value dflt; /* the declared default, NULL if there is none */
    bool in_key;
    const char *look_up;    /* a query for the value if a row has none; {name} is another column of the row */
    const char *look_up_if; /* a condition on rows for which the query may find something */
};

/* A table with the columns filled by its kinds. */
struct load_table {
    const char *name;
    struct load_column columns[LOAD_MAX_COLUMNS];
    int n_columns;
    int key[LOAD_MAX_KEY]; /* indexes in columns, in the order of the primary key */
    int n_key;
    bool filled;   /* rows will come */
    bool of_kind;  /* it has rows of a kind */
    bool streamed; /* its rows go to the sink as they come (load_begin_streamed) */
};

enum { NO_COLUMN = -1, MISSING_COLUMN = -2 };

/* How a kind's records become rows. */
struct load_plan {
    struct load_table *table;      /* NULL: no such table at this revision */
    int column[RECORD_MAX_FIELDS]; /* for each field: index in the table, or one of the above */
    int is_nan;                    /* of a METRIC's companion */
    int consts[KIND_MAX_CONSTS];
};

struct load_tables {
    enum dialect dialect;
    int rev;
    struct limits *limits; /* what the tables can hold */
    struct load_table items[LOAD_MAX_TABLES];
    int n;
    struct load_plan plans[KIND_COUNT];
    struct load_table **of_rows; /* for each of row_tables[] (rows.h); NULL if the target has none */
    struct arena names;          /* texts of the tables */
};

/* What records refer to. Each has a table and the columns that identify a row of it. */
enum load_ref {
    REF_EXPERIMENT,
    REF_RUN,
    REF_TRACE,
    REF_MODEL,
    REF_REGISTERED,
    REF_VERSION,
    REF_DATASET,
    REF_INPUT,
    REF_COUNT
};

enum { REF_MAX_COLUMNS = 3 };

extern const struct load_ref_desc {
    const char *what;
    const char *table;
    const char *columns[REF_MAX_COLUMNS + 1];
} load_refs[REF_COUNT];

/* Reads all tables of the revision for kinds and rows into the zero-initialised all; false with e filled if a
 * table or column of the revision is missing. Free it in either case. */
bool load_tables_read(struct load_tables *all, struct db *db, int rev, bool any_ids, struct err *e);
void load_tables_free(struct load_tables *all);
/* The table that row records of this name go to; NULL if the target has none. */
struct load_table *load_table_of_rows(const struct load_tables *all, const char *name);
/* A column's index; -1: none. */
int load_table_find(const struct load_table *t, const char *column);
/* Fills a row with the defaults of its columns, else NULL. */
void load_table_defaults(const struct load_table *t, struct value *row);

/* -- for reading tables (table.c, plan.c) */

/* The table of that name, added if there is none. */
struct load_table *load_table_named(struct load_tables *all, const char *name);
/* The index of a column of the table's revision; MISSING_COLUMN with e filled if it is missing. */
int load_plan_column(struct load_tables *all, struct load_table *t, const struct db_columns *have,
                     const char *name, struct err *e);
/* Plans how a kind's records become rows. */
bool load_plan_kind(struct load_tables *all, struct db *db, const struct kind_desc *k, struct err *e);

#endif
