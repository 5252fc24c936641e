/* A tick of a sync from a SQLite file: compares its rows with the state of the last tick. */
#include "formats/database/tick.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/sort.h"
#include "formats/stream/wire_record.h"

enum { SORT_MEMORY = 8 << 20, ID_LEN = STATE_IDENTITY, HEAD = 100 };

_Static_assert(ID_LEN == sizeof(struct id_key), "an identity is a key of idmap.h");

#define SECOND INT64_C(1000000000)
#define RACY   (120 * SECOND)

static const char files_key[] = "0", records_key[] = "1";

/* What is stored with a record's identity. */
struct seen {
    uint64_t hash;
    unsigned char kind;
    bool unsent;
    bool malformed; /* its entry in the state is kept */
};

enum { N_FILES = 3, DBTICK_KINDS = DBTICK_CHANGED + 1 };
struct dbtick {
    const struct state *old;
    int64_t began;
    struct state_file files[N_FILES]; /* the database, and its -wal and -journal if they exist */
    int n_files;
    struct sorter *seen;
    struct spill *spill;
    struct idmap
        *changed; /* identity -> enum dbtick_change, and of a metric how many points were sent: see below */
    struct idmap *points; /* identity of a metric -> points that were read so far */
    struct idmap *unsent; /* owners whose records are missing from the target */
    uint64_t gone[KIND_COUNT];
    struct buf item, chunk;
    /* the stream */
    struct wire_decoder *decoder;
    struct idmap *experiments; /* id -> index of its record in contexts, from 1; 0: already sent */
    struct spill_array contexts;
    struct buf context;
    struct buf parent; /* the last parent's record until it is sent; empty: already sent, or none */
    enum kind parent_kind;
    bool parent_is_new; /* so all that belongs to it is */
    struct buf parent_experiment;
};

/* -- the files */

/* The first bytes contain the change counter of a database, and the salt that changes when a -wal is
 * restarted. */
static bool hash_head(const char *path, uint64_t *hash)
{
    char head[HEAD];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    ssize_t n = fd < 0 ? -1 : pread(fd, head, sizeof head, 0);
    if (fd >= 0)
        close(fd);
    *hash = n < 0 ? 0 : XXH3_64bits(head, (size_t)n) | 1;
    return n >= 0;
}

static int64_t ns_of(struct timespec t)
{
    return t.tv_sec * SECOND + t.tv_nsec;
}

static bool look_at_file(struct dbtick *t, const char *path, const char *suffix, struct err *e)
{
    struct stat st;
    char *name = xasprintf("%s%s", path, suffix);
    struct state_file *f = &t->files[t->n_files];
    bool there = stat(name, &st) == 0, ok = there || (errno == ENOENT && *suffix);
    if (there && st.st_size > 0) {
        int64_t mtime = ns_of(st.st_mtim), ctime = ns_of(st.st_ctim);
        *f = (struct state_file){.path = {suffix, strlen(suffix)},
                                 .size = (uint64_t)st.st_size,
                                 .inode = (uint64_t)st.st_ino,
                                 .mtime = mtime,
                                 .ctime = ctime};
        f->flags = (mtime > ctime ? mtime : ctime) >= t->began - RACY ? STATE_UNTRUSTED : 0;
        ok = hash_head(name, &f->hash);
        t->n_files++;
    }
    if (!ok)
        err_set(e, name, "cannot read: %s", strerror(errno));
    free(name);
    return ok;
}

static bool look_at_files(struct dbtick *t, const char *path, struct err *e)
{
    return look_at_file(t, path, "", e) && look_at_file(t, path, "-wal", e) &&
           look_at_file(t, path, "-journal", e);
}

static bool same_file(const struct state_file *a, const struct state_file *b)
{
    return a->path.len == b->path.len && memcmp(a->path.s, b->path.s, a->path.len) == 0 &&
           a->size == b->size && a->inode == b->inode && a->mtime == b->mtime && a->ctime == b->ctime &&
           a->hash == b->hash && !((a->flags | b->flags) & STATE_UNTRUSTED);
}

bool dbtick_is_idle(const struct dbtick *t)
{
    struct state_cursor c;
    struct state_files files = {0};
    struct state_unit u;
    struct state_file f;
    struct err e; /* of an unreadable state: the database is then read in full, with a warning */
    if (!t->old || idmap_len(t->unsent) > 0)
        return false;
    state_cursor_init(&c, t->old);
    bool same = state_unit_next(&c, &u, &e) > 0;
    int n = 0;
    while (same && state_file_next(&c, &files, &f, &e) > 0) {
        same = n < t->n_files && same_file(&f, &t->files[n]);
        n++;
    }
    state_files_free(&files);
    state_cursor_free(&c);
    return same && n == t->n_files;
}

