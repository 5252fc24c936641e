/* The spans of a trace, in traces.json in the directory of its artifacts. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/filestore/internal.h"
#include "formats/filestore/spans.h"
#include "formats/filestore/tick.h"
#include "formats/python/span_content.h"

#define SIZE_STATS "request_metadata/mlflow.trace.sizeStats"

/* Spans of a file of which those of one id are found here; of a larger one ml-load finds them. */
enum { MAX_IDS = 1 << 19 };

struct trace_spans {
    struct spans_reader *reader;
    struct span_content content;
    struct buf location; /* the value of the tag TRACE_LOCATION, if `located`; empty: there is none */
    bool located;
    uint64_t *ids; /* a hash table of the file's span ids; 0: free */
    size_t n_ids, cap_ids;
    /* the file */
    struct walker *w;
    const struct unit *unit;
    int fd;
    uint64_t offset;
    int error;
};

struct trace_spans *trace_spans_new(void)
{
    struct trace_spans *t = xcalloc(1, sizeof *t);
    t->reader = spans_reader_new();
    return t;
}

void trace_spans_free(struct trace_spans *t)
{
    if (!t)
        return;
    spans_reader_free(t->reader);
    span_content_free(&t->content);
    buf_free(&t->location);
    free(t->ids);
    free(t);
}

/* -- what there is to say of files */

static void note(struct walker *w, enum mlruns_spans what, const char *reason)
{
    output_note(w->out, (char)('0' + what), buf_str(&w->path), reason);
    output_limit(w);
}

/* Whether the trace's metadata say that it has spans: {"num_spans": 3, ...}; true too if they cannot be read. */
static bool has_counted_spans(int dir)
{
    struct pyjson json = {0};
    char text[4096];
    int fd = dir_open_file(dir, SIZE_STATS);
    ssize_t n = fd < 0 ? -1 : dir_read_at(fd, text, sizeof text, 0);
    const struct pyjson_value *v =
        n > 0 && pyjson_parse(&json, text, (size_t)n) ? pyjson_get(&json, "num_spans") : NULL;
    bool some = v ? v->type == PYJSON_INT && pyjson_number(v) > 0 : n < 0 && errno != ENOENT;
    if (fd >= 0)
        close(fd);
    pyjson_free(&json);
    return some;
}

/* The spans of the file at w->path cannot be read: the trace is whole without them, unless it says that it had some. */
static void damaged(struct walker *w, int dir, const char *reason)
{
    if (tick_hold_torn(w))
        return;
    if (has_counted_spans(dir))
        walker_problem(w, 0, "the trace's spans cannot be read: %s", reason);
    else
        note(w, MLRUNS_SPANS_DAMAGED, reason);
}

/* The file at w->path is there, but a system call failed: what it holds is lost. */
static void failed(struct walker *w, int error)
{
    walker_problem(w, 0, "the trace's spans cannot be read: %s", dir_error(error));
}

/* -- spans */

static bool ids_add(struct trace_spans *t, const char *hex)
{
    uint64_t id = strtoull(hex, NULL, 16);
    if (t->cap_ids == 0)
        return true;
    id += id == 0; /* an invalid id, which nothing else has */
    uint64_t at;
    for (at = id * UINT64_C(0x9E3779B97F4A7C15) & (t->cap_ids - 1); t->ids[at];
         at = (at + 1) & (t->cap_ids - 1))
        if (t->ids[at] == id)
            return false;
    t->ids[at] = id;
    return true;
}

/* Room for the ids of n spans. */
static void ids_begin(struct trace_spans *t, uint64_t n)
{
    size_t cap = 16;
    while (cap < 2 * n && n <= MAX_IDS)
        cap *= 2;
    free(t->ids);
    t->cap_ids = n <= MAX_IDS ? cap : 0;
    t->ids = t->cap_ids ? xcalloc(t->cap_ids, sizeof *t->ids) : NULL;
}

static struct value text_value(struct span_text text)
{
    return text.s ? value_text(text.s, text.len) : value_null();
}

static void fill_span(const struct trace_spans *t, const char *text, size_t len, struct record *r)
{
    const struct span_content *c = &t->content;
    const struct unit *unit = t->unit;
    record_init(r, KIND_span);
    r->v[F_span_trace_id] = value_text(unit->name, strlen(unit->name));
    r->v[F_span_span_id] = value_str(c->span_id);
    r->v[F_span_experiment_id] = unit_experiment_id(unit);
    if (c->parent_id[0])
        r->v[F_span_parent_span_id] = value_str(c->parent_id);
    r->v[F_span_name] = text_value(c->name);
    r->v[F_span_type] = text_value(c->type);
    r->v[F_span_status] = value_str(c->status);
    r->v[F_span_start_time_unix_nano] = value_int(c->start);
    if (c->has_end)
        r->v[F_span_end_time_unix_nano] = value_int(c->end);
    r->v[F_span_content] = value_strn(text, len);
    r->v[F_span_model_name] = text_value(c->model);
    r->v[F_span_model_provider] = text_value(c->provider);
    for (int i = 0; i < SPAN_COSTS; i++)
        if (c->has_cost[i])
            r->v[(int)F_span_input_cost + i] = value_float(c->cost[i]);
}

static bool take_span(void *arg, const char *text, size_t len)
{
    struct trace_spans *t = arg;
    if (len > VALUE_MAX_SIZE) {
        note(t->w, MLRUNS_SPANS_LEFT_OUT, "a span is larger than a record may be");
        return true;
    }
    const char *wrong = span_content_read(&t->content, text, len);
    if (!wrong && !ids_add(t, t->content.span_id))
        wrong = "has a duplicate span_id";
    char reason[128];
    if (wrong) {
        snprintf(reason, sizeof reason, "a span %s", wrong);
        note(t->w, MLRUNS_SPANS_LEFT_OUT, reason);
        return true;
    }
    struct record r;
    fill_span(t, text, len, &r);
    walker_emit(t->w, &r);
    return true;
}

