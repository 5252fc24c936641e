/* Unknown tables and columns in a database of an unknown revision, and their rows as records of kind row. */
#ifndef FORMATS_OTHERS_H
#define FORMATS_OTHERS_H

#include "formats/database/row_cursor.h"

struct others {
    struct other_table {
        char *name;
        char **columns; /* its primary key, then its unknown columns; NULL: all, as the table is unknown */
        size_t n_key, n_columns;
    } * items;
    size_t n;
};

/* Adds a table, or n columns of one (columns not NULL); the texts are copied. */
bool others_add(struct others *o, struct db *db, const char *table, const char *const *columns, size_t n,
                struct err *e);
void others_free(struct others *o);
bool others_has_table(const struct others *o, const char *table); /* if it is unknown as a whole */

/* Calls take for each row, in any order; for a known table with its key and unknown columns, if one of these
 * is not null. False with e filled, possibly by take. */
typedef bool others_take(const struct record *r, void *arg, struct err *e);
bool others_read(const struct others *o, struct db *db, others_take *take, void *arg, struct err *e);

#endif
