/* The plan of a tick: units of the walk and of the state, met in order. */
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
    struct buf missed; /* id of the experiment that was looked for last since no listing had it */
    bool is_missed;    /* it is there all the same */
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

/* Goes over the next one. */
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

static const struct experiment *experiment_of(const struct mlruns *m, struct state_text key)
{
    const char *id = key_id(key);
    bool twin = id && id + strlen(id) + 1 < key.s + key.len && id[strlen(id) + 1] == 'd';
    size_t low = 0, high = m->n;

    while (id && low < high) {
        size_t mid = low + (high - low) / 2;

        if (strcmp(m->experiments[mid].id, id) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    for (; id && low < m->n && strcmp(m->experiments[low].id, id) == 0; low++)
        if ((m->experiments[low].new_id != NULL) == twin)
            return &m->experiments[low];
    return NULL;
}

bool tick_find_known(struct mlruns *m, const struct state *state, struct err *e)
{
    struct state_cursor c;
    struct state_unit u;
    int got;

    state_cursor_init(&c, state);
    while ((got = state_unit_next(&c, &u, e)) > 0 && u.kind == KIND_experiment) {
        /* that of a twin stands for its directory: it has no new id so far */
        const char *id = key_id(u.key);
        size_t len = id ? (size_t)(id - u.key.s) + strlen(id) + 1 : 0;
        const struct experiment *x = experiment_of(m, (struct state_text){u.key.s, len});

        if (x)
            m->experiments[x - m->experiments].known = true;
    }
    state_cursor_free(&c);
    return got >= 0;
}

static bool is_there(const struct mlruns *m, const struct experiment *x)
{
    char *path = xasprintf("%s%s", x->deleted ? TRASH "/" : "", x->id);
    struct stat st;
    bool there = dir_stat(m->root, path, &st) != ENOENT;

    free(path);
    return there;
}

void tick_drop_moved(struct mlruns *m)
{
    size_t n = 0;

    for (size_t i = 0; i < m->n; i++) {
        struct experiment *x = &m->experiments[i];
        bool after = n && strcmp(m->experiments[n - 1].id, x->id) == 0;
        bool before = i + 1 < m->n && strcmp(x->id, x[1].id) == 0;

        if ((after || before) && !is_there(m, x)) {
            experiment_free(x);
            continue;
        }
        m->experiments[n++] = *x;
    }
    m->n = n;
}

/* -- meeting */

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

/* Where a unit of the state lay, below the store. */
static void path_of(const struct state_unit *u, const struct experiment *x, struct buf *out)
{
    static const char *const dirs[] = {"", "traces/", "models/"};
    const char *id = key_id(u->key);
    bool deleted = x ? x->deleted : u->flags & STATE_DELETED;

    if (u->key.s[0] == '2') {
        buf_addf(out, MODELS "/%.*s", (int)(u->key.len - KEY_HEAD), u->key.s + KEY_HEAD);
        return;
    }
    buf_addf(out, "%s%s", deleted ? TRASH "/" : "", id);
    if (u->key.s[0] == '1') {
        const char *listing = id + strlen(id) + 2, *end = u->key.s + u->key.len;

        buf_addf(out, "/%s%.*s", dirs[(*listing - '0') % 3], (int)(end - listing - 1), listing + 1);
    }
}

/* An experiment that moves to .trash or back may be in neither when they are listed. */
static bool was_missed(struct tick_plan *p)
{
    const char *id = key_id(p->next.key);
    char path[512];
    struct stat st;

    if (!id)
        return false;
    if (p->missed.len == 0 || strcmp(buf_str(&p->missed), id) != 0) {
        buf_reset(&p->missed);
        buf_adds(&p->missed, id);
        snprintf(path, sizeof path, TRASH "/%s", id);
        p->is_missed = dir_stat(p->m->root, id, &st) != ENOENT || dir_stat(p->m->root, path, &st) != ENOENT ||
                       dir_stat(p->m->root, id, &st) != ENOENT;
    }
    return p->is_missed;
}

/* The walk has no unit where the state has its next one. */
static void pass_over(struct tick_plan *p, struct output *out)
{
    const struct experiment *x = experiment_of(p->m, p->next.key);
    bool in_experiment = p->next.key.s[0] == '1';
    struct buf path = {0};
    struct old_unit old;

    if (x ? x->bad : was_missed(p)) { /* nothing in it was looked for */
        old = take(p);
        output_copy(out, old.from, old.to);
        return;
    }
    if (!in_experiment || x) { /* with an experiment goes all that is in it, without further words */
        path_of(&p->next, x, &path);
        tick_note_gone(out, buf_str(&path), "is gone");
        buf_free(&path);
    }
    take(p);
}

void tick_plan_meet(struct tick_plan *p, struct unit *unit, struct output *out)
{
    struct old_unit old;

    unit->known_from = unit->known_to = unit->old_from = 0;
    tick_key(unit, &p->key);
    while (p->has_next && compare_keys(p->next.key, &p->key) < 0)
        pass_over(p, out);
    if (unit->kind == UNIT_UNREADABLE && unit->listed != UNIT_EXPERIMENT && unit->name[0] == '\0') {
        while (p->has_next && begins_with(p->next.key, &p->key)) {
            old = take(p);
            output_copy(out, old.from, old.to);
        }
    } else if (p->has_next && compare_keys(p->next.key, &p->key) == 0) {
        old = take(p);
        unit->known_from = old.from;
        unit->known_to = old.to;
        unit->old_from = old.flags & STATE_UNSENT ? 0 : old.from;
        unit->old_deleted = old.flags & STATE_DELETED;
    }
}

bool tick_plan_end(struct tick_plan *p, struct output *out, struct err *e)
{
    while (p->has_next)
        pass_over(p, out);
    if (p->failed)
        *e = p->error;
    return !p->failed;
}
