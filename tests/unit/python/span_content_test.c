/* What is read of the text of a span, in each form that MLflow's releases have written. */
#include "common/array.h"
#include "formats/python/span_content.h"
#include "tests/unit/tap.h"

#define ATTRIBUTES                                                                                           \
    "\"attributes\": {\"mlflow.spanType\": \"\\\"LLM\\\"\", \"mlflow.llm.model\": \"\\\"m \\u00fc\\\"\", "   \
    "\"mlflow.llm.provider\": \"plain\", \"mlflow.llm.cost\": \"{\\\"input_cost\\\": 0.5, "                  \
    "\\\"output_cost\\\": "                                                                                  \
    "\\\"1e-3\\\", \\\"total_cost\\\": true}\"}"

static const struct {
    const char *release, *text;
} forms[] = {
    {"2.15", "{\"name\": \"n\", \"context\": {\"span_id\": \"0x0123456789abcdef\", \"trace_id\": "
             "\"0x000102030405060708090a0b0c0d0e0f\"}, \"parent_id\": \"0xff\", \"start_time\": 12, "
             "\"end_time\": 34, "
             "\"status_code\": \"ERROR\", \"status_message\": \"\", " ATTRIBUTES ", \"events\": []}"},
    {"2.22",
     "{\"name\": \"n\", \"context\": {\"span_id\": \"0123456789ABCDEF\", \"trace_id\": "
     "\"000102030405060708090a0b0c0d0e0f\"}, \"parent_id\": \"ff\", \"start_time\": 12, \"end_time\": 34, "
     "\"status_code\": \"ERROR\", " ATTRIBUTES "}"},
    {"3.0",
     "{\"trace_id\": \"AAECAwQFBgcICQoLDA0ODw==\", \"span_id\": \"ASNFZ4mrze8=\", \"trace_state\": \"\", "
     "\"parent_span_id\": \"AAAAAAAAAP8=\", \"name\": \"n\", \"start_time_unix_nano\": \"12\", "
     "\"end_time_unix_nano\": \"34\", " ATTRIBUTES ", \"status\": {\"message\": \"x\", \"code\": "
     "\"STATUS_CODE_ERROR\"}}"},
    {"3.5.0",
     "{\"trace_id\": \"tr-000102030405060708090a0b0c0d0e0f\", \"span_id\": \"0123456789abcdef\", "
     "\"parent_span_id\": \"00000000000000ff\", \"name\": \"n\", \"start_time_unix_nano\": 12, "
     "\"end_time_unix_nano\": 34, " ATTRIBUTES ", \"status\": {\"code\": \"ERROR\", \"message\": \"\"}}"},
    {"3.18", "{\"trace_id\": \"AAECAwQFBgcICQoLDA0ODw==\", \"span_id\": \"ASNFZ4mrze8=\", "
             "\"parent_span_id\": \"AAAAAAAAAP8=\", \"name\": \"n\", \"kind\": \"SPAN_KIND_INTERNAL\", "
             "\"start_time_unix_nano\": 12, \"end_time_unix_nano\": 34, \"events\": [], \"status\": "
             "{\"message\": \"\", "
             "\"code\": \"STATUS_CODE_ERROR\"}, " ATTRIBUTES ", \"links\": []}"},
};

static bool text_is(struct span_text text, const char *want)
{
    return want ? text.s && text.len == strlen(want) && memcmp(text.s, want, text.len) == 0 : !text.s;
}

static void test_forms(struct span_content *c)
{
    for (size_t i = 0; i < ARRAY_LENGTH(forms); i++) {
        const char *wrong = span_content_read(c, forms[i].text, strlen(forms[i].text));
        ok(!wrong, "the form of %s %s", forms[i].release, wrong ? wrong : "is read");
        is_str(c->span_id, "0123456789abcdef", "its id");
        is_str(c->parent_id, "00000000000000ff", "its parent");
        is_str(c->trace_id, "000102030405060708090a0b0c0d0e0f", "its trace");
        ok(text_is(c->name, "n") && text_is(c->type, "LLM") && text_is(c->model, "m ü") &&
               text_is(c->provider, "plain"),
           "its texts");
        is_str(c->status, "ERROR", "its status");
        ok(c->start == 12 && c->has_end && c->end == 34, "its times");
        ok(c->has_cost[0] && c->cost[0] == 0.5 && c->has_cost[1] && c->cost[1] == 0.001 && !c->has_cost[2],
           "its costs");
    }
}

