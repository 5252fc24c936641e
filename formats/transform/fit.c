/* Reports and counts what a target cannot hold, by the rules of formats/schema/limits.h; truncates texts
 * where possible. */
#include "formats/transform/fit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/utf8.h"
#include "formats/schema/limits.h"
#include "formats/schema/model.h"

/* This many misfits are reported for each field. */
enum { MAX_REPORTED = 5 };

struct fault { /* the misfits of one field */
    uint64_t found, cut;
};

struct fit {
    const struct schema_release *release;
    bool truncate;
    bool from_file_store; /* the segment's producer has read one */
    struct limits *limits;
    struct row_decoder *rows;
    struct fault faults[KIND_COUNT][RECORD_MAX_FIELDS];
    uint64_t unheld[KIND_COUNT]; /* number of records of kinds without a table */
    uint64_t problems;
    bool ended;
};

struct fit *fit_new(const struct fit_options *o, struct err *e)
{
    struct db *model = schema_model(o->release->rev, e);
    if (!model)
        return NULL;
    struct fit *x = xcalloc(1, sizeof *x);
    x->release = o->release;
    x->truncate = o->truncate;
    x->limits = limits_new(o->dialect, o->release->rev, o->wide_ids);
    x->rows = row_decoder_new();
    bool good = limits_read(x->limits, model, e);
    db_close(model);
    if (good)
        return x;
    fit_free(x);
    return NULL;
}

/* -- checking */

static void fault(struct fit *x, const struct record *r, int field, const char *what, const char *hint)
{
    struct fault *fault = &x->faults[r->kind->kind][field];
    struct buf where = {0};
    x->problems++;
    if (++fault->found > MAX_REPORTED)
        return;
    row_record_describe(x->rows, r, &where);
    err_print(buf_str(&where), "%s", what);
    if (hint && fault->found == 1)
        err_print_hint("%s", hint);
    buf_free(&where);
}

/* Truncates a text to n characters, if permitted. */
static bool cut(struct fit *x, struct record *r, int f, size_t n, struct arena *a)
{
    const unsigned kept =
        FIELD_K | FIELD_EXP | FIELD_RUN | FIELD_TRACE | FIELD_MODEL | FIELD_REG | FIELD_URI | FIELD_WS;
    struct value *v = &r->v[f];
    if (!x->truncate || r->kind->fields[f].flags & kept || r->kind->fields[f].codec != CODEC_TEXT)
        return false;
    size_t len = utf8_prefix(v->s, v->len, n);
    *v = value_strn(arena_strndup(a, v->s, len), len);
    x->faults[r->kind->kind][f].cut++;
    return true;
}

static const char *hint_of(const struct fit *x, const struct misfit *m)
{
    switch (m->kind) {
    case MISFIT_ID:
        return "--renumber-experiments gives experiments new ids";
    case MISFIT_WIDE_ID:
        return "--renumber-experiments gives experiments small ids; or use --wide-experiment-ids here and "
               "for ml-load";
    case MISFIT_LENGTH:
        return x->truncate ? "it is an identifier, a reference or a URI, and not truncated"
                           : "--truncate truncates it";
    default:
        return NULL;
    }
}

static void look_at_field(struct fit *x, struct record *r, int f, struct arena *a)
{
    struct misfit m;
    if (limits_field(x->limits, r, f, &m) || (m.kind == MISFIT_LENGTH && cut(x, r, f, (size_t)m.room, a)))
        return;
    /* An experiment's id is reported with the experiment, not with every reference. */
    bool id = m.kind == MISFIT_ID || m.kind == MISFIT_WIDE_ID;
    if (id && r->kind->kind != KIND_experiment &&
        x->faults[KIND_experiment][F_experiment_experiment_id].found > 0)
        return;
    struct buf what = {0};
    limits_describe(&m, r->kind->fields[f].name, &r->v[f], &what);
    fault(x, r, f, buf_str(&what), hint_of(x, &m));
    buf_free(&what);
}

static void count_unheld(struct fit *x, const struct record *r, const char *first)
{
    x->problems++;
    if (x->unheld[r->kind->kind]++ > 0 && r->kind->kind != KIND_row)
        return;
    struct buf where = {0};
    row_record_describe(x->rows, r, &where);
    err_print(buf_str(&where), "MLflow %s has no table for it%s%s", x->release->release,
              first ? "; the first that has one is " : "", first ? first : "");
    buf_free(&where);
}

