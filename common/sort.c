/* Sorts entries in memory and, beyond that, by merging sorted runs on disk. */
#include "common/sort.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/file.h"
#include "common/io.h"

/* An entry, in memory and in a run: its two lengths, its key, its data. Large keys and data are stored in the
 * file of values: then the length's ELSEWHERE bit is set, and 8 bytes with the offset there follow the first
 * KEY_KEPT bytes of a key, or replace the data. */
struct head {
    uint32_t key_len, data_len;
};
#define ELSEWHERE (UINT32_C(1) << 31)

enum {
    FAN_IN = 128,         /* runs merged in one pass */
    READ_SIZE = 64 << 10, /* bytes of a run per read */
    WRITE_SIZE = 256 << 10,
    KEY_KEPT = 4 << 10,   /* bytes */
    DATA_KEPT = 16 << 10, /* bytes of data stored with the key in a run */
    COMPARE_SIZE = 16 << 10,
};

/* An entry, parsed. */
struct view {
    const char *key, *data; /* data: NULL when elsewhere */
    uint32_t key_len, data_len;
    uint32_t kept; /* bytes at key */
    uint64_t key_at, data_at;
};

struct run {
    uint64_t pos, end; /* the part of the file still to be read */
    char *buf;
    size_t len, used, cap; /* bytes in buf, of which used have been consumed; capacity */
    struct view entry;
};

struct file {
    int fd; /* -1: not created yet */
    uint64_t size;
    struct run *runs;
    size_t n_runs;
};

struct batch {
    char *arena;
    size_t used;    /* bytes of the arena */
    uint32_t *refs; /* offsets of the entries in the arena, in units of 4 bytes */
    uint32_t *spare;
    size_t n_refs, cap_refs;
};

/* Large values, in order of arrival. Both threads append to them. */
struct values {
    pthread_mutex_t lock;
    int fd; /* -1: not created yet */
    uint64_t size;
};

/* While one batch is filled, a thread sorts and writes the other: file, out, spilled and unreadable belong to
 * it until it is joined. */
struct sorter {
    const char *dir;
    size_t memory; /* of a batch */
    struct batch filling, spilling;
    pthread_t thread;
    bool running, spill_ok;
    struct err spill_error;
    struct file file;
    struct buf out;
    uint64_t spilled;
    struct values values;
    bool unreadable; /* a comparison failed, and read_error says why */
    struct err read_error;
    struct buf key;  /* a large key being returned */
    size_t next_ref; /* if everything is in memory */
    size_t heap[FAN_IN];
    size_t n_heap;
    bool given; /* the entry of the run at the top of the heap was returned */
};

struct sorter *sorter_new(const char *dir, size_t memory)
{
    struct sorter *s = xcalloc(1, sizeof *s);
    s->dir = dir;
    s->memory = memory / 2;
    s->file.fd = s->values.fd = -1;
    pthread_mutex_init(&s->values.lock, NULL);
    s->spill_ok = true;
    return s;
}

static void file_close(struct file *f)
{
    for (size_t i = 0; i < f->n_runs; i++)
        free(f->runs[i].buf);
    free(f->runs);
    if (f->fd >= 0)
        close(f->fd);
    *f = (struct file){.fd = -1};
}

static void batch_free(struct batch *b)
{
    free(b->arena);
    free(b->refs);
    free(b->spare);
    *b = (struct batch){0};
}

void sorter_free(struct sorter *s)
{
    if (!s)
        return;
    if (s->running)
        pthread_join(s->thread, NULL);
    file_close(&s->file);
    if (s->values.fd >= 0)
        close(s->values.fd);
    pthread_mutex_destroy(&s->values.lock);
    buf_free(&s->out);
    buf_free(&s->key);
    batch_free(&s->filling);
    batch_free(&s->spilling);
    free(s);
}

uint64_t sorter_spilled(const struct sorter *s)
{
    return s->spilled + s->values.size;
}

/* -- files */

static bool open_file(const char *dir, struct file *f, struct err *e)
{
    f->fd = file_nameless(dir, e);
    return f->fd >= 0;
}

static bool write_failed(const struct sorter *s, struct err *e)
{
    err_set(e, s->dir, "cannot write a temporary file here: %s", strerror(errno));
    return err_hint(e, "--tmpdir names another directory; the files take about as much space as the stream");
}

static bool read_failed(const struct sorter *s, int error, struct err *e)
{
    return err_set(e, s->dir, "cannot read a temporary file here: %s", error ? strerror(error) : "truncated");
}

