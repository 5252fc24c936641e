/* Rows of databases from before revision 75868b020152 (MLflow 3.9 to 3.16) for tables from after it,
 * converted as that revision's migration converts them: dimension_attributes of a span and its costs in
 * span_metrics become columns of spans, token counts in trace_metrics become columns of trace_info, and the
 * rows of both go. */
#include <stdlib.h>
#include <string.h>

#include "formats/load/internal.h"
#include "formats/record/rows.h"

static const char dimensions[] = "dimension_attributes";

void load_convert_dimensions(struct load *s, const struct load_table *t, struct row_entry *entries, int *n)
{
    const struct row_entry *found = row_entry_find(entries, *n, dimensions, strlen(dimensions));
    if (!found || strcmp(t->name, "spans") != 0 || load_table_find(t, dimensions) >= 0)
        return;
    struct value all = found->v, columns[SPAN_COLUMNS];
    int kept = 0;
    for (int i = 0; i < *n; i++)
        if (&entries[i] != found)
            entries[kept++] = entries[i];
    *n = kept;
    if (load_table_find(t, span_columns[SPAN_COLUMN_MODEL]) < 0 ||
        span_dimensions(&s->json, &all, &columns[SPAN_COLUMN_MODEL], &columns[SPAN_COLUMN_PROVIDER],
                        s->report.cut_models))
        return; /* limits_row() has refused all but the JSON value null there */
    for (int i = SPAN_COLUMN_MODEL; i <= SPAN_COLUMN_PROVIDER; i++)
        if (!value_is_null(&columns[i]))
            entries[(*n)++] = (struct row_entry){span_columns[i], strlen(span_columns[i]), columns[i]};
}

/* The name among n of them that v is, -1: none. */
static int name_of(const char *const *names, int n, const struct value *v)
{
    for (int i = 0; i < n; i++)
        if (value_eqs(v, names[i]))
            return i;
    return -1;
}

static struct load_table *table_of_rows(const struct load *s, const char *name)
{
    const struct row_table *known = row_table_by_name(name, strlen(name));
    return known ? s->row_tables[known - row_tables] : NULL;
}

static bool stage_gateway(struct load *s, const struct value *trace, enum gateway_part part, struct err *e)
{
    buf_reset(&s->key);
    buf_addc(&s->key, (char)SORT_GATEWAY);
    load_put_key(&s->key, trace);
    buf_addc(&s->key, (char)part);
    return sorter_add(s->sorter, s->key.data, s->key.len, "", 0, e);
}

bool load_note_gateway(struct load *s, const struct record *r, struct err *e)
{
    bool gateway = s->rev >= REV_TRACE_ANALYTICS && r->kind->kind == KIND_trace_request_metadata &&
                   value_eqs(&r->v[F_trace_request_metadata_key], "mlflow.gateway.endpointId");
    return !gateway || stage_gateway(s, &r->v[F_trace_request_metadata_trace_id], GATEWAY_ENDPOINT, e);
}

/* Values of a row of a metrics table. */
static const struct value *row_value(const struct load_table *t, const struct value *row, const char *column)
{
    static const struct value null = {.type = VALUE_NULL};
    int i = load_table_find(t, column);
    return i < 0 ? &null : &row[i];
}

static int convert_span_metric(struct load *s, const struct load_table *t, const struct value *row,
                               struct err *e)
{
    struct load_table *spans = table_of_rows(s, "spans");
    int which = name_of(span_columns, TRACE_COSTS, row_value(t, row, "key"));
    int column = spans && which >= 0 ? load_table_find(spans, span_columns[which]) : -1;
    if (column < 0)
        return 0;
    const struct value key[] = {*row_value(t, row, "trace_id"), *row_value(t, row, "span_id")};
    const struct value *metric = row_value(t, row, "value");
    struct value cost = trace_cost_of_number(metric);
    s->report.usage_losses += value_is_null(&cost) && !value_is_null(metric);
    if (strcmp(span_columns[which], "total_cost") == 0 && !value_is_null(&cost) &&
        !stage_gateway(s, &key[0], GATEWAY_COST, e))
        return -1;
    return load_stage_metric(s, spans, key, 2, column, &cost, e) ? 1 : -1;
}

static int convert_trace_metric(struct load *s, const struct record *r, const struct load_table *t,
                                const struct value *row, struct err *e)
{
    struct load_table *traces = s->plans[KIND_trace].table;
    const char *const *tokens = trace_columns + TRACE_COLUMN_TOKENS;
    int which = name_of(tokens, TRACE_TOKENS, row_value(t, row, "key"));
    if (which < 0 || !traces || s->rev < REV_TRACE_ANALYTICS)
        return 0;
    const struct value *trace = row_value(t, row, "request_id"), *metric = row_value(t, row, "value");
    struct value count = trace_token_count_of_number(metric);
    s->report.usage_losses += value_is_null(&count) && !value_is_null(metric);
    return load_refer(s, r, REF_TRACE, trace, 1, e) &&
                   load_stage_metric(s, traces, trace, 1, load_table_find(traces, tokens[which]), &count, e)
               ? 1
               : -1;
}

int load_convert_metric(struct load *s, const struct record *r, const struct load_table *t,
                        const struct value *row, struct err *e)
{
    int done = strcmp(t->name, "span_metrics") == 0    ? convert_span_metric(s, t, row, e)
               : strcmp(t->name, "trace_metrics") == 0 ? convert_trace_metric(s, r, t, row, e)
                                                       : 0;
    s->report.converted_metrics += done > 0;
    return done;
}

/* ---- after the rows */

bool load_add_gateway_cost(struct load *s, struct db *db, struct db_stmt **update, const struct sort_entry *x,
                           struct err *e)
{
    size_t len = x->key_len - 1;
    bool same = s->gateway.len == len && memcmp(s->gateway.data, x->key, len) == 0;
    if (x->key[len] == GATEWAY_ENDPOINT) {
        buf_reset(&s->gateway);
        buf_add(&s->gateway, x->key, len);
        return true;
    }
    if (!same)
        return true;
    buf_reset(&s->gateway); /* one update a trace */
    if (!*update) {
        const char *prefix = s->staged ? s->staged : "";
        char *sql = xasprintf(
            "UPDATE %strace_info SET total_cost = (SELECT sum(total_cost) FROM %sspans WHERE trace_id = "
            "?1) WHERE request_id = ?1 AND total_cost IS NULL",
            prefix, prefix);
        *update = db_prepare(db, sql, e);
        free(sql);
    }
    if (!*update)
        return false;
    struct value trace;
    load_get_key(x->key + 1, len - 1, &trace, &s->scratch);
    db_bind(*update, 1, &trace);
    return db_step(*update, e) >= 0;
}
