/* Parses numbers as Python's int() and float() do. */
#include "formats/python/number.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/buf.h"

enum { NUMBER_MAX_LEN = 400 }; /* maximum bytes of a number with underscores or white space */

/* White space that int() and float() strip; unlike for str.strip(), without ASCII's separators. */
static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void strip(const char **s, size_t *len)
{
    while (*len && is_blank(**s)) {
        ++*s;
        --*len;
    }
    while (*len && is_blank((*s)[*len - 1]))
        --*len;
}

/* Copies a number without underscores, which are valid only between two digits. NUL is not part of a
 * number. */
static bool drop_underscores(const char *s, size_t len, char out[NUMBER_MAX_LEN + 1])
{
    size_t n = 0;
    if (len > NUMBER_MAX_LEN)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (s[i] == '\0')
            return false;
        if (s[i] != '_') {
            out[n++] = s[i];
            continue;
        }
        if (i == 0 || i + 1 == len || !isdigit((unsigned char)s[i - 1]) || !isdigit((unsigned char)s[i + 1]))
            return false;
    }
    out[n] = '\0';
    return true;
}

static size_t count_digits(const char *s)
{
    size_t n = 0;
    while (s[n] >= '0' && s[n] <= '9')
        n++;
    return n;
}

enum number python_int(const char *s, size_t len, int64_t *out)
{
    int64_t n = 0;
    /* the common case: up to 18 digits */
    if (len >= 1 && len <= 18) {
        size_t i = 0;
        while (i < len && s[i] >= '0' && s[i] <= '9')
            n = n * 10 + (s[i++] - '0');
        if (i == len) {
            *out = n;
            return NUMBER_GOOD;
        }
        n = 0;
    }
    strip(&s, &len);
    char text[NUMBER_MAX_LEN + 1];
    if (!drop_underscores(s, len, text))
        return NUMBER_BAD;
    const char *p = text;
    bool negative = *p == '-';
    if (*p == '-' || *p == '+')
        p++;
    if (*p == '\0' || p[count_digits(p)] != '\0')
        return NUMBER_BAD;
    for (; *p; p++) /* negative, as the range is larger by one */
        if (__builtin_mul_overflow(n, (int64_t)10, &n) || __builtin_sub_overflow(n, (int64_t)(*p - '0'), &n))
            return NUMBER_TOO_LARGE;
    if (!negative && n == INT64_MIN)
        return NUMBER_TOO_LARGE;
    *out = negative ? n : -n;
    return NUMBER_GOOD;
}

/* mantissa / 10^fraction, correctly rounded, by whole numbers of 128 bits; mantissa > 0, fraction <= 27: 5^27 <
 * 2^64. What repr() prints mostly has 16 or 17 digits, for which strtod() takes several times as long. */
static double quotient(uint64_t mantissa, int fraction)
{
    __extension__ typedef unsigned __int128 uint128;
    uint64_t divisor = 1, scale;
    for (int i = 0; i < fraction; i++)
        divisor *= 5;
    int up = __builtin_clzll(mantissa), down = __builtin_clzll(divisor);
    divisor <<= down;
    uint128 dividend = (uint128)(mantissa << up) << 63; /* so the quotient has 63 or 64 bits */
    uint64_t q = (uint64_t)(dividend / divisor);
    bool inexact = (uint128)q * divisor != dividend;
    int drop = 11 - __builtin_clzll(q);
    uint64_t rest = q & ((UINT64_C(1) << drop) - 1), half = UINT64_C(1) << (drop - 1);
    q >>= drop;
    if (rest > half || (rest == half && (inexact || (q & 1))))
        q++;
    scale = (uint64_t)(1023 + down - up - 63 - fraction + drop) << 52; /* a power of two: exact */
    double value;
    memcpy(&value, &scale, sizeof value);
    return (double)q * value;
}

/* Decimal numbers of at most 19 digits without an exponent; others need strtod. */
static bool quick_float(const char *s, size_t len, double *out)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    const char *end = s + len;
    bool negative = len && *s == '-';
    uint64_t mantissa = 0;
    int digits = 0, fraction = 0; /* digits: without leading zeros */
    if (negative)
        s++;
    const char *first = s;
    for (; s < end && *s >= '0' && *s <= '9' && digits<19; s++, digits += mantissa> 0)
        mantissa = mantissa * 10 + (uint64_t)(*s - '0');
    if (s == first)
        return false;
    if (s < end && *s == '.')
        for (s++; s < end && *s >= '0' && *s <= '9' && digits<19; s++, fraction++, digits += mantissa> 0)
            mantissa = mantissa * 10 + (uint64_t)(*s - '0');
    if (s != end)
        return false;
    if (mantissa <= UINT64_C(1) << 53 && fraction <= 22)
        *out = (double)mantissa / powers[fraction]; /* both are exact */
    else if (mantissa > 0 && fraction <= 27)
        *out = quotient(mantissa, fraction);
    else
        return false;
    if (negative)
        *out = -*out;
    return true;
}

/* Digits, one dot, an exponent: the syntax of float() except inf and nan. */
static bool is_decimal(const char *p)
{
    size_t whole = count_digits(p), fraction = 0;
    p += whole;
    if (*p == '.') {
        fraction = count_digits(++p);
        p += fraction;
    }
    if (whole + fraction == 0)
        return false;
    if (*p == 'e' || *p == 'E') {
        p++;
        if (*p == '-' || *p == '+')
            p++;
        if (!isdigit((unsigned char)*p))
            return false;
        p += count_digits(p);
    }
    return *p == '\0';
}

enum number python_float(const char *s, size_t len, double *out)
{
    if (quick_float(s, len, out))
        return NUMBER_GOOD;
    strip(&s, &len);
    char text[NUMBER_MAX_LEN + 1];
    if (!drop_underscores(s, len, text))
        return NUMBER_BAD;
    double sign = *text == '-' ? -1.0 : 1.0;
    const char *p = *text == '-' || *text == '+' ? text + 1 : text;
    if (strcasecmp(p, "inf") == 0 || strcasecmp(p, "infinity") == 0)
        *out = sign * INFINITY;
    else if (strcasecmp(p, "nan") == 0)
        *out = NAN;
    else if (is_decimal(p))
        *out = sign * strtod(p, NULL);
    else
        return NUMBER_BAD;
    return NUMBER_GOOD;
}
