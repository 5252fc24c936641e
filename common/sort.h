/* Sorts any number of entries of any size by their keys within a fixed amount of memory: what does not fit
 * goes to nameless files in a directory of the caller's choice, so that nothing is left behind whatever ends
 * the program. Large data are written once and read again only when they are asked for; of large keys the
 * sorter keeps the beginning. */
#ifndef COMMON_SORT_H
#define COMMON_SORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

struct sort_entry {
    const char *key;
    const char *data;           /* NULL: in a file, sorter_read() gives it */
    uint32_t key_len, data_len; /* bytes */
    uint64_t at;                /* for sorter_read() */
};

struct sorter;

/* dir: where the files are made when some are needed; it must live as long as the sorter. memory: bytes for
 * entries, of which one half is filled while a thread of the sorter's own writes the other; some MiB come on
 * top while many runs are merged, and the key of an entry where it is large. Never NULL. */
struct sorter *sorter_new(const char *dir, size_t memory);
/* Copies an entry of key_len and data_len bytes. false: the disk is full or the like; e says so. */
bool sorter_add(struct sorter *s, const void *key, size_t key_len, const void *data, size_t data_len,
                struct err *e);
/* No more entries come; sorter_next() may be called. */
bool sorter_finish(struct sorter *s, struct err *e);
/* The next entry in the order of memcmp over the keys (a prefix sorts before its extensions); entries of one
 * key come in the order in which they were added. 1: an entry, whose memory lives until the next call; 0: the
 * end; -1: error. */
int sorter_next(struct sorter *s, struct sort_entry *out, struct err *e);
/* Replaces out's content by len bytes from offset `from` on of an entry's data. An entry whose data are in a
 * file (data is NULL) can be read as long as the sorter lives, others until the next sorter_next(). */
bool sorter_read(const struct sorter *s, const struct sort_entry *x, size_t from, size_t len, struct buf *out,
                 struct err *e);
/* Bytes written to files by sorter_finish(), 0 when all fits into memory. */
uint64_t sorter_spilled(const struct sorter *s);
void sorter_free(struct sorter *s); /* NULL is fine */

#endif