static void look_at_value(struct fit *x, const struct record *r, const struct row_table *t,
                          const struct misfit *m, const struct value *v)
{
    struct buf what = {0};
    char *column = xstrndup(m->column, m->column_len);
    if (m->kind == MISFIT_NO_COLUMN)
        buf_addf(&what, "this schema has no column %s.%s", t->name, column);
    else
        limits_describe(m, column, v, &what);
    fault(x, r, F_row_values, buf_str(&what), NULL);
    free(column);
    buf_free(&what);
}

static bool look_at_row(struct fit *x, const struct record *r, struct err *e)
{
    const struct row_table *t = row_table_of(r);
    struct misfit found[LIMITS_ROW_MISFITS];
    const struct row_entry *entries;
    if (!limits_has_row_table(x->limits, t)) {
        count_unheld(x, r, NULL);
        return true;
    }
    int n = row_decode(x->rows, r, &entries, e);
    int misfits = n < 0 ? -1 : limits_row(x->limits, t, entries, n, found);
    for (int i = 0; i < misfits; i++) {
        /* Describing a fault has decoded the row again. */
        if (i > 0 && row_decode(x->rows, r, &entries, e) < 0)
            return false;
        if (found[i].entry >= 0)
            found[i].column = entries[found[i].entry].column;
        look_at_value(x, r, t, &found[i], found[i].entry < 0 ? NULL : &entries[found[i].entry].v);
    }
    return misfits >= 0;
}

void fit_segment(struct fit *x, const struct wire_header *h)
{
    x->from_file_store = wire_is_by(h, "mlruns-dump");
}

/* What is left out of a database without being lost: latest metrics follow from the points, and the spans of a file store are in
 * its files. */
static bool may_be_missing(const struct fit *x, const struct record *r)
{
    return r->kind->kind == KIND_latest_metric || (r->kind->kind == KIND_span && x->from_file_store);
}

bool fit_record(struct fit *x, struct record *r, struct arena *a, struct err *e)
{
    if (r->kind->kind == KIND_row)
        return look_at_row(x, r, e);
    if (!kind_is_entity(r->kind))
        return true;
    if (!limits_has_kind(x->limits, r->kind->kind)) {
        if (!may_be_missing(x, r))
            count_unheld(x, r, schema_first_release_with(limits_kind_since(r->kind))->release);
        return true;
    }
    for (int f = 0; f < r->kind->n_fields; f++)
        look_at_field(x, r, f, a);
    if (r->kind->kind == KIND_experiment)
        limits_note_experiment(x->limits, r);
    return true;
}

void fit_end(struct fit *x)
{
    const char *id = limits_stray_default(x->limits);
    if (!id || x->ended)
        return;
    x->ended = true;
    struct buf what = {0};
    char where[64];
    snprintf(where, sizeof where, "Experiment %s", id);
    limits_describe_default(&what);
    err_print(where, "%s", buf_str(&what));
    err_print_hint("rename it: --rename-experiment %s=NEW", id);
    x->faults[KIND_experiment][F_experiment_name].found++;
    x->problems++;
    buf_free(&what);
}

uint64_t fit_problems(const struct fit *x)
{
    return x->problems;
}

void fit_report(const struct fit *x)
{
    for (int k = 0; k < KIND_COUNT; k++) {
        if (x->unheld[k] > 0)
            err_note("%s: MLflow %s has no table for %" PRIu64 " of them", kinds[k].plural,
                     x->release->release, x->unheld[k]);
        for (int f = 0; f < kinds[k].n_fields; f++) {
            const struct fault *fault = &x->faults[k][f];
            if (fault->found > 0)
                err_note("%s: %s: %" PRIu64 " do not fit", kinds[k].plural, kinds[k].fields[f].name,
                         fault->found);
            if (fault->cut > 0)
                err_note("%s: %s: %" PRIu64 " truncated", kinds[k].plural, kinds[k].fields[f].name,
                         fault->cut);
        }
    }
}

void fit_free(struct fit *x)
{
    if (!x)
        return;
    limits_free(x->limits);
    row_decoder_free(x->rows);
    free(x);
}
