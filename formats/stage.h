/* Sorted staging: items (a key and data, any bytes) go in by any order and come out by the order of their
 * keys (memcmp; a key that is the beginning of another comes first), those of one key in the order in which
 * they came. What exceeds the memory given is sorted in pieces, kept in temporary files and merged: no number
 * of items needs more memory.
 *
 * The temporary files have no name (O_TMPFILE, else unlinked at once), so nothing is left behind whatever
 * happens. They take about the bytes of all items, for a moment a third more while pieces are merged. */
#ifndef FORMATS_STAGE_H
#define FORMATS_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../common/err.h"

struct stage;

struct stage_item {
    const char *key;
    size_t key_len; /* bytes */
    const char *data;
    size_t data_len; /* bytes */
};

/* dir: where temporary files lie (borrowed); none is made while everything fits into memory.
 * memory: bytes to hold before a piece is written out; the same again is used while merging. */
struct stage *stage_new(const char *dir, size_t memory);
/* Copies an item in. A temporary file that cannot be made or written: false with e filled. */
bool stage_add(struct stage *s, const void *key, size_t key_len, const void *data, size_t data_len,
               struct err *e);
/* Ends the adding. */
bool stage_sort(struct stage *s, struct err *e);
/* The next item: 1, it lives until the next call; 0: there are no more; -1: error, e filled. */
int stage_next(struct stage *s, struct stage_item *out, struct err *e);
/* Where temporary files best lie: the folder asked for (NULL: none), else that of the file given (NULL: none)
 * so that a small /tmp is no obstacle, else, or where that cannot be written, $TMPDIR or /var/tmp. malloc'ed.
 */
char *stage_choose_dir(const char *asked, const char *file);
/* Bytes written to temporary files so far. */
uint64_t stage_spilled(const struct stage *s);
void stage_free(struct stage *s); /* NULL is fine */

#endif
