/* For LD_PRELOAD: makes a call of the program fail, as memory, a file system or a kernel may.
 *
 *   FAULT_CALLS=NAME,…   these calls fail: fsync (of a file), fsync_dir, syncfs (EIO); rename (EIO);
 *                        fstat, lstat (EIO); fstat_inode (gives another inode than there is); pread (EIO);
 *                        write (and pwrite: ENOSPC)
 *   FAULT_AFTER=N        those of reading and writing fail after N that do not
 *   FAULT_PATH=TEXT      only where the path or the file's name holds TEXT
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int listed(const char *name)
{
    const char *list = getenv("FAULT_CALLS");
    size_t n = strlen(name);
    for (const char *p = list; p; p = strchr(p, ',')) {
        p += *p == ',';
        if (strncmp(p, name, n) == 0 && (p[n] == ',' || p[n] == '\0'))
            return 1;
    }
    return 0;
}

static int concerned(const char *path)
{
    const char *text = getenv("FAULT_PATH");
    return !text || strstr(path, text);
}

static int fd_concerned(int fd)
{
    char link[64], path[4096] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    return concerned(path);
}

static int fail_with(int error)
{
    errno = error;
    return -1;
}

int fsync(int fd)
{
    struct stat st;
    int dir = syscall(SYS_newfstatat, fd, "", &st, 0x1000 /* AT_EMPTY_PATH */) == 0 && S_ISDIR(st.st_mode);
    if (listed(dir ? "fsync_dir" : "fsync") && fd_concerned(fd))
        return fail_with(EIO);
    return (int)syscall(SYS_fsync, fd);
}

int syncfs(int fd)
{
    return listed("syncfs") && fd_concerned(fd) ? fail_with(EIO) : (int)syscall(SYS_syncfs, fd);
}

int fstat(int fd, struct stat *st)
{
    static int (*real)(int, struct stat *);
    real = real ? real : (int (*)(int, struct stat *))dlsym(RTLD_NEXT, "fstat");
    if (listed("fstat") && fd_concerned(fd))
        return fail_with(EIO);
    int rc = real(fd, st);
    if (rc == 0 && listed("fstat_inode") && fd_concerned(fd))
        st->st_ino++;
    return rc;
}

int lstat(const char *path, struct stat *st)
{
    static int (*real)(const char *, struct stat *);
    real = real ? real : (int (*)(const char *, struct stat *))dlsym(RTLD_NEXT, "lstat");
    return listed("lstat") && concerned(path) ? fail_with(EIO) : real(path, st);
}

/* What programs built for a glibc before 2.33 call for them. */
int __fxstat(int version, int fd, struct stat *st)
{
    (void)version;
    return fstat(fd, st);
}

int __fxstat64(int version, int fd, struct stat *st)
{
    (void)version;
    return fstat(fd, st);
}

int __lxstat(int version, const char *path, struct stat *st)
{
    (void)version;
    return lstat(path, st);
}

int __lxstat64(int version, const char *path, struct stat *st)
{
    (void)version;
    return lstat(path, st);
}

static int is_full(const char *name, int fd)
{
    static atomic_long calls;
    const char *after = getenv("FAULT_AFTER");
    return listed(name) && fd_concerned(fd) && atomic_fetch_add(&calls, 1) >= (after ? atol(after) : 0);
}

ssize_t write(int fd, const void *data, size_t n)
{
    return is_full("write", fd) ? fail_with(ENOSPC) : (ssize_t)syscall(SYS_write, fd, data, n);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
    return is_full("write", fd) ? fail_with(ENOSPC) : (ssize_t)syscall(SYS_pwrite64, fd, data, n, at);
}

ssize_t pread(int fd, void *data, size_t n, off_t at)
{
    return is_full("pread", fd) ? fail_with(EIO) : (ssize_t)syscall(SYS_pread64, fd, data, n, at);
}

/* glibc's own syscall(2), which no other call of the programs needs but renameat2. */
long syscall(long number, ...)
{
    static long (*real)(long, ...);
    va_list ap;
    long a[6];
    va_start(ap, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(ap, long);
    va_end(ap);
    real = real ? real : (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    if (number == SYS_renameat2 && listed("rename"))
        return fail_with(EIO);
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
