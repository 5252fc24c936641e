/* The stage: temporary tables with the stream's rows, converted for the target. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/progress.h"
#include "formats/sync/internal.h"

void sync_sql(const struct sync *x, struct buf *out, const char *fmt, ...)
{
    struct buf text = {0};
    va_list ap;
    va_start(ap, fmt);
    buf_vaddf(&text, fmt, ap);
    va_end(ap);
    const char *at = buf_str(&text), *mark;
    for (; (mark = strstr(at, "@@")); at = mark + 2) {
        buf_add(out, at, (size_t)(mark - at));
        buf_adds(out, x->dialect->stage);
    }
    buf_adds(out, at);
    buf_free(&text);
}

static void format_sql(const struct sync *x, struct buf *out, const char *fmt, va_list ap)
{
    struct buf text = {0};
    buf_vaddf(&text, fmt, ap);
    sync_sql(x, out, "%s", buf_str(&text));
    buf_free(&text);
}

bool sync_exec(struct sync *x, struct err *e, const char *fmt, ...)
{
    struct buf sql = {0};
    va_list ap;
    va_start(ap, fmt);
    format_sql(x, &sql, fmt, ap);
    va_end(ap);
    bool ok = db_exec(x->db, buf_str(&sql), e);
    buf_free(&sql);
    return ok;
}

bool sync_int(struct sync *x, int64_t *out, struct err *e, const char *fmt, ...)
{
    struct buf sql = {0};
    va_list ap;
    va_start(ap, fmt);
    format_sql(x, &sql, fmt, ap);
    va_end(ap);
    bool ok = db_query_int(x->db, buf_str(&sql), out, e);
    buf_free(&sql);
    return ok;
}

struct db_stmt *sync_query(struct sync *x, struct err *e, const char *fmt, ...)
{
    struct buf sql = {0};
    va_list ap;
    va_start(ap, fmt);
    format_sql(x, &sql, fmt, ap);
    va_end(ap);
    struct db_stmt *q = db_prepare(x->db, buf_str(&sql), e);
    buf_free(&sql);
    return q;
}

struct sync_table *sync_table_named(const struct sync *x, const char *name)
{
    for (int i = 0; i < x->n_tables; i++)
        if (strcmp(x->tables[i]->t->name, name) == 0)
            return x->tables[i];
    return NULL;
}

/* -- creating the tables */

/* Determines how JSON columns are compared. */
static bool find_comparable(struct sync *x, struct sync_table *t, struct err *e)
{
    struct db_columns have;
    if (!x->dialect->comparable)
        return true;
    if (!db_table_columns(x->db, t->t->name, &have, e))
        return false;
    for (int i = 0; i < t->t->n_columns; i++) {
        const struct db_column_info *info = db_columns_find(&have, t->t->columns[i].name);
        t->columns[i].comparable = info ? x->dialect->comparable(info->type) : NULL;
    }
    db_columns_free(&have);
    return true;
}

/* Describes the staged table: the table's columns, then sync_id and sync_kind. Experiment ids have 64 bits
 * until they are mapped to the target's. */
static void describe_staged(struct sync *x, struct sync_table *t)
{
    t->staged = *t->t;
    t->staged_name = xasprintf("%ss_%s", x->dialect->stage, t->t->name);
    t->staged.name = t->staged_name;
    for (int i = 0; i < t->staged.n_columns; i++) {
        t->staged.columns[i].look_up = NULL;
        if (strcmp(t->staged.columns[i].name, "experiment_id") == 0)
            t->staged.columns[i].type = COLUMN_INT64;
    }
    struct load_column id = {.name = "sync_id", .type = COLUMN_INT64};
    struct load_column kind = {.name = "sync_kind", .type = COLUMN_INT64};
    struct load_column part = {.name = "sync_part", .type = COLUMN_INT64};
    t->staged.columns[t->staged.n_columns++] = id;
    t->staged.columns[t->staged.n_columns++] = kind;
    t->staged.columns[t->staged.n_columns++] = part;
}

