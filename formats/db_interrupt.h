/* Signals and running statements: a sort of millions of rows must not outlive SIGINT. */
#ifndef FORMATS_DB_INTERRUPT_H
#define FORMATS_DB_INTERRUPT_H

#include "db.h"

/* From now on a signal that err_catch_signals catches also stops the statement that db runs, at its server
 * too. For one database at a time; NULL ends it and must come before db_close. */
void db_interrupt_on_signal(struct db *db);
/* Ends the program: as interrupted when a signal came, whose consequence e then is, else of e. */
_Noreturn void db_die(const struct err *e);

#endif
