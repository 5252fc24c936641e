/* JSON lines of records; JSON texts as Python's json module has them. */
#include <stdlib.h>

#include "formats/stream/json.h"
#include "tests/unit/tap.h"

/* line -> record -> line. want NULL: the same. */
static void is_line(const char *line, const char *want, const char *name)
{
    struct json_reader *j = json_reader_new();
    struct record r;
    struct err e = {0};
    struct buf b = {0};
    if (json_read(j, line, strlen(line), &r, &e))
        json_write(&r, &b);
    is_str(buf_str(&b), want ? want : line, "%s %s", name, e.what);
    buf_free(&b);
    json_reader_free(j);
}

static void test_lines(void)
{
    is_line("{\"kind\":\"param\",\"run_id\":\"r\",\"key\":\"k\",\"value\":\"v\"}", NULL, "a param");
    is_line(" { \"value\" : \"v\", \"key\":\"k\", \"run_id\":\"r\", \"kind\":\"param\" } ",
            "{\"kind\":\"param\",\"run_id\":\"r\",\"key\":\"k\",\"value\":\"v\"}", "fields in another order");
    is_line("{\"kind\":\"tag\",\"run_id\":\"r\",\"key\":\"k\",\"value\":null}",
            "{\"kind\":\"tag\",\"run_id\":\"r\",\"key\":\"k\"}", "null is a field left out");
    is_line(
        "{\"kind\":\"metric\",\"run_id\":\"r\",\"key\":\"k\",\"step\":-0,\"timestamp\":1e3,\"value\":-0.0}",
        "{\"kind\":\"metric\",\"run_id\":\"r\",\"key\":\"k\",\"step\":0,\"timestamp\":1000,\"value\":{\"$"
        "float\":\"-0.0\"}}",
        "numbers in other forms");
    is_line("{\"kind\":\"metric\",\"run_id\":\"r\",\"key\":\"k\",\"step\":1,\"timestamp\":1,\"value\":"
            "12345678901234567000000000000000}",
            "{\"kind\":\"metric\",\"run_id\":\"r\",\"key\":\"k\",\"step\":1,\"timestamp\":1,\"value\":1."
            "2345678901234567e+31}",
            "a float that jq writes without a fraction");
    is_line("{\"kind\":\"trailer\",\"counts\":{\"a\":{\"$float\":\"1.5\"},\"b\":{\"$int\":"
            "\"9007199254740992\"},\"c\":[null,true,"
            "{\"$bytes\":\"/"
            "w==\"},{\"d\":\"e\"}],\"f\":{\"$map\":{\"$int\":\"x\"}},\"g\":{\"$float\":\"nan\"},\"h\":-7,"
            "\"i\":{\"$float\":\"2.0\"},\"j\":{}},\"skipped\":0,\"checksum\":\"x\"}",
            NULL, "all that a map can hold");
    is_line("{\"kind\":\"trailer\",\"counts\":{\"$map\":{\"$bytes\":1}},\"skipped\":0,\"checksum\":\"x\"}",
            NULL, "a map that looks like a tag");
}

static void is_refused(const char *line, const char *what)
{
    struct json_reader *j = json_reader_new();
    struct record r;
    struct err e = {0};
    bool read = json_read(j, line, strlen(line), &r, &e);
    ok(!read && strstr(e.what, what), "refused: %s", e.what);
    json_reader_free(j);
}

static void test_refused(void)
{
    is_refused("{\"kind\":\"trailer\",\"counts\":{\"a\":1.5},\"skipped\":0,\"checksum\":\"x\"}", "fraction");
    is_refused("{\"kind\":\"trailer\",\"counts\":[1],\"skipped\":0,\"checksum\":\"x\"}", "unexpected array");
    is_refused("{\"kind\":\"trailer\",\"counts\":{\"$map\":1},\"skipped\":0,\"checksum\":\"x\"}",
               "must be an object");
    is_refused("{\"kind\":\"param\",\"run_id\":\"r\",\"key\":\"k\",\"value\":{\"$bytes\":\"/x==\"}}",
               "base64");
    is_refused("{\"kind\":\"param\",\"run_id\":\"r\",\"key\":\"k\",\"value\":{\"$bytes\":1}}",
               "must be a string");
    is_refused("{\"kind\":\"trailer\",\"counts\":{\"a\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]},\"skipped\":0,"
               "\"checksum\":\"x\"}",
               "deeper");
}

