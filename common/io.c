#include "common/io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { WRITER_BUFFER = 256 * 1024, READER_BUFFER = 256 * 1024 };

/* -- writing */

bool io_write_all(int fd, const void *data, size_t len)
{
    const char *p = data;
    while (len > 0) {
        ssize_t n = write(fd, p, len);
        if (n < 0) {
            if (errno == EINTR && !err_interrupted())
                continue;
            return false;
        }
        p += n;
        len -= (size_t)n;
    }
    return true;
}

static _Noreturn void write_failed(const char *name)
{
    if (err_interrupted())
        err_exit_interrupted();
    if (errno == EPIPE)
        err_exit_broken_pipe();
    die(name, "cannot write: %s", errno == EBADF ? "it is closed, or not open for writing" : strerror(errno));
}

void io_writer_init(struct io_writer *w, int fd, const char *name)
{
    *w = (struct io_writer){.fd = fd, .name = name};
    buf_reserve(&w->buf, WRITER_BUFFER);
}

void io_write(struct io_writer *w, const void *data, size_t len)
{
    w->total += len;
    if (w->buf.len + len > WRITER_BUFFER) {
        io_flush(w);
        if (len >= WRITER_BUFFER) {
            if (!io_write_all(w->fd, data, len))
                write_failed(w->name);
            return;
        }
    }
    buf_add(&w->buf, data, len);
}

void io_flush(struct io_writer *w)
{
    if (w->buf.len > 0 && !io_write_all(w->fd, w->buf.data, w->buf.len))
        write_failed(w->name);
    buf_reset(&w->buf);
}

void io_writer_close(struct io_writer *w)
{
    io_flush(w);
    if (close(w->fd) != 0 && errno != EINTR)
        die(w->name, "cannot write: %s", strerror(errno));
    buf_free(&w->buf);
}

/* Each is opened the wrong way round, so that whoever uses it learns that it is not there. */
void io_claim_standard_files(void)
{
    err_survive_writes();
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
            continue;
        if (open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            die("/dev/null", "cannot be opened in place of a standard file that is closed: %s",
                strerror(errno));
    }
}

/* Sets errno for an error of stdout that an earlier call met, of which stdio keeps the fact alone: `last` is
 * that of the last call that failed. */
static void find_lost_error(int last)
{
    struct pollfd p = {.fd = STDOUT_FILENO};
    int flags = fcntl(STDOUT_FILENO, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
        errno = EBADF;
    else if (poll(&p, 1, 0) == 1 && p.revents & POLLERR)
        errno = EPIPE;
    else
        errno = last ? last : EIO;
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

void io_flush_stdout(void)
{
    if (!io_try_flush_stdout())
        write_failed("standard output");
}

void io_close_stdout(void)
{
    io_flush_stdout();
    if (close(STDOUT_FILENO) != 0 && errno != EINTR)
        die("standard output", "cannot write: %s", strerror(errno));
}

/* -- reading */

void io_reader_init(struct io_reader *r, int fd, const char *name)
{
    *r = (struct io_reader){.fd = fd, .name = name};
    r->cap = READER_BUFFER;
    r->base = xmalloc(r->cap);
    r->data = r->base;
}

int io_fill(struct io_reader *r, struct err *e)
{
    if (r->eof)
        return 0;
    if (r->data != r->base) {
        memmove(r->base, r->data, r->len);
        r->data = r->base;
    }
    if (r->cap - r->len < READER_BUFFER / 2) {
        r->cap *= 2;
        r->base = xrealloc(r->base, r->cap);
        r->data = r->base;
    }
    for (;;) {
        ssize_t n = read(r->fd, r->data + r->len, r->cap - r->len);
        if (n > 0) {
            r->len += (size_t)n;
            return 1;
        }
        if (n == 0) {
            r->eof = true;
            return 0;
        }
        if (errno == EINTR) {
            if (err_interrupted())
                err_exit_interrupted();
            continue;
        }
        err_set(e, r->name, "cannot read: %s",
                errno == EBADF ? "it is closed, or not open for reading" : strerror(errno));
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

/* Reads from an open descriptor to its end; 0 or an errno value. */
static int read_to_end(int fd, size_t max, struct buf *b)
{
    for (;;) {
        buf_reserve(b, b->len == 0 ? 4096 : b->len);
        ssize_t n = read(fd, b->data + b->len, b->cap - b->len - 1);
        if (n < 0) {
            if (errno == EINTR && !err_interrupted())
                continue;
            return errno;
        }
        b->len += (size_t)n;
        b->data[b->len] = '\0';
        if (b->len > max)
            return EFBIG;
        if (n == 0)
            return 0;
    }
}

int io_read_file(int dirfd, const char *path, size_t max, struct buf *b)
{
    buf_reset(b);
    int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return errno;
    int rc = read_to_end(fd, max, b);
    close(fd);
    return rc;
}

/* -- names and directories */

char *io_dirname(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return xstrdup(".");
    if (slash == path)
        return xstrdup("/");
    return xstrndup(path, (size_t)(slash - path));
}

char *io_temp_dir(const char *asked, const char *file)
{
    const char *env = getenv("TMPDIR");
    if (asked)
        return xstrdup(asked);
    char *real = file ? realpath(file, NULL) : NULL;
    char *beside = file ? io_dirname(real ? real : file) : NULL;
    free(real);
    if (beside && access(beside, W_OK | X_OK) == 0)
        return beside;
    free(beside);
    return xstrdup(env && *env ? env : "/var/tmp");
}

bool io_publish(const char *from, const char *to, struct err *e)
{
    if (syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return true;
    if (errno != EINVAL && errno != ENOSYS)
        goto failed;
    if (link(from, to) != 0)
        goto failed;
    unlink(from);
    return true;
failed:;
    int saved = errno;
    err_set(e, to, "cannot put the new file in place: %s", strerror(saved));
    errno = saved;
    return false;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
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

/* -- UTF-8 */

size_t utf8_sequence(const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    unsigned char c = s[0];
    if (c < 0x80)
        return 1;
    size_t n = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;
    if (c < 0xC2 || c > 0xF4 || len < n)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    if ((c == 0xE0 && s[1] < 0xA0) || (c == 0xED && s[1] > 0x9F) || (c == 0xF0 && s[1] < 0x90) ||
        (c == 0xF4 && s[1] > 0x8F))
        return 0; /* overlong, surrogate, beyond U+10FFFF */
    return n;
}

bool utf8_valid(const char *s, size_t len)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t i = 0;
    while (i < len) {
        while (len - i >= 8) { /* eight ASCII bytes at a time */
            uint64_t word;
            memcpy(&word, p + i, 8);
            if (word & UINT64_C(0x8080808080808080))
                break;
            i += 8;
        }
        if (i == len)
            break;
        size_t n = utf8_sequence(s + i, len - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

size_t utf8_length(const char *s, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += ((unsigned char)s[i] & 0xC0) != 0x80;
    return n;
}

size_t utf8_prefix(const char *s, size_t len, size_t n)
{
    size_t i = 0;
    for (; i < len; i++) {
        if (((unsigned char)s[i] & 0xC0) == 0x80)
            continue;
        if (n == 0)
            break;
        n--;
    }
    return i;
}
