/* Writes differences: new and changed rows of a range of the stage. */
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "formats/record/references.h"
#include "formats/sync/internal.h"

static void add_range(const struct sync *x, int64_t first, int64_t last, struct buf *out)
{
    if (x->dialect->slices)
        buf_addf(out, " AND s.sync_id BETWEEN %lld AND %lld", (long long)first, (long long)last);
}

const struct sync_table *sync_parent_of(const struct sync *x, const struct sync_table *t, const char **column,
                                        const char **key)
{
    static const struct {
        unsigned flag;
        enum load_ref ref;
    } refs[] = {{FIELD_RUN, REF_RUN},
                {FIELD_TRACE, REF_TRACE},
                {FIELD_MODEL, REF_MODEL},
                {FIELD_REG, REF_REGISTERED},
                {FIELD_EXP, REF_EXPERIMENT}};
    const struct kind_desc *k = &kinds[t->kind];
    for (size_t r = 0; t->kind != KIND_row && r < ARRAY_LENGTH(refs); r++)
        for (int f = 0; f < k->n_fields; f++)
            if ((k->fields[f].flags & refs[r].flag) && k->fields[f].column[0] && ref_is_hard(k, f)) {
                *column = k->fields[f].column;
                *key = load_refs[refs[r].ref].columns[0];
                return sync_table_named(x, load_refs[refs[r].ref].table);
            }
    return NULL;
}

/* Appends " AND [NOT] the row belongs to a new parent"; nothing for tables of parents or points. */
static bool add_fresh(const struct sync *x, const struct sync_table *t, bool fresh, struct buf *out)
{
    const char *column, *key;
    bool whole = t->points || kind_has_trait(t->kind, TRAIT_PARENT);
    const struct sync_table *parent = whole ? NULL : sync_parent_of(x, t, &column, &key);
    if (whole || !parent || sync_find_column(t, column) < 0)
        return whole == fresh;
    buf_addf(
        out,
        " AND s.%s %sIN (SELECT p.%s FROM @@s_%s p JOIN @@d_%s q ON q.sync_id = p.sync_id WHERE q.added = 1)",
        column, fresh ? "" : "NOT ", key, parent->t->name, parent->t->name);
    return true;
}

static void add_insert(const struct sync_table *t, const char *which, struct buf *out)
{
    buf_addf(out, "INSERT INTO %s (", t->t->name);
    for (int i = 0; i < t->t->n_columns; i++)
        buf_addf(out, "%s%s", i ? ", " : "", t->t->columns[i].name);
    buf_adds(out, ") SELECT ");
    for (int i = 0; i < t->t->n_columns; i++)
        buf_addf(out, "%ss.%s", i ? ", " : "", t->t->columns[i].name);
    buf_addf(out, " FROM @@s_%s s JOIN @@d_%s d ON d.sync_id = s.sync_id WHERE s.sync_out IS NULL AND %s",
             t->t->name, t->t->name, which);
}

static bool insert(struct sync *x, struct sync_table *t, enum sync_part part, int64_t first, int64_t last,
                   struct err *e)
{
    struct buf sql = {0};
    add_insert(t, "d.added = 1", &sql);
    add_range(x, first, last, &sql);
    bool some = part == SYNC_ADD || add_fresh(x, t, part == SYNC_ADD_FRESH, &sql);
    buf_addf(&sql, " ORDER BY s.sync_id %s", x->dialect->insert_missing);
    uint64_t before = db_rows_written(x->db);
    bool ok = !some || sync_exec(x, e, "%s", buf_str(&sql));
    *(part == SYNC_ADD_FRESH ? &t->n_fresh : &t->n_more) = db_rows_written(x->db) - before;
    buf_free(&sql);
    return ok;
}

/* Adds assignments to columns of units that are taken in some row; false if there are none. differs: a
 * condition that some value changes; a dialect with slices, where each use of a value is a copy, has compared the
 * values in the same transaction. */
