/* Implements MLflow's rules for derived columns of traces, spans and assessments. */
#include "formats/database/trace_columns.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/utf8.h"

const char *const trace_columns[] = {
    "trace_name",
    "session_id",
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation_input_tokens_above_1hr",
    "input_cost",
    "output_cost",
    "total_cost",
    NULL,
};

const char *const span_columns[] = {"input_cost", "output_cost",    "total_cost",
                                    "model_name", "model_provider", NULL};

enum trace_part trace_part_of(const struct record *r)
{
    if (r->kind->kind == KIND_trace_tag)
        return value_eqs(&r->v[F_trace_tag_key], "mlflow.traceName") ? TRACE_PART_NAME : TRACE_PART_NONE;
    if (r->kind->kind != KIND_trace_request_metadata)
        return TRACE_PART_NONE;
    const struct value *key = &r->v[F_trace_request_metadata_key];
    return value_eqs(key, "mlflow.trace.session")      ? TRACE_PART_SESSION
           : value_eqs(key, "mlflow.trace.tokenUsage") ? TRACE_PART_USAGE
           : value_eqs(key, "mlflow.trace.cost")       ? TRACE_PART_COST
                                                       : TRACE_PART_NONE;
}

static struct value whole(const char *s, size_t len)
{
    int64_t n;
    return py_integer(s, len, &n) ? value_int(n) : value_null();
}

/* Converts by the shortest decimal text, not by bits: 9.007199254740993e18 is 9007199254740993000. */
static struct value whole_of_double(double d)
{
    char shortest[32];
    return whole(shortest, value_format_float(d, shortest));
}

struct value trace_token_count(const struct pyjson_value *v)
{
    if (v && (v->type == PYJSON_INT || v->type == PYJSON_STRING))
        return whole(v->s, v->len);
    return v && v->type == PYJSON_FLOAT ? whole_of_double(pyjson_number(v)) : value_null();
}

struct value trace_token_count_of_number(const struct value *v)
{
    return v->type == VALUE_INT ? *v : v->type == VALUE_FLOAT ? whole_of_double(v->f) : value_null();
}

struct value trace_finite(double d)
{
    return isfinite(d) ? value_float(d) : value_null();
}

struct value trace_cost(const struct pyjson_value *v)
{
    double d;
    if (v && (v->type == PYJSON_INT || v->type == PYJSON_FLOAT))
        return trace_finite(pyjson_number(v));
    return v && v->type == PYJSON_STRING && py_float(v->s, v->len, &d) ? trace_finite(d) : value_null();
}

struct value trace_cost_of_number(const struct value *v)
{
    if (v->type == VALUE_INT)
        return value_float((double)v->i);
    return v->type == VALUE_FLOAT ? trace_finite(v->f) : value_null();
}

struct value trace_text(const struct value *v, size_t max, uint64_t *cut)
{
    if (v->type != VALUE_STR)
        return value_null();
    size_t n = utf8_prefix(v->s, v->len, max);
    *cut += n < v->len;
    return value_strn(v->s, n);
}

static struct value yes_or_no(const char *s, size_t len)
{
    py_strip(&s, &len);
    if (len == 3 && strncasecmp(s, "yes", 3) == 0)
        return value_float(1);
    return len == 2 && strncasecmp(s, "no", 2) == 0 ? value_float(0) : value_null();
}

void assessment_aggregate(struct pyjson *json, const struct value *text, struct value *aggregate,
                          bool *is_numeric)
{
    *aggregate = value_null();
    *is_numeric = false;
    if (!value_is_text(text))
        return;
    if (!pyjson_parse(json, text->s, text->len)) {
        *aggregate = yes_or_no(text->s, text->len);
        return;
    }
    const struct pyjson_value *v = &json->top;
    if (v->type == PYJSON_TRUE || v->type == PYJSON_FALSE) {
        *aggregate = value_float(v->type == PYJSON_TRUE);
    } else if (v->type == PYJSON_INT || v->type == PYJSON_FLOAT) {
        *aggregate = trace_finite(pyjson_number(v));
        *is_numeric = !value_is_null(aggregate);
    } else if (v->type == PYJSON_STRING) {
        *aggregate = yes_or_no(v->s, v->len);
    }
}

static const char *const dimension_keys[] = {"mlflow.llm.model", "mlflow.llm.provider"};

/* Parses the object; one encoded twice is a string that contains it. */
static const char *parse_dimensions(struct pyjson *json, const struct value *v)
{
    if (!value_is_text(v)) /* SQLite has converted it to a number */
        return "is a number";
    if (!pyjson_parse(json, v->s, v->len))
        return "is malformed JSON";
    if (json->top.type == PYJSON_STRING) {
        size_t len = json->top.len;
        char *inner = xstrndup(json->top.s, len);
        bool ok = pyjson_parse(json, inner, len);
        free(inner);
        if (!ok)
            return "is malformed JSON";
    }
    return json->top.type == PYJSON_NULL || json->top.type == PYJSON_OBJECT ? NULL : "is not a JSON object";
}

/* The text of one of the keys; NULL if it is null or missing. */
static const char *dimension(const struct pyjson *json, const char *key, struct value *out, uint64_t *cut)
{
    const struct pyjson_value *v = pyjson_get(json, key);
    if (!v || v->type == PYJSON_NULL)
        return NULL;
    if (v->type != PYJSON_STRING)
        return "has a value that is not a string";
    if (v->surrogate)
        return "has half of a surrogate pair";
    struct value text = value_strn(v->s, v->len);
    *out = trace_text(&text, MODEL_NAME_MAX, cut);
    return NULL;
}

static bool is_dimension(const struct pyjson_value *key)
{
    for (int i = 0; i < 2; i++)
        if (key->len == strlen(dimension_keys[i]) && memcmp(key->s, dimension_keys[i], key->len) == 0)
            return true;
    return false;
}

const char *span_dimensions(struct pyjson *json, const struct value *v, struct value *model,
                            struct value *provider, uint64_t cut[2])
{
    *model = *provider = value_null();
    const char *wrong = value_is_null(v) ? NULL : parse_dimensions(json, v);
    if (wrong || value_is_null(v) || json->top.type == PYJSON_NULL)
        return wrong;
    for (size_t i = 0; i < json->n_members; i++)
        if (!is_dimension(&json->members[i].key))
            return "has keys other than mlflow.llm.model and mlflow.llm.provider";
    wrong = dimension(json, dimension_keys[0], model, &cut[0]);
    return wrong ? wrong : dimension(json, dimension_keys[1], provider, &cut[1]);
}
