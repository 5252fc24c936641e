/* Python's str methods, numbers from text, and json.loads, as MLflow's data migrations use them. */
#include "formats/python/text.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/digits.h"
#include "formats/record/value.h"

struct run {
    uint32_t first, last;
    int step, delta;
};
struct range {
    uint32_t first, last;
};
#include "formats/python/unicode_tables.h"

/* -- characters */

/* Decodes the character at s; an invalid byte is returned unchanged. */
static uint32_t decode(const char *s, size_t len, size_t *size)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc0 ? 2 : 1;
    if (n > len)
        n = 1;
    uint32_t c = n == 1 ? p[0] : p[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++)
        c = c << 6 | (p[i] & 0x3f);
    *size = n;
    return c;
}

static size_t encode(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)((0xf00 >> n & 0xf0) | c);
    return n;
}

static void add_char(struct buf *b, uint32_t c)
{
    char bytes[4];
    buf_add(b, bytes, encode(c, bytes));
}

static bool is_space(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
           c == 0x3000;
}

static bool in_ranges(const struct range *r, size_t n, uint32_t c)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (r[mid].last < c)
            low = mid + 1;
        else
            high = mid;
    }
    return low < n && r[low].first <= c;
}

static uint32_t lower_char(uint32_t c)
{
    for (size_t i = 0; i < ARRAY_LENGTH(lower_runs) && lower_runs[i].first <= c; i++)
        if (c <= lower_runs[i].last && (c - lower_runs[i].first) % (uint32_t)lower_runs[i].step == 0)
            return (uint32_t)((int64_t)c + lower_runs[i].delta);
    return c;
}

/* The value of a decimal digit of any script; -1 for other characters. */
static int digit_value(uint32_t c)
{
    for (size_t i = 0; i < ARRAY_LENGTH(zeros); i++)
        if (c >= zeros[i] && c <= zeros[i] + 9)
            return (int)(c - zeros[i]);
    return -1;
}

/* -- str */

static size_t previous(const char *s, size_t end)
{
    size_t i = end - 1;
    while (i > 0 && ((unsigned char)s[i] & 0xc0) == 0x80)
        i--;
    return i;
}

void py_strip(const char **s, size_t *len)
{
    size_t size;
    while (*len && is_space(decode(*s, *len, &size))) {
        *s += size;
        *len -= size;
    }
    while (*len) {
        size_t start = previous(*s, *len);
        if (!is_space(decode(*s + start, *len - start, &size)))
            return;
        *len = start;
    }
}

static bool cased_before(const char *s, size_t at)
{
    size_t size;
    while (at > 0) {
        at = previous(s, at);
        uint32_t c = decode(s + at, 4, &size);
        if (!in_ranges(case_ignorable, ARRAY_LENGTH(case_ignorable), c))
            return in_ranges(cased, ARRAY_LENGTH(cased), c);
    }
    return false;
}

static bool cased_after(const char *s, size_t at, size_t len)
{
    size_t size;
    for (; at < len; at += size) {
        uint32_t c = decode(s + at, len - at, &size);
        if (!in_ranges(case_ignorable, ARRAY_LENGTH(case_ignorable), c))
            return in_ranges(cased, ARRAY_LENGTH(cased), c);
    }
    return false;
}

void py_lower(const char *s, size_t len, struct buf *out)
{
    size_t size;
    for (size_t i = 0; i < len; i += size) {
        uint32_t c = decode(s + i, len - i, &size);
        if (c == 0x3a3) /* a sigma at the end of a word */
            add_char(out, cased_before(s, i) && !cased_after(s, i + size, len) ? 0x3c2 : 0x3c3);
        else if (c == 0x130) { /* the only character with two characters as lower case */
            add_char(out, 'i');
            add_char(out, 0x307);
        } else
            add_char(out, lower_char(c));
    }
}

/* -- numbers */

/* Converts digits of all scripts to ASCII and strips white space; other non-ASCII characters become `?`. */
static void ascii_number(const char *s, size_t len, struct buf *out)
{
    size_t size;
    py_strip(&s, &len);
    for (size_t i = 0; i < len; i += size) {
        uint32_t c = decode(s + i, len - i, &size);
        int digit = digit_value(c);
        buf_addc(out, digit >= 0 ? (char)('0' + digit) : c < 0x80 && c ? (char)c : '?');
    }
}

