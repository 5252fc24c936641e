/* Finds each staged row's counterpart, and maps all ids in the stage to the target's. This is idempotent, so
 * that it can be repeated when the target has changed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "formats/sync/internal.h"

/* -- experiments: m_exp has the ids in the stage, src, and the target's, dst; m_origin the source's and those in
 * the stage, so that an experiment is found by what the source calls it however often this is repeated */

void sync_add_experiment_key(const struct sync_table *t, const char *id, struct buf *out)
{
    buf_addf(out, "CAST(%s AS text) || '/'", id);
    if (sync_find_column(t, "creation_time") >= 0)
        buf_adds(out, " || coalesce(CAST(s.creation_time AS text), '')");
}

#define STAGED_EXPERIMENTS "@@s_experiments s JOIN @@m_origin o ON o.dst = s.experiment_id"
/* Condition on t, an experiment of the target: it has no counterpart in the stage so far. */
#define FREE_EXPERIMENT "NOT EXISTS (SELECT 1 FROM @@m_exp m WHERE m.dst = t.experiment_id)"

/* An id that the state knows with another time of creation was given again: a new experiment. */
static bool find_given_again(struct sync *x, const struct sync_table *t, const char *known, struct err *e)
{
    return sync_find_column(t, "creation_time") < 0 ||
           sync_exec(
               x, e,
               "UPDATE @@s_experiments AS s SET sync_part = %d FROM @@m_origin o WHERE o.dst = "
               "s.experiment_id AND s.sync_part <> %d AND s.creation_time IS NOT NULL AND NOT %s AND EXISTS "
               "(SELECT 1 FROM @@m_state m WHERE m.kind = 'experiment' AND m.key LIKE CAST(o.src AS text) || "
               "'/_%%')",
               (int)PART_WHOLE, (int)PART_WHOLE, known);
}

/* Matches others by what they hold: a killed tick may have brought an experiment that the source has renamed
 * since, and the target may have renamed it before the state was lost. */
static bool match_by_contents(struct sync *x, const struct sync_table *t, struct err *e)
{
    static const char *const tables[][2] = {
        {"runs", "run_uuid"}, {"trace_info", "request_id"}, {"logged_models", "model_id"}};
    const char *workspace = sync_find_column(t, "workspace") >= 0 ? "t.workspace = s.workspace AND " : "";
    bool ok = true;
    for (size_t i = 0; ok && i < ARRAY_LENGTH(tables) && sync_find_column(t, "creation_time") >= 0; i++)
        ok = !sync_table_named(x, tables[i][0]) ||
             sync_exec(x, e,
                       "INSERT INTO @@m_exp (src, dst) SELECT s.experiment_id, min(t.experiment_id) FROM "
                       "@@s_experiments s JOIN experiments t ON %st.creation_time = s.creation_time WHERE %s "
                       "AND " FREE_EXPERIMENT " AND s.sync_part = %d AND EXISTS (SELECT 1 "
                       "FROM @@s_%s a JOIN %s b ON b.%s = a.%s WHERE a.experiment_id = s.experiment_id AND "
                       "b.experiment_id = t.experiment_id) GROUP BY s.experiment_id",
                       workspace, SYNC_OPEN_EXPERIMENT, (int)PART_WHOLE, tables[i][0], tables[i][0],
                       tables[i][1], tables[i][1]);
    return ok;
}

/* Matches experiment 0 first, then by the state's map, by name, and by contents; others that a delta assumes to
 * exist were purged, and get unused ids. */
