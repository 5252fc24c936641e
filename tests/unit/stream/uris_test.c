/* The forms of URIs, and those that a record holds. */
#include "common/array.h"
#include "tests/unit/tap.h"

#include "formats/record/uri.h"
#include "formats/stream/uris.h"

static void test_scheme(void)
{
    static const struct {
        const char *text;
        size_t length;
    } cases[] = {
        {"s3://b/k", 3},    {"file:c:/x", 5}, {"mlflow-artifacts:/", 17},
        {"C:/x", 0},        {"c:\\x", 0},     {"/a:b", 0},
        {"./mlruns/1", 0},  {"", 0},          {":", 0},
        {"a b:/c", 0},      {"9p:/x", 0},     {"wasbs+x.1:", 10},
        {"models:/m/1", 7},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        is_int((int64_t)uri_scheme(cases[i].text, strlen(cases[i].text)), (int64_t)cases[i].length,
               "the scheme of '%s'", cases[i].text);
}

static void test_bytes(void)
{
    const char *text = "%20%zz%4";
    const char *end = text + strlen(text);
    size_t used;
    ok(uri_byte(text, end, &used) == ' ' && used == 3, "%%20 is a blank");
    ok(uri_byte(text + 3, end, &used) == '%' && used == 1, "%%zz is three bytes");
    ok(uri_byte(text + 6, end, &used) == '%' && used == 1, "%%4 at the end is two");
}

static void test_stays(void)
{
    static const char *const stay[] = {"", "runs:/a/b", "models:/m-1", "dummy-source"};
    for (size_t i = 0; i < ARRAY_LENGTH(stay); i++) {
        struct uri u = uri_of(stay[i], strlen(stay[i]));
        ok(uri_stays(&u), "'%s' is not a place of artifacts", stay[i]);
    }
    struct uri u = uri_of("s3://models:/", 13);
    ok(!uri_stays(&u), "a bucket is one");
}

/* Puts brackets round what it sees, if it has a slash in it. */
static bool bracket(void *arg, const struct uri_place *at, const char *s, size_t len, struct buf *out)
{
    struct buf *seen = arg;
    buf_addf(seen, "%s%s.%s%s=%.*s", seen->len ? " " : "", at->kind->name, at->kind->fields[at->field].name,
             at->any_text ? "?" : "", (int)len, s);
    if (!memchr(s, '/', len))
        return false;
    buf_addc(out, '[');
    buf_add(out, s, len);
    buf_addc(out, ']');
    return true;
}

static void edit(struct record *r, const char *seen, const char *name)
{
    static struct arena a;
    struct buf text = {0};
    arena_reset(&a);
    uris_edit(r, bracket, &text, &a);
    is_str(buf_str(&text), seen, "%s", name);
    buf_free(&text);
}

static void test_records(void)
{
    struct record r;
    record_init(&r, KIND_model_version);
    r.v[F_model_version_source] = value_str("/a");
    r.v[F_model_version_description] = value_str("/d");
    r.v[F_model_version_storage_location] = value_str("b");
    edit(&r, "model_version.source=/a model_version.storage_location=b", "the fields that hold URIs");
    ok(value_eqs(&r.v[F_model_version_source], "[/a]") &&
           value_eqs(&r.v[F_model_version_storage_location], "b"),
       "one is changed, the other stays");

    record_init(&r, KIND_trace_tag);
    r.v[F_trace_tag_value] = value_str("/x");
    r.v[F_trace_tag_key] = value_str("mlflow.traceName");
    edit(&r, "", "a trace's tags are no URIs");
    r.v[F_trace_tag_key] = value_str("mlflow.artifactLocation");
    edit(&r, "trace_tag.value=/x", "but one of them is");
    ok(value_eqs(&r.v[F_trace_tag_value], "[/x]"), "and is changed");

    record_init(&r, KIND_dataset);
    r.v[F_dataset_source] = value_str("{\"u/i\": \"/\\u00e9\", \"n\": [1.0, \"x\"]}");
    edit(&r, "dataset.source?=/é dataset.source?=x", "the strings of a dataset that are no keys");
    ok(value_eqs(&r.v[F_dataset_source], "{\"u/i\": \"[/\\u00e9]\", \"n\": [1.0, \"x\"]}"),
       "the rest of the text is as it was");
    r.v[F_dataset_source] = value_str("{/not json");
    edit(&r, "dataset.source?={/not json", "a text that is not JSON is one");

    ok(uris_in(&kinds[KIND_run]) && uris_in(&kinds[KIND_trace_tag]) && !uris_in(&kinds[KIND_metric]) &&
           !uris_in(&kinds[KIND_tag]),
       "kinds that may hold one");
}

int main(void)
{
    test_scheme();
    test_bytes();
    test_stays();
    test_records();
    return done_testing();
}
