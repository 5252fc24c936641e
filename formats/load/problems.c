/* What is wrong with the records: the first problems are printed, all are counted. */
#include "formats/load/internal.h"
#include "formats/record/rows.h"

const char load_drop_hint[] = "--drop-unsupported leaves such values out, counts them and says so";

bool load_problem(struct load *s, const struct err *e)
{
    if (++s->report.problems - s->report.not_repeated <= LOAD_MAX_MESSAGES)
        err_report(e);
    return false;
}

bool load_problem_again(struct load *s)
{
    s->report.problems++;
    s->report.not_repeated++;
    return false;
}

const char *load_describe(struct load *s, const struct record *r)
{
    buf_reset(&s->text);
    row_record_describe(s->row_decoder, r, &s->text);
    return buf_str(&s->text);
}
