/* What ml-load makes of records: sorting, the bytes of rows, conversions, what it refuses. */
#include "common/array.h"
#include "tests/unit/tap.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "formats/schema/schema.h"
#include "formats/load/load.h"
#include "formats/load/row_bytes.h"

/* -- what is printed on stderr */

static int stderr_fd = -1;

static void listen_to_stderr(void)
{
    char name[] = "/tmp/load_test.XXXXXX";
    stderr_fd = mkstemp(name);
    unlink(name);
    dup2(stderr_fd, STDERR_FILENO);
}

/* True when the text was printed since the last call of forget(). */
static bool printed(const char *text)
{
    static char all[1 << 16];
    ssize_t n = pread(stderr_fd, all, sizeof all - 1, 0);
    all[n > 0 ? n : 0] = '\0';
    if (strstr(all, text))
        return true;
    printf("# no <%s> in: %s\n", text, all);
    return false;
}

static void forget(void)
{
    if (ftruncate(stderr_fd, 0) == 0)
        lseek(stderr_fd, 0, SEEK_SET);
}

/* -- keys */

static void test_keys(void)
{
    static const char zero[] = {'a', 0, 'b'};
    struct value ascending[] = {
        value_null(),          value_int(INT64_MIN), value_int(-1),        value_int(0),
        value_int(255),        value_int(256),       value_int(INT64_MAX), value_float(-INFINITY),
        value_float(-DBL_MAX), value_float(-1),      value_float(-5e-324), value_float(0),
        value_float(5e-324),   value_float(1),       value_float(DBL_MAX), value_str(""),
        value_str("a"),        value_strn(zero, 3),  value_str("a\x01"),   value_str("aa"),
        value_str("\xc3\xa9"),
    };
    size_t n = ARRAY_LENGTH(ascending);
    struct arena scratch = {0};
    struct buf a = {0}, b = {0};
    for (size_t i = 0; i + 1 < n; i++) {
        buf_reset(&a);
        buf_reset(&b);
        load_put_key(&a, &ascending[i]);
        load_put_key(&a, &ascending[n - 1]); /* what follows must not matter */
        load_put_key(&b, &ascending[i + 1]);
        load_put_key(&b, &ascending[0]);
        ok(memcmp(a.data, b.data, a.len < b.len ? a.len : b.len) < 0, "key %zu sorts before the next", i);
    }
    bool same = true;
    for (size_t i = 0; i < n; i++) {
        struct value v;
        buf_reset(&a);
        load_put_key(&a, &ascending[i]);
        load_put_key(&a, &ascending[17]);
        size_t used = load_get_key(a.data, a.len, &v, &scratch);
        same = same && value_same(&v, &ascending[i]);
        same = same && load_get_key(a.data + used, a.len - used, &v, &scratch) == a.len - used &&
               value_same(&v, &ascending[17]);
        buf_reset(&b);
        load_put_value(&b, &ascending[i]);
        same = same && load_get_value(b.data, &v) == b.len && value_same(&v, &ascending[i]);
    }
    ok(same, "values come back from keys and rows");
    buf_reset(&a);
    buf_reset(&b);
    load_put_key(&a, &(struct value){.type = VALUE_FLOAT, .f = -0.0});
    load_put_key(&b, &(struct value){.type = VALUE_FLOAT, .f = 0.0});
    ok(a.len == b.len && memcmp(a.data, b.data, a.len) == 0, "-0.0 and 0.0 are one key");
    buf_free(&a);
    buf_free(&b);
    arena_free(&scratch);
}

/* -- records into a database */

static struct db *db;
static struct load *store;

