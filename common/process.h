/* Other programs: found, started with their standard files, waited for. At most 8 run at a time; not
 * thread-safe. */
#ifndef COMMON_PROCESS_H
#define COMMON_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/err.h"

/* The program `name` of the folder that this one was called from (argv0 with a slash), else of the folder
 * that its executable lies in, else of $PATH; malloc'ed. NULL with e filled: it is nowhere. */
char *process_find(const char *argv0, const char *name, struct err *e);

/* A pipe, both ends closed on exec. */
bool process_pipe(int fds[2], struct err *e);

struct process {
    const char *name; /* for messages; borrowed */
    pid_t pid;        /* 0: not running */
    int status;       /* once it has ended: its exit status, or 128 + the signal that ended it */
};

/* Starts argv[0], a path, with `in` and `out` as standard input and output (-1: this program's own). SIGPIPE
 * is as usual in it, whatever it is here. p->name is argv[0]'s last component. After a caught signal nothing
 * is started (e filled). */
bool process_start(struct process *p, char *const argv[], int in, int out, struct err *e);

/* Waits for its end; returns p->status. 0 at once where it was never started. */
int process_wait(struct process *p);

/* Ends it by SIGUSR1 and waits: a program of this suite then leaves its target as it was and says nothing
 * (err_catch_signals), since what failed is elsewhere. */
void process_end_quietly(struct process *p);

/* Async-signal-safe: passes SIGTERM on to all that run. For err_signal_hook_set. */
void process_stop_all(void);

#endif
