/* Rows as records, from the schemas of several releases. */
#include "formats/database/fetch.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/buf.h"
#include "formats/schema/schema.h"
#include "tests/unit/tap.h"

static char path[128]; /* of the database of the moment */

static struct db *open_new(int rev)
{
    struct err e = {0};
    struct db_url u;
    const char *dir = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/fetch_test.%ld.db", dir && *dir ? dir : "/tmp", (long)getpid());
    char *url = xasprintf("sqlite:///%s", path);
    struct db *db = db_url_parse(url, &u, &e) ? db_open(&u, DB_CREATE, &e) : NULL;
    if (!db || (rev >= 0 && !schema_create(db, rev, &e)))
        err_die(&e);
    db_url_free(&u);
    free(url);
    return db;
}

static void close_new(struct db *db)
{
    db_close(db);
    unlink(path);
}

static void run_sql(struct db *db, const char *sql)
{
    struct err e;
    if (!db_exec(db, sql, &e))
        ok(false, "%s", e.what);
}

/* All rows of a kind: fields by '|', rows by newline. */
static const char *rows(struct db *db, enum kind kind, unsigned flags)
{
    static struct buf out;
    struct err e = {0};
    struct fetch *f = fetch_new(db, &e);
    struct fetch_cursor *c = f ? fetch_open(f, kind, flags | FETCH_ORDERED, NULL, &e) : NULL;
    struct record r;
    int more = -1;
    buf_reset(&out);
    while (c && (more = fetch_next(c, &r, &e)) > 0) {
        for (int i = 0; i < r.kind->n_fields && !(r.kind->fields[i].flags & FIELD_PART); i++) {
            buf_adds(&out, i ? "|" : "");
            value_describe(&r.v[i], &out);
        }
        int n;
        const struct fetch_derived *d = fetch_derived(c, &n);
        for (int i = 0; i < n; i++) {
            buf_addf(&out, "|%s=", d[i].column);
            value_describe(&d[i].actual, &out);
            buf_adds(&out, "/");
            value_describe(&d[i].expected, &out);
        }
        buf_addc(&out, '\n');
    }
    if (more < 0)
        buf_adds(&out, e.what);
    fetch_close(c);
    fetch_free(f);
    return buf_str(&out);
}

