/* Ticks: streams of a producer that keeps a state of its source, and the target's record of it (the
 * watermark). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "formats/record/references.h"
#include "formats/state/doubt.h"
#include "formats/state/promote.h"
#include "formats/sync/internal.h"

/* -- the stream */

bool sync_segment(struct sync *x, const struct wire_header *h, struct err *e)
{
    load_segment(x->load, h);
    x->delta |= wire_is_delta(h);
    if (h->has_base && !h->state[0])
        return err_set(e, "standard input", "the stream is a delta without the id of its state");
    if (x->segments++ == 0) {
        snprintf(x->state_id, sizeof x->state_id, "%s", h->state);
        snprintf(x->tick, sizeof x->tick, "%s", h->tick);
        x->has_base = h->has_base;
        x->base = h->base;
    } else if (x->state_id[0] || h->state[0]) {
        err_set(e, "standard input", "a stream with a state must have only one segment");
        return err_hint(e, "sync them one after another");
    }
    return true;
}

/* -- the state */

static bool fill_map(struct sync *x, struct err *e)
{
    struct state_cursor c;
    struct state_map_entry m;
    int got = 0;
    struct db_stmt *q = sync_query(x, e, "INSERT INTO @@m_state (kind, key, value) VALUES (?1, ?2, ?3)");
    if (!q)
        return false;
    state_cursor_init(&c, x->state);
    while ((got = state_map_next(&c, &m, e)) == 1) {
        struct value v[] = {value_text(m.kind.s, m.kind.len), value_text(m.key.s, m.key.len),
                            value_text(m.value.s, m.value.len)};
        for (int i = 0; i < 3; i++)
            db_bind(q, i + 1, &v[i]);
        if (db_step(q, e) < 0) {
            got = -1;
            break;
        }
    }
    state_cursor_free(&c);
    db_finalize(q);
    return got == 0;
}

/* Notes which state the promotion replaces: after a full stream another one, whose record nobody needs any more. */
static void note_replaced(struct sync *x)
{
    struct err why; /* one that cannot be read was of no use before */
    struct state *old = state_open(x->o.promote_to, NULL, &why);
    if (old && strcmp(state_head(old)->id, x->state_id) != 0)
        snprintf(x->replaced_id, sizeof x->replaced_id, "%s", state_head(old)->id);
    state_close(old);
}

bool sync_open_state(struct sync *x, struct err *e)
{
    if (!x->o.promote_new)
        return true;
    if (!x->state_id[0])
        return err_set(e, "standard input", "the stream has no state to promote");
    x->state = state_open(x->o.promote_new, NULL, e);
    if (!x->state)
        return false;
    if (strcmp(state_head(x->state)->id, x->state_id) != 0) {
        err_set(e, x->o.promote_new, "the state does not belong to the stream");
        return err_hint(e, "name the file that mlruns-dump --next-state wrote with the stream");
    }
    if (x->tick[0] && strcmp(state_head(x->state)->tick, x->tick) != 0) {
        err_set(e, x->o.promote_new,
                "the state and the stream are of different ticks: two ticks use the state at the same time");
        return err_hint(e, "nothing was written; the next tick sends these changes again");
    }
    x->promotion = state_promotion_new(x->state, x->o.tmpdir);
    note_replaced(x);
    return true;
}

bool sync_fill_map(struct sync *x, struct err *e)
{
    return !x->state || fill_map(x, e);
}

/* -- the watermark */

