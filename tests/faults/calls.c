/* For LD_PRELOAD: one call of the C library fails, as a kernel, a disk or a network may make it fail.
 *
 *   FAULT_PROGRAM=NAME   only in the program of this name
 *   FAULT_CALL=GROUP:N   the Nth call of this group since the program began; N+: and every later one
 *   FAULT_WITH=WHAT      an errno value, or "short": it reads, writes, receives or sends one byte
 *   FAULT_REPORT=FILE    a file of REPORT_SIZE bytes: how often each group was called, and what has failed (struct report)
 *
 * The groups are those of GROUPS; "own" are the allocations that the program itself makes, not a library. What the C library calls within itself is not seen; the programs read and write
 * without stdio but for what they say. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define GROUPS(X) \
    X(open) X(close) X(read) X(write) X(sync) X(rename) X(link) X(unlink) X(stat) X(dir) X(path) X(mmap) X(lock) X(fcntl) \
    X(truncate) X(chmod) X(pipe) X(spawn) X(wait) X(thread) X(malloc) X(own) X(socket) X(send) X(recv) X(poll)

enum group {
#define X(name) G_##name,
    GROUPS(X)
#undef X
        N_GROUPS
};

static const char *const NAMES[] = {
#define X(name) #name,
    GROUPS(X)
#undef X
};

struct report {
    atomic_ulong calls[N_GROUPS];
    atomic_ulong failed;
    char what[1024]; /* the first function that failed, and the file it was called for */
};
#define REPORT_SIZE 4096
_Static_assert(sizeof(struct report) <= REPORT_SIZE, "");

static struct report nowhere, *report = &nowhere;
static atomic_ulong calls[N_GROUPS]; /* of this process */
static enum group failing = N_GROUPS;
static unsigned long failing_at;
static bool failing_on, failing_short, active;
static int failing_with;

static struct {
    uintptr_t begin, end;
} code; /* the program's own */

/* The first of the objects is the program. */
static int note_program(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type == PT_LOAD && part->p_flags & PF_X) {
            code.begin = info->dlpi_addr + part->p_vaddr;
            code.end = code.begin + part->p_memsz;
        }
    }
    return 1;
}

__attribute__((constructor)) static void begin(void)
{
    const char *program = getenv("FAULT_PROGRAM"), *call = getenv("FAULT_CALL"), *with = getenv("FAULT_WITH"),
               *path = getenv("FAULT_REPORT"), *colon = call ? strchr(call, ':') : NULL;

    if (program && strcmp(program, program_invocation_short_name) != 0)
        return;
    if (path) {
        long fd = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
        long at = fd < 0 ? -1 : syscall(SYS_mmap, NULL, REPORT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        if (at != -1)
            report = (struct report *)at;
        if (fd >= 0)
            syscall(SYS_close, fd);
    }
    for (int g = 0; colon && g < N_GROUPS; g++)
        if (strlen(NAMES[g]) == (size_t)(colon - call) && strncmp(NAMES[g], call, colon - call) == 0)
            failing = g;
    failing_at = colon ? strtoul(colon + 1, NULL, 10) : 0;
    failing_on = colon && strchr(colon, '+');
    failing_short = with && strcmp(with, "short") == 0;
    failing_with = with && !failing_short ? atoi(with) : EIO;
    dl_iterate_phdr(note_program, NULL);
    active = true;
}

static void note(const char *function, int fd, const char *path)
{
    char link[64], target[512] = "";

    if (atomic_fetch_add(&report->failed, 1) > 0)
        return;
    if (!path && fd >= 0) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        syscall(SYS_readlinkat, AT_FDCWD, link, target, sizeof target - 1);
    }
    snprintf(report->what, sizeof report->what, "%s %s", function, path ? path : target);
}

/* Counts a call; whether it is one that fails. */
static bool counts(enum group group, const char *function, int fd, const char *path)
{
    unsigned long n;

    if (!active)
        return false;
    atomic_fetch_add(&report->calls[group], 1);
    n = atomic_fetch_add(&calls[group], 1) + 1;
    if (group != failing || n < failing_at || (n > failing_at && !failing_on))
        return false;
    note(function, fd, path);
    return true;
}

/* The same for calls that do all or nothing: errno is set. */
static bool fails(enum group group, const char *function, int fd, const char *path)
{
    if (!counts(group, function, fd, path) || failing_short)
        return false;
    errno = failing_with;
    return true;
}

