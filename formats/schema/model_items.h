/* Shared by the files of the PostgreSQL model: its items, and the parser of a table's definitions. */
#ifndef FORMATS_SCHEMA_MODEL_ITEMS_H
#define FORMATS_SCHEMA_MODEL_ITEMS_H

#include "formats/database/sql_text.h"
#include "formats/schema/shape.h"

enum schema_item_kind { ITEM_COLUMN, ITEM_KEY, ITEM_INDEX, ITEM_TRIGGER };

struct schema_item {
    enum schema_item_kind kind;
    char *table, *name;
    char *text; /* a column's type, else the fact */
    char *rest; /* of a column: " DEFAULT …", " GENERATED …"; else NULL */
    bool not_null;
};

struct schema_model {
    struct schema_item *items;
    size_t n;
    bool wide;
    int rev;        /* the revision being read */
    char *function; /* the body of the last trigger function */
    struct err *e;
};

/* -- items (model_items.c) */

struct schema_item *schema_model_add(struct schema_model *m, enum schema_item_kind kind, const char *table,
                                     const char *name, const char *what);
void schema_model_remove(struct schema_model *m, struct schema_item *i);
/* table NULL: any table. NULL if there is none. */
struct schema_item *schema_model_find(struct schema_model *m, enum schema_item_kind kind, const char *table,
                                      const char *name);
bool schema_model_has_table(const struct schema_model *m, const char *table);
/* Whether a key or index includes the column. */
bool schema_model_mentions(const struct schema_item *i, const char *column);
/* Adds all items as facts, sorted. */
void schema_model_give(const struct schema_model *m, struct schema_shape *out);
void schema_model_free(struct schema_model *m);

/* Returns false with the model's error filled: the text at `at` cannot be parsed. */
bool schema_model_unreadable(struct schema_model *m, const char *at);
/* Reads the next parenthesized text, in normal form and with its parentheses; false if there is none. */
bool schema_model_take_brackets(struct sql_text *t, struct buf *out);

/* -- a table's columns and constraints (model_table.c): false with the model's error filled */

/* Reads a type: returns its base name and appends it in full ("character varying(32)"); NULL on error. */
const char *schema_model_take_type(struct schema_model *m, struct sql_text *t, const char *column,
                                   struct buf *whole);
bool schema_model_read_column(struct schema_model *m, const char *table, struct sql_text t);
bool schema_model_is_constraint(struct sql_text t);
bool schema_model_read_constraint(struct schema_model *m, const char *table, struct sql_text t);

#endif
