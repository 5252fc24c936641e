/* The documented equalities, and that nothing else is equal. */
#include "common/array.h"
#include "formats/record/sort_key.h"
#include "formats/verify/equality.h"

#include <float.h>
#include <math.h>

#include "tests/unit/tap.h"

static struct equality sqlite = {.dialect = DIALECT_SQLITE};
static struct equality postgres = {.dialect = DIALECT_POSTGRESQL};
static struct equality exact = {.dialect = DIALECT_SQLITE, .exact = true};
static struct equality exact_postgres = {.dialect = DIALECT_POSTGRESQL, .exact = true};
static struct equality promoting = {
    .dialect = DIALECT_SQLITE,
    .promoted = {
        [PROMOTED_NAME] = true, [PROMOTED_SESSION] = true, [PROMOTED_USAGE] = true, [PROMOTED_COST] = true}};

static void test_floats(void)
{
    ok(equality_float_same(&sqlite, 0.1, 0.1 * (1 + 9e-10)), "within 1e-9");
    ok(!equality_float_same(&sqlite, 0.1, 0.1 * (1 + 2e-9)), "beyond 1e-9");
    ok(!equality_float_same(&sqlite, 0.05, 0.050000001), "the example of the manual");
    ok(!equality_float_same(&sqlite, 0.0, 1e-300), "nothing is close to zero");
    ok(!equality_float_same(&exact, 0.1, nextafter(0.1, 1)), "exact: the next double differs");
    ok(equality_float_same(&exact, 0.1, 0.1), "exact: the same double");
    ok(equality_float_same(&sqlite, NAN, NAN) && equality_float_same(&exact, NAN, NAN), "NaN equals NaN");
    ok(!equality_float_same(&sqlite, NAN, 0.0) && !equality_float_same(&sqlite, 0.0, NAN),
       "NaN is not a number");
    ok(equality_float_same(&exact, INFINITY, DBL_MAX) && equality_float_same(&exact, -DBL_MAX, -INFINITY),
       "an infinity is the greatest double");
    ok(!equality_float_same(&sqlite, INFINITY, -INFINITY), "infinities differ by sign");
    ok(!equality_float_same(&sqlite, INFINITY, 1e308), "1e308 is not infinity");
    ok(equality_float_same(&exact, -0.0, 0.0), "exact: SQLite has no -0.0");
    ok(equality_float_same(&postgres, -0.0, 0.0), "-0.0 is close to 0.0");
    ok(!equality_float_same(&exact_postgres, -0.0, 0.0), "exact: PostgreSQL has -0.0");
}

/* Normalises metadata or a tag; NULL when it vanishes. */
static const char *normal(struct equality *q, enum kind kind, const char *key, const char *value)
{
    static char text[16384];
    struct record r;
    record_init(&r, kind);
    r.v[0] = value_str("tr-1");
    r.v[1] = value_str(key);
    r.v[2] = value_str(value);
    if (!equality_normalise(q, &r))
        return NULL;
    snprintf(text, sizeof text, "%.*s", (int)r.v[2].len, r.v[2].s);
    return text;
}

static const char *usage(const char *value)
{
    return normal(&promoting, KIND_trace_request_metadata, "mlflow.trace.tokenUsage", value);
}

static const char *cost(const char *value)
{
    return normal(&promoting, KIND_trace_request_metadata, "mlflow.trace.cost", value);
}

