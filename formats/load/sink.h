/* Where rows go. A sink takes the rows of one table after another, each sorted by its key, and looks up rows.
 * Those of this room fill the empty tables of a new database; a sink that stores rows elsewhere (such as in
 * temporary tables with the same columns) is passed to load_write_to(). */
#ifndef FORMATS_LOAD_SINK_H
#define FORMATS_LOAD_SINK_H

#include <stdbool.h>
#include <stdint.h>

#include "formats/load/tables.h"

/* Returns the rows of one table, sorted by its key. */
struct load_row_source {
    /* 1: *row is the next one, valid until the next call; 0: the table's end; -1: error, e filled. */
    int (*next)(struct load_row_source *from, const struct value **row, struct err *e);
    /* Of the last returned row: */
    enum kind kind;
    enum record_part part;
};

enum sink_answer {
    SINK_STORED,
    SINK_REFUSED, /* the last returned row violates a constraint of the table, see e; no more were read */
    SINK_FAILED,
};

struct load_sink;
struct load_sink_ops {
    /* For sinks that can take one table's rows before all others: sets t->streamed if this is that table,
     * whose rows will only come by put_streamed(). end_streamed() is called before anything else. All three
     * NULL: not supported. */
    bool (*begin_streamed)(struct load_sink *k, struct load_table *t, struct err *e);
    bool (*put_streamed)(struct load_sink *k, const struct value *row, struct err *e);
    bool (*end_streamed)(struct load_sink *k, struct err *e);
    /* Begins: rows of the `filled` tables will come, one table after another. */
    bool (*begin)(struct load_sink *k, struct err *e);
    enum sink_answer (*fill)(struct load_sink *k, const struct load_table *t, struct load_row_source *from,
                             struct err *e);
    /* All rows have come: creates keys and indexes. collapsed: number of duplicates in the streamed table. */
    bool (*end)(struct load_sink *k, uint64_t *collapsed, struct err *e);
    /* After end(): 1: load_refs[ref].table has a row with the n values in its columns; 0: it has none; -1:
     * error. */
    int (*find)(struct load_sink *k, enum load_ref ref, const struct value *v, int n, struct err *e);
    /* After end(): sets the cost of a trace without one to the sum of its spans'. */
    bool (*sum_cost)(struct load_sink *k, const struct value *trace, struct err *e);
    /* All references were found: creates the foreign keys, and completes the rest. */
    bool (*finish)(struct load_sink *k, struct err *e);
    void (*free)(struct load_sink *k);
};
struct load_sink {
    const struct load_sink_ops *ops;
    struct db *db;
    const struct load_tables *tables;
    const char *prefix; /* prefix of the names of the tables that rows go to; NULL: none */
    struct db_stmt *finds[REF_COUNT], *sum; /* of load_sink_find(), load_sink_sum_cost() */
};

/* A sink of size bytes, malloc'ed, beginning with a struct load_sink; the rest is zero. */
void *load_sink_new(size_t size, const struct load_sink_ops *ops, struct db *db,
                    const struct load_tables *tables);
/* find() and sum_cost() by prepared statements on the tables with the prefix. */
int load_sink_find(struct load_sink *k, enum load_ref ref, const struct value *v, int n, struct err *e);
bool load_sink_sum_cost(struct load_sink *k, const struct value *trace, struct err *e);
/* Frees these statements: call it before db is closed. */
void load_sink_finalize(struct load_sink *k);

/* The sinks that fill a new database, by dialect. */
struct load_sink *load_sqlite_sink(struct db *db, const struct load_tables *tables);
struct load_sink *load_postgres_sink(struct db *db, const struct load_tables *tables);

#endif