/* Reads len bytes of the values. */
static bool read_value(const struct sorter *s, char *to, size_t len, uint64_t at, struct err *e)
{
    return file_nameless_read(s->values.fd, s->dir, to, len, at, e);
}

/* Appends to the file of values. */
static bool put_value(struct sorter *s, const char *data, size_t len, uint64_t *at, struct err *e)
{
    struct values *v = &s->values;
    pthread_mutex_lock(&v->lock);
    if (v->fd < 0)
        v->fd = file_nameless(s->dir, e);
    *at = v->size;
    v->size += len;
    pthread_mutex_unlock(&v->lock);
    return v->fd >= 0 && (io_write_at(v->fd, data, len, *at) || write_failed(s, e));
}

/* -- entries */

static uint64_t offset_at(const char *p)
{
    uint64_t at;
    memcpy(&at, p, sizeof at);
    return at;
}

/* The stored size of an entry with this head. */
static size_t stored_size(const struct head *h)
{
    size_t key = h->key_len & ELSEWHERE ? KEY_KEPT + sizeof(uint64_t) : h->key_len;
    return sizeof *h + key + (h->data_len & ELSEWHERE ? sizeof(uint64_t) : h->data_len);
}

static struct view view_of(const char *stored)
{
    struct head h;
    memcpy(&h, stored, sizeof h);
    struct view x = {
        .key = stored + sizeof h, .key_len = h.key_len & ~ELSEWHERE, .data_len = h.data_len & ~ELSEWHERE};
    x.kept = h.key_len & ELSEWHERE ? KEY_KEPT : x.key_len;
    const char *p = x.key + x.kept;
    if (h.key_len & ELSEWHERE) {
        x.key_at = offset_at(p);
        p += sizeof x.key_at;
    }
    if (h.data_len & ELSEWHERE)
        x.data_at = offset_at(p);
    else
        x.data = p;
    return x;
}

static struct head head_of(const struct view *x)
{
    return (struct head){x->key_len | (x->kept < x->key_len ? ELSEWHERE : 0),
                         x->data_len | (x->data ? 0 : ELSEWHERE)};
}

/* Passes the parts of an entry to put() in turn. */
static void put_parts(const struct view *x, void (*put)(void *to, const void *part, size_t len), void *to)
{
    struct head h = head_of(x);
    put(to, &h, sizeof h);
    put(to, x->key, x->kept);
    if (h.key_len & ELSEWHERE)
        put(to, &x->key_at, sizeof x->key_at);
    if (h.data_len & ELSEWHERE)
        put(to, &x->data_at, sizeof x->data_at);
    else
        put(to, x->data, x->data_len);
}

static int compare_lengths(uint32_t a, uint32_t b)
{
    return (a > b) - (a < b);
}

/* Compares the rest of two large keys, after the stored prefix. check_readable() reports failures. */
static int compare_elsewhere(struct sorter *s, const struct view *a, const struct view *b)
{
    char x[COMPARE_SIZE], y[COMPARE_SIZE];
    uint32_t shorter = a->key_len < b->key_len ? a->key_len : b->key_len;
    for (uint32_t at = KEY_KEPT, n; at < shorter && !s->unreadable; at += n) {
        n = shorter - at < COMPARE_SIZE ? shorter - at : COMPARE_SIZE;
        s->unreadable = !read_value(s, x, n, a->key_at + at, &s->read_error) ||
                        !read_value(s, y, n, b->key_at + at, &s->read_error);
        int c = s->unreadable ? 0 : memcmp(x, y, n);
        if (c)
            return c;
    }
    return compare_lengths(a->key_len, b->key_len);
}

static bool check_readable(const struct sorter *s, struct err *e)
{
    if (s->unreadable)
        *e = s->read_error;
    return !s->unreadable;
}

static int compare_views(struct sorter *s, const struct view *a, const struct view *b)
{
    int c = memcmp(a->key, b->key, a->kept < b->kept ? a->kept : b->kept);
    if (c)
        return c;
    bool both = a->kept < a->key_len && b->kept < b->key_len;
    return both ? compare_elsewhere(s, a, b) : compare_lengths(a->key_len, b->key_len);
}

/* -- sorting in memory */

static struct view entry_at(const struct batch *b, uint32_t ref)
{
    return view_of(b->arena + (size_t)ref * 4);
}

