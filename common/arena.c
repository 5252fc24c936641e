/* Allocates small pieces from blocks that are freed together. */
#include "common/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

enum { BLOCK_SIZE = 32 * 1024 };

struct arena_block {
    struct arena_block *next;
    size_t size; /* bytes of data */
    alignas(max_align_t) char data[];
};

static void push_block(struct arena *a, size_t size)
{
    struct arena_block *b = xmalloc(sizeof *b + size);
    b->next = a->head;
    b->size = size;
    a->head = b;
    a->used = 0;
}

void *arena_alloc(struct arena *a, size_t size)
{
    size_t align = alignof(max_align_t);
    size = (size + align - 1) / align * align;
    if (!a->head || a->head->size - a->used < size)
        push_block(a, size > BLOCK_SIZE ? size : BLOCK_SIZE);
    void *p = a->head->data + a->used;
    a->used += size;
    return p;
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
    char *copy = arena_alloc(a, n + 1);
    memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

void arena_reset(struct arena *a)
{
    while (a->head && a->head->next) {
        struct arena_block *b = a->head;
        a->head = b->next;
        free(b);
    }
    if (a->head && a->head->size > BLOCK_SIZE) { /* a block for a large piece is not kept */
        free(a->head);
        a->head = NULL;
    }
    a->used = 0;
}

void arena_free(struct arena *a)
{
    arena_reset(a);
    free(a->head);
    a->head = NULL;
}
