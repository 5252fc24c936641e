/* Reads a file store: threads take units in order and deliver their records in the same order. The thread
 * with the next unit delivers as it reads; the others fill a buffer and wait for their turn when it is
 * full. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xxhash.h>

#include "common/array.h"
#include "formats/filestore/tick_plan.h"

enum {
    HELD_BACK = 8 << 20,   /* bytes that all units together may buffer */
    SLOT_SIZE = 256 << 10, /* bytes that one unit may buffer */
    LARGE_HELD = 8 << 20,  /* bytes for large files in all units but the next one */
    SLOTS_PER_JOB = 4,
    MAX_SLOTS = 64,
    MAX_JOBS = 64,
};

enum phase { PHASE_EXPERIMENTS, PHASE_CONTENTS, PHASE_REGISTRY, PHASE_END };
enum listing { LIST_RUNS, LIST_TRACES, LIST_MODELS, LIST_END };

/* Of a tick: the record of an experiment that goes before what is in it, until it is sent. */
struct context {
    uint64_t experiment; /* its place */
    unsigned users;      /* slots; 0: it may be replaced */
    struct buf record;
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
    struct clash_names *clash;    /* NULL: names of experiments are not compared */
    pthread_mutex_t context_lock; /* of the contexts, of which there are as many as slots */
    struct context *contexts;
    struct uri_tally *tally; /* of finished threads; NULL: URIs are not examined */

