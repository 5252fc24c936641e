/* An unnamed file with a cache of its pages. */
#include "common/spill.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"

enum {
    WAYS = 6, /* frames in which a page may lie */
    FRAMES = SPILL_CACHE / SPILL_PAGE / WAYS * WAYS,
    SETS = FRAMES / WAYS,
    TEXT_BLOCK = 16 * SPILL_PAGE,
    FIRST_PART = 128, /* items */
};

struct frame {
    uint64_t page; /* page number + 1; 0: none */
    uint64_t used; /* time of last use */
    bool dirty;
};

struct spill {
    const char *dir;
    int fd; /* -1: not created yet */
    uint64_t size;
    uint64_t written; /* pages from here on were never written: they are 0 */
    size_t in_memory; /* bytes of spill_memory() */
    uint64_t text_at; /* where the next text goes */
    size_t text_room;
    struct frame *frames; /* WAYS of each set in turn */
    char *pages;
    uint64_t now;
    bool failed; /* error says why */
    struct err error;
};

struct spill *spill_new(const char *dir)
{
    struct spill *s = xcalloc(1, sizeof *s);
    s->dir = dir;
    s->fd = -1;
    return s;
}

void spill_free(struct spill *s)
{
    if (!s)
        return;
    if (s->fd >= 0)
        close(s->fd);
    free(s->frames);
    free(s->pages);
    free(s);
}

/* -- pages */

bool spill_check(const struct spill *s, struct err *e)
{
    return !s->failed || err_copy(e, &s->error);
}

void spill_require(const struct spill *s)
{
    struct err e;
    if (!spill_check(s, &e))
        err_no_memory(&e);
}

/* Writes a page, unless one could not be written before. */
static void write_page(struct spill *s, const struct frame *f, const char *data)
{
    uint64_t page = f->page - 1;
    if (!s->failed && s->fd < 0)
        s->failed = (s->fd = file_nameless(s->dir, &s->error)) < 0;
    if (s->failed)
        return;
    s->failed = !file_nameless_write(s->fd, s->dir, data, SPILL_PAGE, page * SPILL_PAGE, &s->error);
    if (!s->failed && page >= s->written)
        s->written = page + 1;
}

static void read_page(struct spill *s, uint64_t page, char *data)
{
    bool there = !s->failed && page < s->written;
    if (there)
        s->failed = !file_nameless_read(s->fd, s->dir, data, SPILL_PAGE, page * SPILL_PAGE, &s->error);
    if (!there || s->failed)
        memset(data, 0, SPILL_PAGE);
}

/* The page's frame, or the least recently used one of its set. */
static struct frame *frame_for(struct frame set[WAYS], uint64_t page)
{
    struct frame *oldest = set;
    for (int i = 0; i < WAYS; i++) {
        if (set[i].page == page + 1)
            return &set[i];
        if (set[i].used < oldest->used)
            oldest = &set[i];
    }
    return oldest;
}

/* The bytes from `at` to the end of its page, until the next call. */
static char *bytes_at(struct spill *s, uint64_t at, bool write)
{
    if (!s->frames) {
        s->frames = xcalloc(FRAMES, sizeof *s->frames);
        s->pages = xcalloc(SETS, (size_t)WAYS * SPILL_PAGE); /* the kernel gives what is used of it */
    }
    uint64_t page = at / SPILL_PAGE;
    struct frame *f = frame_for(s->frames + page % SETS * WAYS, page);
    char *data = s->pages + (size_t)(f - s->frames) * SPILL_PAGE;
    if (f->page != page + 1) {
        if (f->dirty)
            write_page(s, f, data);
        read_page(s, page, data);
        *f = (struct frame){.page = page + 1};
    }
    f->used = ++s->now;
    f->dirty |= write;
    return data + at % SPILL_PAGE;
}

static size_t in_page(uint64_t at, size_t len)
{
    size_t room = SPILL_PAGE - at % SPILL_PAGE;
    return len < room ? len : room;
}

