#include "stage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/buf.h"
#include "../common/io.h"

enum {
    FAN_IN = 32,              /* pieces of one level that become one of the next */
    WRITE_CHUNK = 256 * 1024, /* bytes */
    READ_CHUNK_MIN = 32 * 1024,
    READ_CHUNK_MAX = 256 * 1024,
};

struct item_head {
    uint32_t key_len, data_len;
};

struct entry {
    uint64_t prefix; /* the first eight bytes of the key, the first one highest */
    uint64_t offset; /* of the item in the buffer */
};

/* A sorted piece in a temporary file. */
struct run {
    int fd;
    int level;              /* how often its items have been merged */
    off_t size;             /* bytes */
    off_t pos;              /* of what has not been read yet */
    char *buf;              /* while it is read */
    size_t cap;             /* of buf */
    size_t at, have;        /* the unread part of buf */
    struct stage_item item; /* the first unread item; points into buf */
};

struct stage {
    const char *dir;
    size_t memory;
    struct buf items; /* those not written out yet, one after the other */
    struct entry *entries;
    size_t n_entries, cap_entries;
    struct run *runs; /* oldest first: earlier items of one key lie in earlier runs */
    size_t n_runs, cap_runs;
    uint64_t spilled;
    bool sorted;
    size_t next_entry;
    struct run **heap; /* while merging: smallest first item on top */
    size_t n_heap;
    bool top_used; /* the top's item has been handed out */
};

struct stage *stage_new(const char *dir, size_t memory)
{
    struct stage *s = xcalloc(1, sizeof *s);
    s->dir = dir;
    s->memory = memory;
    return s;
}

char *stage_choose_dir(const char *asked, const char *file)
{
    const char *env = getenv("TMPDIR");
    if (asked)
        return xstrdup(asked);
    char *beside = file ? io_dirname(file) : NULL;
    if (beside && access(beside, W_OK | X_OK) == 0)
        return beside;
    free(beside);
    return xstrdup(env && *env ? env : "/var/tmp");
}

static uint64_t key_prefix(const char *key, size_t len)
{
    uint64_t prefix = 0;
    for (size_t i = 0; i < 8; i++)
        prefix = prefix << 8 | (i < len ? (unsigned char)key[i] : 0);
    return prefix;
}

static int key_compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
    if (order == 0)
        order = (a_len > b_len) - (a_len < b_len);
    return order;
}

static void item_at(const char *p, struct stage_item *out)
{
    struct item_head head;
    memcpy(&head, p, sizeof head);
    out->key = p + sizeof head;
    out->key_len = head.key_len;
    out->data = out->key + head.key_len;
    out->data_len = head.data_len;
}

static int entry_compare(const void *left, const void *right, void *base)
{
    const struct entry *a = left, *b = right;
    if (a->prefix != b->prefix)
        return a->prefix < b->prefix ? -1 : 1;
    struct stage_item x, y;
    item_at((const char *)base + a->offset, &x);
    item_at((const char *)base + b->offset, &y);
    int order = key_compare(x.key, x.key_len, y.key, y.key_len);
    return order ? order : (a->offset > b->offset) - (a->offset < b->offset);
}

/* -- temporary files */

static int temporary_file(const char *dir, struct err *e)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0)
        return fd;
    char *path =
        xasprintf("%s/.mlruns-tools-XXXXXX", dir); /* not every file system has files without a name */
    fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0) {
        err_set(e, dir, "cannot make a temporary file: %s", strerror(errno));
        err_hint(e, "name a folder with free space by --tmpdir");
    } else {
        unlink(path);
    }
    free(path);
    return fd;
}

struct run_writer {
    int fd;
    struct buf buf;
    off_t size;
};

static bool run_write_out(struct stage *s, struct run_writer *w, struct err *e)
{
    if (!io_write_all(w->fd, w->buf.data, w->buf.len)) {
        err_set(e, s->dir, "cannot write a temporary file: %s", strerror(errno));
        return err_hint(e, "name a folder with free space by --tmpdir");
    }
    w->size += (off_t)w->buf.len;
    s->spilled += w->buf.len;
    buf_reset(&w->buf);
    return true;
}

