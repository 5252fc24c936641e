/* Preloaded into a program, fails one of its calls that look at a file or directory of a tree: open, stat,
 * getdents64, pread, readlink.
 *
 *   FAIL_TREE    the tree's absolute path, without links
 *   FAIL_CALL    number of the call that fails, from 1; 0: none
 *   FAIL_WITH    the errno value
 *   FAIL_AGAIN   once: only that call; path: every later call for the same path, too; all: every later call
 *   FAIL_LOG     a file that gets the path of each call (FAIL_CALL 0) or of those that failed
 *   FAIL_NO_TYPE when set, directories are listed without the entries' types, as some file systems do */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *setting(const char *name)
{
    const char *value = getenv(name);

    return value ? value : "";
}

/* By system calls alone: the C library's functions are those that are replaced here. */
static void log_path(const char *path)
{
    char line[4200];
    int n = snprintf(line, sizeof line, "%s\n", path),
        fd = (int)syscall(SYS_openat, AT_FDCWD, setting("FAIL_LOG"), O_WRONLY | O_CREAT | O_APPEND, 0666);

    if (fd >= 0) {
        syscall(SYS_write, fd, line, n);
        syscall(SYS_close, fd);
    }
}

/* The path of name at a directory; "" or NULL is the descriptor itself. */
static void find_path(int at, const char *name, char path[4096])
{
    char link[64];
    long n = 0;

    path[0] = '\0';
    if (name && name[0] == '/') {
        snprintf(path, 4096, "%s", name);
        return;
    }
    if (at == AT_FDCWD)
        snprintf(link, sizeof link, "/proc/self/cwd");
    else
        snprintf(link, sizeof link, "/proc/self/fd/%d", at);
    n = syscall(SYS_readlinkat, AT_FDCWD, link, path, 2048);
    path[n > 0 ? n : 0] = '\0';
    if (name && *name && strcmp(name, ".") != 0)
        snprintf(path + strlen(path), 2048, "/%s", name);
}

static int fails(int at, const char *name)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static char failed[4096];
    static long n;
    const char *tree = setting("FAIL_TREE"), *again = setting("FAIL_AGAIN");
    long call = atol(setting("FAIL_CALL"));
    char path[4096];
    int fail;

    find_path(at, name, path);
    if (!*tree || strncmp(path, tree, strlen(tree)) != 0 || (path[strlen(tree)] && path[strlen(tree)] != '/'))
        return 0;
    pthread_mutex_lock(&lock);
    n++;
    fail = call && (n == call || (n > call && strcmp(again, "all") == 0) ||
                    (n > call && strcmp(again, "path") == 0 && strcmp(path, failed) == 0));
    if (n == call)
        snprintf(failed, sizeof failed, "%s", path);
    pthread_mutex_unlock(&lock);
    if (fail || call == 0)
        log_path(path);
    if (fail)
        errno = atoi(setting("FAIL_WITH"));
    return fail;
}

#define REAL(result, name, ...) \
    static result (*real)(__VA_ARGS__); \
    if (!real) \
        *(void **)&real = dlsym(RTLD_NEXT, name);

#define OPEN(function) \
    int function(const char *path, int flags, ...) \
    { \
        REAL(int, #function, const char *, int, ...) \
        va_list ap; \
        int mode; \
\
        va_start(ap, flags); \
        mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(ap, int) : 0; \
        va_end(ap); \
        return fails(AT_FDCWD, path) ? -1 : real(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(function) \
    int function(int at, const char *path, int flags, ...) \
    { \
        REAL(int, #function, int, const char *, int, ...) \
        va_list ap; \
        int mode; \
\
        va_start(ap, flags); \
        mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(ap, int) : 0; \
        va_end(ap); \
        return fails(at, path) ? -1 : real(at, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)

#define STAT(function, type) \
    int function(const char *path, struct type *st) \
    { \
        REAL(int, #function, const char *, struct type *) \
        return fails(AT_FDCWD, path) ? -1 : real(path, st); \
    }
STAT(stat, stat)
STAT(lstat, stat)
STAT(stat64, stat64)
STAT(lstat64, stat64)

#define FSTAT(function, type) \
    int function(int fd, struct type *st) \
    { \
        REAL(int, #function, int, struct type *) \
        return fails(fd, NULL) ? -1 : real(fd, st); \
    }
FSTAT(fstat, stat)
FSTAT(fstat64, stat64)

#define FSTATAT(function, type) \
    int function(int at, const char *path, struct type *st, int flags) \
    { \
        REAL(int, #function, int, const char *, struct type *, int) \
        return fails(at, path) ? -1 : real(at, path, st, flags); \
    }
FSTATAT(fstatat, stat)
FSTATAT(fstatat64, stat64)

int faccessat(int at, const char *path, int mode, int flags)
{
    REAL(int, "faccessat", int, const char *, int, int)
    return fails(at, path) ? -1 : real(at, path, mode, flags);
}

ssize_t readlink(const char *path, char *out, size_t len)
{
    REAL(ssize_t, "readlink", const char *, char *, size_t)
    return fails(AT_FDCWD, path) ? -1 : real(path, out, len);
}

ssize_t readlinkat(int at, const char *path, char *out, size_t len)
{
    REAL(ssize_t, "readlinkat", int, const char *, char *, size_t)
    return fails(at, path) ? -1 : real(at, path, out, len);
}

char *realpath(const char *path, char *out)
{
    REAL(char *, "realpath", const char *, char *)
    return fails(AT_FDCWD, path) ? NULL : real(path, out);
}

/* The C library has no function for getdents64 that every release knows, so the program calls it by its number. */
long syscall(long number, ...)
{
    REAL(long, "syscall", long, ...)
    long a[6];
    va_list ap;
    va_start(ap, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(ap, long);
    va_end(ap);
    if (number != SYS_getdents64)
        return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);

    long n = fails((int)a[0], NULL) ? -1 : real(number, a[0], a[1], a[2]);
    if (getenv("FAIL_NO_TYPE"))
        for (long at = 0; at < n;) {
            struct dirent64 *entry = (struct dirent64 *)(void *)((char *)a[1] + at);

            entry->d_type = DT_UNKNOWN;
            at += entry->d_reclen;
        }
    return n;
}

#define PREAD(function, offset) \
    ssize_t function(int fd, void *data, size_t len, offset at) \
    { \
        REAL(ssize_t, #function, int, void *, size_t, offset) \
        return fails(fd, NULL) ? -1 : real(fd, data, len, at); \
    }
PREAD(pread, off_t)
PREAD(pread64, off64_t)
