/* The list of entities, expanded; records, their names in messages. */
#include <fcntl.h>
#include <stdlib.h>

#include "common/array.h"
#include "common/file.h"
#include "formats/record/record.h"
#include "tests/unit/tap.h"

static void test_list(void)
{
    int wrong = 0;
    for (int i = 0; i < KIND_COUNT; i++) {
        const struct kind_desc *k = &kinds[i];
        wrong += k->kind != (enum kind)i || kind_by_name(k->name, strlen(k->name)) != k;
        for (int f = 0; f < k->n_fields; f++) {
            wrong += field_by_name(k, k->fields[f].name, strlen(k->fields[f].name)) != f;
            wrong += (k->fields[f].column[0] == '\0') != (k->fields[f].codec == CODEC_NONE);
            wrong += k->fields[f].flags & FIELD_K && !(k->fields[f].flags & (FIELD_R | FIELD_WS));
        }
        for (int other = 0; other < i; other++)
            wrong += kinds[other].report_rank == k->report_rank;
        for (int f = 0; f < k->n_fields; f++) /* record_part looks at the last field alone */
            wrong += (k->fields[f].flags & FIELD_PART) &&
                     (f != k->n_fields - 1 ||
                      !(kind_has_trait(k->kind, TRAIT_PARENT) || k->kind == KIND_assessment));
    }
    is_int(wrong, 0,
           "kinds and fields are found by their names; keys are required; orders differ; marks are last");
    is_int(kinds[KIND_metric].n_fields, F_metric_COUNT, "number of fields");
    is_int(kinds[KIND_model_output].n_consts, 2, "number of constant columns");
    is_int(kinds[KIND_run].n_consts, 0, "none elsewhere");
    ok(kind_by_name("runs", 4) == NULL && kind_by_name("", 0) == NULL && kind_by_name("ru", 2) == NULL,
       "unknown kind");
    ok(field_by_name(&kinds[KIND_run], "run", 3) == -1, "no such field");
    ok(kind_is_entity(&kinds[KIND_prompt]) && !kind_is_entity(&kinds[KIND_trailer]), "entities and framing");
}

static void is_described(const struct record *r, const char *want)
{
    struct buf b = {0};
    record_describe(r, &b);
    is_str(buf_str(&b), want, "described: %s", want);
    buf_free(&b);
}

static void test_describe(void)
{
    struct record r;
    record_init(&r, KIND_run);
    r.v[F_run_run_id] = value_str("abc123");
    is_described(&r, "Run abc123");
    record_init(&r, KIND_metric);
    r.v[F_metric_run_id] = value_str("xyz789");
    r.v[F_metric_key] = value_str("loss");
    is_described(&r, "Metric 'loss' in run xyz789");
    record_init(&r, KIND_model_version);
    r.v[F_model_version_name] = value_str("m");
    r.v[F_model_version_version] = value_int(3);
    is_described(&r, "Model version '3' in registered model m");
    r.v[F_model_version_workspace] = value_str("default");
    is_described(&r, "Model version '3' in registered model m");
    r.v[F_model_version_workspace] = value_str("team");
    is_described(&r, "Model version '3' in registered model m of workspace team");
    record_init(&r, KIND_registered_model);
    r.v[F_registered_model_name] = value_text("\xff\n\xc3\xa9", 4);
    is_described(&r, "Registered model '\\xff\\x0a\xc3\xa9'");
    r.v[F_registered_model_name] = value_text("\xc3\xa9\x1b\xc2\x9b", 5);
    is_described(&r, "Registered model '\xc3\xa9\\x1b\\xc2\\x9b'");
    record_init(&r, KIND_assessment);
    is_described(&r, "Assessment None");
}

static void test_validate(void)
{
    struct record r;
    struct err e;
    record_init(&r, KIND_param);
    r.v[F_param_run_id] = value_str("r");
    r.v[F_param_key] = value_str("k");
    ok(!record_validate(&r, &e), "a required field is missing");
    is_str(e.where, "Param 'k' in run r", "where");
    is_str(e.what, "field 'value' is missing", "what");
    r.v[F_param_value] = value_int(1);
    ok(!record_validate(&r, &e), "an integer for a text");
    is_str(e.what, "field 'value' must be text, not an integer", "what");
    r.v[F_param_value] = (struct value){.type = VALUE_BIN, .len = 1, .s = "\xff"};
    ok(record_validate(&r, &e), "bytes for a text");
    record_init(&r, KIND_assessment);
    ok(!record_validate(&r, &e), "an empty record");
}

/* The manual page has the list too. The tests are run from the top of the sources. */
static void test_manual(void)
{
    static const char *const types[] = {"text", "integer", "float", "boolean", "map"};
    struct buf page = {0}, want = {0};
    is_int(file_read_whole(AT_FDCWD, "man/ml-record.5", 1 << 20, &page), 0, "the page is there");
    for (int i = 0; i < KIND_COUNT; i++) {
        const struct kind_desc *k = &kinds[i];
        if (!kind_is_entity(k))
            continue;
        buf_reset(&want);
        buf_addf(&want, ".TP\n.B %s\n", k->name);
        for (int f = 0; f < k->n_fields; f++)
            buf_addf(&want, "%s%s%s %s%c\n", k->fields[f].name, k->fields[f].flags & FIELD_K ? "*" : "",
                     k->fields[f].flags & FIELD_R ? "!" : "", types[k->fields[f].type],
                     f + 1 < k->n_fields ? ',' : '.');
        ok(strstr(buf_str(&page), buf_str(&want)) != NULL, "the page has the fields of %s", k->name);
    }
    buf_free(&page);
    buf_free(&want);
}

static void test_value_describe(void)
{
    struct value v[] = {value_null(), value_int(-5), value_float(0.05), value_bool(true), value_str("x y")};
    struct buf b = {0};
    for (size_t i = 0; i < ARRAY_LENGTH(v); i++) {
        value_describe(&v[i], &b);
        buf_addc(&b, ',');
    }
    is_str(buf_str(&b), "None,-5,0.05,True,x y,", "values as reports show them");
    buf_free(&b);
}

int main(void)
{
    test_list();
    test_describe();
    test_validate();
    test_value_describe();
    test_manual();
    return done_testing();
}
