/* What is dropped of PostgreSQL's tables while they are filled, and made again after that, so that `pg_dump
 * -s` writes the same before and after: foreign keys, keys and indexes, with all that hangs on them. */
#ifndef FORMATS_LOAD_POSTGRES_STRUCTURE_H
#define FORMATS_LOAD_POSTGRES_STRUCTURE_H

#include "formats/database/db.h"

/* Statements, more than one perhaps, with semicolons between them. */
struct load_definition {
    char *drop, *make;
};

struct load_definitions {
    struct load_definition *items;
    int n;
};

/* Zero-initialise it; load_structure_free releases it. */
struct load_structure {
    struct load_definitions foreign_keys; /* from these tables and from others to them */
    struct load_definitions keys;         /* and indexes that are a replica identity */
    struct load_definitions indexes;      /* all others */
};

/* `tables` is an array of the tables, as PostgreSQL writes it: {a,b}. */

/* Why this role cannot drop and make all of it again, malloc'ed; NULL when it can. */
bool load_structure_obstacle(struct db *db, const char *tables, char **why, struct err *e);
/* Drops what the tables have, in the transaction that makes it again, and adds it to s. Triggers that a
 * deferred constraint has put off are run before. */
bool load_structure_drop(struct db *db, const char *tables, struct load_structure *s, struct err *e);
/* Makes definitions from..n - 1. */
bool load_structure_make(struct db *db, const struct load_definitions *d, int from, struct err *e);
void load_structure_free(struct load_structure *s);

#endif
