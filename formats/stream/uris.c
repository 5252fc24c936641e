/* Visits the artifact URIs of a record. */
#include "formats/stream/uris.h"

#include <jansson.h>

#include "common/array.h"
#include "formats/stream/json.h"

struct visit {
    struct uri_place at;
    uri_visitor *visit;
    void *arg;
};

/* Fields that hold a URI only in some records. */
static const struct conditional {
    enum kind kind;
    int field, by;
    const char *text;
} conditionals[] = {
#define URI_WHERE(kind, field, by, text) {KIND_##kind, F_##kind##_##field, F_##kind##_##by, text},
#include "formats/entities.def"
};

enum {
    MAX_JSON =
        16 << 20, /* bytes; a longer text is taken for one URI, since parsing takes several times its size */
};

enum { N_CONDITIONALS = ARRAY_LENGTH(conditionals) };

/* -- JSON texts: their strings other than keys */

/* The end of the string that begins at p; NULL if it is unterminated. */
static const char *string_end(const char *p, const char *end)
{
    for (p++; p < end && *p != '"'; p++)
        if (*p == '\\')
            p++;
    return p < end ? p + 1 : NULL;
}

static bool is_key(const char *p, const char *end)
{
    while (p < end && strchr(" \t\r\n", *p))
        p++;
    return p < end && *p == ':';
}

/* Appends the string at [p, stop), or its replacement. */
static bool edit_string(const struct visit *x, const char *p, const char *stop, struct buf *out)
{
    struct buf new = {0};
    bool changed = false;
    json_t *text = json_parse(p, (size_t)(stop - p), JSON_DECODE_ANY, NULL);
    if (text)
        changed = x->visit(x->arg, &x->at, json_string_value(text), json_string_length(text), &new);
    if (changed)
        json_quote_ascii(buf_str(&new), new.len, out);
    else
        buf_add(out, p, (size_t)(stop - p));
    json_decref(text);
    buf_free(&new);
    return changed;
}

static bool edit_json(const struct visit *x, const struct value *v, struct buf *out)
{
    const char *p = v->s, *end = v->s + v->len;
    bool changed = false;
    while (p < end) {
        const char *stop = *p == '"' ? string_end(p, end) : NULL;
        if (stop && !is_key(stop, end)) {
            changed |= edit_string(x, p, stop, out);
        } else {
            stop = stop ? stop : p + 1;
            buf_add(out, p, (size_t)(stop - p));
        }
        p = stop;
    }
    return changed;
}

static bool is_json(const struct value *v)
{
    struct buf text = {0};
    bool good = v->type == VALUE_STR && v->len > 0 && v->len <= MAX_JSON && strchr("{[\"", v->s[0]) &&
                json_normalise(v->s, v->len, &text);
    buf_free(&text);
    return good;
}

/* -- records */

static bool holds_uri(const struct record *r, int f)
{
    if (r->kind->fields[f].flags & FIELD_URI)
        return true;
    for (int i = 0; i < N_CONDITIONALS; i++)
        if (conditionals[i].kind == r->kind->kind && conditionals[i].field == f &&
            value_eqs(&r->v[conditionals[i].by], conditionals[i].text))
            return true;
    return false;
}

bool uris_in(const struct kind_desc *kind)
{
    for (int f = 0; f < kind->n_fields; f++)
        if (kind->fields[f].flags & FIELD_URI)
            return true;
    for (int i = 0; i < N_CONDITIONALS; i++)
        if (conditionals[i].kind == kind->kind)
            return true;
    return false;
}

void uris_edit(struct record *r, uri_visitor *visit, void *arg, struct arena *a)
{
    struct visit x = {
        .at = {.kind = r->kind, .any_text = r->kind->kind == KIND_dataset}, .visit = visit, .arg = arg};
    for (int f = 0; f < r->kind->n_fields; f++) {
        struct value *v = &r->v[f];
        struct buf new = {0};
        if (!value_is_text(v) || !holds_uri(r, f))
            continue;
        x.at.field = f;
        bool changed =
            x.at.any_text && is_json(v) ? edit_json(&x, v, &new) : visit(arg, &x.at, v->s, v->len, &new);
        if (changed)
            *v = value_text(arena_strndup(a, buf_str(&new), new.len), new.len);
        buf_free(&new);
    }
}
