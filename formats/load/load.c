/* Loads the records of a stream, from the first segment to the last record. */
#include "formats/load/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/load/internal.h"

struct load *load_new(struct db *db, int rev, const struct load_options *options, struct err *e)
{
    struct load *s = xcalloc(1, sizeof *s);
    load_problems_init(&s->problems, options->drop_unsupported);
    s->any_ids = options->any_ids;
    s->stage = load_stage_new(&s->tables, &s->problems, options->tmpdir);
    s->references = load_references_new(&s->tables, &s->problems, s->stage);
    s->places = load_places_new(&s->problems.report);
    s->conversion = (struct load_conversion){.tables = &s->tables,
                                             .problems = &s->problems,
                                             .stage = s->stage,
                                             .references = s->references,
                                             .places = s->places,
                                             .locates_spans = options->spans_in_database};
    s->untyped = load_untyped_new(&s->conversion, options->tmpdir);
    bool reads_files = options->spans_in_database && rev < REV_JOBS;
    if (!reads_files && load_tables_read(&s->tables, db, rev, options->any_ids, e))
        return s;
    if (reads_files)
        err_set(e, "",
                "MLflow of this release reads spans only from files; the first that reads them from its "
                "database is 3.6");
    load_free(s);
    return NULL;
}

void load_free(struct load *s)
{
    if (!s)
        return;
    if (s->sink)
        s->sink->ops->free(s->sink);
    load_untyped_free(s->untyped);
    load_conversion_free(&s->conversion);
    load_places_free(s->places);
    load_references_free(s->references);
    load_stage_free(s->stage);
    load_tables_free(&s->tables);
    load_problems_free(&s->problems);
    free(s);
}

void load_segment(struct load *s, const struct wire_header *header)
{
    load_stage_segment(s->stage, header);
    load_references_segment(s->references);
    load_places_segment(s->places, wire_is_by(header, "mldb-dump"));
    s->conversion.from_file_store = wire_is_by(header, "mlruns-dump");
}

const struct load_report *load_report(const struct load *s)
{
    return &s->problems.report;
}

const struct load_tables *load_tables(const struct load *s)
{
    return &s->tables;
}

uint64_t load_spilled(const struct load *s)
{
    return load_stage_spilled(s->stage);
}

bool load_add(struct load *s, const struct record *r, struct err *e)
{
    if (r->kind->kind == KIND_skipped) {
        s->problems.report.skipped++;
        return true;
    }
    if (r->kind->kind == KIND_row)
        return load_add_untyped(s->untyped, r, e);
    if (!kind_is_entity(r->kind))
        return true;
    if (s->tables.plans[r->kind->kind].table)
        return load_convert_record(&s->conversion, r, e);
    load_no_table(&s->conversion, r);
    return true;
}

static void check_default(struct load *s)
{
    const char *id = limits_stray_default(s->tables.limits);
    if (!id)
        return;
    struct err e;
    char where[64];
    struct buf what = {0};
    snprintf(where, sizeof where, "Experiment %s", id);
    limits_describe_default(&what);
    err_set(&e, where, "%s", buf_str(&what));
    err_hint(&e, "rename it in the source, or with ml-transform --rename-experiment %s=NEW", id);
    buf_free(&what);
    load_problem(&s->problems, &e);
}

bool load_check(struct load *s, struct err *e)
{
    if (!load_end_spans(&s->conversion, e))
        return false;
    load_end_trace_place(s->places);
    if (!s->checked && !s->any_ids)
        check_default(s);
    s->checked = true;
    uint64_t n = s->problems.report.problems;
    if (n - s->problems.report.not_repeated > LOAD_MAX_MESSAGES)
        err_print(NULL, "... and %llu more problems",
                  (unsigned long long)(n - s->problems.report.not_repeated - LOAD_MAX_MESSAGES));
    return n == 0 ||
           err_set(e, "", "%llu problem%s: nothing was loaded", (unsigned long long)n, n == 1 ? "" : "s");
}
