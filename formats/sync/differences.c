/* Compares the stage with the target by the merge rules, only with SELECTs, into d_NAME. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "formats/record/references.h"
#include "formats/sync/internal.h"

void sync_add_join(const struct sync_table *t, const char *a, const char *b, struct buf *out)
{
    for (int i = 0; i < t->t->n_key; i++) {
        const char *column = t->t->columns[t->t->key[i]].name;
        buf_addf(out, "%s%s.%s = %s.%s", i ? " AND " : "", a, column, b, column);
    }
}

static const char *name_of(const struct sync_table *t, int column)
{
    return t->t->columns[column].name;
}

/* Appends 'A', 'B' for "A,B"; numbers without quotes. */
static void add_list(const struct sync_table *t, int column, const char *texts, struct buf *out)
{
    bool quoted = t->t->columns[column].type == COLUMN_TEXT;
    for (size_t n; *texts; texts += n + (texts[n] == ',')) {
        n = strcspn(texts, ",");
        buf_addf(out, "%s%s%.*s%s", out->data[out->len - 1] == '(' ? "" : ", ", quoted ? "'" : "", (int)n,
                 texts, quoted ? "'" : "");
        if (!texts[n])
            break;
    }
}

static void add_in(const struct sync_table *t, const char *side, int column, const char *texts,
                   struct buf *out)
{
    buf_addf(out, "%s.%s IN (", side, name_of(t, column));
    add_list(t, column, texts, out);
    buf_addc(out, ')');
}

static void add_side(const struct sync_table *t, const char *side, int column, struct buf *out)
{
    char *plain = xasprintf("%s.%s", side, name_of(t, column));
    const char *form = t->columns[column].comparable, *mark = form ? strstr(form, "%s") : NULL;
    if (mark)
        buf_addf(out, "%.*s%s%s", (int)(mark - form), form, plain, mark + 2);
    else
        buf_adds(out, plain);
    free(plain);
}

void sync_add_distinct(const struct sync *x, const struct sync_table *t, int column, struct buf *out)
{
    add_side(t, "s", column, out);
    buf_addf(out, " %s ", x->dialect->distinct);
    add_side(t, "t", column, out);
}

void sync_add_new_value(const struct sync *x, const struct sync_table *t, int column, struct buf *out)
{
    const char *name = name_of(t, column);
    (void)x;
    if (t->columns[column].null_by < 0) {
        buf_addf(out, "coalesce(s.%s, t.%s)", name, name);
        return;
    }
    buf_addf(out, "CASE WHEN s.%s IS NOT NULL OR ", name);
    add_in(t, "s", t->columns[column].null_by, t->columns[column].null_texts, out);
    buf_addf(out, " THEN s.%s ELSE t.%s END", name, name);
}

/* Appends "the unit would change". */
static void add_differs(const struct sync *x, const struct sync_table *t, const struct sync_unit *u,
                        struct buf *out)
{
    const char *lead = name_of(t, u->leader);
    if (u->rule == MERGE_RULE_GREATEST) {
        buf_addf(out, "(s.%s > t.%s OR (t.%s IS NULL AND s.%s IS NOT NULL))", lead, lead, lead, lead);
        return;
    }
    buf_addc(out, '(');
    for (int i = 0; i < u->n_columns; i++) {
        int c = u->columns[i];
        buf_addf(out, "%s((s.%s IS NOT NULL", i ? " OR " : "", name_of(t, c));
        if (u->rule == MERGE_RULE_IMM)
            buf_addf(out, " AND t.%s IS NOT NULL", name_of(t, c));
        if (t->columns[c].null_by >= 0) {
            buf_adds(out, " OR ");
            add_in(t, "s", t->columns[c].null_by, t->columns[c].null_texts, out);
        }
        buf_adds(out, ") AND ");
        sync_add_distinct(x, t, c, out);
        buf_addc(out, ')');
    }
    buf_addc(out, ')');
}

static void add_newer(const struct sync_table *t, int time, struct buf *out)
{
    const char *c = time < 0 ? NULL : name_of(t, time);
    if (c)
        buf_addf(out, "(s.%s > t.%s OR (t.%s IS NULL AND s.%s IS NOT NULL))", c, c, c, c);
    else
        buf_adds(out, "(1 = 0)");
}

