/* Builds the schema of a revision as a database in memory. */
#include "formats/schema/model.h"

#include <stdlib.h>

struct db *schema_memory(struct err *e)
{
    struct db_url memory = {
        .dialect = DIALECT_SQLITE, .path = (char[]){":memory:"}, .display = (char[]){"memory"}};
    return db_open(&memory, DB_CREATE, e);
}

struct db *schema_model(int rev, struct err *e)
{
    struct db *db = schema_memory(e);
    if (db && !schema_create(db, rev, e)) {
        db_close(db);
        return NULL;
    }
    return db;
}

/* The tables are the same in both dialects. */
char **schema_tables(int rev, struct err *e)
{
    size_t n = 0;
    char **names = NULL;
    struct db *db = schema_model(rev, e);
    struct db_stmt *q =
        db ? db_prepare(db,
                        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE "
                        "'sqlite\\_%' ESCAPE '\\'",
                        e)
           : NULL;
    int row = -1;
    struct value v;
    while (q && (row = db_step(q, e)) == 1) {
        db_column(q, 0, &v);
        names = xrealloc(names, (n + 2) * sizeof *names);
        names[n++] = xstrndup(v.s, v.len);
        names[n] = NULL;
    }
    db_finalize(q);
    db_close(db);
    return row == 0 ? names : NULL;
}
