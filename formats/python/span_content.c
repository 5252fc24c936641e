/* The JSON text of spans: its members are found without a tree, since a span may be large. */
#include "formats/python/span_content.h"

#include <math.h>
#include <string.h>

#include "common/array.h"
#include "common/digits.h"
#include "common/utf8.h"

/* -- members of objects, as they are written */

struct slice {
    const char *s, *end; /* s NULL: not there */
};

static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
        p++;
    return p;
}

/* After the string that begins at p; NULL: it has no end. */
static const char *skip_string(const char *p, const char *end)
{
    for (p++; p < end; p++) {
        if (*p == '"')
            return p + 1;
        p += *p == '\\';
    }
    return NULL;
}

/* After the array or object that begins at p. */
static const char *skip_nested(const char *p, const char *end)
{
    size_t depth = 0;
    while (p && p < end) {
        if (*p == '"') {
            p = skip_string(p, end);
            continue;
        }
        if (*p == '{' || *p == '[')
            depth++;
        else if ((*p == '}' || *p == ']') && --depth == 0)
            return p + 1;
        p++;
    }
    return NULL;
}

static const char *skip_value(const char *p, const char *end)
{
    if (p == end)
        return NULL;
    if (*p == '"')
        return skip_string(p, end);
    if (*p == '{' || *p == '[')
        return skip_nested(p, end);
    while (p < end && !strchr(",]} \t\r\n", *p))
        p++;
    return p;
}

/* The text of a string, NULL where it is none, or has half of a surrogate pair. */
static struct span_text text_of(struct span_content *c, struct slice v)
{
    if (!v.s || *v.s != '"')
        return (struct span_text){0};
    size_t len = (size_t)(v.end - v.s) - 2;
    if (!memchr(v.s, '\\', len + 2))
        return (struct span_text){v.s + 1, len};
    if (!pyjson_parse(&c->json, v.s, len + 2) || c->json.top.surrogate)
        return (struct span_text){0};
    return (struct span_text){arena_strndup(&c->arena, c->json.top.s, c->json.top.len), c->json.top.len};
}

static bool text_is(struct span_text text, const char *word)
{
    return text.s && text.len == strlen(word) && memcmp(text.s, word, text.len) == 0;
}

/* Finds the values of the named members, of several of one name the last. False: it is not an object. */
static bool find_members(struct span_content *c, struct slice object, const char *const *names, size_t n,
                         struct slice *out)
{
    const char *p = object.s, *end = object.end;
    memset(out, 0, n * sizeof *out);
    if (!p || p == end || *p != '{')
        return false;
    p = skip_blanks(p + 1, end);
    while (p < end && *p == '"') {
        const char *key = p;
        p = skip_string(p, end);
        struct slice name = {key, p};
        p = p ? skip_blanks(p, end) : end;
        if (p == end || *p != ':')
            return false;
        p = skip_blanks(p + 1, end);
        const char *value = p;
        p = skip_value(p, end);
        if (!p)
            return false;
        struct span_text text = text_of(c, name);
        for (size_t i = 0; i < n; i++)
            if (text_is(text, names[i]))
                out[i] = (struct slice){value, p};
        p = skip_blanks(p, end);
        if (p < end && *p == ',')
            p = skip_blanks(p + 1, end);
    }
    return p < end && *p == '}';
}

/* -- values */

static bool is_null(struct slice v)
{
    return !v.s || (v.end - v.s == 4 && memcmp(v.s, "null", 4) == 0);
}

/* An integer, or its decimal digits as a string, as protobuf's JSON has it. */
static bool integer_of(struct span_content *c, struct slice v, int64_t *out)
{
    struct span_text text = text_of(c, v);
    if (!text.s && v.s)
        text = (struct span_text){v.s, (size_t)(v.end - v.s)};
    bool digits = text.len > 0 && text.len < 21;
    for (size_t i = 0; digits && i < text.len; i++)
        digits = (text.s[i] >= '0' && text.s[i] <= '9') || (i == 0 && text.s[i] == '-' && text.len > 1);
    return digits && py_integer(text.s, text.len, out);
}

/* Hexadecimal digits, filled up with zeros on the left. */
static bool hex_id(struct span_text text, char *out, size_t digits)
{
    if (text.len == 0 || text.len > digits)
        return false;
    memset(out, '0', digits);
    for (size_t i = 0; i < text.len; i++) {
        int digit = hex_digit(text.s[i]);
        if (digit < 0)
            return false;
        out[digits - text.len + i] = "0123456789abcdef"[digit];
    }
    out[digits] = '\0';
    return true;
}

