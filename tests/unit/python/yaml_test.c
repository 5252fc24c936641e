/* YAML as PyYAML's SafeLoader reads it: its result for each text is written next to it. */
#include "common/array.h"
#include "tests/unit/tap.h"

#include <math.h>
#include <stdlib.h>

#include "formats/record/value.h"
#include "formats/python/yaml.h"

static struct yaml_reader *reader;
static struct yaml_error error;

static const struct yaml_value *parse(const char *text)
{
    return yaml_parse(reader, text, strlen(text), &error);
}

/* The kind and value of `k: TEXT`, as Python's repr, or the error. */
static const char *resolved(const char *text)
{
    static char out[512];
    char document[512];
    snprintf(document, sizeof document, "k: %s\n", text);
    const struct yaml_value *v = parse(document);
    if (!v)
        return "error";
    v = yaml_get(v, "k");
    char number[32];
    switch (v->kind) {
    case YAML_IS_NULL:
        return "None";
    case YAML_IS_BOOL:
        return v->b ? "True" : "False";
    case YAML_IS_INT:
        snprintf(out, sizeof out, v->big ? "big" : "%lld", (long long)v->i);
        return out;
    case YAML_IS_FLOAT:
        number[value_format_float(v->f, number)] = '\0';
        snprintf(out, sizeof out, "%s", number);
        return out;
    case YAML_IS_TIME:
        return "date";
    case YAML_IS_TEXT:
        snprintf(out, sizeof out, "'%s'", v->text);
        return out;
    default:
        return yaml_kind_name(v->kind);
    }
}

