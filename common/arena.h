/* A bump allocator: many small pieces, freed together. Zero-initialise it. Ends the program when there is no
 * memory (err_no_memory). */
#ifndef COMMON_ARENA_H
#define COMMON_ARENA_H

#include <stddef.h>

struct arena_block;
struct arena {
    struct arena_block *head; /* blocks in use, newest first */
    size_t used;              /* bytes used in the newest block */
};

void *arena_alloc(struct arena *a, size_t size);               /* aligned for any type, not zeroed */
char *arena_strndup(struct arena *a, const char *s, size_t n); /* adds a NUL */
void arena_reset(struct arena *a);                             /* frees all pieces; keeps one block */
void arena_free(struct arena *a);

#endif
