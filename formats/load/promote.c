#include "formats/load/internal.h"

/* A member that its column holds, and gives back, as it is: MLflow rebuilds the object from the columns. */
static bool is_kept(const struct pyjson_value *member, const struct value *column)
{
    return !value_is_null(column) && member->type != PYJSON_STRING;
}

/* Fills out from the members of an object that have a column. */
static void promote_members(struct pyjson *json, const struct value *text, int first, int n,
                            struct value (*convert)(const struct pyjson_value *), struct promoted *out)
{
    size_t kept = 0;
    bool object =
        value_is_text(text) && pyjson_parse(json, text->s, text->len) && json->top.type == PYJSON_OBJECT;
    for (int i = first; object && i < first + n; i++) {
        const struct pyjson_value *member = pyjson_get(json, trace_columns[i]);
        if (!member)
            continue;
        struct value v = convert(member);
        kept += is_kept(member, &v);
        out->items[out->n].column = trace_columns[i];
        out->items[out->n++].value = v;
    }
    out->loss = !object || json->n_members == 0 || kept < json->n_members;
}

static void promote_text(const struct value *text, int column, size_t max, bool *cut, struct promoted *out)
{
    uint64_t n = 0;
    out->n = 1;
    out->items[0].column = trace_columns[column];
    out->items[0].value = text->type == VALUE_BIN ? *text : trace_text(text, max, &n);
    *cut = n > 0;
}

bool promote(struct pyjson *json, const struct record *r, struct promoted *out)
{
    bool tag = r->kind->kind == KIND_trace_tag;
    const struct value *key = tag ? &r->v[F_trace_tag_key] : &r->v[F_trace_request_metadata_key];
    const struct value *text = tag ? &r->v[F_trace_tag_value] : &r->v[F_trace_request_metadata_value];
    *out = (struct promoted){0};
    if (tag && value_eqs(key, "mlflow.traceName"))
        promote_text(text, TRACE_COLUMN_NAME, TRACE_NAME_MAX, &out->cut_name, out);
    else if (!tag && value_eqs(key, "mlflow.trace.session"))
        promote_text(text, TRACE_COLUMN_SESSION, SESSION_ID_MAX, &out->cut_session, out);
    else if (!tag && value_eqs(key, "mlflow.trace.tokenUsage"))
        promote_members(json, text, TRACE_COLUMN_TOKENS, TRACE_TOKENS, trace_token_count, out);
    else if (!tag && value_eqs(key, "mlflow.trace.cost"))
        promote_members(json, text, TRACE_COLUMN_COSTS, TRACE_COSTS, trace_cost, out);
    else
        return false;
    return true;
}
