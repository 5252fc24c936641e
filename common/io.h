/* Streams of bytes: whole reads and writes, EINTR, and the rules for stdout: a reader that has gone ends a
 * producer without a word (ERR_READER_GONE), a full disk or a failed close is an error. */
#ifndef COMMON_IO_H
#define COMMON_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buf.h"
#include "common/err.h"

/* Buffered writer on a file descriptor that it does not own. A write that fails is the last one: from then on
 * all of these return false and write nothing, and error says why (io_write_failed). */
struct io_writer {
    int fd;
    const char *name; /* for messages, e.g. "standard output" */
    struct buf buf;
    uint64_t total; /* bytes written so far, buffered ones included */
    bool failed;
    struct err error;
};

void io_writer_init(struct io_writer *w, int fd, const char *name);
bool io_write(struct io_writer *w, const void *data, size_t len);
bool io_flush(struct io_writer *w);
/* Flushes, closes fd and frees. false with e filled: one of these, or a write before, has failed. */
bool io_writer_close(struct io_writer *w, struct err *e);

/* A reader with a growing window: [data, data + len) are the unread bytes in memory. */
struct io_reader {
    int fd;
    const char *name;
    char *data;      /* first unread byte */
    size_t len;      /* unread bytes in memory */
    uint64_t offset; /* position of data in the stream, in bytes */
    bool eof;
    char *base; /* private */
    size_t cap; /* private */
};

void io_reader_init(struct io_reader *r, int fd, const char *name);
/* Reads more bytes after the unread ones. need: the total of unread bytes wanted, if known; 0: any. Returns
 * 1: got more, 0: end of file, -1: error, e filled. Moves data. */
int io_fill(struct io_reader *r, size_t need, struct err *e);
void io_consume(struct io_reader *r, size_t n);
void io_reader_free(struct io_reader *r); /* does not close fd */

/* Fills e for a write that has failed with errno, what being "cannot write" or longer: class ERR_READER_GONE
 * (EPIPE), ERR_INTERRUPTED or ERR_OTHER. Returns false. */
bool io_write_failed(struct err *e, const char *where, const char *what);
/* Complete writes to a descriptor, and at an offset of a file; false with errno set. */
bool io_write_all(int fd, const void *data, size_t len);
bool io_write_at(int fd, const void *data, size_t len, uint64_t offset);

/* Occupies the descriptors of standard input, output and error that are closed, so that no database socket or
 * file gets one of them. Call it early in main(). Using such a stream is an error as with a closed one;
 * messages are lost. Failed writes are errors from then on, not signals (err_survive_writes). */
void io_claim_standard_files(void);
/* Whether stdout is open for writing and, where it is a pipe, still has a reader. */
bool io_stdout_has_reader(void);
/* Flushes stdout; false with errno set when this or an earlier write failed. */
bool io_try_flush_stdout(void);
/* The same with e filled. */
bool io_flush_stdout(struct err *e);
/* Flushes and closes stdout; to be called last by every program that writes there with stdio, which it ends
 * when that fails (err_die). */
void io_close_stdout(void);

/* Decodes %XX in place; returns the new length, or -1 on a malformed escape or %00. */
ssize_t io_percent_decode(char *s);

#endif
