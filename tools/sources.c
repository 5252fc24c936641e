/* The sources of ml-migrate and ml-sync: file stores and databases, named or found. */
#include "tools/sources.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "common/buf.h"
#include "common/err.h"
#include "formats/database/db.h"
#include "formats/database/find.h"

static void add_source(void *arg, const char *location, bool is_database)
{
    struct sources *s = arg;
    s->items = xrealloc(s->items, (s->n + 1) * sizeof *s->items);
    s->items[s->n++] = (struct source){.location = xstrdup(location), .is_database = is_database};
}

static void report_unreadable(void *arg, const char *path, const char *reason)
{
    struct sources *s = arg;
    err_print(path, "%s", reason);
    s->incomplete = true;
}

void sources_add(struct sources *s, const char *location)
{
    struct stat st;
    if (db_url_is_database(location) || stat(location, &st) != 0 || !S_ISREG(st.st_mode)) {
        add_source(s, location, db_url_is_database(location));
        return;
    }
    char *url = find_sqlite_url(location);
    add_source(s, url, true);
    free(url);
}

void sources_print(const struct sources *s)
{
    for (size_t i = 0; s->n > 1 && i < s->n; i++) {
        struct db_url u;
        if (s->items[i].is_database && db_url_parse(s->items[i].location, &u, NULL)) {
            err_note("source %zu of %zu: %s", i + 1, s->n, u.display);
            db_url_free(&u);
        } else {
            err_note("source %zu of %zu: %s", i + 1, s->n, s->items[i].location);
        }
    }
}

void sources_find(struct sources *s, const char *dir, const char *tmpdir)
{
    struct err e;
    size_t before = s->n;
    if (!find_sources(dir, tmpdir, add_source, report_unreadable, s, &e))
        err_die(&e);
    if (s->n == before && !s->incomplete)
        die(dir, "no file store and no MLflow SQLite file found below it");
}

void sources_free(struct sources *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->items[i].location);
    free(s->items);
}
