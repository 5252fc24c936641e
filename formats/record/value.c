/* Compares, formats and parses values. */
#include "formats/record/value.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/buf.h"
#include "common/utf8.h"

struct value value_text(const char *s, size_t len)
{
    struct value v = value_strn(s, len);
    if (!utf8_valid(s, len))
        v.type = VALUE_BIN;
    return v;
}

static bool same_bytes(const struct value *a, const struct value *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->s, b->s, a->len) == 0);
}

bool value_same(const struct value *a, const struct value *b)
{
    if (a->type != b->type)
        return value_is_text(a) && value_is_text(b) && same_bytes(a, b);
    switch (a->type) {
    case VALUE_NULL:
        return true;
    case VALUE_INT:
        return a->i == b->i;
    case VALUE_BOOL:
        return a->b == b->b;
    case VALUE_FLOAT:
        return (isnan(a->f) && isnan(b->f)) || memcmp(&a->f, &b->f, sizeof a->f) == 0;
    case VALUE_STR:
    case VALUE_BIN:
    case VALUE_MAP:
    case VALUE_ALIEN:
        return same_bytes(a, b);
    }
    return false;
}

double value_stored_float(double f)
{
    return f >= DBL_MAX ? DBL_MAX : f <= -DBL_MAX ? -DBL_MAX : f == 0 ? 0.0 : f;
}

/* -- order: NULL, numbers by value (NaN last, as in PostgreSQL), bytes */

enum { RANK_NULL, RANK_NUMBER, RANK_BYTES, RANK_ALIEN };

static int rank_of(const struct value *v)
{
    switch (v->type) {
    case VALUE_NULL:
        return RANK_NULL;
    case VALUE_INT:
    case VALUE_FLOAT:
    case VALUE_BOOL:
        return RANK_NUMBER;
    case VALUE_STR:
    case VALUE_BIN:
    case VALUE_MAP:
        return RANK_BYTES;
    case VALUE_ALIEN:
        return RANK_ALIEN;
    }
    return RANK_NULL;
}

/* The sort key of a number: the nearest double as ordered bits, the difference of an integer from that double
 * (up to 512), and integers before equal floats, so that only equal values of one type compare as equal. */
struct number_key {
    uint64_t bits;
    int rest;
    int is_float;
};

static uint64_t ordered_bits(double f)
{
    uint64_t bits;
    if (isnan(f))
        f = (double)NAN;
    memcpy(&bits, &f, sizeof bits);
    if (isnan(f))
        bits &= INT64_MAX;
    return bits & (UINT64_C(1) << 63) ? ~bits : bits | (UINT64_C(1) << 63);
}

static struct number_key number_key(const struct value *v)
{
    if (v->type == VALUE_FLOAT)
        return (struct number_key){ordered_bits(v->f), 0, 1};
    int64_t i = v->type == VALUE_BOOL ? v->b : v->i;
    double f = (double)i;
    struct number_key k = {ordered_bits(f), 0, 0};
    if (f >= 0x1p63)
        k.rest = -(int)((UINT64_C(1) << 63) - (uint64_t)i);
    else
        k.rest = (int)(i - (int64_t)f);
    return k;
}

static int compare_numbers(const struct value *a, const struct value *b)
{
    if (a->type == VALUE_INT && b->type == VALUE_INT)
        return (a->i > b->i) - (a->i < b->i);
    struct number_key x = number_key(a), y = number_key(b);
    if (x.bits != y.bits)
        return x.bits < y.bits ? -1 : 1;
    if (x.rest != y.rest)
        return x.rest < y.rest ? -1 : 1;
    return x.is_float - y.is_float;
}

int value_compare(const struct value *a, const struct value *b)
{
    int ra = rank_of(a), rb = rank_of(b);
    if (ra != rb)
        return ra < rb ? -1 : 1;
    if (ra == RANK_NULL)
        return 0;
    if (ra == RANK_NUMBER)
        return compare_numbers(a, b);
    uint32_t n = a->len < b->len ? a->len : b->len;
    int c = n > 0 ? memcmp(a->s, b->s, n) : 0;
    if (c != 0)
        return c < 0 ? -1 : 1;
    return (a->len > b->len) - (a->len < b->len);
}

