/* Counts the records of a stream by kind and by experiment. */
#include "formats/report/summary.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/array.h"
#include "common/journal.h"
#include "formats/report/internal.h"
#include "formats/record/references.h"

struct tally {
    uint64_t records, bytes;
};

struct experiment {
    struct spill_text id, name, stage;
    struct tally all;
    uint64_t runs, metrics, traces, models;
    int64_t first, last; /* start of the first and last run, in ms; first > last: unknown */
};

struct summary {
    struct tally kind[KIND_COUNT];
    struct spill *spill;
    struct spill_array experiments;
    struct idmap *place; /* experiment, run, trace, logged model -> its experiment's place */
    uint32_t *hours;     /* runs that began in each hour; NULL: not counted */
    uint64_t runs;
    int64_t first, last; /* as of an experiment */
};

struct summary *summary_new(struct spill *spill)
{
    struct summary *s = xcalloc(1, sizeof *s);
    s->spill = spill;
    s->experiments.size = sizeof(struct experiment);
    s->place = idmap_new(spill);
    s->first = INT64_MAX;
    s->last = INT64_MIN;
    return s;
}

void summary_count_hours(struct summary *s)
{
    s->hours = xcalloc(REPORT_HOURS, sizeof *s->hours); /* memory of hours without a run is not touched */
}

static struct spill_text text_of(struct summary *s, const struct value *v)
{
    struct buf b = {0};
    value_describe(v, &b);
    struct spill_text text = spill_text(s->spill, buf_str(&b), b.len);
    buf_free(&b);
    return text;
}

/* An experiment is in every shard: only its first record adds a line. Returns its place. */
static uint64_t add_experiment(struct summary *s, const struct record *r)
{
    struct id_key key = ref_key(r, F_experiment_experiment_id);
    uint64_t place;
    if (idmap_get(s->place, key, &place))
        return place;
    struct experiment x = {.id = text_of(s, &r->v[F_experiment_experiment_id]),
                           .name = text_of(s, &r->v[F_experiment_name]),
                           .stage = text_of(s, &r->v[F_experiment_lifecycle_stage]),
                           .first = INT64_MAX,
                           .last = INT64_MIN};
    place = spill_append(s->spill, &s->experiments, &x);
    idmap_add(s->place, key, place);
    return place;
}

/* The experiment that a record belongs to, by its own field or by its owner's; false for the registry's. */
static bool experiment_of(struct summary *s, const struct record *r, uint64_t *place)
{
    if (r->kind->kind == KIND_experiment) {
        *place = add_experiment(s, r);
        return true;
    }
    for (int f = 0; f < r->kind->n_fields; f++) {
        bool names = r->kind->fields[f].flags & FIELD_EXP || ref_is_hard(r->kind, f);
        if (names && !value_is_null(&r->v[f]) && idmap_get(s->place, ref_key(r, f), place))
            return true;
    }
    return false;
}

static void count(struct experiment *x, const struct record *r, size_t bytes)
{
    x->all.records++;
    x->all.bytes += bytes;
    x->metrics += r->kind->kind == KIND_metric;
    x->traces += r->kind->kind == KIND_trace;
    x->models += r->kind->kind == KIND_logged_model;
    if (r->kind->kind != KIND_run)
        return;
    const struct value *start = &r->v[F_run_start_time];
    x->runs++;
    if (value_is_null(start))
        return;
    x->first = start->i < x->first ? start->i : x->first;
    x->last = start->i > x->last ? start->i : x->last;
}

static void count_run(struct summary *s, const struct record *r)
{
    const struct value *start = &r->v[F_run_start_time];
    s->runs++;
    if (value_is_null(start))
        return;
    s->first = start->i < s->first ? start->i : s->first;
    s->last = start->i > s->last ? start->i : s->last;
    int64_t hour = start->i / 3600000;
    if (s->hours && start->i >= 0 && hour < REPORT_HOURS)
        s->hours[hour]++;
}

void summary_add(struct summary *s, const struct record *r, size_t bytes)
{
    struct experiment x;
    uint64_t place;
    int own = ref_own_field(r->kind);
    s->kind[r->kind->kind].records++;
    s->kind[r->kind->kind].bytes += bytes;
    if (r->kind->kind == KIND_run)
        count_run(s, r);
    if (!experiment_of(s, r, &place))
        return;
    if (own >= 0 && r->kind->kind != KIND_experiment)
        idmap_set(s->place, ref_key(r, own), place);
    spill_get_item(s->spill, &s->experiments, place, &x);
    count(&x, r, bytes);
    spill_put_item(s->spill, &s->experiments, place, &x);
}

/* A time in ms as UTC, or "-". */
static void add_time(bool known, int64_t ms, struct buf *out)
{
    char text[32];
    struct tm tm;
    time_t t = (time_t)(ms / 1000 - (ms % 1000 < 0));
    if (known && gmtime_r(&t, &tm) && strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) > 0)
        buf_addf(out, "  %-20s", text);
    else
        buf_addf(out, "  %-20s", "-");
}

static int by_report_order(const void *a, const void *b)
{
    const struct kind_desc *x = *(const struct kind_desc *const *)a, *y = *(const struct kind_desc *const *)b;
    return (x->report_rank > y->report_rank) - (x->report_rank < y->report_rank);
}

