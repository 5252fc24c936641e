/* What MLflow keeps of spans, of token usage and of linked prompts beside their own rows, and where a trace's spans are read. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "formats/load/conversion.h"
#include "formats/stream/json.h"

/* -- columns of a span */

static struct value dimensions_of(struct load_conversion *c, const struct record *r)
{
    static const char *const keys[] = {"mlflow.llm.model", "mlflow.llm.provider"};
    const struct value *of[] = {&r->v[F_span_model_name], &r->v[F_span_model_provider]};
    struct buf *out = &c->text;
    buf_reset(out);
    for (int i = 0; i < 2; i++) {
        if (!value_is_text(of[i]) || of[i]->len == 0)
            continue;
        buf_addf(out, "%s\"%s\": ", out->len ? ", " : "{", keys[i]);
        json_quote_ascii(of[i]->s, of[i]->len, out);
    }
    if (out->len == 0)
        return value_str("null"); /* MLflow writes the JSON value, not NULL */
    buf_addc(out, '}');
    return value_strn(arena_strndup(&c->scratch, out->data, out->len), out->len);
}

void load_derive_span(struct load_conversion *c, const struct record *r, const struct load_plan *p,
                      struct value *row)
{
    const struct value *dimensions = &r->v[F_span_dimension_attributes];
    int column = p->column[F_span_dimension_attributes];
    if (column >= 0 && value_is_null(dimensions))
        row[column] = dimensions_of(c, r);
    if (column >= 0 || value_is_null(dimensions) || p->column[F_span_model_name] < 0)
        return;
    struct value of[2];
    if (span_dimensions(&c->json, dimensions, &of[0], &of[1], c->problems->report.cut_models))
        return; /* limits_field() has refused it */
    for (int i = 0; i < 2; i++)
        if (value_is_text(&of[i]))
            row[p->column[(int)F_span_model_name + i]] =
                value_strn(arena_strndup(&c->scratch, of[i].s, of[i].len), of[i].len);
}

/* -- rows of other tables */

/* Stages a row of a table, where the target has that; it gives way to one of the stream's. */
static bool stage(struct load_conversion *c, const char *table, const struct row_entry *entries, int n,
                  uint64_t *count, struct err *e)
{
    struct misfit misfits[LIMITS_ROW_MISFITS];
    struct load_table *t = load_table_of_rows(c->tables, table);
    struct value row[LOAD_MAX_COLUMNS];
    if (!t || limits_row(c->tables->limits, row_table_by_name(table, strlen(table)), entries, n, misfits) > 0)
        return true;
    load_table_defaults(t, row);
    for (int i = 0; i < n; i++) {
        int column = load_table_find(t, entries[i].column);
        if (column >= 0)
            row[column] = entries[i].v;
    }
    ++*count;
    return load_stage_converted(c->stage, t, row, e);
}

static bool stage_costs(struct load_conversion *c, const struct record *r, struct err *e)
{
    bool ok = true;
    for (int i = 0; ok && i < TRACE_COSTS; i++) {
        const struct value *cost = &r->v[(int)F_span_input_cost + i];
        const struct row_entry entries[] = {
            row_entry_of("trace_id", r->v[F_span_trace_id]), row_entry_of("span_id", r->v[F_span_span_id]),
            row_entry_of("key", value_str(span_columns[i])), row_entry_of("value", *cost)};
        ok = value_is_null(cost) || stage(c, "span_metrics", entries, 4, &c->problems->report.span_costs, e);
    }
    return ok;
}

/* start_trace() of MLflow 3.9 to 3.16. */
static bool stage_tokens(struct load_conversion *c, const struct record *r, struct err *e)
{
    const struct value *usage = &r->v[F_trace_request_metadata_value];
    const char *const *keys = trace_columns + TRACE_COLUMN_TOKENS;
    int n = c->tables->rev < REV_SPAN_METRICS ? 3 : 5;
    bool ok = true;
    if (!value_is_text(usage) || !pyjson_parse(&c->json, usage->s, usage->len) ||
        c->json.top.type != PYJSON_OBJECT)
        return true;
    for (int i = 0; ok && i < n; i++) {
        struct value number = trace_cost(pyjson_get(&c->json, keys[i]));
        const struct row_entry entries[] = {
            row_entry_of("request_id", r->v[F_trace_request_metadata_trace_id]),
            row_entry_of("key", value_str(keys[i])), row_entry_of("value", number)};
        ok = value_is_null(&number) ||
             stage(c, "trace_metrics", entries, 3, &c->problems->report.token_counts, e);
    }
    return ok;
}

static bool stage_prompt(struct load_conversion *c, const struct value *trace, const json_t *prompt,
                         struct err *e)
{
    const json_t *name = json_object_get(prompt, "name"), *version = json_object_get(prompt, "version");
    struct buf id = {0};
    if (!json_is_string(name) || (!json_is_string(version) && !json_is_integer(version)))
        return true;
    buf_add(&id, json_string_value(name), json_string_length(name));
    buf_addc(&id, '/');
    if (json_is_string(version))
        buf_add(&id, json_string_value(version), json_string_length(version));
    else
        buf_addf(&id, "%" JSON_INTEGER_FORMAT, json_integer_value(version));
    struct value of[] = {*trace, value_strn(id.data, id.len)};
    const struct row_entry entries[] = {row_entry_of("association_id", load_derived_uuid(c, "prompt", of, 2)),
                                        row_entry_of("source_type", value_str("trace")),
                                        row_entry_of("source_id", *trace),
                                        row_entry_of("destination_type", value_str("prompt_version")),
                                        row_entry_of("destination_id", of[1]),
                                        row_entry_of("created_time", value_int(c->trace_time))};
    bool ok = stage(c, "entity_associations", entries, 6, &c->problems->report.prompt_links, e);
    buf_free(&id);
    return ok;
}