bool sync_read_watermark(struct sync *x, struct err *e)
{
    bool there;
    x->watermark = (struct sync_watermark){0};
    if (!x->state_id[0])
        return true;
    if (!db_table_exists(x->db, "experiment_tags", &there, e))
        return false;
    if (!there) {
        err_set(e, db_display(x->db),
                "the schema has no experiment tags, in which a sync stores its generation");
        return err_hint(e, "run ml-schema upgrade");
    }
    struct db_stmt *q =
        sync_query(x, e, "SELECT experiment_id, value FROM experiment_tags WHERE key = '%s%s'",
                   MERGE_WATERMARK, x->state_id);
    int got = q ? db_step(q, e) : -1;
    if (got == 1) {
        struct value id, value;
        char text[128] = "";
        db_column(q, 0, &id);
        db_column(q, 1, &value);
        if (value_is_text(&value) && value.len < sizeof text)
            memcpy(text, value.s, value.len);
        x->watermark.there = sscanf(text, "%" SCNd64 ",%" SCNd64 ",%32[0-9a-f]", &x->watermark.generation,
                                    &x->watermark.previous, x->watermark.tick) >= 2;
        x->watermark.experiment = id.i;
        db_reset(q);
    }
    db_finalize(q);
    return got >= 0;
}

/* Whether the target is where the stream begins, or at what a tick made of that which was not promoted. If the state
 * does not know of that tick (it is a copy's), what the tick has brought may differ from both sides and not be in
 * the stream: after a promotion nobody would send it again. */
static bool is_at_base(const struct sync *x)
{
    const struct sync_watermark *w = &x->watermark;
    if (!w->there || x->base == w->generation)
        return w->there;
    return x->base == w->previous && (!x->state || !w->tick[0] || state_doubts(x->state, w->tick));
}

bool sync_check_base(struct sync *x, struct err *e)
{
    const struct sync_watermark *w = &x->watermark;
    if (!x->has_base || is_at_base(x))
        return true;
    x->refused_base = true;
    if (w->there)
        err_set(e, db_display(x->db),
                "base: the stream has the changes since generation %" PRId64
                ", but the target is at %" PRId64,
                x->base, w->generation);
    else
        err_set(e, db_display(x->db),
                "base: the stream has the changes since generation %" PRId64
                ", which is unknown to the target",
                x->base);
    return err_hint(
        e, "the target was restored, emptied or replaced: send a full stream, with --next-state and without "
           "--since");
}

bool sync_refused_base(const struct sync *x)
{
    return x->refused_base;
}

bool sync_must_mark(const struct sync *x)
{
    return x->state_id[0] && (x->changed || !x->watermark.there);
}

bool sync_write_watermark(struct sync *x, struct err *e)
{
    struct sync_watermark *w = &x->watermark;
    if (!sync_must_mark(x))
        return true;
    int64_t next = (w->there && w->generation > x->base ? w->generation : x->base) + 1;
    /* The state that is kept until this tick is promoted; several in a row may not be. */
    int64_t last = x->has_base ? x->base : next - 1;
    int64_t experiments = 1;
    const char *comma = x->tick[0] ? "," : "";
    bool ok =
        w->there
            ? sync_exec(x, e,
                        "UPDATE experiment_tags SET value = '%" PRId64 ",%" PRId64
                        "%s%s' WHERE key = '%s%s' AND "
                        "experiment_id = %" PRId64,
                        next, last, comma, x->tick, MERGE_WATERMARK, x->state_id, w->experiment)
            : sync_exec(x, e,
                        "INSERT INTO experiment_tags (key, value, experiment_id) SELECT '%s%s', '%" PRId64
                        ",%" PRId64 "%s%s', min(experiment_id) FROM experiments HAVING count(*) > 0",
                        MERGE_WATERMARK, x->state_id, next, last, comma, x->tick) &&
                  sync_int(x, &experiments, e, "SELECT count(*) FROM experiments");
    if (ok && x->replaced_id[0])
        ok = sync_exec(x, e, "DELETE FROM experiment_tags WHERE key = '%s%s'", MERGE_WATERMARK,
                       x->replaced_id);
    if (ok && experiments > 0)
        x->next_generation = next;
    return ok;
}

/* -- promotion: collected before the commit, which may drop the stage */

