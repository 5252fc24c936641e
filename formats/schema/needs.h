/* What the PostgreSQL texts of revisions make, change and need, read from migrations/, for the
 * search of what stands in an upgrade's way. */
#ifndef FORMATS_SCHEMA_NEEDS_H
#define FORMATS_SCHEMA_NEEDS_H

#include "formats/schema/schema.h"

/* A list of what a revision has of a sort. Its rows are JSON objects, as the obstacle_*.sql read them: with
 * the columns named here and n, the revision's rev; what a row does not have is left out. */
enum schema_need {
    SCHEMA_MADE,      /* name of a relation, tab (its own, where it is one), may_be_there (already) */
    SCHEMA_FUNCTIONS, /* name */
    SCHEMA_KEYS,      /* tab, name of a constraint, has_index, of_new_table */
    SCHEMA_ADDED,     /* tab, col, type, may_be_there (already), has_default */
    SCHEMA_CHANGED,   /* tab, col, how: 'changes', 'drops' or 'renames' */
    SCHEMA_GONE,      /* tab and name of a constraint, or name of an index: it is dropped and must be there */
    SCHEMA_USED,      /* tab, by (a table that refers to it), how: 'OWN' or 'REFERENCES', the right needed */
    SCHEMA_WRITTEN,   /* tab, how: 'INSERT', 'UPDATE' or 'DELETE' */
    SCHEMA_PLPGSQL,   /* there are statements in that language */
    SCHEMA_REPLACED,  /* tab, col: a key that is found by what it is; the primary one, or a unique one of col
                       */
    SCHEMA_NEEDS
};
struct schema_needs {
    struct buf rows[SCHEMA_NEEDS]; /* with commas between them */
};

/* Adds what a revision's text says: all but REPLACED. Zero-initialise the needs. */
void schema_needs_add(struct schema_needs *needs, int rev);
/* Adds a row; each but rev may be NULL: the first two columns, and `how`. */
void schema_needs_add_row(struct schema_needs *needs, enum schema_need list, const char *first,
                          const char *second, const char *how, int rev);
/* Appends `"PREFIXlist": [rows]`, the list by its name in small letters. */
void schema_needs_write(const struct schema_needs *needs, enum schema_need list, const char *prefix,
                        struct buf *out);
void schema_needs_free(struct schema_needs *needs);

#endif
