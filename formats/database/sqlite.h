/* Shared by sqlite.c and sqlite_backup.c. */
#ifndef FORMATS_SQLITE_H
#define FORMATS_SQLITE_H

#include <sqlite3.h>

#include "formats/database/internal.h"

struct sqlite_db {
    struct db base;
    sqlite3 *handle;
    sqlite3_stmt *undo;             /* ROLLBACK, prepared while there is memory; NULL if read-only */
    int running;                    /* number of calls into SQLite that are running statements */
    struct sqlite_stmt *statements; /* open statements */
};
struct sqlite_stmt {
    struct db_stmt base;
    sqlite3_stmt *handle;
    int bind_code; /* result of a failed bind: SQLITE_NOMEM, SQLITE_TOOBIG; or 0 */
    struct sqlite_stmt *next, *previous;
};

static inline sqlite3 *sqlite_handle(struct db *db)
{
    return ((struct sqlite_db *)db)->handle;
}

/* Sets e to the connection's last error; returns false. */
bool sqlite_failed(struct db *db, const char *where, struct err *e);
bool sqlite_backup(struct db *db, const char *file, struct err *e);

#endif