/* Appends "the source's unit wins by this rule". */
static void add_rule(const struct sync *x, const struct sync_table *t, const struct sync_unit *u,
                     enum merge_rule rule, struct buf *out)
{
    const char *source_wins = x->o.prefer_target && !x->delta ? "(1 = 0)" : "(1 = 1)";
    switch (rule) {
    case MERGE_RULE_SRC:
        buf_adds(out, source_wins);
        break;
    case MERGE_RULE_UNION:
    case MERGE_RULE_GREATEST:
        buf_adds(out, "(1 = 1)");
        break;
    case MERGE_RULE_NEWER:
        add_newer(t, u->time, out);
        break;
    case MERGE_RULE_NEWER_OR_EQUAL:
        buf_addc(out, '(');
        add_newer(t, u->time, out);
        if (u->time >= 0) {
            buf_addf(out, " OR (NOT (");
            sync_add_distinct(x, t, u->time, out);
            buf_addf(out, ") AND %s))", source_wins);
        } else {
            buf_addf(out, " OR %s)", source_wins);
        }
        break;
    case MERGE_RULE_LATEST:
        buf_adds(
            out,
            "((s.step, coalesce(s.timestamp, -1), s.value) > (t.step, coalesce(t.timestamp, -1), t.value))");
        break;
    default:
        buf_adds(out, "(1 = 0)");
    }
}

/* The same with the unit's exceptions. */
static void add_wins(const struct sync *x, const struct sync_table *t, const struct sync_unit *u,
                     struct buf *out)
{
    const char *lead = name_of(t, u->leader);
    buf_adds(out, "((");
    if (u->n_cases)
        buf_adds(out, "CASE");
    for (int i = 0; i < u->n_cases; i++) {
        buf_addf(out, " WHEN s.%s = '%s' THEN ", name_of(t, u->cases[i].by), u->cases[i].text);
        add_rule(x, t, u, u->cases[i].rule, out);
    }
    buf_adds(out, u->n_cases ? " ELSE " : "");
    add_rule(x, t, u, u->rule, out);
    buf_adds(out, u->n_cases ? " END)" : ")");
    if (u->never) {
        buf_adds(out, " AND NOT (");
        add_in(t, "s", u->leader, u->never, out);
        buf_adds(out, " AND ");
        add_in(t, "t", u->leader, u->over, out);
        buf_addc(out, ')');
    }
    if (u->maker >= 0) {
        buf_adds(out, " AND NOT (");
        sync_add_distinct(x, t, u->maker, out);
        buf_addc(out, ')');
        if (strcmp(name_of(t, u->maker), "artifact_location") != 0)
            buf_addf(out, " AND (s.%s IS NOT NULL OR s.artifact_location = t.artifact_location)",
                     name_of(t, u->maker));
    }
    if (u->named && x->delta) /* a rename changes both; else the record was sent for another reason */
        buf_adds(out, sync_table_named(x, "tags")
                          ? " AND (s.sync_part = 0 OR s.run_uuid IN (SELECT n.run_uuid FROM @@s_tags "
                            "n WHERE n.key = 'mlflow.runName'))"
                          : " AND s.sync_part = 0");
    if (u->absorb)
        buf_addf(out, " AND (t.%s IS NULL OR t.%s <> '%s')", lead, lead, u->absorb);
    buf_addc(out, ')');
    if (u->absorb)
        buf_addf(out, " OR (s.%s = '%s' AND (t.%s IS NULL OR t.%s <> '%s'))", lead, u->absorb, lead, lead,
                 u->absorb);
}

/* Of each unit dN, whether it differs, and wN, whether the source's wins: once, for each use of a value holds a
 * copy of it. */
static void add_judgements(const struct sync *x, const struct sync_table *t, struct buf *out)
{
    bool marks = x->delta && kind_has_trait(t->kind, TRAIT_PARENT);
    for (int i = 0; i < t->n_units; i++) {
        const struct sync_unit *u = &t->units[i];
        buf_adds(out, ", CASE WHEN ");
        add_differs(x, t, u, out);
        if (marks && u->of_fields) /* unchanged since the base: the target has changed it */
            buf_addf(out, " AND s.sync_part <> %d", (int)PART_UNCHANGED);
        buf_addf(out, " THEN 1 ELSE 0 END AS d%d, ", i);
        if (u->rule == MERGE_RULE_KEEP || u->rule == MERGE_RULE_IMM) {
            buf_addf(out, "0 AS w%d", i);
            continue;
        }
        buf_adds(out, "CASE WHEN ");
        add_wins(x, t, u, out);
        buf_addf(out, " THEN 1 ELSE 0 END AS w%d", i);
    }
}

