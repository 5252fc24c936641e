/* Runs the comparison, section by section. */
#include <stdlib.h>
#include <string.h>

#include "common/array.h"
#include "common/progress.h"
#include "formats/verify/internal.h"

enum { STAGE_MEMORY = 12 << 20 }; /* bytes */

static void read_order(const struct fetch *f, struct order *order)
{
    for (int i = 0; i < KIND_COUNT; i++)
        order[i].n = fetch_order(f, (enum kind)i, order[i].fields, &order[i].identity);
}

static bool promotes(const struct verify *v, int which)
{
    static const char *const keys[PROMOTED_COUNT] = {
        [PROMOTED_NAME] = "mlflow.traceName",
        [PROMOTED_SESSION] = "mlflow.trace.session",
        [PROMOTED_USAGE] = "mlflow.trace.tokenUsage",
        [PROMOTED_COST] = "mlflow.trace.cost",
    };
    return keys[which] && fetch_promotes(v->fetch, keys[which]);
}

static void learn_columns(struct verify *v)
{
    v->source_form.dialect = db_dialect(v->db);
    v->source_form.exact = v->options.exact;
    for (int i = 0; i < PROMOTED_COUNT; i++)
        v->source_form.promoted[i] = promotes(v, i);
    v->converts = v->source_form.promoted[PROMOTED_USAGE];
    v->target_form = v->derived_form = v->source_form;
}

struct verify *verify_new(struct db *db, const struct verify_options *o, struct err *e)
{
    struct verify *v = xcalloc(1, sizeof *v);
    v->db = db;
    v->options = *o;
    v->fetch = fetch_new(db, e);
    if (!v->fetch || !verify_finds_categories(db, &v->converts_issues, e) ||
        !verify_learn_spans(v, &v->spans, e)) {
        fetch_free(v->fetch);
        free(v);
        return NULL;
    }
    read_order(v->fetch, v->order);
    learn_columns(v);
    v->stage = sorter_new(o->tmpdir, STAGE_MEMORY);
    v->decoder = wire_decoder_new();
    v->decoder_before = wire_decoder_new();
    v->row_decoder = row_decoder_new();
    v->failure_decoder = row_decoder_new();
    return v;
}

void verify_free(struct verify *v)
{
    if (!v)
        return;
    fetch_close(v->cursor);
    rows_close(v->rows);
    row_decoder_free(v->row_decoder);
    row_decoder_free(v->failure_decoder);
    fetch_free(v->fetch);
    sorter_free(v->stage);
    wire_decoder_free(v->decoder);
    wire_decoder_free(v->decoder_before);
    equality_free(&v->source_form);
    equality_free(&v->target_form);
    equality_free(&v->derived_form);
    arena_free(&v->kept_arena);
    pyjson_free(&v->categories);
    db_finalize(v->find_span);
    span_content_free(&v->span);
    buf_free(&v->dimensions);
    struct buf *bufs[] = {&v->key,          &v->data,          &v->item_data,    &v->before_key,
                          &v->before_data,  &v->target_key,    &v->group,        &v->name,
                          &v->gathered.key, &v->gathered.data, &v->gathered.text};
    for (size_t i = 0; i < ARRAY_LENGTH(bufs); i++)
        buf_free(bufs[i]);
    free(v);
}

/* -- sections */

static bool merge_section(struct verify *v, const struct section *section, struct err *e)
{
    struct side *a = &v->source, *b = &v->target;
    while (a->have || b->have) {
        int order = !a->have   ? 1
                    : !b->have ? -1
                               : verify_compare_bytes(a->key, a->identity_len, b->key, b->identity_len);
        bool ok;
        if (order < 0) {
            if (!verify_may_lack(a))
                verify_missing(v, &a->record);
            ok = verify_source_next(v, section, e);
        } else if (order > 0) {
            verify_extra(v, &b->record);
            ok = verify_target_next(v, e);
        } else {
            ok = verify_match_group(v, section, e);
        }
        if (!ok)
            return false;
    }
    return true;
}

/* A database older than latest metrics is complete without them. */
static bool skip_section(struct verify *v, const struct section *section, struct err *e)
{
    for (; v->source.have; v->result->underived++)
        if (!verify_source_next(v, section, e))
            return false;
    return true;
}

static bool compare_kind(struct verify *v, const struct section *section, struct err *e)
{
    enum kind kind = section->kind->kind;
    if (kind == KIND_latest_metric && !fetch_has_kind(v->fetch, kind))
        return skip_section(v, section, e);
    v->cursor = fetch_open(v->fetch, kind, FETCH_ORDERED | FETCH_DERIVED, NULL, e);
    bool ok = v->cursor && verify_target_next(v, e) && merge_section(v, section, e);
    fetch_close(v->cursor);
    v->cursor = NULL;
    return ok;
}

/* -- rows of unknown tables: their key is all their values */

struct other_side {
    struct verify *v;
    struct sorter *sorter;
    struct buf key, data;
};

static bool stage_other(const struct record *r, void *arg, struct err *e)
{
    struct other_side *o = arg;
    verify_whole_key(r, &o->key);
    buf_reset(&o->data);
    wire_encode(r, &o->data);
    return sorter_add(o->sorter, o->key.data, o->key.len, o->data.data, o->data.len, e);
}

