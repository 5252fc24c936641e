/* The structure of a database as facts about its tables, in words independent of the layout of CREATE
 * statements and of generated names. Private to formats/schema/. */
#ifndef FORMATS_SCHEMA_SHAPE_H
#define FORMATS_SCHEMA_SHAPE_H

#include "formats/schema/schema.h"

struct schema_fact {
    char *table;
    enum dialect dialect;
    char *text; /* "column run_uuid VARCHAR(32) NOT NULL", "primary key (run_uuid)", "index x on (a, b)",
                   "check (…)", "trigger x …": a type, for some a name, and everything that MLflow depends on */
};
struct schema_shape {
    struct schema_fact *facts; /* sorted by table and text */
    int n;
    enum dialect dialect;
};

/* Adds a fact, copying the texts. Sort after adding all, before any look-up. */
void schema_shape_add(struct schema_shape *s, const char *table, size_t table_len, const char *text,
                      size_t len);
void schema_shape_sort(struct schema_shape *s);

/* Reads the facts of all tables of a database except alembic_version. Reads only the catalog, within an open
 * transaction if there is one. */
bool schema_shape_read(struct db *db, struct schema_shape *out, struct err *e);
/* The facts expected of a database of that revision, in the dialect of db and with 64-bit experiment ids if
 * db has them. Nothing is created in db. */
bool schema_shape_expected(struct db *db, int rev, struct schema_shape *out, struct err *e);
void schema_shape_free(struct schema_shape *s);

/* Writes a digest of all facts, as text. */
enum { SCHEMA_DIGEST = 33 }; /* bytes, including the NUL */
void schema_shape_digest(const struct schema_shape *s, char out[SCHEMA_DIGEST]);

/* Finds a fact, or NULL. */
const struct schema_fact *schema_shape_find(const struct schema_shape *s, const char *table,
                                            const char *text);
bool schema_shape_has_table(const struct schema_shape *s, const char *table);
/* Finds a column's fact by its name, or NULL. */
const struct schema_fact *schema_shape_column(const struct schema_shape *s, const char *table,
                                              const char *column);
/* The name in "column NAME …" or "index NAME …", malloc'ed. */
char *schema_fact_name(const struct schema_fact *f);
bool schema_fact_is(const struct schema_fact *f, const char *kind);

/* The revision whose tables and columns are most similar to these facts (stamp.c); among several `prefer` if
 * it is one of them, else the last. */
bool schema_nearest_of(const struct schema_shape *real, int prefer, int *rev, struct err *e);

#endif
