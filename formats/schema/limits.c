/* Checks whether values and fields of records fit into a database. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/utf8.h"
#include "formats/database/trace_columns.h"
#include "formats/schema/limits_tables.h"
#include "formats/schema/schema.h"
#include "migrations/migrations.h"

/* -- a value */

bool limits_misfit(struct misfit *m, enum misfit_kind kind)
{
    m->kind = kind;
    return false;
}

bool limits_wrong(struct misfit *m, enum misfit_kind kind, const char *what)
{
    m->what = what;
    return limits_misfit(m, kind);
}

/* Standard JSON, without the NaN and Infinity that Python writes. */
static bool is_json(struct pyjson *json, const struct value *v)
{
    bool in_string = false;
    for (size_t i = 0; i < v->len; i++) {
        if (in_string && v->s[i] == '\\')
            i++;
        else if (v->s[i] == '"')
            in_string = !in_string;
        else if (!in_string && (v->s[i] == 'N' || v->s[i] == 'I'))
            return false;
    }
    return pyjson_parse(json, v->s, v->len);
}

bool limits_judge_text(struct limits *l, const struct limits_column *c, const struct value *v,
                       struct misfit *m)
{
    if (v->type == VALUE_BIN)
        return limits_misfit(m, MISFIT_NOT_UTF8);
    if (l->dialect == DIALECT_POSTGRESQL && memchr(v->s, '\0', v->len))
        return limits_misfit(m, MISFIT_NUL);
    if (c && c->is_json && !is_json(&l->json, v))
        return limits_wrong(m, MISFIT_TYPE, "not valid JSON, which the column's type in PostgreSQL requires");
    if (!c || c->max_length == 0 || v->len <= (uint64_t)c->max_length)
        return true;
    m->length = utf8_length(v->s, v->len);
    m->room = c->max_length;
    return m->length <= (size_t)c->max_length || limits_misfit(m, MISFIT_LENGTH);
}

bool limits_judge_int(const struct limits_column *c, const struct value *v, struct misfit *m)
{
    return c->type != COLUMN_INT32 || v->type != VALUE_INT || (v->i >= INT32_MIN && v->i <= INT32_MAX) ||
           limits_misfit(m, MISFIT_WIDE);
}

/* -- a field of a record */

/* Whether the value is what a missing column implies anyway. */
static bool is_default(const struct field_desc *f, const struct value *v)
{
    return (f->flags & FIELD_WS && value_eqs(v, "default")) ||
           (v->type == VALUE_INT && v->i == 0 && !(f->flags & FIELD_MS));
}

static bool judge_id(const struct limits_column *c, const struct value *v, struct misfit *m)
{
    int64_t id;
    if (!value_decimal_id(v, &id))
        return limits_misfit(m, MISFIT_ID);
    return c->type != COLUMN_INT32 || id <= INT32_MAX || limits_misfit(m, MISFIT_WIDE_ID);
}

static bool judge_word(const struct limits *l, const struct word_list *list, const struct value *v,
                       struct misfit *m)
{
    for (int i = 0; i < MAX_WORDS && list->words[i].text; i++) {
        if (!value_eqs(v, list->words[i].text))
            continue;
        m->since = list->words[i].since;
        return m->since <= l->rev || limits_misfit(m, MISFIT_LATE_WORD);
    }
    return !list->closed || limits_wrong(m, MISFIT_WORD, list->what);
}

/* Values stored in columns of the trace's row are truncated to fit or parsed as JSON, as by MLflow. */
static bool judge_promoted(struct limits *l, const struct record *r, int field, enum trace_part part,
                           struct misfit *m)
{
    bool text = part == TRACE_PART_NAME || part == TRACE_PART_SESSION;
    return field != F_trace_tag_value || !text || limits_judge_text(l, NULL, &r->v[field], m);
}

static bool same_text(const struct value *v, struct span_text text)
{
    return text.s && value_is_text(v) && v->len == text.len && memcmp(v->s, text.s, text.len) == 0;
}

