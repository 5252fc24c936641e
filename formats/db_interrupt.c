#include "db_interrupt.h"

#include <libpq-fe.h>
#include <sqlite3.h>

static sqlite3 *sqlite;
static PGcancel *postgres;

/* Called by the signal handler: both functions are made for that. */
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

void db_die(const struct err *e)
{
    if (err_interrupted())
        err_exit_interrupted();
    err_die(e);
}