static bool note_map(struct sync *x, const char *kind, const char *sql, struct err *e)
{
    struct db_stmt *q = sync_query(x, e, "%s", sql);
    int got = q ? 1 : -1;
    while (q && (got = db_step(q, e)) == 1) {
        struct value key, value;
        db_column(q, 0, &key);
        db_column(q, 1, &value);
        struct state_map_entry m = {{kind, strlen(kind)}, {key.s, key.len}, {value.s, value.len}};
        if (!state_promotion_map(x->promotion, &m, e)) {
            got = -1;
            break;
        }
    }
    db_finalize(q);
    return got == 0;
}

/* Marks units with rows that were not written: the next tick sends them in full. */
static bool note_unsent(struct sync *x, const struct sync_table *t, struct err *e)
{
    const char *column, *key;
    const struct sync_table *parent = t;
    int own = ref_own_field(&kinds[t->kind]);
    if (t->kind == KIND_row || t->kind == KIND_input_tag || t->n_conflict + t->n_held == 0)
        return true;
    if (own >= 0)
        column = kinds[t->kind].fields[own].column;
    else
        parent = sync_parent_of(x, t, &column, &key);
    if (!parent || sync_find_column(t, column) < 0)
        return true;
    bool experiment = parent->kind == KIND_experiment;
    struct db_stmt *q =
        sync_query(x, e,
                   "SELECT DISTINCT CAST(%s AS text) FROM @@s_%s s LEFT JOIN @@d_%s d ON d.sync_id = "
                   "s.sync_id LEFT JOIN @@m_origin m ON m.dst = %s WHERE d.conflict <> 0 OR s.sync_out IN "
                   "(%d, %d)",
                   experiment ? "m.src" : column, t->t->name, t->t->name,
                   experiment ? "s.experiment_id" : "NULL", (int)SYNC_OUT_CONFLICT, (int)SYNC_OUT_HELD);
    int got = q ? 1 : -1;
    while (q && (got = db_step(q, e)) == 1) {
        struct value id;
        db_column(q, 0, &id);
        if (value_is_text(&id))
            state_promotion_unsent(x->promotion,
                                   parent->kind == KIND_prompt ? KIND_registered_model : parent->kind, id.s,
                                   id.len);
    }
    db_finalize(q);
    return got == 0;
}

static bool note_maps(struct sync *x, struct err *e)
{
    const struct sync_table *t = sync_table_named(x, "experiments");
    struct buf sql = {0};
    bool ok = true;
    if (t) {
        buf_adds(&sql, "SELECT ");
        sync_add_experiment_key(t, "m.src", &sql);
        buf_adds(
            &sql,
            ", CAST(m.dst AS text) FROM @@m_origin m JOIN @@s_experiments s ON s.experiment_id = m.dst WHERE "
            "s.sync_out IS NULL AND m.dst >= 0");
        ok = note_map(x, "experiment", buf_str(&sql), e);
    }
    buf_free(&sql);
    return ok && note_map(x, "dataset", "SELECT src, dst FROM @@m_datasets", e) &&
           note_map(x, "model_version",
                    "SELECT workspace || '/' || name || '/' || CAST(src AS text), CAST(dst AS text) FROM "
                    "@@m_numbers",
                    e);
}

bool sync_note_promotion(struct sync *x, struct err *e)
{
    bool ok = !x->promotion || note_maps(x, e);
    for (int i = 0; ok && x->promotion && i < x->n_tables; i++)
        ok = note_unsent(x, x->tables[i], e);
    return ok;
}

bool sync_promote(struct sync *x, struct err *e)
{
    int64_t generation = x->next_generation ? x->next_generation : x->watermark.generation;
    /* A target without experiments has no place for the generation: the next tick sends everything again. */
    bool marked = x->next_generation || x->watermark.there;
    return !x->promotion || x->o.dry_run || !marked ||
           state_promotion_commit(x->promotion, (uint64_t)generation, x->o.promote_to, e);
}
