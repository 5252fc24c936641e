/* Sorts any number of entries of any size by their keys within a fixed amount of memory: what does not fit is
 * written to unnamed files in a directory of the caller's choice, so that nothing is left over however the
 * program ends. Large data are written once and read back only on request; of large keys only a prefix is
 * sorted in memory. */
#ifndef COMMON_SORT_H
#define COMMON_SORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

struct sort_entry {
    const char *key;
    const char *data;           /* NULL: in a file, to be read by sorter_read() */
    uint32_t key_len, data_len; /* bytes */
    uint64_t at;                /* for sorter_read() */
};

struct sorter;

/* dir: the directory for files, if any are needed; it must live as long as the sorter. memory: bytes for
 * entries, of which one half is filled while a thread of the sorter writes the other; merging many runs takes
 * some MiB more, as does an entry with a large key. Never returns NULL. */
struct sorter *sorter_new(const char *dir, size_t memory);
/* Copies an entry of key_len and data_len bytes. Returns false with e filled on failure, such as a full
 * disk. */
bool sorter_add(struct sorter *s, const void *key, size_t key_len, const void *data, size_t data_len,
                struct err *e);
/* To be called after the last entry, before sorter_next(). */
bool sorter_finish(struct sorter *s, struct err *e);
/* Returns the next entry in memcmp order of the keys (a prefix sorts before its extensions); entries with
 * equal keys are in the order in which they were added. 1: an entry, valid until the next call; 0: the end;
 * -1: error. */
int sorter_next(struct sorter *s, struct sort_entry *out, struct err *e);
/* Replaces out's contents by len bytes of an entry's data, starting at offset `from`. An entry with data in a
 * file (data is NULL) can be read as long as the sorter lives, others until the next sorter_next(). */
bool sorter_read(const struct sorter *s, const struct sort_entry *x, size_t from, size_t len, struct buf *out,
                 struct err *e);
/* Bytes written to files by the end of sorter_finish(); 0 if everything fits in memory. */
uint64_t sorter_spilled(const struct sorter *s);
void sorter_free(struct sorter *s); /* NULL is fine */

#endif