static void print_kinds(const struct summary *s, struct buf *out)
{
    const struct kind_desc *order[KIND_COUNT];
    struct tally all = {0};
    for (int i = 0; i < KIND_COUNT; i++)
        order[i] = &kinds[i];
    qsort(order, KIND_COUNT, sizeof order[0], by_report_order);
    buf_addf(out, "%-26s %14s %16s\n", "Kind", "Records", "Bytes");
    for (int i = 0; i < KIND_COUNT; i++) {
        const struct tally *t = &s->kind[order[i]->kind];
        all.records += t->records;
        all.bytes += t->bytes;
        if (t->records > 0)
            buf_addf(out, "%-26s %14" PRIu64 " %16" PRIu64 "\n", order[i]->plural, t->records, t->bytes);
    }
    buf_addf(out, "%-26s %14" PRIu64 " %16" PRIu64 "\n", "All", all.records, all.bytes);
}

/* Appends a text of the spill, at least `width` characters, and what follows. */
static void add_text(const struct summary *s, struct spill_text text, size_t width, const char *after,
                     struct buf *out)
{
    struct buf b = {0};
    spill_read_text(s->spill, text, &b);
    buf_addf(out, "%-*s%s", (int)width, buf_str(&b), after);
    buf_free(&b);
}

bool summary_print(const struct summary *s, FILE *out, struct err *e)
{
    struct buf text = {0};
    print_kinds(s, &text);
    if (s->experiments.n > 0)
        buf_addf(&text, "\n%-20s %-8s %8s %12s %8s %8s %14s  %-20s  %-20s  %s\n", "Experiment", "Stage",
                 "Runs", "Metrics", "Traces", "Models", "Bytes", "First run", "Last run", "Name");
    bool ok = true;
    for (uint64_t i = 0; ok && i < s->experiments.n; i++) {
        struct experiment x;
        spill_get_item(s->spill, &s->experiments, i, &x);
        bool known = x.first <= x.last;
        add_text(s, x.id, 20, " ", &text);
        add_text(s, x.stage, 8, " ", &text);
        buf_addf(&text, "%8" PRIu64 " %12" PRIu64 " %8" PRIu64 " %8" PRIu64 " %14" PRIu64, x.runs, x.metrics,
                 x.traces, x.models, x.all.bytes);
        add_time(known, x.first, &text);
        add_time(known, x.last, &text);
        buf_adds(&text, "  ");
        add_text(s, x.name, 0, "\n", &text);
        ok = spill_check(s->spill, e);
        if (ok)
            fwrite(text.data, 1, text.len, out);
        buf_reset(&text);
    }
    if (text.len)
        fwrite(text.data, 1, text.len, out);
    buf_free(&text);
    return ok;
}

/* -- the journal */

/* The experiments with the most runs, most first. */
struct largest {
    struct {
        uint64_t runs, place;
    } items[SUMMARY_EXPERIMENTS];
    size_t n;
};

static void insert(struct largest *l, uint64_t runs, uint64_t place)
{
    size_t i = l->n < SUMMARY_EXPERIMENTS ? l->n++ : SUMMARY_EXPERIMENTS;
    if (i == SUMMARY_EXPERIMENTS && runs <= l->items[--i].runs)
        return;
    for (; i > 0 && l->items[i - 1].runs < runs; i--)
        l->items[i] = l->items[i - 1];
    l->items[i].runs = runs;
    l->items[i].place = place;
}

static void journal_spilled(struct summary *s, struct spill_text text, struct buf *line)
{
    struct buf b = {0};
    spill_read_text(s->spill, text, &b);
    journal_bytes(line, buf_str(&b), b.len);
    buf_free(&b);
}

static void journal_period(struct buf *line, int64_t first, int64_t last)
{
    if (first <= last)
        buf_addf(line, "\t%" PRId64 "\t%" PRId64, first, last);
}

static void journal_experiment(struct summary *s, uint64_t place, struct buf *line)
{
    struct experiment x;
    spill_get_item(s->spill, &s->experiments, place, &x);
    journal_text(line, "experiment");
    journal_spilled(s, x.id, line);
    journal_spilled(s, x.name, line);
    journal_spilled(s, x.stage, line);
    const uint64_t counts[] = {x.runs, x.metrics, x.traces, x.models};
    for (size_t i = 0; i < ARRAY_LENGTH(counts); i++)
        journal_count(line, counts[i]);
    journal_period(line, x.first, x.last);
    journal_put(line);
}

bool summary_journal(struct summary *s, struct err *e)
{
    struct largest largest = {.n = 0};
    struct buf line = {0};
    uint64_t others = 0;
    for (uint64_t i = 0; i < s->experiments.n; i++) {
        struct experiment x;
        spill_get_item(s->spill, &s->experiments, i, &x);
        insert(&largest, x.runs, i);
        others += x.runs;
    }
    for (size_t i = 0; i < largest.n; i++) {
        journal_experiment(s, largest.items[i].place, &line);
        others -= largest.items[i].runs;
    }
    journal_text(&line, "experiments");
    journal_count(&line, s->experiments.n);
    journal_count(&line, others);
    journal_put(&line);
    journal_text(&line, "runs");
    journal_count(&line, s->runs);
    journal_period(&line, s->first, s->last);
    journal_put(&line);
    for (uint64_t hour = 0; s->hours && hour < REPORT_HOURS; hour++) {
        if (!s->hours[hour])
            continue;
        journal_text(&line, "hour");
        journal_count(&line, hour);
        journal_count(&line, s->hours[hour]);
        journal_put(&line);
    }
    buf_free(&line);
    return spill_check(s->spill, e);
}

void summary_free(struct summary *s)
{
    if (!s)
        return;
    free(s->hours);
    idmap_free(s->place);
    free(s);
}
