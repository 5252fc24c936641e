/* A pass over rows that are read by one statement and changed by another; for data migrations. */
#ifndef FORMATS_PASS_H
#define FORMATS_PASS_H

#include "formats/database/db.h"
#include "formats/python/text.h"

struct pass {
    struct db *db;
    const char *what; /* the rows, for their progress line */
    struct db_stmt *read;
    struct db_stmt *write;
    struct pyjson json; /* scratch */
    uint64_t cut[2];    /* texts that `row` has cut, for the caller */
    struct err *e;
};

/* Prepares both statements. what is kept. pass_end() it, also when it fails. */
bool pass_start(struct pass *p, struct db *db, const char *what, const char *read, const char *write,
                struct err *e);
/* Runs `row` for each row that is read; it binds p->write, or returns 0 to leave the row, or -1 on an error.
 * Where there are no rows there is no progress line: a new database and a rehearsal have none. */
bool pass_run(struct pass *p, int (*row)(struct pass *));
/* Frees p; returns ok. */
bool pass_end(struct pass *p, bool ok);
/* Column i, from 0, of the row that was read. */
struct value pass_column(struct pass *p, int i);

#endif
