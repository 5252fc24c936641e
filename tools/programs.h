/* The pipelines of ml-migrate and ml-sync: command lines, and programs joined so that no incomplete stream is ever taken
 * for a complete one. This process keeps the write end of each pipe open until its writer has succeeded;
 * after a failure the reader is killed before it could see an end of file. So only the program that failed
 * reports an error. */
#ifndef TOOLS_PROGRAMS_H
#define TOOLS_PROGRAMS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "common/spool.h"

/* A command line; it owns its words. */
struct command {
    char *words[64];
    size_t n;
};

/* The command line of a program of this suite, with this program's --quiet, --verbose and --progress. Exits
   with a message when the program is not found.
 */
struct command command_new(const char *argv0, const char *program);
void command_free(struct command *c);
void command_word(struct command *c, const char *word);
void command_flag(struct command *c, bool wanted, const char *option);
void command_value(struct command *c, const char *option,
                   const char *value); /* NULL: nothing; "": no value */
void command_list(struct command *c, const char *option, const char *const *values, size_t n);

struct programs {
    const struct command *dumps; /* run one after the other, into one stream */
    size_t n_dumps;
    const struct command *transform; /* NULL: none */
    const struct command *reader;    /* reads the stream: ml-load or ml-verify */
    int reader_output;               /* a descriptor, -1: standard output */
    struct spool *spool;             /* receives a copy of the reader's input; NULL: no copy */
    int reader_status;               /* after the run: the reader's exit status */
};

/* Runs the pipeline to its end. Returns EXIT_DONE, EXIT_ANSWER_NO (a program exited with 1, and none worse),
 * EXIT_TROUBLE or EXIT_INTERRUPTED; a failure has been reported by the program that failed. */
int programs_run(struct programs *p);

/* Runs a reader on the stream of a spool; output: a descriptor, -1: standard output. Returns like
 * programs_run(). */
int programs_replay(struct spool *spool, const struct command *reader, int output);

#endif