/* [{"name": "p", "version": "1"}]: link_prompts_to_trace() of MLflow 3.7 on. */
static bool stage_prompts(struct load_conversion *c, const struct record *r, struct err *e)
{
    const struct value *list = &r->v[F_trace_tag_value];
    json_t *prompts = value_is_text(list) ? json_parse(list->s, list->len, 0, NULL) : NULL;
    bool ok = true;
    for (size_t i = 0; ok && json_is_array(prompts) && i < json_array_size(prompts); i++)
        ok = stage_prompt(c, &r->v[F_trace_tag_trace_id], json_array_get(prompts, i), e);
    json_decref(prompts);
    return ok;
}

bool load_stage_beside(struct load_conversion *c, const struct record *r, struct err *e)
{
    int rev = c->tables->rev;
    switch (r->kind->kind) {
    case KIND_span:
        return rev < REV_SPAN_METRICS || rev >= REV_TRACE_ANALYTICS || stage_costs(c, r, e);
    case KIND_trace_request_metadata:
        return rev < REV_TRACE_METRICS || rev >= REV_TRACE_ANALYTICS ||
               !value_eqs(&r->v[F_trace_request_metadata_key], "mlflow.trace.tokenUsage") ||
               stage_tokens(c, r, e);
    case KIND_trace_tag:
        return rev < REV_JOBS || !value_eqs(&r->v[F_trace_tag_key], "mlflow.linkedPrompts") ||
               stage_prompts(c, r, e);
    default:
        return true;
    }
}

/* -- where a trace's spans are read */

bool load_end_spans(struct load_conversion *c, struct err *e)
{
    bool all = c->last_trace.counted >= 0 && c->last_trace.spans >= (uint64_t)c->last_trace.counted;
    bool some = c->locates_spans && c->last_trace.spans > 0 && !c->last_trace.located;
    struct load_table *t = c->tables->plans[KIND_trace_tag].table;
    const struct load_plan *p = &c->tables->plans[KIND_trace_tag];
    struct value row[LOAD_MAX_COLUMNS];
    c->last_trace.spans = 0;
    if (!some)
        return true;
    if (!all || !c->last_trace.otel || c->last_trace.partial) {
        c->problems->report.traces_not_located++;
        return true;
    }
    c->problems->report.traces_located++;
    load_place_spans(c->places);
    load_table_defaults(t, row);
    row[p->column[F_trace_tag_trace_id]] = value_strn(c->last_trace.id.data, c->last_trace.id.len);
    row[p->column[F_trace_tag_key]] = value_str("mlflow.trace.spansLocation");
    row[p->column[F_trace_tag_value]] = value_str("TRACKING_STORE");
    return load_stage_converted(c->stage, t, row, e);
}

static void begin_trace(struct load_conversion *c, const struct value *id)
{
    buf_reset(&c->last_trace.id);
    buf_add(&c->last_trace.id, id->s, id->len);
    c->last_trace.spans = 0;
    c->last_trace.counted = -1;
    c->last_trace.otel = id->len == 3 + SPAN_TRACE_ID_DIGITS && memcmp(id->s, "tr-", 3) == 0;
    c->last_trace.located = false;
}

static bool is_last(const struct load_conversion *c, const struct value *id)
{
    return id->len == c->last_trace.id.len && memcmp(id->s, c->last_trace.id.data, id->len) == 0;
}

/* MLflow makes a trace's id of OpenTelemetry's, which its server gives back with each span; another one would not be the trace's. */
static void count_span(struct load_conversion *c, const struct record *r)
{
    const struct value *content = &r->v[F_span_content];
    c->last_trace.spans++;
    c->last_trace.otel = c->last_trace.otel && !span_content_read(&c->span, content->s, content->len) &&
                         memcmp(c->last_trace.id.data + 3, c->span.trace_id, SPAN_TRACE_ID_DIGITS) == 0;
}

bool load_note_spans(struct load_conversion *c, const struct record *r, struct err *e)
{
    const struct value *v = r->v;
    if (!c->locates_spans)
        return true;
    switch (r->kind->kind) {
    case KIND_trace:
        if (!load_end_spans(c, e))
            return false;
        begin_trace(c, &v[F_trace_trace_id]);
        c->last_trace.partial = !value_is_null(&v[F_trace_partial]);
        return true;
    case KIND_trace_tag:
        c->last_trace.located |= is_last(c, &v[F_trace_tag_trace_id]) &&
                                 value_eqs(&v[F_trace_tag_key], "mlflow.trace.spansLocation");
        return true;
    case KIND_trace_request_metadata:
        if (is_last(c, &v[F_trace_request_metadata_trace_id]) &&
            value_eqs(&v[F_trace_request_metadata_key], "mlflow.trace.sizeStats") &&
            pyjson_parse(&c->json, v[F_trace_request_metadata_value].s,
                         v[F_trace_request_metadata_value].len)) {
            const struct pyjson_value *n = pyjson_get(&c->json, "num_spans");
            if (n && n->type == PYJSON_INT && !py_integer(n->s, n->len, &c->last_trace.counted))
                c->last_trace.counted = -1;
        }
        return true;
    case KIND_span:
        if (is_last(c, &v[F_span_trace_id]))
            count_span(c, r);
        return true;
    default:
        return true;
    }
}
