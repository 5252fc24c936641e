/* Iterates over the categories of an issue. */
#include "formats/database/issue_categories.h"

#include <sha2.h>
#include <string.h>

#include "common/utf8.h"

/* Element i of a list or object as Python's `for` iterates over it. */
static const struct pyjson_value *element(const struct pyjson *d, size_t i)
{
    return d->top.type == PYJSON_OBJECT ? &d->members[i].key : &d->members[i].value;
}

const char *issue_categories_parse(struct pyjson *json, const struct value *text)
{
    static const char surrogate[] = "has half of a surrogate pair";
    if (!value_is_text(text) || !pyjson_parse(json, text->s, text->len))
        return "is not JSON";
    if (json->top.type == PYJSON_STRING)
        return json->top.surrogate ? surrogate : NULL;
    if (json->top.type != PYJSON_ARRAY && json->top.type != PYJSON_OBJECT)
        return "is not a list";
    for (size_t i = 0; i < json->n_members; i++)
        if (element(json, i)->type != PYJSON_STRING || element(json, i)->surrogate)
            return element(json, i)->surrogate ? surrogate : "has an element that is not a string";
    return NULL;
}

static bool show(issue_category_visitor *visit, void *arg, const char *s, size_t len)
{
    char hash[SHA256_DIGEST_STRING_LENGTH];
    struct buf lower = {0};
    const char *stripped = s;
    size_t n = len;
    py_strip(&stripped, &n);
    py_lower(stripped, n, &lower);
    SHA256Data((const uint8_t *)buf_str(&lower), lower.len, hash);
    buf_free(&lower);
    struct value h = value_str(hash), category = value_strn(s, len);
    return visit(arg, &h, &category);
}

/* A duplicate key keeps its first position. */
static bool is_repeated_key(const struct pyjson *d, size_t i)
{
    const struct pyjson_value *v = element(d, i);
    for (size_t k = 0; d->top.type == PYJSON_OBJECT && k < i; k++)
        if (element(d, k)->len == v->len && memcmp(element(d, k)->s, v->s, v->len) == 0)
            return true;
    return false;
}

bool issue_categories_each(const struct pyjson *json, issue_category_visitor *visit, void *arg)
{
    const struct pyjson_value *top = &json->top;
    if (top->type == PYJSON_STRING) {
        for (size_t i = 0, n; i < top->len; i += n) {
            n = utf8_prefix(top->s + i, top->len - i, 1);
            if (!show(visit, arg, top->s + i, n))
                return false;
        }
        return true;
    }
    for (size_t i = 0; i < json->n_members; i++)
        if (!is_repeated_key(json, i) && !show(visit, arg, element(json, i)->s, element(json, i)->len))
            return false;
    return true;
}
