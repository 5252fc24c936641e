/* Revision 75868b020152: moves data from tags, metadata and metrics of traces and spans into columns. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "formats/python/text.h"
#include "common/array.h"
#include "formats/database/pass.h"
#include "formats/database/trace_columns.h"
#include "migrations/migrations.h"

static const char *const *const token_keys = trace_columns + TRACE_COLUMN_TOKENS;
static const char *const *const cost_keys = trace_columns + TRACE_COLUMN_COSTS;

static bool text_is_sound(const struct value *v, const char *table, const struct value *key, struct err *e)
{
    if (v->type != VALUE_BIN)
        return true;
    err_set(e, table, "trace %.*s: text that is not UTF-8", (int)key->len, key->s);
    return err_hint(e, "MLflow cannot read this row either; correct it or delete it");
}

/* Parses an object; anything else is treated as an empty one. */
static void parse_object(struct pyjson *d, const struct value *v)
{
    if (!value_is_text(v) || !pyjson_parse(d, v->s, v->len) || d->top.type != PYJSON_OBJECT) {
        d->top.type = PYJSON_NULL;
        d->n_members = 0;
    }
}

/* Whether one of the n values is not NULL. */
static bool any_value(const struct value *values, int n)
{
    for (int i = 0; i < n; i++)
        if (!value_is_null(&values[i]))
            return true;
    return false;
}

static bool is_true(const struct value *v)
{
    return v->type == VALUE_BOOL ? v->b : v->type == VALUE_INT && v->i != 0;
}

/* Adds an expression that is true if a row already has values (from MLflow's prepopulation), which are
 * computed again. */
static void add_filled(struct buf *sql, const char *alias, const char *const *columns, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_addf(sql, "%s%s.%s IS NOT NULL", i ? " OR " : ", ", alias, columns[i]);
    buf_addc(sql, '\n');
}

enum { N_TRACE_COLUMNS = TRACE_COLUMN_COSTS + TRACE_COSTS };

/* Columns that trace_row reads: the id, four texts, and for each token metric whether it exists and its
 * value. */
enum {
    TRACE_ID,
    TRACE_NAME,
    TRACE_SESSION,
    TRACE_USAGE,
    TRACE_COST,
    TRACE_METRICS,
    TRACE_FILLED = TRACE_METRICS + 2 * TRACE_TOKENS
};

static int trace_row(struct pass *p)
{
    struct value id = pass_column(p, TRACE_ID), values[N_TRACE_COLUMNS];
    struct value name = pass_column(p, TRACE_NAME), session = pass_column(p, TRACE_SESSION);
    if (!text_is_sound(&name, "trace_tags", &id, p->e) ||
        !text_is_sound(&session, "trace_request_metadata", &id, p->e))
        return -1;
    values[0] = trace_text(&name, TRACE_NAME_MAX, &p->cut[0]);
    values[1] = trace_text(&session, SESSION_ID_MAX, &p->cut[1]);
    struct value usage = pass_column(p, TRACE_USAGE), costs = pass_column(p, TRACE_COST),
                 filled = pass_column(p, TRACE_FILLED);
    parse_object(&p->json, &usage);
    for (int i = 0; i < TRACE_TOKENS; i++) {
        struct value there = pass_column(p, TRACE_METRICS + 2 * i),
                     metric = pass_column(p, TRACE_METRICS + 2 * i + 1);
        values[2 + i] = is_true(&there) ? trace_token_count_of_number(&metric)
                                        : trace_token_count(pyjson_get(&p->json, token_keys[i]));
    }
    parse_object(&p->json, &costs);
    for (int i = 0; i < TRACE_COSTS; i++)
        values[2 + TRACE_TOKENS + i] = trace_cost(pyjson_get(&p->json, cost_keys[i]));
    if (!any_value(values, ARRAY_LENGTH(values)) && !is_true(&filled))
        return 0;
    for (size_t i = 0; i < ARRAY_LENGTH(values); i++)
        db_bind(p->write, (int)i + 1, &values[i]);
    db_bind(p->write, ARRAY_LENGTH(values) + 1, &id);
    return 1;
}

