/* For LD_PRELOAD: stops the program, as SIGSTOP does, just before one of its calls; whoever waits for that
 * deals with it then, and lets it go on, or not.
 *
 *   STOP_IN=writes      calls that change a file or speak to a server
 *   STOP_IN=copies      calls that hand rows to a PostgreSQL server
 *   STOP_IN=sleeps      calls that let time pass
 *   STOP_IN=clocks      calls that ask for the time that has passed
 *   STOP_IN=commits     calls that end a transaction of a SQLite database: before its journal is removed
 *   STOP_TEXT=TEXT      of the writes only those of bytes that hold this text
 *   STOP_AT=N           the Nth of those calls, from 1; 0: none
 *   STOP_COUNT=FILE     writes the number of those calls to FILE when the program ends
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static atomic_long calls;

/* Whether what is written is what is waited for. */
static int is_wanted(const void *p, size_t n)
{
    const char *text = getenv("STOP_TEXT");
    return !text || memmem(p, n, text, strlen(text));
}

static void count(const char *group)
{
    const char *in = getenv("STOP_IN"), *at = getenv("STOP_AT");
    if (in && strcmp(in, group) == 0 && ++calls == (at ? atol(at) : 0))
        kill(getpid(), SIGSTOP);
}

/* What is stopped does not outlive the test. */
__attribute__((constructor)) static void begin(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

__attribute__((destructor)) static void end(void)
{
    const char *path = getenv("STOP_COUNT");
    FILE *f = path ? fopen(path, "w") : NULL;
    if (f) {
        fprintf(f, "%ld\n", (long)calls);
        fclose(f);
    }
}

static int is_journal(const char *path)
{
    size_t n = strlen(path), end = strlen("-journal");
    return n > end && strcmp(path + n - end, "-journal") == 0;
}

#define STOPS_IF(condition, group, type, name, parameters, arguments)                                        \
    type name parameters                                                                                     \
    {                                                                                                        \
        static type(*real) parameters;                                                                       \
        if (condition)                                                                                       \
            count(group);                                                                                    \
        real = real ? real : (type(*) parameters)dlsym(RTLD_NEXT, #name);                                    \
        return real arguments;                                                                               \
    }

#define STOPS(group, type, name, parameters, arguments) STOPS_IF(1, group, type, name, parameters, arguments)
#define STOPS_OF(type, name, parameters, arguments)                                                          \
    STOPS_IF(is_wanted(p, n), "writes", type, name, parameters, arguments)

STOPS_OF(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n))
STOPS_OF(ssize_t, pwrite, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at))
STOPS_OF(ssize_t, pwrite64, (int fd, const void *p, size_t n, off64_t at), (fd, p, n, at))
STOPS("writes", int, ftruncate, (int fd, off_t n), (fd, n))
STOPS("writes", int, ftruncate64, (int fd, off64_t n), (fd, n))
STOPS("writes", int, fsync, (int fd), (fd))
STOPS("writes", int, fdatasync, (int fd), (fd))
STOPS_OF(ssize_t, send, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags))
STOPS("copies", int, PQputCopyData, (void *connection, const char *p, int n), (connection, p, n))
int unlink(const char *path)
{
    static int (*real)(const char *path);
    if (is_journal(path))
        count("commits");
    if (!getenv("STOP_TEXT"))
        count("writes");
    real = real ? real : (int (*)(const char *path))dlsym(RTLD_NEXT, "unlink");
    return real(path);
}

STOPS_IF(clock == CLOCK_MONOTONIC, "clocks", int, clock_gettime, (clockid_t clock, struct timespec *now),
         (clock, now))
STOPS("sleeps", int, nanosleep, (const struct timespec *wanted, struct timespec *left), (wanted, left))
