/* The contract of ml-verify: when a record of the stream equals the same record in a database. Written from
 * MLflow's behaviour, sharing no code with formats/load/, so that a wrong conversion cannot verify itself.
 * Nothing else is equal:
 *
 *   metric values    within a relative 1e-9, as math.isclose() (--exact: the same bits); NaN equals NaN; an
 *                    infinity equals the greatest double of its sign, which MLflow stores instead; on
 *                    SQLite -0.0 equals 0.0, which it stores instead
 *   model metrics    the same, but NaN equals 0.0 (SqlAlchemyStore.sanitize_metric_value, whose is_nan has
 *                    no column there)
 *   JSON columns     equal as JSON; in an assessment's error a null member equals an absent one
 *   trace state      V2's TRACE_STATUS_UNSPECIFIED equals V3's STATE_UNSPECIFIED
 *   promoted values  where trace_info has columns for them (from revision 66 on): the trace name cut to 4096
 *                    and the session to 250 characters, token usage and cost reduced to the members and
 *                    numbers that have columns (mlflow/store/tracking/utils/trace_analytics.py); a record
 *                    without a usable number has no place in the database
 *   workspace        null equals "default"
 *   null             equals 0 for an input's step and a trace's payload generation, whose columns have that
 *                    default
 *   ids              of datasets and inputs: any id where the source has none, as in a file store */
#ifndef FORMATS_VERIFY_EQUALITY_H
#define FORMATS_VERIFY_EQUALITY_H

#include "common/buf.h"
#include "formats/database/db.h"
#include "formats/python/text.h"
#include "formats/record/record.h"

/* Tags and metadata of a trace that a database stores in columns of trace_info. */
enum promoted {
    PROMOTED_NONE,
    PROMOTED_NAME,    /* tag mlflow.traceName */
    PROMOTED_SESSION, /* metadata mlflow.trace.session */
    PROMOTED_USAGE,   /* metadata mlflow.trace.tokenUsage */
    PROMOTED_COST,    /* metadata mlflow.trace.cost */
    PROMOTED_COUNT
};
/* Which of them a record is, if any. */
enum promoted equality_promoted(const struct record *r);

/* Names of token counts and costs in JSON objects, in metrics tables and as columns; terminated by NULL. */
enum { EQUALITY_TOKENS = 6, EQUALITY_COSTS = 3 };
extern const char *const equality_token_keys[EQUALITY_TOKENS + 1],
    *const equality_cost_keys[EQUALITY_COSTS + 1];

struct equality {
    enum dialect dialect;
    bool exact;                    /* compare floats bit by bit */
    bool promoted[PROMOTED_COUNT]; /* the database has columns for it */
    struct pyjson json, other;     /* private, as text */
    struct buf text;
};
void equality_free(struct equality *q);

/* Converts a record of either side into the form that is compared and reported. Its new strings live until
 * the next call with the same q. false: the database cannot store any of it. */
bool equality_normalise(struct equality *q, struct record *r);

/* Whether field i is equal in both. */
bool equality_same(struct equality *q, const struct record *source, const struct record *target, int i);

/* Whether two source records are the same point in a database: all fields are equal, with -0.0 as 0.0 and
 * infinities as the greatest doubles. */
bool equality_duplicate(const struct record *a, const struct record *b);

/* What MLflow derives from an assessment's value (JSON text): aggregate_value and is_numeric_value
 * (trace_analytics.assessment_aggregate). */
void equality_aggregate(struct equality *q, const struct value *json, struct value *aggregate,
                        struct value *numeric);

/* Applies rows of trace_metrics to token usage, as revision 75868b020152 does: numbers with has[i], valid or
 * not, take precedence over those in the metadata. *usage (normalised, or NULL) is set to the text in out;
 * NULL: nothing is left. */
void equality_lay_counts(struct equality *q, struct value *usage, const bool *has,
                         const struct value *numbers, struct buf *out);
/* Adds total_cost to *cost (normalised, or NULL), which is set to the text in out; false if it has one
 * already. */
bool equality_add_total(struct equality *q, struct value *cost, double total, struct buf *out);
/* Whether two normalised costs have the same members, equal within a relative 1e-9. */
bool equality_costs_near(struct equality *q, const struct value *a, const struct value *b);
/* The model_name and model_provider that this revision derives from spans.dimension_attributes (JSON text);
 * texts in q, or NULL. */
void equality_dimensions(struct equality *q, const struct value *json, struct value *model,
                         struct value *provider);

/* A number, or a string that Python's float() takes; finite. */
bool equality_number(const struct pyjson_value *v, double *out);

/* Double equality as described above. */
bool equality_float_same(const struct equality *q, double source, double target);

#endif