static bool match_experiments(struct sync *x, struct err *e)
{
    const struct sync_table *t = sync_table_named(x, "experiments");
    const char *workspace = sync_find_column(t, "workspace") >= 0 ? "t.workspace = s.workspace AND " : "";
    struct buf key = {0}, known = {0};
    sync_add_experiment_key(t, "o.src", &key);
    buf_addf(&known, "EXISTS (SELECT 1 FROM @@m_state m WHERE m.kind = 'experiment' AND m.key = %s)",
             buf_str(&key));
    /* each workspace has its own Default, and only one of these has the id 0 */
    const char *elsewhere = *workspace
                                ? " AND NOT EXISTS (SELECT 1 FROM experiments t WHERE t.experiment_id = "
                                  "0 AND t.workspace <> s.workspace)"
                                : "";
    bool ok =
        find_given_again(x, t, buf_str(&known), e) &&
        sync_exec(
            x, e,
            "INSERT INTO @@m_exp (src, dst) SELECT s.experiment_id, s.experiment_id FROM @@s_experiments s "
            "WHERE (s.experiment_id = 0%s) OR s.experiment_id < 0",
            elsewhere) &&
        sync_exec(
            x, e,
            "INSERT INTO @@m_exp (src, dst) SELECT s.experiment_id, t.experiment_id FROM " STAGED_EXPERIMENTS
            " JOIN @@m_state m ON m.kind = 'experiment' AND m.key = %s JOIN experiments t ON t.experiment_id "
            "= "
            "CASE m.kind WHEN 'experiment' THEN CAST(m.value AS bigint) END WHERE " SYNC_OPEN_EXPERIMENT,
            buf_str(&key)) &&
        sync_exec(
            x, e,
            "INSERT INTO @@m_exp (src, dst) SELECT s.experiment_id, t.experiment_id FROM " STAGED_EXPERIMENTS
            " JOIN experiments t ON %st.name = s.name WHERE " SYNC_OPEN_EXPERIMENT " AND " FREE_EXPERIMENT
            " AND (s.sync_part = %d OR NOT %s)",
            workspace, (int)PART_WHOLE, buf_str(&known)) &&
        match_by_contents(x, t, e) &&
        sync_exec(x, e,
                  "INSERT INTO @@m_exp (src, dst) SELECT s.experiment_id, -1000000000 - s.sync_id FROM "
                  "@@s_experiments s WHERE " SYNC_OPEN_EXPERIMENT " AND s.sync_part <> %d",
                  (int)PART_WHOLE);
    buf_free(&key);
    buf_free(&known);
    return ok;
}

/* Gives new experiments the source's id if the dialect can keep it and it is free, else the target's next one.
 * All at once: there may be a million. An id that becomes the next one of another is taken, too. */
static bool number_all_new(struct sync *x, struct err *e)
{
    bool ok = x->dialect->number_experiments(x, x->o.dry_run, e);
    if (!ok || x->dialect->new_ids)
        return ok;
    return sync_exec(x, e,
                     "INSERT INTO @@m_exp (src, dst) SELECT s.experiment_id, s.experiment_id FROM "
                     "@@s_experiments s WHERE " SYNC_OPEN_EXPERIMENT " AND NOT " SYNC_TAKEN_EXPERIMENT) &&
           x->dialect->number_experiments(x, x->o.dry_run, e);
}

/* Maps a column of experiment ids, as numbers or text, optionally only in some rows. */
static bool map_column(struct sync *x, const struct sync_table *t, const char *column, const char *by,
                       const char *text, struct err *e)
{
    int i = sync_find_column(t, column);
    bool is_text = i >= 0 && t->t->columns[i].type == COLUMN_TEXT;
    struct buf where = {0};
    if (*by)
        buf_addf(&where, " AND s.%s = '%s'", by, text);
    bool ok =
        i < 0 ||
        sync_exec(x, e,
                  is_text ? "UPDATE @@s_%s AS s SET %s = CAST(m.dst AS text) FROM @@m_exp m WHERE s.%s = "
                            "CAST(m.src AS text) AND m.src <> m.dst%s"
                          : "UPDATE @@s_%s AS s SET %s = m.dst FROM @@m_exp m WHERE s.%s = m.src AND "
                            "m.src <> m.dst%s",
                  t->t->name, column, column, buf_str(&where));
    buf_free(&where);
    return ok;
}

static bool map_experiments(struct sync *x, struct err *e)
{
    int64_t moved;
    if (!sync_int(x, &moved, e, "SELECT count(*) FROM @@m_exp WHERE src <> dst"))
        return false;
    bool ok = true;
    for (int i = 0; ok && moved && i < x->n_tables; i++) {
        const struct sync_table *t = x->tables[i];
        if (t->kind != KIND_row)
            ok = map_column(x, t, "experiment_id", "", "", e);
        for (int r = 0; ok && t->rows && t->kind == KIND_row && r < row_refs_count; r++)
            if ((row_refs[r].flags & FIELD_EXP) && strcmp(row_refs[r].table, t->t->name) == 0)
                ok = map_column(x, t, row_refs[r].column, row_refs[r].by, row_refs[r].text, e);
    }
    return ok;
}

static bool identify_experiments(struct sync *x, bool first, struct err *e)
{
    if (!sync_table_named(x, "experiments"))
        return true;
    return (!first || sync_exec(x, e,
                                "INSERT INTO @@m_origin (src, dst) SELECT experiment_id, experiment_id FROM "
                                "@@s_experiments")) &&
           match_experiments(x, e) && number_all_new(x, e) &&
           sync_exec(x, e, "UPDATE @@m_origin AS o SET dst = m.dst FROM @@m_exp m WHERE m.src = o.dst") &&
           map_experiments(x, e);
}

/* -- other ids: m_ids has those of one table, old and new */