/* want NULL: not JSON. */
static void is_normal(const char *text, const char *want)
{
    struct buf b = {0};
    bool good = json_normalise(text, strlen(text), &b);
    is_str(good ? buf_str(&b) : NULL, want, "json.dumps(json.loads(%s))", text);
    buf_free(&b);
}

static void test_normalise(void)
{
    is_normal("{ }", "{}");
    is_normal(" [1,2 , 3] ", "[1, 2, 3]");
    is_normal("{\"b\":1,\"a\":[true,false,null]}", "{\"b\": 1, \"a\": [true, false, null]}");
    is_normal("{\"a\":1,\"b\":2,\"a\":3,\"b\":{\"x\":1,\"x\":2}}", "{\"a\": 3, \"b\": {\"x\": 2}}");
    is_normal("[NaN,Infinity,-Infinity,1e999,-1e999]", "[NaN, Infinity, -Infinity, Infinity, -Infinity]");
    is_normal("[0,-0,-0.0,0.0,1.0,1e5,1E-7,1e16]", "[0, 0, -0.0, 0.0, 1.0, 100000.0, 1e-07, 1e+16]");
    is_normal("123456789012345678901234567890", "123456789012345678901234567890");
    is_normal("\"\xc3\xa9\xe6\x97\xa5\xf0\x9f\x98\x80\"", "\"\\u00e9\\u65e5\\ud83d\\ude00\"");
    is_normal("\"\\ud83d\\ude00 \\uD83D \\u0041\\/\\u0000\x7f\"",
              "\"\\ud83d\\ude00 \\ud83d A/\\u0000\\u007f\"");
    is_normal("\"\\b\\f\\n\\r\\t\\\"\\\\\"", "\"\\b\\f\\n\\r\\t\\\"\\\\\"");
    is_normal("", NULL);
    is_normal("{\"a\":1,}", NULL);
    is_normal("[1,]", NULL);
    is_normal("[1 2]", NULL);
    is_normal("01", NULL);
    is_normal("1.", NULL);
    is_normal(".5", NULL);
    is_normal("+1", NULL);
    is_normal("'a'", NULL);
    is_normal("\"a", NULL);
    is_normal("\"\t\"", NULL);
    is_normal("\"\\x41\"", NULL);
    is_normal("\"\\u12g4\"", NULL);
    is_normal("nul", NULL);
    is_normal("1 2", NULL);
    is_normal("\"\xff\"", NULL);
    is_normal("\xef\xbb\xbf"
              "1",
              NULL);
}

static void test_deep(void)
{
    struct buf text = {0}, out = {0};
    for (int i = 0; i < 100000; i++)
        buf_addc(&text, '[');
    ok(!json_normalise(text.data, text.len, &out), "100,000 levels are refused, not a crash");
    is_int((int64_t)out.len, 0, "and nothing is written");
    buf_free(&text);
    buf_free(&out);
}

static void is_equal(const char *a, const char *b, bool want)
{
    ok(json_text_equal(a, strlen(a), b, strlen(b)) == want, "%s %s %s", a, want ? "equals" : "differs from",
       b);
}

static void test_equal(void)
{
    is_equal("{\"a\":1,\"b\":[{\"d\":1,\"c\":2}]}", "{ \"b\" : [ {\"c\":2, \"d\":1} ], \"a\":1 }", true);
    is_equal("\"\\u00e9\"", "\"\xc3\xa9\"", true);
    is_equal("{\"a\":1,\"a\":2}", "{\"a\":2}", true);
    is_equal("NaN", "NaN", true);
    is_equal("1e2", "100.0", true);
    is_equal("1", "1.0", false);
    is_equal("[1,2]", "[2,1]", false);
    is_equal("{\"a\":null}", "{}", false);
    is_equal("0.0", "-0.0", false);
    is_equal("x", "x", false);
    is_equal("\"1\"", "1", false);
}

static void test_quote(void)
{
    struct buf b = {0};
    json_quote_ascii("a\"\n\xc3\xa9\xf0\x9f\x98\x80\0", 10, &b);
    is_str(buf_str(&b), "\"a\\\"\\n\\u00e9\\ud83d\\ude00\\u0000\"", "json.dumps of a text");
    buf_free(&b);
}

int main(void)
{
    test_lines();
    test_refused();
    test_normalise();
    test_deep();
    test_equal();
    test_quote();
    return done_testing();
}