/* Removes underscores; false if one is not between digits although required. */
static bool drop_underscores(struct buf *b, bool between_digits)
{
    size_t n = 0;
    for (size_t i = 0; i < b->len; i++) {
        char c = b->data[i];
        if (c != '_') {
            b->data[n++] = c;
            continue;
        }
        bool before = i > 0 && b->data[i - 1] >= '0' && b->data[i - 1] <= '9';
        bool after = i + 1 < b->len && b->data[i + 1] >= '0' && b->data[i + 1] <= '9';
        if (between_digits && !(before && after))
            return false;
    }
    if (b->data)
        buf_truncate(b, n);
    return true;
}

struct number {
    bool negative;
    const char *whole, *fraction; /* digits */
    size_t n_whole, n_fraction;
    int64_t exponent;
};

static size_t digits(const char *s)
{
    return strspn(s, "0123456789");
}

/* [sign] digits [. digits] [e [sign] digits], with a digit before or after the point; all of s. */
static bool parse_number(const char *s, struct number *n)
{
    *n = (struct number){0};
    n->negative = *s == '-';
    s += *s == '-' || *s == '+';
    n->whole = s;
    n->n_whole = digits(s);
    s += n->n_whole;
    if (*s == '.') {
        n->fraction = ++s;
        n->n_fraction = digits(s);
        s += n->n_fraction;
    }
    if (n->n_whole + n->n_fraction == 0)
        return false;
    if (*s == 'e' || *s == 'E') {
        char *end;
        s++;
        const char *first = s + (*s == '-' || *s == '+');
        if (!digits(first))
            return false;
        n->exponent = strtoll(s, &end, 10); /* saturates, far out of range */
        s = end;
    }
    return *s == '\0';
}

static bool is_infinity_or_nan(const char *s)
{
    static const char *const words[] = {"inf", "infinity", "nan"};
    s += *s == '-' || *s == '+';
    for (size_t i = 0; i < ARRAY_LENGTH(words); i++)
        if (strcasecmp(s, words[i]) == 0)
            return true;
    return false;
}

/* ASCII's four separators, U+001C to U+001F, are white space for str.strip() and Decimal(), but not for
 * float(). */
static bool has_separators(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (s[i] >= 0x1c && s[i] <= 0x1f)
            return true;
    return false;
}

bool py_float(const char *s, size_t len, double *out)
{
    struct buf b = {0};
    struct number n;
    if (has_separators(s, len))
        return false;
    ascii_number(s, len, &b);
    bool ok =
        drop_underscores(&b, true) && (parse_number(buf_str(&b), &n) || is_infinity_or_nan(buf_str(&b)));
    if (ok)
        *out = strtod(buf_str(&b), NULL);
    buf_free(&b);
    return ok;
}