enum bits { BITS_CHANGED, BITS_KEPT, BITS_CONFLICT };

/* Appends the sum of the bits of units to which `which` applies. */
static void add_bits(const struct sync_table *t, enum bits which, struct buf *out)
{
    buf_adds(out, "CASE WHEN j.added = 1 THEN 0 ELSE 0");
    for (int i = 0; i < t->n_units; i++) {
        enum merge_rule rule = t->units[i].rule;
        if ((rule == MERGE_RULE_IMM) != (which == BITS_CONFLICT))
            continue;
        if ((rule == MERGE_RULE_GREATEST || rule == MERGE_RULE_LATEST) && which == BITS_KEPT)
            continue; /* the target's is just as good */
        buf_addf(out, " + %llu * j.d%d", 1ull << i, i);
        if (which != BITS_CONFLICT)
            buf_addf(out, " * %sj.w%d%s", which == BITS_KEPT ? "(1 - " : "", i,
                     which == BITS_KEPT ? ")" : "");
    }
    buf_adds(out, " END");
}

static void add_range(const struct sync *x, int64_t first, int64_t last, struct buf *out)
{
    if (x->dialect->slices)
        buf_addf(out, " AND s.sync_id BETWEEN %lld AND %lld", (long long)first, (long long)last);
}

bool sync_compare_range(struct sync *x, struct sync_table *t, int64_t first, int64_t last, struct err *e)
{
    struct buf sql = {0};
    const char *key = name_of(t, t->t->key[0]);
    bool only_new = t->points || t->n_units == 0;
    buf_addf(&sql, "INSERT INTO @@d_%s (sync_id, added, changed, kept, conflict) SELECT ", t->t->name);
    if (only_new) {
        buf_adds(&sql, "s.sync_id, 1, 0, 0, 0");
    } else {
        buf_adds(&sql, "* FROM (SELECT j.sync_id, j.added, ");
        add_bits(t, BITS_CHANGED, &sql);
        buf_adds(&sql, " AS changed, ");
        add_bits(t, BITS_KEPT, &sql);
        buf_adds(&sql, " AS kept, ");
        add_bits(t, BITS_CONFLICT, &sql);
        buf_addf(&sql,
                 " AS conflict FROM (SELECT s.sync_id, CASE WHEN t.%s IS NULL THEN 1 ELSE 0 END AS added",
                 key);
        add_judgements(x, t, &sql);
    }
    buf_addf(&sql, " FROM @@s_%s s LEFT JOIN %s t ON ", t->t->name, t->t->name);
    sync_add_join(t, "t", "s", &sql);
    buf_adds(&sql, " WHERE s.sync_out IS NULL");
    add_range(x, first, last, &sql);
    if (only_new)
        buf_addf(&sql, " AND t.%s IS NULL", key);
    else
        /* the limit keeps the judgements from being made wherever they are used */
        buf_addf(&sql, " LIMIT %lld) AS j) AS d WHERE d.added + d.changed + d.kept + d.conflict > 0",
                 (long long)INT64_MAX);
    bool ok = sync_exec(x, e, "%s", buf_str(&sql));
    buf_free(&sql);
    return ok;
}

/* -- excluded rows */

/* Excludes rows of `child` whose parent, identified by the column `by` and possibly the workspace, is in
 * conflict or excluded. */
static bool put_out(struct sync *x, const struct sync_table *child, const char *by,
                    const struct sync_table *parent, const char *key, struct err *e)
{
    bool ws = strcmp(key, "name") == 0 && sync_find_column(child, "workspace") >= 0 &&
              sync_find_column(parent, "workspace") >= 0;
    if (sync_find_column(child, by) < 0 || sync_find_column(parent, key) < 0 || child == parent)
        return true;
    return sync_exec(x, e,
                     "UPDATE @@s_%s AS c SET sync_out = o.why FROM (SELECT p.%s AS k%s, coalesce(p.sync_out, "
                     "%d) AS why FROM "
                     "@@s_%s p LEFT JOIN @@d_%s d ON d.sync_id = p.sync_id WHERE p.sync_out IS NOT NULL OR "
                     "d.conflict <> 0) "
                     "AS o WHERE o.k = c.%s%s AND c.sync_out IS NULL",
                     child->t->name, key, ws ? ", p.workspace AS w" : "", (int)SYNC_OUT_CONFLICT,
                     parent->t->name, parent->t->name, by, ws ? " AND o.w = c.workspace" : "");
}