static ptrdiff_t read_more(void *arg, char *to, size_t room)
{
    struct trace_spans *t = arg;
    ssize_t n = dir_read_at(t->fd, to, room, t->offset);
    if (n < 0)
        t->error = errno;
    else
        t->offset += (uint64_t)n;
    return n;
}

/* Reads the file, first to see whether it is whole, so that a trace has all its spans or none. */
static void read_file(struct trace_spans *t, int dir)
{
    struct walker *w = t->w;
    struct spans_io io = {.read = read_more, .arg = t};
    t->offset = 0;
    struct stat st;
    if (w->large && dir_fstat(t->fd, &st) == 0 && st.st_size > LARGE_SIZE)
        w->large(w, (size_t)st.st_size * VALUE_COPIES);
    uint64_t n, hash;
    char what[80];
    enum spans_result result = spans_read(t->reader, &io, &n, &hash, what);
    uint64_t again;
    if (result == SPANS_READ && !tick_hashed(w, hash)) {
        ids_begin(t, n);
        io.span = take_span;
        t->offset = 0;
        result = spans_read(t->reader, &io, &n, &again, what);
        if (result == SPANS_READ && hash != again)
            walker_problem(w, 0, "the file was changed while it was read");
    }
    if (result == SPANS_FAILED)
        failed(w, t->error);
    else if (result == SPANS_DAMAGED)
        damaged(w, dir, what);
}

static void open_and_read(struct walker *w, const struct unit *unit, int dir, int at, const char *name)
{
    struct trace_spans *t = w->spans;
    t->w = w;
    t->unit = unit;
    t->fd = dir_open_file(at, name);
    if (t->fd < 0 && errno == ENOENT)
        note(w, MLRUNS_SPANS_MISSING, "no such file");
    else if (t->fd < 0)
        failed(w, errno);
    if (t->fd < 0)
        return;
    read_file(t, dir);
    close(t->fd);
}

/* -- the file */

void trace_spans_locate(struct walker *w)
{
    struct trace_spans *t = w->spans;
    buf_trim(&t->location);
    buf_add(&t->location, buf_str(&w->file), w->file.len);
    t->located = true;
}

/* Reads the tag where it was not read with the others: there is none, it could not be read, or a tick knows it. */
static void read_location(struct walker *w, int dir)
{
    struct output quiet = {.discarded = true}, *before = w->out;
    w->out = &quiet;
    enum tag_state state = walker_read_tag(w, dir, TRACE_LOCATION);
    w->out = before;
    output_free(&quiet);
    if (state == TAG_READ)
        trace_spans_locate(w);
    else if (state == TAG_UNREADABLE)
        walker_problem(w, 0, "the trace's spans cannot be found without its tag " TRACE_LOCATION);
}

/* There is no traces.json at the path, which is changed. */
static void missing(struct walker *w, int at, struct buf *path)
{
    struct stat st;
    buf_truncate(path, path->len - strlen("json"));
    buf_adds(path, "pb");
    if (dir_stat(at, buf_str(path), &st) == 0)
        note(w, MLRUNS_SPANS_ARCHIVED, "the trace is archived: its spans are in traces.pb");
    else
        note(w, MLRUNS_SPANS_MISSING, "no such file");
}

/* The artifacts are elsewhere in the tree, at a path below it. */
static void read_below(struct walker *w, int dir, const struct unit *unit, const char *path)
{
    struct buf whole = {0}, own = {0};
    buf_addf(&whole, "%s/traces.json", path);
    buf_add(&own, buf_str(&w->path), w->path.len);
    struct stat st;
    int error = dir_stat(w->root, buf_str(&whole), &st);
    buf_reset(&w->path);
    buf_add(&w->path, whole.data, whole.len);
    if (error == ENOENT)
        missing(w, w->root, &whole);
    else
        open_and_read(w, unit, dir, w->root, buf_str(&whole));
    buf_reset(&w->path);
    buf_add(&w->path, own.data, own.len);
    buf_free(&whole);
    buf_free(&own);
}

/* In the trace's own directory. named: it is the place that the tag names. */
static void read_own(struct walker *w, int dir, const struct unit *unit, bool named)
{
    size_t back = walker_path_down(w, SPANS_FILE);
    struct stat st;
    if (dir_stat(dir, SPANS_FILE, &st) == ENOENT) {
        struct buf path = {0};
        buf_adds(&path, SPANS_FILE);
        if (named)
            missing(w, dir, &path);
        buf_free(&path);
    } else if (tick_enter(w, dir, SPANS_FILE)) {
        if (named)
            open_and_read(w, unit, dir, dir, SPANS_FILE);
        tick_leave(w);
    }
    walker_path_back(w, back);
}

void trace_read_spans(struct walker *w, int dir, const struct unit *unit)
{
    struct trace_spans *t = w->spans;
    const struct buf *location = &t->location;
    if (w->store->no_spans)
        return;
    if (!t->located)
        read_location(w, dir);
    bool own = relocate_is_own(w, buf_str(location), location->len);
    char *below = own ? NULL : relocate_below(w, buf_str(location), location->len);
    read_own(w, dir, unit, own);
    if (below)
        read_below(w, dir, unit, below);
    else if (!own && location->len)
        note(w, MLRUNS_SPANS_ELSEWHERE, "the trace's artifacts are not in the tree");
    free(below);
    buf_trim(&t->location);
    t->located = false;
}