static int compare_refs(struct sorter *s, const struct batch *b, uint32_t first, uint32_t second)
{
    struct view x = entry_at(b, first), y = entry_at(b, second);
    return compare_views(s, &x, &y);
}

/* The end of the ascending sequence that begins at `from`. */
static size_t stretch_end(struct sorter *s, const struct batch *b, size_t from)
{
    size_t i = from + 1;
    while (i < b->n_refs && compare_refs(s, b, b->refs[i - 1], b->refs[i]) <= 0)
        i++;
    return i;
}

static void merge_stretches(struct sorter *s, const struct batch *b, const uint32_t *from, uint32_t *to,
                            size_t begin, size_t middle, size_t end)
{
    size_t i = begin, j = middle, k = begin;
    while (i < middle && j < end)
        to[k++] = compare_refs(s, b, from[j], from[i]) < 0 ? from[j++] : from[i++];
    memcpy(to + k, from + i, (middle - i) * sizeof *to);
    memcpy(to + k + (middle - i), from + j, (end - j) * sizeof *to);
}

/* A natural merge sort: a stream has a run's points in order of key and time. */
static void sort_refs(struct sorter *s, struct batch *b)
{
    if (b->n_refs < 2)
        return;
    size_t *ends = NULL, n = 0, cap = 0;
    for (size_t i = 0; i < b->n_refs;) {
        if (n == cap) {
            cap = cap ? cap * 2 : 256;
            ends = xrealloc(ends, cap * sizeof *ends);
        }
        i = stretch_end(s, b, i);
        ends[n++] = i;
    }
    while (n > 1) {
        size_t begin = 0, kept = 0;
        for (size_t i = 0; i < n; i += 2) {
            size_t middle = ends[i], end = i + 1 < n ? ends[i + 1] : middle;
            merge_stretches(s, b, b->refs, b->spare, begin, middle, end);
            ends[kept++] = end;
            begin = end;
        }
        n = kept;
        uint32_t *swap = b->refs;
        b->refs = b->spare;
        b->spare = swap;
    }
    free(ends);
}

/* -- runs */

static bool flush_out(struct sorter *s, struct file *f, struct err *e)
{
    if (!io_write_all(f->fd, s->out.data, s->out.len))
        return write_failed(s, e);
    f->size += s->out.len;
    s->spilled += s->out.len;
    buf_reset(&s->out);
    return true;
}

static void put_in_buf(void *out, const void *part, size_t len)
{
    buf_add(out, part, len);
}

/* Appends an entry to a run, and large data to the file of values. */
static bool put_entry(struct sorter *s, struct file *f, const struct view *entry, struct err *e)
{
    struct view x = *entry;
    if (x.data && x.data_len > DATA_KEPT) {
        if (!put_value(s, x.data, x.data_len, &x.data_at, e))
            return false;
        x.data = NULL;
    }
    put_parts(&x, put_in_buf, &s->out);
    return s->out.len < WRITE_SIZE || flush_out(s, f, e);
}

static bool end_run(struct sorter *s, struct file *f, uint64_t begin, struct err *e)
{
    if (s->out.len && !flush_out(s, f, e))
        return false;
    f->runs = xrealloc(f->runs, (f->n_runs + 1) * sizeof *f->runs);
    f->runs[f->n_runs++] = (struct run){.pos = begin, .end = f->size};
    return true;
}

/* Writes the full batch as one sorted run. */
static bool write_batch(struct sorter *s, struct err *e)
{
    struct batch *b = &s->spilling;
    if (s->file.fd < 0 && !open_file(s->dir, &s->file, e))
        return false;
    uint64_t begin = s->file.size;
    sort_refs(s, b);
    for (size_t i = 0; i < b->n_refs; i++) {
        struct view x = entry_at(b, b->refs[i]);
        if (!put_entry(s, &s->file, &x, e))
            return false;
    }
    b->n_refs = 0;
    b->used = 0;
    return check_readable(s, e) && end_run(s, &s->file, begin, e);
}

static void *spill_thread(void *arg)
{
    struct sorter *s = arg;
    s->spill_ok = write_batch(s, &s->spill_error);
    return NULL;
}

/* Waits for the batch that is being written. */
static bool join_spill(struct sorter *s, struct err *e)
{
    if (s->running)
        pthread_join(s->thread, NULL);
    s->running = false;
    if (!s->spill_ok)
        *e = s->spill_error;
    return s->spill_ok;
}

