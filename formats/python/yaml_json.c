/* Writes YAML values as JSON. */
#include <math.h>
#include <string.h>

#include "formats/python/yaml_internal.h"
#include "formats/record/value.h"
#include "formats/stream/json.h"

enum {
    MAX_JSON = 64 << 20 /* bytes of a value as JSON: aliases can make it much larger than the document */
};

static bool scalar_to_json(const struct yaml_value *v, struct buf *out, struct yaml_error *e)
{
    char number[32];
    switch (v->kind) {
    case YAML_IS_NULL:
        buf_adds(out, "null");
        return true;
    case YAML_IS_BOOL:
        buf_adds(out, v->b ? "true" : "false");
        return true;
    case YAML_IS_INT:
        if (v->big)
            return yaml_fail(e, v->line, "%.60s is beyond 64 bits", v->text);
        buf_addf(out, "%lld", (long long)v->i);
        return true;
    case YAML_IS_FLOAT:
        if (isnan(v->f))
            buf_adds(out, "NaN");
        else if (isinf(v->f))
            buf_adds(out, v->f < 0 ? "-Infinity" : "Infinity");
        else
            buf_add(out, number, value_format_float(v->f, number));
        return true;
    case YAML_IS_TEXT:
        json_quote_ascii(v->text, v->len, out);
        return true;
    default:
        return yaml_fail(e, v->line, "%s cannot be written as JSON", yaml_kind_name(v->kind));
    }
}

/* Keys in JSON are text: json.dumps writes other keys as quoted JSON. */
static bool key_to_json(const struct yaml_value *key, struct buf *out, struct yaml_error *e)
{
    bool is_text = key->kind == YAML_IS_TEXT;
    if (!is_text)
        buf_addc(out, '"');
    if (!scalar_to_json(key, out, e))
        return false;
    if (!is_text)
        buf_addc(out, '"');
    buf_adds(out, ": ");
    return true;
}

static bool to_json(const struct yaml_value *v, struct buf *out, size_t limit, struct yaml_error *e,
                    int depth)
{
    if (out->len > limit || depth > YAML_MAX_DEPTH)
        return yaml_fail(e, v->line, "too large or too deep to be written as JSON");
    if (v->text)
        return scalar_to_json(v, out, e);
    buf_addc(out, v->kind == YAML_IS_MAP ? '{' : '[');
    for (const struct yaml_item *item = v->first; item; item = item->next) {
        if (item != v->first)
            buf_adds(out, ", ");
        if (item->key && !key_to_json(item->key, out, e))
            return false;
        if (!to_json(item->value, out, limit, e, depth + 1))
            return false;
    }
    buf_addc(out, v->kind == YAML_IS_MAP ? '}' : ']');
    return true;
}

bool yaml_to_json(const struct yaml_value *v, struct buf *out, struct yaml_error *e)
{
    return to_json(v, out, out->len + MAX_JSON, e, 0);
}
