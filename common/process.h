/* Finds, starts and waits for other programs. At most 8 run at a time; not thread-safe. */
#ifndef COMMON_PROCESS_H
#define COMMON_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/err.h"

/* Of an executable that is several programs and picks one by argv[0]: their names, ended by NULL. They must live as long as
 * the program. `alone`: of these no others are taken, not even where they lie beside it. */
void process_is_also(const char *const *names, bool alone);

/* The path of program `name`, malloc'ed: looked for in the directory of argv0 if that has a slash, then in
 * the directory of this program's executable, then among those that it is also (the bare name), then on $PATH.
 * NULL with e filled if it is not found. */
char *process_find(const char *argv0, const char *name, struct err *e);

/* A pipe, both ends closed on exec. */
bool process_pipe(int fds[2], struct err *e);

struct process {
    const char *name; /* for messages; borrowed */
    pid_t pid;        /* 0: not running */
    int status;       /* after the end: its exit status, or 128 + the signal that killed it */
};

/* Starts argv[0], a path, or a bare name: this executable under that name, with `in` and `out` as standard input and output (-1: this program's own). It has
 * the default SIGPIPE and no signal blocked, whatever is set here. p->name is the last component of argv[0]. After a caught signal
 * nothing is started (e filled). */
bool process_start(struct process *p, char *const argv[], int in, int out, struct err *e);

/* Waits for its end; returns p->status, or 0 if it was never started. */
int process_wait(struct process *p);

/* Ends it with SIGUSR1 and waits: a program of this suite then leaves its target unchanged and prints nothing
 * (err_catch_signals), since another program failed. */
void process_end_quietly(struct process *p);

/* Sends SIGTERM to all running programs; async-signal-safe, for err_signal_hook_set. */
void process_stop_all(void);

#endif