static bool run_write(struct stage *s, struct run_writer *w, const struct stage_item *item, struct err *e)
{
    struct item_head head = {(uint32_t)item->key_len, (uint32_t)item->data_len};
    buf_add(&w->buf, &head, sizeof head);
    buf_add(&w->buf, item->key, item->key_len);
    buf_add(&w->buf, item->data, item->data_len);
    return w->buf.len < WRITE_CHUNK || run_write_out(s, w, e);
}

/* Makes what was written the newest run. */
static bool run_finish(struct stage *s, struct run_writer *w, int level, struct err *e)
{
    bool ok = w->buf.len == 0 || run_write_out(s, w, e);
    buf_free(&w->buf);
    if (!ok) {
        close(w->fd);
        return false;
    }
    if (s->n_runs == s->cap_runs) {
        s->cap_runs = s->cap_runs ? 2 * s->cap_runs : FAN_IN;
        s->runs = xrealloc(s->runs, s->cap_runs * sizeof *s->runs);
    }
    s->runs[s->n_runs++] = (struct run){.fd = w->fd, .level = level, .size = w->size};
    return true;
}

static void run_close(struct run *r)
{
    close(r->fd);
    free(r->buf);
}

/* Makes `want` unread bytes of the run lie in its buffer. */
static bool run_fill(struct stage *s, struct run *r, size_t want, struct err *e)
{
    if (want > r->cap) {
        r->cap = want;
        r->buf = xrealloc(r->buf, r->cap);
    }
    memmove(r->buf, r->buf + r->at, r->have - r->at);
    r->have -= r->at;
    r->at = 0;
    while (r->have < want) {
        ssize_t n = pread(r->fd, r->buf + r->have, r->cap - r->have, r->pos);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_set(e, s->dir, "cannot read a temporary file: %s", n ? strerror(errno) : "it was cut");
        r->have += (size_t)n;
        r->pos += n;
    }
    return true;
}

/* Reads the run's next item: 1, 0 (no more) or -1. */
static int run_next(struct stage *s, struct run *r, struct err *e)
{
    struct item_head head;
    if (r->have == r->at && r->pos == r->size)
        return 0;
    if (r->have - r->at < sizeof head && !run_fill(s, r, sizeof head, e))
        return -1;
    memcpy(&head, r->buf + r->at, sizeof head);
    size_t len = sizeof head + head.key_len + head.data_len;
    if (r->have - r->at < len && !run_fill(s, r, len, e))
        return -1;
    item_at(r->buf + r->at, &r->item);
    r->at += len;
    return 1;
}

/* -- merging */

static bool heap_less(const struct run *a, const struct run *b)
{
    int order = key_compare(a->item.key, a->item.key_len, b->item.key, b->item.key_len);
    return order ? order < 0 : a < b;
}

static void heap_sink(struct stage *s, size_t i)
{
    struct run *r = s->heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= s->n_heap)
            break;
        if (child + 1 < s->n_heap && heap_less(s->heap[child + 1], s->heap[child]))
            child++;
        if (!heap_less(s->heap[child], r))
            break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = r;
}

/* Prepares to merge the runs from `first` on. */
static bool merge_start(struct stage *s, size_t first, struct err *e)
{
    size_t n = s->n_runs - first;
    size_t chunk = s->memory / n;
    chunk = chunk < READ_CHUNK_MIN ? READ_CHUNK_MIN : chunk > READ_CHUNK_MAX ? READ_CHUNK_MAX : chunk;
    s->heap = xcalloc(n, sizeof(struct run *));
    s->n_heap = 0;
    s->top_used = false;
    for (size_t i = first; i < s->n_runs; i++) {
        struct run *r = &s->runs[i];
        r->cap = chunk;
        r->buf = xmalloc(chunk);
        int more = run_next(s, r, e);
        if (more < 0)
            return false;
        if (more)
            s->heap[s->n_heap++] = r;
    }
    for (size_t i = s->n_heap; i-- > 0;)
        heap_sink(s, i);
    return true;
}

static int merge_next(struct stage *s, struct stage_item *out, struct err *e)
{
    if (s->top_used) {
        int more = run_next(s, s->heap[0], e);
        if (more < 0)
            return -1;
        if (!more)
            s->heap[0] = s->heap[--s->n_heap];
        if (s->n_heap)
            heap_sink(s, 0);
        s->top_used = false;
    }
    if (s->n_heap == 0)
        return 0;
    *out = s->heap[0]->item;
    s->top_used = true;
    return 1;
}