void spill_get(struct spill *s, uint64_t at, void *to, size_t len)
{
    char *p = to;
    for (size_t n; len > 0; at += n, p += n, len -= n) {
        n = in_page(at, len);
        memcpy(p, bytes_at(s, at, false), n);
    }
}

void spill_put(struct spill *s, uint64_t at, const void *from, size_t len)
{
    const char *p = from;
    for (size_t n; len > 0; at += n, p += n, len -= n) {
        n = in_page(at, len);
        memcpy(bytes_at(s, at, true), p, n);
    }
}

/* -- ranges and memory */

static size_t whole_pages(size_t size)
{
    return (size + SPILL_PAGE - 1) / SPILL_PAGE * SPILL_PAGE;
}

uint64_t spill_range(struct spill *s, size_t size)
{
    uint64_t at = s->size;
    s->size += whole_pages(size);
    return at;
}

void spill_drop(struct spill *s, uint64_t at, size_t size)
{
    uint64_t first = at / SPILL_PAGE, end = first + whole_pages(size) / SPILL_PAGE;
    for (int i = 0; s->frames && i < FRAMES; i++)
        if (s->frames[i].page > first && s->frames[i].page <= end)
            s->frames[i] = (struct frame){0};
    if (s->fd >= 0)
        fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)whole_pages(size));
}

void *spill_memory(struct spill *s, size_t size)
{
    if (size > SPILL_MEMORY - s->in_memory)
        return NULL;
    s->in_memory += size;
    return xcalloc(1, size);
}

void spill_give_back(struct spill *s, void *memory, size_t size)
{
    if (memory)
        s->in_memory -= size;
    free(memory);
}

/* -- texts */

struct spill_text spill_text(struct spill *s, const char *text, size_t len)
{
    if (len > s->text_room) {
        s->text_room = len < TEXT_BLOCK ? TEXT_BLOCK : whole_pages(len);
        s->text_at = spill_range(s, s->text_room);
    }
    struct spill_text place = {s->text_at, len};
    spill_put(s, place.at, text, len);
    s->text_at += len;
    s->text_room -= len;
    return place;
}

void spill_read_text(struct spill *s, struct spill_text text, struct buf *out)
{
    buf_reset(out);
    buf_reserve(out, text.len);
    spill_get(s, text.at, out->data, text.len);
    buf_truncate(out, text.len);
}

/* -- arrays */

/* Where an item lies. The parts have room for FIRST_PART, FIRST_PART, 2 * FIRST_PART, 4 * … items. */
static uint64_t item_at(const struct spill_array *a, uint64_t place)
{
    uint64_t units = place / FIRST_PART;
    int part = units == 0 ? 0 : 64 - __builtin_clzll(units);
    uint64_t first = part == 0 ? 0 : (uint64_t)FIRST_PART << (part - 1);
    return a->parts[part] + (place - first) * a->size;
}

uint64_t spill_append(struct spill *s, struct spill_array *a, const void *item)
{
    uint64_t place = a->n++, units = place / FIRST_PART;
    if (place % FIRST_PART == 0 && (units & (units - 1)) == 0) { /* the first of a part */
        int part = units == 0 ? 0 : 64 - __builtin_clzll(units);
        a->parts[part] = spill_range(s, (units == 0 ? 1 : units) * FIRST_PART * a->size);
    }
    spill_put_item(s, a, place, item);
    return place;
}

void spill_get_item(struct spill *s, const struct spill_array *a, uint64_t place, void *item)
{
    spill_get(s, item_at(a, place), item, a->size);
}

void spill_put_item(struct spill *s, const struct spill_array *a, uint64_t place, const void *item)
{
    spill_put(s, item_at(a, place), item, a->size);
}

void spill_drop_items(struct spill *s, struct spill_array *a)
{
    uint64_t room = FIRST_PART; /* items, of all parts before */
    for (int part = 0; a->n > 0 && (part == 0 || room < a->n); part++) {
        spill_drop(s, a->parts[part], (size_t)room * a->size);
        room += part == 0 ? 0 : room;
    }
    *a = (struct spill_array){.size = a->size};
}
