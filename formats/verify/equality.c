/* Compares records field by field, allowing for how a database stores what a stream says. */
#include "formats/verify/equality.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "common/utf8.h"
#include "formats/stream/json.h"

#define REL_TOL 1e-9

enum { MAX_TRACE_NAME = 4096, MAX_SESSION = 250, MAX_MODEL = 500 }; /* characters */

void equality_free(struct equality *q)
{
    pyjson_free(&q->json);
    pyjson_free(&q->other);
    buf_free(&q->text);
}

/* -- numbers in token usage and cost, as stored by MLflow */

/* token_count_or_none(): Decimal(str(value)), integral and within 64 bits. */
static bool token_count(const struct pyjson_value *v, int64_t *out)
{
    char repr[32];
    switch (v->type) {
    case PYJSON_INT:
    case PYJSON_STRING:
        return !v->surrogate && py_integer(v->s, v->len, out);
    case PYJSON_FLOAT:
        return py_integer(repr, value_format_float(pyjson_number(v), repr), out);
    default:
        return false;
    }
}

/* finite_float_or_none() */
bool equality_number(const struct pyjson_value *v, double *out)
{
    switch (v->type) {
    case PYJSON_INT:
    case PYJSON_FLOAT:
        *out = pyjson_number(v);
        return isfinite(*out);
    case PYJSON_STRING:
        return !v->surrogate && py_float(v->s, v->len, out) && isfinite(*out);
    default:
        return false;
    }
}

/* -- normal forms */

const char *const equality_token_keys[] = {"input_tokens",
                                           "output_tokens",
                                           "total_tokens",
                                           "cache_read_input_tokens",
                                           "cache_creation_input_tokens",
                                           "cache_creation_input_tokens_above_1hr",
                                           NULL};
const char *const equality_cost_keys[] = {"input_cost", "output_cost", "total_cost", NULL};

enum promoted equality_promoted(const struct record *r)
{
    if (r->kind->kind == KIND_trace_tag)
        return value_eqs(&r->v[F_trace_tag_key], "mlflow.traceName") ? PROMOTED_NAME : PROMOTED_NONE;
    if (r->kind->kind != KIND_trace_request_metadata)
        return PROMOTED_NONE;
    const struct value *key = &r->v[F_trace_request_metadata_key];
    return value_eqs(key, "mlflow.trace.session")      ? PROMOTED_SESSION
           : value_eqs(key, "mlflow.trace.tokenUsage") ? PROMOTED_USAGE
           : value_eqs(key, "mlflow.trace.cost")       ? PROMOTED_COST
                                                       : PROMOTED_NONE;
}

static void cut(struct value *v, size_t characters)
{
    if (v->type == VALUE_STR)
        v->len = (uint32_t)utf8_prefix(v->s, v->len, characters);
}

/* Rewrites token usage or cost as the JSON that MLflow builds from the columns; false if no column would have
 * a value. */
static bool rewrite_numbers(struct equality *q, struct value *v, enum promoted which)
{
    struct buf *out = &q->text;
    buf_reset(out);
    if (!value_is_text(v) || !pyjson_parse(&q->json, v->s, v->len) || q->json.top.type != PYJSON_OBJECT)
        return false;
    const char *const *names = which == PROMOTED_USAGE ? equality_token_keys : equality_cost_keys;
    for (; *names; names++) {
        const struct pyjson_value *member = pyjson_get(&q->json, *names);
        char number[32];
        int64_t count;
        double cost;
        if (!member)
            continue;
        if (which == PROMOTED_USAGE && token_count(member, &count))
            snprintf(number, sizeof number, "%" PRId64, count);
        else if (which == PROMOTED_COST && equality_number(member, &cost))
            value_format_float(q->dialect == DIALECT_SQLITE ? cost + 0.0 : cost, number); /* no -0.0 there */
        else
            continue;
        buf_addf(out, "%s\"%s\": %s", out->len ? ", " : "{", *names, number);
    }
    if (!out->len)
        return false;
    buf_addc(out, '}');
    *v = value_strn(out->data, out->len);
    return true;
}