/* -- records missing from the target (state_promotion_unsent) */

static struct id_key owner_key(const char *kind, size_t kind_len, const char *id, size_t len)
{
    struct value parts[2] = {value_text(kind, kind_len), value_text(id, len)};
    return id_key(0, parts, 2);
}

static bool read_unsent(struct dbtick *t, struct err *e)
{
    struct state_cursor c;
    struct state_map_entry m;
    int got = 0;
    if (!t->old)
        return true;
    state_cursor_init(&c, t->old);
    while ((got = state_map_next(&c, &m, e)) > 0) {
        const char *split = memchr(m.key.s, '\0', m.key.len);
        if (m.kind.len != strlen(STATE_UNSENT_KIND) || memcmp(m.kind.s, STATE_UNSENT_KIND, m.kind.len) != 0 ||
            !split)
            continue;
        size_t kind_len = (size_t)(split - m.key.s);
        idmap_add(t->unsent, owner_key(m.key.s, kind_len, split + 1, m.key.len - kind_len - 1), 1);
    }
    state_cursor_free(&c);
    return got == 0;
}

static const char *owner_kind(const struct record *r)
{
    unsigned first = r->kind->fields[0].flags;
    return r->kind->kind == KIND_assessment ? "trace"
           : first & FIELD_EXP              ? "experiment"
           : first & FIELD_RUN              ? "run"
           : first & FIELD_TRACE            ? "trace"
           : first & FIELD_MODEL            ? "logged_model"
                                            : "registered_model";
}

static bool is_unsent(struct dbtick *t, const struct record *r)
{
    const struct value *owner = r->kind->kind == KIND_assessment ? &r->v[F_assessment_trace_id] : &r->v[0];
    const char *kind = owner_kind(r);
    return idmap_len(t->unsent) > 0 && value_has_bytes(owner) &&
           idmap_get(t->unsent, owner_key(kind, strlen(kind), owner->s, owner->len), NULL);
}

/* -- a tick */

struct dbtick *dbtick_new(const char *path, const struct state *old, int64_t began, const char *tmpdir,
                          struct err *e)
{
    struct dbtick *t = xcalloc(1, sizeof *t);
    t->old = old;
    t->began = began;
    t->seen = sorter_new(tmpdir, SORT_MEMORY);
    t->spill = spill_new(tmpdir);
    t->changed = idmap_new(t->spill);
    t->unsent = idmap_new(t->spill);
    t->points = idmap_new(t->spill);
    t->experiments = idmap_new(t->spill);
    t->contexts.size = sizeof(struct spill_text);
    t->decoder = wire_decoder_new();
    if (look_at_files(t, path, e) && read_unsent(t, e))
        return t;
    dbtick_free(t);
    return NULL;
}

void dbtick_free(struct dbtick *t)
{
    if (!t)
        return;
    sorter_free(t->seen);
    idmap_free(t->changed);
    idmap_free(t->unsent);
    idmap_free(t->points);
    idmap_free(t->experiments);
    spill_free(t->spill);
    wire_decoder_free(t->decoder);
    buf_free(&t->item);
    buf_free(&t->context);
    buf_free(&t->chunk);
    buf_free(&t->parent);
    buf_free(&t->parent_experiment);
    free(t);
}

bool dbtick_is_delta(const struct dbtick *t)
{
    return t->old != NULL;
}

static struct id_key identity(const struct record *r, const struct buf *sort_key)
{
    XXH128_hash_t h;
    if (kind_has_trait(r->kind->kind, TRAIT_POINT)) {
        int key = r->kind->kind == KIND_metric ? (int)F_metric_key : (int)F_logged_model_metric_key;
        struct value parts[2] = {r->v[0], r->v[key]};
        return id_key((unsigned)r->kind->kind + 1, parts, 2);
    }
    /* SQLite gives an experiment's id again once it was purged: another time makes another experiment. */
    const struct value *created = r->kind->kind == KIND_experiment ? &r->v[F_experiment_creation_time] : NULL;
    h = XXH3_128bits_withSeed(sort_key->data, sort_key->len,
                              created && created->type == VALUE_INT ? (XXH64_hash_t)created->i : 0);
    return (struct id_key){h.low64, h.high64 | 1};
}

