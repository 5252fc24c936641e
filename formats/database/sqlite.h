/* What sqlite.c and sqlite_backup.c share. */
#ifndef FORMATS_SQLITE_H
#define FORMATS_SQLITE_H

#include <sqlite3.h>

#include "formats/database/internal.h"

struct sqlite_db {
    struct db base;
    sqlite3 *handle;
    sqlite3_stmt *undo;             /* ROLLBACK, prepared while there is memory; NULL in what only reads */
    int running;                    /* calls of SQLite that run statements */
    struct sqlite_stmt *statements; /* those that are open */
};
struct sqlite_stmt {
    struct db_stmt base;
    sqlite3_stmt *handle;
    int bind_code; /* why a value could not be bound: SQLITE_NOMEM, SQLITE_TOOBIG; or 0 */
    struct sqlite_stmt *next, *previous;
};

static inline sqlite3 *sqlite_handle(struct db *db)
{
    return ((struct sqlite_db *)db)->handle;
}

/* False, with e filled by the connection's last error. */
bool sqlite_failed(struct db *db, const char *where, struct err *e);
bool sqlite_backup(struct db *db, const char *file, struct err *e);

#endif
