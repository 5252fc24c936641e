/* One unit in a tick: what has changed in it, and its state for the next tick. */
#include "formats/filestore/tick.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <xxhash.h>

enum { TAIL = 4096 }; /* bytes before the end of what was read of a metric file, which are hashed */

#define SECOND INT64_C(1000000000) /* ns */
/* How long after a change another one may leave the timestamps the same (clocks of network file systems are
 * coarse), and how long a file may be partially written. */
#define RACY   (120 * SECOND)
#define UNEASY (2 * SECOND)

void tick_reader_init(struct tick_reader *t, const struct mlruns_tick *of)
{
    *t = (struct tick_reader){.of = of};
    if (of->old)
        state_cursor_init(&t->cursor, of->old);
}

void tick_reader_free(struct tick_reader *t)
{
    state_cursor_free(&t->cursor);
    state_files_free(&t->files);
    buf_free(&t->chunk);
    buf_free(&t->record);
    buf_free(&t->path);
}

static int64_t ns_of(struct timespec t)
{
    return t.tv_sec * SECOND + t.tv_nsec;
}

static int64_t clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return ns_of(t);
}

/* -- order */

void tick_key(const struct unit *unit, struct buf *out)
{
    static const char listings[] = {[UNIT_RUN] = '0', [UNIT_TRACE] = '1', [UNIT_LOGGED_MODEL] = '2'};
    enum unit_kind kind = unit->kind == UNIT_UNREADABLE ? unit->listed : unit->kind;
    buf_reset(out);
    buf_addc(out, !unit->experiment ? '2' : kind == UNIT_EXPERIMENT ? '0' : '1');
    if (unit->experiment) {
        buf_adds(out, unit->experiment);
        buf_addc(out, '\0');
        buf_addc(out, unit->experiment_id ? 'd' : 'a'); /* one with a new id is read next to its twin */
    }
    if (unit->experiment && kind != UNIT_EXPERIMENT)
        buf_addc(out, listings[kind]);
    if (kind != UNIT_EXPERIMENT)
        buf_adds(out, unit->name);
}

/* The parts of each kind of unit, in the order in which they are read. */
enum shape { SHAPE_FILE, SHAPE_TREE, SHAPE_METAS, SHAPE_VERSIONS, SHAPE_SPANS };
struct part {
    const char *name;
    enum shape shape;
};
enum { MAX_PARTS = 6 };
static const struct part parts[][MAX_PARTS + 1] = {
    [UNIT_EXPERIMENT] = {{"meta.yaml", SHAPE_FILE}, {"tags", SHAPE_TREE}, {"datasets", SHAPE_METAS}},
    [UNIT_RUN] = {{"meta.yaml", SHAPE_FILE},
                  {"params", SHAPE_TREE},
                  {"metrics", SHAPE_TREE},
                  {"tags", SHAPE_TREE},
                  {"inputs", SHAPE_METAS},
                  {"outputs", SHAPE_METAS}},
    [UNIT_TRACE] = {{"trace_info.yaml", SHAPE_FILE},
                    {"tags", SHAPE_TREE},
                    {"request_metadata", SHAPE_TREE},
                    {"assessments", SHAPE_TREE},
                    {"artifacts", SHAPE_SPANS}},
    [UNIT_LOGGED_MODEL] = {{"meta.yaml", SHAPE_FILE},
                           {"params", SHAPE_TREE},
                           {"tags", SHAPE_TREE},
                           {"metrics", SHAPE_TREE}},
    [UNIT_REGISTERED_MODEL] = {{"meta.yaml", SHAPE_FILE},
                               {"tags", SHAPE_TREE},
                               {"version-", SHAPE_VERSIONS},
                               {"aliases", SHAPE_TREE}},
};

static size_t first_part_len(struct state_text path)
{
    const char *slash = memchr(path.s, '/', path.len);
    return slash ? (size_t)(slash - path.s) : path.len;
}

