/* ml-schema sql: prints an upgrade as a script. */
#include "formats/schema/command.h"

#include <stdio.h>
#include <string.h>

#include "common/buf.h"

struct options {
    const char *dialect, *from, *to;
};
static const struct opt table[] = {
    {OPT_STRING, 0, "dialect", "sqlite|postgresql", "the SQL dialect of the script",
     OPT_AT(struct options, dialect)},
    {OPT_STRING, 0, "from", "REVISION|RELEASE", "the database's revision (default: an empty database)",
     OPT_AT(struct options, from)},
    {OPT_STRING, 0, "to", "REVISION|RELEASE", "the revision to stop at (default: that of the mlflow on PATH)",
     OPT_AT(struct options, to)},
    {.type = OPT_END},
};
static const struct opt_spec spec = {
    .synopsis = SCHEMA_USAGE_SQL,
    .about = schema_command_about,
    .options = table,
};

int schema_command_sql(struct schema_command *c, int argc, char **argv, struct err *e)
{
    struct options o = {.to = NULL};
    int first = opt_parse(&spec, argc, argv, &o);
    (void)c;
    if (first < argc)
        opt_usage_error(&spec, "no database is used: %s", argv[first]);
    bool sqlite = o.dialect && strcmp(o.dialect, "sqlite") == 0;
    if (!sqlite && (!o.dialect || strcmp(o.dialect, "postgresql") != 0))
        opt_usage_error(&spec, "--dialect must be sqlite or postgresql");
    int from = o.from ? schema_find_target(o.from, e) : SCHEMA_EMPTY;
    if (o.from && from < 0)
        return EXIT_TROUBLE;
    int to = schema_command_target(o.to, e);
    if (to < 0)
        return EXIT_TROUBLE;
    if (from > to) {
        err_set(e, "--from", "%s is newer than %s", schema_revisions[from].revision,
                schema_revisions[to].revision);
        return EXIT_TROUBLE;
    }
    struct buf script = {0};
    schema_script(sqlite ? DIALECT_SQLITE : DIALECT_POSTGRESQL, from, to, &script);
    fwrite(buf_str(&script), 1, script.len, stdout);
    buf_free(&script);
    return EXIT_DONE;
}
