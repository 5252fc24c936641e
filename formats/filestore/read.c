/* Reads a file store: threads take units in order and deliver their records in the same order. The thread
 * with the next unit delivers as it reads; the others fill a buffer and wait for their turn when it is
 * full. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "formats/filestore/contexts.h"
#include "formats/filestore/tick_plan.h"
#include "formats/filestore/units.h"

enum {
    HELD_BACK = 8 << 20,   /* bytes that all units together may buffer */
    SLOT_SIZE = 256 << 10, /* bytes that one unit may buffer */
    LARGE_HELD = 8 << 20,  /* bytes for large files in all units but the next one */
    SLOTS_PER_JOB = 4,
    MAX_SLOTS = 64,
    MAX_JOBS = 64,
};

struct slot {
    struct output out;
    struct context *context; /* NULL: none is wanted before it */
    size_t large;            /* its bytes of LARGE_HELD */
    bool done;               /* completely read */
};

struct reading {
    struct mlruns *m;
    const struct mlruns_selection *selection;
    const struct mlruns_sink *sink;
    struct tick_plan *tick; /* NULL: all is read */
    bool failed;            /* the state can't be read: error says why */
    struct err error;
    struct clash_names *clash; /* NULL: names of experiments are not compared */
    struct contexts *contexts; /* of a tick with a base, else NULL */
    struct uri_tally *tally;   /* of finished threads; NULL: URIs are not examined */

    pthread_mutex_t units_lock;
    struct units *units;
    uint64_t n_taken;

    /* the turns */
    pthread_mutex_t turn_lock;
    pthread_cond_t turn_changed;
    uint64_t turn; /* number of the unit being delivered */
    struct slot *slots;
    size_t n_slots;
    size_t slot_size; /* bytes per slot */
    size_t large;     /* sum of all slots */
};

struct reader { /* a thread */
    struct reading *reading;
    struct walker walker;
    struct tick_reader tick;
    struct found_unit found;
    uint64_t number; /* number of the unit */
};

/* -- turns */

static void hand_over_notes(struct reading *r, const struct output *out)
{
    const char *p = buf_str(&out->notes), *end = p + out->notes.len;
    const struct mlruns_sink *sink = r->sink;
    while (p < end) {
        const char *path = p + 1, *reason = path + strlen(path) + 1;
        if (*p >= '0' && *p < '0' + MLRUNS_SPANS_COUNT) {
            if (sink->spans)
                sink->spans(sink->ctx, (enum mlruns_spans)(*p - '0'), path, reason);
        } else if (*p == 'p' || *p == 'w')
            (*p == 'p' ? sink->problem : sink->warning)(sink->ctx, path, reason);
        else
            (*p == 'h' ? sink->held : sink->gone)(sink->tick_ctx, path, reason);
        p = reason + strlen(reason) + 1;
    }
}

static bool has_entities(const struct wire_counts *counts)
{
    for (int i = 0; i < KIND_COUNT; i++)
        if (counts->n[i] && i != KIND_skipped)
            return true;
    return false;
}

static void hand_over(struct reading *r, struct output *out, struct context *context)
{
    hand_over_notes(r, out);
    if (context && has_entities(&out->counts))
        contexts_hand_over(r->contexts, context, r->sink);
    if (out->data.len)
        r->sink->records(r->sink->ctx, out->data.data, out->data.len, &out->counts);
    uint64_t range[2];
    for (size_t at = 0; at < out->copies.len; at += sizeof range) {
        memcpy(range, out->copies.data + at, sizeof range);
        r->sink->state_copy(r->sink->tick_ctx, range[0], range[1]);
    }
    if (out->state.len)
        r->sink->state(r->sink->tick_ctx, out->state.data, out->state.len);
    buf_reset(&out->data);
    buf_trim(&out->notes);
    buf_trim(&out->copies);
    buf_trim(&out->state);
    out->counts = (struct wire_counts){0};
    out->problems = 0;
    out->handed_over++;
}

static void wait_for_turn(struct reading *r, uint64_t number)
{
    pthread_mutex_lock(&r->turn_lock);
    while (r->turn != number)
        pthread_cond_wait(&r->turn_changed, &r->turn_lock);
    pthread_mutex_unlock(&r->turn_lock);
}

static struct slot *slot_of(struct reading *r, uint64_t number)
{
    return &r->slots[number % r->n_slots];
}