/* Starts a thread, with signals blocked, that writes the filled batch. */
static bool spill(struct sorter *s, struct err *e)
{
    sigset_t all, before;
    if (!join_spill(s, e))
        return false;
    struct batch full = s->filling;
    s->filling = s->spilling;
    s->spilling = full;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    s->running = pthread_create(&s->thread, NULL, spill_thread, s) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return s->running || write_batch(s, e);
}

/* An entry larger than the memory becomes a separate run. */
static bool spill_one(struct sorter *s, const struct view *x, struct err *e)
{
    if (!join_spill(s, e) || (s->file.fd < 0 && !open_file(s->dir, &s->file, e)))
        return false;
    uint64_t begin = s->file.size;
    return put_entry(s, &s->file, x, e) && end_run(s, &s->file, begin, e);
}

static void put_in_arena(void *to, const void *part, size_t len)
{
    char **at = to;
    if (len)
        memcpy(*at, part, len);
    *at += len;
}

/* Adds an entry to the batch, which has room for it. */
static void fill(struct batch *b, const struct view *x, size_t size)
{
    char *at = b->arena + b->used;
    if (b->n_refs == b->cap_refs) {
        b->cap_refs = b->cap_refs ? b->cap_refs * 2 : 4096;
        b->refs = xrealloc(b->refs, b->cap_refs * sizeof *b->refs);
        b->spare = xrealloc(b->spare, b->cap_refs * sizeof *b->spare);
    }
    b->refs[b->n_refs++] = (uint32_t)(b->used / 4);
    put_parts(x, put_in_arena, &at);
    b->used += size;
}

bool sorter_add(struct sorter *s, const void *key, size_t key_len, const void *data, size_t data_len,
                struct err *e)
{
    struct batch *b = &s->filling;
    if (key_len >= ELSEWHERE || data_len >= ELSEWHERE)
        return err_set(e, s->dir, "an entry of more than 2 GiB cannot be sorted");
    struct view x = {.key = key,
                     .data = data ? data : "",
                     .key_len = (uint32_t)key_len,
                     .data_len = (uint32_t)data_len,
                     .kept = (uint32_t)key_len};
    if (x.key_len > KEY_KEPT) {
        if (!put_value(s, key, key_len, &x.key_at, e))
            return false;
        x.kept = KEY_KEPT;
    }
    if (data_len > DATA_KEPT && data_len > s->memory / 4) {
        if (!put_value(s, data, data_len, &x.data_at, e))
            return false;
        x.data = NULL;
    }
    struct head h = head_of(&x);
    size_t size = (stored_size(&h) + 3) & ~(size_t)3;
    /* An entry takes its bytes and a slot in two lists. */
    if (b->used + size + (b->n_refs + 1) * 2 * sizeof *b->refs > s->memory) {
        if (b->n_refs && !spill(s, e))
            return false;
        if (size + 2 * sizeof *b->refs > s->memory)
            return spill_one(s, &x, e);
    }
    if (!b->arena)
        b->arena = xmalloc(s->memory);
    fill(b, &x, size);
    return true;
}

/* -- merging */

/* Ensures that `need` unread bytes of the run are in its buffer. */
static bool run_fill(const struct sorter *s, int fd, struct run *r, size_t need, struct err *e)
{
    size_t left = r->len - r->used;
    if (left >= need)
        return true;
    if (left)
        memmove(r->buf, r->buf + r->used, left);
    r->used = 0;
    r->len = left;
    size_t cap = need > READ_SIZE ? need : READ_SIZE;
    if (cap > r->cap) {
        r->buf = xrealloc(r->buf, cap);
        r->cap = cap;
    }
    while (r->len < need || (r->len < r->cap && r->pos < r->end)) {
        size_t want = r->cap - r->len;
        if (want > r->end - r->pos)
            want = (size_t)(r->end - r->pos);
        ssize_t n = want ? pread(fd, r->buf + r->len, want, (off_t)r->pos) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return read_failed(s, n < 0 ? errno : 0, e);
        r->len += (size_t)n;
        r->pos += (uint64_t)n;
    }
    return true;
}

/* Reads the next entry of a run. Returns 1, 0 at its end, -1 on error. */
static int run_next(const struct sorter *s, int fd, struct run *r, struct err *e)
{
    if (r->used == r->len && r->pos == r->end)
        return 0;
    if (!run_fill(s, fd, r, sizeof(struct head), e))
        return -1;
    struct head h;
    memcpy(&h, r->buf + r->used, sizeof h);
    size_t size = stored_size(&h);
    if (!run_fill(s, fd, r, size, e))
        return -1;
    r->entry = view_of(r->buf + r->used);
    r->used += size;
    return 1;
}

