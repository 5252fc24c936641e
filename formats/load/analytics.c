/* Converts rows of databases from before revision 75868b020152 (MLflow 3.9 to 3.16) for tables from after it,
 * as that revision's migration does: a span's costs in span_metrics become columns of spans, token counts in
 * trace_metrics become columns of trace_info, and the rows of both are dropped. */
#include <string.h>

#include "formats/load/conversion.h"
#include "formats/load/row_bytes.h"
#include "formats/load/sink.h"

/* The index of v among n names, -1: none. */
static int name_of(const char *const *names, int n, const struct value *v)
{
    for (int i = 0; i < n; i++)
        if (value_eqs(v, names[i]))
            return i;
    return -1;
}

/* The parts of a SORT_GATEWAY entry: the trace is a gateway trace, a span of it has a cost. */
enum gateway_part { GATEWAY_ENDPOINT, GATEWAY_COST };

bool load_note_gateway(struct load_conversion *c, const struct record *r, struct err *e)
{
    bool gateway = c->tables->rev >= REV_TRACE_ANALYTICS && r->kind->kind == KIND_trace_request_metadata &&
                   value_eqs(&r->v[F_trace_request_metadata_key], "mlflow.gateway.endpointId");
    return !gateway ||
           load_stage_gateway(c->stage, &r->v[F_trace_request_metadata_trace_id], GATEWAY_ENDPOINT, e);
}

/* A value of a row of a metrics table. */
static const struct value *row_value(const struct load_table *t, const struct value *row, const char *column)
{
    static const struct value null = {.type = VALUE_NULL};
    int i = load_table_find(t, column);
    return i < 0 ? &null : &row[i];
}

/* Stages a metric that fills a column of a row of t, whose key has n values. */
static bool stage_metric(struct load_conversion *c, const struct load_table *t, const struct value *key,
                         int n, int column, const struct value *v, struct err *e)
{
    struct load_patch patch = {.table = t, .key = key, .n_key = n, .kind = KIND_row, .metric = true, .n = 1};
    patch.items[0].column = column;
    patch.items[0].value = *v;
    return load_stage_patch(c->stage, &patch, e);
}

static int convert_span_metric(struct load_conversion *c, const struct load_table *t, const struct value *row,
                               struct err *e)
{
    struct load_table *spans = c->tables->plans[KIND_span].table;
    int which = name_of(span_columns, TRACE_COSTS, row_value(t, row, "key"));
    int column = spans && which >= 0 ? load_table_find(spans, span_columns[which]) : -1;
    if (column < 0)
        return 0;
    const struct value key[] = {*row_value(t, row, "trace_id"), *row_value(t, row, "span_id")};
    const struct value *metric = row_value(t, row, "value");
    struct value cost = trace_cost_of_number(metric);
    c->problems->report.usage_losses += value_is_null(&cost) && !value_is_null(metric);
    if (strcmp(span_columns[which], "total_cost") == 0 && !value_is_null(&cost) &&
        !load_stage_gateway(c->stage, &key[0], GATEWAY_COST, e))
        return -1;
    return stage_metric(c, spans, key, 2, column, &cost, e) ? 1 : -1;
}

static int convert_trace_metric(struct load_conversion *c, const struct record *r, const struct load_table *t,
                                const struct value *row, struct err *e)
{
    struct load_table *traces = c->tables->plans[KIND_trace].table;
    const char *const *tokens = trace_columns + TRACE_COLUMN_TOKENS;
    int which = name_of(tokens, TRACE_TOKENS, row_value(t, row, "key"));
    if (which < 0 || !traces || c->tables->rev < REV_TRACE_ANALYTICS)
        return 0;
    const struct value *trace = row_value(t, row, "request_id"), *metric = row_value(t, row, "value");
    struct value count = trace_token_count_of_number(metric);
    c->problems->report.usage_losses += value_is_null(&count) && !value_is_null(metric);
    return load_refer(c->references, r, REF_TRACE, trace, 1, e) &&
                   stage_metric(c, traces, trace, 1, load_table_find(traces, tokens[which]), &count, e)
               ? 1
               : -1;
}

int load_convert_metric(struct load_conversion *c, const struct record *r, const struct load_table *t,
                        const struct value *row, struct err *e)
{
    int done = strcmp(t->name, "span_metrics") == 0    ? convert_span_metric(c, t, row, e)
               : strcmp(t->name, "trace_metrics") == 0 ? convert_trace_metric(c, r, t, row, e)
                                                       : 0;
    c->problems->report.converted_metrics += done > 0;
    return done;
}

/* -- after the rows */

bool load_take_gateway(struct load_conversion *c, struct load_sink *sink, const struct sort_entry *x,
                       struct err *e)
{
    size_t len = x->key_len - 1;
    bool same = c->gateway.len == len && memcmp(c->gateway.data, x->key, len) == 0;
    if (x->key[len] == GATEWAY_ENDPOINT) {
        buf_reset(&c->gateway);
        buf_add(&c->gateway, x->key, len);
        return true;
    }
    if (!same)
        return true;
    buf_reset(&c->gateway); /* one update per trace */
    struct value trace;
    load_get_key(x->key + 1, len - 1, &trace, &c->scratch);
    return sink->ops->sum_cost(sink, &trace, e);
}
