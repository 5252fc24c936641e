/* The databases that a command line names. */
#ifndef TOOLS_DATABASE_H
#define TOOLS_DATABASE_H

#include "common/opt.h"
#include "formats/database/db.h"

/* Opens the database named by the operands, at most one, or the default (db_open_for_program()); exits with a
 * message on failure. */
struct db *database_open_operand(const struct opt_spec *spec, char **operands, const char **tmpdir,
                                 struct db_url *u);

/* Where what is kept of a stream best lies: the directory asked for (NULL: none), else that of the database
 * (file_temp_dir()). malloc'ed; exits with a message on a malformed URL. */
char *database_temp_dir(const char *url, const char *asked);

#endif
