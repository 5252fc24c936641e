/* Prints messages, runs clean-up functions and ends the program. */
#include "common/err.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/array.h"
#include "common/journal.h"
#include "common/printable.h"
#include "common/progress.h"
#include "common/secret.h"

enum { MAX_CLEANUPS = 16, MAX_TEXT = 8192, MAX_MESSAGE = 2 * MAX_TEXT };

static char program[64] = "mlruns-tools";
static int level;
static bool no_warnings;
static _Thread_local enum err_topic topic;

static struct {
    void (*fn)(void *);
    void *arg;
} cleanups[MAX_CLEANUPS];
static int n_cleanups;

/* Set by err_done(): what was completed, and the exit code. */
static struct {
    const char *what;
    int code;
} done;

static volatile sig_atomic_t caught_signal;
static void (*signal_hook)(void);

void err_topic_set(enum err_topic t)
{
    topic = t;
}

bool err_notes_wanted(void)
{
    return level >= 0 || journal_wanted();
}

enum message_kind { NOTE, WARNING, ERROR, HINT };

/* Adds a message to the journal. */
static void record(enum message_kind kind, const char *where, const char *text)
{
    static const char *const words[] = {
        [NOTE] = "note", [WARNING] = "warning", [ERROR] = "error", [HINT] = "hint"};
    static const char *const topics[] = {"", "left out", "converted", "next", "counts"};
    journal_message(words[kind], topics[topic], program, where, text);
}

bool err_set(struct err *e, const char *where, const char *fmt, ...)
{
    if (e) {
        va_list ap;
        snprintf(e->where, sizeof e->where, "%s", where ? where : "");
        va_start(ap, fmt);
        vsnprintf(e->what, sizeof e->what, fmt, ap);
        va_end(ap);
        e->hint[0] = '\0';
        e->sqlstate[0] = '\0';
        e->class = ERR_OTHER;
    }
    return false;
}

bool err_hint(struct err *e, const char *fmt, ...)
{
    if (e) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(e->hint, sizeof e->hint, fmt, ap);
        va_end(ap);
    }
    return false;
}

bool err_classify(struct err *e, enum err_class class)
{
    if (e)
        e->class = class;
    return false;
}

bool err_caused_by(struct err *e, const struct err *cause)
{
    if (e) {
        memcpy(e->sqlstate, cause->sqlstate, sizeof e->sqlstate);
        e->class = cause->class;
    }
    return false;
}

bool err_copy(struct err *e, const struct err *from)
{
    if (e)
        *e = *from;
    return false;
}

bool err_set_interrupted(struct err *e)
{
    err_set(e, NULL, "interrupted");
    return err_classify(e, ERR_INTERRUPTED);
}

void err_program_set(const char *argv0)
{
    const char *slash = strrchr(argv0, '/');
    snprintf(program, sizeof program, "%s", slash ? slash + 1 : argv0);
    journal_inherit();
}

const char *err_program(void)
{
    return program;
}

void err_level_set(int l)
{
    level = l;
}

int err_level(void)
{
    return level;
}

void err_warnings_set(bool on)
{
    no_warnings = !on;
}

/* Writes to standard error. Failures are ignored: the messages are lost. */
static void put_line(const char *line, size_t len)
{
    progress_clear();
    for (size_t written = 0; written < len;) {
        ssize_t w = write(STDERR_FILENO, line + written, len - written);
        if (w < 0 && errno != EINTR)
            return; /* nowhere to complain */
        written += w > 0 ? (size_t)w : 0;
    }
}

/* A message under construction; cut: it did not fit. */
struct line {
    char text[MAX_MESSAGE];
    size_t len;
    bool cut;
};

static void add_printable(struct line *l, const char *text, size_t len)
{
    if (l->cut)
        return;
    l->cut = printable_into(l->text + l->len, sizeof l->text - l->len, text, len) < len;
    l->len += strlen(l->text + l->len);
}

static void add_without_secrets(struct line *l, const char *text)
{
    size_t from = 0, at, len;
    while (secret_find(text, from, &at, &len)) {
        add_printable(l, text + from, at - from);
        add_printable(l, "***", 3);
        from = at + len;
    }
    add_printable(l, text + from, strlen(text + from));
}

