/* Signals and running statements: a sort of millions of rows must not outlive SIGINT. */
#ifndef FORMATS_DB_INTERRUPT_H
#define FORMATS_DB_INTERRUPT_H

#include "formats/database/db.h"

/* From now on a signal that err_catch_signals catches also stops the statement that db runs, at its server
 * too. For one database at a time; NULL ends it and must come before db_close. */
void db_interrupt_on_signal(struct db *db);

/* For programs that read one database: opens the URL given (NULL: the default one, which is printed) with
 * DB_READ, lets a signal stop its statement and closes it when the program ends. NULL with e filled. u
 * is filled and is the caller's. *tmpdir is the directory asked for, or NULL, and becomes that of temporary
 * files (file_temp_dir), SQLite's own among them. */
struct db *db_open_for_program(const char *url, const char **tmpdir, struct db_url *u, struct err *e);

#endif
