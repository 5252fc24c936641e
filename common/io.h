/* Streams of bytes: whole reads and writes, EINTR, and the rules for stdout (SIGPIPE ends a
 * producer quietly; a full disk or a failed close is an error with exit 2). */
#ifndef COMMON_IO_H
#define COMMON_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buf.h"
#include "common/err.h"

/* Buffered writer on a file descriptor that it does not own. Errors die, naming `name`: there is no way to go
 * on without one's output. EPIPE ends the program quietly with exit 141's meaning: the process raises SIGPIPE
 * on itself. */
struct io_writer {
    int fd;
    const char *name; /* for messages, e.g. "standard output" */
    struct buf buf;
    uint64_t total; /* bytes handed over so far, buffered ones included */
};

void io_writer_init(struct io_writer *w, int fd, const char *name);
void io_write(struct io_writer *w, const void *data, size_t len);
void io_flush(struct io_writer *w);
void io_writer_close(struct io_writer *w); /* flushes, closes fd and frees; a failed close dies */

/* Reads into a growing window: [data, data + len) is what is there and unread. */
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
/* Reads more behind what is unread. need: how many unread bytes are wanted in all, as far as is known; 0:
 * any. 1: more came, 0: end of file, -1: error, e filled. Moves data. */
int io_fill(struct io_reader *r, size_t need, struct err *e);
void io_consume(struct io_reader *r, size_t n);
void io_reader_free(struct io_reader *r); /* does not close fd */

/* Whole writes to a descriptor, and at an offset of a file; false with errno set. */
bool io_write_all(int fd, const void *data, size_t len);
bool io_write_at(int fd, const void *data, size_t len, uint64_t offset);

/* Takes the numbers of standard input, output and error where they are closed, lest a database's socket or
 * file get one of them: early in main(). Reading such an input or writing to such an output is an error as on
 * any closed file; messages are lost. From then on a failed write is an error, not a signal
 * (err_survive_writes). */
void io_claim_standard_files(void);
/* Whether stdout is open for writing and, where it is a pipe, still has a reader. */
bool io_stdout_has_reader(void);
/* Flushes stdout; false with errno set when this or an earlier write failed. */
bool io_try_flush_stdout(void);
/* Brings what stdio has for stdout out, or dies. */
void io_flush_stdout(void);
/* Closes stdout and dies when that fails; to be called last by every program that writes there with stdio. */
void io_close_stdout(void);

/* Decodes %XX in place; returns the new length, or -1 on a malformed escape or %00. */
ssize_t io_percent_decode(char *s);

#endif
