/* Walks a file store: reads small files and directories of values, and reports unreadable ones. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/printable.h"
#include "formats/filestore/internal.h"
#include "formats/filestore/tick.h"

/* -- walker */

void walker_init(struct walker *w, const struct mlruns *store, int root, struct output *out)
{
    *w = (struct walker){.store = store, .root = root, .out = out, .limit = SIZE_MAX};
    w->names.room = store->names;
    w->more_versions.size = sizeof(int64_t);
    w->odd_versions.size = sizeof(int64_t);
    w->yaml = yaml_reader_new();
    w->other_yaml = yaml_reader_new();
    /* aligned for the directory entries read into it */
    w->chunk = xmalloc(CHUNK_SIZE + 1);
    w->datasets = xcalloc(DATASET_CACHE_SIZE, sizeof *w->datasets);
    w->located = relocate_located_new();
    w->spans = trace_spans_new();
    w->verdicts = xcalloc(VERDICT_CACHE_SIZE, sizeof *w->verdicts);
}

void walker_free(struct walker *w)
{
    buf_free(&w->path);
    buf_free(&w->file);
    buf_free(&w->json);
    buf_free(&w->error_json);
    buf_free(&w->scratch);
    buf_free(&w->versions);
    yaml_reader_free(w->yaml);
    yaml_reader_free(w->other_yaml);
    names_free(&w->names);
    free(w->chunk);
    for (int i = 0; i < DATASET_CACHE_SIZE; i++) {
        buf_free(&w->datasets[i].path);
        buf_free(&w->datasets[i].name);
        buf_free(&w->datasets[i].digest);
    }
    free(w->datasets);
    for (int i = 0; i < VERDICT_CACHE_SIZE; i++)
        buf_free(&w->verdicts[i].path);
    free(w->verdicts);
    relocate_located_free(w->located);
    trace_spans_free(w->spans);
    arena_free(&w->uris);
}

void output_note(struct output *out, char type, const char *path, const char *reason)
{
    buf_addc(&out->notes, type);
    buf_add(&out->notes, path, strlen(path) + 1);
    buf_add(&out->notes, reason, strlen(reason) + 1);
}

void output_copy(struct output *out, uint64_t from, uint64_t to)
{
    uint64_t end;
    if (out->copies.len) { /* the next range may go on where the last one ends */
        memcpy(&end, out->copies.data + out->copies.len - sizeof end, sizeof end);
        if (end == from) {
            memcpy(out->copies.data + out->copies.len - sizeof to, &to, sizeof to);
            return;
        }
    }
    buf_add(&out->copies, &from, sizeof from);
    buf_add(&out->copies, &to, sizeof to);
}

void output_free(struct output *out)
{
    buf_free(&out->data);
    buf_free(&out->notes);
    buf_free(&out->copies);
    buf_free(&out->state);
}

size_t output_size(const struct output *out)
{
    return out->data.len + out->notes.len + out->copies.len + out->state.len;
}

void output_limit(struct walker *w)
{
    if (output_size(w->out) < w->limit)
        return;
    if (!w->out->discarded) {
        w->full(w);
        return;
    }
    buf_reset(&w->out->data);
    buf_reset(&w->out->notes);
}

size_t walker_path_down(struct walker *w, const char *name)
{
    size_t len = w->path.len;
    if (len)
        buf_addc(&w->path, '/');
    buf_adds(&w->path, name);
    return len;
}

void walker_path_back(struct walker *w, size_t len)
{
    buf_truncate(&w->path, len);
}

void walker_emit(struct walker *w, const struct record *r)
{
    size_t before = w->out->data.len;
    struct record placed;
    if (w->tally && uris_in(r->kind)) {
        placed = *r;
        relocate_uris(w, &placed);
        r = &placed;
    }
    wire_encode(r, &w->out->data);
    if (w->out->data.len - before > WIRE_MAX_RECORD) {
        buf_truncate(&w->out->data, before);
        walker_problem(w, 0, "the record would be longer than %zu bytes", WIRE_MAX_RECORD);
        return;
    }
    w->out->counts.n[r->kind->kind]++;
    output_limit(w);
}