static void add_assignments(struct buf *sql, const char *const *columns, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_addf(sql, "%s%s = ?%zu", i ? ", " : " SET ", columns[i], i + 1);
}

static bool fill_traces(struct db *db, struct err *e)
{
    struct buf read = {0}, write = {0};
    buf_adds(&read, "SELECT t.request_id, n.value, s.value, u.value, c.value");
    for (int i = 0; i < TRACE_TOKENS; i++)
        buf_addf(&read, ", m%d.request_id IS NOT NULL, m%d.value", i, i);
    add_filled(&read, "t", trace_columns, N_TRACE_COLUMNS);
    buf_adds(&read, "FROM trace_info t\n"
                    "LEFT JOIN trace_tags n ON n.request_id = t.request_id AND n.key = 'mlflow.traceName'\n"
                    "LEFT JOIN trace_request_metadata s ON s.request_id = t.request_id AND s.key = "
                    "'mlflow.trace.session'\n"
                    "LEFT JOIN trace_request_metadata u ON u.request_id = t.request_id AND u.key = "
                    "'mlflow.trace.tokenUsage'\n"
                    "LEFT JOIN trace_request_metadata c ON c.request_id = t.request_id AND c.key = "
                    "'mlflow.trace.cost'\n");
    for (int i = 0; i < TRACE_TOKENS; i++)
        buf_addf(&read, "LEFT JOIN trace_metrics m%d ON m%d.request_id = t.request_id AND m%d.key = '%s'\n",
                 i, i, i, token_keys[i]);
    buf_adds(&write, "UPDATE trace_info");
    add_assignments(&write, trace_columns, N_TRACE_COLUMNS);
    buf_addf(&write, " WHERE request_id = ?%d", N_TRACE_COLUMNS + 1);

    struct pass p;
    bool ok = pass_start(&p, db, "traces", buf_str(&read), buf_str(&write), e) && pass_run(&p, trace_row);
    if (ok && p.cut[0] + p.cut[1] > 0)
        err_warn("trace_info",
                 "texts were truncated: %llu trace names to %d characters, %llu session ids to %d",
                 (unsigned long long)p.cut[0], TRACE_NAME_MAX, (unsigned long long)p.cut[1], SESSION_ID_MAX);
    buf_free(&read);
    buf_free(&write);
    return pass_end(&p, ok);
}

static int refuse_dimensions(struct pass *p, const char *what)
{
    struct value trace = pass_column(p, 0), span = pass_column(p, 1);
    err_set(p->e, "spans", "span %.*s of trace %.*s: dimension_attributes %s", (int)span.len, span.s,
            (int)trace.len, trace.s, what);
    err_hint(p->e,
             "this revision stores only mlflow.llm.model and mlflow.llm.provider of it; correct the row");
    return -1;
}

static int span_row(struct pass *p)
{
    struct value values[SPAN_COLUMNS], dimensions = pass_column(p, 2),
                                       filled = pass_column(p, 3 + TRACE_COSTS);
    for (int i = 0; i < TRACE_COSTS; i++) {
        struct value metric = pass_column(p, 3 + i);
        values[i] = trace_cost_of_number(&metric);
    }
    const char *wrong = span_dimensions(&p->json, &dimensions, &values[SPAN_COLUMN_MODEL],
                                        &values[SPAN_COLUMN_PROVIDER], p->cut);
    if (wrong)
        return refuse_dimensions(p, wrong);
    if (!any_value(values, ARRAY_LENGTH(values)) && !is_true(&filled))
        return 0;
    for (size_t i = 0; i < ARRAY_LENGTH(values); i++)
        db_bind(p->write, (int)i + 1, &values[i]);
    struct value trace = pass_column(p, 0), span = pass_column(p, 1);
    db_bind(p->write, ARRAY_LENGTH(values) + 1, &trace);
    db_bind(p->write, ARRAY_LENGTH(values) + 2, &span);
    return 1;
}

