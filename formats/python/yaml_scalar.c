/* Resolves YAML's scalars to null, booleans, numbers and times as PyYAML does. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "formats/python/yaml_internal.h"

/* -- plain scalars: one function for each pattern of PyYAML's resolver. It matches at p and
 * returns the end of the match, or NULL. */

static const char *eat_class(const char *p, const char *set)
{
    return p + strspn(p, set);
}

static const char *eat_sign(const char *p)
{
    return *p == '-' || *p == '+' ? p + 1 : p;
}

#define DIGITS  "0123456789"
#define DIGITS_ "0123456789_"

/* One or more of `:[0-5]?[0-9]`. */
static const char *eat_sixties(const char *p)
{
    const char *start = p;
    while (*p == ':' && isdigit((unsigned char)p[1]))
        p += p[1] <= '5' && isdigit((unsigned char)p[2]) ? 3 : 2;
    return p == start ? NULL : p;
}

static bool is_int(const char *text, bool *sexagesimal)
{
    const char *p = eat_sign(text);
    const char *end;
    if (*p == '0') {
        if (p[1] == 'b')
            end = eat_class(p + 2, "01_");
        else if (p[1] == 'x')
            end = eat_class(p + 2, "0123456789abcdefABCDEF_");
        else
            return *eat_class(p + 1, "01234567_") == '\0';
        return end > p + 2 && *end == '\0';
    }
    if (*p < '1' || *p > '9')
        return false;
    p = eat_class(p, DIGITS_);
    if (*p == '\0')
        return true;
    p = eat_sixties(p);
    *sexagesimal = p && *p == '\0';
    return *sexagesimal;
}

static bool is_exponent_or_end(const char *p)
{
    if (*p == '\0')
        return true;
    if ((*p != 'e' && *p != 'E') || (p[1] != '-' && p[1] != '+') || !isdigit((unsigned char)p[2]))
        return false;
    return *eat_class(p + 2, DIGITS) == '\0';
}

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

static bool is_float(const char *text, bool *sexagesimal)
{
    static const char *const infinities[] = {".inf", ".Inf", ".INF", NULL};
    static const char *const nans[] = {".nan", ".NaN", ".NAN", NULL};
    const char *p = eat_sign(text);
    if (is_one_of(p, infinities) || is_one_of(text, nans))
        return true;
    if (*text == '.')
        return isdigit((unsigned char)text[1]) && is_exponent_or_end(eat_class(text + 1, DIGITS_));
    if (!isdigit((unsigned char)*p))
        return false;
    p = eat_class(p, DIGITS_);
    if (*p == '.')
        return is_exponent_or_end(eat_class(p + 1, DIGITS_));
    p = eat_sixties(p);
    *sexagesimal = p && *p == '.' && *eat_class(p + 1, DIGITS_) == '\0';
    return *sexagesimal;
}

/* From min to max digits, then `after` (0: nothing). */
static const char *eat_digits(const char *p, int min, int max, char after)
{
    int n = 0;
    while (n < max && isdigit((unsigned char)p[n]))
        n++;
    if (n < min || (after && p[n] != after))
        return NULL;
    return p + n + (after ? 1 : 0);
}

static bool is_zone_or_end(const char *p)
{
    p = eat_class(p, " \t");
    if (*p == '\0')
        return true;
    if (*p == 'Z')
        return p[1] == '\0';
    if (*p != '-' && *p != '+')
        return false;
    p = eat_digits(p + 1, 1, 2, 0);
    if (p && *p == ':')
        p = eat_digits(p + 1, 2, 2, 0);
    return p && *p == '\0';
}

static bool is_time(const char *text)
{
    const char *p = eat_digits(text, 4, 4, '-');
    const char *day;
    if (!p || !(p = eat_digits(p, 1, 2, '-')) || !(day = eat_digits(p, 1, 2, 0)))
        return false;
    if (*day == '\0') /* only a date: two digits each */
        return strlen(text) == 10;
    if (*day == 'T' || *day == 't')
        p = day + 1;
    else if ((p = eat_class(day, " \t")) == day)
        return false;
    if (!(p = eat_digits(p, 1, 2, ':')) || !(p = eat_digits(p, 2, 2, ':')) || !(p = eat_digits(p, 2, 2, 0)))
        return false;
    if (*p == '.')
        p = eat_class(p + 1, DIGITS);
    else if (*p == '\0')
        return true;
    /* a plain scalar has no trailing blanks */
    return is_zone_or_end(p);
}

static bool is_null(const char *text)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL", NULL};
    return is_one_of(text, words);
}

static bool is_bool(const char *text, bool *value)
{
    static const char *const yes[] = {"yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON", NULL};
    static const char *const no[] = {"no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF", NULL};
    *value = is_one_of(text, yes);
    return *value || is_one_of(text, no);
}

/* -- values of numbers */

