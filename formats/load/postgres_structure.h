/* Drops foreign keys, keys and indexes of PostgreSQL tables while they are filled, and recreates them with
 * all their properties, so that `pg_dump -s` writes the same before and after. */
#ifndef FORMATS_LOAD_POSTGRES_STRUCTURE_H
#define FORMATS_LOAD_POSTGRES_STRUCTURE_H

#include "formats/database/db.h"

/* One or more statements, separated by semicolons. */
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

/* `tables` is an array of the tables in PostgreSQL's syntax: {a,b}. */

/* Why this role cannot drop and recreate all of it, malloc'ed; NULL if it can. */
bool load_structure_obstacle(struct db *db, const char *tables, char **why, struct err *e);
/* Drops the structure of the tables, in the transaction that recreates it, and adds it to s. Pending triggers
 * of deferred constraints are run first. */
bool load_structure_drop(struct db *db, const char *tables, struct load_structure *s, struct err *e);
/* Recreates definitions from..n - 1. */
bool load_structure_make(struct db *db, const struct load_definitions *d, int from, struct err *e);
void load_structure_free(struct load_structure *s);

#endif