/* The base64 of half as many bytes as out has digits. */
static bool base64_id(struct span_text text, char *out, size_t digits)
{
    size_t bytes = digits / 2, n = 0;
    uint32_t bits = 0;
    if (text.len != (bytes + 2) / 3 * 4)
        return false;
    for (size_t i = 0; i < text.len && n < bytes; i++) {
        int digit = base64_digit(text.s[i]);
        if (digit < 0)
            return false;
        bits = bits << 6 | (uint32_t)digit;
        if (i % 4 == 0)
            continue;
        unsigned byte = bits >> (i % 4 == 1 ? 4 : i % 4 == 2 ? 2 : 0) & 0xff;
        out[2 * n] = "0123456789abcdef"[byte >> 4];
        out[2 * n++ + 1] = "0123456789abcdef"[byte & 15];
    }
    out[digits] = '\0';
    return n == bytes;
}

static struct span_text without_0x(struct span_text text)
{
    if (text.len > 2 && text.s[0] == '0' && (text.s[1] | 0x20) == 'x')
        text = (struct span_text){text.s + 2, text.len - 2};
    return text;
}

/* MLflow 2: hexadecimal, in 2.14 to 2.21 with 0x. MLflow 3: base64, in 3.5.0 hexadecimal. */
static bool id_of(struct span_text text, bool v2, char *out, size_t digits)
{
    return v2 ? hex_id(without_0x(text), out, digits)
              : (text.len == digits && hex_id(text, out, digits)) || base64_id(text, out, digits);
}

static struct span_text cut(struct span_text text)
{
    if (text.len > SPAN_TEXT_MAX)
        text.len = utf8_prefix(text.s, text.len, SPAN_TEXT_MAX);
    return text;
}

/* An attribute that is a text of JSON: the string in it; else, if others count, its text as it is. */
static struct span_text inner_text(struct span_content *c, struct slice v, bool others)
{
    struct span_text text = text_of(c, v);
    if (!text.s)
        return text;
    if (!pyjson_parse(&c->inner, text.s, text.len))
        return cut(text);
    if (c->inner.top.type != PYJSON_STRING)
        return others ? cut(text) : (struct span_text){0};
    if (c->inner.top.surrogate)
        return (struct span_text){0};
    struct span_text inner = {c->inner.top.s, c->inner.top.len};
    inner = cut(inner);
    return (struct span_text){arena_strndup(&c->arena, inner.s, inner.len), inner.len};
}

static bool finite_number(const struct pyjson_value *v, double *out)
{
    bool number = v && (v->type == PYJSON_INT || v->type == PYJSON_FLOAT);
    if (number)
        *out = pyjson_number(v);
    else if (!v || v->type != PYJSON_STRING || v->surrogate || !py_float(v->s, v->len, out))
        return false;
    return isfinite(*out);
}

static void read_costs(struct span_content *c, struct slice v)
{
    static const char *const names[SPAN_COSTS] = {"input_cost", "output_cost", "total_cost"};
    struct span_text text = text_of(c, v);
    if (!text.s && v.s)
        text = (struct span_text){v.s, (size_t)(v.end - v.s)};
    bool object = text.s && pyjson_parse(&c->inner, text.s, text.len) && c->inner.top.type == PYJSON_OBJECT;
    for (int i = 0; i < SPAN_COSTS; i++)
        c->has_cost[i] = object && finite_number(pyjson_get(&c->inner, names[i]), &c->cost[i]);
}

static void read_attributes(struct span_content *c, struct slice attributes)
{
    enum { TYPE, MODEL, PROVIDER, COST, N };
    static const char *const names[N] = {"mlflow.spanType", "mlflow.llm.model", "mlflow.llm.provider",
                                         "mlflow.llm.cost"};
    struct slice found[N];
    find_members(c, attributes, names, N, found);
    c->type = inner_text(c, found[TYPE], false);
    c->model = inner_text(c, found[MODEL], true);
    c->provider = inner_text(c, found[PROVIDER], true);
    read_costs(c, found[COST]);
}

/* -- spans */