static const struct {
    unsigned flag;
    enum load_ref ref;
} parents[] = {{FIELD_EXP, REF_EXPERIMENT},
               {FIELD_RUN, REF_RUN},
               {FIELD_TRACE, REF_TRACE},
               {FIELD_MODEL, REF_MODEL},
               {FIELD_REG, REF_REGISTERED}};

/* Excludes the children of rows that are in conflict or excluded. */
static bool put_children_out(struct sync *x, const struct sync_table *t, const struct sync_table *child,
                             struct err *e)
{
    bool ok = true;
    for (size_t i = 0; ok && i < ARRAY_LENGTH(parents); i++) {
        const struct load_ref_desc *d = &load_refs[parents[i].ref];
        if (strcmp(d->table, t->t->name) != 0)
            continue;
        const struct kind_desc *k = &kinds[child->kind];
        for (int f = 0; ok && child->kind != KIND_row && f < k->n_fields; f++)
            if ((k->fields[f].flags & parents[i].flag) && ref_is_hard(k, f))
                ok = put_out(x, child, k->fields[f].column, t, d->columns[0], e);
        for (int r = 0; ok && child->kind == KIND_row && r < row_refs_count; r++)
            if ((row_refs[r].flags & parents[i].flag) && !row_refs[r].by[0] &&
                strcmp(row_refs[r].table, child->t->name) == 0)
                ok = put_out(x, child, row_refs[r].column, t, d->columns[0], e);
    }
    if (ok && strcmp(t->t->name, "inputs") == 0 && strcmp(child->t->name, "input_tags") == 0)
        ok = put_out(x, child, "input_uuid", t, "input_uuid", e);
    if (ok && child->rows && child->kind == KIND_row && strcmp(child->rows->parent, t->t->name) == 0) {
        const char *link = child->rows->link;
        char *column = xstrndup(link, row_next_column(&link));
        ok = put_out(x, child, column, t, column, e);
        free(column);
    }
    return ok;
}

void sync_add_dead_alias(const struct sync *x, const struct sync_table *a, struct buf *out)
{
    const struct sync_table *v = sync_table_named(x, "model_versions");
    const char *ws = sync_find_column(a, "workspace") >= 0 ? " AND v.workspace = s.workspace" : "";
    buf_addf(
        out,
        "NOT EXISTS (SELECT 1 FROM model_versions v WHERE v.name = s.name AND v.version = s.version%s AND "
        "coalesce(v.current_stage, '') <> 'Deleted_Internal')",
        ws);
    if (v)
        buf_addf(
            out,
            " AND NOT EXISTS (SELECT 1 FROM @@s_model_versions v LEFT JOIN model_versions t ON t.name = "
            "v.name AND t.version = v.version%s WHERE v.sync_out IS NULL AND v.name = s.name AND v.version = "
            "s.version%s AND coalesce(v.current_stage, '') <> 'Deleted_Internal' AND "
            "coalesce(t.current_stage, "
            "'') <> 'Deleted_Internal')",
            *ws ? " AND t.workspace = v.workspace" : "", ws);
}

static bool hold_aliases(struct sync *x, const struct sync_table *a, struct err *e)
{
    struct buf dead = {0};
    sync_add_dead_alias(x, a, &dead);
    bool ok = sync_exec(
        x, e, "UPDATE @@s_registered_model_aliases AS s SET sync_out = %d WHERE s.sync_out IS NULL AND %s",
        (int)SYNC_OUT_HELD, buf_str(&dead));
    buf_free(&dead);
    return ok;
}

/* Holds back inputs whose dataset is missing: a run is read after the datasets of its experiment, and both may
 * have been created in between. */
