#include "common/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

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
    char *real = file ? realpath(file, NULL) : NULL;
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
    err_set(e, to, "cannot put the new file in place: %s", strerror(saved));
    errno = saved;
    return false;
}

int file_nameless(const char *dir, struct err *e)
{
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) { /* a file system without nameless files */
        char *name = xasprintf("%s/.mlruns-tools.XXXXXX", dir);
        fd = mkostemp(name, O_CLOEXEC);
        if (fd >= 0)
            unlink(name);
        free(name);
    }
    if (fd >= 0)
        return fd;
    err_set(e, dir, "cannot make a temporary file here: %s", strerror(errno));
    err_hint(e, "--tmpdir names another directory for temporary files");
    return -1;
}