enum member {
    NAME,
    CONTEXT,
    PARENT_ID,
    SPAN_ID,
    TRACE_ID,
    PARENT_SPAN_ID,
    START,
    START_NANO,
    END,
    END_NANO,
    STATUS_CODE,
    STATUS,
    ATTRIBUTES,
    N_MEMBERS
};
static const char *const members[N_MEMBERS] = {
    [NAME] = "name",
    [CONTEXT] = "context",
    [PARENT_ID] = "parent_id",
    [SPAN_ID] = "span_id",
    [TRACE_ID] = "trace_id",
    [PARENT_SPAN_ID] = "parent_span_id",
    [START] = "start_time",
    [START_NANO] = "start_time_unix_nano",
    [END] = "end_time",
    [END_NANO] = "end_time_unix_nano",
    [STATUS_CODE] = "status_code",
    [STATUS] = "status",
    [ATTRIBUTES] = "attributes",
};

static const char *read_ids(struct span_content *c, const struct slice *m)
{
    static const char *const names[] = {"span_id", "trace_id"};
    struct slice context[2] = {m[SPAN_ID], m[TRACE_ID]};
    bool v2 = !is_null(m[CONTEXT]);
    if (v2)
        find_members(c, m[CONTEXT], names, ARRAY_LENGTH(names), context);
    struct slice parent = v2 ? m[PARENT_ID] : m[PARENT_SPAN_ID];
    struct span_text id = text_of(c, parent);
    c->parent_id[0] = c->trace_id[0] = '\0';
    if (!id_of(text_of(c, context[0]), v2, c->span_id, SPAN_ID_DIGITS))
        return context[0].s ? "has a malformed span_id" : "has no span_id";
    if (!is_null(parent) && !(id.s && id.len == 0) && !id_of(id, v2, c->parent_id, SPAN_ID_DIGITS))
        return "has a malformed parent's id";
    id = text_of(c, context[1]);
    if (id.len > 3 && memcmp(id.s, "tr-", 3) == 0) /* 3.5.0 */
        id = (struct span_text){id.s + 3, id.len - 3};
    if (!id_of(id, v2, c->trace_id, SPAN_TRACE_ID_DIGITS))
        c->trace_id[0] = '\0';
    return NULL;
}

static const char *read_status(struct span_content *c, const struct slice *m)
{
    static const char prefix[] = "STATUS_CODE_";
    static const char *const words[] = {"OK", "ERROR", "UNSET"};
    static const char *const name[] = {"code"};
    struct slice code = m[STATUS_CODE];
    if (!code.s)
        find_members(c, m[STATUS], name, 1, &code);
    struct span_text word = text_of(c, code);
    c->status = is_null(code) ? "UNSET" : NULL;
    if (word.len > sizeof prefix - 1 && memcmp(word.s, prefix, sizeof prefix - 1) == 0)
        word = (struct span_text){word.s + sizeof prefix - 1, word.len - (sizeof prefix - 1)};
    for (size_t i = 0; i < ARRAY_LENGTH(words); i++)
        if (text_is(word, words[i]))
            c->status = words[i];
    return c->status ? NULL : "has an unknown status";
}

static const char *read_times(struct span_content *c, const struct slice *m)
{
    struct slice start = m[START_NANO].s ? m[START_NANO] : m[START],
                 end = m[END_NANO].s ? m[END_NANO] : m[END];
    c->end = 0;
    if (!integer_of(c, start, &c->start))
        return "has no start time";
    if (!is_null(end) && !integer_of(c, end, &c->end))
        return "has a malformed end time";
    c->has_end = c->end != 0;
    return NULL;
}

const char *span_content_read(struct span_content *c, const char *s, size_t len)
{
    struct slice m[N_MEMBERS];
    arena_reset(&c->arena);
    if (!find_members(c, (struct slice){s, s + len}, members, N_MEMBERS, m))
        return "is not a JSON object";
    const char *wrong = read_ids(c, m);
    wrong = wrong ? wrong : read_times(c, m);
    wrong = wrong ? wrong : read_status(c, m);
    c->name = text_of(c, m[NAME]);
    read_attributes(c, m[ATTRIBUTES]);
    return wrong;
}

bool span_content_attributes(struct span_content *c, const char *s, size_t len)
{
    static const char *const name[] = {"attributes"};
    struct slice attributes;
    arena_reset(&c->arena);
    bool object = find_members(c, (struct slice){s, s + len}, name, 1, &attributes);
    read_attributes(c, attributes);
    return object;
}

void span_content_free(struct span_content *c)
{
    arena_free(&c->arena);
    pyjson_free(&c->json);
    pyjson_free(&c->inner);
}
