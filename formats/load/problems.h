/* Problems and counts of a load, reported by all other layers. */
#ifndef FORMATS_LOAD_PROBLEMS_H
#define FORMATS_LOAD_PROBLEMS_H

#include <stdbool.h>

#include "common/buf.h"
#include "common/err.h"
#include "formats/load/load.h"

struct row_decoder;

struct load_problems {
    struct load_report report; /* each layer counts its part */
    bool drop_unsupported;     /* drop and count what the target cannot hold */
    bool fatal;                /* the load cannot continue: see fatal_error */
    struct err fatal_error;
    struct row_decoder *decoder; /* for load_describe() */
    struct buf text;             /* its result */
};

extern const char load_drop_hint[];

void load_problems_init(struct load_problems *p, bool drop_unsupported);
void load_problems_free(struct load_problems *p);
/* Counts a problem, and prints it unless there were too many. Returns false. */
bool load_problem(struct load_problems *p, const struct err *e);
/* Counts a problem that is covered by an earlier message. Returns false. */
bool load_problem_again(struct load_problems *p);
/* The record's name for messages, for a row with its key; valid until the next call. */
const char *load_describe(struct load_problems *p, const struct record *r);

#endif