static void start(int order, bool drop)
{
    struct err e;
    struct db_url url = {
        .dialect = DIALECT_SQLITE, .path = (char[]){":memory:"}, .display = (char[]){"memory"}};
    struct load_options options = {.drop_unsupported = drop, .tmpdir = "/tmp"};
    struct wire_header header = {.producer = "mlruns-dump 1", .source = "0123456789abcdef0123456789abcdef"};
    forget();
    db = db_open(&url, DB_CREATE, &e);
    if (!db || !db_begin_write(db, &e) || !schema_create(db, order, &e) ||
        !(store = load_new(db, order, &options, &e))) {
        printf("Bail out! %s: %s\n", e.where, e.what);
        exit(1);
    }
    load_segment(store, &header);
}

/* put(KIND_run, F_run_run_id, value_str("r"), ..., -1) */
static void put(enum kind kind, ...)
{
    struct record r;
    struct err e;
    va_list ap;
    record_init(&r, kind);
    va_start(ap, kind);
    for (int field; (field = va_arg(ap, int)) >= 0;)
        r.v[field] = va_arg(ap, struct value);
    va_end(ap);
    if (!load_add(store, &r, &e))
        printf("# load_add: %s: %s\n", e.where, e.what);
}

static bool finish(void)
{
    struct err e;
    return load_check(store, &e) && load_write(store, db, &e);
}

static void stop(void)
{
    load_free(store);
    db_close(db);
    store = NULL;
    db = NULL;
}

/* The first column of all rows of a query, with blanks between. */
static const char *all(const char *sql)
{
    static struct buf out;
    static struct err e;
    buf_reset(&out);
    struct db_stmt *q = db_prepare(db, sql, &e);
    if (!q)
        return e.what;
    while (db_step(q, &e) == 1) {
        struct value v;
        db_column(q, 0, &v);
        if (out.len)
            buf_addc(&out, ' ');
        value_describe(&v, &out);
    }
    db_finalize(q);
    return buf_str(&out);
}

static struct value s(const char *text)
{
    return value_str(text);
}

static void put_experiment(const char *id, const char *name)
{
    put(KIND_experiment, F_experiment_experiment_id, s(id), F_experiment_name, s(name),
        F_experiment_lifecycle_stage, s("active"), -1);
}

static void put_run(const char *id, const char *experiment)
{
    put(KIND_run, F_run_run_id, s(id), F_run_experiment_id, s(experiment), F_run_lifecycle_stage, s("active"),
        F_run_status, s("FINISHED"), -1);
}

static void put_metric(const char *run, const char *key, int64_t step, double value)
{
    put(KIND_metric, F_metric_run_id, s(run), F_metric_key, s(key), F_metric_step, value_int(step),
        F_metric_timestamp, value_int(1), F_metric_value, value_float(value), -1);
}

enum { HEAD = 67 };

static void start_with_run(int order, bool drop)
{
    start(order, drop);
    put_experiment("0", "Default");
    put_run("r1", "0");
}

static void test_metrics(void)
{
    start_with_run(HEAD, false);
    put_metric("r1", "m", 0, NAN);
    put_metric("r1", "m", 0, 0.0);
    put_metric("r1", "m", 0, -0.0);
    put_metric("r1", "m", 1, INFINITY);
    put_metric("r1", "m", 1, DBL_MAX);
    put_metric("r1", "m", 1, -INFINITY);
    put_metric("r1", "n", 1, INFINITY);
    put_metric("r1", "m", 2, NAN);
    put_metric("r1", "m", 2, NAN);
    put_metric("r1", "m", 2, 0.5);
    put_metric("r1", "m", 2, 0.5);
    ok(finish(), "metrics are loaded");
    is_int((int64_t)load_report(store)->collapsed[KIND_metric], 4,
           "duplicates by the key's own equality are counted");
    is_int((int64_t)load_report(store)->rows[KIND_metric], 7, "and the others too");
    is_str(all("SELECT step || ':' || value || ':' || is_nan FROM metrics"),
           "0:0.0:0 0:0.0:1 1:-1.79769313486232e+308:0 1:1.79769313486232e+308:0 2:0.0:1 2:0.5:0 "
           "1:1.79769313486232e+308:0",
           "NaN is 0 with is_nan, infinities are the largest doubles, rows lie in the order of the key");
    is_str(all("SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'metrics'"), "3",
           "all indexes are there again");
    stop();
}

