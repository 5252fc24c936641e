/* Converts tags and metadata of traces that MLflow stores in columns. */
#include "formats/load/conversion.h"

/* Whether the column preserves the member exactly: MLflow rebuilds the object from the columns. */
static bool is_kept(const struct pyjson_value *member, const struct value *column)
{
    return !value_is_null(column) && member->type != PYJSON_STRING;
}

/* Fills out from the members of an object that have a column. */
static void promote_members(struct pyjson *json, const struct value *text, int first, int n,
                            struct value (*convert)(const struct pyjson_value *), struct load_promoted *out)
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

static void promote_text(const struct value *text, int column, size_t max, bool *cut,
                         struct load_promoted *out)
{
    uint64_t n = 0;
    out->n = 1;
    out->items[0].column = trace_columns[column];
    out->items[0].value = trace_text(text, max, &n);
    *cut = n > 0;
}

bool load_promote(struct pyjson *json, const struct record *r, struct load_promoted *out)
{
    enum trace_part part = trace_part_of(r);
    const struct value *text = &r->v[F_trace_tag_value];
    _Static_assert((int)F_trace_tag_value == (int)F_trace_request_metadata_value,
                   "text is the value of both");
    *out = (struct load_promoted){0};
    switch (part) {
    case TRACE_PART_NONE:
        return false;
    case TRACE_PART_NAME:
        promote_text(text, TRACE_COLUMN_NAME, TRACE_NAME_MAX, &out->cut_name, out);
        return true;
    case TRACE_PART_SESSION:
        promote_text(text, TRACE_COLUMN_SESSION, SESSION_ID_MAX, &out->cut_session, out);
        return true;
    case TRACE_PART_USAGE:
        promote_members(json, text, TRACE_COLUMN_TOKENS, TRACE_TOKENS, trace_token_count, out);
        return true;
    case TRACE_PART_COST:
        promote_members(json, text, TRACE_COLUMN_COSTS, TRACE_COSTS, trace_cost, out);
        return true;
    }
    return false;
}
