/* Messages and exit codes, common to all programs.
 *
 * A message is one line on stderr, `program: where: what`, where `where` is a file with its line, a record
 * with its kind and key, or a database object; an optional second line is `program: hint: ...`. All functions
 * that print are thread-safe: a message is one write(2). On a terminal a program's name before an error and the
 * labels are coloured, unless NO_COLOR is set. Every part may hold untrusted text: unprintable
 * bytes are shown as \xNN (printable.h), so that no name or value can begin a line or reach the terminal as
 * an escape sequence, and passwords are hidden (secret.h). If standard error cannot be written to, messages
 * are lost, and the program continues. */
#ifndef COMMON_ERR_H
#define COMMON_ERR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/* Exit codes as diff(1) has them; never 255, on which xargs stops. */
enum {
    EXIT_DONE = 0,      /* success, no differences */
    EXIT_ANSWER_NO = 1, /* verification differs, schema behind, records left out on request */
    EXIT_TROUBLE = 2,   /* failure, reported in a message; the target is unchanged */
    EXIT_INTERRUPTED = 130
};

/* What a failure is, for a caller that acts by it. Whoever finds the failure sets it: a database's dialect by
 * the result code or SQLSTATE. The text of a message decides nothing. */
enum err_class {
    ERR_OTHER,
    ERR_REPORTED,    /* its messages have been printed */
    ERR_INTERRUPTED, /* a signal was caught */
    ERR_READER_GONE, /* nobody reads the output any more (EPIPE) */
    ERR_CONSTRAINT,  /* a row breaks a rule of its table */
    ERR_BUSY,        /* another session holds a lock, and has held it for as long as was to be waited */
    ERR_CONFLICT,    /* a deadlock or a serialization failure: the transaction may succeed when run again */
    ERR_DENIED,      /* the database does not grant the right */
    ERR_CONNECTION,  /* the server cannot be reached now, or the connection was lost: it may pass by itself */
    ERR_COMMIT,      /* the connection was lost at COMMIT: the transaction may be committed or not */
};

/* A failure that a function reports to its caller, who prints it (err_report), ends the program (err_die) or
 * collects it. Plain storage, no ownership: copy it freely. Empty strings mean "not said". */
struct err {
    char where[1024];
    char what[2048];
    char hint[1024];
    char sqlstate[6]; /* from a SQL server; empty: none */
    enum err_class class;
};

/* Fills e and returns false, so that a function can `return err_set(e, ...)`. The hint and the SQLSTATE are
 * cleared, the class is ERR_OTHER. e may be NULL, as in all functions that fill one. */
bool err_set(struct err *e, const char *where, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Adds a hint to a filled e; returns false. */
bool err_hint(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Gives a filled e its class; returns false. */
bool err_classify(struct err *e, enum err_class class);
/* The same for a message made of another one: e gets the cause's class and SQLSTATE. */
bool err_caused_by(struct err *e, const struct err *cause);
/* Makes e a copy; returns false. */
bool err_copy(struct err *e, const struct err *from);
/* Fills e for a signal that was caught: class ERR_INTERRUPTED. Returns false. */
bool err_set_interrupted(struct err *e);

/* Takes the program's name from argv[0] (last path component). Call it first in main(). */
void err_program_set(const char *argv0);
const char *err_program(void);

/* Verbosity: -1 quiet (errors and warnings only), 0 normal, 1 verbose. */
void err_level_set(int level);
int err_level(void);
/* false: err_warn prints nothing, for a second dump of the same source. */
void err_warnings_set(bool on);

/* What the following messages of this thread are about, for the report of a run (journal.h), which has all messages,
 * notes of a quiet program too. */
enum err_topic {
    ERR_GENERAL,
    ERR_LEFT_OUT,  /* what was left out or held back; verbose messages are in the report, too */
    ERR_CONVERTED, /* what is stored in another form */
    ERR_NEXT,      /* what is left to do */
    ERR_COUNTS,    /* what a report shows otherwise, and a stage of a pipeline in its line (progress.h) */
};
void err_topic_set(enum err_topic topic);
/* Whether notes go anywhere: they are printed, or in a report. */
bool err_notes_wanted(void);

void err_report(const struct err *e);                                      /* always printed */
void err_print(const char *where, const char *fmt, ...) PRINTF_LIKE(2, 3); /* an error; always printed */
void err_print_hint(const char *fmt, ...) PRINTF_LIKE(1, 2);               /* follows an error or a warning */
void err_note_hint(const char *fmt, ...) PRINTF_LIKE(1, 2);                /* follows a note */
void err_warn(const char *where, const char *fmt, ...) PRINTF_LIKE(2, 3);  /* "warning:"; always printed */
void err_note(const char *fmt, ...) PRINTF_LIKE(1, 2);                     /* unless quiet */
/* Lines of a table, unless quiet; in printable form, but without the program's name. Not in the report. */
void err_block(const char *text);
/* Whether standard error is a terminal. */
bool err_is_terminal(void);
void err_verbose(const char *fmt, ...) PRINTF_LIKE(1, 2); /* only when verbose */

/* The library's one exit: memory that cannot be had, and for the threads that read a file store the temporary
 * files in its place. A return through all that needs memory would cost more than it gives. e says so; the
 * program ends as by die(). Called by buf.h, names.h and spill.h alone. */
_Noreturn void err_no_memory(const struct err *e);

/* For the programs (tools/): the library returns its errors. These end the program after the clean-up
 * functions have run: with the message and EXIT_TROUBLE; err_die by the class of e, without a message where
 * that is ERR_REPORTED, as err_exit_interrupted() where a signal was caught, whose consequence e then is, or
 * as err_exit_broken_pipe(). */
_Noreturn void err_die(const struct err *e);
_Noreturn void die(const char *where, const char *fmt, ...) PRINTF_LIKE(2, 3);
_Noreturn void die_hint(const char *hint, const char *where, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Call this when the program's task is complete and permanent, as `what` says ("the database is complete";
 * must live as long as the program). From then on a fatal failure, such as lack of memory or a closed pipe,
 * is reported as a warning, followed by `what`, and the exit code is `code`. */
void err_done(int code, const char *what);

/* Functions that run, last added first, when the program ends through exit(), die() or a caught
 * SIGINT/SIGTERM/SIGHUP (see err_catch_signals). At most 16. They may only undo: unlink, roll back. */
void err_cleanup_push(void (*fn)(void *), void *arg);
void err_cleanup_pop(void); /* removes the last one without running it */

/* Makes writes to a pipe without a reader or a file at its size limit fail with EPIPE or EFBIG; SIGPIPE and
 * SIGXFSZ would end the program without a message and without clean-up. */
void err_survive_writes(void);
/* Ends a program whose standard output was closed by its reader: cleans up, then silently ends as by
 * SIGPIPE. */
_Noreturn void err_exit_broken_pipe(void);

/* Makes SIGINT, SIGTERM, SIGHUP and SIGUSR1 set a flag instead of killing. Long loops of the
 * library ask err_interrupted() and then return err_set_interrupted(); programs end by err_die() or
 * err_exit_interrupted(), which clean up and exit with 130 (SIGINT) or 128 + signal. SIGUSR1 is a pipeline's
 * word that another of its programs has failed (common/process.h): no message then.
 * err_signal_hook, when set, is called from the handler and must be async-signal-safe (sqlite3_interrupt and
 * PQcancel are used there). */
void err_catch_signals(void);
void err_signal_hook_set(void (*fn)(void));
bool err_interrupted(void);
_Noreturn void err_exit_interrupted(void);

#endif
