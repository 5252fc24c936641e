/* Rewrites JSON documents as Python's json module would. jansson rejects input that json.loads accepts (NaN,
 * lone surrogates, integers beyond 64 bits), and a tree would round numbers, so text is rewritten to text in
 * one pass. */
#include "common/array.h"
#include "formats/stream/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/digits.h"
#include "common/utf8.h"

/* json.loads raises RecursionError at about 1,000 levels. */
enum { MAX_DOCUMENT_DEPTH = 900 };

/* A member of an object in the output: [start, colon) is its key, [start, end) all of it, without
 * separators. */
struct member {
    size_t start, colon, end;
    size_t order;
};

struct normaliser {
    const char *p, *end;
    struct buf *out;
    bool sorted; /* by key, for comparisons; else in input order */
    int depth;
    struct buf members; /* a stack of struct member, of the open objects */
    struct buf scratch;
};

static void skip_blanks(struct normaliser *n)
{
    while (n->p < n->end && (*n->p == ' ' || *n->p == '\t' || *n->p == '\n' || *n->p == '\r'))
        n->p++;
}

static bool take(struct normaliser *n, const char *word)
{
    size_t len = strlen(word);
    if ((size_t)(n->end - n->p) < len || memcmp(n->p, word, len) != 0)
        return false;
    n->p += len;
    return true;
}

/* One UTF-16 unit or code point as json.dumps writes it. */
static void add_unit(uint32_t c, struct buf *out)
{
    static const char plain[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
    const char *special = c > 0 && c < 0x80 ? strchr(plain, (int)c) : NULL;
    if (special) {
        char two[2] = {'\\', names[special - plain]};
        buf_add(out, two, 2);
    } else if (c >= 0x20 && c < 0x7f) {
        buf_addc(out, (char)c);
    } else if (c < 0x10000) {
        buf_addf(out, "\\u%04x", c);
    } else {
        c -= 0x10000;
        buf_addf(out, "\\u%04x\\u%04x", 0xd800 + (c >> 10), 0xdc00 + (c & 0x3ff));
    }
}

/* The code point at *s, which is well-formed UTF-8; *s moves on. */
static uint32_t next_point(const char **s)
{
    const unsigned char *p = (const unsigned char *)*s;
    int more = p[0] < 0x80 ? 0 : p[0] < 0xe0 ? 1 : p[0] < 0xf0 ? 2 : 3;
    uint32_t c = more == 0 ? p[0] : p[0] & (0x3fu >> more);
    for (int i = 1; i <= more; i++)
        c = c << 6 | (p[i] & 0x3f);
    *s += more + 1;
    return c;
}

void json_quote_ascii(const char *s, size_t len, struct buf *out)
{
    const char *end = s + len;
    buf_addc(out, '"');
    while (s < end)
        add_unit(next_point(&s), out);
    buf_addc(out, '"');
}

static bool take_hex4(struct normaliser *n, uint32_t *unit)
{
    *unit = 0;
    if (n->end - n->p < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(*n->p++);
        if (digit < 0)
            return false;
        *unit = *unit << 4 | (uint32_t)digit;
    }
    return true;
}

/* Handles an escape, after the backslash. Surrogates are kept: two adjacent escapes form a pair. */
static bool take_escape(struct normaliser *n)
{
    static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    uint32_t unit;
    if (n->p == n->end)
        return false;
    char c = *n->p++;
    if (c == 'u') {
        if (!take_hex4(n, &unit))
            return false;
        add_unit(unit, n->out);
        return true;
    }
    const char *name = c ? strchr(names, c) : NULL;
    if (name)
        add_unit((unsigned char)meant[name - names], n->out);
    return name != NULL;
}

static bool take_string(struct normaliser *n)
{
    if (!take(n, "\""))
        return false;
    buf_addc(n->out, '"');
    while (n->p < n->end) {
        unsigned char c = (unsigned char)*n->p;
        if (c < 0x20)
            return false;
        if (c == '"') {
            n->p++;
            buf_addc(n->out, '"');
            return true;
        }
        if (c == '\\') {
            n->p++;
            if (!take_escape(n))
                return false;
        } else {
            add_unit(next_point(&n->p), n->out);
        }
    }
    return false;
}

static bool is_digit(const struct normaliser *n, const char *p)
{
    return p < n->end && *p >= '0' && *p <= '9';
}

static const char *skip_digits(const struct normaliser *n, const char *p)
{
    while (is_digit(n, p))
        p++;
    return p;
}

static void add_float(double f, struct buf *out)
{
    char text[32];
    if (isnan(f))
        buf_adds(out, "NaN");
    else if (isinf(f))
        buf_adds(out, f < 0 ? "-Infinity" : "Infinity");
    else
        buf_add(out, text, value_format_float(f, text));
}

/* Integers of any length are kept verbatim; "-0" is the integer 0. */
static bool take_number(struct normaliser *n)
{
    const char *start = n->p, *p = start;
    bool is_float = false;
    if (p < n->end && *p == '-')
        p++;
    if (!is_digit(n, p))
        return false;
    p = *p == '0' ? p + 1 : skip_digits(n, p);
    if (p < n->end && *p == '.' && is_digit(n, p + 1)) {
        is_float = true;
        p = skip_digits(n, p + 1);
    }
    if (p < n->end && (*p | 0x20) == 'e') {
        const char *q = p + 1;
        if (q < n->end && (*q == '+' || *q == '-'))
            q++;
        if (is_digit(n, q)) {
            is_float = true;
            p = skip_digits(n, q);
        }
    }
    n->p = p;
    if (!is_float) {
        bool minus_zero = p - start == 2 && start[0] == '-' && start[1] == '0';
        buf_add(n->out, minus_zero ? "0" : start, minus_zero ? 1 : (size_t)(p - start));
        return true;
    }
    buf_reset(&n->scratch);
    buf_add(&n->scratch, start, (size_t)(p - start));
    add_float(strtod(n->scratch.data, NULL), n->out);
    return true;
}

static bool take_value(struct normaliser *n);

static bool take_array(struct normaliser *n)
{
    buf_addc(n->out, '[');
    skip_blanks(n);
    if (take(n, "]")) {
        buf_addc(n->out, ']');
        return true;
    }
    for (;;) {
        if (!take_value(n))
            return false;
        skip_blanks(n);
        if (take(n, "]"))
            break;
        if (!take(n, ","))
            return false;
        buf_adds(n->out, ", ");
    }
    buf_addc(n->out, ']');
    return true;
}

static int compare_keys(const struct member *x, const struct member *y, const char *text)
{
    size_t xl = x->colon - x->start, yl = y->colon - y->start;
    int c = memcmp(text + x->start, text + y->start, xl < yl ? xl : yl);
    return c != 0 ? c : (xl > yl) - (xl < yl);
}

static int by_key(const void *a, const void *b, void *text)
{
    const struct member *x = a, *y = b;
    int c = compare_keys(x, y, text);
    return c != 0 ? c : (x->order > y->order) - (x->order < y->order);
}

static int by_order(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    return (x->order > y->order) - (x->order < y->order);
}

/* Removes duplicate keys, keeping the first position and the last value. m is sorted by key; returns the
 * number of members left. */
static size_t drop_equal_keys(struct member *m, size_t count, const char *text)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept > 0 && compare_keys(&m[kept - 1], &m[i], text) == 0) {
            m[i].order = m[kept - 1].order;
            m[kept - 1] = m[i];
        } else {
            m[kept++] = m[i];
        }
    }
    return kept;
}

