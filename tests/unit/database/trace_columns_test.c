/* What MLflow keeps in columns of traces and assessments. */
#include "common/array.h"
#include "tests/unit/tap.h"

#include <math.h>

#include "formats/database/trace_columns.h"

static struct pyjson scratch;

/* A member of an object that is this text. */
static const struct pyjson_value *json_string(const char *text)
{
    static struct pyjson_value v;
    v = (struct pyjson_value){.type = PYJSON_STRING, .s = text, .len = strlen(text)};
    return &v;
}

static void test_token_counts(void)
{
    static const struct {
        const char *text;
        bool null;
        int64_t i;
    } t[] = {
        {"12", false, 12},
        {" 12 ", false, 12},
        {"\xe3\x80\x80"
         "12\xc2\xa0",
         false, 12},
        {"1_000", false, 1000},
        {"_1__0_", false, 10},
        {"+5", false, 5},
        {"-5", false, -5},
        {"5.", false, 5},
        {".5e1", false, 5},
        {"12.000", false, 12},
        {"1e2", false, 100},
        {"0e99999999999", false, 0},
        {"9.007199254740993e+18", false, 9007199254740993000},
        {"9223372036854775807", false, INT64_MAX},
        {"-9223372036854775808", false, INT64_MIN},
        {"9223372036854775808", true, 0},
        {"1e19", true, 0},
        {"1e999999999999", true, 0},
        {"12.5", true, 0},
        {"\xef\xbc\x91\xef\xbc\x92", false, 12},
        {"\xd9\xa3", false, 3},
        {"0x10", true, 0},
        {"NaN", true, 0},
        {"", true, 0},
        {".", true, 0},
        {"1e", true, 0},
        {"1 2", true, 0},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(t); i++) {
        struct value v = trace_token_count(json_string(t[i].text));
        ok(t[i].null ? v.type == VALUE_NULL : v.type == VALUE_INT && v.i == t[i].i, "token count of '%s'",
           t[i].text);
    }
}

static void test_floats(void)
{
    static const struct {
        const char *text;
        double f; /* NAN: null */
    } t[] = {
        {"0.25", 0.25},   {" 1_0.5 ", 10.5}, {"1__0", NAN},       {"_1", NAN},
        {"1_.5", NAN},    {"1e400", NAN},    {"nan", NAN},        {"Infinity", NAN},
        {"-2e-3", -2e-3}, {"0x1p3", NAN},    {"\xef\xbc\x91", 1},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(t); i++) {
        struct value v = trace_cost(json_string(t[i].text));
        ok(isnan(t[i].f) ? v.type == VALUE_NULL : v.type == VALUE_FLOAT && v.f == t[i].f, "cost of '%s'",
           t[i].text);
    }
}

static void test_aggregates(void)
{
    static const struct {
        const char *json;
        double f; /* NAN: null */
        bool numeric;
    } t[] = {
        {"true", 1, false},         {"false", 0, false},
        {"3.0", 3, true},           {"-2", -2, true},
        {"NaN", NAN, false},        {"-Infinity", NAN, false},
        {"1e999", NAN, false},      {"null", NAN, false},
        {"\"yes\"", 1, false},      {"\" \\u2003No\\n\"", 0, false},
        {"\"maybe\"", NAN, false},  {"[1]", NAN, false},
        {"{\"a\": 1}", NAN, false}, {"not json", NAN, false},
        {"YES", 1, false},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(t); i++) {
        struct value json = value_str(t[i].json), f;
        bool numeric;
        assessment_aggregate(&scratch, &json, &f, &numeric);
        ok((isnan(t[i].f) ? f.type == VALUE_NULL : f.type == VALUE_FLOAT && f.f == t[i].f) &&
               numeric == t[i].numeric,
           "aggregate of %s", t[i].json);
    }
}

int main(void)
{
    test_token_counts();
    test_floats();
    test_aggregates();
    pyjson_free(&scratch);
    return done_testing();
}
