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

/* An entry, in memory as in the file: its two lengths, its key, its data. */
struct head {
    uint32_t key_len, data_len;
};

enum {
    FAN_IN = 128,         /* runs that are merged at once */
    READ_SIZE = 64 << 10, /* bytes of a run that are read at once */
    WRITE_SIZE = 256 << 10
};

struct run {
    uint64_t pos, end; /* what is still to be read of the file */
    char *buf;
    size_t len, used, cap; /* bytes in buf, bytes of them already given out, room */
    struct sort_entry entry;
};

struct file {
    int fd; /* -1: not made yet */
    uint64_t size;
    struct run *runs;
    size_t n_runs;
};

struct batch {
    char *arena;
    size_t used;    /* bytes of the arena */
    uint32_t *refs; /* where the entries begin in the arena, in units of 4 bytes */
    uint32_t *spare;
    size_t n_refs, cap_refs;
};

/* While one batch is filled, a thread sorts and writes the other: file, out and spilled are its own until it
 * is joined. */
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
    size_t next_ref; /* when all is in memory */
    size_t heap[FAN_IN];
    size_t n_heap;
    bool given; /* the entry of the run at the heap's top was given out */
};

struct sorter *sorter_new(const char *dir, size_t memory)
{
    struct sorter *s = xcalloc(1, sizeof *s);
    s->dir = dir;
    s->memory = memory / 2;
    s->file.fd = -1;
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
    buf_free(&s->out);
    batch_free(&s->filling);
    batch_free(&s->spilling);
    free(s);
}

uint64_t sorter_spilled(const struct sorter *s)
{
    return s->spilled;
}

/* ---- sorting in memory */

static const struct head *entry_at(const struct batch *b, uint32_t ref)
{
    return (const struct head *)(void *)(b->arena + (size_t)ref * 4);
}

static int compare_keys(const char *a, uint32_t a_len, const char *b, uint32_t b_len)
{
    int c = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return c ? c : (a_len > b_len) - (a_len < b_len);
}

static int compare_refs(const struct batch *b, uint32_t first, uint32_t second)
{
    const struct head *x = entry_at(b, first), *y = entry_at(b, second);
    return compare_keys((const char *)(x + 1), x->key_len, (const char *)(y + 1), y->key_len);
}

/* The end of the ascending stretch that begins at `from`. */
static size_t stretch_end(const struct batch *b, size_t from)
{
    size_t i = from + 1;
    while (i < b->n_refs && compare_refs(b, b->refs[i - 1], b->refs[i]) <= 0)
        i++;
    return i;
}

static void merge_stretches(const struct batch *b, const uint32_t *from, uint32_t *to, size_t begin,
                            size_t middle, size_t end)
{
    size_t i = begin, j = middle, k = begin;
    while (i < middle && j < end)
        to[k++] = compare_refs(b, from[j], from[i]) < 0 ? from[j++] : from[i++];
    memcpy(to + k, from + i, (middle - i) * sizeof *to);
    memcpy(to + k + (middle - i), from + j, (end - j) * sizeof *to);
}

/* Merge sort that begins with the ascending stretches which are there: a stream brings a run's points by key
 * and time. */
