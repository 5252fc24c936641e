/* What the PostgreSQL texts of revisions in migrations/ create, change and require; used to find obstacles to
 * an upgrade. */
#ifndef FORMATS_SCHEMA_NEEDS_H
#define FORMATS_SCHEMA_NEEDS_H

#include "formats/schema/schema.h"

/* Lists of requirements by type. Rows are JSON objects, read by obstacle_*.sql, with the columns named here
 * and n, the revision's rev; missing values are omitted. */
enum schema_need {
    SCHEMA_MADE,      /* name of a relation, tab (if it belongs to a table), may_be_there (already) */
    SCHEMA_FUNCTIONS, /* name */
    SCHEMA_KEYS,      /* tab, name of a constraint, has_index, of_new_table */
    SCHEMA_ADDED,     /* tab, col, type, may_be_there (already), has_default */
    SCHEMA_CHANGED,   /* tab, col, how: 'changes', 'drops' or 'renames' */
    SCHEMA_GONE,      /* tab and name of a constraint, or name of an index, that is dropped and must exist */
    SCHEMA_USED,     /* tab, by (a table that refers to it), how: 'OWN' or 'REFERENCES', the required right */
    SCHEMA_WRITTEN,  /* tab, how: 'INSERT', 'UPDATE' or 'DELETE' */
    SCHEMA_PLPGSQL,  /* the revision uses PL/pgSQL */
    SCHEMA_REPLACED, /* tab, col: a key that is found by its columns; the primary key, or a unique one on col
                       */
    SCHEMA_NEEDS
};
struct schema_needs {
    struct buf rows[SCHEMA_NEEDS]; /* separated by commas */
};

/* Adds the requirements in a revision's text, except REPLACED. Zero-initialise needs. */
void schema_needs_add(struct schema_needs *needs, int rev);
/* Adds a row with its first two columns and `how`; each of these may be NULL. */
void schema_needs_add_row(struct schema_needs *needs, enum schema_need list, const char *first,
                          const char *second, const char *how, int rev);
/* Appends `"PREFIXlist": [rows]`, with the list's name in lower case. */
void schema_needs_write(const struct schema_needs *needs, enum schema_need list, const char *prefix,
                        struct buf *out);
void schema_needs_free(struct schema_needs *needs);

#endif