/* Delivers the records of a slot, whose turn it is. */
static void hand_over_slot(struct reading *r, struct slot *slot)
{
    hand_over(r, &slot->out, slot->context);
    if (slot->out.data.cap > 2 * r->slot_size)
        buf_free(&slot->out.data);
    pthread_mutex_lock(&r->turn_lock);
    if (slot->large)
        pthread_cond_broadcast(&r->turn_changed);
    r->large -= slot->large;
    slot->large = 0;
    pthread_mutex_unlock(&r->turn_lock);
}

/* Called when the buffer of the unit being read is full. */
static void on_full(struct walker *w)
{
    struct reader *reader = w->full_ctx;
    wait_for_turn(reader->reading, reader->number);
    hand_over_slot(reader->reading, slot_of(reader->reading, reader->number));
}

/* Waits until there is room for a large file. The next unit never waits, since it makes room. */
static void on_large(struct walker *w, size_t bytes)
{
    struct reader *reader = w->full_ctx;
    struct reading *r = reader->reading;
    struct slot *slot = slot_of(r, reader->number);
    pthread_mutex_lock(&r->turn_lock);
    while (r->turn != reader->number && r->large + bytes > LARGE_HELD)
        pthread_cond_wait(&r->turn_changed, &r->turn_lock);
    if (r->turn != reader->number) {
        r->large += bytes;
        slot->large += bytes;
        bytes = 0;
    }
    pthread_mutex_unlock(&r->turn_lock);
    if (bytes) /* deliver the buffer first, to make room */
        hand_over_slot(r, slot);
}

/* Marks a unit as read; if it is its turn, delivers it and the units after it that were waiting. */
static void finish_unit(struct reading *r, uint64_t number)
{
    struct slot *slot = slot_of(r, number);
    pthread_mutex_lock(&r->turn_lock);
    slot->done = true;
    while (r->turn == number && slot->done) {
        pthread_mutex_unlock(&r->turn_lock);
        hand_over_slot(r, slot);
        if (slot->context)
            contexts_leave(r->contexts, slot->context);
        slot->context = NULL;
        pthread_mutex_lock(&r->turn_lock);
        slot->done = false;
        number = ++r->turn;
        slot = slot_of(r, number);
        pthread_cond_broadcast(&r->turn_changed);
    }
    pthread_mutex_unlock(&r->turn_lock);
}

/* Waits until at most `pending` units are taken and not delivered. */
static void wait_for_room(struct reading *r, uint64_t pending)
{
    pthread_mutex_lock(&r->turn_lock);
    while (r->n_taken - r->turn > pending)
        pthread_cond_wait(&r->turn_changed, &r->turn_lock);
    pthread_mutex_unlock(&r->turn_lock);
}

/* -- readers */

static bool take_unit(struct reading *r, struct reader *reader)
{
    pthread_mutex_lock(&r->units_lock);
    wait_for_room(r, r->n_slots - 1);
    enum units_step step = units_next(r->units, &reader->found);
    if (step == UNITS_PAUSE) {
        wait_for_room(r, 0);
        step = units_next(r->units, &reader->found);
    }
    if (step == UNITS_ONE) {
        pthread_mutex_lock(&r->turn_lock);
        reader->number = r->n_taken++;
        pthread_mutex_unlock(&r->turn_lock);
        reader->walker.out = &slot_of(r, reader->number)->out;
        if (r->tick)
            tick_plan_meet(r->tick, &reader->found.unit, &reader->walker);
    }
    pthread_mutex_unlock(&r->units_lock);
    return step == UNITS_ONE;
}

static void add_tally(struct reading *r, struct uri_tally *t)
{
    pthread_mutex_lock(&r->turn_lock);
    relocate_tally_add(r->tally, t);
    pthread_mutex_unlock(&r->turn_lock);
    relocate_tally_free(t);
}

static void end_tick_reader(struct reading *r, struct tick_reader *t)
{
    pthread_mutex_lock(&r->turn_lock);
    if (t->failed && !r->failed)
        r->error = t->error;
    r->failed |= t->failed;
    pthread_mutex_unlock(&r->turn_lock);
    tick_reader_free(t);
}