bool dbtick_see(struct dbtick *t, const struct record *r, const struct buf *sort_key, const char *data,
                size_t len, struct dbtick_mark *mark, struct err *e)
{
    struct seen s = {0};
    char key[ID_LEN];
    *mark = (struct dbtick_mark){.id = identity(r, sort_key)};
    if (t->old && kind_has_trait(r->kind->kind, TRAIT_POINT)) {
        idmap_get(t->points, mark->id, &mark->place);
        idmap_set(t->points, mark->id, ++mark->place);
    }
    if (r->kind->kind == KIND_skipped)
        return true;
    s.hash = XXH3_64bits(data, len);
    s.kind = (unsigned char)r->kind->kind;
    s.unsent = r->kind->kind != KIND_row && is_unsent(t, r);
    memcpy(key, &mark->id, sizeof key);
    return spill_check(t->spill, e) && sorter_add(t->seen, key, sizeof key, &s, sizeof s, e);
}

bool dbtick_see_malformed(struct dbtick *t, const struct record *r, const struct buf *sort_key, struct err *e)
{
    struct seen s = {.kind = (unsigned char)r->kind->kind, .malformed = true};
    struct id_key id = identity(r, sort_key);
    char key[ID_LEN];
    memcpy(key, &id, sizeof key);
    return sorter_add(t->seen, key, sizeof key, &s, sizeof s, e);
}

uint64_t dbtick_gone(const struct dbtick *t, enum kind kind)
{
    return t->gone[kind];
}

/* -- the records of one identity, which are adjacent: their number, and a common hash */

struct group {
    char key[ID_LEN];
    struct seen s;
    uint64_t n;
    bool known;     /* to the state */
    uint64_t first; /* that many, as they were read, are what the state knows: points that were sent */
};

/* Reads the group that begins with x; old: its entry in the state, or NULL. 1, or -1. *got is the result for the
 * entry after it. */
static int take_group(struct dbtick *t, struct sort_entry *x, const struct state_file *old, struct group *g,
                      int *got, struct err *e)
{
    memcpy(g->key, x->key, ID_LEN);
    memset(&g->s, 0, sizeof g->s);
    g->n = g->first = 0;
    g->known = old != NULL;
    do {
        struct seen s;
        memcpy(&s, x->data, sizeof s);
        g->s.kind = s.kind;
        g->s.unsent |= s.unsent;
        g->s.malformed |= s.malformed;
        g->s.hash += s.hash * UINT64_C(0x9E3779B97F4A7C15); /* independent of their order */
        g->n++;
        if (old && g->n == old->size && (g->s.hash | 1) == old->hash)
            g->first = g->n;
        *got = sorter_next(t->seen, x, e);
    } while (*got > 0 && memcmp(x->key, g->key, ID_LEN) == 0);
    g->s.hash |= 1;
    return *got < 0 ? -1 : 1;
}

static bool add_chunk(struct dbtick *t, struct state_next *next, size_t from, struct err *e)
{
    if (t->chunk.len <= from)
        return true;
    buf_reset(&t->item);
    state_encode_chunk(&t->item, &t->chunk);
    return state_next_add(next, t->item.data, t->item.len, e);
}

static bool add_unit(struct dbtick *t, struct state_next *next, const char *key, struct err *e)
{
    struct state_unit u = {.kind = KIND_row, .key = {key, strlen(key)}, .id = {"", 0}};
    buf_reset(&t->item);
    state_encode_unit(&t->item, &u);
    return state_next_add(next, t->item.data, t->item.len, e);
}

static bool note_group(struct dbtick *t, const struct group *g, struct state_next *next, struct err *e)
{
    char path[ID_LEN + 64];
    if (g->s.malformed && !g->known)
        return true;
    size_t name = strlen(kinds[g->s.kind].name);
    memcpy(path, g->key, ID_LEN);
    memcpy(path + ID_LEN, kinds[g->s.kind].name, name);
    struct state_file f = {.path = {path, ID_LEN + name}, .size = g->n, .hash = g->s.hash};
    state_encode_file(&t->chunk, &f);
    return add_chunk(t, next, STATE_CHUNK, e);
}

/* The state's records. */
struct old_records {
    struct state_cursor cursor;
    struct state_files files;
    struct state_file f;
    int got;
};

static bool next_old(struct old_records *o, struct err *e)
{
    o->got = state_file_next(&o->cursor, &o->files, &o->f, e);
    return o->got >= 0;
}

