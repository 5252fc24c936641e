/* A byte stream stored in an unnamed file, compressed by zstd: written once, then read any number of
 * times. */
#ifndef COMMON_SPOOL_H
#define COMMON_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct spool;

/* Creates a spool in a directory; NULL with e filled. */
struct spool *spool_new(const char *dir, struct err *e);
void spool_free(struct spool *s); /* NULL is fine */

/* Appends bytes. On a full disk the error names the directory. */
bool spool_write(struct spool *s, const void *data, size_t len, struct err *e);

/* Ends writing; then writes all of it to fd. false with e filled: the spool cannot be read, or fd not
 * written, class ERR_READER_GONE where it is a pipe whose reader has gone. */
bool spool_copy(struct spool *s, int fd, struct err *e);

/* The size of the file in bytes. */
uint64_t spool_size(const struct spool *s);

#endif