static void note(struct walker *w, char type, uint64_t line, const char *fmt, va_list ap)
{
    struct buf *notes = &w->out->notes;
    size_t path = notes->len + 1;
    buf_addc(notes, type);
    buf_add(notes, buf_str(&w->path), w->path.len);
    if (line)
        buf_addf(notes, ":%llu", (unsigned long long)line);
    buf_addc(notes, '\0');
    size_t reason = notes->len;
    buf_vaddf(notes, fmt, ap);
    buf_addc(notes, '\0');
    if (type != 'p') {
        output_limit(w);
        return;
    }
    struct record r;
    record_init(&r, KIND_skipped);
    r.v[F_skipped_path] = value_text(notes->data + path, reason - path - 1);
    r.v[F_skipped_reason] = value_text(notes->data + reason, notes->len - reason - 1);
    walker_emit(w, &r);
}

void walker_problem(struct walker *w, uint64_t line, const char *fmt, ...)
{
    w->out->problems++;
    va_list ap;
    va_start(ap, fmt);
    note(w, 'p', line, fmt, ap);
    va_end(ap);
}

void walker_warning(struct walker *w, uint64_t line, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    note(w, 'w', line, fmt, ap);
    va_end(ap);
}

const char *walker_shown(const char *s, size_t len)
{
    enum { MOST = 60 };
    static _Thread_local char buffers[4][MOST * 4 + sizeof "..."];
    static _Thread_local unsigned turn;
    char *out = buffers[turn++ % 4];
    size_t n = len < MOST ? len : MOST;

    while (n < len && n > MOST - 3 && (s[n] & 0xC0) == 0x80)
        n--; /* never split a character */
    printable_into(out, MOST * 4 + 1, s, n);
    return n < len ? strcat(out, "...") : out;
}

/* -- files */

int walker_open_file(struct walker *w, int dir, const char *name, unsigned char type)
{
    if (type != DT_REG && type != DT_LNK && type != DT_UNKNOWN) {
        walker_problem(w, 0, "not a regular file");
        return -1;
    }
    int fd = dir_open_file(dir, name);
    if (fd < 0) {
        if (errno == ENOENT && type == DT_REG)
            walker_warning(w, 0, "disappeared after it was listed: is the tree being modified?");
        else
            walker_problem(w, 0, "%s", dir_error(errno));
        return -1;
    }
    if (type == DT_REG)
        return fd;
    struct stat st;
    int error = dir_fstat(fd, &st);
    if (error)
        walker_problem(w, 0, "%s", dir_error(error));
    else if (!S_ISREG(st.st_mode))
        walker_problem(w, 0, "not a regular file");
    else
        return fd;
    close(fd);
    return -1;
}

/* Reads all of fd into w->file and closes it. Returns 0 or an errno value. The current size is only a hint: a growing
 * file is read to its end. */
static int read_whole(struct walker *w, int fd, unsigned copies)
{
    struct buf *b = &w->file;
    buf_trim(b);
    struct stat st;
    size_t size = 0;
    if (fstat(fd, &st) == 0 && st.st_size > 0 && st.st_size <= VALUE_MAX_SIZE)
        size = (size_t)st.st_size;
    if (size > LARGE_SIZE && w->large)
        w->large(w, size * copies);
    buf_reserve(b, size + 1024); /* the read that finds the end needs room, too: most files never move */
    ssize_t n;
    do {
        if (b->len + 1 == b->cap)
            buf_reserve(b, CHUNK_SIZE);
        n = dir_read_at(fd, b->data + b->len, b->cap - b->len - 1, b->len);
        if (n > 0)
            b->len += (size_t)n;
    } while (n > 0 && b->len <= VALUE_MAX_SIZE);
    b->data[b->len] = '\0';
    n = n < 0 ? errno : n > 0 ? EFBIG : 0;
    close(fd);
    return (int)n;
}

bool walker_read_file(struct walker *w, int dir, const char *name, unsigned char type, unsigned copies)
{
    int fd = walker_open_file(w, dir, name, type);
    if (fd < 0)
        return false;
    int error = read_whole(w, fd, copies);
    if (error == EFBIG)
        walker_problem(w, 0, "larger than %d bytes, the limit of a record", (int)VALUE_MAX_SIZE);
    else if (error)
        walker_problem(w, 0, "%s", dir_error(error));
    return error == 0;
}

/* -- walks */

/* Opens and lists the directory `name` below dir; its path is w->path. -1: nothing to walk, reported if it is
 * an error, and no list. */
