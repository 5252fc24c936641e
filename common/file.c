/* Reads, writes and publishes files, and creates temporary ones. */
#include "common/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/io.h"

/* Reads from an open descriptor to the end; returns 0 or an errno value. */
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

int file_read_whole(int dirfd, const char *path, size_t max, struct buf *b)
{
    buf_reset(b);
    int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return errno;
    int rc = read_to_end(fd, max, b);
    close(fd);
    return rc;
}

char *file_dirname(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return xstrdup(".");
    if (slash == path)
        return xstrdup("/");
    return xstrndup(path, (size_t)(slash - path));
}

char *file_temp_dir(const char *asked, const char *file)
{
    const char *env = getenv("TMPDIR");
    if (asked)
        return xstrdup(asked);
    char *real = file ? xrealpath(file) : NULL;
    char *beside = file ? file_dirname(real ? real : file) : NULL;
    free(real);
    if (beside && access(beside, W_OK | X_OK) == 0)
        return beside;
    free(beside);
    return xstrdup(env && *env ? env : "/var/tmp");
}

bool file_publish(const char *from, const char *to, struct err *e)
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
    err_set(e, to, "cannot rename the new file: %s", strerror(saved));
    errno = saved;
    return false;
}

static bool cannot_write(const char *path, struct err *e)
{
    return err_set(e, path, "cannot write: %s", strerror(errno));
}

/* Writes to a descriptor, which it closes; false with errno set. */
static bool write_and_close(int fd, bool (*put)(void *arg, FILE *f), void *arg, bool sync)
{
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    bool ok = f && put(arg, f) && fflush(f) == 0 && !ferror(f) && (!sync || fsync(fd) == 0);
    int why = errno;
    if (fd >= 0 && !f)
        close(fd);
    if (f && fclose(f) != 0 && ok) {
        ok = false;
        why = errno;
    }
    errno = why;
    return ok;
}

static void remove_file(void *path)
{
    unlink(path);
}

bool file_write(const char *path, bool (*put)(void *arg, FILE *f), void *arg, struct err *e)
{
    struct stat st;
    char *real = xrealpath(path);
    const char *to = real ? real : path;
    bool exists = stat(to, &st) == 0, ok;
    if (exists && !S_ISREG(st.st_mode)) {
        ok = write_and_close(open(to, O_WRONLY | O_CLOEXEC), put, arg, false) || cannot_write(path, e);
        free(real);
        return ok;
    }
    char *aside = xasprintf("%s.%s", to, err_program());
    bool may = !exists || access(to, W_OK) == 0;
    int fd =
        !may ? -1
             : open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, exists ? st.st_mode : 0666);
    if (fd >= 0)
        err_cleanup_push(remove_file, aside); /* put() may end the program where memory runs out */
    ok = write_and_close(fd, put, arg, true) && rename(aside, to) == 0;
    if (!ok)
        cannot_write(path, e);
    if (!ok && fd >= 0)
        unlink(aside);
    if (fd >= 0)
        err_cleanup_pop();
    free(aside);
    free(real);
    return ok;
}

int file_nameless(const char *dir, struct err *e)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) { /* a file system without O_TMPFILE */
        char *name = xasprintf("%s/.mlruns-tools.XXXXXX", dir);
        fd = mkostemp(name, O_CLOEXEC);
        if (fd >= 0)
            unlink(name);
        free(name);
    }
    if (fd >= 0)
        return fd;
    err_set(e, dir, "cannot create a temporary file here: %s", strerror(errno));
    err_hint(e, "--tmpdir names another directory for temporary files");
    return -1;
}

bool file_nameless_read(int fd, const char *dir, void *to, size_t len, uint64_t at, struct err *e)
{
    char *p = to;
    while (len > 0) {
        ssize_t n = pread(fd, p, len, (off_t)at);
        if (n < 0 && errno == EINTR && !err_interrupted())
            continue;
        if (n <= 0)
            return err_set(e, dir, "cannot read a temporary file here: %s",
                           n < 0 ? strerror(errno) : "truncated");
        p += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return true;
}

bool file_nameless_write(int fd, const char *dir, const void *from, size_t len, uint64_t at, struct err *e)
{
    if (io_write_at(fd, from, len, at))
        return true;
    err_set(e, dir, "cannot write a temporary file here: %s", strerror(errno));
    return err_hint(e, "--tmpdir names another directory for temporary files");
}
