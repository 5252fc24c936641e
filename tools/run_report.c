/* Begins and writes the page about a run. */
#include "tools/run_report.h"

#include <stdlib.h>

#include "common/buf.h"
#include "common/journal.h"
#include "formats/database/db.h"

void run_report_begin(struct run_report *r, const char *path, const char *dir)
{
    struct err e;
    r->path = path;
    if (!path)
        return;
    r->began = report_time();
    if (!report_may_write(path, &e) || !journal_create(dir, &e))
        err_die(&e);
}

/* A location as it may be shown, malloc'ed: a URL without its password. */
static char *shown(const char *location, bool is_database)
{
    struct db_url u;
    char *real = is_database ? NULL : xrealpath(location);
    if (real)
        return real;
    if (!is_database || !db_url_parse(location, &u, NULL))
        return xstrdup(location);
    char *text = xstrdup(u.display);
    db_url_free(&u);
    return text;
}

int run_report_end(const struct run_report *r, const struct sources *sources, const char *target,
                   struct report about)
{
    struct err e;
    if (!r->path)
        return about.status;
    char **names = xcalloc(sources->n + 1, sizeof *names), *to = shown(target, true);
    for (size_t i = 0; i < sources->n; i++)
        names[i] = shown(sources->items[i].location, sources->items[i].is_database);
    about.sources = (const char *const *)names;
    about.n_sources = sources->n;
    about.target = to;
    about.began = r->began;
    bool ok = report_write(r->path, &about, &e);
    if (ok && about.of == REPORT_MIGRATION)
        err_note("the report is in %s", r->path);
    if (!ok)
        err_report(&e);
    for (size_t i = 0; i < sources->n; i++)
        free(names[i]);
    free(names);
    free(to);
    return !ok && about.status == EXIT_DONE ? EXIT_ANSWER_NO : about.status;
}

void run_report_free(struct run_report *r)
{
    free(r->began);
}
