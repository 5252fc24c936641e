/* What the PostgreSQL texts of revisions make, change and need, read from migrations/; for the search of what
 * stands in an upgrade's way. */
#ifndef FORMATS_SCHEMA_NEEDS_H
#define FORMATS_SCHEMA_NEEDS_H

#include "formats/schema/schema.h"

/* Each list is rows of SQL's VALUES, every row preceded by a comma. Their last column is the revision's
 * rev; a name that a row does not have is NULL. */
struct schema_needs {
    struct buf made;      /* relation, table (its own, where it is one), whether it may be there already */
    struct buf functions; /* function */
    struct buf keys;      /* table, constraint, whether it has an index, whether the table is new too */
    struct buf added;     /* table, column, type, whether it may be there already, whether it has a default */
    struct buf changed;   /* table, column, 'changes', 'drops' or 'renames' */
    struct buf gone;      /* table, constraint, or NULL, index: what is dropped and must be there */
    struct buf used;    /* table, table that refers to it, 'OWN' or 'REFERENCES': the right that is needed */
    struct buf written; /* table, NULL, 'INSERT', 'UPDATE' or 'DELETE' */
    struct buf plpgsql; /* NULL, NULL: has statements in that language */
};

/* Adds a revision's. Zero-initialise the needs. */
void schema_needs_add(struct schema_needs *needs, int rev);
void schema_needs_free(struct schema_needs *needs);

#endif
