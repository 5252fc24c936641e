/* The plan of a tick: merges units of the walk and of the state, in order. */
#include "formats/filestore/tick_plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tick_plan {
    const struct mlruns *m;
    struct state_cursor cursor;
    struct state_unit next;
    bool has_next;
    bool failed; /* error says why */
    struct err error;
    struct buf key;
    struct buf missed; /* id of the experiment last searched for because no listing had it */
    bool is_missed;    /* it exists nevertheless */
    uint64_t last;     /* place of the experiment that was found last */
};

/* -- the state's units */

struct old_unit {
    unsigned flags;
    uint64_t from, to;
};

static void read_next(struct tick_plan *p)
{
    int got = state_unit_next(&p->cursor, &p->next, &p->error);
    p->failed |= got < 0;
    p->has_next = got > 0;
}

/* Reads the next one. */
static struct old_unit take(struct tick_plan *p)
{
    struct old_unit old = {.flags = p->next.flags, .from = p->next.from};
    read_next(p);
    old.to = p->has_next ? p->next.from : p->cursor.next;
    return old;
}

struct tick_plan *tick_plan_new(const struct mlruns *m, const struct mlruns_tick *tick)
{
    struct tick_plan *p = xcalloc(1, sizeof *p);
    p->m = m;
    if (tick->old) {
        state_cursor_init(&p->cursor, tick->old);
        read_next(p);
    }
    return p;
}

void tick_plan_free(struct tick_plan *p)
{
    if (!p)
        return;
    state_cursor_free(&p->cursor);
    buf_free(&p->key);
    buf_free(&p->missed);
    free(p);
}

/* -- experiments, by the beginning of a unit's key: a digit, the id, NUL, a letter */

enum { KEY_HEAD = 1 };

static const char *key_id(struct state_text key)
{
    return key.len > KEY_HEAD && memchr(key.s, '\0', key.len) ? key.s + KEY_HEAD : NULL;
}

/* Finds the experiment of a unit's key, first where the last one was. */
static bool experiment_of(struct tick_plan *p, struct state_text key, struct experiment *x)
{
    struct experiments *t = p->m->experiments;
    const char *id = key_id(key);
    size_t len = id ? strlen(id) : 0;
    bool twin = id && id + len + 1 < key.s + key.len && id[len + 1] == 'd', same = true;
    if (!id || experiments_count(t) == 0)
        return false;
    experiments_get(t, p->last, x);
    if (strcmp(x->id, id) != 0)
        p->last = experiments_first(t, id, len);
    for (; same && p->last < experiments_count(t); p->last++) {
        experiments_get(t, p->last, x);
        same = strcmp(x->id, id) == 0;
        if (same && (*x->new_id != '\0') == twin)
            return true;
    }
    p->last = 0;
    return false;
}

bool tick_find_known(const struct mlruns *m, const struct state *state, struct err *e)
{
    uint64_t at = 0, n = experiments_count(m->experiments);
    struct experiment x = {0};
    struct state_cursor c;
    /* both are sorted by id; a twin has no new id so far, and is known if its directory's name is */
    state_cursor_init(&c, state);
    struct state_unit u;
    int got;
    while ((got = state_unit_next(&c, &u, e)) > 0 && u.kind == KIND_experiment) {
        const char *id = key_id(u.key);
        int order = -1;
        for (; id && at < n && order < 0; at += order < 0) {
            experiments_get(m->experiments, at, &x);
            order = strcmp(x.id, id);
        }
        if (order == 0)
            experiments_mark(m->experiments, &x, EXPERIMENT_KNOWN, 0);
    }
    state_cursor_free(&c);
    return got >= 0;
}

static bool is_there(const struct mlruns *m, const struct experiment *x)
{
    char *path = xasprintf("%s%s", trash_prefix(experiment_is(x, EXPERIMENT_DELETED)), x->id);
    struct stat st;
    bool there = dir_stat(m->root, path, &st) != ENOENT;
    free(path);
    return there;
}

void tick_drop_moved(struct mlruns *m)
{
    struct experiments *t = m->experiments;
    struct experiment kept = {0}, next = {0};
    uint64_t n = 0, count = experiments_count(t);
    if (count)
        experiments_get(t, 0, &next);
    for (uint64_t i = 0; i < count; i++) {
        struct experiment x = next;
        if (i + 1 < count)
            experiments_get(t, i + 1, &next);
        bool after = n && strcmp(kept.id, x.id) == 0;
        bool before = i + 1 < count && strcmp(x.id, next.id) == 0;
        if ((after || before) && !is_there(m, &x))
            continue;
        experiments_move(t, i, n++);
        kept = x;
    }
    experiments_truncate(t, n);
}

