/* The commands of ml-schema, each in its own file with its options. A command takes argv from its own name on
 * and returns the program's exit code; EXIT_TROUBLE with e filled, of class ERR_REPORTED if it has already
 * printed the reason. A wrong option, --help and --version end the program (opt.h). */
#ifndef SCHEMA_COMMAND_H
#define SCHEMA_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/opt.h"
#include "formats/database/db.h"
#include "formats/schema/schema.h"

/* Usage of each command; together they are the program's usage. */
#define SCHEMA_USAGE_CREATE "ml-schema create [--release X.Y[.Z]] [URL]"
#define SCHEMA_USAGE_UPGRADE                                                                                 \
    "ml-schema upgrade [--to REVISION|RELEASE] [--backup FILE] [--dry-run]\n"                                \
    "                  [--recover] [--lock-timeout SECONDS] [--retries N] [URL]"
#define SCHEMA_USAGE_CURRENT "ml-schema current [URL]"
#define SCHEMA_USAGE_HISTORY "ml-schema history [URL]"
#define SCHEMA_USAGE_CHECK   "ml-schema check [--release X.Y[.Z]] [--retries N] [URL]"
#define SCHEMA_USAGE_SQL                                                                                     \
    "ml-schema sql --dialect sqlite|postgresql [--from REVISION|RELEASE] [--to REVISION|RELEASE]"
#define SCHEMA_USAGE_MOVE                                                                                    \
    "ml-schema migrate-to-default-workspace [--dry-run] [--yes] [--verbose] [--lock-timeout SECONDS]\n"      \
    "                                       [--retries N] [URL]"
extern const char schema_command_about[];

/* The database of a command, for the lifetime of the program. */
struct schema_command {
    struct db_url url;
    struct db *db; /* closed at exit; a signal cancels its statement */
};

typedef int schema_command_run(struct schema_command *c, int argc, char **argv, struct err *e);
schema_command_run schema_command_create, schema_command_current, schema_command_history,
    schema_command_upgrade, schema_command_check, schema_command_sql, schema_command_move;

/* -- for the commands only: false, NULL or -1 with e filled */

/* The options of commands that wait for a database, stored in members of these names. */
#define SCHEMA_OPT_LOCK_TIMEOUT(type)                                                                        \
    {                                                                                                        \
        OPT_SIZE, 0, "lock-timeout", "SECONDS", "how long to wait for other programs (default: 300)",        \
            OPT_AT(type, lock_timeout)                                                                       \
    }
#define SCHEMA_OPT_RETRIES(type)                                                                             \
    {                                                                                                        \
        OPT_SIZE, 0, "retries", "N", "retries if the server is not ready (default: 10)",                     \
            OPT_AT(type, retries)                                                                            \
    }
enum { SCHEMA_RETRIES = 10, SCHEMA_LOCK_TIMEOUT = 300 /* s */ }; /* defaults */

/* The operand from index first on that names the database, or the default one, which is printed. */
const char *schema_command_operand(const struct opt_spec *spec, int argc, char **argv, int first);
/* Fills c->url, and sets the directory of SQLite's temporary files. */
bool schema_command_parse(struct schema_command *c, const char *text, struct err *e);
/* Opens the database of c->url, with up to `retries` retries (db_open_retry). */
bool schema_command_connect(struct schema_command *c, enum db_mode mode, uint64_t retries, struct err *e);
/* For a c->db opened by other means: closes it at exit and makes signals cancel its statement. False if it is
 * NULL. */
bool schema_command_watch(struct schema_command *c);
/* Parses the URL and opens its database. */
bool schema_command_open(struct schema_command *c, const char *text, enum db_mode mode, uint64_t retries,
                         struct err *e);
/* For commands with --lock-timeout (seconds), which limits the wait for a locked SQLite file; other commands
 * use --retries for that. */
bool schema_command_open_to_wait(struct schema_command *c, const char *text, enum db_mode mode,
                                 uint64_t retries, uint64_t lock_timeout, struct err *e);
/* Converts the timeout to ms. */
int schema_command_ms(uint64_t lock_timeout);
/* Closes the database before the program ends. */
void schema_command_close(struct schema_command *c);
/* The release with this name; by default (NULL) that of the mlflow on PATH, which is printed. */
const struct schema_release *schema_command_release(const char *name, struct err *e);
/* The revision with this name or of the release with this name; by default (NULL) that of the same
 * release. */
int schema_command_target(const char *name, struct err *e);
void schema_command_print_result(const struct schema_command *c, int rev);

#endif
