/* Finds the revisions that have a table or column, by building the chain in memory. */
#include "formats/database/db.h"
#include "formats/schema/model.h"
#include "formats/schema/schema.h"

static bool has(struct db *db, const char *table, const char *column)
{
    struct db_columns columns;
    struct err e;
    if (!db_table_columns(db, table, &columns, &e))
        return false;
    bool there = column ? db_columns_find(&columns, column) != NULL : columns.n > 0;
    db_columns_free(&columns);
    return there;
}

void schema_releases_with(const char *table, const char *column, struct buf *out)
{
    struct err e;
    int first = -1, last = -1;
    struct db *db = schema_model(0, &e);
    for (int rev = 0; db && rev <= schema_head; rev++) {
        if (rev > 0 && !schema_step(db, rev, NULL, &e))
            break;
        if (!has(db, table, column))
            continue;
        first = first < 0 ? rev : first;
        last = rev;
    }
    db_close(db);
    const struct schema_release *from = first < 0 ? NULL : schema_first_release_with(first), *to = NULL;
    for (int rev = last; rev >= first && !to && first >= 0; rev--)
        to = schema_newest_release_of(rev);
    if (from && to)
        buf_addf(out, last == schema_head ? "MLflow %s and newer" : "MLflow %s to %s", from->release,
                 to->release);
}
