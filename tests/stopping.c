/* For LD_PRELOAD: stops the program, as SIGSTOP does, just before one of its calls; whoever waits for that
 * deals with it then, and lets it go on, or not.
 *
 *   STOP_IN=writes      calls that change a file or speak to a server
 *   STOP_IN=copies      calls that hand rows to a PostgreSQL server
 *   STOP_IN=sleeps      calls that let time pass
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

#define STOPS(group, type, name, parameters, arguments)                                                      \
    type name parameters                                                                                     \
    {                                                                                                        \
        static type(*real) parameters;                                                                       \
        count(group);                                                                                        \
        real = real ? real : (type(*) parameters)dlsym(RTLD_NEXT, #name);                                    \
        return real arguments;                                                                               \
    }

STOPS("writes", ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n))
STOPS("writes", ssize_t, pwrite, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at))
STOPS("writes", ssize_t, pwrite64, (int fd, const void *p, size_t n, off64_t at), (fd, p, n, at))
STOPS("writes", int, ftruncate, (int fd, off_t n), (fd, n))
STOPS("writes", int, ftruncate64, (int fd, off64_t n), (fd, n))
STOPS("writes", int, fsync, (int fd), (fd))
STOPS("writes", int, fdatasync, (int fd), (fd))
STOPS("writes", int, unlink, (const char *path), (path))
STOPS("writes", ssize_t, send, (int fd, const void *p, size_t n, int flags), (fd, p, n, flags))
STOPS("copies", int, PQputCopyData, (void *connection, const char *p, int n), (connection, p, n))
STOPS("sleeps", int, nanosleep, (const struct timespec *wanted, struct timespec *left), (wanted, left))