static int list_below(struct walker *w, int dir, const char *name, struct name_list *l)
{
    int fd = dir_open(dir, name);
    int error;
    if (fd < 0) {
        error = errno;
        if (error != ENOENT)
            tick_unlisted(w);
        if (error == ENOTDIR)
            walker_problem(w, 0, "not a directory");
        else if (error != ENOENT)
            walker_problem(w, 0, "%s", dir_error(error));
        return -1;
    }
    error = dir_list(&w->names, l, fd, w->chunk);
    if (error) {
        tick_unlisted(w);
        walker_problem(w, 0, "%s", dir_error(error));
        close(fd);
        return -1;
    }
    return fd;
}

struct file_walk {
    void (*fn)(struct walker *w, int dir, const char *name, unsigned char type, const char *key, void *ctx);
    void *ctx;
    size_t base; /* offset of the key in the path */
    int depth;
};

static void walk_files(struct walker *w, int dir, const char *name, struct file_walk *walk);

static void walk_file(struct walker *w, int dir, const char *name, unsigned char type,
                      const struct file_walk *walk)
{
    if (!tick_enter(w, dir, name))
        return;
    walk->fn(w, dir, name, type, w->path.data + walk->base, walk->ctx);
    tick_leave(w);
}

static void walk_entry(struct walker *w, int dir, const char *name, unsigned char type,
                       struct file_walk *walk)
{
    if (tick_is_hidden(w, name)) {
        walker_warning(w, 0, "a hidden file, which is not taken for a key");
        return;
    }
    if (type == DT_UNKNOWN)
        type = dir_entry_type(dir, name);
    bool is_dir;
    /* a dangling link is not a directory for MLflow either: it is opened as a file, which fails */
    if (type == DT_LNK && dir_entry_is_dir(dir, name, type, &is_dir) == 0 && is_dir)
        walker_warning(w, 0, "a link to a directory, which MLflow does not follow here");
    else if (type != DT_DIR)
        walk_file(w, dir, name, type, walk);
    else if (walk->depth == KEY_MAX_DEPTH)
        walker_problem(w, 0, "more than %d directories deep", KEY_MAX_DEPTH);
    else
        walk_files(w, dir, name, walk);
}

static void walk_files(struct walker *w, int dir, const char *name, struct file_walk *walk)
{
    struct name_list list;
    int fd = list_below(w, dir, name, &list);
    if (fd < 0)
        return;
    walk->depth++;
    while (names_next(&list)) {
        size_t back = walker_path_down(w, list.name);
        walk_entry(w, fd, list.name, list.type, walk);
        walker_path_back(w, back);
    }
    walk->depth--;
    names_end(&list);
    close(fd);
}

void walker_each_file(struct walker *w, int dir, const char *sub,
                      void (*fn)(struct walker *w, int dir, const char *name, unsigned char type,
                                 const char *key, void *ctx),
                      void *ctx)
{
    size_t back = walker_path_down(w, sub);
    struct file_walk walk = {.fn = fn, .ctx = ctx, .base = w->path.len + 1};
    walk_files(w, dir, sub, &walk);
    walker_path_back(w, back);
}

/* Calls fn with an entry of a directory, if that is a directory. Its path is w->path. */
static void visit_dir(struct walker *w, int dir, const char *name, unsigned char type,
                      void (*fn)(struct walker *w, int dir, const char *name, void *ctx), void *ctx)
{
    bool is_dir;
    int error = dir_entry_is_dir(dir, name, type, &is_dir), fd = -1;
    if (!error && !is_dir)
        return;
    if (!error && (fd = dir_open(dir, name)) < 0)
        error = errno;
    if (error) {
        tick_unlisted(w);
        if (error == ENOENT && w->tick)
            tick_note_held(w, "missing");
        else
            walker_problem(w, 0, "%s", dir_error(error));
        return;
    }
    fn(w, fd, name, ctx);
    close(fd);
}