static void put_model_metric(double value, const char *dataset)
{
    put(KIND_logged_model_metric, F_logged_model_metric_model_id, s("m1"),
        F_logged_model_metric_experiment_id, s("0"), F_logged_model_metric_key, s("k"),
        F_logged_model_metric_timestamp, value_int(1), F_logged_model_metric_step, value_int(2),
        F_logged_model_metric_run_id, s("r1"), F_logged_model_metric_value, value_float(value),
        F_logged_model_metric_dataset_name, dataset ? s(dataset) : value_null(),
        F_logged_model_metric_dataset_digest, dataset ? s("d") : value_null(), -1);
}

static void start_with_model(bool drop)
{
    start_with_run(HEAD, drop);
    put(KIND_dataset, F_dataset_experiment_id, s("0"), F_dataset_name, s("a"), F_dataset_digest, s("d"),
        F_dataset_source_type, s("x"), F_dataset_source, s("y"), -1);
    put(KIND_logged_model, F_logged_model_model_id, s("m1"), F_logged_model_experiment_id, s("0"),
        F_logged_model_name, s("n"), F_logged_model_artifact_location, s("x"),
        F_logged_model_creation_timestamp, value_int(1), F_logged_model_last_updated_timestamp, value_int(1),
        F_logged_model_status, s("READY"), F_logged_model_lifecycle_stage, s("active"), -1);
}

static void test_model_metrics(void)
{
    start_with_model(false);
    put_model_metric(NAN, "a");
    put_model_metric(0.0, "a");
    ok(finish(), "metrics of a logged model are loaded");
    is_str(all("SELECT metric_value FROM logged_model_metrics"), "0.0", "NaN is 0.0, and there once");
    is_str(all("SELECT m.dataset_uuid = d.dataset_uuid AND length(d.dataset_uuid) = 32 FROM "
               "logged_model_metrics m, datasets d"),
           "1", "the dataset is looked up");
    is_str(all("SELECT status FROM logged_models"), "2", "READY is 2");
    stop();

    start_with_model(false);
    put_model_metric(1, "unknown");
    ok(finish() && strcmp(all("SELECT dataset_uuid IS NULL FROM logged_model_metrics"), "1") == 0,
       "a dataset that is nowhere else has no uuid");
    stop();

    start_with_model(false);
    put_model_metric(1, "a");
    put_model_metric(1, "b");
    ok(!finish() && printed("dataset_name a and b"), "a point on two datasets is refused, both are named");
    stop();

    start_with_model(true);
    put_model_metric(1, "a");
    put_model_metric(1, "b");
    ok(finish() && load_report(store)->dropped[KIND_logged_model_metric] == 1 &&
           strcmp(all("SELECT dataset_name FROM logged_model_metrics"), "a") == 0,
       "on request the first is kept, the other counted");
    stop();
}

static void test_duplicates(void)
{
    start_with_run(HEAD, false);
    put_run("r1", "0");
    ok(!finish() && printed("Run r1: duplicate record"), "a run given twice is refused");
    stop();

    start_with_run(HEAD, false);
    put_experiment("1", "a");
    put_run("r1", "1");
    ok(!finish() && printed("Run r1: duplicate record, with differences: experiment_id 0 and 1"),
       "the differences are printed");
    is_str(all("SELECT count(*) FROM runs"), "0", "nothing is written");
    stop();

    start_with_run(HEAD, false);
    put_experiment("0", "Default");
    ok(!finish() && printed("Experiment 0: duplicate record"),
       "an experiment given twice in a segment is refused");
    stop();

    struct wire_header shard = {
        .producer = "mlruns-dump 1", .source = "0123456789abcdef0123456789abcdef", .shard = 1};
    start_with_run(HEAD, false);
    load_segment(store, &shard);
    put_experiment("0", "Default");
    put_run("r2", "0");
    ok(finish() && load_report(store)->rows[KIND_experiment] == 1 && load_report(store)->rows[KIND_run] == 2,
       "another shard of the source may repeat the experiment");
    stop();

    shard.source[0] = 'f';
    shard.source_number = 1;
    start_with_run(HEAD, false);
    load_segment(store, &shard);
    put_experiment("0", "Default");
    ok(!finish() && printed("Experiment 0: duplicate record"), "another source may not");
    stop();

    start_with_run(HEAD, false);
    put_experiment("7", "same");
    put_experiment("8", "same");
    ok(!finish() && printed("Experiment 8: duplicate name 'same', also of experiment 7") &&
           printed("ml-transform --merge --on-conflict rename"),
       "two experiments of one name are both named");
    stop();

    start_with_run(HEAD, false);
    put(KIND_registered_model, F_registered_model_name, s("m"), -1);
    put(KIND_prompt, F_prompt_name, s("m"), -1);
    ok(!finish() && printed("duplicate record"), "a model and a prompt of one name are refused");
    stop();
}

