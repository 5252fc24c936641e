/* Memory for tables that may grow larger than what a program may take: SPILL_MEMORY bytes of it come from
 * malloc, what is beyond lies in a nameless file. It is used by its addresses as any memory, and what was not
 * used for a while leaves the process again (the kernel keeps it in its cache, or on the disk). Not for
 * several threads. A disk that is full ends the program with a message, as memory that can't be had does
 * (err_no_memory). */
#ifndef COMMON_SPILL_H
#define COMMON_SPILL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct spill;

/* dir: where the file is made when it is needed; it must live as long as the spill. Never NULL. */
struct spill *spill_new(const char *dir);
void spill_free(struct spill *s); /* with all that was given out; NULL is fine */

enum {
    SPILL_BLOCK = 512 << 10, /* bytes: smaller blocks always come from malloc */
    SPILL_MEMORY = 24 << 20, /* bytes of larger blocks that do */
    SPILL_PAGE = 512,        /* bytes, of what spill_at() gives */
};

/* A block of new_size bytes for one of old_size (NULL and 0: none) with its content, what is new being 0.
 * s NULL: from malloc, whatever the size. */
void *spill_resize(struct spill *s, void *old, size_t old_size, size_t new_size);
void spill_release(struct spill *s, void *block, size_t size); /* NULL is fine */

/* An array of n items of `size` bytes, of which *cap have room, with room for one more: items, or where they
 * have moved to. Then spill_release(s, items, *cap * size) frees it. */
void *spill_array(struct spill *s, void *items, size_t n, size_t *cap, size_t size);

/* A copy of len bytes and a NUL, which stays where it is. s must not be NULL. */
char *spill_text(struct spill *s, const char *text, size_t len);

/* To be called before something of a block or text is used, for every place where it is: what was announced
 * stays in memory until some MiB of others were. s NULL is fine. */
void spill_touch(struct spill *s, const void *p);

/* size bytes of memory, all 0, for spill_release(); NULL when that must come from the file. s NULL: never. */
void *spill_memory(struct spill *s, size_t size);

/* For tables that are used in no order, faster: size bytes of the file, all 0, by their offset. What
 * spill_at() gives lies in memory until some further calls; an item must not lie across a multiple of
 * SPILL_PAGE. write: it will be changed. */
uint64_t spill_range(struct spill *s, size_t size);
void *spill_at(struct spill *s, uint64_t at, bool write);
void spill_drop(struct spill *s, uint64_t at, size_t size);

#endif
