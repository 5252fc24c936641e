/* The columns of trace_info, spans and assessments that MLflow 3.17 (revision 75868b020152) derives from
 * tags, metadata, metrics and values, by the rules of its migration and its SqlAlchemyStore, which agree.
 * Shared by loading and the migration, not by ml-verify. */
#ifndef FORMATS_TRACE_COLUMNS_H
#define FORMATS_TRACE_COLUMNS_H

#include "formats/python/text.h"
#include "formats/record/record.h"

enum { TRACE_TOKENS = 6, TRACE_COSTS = 3 };
enum {
    TRACE_COLUMN_NAME,
    TRACE_COLUMN_SESSION,
    TRACE_COLUMN_TOKENS,
    TRACE_COLUMN_COSTS = TRACE_COLUMN_TOKENS + TRACE_TOKENS
};
enum { TRACE_NAME_MAX = 4096, SESSION_ID_MAX = 250, MODEL_NAME_MAX = 500 }; /* characters */

/* trace_name, session_id, then token counts and costs, named like the keys of the JSON objects that they come
 * from; terminated by NULL. */
extern const char *const trace_columns[TRACE_COLUMN_COSTS + TRACE_COSTS + 1];

/* input_cost, output_cost and total_cost, named like the keys of span_metrics that they come from; then
 * model_name and model_provider, from spans.dimension_attributes; terminated by NULL. */
enum { SPAN_COLUMN_MODEL = TRACE_COSTS, SPAN_COLUMN_PROVIDER, SPAN_COLUMNS };
extern const char *const span_columns[SPAN_COLUMNS + 1];

/* The columns of trace_info that a tag or request metadata of a trace is stored in. */
enum trace_part { TRACE_PART_NONE, TRACE_PART_NAME, TRACE_PART_SESSION, TRACE_PART_USAGE, TRACE_PART_COST };
enum trace_part trace_part_of(const struct record *r);

/* A token count: Python's Decimal(str(v)) if that is an integer of 64 bits, else NULL. v may be NULL: no such
 * member. */
struct value trace_token_count(const struct pyjson_value *v);
/* The same for the value of a metric. */
struct value trace_token_count_of_number(const struct value *v);
/* A cost: Python's float(v) if that is finite, else NULL. */
struct value trace_cost(const struct pyjson_value *v);
/* The same for the value of a metric. */
struct value trace_cost_of_number(const struct value *v);
/* model_name and model_provider (texts in json, or NULL) of a span's dimension_attributes, truncated to
 * MODEL_NAME_MAX; cut[0] and cut[1] count truncations. v may be NULL or the JSON value null: no dimensions.
 * Returns NULL, or what is wrong, to be printed after "dimension_attributes ": MLflow's migration rejects
 * what these two columns could not hold. */
const char *span_dimensions(struct pyjson *json, const struct value *v, struct value *model,
                            struct value *provider, uint64_t cut[2]);
/* d, or NULL if it is not finite. */
struct value trace_finite(double d);
/* Text truncated to max characters, incrementing *cut if so; NULL if v is not text. */
struct value trace_text(const struct value *v, size_t max, uint64_t *cut);
/* assessments.aggregate_value (REAL or NULL) and is_numeric_value of an assessment's value. json is scratch.
 */
void assessment_aggregate(struct pyjson *json, const struct value *text, struct value *aggregate,
                          bool *is_numeric);

#endif