static void test_head(void)
{
    struct db *db = open_new(schema_head);
    run_sql(db, "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (10, 'b', 'active'),"
                "(9, 'a', 'deleted'), (987654321987654321, 'c', 'active')");
    is_str(rows(db, KIND_experiment, 0),
           "9|a|None|deleted|None|None|default\n10|b|None|active|None|None|default\n"
           "987654321987654321|c|None|active|None|None|default\n",
           "ids are text in the order of numbers");

    run_sql(
        db,
        "INSERT INTO metrics (run_uuid, key, value, timestamp, step, is_nan) VALUES ('r', 'k', 0, 5, 1, 1),"
        "('r', 'k', 1.7976931348623157e308, 5, 1, 0), ('r', 'k', -1.7976931348623157e308, 5, 1, 0),"
        "('r', 'k', 0, 5, 1, 0), ('q', 'k', 0.5, 5, 1, 0), ('r', 'j', 2, 9, 9, 0)");
    is_str(rows(db, KIND_metric, 0),
           "r|j|9|9|2.0\nq|k|1|5|0.5\nr|k|1|5|-inf\nr|k|1|5|0.0\nr|k|1|5|nan\nr|k|1|5|inf\n",
           "metrics in the order of their key, with NaN and infinities");

    run_sql(db, "INSERT INTO datasets VALUES ('d1', 9, 'name', 'digest', 't', 's', NULL, NULL);"
                "INSERT INTO inputs VALUES ('i1', 'DATASET', 'd1', 'RUN', 'r', 0), ('i2', 'DATASET', 'gone', "
                "'RUN', 'r', 0),"
                "('i3', 'RUN_INPUT', 'r', 'MODEL_INPUT', 'm-1', 2), ('i4', 'RUN_OUTPUT', 'r', "
                "'MODEL_OUTPUT', 'm-2', 3);"
                "INSERT INTO input_tags VALUES ('i1', 'context', 'train')");
    is_str(rows(db, KIND_input, 0), "r|9|name|digest|d1|i1|0\n",
           "inputs with the dataset that they name; those without one are none");
    is_str(rows(db, KIND_input_tag, 0), "r|9|name|digest|i1|context|train\n", "input tags");
    is_str(rows(db, KIND_model_input, 0), "r|m-1|i3|2\n", "model inputs");
    is_str(rows(db, KIND_model_output, 0), "r|m-2|i4|3\n", "model outputs");

    run_sql(db, "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status, trace_name, "
                "session_id, input_tokens,"
                "total_tokens, total_cost) VALUES ('t1', 9, 77, 'OK', 'name', 's', 1, 3, 1.0),"
                "('t2', 9, 78, 'OK', NULL, NULL, NULL, NULL, NULL);"
                "INSERT INTO trace_tags VALUES ('a', 'x', 't2'), ('mlflow.traceName', 'left over', 't2');"
                "INSERT INTO trace_request_metadata VALUES ('z', 'y', 't1'), ('mlflow.trace.cost', 'left "
                "over', 't2')");
    is_str(rows(db, KIND_trace_tag, 0), "t2|a|x\nt1|mlflow.traceName|name\nt2|mlflow.traceName|left over\n",
           "the trace's name is a tag");
    is_str(rows(db, KIND_trace_tag, FETCH_NO_SHADOWED), "t2|a|x\nt1|mlflow.traceName|name\n",
           "what MLflow ignores can be left out");
    is_str(rows(db, KIND_trace_request_metadata, FETCH_NO_SHADOWED),
           "t1|mlflow.trace.cost|{\"total_cost\": 1.0}\nt1|mlflow.trace.session|s\n"
           "t1|mlflow.trace.tokenUsage|{\"input_tokens\": 1, \"total_tokens\": 3}\nt1|z|y\n",
           "session, usage and cost are metadata");

    run_sql(
        db,
        "INSERT INTO assessments (assessment_id, trace_id, name, assessment_type, value, created_timestamp,"
        "last_updated_timestamp, source_type, valid, experiment_id, is_numeric_value)"
        " VALUES ('a1', 't1', 'n', 'feedback', '5', 1, 2, 'HUMAN', 0, 8, 1)");
    is_str(rows(db, KIND_assessment, FETCH_DERIVED),
           "a1|t1|n|feedback|5|None|1|2|HUMAN|None|None|None|None|None|False|None|experiment_id=8/9|"
           "trace_timestamp_ms=None/77|aggregate_value=None/None|is_numeric_value=1/None\n",
           "assessments with what MLflow derives");

    run_sql(
        db,
        "INSERT INTO logged_models (model_id, experiment_id, name, artifact_location, creation_timestamp_ms,"
        "last_updated_timestamp_ms, status) VALUES ('m-1', 9, 'n', 'u', 1, 2, 2), ('m-2', 9, 'n', 'u', 1, 2, "
        "0),"
        "('m-3', 9, 'n', 'u', 1, 2, 7);"
        "INSERT INTO logged_model_metrics (model_id, metric_name, metric_timestamp_ms, metric_step, "
        "metric_value,"
        "experiment_id, run_id, dataset_uuid, dataset_name, dataset_digest)"
        " VALUES ('m-1', 'k', 1, 2, NULL, 9, 'r', NULL, 'name', 'digest'), ('m-1', 'l', 1, 2, 0.5, 9, 'r', "
        "'d2', NULL, NULL)");
    is_str(rows(db, KIND_logged_model, 0),
           "m-1|9|n|u|1|2|READY|None|None|None|None\nm-2|9|n|u|1|2|UNSPECIFIED|None|None|None|None\n"
           "m-3|9|n|u|1|2|7|None|None|None|None\n",
           "a logged model's status is a word");
    is_str(rows(db, KIND_logged_model_metric, FETCH_DERIVED),
           "m-1|9|k|1|2|r|None|name|digest|None|dataset_uuid=None/d1\n"
           "m-1|9|l|1|2|r|0.5|None|None|d2|dataset_uuid=d2/None\n",
           "model metrics with the dataset's id");

    run_sql(
        db,
        "INSERT INTO registered_models (name, workspace) VALUES ('model', 'default'), ('prompt', 'default'),"
        "('prompt', 'team'), ('no', 'default');"
        "INSERT INTO registered_model_tags (name, key, value, workspace) VALUES"
        "('prompt', 'mlflow.prompt.is_prompt', 'true', 'default'), ('no', 'mlflow.prompt.is_prompt', "
        "'false', 'default')");
    is_str(rows(db, KIND_prompt, 0), "prompt|None|None|None|default\n",
           "a prompt has the tag, in its workspace");
    is_str(rows(db, KIND_registered_model, 0),
           "model|None|None|None|default\nno|None|None|None|default\nprompt|None|None|None|team\n",
           "the others are registered models");

    run_sql(db,
            "INSERT INTO runs (run_uuid, experiment_id, start_time, end_time) VALUES ('r', 9, 1.5, 'soon')");
    is_str(rows(db, KIND_run, 0), "r|9|None|None|None|1.5|soon|None|None|None|None|None|None|None\n",
           "what a column holds against its type is given as it is");
    close_new(db);
}

static void test_old(void)
{
    struct db *db = open_new(0);
    run_sql(db, "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (1, 'a', 'active');"
                "INSERT INTO runs (run_uuid, experiment_id, lifecycle_stage) VALUES ('r', 1, 'active');"
                "INSERT INTO metrics (run_uuid, key, value, timestamp) VALUES ('r', 'k', 0.5, 7)");
    is_str(rows(db, KIND_experiment, 0), "1|a|None|active|None|None|default\n",
           "the oldest schema: no times, no workspace");
    is_str(rows(db, KIND_metric, 0), "r|k|0|7|0.5\n", "the oldest schema: step 0");
    is_str(rows(db, KIND_trace_tag, 0), "", "the oldest schema: no traces");
    is_str(rows(db, KIND_prompt, 0), "", "the oldest schema: no prompts");
    close_new(db);

    db = open_new(65);
    run_sql(db, "INSERT INTO trace_tags VALUES ('mlflow.traceName', 'n', 't')");
    is_str(rows(db, KIND_trace_tag, FETCH_NO_SHADOWED), "t|mlflow.traceName|n\n",
           "a name in trace_tags where it has no column");
    close_new(db);

    db = open_new(-1);
    is_str(rows(db, KIND_run, 0), "there are no MLflow tables in this database", "no MLflow database");
    close_new(db);
}

int main(void)
{
    test_head();
    test_old();
    return done_testing();
}
