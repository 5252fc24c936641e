/* Turns state.new into STATE: merges additions into the map, sets the generation, and marks unsent units. */
#include "formats/state/promote.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/sort.h"
#include "common/spill.h"
#include "formats/record/idmap.h"

enum { SORT_MEMORY = 4 << 20 };

struct state_promotion {
    const struct state *state;
    struct sorter *map; /* key: kind NUL, key; data: value */
    struct spill *spill;
    struct idmap *unsent;
    bool mapped; /* the map has additions */
    bool looked, of_database;
    bool failed; /* error says why */
    struct err error;
    struct buf key, value, item;
};

struct state_promotion *state_promotion_new(const struct state *s, const char *tmpdir)
{
    struct state_promotion *p = xcalloc(1, sizeof *p);
    p->state = s;
    p->map = sorter_new(tmpdir, SORT_MEMORY);
    p->spill = spill_new(tmpdir);
    p->unsent = idmap_new(p->spill);
    return p;
}

static void make_key(const struct state_map_entry *m, struct buf *out)
{
    buf_reset(out);
    buf_add(out, m->kind.s, m->kind.len);
    buf_addc(out, '\0');
    buf_add(out, m->key.s, m->key.len);
}

bool state_promotion_map(struct state_promotion *p, const struct state_map_entry *m, struct err *e)
{
    p->mapped = true;
    make_key(m, &p->key);
    return sorter_add(p->map, p->key.data, p->key.len, m->value.s, m->value.len, e);
}

static struct id_key unit_key(enum kind kind, const char *id, size_t len)
{
    struct value v = value_text(id, len);
    return id_key((unsigned)kind, &v, 1);
}

/* Whether the state is of a database, which has no units to mark as unsent. */
static bool is_of_database(struct state_promotion *p)
{
    struct state_cursor c;
    struct state_unit u;
    if (!p->looked) {
        p->looked = true;
        state_cursor_init(&c, p->state);
        p->of_database = state_unit_next(&c, &u, &p->error) > 0 && u.kind == KIND_row;
        state_cursor_free(&c);
    }
    return p->of_database;
}

void state_promotion_unsent(struct state_promotion *p, enum kind kind, const char *id, size_t len)
{
    enum kind unit = kind == KIND_prompt ? KIND_registered_model : kind;
    struct buf key = {0};
    if (!is_of_database(p)) {
        idmap_add(p->unsent, unit_key(unit, id, len), 1);
        return;
    }
    buf_add(&key, kinds[unit].name, strlen(kinds[unit].name) + 1);
    buf_add(&key, id, len);
    struct state_map_entry m = {{STATE_UNSENT_KIND, strlen(STATE_UNSENT_KIND)}, {key.data, key.len}, {"", 0}};
    p->failed |= !state_promotion_map(p, &m, &p->error);
    buf_free(&key);
}

/* -- the map: merging entries of the state and additions */

struct added { /* the next addition; the last one of each key */
    struct sort_entry entry;
    int got; /* as sorter_next */
    struct buf key, value;
};

/* Reads the next addition into a->entry, and skips earlier ones of its key. false with e filled. */
static bool take_added(struct state_promotion *p, struct added *a, struct err *e)
{
    if (a->got <= 0)
        return a->got == 0;
    buf_reset(&a->key);
    buf_add(&a->key, a->entry.key, a->entry.key_len);
    do {
        buf_reset(&a->value);
        if (a->entry.data)
            buf_add(&a->value, a->entry.data, a->entry.data_len);
        else if (!sorter_read(p->map, &a->entry, 0, a->entry.data_len, &a->value, e))
            return false;
        a->got = sorter_next(p->map, &a->entry, e);
    } while (a->got > 0 && a->entry.key_len == a->key.len &&
             memcmp(a->entry.key, a->key.data, a->key.len) == 0);
    return a->got >= 0;
}

static bool write_added(struct state_promotion *p, struct state_writer *w, const struct added *a,
                        struct err *e)
{
    size_t kind = strlen(a->key.data);
    struct state_map_entry m = {{a->key.data, kind},
                                {a->key.data + kind + 1, a->key.len - kind - 1},
                                {buf_str(&a->value), a->value.len}};
    buf_reset(&p->item);
    state_encode_map(&p->item, &m);
    return state_write(w, p->item.data, p->item.len, e);
}

