/* Walks of a file store: whole small files, folders of values, and what to do about those that can't be
 * read. */
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
    w->yaml = yaml_reader_new();
    w->other_yaml = yaml_reader_new();
    /* aligned for the folder entries that are read into it */
    w->chunk = xmalloc(CHUNK_SIZE + 1);
    w->datasets = xcalloc(DATASET_CACHE_SIZE, sizeof *w->datasets);
    w->located = located_new();
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
    located_free(w->located);
    arena_free(&w->uris);
}

void output_copy(struct output *out, uint64_t from, uint64_t to)
{
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

size_t path_down(struct walker *w, const char *name)
{
    size_t len = w->path.len;

    if (len)
        buf_addc(&w->path, '/');
    buf_adds(&w->path, name);
    return len;
}

void path_back(struct walker *w, size_t len)
{
    buf_truncate(&w->path, len);
}

void emit(struct walker *w, const struct record *r)
{
    size_t before = w->out->data.len;
    struct record placed;

    if (w->tally && uris_in(r->kind)) {
        placed = *r;
        place_uris(w, &placed);
        r = &placed;
    }
    wire_encode(r, &w->out->data);
    if (w->out->data.len - before > WIRE_MAX_RECORD) {
        buf_truncate(&w->out->data, before);
        problem(w, 0, "the record would be longer than %zu bytes", WIRE_MAX_RECORD);
        return;
    }
    w->out->counts.n[r->kind->kind]++;
    if (w->out->data.len >= w->limit)
        w->full(w);
}

static void note(struct walker *w, char type, uint64_t line, const char *fmt, va_list ap)
{
    struct buf *notes = &w->out->notes;
    size_t path = notes->len + 1, reason;
    struct record r;

    buf_addc(notes, type);
    buf_add(notes, buf_str(&w->path), w->path.len);
    if (line)
        buf_addf(notes, ":%llu", (unsigned long long)line);
    buf_addc(notes, '\0');
    reason = notes->len;
    buf_vaddf(notes, fmt, ap);
    buf_addc(notes, '\0');
    if (type != 'p')
        return;
    record_init(&r, KIND_skipped);
    r.v[F_skipped_path] = value_text(notes->data + path, reason - path - 1);
    r.v[F_skipped_reason] = value_text(notes->data + reason, notes->len - reason - 1);
    emit(w, &r);
}

void problem(struct walker *w, uint64_t line, const char *fmt, ...)
{
    va_list ap;

    w->out->problems++;
    va_start(ap, fmt);
    note(w, 'p', line, fmt, ap);
    va_end(ap);
}

void warning(struct walker *w, uint64_t line, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    note(w, 'w', line, fmt, ap);
    va_end(ap);
}

const char *shown(const char *s, size_t len)
{
    enum { MOST = 60 };
    static _Thread_local char buffers[4][MOST * 4 + sizeof "..."];
    static _Thread_local unsigned turn;
    char *out = buffers[turn++ % 4];
    size_t n = len < MOST ? len : MOST;

    while (n < len && n > MOST - 3 && (s[n] & 0xC0) == 0x80)
        n--; /* a character is shown whole or not */
    printable_into(out, MOST * 4 + 1, s, n);
    return n < len ? strcat(out, "...") : out;
}

/* -- files */

int file_open(struct walker *w, int dir, const char *name, unsigned char type)
{
    struct stat st;
    int fd, error;

    if (type != DT_REG && type != DT_LNK && type != DT_UNKNOWN) {
        problem(w, 0, "not a regular file");
        return -1;
    }
    fd = file_open_at(dir, name);
    if (fd < 0) {
        if (errno == ENOENT && type == DT_REG)
            warning(w, 0, "was listed, but is no longer there: is the tree being written?");
        else
            problem(w, 0, "%s", look_error(errno));
        return -1;
    }
    if (type == DT_REG)
        return fd;
    error = look_at_open(fd, &st);
    if (error)
        problem(w, 0, "%s", look_error(error));
    else if (!S_ISREG(st.st_mode))
        problem(w, 0, "not a regular file");
    else
        return fd;
    close(fd);
    return -1;
}

/* Reads all of fd into w->file and closes it. 0 or an errno value. The size that it has now is where a large
 * one is likely to end; a file that grows meanwhile is read all the same. */
static int read_whole(struct walker *w, int fd, unsigned copies)
{
    struct buf *b = &w->file;
    struct stat st;
    ssize_t n;

    buf_trim(b);
    if (fstat(fd, &st) == 0 && st.st_size > LARGE_SIZE && st.st_size <= VALUE_MAX_SIZE) {
        if (w->large)
            w->large(w, (size_t)st.st_size * copies);
        buf_reserve(b, (size_t)st.st_size + CHUNK_SIZE);
    }
    do {
        buf_reserve(b, CHUNK_SIZE);
        n = file_read_at(fd, b->data + b->len, b->cap - b->len - 1, b->len);
        if (n > 0)
            b->len += (size_t)n;
    } while (n > 0 && b->len <= VALUE_MAX_SIZE);
    if (b->data)
        b->data[b->len] = '\0';
    n = n < 0 ? errno : n > 0 ? EFBIG : 0;
    close(fd);
    return (int)n;
}

bool file_read(struct walker *w, int dir, const char *name, unsigned char type, unsigned copies)
{
    int fd = file_open(w, dir, name, type), error;

    if (fd < 0)
        return false;
    error = read_whole(w, fd, copies);
    if (error == EFBIG)
        problem(w, 0, "larger than %d bytes, which is more than a record can hold", (int)VALUE_MAX_SIZE);
    else if (error)
        problem(w, 0, "%s", look_error(error));
    return error == 0;
}

/* -- walks */

/* Opens and lists the folder `name` below dir; its path is w->path. -1: nothing to walk, reported if need be.
 */
static int list_below(struct walker *w, int dir, const char *name)
{
    int fd = dir_open(dir, name), error;

    if (fd < 0) {
        error = errno;
        if (error != ENOENT)
            tick_unlisted(w);
        if (error == ENOTDIR)
            problem(w, 0, "not a folder");
        else if (error != ENOENT)
            problem(w, 0, "%s", look_error(error));
        return -1;
    }
    error = names_list(&w->names, fd, w->chunk);
    if (error) {
        tick_unlisted(w);
        problem(w, 0, "%s", look_error(error));
        close(fd);
        return -1;
    }
    return fd;
}

struct file_walk {
    void (*fn)(struct walker *w, int dir, const char *name, unsigned char type, const char *key, void *ctx);
    void *ctx;
    size_t base; /* of the key in the path */
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

static void walk_entry(struct walker *w, int dir, size_t i, struct file_walk *walk)
{
    const char *name = names_at(&w->names, i);
    unsigned char type = w->names.items[i].type;
    bool is_dir;

    if (tick_is_hidden(w, name)) {
        warning(w, 0, "a hidden file, which is not taken for a key");
        return;
    }
    if (type == DT_UNKNOWN)
        type = entry_type(dir, name);
    /* a link that can't be followed is no folder for MLflow either: it is opened as a file, which fails */
    if (type == DT_LNK && entry_is_dir(dir, name, type, &is_dir) == 0 && is_dir)
        warning(w, 0, "a link to a folder, which MLflow does not follow here");
    else if (type != DT_DIR)
        walk_file(w, dir, name, type, walk);
    else if (walk->depth == KEY_MAX_DEPTH)
        problem(w, 0, "more than %d folders deep", KEY_MAX_DEPTH);
    else
        walk_files(w, dir, name, walk);
}

static void walk_files(struct walker *w, int dir, const char *name, struct file_walk *walk)
{
    struct names_mark mark = names_mark(&w->names);
    int fd = list_below(w, dir, name);
    size_t end = w->names.n;

    if (fd < 0)
        return;
    walk->depth++;
    for (size_t i = mark.n; i < end; i++) {
        size_t back = path_down(w, names_at(&w->names, i));

        walk_entry(w, fd, i, walk);
        path_back(w, back);
    }
    walk->depth--;
    names_release(&w->names, mark);
    close(fd);
}

void each_file(struct walker *w, int dir, const char *sub,
               void (*fn)(struct walker *w, int dir, const char *name, unsigned char type, const char *key,
                          void *ctx),
               void *ctx)
{
    size_t back = path_down(w, sub);
    struct file_walk walk = {.fn = fn, .ctx = ctx, .base = w->path.len + 1};

    walk_files(w, dir, sub, &walk);
    path_back(w, back);
}

/* Calls fn with an entry of a folder, when that is a folder. Its path is w->path. */
static void visit_dir(struct walker *w, int dir, size_t i,
                      void (*fn)(struct walker *w, int dir, const char *name, void *ctx), void *ctx)
{
    const char *name = names_at(&w->names, i);
    bool is_dir;
    int error = entry_is_dir(dir, name, w->names.items[i].type, &is_dir), fd = -1;

    if (!error && !is_dir)
        return;
    if (!error && (fd = dir_open(dir, name)) < 0)
        error = errno;
    if (error) {
        tick_unlisted(w);
        if (error == ENOENT && w->tick)
            tick_note_held(w, "is not there");
        else
            problem(w, 0, "%s", look_error(error));
        return;
    }
    fn(w, fd, name, ctx);
    close(fd);
}

void each_dir(struct walker *w, int dir, const char *sub, const char *prefix,
              void (*fn)(struct walker *w, int dir, const char *name, void *ctx), void *ctx)
{
    struct names_mark mark = names_mark(&w->names);
    bool itself = strcmp(sub, ".") == 0;
    size_t back = itself ? w->path.len : path_down(w, sub);
    int fd = list_below(w, dir, sub);
    size_t end = w->names.n;

    for (size_t i = mark.n; fd >= 0 && i < end; i++) {
        size_t up;

        if (strncmp(names_at(&w->names, i), prefix, strlen(prefix)) != 0 ||
            tick_is_hidden(w, names_at(&w->names, i)))
            continue;
        up = path_down(w, names_at(&w->names, i));
        visit_dir(w, fd, i, fn, ctx);
        path_back(w, up);
    }
    names_release(&w->names, mark);
    if (fd >= 0)
        close(fd);
    path_back(w, back);
}

struct meta_walk {
    void (*fn)(struct walker *w, int dir, const char *name, void *ctx);
    void *ctx;
};

static void visit_meta(struct walker *w, int dir, const char *name, void *ctx)
{
    const struct meta_walk *walk = ctx;
    size_t back = path_down(w, "meta.yaml");
    bool wanted = tick_enter(w, dir, "meta.yaml");

    path_back(w, back);
    if (!wanted)
        return;
    walk->fn(w, dir, name, walk->ctx);
    back = path_down(w, "meta.yaml");
    tick_leave(w);
    path_back(w, back);
}

void each_meta(struct walker *w, int dir, const char *sub,
               void (*fn)(struct walker *w, int dir, const char *name, void *ctx), void *ctx)
{
    struct meta_walk walk = {.fn = fn, .ctx = ctx};

    each_dir(w, dir, sub, "", visit_meta, &walk);
}

struct value_walk {
    struct record *r;
    int key, value;
};

static void emit_value(struct walker *w, int dir, const char *name, unsigned char type, const char *key,
                       void *ctx)
{
    const struct value_walk *walk = ctx;

    if (!file_read(w, dir, name, type, VALUE_COPIES) ||
        tick_pass(w, walk->r->kind->kind == KIND_param || walk->r->kind->kind == KIND_logged_model_param))
        return;
    walk->r->v[walk->key] = value_text(key, strlen(key));
    walk->r->v[walk->value] = value_text(buf_str(&w->file), w->file.len);
    emit(w, walk->r);
}

void each_value(struct walker *w, int dir, const char *sub, struct record *r, int key, int value)
{
    struct value_walk walk = {.r = r, .key = key, .value = value};

    each_file(w, dir, sub, emit_value, &walk);
}

int unit_dir_open(const struct walker *w, const struct unit *unit, const char *path)
{
    static const char trash[] = TRASH "/";
    size_t len = sizeof trash - 1;
    int fd = dir_open(w->root, path);
    char *other;

    if (fd >= 0 || errno != ENOENT || !w->tick || !unit->experiment)
        return fd;
    other = strncmp(path, trash, len) == 0 ? xstrdup(path + len) : xasprintf("%s%s", trash, path);
    fd = dir_open(w->root, other);
    free(other);
    return fd;
}

bool has_folder(int dir, const char *const *names)
{
    for (; *names; names++) {
        bool is_dir;
        int error = entry_is_dir(dir, *names, DT_UNKNOWN, &is_dir);

        if (is_dir || (error && error != ENOENT))
            return true;
    }
    return false;
}

enum tag_state tag_read(struct walker *w, int dir, const char *key)
{
    size_t back = path_down(w, "tags");
    struct buf path = {0};
    struct stat st;
    enum tag_state state = TAG_ABSENT;
    int error = look(dir, "tags", &st);

    if (!error && S_ISDIR(st.st_mode)) {
        path_down(w, key);
        buf_addf(&path, "tags/%s", key);
        error = look(dir, buf_str(&path), &st);
        if (!error && S_ISREG(st.st_mode))
            state = file_read(w, dir, buf_str(&path), DT_UNKNOWN, VALUE_COPIES) ? TAG_READ : TAG_UNREADABLE;
    }
    if (error && error != ENOENT) {
        problem(w, 0, "%s", look_error(error));
        state = TAG_UNREADABLE;
    }
    buf_free(&path);
    path_back(w, back);
    return state;
}
