/* Text, numbers and JSON as Python reads them. What is expected was printed by CPython 3.11. */
#include "common/array.h"
#include "tests/unit/tap.h"

#include <math.h>
#include <stdlib.h>

#include "formats/python/number.h"
#include "formats/python/text.h"

static void test_numbers(void)
{
    static const struct {
        const char *text;
        bool is_integer;
        int64_t integer;
        bool is_float;
        double real;
    } cases[] = {
        {" 12 ", true, 12, true, 12},
        {"1_000", true, 1000, true, 1000},
        {"1__0", true, 10, false, 0},
        {"_1", true, 1, false, 0},
        {"+5", true, 5, true, 5},
        {"5.", true, 5, true, 5},
        {".5e1", true, 5, true, 5},
        {"12.000", true, 12, true, 12},
        {"1e2", true, 100, true, 100},
        {"１２", true, 12, true, 12},
        {"\u2003-3\u3000", true, -3, true, -3},
        {"1.5", false, 0, true, 1.5},
        {"0x10", false, 0, false, 0},
        {"9223372036854775807", true, INT64_MAX, true, 9223372036854775807.0},
        {"9223372036854775808", false, 0, true, 9223372036854775808.0},
        {"-9223372036854775808", true, INT64_MIN, true, -9223372036854775808.0},
        {"922337203685477580.7e1", true, INT64_MAX, true, 9223372036854775807.0},
        {"1e400", false, 0, true, INFINITY},
        {"-inf", false, 0, true, -INFINITY},
        {"0e999999999999999999999", true, 0, true, 0},
        {"1e-999999999999999999999", false, 0, true, 0},
        {"", false, 0, false, 0},
        {"e5", false, 0, false, 0},
        {"1 2", false, 0, false, 0},
        {"3\x1c", true, 3, false, 0},
        {"\x1f 3", true, 3, false, 0},
        {"१२\x1c", true, 12, false, 0},
        {"\x1d٣", true, 3, false, 0},
        {"3\x1c\u2003", true, 3, false, 0},
        {"3\xc2\x85", true, 3, true, 3},
        {"\u00a0٣\u2003", true, 3, true, 3},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        const char *text = cases[i].text;
        int64_t n = 0;
        double d = 0;
        bool is_integer = py_integer(text, strlen(text), &n), is_float = py_float(text, strlen(text), &d);
        ok(is_integer == cases[i].is_integer && n == cases[i].integer, "Decimal('%s')", text);
        ok(is_float == cases[i].is_float && d == cases[i].real, "float('%s')", text);
    }
}

static void test_lower(void)
{
    static const struct {
        const char *text, *lower;
    } cases[] = {
        {"Straße ÀÉ", "straße àé"},
        {"ΑΣ", "ας"},
        {"ΑΣ.", "ας."},
        {"ΣΑΣ Σ", "σας σ"},
        {"AΣ\u0301B", "aσ\u0301b"},
        {"İ", "i\u0307"},
        {"\u1e9e", "ß"},
        {"𐐀", "𐐨"},
        {"Ǆ", "ǆ"},
        {"", ""},
        {"已经 123", "已经 123"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct buf b = {0};
        py_lower(cases[i].text, strlen(cases[i].text), &b);
        is_str(buf_str(&b), cases[i].lower, "'%s' in lower case", cases[i].text);
        buf_free(&b);
    }
    const char *s = " \x1c\u00a0\u2003x y\u3000\n";
    size_t len = strlen(s);
    py_strip(&s, &len);
    ok(len == 3 && memcmp(s, "x y", 3) == 0, "white space of every kind is stripped");
}

static void test_json(void)
{
    static const struct {
        const char *text, *type; /* NULL: malformed */
    } cases[] = {
        {"null", "NoneType"},   {"true", "bool"},       {" [1, {\"a\": []}] ", "list"},
        {"-0", "int"},          {"1E5", "float"},       {"NaN", "float"},
        {"-Infinity", "float"}, {"\"\\ud800\"", "str"}, {"{}", "dict"},
        {"nan", NULL},          {"01", NULL},           {"1.", NULL},
        {"[1,]", NULL},         {"{\"a\":1,}", NULL},   {"\"\t\"", NULL},
        {"\ufeff1", NULL},      {"\"a\" x", NULL},      {"", NULL},
        {"{\"a\"", NULL},       {"\"\\x\"", NULL},
    };
    struct pyjson d = {0};
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        bool good = pyjson_parse(&d, cases[i].text, strlen(cases[i].text));
        is_str(good ? pyjson_type_name(&d.top) : NULL, cases[i].type, "json.loads('%s')", cases[i].text);
    }
    const char *text = "{\"a\": 1, \"b\": {\"a\": 2}, \"a\": \"\\ud83d\\ude00\"}";
    ok(pyjson_parse(&d, text, strlen(text)) && d.n_members == 3, "an object");
    const struct pyjson_value *v = pyjson_get(&d, "a");
    ok(v && v->type == PYJSON_STRING && v->len == 4 && memcmp(v->s, "😀", 4) == 0 && !v->surrogate,
       "the last of equal keys counts, and a pair is one character");
    ok(!pyjson_get(&d, "c"), "a key that is not there");
    size_t depth = 100000;
    char *deep = malloc(2 * depth);
    memset(deep, '[', depth);
    memset(deep + depth, ']', depth);
    ok(pyjson_parse(&d, deep, 2 * depth) && !pyjson_parse(&d, deep, 2 * depth - 1), "any depth is read");
    memset(deep, '1', 4301);
    ok(pyjson_parse(&d, deep, 4300) && !pyjson_parse(&d, deep, 4301), "a number has at most 4300 digits");
    free(deep);
    pyjson_free(&d);
}

/* Numbers of 16 to 19 digits have a way of their own, which must round as strtod() does: all of these lengths and places of the
 * point, and what lies halfway between two floats. */
static void test_rounding(void)
{
    static const char *const halves[] = {
        "9007199254740993",    "9007199254740995",    "-9007199254740993.0",  "9007199254740993.001",
        "4503599627370496.5",  "4503599627370497.5",  "4503599627370497.501", "18014398509481986",
        "9223372036854774272", "9223372036854774784", "9223372036854775295",  "9999999999999999999"};
    uint64_t random = 88172645463325252u;
    size_t wrong = 0;
    for (size_t i = 0; i < 200000 + ARRAY_LENGTH(halves); i++) {
        char text[64];
        if (i < ARRAY_LENGTH(halves)) {
            snprintf(text, sizeof text, "%s", halves[i]);
        } else {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            char digits[32];
            snprintf(digits, sizeof digits, "%019llu", (unsigned long long)(random % 10000000000000000000u));
            int used = 1 + (int)(i % 19), zeros = (int)(i / 19 % 9), point = (int)(i / 7 % (size_t)used);
            snprintf(text, sizeof text, "%s%.*s.%.*s%.*s", i % 2 ? "-" : "", point ? point : 1,
                     point ? digits : "0", zeros, point ? "" : "00000000", used - point, digits + point);
        }
        double ours, wanted = strtod(text, NULL);
        if (python_float(text, strlen(text), &ours) != NUMBER_GOOD || ours != wanted) {
            if (wrong++ == 0)
                fprintf(stderr, "%s: %.17g, not %.17g\n", text, ours, wanted);
        }
    }
    ok(wrong == 0, "numbers of up to 19 digits are rounded as strtod() rounds them");
}

int main(void)
{
    test_numbers();
    test_rounding();
    test_lower();
    test_json();
    return done_testing();
}
