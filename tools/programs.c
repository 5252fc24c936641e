/* Runs programs of the suite joined by pipes. */
#include "tools/programs.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/array.h"
#include "common/buf.h"
#include "common/io.h"
#include "common/process.h"
#include "common/progress.h"

/* -- command lines */

void command_word(struct command *c, const char *word)
{
    if (c->n == ARRAY_LENGTH(c->words) - 1)
        die(NULL, "too many arguments for %s", c->words[0]);
    c->words[c->n++] = xstrdup(word);
    c->words[c->n] = NULL;
}

void command_free(struct command *c)
{
    while (c->n)
        free(c->words[--c->n]);
}

void command_flag(struct command *c, bool wanted, const char *option)
{
    if (wanted)
        command_word(c, option);
}

void command_value(struct command *c, const char *option, const char *value)
{
    if (!value)
        return;
    char *word = *value ? xasprintf("%s=%s", option, value) : xstrdup(option);
    command_word(c, word);
    free(word);
}

void command_list(struct command *c, const char *option, const char *const *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        command_value(c, option, values[i]);
}

struct command command_new(const char *argv0, const char *program)
{
    struct command c = {0};
    struct err e;
    char *path = process_find(argv0, program, &e);
    if (!path)
        err_die(&e);
    command_word(&c, path);
    free(path);
    command_flag(&c, err_level() < 0, "--quiet");
    command_flag(&c, err_level() > 0, "--verbose");
    command_flag(&c, progress_mode() == PROGRESS_ALWAYS, "--progress=always");
    command_flag(&c, progress_mode() == PROGRESS_NEVER, "--progress=never");
    return c;
}

/* -- the copy */

struct tee {
    pthread_t thread;
    bool running;
    int in, out; /* the thread closes in */
    struct spool *spool;
    bool failed; /* to be read after the join */
    struct err error;
};

static bool tee_write(struct tee *t, const char *data, size_t len)
{
    if (!io_write_all(t->out, data, len))
        return io_write_failed(&t->error, NULL, "cannot write to a pipe");
    return spool_write(t->spool, data, len, &t->error);
}