static bool hold_inputs(struct sync *x, struct err *e)
{
    return !(x->delta || x->state_id[0]) ||
           sync_exec(
               x, e,
               "UPDATE @@s_inputs AS s SET sync_out = %d WHERE s.sync_out IS NULL AND s.source_type = "
               "'DATASET' AND NOT EXISTS (SELECT 1 FROM datasets d WHERE d.dataset_uuid = s.source_id)%s",
               (int)SYNC_OUT_HELD,
               sync_table_named(x, "datasets")
                   ? " AND NOT EXISTS (SELECT 1 FROM @@s_datasets d WHERE d.dataset_uuid = s.source_id)"
                   : "");
}

void sync_add_purged(const struct sync_table *t, struct buf *out)
{
    bool parent = kind_has_trait(t->kind, TRAIT_PARENT) && t->kind != KIND_dataset && t->kind != KIND_input;
    if (!parent && t->kind != KIND_assessment)
        return;
    buf_addf(out, "d.added = 1 AND (s.sync_part <> %d", (int)PART_WHOLE);
    if (t->kind == KIND_assessment)
        buf_adds(out, " OR EXISTS (SELECT 1 FROM runs r WHERE r.run_uuid = s.run_id AND r.lifecycle_stage = "
                      "'deleted')");
    buf_addc(out, ')');
}

/* Records that a delta assumes to exist but the target lacks were purged there, and are not restored, nor are
 * their parts; this includes assessments, and those of a deleted run in any case. */
static bool find_purged(struct sync *x, const struct sync_table *t, struct err *e)
{
    struct buf purged = {0};
    if (x->delta)
        sync_add_purged(t, &purged);
    bool ok =
        purged.len == 0 ||
        (sync_exec(
             x, e,
             "UPDATE @@s_%s SET sync_out = %d WHERE sync_id IN (SELECT s.sync_id FROM @@s_%s s JOIN @@d_%s d "
             "ON d.sync_id = s.sync_id WHERE %s)",
             t->t->name, (int)SYNC_OUT_PURGED, t->t->name, t->t->name, buf_str(&purged)) &&
         sync_exec(x, e,
                   "DELETE FROM @@d_%s WHERE sync_id IN (SELECT sync_id FROM @@s_%s WHERE sync_out = %d)",
                   t->t->name, t->t->name, (int)SYNC_OUT_PURGED));
    buf_free(&purged);
    return ok;
}

/* -- the whole comparison */

/* Rows per statement if statements are to be short. */
enum { COMPARED = 20000 };

static bool compare_table(struct sync *x, struct sync_table *t, struct err *e)
{
    int64_t step = x->dialect->slices ? COMPARED : (int64_t)t->n, out, conflicts;
    bool ok = sync_exec(x, e, "DELETE FROM @@d_%s", t->t->name);
    if (ok && strcmp(t->t->name, "registered_model_aliases") == 0)
        ok = hold_aliases(x, t, e);
    if (ok && t->kind == KIND_input)
        ok = hold_inputs(x, e);
    for (int64_t first = 1; ok && first <= (int64_t)t->n; first += step)
        ok =
            err_interrupted() ? err_set_interrupted(e) : sync_compare_range(x, t, first, first + step - 1, e);
    ok = ok && find_purged(x, t, e);
    if (ok && t->kind == KIND_experiment)
        ok = sync_settle_names(x, t, e);
    ok = ok && sync_int(x, &conflicts, e, "SELECT count(*) FROM @@d_%s WHERE conflict <> 0", t->t->name) &&
         sync_int(x, &out, e, "SELECT count(*) FROM @@s_%s WHERE sync_out IS NOT NULL", t->t->name);
    for (int i = 0; ok && conflicts + out > 0 && i < x->n_tables; i++)
        if (x->tables[i] != t)
            ok = put_children_out(x, t, x->tables[i], e);
    return ok;
}

/* Counts of rows, in the order of the columns of the query below. */
enum {
    COUNT_ALL = 1,
    COUNT_ADDED,
    COUNT_CHANGED,
    COUNT_KEPT,
    COUNT_CONFLICT,
    COUNT_HELD,
    COUNT_PURGED,
    COUNT_UNITS
};

static void add_count(const char *condition, struct buf *out)
{
    buf_addf(out, ", coalesce(sum(CASE WHEN %s THEN 1 ELSE 0 END), 0)", condition);
}

