/* Common to the sinks of both dialects: look-ups of rows by prepared statements. */
#include "formats/load/sink.h"

#include <stdlib.h>

#include "common/buf.h"

void *load_sink_new(size_t size, const struct load_sink_ops *ops, struct db *db,
                    const struct load_tables *tables)
{
    struct load_sink *k = xcalloc(1, size);
    k->ops = ops;
    k->db = db;
    k->tables = tables;
    return k;
}

static const char *prefix_of(const struct load_sink *k)
{
    return k->prefix ? k->prefix : "";
}

static struct db_stmt *prepare_find(struct load_sink *k, enum load_ref ref, int n, struct err *e)
{
    const struct load_ref_desc *d = &load_refs[ref];
    struct buf sql = {0};
    buf_addf(&sql, "SELECT 1 FROM %s%s WHERE ", prefix_of(k), d->table);
    for (int i = 0; i < n; i++)
        buf_addf(&sql, "%s%s = ?%d", i ? " AND " : "", d->columns[i], i + 1);
    buf_adds(&sql, " LIMIT 1");
    struct db_stmt *q = db_prepare(k->db, buf_str(&sql), e);
    buf_free(&sql);
    return q;
}

int load_sink_find(struct load_sink *k, enum load_ref ref, const struct value *v, int n, struct err *e)
{
    if (!k->finds[ref] && !(k->finds[ref] = prepare_find(k, ref, n, e)))
        return -1;
    for (int i = 0; i < n; i++)
        db_bind(k->finds[ref], i + 1, &v[i]);
    int row = db_step(k->finds[ref], e);
    if (row == 1)
        db_reset(k->finds[ref]);
    return row;
}

static struct db_stmt *prepare_sum(struct load_sink *k, struct err *e)
{
    char *sql = xasprintf("UPDATE %strace_info SET total_cost = (SELECT sum(total_cost) FROM %sspans WHERE "
                          "trace_id = ?1) WHERE request_id = ?1 AND total_cost IS NULL",
                          prefix_of(k), prefix_of(k));
    struct db_stmt *q = db_prepare(k->db, sql, e);
    free(sql);
    return q;
}

bool load_sink_sum_cost(struct load_sink *k, const struct value *trace, struct err *e)
{
    if (!k->sum && !(k->sum = prepare_sum(k, e)))
        return false;
    db_bind(k->sum, 1, trace);
    return db_step(k->sum, e) >= 0;
}

void load_sink_finalize(struct load_sink *k)
{
    for (int i = 0; i < REF_COUNT; i++)
        db_finalize(k->finds[i]);
    db_finalize(k->sum);
}
