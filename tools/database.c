/* The databases that a command line names. */
#include "tools/database.h"

#include "common/file.h"
#include "formats/database/interrupt.h"

struct db *database_open_operand(const struct opt_spec *spec, char **operands, const char **tmpdir,
                                 struct db_url *u)
{
    struct err e = {.what = ""};
    if (operands[0] && operands[1])
        opt_usage_error(spec, "extra operand '%s'", operands[1]);
    struct db *db = db_open_for_program(operands[0], tmpdir, u, &e);
    if (!db)
        err_die(&e);
    return db;
}

char *database_temp_dir(const char *url, const char *asked)
{
    struct db_url u;
    struct err e;
    if (!db_url_parse(url, &u, &e))
        err_die(&e);
    char *dir = file_temp_dir(asked, u.path);
    db_url_free(&u);
    return dir;
}
