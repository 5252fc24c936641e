/* Tables and columns besides those that this project knows, of a database of a revision that it does not
 * know: which they are, and their rows as records of kind row. */
#ifndef FORMATS_OTHERS_H
#define FORMATS_OTHERS_H

#include "formats/database/row_cursor.h"

struct others {
    struct other_table {
        char *name;
        char **columns; /* those of its primary key, and after them those besides; NULL: all, the table is not
                           known */
        size_t n_key, n_columns;
    } * items;
    size_t n;
};

/* Adds a table, or n columns of one (columns not NULL); the texts are copied. */
bool others_add(struct others *o, struct db *db, const char *table, const char *const *columns, size_t n,
                struct err *e);
void others_free(struct others *o);
bool others_has_table(const struct others *o, const char *table); /* as a whole */

/* Calls take for each row, in any order: of a known table its key and the columns besides, where one of them
 * is not null. False with e filled, by take too. */
typedef bool others_take(const struct record *r, void *arg, struct err *e);
bool others_read(const struct others *o, struct db *db, others_take *take, void *arg, struct err *e);

#endif
