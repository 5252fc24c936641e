/* What is wrong with the records: the first problems are printed, all are counted. */
#include "formats/load/internal.h"

const char load_drop_hint[] = "--drop-unsupported leaves such values out, counts them and says so";

bool load_problem(struct load *s, const struct err *e)
{
    if (++s->report.problems <= LOAD_MAX_MESSAGES)
        err_report(e);
    return false;
}

const char *load_describe(struct load *s, const struct record *r)
{
    buf_reset(&s->text);
    record_describe(r, &s->text);
    return buf_str(&s->text);
}