void walker_each_dir(struct walker *w, int dir, const char *sub, const char *prefix,
                     void (*fn)(struct walker *w, int dir, const char *name, void *ctx), void *ctx)
{
    bool itself = strcmp(sub, ".") == 0;
    size_t back = itself ? w->path.len : walker_path_down(w, sub);
    struct name_list list;
    int fd = list_below(w, dir, sub, &list);
    while (fd >= 0 && names_next(&list)) {
        if (strncmp(list.name, prefix, strlen(prefix)) != 0 || tick_is_hidden(w, list.name))
            continue;
        size_t up = walker_path_down(w, list.name);
        visit_dir(w, fd, list.name, list.type, fn, ctx);
        walker_path_back(w, up);
    }
    if (fd >= 0) {
        names_end(&list);
        close(fd);
    }
    walker_path_back(w, back);
}

struct meta_walk {
    void (*fn)(struct walker *w, int dir, const char *name, void *ctx);
    void *ctx;
};

static void visit_meta(struct walker *w, int dir, const char *name, void *ctx)
{
    const struct meta_walk *walk = ctx;
    size_t back = walker_path_down(w, "meta.yaml");
    bool wanted = tick_enter(w, dir, "meta.yaml");
    walker_path_back(w, back);
    if (!wanted)
        return;
    walk->fn(w, dir, name, walk->ctx);
    back = walker_path_down(w, "meta.yaml");
    tick_leave(w);
    walker_path_back(w, back);
}

void each_meta(struct walker *w, int dir, const char *sub,
               void (*fn)(struct walker *w, int dir, const char *name, void *ctx), void *ctx)
{
    struct meta_walk walk = {.fn = fn, .ctx = ctx};
    walker_each_dir(w, dir, sub, "", visit_meta, &walk);
}

bool walker_emit_value(struct walker *w, int dir, const char *name, unsigned char type, const char *key,
                       const struct value_walk *walk)
{
    if (!walker_read_file(w, dir, name, type, VALUE_COPIES))
        return false;
    if (tick_pass(w, walk->r->kind->kind == KIND_param || walk->r->kind->kind == KIND_logged_model_param))
        return true;
    walk->r->v[walk->key] = value_text(key, strlen(key));
    walk->r->v[walk->value] = value_text(buf_str(&w->file), w->file.len);
    walker_emit(w, walk->r);
    return true;
}

static void emit_value(struct walker *w, int dir, const char *name, unsigned char type, const char *key,
                       void *ctx)
{
    walker_emit_value(w, dir, name, type, key, ctx);
}

void walker_each_value(struct walker *w, int dir, const char *sub, struct record *r, int key, int value)
{
    struct value_walk walk = {.r = r, .key = key, .value = value};
    walker_each_file(w, dir, sub, emit_value, &walk);
}

int unit_dir_open(const struct walker *w, const struct unit *unit, const char *path)
{
    static const char trash[] = TRASH "/";
    size_t len = sizeof trash - 1;
    int fd = dir_open(w->root, path);
    if (fd >= 0 || errno != ENOENT || !w->tick || !unit->experiment)
        return fd;
    char *other = strncmp(path, trash, len) == 0 ? xstrdup(path + len) : xasprintf("%s%s", trash, path);
    fd = dir_open(w->root, other);
    free(other);
    return fd;
}

bool walker_has_dir(int dir, const char *const *names)
{
    for (; *names; names++) {
        bool is_dir;
        int error = dir_entry_is_dir(dir, *names, DT_UNKNOWN, &is_dir);
        if (is_dir || (error && error != ENOENT))
            return true;
    }
    return false;
}

void unit_set_bad(const struct walker *w, const struct unit *unit)
{
    experiments_mark(w->store->experiments, unit->of, EXPERIMENT_BAD, 0);
}

enum tag_state walker_read_tag(struct walker *w, int dir, const char *key)
{
    size_t back = walker_path_down(w, "tags");
    struct buf path = {0};
    struct stat st;
    enum tag_state state = TAG_ABSENT;
    int error = dir_stat(dir, "tags", &st);
    if (!error && S_ISDIR(st.st_mode)) {
        walker_path_down(w, key);
        buf_addf(&path, "tags/%s", key);
        error = dir_stat(dir, buf_str(&path), &st);
        if (!error && S_ISREG(st.st_mode))
            state = walker_read_file(w, dir, buf_str(&path), DT_UNKNOWN, VALUE_COPIES) ? TAG_READ
                                                                                       : TAG_UNREADABLE;
    }
    if (error && error != ENOENT) {
        walker_problem(w, 0, "%s", dir_error(error));
        state = TAG_UNREADABLE;
    }
    buf_free(&path);
    walker_path_back(w, back);
    return state;
}
