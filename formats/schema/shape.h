/* The shape of a database: facts about its tables, in words that do not depend on the layout of CREATE
 * statements or on names that nobody uses. For the schema's own files alone. */
#ifndef FORMATS_SCHEMA_SHAPE_H
#define FORMATS_SCHEMA_SHAPE_H

#include "formats/schema/schema.h"

struct schema_fact {
    char *table;
    enum dialect dialect;
    char *text; /* "column run_uuid VARCHAR(32) NOT NULL", "primary key (run_uuid)", "index x on (a, b)",
                   "check (…)", "trigger x …": a kind, for some a name, and all that MLflow depends on */
};
struct schema_shape {
    struct schema_fact *facts; /* sorted by table and text */
    int n;
    enum dialect dialect;
};

/* Adds a fact; the texts are copied. Sort when all are there, before anything is looked up. */
void schema_shape_add(struct schema_shape *s, const char *table, size_t table_len, const char *text,
                      size_t len);
void schema_shape_sort(struct schema_shape *s);

/* The facts of all tables of a database but alembic_version's. Reads only the catalog, within the transaction
 * that may be open. */
bool schema_shape_read(struct db *db, struct schema_shape *out, struct err *e);
/* The facts that a database of that revision has, of the dialect of db and with 64-bit experiment ids where
 * it has such. Nothing is made in it. */
bool schema_shape_expected(struct db *db, int rev, struct schema_shape *out, struct err *e);
void schema_shape_free(struct schema_shape *s);

/* Writes a digest of all facts, as text. */
enum { SCHEMA_DIGEST = 33 }; /* bytes, with a NUL */
void schema_shape_digest(const struct schema_shape *s, char out[SCHEMA_DIGEST]);

/* The fact, or NULL. */
const struct schema_fact *schema_shape_find(const struct schema_shape *s, const char *table,
                                            const char *text);
bool schema_shape_has_table(const struct schema_shape *s, const char *table);
/* A column's fact by its name, or NULL. */
const struct schema_fact *schema_shape_column(const struct schema_shape *s, const char *table,
                                              const char *column);
/* The name in "column NAME …" or "index NAME …", malloc'ed. */
char *schema_fact_name(const struct schema_fact *f);
bool schema_fact_is(const struct schema_fact *f, const char *kind);

/* The revision whose tables and columns are nearest to those facts (stamp.c): of several `prefer`, or else
 * the last. */
bool schema_nearest_of(const struct schema_shape *real, int prefer, int *rev, struct err *e);

#endif