bool sync_add_natural_join(const struct sync_table *t, const char **id, struct buf *out)
{
    const char *natural = t->kind == KIND_dataset ? "experiment_id,name,digest"
                          : t->kind == KIND_input ? "source_type,source_id,destination_type,destination_id"
                          : t->kind == KIND_row && t->t->n_key == 1 ? merge_natural_key(t->t->name)
                                                                    : NULL;
    if (!natural)
        return false;
    *id = t->kind == KIND_dataset ? "dataset_uuid"
          : t->kind == KIND_input ? "input_uuid"
                                  : t->t->columns[t->t->key[0]].name;
    for (size_t n, from = out->len; (n = row_next_column(&natural)); natural += n) {
        char *column = xstrndup(natural, n);
        if (sync_find_column(t, column) >= 0)
            buf_addf(out, "%ss.%s = t.%s", out->len > from ? " AND " : "", column, column);
        free(column);
    }
    return true;
}

/* Gives rows whose natural key is in the target that row's id. False with *id NULL: the table has none. */
static bool match_ids(struct sync *x, const struct sync_table *t, const char **id, struct err *e)
{
    struct buf join = {0};
    *id = NULL;
    bool ok = sync_add_natural_join(t, id, &join) && sync_exec(x, e, "DELETE FROM @@m_ids") &&
              sync_exec(x, e,
                        "INSERT INTO @@m_ids (src, dst) SELECT s.%s, t.%s FROM @@s_%s s JOIN %s t ON %s "
                        "WHERE s.%s <> t.%s",
                        *id, *id, t->t->name, t->t->name, buf_str(&join), *id, *id);
    buf_free(&join);
    return ok;
}

static bool map_ids(struct sync *x, const char *table, const char *column, const char *where, struct err *e)
{
    const struct sync_table *t = sync_table_named(x, table);
    return !t || sync_find_column(t, column) < 0 ||
           sync_exec(x, e, "UPDATE @@s_%s AS s SET %s = m.dst FROM @@m_ids m WHERE s.%s = m.src%s", table,
                     column, column, where);
}

/* Gives new rows whose id is taken in the target a new one, derived from their key so that it is always the
 * same. */
static bool renew_ids(struct sync *x, const struct sync_table *t, const char *id, const char *made_of,
                      struct err *e)
{
    struct buf join = {0};
    sync_add_join(t, "s", "k", &join);
    bool ok = sync_exec(
        x, e,
        "INSERT INTO @@m_ids (src, dst) SELECT s.%s, %s FROM @@s_%s s WHERE EXISTS (SELECT 1 FROM %s o WHERE "
        "o.%s = s.%s) AND NOT EXISTS (SELECT 1 FROM %s k WHERE %s)",
        id, made_of, t->t->name, t->t->name, id, id, t->t->name, buf_str(&join));
    buf_free(&join);
    return ok;
}

/* A delta's inputs may belong to datasets that it does not contain: maps their ids by the state's map. Inputs
 * of missing datasets are excluded. */
static bool find_datasets(struct sync *x, struct err *e)
{
    const char *staged = sync_table_named(x, "datasets")
                             ? " AND NOT EXISTS (SELECT 1 FROM @@s_datasets d WHERE "
                               "d.dataset_uuid = s.source_id)"
                             : "";
    return sync_exec(
        x, e,
        "UPDATE @@s_inputs AS s SET source_id = m.value FROM @@m_state m WHERE s.source_type = 'DATASET' AND "
        "m.kind = 'dataset' AND m.key = s.source_id%s",
        staged);
}

static bool identify_datasets(struct sync *x, bool first, struct err *e)
{
    const struct sync_table *t = sync_table_named(x, "datasets");
    const char *id;
    if (first && sync_table_named(x, "inputs") && !find_datasets(x, e))
        return false;
    if (t &&
        !(match_ids(x, t, &id, e) && renew_ids(x, t, "dataset_uuid", x->dialect->derived_dataset, e) &&
          sync_exec(x, e, "UPDATE @@m_datasets AS o SET dst = m.dst FROM @@m_ids m WHERE m.src = o.dst") &&
          sync_exec(
              x, e,
              "INSERT INTO @@m_datasets (src, dst) SELECT src, dst FROM @@m_ids WHERE dst NOT IN (SELECT "
              "dst FROM @@m_datasets)") &&
          map_ids(x, "inputs", "source_id", " AND s.source_type = 'DATASET'", e) &&
          map_ids(x, "logged_model_metrics", "dataset_uuid", "", e) &&
          map_ids(x, "datasets", "dataset_uuid", "", e)))
        return false;
    t = sync_table_named(x, "inputs");
    return !t || (match_ids(x, t, &id, e) && map_ids(x, "input_tags", "input_uuid", "", e) &&
                  map_ids(x, "inputs", "input_uuid", "", e));
}

