/* Reads and writes byte streams completely, with the rules for standard files. */
#include "common/io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/digits.h"

enum { WRITER_BUFFER = 256 * 1024, READER_BUFFER = 256 * 1024 };

/* -- writing */

/* offset -1: at the descriptor's position. */
static bool write_whole(int fd, const char *p, size_t len, off_t offset)
{
    while (len > 0) {
        ssize_t n = offset < 0 ? write(fd, p, len) : pwrite(fd, p, len, offset);
        if (n < 0) {
            if (errno == EINTR && !err_interrupted())
                continue;
            return false;
        }
        p += n;
        len -= (size_t)n;
        offset += offset < 0 ? 0 : n;
    }
    return true;
}

bool io_write_all(int fd, const void *data, size_t len)
{
    return write_whole(fd, data, len, -1);
}

bool io_write_at(int fd, const void *data, size_t len, uint64_t offset)
{
    return write_whole(fd, data, len, (off_t)offset);
}

bool io_write_failed(struct err *e, const char *where, const char *what)
{
    int error = errno;
    if (error == EINTR && err_interrupted())
        return err_set_interrupted(e);
    err_set(e, where, "%s: %s", what, error == EBADF ? "closed, or not open for writing" : strerror(error));
    return err_classify(e, error == EPIPE ? ERR_READER_GONE : ERR_OTHER);
}

void io_writer_init(struct io_writer *w, int fd, const char *name)
{
    *w = (struct io_writer){.fd = fd, .name = name};
    buf_reserve(&w->buf, WRITER_BUFFER);
}

static bool writer_failed(struct io_writer *w)
{
    w->failed = true;
    return io_write_failed(&w->error, w->name, "cannot write");
}

bool io_write(struct io_writer *w, const void *data, size_t len)
{
    w->total += len;
    if (w->buf.len + len > WRITER_BUFFER) {
        if (!io_flush(w))
            return false;
        if (len >= WRITER_BUFFER)
            return io_write_all(w->fd, data, len) || writer_failed(w);
    }
    if (w->failed)
        return false;
    buf_add(&w->buf, data, len);
    return true;
}

bool io_flush(struct io_writer *w)
{
    if (w->failed)
        return false;
    bool ok = w->buf.len == 0 || io_write_all(w->fd, w->buf.data, w->buf.len);
    buf_reset(&w->buf);
    return ok || writer_failed(w);
}

bool io_writer_close(struct io_writer *w, struct err *e)
{
    io_flush(w);
    if (close(w->fd) != 0 && errno != EINTR && !w->failed)
        writer_failed(w);
    buf_free(&w->buf);
    return !w->failed || err_copy(e, &w->error);
}

/* Each is opened in the opposite mode, so that using it is an error. */
void io_claim_standard_files(void)
{
    err_survive_writes();
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
            continue;
        if (open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            die("/dev/null", "cannot be opened in place of a closed standard stream: %s", strerror(errno));
    }
}

/* An errno value for an unusable stdout, or 0. */
static int stdout_error(void)
{
    struct pollfd p = {.fd = STDOUT_FILENO};
    int flags = fcntl(STDOUT_FILENO, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
        return EBADF;
    return poll(&p, 1, 0) == 1 && p.revents & POLLERR ? EPIPE : 0;
}

bool io_stdout_has_reader(void)
{
    return stdout_error() == 0;
}

/* Sets errno for an earlier error on stdout, of which stdio keeps only the flag; `last` is the errno of the
 * last call that failed. */
static void find_lost_error(int last)
{
    int error = stdout_error();
    errno = error ? error : last ? last : EIO;
}

bool io_try_flush_stdout(void)
{
    int last = errno;
    bool failed_before = ferror(stdout);
    if (fflush(stdout) != 0)
        return false;
    if (failed_before)
        find_lost_error(last);
    return !failed_before;
}

static const char stdout_name[] = "standard output";

bool io_flush_stdout(struct err *e)
{
    return io_try_flush_stdout() || io_write_failed(e, stdout_name, "cannot write");
}

void io_close_stdout(void)
{
    struct err e;
    if (!io_flush_stdout(&e))
        err_die(&e);
    if (close(STDOUT_FILENO) != 0 && errno != EINTR) {
        io_write_failed(&e, stdout_name, "cannot write");
        err_die(&e);
    }
}

/* -- reading */

void io_reader_init(struct io_reader *r, int fd, const char *name)
{
    *r = (struct io_reader){.fd = fd, .name = name};
    r->cap = READER_BUFFER;
    r->base = xmalloc(r->cap);
    r->data = r->base;
}

/* Makes room after the unread bytes, which are moved to the front; at most doubles the buffer, so that a
 * forged length costs nothing. A large buffer is freed after use. */
static void make_room(struct io_reader *r, size_t need)
{
    if (r->data != r->base)
        memmove(r->base, r->data, r->len);
    size_t cap = r->cap;
    if (need < r->len + READER_BUFFER / 2)
        need = r->len + READER_BUFFER / 2;
    if (cap > 4 * READER_BUFFER && need < cap / 4)
        cap = need > READER_BUFFER ? need : READER_BUFFER;
    else if (cap < need)
        cap = need < 2 * cap ? need : 2 * cap;
    if (cap != r->cap)
        r->base = xrealloc(r->base, cap);
    r->cap = cap;
    r->data = r->base;
}

int io_fill(struct io_reader *r, size_t need, struct err *e)
{
    if (r->eof)
        return 0;
    make_room(r, need);
    size_t room = r->cap - r->len, want = need > r->len + READER_BUFFER ? need - r->len : READER_BUFFER;
    if (room > want)
        room = want;
    for (;;) {
        ssize_t n = read(r->fd, r->data + r->len, room);
        if (n > 0) {
            r->len += (size_t)n;
            return 1;
        }
        if (n == 0) {
            r->eof = true;
            return 0;
        }
        if (errno == EINTR && !err_interrupted())
            continue;
        if (errno == EINTR) {
            err_set_interrupted(e);
            return -1;
        }
        err_set(e, r->name, "cannot read: %s",
                errno == EBADF ? "closed, or not open for reading" : strerror(errno));
        return -1;
    }
}

void io_consume(struct io_reader *r, size_t n)
{
    r->data += n;
    r->len -= n;
    r->offset += n;
}

void io_reader_free(struct io_reader *r)
{
    free(r->base);
    *r = (struct io_reader){0};
}

ssize_t io_percent_decode(char *s)
{
    char *out = s;
    for (const char *p = s; *p; p++) {
        if (*p != '%') {
            *out++ = *p;
            continue;
        }
        int hi = hex_digit(p[1]);
        int lo = hi < 0 ? -1 : hex_digit(p[2]);
        if (lo < 0 || hi * 16 + lo == 0)
            return -1;
        *out++ = (char)(hi * 16 + lo);
        p += 2;
    }
    *out = '\0';
    return out - s;
}
