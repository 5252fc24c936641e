/* Prints the first problems of a load, and counts all. */
#include "formats/load/problems.h"

#include "formats/record/rows.h"

const char load_drop_hint[] = "--drop-unsupported drops such values and reports their number";

void load_problems_init(struct load_problems *p, bool drop_unsupported)
{
    p->drop_unsupported = drop_unsupported;
    p->decoder = row_decoder_new();
}

void load_problems_free(struct load_problems *p)
{
    row_decoder_free(p->decoder);
    buf_free(&p->text);
}

bool load_problem(struct load_problems *p, const struct err *e)
{
    if (++p->report.problems - p->report.not_repeated <= LOAD_MAX_MESSAGES)
        err_report(e);
    return false;
}

bool load_problem_again(struct load_problems *p)
{
    p->report.problems++;
    p->report.not_repeated++;
    return false;
}

const char *load_describe(struct load_problems *p, const struct record *r)
{
    buf_reset(&p->text);
    row_record_describe(p->decoder, r, &p->text);
    return buf_str(&p->text);
}
