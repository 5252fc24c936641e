/* Shared by fetch.c, which builds the queries, and fetch_values.c, which reads their rows. */
#ifndef FORMATS_FETCH_CURSOR_H
#define FORMATS_FETCH_CURSOR_H

#include "common/buf.h"
#include "formats/database/fetch.h"

/* A tag or metadata of MLflow's API that trace_info stores in columns. Several columns form a JSON object
 * with their names as keys (compatibility_metadata_from_columns in MLflow's trace_analytics.py). */
enum { MAX_PROMOTED_COLUMNS = 6 };
struct promoted_value {
    enum kind kind;
    const char *key;
    const char *columns[MAX_PROMOTED_COLUMNS + 1];
    bool object;
    const char *part_type; /* SQL type of an object's columns */
};
struct fetch_cursor {
    const struct fetch *f;
    const struct kind_desc *kind;
    struct db_stmt *stmt;          /* NULL: there is no table */
    int column[RECORD_MAX_FIELDS]; /* of the result; -1: none */
    int is_nan;                    /* column of the result; -1: none */
    int object;                    /* first column of the parts of promoted objects; -1: none */
    char ids[RECORD_MAX_FIELDS][24];
    struct buf json; /* a promoted object */
    int n_derived;
    int derived_column[FETCH_MAX_DERIVED]; /* of the result: actual, then expected if there is a look-up */
    bool looked_up[FETCH_MAX_DERIVED];
    struct fetch_derived derived[FETCH_MAX_DERIVED];
};

/* The next promoted value of the kind in this database, after p (NULL: the first); NULL: no more. */
const struct promoted_value *fetch_next_promoted(const struct fetch *f, enum kind kind,
                                                 const struct promoted_value *p);

#endif