static void *tee_run(void *arg)
{
    enum { CHUNK = 256 << 10 };
    struct tee *t = arg;
    char *data = xmalloc(CHUNK);
    for (;;) {
        ssize_t n = read(t->in, data, CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            err_set(&t->error, NULL, "cannot read from a pipe: %s", strerror(errno));
        t->failed = n < 0 || (n > 0 && !tee_write(t, data, (size_t)n));
        if (n <= 0 || t->failed)
            break;
    }
    free(data);
    close(t->in); /* whoever writes to it gets SIGPIPE */
    return NULL;
}

/* -- joined */

/* One run: the programs, and the write end of each pipe; -1: none, or closed. */
struct joined {
    struct process dump, transform, reader;
    struct tee tee;
    int to_reader, to_tee, to_transform;
    int head; /* the one that the dumps write to; a copy, never closed */
};

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Starts a program that reads from a new pipe, whose write end is stored in *to. */
static bool start_reading(struct process *p, const struct command *c, int output, int *to, struct err *e)
{
    int fds[2];
    if (!process_pipe(fds, e))
        return false;
    *to = fds[1];
    bool good = process_start(p, c->words, fds[0], output, e);
    close(fds[0]);
    return good;
}

static bool start_tee(struct joined *j, struct spool *spool, struct err *e)
{
    int fds[2], error;
    if (!process_pipe(fds, e))
        return false;
    j->to_tee = fds[1];
    j->tee = (struct tee){.in = fds[0], .out = j->to_reader, .spool = spool};
    error = pthread_create(&j->tee.thread, NULL, tee_run, &j->tee);
    j->tee.running = error == 0;
    if (error) {
        close(fds[0]);
        return err_set(e, NULL, "cannot start a thread: %s", strerror(error));
    }
    return true;
}

static bool start(const struct programs *p, struct joined *j, struct err *e)
{
    if (!start_reading(&j->reader, p->reader, p->reader_output, &j->to_reader, e))
        return false;
    if (p->spool && !start_tee(j, p->spool, e))
        return false;
    j->head = p->spool ? j->to_tee : j->to_reader;
    if (p->transform && !start_reading(&j->transform, p->transform, j->head, &j->to_transform, e))
        return false;
    if (p->transform)
        j->head = j->to_transform;
    return true;
}

static bool is_good(int status)
{
    return status == EXIT_DONE || status == EXIT_ANSWER_NO;
}

/* The worse of two results. */
static int worse(int result, int status)
{
    if (result == EXIT_INTERRUPTED || status == EXIT_INTERRUPTED)
        return EXIT_INTERRUPTED;
    if (!is_good(status))
        return EXIT_TROUBLE;
    return result > status ? result : status;
}

/* Of a failed copy: it is not the consequence of what reads it having ended, or of a signal. */
static bool is_cause(const struct err *e)
{
    return e->class != ERR_READER_GONE && e->class != ERR_INTERRUPTED;
}

static bool tee_has_reason(const struct joined *j)
{
    return j->tee.failed && is_cause(&j->tee.error);
}

static bool end_tee(struct joined *j)
{
    close_end(&j->to_tee);
    if (!j->tee.running)
        return true;
    pthread_join(j->tee.thread, NULL);
    j->tee.running = false;
    if (tee_has_reason(j))
        err_report(&j->tee.error);
    return !j->tee.failed;
}

/* Ends all running programs after a failure. A program killed by SIGPIPE is not the cause: its reader is,
 * which has reported why or is about to. */
static int give_up(struct joined *j, int result, int status)
{
    bool explained = status != 128 + SIGPIPE;
    if (explained) {
        result = worse(result, status);
        process_end_quietly(&j->reader);
        process_end_quietly(&j->transform);
    }
    close_end(&j->to_transform);
    status = process_wait(&j->transform);
    if (!explained && !is_good(status) && status != 128 + SIGPIPE) {
        explained = true;
        result = worse(result, status);
        process_end_quietly(&j->reader);
    }
    if (!end_tee(j) && tee_has_reason(j)) {
        explained = true;
        result = worse(result, EXIT_TROUBLE);
        process_end_quietly(&j->reader);
    }
    close_end(&j->to_reader);
    status = process_wait(&j->reader);
    if (explained)
        return result;
    if (is_good(status))
        err_print(NULL, "%s exited before the end of the stream", j->reader.name);
    return worse(result, is_good(status) ? EXIT_TROUBLE : status);
}

/* Waits for each stage in turn; only if it succeeded may the next one see the end of its input. */
static int finish(const struct programs *p, struct joined *j)
{
    int result = EXIT_DONE, status;
    struct err e;
    for (size_t i = 0; i < p->n_dumps; i++) {
        if (!process_start(&j->dump, p->dumps[i].words, -1, j->head, &e)) {
            err_report(&e);
            return give_up(j, EXIT_TROUBLE, EXIT_TROUBLE);
        }
        status = process_wait(&j->dump);
        if (!is_good(status))
            return give_up(j, result, status);
        result = worse(result, status);
    }
    close_end(&j->to_transform);
    status = process_wait(&j->transform);
    if (!is_good(status))
        return give_up(j, result, status);
    result = worse(result, status);
    if (!end_tee(j))
        return give_up(j, result, tee_has_reason(j) ? EXIT_TROUBLE : 128 + SIGPIPE);
    close_end(&j->to_reader);
    return worse(result, process_wait(&j->reader));
}

int programs_run(struct programs *p)
{
    struct joined j = {.to_reader = -1, .to_tee = -1, .to_transform = -1};
    struct err e;
    int result;
    if (start(p, &j, &e)) {
        result = finish(p, &j);
    } else {
        err_report(&e);
        result = give_up(&j, EXIT_TROUBLE, EXIT_TROUBLE);
    }
    p->reader_status = j.reader.status;
    return err_interrupted() ? EXIT_INTERRUPTED : result;
}

int programs_replay(struct spool *spool, const struct command *reader, int output)
{
    struct process p;
    struct err e;
    int to = -1;
    if (!start_reading(&p, reader, output, &to, &e)) {
        err_report(&e);
        close_end(&to);
        return EXIT_TROUBLE;
    }
    if (!spool_copy(spool, to, &e) && is_cause(&e)) {
        err_report(&e);
        process_end_quietly(&p);
    }
    close_end(&to);
    int status = process_wait(&p);
    return err_interrupted() ? EXIT_INTERRUPTED : worse(EXIT_DONE, status);
}