static void test_promoted(void)
{
    is_str(usage("{\"total_tokens\": 3, \"input_tokens\":1}"), "{\"input_tokens\": 1, \"total_tokens\": 3}",
           "usage in the order of the columns");
    is_str(usage("{\"input_tokens\": \" 1_0 \", \"output_tokens\": 2.0, \"other\": 1}"),
           "{\"input_tokens\": 10, \"output_tokens\": 2}",
           "integral floats and texts count, other members do not");
    is_str(usage("{\"input_tokens\": 1, \"input_tokens\": 2}"), "{\"input_tokens\": 2}",
           "the last of equal keys");
    is_str(usage("{\"input_tokens\": 1.5, \"output_tokens\": true, \"total_tokens\": null}"), NULL,
           "no usable number: no place");
    is_str(usage("{\"input_tokens\": 9223372036854775808}"), NULL, "beyond 64 bits: no place");
    is_str(usage("{\"input_tokens\": 9223372036854775807, \"output_tokens\": -9223372036854775808}"),
           "{\"input_tokens\": 9223372036854775807, \"output_tokens\": -9223372036854775808}",
           "the limits of 64 bits");
    is_str(usage("{\"input_tokens\": \"\\uff11\\uff12\", \"output_tokens\": \"1e2\"}"),
           "{\"input_tokens\": 12, \"output_tokens\": 100}", "full-width digits, an exponent");
    is_str(usage("[1]"), NULL, "no object: no place");
    is_str(usage("junk"), NULL, "no JSON: no place");
    is_str(cost("{\"total_cost\": 1, \"input_cost\": \"0.25\", \"output_cost\": NaN}"),
           "{\"input_cost\": 0.25, \"total_cost\": 1.0}", "finite costs as floats");
    is_str(cost("{\"total_cost\": 1e999}"), NULL, "an infinite cost has no place");
    is_str(normal(&sqlite, KIND_trace_request_metadata, "mlflow.trace.cost", "junk"), "junk",
           "as it is where there are no columns");
    is_str(normal(&promoting, KIND_trace_request_metadata, "other", "junk"), "junk",
           "other metadata as it is");

    char name[4 * 5000 + 1] = "";
    for (int i = 0; i < 5000; i++)
        strcat(name + 2 * i, "\xc3\xa9");
    is_int((int64_t)strlen(normal(&promoting, KIND_trace_tag, "mlflow.traceName", name)), 2 * 4096,
           "a trace name is cut by characters");
    is_int((int64_t)strlen(normal(&promoting, KIND_trace_request_metadata, "mlflow.trace.session", name)),
           2 * 250, "a session is cut by characters");
}

static bool same(struct equality *q, enum kind kind, int field, struct value a, struct value b)
{
    struct record x, y;
    record_init(&x, kind);
    record_init(&y, kind);
    x.v[field] = a;
    y.v[field] = b;
    return equality_normalise(q, &x) && equality_normalise(q, &y) && equality_same(q, &x, &y, field);
}

static void test_fields(void)
{
    const struct value null = value_null();
    ok(same(&sqlite, KIND_assessment, F_assessment_value, value_str("{\"a\":1,\"b\":[2]}"),
            value_str("{\"b\": [2], \"a\": 1}")),
       "JSON values without order and white space");
    ok(!same(&sqlite, KIND_assessment, F_assessment_value, value_str("1"), value_str("1.0")), "1 is not 1.0");
    ok(same(&sqlite, KIND_assessment, F_assessment_error,
            value_str("{\"error_code\": \"X\", \"error_message\": null, \"stack_trace\": null}"),
            value_str("{\"error_code\":\"X\"}")),
       "null members of an error");
    ok(!same(&sqlite, KIND_assessment, F_assessment_error, value_str("{\"error_code\": \"X\"}"),
             value_str("{\"error_code\": \"Y\"}")),
       "errors differ");
    ok(!same(&sqlite, KIND_assessment, F_assessment_value, value_str("{\"a\": null}"), value_str("{}")),
       "null members of a value are members");
    ok(!same(&sqlite, KIND_assessment, F_assessment_error, null, value_str("{}")),
       "no error is not an empty one");
    ok(same(&sqlite, KIND_trace, F_trace_state, value_str("TRACE_STATUS_UNSPECIFIED"),
            value_str("STATE_UNSPECIFIED")),
       "V2's unspecified state");
    ok(same(&sqlite, KIND_experiment, F_experiment_workspace, null, value_str("default")),
       "no workspace is default");
    ok(!same(&sqlite, KIND_experiment, F_experiment_workspace, null, value_str("team")),
       "no workspace is not a team's");
    ok(same(&sqlite, KIND_input, F_input_input_id, null, value_str("x")),
       "an input's id where the source has none");
    ok(!same(&sqlite, KIND_input, F_input_input_id, value_str("y"), value_str("x")), "an input's id");
    ok(!same(&sqlite, KIND_input, F_input_input_id, value_str("y"), null), "a lost input's id");
    ok(same(&sqlite, KIND_input, F_input_step, null, value_int(0)), "no step is step 0");
    ok(!same(&sqlite, KIND_input, F_input_step, null, value_int(1)), "no step is not step 1");
    ok(same(&sqlite, KIND_trace, F_trace_db_payload_generation, null, value_int(0)),
       "no payload generation is 0");
    ok(!same(&sqlite, KIND_trace, F_trace_execution_duration, null, value_int(0)), "no duration is not 0");
    ok(!same(&sqlite, KIND_run, F_run_source_name, null, value_str("")), "null is not an empty text");
    ok(!same(&sqlite, KIND_run, F_run_start_time, value_int(1), value_float(1.0)),
       "an integer is not a float");
    ok(!same(&sqlite, KIND_param, F_param_value, value_str("a\r\n"), value_str("a\n")), "line ends differ");
    ok(same(&sqlite, KIND_param, F_param_value, value_text("\xff", 1), value_text("\xff", 1)), "bytes");
    ok(same(&sqlite, KIND_logged_model_metric, F_logged_model_metric_value, value_float(NAN),
            value_float(0.0)),
       "a model's NaN is 0.0");
    ok(!same(&sqlite, KIND_logged_model_metric, F_logged_model_metric_value, value_float(NAN), null),
       "a model's NaN is not null");
    ok(!same(&sqlite, KIND_logged_model_metric, F_logged_model_metric_value, value_float(0.0),
             value_float(NAN)),
       "a model's 0.0 is not NaN");
    ok(!same(&sqlite, KIND_metric, F_metric_value, value_float(NAN), value_float(0.0)),
       "a run's NaN is not 0.0");
}