bool err_is_terminal(void)
{
    return isatty(STDERR_FILENO);
}

/* See no-color.org. */
static bool is_coloured(void)
{
    const char *no = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return !(no && *no) && terminal && strcmp(terminal, "dumb") != 0 && err_is_terminal();
}

static void add_raw(struct line *l, const char *text)
{
    size_t len = strlen(text);
    if (l->cut || len >= sizeof l->text - l->len)
        return;
    memcpy(l->text + l->len, text, len + 1);
    l->len += len;
}

static void add_coloured(struct line *l, const char *colour, const char *text)
{
    bool coloured = *colour && *text && is_coloured();
    if (coloured) {
        add_raw(l, "\033[");
        add_raw(l, colour);
        add_raw(l, "m");
    }
    add_without_secrets(l, text);
    if (coloured)
        add_raw(l, "\033[0m");
}

/* One write(2) per message, so that the programs of a pipeline do not mix their lines. Every part may hold
 * untrusted text, so all of it is printed in printable form, without passwords: a message is one line of
 * text. What does not fit is replaced by an ellipsis. Allocates nothing: the message may be "out of
 * memory". */
static void put_message(enum message_kind kind, const char *where, const char *text)
{
    static const char end[] = "...\n";
    static const char *const labels[] = {
        [NOTE] = "", [WARNING] = "warning: ", [ERROR] = "", [HINT] = "hint: "};
    static const char *const colours[] = {[NOTE] = "", [WARNING] = "1;33", [ERROR] = "1;31", [HINT] = "36"};
    struct line l = {.len = 0};
    bool has_where = where && where[0];
    add_coloured(&l, kind == ERROR ? colours[ERROR] : "", program);
    add_without_secrets(&l, ": ");
    add_without_secrets(&l, has_where ? where : "");
    add_without_secrets(&l, has_where ? ": " : "");
    add_coloured(&l, colours[kind], labels[kind]);
    add_without_secrets(&l, text);
    const char *tail = l.cut ? end : end + strlen(end) - 1;
    if (l.cut && l.len > sizeof l.text - sizeof end)
        l.len = sizeof l.text - sizeof end;
    memcpy(l.text + l.len, tail, strlen(tail));
    put_line(l.text, l.len + strlen(tail));
}

static void put_format(enum message_kind kind, const char *where, const char *fmt, va_list ap)
{
    char text[MAX_TEXT];
    vsnprintf(text, sizeof text, fmt, ap);
    record(kind, where, text);
    put_message(kind, where, text);
}

/* The same for what is printed only from a verbosity on. */
static void put_from(int least, enum message_kind kind, const char *fmt, va_list ap)
{
    char text[MAX_TEXT];
    vsnprintf(text, sizeof text, fmt, ap);
    record(kind, NULL, text);
    bool replaced = topic == ERR_COUNTS && level < 1 && progress_is_shared(); /* by the line of a stage */
    if (level >= least && !replaced)
        put_message(kind, NULL, text);
}

void err_report(const struct err *e)
{
    record(ERROR, e->where, e->what);
    put_message(ERROR, e->where, e->what);
    if (e->hint[0]) {
        record(HINT, NULL, e->hint);
        put_message(HINT, NULL, e->hint);
    }
}

void err_print(const char *where, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    put_format(ERROR, where, fmt, ap);
    va_end(ap);
}

void err_print_hint(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    put_format(HINT, NULL, fmt, ap);
    va_end(ap);
}

void err_warn(const char *where, const char *fmt, ...)
{
    if (no_warnings)
        return;
    va_list ap;
    va_start(ap, fmt);
    put_format(WARNING, where, fmt, ap);
    va_end(ap);
}

void err_note(const char *fmt, ...)
{
    if (!err_notes_wanted())
        return;
    va_list ap;
    va_start(ap, fmt);
    put_from(0, NOTE, fmt, ap);
    va_end(ap);
}

void err_note_hint(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    put_from(0, HINT, fmt, ap);
    va_end(ap);
}

void err_block(const char *text)
{
    char out[MAX_TEXT];
    if (level < 0)
        return;
    for (const char *p = text; *p;) {
        size_t len = strcspn(p, "\n");
        printable_into(out, sizeof out - 1, p, len);
        size_t n = strlen(out);
        out[n] = '\n';
        put_line(out, n + 1);
        p += len + (p[len] == '\n');
    }
}

