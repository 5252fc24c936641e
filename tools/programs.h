/* The pipelines of ml-migrate: command lines, and programs joined so that a stream that is not whole is never
 * seen as one: the writing end of each pipe stays open here until what writes to it has ended well, and what
 * reads from it is ended before it could take a failure for the end. So the program that failed is the only
 * one that says so. */
#ifndef TOOLS_PROGRAMS_H
#define TOOLS_PROGRAMS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "common/spool.h"

/* A command line, which owns its words. */
struct command {
    char *words[64];
    size_t n;
};

/* The program of this suite, with this program's --quiet, --verbose and --progress. Dies when it is nowhere.
 */
struct command command_new(const char *argv0, const char *program);
void command_free(struct command *c);
void command_word(struct command *c, const char *word);
void command_flag(struct command *c, bool wanted, const char *option);
void command_value(struct command *c, const char *option,
                   const char *value); /* NULL: nothing; "": no value */
void command_list(struct command *c, const char *option, const char *const *values, size_t n);

struct programs {
    const struct command *dumps; /* one after the other, into one stream */
    size_t n_dumps;
    const struct command *transform; /* NULL: none */
    const struct command *reader;    /* of the stream: ml-load, ml-verify */
    int reader_output;               /* a descriptor, -1: standard output */
    struct spool *spool;             /* takes a copy of what the reader gets; NULL: no copy */
    int reader_status;               /* after the run: the reader's own exit status */
};

/* Runs it to its end. EXIT_DONE, EXIT_ANSWER_NO (a program ended with 1 and none worse), EXIT_TROUBLE or
 * EXIT_INTERRUPTED; what went wrong has been said, by the program where it went wrong. */
int programs_run(struct programs *p);

/* Gives a reader the stream of a spool. */
int programs_replay(struct spool *spool, const struct command *reader);

#endif
