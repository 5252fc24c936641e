/* Records in the journal what ml-verify finds. */
#include "common/journal.h"
#include "common/printable.h"
#include "formats/report/report.h"

static void add_field(struct buf *line, const struct verify_diff *d)
{
    struct buf source = {0}, target = {0};
    verify_report_add_values(d, &source, &target);
    journal_text(line, "field");
    journal_text(line, d->field);
    journal_bytes(line, buf_str(&source), source.len);
    journal_bytes(line, buf_str(&target), target.len);
    bool s = value_is_null(&d->source), t = value_is_null(&d->target);
    journal_text(line, s && t ? "st" : s ? "s" : t ? "t" : "");
    journal_put(line);
    buf_free(&source);
    buf_free(&target);
}

static bool value_is_shown(const struct value *v)
{
    return !value_is_null(v) && v->type != VALUE_MAP && v->type != VALUE_ALIEN;
}

/* The other fields of an entity that only one side has: "value=12, status=FINISHED"; as many as make a line. Rows of other
 * tables may hold secrets. */
static void add_rest(const struct record *r, struct buf *out)
{
    enum { LINE = 300 };
    for (int i = 0; i < r->kind->n_fields && out->len < LINE; i++) {
        struct verify_diff d = {.field = r->kind->fields[i].name, .source = r->v[i]};
        struct buf value = {0}, none = {0};
        if ((r->kind->fields[i].flags & FIELD_K) || !value_is_shown(&d.source))
            continue;
        verify_report_add_values(&d, &value, &none);
        buf_addf(out, "%s%s=%s", out->len ? ", " : "", d.field, buf_str(&value));
        buf_free(&value);
        buf_free(&none);
    }
}

void report_add_failure(struct report_failures *n, const struct verify_failure *f)
{
    static const char *const words[] = {
        [VERIFY_DIFFERENT] = "different", [VERIFY_MISSING] = "missing", [VERIFY_EXTRA] = "extra"};
    enum kind k = f->record->kind->kind;
    struct buf line = {0}, rest = {0};
    if (!journal_wanted() || n->of_kind[k] == REPORT_FAILURES || n->all == REPORT_ALL_FAILURES)
        return;
    n->of_kind[k]++;
    n->all++;
    if (f->verdict != VERIFY_DIFFERENT) {
        verify_report_add_rest_of_key(f->record, "", &rest);
        add_rest(f->record, &rest);
    }
    journal_text(&line, "failure");
    journal_text(&line, f->record->kind->name);
    journal_text(&line, words[f->verdict]);
    journal_text(&line, f->name);
    journal_bytes(&line, buf_str(&rest), rest.len);
    journal_put(&line);
    for (int i = 0; i < f->n_diffs; i++)
        add_field(&line, &f->diffs[i]);
    buf_free(&line);
    buf_free(&rest);
}

void report_add_result(const struct verify_result *r, const struct verify_structure *s)
{
    static const char *const words[] = {[VERIFY_STRUCTURE_SOUND] = "sound",
                                        [VERIFY_STRUCTURE_DIFFERENT] = "different",
                                        [VERIFY_STRUCTURE_NOT_CHECKED] = "not checked"};
    struct buf line = {0};
    if (!journal_wanted())
        return;
    for (int k = 0; k < KIND_COUNT; k++) {
        if (!r->kind[k].total)
            continue;
        journal_text(&line, "checked");
        journal_text(&line, kinds[k].name);
        journal_count(&line, r->kind[k].total);
        journal_count(&line, r->kind[k].passed);
        journal_put(&line);
    }
    for (size_t i = 0; i < s->n_lines; i++) {
        journal_text(&line, "structure");
        journal_text(&line, s->lines[i]);
        journal_put(&line);
    }
    journal_text(&line, "verdict");
    journal_text(&line, r->failures ? "different" : "equal");
    journal_text(&line, words[s->verdict]);
    journal_text(&line, s->verdict == VERIFY_STRUCTURE_NOT_CHECKED ? s->why : "");
    journal_put(&line);
    buf_free(&line);
}
