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
    const struct row_table *t = r->kind->kind == KIND_row ? row_table_of(r) : NULL;
    const struct row_entry *entries;
    struct err e;
    int n = t ? row_decode(s->row_decoder, r, &entries, &e) : -1;
    buf_reset(&s->text);
    if (n >= 0) {
        buf_adds(&s->text, "Row ");
        row_describe(t, entries, n, &s->text);
    } else {
        record_describe(r, &s->text);
    }
    return buf_str(&s->text);
}