    /* the plan: the next unit to read */
    pthread_mutex_t plan_lock;
    enum phase phase;
    uint64_t n_experiments;
    uint64_t next;             /* the next experiment's place */
    struct experiment current; /* whose contents are being listed */
    bool has_current;
    enum listing listing;
    struct names names;
    struct name_list list; /* names of the directory being read */
    int dir;               /* that directory; -1: none, and no list */
    char *chunk;
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
    struct unit unit;
    struct experiment experiment; /* of the unit */
    struct buf unit_path;
    char name[NAMES_SIZE];
    struct buf trouble;
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

/* Before the first records that are in an experiment which has not changed itself. */
static void hand_over_context(struct reading *r, struct context *c)
{
    struct wire_counts counts = {0};
    struct experiment x = {.at = c->experiment};
    pthread_mutex_lock(&r->context_lock);
    if (c->record.len && !(experiments_flags(r->m->experiments, c->experiment) & EXPERIMENT_SENT)) {
        counts.n[KIND_experiment] = 1;
        r->sink->records(r->sink->ctx, c->record.data, c->record.len, &counts);
        experiments_mark(r->m->experiments, &x, EXPERIMENT_SENT, 0);
        buf_free(&c->record);
    }
    pthread_mutex_unlock(&r->context_lock);
}

static void hand_over(struct reading *r, struct output *out, struct context *context)
{
    hand_over_notes(r, out);
    if (context && has_entities(&out->counts))
        hand_over_context(r, context);
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

/* The slot's unit has been handed over. */
static void leave_context(struct reading *r, struct slot *slot)
{
    if (!slot->context)
        return;
    pthread_mutex_lock(&r->context_lock);
    if (--slot->context->users == 0 && slot->context->record.cap > BUF_KEPT)
        buf_free(&slot->context->record);
    pthread_mutex_unlock(&r->context_lock);
    slot->context = NULL;
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
        leave_context(r, slot);
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

/* -- plan */

static bool in_shard(const struct mlruns_selection *s, const char *id)
{
    return s->shards <= 1 || XXH3_64bits(id, strlen(id)) % s->shards == s->shard;
}

static bool is_reserved(const char *name)
{
    static const char *const reserved[] = {"tags", "datasets", "traces", "models"};
    for (size_t i = 0; i < ARRAY_LENGTH(reserved); i++)
        if (strcmp(name, reserved[i]) == 0)
            return true;
    return false;
}

static void close_listing(struct reading *r)
{
    if (r->dir < 0)
        return;
    names_end(&r->list);
    close(r->dir);
    r->dir = -1;
}

static const char *experiment_prefix(const struct experiment *x)
{
    return trash_prefix(x && experiment_is(x, EXPERIMENT_DELETED));
}

/* Lists the directory, which it takes or closes. Returns 0 or an error. */
static int begin_listing(struct reading *r, int dir)
{
    int error = dir_list(&r->names, &r->list, dir, r->chunk);
    if (error)
        close(dir);
    else
        r->dir = dir;
    return error;
}

/* Lists a directory of the plan, of an experiment x or of the store. Returns 0 or an error; a missing one is
 * empty if the experiment still exists. */
static int open_listing(struct reading *r, const struct experiment *x, const char *path)
{
    close_listing(r);
    int dir = dir_open(r->m->root, path);
    if (dir < 0) {
        if (errno != ENOENT || !x)
            return errno == ENOENT ? 0 : errno;
        char meta[NAMES_SIZE + 32];
        snprintf(meta, sizeof meta, "%s%s/meta.yaml", experiment_prefix(x), x->id);
        struct stat st;
        return dir_stat(r->m->root, meta, &st);
    }
    return begin_listing(r, dir);
}

/* Initialises the unit for a directory. */
static void set_unit(struct reader *reader, enum unit_kind kind, const struct experiment *x, const char *in,
                     const char *name, unsigned char type)
{
    snprintf(reader->name, sizeof reader->name, "%s", name);
    reader->unit = (struct unit){.kind = kind, .name = reader->name, .type = type};
    if (x) {
        reader->experiment = *x;
        reader->unit.of = &reader->experiment;
        reader->unit.experiment = reader->experiment.id;
        reader->unit.experiment_id = *x->new_id ? reader->experiment.new_id : NULL;
        reader->unit.deleted = experiment_is(x, EXPERIMENT_DELETED);
    }
    buf_reset(&reader->unit_path);
    buf_addf(&reader->unit_path, "%s%s", experiment_prefix(x), x ? x->id : "");
    if (*in)
        buf_addf(&reader->unit_path, "%s%s", x ? "/" : "", in);
    if (*name)
        buf_addf(&reader->unit_path, "/%s", name);
}

/* A hidden directory without meta.yaml does not belong to the store, like .git: MLflow's own names never
 * begin with a dot. Returns 0 or an error. */
static int hidden_is_unit(int dir, const char *name, bool *is_unit)
{
    char path[NAMES_SIZE + 16];
    snprintf(path, sizeof path, "%s/meta.yaml", name);
    struct stat st;
    int error = dir_stat(dir, path, &st);
    *is_unit = error == 0;
    return error == ENOENT || error == ENOTDIR ? 0 : error;
}

int unit_is_candidate(int dir, const char *name, unsigned char type, bool *yes)
{
    int error = dir_entry_is_dir(dir, name, type, yes);
    if (name[0] != '.' || (!error && !*yes))
        return error;
    return error == DANGLING_LINK ? 0 : error ? error : hidden_is_unit(dir, name, yes);
}

/* Takes the next unit of an open listing; false at its end. */
static bool next_name(struct reading *r, struct reader *reader, enum unit_kind kind,
                      const struct experiment *x, const char *in)
{
    while (r->dir >= 0 && names_next(&r->list)) {
        const char *name = r->list.name;
        unsigned char type = r->list.type;
        if ((kind == UNIT_RUN && is_reserved(name)) || !in_shard(r->selection, name))
            continue;
        bool yes;
        int error = unit_is_candidate(r->dir, name, type, &yes);
        if (!error && !yes)
            continue;
        set_unit(reader, error ? UNIT_UNREADABLE : kind, x, in, name, type);
        reader->unit.listed = kind;
        if (error)
            reader->unit.trouble = dir_error(error);
        return true;
    }
    close_listing(r);
    return false;
}

static bool next_experiment(struct reading *r, struct reader *reader)
{
    struct experiments *t = r->m->experiments;
    struct experiment *x = &r->current;
    struct buf at = {0};
    bool troubled;
    while (r->next < r->n_experiments) {
        experiments_get(t, r->next++, x);
        if (!experiment_is(x, EXPERIMENT_CHOSEN))
            continue;
        troubled = experiments_trouble(t, x, &at, &reader->trouble);
        experiments_mark(t, x,
                         (experiment_is(x, EXPERIMENT_DELETED) ? EXPERIMENT_READ_DELETED : 0) |
                             (troubled ? EXPERIMENT_BAD : 0),
                         0);
        set_unit(reader, troubled ? UNIT_UNREADABLE : UNIT_EXPERIMENT, x, "", "", x->type);
        reader->unit.listed = UNIT_EXPERIMENT;
        reader->unit.trouble = troubled ? buf_str(&reader->trouble) : NULL;
        if (at.len)
            buf_addf(&reader->unit_path, "/%s", buf_str(&at));
        buf_free(&at);
        return true;
    }
    buf_free(&at);
    r->next = 0;
    return false;
}

/* Lists a directory of an experiment, "" for its own, whichever way that moves meanwhile. 0 or an error;
 * ENOENT: the experiment is not there. */
static int open_content(struct reading *r, const struct experiment *x, const char *name)
{
    close_listing(r);
    char path[NAMES_SIZE + 32];
    snprintf(path, sizeof path, "%s%s", experiment_prefix(x), x->id);
    int dir = dir_open(r->m->root, path);
    if (dir < 0)
        return errno;
    if (!*name)
        return begin_listing(r, dir);
    int inner = dir_open(dir, name);
    int error = inner < 0 ? errno : 0;
    close(dir);
    if (inner >= 0)
        return begin_listing(r, inner);
    return error == ENOENT ? 0 : error;
}

/* Opens the listing of a directory of an experiment; the unit says so where it can't be. In a tick an
 * experiment that is no longer where it was is looked for where it is then, once. */
static int list_content(struct reading *r, struct reader *reader, struct experiment *x, enum unit_kind kind,
                        const char *dir)
{
    int error = 0;
    for (int try = 0; try < 2; try++) {
        set_unit(reader, UNIT_UNREADABLE, x, dir, "", DT_DIR);
        reader->unit.listed = kind;
        error = r->tick ? open_content(r, x, dir) : open_listing(r, x, buf_str(&reader->unit_path));
        if (error != ENOENT || !r->tick)
            return error;
        if (experiment_is(x, EXPERIMENT_DELETED))
            experiments_mark(r->m->experiments, x, 0, EXPERIMENT_DELETED);
        else
            experiments_mark(r->m->experiments, x, EXPERIMENT_DELETED, 0);
    }
    reader->unit.vanished = true;
    experiments_mark(r->m->experiments, x, EXPERIMENT_BAD, 0); /* what else is in it need not be looked for */
    return error;
}

/* Goes to the next experiment whose contents are to be read. */
static bool next_chosen(struct reading *r)
{
    while (r->next < r->n_experiments && !r->has_current) {
        experiments_get(r->m->experiments, r->next++, &r->current);
        r->has_current =
            experiment_is(&r->current, EXPERIMENT_CHOSEN) && !experiment_is(&r->current, EXPERIMENT_BAD);
    }
    r->listing = LIST_RUNS;
    return r->has_current;
}

/* Takes the next run, trace or logged model. A failed listing becomes a unit, so that the error is reported
 * in order. */
static bool next_content(struct reading *r, struct reader *reader)
{
    static const struct {
        enum unit_kind kind;
        const char *dir;
    } listings[] = {{UNIT_RUN, ""}, {UNIT_TRACE, "traces"}, {UNIT_LOGGED_MODEL, "models"}};

    while (r->has_current || next_chosen(r)) {
        struct experiment *x = &r->current;
        for (; r->listing < LIST_END && !experiment_is(x, EXPERIMENT_BAD); r->listing++) {
            enum unit_kind kind = listings[r->listing].kind;
            const char *dir = listings[r->listing].dir;
            int error;
            if (r->dir < 0) {
                error = list_content(r, reader, x, kind, dir);
                if (error) {
                    reader->unit.trouble = dir_error(error);
                    r->listing++;
                    return true;
                }
            }
            if (next_name(r, reader, kind, x, dir))
                return true;
        }
        r->has_current = false;
    }
    return false;
}

static bool next_registered(struct reading *r, struct reader *reader)
{
    if (r->dir < 0) {
        set_unit(reader, UNIT_UNREADABLE, NULL, MODELS, "", DT_DIR);
        reader->unit.listed = UNIT_REGISTERED_MODEL;
        int error = open_listing(r, NULL, MODELS);
        if (error) {
            reader->unit.trouble = dir_error(error);
            r->phase = PHASE_END;
            return true;
        }
    }
    if (next_name(r, reader, UNIT_REGISTERED_MODEL, NULL, MODELS))
        return true;
    r->phase = PHASE_END;
    return false;
}

static bool plan_next(struct reading *r, struct reader *reader)
{
    if (r->phase == PHASE_EXPERIMENTS) {
        if (r->selection->tracking && next_experiment(r, reader))
            return true;
        wait_for_room(r, 0); /* wait until it is known which experiments are readable */
        r->phase = r->selection->tracking ? PHASE_CONTENTS : PHASE_REGISTRY;
    }
    if (r->phase == PHASE_CONTENTS) {
        if (next_content(r, reader))
            return true;
        r->phase = PHASE_REGISTRY;
    }
    return r->phase == PHASE_REGISTRY && r->selection->registry && next_registered(r, reader);
}

static bool take_unit(struct reading *r, struct reader *reader)
{
    pthread_mutex_lock(&r->plan_lock);
    wait_for_room(r, r->n_slots - 1);
    bool taken = plan_next(r, reader);
    if (taken) {
        pthread_mutex_lock(&r->turn_lock);
        reader->number = r->n_taken++;
        pthread_mutex_unlock(&r->turn_lock);
    }
    if (taken) {
        reader->walker.out = &slot_of(r, reader->number)->out;
        if (r->tick)
            tick_plan_meet(r->tick, &reader->unit, &reader->walker);
    }
    pthread_mutex_unlock(&r->plan_lock);
    return taken;
}

/* -- readers */

/* Returns the problem of a link that leads to one of its parents; NULL: none. */
static const char *find_loop(struct walker *w, int fd, const struct unit *unit)
{
    static const char loop[] = "a link to one of its parent directories";
    if (unit->type != DT_LNK && unit->type != DT_UNKNOWN)
        return NULL;
    struct stat here, above;
    int error = dir_fstat(fd, &here);
    if (!error)
        error = dir_fstat(w->root, &above);
    if (error)
        return dir_error(error);
    if (here.st_dev == above.st_dev && here.st_ino == above.st_ino)
        return loop;
    if (!unit->experiment || unit->kind == UNIT_EXPERIMENT)
        return NULL;
    buf_reset(&w->scratch);
    buf_addf(&w->scratch, "%s%s", trash_prefix(unit->deleted), unit->experiment);
    error = dir_stat(w->root, buf_str(&w->scratch), &above);
    if (error)
        return dir_error(error);
    return here.st_dev == above.st_dev && here.st_ino == above.st_ino ? loop : NULL;
}

/* Makes the record of the unit's experiment; false: it can't be made now. */
static bool encode_context(struct reader *reader, struct buf *record)
{
    struct walker *w = &reader->walker;
    const struct experiment *x = &reader->experiment;
    struct unit unit = {.kind = UNIT_EXPERIMENT,
                        .experiment = x->id,
                        .experiment_id = reader->unit.experiment_id,
                        .deleted = experiment_is(x, EXPERIMENT_READ_DELETED),
                        .name = ""};
    struct output quiet = {0}, *out = w->out;
    size_t back = w->path.len;
    w->out = &quiet;
    buf_reset(&w->scratch);
    buf_addf(&w->scratch, "%s%s", trash_prefix(unit.deleted), x->id);
    int fd = unit_dir_open(w, &unit, buf_str(&w->scratch));
    struct record r;
    bool good = fd >= 0 && experiment_fill(w, fd, &unit, &r);
    if (good) {
        record_set_part(&r, PART_UNCHANGED);
        walker_emit(w, &r);
        buf_add(record, quiet.data.data, quiet.data.len);
    }
    if (fd >= 0)
        close(fd);
    output_free(&quiet);
    w->out = out;
    walker_path_back(w, back);
    return good;
}

/* The experiment's context, or one that nobody uses. */
static struct context *context_for(struct reading *r, uint64_t experiment)
{
    struct context *unused = r->contexts;
    for (size_t i = 0; i < r->n_slots; i++) {
        struct context *c = &r->contexts[i];
        if (c->experiment == experiment && (c->users || c->record.len))
            return c;
        if (!c->users)
            unused = c;
    }
    buf_free(&unused->record); /* there are as many as slots, and the caller's has none so far */
    unused->experiment = experiment;
    return unused;
}

/* Makes the record of a unit's experiment, for the case that it must go before the unit's: both have been
 * sent before. false: it can't be made now. */
static bool make_context(struct reader *reader)
{
    struct reading *r = reader->reading;
    struct slot *slot = slot_of(r, reader->number);
    struct experiment *x = &reader->experiment;
    struct buf record = {0};
    struct context *c = NULL;
    pthread_mutex_lock(&r->context_lock);
    x->flags |= experiments_flags(r->m->experiments, x->at) & (EXPERIMENT_SENT | EXPERIMENT_UNSET);
    if (!experiment_is(x, EXPERIMENT_SENT) && !experiment_is(x, EXPERIMENT_UNSET)) {
        c = slot->context = context_for(r, x->at);
        c->users++;
    }
    bool wanted = c && c->record.len == 0;
    pthread_mutex_unlock(&r->context_lock);
    if (!wanted)
        return experiment_is(x, EXPERIMENT_SENT) || !experiment_is(x, EXPERIMENT_UNSET);
    if (!encode_context(reader, &record)) {
        experiments_mark(r->m->experiments, x, EXPERIMENT_UNSET, 0);
        return false;
    }
    pthread_mutex_lock(&r->context_lock);
    if (c->record.len == 0) {
        buf_free(&c->record);
        c->record = record;
        record = (struct buf){0};
    }
    pthread_mutex_unlock(&r->context_lock);
    buf_free(&record);
    return true;
}

/* What is known of the unit stays: it is left for the next tick. */
static void hold_unit(struct walker *w, const struct unit *unit, const char *why)
{
    tick_note_held(w, why);
    if (unit->known_from)
        output_copy(w->out, unit->known_from, unit->known_to);
    if (unit->listed == UNIT_EXPERIMENT)
        unit_set_bad(w, unit);
}

static void read_unreadable(struct walker *w, const struct unit *unit)
{
    if (w->tick && unit->vanished) {
        hold_unit(w, unit, "is not there");
        return;
    }
    walker_problem(w, 0, "%s", unit->trouble);
    if (unit->known_from)
        output_copy(w->out, unit->known_from, unit->known_to);
}

/* In a tick: reads the unit, open at fd, if it is not as it was. */
static void read_changed(struct reader *reader, int fd,
                         void (*read)(struct walker *, int, const struct unit *))
{
    const struct unit *unit = &reader->unit;
    struct walker *w = &reader->walker;
    if (unit->kind == UNIT_EXPERIMENT ? unit->old_deleted == unit->deleted && !tick_differs(w, fd, unit)
                                      : !tick_differs(w, fd, unit)) {
        output_copy(w->out, unit->known_from, unit->known_to);
        return;
    }
    if (unit->kind != UNIT_EXPERIMENT && unit->of && reader->reading->selection->tick->old &&
        !make_context(reader)) {
        hold_unit(w, unit, "its experiment can't be read now");
        return;
    }
    tick_begin(w, fd, unit);
    read(w, fd, unit);
    tick_end(w, unit);
    if (unit->kind == UNIT_EXPERIMENT && w->tick->sent)
        experiments_mark(w->store->experiments, unit->of, EXPERIMENT_SENT, 0);
}

static void read_unit(struct reader *reader)
{
    static void (*const readers[])(struct walker *, int, const struct unit *) = {
        [UNIT_EXPERIMENT] = run_read_experiment,
        [UNIT_RUN] = run_read,
        [UNIT_TRACE] = trace_read,
        [UNIT_LOGGED_MODEL] = model_read_logged,
        [UNIT_REGISTERED_MODEL] = model_read_registered,
    };
    const struct unit *unit = &reader->unit;
    struct walker *w = &reader->walker;
    const char *trouble;
    int fd;

    w->unit = unit;
    buf_reset(&w->path);
    buf_add(&w->path, buf_str(&reader->unit_path), reader->unit_path.len);
    if (unit->kind == UNIT_UNREADABLE) {
        read_unreadable(w, unit);
        return;
    }
    fd = unit_dir_open(w, unit, buf_str(&reader->unit_path));
    if (fd < 0 && errno == ENOENT && w->tick) {
        hold_unit(w, unit, "is not there");
        return;
    }
    trouble = fd < 0 ? dir_error(errno) : find_loop(w, fd, unit);
    if (!trouble && w->tick) {
        read_changed(reader, fd, readers[unit->kind]);
    } else if (!trouble) {
        readers[unit->kind](w, fd, unit);
    } else {
        walker_problem(w, 0, "%s", trouble);
        if (unit->kind == UNIT_EXPERIMENT)
            unit_set_bad(w, unit);
        if (unit->known_from)
            output_copy(w->out, unit->known_from, unit->known_to);
    }
    if (fd >= 0)
        close(fd);
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
        read_unit(reader);
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
    buf_free(&reader->unit_path);
    buf_free(&reader->trouble);
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

/* An id that was asked for. */
struct wanted {
    const char *id;
    bool found;
};

static int compare_wanted(const void *a, const void *b)
{
    return strcmp(((const struct wanted *)a)->id, ((const struct wanted *)b)->id);
}

/* Whether all that was asked for is there; it is sorted. */
static bool all_found(const struct mlruns *m, const struct mlruns_selection *s, const struct wanted *wanted,
                      struct err *e)
{
    for (size_t i = 0; i < s->n_experiments; i++) {
        struct wanted key = {.id = s->experiments[i]};
        const struct wanted *w = bsearch(&key, wanted, s->n_experiments, sizeof *wanted, compare_wanted);
        if (!w->found) {
            err_set(e, m->path, "no experiment %s", s->experiments[i]);
            return err_hint(e, "mlruns-dump --list prints the existing ones");
        }
    }
    return true;
}

static bool choose_experiments(const struct mlruns *m, const struct mlruns_selection *s, struct err *e)
{
    struct wanted *wanted = xcalloc(s->n_experiments + 1, sizeof *wanted);
    size_t n = 0;
    for (; n < s->n_experiments; n++)
        wanted[n].id = s->experiments[n];
    qsort(wanted, n, sizeof *wanted, compare_wanted);
    for (uint64_t i = 0; i < experiments_count(m->experiments); i++) {
        struct wanted key = {0};
        struct experiment x;
        experiments_get(m->experiments, i, &x);
        key.id = experiment_id(&x);
        struct wanted *w = n ? bsearch(&key, wanted, n, sizeof *wanted, compare_wanted) : NULL;
        if (w || n == 0)
            experiments_mark(m->experiments, &x, EXPERIMENT_CHOSEN, 0);
        for (; w && w > wanted && strcmp(w[-1].id, key.id) == 0; w--)
            ;
        for (; w && w < wanted + n && strcmp(w->id, key.id) == 0; w++)
            w->found = true;
    }
    bool good = all_found(m, s, wanted, e);
    free(wanted);
    return good;
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
    bool good = true;
    if (!r->tick)
        return true;
    good = tick_plan_end(r->tick, &w, e);
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
    r->n_experiments = experiments_count(r->m->experiments);
    r->names.room = r->m->names;
    r->chunk = xmalloc(CHUNK_SIZE);
    r->n_slots = jobs == 1 ? 1 : jobs * SLOTS_PER_JOB > MAX_SLOTS ? MAX_SLOTS : jobs * SLOTS_PER_JOB;
    r->slot_size = HELD_BACK / r->n_slots < SLOT_SIZE ? HELD_BACK / r->n_slots : SLOT_SIZE;
    r->slots = xcalloc(r->n_slots, sizeof *r->slots);
    r->contexts = xcalloc(r->n_slots, sizeof *r->contexts);
    r->tally = r->sink->root ? relocate_tally_new() : NULL;
    r->tick = r->selection->tick ? tick_plan_new(r->m, r->selection->tick) : NULL;
    r->clash = r->sink->same_name ? clash_names_new(r->m) : NULL;
}

static void reading_end(struct reading *r)
{
    if (r->tally)
        relocate_tally_free(r->tally);
    clash_names_free(r->clash);
    for (size_t i = 0; i < r->n_slots; i++)
        output_free(&r->slots[i].out);
    for (size_t i = 0; i < r->n_slots; i++)
        buf_free(&r->contexts[i].record);
    free(r->slots);
    free(r->contexts);
    free(r->chunk);
    close_listing(r);
    names_free(&r->names);
}

bool mlruns_read(struct mlruns *m, const struct mlruns_selection *selection, const struct mlruns_sink *sink,
                 struct err *e)
{
    unsigned jobs = selection->jobs < 1 ? 1 : selection->jobs > MAX_JOBS ? MAX_JOBS : selection->jobs;
    struct reading r = {
        .m = m,
        .selection = selection,
        .sink = sink,
        .plan_lock = PTHREAD_MUTEX_INITIALIZER,
        .turn_lock = PTHREAD_MUTEX_INITIALIZER,
        .turn_changed = PTHREAD_COND_INITIALIZER,
        .context_lock = PTHREAD_MUTEX_INITIALIZER,
        .dir = -1,
    };
    bool good;

    if (!choose_experiments(m, selection, e))
        return false;
    reading_begin(&r, jobs);
    run_readers(&r, jobs);
    good = end_tick(&r, e);
    if (r.tally)
        relocate_tally_report(m, r.tally, sink);
    if (r.clash)
        good = clash_report_same_names(m, r.clash, sink, e) && good;
    reading_end(&r);
    return good;
}
