/* Lists of names: short ones on a stack, long ones in a nameless file. */
#include "common/names.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/err.h"
#include "common/file.h"
#include "common/sort.h"

enum {
    SHORT_LIST = 4 << 10,   /* bytes of a list that may always be in memory */
    CHARGE = 4 << 10,       /* bytes that are taken from the room at a time */
    KEPT_ITEMS = 4 << 10,   /* of an empty stack */
    SORT_MEMORY = 4 << 20,  /* one list is sorted in files at a time */
    WINDOW = 4 << 10,       /* bytes of a file that are read at a time */
    WRITE_SIZE = 256 << 10, /* bytes */
};
_Static_assert((int)WINDOW > (int)NAMES_SIZE + (int)sizeof(struct name_item), "a name fits into the window");

struct names_room {
    const char *dir;
    pthread_mutex_t lock;
    size_t left;             /* bytes */
    pthread_mutex_t sorting; /* held from a list's first name in a sorter to the last */
};

/* A list that is sorted, or was, in files. In the file a name is its type, its length in 2 bytes, its
 * bytes. */
struct names_file {
    struct sorter *sorter; /* until it is sorted */
    int fd;
    uint64_t at, end; /* what is still to be read */
    size_t used, len; /* of the window */
    char window[WINDOW];
};

enum { HEAD = 3 }; /* bytes before a name */

struct names_room *names_room_new(const char *dir, size_t bytes)
{
    struct names_room *r = xcalloc(1, sizeof *r);
    r->dir = dir;
    r->left = bytes;
    pthread_mutex_init(&r->lock, NULL);
    pthread_mutex_init(&r->sorting, NULL);
    return r;
}

void names_room_free(struct names_room *r)
{
    if (!r)
        return;
    pthread_mutex_destroy(&r->lock);
    pthread_mutex_destroy(&r->sorting);
    free(r);
}

static bool take_room(struct names_room *r, size_t bytes)
{
    pthread_mutex_lock(&r->lock);
    bool enough = bytes <= r->left;
    if (enough)
        r->left -= bytes;
    pthread_mutex_unlock(&r->lock);
    return enough;
}

static void give_room(struct names_room *r, size_t bytes)
{
    pthread_mutex_lock(&r->lock);
    r->left += bytes;
    pthread_mutex_unlock(&r->lock);
}

void names_free(struct names *names)
{
    buf_free(&names->text);
    free(names->items);
    *names = (struct names){0};
}

/* -- in memory */

void names_begin(struct names *names, struct name_list *l)
{
    l->names = names;
    l->first = l->next = names->n;
    l->text_from = names->text.len;
    l->charged = 0;
    l->file = NULL;
}

/* Whether the list may become so long, in bytes. */
static bool may_take(struct name_list *l, size_t bytes)
{
    if (bytes <= SHORT_LIST || bytes <= l->charged)
        return true;
    size_t more = (bytes - l->charged + CHARGE - 1) / CHARGE * CHARGE;
    bool may = take_room(l->names->room, more);
    if (may)
        l->charged += more;
    return may;
}

static void push(struct names *names, const char *name, size_t len, unsigned char type)
{
    if (names->n == names->cap) {
        names->cap = names->cap ? names->cap * 2 : 64;
        names->items = xrealloc(names->items, names->cap * sizeof *names->items);
    }
    names->items[names->n++] = (struct name_item){.offset = (uint32_t)names->text.len, .type = type};
    buf_add(&names->text, name, len);
    buf_addc(&names->text, '\0');
}

/* Takes the list from the stack. */
static void pop(struct name_list *l)
{
    struct names *names = l->names;
    names->n = l->first;
    buf_truncate(&names->text, l->text_from);
    if (names->n == 0)
        buf_trim(&names->text);
    if (names->n == 0 && names->cap > KEPT_ITEMS) {
        free(names->items);
        names->items = NULL;
        names->cap = 0;
    }
    give_room(names->room, l->charged);
    l->charged = 0;
}

static int compare_items(const void *a, const void *b, void *text)
{
    const struct name_item *x = a, *y = b;
    int order = strcmp((const char *)text + x->offset, (const char *)text + y->offset);
    return order ? order : (x->offset > y->offset) - (x->offset < y->offset);
}

static void sort_items(struct name_item *items, size_t n, char *text)
{
    if (n > 16) {
        qsort_r(items, n, sizeof *items, compare_items, text);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        struct name_item item = items[i];
        size_t at = i;
        for (; at > 0 && compare_items(&items[at - 1], &item, text) > 0; at--)
            items[at] = items[at - 1];
        items[at] = item;
    }
}

/* -- in files */