static bool open_old(struct dbtick *t, struct old_records *o, struct err *e)
{
    struct state_unit u;
    *o = (struct old_records){0};
    if (!t->old)
        return true;
    state_cursor_init(&o->cursor, t->old);
    if (state_unit_next(&o->cursor, &u, e) <= 0 || state_unit_next(&o->cursor, &u, e) <= 0)
        return false;
    return next_old(o, e);
}

static void old_is_gone(struct dbtick *t, const struct state_file *f)
{
    const struct kind_desc *k =
        f->path.len > ID_LEN ? kind_by_name(f->path.s + ID_LEN, f->path.len - ID_LEN) : NULL;
    if (k)
        t->gone[k->kind]++;
}

/* Goes over the state's records before the key; *met: the next one is the key's. */
static bool meet_old(struct dbtick *t, struct old_records *o, const char *key, bool *met, struct err *e)
{
    int order = 1;
    while (o->got > 0 && (order = memcmp(o->f.path.s, key, ID_LEN)) < 0) {
        old_is_gone(t, &o->f);
        if (!next_old(o, e))
            return false;
    }
    *met = o->got > 0 && order == 0;
    return true;
}

/* What has become of a group; old: the state's, or NULL. Of points that were added to a metric `changed` holds
 * the number of the others as well. */
static void judge_group(struct dbtick *t, const struct state_file *old, struct group *g)
{
    struct id_key id;
    memcpy(&id, g->key, sizeof id);
    if (old && g->s.malformed) {
        g->s.hash = old->hash;
        g->n = old->size;
    } else if (!old || g->s.unsent) {
        idmap_set(t->changed, id, DBTICK_NEW);
    } else if (old->hash != g->s.hash || old->size != g->n) {
        bool grown = kind_has_trait((enum kind)g->s.kind, TRAIT_POINT);
        idmap_set(t->changed, id, DBTICK_CHANGED + (grown ? g->first * DBTICK_KINDS : 0));
    }
}

static bool merge(struct dbtick *t, struct old_records *o, struct state_next *next, struct err *e)
{
    struct sort_entry x;
    struct group g;
    int got = sorter_finish(t->seen, e) ? sorter_next(t->seen, &x, e) : -1;
    bool ok = true, met = false;
    while (ok && got > 0) {
        ok = !t->old || meet_old(t, o, x.key, &met, e);
        const struct state_file *old = met ? &o->f : NULL;
        ok = ok && take_group(t, &x, old, &g, &got, e) > 0;
        if (ok && t->old)
            judge_group(t, old, &g);
        ok = ok && spill_check(t->spill, e) && (!met || next_old(o, e)) && note_group(t, &g, next, e);
    }
    while (ok && got == 0 && o->got > 0) {
        old_is_gone(t, &o->f);
        ok = next_old(o, e);
    }
    return ok && got == 0 && add_chunk(t, next, 0, e);
}

bool dbtick_settle(struct dbtick *t, struct state_next *next, struct err *e)
{
    struct old_records o;
    bool ok = add_unit(t, next, files_key, e);
    for (int i = 0; i < t->n_files; i++)
        state_encode_file(&t->chunk, &t->files[i]);
    ok = ok && add_chunk(t, next, 0, e) && add_unit(t, next, records_key, e) && open_old(t, &o, e);
    if (!ok)
        return false;
    ok = merge(t, &o, next, e);
    state_files_free(&o.files);
    state_cursor_free(&o.cursor);
    return ok;
}

bool dbtick_keep(struct dbtick *t, struct state_next *next, struct err *e)
{
    struct state_cursor c;
    struct state_unit u;
    uint64_t from = 0;
    int got;
    state_cursor_init(&c, t->old);
    while ((got = state_unit_next(&c, &u, e)) > 0)
        from = from ? from : u.from;
    bool ok = got == 0 && state_next_copy(next, from, c.next, e);
    state_cursor_free(&c);
    return ok;
}

/* -- the stream of a delta */

static bool has_mark(enum kind kind)
{
    return kinds[kind].fields[kinds[kind].n_fields - 1].flags & FIELD_PART;
}

/* What others belong to, and itself belongs to no such. */
static bool is_parent(enum kind kind)
{
    return has_mark(kind) && kind != KIND_model_version && kind != KIND_assessment;
}

enum dbtick_change dbtick_change(const struct dbtick *t, enum kind kind, struct id_key id, bool alone)
{
    uint64_t how = kind == KIND_skipped ? DBTICK_NEW : DBTICK_SAME;
    idmap_get(t->changed, id, &how);
    return t->parent_is_new && !alone && !is_parent(kind) ? DBTICK_NEW
                                                          : (enum dbtick_change)(how % DBTICK_KINDS);
}

