/* Prints the report of a verification. Failures are kept in a sorter, as the counts are printed first. */
#include "formats/verify/report.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/printable.h"
#include "common/sort.h"
#include "formats/stream/json.h"

enum { MEMORY = 1 << 20 }; /* bytes of failures before a temporary file is used */

struct verify_report {
    bool json;
    uint64_t max, shown; /* failures */
    struct sorter *failures;
    struct buf text;
    bool failed; /* a failure could not be stored: see error */
    struct err error;
};

struct verify_report *verify_report_new(bool json, uint64_t max, const char *tmpdir)
{
    struct verify_report *report = xcalloc(1, sizeof *report);
    report->json = json;
    report->max = max;
    report->failures = sorter_new(tmpdir, MEMORY);
    return report;
}

void verify_report_free(struct verify_report *report)
{
    sorter_free(report->failures);
    buf_free(&report->text);
    free(report);
}

/* -- text */

enum { SHOWN_CHARACTERS = 400, BEFORE_DIFFERENCE = 60 };

/* Long texts are shown from shortly before their first difference. */
static void cut_to_difference(struct value *a, struct value *b, size_t *start)
{
    *start = 0;
    if (!value_has_bytes(a) || !value_has_bytes(b) ||
        (a->len <= SHOWN_CHARACTERS && b->len <= SHOWN_CHARACTERS))
        return;
    size_t same = 0;
    while (same < a->len && same < b->len && a->s[same] == b->s[same])
        same++;
    size_t from = same > BEFORE_DIFFERENCE ? same - BEFORE_DIFFERENCE : 0;
    while (from && ((unsigned char)a->s[from] & 0xc0) == 0x80)
        from--;
    *start = from;
    a->s += from;
    a->len -= (uint32_t)from;
    b->s += from;
    b->len -= (uint32_t)from;
}

static void add_value(struct buf *out, struct value v, size_t start)
{
    bool cut = value_has_bytes(&v) && v.len > SHOWN_CHARACTERS;
    if (cut) {
        v.len = SHOWN_CHARACTERS;
        while (v.len && ((unsigned char)v.s[v.len] & 0xc0) == 0x80)
            v.len--;
    }
    buf_adds(out, start && value_has_bytes(&v) ? "…" : "");
    value_describe(&v, out);
    buf_adds(out, cut ? "…" : "");
}

void verify_report_add_values(const struct verify_diff *d, struct buf *source, struct buf *target)
{
    struct value a = d->source, b = d->target;
    size_t start;
    cut_to_difference(&a, &b, &start);
    add_value(source, a, start);
    add_value(target, b, start);
}

void verify_report_add_rest_of_key(const struct record *r, const char *before, struct buf *out)
{
    bool first = true;
    for (int i = 0; i < r->kind->n_fields; i++) {
        const struct field_desc *f = &r->kind->fields[i];
        bool key = f->flags & FIELD_K, named = first || (f->flags & (FIELD_Q | FIELD_WS));
        first = first && !key;
        if (!key || named)
            continue;
        buf_addf(out, "%s%s=", before, f->name);
        add_value(out, r->v[i], 0);
        before = ", ";
    }
}

static void add_text(struct buf *out, const struct verify_failure *f)
{
    buf_addf(out, "FAILED: %s\n", f->name);
    for (int i = 0; i < f->n_diffs; i++) {
        struct buf target = {0};
        buf_addf(out, "  - Field '%s': source=", f->diffs[i].field);
        verify_report_add_values(&f->diffs[i], out, &target);
        buf_adds(out, ", target=");
        buf_add(out, buf_str(&target), target.len);
        buf_addc(out, '\n');
        buf_free(&target);
    }
    if (f->verdict != VERIFY_DIFFERENT) {
        buf_adds(out, f->verdict == VERIFY_MISSING ? "  - missing in target" : "  - not in source");
        verify_report_add_rest_of_key(f->record, ": ", out);
        buf_addc(out, '\n');
    } else if (err_level() > 0) {
        size_t before = out->len;
        verify_report_add_rest_of_key(f->record, "  - where ", out);
        if (out->len > before)
            buf_addc(out, '\n');
    }
    buf_addc(out, '\n');
}

/* -- JSON */

static void add_json_float(struct buf *out, double f)
{
    char text[32];
    value_format_float(f, text);
    buf_addf(out, isfinite(f) ? "%s" : "{\"$float\":\"%s\"}", text);
}

