#include "formats/database/trace_columns.h"

#include <math.h>
#include <strings.h>

#include "common/io.h"

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

static struct value whole(const char *s, size_t len)
{
    int64_t n;
    return py_integer(s, len, &n) ? value_int(n) : value_null();
}

/* By its shortest text, not by its bits: 9.007199254740993e18 is 9007199254740993000. */
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
