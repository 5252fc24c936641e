/* Preloaded into a program, sets its clock and looks at what it reads.
 *
 *   LATER      seconds to be added to the time of day
 *   OPEN_LOG   a file that gets the name of each regular file that is opened for reading
 *   STAT_LOG   a file that gets the name of each that is looked at by name
 *   EMPTIES    a file's name: it is emptied just before it is opened, as MLflow does when it writes it again
 *   MOVE_AT    a file's or directory's name: before it is opened for the first time, MOVE_FROM is renamed to MOVE_TO
 *   COARSE     when set, a file's ctime is its mtime, as if its clock had not gone on
 *   STOP_AT    text: the program is killed before the first rename whose new name holds it, or, with
 *              STOP_AFTER set, after it
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void note(const char *setting, const char *name)
{
    const char *log = getenv(setting);
    char line[4200];
    if (!log)
        return;
    int n = snprintf(line, sizeof line, "%s\n", name);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0666);
    syscall(SYS_write, fd, line, n);
    syscall(SYS_close, fd);
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
    int result = (int)syscall(SYS_clock_gettime, clock, t);
    if (clock == CLOCK_REALTIME && getenv("LATER"))
        t->tv_sec += atol(getenv("LATER"));
    return result;
}

int openat(int dir, const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    mode_t mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    const char *empties = getenv("EMPTIES");
    if (empties && strcmp(path, empties) == 0)
        syscall(SYS_close, (int)syscall(SYS_openat, dir, path, O_WRONLY | O_TRUNC, 0));
    const char *move = getenv("MOVE_AT");
    if (move && strcmp(path, move) == 0)
        syscall(SYS_renameat, AT_FDCWD, getenv("MOVE_FROM"), AT_FDCWD, getenv("MOVE_TO"));
    int fd = (int)syscall(SYS_openat, dir, path, flags, mode);
    struct stat st;
    if (fd >= 0 && !(flags & O_DIRECTORY) && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        note("OPEN_LOG", path);
    return fd;
}

int fstatat(int dir, const char *path, struct stat *st, int flags)
{
    if (*path)
        note("STAT_LOG", path);
    int result = (int)syscall(SYS_newfstatat, dir, path, st, flags);
    if (result == 0 && getenv("COARSE"))
        st->st_ctim = st->st_mtim;
    return result;
}

/* What programs built for a glibc before 2.33 call for it. */
int __fxstatat(int version, int dir, const char *path, struct stat *st, int flags)
{
    (void)version;
    return fstatat(dir, path, st, flags);
}

static void stop(const char *name, const char *when)
{
    const char *at = getenv("STOP_AT");
    if (at && strstr(name, at) && (getenv("STOP_AFTER") != NULL) == (strcmp(when, "after") == 0))
        kill(getpid(), SIGKILL);
}

int rename(const char *from, const char *to)
{
    stop(to, "before");
    int result = (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
    stop(to, "after");
    return result;
}
