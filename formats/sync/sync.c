/* A sync, from the first record to the report. */
#include "formats/sync/sync.h"

#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "formats/sync/internal.h"

static const struct sync_dialect *const dialects[] = {
    [DIALECT_SQLITE] = &sync_sqlite,
    [DIALECT_POSTGRESQL] = &sync_postgres,
};

struct sync *sync_new(struct db *db, int rev, const struct sync_options *o, struct err *e)
{
    struct load_options how = {
        .tmpdir = o->tmpdir, .any_ids = true, .spans_in_database = o->spans_in_database};
    struct load *load = load_new(db, rev, &how, e);
    if (!load)
        return NULL;
    struct sync *x = xcalloc(1, sizeof *x);
    x->db = db;
    x->rev = rev;
    x->o = *o;
    x->load = load;
    x->dialect = dialects[db_dialect(db)];
    return x;
}

void sync_free(struct sync *x)
{
    if (!x)
        return;
    if (x->begun)
        db_rollback(x->db);
    load_free(x->load);
    state_promotion_free(x->promotion);
    state_close(x->state);
    for (int i = 0; i < x->n_tables; i++) {
        free(x->tables[i]->staged_name);
        free(x->tables[i]);
    }
    buf_free(&x->overwritten);
    buf_free(&x->conflicts);
    free(x);
}

/* -- reading */

bool sync_add(struct sync *x, const struct record *r, struct err *e)
{
    const struct row_table *rows = r->kind->kind == KIND_row ? row_table_of(r) : NULL;
    if (rows && (rows->flags & ROW_SERVER))
        return true;
    if (rows && (rows->flags & ROW_ACTING) && !x->o.acting) {
        x->acting++;
        return true;
    }
    if (r->kind->kind == KIND_experiment_tag && value_is_text(&r->v[F_experiment_tag_key]) &&
        r->v[F_experiment_tag_key].len > strlen(MERGE_WATERMARK) &&
        memcmp(r->v[F_experiment_tag_key].s, MERGE_WATERMARK, strlen(MERGE_WATERMARK)) == 0)
        return true; /* belongs to another target */
    x->skipped += r->kind->kind == KIND_skipped;
    return load_add(x->load, r, e);
}

/* -- comparing and writing */

/* Creates maps of ids: m_exp for experiments, from the stage to the target, and m_origin, from the source to
 * the stage; m_datasets; m_ids for other tables, one at a time; m_versions and m_numbers, likewise, for model
 * versions; and m_state, the state's map. */
static bool make_maps(struct sync *x, struct err *e)
{
#define VERSION_MAP                                                                                          \
    "CAST('' AS text) AS name, CAST('' AS text) AS workspace, CAST(0 AS bigint) AS src, CAST(0 AS bigint) "  \
    "AS dst"
    static const struct {
        const char *name, *columns;
    } maps[] = {
        {"m_exp", "CAST(0 AS bigint) AS src, CAST(0 AS bigint) AS dst"},
        {"m_origin", "CAST(0 AS bigint) AS src, CAST(0 AS bigint) AS dst"},
        {"m_ids", "CAST('' AS text) AS src, CAST('' AS text) AS dst"},
        {"m_datasets", "CAST('' AS text) AS src, CAST('' AS text) AS dst"},
        {"m_versions", VERSION_MAP},
        {"m_numbers", VERSION_MAP},
        {"m_state", "CAST('' AS text) AS kind, CAST('' AS text) AS key, CAST('' AS text) AS value"},
    };
    const char *const *c = x->dialect->create;
    for (size_t i = 0; i < ARRAY_LENGTH(maps); i++)
        if (!sync_exec(x, e, "%s%s%sSELECT %s WHERE 0 = 1", c[0], maps[i].name, c[1], maps[i].columns))
            return false;
    for (int i = 0; i < 2; i++) {
        static const char *const column[] = {"src", "dst"};
        if (!sync_exec(x, e, "CREATE INDEX %sm_exp_%s ON %sm_exp (%s)", x->dialect->index[0], column[i],
                       x->dialect->index[1], column[i]))
            return false;
    }
    return sync_fill_map(x, e);
}

static bool report_values(struct sync *x, bool conflicts, struct err *e)
{
    for (int i = 0; i < x->n_tables; i++) {
        struct sync_table *t = x->tables[i];
        bool any = conflicts ? t->n_conflict > 0 : t->n_changed > 0;
        if (any && !sync_report_values(x, t, conflicts, e))
            return false;
    }
    return true;
}

/* Reports conflicts; false if they prevent writing. */
static bool judge_conflicts(struct sync *x, struct err *e)
{
    if (!x->any_conflict && !x->name_conflicts)
        return true;
    if (!report_values(x, true, e))
        return false;
    x->quiet = true;
    if (x->n_reported > SYNC_MAX_REPORTED)
        err_print(NULL, "... and %llu more conflicts",
                  (unsigned long long)(x->n_reported - SYNC_MAX_REPORTED));
    if (x->o.on_conflict == SYNC_SKIP)
        return true;
    err_set(e, db_display(x->db),
            x->written ? "conflicts: the rest was not written" : "conflicts: nothing was written");
    return err_hint(e, "--on-conflict skip leaves out records in conflict; rename and renumber resolve taken "
                       "names and version numbers");
}

/* Identifies, compares, checks conflicts, then writes. *again: the target has changed meanwhile. */
static bool attempt(struct sync *x, bool first, bool *again, struct err *e)
{
    *again = false;
    x->renamed = x->renumbered = 0;
    x->next_generation = 0;
    if (!sync_identify(x, first, e) || !sync_compare(x, e) || !judge_conflicts(x, e))
        return false;
    if (!x->o.prefer_target && !x->delta && x->n_overwritten == 0 && !report_values(x, false, e))
        return false;
    if (!sync_report_renamed_models(x, e) || !sync_note_promotion(x, e))
        return false;
    bool write = (x->changed || sync_must_mark(x)) && !x->o.dry_run;
    return write ? x->dialect->write(x, again, e) : x->dialect->end(x, e);
}

/* Whether the stream had records that make rows. */
static bool has_rows(const struct sync *x)
{
    const struct load_tables *all = load_tables(x->load);
    for (int i = 0; i < all->n; i++)
        if (all->items[i].filled)
            return true;
    return false;
}

bool sync_run(struct sync *x, struct err *e)
{
    bool again = true;
    if (!load_check(x->load, e) || !sync_open_state(x, e) || !sync_read_watermark(x, e) ||
        !sync_check_base(x, e))
        return false;
    if (!has_rows(x))
        return true;
    bool ok = x->dialect->begin(x, e) && sync_read_watermark(x, e) && sync_check_base(x, e) &&
              make_maps(x, e) && sync_fill_stage(x, e) && x->dialect->staged(x, e);
    for (bool first = true; ok && again; first = false)
        ok = (first || x->dialect->restart(x, e)) && attempt(x, first || !x->dialect->slices, &again, e);
    return ok;
}

bool sync_changed(const struct sync *x)
{
    return x->changed;
}

const struct sync_counts *sync_counts(const struct sync *x, enum kind k)
{
    return &x->counts[k];
}

bool sync_left_out(const struct sync *x)
{
    return x->any_conflict || x->name_conflicts || x->skipped;
}