static struct record point(double value)
{
    struct record r;
    record_init(&r, KIND_metric);
    r.v[F_metric_run_id] = value_str("r");
    r.v[F_metric_key] = value_str("k");
    r.v[F_metric_step] = r.v[F_metric_timestamp] = value_int(0);
    r.v[F_metric_value] = value_float(value);
    return r;
}

static int key_order(double a, double b)
{
    static const int fields[] = {F_metric_run_id, F_metric_key, F_metric_step, F_metric_timestamp,
                                 F_metric_value};
    struct buf x = {0}, y = {0};
    struct record r = point(a), s = point(b);
    record_sort_key(&r, fields, 5, &x);
    record_sort_key(&s, fields, 5, &y);
    int order = memcmp(x.data, y.data, x.len < y.len ? x.len : y.len);
    buf_free(&x);
    buf_free(&y);
    return order;
}

static void test_points(void)
{
    struct record a = point(-0.0), b = point(0.0), c = point(INFINITY), d = point(DBL_MAX), n = point(NAN),
                  n2 = point(NAN);
    ok(equality_duplicate(&a, &b) && equality_duplicate(&c, &d) && equality_duplicate(&n, &n2),
       "duplicates to a database");
    ok(!equality_duplicate(&b, &n) && !equality_duplicate(&b, &c), "no duplicates");
    ok(key_order(-0.0, 0.0) == 0 && key_order(INFINITY, DBL_MAX) == 0, "keys of duplicates are equal");
    ok(key_order(-1, 0) < 0 && key_order(0, NAN) < 0 && key_order(NAN, 1e-300) < 0 &&
           key_order(1, INFINITY) < 0,
       "keys are in the order of (value, is_nan)");
}

static void is_aggregate(const char *json, double value, bool numeric)
{
    struct value text = value_str(json), got, is_numeric;
    equality_aggregate(&sqlite, &text, &got, &is_numeric);
    bool right = isnan(value) ? value_is_null(&got) : got.type == VALUE_FLOAT && got.f == value;
    ok(right && is_numeric.type == VALUE_BOOL && is_numeric.b == numeric, "aggregate of %s", json);
}

int main(void)
{
    test_floats();
    test_promoted();
    test_fields();
    test_points();
    is_aggregate("3.5", 3.5, true);
    is_aggregate("3", 3, true);
    is_aggregate("true", 1, false);
    is_aggregate("false", 0, false);
    is_aggregate("\" Yes\\n\"", 1, false);
    is_aggregate("\"NO\"", 0, false);
    is_aggregate("\"maybe\"", NAN, false);
    is_aggregate("null", NAN, false);
    is_aggregate("NaN", NAN, false);
    is_aggregate("[1]", NAN, false);
    is_aggregate("{\"value\": 1}", NAN, false);
    is_aggregate("yes", 1, false);
    struct equality *all[] = {&sqlite, &postgres, &exact, &exact_postgres, &promoting};
    for (size_t i = 0; i < ARRAY_LENGTH(all); i++)
        equality_free(all[i]);
    return done_testing();
}