/* The field of a span that follows from its content, which is stored. */
static bool follows_from_content(struct limits *l, const struct record *r, int field, const struct value *v)
{
    const struct value *content = &r->v[F_span_content];
    const struct span_content *c = &l->span;
    if (!value_is_text(content) || !span_content_attributes(&l->span, content->s, content->len))
        return false;
    int cost = field - (int)F_span_input_cost;
    return field == F_span_model_name ? same_text(v, c->model)
           : field == F_span_model_provider
               ? same_text(v, c->provider)
               : cost >= 0 && v->type == VALUE_FLOAT && c->has_cost[cost] && c->cost[cost] == v->f;
}

/* A field of a span whose column the revision does not have: it is kept elsewhere, follows from the content, or is lost. */
static bool judge_span(struct limits *l, const struct record *r, int field, struct misfit *m)
{
    const struct value *v = &r->v[field];
    struct value of[2];
    uint64_t cut[2] = {0, 0};
    m->needed = false;
    m->since = r->kind->fields[field].since;
    bool dimensions = field == F_span_dimension_attributes;
    if (!dimensions && l->rev >= REV_SPAN_METRICS)
        return v->type != VALUE_BIN || limits_misfit(m, MISFIT_NOT_UTF8);
    if (!dimensions)
        return follows_from_content(l, r, field, v) || limits_misfit(m, MISFIT_NO_COLUMN);
    const char *what = span_dimensions(&l->json, v, &of[0], &of[1], cut);
    if (l->rev >= REV_TRACE_ANALYTICS)
        return !what || limits_wrong(m, MISFIT_CONVERSION, what);
    for (int i = 0; i < 2 && !what; i++)
        if (!value_is_null(&of[i]) && !follows_from_content(l, r, (int)F_span_model_name + i, &of[i]))
            what = "";
    return !what || limits_misfit(m, MISFIT_NO_COLUMN);
}

bool limits_field(struct limits *l, const struct record *r, int field, struct misfit *m)
{
    const struct field_desc *f = &r->kind->fields[field];
    const struct field_limits *x = &l->kinds[r->kind->kind].fields[field];
    const struct value *v = &r->v[field];
    const struct limits_column *c = x->column;
    *m = (struct misfit){.needed = x->needed};
    if (c)
        m->column = c->name, m->column_len = c->name_len;
    if (value_is_null(v))
        return !x->required || limits_misfit(m, MISFIT_NULL);
    if (x->place == PLACE_MISSING && r->kind->kind == KIND_span)
        return judge_span(l, r, field, m);
    if (x->place == PLACE_MISSING) {
        m->since = f->since;
        return is_default(f, v) || limits_misfit(m, MISFIT_NO_COLUMN);
    }
    if (x->place == PLACE_NONE)
        return v->type != VALUE_BIN || limits_misfit(m, MISFIT_NOT_UTF8);
    enum trace_part part = l->rev < REV_TRACE_ANALYTICS ? TRACE_PART_NONE : trace_part_of(r);
    if (part != TRACE_PART_NONE)
        return judge_promoted(l, r, field, part, m);
    if (x->words && !judge_word(l, x->words, v, m))
        return false;
    if (f->codec == CODEC_ID)
        return judge_id(c, v, m);
    if (f->codec == CODEC_METRIC)
        return !isnan(v->f) || l->kinds[r->kind->kind].has_is_nan || limits_misfit(m, MISFIT_NAN);
    return value_is_text(v) ? limits_judge_text(l, c, v, m) : limits_judge_int(c, v, m);
}

/* -- the name Default */

void limits_note_experiment(struct limits *l, const struct record *r)
{
    const struct value *id = &r->v[F_experiment_experiment_id], ws = record_workspace(r);
    if (value_eqs(id, "0"))
        l->has_default = true;
    else if (value_eqs(&r->v[F_experiment_name], "Default") && value_eqs(&ws, "default"))
        snprintf(l->default_elsewhere, sizeof l->default_elsewhere, "%.*s", (int)id->len, id->s);
}

/* From 3.4 on MLflow creates an experiment 0 named Default whenever there is none; earlier releases only in an
 * empty database. */
const char *limits_stray_default(const struct limits *l)
{
    bool stray = l->rev >= REV_EVALUATION_DATASETS && l->default_elsewhere[0] && !l->has_default;
    return stray ? l->default_elsewhere : NULL;
}