static void test_references(void)
{
    start_with_run(HEAD, false);
    put_metric("r9", "loss", 1, 1);
    put_metric("r9", "loss", 2, 1);
    put_run("r2", "77");
    ok(!finish() &&
           printed("Metric 'loss' in run r9: it belongs to the run r9, which is not in the stream") &&
           printed("Run r2: it belongs to the experiment 77"),
       "missing parents are named, each once");
    is_int((int64_t)load_report(store)->problems, 2, "and counted");
    stop();

    start_with_run(HEAD, false);
    put(KIND_input, F_input_run_id, s("r1"), F_input_experiment_id, s("0"), F_input_dataset_name, s("d"),
        F_input_dataset_digest, s("x"), -1);
    ok(!finish() && printed("it belongs to the dataset 0, d, x, which is not"),
       "an input without its dataset");
    stop();

    start_with_run(HEAD, false);
    put_metric("r1", "a", 1, 1);
    put_run("r2", "0");
    put_metric("r1", "b", 1, 1);
    ok(finish(), "a parent need not be the last one");
    stop();
}

static void test_text(void)
{
    struct value latin1 = value_text("caf\xe9", 4);
    start_with_run(HEAD, false);
    put(KIND_param, F_param_run_id, s("r1"), F_param_key, s("p"), F_param_value, latin1, -1);
    ok(!finish() && printed("Param 'p' in run r1: value: the text is not UTF-8"),
       "text that is not UTF-8 is refused");
    stop();

    start(HEAD, true);
    put_experiment("0", "Default");
    put(KIND_run, F_run_run_id, s("r1"), F_run_experiment_id, s("0"), F_run_lifecycle_stage, s("active"),
        F_run_run_name, latin1, -1);
    put(KIND_param, F_param_run_id, s("r1"), F_param_key, s("p"), F_param_value, latin1, -1);
    put(KIND_param, F_param_run_id, s("r1"), F_param_key, latin1, F_param_value, s("x"), -1);
    put(KIND_param, F_param_run_id, s("r1"), F_param_key, s("q"), F_param_value, value_strn("a\0b", 3), -1);
    ok(finish(), "on request it is left out");
    is_int((int64_t)load_report(store)->dropped[KIND_param], 2, "a param with its record");
    is_int((int64_t)load_report(store)->dropped_values[KIND_run][F_run_run_name], 1, "a run's name alone");
    is_str(all("SELECT (SELECT count(*) FROM runs WHERE name IS NULL) || hex(value) FROM params"), "1610062",
           "NUL characters are kept");
    stop();

    start(HEAD, true);
    put(KIND_experiment, F_experiment_experiment_id, s("5"), F_experiment_name, latin1,
        F_experiment_lifecycle_stage, s("active"), -1);
    ok(!finish() && printed("other records belong to it"), "an experiment cannot be left out by itself");
    stop();
}