void value_sort_key(const struct value *v, struct buf *out)
{
    int rank = rank_of(v);
    buf_addc(out, (char)rank);
    if (rank == RANK_NUMBER) {
        struct number_key k = number_key(v);
        unsigned rest = (unsigned)(k.rest + 0x8000);
        char bytes[11];
        for (int i = 0; i < 8; i++)
            bytes[i] = (char)(k.bits >> (56 - 8 * i));
        bytes[8] = (char)(rest >> 8);
        bytes[9] = (char)rest;
        bytes[10] = (char)k.is_float;
        buf_add(out, bytes, sizeof bytes);
    } else if (rank != RANK_NULL) { /* 00 is 00 FF, the end is 00 00: a prefix comes first */
        const char *p = v->s, *end = p + v->len;
        while (p < end) {
            const char *nul = memchr(p, '\0', (size_t)(end - p));
            const char *stop = nul ? nul : end;
            buf_add(out, p, (size_t)(stop - p));
            if (nul)
                buf_add(out, "\0\xff", 2);
            p = nul ? nul + 1 : end;
        }
        buf_add(out, "\0", 2);
    }
}

/* -- text */

bool value_parse_int(const char *s, size_t len, int64_t *out)
{
    bool negative = len > 0 && s[0] == '-';
    size_t i = negative || (len > 0 && s[0] == '+') ? 1 : 0;
    uint64_t limit = negative ? UINT64_C(1) << 63 : (uint64_t)INT64_MAX;
    uint64_t n = 0;
    if (i == len)
        return false;
    for (; i < len; i++) {
        unsigned digit = (unsigned)(unsigned char)s[i] - '0';
        if (digit > 9 || n > (limit - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    *out = negative ? (int64_t)(0 - n) : (int64_t)n;
    return true;
}

bool value_decimal_id(const struct value *v, int64_t *id)
{
    return v->type == VALUE_STR && value_parse_int(v->s, v->len, id) && *id >= 0 && v->s[0] != '+' &&
           v->s[0] != '-' && (v->len == 1 || v->s[0] != '0');
}

/* Writes |f| > 0 with n significant digits as "d.ddde±x"; returns whether that reads back as f. */
static bool reads_back(double f, int n, char *text, size_t room)
{
    snprintf(text, room, "%.*e", n - 1, f);
    return strtod(text, NULL) == f;
}

/* At a power of two the doubles below are closer than those above, so that the nearest 16 digits may not read
 * back although the next 16 digits do. Adds one to the last digit of "d.ddde±x"; a carry out of the first
 * digit cannot be the result. */
static bool next_reads_back(double f, char *text)
{
    char *p = strchr(text, 'e');
    while (p > text && *--p) {
        if (*p == '.')
            continue;
        if (*p != '9') {
            ++*p;
            return strtod(text, NULL) == f;
        }
        *p = '0';
    }
    return false;
}

/* The shortest digits that read back, as "d.ddde±x". f is finite and above 0. */
static void shortest(double f, char text[32])
{
    int exponent;
    if (f < 0x1p-1022) { /* subnormal: few digits may suffice */
        int n = 1;
        while (!reads_back(f, n, text, 32))
            n++;
        return;
    }
    if (reads_back(f, 15, text, 32) || reads_back(f, 16, text, 32))
        return;
    if (frexp(f, &exponent) == 0.5 && next_reads_back(f, text))
        return;
    reads_back(f, 17, text, 32);
}

size_t value_format_float(double f, char out[32])
{
    char text[32], digits[20];
    if (isnan(f))
        return (size_t)sprintf(out, "nan");
    if (isinf(f))
        return (size_t)sprintf(out, f < 0 ? "-inf" : "inf");
    if (fabs(f) < 1e15 && f == (double)(int64_t)f && !(f == 0 && signbit(f)))
        return (size_t)sprintf(out, "%lld.0", (long long)f);
    char *o = out;
    if (signbit(f))
        *o++ = '-';
    if (f == 0)
        return (size_t)(stpcpy(o, "0.0") - out);
    shortest(fabs(f), text);
    int n = 0;
    const char *p = text;
    for (; *p != 'e'; p++)
        if (*p != '.')
            digits[n++] = *p;
    int point = atoi(p + 1) + 1; /* digits before the decimal point */
    while (n > 1 && digits[n - 1] == '0')
        n--;
    if (point > 16 || point < -3) { /* where Python's repr() uses an exponent */
        *o++ = digits[0];
        if (n > 1)
            o += sprintf(o, ".%.*s", n - 1, digits + 1);
        o += sprintf(o, "e%c%02d", point - 1 < 0 ? '-' : '+', abs(point - 1));
    } else if (point <= 0) {
        o += sprintf(o, "0.%.*s%.*s", -point, "000", n, digits);
    } else if (n <= point) {
        o += sprintf(o, "%.*s%.*s.0", n, digits, point - n, "0000000000000000");
    } else {
        o += sprintf(o, "%.*s.%.*s", point, digits, n - point, digits + point);
    }
    return (size_t)(o - out);
}