static int rank_of_part(enum unit_kind kind, struct state_text path)
{
    size_t len = first_part_len(path);
    int i = 0;
    for (; parts[kind][i].name; i++) {
        size_t n = strlen(parts[kind][i].name);
        if (parts[kind][i].shape == SHAPE_VERSIONS ? len >= n : len == n)
            if (memcmp(path.s, parts[kind][i].name, n) == 0)
                return i;
    }
    return i;
}

/* The order of the walk: by parts, then by names in each directory, so a slash sorts before all other
 * bytes. */
static int path_order(enum unit_kind kind, struct state_text a, struct state_text b)
{
    int order = rank_of_part(kind, a) - rank_of_part(kind, b);
    size_t n = a.len < b.len ? a.len : b.len;
    for (size_t i = 0; !order && i < n; i++)
        if (a.s[i] != b.s[i])
            order = a.s[i] == '/' ? -1 : b.s[i] == '/' ? 1 : (unsigned char)a.s[i] - (unsigned char)b.s[i];
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static struct state_text path_text(const struct tick_reader *t)
{
    return (struct state_text){buf_str(&t->path), t->path.len};
}

/* -- the state's files of the unit */

static void next_old(struct tick_reader *t)
{
    int got = state_file_next(&t->cursor, &t->files, &t->old, &t->error);
    t->failed |= got < 0;
    t->has_old = got > 0;
}

static void open_old(struct tick_reader *t, const struct unit *unit)
{
    t->has_old = unit->old_from != 0;
    if (!t->has_old)
        return;
    state_cursor_seek(&t->cursor, unit->old_from);
    struct state_unit u;
    t->has_old = state_unit_next(&t->cursor, &u, &t->error) > 0;
    t->failed |= !t->has_old;
    state_files_begin(&t->files);
    if (t->has_old)
        next_old(t);
}

/* Adds a file to the next state. */
static void put(struct walker *w, const struct state_file *f)
{
    struct tick_reader *t = w->tick;
    state_encode_file(&t->chunk, f);
    if (t->chunk.len < STATE_CHUNK)
        return;
    state_encode_chunk(&w->out->state, &t->chunk);
    output_limit(w);
}

void tick_note_gone(struct output *out, const char *path, const char *reason)
{
    output_note(out, 'g', path, reason);
}

void tick_note_held(struct walker *w, const char *reason)
{
    output_note(w->out, 'h', buf_str(&w->path), reason);
    output_limit(w);
}

static void old_is_gone(struct walker *w)
{
    struct tick_reader *t = w->tick;
    struct buf path = {0};
    buf_add(&path, buf_str(&w->path), t->base - 1);
    buf_addc(&path, '/');
    buf_add(&path, t->old.path.s, t->old.path.len);
    tick_note_gone(w->out, buf_str(&path), "is gone");
    output_limit(w);
    buf_free(&path);
    next_old(t);
}

/* -- files */

static struct tick_mark mark_of(const struct output *out)
{
    return (struct tick_mark){out->data.len, out->notes.len, out->counts, out->problems, out->handed_over};
}

/* Removes output since the mark. false: it has already been passed on. */
static bool take_back(struct output *out, const struct tick_mark *m)
{
    if (out->handed_over != m->handed_over)
        return false;
    buf_truncate(&out->data, m->data);
    buf_truncate(&out->notes, m->notes);
    out->counts = m->counts;
    out->problems = m->problems;
    return true;
}

static bool is_same(const struct state_file *a, const struct stat *st)
{
    return a->size == (uint64_t)st->st_size && a->inode == (uint64_t)st->st_ino &&
           a->mtime == ns_of(st->st_mtim) && a->ctime == ns_of(st->st_ctim);
}

static bool same_file(const struct state_file *a, const struct state_file *b)
{
    return a->size == b->size && a->inode == b->inode && a->mtime == b->mtime && a->ctime == b->ctime;
}

static bool is_settled(const struct state_file *f)
{
    return !(f->flags & (STATE_UNTRUSTED | STATE_HELD | STATE_RETRY));
}

static bool is_young(int64_t mtime, int64_t age)
{
    return mtime > clock_now() - age;
}

/* Whether a file is young by the file system's clock, and was not seen unchanged some time ago by ours. */
static bool is_uneasy(const struct tick_reader *t)
{
    bool same = t->met && t->was.flags & STATE_HELD && same_file(&t->was, &t->now);
    if (!is_young(t->now.mtime, UNEASY))
        return false;
    return !same || clock_now() - state_head(t->of->old)->time < UNEASY;
}

static void look_at_file(struct tick_reader *t, int dir, const char *name)
{
    struct stat st;
    t->trouble = dir_stat(dir, name, &st);
    t->seen = !t->trouble && S_ISREG(st.st_mode);
    if (!t->seen)
        return;
    int64_t mtime = ns_of(st.st_mtim), ctime = ns_of(st.st_ctim);

    t->now = (struct state_file){
        .path = path_text(t),
        .size = (uint64_t)st.st_size,
        .inode = (uint64_t)st.st_ino,
        .mtime = mtime,
        .ctime = ctime,
        .flags = (mtime > ctime ? mtime : ctime) >= t->of->began - RACY ? STATE_UNTRUSTED : 0,
        .hash = 1,
    };
}

/* Skips the state's files before the path, and finds the one at the path. */
static void meet(struct walker *w)
{
    struct tick_reader *t = w->tick;
    int order = 1;
    while (t->has_old && (order = path_order(w->unit->kind, t->old.path, path_text(t))) < 0)
        old_is_gone(w);
    t->met = t->has_old && order == 0;
    if (!t->met)
        return;
    t->was = t->old;
    t->was.path = path_text(t);
    next_old(t);
}

static void open_file(struct walker *w, int dir)
{
    struct tick_reader *t = w->tick;
    t->open = true;
    t->hold = false;
    t->dir = dir;
    t->mark = mark_of(w->out);
}

/* Finds the file at w->path in the state and stats it: whether it is unchanged. */
static bool is_as_it_was(struct walker *w, int dir, const char *name)
{
    struct tick_reader *t = w->tick;
    tick_leave(w);
    buf_reset(&t->path);
    buf_add(&t->path, w->path.data + t->base, w->path.len - t->base);
    meet(w);
    look_at_file(t, dir, name);
    return t->seen && t->met && is_settled(&t->was) && same_file(&t->was, &t->now);
}

bool tick_enter(struct walker *w, int dir, const char *name)
{
    if (!w->tick || w->tick->comparing)
        return true;
    if (is_as_it_was(w, dir, name)) {
        put(w, &w->tick->was);
        return false;
    }
    if (w->tick->trouble && w->tick->trouble != ENOENT) {
        walker_problem(w, 0, "%s", dir_error(w->tick->trouble));
        if (w->tick->met)
            put(w, &w->tick->was);
        return false;
    }
    open_file(w, dir);
    return true;
}

void tick_enter_anyway(struct walker *w, int dir, const char *name)
{
    if (!w->tick)
        return;
    if (is_as_it_was(w, dir, name))
        w->tick->now = w->tick->was;
    open_file(w, dir);
}

/* Whether an unreadable file may be partially written, or about to be removed. It may have been truncated after
 * its stat(). */
static bool may_settle(struct tick_reader *t)
{
    const char *path = buf_str(&t->path), *slash = strrchr(path, '/');
    struct stat st;
    if (t->seen)
        return is_young(t->now.mtime, UNEASY) || dir_stat(t->dir, slash ? slash + 1 : path, &st) != 0 ||
               !is_same(&t->now, &st);
    return dir_fstat(t->dir, &st) == 0 && is_young(ns_of(st.st_mtim), RACY);
}

static void put_held(struct walker *w)
{
    struct tick_reader *t = w->tick;
    if (t->seen) {
        t->now.flags |= STATE_HELD;
        t->now.hash = t->met ? t->was.hash : 0;
        t->now.offset = t->met ? t->was.offset : 0;
        t->now.lines = t->met ? t->was.lines : 0;
        put(w, &t->now);
    } else if (t->met) {
        put(w, &t->was);
    }
}

void tick_leave(struct walker *w)
{
    struct tick_reader *t = w->tick;
    if (!t || !t->open)
        return;
    t->open = false;
    bool failed = w->out->problems != t->mark.problems;

    if (failed && may_settle(t) && take_back(w->out, &t->mark)) {
        tick_note_held(w, t->seen ? "cannot be read, and was changed a moment ago" : "is missing");
        put_held(w);
    } else if (t->hold) {
        put_held(w);
    } else if (failed && t->now.flags & STATE_RETRY && t->seen) {
        put(w, &t->now); /* a metric file with an unreadable line */
    } else if (failed || !t->seen) {
        if (t->met)
            put(w, &t->was);
    } else {
        put(w, &t->now);
    }
}

bool tick_pass(struct walker *w, bool final)
{
    struct tick_reader *t = w->tick;
    if (!t || !t->open || !t->seen)
        return false;
    if (w->file.len != t->now.size) {
        tick_note_held(w, "was changed while it was read");
        t->hold = true;
        return true;
    }
    if ((final || w->file.len == 0) && is_uneasy(t)) {
        tick_note_held(w,
                       w->file.len == 0 ? "empty, and was changed a moment ago" : "was changed a moment ago");
        t->hold = true;
        return true;
    }
    t->now.hash = XXH3_64bits(buf_str(&w->file), w->file.len) | 1;
    return t->met && t->was.hash == t->now.hash;
}

bool tick_hold_torn(struct walker *w)
{
    struct tick_reader *t = w->tick;
    if (!t || !t->open || !may_settle(t))
        return false;
    tick_note_held(w, "cannot be read, and was changed a moment ago");
    t->hold = true;
    return true;
}

bool tick_hashed(struct walker *w, uint64_t hash)
{
    struct tick_reader *t = w->tick;
    if (!t || !t->open || !t->seen)
        return false;
    t->now.hash = hash;
    return t->met && t->was.hash == hash;
}

void tick_unlisted(struct walker *w)
{
    struct tick_reader *t = w->tick;
    if (!t)
        return;
    if (t->comparing) {
        t->differs = true;
        return;
    }
    tick_leave(w);
    buf_reset(&t->path);
    if (w->path.len < t->base) { /* the unit's own directory, of which versions alone are listed */
        buf_adds(&t->path, "version-");
    } else {
        buf_add(&t->path, w->path.data + t->base, w->path.len - t->base);
        buf_addc(&t->path, '/');
    }
    meet(w);
    while (t->has_old && t->old.path.len > t->path.len &&
           memcmp(t->old.path.s, t->path.data, t->path.len) == 0) {
        put(w, &t->old);
        next_old(t);
    }
}

bool tick_is_hidden(const struct walker *w, const char *name)
{
    return w->tick && name[0] == '.';
}

/* -- metric files */

static uint64_t tail_hash(int fd, uint64_t offset)
{
    char bytes[TAIL];
    size_t want = offset < TAIL ? (size_t)offset : TAIL;
    ssize_t n = dir_read_at(fd, bytes, want, offset - want);
    return n == (ssize_t)want ? XXH3_64bits_withSeed(bytes, want, offset) | 1 : 0;
}

void tick_metric_begin(struct walker *w, int fd, uint64_t *offset, uint64_t *lines)
{
    struct tick_reader *t = w->tick;
    if (!t || !t->seen || !t->met || t->was.offset == 0)
        return;
    if (t->now.size < t->was.offset) {
        tick_note_gone(w->out, buf_str(&w->path), "was truncated");
    } else if (t->was.inode == t->now.inode && tail_hash(fd, t->was.offset) == t->was.hash) {
        *offset = t->was.offset;
        *lines = t->was.lines;
    }
}

void tick_metric_end(struct walker *w, int fd, uint64_t offset, uint64_t lines, bool bad, bool torn)
{
    struct tick_reader *t = w->tick;
    if (!t || !t->seen)
        return;
    t->now.offset = offset;
    t->now.lines = lines;
    t->now.hash = tail_hash(fd, offset);
    if (bad || t->now.hash == 0)
        t->now.flags |= STATE_RETRY;
    if (torn) {
        tick_note_held(w, "the last line has no newline yet");
        t->now.flags |= STATE_HELD;
    }
}

/* -- units */

static enum kind kind_of(enum unit_kind kind)
{
    static const enum kind of[] = {
        [UNIT_EXPERIMENT] = KIND_experiment,
        [UNIT_RUN] = KIND_run,
        [UNIT_TRACE] = KIND_trace,
        [UNIT_LOGGED_MODEL] = KIND_logged_model,
        [UNIT_REGISTERED_MODEL] = KIND_registered_model,
    };
    return of[kind];
}

void tick_good(struct walker *w)
{
    struct tick_reader *t = w->tick;
    const struct unit *unit = w->unit;
    struct value id =
        unit->kind == UNIT_EXPERIMENT ? unit_experiment_id(unit) : value_text(unit->name, strlen(unit->name));
    if (!t || t->good)
        return;
    t->good = true;
    tick_key(unit, &t->record);
    state_encode_unit(
        &w->out->state,
        &(struct state_unit){.flags = unit->deleted && unit->kind == UNIT_EXPERIMENT ? STATE_DELETED : 0,
                             .kind = kind_of(unit->kind),
                             .key = {t->record.data, t->record.len},
                             .id = {id.s, id.len}});
}

void tick_emit(struct walker *w, struct record *r, bool inner)
{
    struct tick_reader *t = w->tick;
    if (!t) {
        walker_emit(w, r);
        return;
    }
    struct tick_parent *parent = inner ? &t->inner : &t->own;
    tick_good(w);
    buf_reset(&t->record);
    wire_encode(r, &t->record);
    t->now.hash = XXH3_64bits(t->record.data, t->record.len) | 1;
    buf_trim(&t->record);
    parent->idle = t->met && t->was.hash == t->now.hash;
    record_set_part(r, !t->met || !t->was.hash ? PART_WHOLE : parent->idle ? PART_UNCHANGED : PART_CHANGED);
    parent->before = mark_of(w->out);
    walker_emit(w, r);
    parent->after = w->out->data.len;
    t->mark = mark_of(w->out); /* earlier problems did not prevent it from being read */
}

void tick_emit_alone(struct walker *w, struct record *r)
{
    if (w->tick && w->tick->met && w->tick->was.hash)
        record_set_part(r, PART_CHANGED);
    walker_emit(w, r);
}

/* Removes a parent that nothing follows; returns whether it did. */
static bool end_parent(struct walker *w, struct tick_parent *parent)
{
    bool alone = parent->idle && w->out->data.len == parent->after &&
                 w->out->handed_over == parent->before.handed_over;
    if (alone) {
        buf_truncate(&w->out->data, parent->before.data);
        w->out->counts = parent->before.counts;
    }
    parent->idle = false;
    return alone;
}

void tick_inner_end(struct walker *w)
{
    if (w->tick)
        end_parent(w, &w->tick->inner);
}

void tick_begin(struct walker *w, int dir, const struct unit *unit)
{
    struct tick_reader *t = w->tick;
    const char *own = parts[unit->kind][0].name;
    t->base = w->path.len + 1;
    t->good = t->open = t->sent = false;
    t->own.idle = t->inner.idle = false;
    buf_reset(&t->chunk);
    open_old(t, unit);
    size_t back = walker_path_down(w, own);
    tick_enter_anyway(w, dir, own);
    walker_path_back(w, back);
}

void tick_end(struct walker *w, const struct unit *unit)
{
    struct tick_reader *t = w->tick;
    size_t back = w->path.len;
    bool failed = t->open && w->out->problems != t->mark.problems;
    if (!t->good) { /* nothing of it is sent, and its state is kept */
        if (failed && may_settle(t) && take_back(w->out, &t->mark)) {
            walker_path_down(w, parts[unit->kind][0].name);
            tick_note_held(w, t->seen ? "cannot be read, and was changed a moment ago" : "is missing");
            walker_path_back(w, back);
        }
        t->open = false;
        if (unit->known_from)
            output_copy(w->out, unit->known_from, unit->known_to);
        return;
    }
    tick_leave(w);
    while (t->has_old)
        old_is_gone(w);
    t->sent = !end_parent(w, &t->own);
    state_encode_chunk(&w->out->state, &t->chunk);
}

/* -- detecting changes */

static void compare_file(struct walker *w, int dir, const char *name, unsigned char type, const char *key,
                         void *ctx)
{
    struct tick_reader *t = w->tick;
    const char *path = w->path.data + t->base;
    size_t len = w->path.len - t->base;
    (void)type, (void)key, (void)ctx;
    if (t->differs)
        return;
    struct stat st;
    t->differs = !t->has_old || t->old.path.len != len || memcmp(t->old.path.s, path, len) != 0 ||
                 !is_settled(&t->old) || dir_stat(dir, name, &st) != 0 || !is_same(&t->old, &st);
    if (!t->differs)
        next_old(t);
}

static void compare_meta(struct walker *w, int dir, const char *name, void *ctx)
{
    size_t back = walker_path_down(w, "meta.yaml");
    (void)name;
    compare_file(w, dir, "meta.yaml", DT_REG, "", ctx);
    walker_path_back(w, back);
}

static void compare_version(struct walker *w, int dir, const char *name, void *ctx)
{
    compare_meta(w, dir, name, ctx);
    if (!w->tick->differs)
        walker_each_file(w, dir, "tags", compare_file, ctx);
}

static void compare_spans(struct walker *w, int dir)
{
    size_t back = walker_path_down(w, SPANS_FILE);
    struct stat st;
    if (!w->store->no_spans && dir_stat(dir, SPANS_FILE, &st) != ENOENT)
        compare_file(w, dir, SPANS_FILE, DT_REG, "", NULL);
    walker_path_back(w, back);
}

static void compare_part(struct walker *w, int dir, const struct part *part)
{
    size_t back;
    switch (part->shape) {
    case SHAPE_FILE:
        back = walker_path_down(w, part->name);
        compare_file(w, dir, part->name, DT_REG, "", NULL);
        walker_path_back(w, back);
        break;
    case SHAPE_TREE:
        walker_each_file(w, dir, part->name, compare_file, NULL);
        break;
    case SHAPE_METAS:
        walker_each_dir(w, dir, part->name, "", compare_meta, NULL);
        break;
    case SHAPE_VERSIONS:
        walker_each_dir(w, dir, ".", part->name, compare_version, NULL);
        break;
    case SHAPE_SPANS:
        compare_spans(w, dir);
        break;
    }
}

struct presence { /* which parts the unit's directory has */
    const struct part *parts;
    unsigned found; /* a bit for each */
};

static void note_part(void *ctx, const char *name, unsigned char type)
{
    struct presence *p = ctx;
    (void)type;
    for (int i = 0; p->parts[i].name; i++) {
        size_t len = strlen(p->parts[i].name) + (p->parts[i].shape != SHAPE_VERSIONS);
        if (strncmp(name, p->parts[i].name, len) == 0)
            p->found |= 1u << i;
    }
}

bool tick_differs(struct walker *w, int dir, const struct unit *unit)
{
    struct tick_reader *t = w->tick;
    struct output quiet = {.discarded = true}, *out = w->out;
    struct presence has = {.parts = parts[unit->kind]};
    if (!unit->old_from)
        return true;
    t->base = w->path.len + 1;
    t->comparing = true;
    t->differs = dir_each(dir, w->chunk, note_part, &has) != 0 || lseek(dir, 0, SEEK_SET) < 0;
    open_old(t, unit);
    w->out = &quiet;
    for (int i = 0; has.parts[i].name && !t->differs; i++)
        if (has.found & 1u << i)
            compare_part(w, dir, &has.parts[i]);
    w->out = out;
    t->comparing = false;
    t->differs = t->differs || t->has_old || quiet.problems;
    output_free(&quiet);
    return t->differs;
}
