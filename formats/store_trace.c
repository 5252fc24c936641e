#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../common/io.h"
#include "json.h"
#include "store_impl.h"

enum { MAX_TRACE_NAME = 4096, MAX_SESSION = 250 }; /* characters of the columns */

/* Python's json.loads() refuses a longer integer. */
enum { MAX_INT_DIGITS = 4300 };

const char *const promoted_columns[] = {"trace_name",
                                        "session_id",
                                        "input_tokens",
                                        "output_tokens",
                                        "total_tokens",
                                        "cache_read_input_tokens",
                                        "cache_creation_input_tokens",
                                        "cache_creation_input_tokens_above_1hr",
                                        "input_cost",
                                        "output_cost",
                                        "total_cost",
                                        NULL};

static const char *const *const token_columns = promoted_columns + 2;
static const char *const *const cost_columns = promoted_columns + 8;
enum { TOKEN_COLUMNS = 6, COST_COLUMNS = 3 };

/* ---- numbers as Python reads them from text */

/* Where each of Unicode's decimal digits 0 stands (category Nd); 1 to 9 follow it. */
static const uint32_t zeros[] = {
    0x660,   0x6f0,   0x7c0,   0x966,   0x9e6,   0xa66,   0xae6,   0xb66,   0xbe6,   0xc66,   0xce6,
    0xd66,   0xde6,   0xe50,   0xed0,   0xf20,   0x1040,  0x1090,  0x17e0,  0x1810,  0x1946,  0x19d0,
    0x1a80,  0x1a90,  0x1b50,  0x1bb0,  0x1c40,  0x1c50,  0xa620,  0xa8d0,  0xa900,  0xa9d0,  0xa9f0,
    0xaa50,  0xabf0,  0xff10,  0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450,
    0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x16a60, 0x16ac0,
    0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0};

/* The code point at s, which is UTF-8; *size is its length. */
static uint32_t code_point(const char *s, size_t len, size_t *size)
{
    unsigned char c = (unsigned char)*s;
    size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    uint32_t u = n == 1 ? c : c & (0x7fu >> n);
    for (size_t i = 1; i < n && i < len; i++)
        u = u << 6 | ((unsigned char)s[i] & 0x3f);
    *size = n < len ? n : len;
    return u;
}

static bool is_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
           c == 0x3000;
}

/* What str.strip() leaves. */
static void strip(const char **s, size_t *len)
{
    size_t n;
    while (*len && is_space(code_point(*s, *len, &n))) {
        *s += n;
        *len -= n;
    }
    while (*len) {
        size_t i = *len - 1;
        while (i > 0 && ((unsigned char)(*s)[i] & 0xc0) == 0x80)
            i--;
        if (!is_space(code_point(*s + i, *len - i, &n)))
            break;
        *len = i;
    }
}

