/* MLflow's daily roll-ups of traces: a published day must be computed again when one of its traces changes.
 * Its key is put into MLflow's queue before the trace is written, as MLflow does. */
#include "common/array.h"
#include "formats/sync/internal.h"

static const struct {
    const char *family, *table;
} families[] = {
    {"trace_metric", "sql_trace_metric_daily_rollups"},
    {"span_cost", "sql_span_cost_daily_rollups"},
    {"assessment", "sql_assessment_daily_rollups"},
};

/* Appends " OR the trace has new or changed rows in this table". */
static void add_children(const struct sync *x, const char *table, struct buf *out)
{
    if (sync_table_named(x, table))
        buf_addf(out,
                 " OR s.request_id IN (SELECT c.trace_id FROM @@s_%s c JOIN @@d_%s d ON d.sync_id = "
                 "c.sync_id WHERE d.added + "
                 "d.changed > 0)",
                 table, table);
}

/* Appends the affected published days, both of a trace whose time changes: experiment_id, rollup_day. */
static void add_days(const struct sync *x, const char *rollups, struct buf *out)
{
    buf_addf(
        out,
        "FROM %s r JOIN (SELECT s.experiment_id, %s AS day FROM (SELECT s.request_id, s.experiment_id, "
        "coalesce(t.timestamp_ms, s.timestamp_ms) AS ms FROM @@s_trace_info s LEFT JOIN trace_info t ON "
        "t.request_id = s.request_id WHERE s.sync_out IS NULL UNION SELECT s.request_id, "
        "s.experiment_id, s.timestamp_ms FROM @@s_trace_info s WHERE s.sync_out IS NULL) s WHERE "
        "s.request_id IN (SELECT c.request_id FROM @@s_trace_info c JOIN @@d_trace_info d ON d.sync_id = "
        "c.sync_id WHERE d.added + d.changed > 0)",
        rollups, x->dialect->day);
    add_children(x, "spans", out);
    add_children(x, "assessments", out);
    buf_adds(out, ") c ON c.experiment_id = r.experiment_id AND c.day = r.rollup_day WHERE 1 = 1");
}

bool sync_queue_rollups(struct sync *x, bool *any, struct err *e)
{
    *any = false;
    if (x->rev < REV_TRACE_ANALYTICS || !sync_table_named(x, "trace_info"))
        return true;
    bool ok = true;
    for (size_t i = 0; ok && i < ARRAY_LENGTH(families); i++) {
        struct buf days = {0};
        int64_t n = 0;
        add_days(x, families[i].table, &days);
        ok = sync_int(x, &n, e, "SELECT count(*) %s", buf_str(&days));
        if (ok && n && x->begun)
            ok = sync_exec(x, e,
                           "INSERT INTO sql_trace_rollup_rebuild_queue (experiment_id, rollup_day, "
                           "rollup_family) SELECT "
                           "DISTINCT r.experiment_id, r.rollup_day, '%s' %s %s",
                           families[i].family, buf_str(&days), x->dialect->insert_missing);
        *any |= n > 0;
        buf_free(&days);
    }
    return ok;
}
