/* Sorts any number of entries by their keys within a fixed amount of memory: what does not fit goes to one
 * nameless file in a directory of the caller's choice, so that nothing is left behind whatever ends the
 * program. */
#ifndef COMMON_SORT_H
#define COMMON_SORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct sort_entry {
    const char *key;
    const char *data;
    uint32_t key_len, data_len; /* bytes */
};

struct sorter;

/* dir: where the file is made when one is needed; it must live as long as the sorter. memory: bytes for
 * entries, of which one half is filled while a thread of the sorter's own writes the other; a few hundred KiB
 * come on top. Never NULL. */
struct sorter *sorter_new(const char *dir, size_t memory);
/* Copies an entry of key_len and data_len bytes. false: the disk is full or the like; e says so. */
bool sorter_add(struct sorter *s, const void *key, size_t key_len, const void *data, size_t data_len,
                struct err *e);
/* No more entries come; sorter_next() may be called. */
bool sorter_finish(struct sorter *s, struct err *e);
/* The next entry in the order of memcmp over the keys (a key sorts before one that it begins); entries of one
 * key come in the order in which they were added. 1: an entry, whose memory lives until the next call; 0: the
 * end; -1: error. */
int sorter_next(struct sorter *s, struct sort_entry *out, struct err *e);
/* Bytes written to the file by sorter_finish(), 0 when all fits into memory. */
uint64_t sorter_spilled(const struct sorter *s);
void sorter_free(struct sorter *s); /* NULL is fine */

#endif
