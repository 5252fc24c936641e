/* Values: identity, order, numbers as text. */
#include <math.h>
#include <stdlib.h>

#include "common/array.h"
#include "common/buf.h"
#include "formats/record/value.h"
#include "tests/unit/tap.h"

static void test_same(void)
{
    struct value nan1 = value_float((double)NAN), nan2 = value_float(-(double)NAN), zero = value_float(0.0);
    struct value minus = value_float(-0.0), one = value_int(1), one_f = value_float(1), t = value_bool(true);
    struct value str = value_str("a"), bin = {.type = VALUE_BIN, .len = 1, .s = "a"};
    struct value map = {.type = VALUE_MAP, .len = 1, .s = "a"}, null = value_null(), empty = value_str("");
    ok(value_same(&nan1, &nan2), "NaN is NaN");
    ok(!value_same(&zero, &minus), "0.0 is not -0.0");
    ok(!value_same(&one, &one_f) && !value_same(&one, &t), "types differ");
    ok(value_same(&str, &bin) && !value_same(&str, &map), "STR and BIN of the same bytes");
    ok(!value_same(&null, &empty) && value_same(&null, &null), "null is not the empty text");
}

static void test_text(void)
{
    struct value v = value_text("\xc3\xa9", 2);
    is_int(v.type, VALUE_STR, "UTF-8 is text");
    v = value_text("\xc3", 1);
    is_int(v.type, VALUE_BIN, "a cut sequence is bytes");
    v = value_text("\xed\xa0\x80", 3);
    is_int(v.type, VALUE_BIN, "a surrogate is bytes");
    v = value_text("a\0b", 3);
    ok(v.type == VALUE_STR && v.len == 3, "NUL is text");
}

/* In rising order. */
static const struct value ordered[] = {
    {.type = VALUE_NULL},
    {.type = VALUE_FLOAT, .f = -HUGE_VAL},
    {.type = VALUE_FLOAT, .f = -1.7e308},
    {.type = VALUE_INT, .i = INT64_MIN},
    {.type = VALUE_INT, .i = INT64_MIN + 1},
    {.type = VALUE_INT, .i = -9007199254740993},
    {.type = VALUE_INT, .i = -9007199254740992},
    {.type = VALUE_FLOAT, .f = -9007199254740992.0},
    {.type = VALUE_INT, .i = -1},
    {.type = VALUE_FLOAT, .f = -0.5},
    {.type = VALUE_FLOAT, .f = -0.0},
    {.type = VALUE_INT, .i = 0},
    {.type = VALUE_FLOAT, .f = 0.0},
    {.type = VALUE_FLOAT, .f = 5e-324},
    {.type = VALUE_INT, .i = 1},
    {.type = VALUE_FLOAT, .f = 1.0},
    {.type = VALUE_FLOAT, .f = 1.5},
    {.type = VALUE_INT, .i = 9007199254740992},
    {.type = VALUE_FLOAT, .f = 9007199254740992.0},
    {.type = VALUE_INT, .i = 9007199254740993},
    {.type = VALUE_INT, .i = INT64_MAX - 1},
    {.type = VALUE_INT, .i = INT64_MAX},
    {.type = VALUE_FLOAT, .f = 0x1p63},
    {.type = VALUE_FLOAT, .f = HUGE_VAL},
    {.type = VALUE_FLOAT, .f = __builtin_nan("")},
    {.type = VALUE_STR, .len = 0, .s = ""},
    {.type = VALUE_STR, .len = 1, .s = "\0"},
    {.type = VALUE_STR, .len = 2, .s = "\0\0"},
    {.type = VALUE_STR, .len = 2, .s = "\0\1"},
    {.type = VALUE_STR, .len = 1, .s = "\1"},
    {.type = VALUE_STR, .len = 1, .s = "a"},
    {.type = VALUE_STR, .len = 2, .s = "a\0"},
    {.type = VALUE_STR, .len = 2, .s = "ab"},
    {.type = VALUE_STR, .len = 1, .s = "b"},
    {.type = VALUE_BIN, .len = 1, .s = "\xff"},
};

static int sign(int n)
{
    return (n > 0) - (n < 0);
}