/* For calls that may do less than they were asked: true with errno set, or *n becomes 1. */
static bool fails_or_short(enum group group, const char *function, int fd, size_t *n)
{
    /* What the program says is to be heard. */
    if ((fd == STDERR_FILENO && group == G_write) || !counts(group, function, fd, NULL))
        return false;
    if (failing_short) {
        *n = *n > 1 ? 1 : *n;
        return false;
    }
    if (failing_with == ECONNRESET)
        shutdown(fd, SHUT_RDWR);
    errno = failing_with;
    return true;
}

#define REAL(result, name, ...) \
    static result (*real)(__VA_ARGS__); \
    if (!real) \
        *(void **)&real = dlsym(RTLD_NEXT, name);

/* A function that fails with -1; fd and path say what it is called for. */
#define FAULTY(group, function, fd, path, parameters, types, arguments) \
    int function parameters \
    { \
        REAL(int, #function, types) \
        return fails(G_##group, #function, fd, path) ? -1 : real arguments; \
    }
#define LIST(...) __VA_ARGS__

/* -- files */

#define OPEN(function, at, parameters, types, arguments) \
    int function(parameters, int flags, ...) \
    { \
        REAL(int, #function, types, int, ...) \
        va_list ap; \
        int mode; \
\
        va_start(ap, flags); \
        mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(ap, int) : 0; \
        va_end(ap); \
        return fails(G_open, #function, -1, path) ? -1 : real(arguments, flags, mode); \
    }
OPEN(open, AT_FDCWD, const char *path, const char *, path)
OPEN(open64, AT_FDCWD, const char *path, const char *, path)
OPEN(openat, at, LIST(int at, const char *path), LIST(int, const char *), LIST(at, path))
OPEN(openat64, at, LIST(int at, const char *path), LIST(int, const char *), LIST(at, path))
FAULTY(open, mkostemp, -1, path, (char *path, int flags), LIST(char *, int), (path, flags))

FILE *fopen(const char *path, const char *mode)
{
    REAL(FILE *, "fopen", const char *, const char *)
    return fails(G_open, "fopen", -1, path) ? NULL : real(path, mode);
}

FILE *fdopen(int fd, const char *mode)
{
    REAL(FILE *, "fdopen", int, const char *)
    return fails(G_open, "fdopen", fd, NULL) ? NULL : real(fd, mode);
}

/* The descriptor is closed whatever close() returns. */
int close(int fd)
{
    bool fail = fails(G_close, "close", fd, NULL);
    int error = errno, rc = (int)syscall(SYS_close, fd);

    errno = fail ? error : errno;
    return fail ? -1 : rc;
}

#define TRANSFER(group, function, parameters, types, arguments) \
    ssize_t function parameters \
    { \
        REAL(ssize_t, #function, types) \
        return fails_or_short(G_##group, #function, fd, &n) ? -1 : real arguments; \
    }
TRANSFER(read, read, (int fd, void *data, size_t n), LIST(int, void *, size_t), (fd, data, n))
TRANSFER(read, pread, (int fd, void *data, size_t n, off_t at), LIST(int, void *, size_t, off_t), (fd, data, n, at))
TRANSFER(read, pread64, (int fd, void *data, size_t n, off64_t at), LIST(int, void *, size_t, off64_t), (fd, data, n, at))
TRANSFER(write, write, (int fd, const void *data, size_t n), LIST(int, const void *, size_t), (fd, data, n))
TRANSFER(write, pwrite, (int fd, const void *data, size_t n, off_t at), LIST(int, const void *, size_t, off_t), (fd, data, n, at))
TRANSFER(write, pwrite64, (int fd, const void *data, size_t n, off64_t at), LIST(int, const void *, size_t, off64_t),
         (fd, data, n, at))
TRANSFER(recv, recv, (int fd, void *data, size_t n, int flags), LIST(int, void *, size_t, int), (fd, data, n, flags))
TRANSFER(send, send, (int fd, const void *data, size_t n, int flags), LIST(int, const void *, size_t, int), (fd, data, n, flags))

ssize_t writev(int fd, const struct iovec *parts, int n_parts)
{
    REAL(ssize_t, "writev", int, const struct iovec *, int)
    struct iovec first = n_parts > 0 ? parts[0] : (struct iovec){0};
    size_t n = 2;

    if (fails_or_short(G_write, "writev", fd, &n))
        return -1;
    first.iov_len = first.iov_len > 1 ? 1 : first.iov_len;
    return n == 1 ? real(fd, &first, 1) : real(fd, parts, n_parts);
}

FAULTY(sync, fsync, fd, NULL, (int fd), int, (fd))
FAULTY(sync, fdatasync, fd, NULL, (int fd), int, (fd))
FAULTY(sync, syncfs, fd, NULL, (int fd), int, (fd))
FAULTY(rename, rename, -1, from, (const char *from, const char *to), LIST(const char *, const char *), (from, to))
FAULTY(rename, renameat, -1, from, (int a, const char *from, int b, const char *to), LIST(int, const char *, int, const char *),
       (a, from, b, to))
FAULTY(link, link, -1, from, (const char *from, const char *to), LIST(const char *, const char *), (from, to))
FAULTY(link, linkat, -1, to, (int a, const char *from, int b, const char *to, int flags),
       LIST(int, const char *, int, const char *, int), (a, from, b, to, flags))
FAULTY(link, mkdir, -1, path, (const char *path, mode_t mode), LIST(const char *, mode_t), (path, mode))
FAULTY(unlink, unlink, -1, path, (const char *path), const char *, (path))
FAULTY(unlink, unlinkat, -1, path, (int at, const char *path, int flags), LIST(int, const char *, int), (at, path, flags))
FAULTY(unlink, rmdir, -1, path, (const char *path), const char *, (path))
FAULTY(truncate, ftruncate, fd, NULL, (int fd, off_t n), LIST(int, off_t), (fd, n))
FAULTY(truncate, ftruncate64, fd, NULL, (int fd, off64_t n), LIST(int, off64_t), (fd, n))
FAULTY(truncate, fallocate, fd, NULL, (int fd, int mode, off_t at, off_t n), LIST(int, int, off_t, off_t), (fd, mode, at, n))
FAULTY(truncate, fallocate64, fd, NULL, (int fd, int mode, off64_t at, off64_t n), LIST(int, int, off64_t, off64_t),
       (fd, mode, at, n))
FAULTY(chmod, fchmod, fd, NULL, (int fd, mode_t mode), LIST(int, mode_t), (fd, mode))
FAULTY(chmod, fchown, fd, NULL, (int fd, uid_t user, gid_t group), LIST(int, uid_t, gid_t), (fd, user, group))

#define STAT(function, type) \
    FAULTY(stat, function, -1, path, (const char *path, struct type *st), LIST(const char *, struct type *), (path, st))
STAT(stat, stat)
STAT(lstat, stat)
STAT(stat64, stat64)
STAT(lstat64, stat64)
FAULTY(stat, fstat, fd, NULL, (int fd, struct stat *st), LIST(int, struct stat *), (fd, st))
FAULTY(stat, fstat64, fd, NULL, (int fd, struct stat64 *st), LIST(int, struct stat64 *), (fd, st))
FAULTY(stat, fstatat, at, path, (int at, const char *path, struct stat *st, int flags),
       LIST(int, const char *, struct stat *, int), (at, path, st, flags))
FAULTY(stat, fstatat64, at, path, (int at, const char *path, struct stat64 *st, int flags),
       LIST(int, const char *, struct stat64 *, int), (at, path, st, flags))
FAULTY(stat, access, -1, path, (const char *path, int mode), LIST(const char *, int), (path, mode))
FAULTY(stat, faccessat, at, path, (int at, const char *path, int mode, int flags), LIST(int, const char *, int, int),
       (at, path, mode, flags))

DIR *opendir(const char *path)
{
    REAL(DIR *, "opendir", const char *)
    return fails(G_dir, "opendir", -1, path) ? NULL : real(path);
}

struct dirent *readdir(DIR *dir)
{
    REAL(struct dirent *, "readdir", DIR *)
    return fails(G_dir, "readdir", dirfd(dir), NULL) ? NULL : real(dir);
}

ssize_t readlink(const char *path, char *out, size_t n)
{
    REAL(ssize_t, "readlink", const char *, char *, size_t)
    return fails(G_path, "readlink", -1, path) ? -1 : real(path, out, n);
}

ssize_t readlinkat(int at, const char *path, char *out, size_t n)
{
    REAL(ssize_t, "readlinkat", int, const char *, char *, size_t)
    return fails(G_path, "readlinkat", at, path) ? -1 : real(at, path, out, n);
}

char *realpath(const char *path, char *out)
{
    REAL(char *, "realpath", const char *, char *)
    return fails(G_path, "realpath", -1, path) ? NULL : real(path, out);
}

char *getcwd(char *out, size_t n)
{
    REAL(char *, "getcwd", char *, size_t)
    return fails(G_path, "getcwd", -1, ".") ? NULL : real(out, n);
}

FAULTY(lock, flock, fd, NULL, (int fd, int how), LIST(int, int), (fd, how))

static bool is_lock(int command)
{
    return command == F_SETLK || command == F_SETLKW || command == F_GETLK || command == F_OFD_SETLK || command == F_OFD_SETLKW;
}

#define FCNTL(function) \
    int function(int fd, int command, ...) \
    { \
        REAL(int, #function, int, int, ...) \
        va_list ap; \
        void *argument; \
\
        va_start(ap, command); \
        argument = va_arg(ap, void *); \
        va_end(ap); \
        return fails(is_lock(command) ? G_lock : G_fcntl, #function, fd, NULL) ? -1 : real(fd, command, argument); \
    }
FCNTL(fcntl)
FCNTL(fcntl64)

/* getdents64 and renameat2 are called by their numbers. */
long syscall(long number, ...)
{
    REAL(long, "syscall", long, ...)
    long a[6];
    va_list ap;

    va_start(ap, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(ap, long);
    va_end(ap);
    if ((number == SYS_getdents64 && fails(G_dir, "getdents64", (int)a[0], NULL)) ||
        (number == SYS_renameat2 && fails(G_rename, "renameat2", -1, (const char *)a[1])))
        return -1;
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* -- memory */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);

static bool lacks_memory(const char *function, const void *caller)
{
    uintptr_t at = (uintptr_t)caller;
    bool own = at >= code.begin && at < code.end && fails(G_own, function, -1, "");

    return fails(G_malloc, function, -1, "") || own;
}

void *malloc(size_t size)
{
    return lacks_memory("malloc", __builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    return lacks_memory("calloc", __builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
    return size > 0 && lacks_memory("realloc", __builtin_return_address(0)) ? NULL : __libc_realloc(p, size);
}

#define MMAP(function, offset) \
    void *function(void *at, size_t n, int protection, int flags, int fd, offset where) \
    { \
        REAL(void *, #function, void *, size_t, int, int, int, offset) \
        return fails(G_mmap, #function, fd, NULL) ? MAP_FAILED : real(at, n, protection, flags, fd, where); \
    }
MMAP(mmap, off_t)
MMAP(mmap64, off64_t)

/* -- processes and threads, whose functions return the error */

int pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*begins)(void *), void *arg)
{
    REAL(int, "pthread_create", pthread_t *, const pthread_attr_t *, void *(*)(void *), void *)
    return fails(G_thread, "pthread_create", -1, "") ? failing_with : real(thread, how, begins, arg);
}

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *files, const posix_spawnattr_t *how,
                char *const argv[], char *const env[])
{
    REAL(int, "posix_spawn", pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,
         char *const *, char *const *)
    return fails(G_spawn, "posix_spawn", -1, path) ? failing_with : real(pid, path, files, how, argv, env);
}

FAULTY(pipe, pipe2, -1, "", (int fds[2], int flags), LIST(int *, int), (fds, flags))

pid_t waitpid(pid_t pid, int *status, int options)
{
    REAL(pid_t, "waitpid", pid_t, int *, int)
    return fails(G_wait, "waitpid", -1, "") ? -1 : real(pid, status, options);
}

/* -- sockets */

FAULTY(socket, socket, -1, "", (int domain, int type, int protocol), LIST(int, int, int), (domain, type, protocol))
FAULTY(socket, connect, fd, NULL, (int fd, const struct sockaddr *to, socklen_t n), LIST(int, const struct sockaddr *, socklen_t),
       (fd, to, n))
FAULTY(poll, poll, -1, "", (struct pollfd * fds, nfds_t n, int timeout), LIST(struct pollfd *, nfds_t, int), (fds, n, timeout))
