/* A pass over rows, read by one statement and changed by another; for data migrations. */
#ifndef FORMATS_PASS_H
#define FORMATS_PASS_H

#include "formats/database/db.h"
#include "formats/python/text.h"

struct pass {
    struct db *db;
    const char *what; /* name of the rows, for the progress line */
    struct db_stmt *read;
    struct db_stmt *write;
    struct pyjson json; /* scratch */
    uint64_t cut[2];    /* number of texts truncated by `row`, for the caller */
    struct err *e;
};

/* Prepares both statements. what must live as long as p. Call pass_end() even after a failure. */
bool pass_start(struct pass *p, struct db *db, const char *what, const char *read, const char *write,
                struct err *e);
/* Calls `row` for each row read; it binds p->write, or returns 0 to skip the row, or -1 on an error. Without
 * rows, as in a new database or a rehearsal, there is no progress line. */
bool pass_run(struct pass *p, int (*row)(struct pass *));
/* Frees p and returns ok. */
bool pass_end(struct pass *p, bool ok);
/* Column i, from 0, of the row read. */
struct value pass_column(struct pass *p, int i);

#endif