/* Adds an index on sync_id if statements process ranges of rows. */
static bool add_range_index(struct sync *x, const char *what, const char *table, struct err *e)
{
    return !x->dialect->slices ||
           sync_exec(x, e, "CREATE INDEX %s%s_%s_id ON %s%s_%s (sync_id)", x->dialect->index[0], what, table,
                     x->dialect->index[1], what, table);
}

static bool make_staged(struct sync *x, struct sync_table *t, struct err *e)
{
    struct buf sql = {0};
    buf_addf(&sql, "%ss_%s%sSELECT ", x->dialect->create[0], t->t->name, x->dialect->create[1]);
    for (int i = 0; i < t->t->n_columns; i++) {
        const char *name = t->t->columns[i].name;
        bool wide = strcmp(name, "experiment_id") == 0;
        buf_addf(&sql, wide ? "CAST(%s AS bigint) AS %s, " : "%s, ", name, name);
    }
    buf_addf(&sql,
             "CAST(0 AS bigint) AS sync_id, CAST(0 AS bigint) AS sync_kind, CAST(0 AS bigint) AS sync_part, "
             "CAST(0 AS integer) AS sync_out "
             "FROM %s WHERE 0 = 1",
             t->t->name);
    bool ok = db_exec(x->db, buf_str(&sql), e);
    buf_reset(&sql);
    buf_addf(&sql,
             "%sd_%s%sSELECT CAST(0 AS bigint) AS sync_id, CAST(0 AS integer) AS added, CAST(0 AS bigint) AS "
             "changed, "
             "CAST(0 AS bigint) AS kept, CAST(0 AS bigint) AS conflict WHERE 0 = 1",
             x->dialect->create[0], t->t->name, x->dialect->create[1]);
    ok = ok && db_exec(x->db, buf_str(&sql), e) && add_range_index(x, "d", t->t->name, e);
    buf_free(&sql);
    return ok;
}

/* -- the sink for load_write_to() */

struct stage_source {
    struct load_row_source base;
    struct load_row_source *from;
    struct sync_table *t;
    struct value row[LOAD_MAX_COLUMNS];
};

static int stage_next(struct load_row_source *base, const struct value **row, struct err *e)
{
    struct stage_source *s = (struct stage_source *)(void *)base;
    const struct value *from;
    int got = s->from->next(s->from, &from, e);
    if (got != 1)
        return got;
    int n = s->t->t->n_columns;
    memcpy(s->row, from, (size_t)n * sizeof *from);
    s->row[n] = value_int((int64_t)++s->t->n);
    s->row[n + 1] = value_int(s->from->kind);
    s->row[n + 2] = value_int(s->from->part);
    *row = s->row;
    return 1;
}

struct stage_sink {
    struct load_sink base;
    struct sync *x;
};

static struct sync *sync_of(struct load_sink *k)
{
    return ((struct stage_sink *)k)->x;
}

static bool stage_begin(struct load_sink *k, struct err *e)
{
    (void)k, (void)e;
    return true;
}

static enum sink_answer stage_fill(struct load_sink *k, const struct load_table *t,
                                   struct load_row_source *from, struct err *e)
{
    struct sync *x = sync_of(k);
    struct stage_source s = {.base = {.next = stage_next}, .from = from, .t = sync_table_named(x, t->name)};
    return x->dialect->fill(x, s.t->staged.name, &s.t->staged, &s.base, e);
}

/* Creates indexes for look-ups in the stage. */
static bool stage_end(struct load_sink *k, uint64_t *collapsed, struct err *e)
{
    struct sync *x = sync_of(k);
    (void)collapsed;
    for (int r = 0; r < REF_COUNT; r++) {
        const struct load_ref_desc *d = &load_refs[r];
        struct sync_table *t = sync_table_named(x, d->table);
        struct buf columns = {0};
        for (int i = 0; t && d->columns[i]; i++)
            if (sync_find_column(t, d->columns[i]) >= 0)
                buf_addf(&columns, "%s%s", columns.len ? ", " : "", d->columns[i]);
        bool ok = !t || sync_exec(x, e, "CREATE INDEX %ss_%s_%d ON %ss_%s (%s)", x->dialect->index[0],
                                  d->table, r, x->dialect->index[1], d->table, buf_str(&columns));
        buf_free(&columns);
        if (!ok)
            return false;
    }
    for (int i = 0; i < x->n_tables; i++)
        if (!add_range_index(x, "s", x->tables[i]->t->name, e))
            return false;
    return true;
}

