/* Handles renames in the source: of experiments whose new name is taken in the target, and of registered
 * models. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/sync/internal.h"

struct clash {
    int64_t sync_id, id, other;
    char *name, *now; /* in the source, and in the target */
};

static char *text_of(struct db_stmt *q, int i)
{
    struct value v;
    db_column(q, i, &v);
    return value_is_text(&v) ? xstrndup(v.s, v.len) : xstrdup("");
}

/* Reads the next one; 1, 0: no more, -1. */
static int next_clash(struct db_stmt *q, struct clash *c, struct err *e)
{
    struct value v = value_int(c->sync_id);
    db_reset(q);
    db_bind(q, 1, &v);
    int got = db_step(q, e);
    if (got != 1)
        return got;
    db_column(q, 0, &v);
    c->sync_id = v.i;
    db_column(q, 1, &v);
    c->id = v.i;
    c->name = text_of(q, 2);
    c->now = text_of(q, 3);
    db_column(q, 4, &v);
    c->other = v.i;
    db_reset(q);
    return 1;
}

/* Gives the staged row the first free name of the form "NAME (2)", as ml-transform --merge does. */
static bool take_free_name(struct sync *x, const char *ws, const struct clash *c, bool *same, struct err *e)
{
    struct db_stmt *find =
        sync_query(x, e,
                   "SELECT 1 FROM experiments o, @@s_experiments s WHERE o.name = ?1 AND s.sync_id = ?2 "
                   "AND o.experiment_id <> s.experiment_id%s",
                   ws);
    struct db_stmt *set =
        find ? sync_query(x, e, "UPDATE @@s_experiments SET name = ?1 WHERE sync_id = ?2") : NULL;
    int taken = set ? 1 : -1;
    for (int n = 2; taken == 1; n++) {
        char *name = xasprintf("%s (%d)", c->name, n);
        struct value v[] = {value_str(name), value_int(c->sync_id)};
        db_bind(find, 1, &v[0]);
        db_bind(find, 2, &v[1]);
        taken = db_step(find, e);
        db_reset(find);
        if (taken == 0) {
            *same = strcmp(name, c->now) == 0;
            db_bind(set, 1, &v[0]);
            db_bind(set, 2, &v[1]);
            taken = db_step(set, e) < 0 ? -1 : 0;
        }
        free(name);
    }
    db_finalize(find);
    db_finalize(set);
    return taken == 0;
}

/* Keeps the target's name; `count`: as a value kept. */
static bool keep_name(struct sync *x, const struct clash *c, unsigned long long bit, bool count,
                      struct err *e)
{
    return sync_exec(
        x, e, "UPDATE @@d_experiments SET changed = changed - %llu, kept = kept + %llu WHERE sync_id = %lld",
        bit, count ? bit : 0ull, (long long)c->sync_id);
}

static bool settle(struct sync *x, const char *ws, const struct clash *c, unsigned long long bit,
                   struct err *e)
{
    bool same = false;
    if (x->o.on_conflict == SYNC_RENAME) {
        if (!take_free_name(x, ws, c, &same, e))
            return false;
        x->renamed += !same;
        return !same || keep_name(x, c, bit, false, e);
    }
    char where[64];
    snprintf(where, sizeof where, "Experiment %lld", (long long)c->id);
    struct value name = value_str(c->name), now = value_str(c->now);
    struct buf what = {0};
    buf_addf(&what, "its name is also that of experiment %lld", (long long)c->other);
    sync_report_conflict(x, where, "name", &name, &now, buf_str(&what));
    buf_free(&what);
    x->name_conflicts++;
    int64_t src = c->id;
    if (x->promotion &&
        !sync_int(x, &src, e, "SELECT min(src) FROM @@m_origin WHERE dst = %lld", (long long)c->id))
        return false;
    int n = snprintf(where, sizeof where, "%lld", (long long)src);
    if (x->promotion)
        state_promotion_unsent(x->promotion, KIND_experiment, where, (size_t)n);
    return keep_name(x, c, bit, true, e);
}

bool sync_settle_names(struct sync *x, struct sync_table *t, struct err *e)
{
    int column = sync_find_column(t, "name");
    unsigned long long bit = 1ull << t->columns[column].unit;
    const char *ws = sync_find_column(t, "workspace") >= 0 ? " AND o.workspace = s.workspace" : "";
    struct db_stmt *q = sync_query(x, e,
                                   "SELECT s.sync_id, s.experiment_id, s.name, t.name, o.experiment_id FROM "
                                   "@@s_experiments s JOIN @@d_experiments d "
                                   "ON d.sync_id = s.sync_id JOIN experiments t ON t.experiment_id = "
                                   "s.experiment_id JOIN experiments o ON o.name = "
                                   "s.name AND o.experiment_id <> s.experiment_id%s WHERE (d.changed & %llu) "
                                   "<> 0 AND s.sync_id > ?1 ORDER BY s.sync_id "
                                   "LIMIT 1",
                                   ws, bit);
    struct clash c = {0};
    int got = q ? 1 : -1;
    x->name_conflicts = 0;
    while (q && (got = next_clash(q, &c, e)) == 1) {
        bool ok = settle(x, ws, &c, bit, e);
        free(c.name);
        free(c.now);
        if (!ok) {
            got = -1;
            break;
        }
    }
    db_finalize(q);
    return got == 0;
}

/* A rename keeps the time of creation. What the stream has under the old name, too, was not renamed. */
bool sync_report_renamed_models(struct sync *x, struct err *e)
{
    const struct sync_table *t = sync_table_named(x, "registered_models");
    if (!t || t->n_added == 0 || x->renames_reported)
        return true;
    x->renames_reported = true;
    bool ws = sync_find_column(t, "workspace") >= 0;
    struct db_stmt *q =
        sync_query(x, e,
                   "SELECT s.name, t.name FROM @@s_registered_models s JOIN @@d_registered_models d ON "
                   "d.sync_id = s.sync_id "
                   "JOIN registered_models t ON t.creation_time = s.creation_time AND t.name <> s.name%s "
                   "WHERE d.added = 1 AND "
                   "s.sync_out IS NULL AND NOT EXISTS (SELECT 1 FROM @@s_registered_models o WHERE o.name = "
                   "t.name%s) ORDER BY "
                   "s.sync_id, t.name",
                   ws ? " AND t.workspace = s.workspace" : "", ws ? " AND o.workspace = t.workspace" : "");
    int got = q ? 1 : -1;
    while (q && (got = db_step(q, e)) == 1) {
        char *name = text_of(q, 0), *old = text_of(q, 1), *where = xasprintf("Registered model %s", name);
        err_warn(where,
                 "was created at the time of '%s', which the source no longer has; if it was renamed there, "
                 "both exist here",
                 old);
        free(where);
        free(old);
        free(name);
    }
    db_finalize(q);
    return got == 0;
}