/* Sorts the members of the completed object. first: index of the first one on the stack; body: start of their
 * text. */
static void finish_object(struct normaliser *n, size_t first, size_t body)
{
    struct member *m = (struct member *)(void *)n->members.data + first;
    size_t count = n->members.len / sizeof *m - first;
    if (count < 2)
        return;
    qsort_r(m, count, sizeof *m, by_key, n->out->data);
    size_t kept = drop_equal_keys(m, count, n->out->data);
    if (!n->sorted) {
        if (kept == count)
            return;
        qsort(m, kept, sizeof *m, by_order);
    }
    buf_reset(&n->scratch);
    for (size_t i = 0; i < kept; i++) {
        buf_adds(&n->scratch, i > 0 ? ", " : "");
        buf_add(&n->scratch, n->out->data + m[i].start, m[i].end - m[i].start);
    }
    buf_truncate(n->out, body);
    buf_add(n->out, n->scratch.data, n->scratch.len);
}

static bool take_member(struct normaliser *n, size_t order)
{
    struct member m = {.start = n->out->len, .order = order};
    skip_blanks(n);
    if (!take_string(n))
        return false;
    m.colon = n->out->len;
    skip_blanks(n);
    if (!take(n, ":"))
        return false;
    buf_adds(n->out, ": ");
    if (!take_value(n))
        return false;
    m.end = n->out->len;
    buf_add(&n->members, &m, sizeof m);
    return true;
}

static bool take_object(struct normaliser *n)
{
    size_t first = n->members.len / sizeof(struct member);
    buf_addc(n->out, '{');
    size_t body = n->out->len;
    skip_blanks(n);
    if (!take(n, "}")) {
        for (size_t order = 0;; order++) {
            if (!take_member(n, order))
                return false;
            skip_blanks(n);
            if (take(n, "}"))
                break;
            if (!take(n, ","))
                return false;
            buf_adds(n->out, ", ");
        }
        finish_object(n, first, body);
        buf_truncate(&n->members, first * sizeof(struct member));
    }
    buf_addc(n->out, '}');
    return true;
}

static bool take_nested(struct normaliser *n)
{
    if (n->depth == MAX_DOCUMENT_DEPTH)
        return false;
    n->depth++;
    bool good = take(n, "{") ? take_object(n) : take(n, "[") && take_array(n);
    n->depth--;
    return good;
}

static bool take_value(struct normaliser *n)
{
    static const char *const words[] = {"null", "true", "false", "NaN", "Infinity", "-Infinity"};
    skip_blanks(n);
    if (n->p == n->end)
        return false;
    if (*n->p == '"')
        return take_string(n);
    if (*n->p == '{' || *n->p == '[')
        return take_nested(n);
    for (size_t i = 0; i < ARRAY_LENGTH(words); i++) {
        if (take(n, words[i])) {
            buf_adds(n->out, words[i]);
            return true;
        }
    }
    return take_number(n);
}

static bool normalise(const char *s, size_t len, bool sorted, struct buf *out)
{
    struct normaliser n = {.p = s, .end = s + len, .out = out, .sorted = sorted};
    size_t before = out->len;
    bool good = utf8_valid(s, len) && take_value(&n);
    skip_blanks(&n);
    good = good && n.p == n.end;
    if (!good)
        buf_truncate(out, before);
    buf_free(&n.members);
    buf_free(&n.scratch);
    return good;
}

bool json_normalise(const char *s, size_t len, struct buf *out)
{
    return normalise(s, len, false, out);
}

bool json_text_equal(const char *a, size_t alen, const char *b, size_t blen)
{
    struct buf x = {0}, y = {0};
    bool equal = normalise(a, alen, true, &x) && normalise(b, blen, true, &y) && x.len == y.len &&
                 memcmp(x.data, y.data, x.len) == 0;
    buf_free(&x);
    buf_free(&y);
    return equal;
}