/* References of a delta may be to records of the target; identity.c handles those with other ids there. A
 * dataset may have been created while the store was read: a tick that lacks it is completed by the next one
 * (differences.c). */
static int stage_find(struct load_sink *k, enum load_ref ref, const struct value *v, int n, struct err *e)
{
    struct sync *x = sync_of(k);
    bool same_ids = ref == REF_RUN || ref == REF_TRACE || ref == REF_MODEL || ref == REF_REGISTERED;
    int found = sync_table_named(x, load_refs[ref].table) ? load_sink_find(k, ref, v, n, e) : 0;
    bool may_come = ref == REF_DATASET && x->state_id[0];
    if (found != 0 || !(x->delta || may_come))
        return found;
    if (!same_ids)
        return 1;
    struct load_sink target = {.db = x->db};
    found = load_sink_find(&target, ref, v, n, e);
    load_sink_finalize(&target);
    return found;
}

static bool stage_finish(struct load_sink *k, struct err *e)
{
    (void)k, (void)e;
    return true;
}

static void stage_free(struct load_sink *k)
{
    struct sync *x = sync_of(k);
    load_sink_finalize(k);
    x->dialect->filled(x);
    free(k);
}

static const struct load_sink_ops stage_ops = {
    .begin = stage_begin,
    .fill = stage_fill,
    .end = stage_end,
    .find = stage_find,
    .sum_cost = load_sink_sum_cost,
    .finish = stage_finish,
    .free = stage_free,
};

/* -- the whole stage */

static bool add_table(struct sync *x, const struct load_table *t, struct err *e)
{
    struct sync_table *table = xcalloc(1, sizeof *table);
    x->tables[x->n_tables++] = table;
    table->t = t;
    sync_plan(table);
    describe_staged(x, table);
    return find_comparable(x, table, e) && make_staged(x, table, e);
}

/* Adds rows for workspaces that the stream uses, as a file store has none. */
static bool add_workspaces(struct sync *x, struct err *e)
{
    struct sync_table *w = sync_table_named(x, "workspaces");
    for (int i = 0; w && i < x->n_tables; i++) {
        const struct sync_table *t = x->tables[i];
        if (sync_find_column(t, "workspace") < 0)
            continue;
        if (!sync_exec(
                x, e,
                "INSERT INTO @@s_workspaces (name, sync_id, sync_kind, sync_part) SELECT w.workspace, %llu + "
                "row_number() OVER "
                "(ORDER BY w.workspace), %d, 0 FROM (SELECT DISTINCT workspace FROM @@s_%s) w WHERE "
                "w.workspace "
                "NOT IN (SELECT name FROM @@s_workspaces) AND w.workspace NOT IN (SELECT name FROM "
                "workspaces)",
                (unsigned long long)w->n, (int)KIND_row, t->t->name))
            return false;
        int64_t n;
        if (!sync_int(x, &n, e, "SELECT count(*) FROM @@s_workspaces"))
            return false;
        w->n = (uint64_t)n;
    }
    return true;
}

bool sync_fill_stage(struct sync *x, struct err *e)
{
    const struct load_tables *all = load_tables(x->load);
    bool ok = true;
    for (int i = 0; ok && i < all->n; i++) {
        /* workspaces need rows if other tables have any */
        bool needed = all->items[i].filled || strcmp(all->items[i].name, "workspaces") == 0;
        ok = !needed || add_table(x, &all->items[i], e);
    }
    if (!ok)
        return false;
    struct stage_sink *sink = load_sink_new(sizeof *sink, &stage_ops, x->db, all);
    struct buf prefix = {0};
    buf_addf(&prefix, "%ss_", x->dialect->stage);
    sink->x = x;
    sink->base.prefix = buf_str(&prefix);
    ok = load_write_to(x->load, &sink->base, e);
    sink->base.ops->free(&sink->base);
    buf_free(&prefix);
    return ok && add_workspaces(x, e);
}