void err_verbose(const char *fmt, ...)
{
    if (level < 1 && !(topic == ERR_LEFT_OUT && journal_wanted()))
        return;
    va_list ap;
    va_start(ap, fmt);
    put_from(1, NOTE, fmt, ap);
    va_end(ap);
}

void err_done(int code, const char *what)
{
    done.code = code;
    done.what = what;
}

/* Exits after a failure that put_fatal has reported. */
static _Noreturn void exit_failed(void)
{
    exit(done.what ? done.code : EXIT_TROUBLE);
}

static void put_fatal(const char *where, const char *text, const char *hint)
{
    record(done.what ? WARNING : ERROR, where, text);
    put_message(done.what ? WARNING : ERROR, where, text);
    if (hint && *hint) {
        record(HINT, NULL, hint);
        put_message(HINT, NULL, hint);
    }
    if (done.what)
        put_message(NOTE, NULL, done.what);
}

static void put_fatal_format(const char *where, const char *hint, const char *fmt, va_list ap)
{
    char text[MAX_TEXT];
    vsnprintf(text, sizeof text, fmt, ap);
    put_fatal(where, text, hint);
}

void err_no_memory(const struct err *e)
{
    put_fatal(e->where, e->what, e->hint);
    exit_failed();
}

void err_die(const struct err *e)
{
    if (e->class == ERR_INTERRUPTED || err_interrupted())
        err_exit_interrupted();
    if (e->class == ERR_READER_GONE)
        err_exit_broken_pipe();
    if (e->class != ERR_REPORTED)
        put_fatal(e->where, e->what, e->hint);
    exit_failed();
}

void die(const char *where, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    put_fatal_format(where, NULL, fmt, ap);
    va_end(ap);
    exit_failed();
}

void die_hint(const char *hint, const char *where, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    put_fatal_format(where, hint, fmt, ap);
    va_end(ap);
    exit_failed();
}

static void run_cleanups(void)
{
    while (n_cleanups > 0) {
        n_cleanups--;
        cleanups[n_cleanups].fn(cleanups[n_cleanups].arg);
    }
}

void err_cleanup_push(void (*fn)(void *), void *arg)
{
    static bool registered;
    if (!registered) {
        registered = true;
        atexit(run_cleanups);
    }
    if (n_cleanups == MAX_CLEANUPS)
        die(NULL, "too many clean-up functions");
    cleanups[n_cleanups].fn = fn;
    cleanups[n_cleanups].arg = arg;
    n_cleanups++;
}

void err_cleanup_pop(void)
{
    if (n_cleanups > 0)
        n_cleanups--;
}

void err_survive_writes(void)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

void err_exit_broken_pipe(void)
{
    sigset_t pipe_only;
    if (done.what)
        die("standard output", "closed by its reader");
    run_cleanups();
    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    pthread_sigmask(SIG_UNBLOCK, &pipe_only, NULL);
    raise(SIGPIPE);
    _exit(128 + SIGPIPE);
}

static void on_signal(int sig)
{
    int saved = errno;
    caught_signal = sig;
    if (signal_hook)
        signal_hook();
    errno = saved;
}

void err_catch_signals(void)
{
    struct sigaction sa = {.sa_handler = on_signal}; /* no SA_RESTART: a blocking read must return */
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};
    for (size_t i = 0; i < ARRAY_LENGTH(signals); i++) {
        struct sigaction old;
        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == SIG_IGN)
            continue; /* nohup and background jobs of sh */
        sigaction(signals[i], &sa, NULL);
    }
}

void err_signal_hook_set(void (*fn)(void))
{
    signal_hook = fn;
}

bool err_interrupted(void)
{
    return caught_signal != 0;
}

void err_exit_interrupted(void)
{
    int sig = caught_signal ? caught_signal : SIGINT;
    if (done.what)
        exit(done.code);
    if (sig != SIGUSR1)
        put_message(NOTE, NULL, sig == SIGINT ? "interrupted" : "terminated by a signal");
    exit(sig == SIGINT ? EXIT_INTERRUPTED : 128 + sig);
}
