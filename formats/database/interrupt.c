/* Cancels the running statement on a signal. */
#include "formats/database/interrupt.h"

#include <libpq-fe.h>
#include <sqlite3.h>
#include <stdlib.h>

#include "common/file.h"

static sqlite3 *sqlite;
static PGcancel *postgres;

/* Called by the signal handler: both functions are async-signal-safe. */
static void stop_statement(void)
{
    char message[256];
    if (postgres)
        PQcancel(postgres, message, sizeof message);
    else if (sqlite)
        sqlite3_interrupt(sqlite);
}

void db_interrupt_on_signal(struct db *db)
{
    err_signal_hook_set(NULL);
    PQfreeCancel(postgres);
    postgres = NULL;
    sqlite = NULL;
    if (!db)
        return;
    if (db_dialect(db) == DIALECT_POSTGRESQL)
        postgres = PQgetCancel(db_native(db));
    else
        sqlite = db_native(db);
    err_signal_hook_set(stop_statement);
}

static void close_at_end(void *db)
{
    db_interrupt_on_signal(NULL);
    db_abandon(db);
}

struct db *db_open_for_program(const char *url, const char **tmpdir, struct db_url *u, struct err *e)
{
    if (!db_url_parse(url ? url : db_default_url(), u, e))
        return NULL;
    if (!url)
        err_note("using %s", u->display);
    *tmpdir = file_temp_dir(*tmpdir, u->path);
    setenv("SQLITE_TMPDIR", *tmpdir, 1); /* SQLite reads it when it opens its first database */
    struct db *db = db_open(u, DB_READ, e);
    if (!db)
        return NULL;
    err_cleanup_push(close_at_end, db);
    db_interrupt_on_signal(db);
    return db;
}