static bool add_settings(const struct sync *x, const struct sync_table *t, struct buf *set,
                         struct buf *differs)
{
    for (int u = 0; u < t->n_units; u++)
        for (int i = 0; t->units[u].changed && i < t->units[u].n_columns; i++) {
            int c = t->units[u].columns[i];
            const char *name = t->t->columns[c].name;
            buf_addf(set, "%s%s = CASE WHEN (d.changed & %llu) <> 0 THEN ", set->len ? ", " : "", name,
                     1ull << u);
            sync_add_new_value(x, t, c, set);
            buf_addf(set, " ELSE t.%s END", name);
            if (x->dialect->slices || t->columns[c].comparable)
                buf_addf(differs, "%s(d.changed & %llu) <> 0", differs->len ? " OR " : "", 1ull << u);
            else {
                buf_addf(differs, "%s((d.changed & %llu) <> 0 AND t.%s %s ", differs->len ? " OR " : "",
                         1ull << u, name, x->dialect->distinct);
                sync_add_new_value(x, t, c, differs);
                buf_addc(differs, ')');
            }
        }
    return set->len > 0;
}

static bool update(struct sync *x, struct sync_table *t, int64_t first, int64_t last, struct err *e)
{
    struct buf sql = {0}, set = {0}, differs = {0};
    bool ok = true;
    if (add_settings(x, t, &set, &differs)) {
        buf_addf(&sql, "UPDATE %s AS t SET %s FROM @@s_%s s JOIN @@d_%s d ON d.sync_id = s.sync_id WHERE ",
                 t->t->name, buf_str(&set), t->t->name, t->t->name);
        sync_add_join(t, "t", "s", &sql);
        buf_adds(&sql, " AND s.sync_out IS NULL AND d.changed <> 0 AND d.conflict = 0");
        add_range(x, first, last, &sql);
        buf_addf(&sql, " AND (%s)", buf_str(&differs));
        ok = sync_exec(x, e, "%s", buf_str(&sql));
    }
    buf_free(&sql);
    buf_free(&set);
    buf_free(&differs);
    return ok;
}

/* Updates the copy of the trace's time in the target's assessments, as MLflow does when it changes. */
static bool follow_trace_time(struct sync *x, const struct sync_table *t, int64_t first, int64_t last,
                              struct err *e)
{
    struct buf sql = {0};
    if (t->kind != KIND_trace || x->rev < REV_TRACE_ANALYTICS)
        return true;
    sync_sql(x, &sql,
             "UPDATE assessments AS a SET trace_timestamp_ms = t.timestamp_ms FROM @@s_trace_info s JOIN "
             "@@d_trace_info d ON d.sync_id = s.sync_id JOIN trace_info t ON t.request_id = s.request_id "
             "WHERE a.trace_id = t.request_id AND d.changed <> 0 AND a.trace_timestamp_ms %s t.timestamp_ms",
             x->dialect->distinct);
    add_range(x, first, last, &sql);
    bool ok = sync_exec(x, e, "%s", buf_str(&sql));
    buf_free(&sql);
    return ok;
}

/* Keeps the greater row, whoever writes first: an UPDATE followed by an INSERT would be a race. */
static bool put_latest(struct sync *x, struct sync_table *t, int64_t first, int64_t last, struct err *e)
{
    struct buf sql = {0};
    add_insert(t, "(d.added = 1 OR d.changed <> 0)", &sql);
    add_range(x, first, last, &sql);
    buf_adds(&sql, " ORDER BY s.sync_id ");
    x->dialect->add_put_greater(t, &sql);
    bool ok = sync_exec(x, e, "%s", buf_str(&sql));
    buf_free(&sql);
    return ok;
}

bool sync_has_part(const struct sync_table *t, enum sync_part part)
{
    switch (part) {
    case SYNC_LATEST:
        return t->latest && t->n_added + t->n_changed > 0;
    case SYNC_CHANGES:
        return !t->latest && t->n_changed > 0;
    default:
        return !t->latest && t->n_added > 0;
    }
}

bool sync_write_part(struct sync *x, struct sync_table *t, enum sync_part part, int64_t first, int64_t last,
                     struct err *e)
{
    switch (part) {
    case SYNC_LATEST:
        return put_latest(x, t, first, last, e);
    case SYNC_CHANGES: /* a slice has been compared in this transaction, or nobody has written since */
        return (x->dialect->slices || sync_unite_range(x, t, 1, (int64_t)t->n, e)) &&
               update(x, t, first, last, e) && follow_trace_time(x, t, first, last, e);
    default:
        return insert(x, t, part, first, last, e);
    }
}