/* -- merging */

static int compare_keys(struct state_text a, const struct buf *b)
{
    size_t n = a.len < b->len ? a.len : b->len;
    int order = n ? memcmp(a.s, b->data, n) : 0;
    return order ? order : (a.len > b->len) - (a.len < b->len);
}

static bool begins_with(struct state_text a, const struct buf *b)
{
    return a.len >= b->len && memcmp(a.s, b->data, b->len) == 0;
}

/* The path of a unit of the state, below the store. */
static void path_of(const struct state_unit *u, const struct experiment *x, struct buf *out)
{
    static const char *const dirs[] = {"", "traces/", "models/"};
    const char *id = key_id(u->key);
    bool deleted = x ? experiment_is(x, EXPERIMENT_DELETED) : u->flags & STATE_DELETED;
    if (u->key.s[0] == '2') {
        buf_addf(out, MODELS "/%.*s", (int)(u->key.len - KEY_HEAD), u->key.s + KEY_HEAD);
        return;
    }
    buf_addf(out, "%s%s", trash_prefix(deleted), id);
    if (u->key.s[0] == '1') {
        const char *listing = id + strlen(id) + 2, *end = u->key.s + u->key.len;
        buf_addf(out, "/%s%.*s", dirs[(*listing - '0') % 3], (int)(end - listing - 1), listing + 1);
    }
}

/* Whether an experiment exists that was in neither listing, because it moved to .trash or back. */
static bool was_missed(struct tick_plan *p)
{
    const char *id = key_id(p->next.key);
    if (!id)
        return false;
    char path[512];
    struct stat st;
    if (p->missed.len == 0 || strcmp(buf_str(&p->missed), id) != 0) {
        buf_reset(&p->missed);
        buf_adds(&p->missed, id);
        snprintf(path, sizeof path, TRASH "/%s", id);
        p->is_missed = dir_stat(p->m->root, id, &st) != ENOENT || dir_stat(p->m->root, path, &st) != ENOENT ||
                       dir_stat(p->m->root, id, &st) != ENOENT;
    }
    return p->is_missed;
}

/* Handles a unit of the state that the walk does not have. */
static void pass_over(struct tick_plan *p, struct walker *w)
{
    struct experiment x;
    bool found = experiment_of(p, p->next.key, &x), in_experiment = p->next.key.s[0] == '1';
    struct buf path = {0};
    struct old_unit old;
    if (found ? experiment_is(&x, EXPERIMENT_BAD) : was_missed(p)) { /* it was not walked */
        old = take(p);
        output_copy(w->out, old.from, old.to);
        output_limit(w);
        return;
    }
    if (!in_experiment || found) { /* units of a missing experiment are not reported one by one */
        path_of(&p->next, found ? &x : NULL, &path);
        tick_note_gone(w->out, buf_str(&path), "is gone");
        output_limit(w);
        buf_free(&path);
    }
    take(p);
}

void tick_plan_meet(struct tick_plan *p, struct unit *unit, struct walker *w)
{
    unit->known_from = unit->known_to = unit->old_from = 0;
    tick_key(unit, &p->key);
    while (p->has_next && compare_keys(p->next.key, &p->key) < 0)
        pass_over(p, w);
    struct old_unit old;
    if (unit->kind == UNIT_UNREADABLE && unit->listed != UNIT_EXPERIMENT && unit->name[0] == '\0') {
        while (p->has_next && begins_with(p->next.key, &p->key)) {
            old = take(p);
            output_copy(w->out, old.from, old.to);
            output_limit(w);
        }
    } else if (p->has_next && compare_keys(p->next.key, &p->key) == 0) {
        old = take(p);
        unit->known_from = old.from;
        unit->known_to = old.to;
        unit->old_from = old.flags & STATE_UNSENT ? 0 : old.from;
        unit->old_deleted = old.flags & STATE_DELETED;
    }
}

bool tick_plan_end(struct tick_plan *p, struct walker *w, struct err *e)
{
    while (p->has_next)
        pass_over(p, w);
    if (p->failed)
        *e = p->error;
    return !p->failed;
}