bool equality_normalise(struct equality *q, struct record *r)
{
    for (int i = 0; i < r->kind->n_fields; i++) {
        const struct field_desc *f = &r->kind->fields[i];
        struct value *v = &r->v[i];
        if ((f->flags & FIELD_WS) && value_is_null(v))
            *v = value_str("default");
    }
    switch (r->kind->kind) {
    case KIND_trace:
        if (value_eqs(&r->v[F_trace_state], "TRACE_STATUS_UNSPECIFIED"))
            r->v[F_trace_state] = value_str("STATE_UNSPECIFIED");
        return true;
    case KIND_model_version: /* no schema has a column for it */
        r->v[F_model_version_model_id] = value_null();
        return true;
    case KIND_trace_tag:
    case KIND_trace_request_metadata:
        break;
    default:
        return true;
    }
    struct value *v =
        &r->v[r->kind->kind == KIND_trace_tag ? (int)F_trace_tag_value : (int)F_trace_request_metadata_value];
    enum promoted which = equality_promoted(r);
    if (!q->promoted[which])
        return true;
    switch (which) {
    case PROMOTED_NAME:
    case PROMOTED_SESSION:
        cut(v, which == PROMOTED_NAME ? MAX_TRACE_NAME : MAX_SESSION);
        return !value_is_null(v);
    case PROMOTED_USAGE:
    case PROMOTED_COST:
        return rewrite_numbers(q, v, which);
    default:
        return true;
    }
}

/* -- comparing */

bool equality_float_same(const struct equality *q, double source, double target)
{
    if (isnan(source) || isnan(target))
        return isnan(source) && isnan(target);
    if (q->exact) {
        if (source == 0 && target == 0)
            return q->dialect == DIALECT_SQLITE || signbit(source) == signbit(target);
        return value_stored_float(source) == value_stored_float(target);
    }
    source = value_stored_float(source);
    target = value_stored_float(target);
    if (source == target)
        return true;
    double a = fabs(source), b = fabs(target);
    return fabs(source - target) <= REL_TOL * (a > b ? a : b);
}

/* Whether it is an id that a file store does not have. */
static bool is_generated_id(const struct field_desc *f)
{
    return !(f->flags & FIELD_K) && (strcmp(f->name, "dataset_id") == 0 || strcmp(f->name, "input_id") == 0);
}

/* Whether the field's column is NOT NULL DEFAULT 0. */
static bool null_is_zero(const struct field_desc *f)
{
    return f->type == FIELD_INT && !(f->flags & FIELD_R) &&
           (strcmp(f->name, "step") == 0 || strcmp(f->name, "db_payload_generation") == 0);
}

/* Whether every non-null member of a is in b, as a scalar of the same type and text. */
static bool members_within(const struct pyjson *a, const struct pyjson *b)
{
    for (size_t i = 0; i < a->n_members; i++) {
        const struct pyjson_value *x = &a->members[i].value, *y = NULL;
        for (size_t j = 0; j < b->n_members && !y; j++)
            if (b->members[j].key.len == a->members[i].key.len &&
                memcmp(b->members[j].key.s, a->members[i].key.s, a->members[i].key.len) == 0)
                y = &b->members[j].value;
        if (x->type == PYJSON_NULL)
            continue;
        if (!y || x->type != y->type || x->type == PYJSON_ARRAY || x->type == PYJSON_OBJECT ||
            x->len != y->len || (x->len && memcmp(x->s, y->s, x->len) != 0))
            return false;
    }
    return true;
}

/* Compares assessment errors, in which null members equal absent ones (AssessmentError.from_dictionary). */
static bool error_same(struct equality *q, const struct value *a, const struct value *b)
{
    return pyjson_parse(&q->json, a->s, a->len) && pyjson_parse(&q->other, b->s, b->len) &&
           q->json.top.type == PYJSON_OBJECT && q->other.top.type == PYJSON_OBJECT &&
           members_within(&q->json, &q->other) && members_within(&q->other, &q->json);
}