static void add_to_sorter(struct name_list *l, const char *name, size_t len, unsigned char type)
{
    struct err e;
    if (!sorter_add(l->file->sorter, name, len, &type, 1, &e))
        err_no_memory(&e);
}

/* The list does not fit: what there is of it goes to a sorter. */
static void leave_memory(struct name_list *l)
{
    struct names *names = l->names;
    pthread_mutex_lock(&names->room->sorting);
    l->file = xcalloc(1, sizeof *l->file);
    l->file->fd = -1;
    l->file->sorter = sorter_new(names->room->dir, SORT_MEMORY);
    for (size_t i = l->first; i < names->n; i++) {
        const char *name = names->text.data + names->items[i].offset;
        add_to_sorter(l, name, strlen(name), names->items[i].type);
    }
    pop(l);
}

static void end_sorting(struct name_list *l)
{
    sorter_free(l->file->sorter);
    l->file->sorter = NULL;
    pthread_mutex_unlock(&l->names->room->sorting);
}

static void flush(struct name_list *l, struct buf *out)
{
    struct err e;
    if (!file_nameless_write(l->file->fd, l->names->room->dir, out->data, out->len, l->file->end, &e))
        err_no_memory(&e);
    l->file->end += out->len;
    buf_reset(out);
}

static void sort_in_files(struct name_list *l)
{
    struct buf out = {0};
    struct sort_entry x;
    struct err e;
    int got = sorter_finish(l->file->sorter, &e) ? 1 : -1;
    l->file->fd = got > 0 ? file_nameless(l->names->room->dir, &e) : -1;
    if (l->file->fd < 0)
        err_no_memory(&e);
    while ((got = sorter_next(l->file->sorter, &x, &e)) > 0) {
        buf_addc(&out, x.data[0]);
        buf_addc(&out, (char)(x.key_len >> 8));
        buf_addc(&out, (char)x.key_len);
        buf_add(&out, x.key, x.key_len);
        if (out.len >= WRITE_SIZE)
            flush(l, &out);
    }
    if (got < 0)
        err_no_memory(&e);
    flush(l, &out);
    buf_free(&out);
    end_sorting(l);
}

/* Ensures that `need` bytes are in the window, if there are as many. */
static void fill(struct name_list *l, size_t need)
{
    struct names_file *f = l->file;
    if (f->len - f->used >= need)
        return;
    memmove(f->window, f->window + f->used, f->len - f->used);
    f->len -= f->used;
    f->used = 0;
    struct err e;
    uint64_t left = f->end - f->at;
    size_t more = left < WINDOW - f->len ? (size_t)left : WINDOW - f->len;
    if (!file_nameless_read(f->fd, l->names->room->dir, f->window + f->len, more, f->at, &e))
        err_no_memory(&e);
    f->len += more;
    f->at += more;
}

static bool next_in_file(struct name_list *l)
{
    struct names_file *f = l->file;
    fill(l, HEAD + NAMES_SIZE);
    if (f->used == f->len)
        return false;
    const unsigned char *head = (const unsigned char *)f->window + f->used;
    size_t len = (size_t)head[1] << 8 | head[2];
    l->type = head[0];
    memcpy(l->name, f->window + f->used + HEAD, len);
    l->name[len] = '\0';
    f->used += HEAD + len;
    return true;
}

/* -- both */

void names_add(struct name_list *l, const char *name, unsigned char type)
{
    struct names *names = l->names;
    size_t len = strnlen(name, NAMES_SIZE - 1);
    size_t bytes =
        names->text.len - l->text_from + len + 1 + (names->n - l->first + 1) * sizeof *names->items;
    if (!l->file && !may_take(l, bytes))
        leave_memory(l);
    if (l->file)
        add_to_sorter(l, name, len, type);
    else
        push(names, name, len, type);
}

void names_restart(struct name_list *l)
{
    names_end(l);
    names_begin(l->names, l);
}

void names_sort(struct name_list *l)
{
    struct names *names = l->names;
    if (l->file)
        sort_in_files(l);
    else if (names->n > l->first)
        sort_items(names->items + l->first, names->n - l->first, names->text.data);
}

bool names_next(struct name_list *l)
{
    struct names *names = l->names;
    if (l->file)
        return next_in_file(l);
    if (l->next == names->n)
        return false;
    const struct name_item *item = &names->items[l->next++];
    const char *name = names->text.data + item->offset;
    memcpy(l->name, name, strlen(name) + 1);
    l->type = item->type;
    return true;
}

void names_end(struct name_list *l)
{
    if (l->file) {
        if (l->file->sorter)
            end_sorting(l);
        if (l->file->fd >= 0)
            close(l->file->fd);
        free(l->file);
        l->file = NULL;
    }
    pop(l);
}