static int compare_keys(const struct buf *a, const struct buf *b)
{
    size_t n = a->len < b->len ? a->len : b->len;
    int order = memcmp(a->data, b->data, n);
    return order ? order : (a->len > b->len) - (a->len < b->len);
}

/* Merges both maps; the key of `a` is empty if there are no more additions. */
static bool merge_maps(struct state_promotion *p, struct state_cursor *c, struct state_writer *w,
                       struct added *a, struct err *e)
{
    struct state_map_entry m;
    int got;
    while ((got = state_map_next(c, &m, e)) > 0) {
        int order = 1;
        make_key(&m, &p->key);
        while (a->key.len && (order = compare_keys(&a->key, &p->key)) <= 0) {
            if (!write_added(p, w, a, e))
                return false;
            buf_reset(&a->key);
            if (!take_added(p, a, e))
                return false;
            if (order == 0)
                break;
        }
        if (order == 0)
            continue;
        buf_reset(&p->item);
        state_encode_map(&p->item, &m);
        if (!state_write(w, p->item.data, p->item.len, e))
            return false;
    }
    while (got == 0 && a->key.len) {
        if (!write_added(p, w, a, e))
            return false;
        buf_reset(&a->key);
        if (!take_added(p, a, e))
            return false;
    }
    return got == 0;
}

static bool write_map(struct state_promotion *p, struct state_cursor *c, struct state_writer *w,
                      struct err *e)
{
    struct added a = {0};
    bool ok = sorter_finish(p->map, e) && (a.got = sorter_next(p->map, &a.entry, e)) >= 0 &&
              take_added(p, &a, e) && merge_maps(p, c, w, &a, e);
    buf_free(&a.key);
    buf_free(&a.value);
    return ok;
}

/* -- units */

static bool is_unsent(const struct state_promotion *p, const struct state_unit *u)
{
    return idmap_get(p->unsent, unit_key(u->kind, u->id.s, u->id.len), NULL);
}

/* Copies all units, marking unsent ones. */
static bool write_units(struct state_promotion *p, struct state_cursor *c, struct state_writer *w,
                        struct err *e)
{
    struct state_cursor copy;
    struct state_unit u;
    uint64_t done = c->next; /* everything before it is written */
    bool ok = true;
    int got = 1;
    state_cursor_init(&copy, p->state);
    while (ok && (got = state_unit_next(c, &u, e)) > 0) {
        if (u.flags & STATE_UNSENT || !is_unsent(p, &u))
            continue;
        u.flags |= STATE_UNSENT;
        buf_reset(&p->item);
        state_encode_unit(&p->item, &u);
        ok = state_write_copy(w, &copy, done, u.from, e) && state_write(w, p->item.data, p->item.len, e);
        done = c->next;
    }
    ok = ok && got == 0 && state_write_copy(w, &copy, done, c->next, e);
    state_cursor_free(&copy);
    return ok;
}

bool state_promotion_commit(struct state_promotion *p, uint64_t generation, const char *path, struct err *e)
{
    struct state_head head = *state_head(p->state);
    bool same = head.generation == generation && !p->mapped && idmap_len(p->unsent) == 0;
    if (p->failed) {
        *e = p->error;
        return false;
    }
    if (same && state_rename(p->state, path)) /* as after an idle tick */
        return true;
    head.generation = generation;
    head.doubted = NULL;
    struct state_writer *w = state_writer_new(path, &head, e);
    struct state_cursor c;
    state_cursor_init(&c, p->state);
    bool ok = w && write_map(p, &c, w, e) && write_units(p, &c, w, e) && spill_check(p->spill, e) &&
              state_writer_commit(w, e);
    state_cursor_free(&c);
    state_writer_free(w);
    if (ok)
        state_remove(p->state);
    return ok;
}

void state_promotion_free(struct state_promotion *p)
{
    if (!p)
        return;
    sorter_free(p->map);
    idmap_free(p->unsent);
    spill_free(p->spill);
    buf_free(&p->key);
    buf_free(&p->value);
    buf_free(&p->item);
    free(p);
}