static void test_ids(void)
{
    static const char *const bad[] = {"abc", "007", "-1", "+1", "", "99999999999999999999", NULL};
    for (int i = 0; bad[i]; i++) {
        start(HEAD, false);
        put_experiment(bad[i], "n");
        ok(!finish() && printed("is not a decimal experiment id"), "experiment id '%s' is refused", bad[i]);
        stop();
    }
    start(HEAD, false);
    put_experiment("123456789012345678", "n");
    ok(finish() && strcmp(all("SELECT experiment_id FROM experiments"), "123456789012345678") == 0,
       "18 digits are kept");
    stop();
}

static void test_default_experiment(void)
{
    start(HEAD, false);
    put_experiment("5", "Default");
    ok(!finish() && printed("Experiment 5: it is named Default") &&
           printed("ml-transform --rename-experiment 5=NEW"),
       "Default without experiment 0 is refused");
    stop();
    start(38, false);
    put_experiment("5", "Default");
    ok(!finish(), "from MLflow 3.4 on");
    stop();
    start(36, false);
    put_experiment("5", "Default");
    ok(finish(), "but not where MLflow would start");
    stop();
}

/* Orders: 28 is MLflow 2.22, which has no logged models; 19 is 2.0, which has no aliases and no datasets. */
static void test_old_schemas(void)
{
    start_with_run(28, false);
    put(KIND_model_input, F_model_input_run_id, s("r1"), F_model_input_model_id, s("m"), -1);
    put(KIND_model_input, F_model_input_run_id, s("r1"), F_model_input_model_id, s("n"), -1);
    ok(!finish() && printed("no table for Model Inputs; the first release with it is MLflow 3.0.0"),
       "a kind that the schema does not have");
    is_int((int64_t)load_report(store)->problems, 2, "counted, printed once");
    stop();

    start_with_run(28, true);
    put(KIND_model_input, F_model_input_run_id, s("r1"), F_model_input_model_id, s("m"), -1);
    ok(finish() && load_report(store)->dropped[KIND_model_input] == 1, "left out on request");
    stop();

    start(7, false);
    put_experiment("0", "Default");
    put(KIND_run, F_run_run_id, s("r1"), F_run_experiment_id, s("0"), F_run_lifecycle_stage, s("active"),
        F_run_status, s("KILLED"), -1);
    ok(!finish() && printed("Run r1: status: 'KILLED' is unknown to this release; the first that knows it is "
                            "MLflow 1.5.0"),
       "a word that the schema's release does not know");
    stop();

    start(16, false);
    put_experiment("0", "Default");
    put(KIND_run, F_run_run_id, s("r1"), F_run_experiment_id, s("0"), F_run_lifecycle_stage, s("deleted"),
        F_run_deleted_time, value_int(7), -1);
    ok(!finish() && printed("Run r1: deleted_time has no column in this schema; the first release with it is "
                            "MLflow 1.28.0"),
       "a value that the schema has no column for");
    stop();

    start(16, true);
    put(KIND_experiment, F_experiment_experiment_id, s("0"), F_experiment_name, s("Default"),
        F_experiment_lifecycle_stage, s("active"), F_experiment_workspace, s("default"), -1);
    put(KIND_run, F_run_run_id, s("r1"), F_run_experiment_id, s("0"), F_run_lifecycle_stage, s("deleted"),
        F_run_deleted_time, value_int(7), -1);
    ok(finish() && load_report(store)->dropped_values[KIND_run][F_run_deleted_time] == 1 &&
           load_report(store)->dropped_values[KIND_experiment][F_experiment_workspace] == 0,
       "left out on request; the default workspace is not a loss");
    stop();

    start_with_run(5, false);
    put(KIND_latest_metric, F_latest_metric_run_id, s("r1"), F_latest_metric_key, s("k"),
        F_latest_metric_step, value_int(0), F_latest_metric_value, value_float(1), -1);
    ok(finish(), "what is derived is not a loss");
    stop();

    start_with_run(2, false);
    put_metric("r1", "m", 0, NAN);
    ok(!finish() && printed("a NaN cannot be stored in this schema"), "a NaN before is_nan");
    stop();
}

