/* What is wrong with the records, and what became of the others. Every other layer reports here. */
#ifndef FORMATS_LOAD_PROBLEMS_H
#define FORMATS_LOAD_PROBLEMS_H

#include <stdbool.h>

#include "common/buf.h"
#include "common/err.h"
#include "formats/load/load.h"

struct row_decoder;

struct load_problems {
    struct load_report report; /* each layer counts what it does */
    bool drop_unsupported;     /* what the target cannot hold is left out and counted */
    bool fatal;                /* there is no sense in going on, and fatal_error says why */
    struct err fatal_error;
    struct row_decoder *decoder; /* for load_describe() */
    struct buf text;             /* what it has written */
};

extern const char load_drop_hint[];

void load_problems_init(struct load_problems *p, bool drop_unsupported);
void load_problems_free(struct load_problems *p);
/* Prints a problem, unless too many were. Returns false. */
bool load_problem(struct load_problems *p, const struct err *e);
/* Counts a problem of which the message of one before it speaks, too. Returns false. */
bool load_problem_again(struct load_problems *p);
/* The record's name for messages, that of a row with its key; lives until the next call. */
const char *load_describe(struct load_problems *p, const struct record *r);

#endif