static int compare_keys(const struct value *a, const struct value *b)
{
    struct buf x = {0}, y = {0};
    value_sort_key(a, &x);
    value_sort_key(b, &y);
    /* something after each, as in a key of several fields */
    buf_addc(&x, 'z');
    buf_addc(&y, 'a');
    int c = memcmp(x.data, y.data, x.len < y.len ? x.len : y.len);
    bool equal = x.len == y.len && memcmp(x.data, y.data, x.len - 1) == 0;
    buf_free(&x);
    buf_free(&y);
    return equal ? 0 : sign(c);
}

static void test_order(void)
{
    int n = (int)(ARRAY_LENGTH(ordered));
    for (int i = 0; i < n; i++) {
        int wrong = 0;
        for (int k = 0; k < n; k++) {
            int want = sign(i - k);
            wrong += sign(value_compare(&ordered[i], &ordered[k])) != want;
            wrong += compare_keys(&ordered[i], &ordered[k]) != want;
        }
        is_int(wrong, 0, "value %d in its place, by comparing and by sort key", i);
    }
}

static void is_parsed(const char *s, bool good, int64_t want)
{
    int64_t i = 42;
    bool got = value_parse_int(s, strlen(s), &i);
    ok(got == good && (!good || i == want), "parse '%s'", s);
}

static void test_parse_int(void)
{
    is_parsed("0", true, 0);
    is_parsed("-0", true, 0);
    is_parsed("+7", true, 7);
    is_parsed("007", true, 7);
    is_parsed("9223372036854775807", true, INT64_MAX);
    is_parsed("9223372036854775808", false, 0);
    is_parsed("-9223372036854775808", true, INT64_MIN);
    is_parsed("-9223372036854775809", false, 0);
    is_parsed("99999999999999999999", false, 0);
    is_parsed("", false, 0);
    is_parsed("-", false, 0);
    is_parsed("1 ", false, 0);
    is_parsed(" 1", false, 0);
    is_parsed("1e5", false, 0);
    is_parsed("0x1", false, 0);
}

/* What Python's repr() gives. */
static void test_format_float(void)
{
    static const struct {
        double f;
        const char *text;
    } cases[] = {
        {0.0, "0.0"},
        {-0.0, "-0.0"},
        {1.0, "1.0"},
        {-1.0, "-1.0"},
        {0.1, "0.1"},
        {1.0 / 3, "0.3333333333333333"},
        {100.0, "100.0"},
        {1e15, "1000000000000000.0"},
        {1e16, "1e+16"},
        {123456789012345680.0, "1.2345678901234568e+17"},
        {1e22, "1e+22"},
        {0.0001, "0.0001"},
        {0.00001, "1e-05"},
        {0.00012345, "0.00012345"},
        {1.5e-7, "1.5e-07"},
        {5e-324, "5e-324"},
        {2.5e-323, "2.5e-323"},
        {2.2250738585072014e-308, "2.2250738585072014e-308"},
        {2.225073858507201e-308, "2.225073858507201e-308"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {0x1p-44, "5.684341886080802e-14"},
        {9007199254740993.0, "9007199254740992.0"},
        {0x1p63, "9.223372036854776e+18"},
        {9999999999999998.0, "9999999999999998.0"},
        {4.35, "4.35"},
        {1.1 + 2.2, "3.3000000000000003"},
        {HUGE_VAL, "inf"},
        {-HUGE_VAL, "-inf"},
        {__builtin_nan(""), "nan"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char text[32];
        size_t len = value_format_float(cases[i].f, text);
        is_str(text, cases[i].text, "repr of %.17g", cases[i].f);
        if (len != strlen(text))
            ok(false, "length of %s", text);
    }
}

static void test_alien(void)
{
    struct value text = value_str("a"), alien = text, bin = text;
    struct buf a = {0}, b = {0};
    alien.type = VALUE_ALIEN;
    bin.type = VALUE_BIN;
    ok(!value_is_text(&alien) && value_has_bytes(&alien) && !value_eqs(&alien, "a"),
       "an alien value is not text");
    ok(!value_same(&alien, &text) && !value_same(&bin, &alien) && value_same(&alien, &alien),
       "it equals itself alone");
    text = value_str("b");
    value_sort_key(&text, &a);
    value_sort_key(&alien, &b);
    ok(value_compare(&text, &alien) < 0 && strcmp(buf_str(&a), buf_str(&b)) < 0, "it sorts after all text");
    buf_free(&a);
    buf_free(&b);
}

int main(void)
{
    test_alien();
    test_same();
    test_text();
    test_order();
    test_parse_int();
    test_format_float();
    return done_testing();
}
