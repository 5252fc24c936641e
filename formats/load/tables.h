/* The target's tables and columns, and how each kind's records become rows of them. Read once, when a load
 * begins; from then on only `filled` and `streamed` change. */
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
    struct value dflt; /* the declared default, NULL when there is none */
    bool in_key;
    const char *look_up; /* a query for the value where a row has none; {name} is another column of the row */
    const char *look_up_if; /* rows for which there may be something to find, as a condition */
};

/* A table with the columns that its kinds fill. */
struct load_table {
    const char *name;
    struct load_column columns[LOAD_MAX_COLUMNS];
    int n_columns;
    int key[LOAD_MAX_KEY]; /* places in columns, in the order of the primary key */
    int n_key;
    bool filled;   /* rows will come */
    bool of_kind;  /* some kind's records are its rows */
    bool streamed; /* its rows go to the sink as they come (load_begin_streamed) */
};

enum { NO_COLUMN = -1, MISSING_COLUMN = -2 };

/* How a kind's records become rows. */
struct load_plan {
    struct load_table *table;      /* NULL: no such table at this revision */
    int column[RECORD_MAX_FIELDS]; /* of each field: place in the table, or one of the above */
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
    struct load_table **of_rows; /* of each of row_tables[] (rows.h); NULL where the target has none */
    struct arena names;          /* what the descriptions hold */
};

/* What records refer to. Each has a table and the columns that name a row of it. */
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

/* Reads all tables that a database of the revision has for kinds and rows. all is zero before it; false with
 * e filled when a table or column that the revision has is not there: it is to be freed then, too. */
bool load_tables_read(struct load_tables *all, struct db *db, int rev, bool any_ids, struct err *e);
void load_tables_free(struct load_tables *all);
/* The table that row records of this name go to; NULL where the target has none. */
struct load_table *load_table_of_rows(const struct load_tables *all, const char *name);
/* A column's place; -1: none. */
int load_table_find(const struct load_table *t, const char *column);
/* Fills a row with what its columns hold where nothing is said: defaults, NULL where that is allowed. */
void load_table_defaults(const struct load_table *t, struct value *row);

/* ---- for reading them (table.c, plan.c) */

/* The table of that name, added where there is none. */
struct load_table *load_table_named(struct load_tables *all, const char *name);
/* The place of a column that the table's revision has; MISSING_COLUMN with e filled when it is not there. */
int load_plan_column(struct load_tables *all, struct load_table *t, const struct db_columns *have,
                     const char *name, struct err *e);
/* Reads how a kind's records become rows. */
bool load_plan_kind(struct load_tables *all, struct db *db, const struct kind_desc *k, struct err *e);

#endif