static void put_trace(const char *state)
{
    put(KIND_trace, F_trace_trace_id, s("t1"), F_trace_experiment_id, s("0"), F_trace_request_time,
        value_int(1000), F_trace_execution_duration, value_int(0), F_trace_state, s(state), -1);
}

static void put_metadata(const char *key, const char *value)
{
    put(KIND_trace_request_metadata, F_trace_request_metadata_trace_id, s("t1"), F_trace_request_metadata_key,
        s(key), F_trace_request_metadata_value, s(value), -1);
}

static void put_trace_tag(const char *key, const char *value)
{
    put(KIND_trace_tag, F_trace_tag_trace_id, s("t1"), F_trace_tag_key, s(key), F_trace_tag_value, s(value),
        -1);
}

static void test_traces(void)
{
    char long_text[5001];
    memset(long_text, 'x', 5000);
    memcpy(long_text, "\xc3\xa9", 2);
    long_text[5000] = '\0';
    start_with_run(HEAD, false);
    put_trace("TRACE_STATUS_UNSPECIFIED");
    put_metadata(
        "mlflow.trace.tokenUsage",
        "{\"input_tokens\": 1, \"output_tokens\": \" 2 \", \"total_tokens\": 3.0, \"total_tokens\": 4, "
        "\"cache_read_input_tokens\": true, \"cache_creation_input_tokens\": 1.5, \"other\": {\"a\": [1, "
        "2]}}");
    put_metadata("mlflow.trace.cost", "{\"input_cost\": 0.5, \"output_cost\": NaN, \"total_cost\": 1}");
    put_metadata("mlflow.trace.session", long_text);
    put_metadata("other", "kept");
    put_trace_tag("mlflow.traceName", long_text);
    put_trace_tag("tag", "kept");
    ok(finish(), "a trace is loaded");
    is_str(all("SELECT status || execution_time_ms || db_payload_generation FROM trace_info"),
           "STATE_UNSPECIFIED00", "the state is V3's, a duration of 0 and defaults are there");
    is_str(all("SELECT length(trace_name) || ' ' || length(session_id) FROM trace_info"), "4096 250",
           "name and session are cut, by characters");
    is_str(all("SELECT input_tokens || ' ' || output_tokens || ' ' || total_tokens || ' ' || "
               "coalesce(cache_read_input_tokens, 'null') || ' ' || coalesce(cache_creation_input_tokens, "
               "'null') "
               "FROM trace_info"),
           "1 2 4 null null", "token counts");
    is_str(
        all("SELECT input_cost || ' ' || coalesce(output_cost, 'null') || ' ' || total_cost FROM trace_info"),
        "0.5 null 1.0", "costs");
    is_str(all("SELECT key FROM trace_tags UNION ALL SELECT key FROM trace_request_metadata"), "tag other",
           "what was promoted has no row");
    const struct load_report *r = load_report(store);
    ok(r->cut_names == 1 && r->cut_sessions == 1 && r->usage_losses == 2, "what was cut or lost is counted");
    ok(r->rows[KIND_trace_tag] == 2 && r->rows[KIND_trace_request_metadata] == 4,
       "all tags and metadata are counted");
    stop();

    start_with_run(28, false);
    put_trace("STATE_UNSPECIFIED");
    put_trace_tag("mlflow.traceName", "n");
    ok(finish() && strcmp(all("SELECT status FROM trace_info"), "TRACE_STATUS_UNSPECIFIED") == 0 &&
           strcmp(all("SELECT value FROM trace_tags"), "n") == 0,
       "an older schema has V2's word, and the name as a tag");
    stop();

    start_with_run(HEAD, false);
    put_trace("OK");
    put_trace_tag("mlflow.traceName", "a");
    put_trace_tag("mlflow.traceName", "b");
    ok(!finish() && printed("Trace t1: duplicate among its Trace Tags"),
       "a promoted tag given twice is refused");
    stop();
}

