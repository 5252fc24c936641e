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

enum number python_int(const char *s, size_t len, int64_t *out)
{
    char text[NUMBER_MAX_LEN + 1];
    const char *p;
    bool negative;
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
    if (!drop_underscores(s, len, text))
        return NUMBER_BAD;
    p = text;
    negative = *p == '-';
    if (*p == '-' || *p == '+')
        p++;
    if (*p == '\0' || p[strspn(p, "0123456789")] != '\0')
        return NUMBER_BAD;
    for (; *p; p++) /* negative, as the range is larger by one */
        if (__builtin_mul_overflow(n, (int64_t)10, &n) || __builtin_sub_overflow(n, (int64_t)(*p - '0'), &n))
            return NUMBER_TOO_LARGE;
    if (!negative && n == INT64_MIN)
        return NUMBER_TOO_LARGE;
    *out = negative ? n : -n;
    return NUMBER_GOOD;
}

/* Decimal numbers of at most 15 digits and small powers of ten are exact in one operation; most others need
 * strtod. */
static bool quick_float(const char *s, size_t len, double *out)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    const char *end = s + len;
    bool negative = len && *s == '-';
    uint64_t mantissa = 0;
    int digits = 0, fraction = 0;

    if (negative)
        s++;
    for (; s < end && *s >= '0' && *s <= '9'; s++, digits++)
        mantissa = mantissa * 10 + (uint64_t)(*s - '0');
    if (digits == 0 || digits > 15)
        return false;
    if (s < end && *s == '.') {
        for (s++; s < end && *s >= '0' && *s <= '9' && digits < 19; s++, digits++, fraction++)
            mantissa = mantissa * 10 + (uint64_t)(*s - '0');
    }
    if (s != end || mantissa > (UINT64_C(1) << 53) || fraction > 22)
        return false;
    *out = (double)mantissa / powers[fraction];
    if (negative)
        *out = -*out;
    return true;
}

/* Digits, one dot, an exponent: the syntax of float() except inf and nan. */
static bool is_decimal(const char *p)
{
    size_t whole = strspn(p, "0123456789"), fraction = 0;

    p += whole;
    if (*p == '.') {
        fraction = strspn(++p, "0123456789");
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
        p += strspn(p, "0123456789");
    }
    return *p == '\0';
}

enum number python_float(const char *s, size_t len, double *out)
{
    char text[NUMBER_MAX_LEN + 1];
    const char *p;
    double sign;

    if (quick_float(s, len, out))
        return NUMBER_GOOD;
    strip(&s, &len);
    if (!drop_underscores(s, len, text))
        return NUMBER_BAD;
    sign = *text == '-' ? -1.0 : 1.0;
    p = *text == '-' || *text == '+' ? text + 1 : text;
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