static bool json_same(struct equality *q, const struct record *r, int field, const struct value *a,
                      const struct value *b)
{
    if (!value_is_text(a) || !value_is_text(b))
        return false;
    return json_text_equal(a->s, a->len, b->s, b->len) ||
           (r->kind->kind == KIND_assessment && field == F_assessment_error && error_same(q, a, b));
}

bool equality_same(struct equality *q, const struct record *source, const struct record *target, int i)
{
    const struct field_desc *f = &source->kind->fields[i];
    struct value a = source->v[i], b = target->v[i];
    if (value_is_null(&a) && is_generated_id(f))
        return true;
    if (null_is_zero(f)) {
        if (value_is_null(&a))
            a = value_int(0);
        if (value_is_null(&b))
            b = value_int(0);
    }
    if (f->codec == CODEC_MODEL_METRIC && a.type == VALUE_FLOAT && isnan(a.f))
        a.f = 0.0;
    if (a.type == VALUE_FLOAT && b.type == VALUE_FLOAT)
        return equality_float_same(q, a.f, b.f);
    return value_same(&a, &b) || (f->codec == CODEC_JSON && json_same(q, source, i, &a, &b));
}

static struct value stored_value(const struct field_desc *f, struct value v)
{
    if (v.type == VALUE_FLOAT && isnan(v.f))
        v.f = f->codec == CODEC_MODEL_METRIC ? 0.0 : v.f;
    else if (v.type == VALUE_FLOAT)
        v.f = value_stored_float(v.f);
    return v;
}

bool equality_duplicate(const struct record *a, const struct record *b)
{
    for (int i = 0; i < a->kind->n_fields; i++) {
        struct value x = stored_value(&a->kind->fields[i], a->v[i]);
        struct value y = stored_value(&b->kind->fields[i], b->v[i]);
        if (!value_same(&x, &y))
            return false;
    }
    return true;
}

/* -- derived values */

/* assessment_aggregate() of text: 1 for "yes" and 0 for "no", trimmed, in any case; else null. */
static struct value aggregate_of_text(const char *s, size_t len)
{
    py_strip(&s, &len);
    if (len == 3 && strncasecmp(s, "yes", 3) == 0)
        return value_float(1.0);
    return len == 2 && strncasecmp(s, "no", 2) == 0 ? value_float(0.0) : value_null();
}

void equality_aggregate(struct equality *q, const struct value *json, struct value *aggregate,
                        struct value *numeric)
{
    double number;
    *aggregate = value_null();
    *numeric = value_bool(false);
    if (json->type != VALUE_STR)
        return;
    if (!pyjson_parse(&q->json, json->s, json->len)) { /* text that is not JSON is taken literally */
        *aggregate = aggregate_of_text(json->s, json->len);
        return;
    }
    const struct pyjson_value *v = &q->json.top;
    if (v->type == PYJSON_TRUE || v->type == PYJSON_FALSE) {
        *aggregate = value_float(v->type == PYJSON_TRUE);
    } else if (v->type == PYJSON_STRING) {
        *aggregate = v->surrogate ? value_null() : aggregate_of_text(v->s, v->len);
    } else if ((v->type == PYJSON_INT || v->type == PYJSON_FLOAT) && equality_number(v, &number)) {
        *aggregate = value_float(number);
        *numeric = value_bool(true);
    }
}

/* -- rows from before revision 75868b020152 */

/* A member of a normalised object as text; returns its length, 0 if it is missing. */
static size_t member_text(struct equality *q, const char *key, const char **text)
{
    const struct pyjson_value *v = pyjson_get(&q->json, key);
    *text = v ? v->s : NULL;
    return v ? v->len : 0;
}