static bool run_before(struct sorter *s, size_t a, size_t b)
{
    int c = compare_views(s, &s->file.runs[a].entry, &s->file.runs[b].entry);
    return c ? c < 0 : a < b;
}

static void heap_sink(struct sorter *s, size_t i)
{
    size_t moved = s->heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= s->n_heap)
            break;
        if (child + 1 < s->n_heap && run_before(s, s->heap[child + 1], s->heap[child]))
            child++;
        if (!run_before(s, s->heap[child], moved))
            break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = moved;
}

/* Begins to merge n runs, starting with `first`. */
static bool merge_begin(struct sorter *s, size_t first, size_t n, struct err *e)
{
    s->n_heap = 0;
    s->given = false;
    for (size_t i = first; i < first + n; i++) {
        int got = run_next(s, s->file.fd, &s->file.runs[i], e);
        if (got < 0)
            return false;
        if (got)
            s->heap[s->n_heap++] = i;
    }
    for (size_t i = s->n_heap / 2; i-- > 0;)
        heap_sink(s, i);
    return check_readable(s, e);
}

static int merge_next(struct sorter *s, struct view *out, struct err *e)
{
    if (s->given) {
        size_t top = s->heap[0];
        int got = run_next(s, s->file.fd, &s->file.runs[top], e);
        if (got < 0)
            return -1;
        if (!got) {
            free(s->file.runs[top].buf);
            s->file.runs[top].buf = NULL;
            s->heap[0] = s->heap[--s->n_heap];
        }
        if (s->n_heap)
            heap_sink(s, 0);
        if (!check_readable(s, e))
            return -1;
    }
    s->given = s->n_heap > 0;
    if (!s->given)
        return 0;
    *out = s->file.runs[s->heap[0]].entry;
    return 1;
}

/* Merges the runs into fewer, longer ones in a new file. */
static bool merge_pass(struct sorter *s, struct err *e)
{
    struct file longer = {.fd = -1};
    bool ok = open_file(s->dir, &longer, e);
    for (size_t first = 0; ok && first < s->file.n_runs; first += FAN_IN) {
        size_t n = s->file.n_runs - first < FAN_IN ? s->file.n_runs - first : FAN_IN;
        uint64_t begin = longer.size;
        struct view x;
        int got = 0;
        ok = merge_begin(s, first, n, e);
        while (ok && (got = merge_next(s, &x, e)) == 1)
            ok = put_entry(s, &longer, &x, e);
        ok = ok && got == 0 && end_run(s, &longer, begin, e);
    }
    file_close(ok ? &s->file : &longer);
    if (ok)
        s->file = longer;
    return ok;
}

bool sorter_finish(struct sorter *s, struct err *e)
{
    if (!join_spill(s, e))
        return false;
    if (s->file.fd < 0) {
        sort_refs(s, &s->filling);
        return check_readable(s, e);
    }
    if ((s->filling.n_refs && !spill(s, e)) || !join_spill(s, e))
        return false;
    batch_free(&s->filling);
    batch_free(&s->spilling);
    while (s->file.n_runs > FAN_IN)
        if (!merge_pass(s, e))
            return false;
    return merge_begin(s, 0, s->file.n_runs, e);
}

int sorter_next(struct sorter *s, struct sort_entry *out, struct err *e)
{
    struct view x;
    if (s->file.fd >= 0) {
        int got = merge_next(s, &x, e);
        if (got <= 0)
            return got;
    } else if (s->next_ref < s->filling.n_refs) {
        x = entry_at(&s->filling, s->filling.refs[s->next_ref++]);
    } else {
        return 0;
    }
    *out = (struct sort_entry){x.key, x.data, x.key_len, x.data_len, x.data_at};
    if (x.kept < x.key_len) {
        buf_fit(&s->key, x.key_len);
        if (!read_value(s, s->key.data, x.key_len, x.key_at, e))
            return -1;
        out->key = s->key.data;
    }
    return 1;
}

bool sorter_read(const struct sorter *s, const struct sort_entry *x, size_t from, size_t len, struct buf *out,
                 struct err *e)
{
    buf_fit(out, len);
    if (x->data && len)
        memcpy(out->data, x->data + from, len);
    return x->data || read_value(s, out->data, len, x->at + from, e);
}