static const char *without_underscores(const char *text, struct buf *scratch)
{
    buf_reset(scratch);
    for (; *text; text++)
        if (*text != '_')
            buf_addc(scratch, *text);
    return buf_str(scratch);
}

/* n = n * base + digit; false on overflow of 64 bits. n is kept negative, as the range is larger by one. */
static bool append_digit(int64_t *n, int base, int digit)
{
    return !__builtin_mul_overflow(*n, (int64_t)base, n) && !__builtin_sub_overflow(*n, (int64_t)digit, n);
}

static int digit_of(char c)
{
    return c <= '9' ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* Sets the value of an INT; false if it has no digits ("0x_"), which is an error in Python. */
static bool set_int(struct yaml_value *v, struct buf *scratch)
{
    const char *s = without_underscores(v->text, scratch);
    bool negative = *s == '-';
    int64_t n = 0;
    int base = 10;
    s = eat_sign(s);
    if (s[0] == '0' && (s[1] == 'b' || s[1] == 'x')) {
        base = s[1] == 'b' ? 2 : 16;
        s += 2;
        if (*s == '\0')
            return false;
    } else if (s[0] == '0') {
        base = 8;
    }
    if (v->sexagesimal) {
        while (*s && !v->big) {
            char *end;
            unsigned long long part = strtoull(s, &end, 10);
            v->big = part > INT32_MAX || !append_digit(&n, 60, (int)part);
            s = *end == ':' ? end + 1 : end;
        }
    } else {
        for (; *s && !v->big; s++)
            v->big = !append_digit(&n, base, digit_of(*s));
    }
    if (!negative && n == INT64_MIN)
        v->big = true;
    v->i = v->big ? 0 : negative ? n : -n;
    return true;
}

static void set_float(struct yaml_value *v, struct buf *scratch)
{
    const char *s = without_underscores(v->text, scratch);
    double sign = *s == '-' ? -1.0 : 1.0;
    s = eat_sign(s);
    if (s[0] == '.' && !isdigit((unsigned char)s[1])) {
        v->f = tolower((unsigned char)s[1]) == 'n' ? NAN : sign * INFINITY;
        return;
    }
    v->f = 0;
    for (;;) {
        char *end;
        v->f = v->f * 60 + strtod(s, &end);
        if (*end != ':')
            break;
        s = end + 1;
    }
    v->f *= sign;
}

bool yaml_resolve_plain(struct yaml_value *v, bool is_key, struct buf *scratch, struct yaml_error *e)
{
    const char *s = v->text;
    v->kind = YAML_IS_TEXT;
    if (strlen(s) != v->len) /* contains a NUL */
        return true;
    if (is_null(s)) {
        v->kind = YAML_IS_NULL;
    } else if (is_bool(s, &v->b)) {
        v->kind = YAML_IS_BOOL;
    } else if (is_float(s, &v->sexagesimal)) {
        v->kind = YAML_IS_FLOAT;
        set_float(v, scratch);
    } else if (is_int(s, &v->sexagesimal)) {
        v->kind = YAML_IS_INT;
        if (!set_int(v, scratch))
            return yaml_fail(e, v->line, "%s is a number without digits", s);
    } else if (is_time(s)) {
        v->kind = YAML_IS_TIME;
    } else if (strcmp(s, "<<") == 0) {
        return yaml_fail(e, v->line, "an unquoted << (a merge key) is not supported");
    } else if (strcmp(s, "=") == 0 && !is_key) {
        return yaml_fail(e, v->line, "an unquoted = is not a value");
    }
    return true;
}

bool yaml_resolve_tagged(struct yaml_value *v, const char *tag, bool is_key, struct buf *scratch,
                         struct yaml_error *e)
{
    static const struct {
        const char *name;
        enum yaml_kind kind;
    } tags[] = {
        {"null", YAML_IS_NULL},   {"bool", YAML_IS_BOOL}, {"int", YAML_IS_INT},
        {"float", YAML_IS_FLOAT}, {"str", YAML_IS_TEXT},  {"timestamp", YAML_IS_TIME},
    };
    static const char prefix[] = "tag:yaml.org,2002:";

    v->kind = YAML_IS_TEXT;
    if (strcmp(tag, "!") == 0)
        return true;
    if (strncmp(tag, prefix, sizeof prefix - 1) == 0) {
        for (size_t i = 0; i < ARRAY_LENGTH(tags); i++) {
            if (strcmp(tag + sizeof prefix - 1, tags[i].name) != 0)
                continue;
            if (tags[i].kind == YAML_IS_TEXT)
                return true;
            if (!yaml_resolve_plain(v, is_key, scratch, e))
                return false;
            if (v->kind != tags[i].kind)
                return yaml_fail(e, v->line, "%.60s is not %s", v->text, yaml_kind_name(tags[i].kind));
            return true;
        }
    }
    return yaml_fail(e, v->line, "the tag %.100s is not supported", tag);
}