static void sort_refs(struct batch *b)
{
    if (b->n_refs < 2)
        return;
    size_t *ends = NULL, n = 0, cap = 0;
    for (size_t i = 0; i < b->n_refs;) {
        if (n == cap) {
            cap = cap ? cap * 2 : 256;
            ends = xrealloc(ends, cap * sizeof *ends);
        }
        i = stretch_end(b, i);
        ends[n++] = i;
    }
    while (n > 1) {
        size_t begin = 0, kept = 0;
        for (size_t i = 0; i < n; i += 2) {
            size_t middle = ends[i], end = i + 1 < n ? ends[i + 1] : middle;
            merge_stretches(b, b->refs, b->spare, begin, middle, end);
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

/* ---- the file */

static bool open_file(const char *dir, struct file *f, struct err *e)
{
    f->fd = file_nameless(dir, e);
    return f->fd >= 0;
}

static bool flush_out(struct sorter *s, struct file *f, struct err *e)
{
    if (!io_write_all(f->fd, s->out.data, s->out.len)) {
        err_set(e, s->dir, "cannot write a temporary file here: %s", strerror(errno));
        return err_hint(e, "--tmpdir names another directory; the space needed is about that of the stream");
    }
    f->size += s->out.len;
    s->spilled += s->out.len;
    buf_reset(&s->out);
    return true;
}

static bool put_entry(struct sorter *s, struct file *f, const struct sort_entry *x, struct err *e)
{
    struct head h = {x->key_len, x->data_len};
    buf_add(&s->out, &h, sizeof h);
    buf_add(&s->out, x->key, x->key_len);
    buf_add(&s->out, x->data, x->data_len);
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

static struct sort_entry entry_of(const struct head *h)
{
    const char *key = (const char *)(h + 1);
    return (struct sort_entry){key, key + h->key_len, h->key_len, h->data_len};
}

/* Writes the full batch as one sorted run. */
static bool write_batch(struct sorter *s, struct err *e)
{
    struct batch *b = &s->spilling;
    if (s->file.fd < 0 && !open_file(s->dir, &s->file, e))
        return false;
    uint64_t begin = s->file.size;
    sort_refs(b);
    for (size_t i = 0; i < b->n_refs; i++) {
        struct sort_entry x = entry_of(entry_at(b, b->refs[i]));
        if (!put_entry(s, &s->file, &x, e))
            return false;
    }
    b->n_refs = 0;
    b->used = 0;
    return end_run(s, &s->file, begin, e);
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

/* Has what was filled written by a thread, which leaves signals to the others. */
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

/* An entry that is larger than all the memory is a run of its own. */
static bool spill_one(struct sorter *s, const struct sort_entry *x, struct err *e)
{
    if (!join_spill(s, e) || (s->file.fd < 0 && !open_file(s->dir, &s->file, e)))
        return false;
    uint64_t begin = s->file.size;
    return put_entry(s, &s->file, x, e) && end_run(s, &s->file, begin, e);
}

bool sorter_add(struct sorter *s, const void *key, size_t key_len, const void *data, size_t data_len,
                struct err *e)
{
    const struct sort_entry entry = {key, data, (uint32_t)key_len, (uint32_t)data_len}, *x = &entry;
    size_t size = (sizeof(struct head) + x->key_len + x->data_len + 3) & ~(size_t)3;
    struct batch *b = &s->filling;
    /* An entry costs its bytes and its place in two lists. */
    if (b->used + size + (b->n_refs + 1) * 2 * sizeof *b->refs > s->memory) {
        if (b->n_refs && !spill(s, e))
            return false;
        if (size + 2 * sizeof *b->refs > s->memory)
            return spill_one(s, x, e);
    }
    if (!b->arena)
        b->arena = xmalloc(s->memory);
    if (b->n_refs == b->cap_refs) {
        b->cap_refs = b->cap_refs ? b->cap_refs * 2 : 4096;
        b->refs = xrealloc(b->refs, b->cap_refs * sizeof *b->refs);
        b->spare = xrealloc(b->spare, b->cap_refs * sizeof *b->spare);
    }
    b->refs[b->n_refs++] = (uint32_t)(b->used / 4);
    struct head h = {x->key_len, x->data_len};
    char *at = b->arena + b->used;
    memcpy(at, &h, sizeof h);
    memcpy(at + sizeof h, x->key, x->key_len);
    if (x->data_len)
        memcpy(at + sizeof h + x->key_len, x->data, x->data_len);
    b->used += size;
    return true;
}

/* ---- merging */

/* Makes `need` unread bytes of the run lie in its buffer. */
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
            return err_set(e, s->dir, "cannot read a temporary file here: %s",
                           n < 0 ? strerror(errno) : "it is shorter than it was written");
        r->len += (size_t)n;
        r->pos += (uint64_t)n;
    }
    return true;
}

/* Takes the next entry of a run. 1, 0 at its end, -1 on error. */
static int run_next(const struct sorter *s, int fd, struct run *r, struct err *e)
{
    if (r->used == r->len && r->pos == r->end)
        return 0;
    if (!run_fill(s, fd, r, sizeof(struct head), e))
        return -1;
    struct head h;
    memcpy(&h, r->buf + r->used, sizeof h);
    size_t size = sizeof h + h.key_len + h.data_len;
    if (!run_fill(s, fd, r, size, e))
        return -1;
    const char *key = r->buf + r->used + sizeof h;
    r->entry = (struct sort_entry){key, key + h.key_len, h.key_len, h.data_len};
    r->used += size;
    return 1;
}

static bool run_before(const struct sorter *s, size_t a, size_t b)
{
    const struct sort_entry *x = &s->file.runs[a].entry, *y = &s->file.runs[b].entry;
    int c = compare_keys(x->key, x->key_len, y->key, y->key_len);
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

/* Begins to merge n runs from `first` on. */
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
    return true;
}

static int merge_next(struct sorter *s, struct sort_entry *out, struct err *e)
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
    }
    s->given = s->n_heap > 0;
    if (!s->given)
        return 0;
    *out = s->file.runs[s->heap[0]].entry;
    return 1;
}

/* Makes fewer and longer runs of too many, in a new file. */
static bool merge_pass(struct sorter *s, struct err *e)
{
    struct file longer = {.fd = -1};
    bool ok = open_file(s->dir, &longer, e);
    for (size_t first = 0; ok && first < s->file.n_runs; first += FAN_IN) {
        size_t n = s->file.n_runs - first < FAN_IN ? s->file.n_runs - first : FAN_IN;
        uint64_t begin = longer.size;
        struct sort_entry x;
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
        sort_refs(&s->filling);
        return true;
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
    if (s->file.fd >= 0)
        return merge_next(s, out, e);
    if (s->next_ref == s->filling.n_refs)
        return 0;
    *out = entry_of(entry_at(&s->filling, s->filling.refs[s->next_ref++]));
    return 1;
}
