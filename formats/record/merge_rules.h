/* What a sync does with each field of an entity that both sides have (entities.def: MERGE and its like), as
 * tables. Who applies them: formats/sync/ writes by them, ml-verify --subset compares by them, each in code
 * of its own. */
#ifndef FORMATS_MERGE_RULES_H
#define FORMATS_MERGE_RULES_H

#include "formats/record/record.h"

enum merge_rule {
    MERGE_RULE_NONE, /* of no entity's field */
    MERGE_RULE_KEY,
    MERGE_RULE_KEEP,
    MERGE_RULE_IMM,
    MERGE_RULE_SRC,
    MERGE_RULE_NEWER,
    MERGE_RULE_NEWER_OR_EQUAL,
    MERGE_RULE_GREATEST,
    MERGE_RULE_LATEST,
    MERGE_RULE_UNION,
    MERGE_RULE_TABLE, /* of a row of a table without a kind */
};

struct merge_field {
    enum merge_rule rule;
    int unit; /* the field that leads the unit; a leader's own place */
};

/* Exceptions for some records of a kind. */
enum merge_case {
    MERGE_CASE_WHERE,  /* where `by` has `text`: rule */
    MERGE_CASE_NULL,   /* where `by` is one of `text`, separated by commas: a null is taken */
    MERGE_CASE_NEVER,  /* the value `text` never replaces one of `over`, separated by commas */
    MERGE_CASE_ABSORB, /* the value `text` wins, whatever the times */
    MERGE_CASE_MAKER,  /* the unit is taken only if `by` is equal on both sides */
};

struct merge_exception {
    enum kind kind;
    enum merge_case what;
    int field;            /* a unit's leader, but for MERGE_CASE_NULL */
    enum merge_rule rule; /* of MERGE_CASE_WHERE */
    int by;               /* -1: none */
    const char *text, *over;
};

/* NULL for kinds that are not entities. One for each field. */
const struct merge_field *merge_fields(enum kind k);
/* The field with the time that decides MERGE_RULE_NEWER; -1: none. */
int merge_time(enum kind k);
extern const struct merge_exception merge_exceptions[];
extern const int merge_exceptions_count;
/* True when a list split by commas holds the text. */
bool merge_listed(const char *list, const struct value *text);

/* What the keys of an experiment's tags begin with in which a sync keeps the generation of a state: no part
 * of the data, not dumped, not compared, and not what keeps a database from being empty. */
#define MERGE_WATERMARK "mlruns-tools.sync."

/* -- rows of tables without a kind */

/* The columns, split by commas, by which a row of the table is found before its primary key; NULL: none. */
const char *merge_natural_key(const char *table);
/* The column with the time of the last change; NULL: none. */
const char *merge_updated(const char *table);
struct merge_link {
    const char *table, *column; /* holds the primary key */
    const char *to;             /* of this table, which has a natural one */
};
extern const struct merge_link merge_links[];
extern const int merge_links_count;

#endif
