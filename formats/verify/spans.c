/* What a target should have of a source's spans, and beside them: each release of MLflow keeps a span's model and costs, a
 * trace's token counts and its linked prompts in places of its own. Written from MLflow's store; shares no code with what
 * loads. */
#include <inttypes.h>
#include <jansson.h>

#include "common/utf8.h"
#include "formats/python/span_content.h"
#include "formats/stream/json.h"
#include "formats/verify/internal.h"

enum { FIRST_COST = F_span_input_cost };

bool verify_learn_spans(struct verify *v, struct verify_spans *out, struct err *e)
{
    memset(out, 0, sizeof *out);
    bool jobs = false, analytics = fetch_has_field(v->fetch, KIND_span, F_span_model_name);
    out->form = !fetch_has_kind(v->fetch, KIND_span)                                ? VERIFY_NO_SPANS
                : analytics                                                         ? VERIFY_SPAN_COLUMNS
                : fetch_has_field(v->fetch, KIND_span, F_span_dimension_attributes) ? VERIFY_SPAN_DIMENSIONS
                                                                                    : VERIFY_SPANS_PLAIN;
    if (!db_table_exists(v->db, "trace_metrics", &out->tokens, e) ||
        !db_table_exists(v->db, "jobs", &jobs, e) ||
        !db_table_exists(v->db, "entity_associations", &out->prompts, e))
        return false;
    out->tokens = out->tokens && !analytics; /* from 3.17 on the columns of trace_info hold them */
    out->prompts =
        out->prompts && jobs; /* the table is older than 3.7, which is the first to fill it for prompts */
    return true;
}

/* -- rows that are only expected */

static bool stage_tokens(struct verify *v, const struct record *r, struct err *e)
{
    const struct value *usage = &r->v[F_trace_request_metadata_value];
    struct pyjson *json = &v->categories;
    /* the first release with the table has no counts of a cache */
    int n = v->spans.form == VERIFY_SPAN_DIMENSIONS ? 5 : 3;
    bool ok = true;
    if (!value_is_text(usage) || !pyjson_parse(json, usage->s, usage->len) || json->top.type != PYJSON_OBJECT)
        return true;
    for (int i = 0; ok && i < n; i++) {
        const struct pyjson_value *count = pyjson_get(json, equality_token_keys[i]);
        double number;
        if (!count || !equality_number(count, &number))
            continue;
        const struct row_entry entries[] = {
            row_entry_of("request_id", r->v[F_trace_request_metadata_trace_id]),
            row_entry_of("key", value_str(equality_token_keys[i])),
            row_entry_of("value", value_float(number))};
        ok = verify_stage_expected(v, "trace_metrics", entries, 3, 0, e);
    }
    return ok;
}

/* PostgreSQL has no room for a longer name of a prompt and its version. */
enum { MAX_DESTINATION = 36 };

static bool stage_prompts(struct verify *v, const struct record *r, struct err *e)
{
    const struct value *list = &r->v[F_trace_tag_value];
    json_t *prompts = value_is_text(list) ? json_parse(list->s, list->len, 0, NULL) : NULL;
    bool ok = true;
    for (size_t i = 0; ok && json_is_array(prompts) && i < json_array_size(prompts); i++) {
        const json_t *prompt = json_array_get(prompts, i), *name = json_object_get(prompt, "name"),
                     *version = json_object_get(prompt, "version");
        char number[24];
        snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(version));
        const char *which = json_is_string(version)    ? json_string_value(version)
                            : json_is_integer(version) ? number
                                                       : NULL;
        if (!json_is_string(name) || !which)
            continue;
        char *id = xasprintf("%s/%s", json_string_value(name), which);
        struct value destination = value_text(id, strlen(id));
        bool fits =
            v->source_form.dialect == DIALECT_SQLITE || utf8_length(id, strlen(id)) <= MAX_DESTINATION;
        const struct row_entry entries[] = {row_entry_of("source_type", value_str("trace")),
                                            row_entry_of("source_id", r->v[F_trace_tag_trace_id]),
                                            row_entry_of("destination_type", value_str("prompt_version")),
                                            row_entry_of("destination_id", destination)};
        ok = !fits || verify_stage_expected(v, "entity_associations", entries, 4, 0, e);
        free(id);
    }
    json_decref(prompts);
    return ok;
}

static bool stage_costs(struct verify *v, const struct record *r, struct err *e)
{
    bool ok = true;
    for (int i = 0; ok && i < EQUALITY_COSTS; i++) {
        const struct value *cost = &r->v[FIRST_COST + i];
        const struct row_entry entries[] = {
            row_entry_of("trace_id", r->v[F_span_trace_id]), row_entry_of("span_id", r->v[F_span_span_id]),
            row_entry_of("key", value_str(equality_cost_keys[i])), row_entry_of("value", *cost)};
        ok = value_is_null(cost) || verify_stage_expected(v, "span_metrics", entries, 4, 0, e);
    }
    return ok;
}