static void add_json_value(struct buf *out, const struct value *v)
{
    struct buf text = {0};
    if (json_write_plain(v, out))
        return;
    if (v->type == VALUE_FLOAT) {
        add_json_float(out, v->f);
    } else if (v->type == VALUE_STR && v->len <= VALUE_SHOWN_BYTES) {
        json_quote_ascii(v->s, v->len, out);
    } else {
        value_describe(v, &text); /* long text is truncated */
        json_quote_ascii(buf_str(&text), text.len, out);
    }
    buf_free(&text);
}

static void add_json_key(struct buf *out, const struct record *r)
{
    const char *before = "{";
    for (int i = 0; i < r->kind->n_fields; i++) {
        if (!(r->kind->fields[i].flags & FIELD_K))
            continue;
        buf_addf(out, "%s\"%s\":", before, r->kind->fields[i].name);
        add_json_value(out, &r->v[i]);
        before = ",";
    }
    buf_addc(out, '}');
}

/* Adds a row's table and the columns of its key. */
static void add_json_row_key(struct buf *out, const struct verify_failure *f)
{
    const struct row_table *t = row_table_of(f->record);
    buf_adds(out, "{\"table\":");
    add_json_value(out, &f->record->v[F_row_table]);
    for (const char *p = t ? t->key : ""; *p; p += *p == ',') {
        size_t len = strcspn(p, ",");
        const struct row_entry *entry = row_entry_find(f->row, f->n_row, p, len);
        const struct value null = value_null();
        buf_addf(out, ",\"%.*s\":", (int)len, p);
        add_json_value(out, entry ? &entry->v : &null);
        p += len;
    }
    buf_addc(out, '}');
}

static void add_json(struct buf *out, const struct verify_failure *f)
{
    static const char *const words[] = {"different", "missing", "extra"};
    buf_addf(out, "{\"failure\":\"%s\",\"kind\":\"%s\",\"name\":", words[f->verdict], f->record->kind->name);
    json_quote_ascii(f->name, strlen(f->name), out);
    buf_adds(out, ",\"key\":");
    if (f->record->kind->kind == KIND_row)
        add_json_row_key(out, f);
    else
        add_json_key(out, f->record);
    buf_adds(out, ",\"fields\":[");
    for (int i = 0; i < f->n_diffs; i++) {
        buf_addf(out, "%s{\"field\":\"%s\",\"source\":", i ? "," : "", f->diffs[i].field);
        add_json_value(out, &f->diffs[i].source);
        buf_adds(out, ",\"target\":");
        add_json_value(out, &f->diffs[i].target);
        buf_addc(out, '}');
    }
    buf_adds(out, "]}\n");
}

/* -- the report */

void verify_report_add(const struct verify_failure *f, void *arg)
{
    struct verify_report *report = arg;
    if (report->shown == report->max || report->failed)
        return;
    report->shown++;
    buf_reset(&report->text);
    if (report->json)
        add_json(&report->text, f);
    else
        add_text(&report->text, f);
    report->failed =
        !sorter_add(report->failures, "", 0, report->text.data, report->text.len, &report->error);
}

static bool print_failure(const struct sorter *failures, const struct sort_entry *item, struct err *e)
{
    enum { PART = 64 << 10 };
    struct buf part = {0};
    bool ok = true;
    for (size_t at = 0, n; ok && at < item->data_len; at += n) {
        n = item->data_len - at < PART ? item->data_len - at : PART;
        ok = sorter_read(failures, item, at, n, &part, e);
        if (ok)
            fwrite(part.data, 1, n, stdout);
    }
    buf_free(&part);
    return ok;
}

static bool print_failures(struct verify_report *report, struct err *e)
{
    struct sort_entry item;
    if (report->failed) {
        *e = report->error;
        return false;
    }
    int more = sorter_finish(report->failures, e) ? 1 : -1;
    while (more > 0 && (more = sorter_next(report->failures, &item, e)) > 0)
        more = print_failure(report->failures, &item, e) ? 1 : -1;
    return more == 0;
}

static bool is_reported(const struct kind_desc *k)
{
    return kind_is_entity(k) || k->kind == KIND_row;
}

/* Returns the kinds in the order of the report. */
static const struct kind_desc *kind_at(int order)
{
    for (int i = 0; i < KIND_COUNT; i++)
        if (kinds[i].report_rank == order && is_reported(&kinds[i]))
            return &kinds[i];
    return NULL;
}

static int last_rank(void)
{
    int last = 0;
    for (int i = 0; i < KIND_COUNT; i++)
        last = is_reported(&kinds[i]) && kinds[i].report_rank > last ? kinds[i].report_rank : last;
    return last;
}

