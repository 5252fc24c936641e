/* Directories of a file store: sorted listings, types of entries, and errors distinguished from absence. */
#include "formats/filestore/dir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/err.h"

/* Errors that are transient on network file systems. */
static bool is_passing(int error)
{
    return error == EIO || error == ESTALE || error == EINTR;
}

const char *dir_error(int error)
{
    if (error == DANGLING_LINK)
        return "a dangling link";
    return error == ELOOP ? "a loop of symbolic links" : strerror(error);
}

static int stat_twice(int at, const char *path, struct stat *st, int flags)
{
    if (fstatat(at, path, st, flags) == 0)
        return 0;
    return is_passing(errno) && fstatat(at, path, st, flags) == 0 ? 0 : errno;
}

/* ENOENT is also the error for a dangling link. */
static int refine(int at, const char *path, int error)
{
    if (error != ENOENT)
        return error;
    struct stat st;
    int link_error = stat_twice(at, path, &st, AT_SYMLINK_NOFOLLOW);
    if (link_error)
        return link_error;
    return S_ISLNK(st.st_mode) ? DANGLING_LINK : ENOENT;
}

int dir_stat(int at, const char *path, struct stat *st)
{
    return refine(at, path, stat_twice(at, path, st, 0));
}

int dir_fstat(int fd, struct stat *st)
{
    return stat_twice(fd, "", st, AT_EMPTY_PATH);
}

int dir_entry_is_dir(int dir, const char *name, unsigned char type, bool *is_dir)
{
    *is_dir = type == DT_DIR;
    if (type != DT_LNK && type != DT_UNKNOWN)
        return 0;
    struct stat st;
    int error = dir_stat(dir, name, &st);
    *is_dir = !error && S_ISDIR(st.st_mode);
    return error;
}

unsigned char dir_entry_type(int dir, const char *name)
{
    struct stat st;
    int error = stat_twice(dir, name, &st, AT_SYMLINK_NOFOLLOW);
    return !error ? IFTODT(st.st_mode) : error == ENOENT ? DT_REG : DT_UNKNOWN;
}

static int open_twice(int at, const char *path, int flags)
{
    int fd = openat(at, path, flags);
    if (fd < 0 && is_passing(errno))
        fd = openat(at, path, flags);
    if (fd < 0)
        errno = refine(at, path, errno);
    return fd;
}

int dir_open(int at, const char *path)
{
    return open_twice(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int dir_open_file(int at, const char *path)
{
    /* O_NONBLOCK: a link may lead to a pipe without a writer */
    return open_twice(at, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

ssize_t dir_read_at(int fd, void *data, size_t len, uint64_t offset)
{
    ssize_t n = pread(fd, data, len, (off_t)offset);
    return n < 0 && is_passing(errno) ? pread(fd, data, len, (off_t)offset) : n;
}

/* -- entries */

static bool is_self_or_parent(const char *name)
{
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

static int each_once(int fd, char *chunk, void (*fn)(void *ctx, const char *name, unsigned char type),
                     void *ctx)
{
    for (;;) {
        ssize_t n = syscall(SYS_getdents64, fd, chunk, CHUNK_SIZE); /* glibc before 2.30 has no function */
        if (n < 0)
            return errno;
        if (n == 0)
            return 0;
        for (ssize_t at = 0; at < n;) {
            const struct dirent *entry = (const struct dirent *)(const void *)(chunk + at);
            if (!is_self_or_parent(entry->d_name))
                fn(ctx, entry->d_name, entry->d_type);
            at += entry->d_reclen;
        }
    }
}

int dir_each(int fd, char *chunk, void (*fn)(void *ctx, const char *name, unsigned char type), void *ctx)
{
    int error = each_once(fd, chunk, fn, ctx);
    return is_passing(error) && lseek(fd, 0, SEEK_SET) == 0 ? each_once(fd, chunk, fn, ctx) : error;
}

static void add_name(void *ctx, const char *name, unsigned char type)
{
    names_add(ctx, name, type);
}

int dir_list(struct names *names, struct name_list *l, int fd, char *chunk)
{
    names_begin(names, l);
    int error = each_once(fd, chunk, add_name, l);
    if (is_passing(error) && lseek(fd, 0, SEEK_SET) == 0) {
        names_restart(l);
        error = each_once(fd, chunk, add_name, l);
    }
    if (error)
        names_end(l);
    else
        names_sort(l);
    return error;
}
