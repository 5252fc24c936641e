#include "formats/load/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/record/rows.h"
#include "formats/load/internal.h"

struct load *load_new(struct db *db, int rev, const struct load_options *options, struct err *e)
{
    struct load *s = xcalloc(1, sizeof *s);
    s->dialect = db_dialect(db);
    s->rev = rev;
    s->drop_unsupported = options->drop_unsupported;
    s->any_ids = options->any_ids;
    s->limits = limits_new(s->dialect, rev, s->any_ids);
    s->sorter = sorter_new(options->tmpdir, LOAD_MEMORY);
    bool ok = true;
    for (int k = 0; ok && k < KIND_COUNT; k++)
        if (kind_is_entity(&kinds[k]))
            ok = load_plan_kind(s, db, &kinds[k], e);
    ok = ok && load_plan_untyped(s, db, e);
    for (int i = 0; ok && i < s->n_tables; i++)
        ok = load_plan_key(db, &s->tables[i], e);
    if (ok)
        return s;
    load_free(s);
    return NULL;
}

void load_free(struct load *s)
{
    if (!s)
        return;
    sorter_free(s->sorter);
    if (s->sink)
        s->sink->ops->free(s->sink);
    arena_free(&s->scratch);
    pyjson_free(&s->json);
    buf_free(&s->key);
    buf_free(&s->data);
    buf_free(&s->text);
    buf_free(&s->told_rows);
    buf_free(&s->gateway);
    for (int i = 0; i < REF_COUNT; i++) {
        buf_free(&s->current[i]);
        buf_free(&s->noted[i]);
    }
    arena_free(&s->names);
    limits_free(s->limits);
    row_decoder_free(s->row_decoder);
    free(s->row_tables);
    free(s->sources);
    free(s);
}

void load_segment(struct load *s, const struct wire_header *header)
{
    if ((s->n_segments & (s->n_segments - 1)) == 0) /* room doubles at each power of two */
        s->sources =
            xrealloc(s->sources, (s->n_segments ? (size_t)s->n_segments * 2 : 1) * sizeof *s->sources);
    snprintf(s->sources[s->n_segments++], sizeof *s->sources, "%s", header->source);
    load_end_trace_place(s);
    s->from_file_store = strncmp(header->producer, "mlruns-dump", 11) == 0;
    s->from_database = strncmp(header->producer, "mldb-dump", 9) == 0;
    for (int i = 0; i < REF_COUNT; i++)
        buf_reset(&s->current[i]);
}

const struct load_report *load_report(const struct load *s)
{
    return &s->report;
}

uint64_t load_spilled(const struct load *s)
{
    return sorter_spilled(s->sorter);
}

bool load_add(struct load *s, const struct record *r, struct err *e)
{
    const struct load_plan *p = &s->plans[r->kind->kind];
    struct value row[LOAD_MAX_COLUMNS];
    struct load_promoted promoted;
    if (r->kind->kind == KIND_skipped) {
        s->report.skipped++;
        return true;
    }
    if (r->kind->kind == KIND_row)
        return load_add_untyped(s, r, e);
    if (!kind_is_entity(r->kind))
        return true;
    if (!p->table) {
        load_no_table(s, r);
        return true;
    }
    arena_reset(&s->scratch);
    if (s->rev >= REV_TRACE_ANALYTICS &&
        (r->kind->kind == KIND_trace_tag || r->kind->kind == KIND_trace_request_metadata) &&
        load_promote(&s->json, r, &promoted))
        return load_note_refs(s, r, p, NULL, e) && load_stage_patch(s, r, &promoted, e);
    if (!load_note_gateway(s, r, e))
        return false;
    enum verdict verdict = load_convert(s, r, p, row);
    if (s->fatal) {
        *e = s->fatal_error;
        return false;
    }
    if (verdict != KEEP)
        return true;
    if (!load_note_refs(s, r, p, row, e))
        return false;
    if (r->kind->kind == KIND_experiment && !load_stage_name(s, r, e))
        return false;
    return load_stage_row(s, r->kind->kind, p->table, row, e);
}

static void check_default(struct load *s)
{
    const char *id = limits_stray_default(s->limits);
    if (!id)
        return;
    struct err e;
    char where[64];
    struct buf what = {0};
    snprintf(where, sizeof where, "Experiment %s", id);
    limits_describe_default(&what);
    err_set(&e, where, "%s", buf_str(&what));
    err_hint(&e, "rename it, in the source or on the way: ml-transform --rename-experiment %s=NEW", id);
    buf_free(&what);
    load_problem(s, &e);
}

bool load_check(struct load *s, struct err *e)
{
    load_end_trace_place(s);
    if (!s->checked && !s->any_ids)
        check_default(s);
    s->checked = true;
    uint64_t n = s->report.problems;
    if (n - s->report.not_repeated > LOAD_MAX_MESSAGES)
        err_print(NULL, "... and %llu more problems",
                  (unsigned long long)(n - s->report.not_repeated - LOAD_MAX_MESSAGES));
    return n == 0 ||
           err_set(e, "", "%llu problem%s: nothing was loaded", (unsigned long long)n, n == 1 ? "" : "s");
}
