/* The sources of ml-migrate and ml-sync: file stores and databases, named or found. */
#ifndef TOOLS_SOURCES_H
#define TOOLS_SOURCES_H

#include <stdbool.h>
#include <stddef.h>

struct source {
    char *location; /* a directory, or a database URL */
    bool is_database;
};

/* Zero-initialise it; sources_free releases it. */
struct sources {
    struct source *items;
    size_t n;
    bool incomplete; /* sources_find could not read everything; each such path has been reported */
};

/* Adds a location from the command line: a regular file is a SQLite database; anything else that is not a
 * database URL is a file store. */
void sources_add(struct sources *s, const char *location);
/* Adds every file store and every MLflow SQLite file below dir. tmpdir: as for find_sources. Exits with a
 * message when there is none. */
void sources_find(struct sources *s, const char *dir, const char *tmpdir);
/* Lists them on standard error if there is more than one; without passwords. */
void sources_print(const struct sources *s);
void sources_free(struct sources *s);

#endif