static void merge_end(struct stage *s)
{
    free(s->heap);
    s->heap = NULL;
    s->n_heap = 0;
}

/* Makes one run of the newest FAN_IN runs. */
static bool merge_newest(struct stage *s, struct err *e)
{
    size_t first = s->n_runs - FAN_IN;
    int level = s->runs[first].level + 1;
    struct run_writer w = {.fd = temporary_file(s->dir, e)};
    if (w.fd < 0)
        return false;
    bool ok = merge_start(s, first, e);
    struct stage_item item;
    int more = 0;
    while (ok && (more = merge_next(s, &item, e)) > 0)
        ok = run_write(s, &w, &item, e);
    merge_end(s);
    if (!ok || more < 0) {
        buf_free(&w.buf);
        close(w.fd);
        return false;
    }
    for (size_t i = first; i < s->n_runs; i++)
        run_close(&s->runs[i]);
    s->n_runs = first;
    return run_finish(s, &w, level, e);
}

/* -- adding */

static void sort_entries(struct stage *s)
{
    if (s->n_entries)
        qsort_r(s->entries, s->n_entries, sizeof *s->entries, entry_compare, s->items.data);
}

/* Writes what is in memory out as a run. */
static bool spill(struct stage *s, struct err *e)
{
    sort_entries(s);
    struct run_writer w = {.fd = temporary_file(s->dir, e)};
    if (w.fd < 0)
        return false;
    for (size_t i = 0; i < s->n_entries; i++) {
        struct stage_item item;
        item_at(s->items.data + s->entries[i].offset, &item);
        if (!run_write(s, &w, &item, e)) {
            buf_free(&w.buf);
            close(w.fd);
            return false;
        }
    }
    s->n_entries = 0;
    buf_reset(&s->items);
    if (!run_finish(s, &w, 0, e))
        return false;
    while (s->n_runs >= FAN_IN && s->runs[s->n_runs - FAN_IN].level == s->runs[s->n_runs - 1].level) {
        if (!merge_newest(s, e))
            return false;
    }
    return true;
}

bool stage_add(struct stage *s, const void *key, size_t key_len, const void *data, size_t data_len,
               struct err *e)
{
    struct item_head head = {(uint32_t)key_len, (uint32_t)data_len};
    size_t len = sizeof head + key_len + data_len;
    if (s->n_entries && s->items.len + len + (s->n_entries + 1) * sizeof *s->entries > s->memory &&
        !spill(s, e))
        return false;
    if (s->n_entries == s->cap_entries) {
        s->cap_entries = s->cap_entries ? 2 * s->cap_entries : 1024;
        s->entries = xrealloc(s->entries, s->cap_entries * sizeof *s->entries);
    }
    s->entries[s->n_entries++] = (struct entry){key_prefix(key, key_len), s->items.len};
    buf_add(&s->items, &head, sizeof head);
    buf_add(&s->items, key, key_len);
    buf_add(&s->items, data, data_len);
    return true;
}

bool stage_sort(struct stage *s, struct err *e)
{
    s->sorted = true;
    if (s->n_runs == 0) {
        sort_entries(s);
        return true;
    }
    if (s->n_entries && !spill(s, e))
        return false;
    buf_free(&s->items);
    s->items = (struct buf){0};
    free(s->entries);
    s->entries = NULL;
    s->cap_entries = 0;
    return merge_start(s, 0, e);
}

int stage_next(struct stage *s, struct stage_item *out, struct err *e)
{
    if (s->n_runs)
        return merge_next(s, out, e);
    if (s->next_entry == s->n_entries)
        return 0;
    item_at(s->items.data + s->entries[s->next_entry++].offset, out);
    return 1;
}

uint64_t stage_spilled(const struct stage *s)
{
    return s->spilled;
}

void stage_free(struct stage *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_runs; i++)
        run_close(&s->runs[i]);
    free(s->runs);
    free(s->heap);
    free(s->entries);
    buf_free(&s->items);
    free(s);
}
