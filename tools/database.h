/* The database that a program reads. */
#ifndef TOOLS_DATABASE_H
#define TOOLS_DATABASE_H

#include "common/opt.h"
#include "formats/database/db.h"

/* Opens the database named by the operands, at most one, or the default (db_open_for_program()); exits with a
 * message on failure. */
struct db *database_open_operand(const struct opt_spec *spec, char **operands, const char **tmpdir,
                                 struct db_url *u);

#endif
