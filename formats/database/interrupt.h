/* Cancels a running statement on a signal: a sort of millions of rows must not outlive SIGINT. */
#ifndef FORMATS_DB_INTERRUPT_H
#define FORMATS_DB_INTERRUPT_H

#include "formats/database/db.h"

/* Makes signals caught by err_catch_signals also cancel the running statement of db, including on the server.
 * For one database at a time; NULL ends this and must be passed before db_close. */
void db_interrupt_on_signal(struct db *db);

/* For programs that read one database: opens the given URL (NULL: the default one, which is printed) with
 * DB_READ, makes signals cancel its statement, and closes it at exit. NULL with e filled. u is filled and
 * owned by the caller. *tmpdir is the requested directory or NULL, and is set to the one for temporary files
 * (file_temp_dir), also used by SQLite. */
struct db *db_open_for_program(const char *url, const char **tmpdir, struct db_url *u, struct err *e);

#endif