/* Parses a normalised object; NULL counts as an empty one. */
static void parse_normalised(struct equality *q, const struct value *v)
{
    if (!value_is_text(v) || !pyjson_parse(&q->json, v->s, v->len)) {
        q->json.top.type = PYJSON_NULL;
        q->json.n_members = 0;
    }
}

static void add_member(struct buf *out, const char *key, const char *text, size_t len)
{
    buf_addf(out, "%s\"%s\": ", out->len ? ", " : "{", key);
    buf_add(out, text, len);
}

static void end_object(struct buf *out, struct value *v)
{
    *v = value_null();
    if (!out->len)
        return;
    buf_addc(out, '}');
    *v = value_strn(out->data, out->len);
}

void equality_lay_counts(struct equality *q, struct value *usage, const bool *has,
                         const struct value *numbers, struct buf *out)
{
    parse_normalised(q, usage);
    buf_reset(out);
    for (int i = 0; i < EQUALITY_TOKENS; i++) {
        const char *text;
        char repr[32];
        int64_t count;
        size_t len = member_text(q, equality_token_keys[i], &text);
        if (has[i]) {
            bool usable = numbers[i].type == VALUE_INT;
            count = usable ? numbers[i].i : 0;
            if (numbers[i].type == VALUE_FLOAT)
                usable = py_integer(repr, value_format_float(numbers[i].f, repr), &count);
            len = usable ? (size_t)snprintf(repr, sizeof repr, "%" PRId64, count) : 0;
            text = repr;
        }
        if (len)
            add_member(out, equality_token_keys[i], text, len);
    }
    end_object(out, usage);
}

bool equality_add_total(struct equality *q, struct value *cost, double total, struct buf *out)
{
    const char *text;
    char repr[32];
    parse_normalised(q, cost);
    if (member_text(q, "total_cost", &text))
        return false;
    buf_reset(out);
    for (int i = 0; equality_cost_keys[i]; i++) {
        size_t len = member_text(q, equality_cost_keys[i], &text);
        if (len)
            add_member(out, equality_cost_keys[i], text, len);
    }
    add_member(out, "total_cost", repr, value_format_float(total, repr));
    end_object(out, cost);
    return true;
}

bool equality_costs_near(struct equality *q, const struct value *a, const struct value *b)
{
    if (!value_is_text(a) || !value_is_text(b) || !pyjson_parse(&q->json, a->s, a->len) ||
        !pyjson_parse(&q->other, b->s, b->len) || q->json.n_members != q->other.n_members)
        return false;
    for (int i = 0; equality_cost_keys[i]; i++) {
        const struct pyjson_value *x = pyjson_get(&q->json, equality_cost_keys[i]);
        const struct pyjson_value *y = pyjson_get(&q->other, equality_cost_keys[i]);
        double d, f;
        if (!x && !y)
            continue;
        if (!x || !y || !equality_number(x, &d) || !equality_number(y, &f) ||
            fabs(d - f) > REL_TOL * fmax(fabs(d), fabs(f)))
            return false;
    }
    return true;
}

static struct value dimension(struct equality *q, const char *key)
{
    const struct pyjson_value *v = pyjson_get(&q->json, key);
    struct value text = v && v->type == PYJSON_STRING ? value_strn(v->s, v->len) : value_null();
    cut(&text, MAX_MODEL);
    return text;
}

void equality_dimensions(struct equality *q, const struct value *json, struct value *model,
                         struct value *provider)
{
    bool object = value_is_text(json) && pyjson_parse(&q->json, json->s, json->len);
    if (object && q->json.top.type == PYJSON_STRING) { /* encoded twice */
        struct buf *inner = &q->text;
        buf_reset(inner);
        buf_add(inner, q->json.top.s, q->json.top.len);
        object = pyjson_parse(&q->json, inner->data, inner->len);
    }
    object = object && q->json.top.type == PYJSON_OBJECT;
    *model = object ? dimension(q, "mlflow.llm.model") : value_null();
    *provider = object ? dimension(q, "mlflow.llm.provider") : value_null();
}
