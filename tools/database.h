/* The database that a program reads. */
#ifndef TOOLS_DATABASE_H
#define TOOLS_DATABASE_H

#include "common/opt.h"
#include "formats/database/db.h"

/* Opens the database that the operands name, of which there is one or none (db_open_for_program()); ends the
 * program where that fails. */
struct db *open_operand(const struct opt_spec *spec, char **operands, const char **tmpdir, struct db_url *u);

#endif