/* Identifies rows of tables with a natural key, parents first. */
static bool identify_rows(struct sync *x, struct err *e)
{
    for (int i = 0; i < x->n_tables; i++) {
        const struct sync_table *t = x->tables[i];
        const char *id;
        if (t->kind != KIND_row)
            continue;
        if (!match_ids(x, t, &id, e)) {
            if (id)
                return false;
            continue;
        }
        for (int k = 0; k < merge_links_count; k++)
            if (strcmp(merge_links[k].to, t->t->name) == 0 &&
                !map_ids(x, merge_links[k].table, merge_links[k].column, "", e))
                return false;
        if (!map_ids(x, t->t->name, id, "", e))
            return false;
    }
    return true;
}

/* -- columns derived from ids */

static bool look_up(struct sync *x, const struct sync_table *t, const struct load_column *c, bool in_stage,
                    struct err *e)
{
    struct buf sql = {0};
    const char *at = c->look_up, *from = strstr(at, " FROM ") + 6, *open;
    size_t table_len = strcspn(from, " ");
    char *table = xstrndup(from, table_len);
    bool ok = true;
    if (!in_stage || sync_table_named(x, table)) {
        buf_addf(&sql, "UPDATE @@s_%s SET %s = (%.*s%s", t->t->name, c->name, (int)(from - at), at,
                 in_stage ? "@@s_" : "");
        for (at = from; (open = strchr(at, '{')); at = strchr(open, '}') + 1)
            buf_addf(&sql, "%.*ss_%s.%.*s", (int)(open - at), at, t->t->name,
                     (int)(strchr(open, '}') - open) - 1, open + 1);
        buf_addf(&sql, "%s) WHERE %s IS NULL AND %s", at, c->name, c->look_up_if);
        ok = sync_exec(x, e, "%s", buf_str(&sql));
    }
    free(table);
    buf_free(&sql);
    return ok;
}

static bool look_up_all(struct sync *x, struct err *e)
{
    for (int i = 0; i < x->n_tables; i++)
        for (int c = 0; c < x->tables[i]->t->n_columns; c++) {
            const struct load_column *column = &x->tables[i]->t->columns[c];
            if (column->look_up &&
                !(look_up(x, x->tables[i], column, true, e) && look_up(x, x->tables[i], column, false, e)))
                return false;
        }
    return true;
}

/* Gives assessments the time of their trace in the target, which may differ from the stream's. If the trace's
 * time changes, apply.c updates them. */
static bool date_assessments(struct sync *x, const struct sync_table *t, const char *range, struct err *e)
{
    return sync_find_column(t, "trace_timestamp_ms") < 0 ||
           sync_exec(x, e,
                     "UPDATE @@s_assessments AS s SET trace_timestamp_ms = t.timestamp_ms FROM trace_info t "
                     "WHERE t.request_id = s.trace_id%s",
                     range);
}

/* An assessment overridden by one in the target is not valid. overrides has no index: the assessments of the
 * traces are read once, not once for each assessment. */
static bool judge_assessments(struct sync *x, const char *range, struct err *e)
{
    return sync_exec(
        x, e,
        "UPDATE @@s_assessments AS s SET valid = (1 = 0) WHERE s.valid = (1 = 1) AND (s.trace_id, "
        "s.assessment_id) IN (SELECT o.trace_id, o.overrides FROM assessments o WHERE o.overrides IS NOT "
        "NULL AND o.trace_id IN (SELECT s.trace_id FROM @@s_assessments s WHERE s.valid = (1 = 1)%s))%s",
        range, range);
}

bool sync_judge_range(struct sync *x, const struct sync_table *t, int64_t first, int64_t last, struct err *e)
{
    char range[96];
    snprintf(range, sizeof range, " AND s.sync_id BETWEEN %lld AND %lld", (long long)first, (long long)last);
    if (t->kind == KIND_assessment)
        return date_assessments(x, t, range, e) && judge_assessments(x, range, e);
    return sync_unite_range(x, t, first, last, e);
}

bool sync_identify(struct sync *x, bool first, struct err *e)
{
    const struct sync_table *t = sync_table_named(x, "assessments");
    return sync_exec(x, e, "DELETE FROM @@m_exp") && identify_experiments(x, first, e) &&
           identify_datasets(x, first, e) && identify_rows(x, e) && sync_identify_versions(x, first, e) &&
           look_up_all(x, e) && (!t || (date_assessments(x, t, "", e) && judge_assessments(x, "", e))) &&
           sync_unite(x, e);
}