bool verify_stage_beside(struct verify *v, const struct record *r, struct err *e)
{
    switch (r->kind->kind) {
    case KIND_span:
        return v->spans.form != VERIFY_SPAN_DIMENSIONS || stage_costs(v, r, e);
    case KIND_trace_request_metadata:
        return !v->spans.tokens || equality_promoted(r) != PROMOTED_USAGE || stage_tokens(v, r, e);
    case KIND_trace_tag:
        return !v->spans.prompts || !value_eqs(&r->v[F_trace_tag_key], "mlflow.linkedPrompts") ||
               stage_prompts(v, r, e);
    default:
        return true;
    }
}

/* -- spans */

static bool same_text(const struct value *v, struct span_text text)
{
    return value_is_null(v) || (text.s && v->len == text.len && memcmp(v->s, text.s, text.len) == 0);
}

/* Takes out what the target has no place for and the content, which it has, says too. */
static void leave_what_follows(struct verify *v, struct record *r)
{
    const struct value *content = &r->v[F_span_content];
    struct span_content *c = &v->span;
    struct value model, provider, *dimensions = &r->v[F_span_dimension_attributes];
    bool text = value_is_text(content);
    span_content_attributes(c, text ? content->s : "", text ? content->len : 0);
    if (!value_is_null(dimensions)) {
        equality_dimensions(&v->source_form, dimensions, &model, &provider);
        if (same_text(&model, c->model) && same_text(&provider, c->provider))
            *dimensions = value_null();
    }
    if (same_text(&r->v[F_span_model_name], c->model))
        r->v[F_span_model_name] = value_null();
    if (same_text(&r->v[F_span_model_provider], c->provider))
        r->v[F_span_model_provider] = value_null();
    for (int i = 0; i < EQUALITY_COSTS; i++)
        if (c->has_cost[i] && r->v[FIRST_COST + i].type == VALUE_FLOAT &&
            r->v[FIRST_COST + i].f == c->cost[i])
            r->v[FIRST_COST + i] = value_null();
}

static void make_dimensions(struct verify *v, struct record *r)
{
    static const char *const keys[] = {"mlflow.llm.model", "mlflow.llm.provider"};
    struct buf *out = &v->dimensions;
    buf_reset(out);
    for (int i = 0; i < 2; i++) {
        const struct value *text = &r->v[(int)F_span_model_name + i];
        if (value_is_null(text) || text->len == 0)
            continue;
        buf_addf(out, "%s\"%s\":", out->len ? "," : "{", keys[i]);
        json_quote_ascii(text->s, text->len, out);
    }
    buf_adds(out, out->len ? "}" : "null");
    r->v[F_span_dimension_attributes] = value_strn(out->data, out->len);
}

void verify_expect_span(struct verify *v, struct record *r)
{
    struct value *dimensions = &r->v[F_span_dimension_attributes];
    switch (v->spans.form) {
    case VERIFY_NO_SPANS:
        return;
    case VERIFY_SPANS_PLAIN:
        leave_what_follows(v, r);
        return;
    case VERIFY_SPAN_DIMENSIONS:
        if (value_is_null(dimensions))
            make_dimensions(v, r);
        for (int i = F_span_model_name; i < F_span_COUNT; i++)
            r->v[i] = value_null();
        return;
    case VERIFY_SPAN_COLUMNS:
        if (!value_is_null(dimensions))
            equality_dimensions(&v->source_form, dimensions, &r->v[F_span_model_name],
                                &r->v[F_span_model_provider]);
        *dimensions = value_null();
        return;
    }
}

/* -- comparing */

bool verify_is_expected(const struct side *s)
{
    const struct row_table *t = s->have && s->record.kind->kind == KIND_row ? row_table_of(&s->record) : NULL;
    return t && s->key_len > s->identity_len && strcmp(t->name, "issue_categories") != 0;
}

bool verify_may_lack(const struct side *s)
{
    bool costs = verify_is_expected(s) && value_eqs(&s->record.v[F_row_table], "span_metrics");
    return verify_is_expected(s) && !costs && !s->from_file_store;
}

bool verify_is_expected_again(const struct verify *v, const struct section *section,
                              const struct staged *head)
{
    return section->table && v->item.key_len > head->identity_len &&
           v->before_key.len >= head->identity_len &&
           memcmp(v->before_key.data, v->item.key, head->identity_len) == 0;
}

bool verify_is_location_of_spans(struct verify *v, const struct record *r)
{
    if (r->kind->kind != KIND_trace_tag || !value_eqs(&r->v[F_trace_tag_key], "mlflow.trace.spansLocation") ||
        !value_eqs(&r->v[F_trace_tag_value], "TRACKING_STORE") || v->spans.form == VERIFY_NO_SPANS)
        return false;
    if (!v->find_span)
        v->find_span = db_prepare(v->db, "SELECT 1 FROM spans WHERE trace_id = ?1 LIMIT 1", NULL);
    if (!v->find_span)
        return false;
    db_bind(v->find_span, 1, &r->v[F_trace_tag_trace_id]);
    bool found = db_step(v->find_span, NULL) == 1;
    db_reset(v->find_span);
    return found;
}
