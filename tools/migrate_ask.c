/* What ml-migrate asks on a terminal. */
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"
#include "formats/database/url.h"
#include "tools/migrate.h"

static bool exists(const char *url)
{
    struct db_url u;
    struct stat st;
    if (!db_url_parse(url, &u, NULL))
        return false;
    bool is = u.path && stat(u.path, &st) == 0;
    db_url_free(&u);
    return is;
}

/* Reads a line's first word; an end of input is "no". */
static bool is_yes(void)
{
    char answer[16] = "";
    if (!fgets(answer, sizeof answer, stdin))
        return false;
    answer[strcspn(answer, " \t\r\n")] = '\0';
    return strcasecmp(answer, "y") == 0 || strcasecmp(answer, "yes") == 0;
}

bool migrate_ask(const struct migration *m)
{
    const char *source = m->sources.items[0].location, *target = m->options.target;
    struct stat st;
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO) || stat(source, &st) != 0)
        return true; /* a source that is not there is an error of the program that reads it */
    fprintf(stderr,
            "This would migrate the file store %s\n"
            "to the database %s, which %s.\n"
            "The file store is only read, and artifacts stay where they are.\n"
            "To see other sources, targets and options: ml-migrate --help\n"
            "Migrate? [y/N] ",
            source, target, exists(target) ? "exists and must be empty" : "will be created");
    if (is_yes())
        return true;
    if (err_interrupted())
        err_exit_interrupted();
    err_note("nothing was done");
    return false;
}