static void put_assessment(const char *id, const char *value)
{
    put(KIND_assessment, F_assessment_assessment_id, s(id), F_assessment_trace_id, s("t1"), F_assessment_name,
        s("n"), F_assessment_assessment_type, s("feedback"), F_assessment_value, s(value),
        F_assessment_create_time, value_int(1), F_assessment_last_update_time, value_int(1),
        F_assessment_source_type, s("HUMAN"), F_assessment_valid, value_bool(true), -1);
}

static void test_assessments(void)
{
    start_with_run(HEAD, false);
    put_trace("OK");
    put_assessment("a1", "\"yes\"");
    put(KIND_trace, F_trace_trace_id, s("t2"), F_trace_experiment_id, s("0"), F_trace_request_time,
        value_int(5), F_trace_state, s("OK"), -1);
    put_assessment("a2", "2.5"); /* of t1, which is not the last trace any more */
    ok(finish(), "assessments are loaded");
    is_str(all("SELECT experiment_id || ' ' || trace_timestamp_ms || ' ' || aggregate_value || ' ' || "
               "is_numeric_value "
               "FROM assessments ORDER BY assessment_id"),
           "0 1000 1.0 0 0 1000 2.5 1", "with what follows from the trace and the value");
    stop();
}

static void test_constraints(void)
{
    struct err e;
    start_with_run(HEAD, false);
    bool made =
        db_exec(db,
                "DROP TABLE tags;\n"
                "CREATE TABLE tags (key VARCHAR(250) NOT NULL, value VARCHAR(8000) CHECK (value <> 'bad'), "
                "run_uuid VARCHAR(32) NOT NULL, PRIMARY KEY (key, run_uuid))",
                &e);
    put(KIND_tag, F_tag_run_id, s("r1"), F_tag_key, s("k"), F_tag_value, s("bad"), -1);
    put(KIND_tag, F_tag_run_id, s("r1"), F_tag_key, s("l"), F_tag_value, s("good"), -1);
    ok(made && !finish() && printed("Tag 'k' in run r1: CHECK constraint failed"),
       "a row that breaks a constraint is named");
    stop();
}

static void test_uuids(void)
{
    char first[200] = "";
    for (int i = 0; i < 2; i++) {
        start_with_model(false);
        put(KIND_input, F_input_run_id, s("r1"), F_input_experiment_id, s("0"), F_input_dataset_name, s("a"),
            F_input_dataset_digest, s("d"), -1);
        put(KIND_input_tag, F_input_tag_run_id, s("r1"), F_input_tag_experiment_id, s("0"),
            F_input_tag_dataset_name, s("a"), F_input_tag_dataset_digest, s("d"), F_input_tag_key, s("k"),
            F_input_tag_value, s("v"), -1);
        put(KIND_model_output, F_model_output_run_id, s("r1"), F_model_output_model_id, s("m1"), -1);
        ok(finish(), "inputs are loaded");
        is_str(all("SELECT count(*) FROM inputs i JOIN datasets d ON i.source_id = d.dataset_uuid JOIN "
                   "input_tags t ON "
                   "t.input_uuid = i.input_uuid WHERE i.source_type = 'DATASET' AND i.destination_id = 'r1' "
                   "AND i.step = 0"),
               "1", "input, dataset and tag belong together");
        const char *ids = all("SELECT input_uuid FROM inputs UNION SELECT dataset_uuid FROM datasets");
        if (i == 0)
            snprintf(first, sizeof first, "%s", ids);
        else
            is_str(ids, first, "and have the same uuids each time");
        stop();
    }
}

int main(void)
{
    err_program_set("load_test");
    listen_to_stderr();
    test_keys();
    test_metrics();
    test_model_metrics();
    test_duplicates();
    test_references();
    test_text();
    test_ids();
    test_default_experiment();
    test_old_schemas();
    test_traces();
    test_assessments();
    test_constraints();
    test_uuids();
    return done_testing();
}