static void add_counts(const struct sync_table *t, struct buf *sql)
{
    char condition[128];
    static const char *const plain[] = {
        "s.sync_out IS NULL AND d.added = 1", "s.sync_out IS NULL AND d.changed <> 0 AND d.conflict = 0",
        "s.sync_out IS NULL AND d.changed = 0 AND d.kept <> 0 AND d.conflict = 0"};
    buf_adds(sql, "SELECT s.sync_kind, count(*)");
    for (size_t i = 0; i < ARRAY_LENGTH(plain); i++)
        add_count(plain[i], sql);
    snprintf(condition, sizeof condition, "s.sync_out = %d OR (s.sync_out IS NULL AND d.conflict <> 0)",
             (int)SYNC_OUT_CONFLICT);
    add_count(condition, sql);
    for (int out = SYNC_OUT_HELD; out <= SYNC_OUT_PURGED; out++) {
        snprintf(condition, sizeof condition, "s.sync_out = %d", out);
        add_count(condition, sql);
    }
    for (int i = 0; i < t->n_units; i++) {
        snprintf(condition, sizeof condition, "s.sync_out IS NULL AND (d.changed & %llu) <> 0", 1ull << i);
        add_count(condition, sql);
    }
    buf_addf(sql, " FROM @@s_%s s LEFT JOIN @@d_%s d ON d.sync_id = s.sync_id GROUP BY s.sync_kind",
             t->t->name, t->t->name);
}

static void take_counts(struct sync *x, struct sync_table *t, enum kind k, const uint64_t *n)
{
    struct sync_counts *c = &x->counts[k];
    c->added += n[COUNT_ADDED];
    c->changed += n[COUNT_CHANGED];
    c->kept += n[COUNT_KEPT];
    c->conflicts += n[COUNT_CONFLICT];
    c->held_back += n[COUNT_HELD];
    c->purged += n[COUNT_PURGED];
    c->equal += n[COUNT_ALL];
    for (int i = COUNT_ADDED; i < COUNT_UNITS; i++)
        c->equal -= n[i];
    t->n_added += n[COUNT_ADDED];
    t->n_changed += n[COUNT_CHANGED];
    t->n_kept += n[COUNT_KEPT];
    t->n_conflict += n[COUNT_CONFLICT];
    t->n_held += n[COUNT_HELD];
    for (int i = 0; i < t->n_units; i++)
        t->units[i].changed += n[COUNT_UNITS + i];
}

static bool count_table(struct sync *x, struct sync_table *t, struct err *e)
{
    struct buf sql = {0};
    add_counts(t, &sql);
    struct db_stmt *q = sync_query(x, e, "%s", buf_str(&sql));
    buf_free(&sql);
    int got = q ? 1 : -1;
    t->n_added = t->n_changed = t->n_kept = t->n_conflict = t->n_held = 0;
    for (int i = 0; i < t->n_units; i++)
        t->units[i].changed = 0;
    while (q && (got = db_step(q, e)) == 1) {
        uint64_t n[COUNT_UNITS + SYNC_MAX_UNITS];
        for (int i = 0; i < COUNT_UNITS + t->n_units; i++) {
            struct value v;
            db_column(q, i, &v);
            n[i] = v.type == VALUE_FLOAT ? (uint64_t)v.f : (uint64_t)v.i; /* sum() of bigint is numeric */
        }
        take_counts(x, t, (enum kind)n[0], n);
    }
    db_finalize(q);
    return got == 0;
}

bool sync_compare(struct sync *x, struct err *e)
{
    memset(x->counts, 0, sizeof x->counts);
    for (int i = 0; i < x->n_tables; i++) {
        struct sync_table *t = x->tables[i];
        if (!sync_exec(x, e, "UPDATE @@s_%s SET sync_out = NULL WHERE sync_out IS NOT NULL", t->t->name))
            return false;
    }
    for (int i = 0; i < x->n_tables; i++)
        if (!compare_table(x, x->tables[i], e))
            return false;
    x->any_conflict = false;
    x->changed = x->written;
    for (int i = 0; i < x->n_tables; i++) {
        struct sync_table *t = x->tables[i];
        if (!count_table(x, t, e))
            return false;
        x->any_conflict |= t->n_conflict > 0;
        x->changed |= t->n_added + t->n_changed > 0;
    }
    return true;
}
