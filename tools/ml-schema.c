/* ml-schema: creates, upgrades, checks and shows MLflow's database schema. */
#include <string.h>

#include "common/array.h"
#include "common/buf.h"
#include "common/err.h"
#include "common/io.h"
#include "common/opt.h"
#include "formats/schema/command.h"

static const struct command {
    const char *name;
    schema_command_run *run;
} commands[] = {
    {"create", schema_command_create},
    {"upgrade", schema_command_upgrade},
    {"current", schema_command_current},
    {"history", schema_command_history},
    {"check", schema_command_check},
    {"sql", schema_command_sql},
    {"migrate-to-default-workspace", schema_command_move},
};

static const struct opt no_options[] = {{.type = OPT_END}};
static const struct opt_spec spec = {
    .synopsis =
        SCHEMA_USAGE_CREATE "\n" SCHEMA_USAGE_UPGRADE "\n" SCHEMA_USAGE_CURRENT "\n" SCHEMA_USAGE_HISTORY
                            "\n" SCHEMA_USAGE_CHECK "\n" SCHEMA_USAGE_SQL "\n" SCHEMA_USAGE_MOVE,
    .about = schema_command_about,
    .options = no_options,
};

static int run(const struct command *command, int argc, char **argv)
{
    static struct schema_command c; /* lives as long as the program */
    struct err e;
    int code = command->run(&c, argc, argv, &e);
    if (code == EXIT_TROUBLE)
        err_die(&e);
    io_close_stdout();
    return code;
}

int main(int argc, char **argv)
{
    malloc_setup();
    err_program_set(argv[0]);
    io_claim_standard_files();
    err_catch_signals();
    for (size_t i = 0; argc > 1 && i < ARRAY_LENGTH(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return run(&commands[i], argc - 1, argv + 1);
    int first = opt_parse(&spec, argc, argv, NULL);
    if (first < argc)
        opt_usage_error(&spec, "unknown command '%s'", argv[first]);
    opt_usage_error(&spec, "a command is required");
}
