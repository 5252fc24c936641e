/* What MLflow 3.17 (revision 75868b020152) keeps in columns of trace_info and assessments, and how it makes
 * them from tags, metadata and values. The rules are those of MLflow's migration and of its SqlAlchemyStore,
 * which agree; loading and the migration share them. ml-verify does not. */
#ifndef FORMATS_TRACE_COLUMNS_H
#define FORMATS_TRACE_COLUMNS_H

#include "formats/python/text.h"
#include "formats/record/value.h"

enum { TRACE_TOKENS = 6, TRACE_COSTS = 3 };
enum {
    TRACE_COLUMN_NAME,
    TRACE_COLUMN_SESSION,
    TRACE_COLUMN_TOKENS,
    TRACE_COLUMN_COSTS = TRACE_COLUMN_TOKENS + TRACE_TOKENS
};
enum { TRACE_NAME_MAX = 4096, SESSION_ID_MAX = 250 }; /* characters */

/* trace_name, session_id, then those of token counts and of costs, named like the keys of the JSON objects
 * that they are taken from; ended by NULL. */
extern const char *const trace_columns[TRACE_COLUMN_COSTS + TRACE_COSTS + 1];

/* A count of tokens: Python's Decimal(str(v)) where that is whole and of 64 bits, else NULL. v may be NULL:
 * no such member. */
struct value trace_token_count(const struct pyjson_value *v);
/* The same of a number from a metric. */
struct value trace_token_count_of_number(const struct value *v);
/* A cost: Python's float(v) where that is finite, else NULL. */
struct value trace_cost(const struct pyjson_value *v);
/* d, or NULL when it is not finite. */
struct value trace_finite(double d);
/* Text cut to max characters, *cut counted up when something was cut; NULL for what is no text. */
struct value trace_text(const struct value *v, size_t max, uint64_t *cut);
/* assessments.aggregate_value (REAL or NULL) and is_numeric_value of an assessment's value. json is scratch.
 */
void assessment_aggregate(struct pyjson *json, const struct value *text, struct value *aggregate,
                          bool *is_numeric);

#endif
