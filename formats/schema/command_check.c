/* ml-schema check: checks whether a database has the schema of a release. */
#include "formats/schema/command.h"

#include <stdio.h>
#include <string.h>

#include "common/buf.h"
#include "common/printable.h"

struct options {
    const char *release;
    uint64_t retries;
};
static const struct opt table[] = {
    {OPT_STRING, 0, "release", "X.Y[.Z]",
     "the MLflow release that will open it (default: that of the mlflow on PATH)",
     OPT_AT(struct options, release)},
    {OPT_SIZE, 0, "retries", "N", "retries if a server is not ready or a SQLite file is locked (default: 10)",
     OPT_AT(struct options, retries)},
    {.type = OPT_END},
};
static const struct opt_spec spec = {
    .synopsis = SCHEMA_USAGE_CHECK,
    .about = schema_command_about,
    .options = table,
};

static void print_line(const char *line, void *unused)
{
    struct buf text = {0};
    (void)unused;
    printable_add(&text, line, strlen(line)); /* names and definitions come from the database */
    puts(buf_str(&text));
    buf_free(&text);
}

/* Prints the summary after the findings. */
static void print_answer(int rev, int findings, const struct schema_release *release)
{
    struct buf releases = {0};
    schema_releases_of(rev, &releases);
    if (rev != release->rev)
        printf("revision %s (%s) is %s that of MLflow %s, %s\n", schema_revisions[rev].revision,
               buf_str(&releases), rev < release->rev ? "older than" : "newer than", release->release,
               release->revision);
    else if (findings == 0)
        printf("revision %s, as required by MLflow %s\n", release->revision, release->release);
    buf_free(&releases);
}

int schema_command_check(struct schema_command *c, int argc, char **argv, struct err *e)
{
    struct options o = {.retries = SCHEMA_RETRIES};
    int first = opt_parse(&spec, argc, argv, &o), rev;
    struct schema_findings found = {.difference = print_line, .tolerated = print_line};
    const char *text = schema_command_operand(&spec, argc, argv, first);
    const struct schema_release *release = schema_command_release(o.release, e);
    if (!release || !schema_command_open(c, text, DB_READ, o.retries, e) ||
        !schema_rev_to_check(c->db, &rev, e))
        return EXIT_TROUBLE;
    if (rev == SCHEMA_EMPTY) {
        puts("the database has no MLflow tables");
        return EXIT_ANSWER_NO;
    }
    if (!schema_check(c->db, rev, &found, e))
        return EXIT_TROUBLE;
    print_answer(rev, found.differences, release);
    return rev == release->rev && found.differences == 0 ? EXIT_DONE : EXIT_ANSWER_NO;
}