static void *reader_run(void *arg)
{
    struct reader *reader = arg;
    struct reading *r = reader->reading;
    walker_init(&reader->walker, r->m, r->m->root, NULL);
    reader->walker.limit = r->slot_size;
    reader->walker.full = on_full;
    reader->walker.large = on_large;
    reader->walker.full_ctx = reader;
    reader->walker.clash = r->clash;
    reader->walker.tally = r->tally ? relocate_tally_new() : NULL;
    if (r->tick) {
        tick_reader_init(&reader->tick, r->selection->tick);
        reader->walker.tick = &reader->tick;
    }
    while (take_unit(r, reader)) {
        unit_read(&reader->walker, &reader->found.unit, buf_str(&reader->found.path), r->contexts,
                  &slot_of(r, reader->number)->context);
        buf_trim(&reader->walker.file);
        yaml_reader_trim(reader->walker.yaml);
        yaml_reader_trim(reader->walker.other_yaml);
        finish_unit(r, reader->number);
    }
    if (r->tick)
        end_tick_reader(r, &reader->tick);
    if (r->tally)
        add_tally(r, reader->walker.tally);
    walker_free(&reader->walker);
    found_unit_free(&reader->found);
    return NULL;
}

static void run_readers(struct reading *r, unsigned jobs)
{
    struct reader *readers = xcalloc(jobs, sizeof *readers);
    pthread_t *threads = xcalloc(jobs, sizeof *threads);
    unsigned n = 0;
    for (unsigned i = 0; i < jobs; i++)
        readers[i].reading = r;
    if (jobs > 1)
        while (n < jobs && pthread_create(&threads[n], NULL, reader_run, &readers[n]) == 0)
            n++;
    if (n == 0) /* one job, or no thread could be created */
        reader_run(&readers[0]);
    for (unsigned i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    free(readers);
    free(threads);
}

static void hand_over_rest(struct walker *w)
{
    hand_over(w->full_ctx, w->out, NULL);
}

/* What is left of the state is not there any more. false with e filled: the state could not be read. */
static bool end_tick(struct reading *r, struct err *e)
{
    struct output out = {0};
    struct walker w = {
        .store = r->m, .out = &out, .limit = r->slot_size, .full = hand_over_rest, .full_ctx = r};
    if (!r->tick)
        return true;
    bool good = tick_plan_end(r->tick, &w, e);
    if (good && r->failed) {
        *e = r->error;
        good = false;
    }
    hand_over(r, &out, NULL);
    output_free(&out);
    tick_plan_free(r->tick);
    return good;
}

static void reading_begin(struct reading *r, unsigned jobs)
{
    const struct mlruns_tick *tick = r->selection->tick;
    r->units = units_new(r->m, r->selection);
    r->n_slots = jobs == 1 ? 1 : jobs * SLOTS_PER_JOB > MAX_SLOTS ? MAX_SLOTS : jobs * SLOTS_PER_JOB;
    r->slot_size = HELD_BACK / r->n_slots < SLOT_SIZE ? HELD_BACK / r->n_slots : SLOT_SIZE;
    r->slots = xcalloc(r->n_slots, sizeof *r->slots);
    r->contexts = tick && tick->old ? contexts_new(r->m, r->n_slots) : NULL;
    r->tally = r->sink->root ? relocate_tally_new() : NULL;
    r->tick = tick ? tick_plan_new(r->m, tick) : NULL;
    r->clash = r->sink->same_name ? clash_names_new(r->m) : NULL;
}

static void reading_end(struct reading *r)
{
    if (r->tally)
        relocate_tally_free(r->tally);
    clash_names_free(r->clash);
    for (size_t i = 0; i < r->n_slots; i++)
        output_free(&r->slots[i].out);
    free(r->slots);
    contexts_free(r->contexts);
    units_free(r->units);
}

bool mlruns_read(struct mlruns *m, const struct mlruns_selection *selection, const struct mlruns_sink *sink,
                 struct err *e)
{
    unsigned jobs = selection->jobs < 1 ? 1 : selection->jobs > MAX_JOBS ? MAX_JOBS : selection->jobs;
    struct reading r = {
        .m = m,
        .selection = selection,
        .sink = sink,
        .units_lock = PTHREAD_MUTEX_INITIALIZER,
        .turn_lock = PTHREAD_MUTEX_INITIALIZER,
        .turn_changed = PTHREAD_COND_INITIALIZER,
    };
    if (!units_choose(m, selection, e))
        return false;
    reading_begin(&r, jobs);
    run_readers(&r, jobs);
    bool good = end_tick(&r, e);
    if (r.tally)
        relocate_tally_report(m, r.tally, sink);
    if (r.clash)
        good = clash_report_same_names(m, r.clash, sink, e) && good;
    reading_end(&r);
    return good;
}
