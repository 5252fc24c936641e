/* The commands of ml-schema, each in a file of its own with its options. A command takes argv from its own
 * name on and returns the program's exit code; EXIT_TROUBLE with e filled, of class ERR_REPORTED where it has
 * said why itself. A wrong option, --help and --version end the program (opt.h). */
#ifndef SCHEMA_COMMAND_H
#define SCHEMA_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/opt.h"
#include "formats/database/db.h"
#include "formats/schema/schema.h"

/* What each command takes; all of them together are the usage of the program. */
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

/* The database of a command: for as long as the program runs. */
struct schema_command {
    struct db_url url;
    struct db *db; /* closed however the program ends; a signal stops its statement */
};

typedef int schema_command_run(struct schema_command *c, int argc, char **argv, struct err *e);
schema_command_run schema_command_create, schema_command_current, schema_command_history,
    schema_command_upgrade, schema_command_check, schema_command_sql, schema_command_move;

/* ---- for the commands alone: false, NULL or -1 with e filled */

/* The options of commands that wait for a database, into members of these names. */
#define SCHEMA_OPT_LOCK_TIMEOUT(type)                                                                        \
    {                                                                                                        \
        OPT_SIZE, 0, "lock-timeout", "SECONDS", "how long to wait for other programs (default: 300)",        \
            OPT_AT(type, lock_timeout)                                                                       \
    }
#define SCHEMA_OPT_RETRIES(type)                                                                             \
    {                                                                                                        \
        OPT_SIZE, 0, "retries", "N", "tries to connect again to a server that is not ready (default: 10)",   \
            OPT_AT(type, retries)                                                                            \
    }
enum { SCHEMA_RETRIES = 10, SCHEMA_LOCK_TIMEOUT = 300 /* s */ }; /* unless options say otherwise */

/* The operand from index first on that names the database, or the default, which is printed. */
const char *schema_command_operand(const struct opt_spec *spec, int argc, char **argv, int first);
/* Fills c->url, and tells SQLite where its temporary files go. */
bool schema_command_parse(struct schema_command *c, const char *text, struct err *e);
/* Opens the database of c->url, which is tried again `retries` times (db_open_retry). */
bool schema_command_connect(struct schema_command *c, enum db_mode mode, uint64_t retries, struct err *e);
/* For a c->db that was opened otherwise: closed however the program ends, and a signal ends its statement.
 * False when it is NULL. */
bool schema_command_watch(struct schema_command *c);
/* Parses the URL and opens its database. */
bool schema_command_open(struct schema_command *c, const char *text, enum db_mode mode, uint64_t retries,
                         struct err *e);
/* For commands with --lock-timeout (seconds), which rules how long a locked SQLite file is waited for, as
 * --retries does for the others. */
bool schema_command_open_to_wait(struct schema_command *c, const char *text, enum db_mode mode,
                                 uint64_t retries, uint64_t lock_timeout, struct err *e);
/* The same timeout in ms. */
int schema_command_ms(uint64_t lock_timeout);
/* Closes it before the program's end. */
void schema_command_close(struct schema_command *c);
/* A release by its name; by default (NULL) that of the mlflow on PATH, which is printed. */
const struct schema_release *schema_command_release(const char *name, struct err *e);
/* The revision of that release, or of a revision's or release's name. */
int schema_command_target(const char *name, struct err *e);
void schema_command_print_result(const struct schema_command *c, int rev);

#endif
