/* The tables that limits are judged by, and what the judgements of fields (limits.c) and rows (limits_rows.c)
 * share. Private to limits*.c. */
#ifndef FORMATS_SCHEMA_LIMITS_TABLES_H
#define FORMATS_SCHEMA_LIMITS_TABLES_H

#include "formats/python/span_content.h"
#include "formats/python/text.h"
#include "formats/schema/limits.h"

enum { MAX_TABLES = 96, MAX_WORDS = 6 };

struct limits_column {
    char *name;
    size_t name_len;
    enum column_type type;
    int64_t max_length; /* characters, where the dialect enforces it; 0: no limit */
    bool not_null;
    bool has_default;
    bool in_key;
    bool generated;
    bool is_json; /* and the dialect enforces it */
};

struct limits_table {
    const char *name;
    struct limits_column *columns;
    int n;
};

/* The allowed words of a field. */
struct word_list {
    enum kind kind;
    int field;
    bool closed; /* no other words are allowed */
    struct {
        const char *text;
        int since; /* the first revision that knows it */
    } words[MAX_WORDS];
    const char *what;
};

enum place { PLACE_NONE, PLACE_MISSING, PLACE_COLUMN };

struct field_limits {
    enum place place;
    bool needed;   /* the record is useless without it */
    bool required; /* it cannot be null */
    const struct limits_column *column;
    const struct word_list *words;
};

struct kind_limits {
    bool has_is_nan;
    struct field_limits fields[RECORD_MAX_FIELDS];
};

struct limits {
    enum dialect dialect;
    int rev;
    bool wide;
    struct limits_table tables[MAX_TABLES];
    int n_tables;
    struct kind_limits kinds[KIND_COUNT];
    const struct limits_table **row_tables; /* for each of row_tables[]; NULL if missing */
    struct pyjson json;
    struct span_content span;
    bool has_default;           /* there is an experiment 0 */
    char default_elsewhere[24]; /* id of another one named Default */
};

/* A column of the table, or NULL. */
const struct limits_column *limits_find_column(const struct limits_table *t, const char *name, size_t len);

/* Fill m; return false. */
bool limits_misfit(struct misfit *m, enum misfit_kind kind);
bool limits_wrong(struct misfit *m, enum misfit_kind kind, const char *what);

/* Whether the column can hold the text or the integer; false with m filled. c NULL: any text column. */
bool limits_judge_text(struct limits *l, const struct limits_column *c, const struct value *v,
                       struct misfit *m);
bool limits_judge_int(const struct limits_column *c, const struct value *v, struct misfit *m);

#endif