static bool fill_spans(struct db *db, struct err *e)
{
    struct buf read = {0}, write = {0};
    buf_adds(&read, "SELECT s.trace_id, s.span_id, s.dimension_attributes, i.value, o.value, t.value");
    add_filled(&read, "s", span_columns, SPAN_COLUMNS);
    buf_adds(&read, "FROM spans s\n");
    for (int i = 0; i < TRACE_COSTS; i++)
        buf_addf(&read,
                 "LEFT JOIN span_metrics %c ON %c.trace_id = s.trace_id AND %c.span_id = s.span_id AND "
                 "%c.key = '%s'\n",
                 cost_keys[i][0], cost_keys[i][0], cost_keys[i][0], cost_keys[i][0], cost_keys[i]);
    buf_adds(&write, "UPDATE spans");
    add_assignments(&write, span_columns, SPAN_COLUMNS);
    buf_addf(&write, " WHERE trace_id = ?%d AND span_id = ?%d", SPAN_COLUMNS + 1, SPAN_COLUMNS + 2);

    struct pass p;
    bool ok = pass_start(&p, db, "spans", buf_str(&read), buf_str(&write), e) && pass_run(&p, span_row);
    if (ok && p.cut[0] + p.cut[1] > 0)
        err_warn("spans", "texts were truncated to %d characters: %llu model names, %llu model providers",
                 MODEL_NAME_MAX, (unsigned long long)p.cut[0], (unsigned long long)p.cut[1]);
    buf_free(&read);
    buf_free(&write);
    return pass_end(&p, ok);
}

static int assessment_row(struct pass *p)
{
    struct value id = pass_column(p, 0), text = pass_column(p, 1), number;
    bool numeric;
    assessment_aggregate(&p->json, &text, &number, &numeric);
    if (value_is_null(&number))
        return 0;
    struct value is_numeric = value_bool(numeric);
    db_bind(p->write, 1, &number);
    db_bind(p->write, 2, &is_numeric);
    db_bind(p->write, 3, &id);
    return 1;
}

static bool fill_assessments(struct db *db, struct err *e)
{
    static const char look_up[] =
        "UPDATE assessments SET\n"
        "    experiment_id = (SELECT experiment_id FROM trace_info t WHERE t.request_id = trace_id),\n"
        "    trace_timestamp_ms = (SELECT timestamp_ms FROM trace_info t WHERE t.request_id = trace_id),\n"
        "    aggregate_value = NULL, is_numeric_value = FALSE";
    struct pass p = {0};
    bool ok =
        db_exec(db, look_up, e) &&
        pass_start(
            &p, db, "assessments", "SELECT assessment_id, value FROM assessments",
            "UPDATE assessments SET aggregate_value = ?1, is_numeric_value = ?2 WHERE assessment_id = ?3",
            e) &&
        pass_run(&p, assessment_row);
    return pass_end(&p, ok);
}

static bool has_trace(struct db *db, const char *table, struct err *e)
{
    char *query = xasprintf("SELECT c.trace_id FROM %s c LEFT JOIN trace_info t ON t.request_id = c.trace_id "
                            "WHERE t.request_id IS NULL LIMIT 1",
                            table);
    char *orphan = NULL;
    bool ok = db_query_text(db, query, &orphan, e);
    free(query);
    if (!ok || !orphan)
        return ok;
    err_set(e, table, "a row belongs to trace %s, which is not in trace_info", orphan);
    free(orphan);
    return err_hint(e, "delete such rows, or restore the trace");
}

static bool same_type(const char *a, const char *b)
{
    return strcasecmp(a, b) == 0;
}

/* A column that exists before its revision must be as the revision would create it, except is_numeric_value,
 * which MLflow's own command creates without NOT NULL. */
static bool check_column(const char *table, const struct db_column_info *c, const char *type, struct err *e)
{
    bool flag = strcmp(c->name, "is_numeric_value") == 0;
    if (same_type(c->type, type) && (flag || (!c->not_null && !c->dflt)))
        return true;
    err_set(e, table, "column %s exists already, as %s%s%s%s, but this revision creates it as %s", c->name,
            c->type, c->not_null ? " NOT NULL" : "", c->dflt ? " DEFAULT " : "", c->dflt ? c->dflt : "",
            type);
    return err_hint(e, "rename the column or drop it");
}

/* Before the columns are added: refuses rows that would be lost, and checks columns created by MLflow's `db
 * prepopulate-trace-analytics`. */
