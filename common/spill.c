/* Memory, and beyond some MiB a nameless file: ranges of it are mapped, and windows of them leave memory
 * again in turn. */
#include "common/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/file.h"
#include "common/io.h"

enum {
    WINDOW = 64 << 10, /* bytes: what the kernel may map around a page that is used */
    WINDOWS = 256,     /* that are in memory */
    TEXT_BLOCK = 1 << 20,
    SETS = 4096, /* SETS * WAYS pages are in memory */
    WAYS = 6,
};

struct frame {
    uint64_t page; /* its number + 1; 0: none */
    uint64_t used; /* when */
    bool dirty;
};

#define ADDRESSES ((size_t)1 << 38) /* kept free for the file, so that a range of it never moves */

struct text_block {
    struct text_block *next;
    size_t size, used;
    char *data;
};

struct spill {
    const char *dir;
    int fd; /* -1: not made yet */
    uint64_t size;
    size_t in_memory; /* bytes of blocks that come from malloc, and are not small */
    /* The file's byte 0 has the address base, a multiple of WINDOW, once something of it is mapped. */
    char *room, *base;
    char *windows[WINDOWS]; /* those in memory, from `oldest` on in the order in which they were announced */
    size_t oldest;
    bool *in_windows; /* of each window of the file */
    struct text_block *texts;
    struct frame (*frames)[WAYS]; /* of each set */
    char *pages;
    uint64_t now;
};

struct spill *spill_new(const char *dir)
{
    struct spill *s = xcalloc(1, sizeof *s);
    s->dir = dir;
    s->fd = -1;
    return s;
}

static size_t whole_windows(size_t size)
{
    return (size + WINDOW - 1) / WINDOW * WINDOW;
}

static _Noreturn void refuse(const struct spill *s)
{
    struct err e;
    err_set(&e, s->dir, "cannot write a temporary file here: %s", strerror(errno));
    err_hint(&e, "--tmpdir names another directory for temporary files");
    err_no_memory(&e);
}

static _Noreturn void refuse_to_read(const struct spill *s, const char *why)
{
    struct err e;
    err_set(&e, s->dir, "cannot read a temporary file here: %s", why);
    err_no_memory(&e);
}

/* Room in the file, so that no page lacks it when it is written. */
static uint64_t take_room(struct spill *s, size_t size)
{
    uint64_t at = s->size;
    struct err e;
    if (s->fd < 0 && (s->fd = file_nameless(s->dir, &e)) < 0)
        err_no_memory(&e);
    int error = posix_fallocate(s->fd, (off_t)at, (off_t)size);
    if (error) {
        errno = error;
        refuse(s);
    }
    s->size += size;
    s->in_windows = xrealloc(s->in_windows, s->size / WINDOW);
    memset(s->in_windows + at / WINDOW, 0, size / WINDOW);
    return at;
}