/* The same, but that a point that was there is as it was, though its metric has grown. */
static enum dbtick_change change_of(const struct dbtick *t, enum kind kind, const struct dbtick_mark *mark,
                                    bool alone)
{
    enum dbtick_change how = dbtick_change(t, kind, mark->id, alone);
    uint64_t changed = 0;
    idmap_get(t->changed, mark->id, &changed);
    return how == DBTICK_CHANGED && mark->place && mark->place <= changed / DBTICK_KINDS ? DBTICK_SAME : how;
}

static struct id_key experiment_key(const char *id, size_t len)
{
    struct value v = value_text(id, len);
    return id_key(0, &v, 1);
}

static void send_experiment(struct dbtick *t, const char *id, size_t len, struct buf *out,
                            struct wire_counts *counts)
{
    struct spill_text text;
    uint64_t place = 0;
    if (!idmap_get(t->experiments, experiment_key(id, len), &place) || place == 0)
        return;
    spill_get_item(t->spill, &t->contexts, place - 1, &text);
    spill_read_text(t->spill, text, &t->context);
    buf_add(out, t->context.data, t->context.len);
    counts->n[KIND_experiment]++;
    idmap_set(t->experiments, experiment_key(id, len), 0);
}

static void send_parent(struct dbtick *t, struct buf *out, struct wire_counts *counts)
{
    send_experiment(t, buf_str(&t->parent_experiment), t->parent_experiment.len, out, counts);
    if (t->parent.len == 0)
        return;
    buf_add(out, t->parent.data, t->parent.len);
    counts->n[t->parent_kind]++;
    buf_reset(&t->parent);
}

/* Sets the experiment of the last parent. */
static void set_experiment(struct dbtick *t, const struct record *r)
{
    buf_reset(&t->parent_experiment);
    for (int f = 0; f < r->kind->n_fields; f++)
        if (r->kind->fields[f].flags & FIELD_EXP && value_is_text(&r->v[f]))
            buf_add(&t->parent_experiment, r->v[f].s, r->v[f].len);
}

/* t->item holds the experiment's record. */
static void keep_experiment(struct dbtick *t, const struct record *r, bool sent)
{
    const struct value *id = &r->v[F_experiment_experiment_id];
    uint64_t place = 0;
    if (!sent) {
        struct spill_text text = spill_text(t->spill, t->item.data, t->item.len);
        place = spill_append(t->spill, &t->contexts, &text) + 1;
    }
    idmap_set(t->experiments, experiment_key(id->s, id->len), place);
}

static bool write_parent(struct dbtick *t, enum dbtick_change how, const char *data, size_t len,
                         struct buf *out, struct wire_counts *counts, struct err *e)
{
    struct record r;
    if (!wire_decode(t->decoder, data, len, &r, e))
        return false;
    enum kind kind = r.kind->kind;
    record_set_part(&r, how == DBTICK_NEW       ? PART_WHOLE
                        : how == DBTICK_CHANGED ? PART_CHANGED
                                                : PART_UNCHANGED);
    buf_reset(&t->item);
    wire_encode(&r, &t->item);
    if (!is_parent(kind)) { /* a version of the model before it, an assessment of the trace */
        if (how == DBTICK_SAME)
            return true;
        send_parent(t, out, counts);
    } else {
        buf_reset(&t->parent);
        t->parent_is_new = how == DBTICK_NEW;
        set_experiment(t, &r);
        if (kind == KIND_experiment)
            keep_experiment(t, &r, how != DBTICK_SAME);
        else if (how == DBTICK_SAME)
            buf_add(&t->parent, t->item.data, t->item.len);
        t->parent_kind = kind;
        if (how == DBTICK_SAME)
            return true;
        send_parent(t, out, counts);
    }
    buf_add(out, t->item.data, t->item.len);
    counts->n[kind]++;
    return true;
}

bool dbtick_write(struct dbtick *t, enum kind kind, const struct dbtick_mark *mark, bool alone,
                  const char *data, size_t len, struct buf *out, struct wire_counts *counts, struct err *e)
{
    enum dbtick_change how = change_of(t, kind, mark, alone);
    if (has_mark(kind)) {
        if (!write_parent(t, how, data, len, out, counts, e))
            return false;
    } else if (how != DBTICK_SAME) {
        if (!alone)
            send_parent(t, out, counts);
        buf_add(out, data, len);
        counts->n[kind]++;
    }
    return spill_check(t->spill, e);
}
