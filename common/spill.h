/* Memory for tables that may grow larger than what a program may take: bytes in a nameless file, of which the
 * pages in use lie in memory, SPILL_CACHE bytes at most; as long as all fits there, no file is made. Nothing
 * is mapped: what the kernel keeps of the file is not the program's. Not for several threads.
 *
 * As with stdio, a failure such as a full disk is kept: what was to be written is lost and reads as 0, and
 * spill_check() reports it. Call that before anything that was made with a spill leaves the program, and
 * often enough that a failure ends the work soon: once a record. */
#ifndef COMMON_SPILL_H
#define COMMON_SPILL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

struct spill;

enum {
    SPILL_PAGE = 4096,       /* bytes */
    SPILL_CACHE = 6 << 20,   /* bytes of pages in memory */
    SPILL_MEMORY = 24 << 20, /* bytes that spill_memory() gives */
};

/* dir: the directory for the file, if it is needed; must live as long as the spill. Never returns NULL. */
struct spill *spill_new(const char *dir);
void spill_free(struct spill *s); /* NULL is fine */
/* False with e filled if the file could not be made, written or read. */
bool spill_check(const struct spill *s, struct err *e);
/* The same for threads whose callers cannot return an error: ends the program (err_no_memory). */
void spill_require(const struct spill *s);

/* A range of size bytes of the file, all 0, at a multiple of SPILL_PAGE. Returns its offset. */
uint64_t spill_range(struct spill *s, size_t size);
/* The range is not needed any longer: its content is lost, and leaves the disk. */
void spill_drop(struct spill *s, uint64_t at, size_t size);
void spill_get(struct spill *s, uint64_t at, void *to, size_t len);
void spill_put(struct spill *s, uint64_t at, const void *from, size_t len);

/* size bytes of memory, all 0, for what is used in no order; NULL when no more may be had: then a range
 * serves. free() and spill_give_back() of the same size end it. */
void *spill_memory(struct spill *s, size_t size);
void spill_give_back(struct spill *s, void *memory, size_t size); /* frees memory; NULL is fine */

/* A text that was put into the file. */
struct spill_text {
    uint64_t at;
    size_t len;
};
struct spill_text spill_text(struct spill *s, const char *text, size_t len);
/* Replaces out's content by the text. */
void spill_read_text(struct spill *s, struct spill_text text, struct buf *out);

/* Items of one size, at most SPILL_PAGE bytes, that are added at the end. Initialise it with the size. */
struct spill_array {
    size_t size;        /* bytes of an item */
    uint64_t n;         /* items */
    uint64_t parts[48]; /* offset of each part; every part has room for as many items as all before it */
};
/* Returns the item's place, which is n as it was. */
uint64_t spill_append(struct spill *s, struct spill_array *a, const void *item);
void spill_get_item(struct spill *s, const struct spill_array *a, uint64_t place, void *item);
void spill_put_item(struct spill *s, const struct spill_array *a, uint64_t place, const void *item);
/* Empties the array; its parts leave the disk. */
void spill_drop_items(struct spill *s, struct spill_array *a);

#endif