static void test_roots(struct span_content *c)
{
    static const char *const parents[] = {"null", "\"\""};
    char text[256];
    for (size_t i = 0; i < 2; i++) {
        snprintf(text, sizeof text,
                 "{\"span_id\": \"ASNFZ4mrze8=\", \"parent_span_id\": %s, \"start_time_unix_nano\": 1, "
                 "\"end_time_unix_nano\": %s, \"name\": null}",
                 parents[i], i ? "0" : "null");
        ok(!span_content_read(c, text, strlen(text)), "a root");
        ok(!c->parent_id[0] && !c->has_end && !c->name.s && !c->type.s && !c->model.s, "without all that");
        is_str(c->status, "UNSET", "and without a status");
    }
}

static void test_wrong(struct span_content *c)
{
    static const struct {
        const char *text, *wrong;
    } texts[] = {
        {"", "is not a JSON object"},
        {"[]", "is not a JSON object"},
        {"{\"a\"", "is not a JSON object"},
        {"{\"a\": \"", "is not a JSON object"},
        {"{\"a\": {", "is not a JSON object"},
        {"{}", "has no span_id"},
        {"{\"span_id\": \"ASNF\", \"start_time_unix_nano\": 1}", "has a malformed span_id"},
        {"{\"span_id\": 5, \"start_time_unix_nano\": 1}", "has a malformed span_id"},
        {"{\"span_id\": \"ASNFZ4mrze8=\", \"parent_span_id\": \"x\"}", "has a malformed parent's id"},
        {"{\"span_id\": \"ASNFZ4mrze8=\"}", "has no start time"},
        {"{\"span_id\": \"ASNFZ4mrze8=\", \"start_time_unix_nano\": 1.5}", "has no start time"},
        {"{\"span_id\": \"ASNFZ4mrze8=\", \"start_time_unix_nano\": 99999999999999999999}",
         "has no start time"},
        {"{\"span_id\": \"ASNFZ4mrze8=\", \"start_time_unix_nano\": 1, \"end_time_unix_nano\": \"x\"}",
         "has a malformed end time"},
        {"{\"span_id\": \"ASNFZ4mrze8=\", \"start_time_unix_nano\": 1, \"status\": {\"code\": \"GOOD\"}}",
         "has an unknown status"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++)
        is_str(span_content_read(c, texts[i].text, strlen(texts[i].text)), texts[i].wrong, "%s",
               texts[i].text);
}

static void attribute(struct span_content *c, const char *key, const char *value)
{
    char text[256];
    snprintf(text, sizeof text, "{\"attributes\": {\"%s\": %s}}", key, value);
    span_content_attributes(c, text, strlen(text));
}

static void test_attributes(struct span_content *c)
{
    attribute(c, "mlflow.spanType", "\"TOOL\"");
    ok(text_is(c->type, "TOOL"), "a type that is no JSON stands for itself");
    attribute(c, "mlflow.spanType", "\"5\"");
    ok(text_is(c->type, NULL), "a type that is a number is none");
    attribute(c, "mlflow.llm.model", "\"5\"");
    ok(text_is(c->model, "5"), "a model that is a number is its text");
    attribute(c, "mlflow.llm.model", "5");
    ok(text_is(c->model, NULL), "one that is not text is none");
    attribute(c, "mlflow.llm.model", "\"\\\"\\\\ud800\\\"\"");
    ok(text_is(c->model, NULL), "half of a surrogate pair cannot be stored");
    attribute(c, "mlflow.llm\\u002emodel", "\"m\"");
    ok(text_is(c->model, "m"), "a key may be escaped");
    attribute(c, "mlflow.llm.cost", "{\"input_cost\": 2}");
    ok(c->has_cost[0] && c->cost[0] == 2, "costs may be an object");
    attribute(c, "mlflow.llm.cost", "\"{\\\"input_cost\\\": NaN, \\\"output_cost\\\": \\\"x\\\"}\"");
    ok(!c->has_cost[0] && !c->has_cost[1], "costs must be finite numbers");
    char text[2048], long_text[602];
    memset(long_text, 'x', 600);
    long_text[600] = '\0';
    snprintf(text, sizeof text, "{\"attributes\": {\"mlflow.spanType\": \"%s\"}}", long_text);
    span_content_attributes(c, text, strlen(text));
    is_int((int64_t)c->type.len, SPAN_TEXT_MAX, "a type is cut to its column");
}

int main(void)
{
    struct span_content c = {0};
    test_forms(&c);
    test_roots(&c);
    test_wrong(&c);
    test_attributes(&c);
    span_content_free(&c);
    return done_testing();
}
