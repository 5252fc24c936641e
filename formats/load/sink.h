/* Where rows go. A sink takes the rows of one table after the other, each in the order of its key, and
 * answers what is asked of rows that are there. Those of this room fill the empty tables of a new database; a
 * sink that puts the rows elsewhere (temporary tables of the same columns, say) is given to load_write_to().
 */
#ifndef FORMATS_LOAD_SINK_H
#define FORMATS_LOAD_SINK_H

#include <stdbool.h>
#include <stdint.h>

#include "formats/load/tables.h"

/* Gives the rows of one table, in the order of its key. */
struct load_row_source {
    /* 1: *row is the next one and lives until the next call; 0: the table's end; -1: error, e filled. */
    int (*next)(struct load_row_source *from, const struct value **row, struct err *e);
    /* Of the row that was given last: */
    enum kind kind;
    enum record_part part;
};

enum sink_answer {
    SINK_STORED,
    SINK_REFUSED, /* the row that was given last breaks a rule of the table, e says which; the others were not
                     asked for */
    SINK_FAILED,
};

struct load_sink;
struct load_sink_ops {
    /* The sinks that can take one table's rows before all others: sets t->streamed where this is such a
     * table, whose rows will come by put_streamed() alone. end_streamed() is called before anything else.
     * NULL, all three: never. */
    bool (*begin_streamed)(struct load_sink *k, struct load_table *t, struct err *e);
    bool (*put_streamed)(struct load_sink *k, const struct value *row, struct err *e);
    bool (*end_streamed)(struct load_sink *k, struct err *e);
    /* Rows will come, of one table after the other: of those that are `filled`. */
    bool (*begin)(struct load_sink *k, struct err *e);
    enum sink_answer (*fill)(struct load_sink *k, const struct load_table *t, struct load_row_source *from,
                             struct err *e);
    /* All rows have come: make keys and indexes. collapsed: rows of the streamed table which were there
     * already. */
    bool (*end)(struct load_sink *k, uint64_t *collapsed, struct err *e);
    /* After end(): 1: there is the row of load_refs[ref].table whose columns have the n values; 0: there is
     * none; -1: error. */
    int (*find)(struct load_sink *k, enum load_ref ref, const struct value *v, int n, struct err *e);
    /* After end(): a trace without a cost gets the sum of its spans'. */
    bool (*sum_cost)(struct load_sink *k, const struct value *trace, struct err *e);
    /* All references lead somewhere: make the foreign keys, and what else there is to do. */
    bool (*finish)(struct load_sink *k, struct err *e);
    void (*free)(struct load_sink *k);
};
struct load_sink {
    const struct load_sink_ops *ops;
    struct db *db;
    const struct load_tables *tables;
    const char *prefix; /* what comes before the names of the tables that rows go to; NULL: nothing */
    struct db_stmt *finds[REF_COUNT], *sum; /* of load_sink_find(), load_sink_sum_cost() */
};

/* A sink of size bytes, malloc'ed, of which the first are a struct load_sink, the others zero. */
void *load_sink_new(size_t size, const struct load_sink_ops *ops, struct db *db,
                    const struct load_tables *tables);
/* find() and sum_cost() by prepared statements, over the tables that the prefix names. */
int load_sink_find(struct load_sink *k, enum load_ref ref, const struct value *v, int n, struct err *e);
bool load_sink_sum_cost(struct load_sink *k, const struct value *trace, struct err *e);
/* Lets go of these statements: to be called before db is closed. */
void load_sink_finalize(struct load_sink *k);

/* Those that fill a new database, by dialect. */
struct load_sink *load_sqlite_sink(struct db *db, const struct load_tables *tables);
struct load_sink *load_postgres_sink(struct db *db, const struct load_tables *tables);

#endif