static bool trace_analytics_check(struct db *db, struct err *e)
{
    static const struct {
        const char *table, *column, *sqlite, *postgresql;
    } columns[] = {
        {"trace_info", "trace_name", "VARCHAR(4096)", "VARCHAR(4096)"},
        {"trace_info", "session_id", "VARCHAR(250)", "VARCHAR(250)"},
        {"trace_info", "input_tokens", "BIGINT", "BIGINT"},
        {"trace_info", "output_tokens", "BIGINT", "BIGINT"},
        {"trace_info", "total_tokens", "BIGINT", "BIGINT"},
        {"trace_info", "cache_read_input_tokens", "BIGINT", "BIGINT"},
        {"trace_info", "cache_creation_input_tokens", "BIGINT", "BIGINT"},
        {"trace_info", "cache_creation_input_tokens_above_1hr", "BIGINT", "BIGINT"},
        {"trace_info", "input_cost", "FLOAT", "DOUBLE PRECISION"},
        {"trace_info", "output_cost", "FLOAT", "DOUBLE PRECISION"},
        {"trace_info", "total_cost", "FLOAT", "DOUBLE PRECISION"},
        {"assessments", "experiment_id", "INTEGER", "INTEGER"},
        {"assessments", "trace_timestamp_ms", "BIGINT", "BIGINT"},
        {"assessments", "aggregate_value", "FLOAT", "DOUBLE PRECISION"},
        {"assessments", "is_numeric_value", "BOOLEAN", "BOOLEAN"},
        {"spans", "input_cost", "FLOAT", "DOUBLE PRECISION"},
        {"spans", "output_cost", "FLOAT", "DOUBLE PRECISION"},
        {"spans", "total_cost", "FLOAT", "DOUBLE PRECISION"},
        {"spans", "model_name", "VARCHAR(500)", "VARCHAR(500)"},
        {"spans", "model_provider", "VARCHAR(500)", "VARCHAR(500)"},
    };
    bool sqlite = db_dialect(db) == DIALECT_SQLITE;
    if (!has_trace(db, "spans", e) || !has_trace(db, "assessments", e))
        return false;
    for (size_t i = 0; i < ARRAY_LENGTH(columns); i++) {
        struct db_columns there;
        if (!db_table_columns(db, columns[i].table, &there, e))
            return false;
        const struct db_column_info *c = db_columns_find(&there, columns[i].column);
        bool ok =
            !c || check_column(columns[i].table, c, sqlite ? columns[i].sqlite : columns[i].postgresql, e);
        /* SQLite cannot add NOT NULL to a column; this one is filled again in any case. */
        if (ok && c && sqlite && !c->not_null && strcmp(c->name, "is_numeric_value") == 0)
            ok = db_exec(db, "ALTER TABLE assessments DROP COLUMN is_numeric_value", e);
        db_columns_free(&there);
        if (!ok)
            return false;
    }
    return true;
}

static bool trace_analytics(struct db *db, struct err *e)
{
    /* A gateway trace without a cost of its own gets the sum of its spans' costs. */
    static const char gateway[] =
        "UPDATE trace_info SET total_cost = (SELECT sum(s.total_cost) FROM spans s WHERE s.trace_id = "
        "trace_info.request_id)\n"
        "WHERE total_cost IS NULL\n"
        "    AND EXISTS (SELECT 1 FROM trace_request_metadata m WHERE m.request_id = trace_info.request_id\n"
        "                AND m.key = 'mlflow.gateway.endpointId')\n"
        "    AND (SELECT sum(s.total_cost) FROM spans s WHERE s.trace_id = trace_info.request_id) IS NOT "
        "NULL";
    return fill_traces(db, e) && fill_spans(db, e) && db_exec(db, gateway, e) && fill_assessments(db, e);
}

/* -- revision 8b6ad64cb8f5: the categories of issues get rows of their own */

const struct migration_hook migration_trace_analytics_check = {trace_analytics_check, NULL};
const struct migration_hook migration_trace_analytics = {
    trace_analytics, "SELECT (SELECT count(*) FROM trace_info) + (SELECT count(*) FROM spans)"};