static void test_resolution(void)
{
    static const char *const cases[][2] = {
        /* null, booleans: three spellings each, no y and n */
        {"", "None"},
        {"~", "None"},
        {"null", "None"},
        {"Null", "None"},
        {"NULL", "None"},
        {"nUll", "'nUll'"},
        {"yes", "True"},
        {"No", "False"},
        {"ON", "True"},
        {"off", "False"},
        {"true", "True"},
        {"y", "'y'"},
        {"yEs", "'yEs'"},
        {"None", "'None'"},
        /* integers */
        {"0", "0"},
        {"-0", "0"},
        {"+12", "12"},
        {"1_000", "1000"},
        {"010", "8"},
        {"0_7", "7"},
        {"08", "'08'"},
        {"0o17", "'0o17'"},
        {"0x1F", "31"},
        {"-0x_ff", "-255"},
        {"0b101", "5"},
        {"0b2", "'0b2'"},
        {"0x", "'0x'"},
        {"0x_", "error"},
        {"0b_", "error"},
        {"1:30", "90"},
        {"-1:30", "-90"},
        {"190:20:30", "685230"},
        {"1:60", "'1:60'"},
        {"01:30", "'01:30'"},
        {"1 2", "'1 2'"},
        {"9223372036854775807", "9223372036854775807"},
        {"9223372036854775808", "big"},
        {"-9223372036854775808", "-9223372036854775808"},
        {"-9223372036854775809", "big"},
        {"0x8000000000000000", "big"},
        {"_1", "'_1'"},
        /* floats: a dot, and a sign in the exponent */
        {"1.0", "1.0"},
        {"1.", "1.0"},
        {".5", "0.5"},
        {"+.5", "'+.5'"},
        {"-0.0", "-0.0"},
        {"1e3", "'1e3'"},
        {"1.5e3", "'1.5e3'"},
        {"1.5e+3", "1500.0"},
        {"1.5E-3", "0.0015"},
        {"12345e7", "'12345e7'"},
        {"1_0.5", "10.5"},
        {".inf", "inf"},
        {"-.INF", "-inf"},
        {".nan", "nan"},
        {"-.nan", "'-.nan'"},
        {"1:30.5", "90.5"},
        {".", "'.'"},
        {"1.2.3", "'1.2.3'"},
        {"1.7976931348623157e+308", "1.7976931348623157e+308"},
        /* dates */
        {"2024-01-02", "date"},
        {"2024-1-2", "'2024-1-2'"},
        {"2024-01-02T03:04:05Z", "date"},
        {"2024-1-2 3:04:05.25 +1:30", "date"},
        {"2024-01-02T03:04", "'2024-01-02T03:04'"},
        {"2024-01-02x", "'2024-01-02x'"},
        /* quoted and tagged */
        {"'yes'", "'yes'"},
        {"\"1\"", "'1'"},
        {"''", "''"},
        {"'it''s'", "'it's'"},
        {"!!str 1", "'1'"},
        {"! 1", "1"},
        {"!!int 7", "7"},
        {"!!int x", "error"},
        {"!!int '7'", "7"},
        {"!!python/object x", "error"},
        {"!local x", "error"},
        /* special */
        {"=", "error"},
        {"<<", "error"},
        {"[]", "a list"},
        {"{}", "a map"},
        {"a: b", "error"},
        {"\"\\t\\x41\\u00e9\\U0001F680\\N\\L\\_\"",
         "'\tA\xc3\xa9\xf0\x9f\x9a\x80\xc2\x85\xe2\x80\xa8\xc2\xa0'"},
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        is_str(resolved(cases[i][0]), cases[i][1], "k: %s", cases[i][0]);
}

static void test_structure(void)
{
    const struct yaml_value *v =
        parse("a: 1\nlist:\n- x\n- {y: 2}\n? long key\n: text\n  folded\n\n  twice\na: 2\nb: '3'\n");
    ok(v && v->kind == YAML_IS_MAP, "a map");
    is_str(yaml_get(v, "a")->text, "2", "the last of equal keys counts");
    is_str(v->first->key->text, "a", "at the place of the first");
    const struct yaml_item *item = yaml_get(v, "list")->first;
    is_str(item->value->text, "x", "the first item");
    is_str(yaml_get(item->next->value, "y")->text, "2", "a map in a list");
    ok(!item->next->next, "and no more");
    is_str(yaml_get(v, "long key")->text, "text folded\ntwice", "folded lines");
    is_int(yaml_get(v, "b")->line, 11, "the line of a value");
    ok(!yaml_get(v, "c") && !yaml_get(NULL, "a") && !yaml_get(item->value, "a"), "what is not there is NULL");

    v = parse("a: &x [1, {b: 2}]\nc: *x\n");
    ok(v && yaml_get(v, "c") == yaml_get(v, "a"), "an alias is what its anchor is");
    v = parse("");
    ok(v && v->kind == YAML_IS_NULL, "an empty document");
    v = parse("# nothing\n---\n...\n");
    ok(v && v->kind == YAML_IS_NULL, "a document of nothing");
    v = parse("\xef\xbb\xbf"
              "a: 1\n");
    ok(v && yaml_get(v, "a"), "a byte order mark");
}

static void test_equal_keys(void)
{
    struct buf text = {0};
    size_t n = 0;
    for (int i = 0; i < 3000; i++)
        buf_addf(&text, "k%d: %d\n", i % 1000, i);
    const struct yaml_value *v = parse(buf_str(&text));
    for (const struct yaml_item *item = v->first; item; item = item->next, n++)
        if (item->value->i != (int64_t)n + 2000)
            break;
    is_int((int64_t)n, 1000, "many keys, each three times: the last values in the first order");
    buf_free(&text);
}

static void test_errors(void)
{
    static const struct {
        const char *text;
        unsigned line;
        const char *part;
    } cases[] = {
        {"a: 1\nb: [1,\n", 3, "flow node"},     {"a: 1\n b: 2\n", 2, "mapping values"},
        {"a: 'x\n", 2, "end of stream"},        {"a: 1\nb: caf\xe9\n", 2, "UTF-8"},
        {"a: \x01\n", 1, "control characters"}, {"a: *x\n", 1, "undefined alias"},
        {"a: &x [*x]\n", 1, "recursive alias"}, {"a: 1\n---\nb: 2\n", 2, "second document"},
        {"? [a]\n: b\n", 1, "cannot be a key"}, {"x: &a {k: 1}\ny:\n  <<: *a\n", 3, "merge key"},
        {"a: \"\\ud83d\"\n", 1, "Unicode"},     {"a: !!set {}\n", 1, "tag"},
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        bool good = parse(cases[i].text) != NULL;
        if (!ok(!good && error.line == cases[i].line && strstr(error.what, cases[i].part),
                "refused at line %u: %s", cases[i].line, cases[i].part))
            printf("# got: line %u, %s\n", error.line, good ? "no error" : error.what);
    }
}

static void test_marks(void)
{
    static const char utf16[] = "\xff\xfek\0:\0 \0"
                                "1\0\n\0";
    const struct yaml_value *v = parse("\xef\xbb\xbfk: 1\nl: 2\n");
    ok(v && yaml_get(v, "k") && yaml_get(v, "k")->i == 1 && yaml_get(v, "l")->line == 2,
       "a byte order mark is not part of the text");
    ok(parse("\xef\xbb\xbf") && parse("\xef\xbb\xbf")->kind == YAML_IS_NULL, "a mark alone is null");
    ok(!parse("\xef\xbb\xbf\xef\xbb\xbfk: 1\nl: 2\n"), "two marks are one too many");
    ok(!yaml_parse(reader, utf16, sizeof utf16 - 1, &error), "UTF-16 is refused");
    is_str(error.what, "the text is UTF-16, but MLflow reads UTF-8", "by its name");
    ok(!parse("\xfe\xff"), "in the other order of bytes, too");
    ok(!parse("\xff") && !strstr(error.what, "UTF-16"), "half a mark is a byte that is not text");
}

static void test_depth(void)
{
    struct buf text = {0};
    for (int i = 0; i < 150; i++)
        buf_addc(&text, '[');
    for (int i = 0; i < 150; i++)
        buf_addc(&text, ']');
    ok(parse(buf_str(&text)) != NULL, "150 levels");
    buf_reset(&text);
    for (int i = 0; i < 5000; i++)
        buf_addc(&text, '[');
    ok(parse(buf_str(&text)) == NULL, "5,000 levels are refused");
    buf_free(&text);
}

static const char *json(const char *text)
{
    static struct buf out;
    const struct yaml_value *v = parse(text);
    buf_reset(&out);
    if (!v)
        return "not YAML";
    return yaml_to_json(v, &out, &error) ? buf_str(&out) : "no JSON";
}

static void test_json(void)
{
    struct buf bomb = {0};
    is_str(json("a: 1\nb: [1.0, 1.0e-05, .inf, .nan, -0.0]\n"),
           "{\"a\": 1, \"b\": [1.0, 1e-05, Infinity, NaN, -0.0]}", "numbers as Python writes them");
    is_str(json("{a: yes, b: ~, c: 'yes', d: [], e: {}}"),
           "{\"a\": true, \"b\": null, \"c\": \"yes\", \"d\": [], \"e\": {}}", "words");
    is_str(json("\"\\u00e9\\U0001F680\\n\\\"\\\\\""), "\"\\u00e9\\ud83d\\ude80\\n\\\"\\\\\"",
           "text is ASCII");
    is_str(json("{1: a, yes: b, ~: c, 1.5: d}"),
           "{\"1\": \"a\", \"true\": \"b\", \"null\": \"c\", \"1.5\": \"d\"}", "keys that are no text");
    is_str(json("[2024-01-02]"), "no JSON", "a date is not JSON");
    is_str(json("[9223372036854775808]"), "no JSON", "nor is what does not fit");
    buf_adds(&bomb, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 12; i++) {
        buf_addf(&bomb, "a%d: &a%d [", i, i);
        for (int j = 0; j < 10; j++)
            buf_addf(&bomb, "%s*a%d", j ? ", " : "", i - 1);
        buf_adds(&bomb, "]\n");
    }
    is_str(json(buf_str(&bomb)), "no JSON", "aliases of aliases do not grow without end");
    buf_free(&bomb);
}

int main(void)
{
    reader = yaml_reader_new();
    test_resolution();
    test_structure();
    test_equal_keys();
    test_errors();
    test_marks();
    test_depth();
    test_json();
    yaml_reader_free(reader);
    yaml_reader_free(NULL);
    return done_testing();
}
