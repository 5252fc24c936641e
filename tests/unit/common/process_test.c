/* Programs that are started, and streams that are kept aside. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/file.h"
#include "common/process.h"
#include "common/spool.h"
#include "tests/unit/tap.h"

static void test_find(void)
{
    struct err e = {0};
    char *sh = process_find("process_test", "sh", &e);
    ok(sh && access(sh, X_OK) == 0, "a program is found on PATH");
    char *again = process_find(sh, "sh", &e);
    is_str(again, sh, "and in the directory of the path by which this one was called");
    ok(!process_find("process_test", "no-such-program", &e) && strlen(e.what) > 0, "else that is an error");
    free(again);
    free(sh);
}

static void test_also(void)
{
    static const char *const names[] = {"sh", "also", NULL};
    char *next_to = process_find("process_test", "sh", NULL);
    process_is_also(names, false);
    char *found = process_find(next_to, "sh", NULL), *own = process_find("process_test", "also", NULL);
    is_str(found, next_to, "a program next to this one wins over what this one also is");
    is_str(own, "also", "which comes next");
    free(own);
    own = process_find("process_test", "sh", NULL);
    is_str(own, "sh", "and before PATH");
    process_is_also(names, true);
    free(found);
    found = process_find(next_to, "sh", NULL);
    is_str(found, "sh", "alone, it comes first");
    process_is_also(NULL, false);
    free(own);
    free(found);
    free(next_to);
}

static int run(const char *script, int in, int out)
{
    struct process p;
    struct err e;
    char *argv[] = {"/bin/sh", "-c", (char *)(uintptr_t)script, NULL};
    return process_start(&p, argv, in, out, &e) ? process_wait(&p) : -1;
}

static void test_start(void)
{
    struct process p;
    struct err e = {0};
    char *nothing[] = {"/no/such/program", NULL}, text[8] = "";
    int fds[2];
    is_int(run("exit 3", -1, -1), 3, "the status of a program");
    is_int(run("kill -TERM $$", -1, -1), 128 + SIGTERM, "128 + the signal that ended it");
    signal(SIGPIPE, SIG_IGN);
    is_int(run("kill -PIPE $$", -1, -1), 128 + SIGPIPE, "SIGPIPE is as usual in it, ignored here or not");
    ok(!process_start(&p, nothing, -1, -1, &e) && strstr(e.where, "/no/such/program"), "no such program");
    ok(process_pipe(fds, &e), "a pipe");
    is_int(run("echo hello", -1, fds[1]), 0, "its output goes where it should");
    close(fds[1]);
    is_int(read(fds[0], text, sizeof text), 6, "and nothing else keeps the pipe open");
    ok(read(fds[0], text + 6, 1) == 0 && memcmp(text, "hello\n", 6) == 0, "to the byte");
    close(fds[0]);
    p = (struct process){0};
    is_int(process_wait(&p), 0, "what was never started has not failed");
    char *argv[] = {"/bin/sh", "-c", "sleep 60", NULL};
    ok(process_start(&p, argv, -1, -1, &e), "one that goes on");
    process_end_quietly(&p);
    is_int(p.status, 128 + SIGUSR1, "is ended");
}

/* Bytes that do not compress well, the same for each seed. */
static void fill(char *data, size_t len, uint32_t seed)
{
    for (size_t i = 0; i < len; i++)
        data[i] = (char)((seed = seed * 1664525 + 1013904223) >> 24);
}

static void test_spool(void)
{
    enum { CHUNK = 300007, CHUNKS = 20 };
    struct err e = {0};
    struct spool *s = spool_new(".", &e);
    char *data = xmalloc(CHUNK), *back = xmalloc(CHUNK);
    bool good = s != NULL;
    for (uint32_t i = 0; good && i < CHUNKS; i++) {
        fill(data, CHUNK, i);
        good = spool_write(s, data, CHUNK, &e);
    }
    ok(good, "a spool takes 6 MB: %s", e.what);
    for (int round = 0; round < 2; round++) {
        int fd = file_nameless(".", &e);
        good = spool_copy(s, fd, &e);
        for (uint32_t i = 0; good && i < CHUNKS; i++) {
            fill(data, CHUNK, i);
            good = pread(fd, back, CHUNK, (off_t)i * CHUNK) == CHUNK && memcmp(data, back, CHUNK) == 0;
        }
        ok(good && pread(fd, back, 1, (off_t)CHUNK * CHUNKS) == 0, "reading %d gives it back", round + 1);
        close(fd);
    }
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    e = (struct err){0};
    ok(!spool_copy(s, full, &e) && e.class == ERR_OTHER, "a reader that cannot be written to is an error");
    close(full);
    int fds[2];
    ok(process_pipe(fds, &e), "a pipe");
    close(fds[0]);
    ok(!spool_copy(s, fds[1], &e) && e.class == ERR_READER_GONE, "one that has gone is distinguished");
    close(fds[1]);
    spool_free(s);
    s = spool_new(".", &e);
    int empty = file_nameless(".", &e);
    ok(spool_copy(s, empty, &e) && lseek(empty, 0, SEEK_END) == 0, "an empty spool");
    close(empty);
    spool_free(s);
    ok(!spool_new("/no/such/folder", &e) && strstr(e.where, "/no/such"), "no directory for it");
    free(data);
    free(back);
}

int main(void)
{
    test_find();
    test_also();
    test_start();
    test_spool();
    return done_testing();
}