/* whole.fraction * 10^exponent, if it is a 64-bit integer. */
static bool integer_of(const struct number *n, int64_t *out)
{
    size_t total = n->n_whole + n->n_fraction;
    size_t significant = 0, first = total;
    for (size_t i = 0; i < total; i++) {
        char c = i < n->n_whole ? n->whole[i] : n->fraction[i - n->n_whole];
        if (c == '0')
            continue;
        significant = i + 1;
        if (first == total)
            first = i;
    }
    *out = 0;
    if (!significant)
        return true;
    /* After shifting the decimal point by the exponent, digits after it must be zeros, with at most 19 before
     * it. */
    if (n->exponent > 1000000 || n->exponent < -1000000)
        return false;
    int64_t point = (int64_t)n->n_whole + n->exponent;
    if ((int64_t)significant > point || point - (int64_t)first > 19)
        return false;
    uint64_t value = 0;
    for (int64_t i = (int64_t)first; i < point; i++) {
        size_t at = (size_t)i;
        char c = at >= total ? '0' : at < n->n_whole ? n->whole[at] : n->fraction[at - n->n_whole];
        uint64_t digit = (uint64_t)(c - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    if (value > (uint64_t)INT64_MAX + n->negative)
        return false;
    *out = n->negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

bool py_integer(const char *s, size_t len, int64_t *out)
{
    struct buf b = {0};
    struct number n;
    ascii_number(s, len, &b);
    bool ok = drop_underscores(&b, false) && parse_number(buf_str(&b), &n) && integer_of(&n, out);
    buf_free(&b);
    return ok;
}

/* -- JSON */

enum { MAX_INT_DIGITS = 4300 }; /* sys.get_int_max_str_digits() */

struct reader {
    const char *p, *end;
    struct pyjson *d;
    struct buf text; /* the string being read */
};

static void skip_space(struct reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r'))
        r->p++;
}

static bool accept(struct reader *r, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(r->end - r->p) < n || memcmp(r->p, word, n) != 0)
        return false;
    r->p += n;
    return true;
}

static bool hex4(struct reader *r, uint32_t *out)
{
    *out = 0;
    if (r->end - r->p < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(*r->p++);
        if (digit < 0)
            return false;
        *out = *out << 4 | (uint32_t)digit;
    }
    return true;
}

static bool is_high(uint32_t c)
{
    return c >= 0xd800 && c < 0xdc00;
}

static bool is_low(uint32_t c)
{
    return c >= 0xdc00 && c < 0xe000;
}

/* Reads one character after `\u`, from two escapes if they are a pair. */
static bool read_unicode(struct reader *r, bool *surrogate)
{
    uint32_t c, low;
    if (!hex4(r, &c))
        return false;
    const char *after = r->p;
    if (is_high(c) && accept(r, "\\u") && hex4(r, &low) && is_low(low))
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    else
        r->p = after;
    *surrogate |= is_high(c) || is_low(c);
    add_char(&r->text, c);
    return true;
}

static bool read_escape(struct reader *r, bool *surrogate)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (r->p == r->end)
        return false;
    char c = *r->p++;
    if (c == 'u')
        return read_unicode(r, surrogate);
    const char *at = c ? strchr(from, c) : NULL;
    if (!at)
        return false;
    buf_addc(&r->text, to[at - from]);
    return true;
}

static bool read_string(struct reader *r, struct pyjson_value *v)
{
    *v = (struct pyjson_value){.type = PYJSON_STRING};
    buf_reset(&r->text);
    r->p++;
    while (r->p < r->end && *r->p != '"') {
        if ((unsigned char)*r->p < 0x20)
            return false;
        if (*r->p != '\\')
            buf_addc(&r->text, *r->p++);
        else if (r->p++, !read_escape(r, &v->surrogate))
            return false;
    }
    v->len = r->text.len;
    return r->p < r->end && *r->p++ == '"';
}

static size_t digits_at(const struct reader *r, const char *p)
{
    size_t n = 0;
    while (p + n < r->end && p[n] >= '0' && p[n] <= '9')
        n++;
    return n;
}

/* -?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)? ; anything after that is left to the caller. */
static bool read_number(struct reader *r, struct pyjson_value *v)
{
    const char *start = r->p, *p = r->p;
    p += *p == '-';
    size_t whole = digits_at(r, p);
    if (!whole)
        return false;
    if (*p == '0')
        whole = 1;
    p += whole;
    v->type = PYJSON_INT;
    if (p < r->end && *p == '.' && digits_at(r, p + 1)) {
        p += 1 + digits_at(r, p + 1);
        v->type = PYJSON_FLOAT;
    }
    if (p < r->end && (*p == 'e' || *p == 'E')) {
        const char *first = p + 1 + (p + 1 < r->end && (p[1] == '+' || p[1] == '-'));
        size_t n = digits_at(r, first);
        if (n) {
            p = first + n;
            v->type = PYJSON_FLOAT;
        }
    }
    r->p = p;
    v->s = start;
    v->len = (size_t)(p - start);
    return v->type == PYJSON_FLOAT || whole <= MAX_INT_DIGITS;
}

static bool read_word(struct reader *r, struct pyjson_value *v)
{
    static const struct {
        const char *word;
        enum pyjson_type type;
    } words[] = {
        {"null", PYJSON_NULL}, {"true", PYJSON_TRUE},      {"false", PYJSON_FALSE},
        {"NaN", PYJSON_FLOAT}, {"Infinity", PYJSON_FLOAT}, {"-Infinity", PYJSON_FLOAT},
    };
    const char *start = r->p;
    for (size_t i = 0; i < ARRAY_LENGTH(words); i++)
        if (accept(r, words[i].word)) {
            *v = (struct pyjson_value){.type = words[i].type, .s = start, .len = strlen(words[i].word)};
            return true;
        }
    return false;
}

/* Reads a value other than an object or array. */
static bool read_scalar(struct reader *r, struct pyjson_value *v)
{
    *v = (struct pyjson_value){0};
    if (r->p == r->end)
        return false;
    if (*r->p == '"')
        return read_string(r, v);
    return read_word(r, v) || read_number(r, v);
}

/* Makes the last value outlive the next one. */
static struct pyjson_value kept(struct reader *r, struct pyjson_value v)
{
    if (v.type == PYJSON_STRING)
        v.s = arena_strndup(&r->d->arena, buf_str(&r->text), v.len);
    else if (v.s)
        v.s = arena_strndup(&r->d->arena, v.s, v.len);
    return v;
}

static void add_member(struct reader *r, struct pyjson_value key, struct pyjson_value value)
{
    struct pyjson *d = r->d;
    if (d->n_members == d->cap) {
        d->cap = d->cap ? 2 * d->cap : 8;
        d->members = xrealloc(d->members, d->cap * sizeof *d->members);
    }
    d->members[d->n_members++] = (struct pyjson_member){key, value};
}

/* Reads `"key" :`. */
static bool read_key(struct reader *r, struct pyjson_value *key)
{
    skip_space(r);
    if (r->p == r->end || *r->p != '"' || !read_string(r, key))
        return false;
    skip_space(r);
    return accept(r, ":");
}

/* Reads a whole document, with a stack of open brackets instead of recursion, so that depth is unlimited. */
static bool read_document(struct reader *r, struct buf *open)
{
    struct pyjson *d = r->d;
    struct pyjson_value key = {0}, v;
    for (;;) {
        skip_space(r);
        bool object = accept(r, "{");
        if (object || accept(r, "[")) {
            v = (struct pyjson_value){.type = object ? PYJSON_OBJECT : PYJSON_ARRAY};
            if (open->len == 0)
                d->top = v;
            else if (open->len == 1)
                add_member(r, key, v);
            buf_addc(open, object ? '}' : ']');
            skip_space(r);
            if (!accept(r, object ? "}" : "]")) {
                struct pyjson_value k = {0};
                if (object && !read_key(r, &k))
                    return false;
                if (object && open->len == 1)
                    key = kept(r, k);
                continue;
            }
            buf_truncate(open, open->len - 1);
        } else {
            if (!read_scalar(r, &v))
                return false;
            if (open->len == 0)
                d->top = kept(r, v);
            else if (open->len == 1)
                add_member(r, key, kept(r, v));
        }
        /* After a value: close what ends with it, or continue with the next one. */
        for (;;) {
            skip_space(r);
            if (open->len == 0)
                return r->p == r->end;
            char close[2] = {open->data[open->len - 1], '\0'};
            if (accept(r, close)) {
                buf_truncate(open, open->len - 1);
                continue;
            }
            if (!accept(r, ","))
                return false;
            struct pyjson_value k = {0};
            if (close[0] == '}' && !read_key(r, &k))
                return false;
            if (close[0] == '}' && open->len == 1)
                key = kept(r, k);
            break;
        }
    }
}

bool pyjson_parse(struct pyjson *d, const char *s, size_t len)
{
    struct reader r = {.p = s, .end = s + len, .d = d};
    struct buf open = {0};
    arena_reset(&d->arena);
    d->n_members = 0;
    d->top = (struct pyjson_value){0};
    bool ok = read_document(&r, &open);
    buf_free(&open);
    buf_free(&r.text);
    return ok;
}

const struct pyjson_value *pyjson_get(const struct pyjson *d, const char *key)
{
    size_t n = strlen(key);
    for (size_t i = d->n_members; d->top.type == PYJSON_OBJECT && i > 0; i--) {
        const struct pyjson_member *m = &d->members[i - 1];
        if (m->key.len == n && memcmp(m->key.s, key, n) == 0)
            return &m->value;
    }
    return NULL;
}

const char *pyjson_type_name(const struct pyjson_value *v)
{
    static const char *const names[] = {
        [PYJSON_NULL] = "NoneType", [PYJSON_TRUE] = "bool",   [PYJSON_FALSE] = "bool",
        [PYJSON_INT] = "int",       [PYJSON_FLOAT] = "float", [PYJSON_STRING] = "str",
        [PYJSON_ARRAY] = "list",    [PYJSON_OBJECT] = "dict",
    };
    return names[v->type];
}

void pyjson_free(struct pyjson *d)
{
    arena_free(&d->arena);
    free(d->members);
    *d = (struct pyjson){0};
}

double pyjson_number(const struct pyjson_value *v)
{
    char small[64];
    if (v->len < sizeof small) {
        memcpy(small, v->s, v->len);
        small[v->len] = '\0';
        return strtod(small, NULL);
    }
    char *copy = xstrndup(v->s, v->len);
    double number = strtod(copy, NULL);
    free(copy);
    return number;
}