/* Strips, and writes digits of every script as ASCII. False when other characters than ASCII are left. */
static bool to_ascii(const char *s, size_t len, struct buf *out)
{
    strip(&s, &len);
    for (size_t i = 0, n; i < len; i += n) {
        uint32_t c = code_point(s + i, len - i, &n);
        for (size_t k = 0; c >= 0x80 && k < sizeof zeros / sizeof *zeros; k++)
            if (c >= zeros[k] && c < zeros[k] + 10)
                c = '0' + (c - zeros[k]);
        if (c >= 0x80 || c == 0)
            return false;
        buf_addc(out, (char)c);
    }
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

struct decimal {
    bool negative;
    struct buf digits; /* without leading zeros */
    long exponent;     /* of the last digit */
};

enum { MAX_EXPONENT = 1 << 28 };

/* [sign] digits [. digits] [e [sign] digits], with a digit before or after the point. */
static bool parse_decimal(const char *s, struct decimal *d)
{
    bool any = false, point = false;
    if (*s == '+' || *s == '-')
        d->negative = *s++ == '-';
    for (; is_digit(*s) || (*s == '.' && !point); s++) {
        if (*s == '.') {
            point = true;
            continue;
        }
        any = true;
        if (d->digits.len || *s != '0')
            buf_addc(&d->digits, *s);
        d->exponent -= point;
    }
    if (!any)
        return false;
    if (*s == 'e' || *s == 'E') {
        long sign = 1, exponent = 0;
        s++;
        if (*s == '+' || *s == '-')
            sign = *s++ == '-' ? -1 : 1;
        if (!is_digit(*s))
            return false;
        for (; is_digit(*s); s++)
            exponent = exponent < MAX_EXPONENT ? exponent * 10 + (*s - '0') : exponent;
        d->exponent += sign * exponent;
    }
    return *s == '\0';
}

/* The integer that d is, if it is one of 64 bits. */
static bool decimal_to_int(struct decimal *d, int64_t *out)
{
    struct buf *b = &d->digits;
    while (b->len && b->data[b->len - 1] == '0') {
        buf_truncate(b, b->len - 1);
        d->exponent++;
    }
    *out = 0;
    if (!b->len)
        return true;
    if (d->exponent < 0 || d->exponent > 19 || b->len + (size_t)d->exponent > 19)
        return false;
    uint64_t u = 0;
    for (size_t i = 0; i < b->len + (size_t)d->exponent; i++)
        u = u * 10 + (i < b->len ? (uint64_t)(b->data[i] - '0') : 0);
    if (u > (uint64_t)INT64_MAX + d->negative)
        return false;
    *out = d->negative ? (int64_t)(0 - u) : (int64_t)u;
    return true;
}

struct value token_count_of_text(const char *s, size_t len)
{
    struct buf ascii = {0}, plain = {0};
    struct value v = value_null();
    struct decimal d = {0};
    int64_t i;
    if (to_ascii(s, len, &ascii)) {
        for (size_t k = 0; k < ascii.len; k++) /* Decimal() ignores every underscore */
            if (ascii.data[k] != '_')
                buf_addc(&plain, ascii.data[k]);
        if (parse_decimal(buf_str(&plain), &d) && decimal_to_int(&d, &i))
            v = value_int(i);
    }
    buf_free(&d.digits);
    buf_free(&plain);
    buf_free(&ascii);
    return v;
}

/* Removes underscores, which may only stand between two digits. */
static bool remove_underscores(struct buf *b)
{
    size_t n = 0;
    for (size_t i = 0; i < b->len; i++) {
        if (b->data[i] != '_')
            b->data[n++] = b->data[i];
        else if (i == 0 || !is_digit(b->data[i - 1]) || i + 1 == b->len || !is_digit(b->data[i + 1]))
            return false;
    }
    buf_truncate(b, n);
    return true;
}

struct value cost_of_text(const char *s, size_t len)
{
    struct buf ascii = {0};
    struct decimal d = {0};
    struct value v = value_null();
    if (to_ascii(s, len, &ascii) && remove_underscores(&ascii) && parse_decimal(buf_str(&ascii), &d)) {
        double f = strtod(buf_str(&ascii), NULL);
        if (isfinite(f))
            v = value_float(f);
    }
    buf_free(&d.digits);
    buf_free(&ascii);
    return v;
}

/* ---- JSON, in the one form that json_normalise() writes: ", " and ": " between, ASCII only */

static const char *skip_string(const char *p)
{
    for (p++; *p && *p != '"'; p++)
        if (*p == '\\' && p[1])
            p++;
    return *p ? p + 1 : p;
}

/* The end of the value that begins at p. */
static const char *skip_value(const char *p)
{
    int depth = 0;
    do {
        if (*p == '"') {
            p = skip_string(p);
            continue;
        }
        depth += (*p == '{' || *p == '[') - (*p == '}' || *p == ']');
        p++;
    } while (*p && (depth > 0 || (*p != ',' && *p != '}' && *p != ']')));
    return p;
}

static bool has_endless_integer(const char *p)
{
    while (*p) {
        if (*p == '"') {
            p = skip_string(p);
        } else if (is_digit(*p)) {
            size_t n = strspn(p, "0123456789");
            if (n > MAX_INT_DIGITS && !strchr(".eE", p[n] ? p[n] : ' '))
                return true;
            p += strspn(p, "0123456789.eE+-");
        } else {
            p++;
        }
    }
    return false;
}

static int hex4(const char *p)
{
    char digits[5] = {p[0], p[1], p[2], p[3], 0};
    return (int)strtol(digits, NULL, 16);
}

static void add_utf8(struct buf *out, uint32_t c)
{
    if (c < 0x80) {
        buf_addc(out, (char)c);
        return;
    }
    int n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    buf_addc(out, (char)((0xf00 >> n & 0xff) | c >> 6 * (n - 1)));
    for (int i = n - 2; i >= 0; i--)
        buf_addc(out, (char)(0x80 | (c >> 6 * i & 0x3f)));
}

/* The text of a JSON string from its opening quote. A lone surrogate stays three bytes that are no UTF-8. */
static void unquote(const char *p, struct buf *out)
{
    static const char escapes[] = "bfnrt", meant[] = "\b\f\n\r\t";
    for (p++; *p && *p != '"'; p++) {
        if (*p != '\\') {
            buf_addc(out, *p);
            continue;
        }
        p++;
        const char *known = *p ? strchr(escapes, *p) : NULL;
        if (*p != 'u') {
            buf_addc(out, known ? meant[known - escapes] : *p);
            continue;
        }
        uint32_t c = (uint32_t)hex4(p + 1);
        p += 4;
        if (c >= 0xd800 && c < 0xdc00 && p[1] == '\\' && p[2] == 'u') {
            uint32_t low = (uint32_t)hex4(p + 3);
            if (low >= 0xdc00 && low < 0xe000) {
                c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
                p += 6;
            }
        }
        add_utf8(out, c);
    }
}

/* A scalar of JSON as the columns take it: by `convert`, unless it is no number and no string. */
static struct value scalar(const char *p, struct value (*convert)(const char *, size_t))
{
    if (*p == '"') {
        struct buf text = {0};
        unquote(p, &text);
        struct value v =
            utf8_valid(buf_str(&text), text.len) ? convert(buf_str(&text), text.len) : value_null();
        buf_free(&text);
        return v;
    }
    return is_digit(*p) || *p == '-' ? convert(p, (size_t)(skip_value(p) - p)) : value_null();
}

/* Fills items from the members of an object that have a column. Returns false when text is no object. */
static bool members(const struct value *text, const char *const *columns, int n_columns,
                    struct value (*convert)(const char *, size_t), struct promoted *out)
{
    struct buf json = {0};
    bool object = value_is_text(text) && json_normalise(text->s, text->len, &json) && json.data[0] == '{' &&
                  !has_endless_integer(json.data);
    const char *p = object ? json.data + 1 : "}";
    while (*p == '"') {
        const char *end = skip_string(p), *value = end + 2;
        size_t len = (size_t)(end - p) - 2;
        int i = 0;
        while (i < n_columns && (strlen(columns[i]) != len || memcmp(columns[i], p + 1, len) != 0))
            i++;
        struct value v = i < n_columns ? scalar(value, convert) : value_null();
        /* What is read back is rebuilt from the columns. */
        out->loss |= value_is_null(&v) || *value == '"';
        if (i < n_columns) {
            out->items[out->n].column = columns[i];
            out->items[out->n++].value = v;
        }
        p = skip_value(value);
        p += *p == ',' ? 2 : 0;
    }
    out->loss |= !object || out->n == 0;
    buf_free(&json);
    return object;
}

/* Text cut to its column. */
static void promote_text(const struct value *text, const char *column, size_t max, bool *cut,
                         struct promoted *out)
{
    struct value v = *text;
    if (v.type == VALUE_STR && utf8_length(v.s, v.len) > max) {
        v.len = (uint32_t)utf8_prefix(v.s, v.len, max);
        *cut = true;
    }
    out->n = 1;
    out->items[0].column = column;
    out->items[0].value = v;
}

bool promote(const struct record *r, struct promoted *out)
{
    bool tag = r->kind->kind == KIND_trace_tag;
    const struct value *key = tag ? &r->v[F_trace_tag_key] : &r->v[F_trace_request_metadata_key];
    const struct value *text = tag ? &r->v[F_trace_tag_value] : &r->v[F_trace_request_metadata_value];
    *out = (struct promoted){0};
    if (tag && value_eqs(key, "mlflow.traceName"))
        promote_text(text, "trace_name", MAX_TRACE_NAME, &out->cut_name, out);
    else if (!tag && value_eqs(key, "mlflow.trace.session"))
        promote_text(text, "session_id", MAX_SESSION, &out->cut_session, out);
    else if (!tag && value_eqs(key, "mlflow.trace.tokenUsage"))
        members(text, token_columns, TOKEN_COLUMNS, token_count_of_text, out);
    else if (!tag && value_eqs(key, "mlflow.trace.cost"))
        members(text, cost_columns, COST_COLUMNS, cost_of_text, out);
    else
        return false;
    return true;
}

void assessment_aggregate(const struct value *json, struct value *aggregate, struct value *is_numeric)
{
    struct buf normal = {0}, text = {0};
    *aggregate = value_null();
    *is_numeric = value_bool(false);
    const char *p = "";
    if (json_normalise(json->s, json->len, &normal))
        p = buf_str(&normal);
    else
        buf_add(&text, json->s, json->len);
    if (strcmp(p, "true") == 0 || strcmp(p, "false") == 0) {
        *aggregate = value_float(*p == 't');
    } else if (is_digit(*p) || *p == '-') {
        *aggregate = cost_of_text(p, strlen(p));
        *is_numeric = value_bool(!value_is_null(aggregate));
    } else if (*p == '"') {
        unquote(p, &text);
    }
    const char *word = buf_str(&text);
    size_t len = text.len;
    strip(&word, &len);
    if ((len == 3 && strncasecmp(word, "yes", 3) == 0) || (len == 2 && strncasecmp(word, "no", 2) == 0))
        *aggregate = value_float(len == 3);
    buf_free(&normal);
    buf_free(&text);
}