static void *map_range(struct spill *s, size_t size)
{
    uint64_t at = take_room(s, size);
    if (!s->base) {
        s->room =
            mmap(NULL, ADDRESSES + WINDOW, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (s->room == MAP_FAILED)
            refuse(s);
        s->base = (char *)(((uintptr_t)s->room + WINDOW - 1) / WINDOW * WINDOW);
    }
    char *p = s->base + at;
    if (s->size > ADDRESSES ||
        mmap(p, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, s->fd, (off_t)at) == MAP_FAILED)
        refuse(s);
    return p;
}

void spill_touch(struct spill *s, const void *p)
{
    uintptr_t at = s ? (uintptr_t)p - (uintptr_t)s->base : 0;
    if (!s || !s->base || at >= s->size) /* not in the file */
        return;
    if (s->in_windows[at / WINDOW])
        return;
    char **place = &s->windows[s->oldest];
    s->oldest = (s->oldest + 1) % WINDOWS;
    if (*place) {
        madvise(*place, WINDOW, MADV_DONTNEED);
        s->in_windows[(size_t)(*place - s->base) / WINDOW] = false;
    }
    *place = s->base + at / WINDOW * WINDOW;
    s->in_windows[at / WINDOW] = true;
}

/* Copies between blocks of which the one or the other may be in the file. */
static void copy(struct spill *s, char *to, const char *from, size_t size)
{
    for (size_t at = 0, n; at < size; at += n) {
        n = size - at < WINDOW ? size - at : WINDOW;
        spill_touch(s, from + at);
        spill_touch(s, to + at);
        memcpy(to + at, from + at, n);
    }
}

static bool is_in_file(const struct spill *s, const void *block)
{
    return s && s->base && (uintptr_t)block - (uintptr_t)s->base < s->size;
}

/* Takes a block into account. false: it must lie in the file. */
static bool take_memory(struct spill *s, size_t size)
{
    if (!s || size < SPILL_BLOCK)
        return true;
    if (size > SPILL_MEMORY - s->in_memory)
        return false;
    s->in_memory += size;
    return true;
}

void *spill_memory(struct spill *s, size_t size)
{
    return take_memory(s, size) ? xcalloc(1, size) : NULL;
}

void *spill_resize(struct spill *s, void *old, size_t old_size, size_t new_size)
{
    char *p = spill_memory(s, new_size);
    if (!p)
        p = map_range(s, whole_windows(new_size));
    if (old)
        copy(s, p, old, old_size < new_size ? old_size : new_size);
    spill_release(s, old, old_size);
    return p;
}

void *spill_array(struct spill *s, void *items, size_t n, size_t *cap, size_t size)
{
    size_t old = *cap;
    if (n == old) {
        *cap = old ? 2 * old : 16;
        items = spill_resize(s, items, old * size, *cap * size);
    }
    spill_touch(s, (char *)items + n * size);
    return items;
}

void spill_release(struct spill *s, void *block, size_t size)
{
    if (is_in_file(s, block)) {
        madvise(block, whole_windows(size), MADV_REMOVE); /* from the disk, too */
        return;
    }
    if (s && block && size >= SPILL_BLOCK)
        s->in_memory -= size;
    free(block);
}

/* The first block is small, for those who have few texts. */
char *spill_text(struct spill *s, const char *text, size_t len)
{
    struct text_block *b = s->texts;
    if (!b || b->size - b->used < len + 1) {
        size_t size = b ? TEXT_BLOCK : SPILL_BLOCK / 2;
        b = xcalloc(1, sizeof *b);
        b->size = size > len ? size : len + 1;
        b->data = spill_resize(s, NULL, 0, b->size);
        b->next = s->texts;
        s->texts = b;
    }
    char *to = b->data + b->used;
    copy(s, to, text, len);
    to[len] = '\0';
    b->used += len + 1;
    return to;
}

/* -- pages */

uint64_t spill_range(struct spill *s, size_t size)
{
    return take_room(s, whole_windows(size));
}

void spill_drop(struct spill *s, uint64_t at, size_t size)
{
    uint64_t first = at / SPILL_PAGE, end = first + whole_windows(size) / SPILL_PAGE;
    for (int i = 0; s->frames && i < SETS * WAYS; i++) {
        struct frame *f = &s->frames[i / WAYS][i % WAYS];
        if (f->page > first && f->page <= end)
            *f = (struct frame){0};
    }
    fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)whole_windows(size));
}

/* The page's frame, or the one of its set that was used longest ago. */
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

void *spill_at(struct spill *s, uint64_t at, bool write)
{
    if (!s->frames) {
        s->frames = xcalloc(SETS, sizeof *s->frames);
        s->pages = xmalloc((size_t)SETS * WAYS * SPILL_PAGE);
    }
    uint64_t page = at / SPILL_PAGE;
    struct frame *f = frame_for(s->frames[page % SETS], page);
    char *data = s->pages + (size_t)(f - s->frames[0]) * SPILL_PAGE;
    if (f->page != page + 1) {
        if (f->dirty && !io_write_at(s->fd, data, SPILL_PAGE, (f->page - 1) * SPILL_PAGE))
            refuse(s);
        ssize_t n;
        while ((n = pread(s->fd, data, SPILL_PAGE, (off_t)(page * SPILL_PAGE))) < 0 && errno == EINTR)
            continue;
        if (n != SPILL_PAGE)
            refuse_to_read(s, n < 0 ? strerror(errno) : "it was cut");
        *f = (struct frame){.page = page + 1};
    }
    f->used = ++s->now;
    f->dirty |= write;
    return data + at % SPILL_PAGE;
}

void spill_free(struct spill *s)
{
    if (!s)
        return;
    for (struct text_block *b = s->texts, *next; b; b = next) {
        next = b->next;
        spill_release(s, b->data, b->size);
        free(b);
    }
    if (s->base)
        munmap(s->room, ADDRESSES + WINDOW);
    if (s->fd >= 0)
        close(s->fd);
    free(s->in_windows);
    free(s->frames);
    free(s->pages);
    free(s);
}