static const char *status(bool failed)
{
    return failed ? "FAILED" : "SUCCESS";
}

static const char *structure_status(const struct verify_structure *s)
{
    return s->verdict == VERIFY_STRUCTURE_NOT_CHECKED ? "NOT CHECKED"
                                                      : status(s->verdict == VERIFY_STRUCTURE_DIFFERENT);
}

static bool has_failed(const struct verify_result *r, const struct verify_structure *s)
{
    return r->failures > 0 || s->verdict == VERIFY_STRUCTURE_DIFFERENT;
}

static void add_text_line(struct buf *out, const char *prefix, const char *line)
{
    buf_adds(out, prefix);
    printable_add(out, line, strlen(line)); /* names and definitions come from the database */
    buf_addc(out, '\n');
}

static void print_statuses(const struct verify_result *r, const struct verify_structure *s)
{
    struct buf out = {0};
    buf_addf(&out, "Data: %s\nStructure: %s", status(r->failures > 0), structure_status(s));
    add_text_line(&out, s->verdict == VERIFY_STRUCTURE_NOT_CHECKED ? ": " : "",
                  s->verdict == VERIFY_STRUCTURE_NOT_CHECKED ? s->why : "");
    for (size_t i = 0; i < s->n_lines; i++)
        add_text_line(&out, "  - ", s->lines[i]);
    buf_addf(&out, "\nStatus: %s\n", status(has_failed(r, s)));
    fwrite(out.data, 1, out.len, stdout);
    buf_free(&out);
}

static bool print_text(struct verify_report *report, const struct verify_result *r,
                       const struct verify_structure *s, struct err *e)
{
    puts("Migration Verification Report\n=============================\n");
    for (int order = 0; order <= last_rank(); order++) {
        const struct kind_desc *k = kind_at(order);
        if (k && r->kind[k->kind].total)
            printf("%s: %" PRIu64 "/%" PRIu64 " passed\n", k->plural, r->kind[k->kind].passed,
                   r->kind[k->kind].total);
    }
    putchar('\n');
    if (!print_failures(report, e))
        return false;
    if (r->failures > report->shown)
        printf("%" PRIu64 " more failures are not shown (--max-failures)\n\n", r->failures - report->shown);
    print_statuses(r, s);
    return true;
}

static void print_json_structure(const struct verify_structure *s)
{
    struct buf out = {0};
    buf_addf(&out, ",\"structure\":\"%s\",\"structure_reason\":", structure_status(s));
    if (s->verdict == VERIFY_STRUCTURE_NOT_CHECKED)
        json_quote_ascii(s->why, strlen(s->why), &out);
    else
        buf_adds(&out, "null");
    buf_adds(&out, ",\"structure_differences\":[");
    for (size_t i = 0; i < s->n_lines; i++) {
        buf_adds(&out, i ? "," : "");
        json_quote_ascii(s->lines[i], strlen(s->lines[i]), &out);
    }
    buf_addc(&out, ']');
    fwrite(out.data, 1, out.len, stdout);
    buf_free(&out);
}

static bool print_json(struct verify_report *report, const struct verify_result *r,
                       const struct verify_structure *s, uint64_t skipped, struct err *e)
{
    const char *before = "";
    if (!print_failures(report, e))
        return false;
    printf("{\"status\":\"%s\",\"data\":\"%s\"", status(has_failed(r, s)), status(r->failures > 0));
    print_json_structure(s);
    printf(",\"failures\":%" PRIu64 ",\"shown\":%" PRIu64 ",\"skipped\":%" PRIu64 ",\"duplicates\":%" PRIu64
           ",\"unplaced\":%" PRIu64 ",\"default_experiment\":%s,\"kinds\":{",
           r->failures, report->shown, skipped, r->duplicates, r->unplaced,
           r->default_experiment ? "true" : "false");
    for (int order = 0; order <= last_rank(); order++) {
        const struct kind_desc *k = kind_at(order);
        if (!k || !r->kind[k->kind].total)
            continue;
        printf("%s\"%s\":{\"passed\":%" PRIu64 ",\"total\":%" PRIu64 "}", before, k->name,
               r->kind[k->kind].passed, r->kind[k->kind].total);
        before = ",";
    }
    puts("}}");
    return true;
}

bool verify_report_print(struct verify_report *report, const struct verify_result *r,
                         const struct verify_structure *structure, uint64_t skipped, struct err *e)
{
    return report->json ? print_json(report, r, structure, skipped, e) : print_text(report, r, structure, e);
}