static bool extra_other(struct verify *v, struct sorter *target, const struct sort_entry *item, struct err *e)
{
    struct record r;
    struct buf data = {0};
    bool ok = sorter_read(target, item, 0, item->data_len, &data, e) &&
              wire_decode(v->decoder_before, data.data, data.len, &r, e);
    if (ok)
        verify_extra(v, &r);
    buf_free(&data);
    return ok;
}

/* Merges the source's rows with the staged rows of the target. */
static bool merge_others(struct verify *v, const struct section *section, struct sorter *target,
                         struct err *e)
{
    struct sort_entry item;
    int more = sorter_next(target, &item, e);
    while (more > 0 || (more == 0 && v->source.have)) {
        int order = more == 0 ? -1
                    : !v->source.have
                        ? 1
                        : verify_compare_bytes(v->source.key, v->source.key_len, item.key, item.key_len);
        if (order == 0)
            verify_passed(v, &v->source.record);
        else if (order < 0)
            verify_missing(v, &v->source.record);
        else if (!extra_other(v, target, &item, e))
            return false;
        if (order <= 0 && !verify_source_next(v, section, e))
            return false;
        if (order >= 0)
            more = sorter_next(target, &item, e);
    }
    return more == 0;
}

static bool compare_others(struct verify *v, const struct section *section, struct err *e)
{
    struct other_side o = {.v = v, .sorter = sorter_new(v->options.tmpdir, STAGE_MEMORY)};
    bool ok = others_read(v->options.others, v->db, stage_other, &o, e) && sorter_finish(o.sorter, e) &&
              merge_others(v, section, o.sorter, e);
    sorter_free(o.sorter);
    buf_free(&o.key);
    buf_free(&o.data);
    return ok;
}

/* Rows created by MLflow's server and secrets are not extra if the source has none. */
static bool compare_table(struct verify *v, const struct section *section, struct err *e)
{
    const struct row_table *t = section->table;
    bool quiet = t && (t->flags & (ROW_SERVER | ROW_SECRETS)) && !v->source.have;
    if (!t && v->options.others && v->source.have)
        return compare_others(v, section, e);
    if (!t)
        return merge_section(v, section, e);
    v->rows = rows_open(v->db, t, ROWS_ORDERED | ROWS_WITH_SECRETS, NULL, e);
    bool ok = v->rows && verify_target_next(v, e);
    if (quiet && ok)
        v->result->server_tables += v->target.have;
    else
        ok = ok && merge_section(v, section, e) &&
             (strcmp(t->name, "workspaces") != 0 || v->options.subset || verify_default_workspace(v, e));
    rows_close(v->rows);
    v->rows = NULL;
    return ok;
}

static bool compare_section(struct verify *v, const struct kind_desc *k, const struct row_table *t,
                            struct err *e)
{
    struct section section = verify_section(k, t);
    v->source.have = v->target.have = false;
    return verify_source_next(v, &section, e) &&
           (k->kind == KIND_row ? compare_table(v, &section, e) : compare_kind(v, &section, e));
}

static int by_report_order(const void *a, const void *b)
{
    const struct kind_desc *const *x = a, *const *y = b;
    return (*x)->report_rank - (*y)->report_rank;
}

static bool compare_kinds(struct verify *v, struct err *e)
{
    const struct kind_desc *sorted[KIND_COUNT];
    int n = 0;
    for (int i = 0; i < KIND_COUNT; i++)
        if (kind_is_entity(&kinds[i]))
            sorted[n++] = &kinds[i];
    qsort(sorted, (size_t)n, sizeof *sorted, by_report_order);
    for (int i = 0; i < n; i++)
        if (!compare_section(v, sorted[i], NULL, e))
            return false;
    for (int i = 0; i < row_tables_count; i++)
        if (!compare_section(v, &kinds[KIND_row], &row_tables[i], e))
            return false;
    return compare_section(v, &kinds[KIND_row], NULL, e);
}

/* Reads the catalog again within the snapshot: the stream was sorted by the earlier one. */
static bool refresh_catalog(struct verify *v, struct err *e)
{
    struct order order[KIND_COUNT] = {0};
    bool converts_issues;
    if (!verify_finds_categories(v->db, &converts_issues, e))
        return false;
    struct fetch *fresh = fetch_new(v->db, e);
    if (!fresh)
        return false;
    read_order(fresh, order);
    fetch_free(v->fetch);
    v->fetch = fresh;
    struct verify_spans spans;
    if (!verify_learn_spans(v, &spans, e))
        return false;
    bool same = converts_issues == v->converts_issues && memcmp(order, v->order, sizeof order) == 0 &&
                spans.form == v->spans.form && spans.tokens == v->spans.tokens &&
                spans.prompts == v->spans.prompts;
    for (int i = 0; i < PROMOTED_COUNT; i++)
        same = same && promotes(v, i) == v->source_form.promoted[i];
    if (same)
        return true;
    return err_set(e, db_display(v->db),
                   "its tables were changed while the stream was read; run ml-verify again");
}

bool verify_compare(struct verify *v, struct verify_result *out, struct err *e)
{
    memset(out, 0, sizeof *out);
    out->unplaced = v->unplaced;
    out->spans_left = v->spans_left;
    out->version_models = v->version_models;
    v->result = out;
    if (!sorter_finish(v->stage, e) || !db_begin_read(v->db, e))
        return false;
    bool ok = refresh_catalog(v, e) && compare_kinds(v, e);
    db_rollback(v->db);
    return ok;
}
