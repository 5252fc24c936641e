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

struct slot {
    struct output out;
    struct experiment *of; /* of a tick: whose record goes before what is in it */
    size_t large;          /* its bytes of LARGE_HELD */
    bool done;             /* completely read */
};

struct reading {
    struct mlruns *m;
    const struct mlruns_selection *selection;
    const struct mlruns_sink *sink;
    bool *chosen;           /* experiments */
    struct tick_plan *tick; /* NULL: all is read */
    bool failed;            /* the state can't be read: error says why */
    struct err error;
    pthread_mutex_t context_lock; /* of the experiments' contexts */
    struct uri_tally *tally;      /* of finished threads; NULL: URIs are not examined */

    /* the plan: the next unit to read */
    pthread_mutex_t plan_lock;
    enum phase phase;
    size_t experiment;
    enum listing listing;
    struct names names; /* names of the directory being read */
    size_t next_name;
    int dir; /* that directory; -1: none */
    char *chunk;
    uint64_t n_taken;

    /* the turns */
    pthread_mutex_t turn_lock;
    pthread_cond_t turn_changed;
    uint64_t turn; /* number of the unit being delivered */
    struct slot *slots;
    size_t n_slots;
    size_t slot_size; /* bytes per slot */
    size_t large;     /* sum sum of all slots */
};

struct reader { /* a thread */
    struct reading *reading;
    struct walker walker;
    struct tick_reader tick;
    struct unit unit;
    struct buf unit_path;
    char name[256];
    uint64_t number; /* number of the unit */
};

/* -- turns */

static void hand_over_notes(struct reading *r, const struct output *out)
{
    const char *p = buf_str(&out->notes), *end = p + out->notes.len;
    const struct mlruns_sink *sink = r->sink;

    while (p < end) {
        const char *path = p + 1, *reason = path + strlen(path) + 1;

        if (*p == 'p' || *p == 'w')
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
static void hand_over_context(struct reading *r, struct experiment *x)
{
    struct wire_counts counts = {0};

    pthread_mutex_lock(&r->context_lock);
    if (!x->sent && x->context.len) {
        counts.n[KIND_experiment] = 1;
        r->sink->records(r->sink->ctx, x->context.data, x->context.len, &counts);
        x->sent = true;
        buf_free(&x->context);
    }
    pthread_mutex_unlock(&r->context_lock);
}

static void hand_over(struct reading *r, struct output *out, struct experiment *of)
{
    uint64_t range[2];

    hand_over_notes(r, out);
    if (of && has_entities(&out->counts))
        hand_over_context(r, of);
    if (out->data.len)
        r->sink->records(r->sink->ctx, out->data.data, out->data.len, &out->counts);
    for (size_t at = 0; at < out->copies.len; at += sizeof range) {
        memcpy(range, out->copies.data + at, sizeof range);
        r->sink->state_copy(r->sink->tick_ctx, range[0], range[1]);
    }
    if (out->state.len)
        r->sink->state(r->sink->tick_ctx, out->state.data, out->state.len);
    buf_reset(&out->data);
    buf_reset(&out->notes);
    buf_reset(&out->copies);
    buf_reset(&out->state);
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
    hand_over(r, &slot->out, slot->of);
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
    if (r->dir >= 0)
        close(r->dir);
    r->dir = -1;
    dir_names_release(&r->names, (struct names_mark){0});
    r->next_name = 0;
}

static const char *experiment_prefix(const struct experiment *x)
{
    return x && x->deleted ? TRASH "/" : "";
}

/* Lists a directory of the plan, of an experiment x or of the store. Returns 0 or an error; a missing one is
 * empty if the experiment still exists. */
static int open_listing(struct reading *r, const struct experiment *x, const char *path)
{
    int error;

    close_listing(r);
    r->dir = dir_open(r->m->root, path);
    if (r->dir < 0) {
        char meta[512];
        struct stat st;

        if (errno != ENOENT || !x)
            return errno == ENOENT ? 0 : errno;
        snprintf(meta, sizeof meta, "%s%s/meta.yaml", experiment_prefix(x), x->id);
        return dir_stat(r->m->root, meta, &st);
    }
    error = dir_names_list(&r->names, r->dir, r->chunk);
    if (error)
        close_listing(r);
    return error;
}

/* Initialises the unit for a directory. */
static void set_unit(struct reader *reader, enum unit_kind kind, struct experiment *x, const char *in,
                     const char *name, unsigned char type)
{
    snprintf(reader->name, sizeof reader->name, "%s", name);
    reader->unit = (struct unit){.kind = kind, .name = reader->name, .type = type, .of = x};
    if (x) {
        reader->unit.experiment = x->id;
        reader->unit.experiment_id = x->new_id;
        reader->unit.deleted = x->deleted;
        reader->unit.bad = &x->bad;
        reader->unit.twin = x->twin;
        reader->unit.unread = x->unread;
        reader->unit.experiment_name = &x->name;
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
    char path[512];
    struct stat st;
    int error;

    snprintf(path, sizeof path, "%s/meta.yaml", name);
    error = dir_stat(dir, path, &st);
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
static bool next_name(struct reading *r, struct reader *reader, enum unit_kind kind, struct experiment *x,
                      const char *in)
{
    while (r->next_name < r->names.n) {
        size_t i = r->next_name++;
        const char *name = dir_names_at(&r->names, i);
        unsigned char type = r->names.items[i].type;
        bool yes;
        int error;

        if ((kind == UNIT_RUN && is_reserved(name)) || !in_shard(r->selection, name))
            continue;
        error = unit_is_candidate(r->dir, name, type, &yes);
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
    while (r->experiment < r->m->n) {
        struct experiment *x = &r->m->experiments[r->experiment++];

        if (!r->chosen[x - r->m->experiments])
            continue;
        set_unit(reader, x->trouble ? UNIT_UNREADABLE : UNIT_EXPERIMENT, x, "", "", x->type);
        reader->unit.listed = UNIT_EXPERIMENT;
        x->read_deleted = x->deleted;
        reader->unit.trouble = x->trouble;
        if (x->trouble_at)
            buf_addf(&reader->unit_path, "/%s", x->trouble_at);
        x->bad = x->trouble != NULL;
        return true;
    }
    r->experiment = 0;
    r->listing = LIST_RUNS;
    return false;
}

/* Lists a directory of an experiment, "" for its own, whichever way that moves meanwhile. 0 or an error;
 * ENOENT: the experiment is not there. */
static int open_content(struct reading *r, const struct experiment *x, const char *name)
{
    char path[512];
    int dir, error = 0;

    close_listing(r);
    snprintf(path, sizeof path, "%s%s", experiment_prefix(x), x->id);
    dir = dir_open(r->m->root, path);
    if (dir < 0)
        return errno;
    r->dir = *name ? dir_open(dir, name) : dir;
    if (r->dir < 0)
        error = errno == ENOENT ? 0 : errno;
    else
        error = dir_names_list(&r->names, r->dir, r->chunk);
    if (*name)
        close(dir);
    if (error)
        close_listing(r);
    return error;
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
        x->deleted = !x->deleted;
    }
    reader->unit.vanished = true;
    x->bad = true; /* what else is in it need not be looked for */
    return error;
}

/* Takes the next run, trace or logged model. A failed listing becomes a unit, so that the error is reported
 * in order. */
static bool next_content(struct reading *r, struct reader *reader)
{
    static const struct {
        enum unit_kind kind;
        const char *dir;
    } listings[] = {{UNIT_RUN, ""}, {UNIT_TRACE, "traces"}, {UNIT_LOGGED_MODEL, "models"}};

    for (; r->experiment < r->m->n; r->experiment++, r->listing = LIST_RUNS) {
        struct experiment *x = &r->m->experiments[r->experiment];

        if (!r->chosen[r->experiment] || x->bad)
            continue;
        for (; r->listing < LIST_END && !x->bad; r->listing++) {
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
    }
    return false;
}

static bool next_registered(struct reading *r, struct reader *reader)
{
    if (r->dir < 0) {
        int error;

        set_unit(reader, UNIT_UNREADABLE, NULL, MODELS, "", DT_DIR);
        reader->unit.listed = UNIT_REGISTERED_MODEL;
        error = open_listing(r, NULL, MODELS);
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
    bool taken;

    pthread_mutex_lock(&r->plan_lock);
    wait_for_room(r, r->n_slots - 1);
    taken = plan_next(r, reader);
    if (taken) {
        pthread_mutex_lock(&r->turn_lock);
        reader->number = r->n_taken++;
        pthread_mutex_unlock(&r->turn_lock);
    }
    if (taken && r->tick) {
        struct slot *slot = slot_of(r, reader->number);

        slot->of = reader->unit.listed == UNIT_EXPERIMENT ? NULL : reader->unit.of;
        tick_plan_meet(r->tick, &reader->unit, &slot->out);
    }
    pthread_mutex_unlock(&r->plan_lock);
    return taken;
}

/* -- readers */

/* Returns the problem of a link that leads to one of its parents; NULL: none. */
static const char *find_loop(struct walker *w, int fd, const struct unit *unit)
{
    static const char loop[] = "a link to one of its parent directories";
    struct stat here, above;
    int error;

    if (unit->type != DT_LNK && unit->type != DT_UNKNOWN)
        return NULL;
    error = dir_fstat(fd, &here);
    if (!error)
        error = dir_fstat(w->root, &above);
    if (error)
        return dir_error(error);
    if (here.st_dev == above.st_dev && here.st_ino == above.st_ino)
        return loop;
    if (!unit->experiment || unit->kind == UNIT_EXPERIMENT)
        return NULL;
    buf_reset(&w->scratch);
    buf_addf(&w->scratch, "%s%s", unit->deleted ? TRASH "/" : "", unit->experiment);
    error = dir_stat(w->root, buf_str(&w->scratch), &above);
    if (error)
        return dir_error(error);
    return here.st_dev == above.st_dev && here.st_ino == above.st_ino ? loop : NULL;
}

/* Makes the record of a unit's experiment, for the case that it must go before the unit's: both have been
 * sent before. false: it can't be made now. */
static bool make_context(struct reader *reader)
{
    struct walker *w = &reader->walker;
    struct experiment *x = reader->unit.of;
    struct unit unit = {.kind = UNIT_EXPERIMENT, .experiment = x->id, .experiment_id = x->new_id, .name = ""};
    struct output quiet = {0}, *out = w->out;
    size_t back = w->path.len;
    struct record r;
    int fd;

    pthread_mutex_lock(&reader->reading->context_lock);
    if (!x->sent && !x->context.len && !x->unset) {
        unit.deleted = x->read_deleted;
        w->out = &quiet;
        buf_reset(&w->scratch);
        buf_addf(&w->scratch, "%s%s", unit.deleted ? TRASH "/" : "", x->id);
        fd = unit_dir_open(w, &unit, buf_str(&w->scratch));
        x->unset = fd < 0 || !experiment_fill(w, fd, &unit, &r);
        if (!x->unset) {
            record_set_part(&r, PART_UNCHANGED);
            walker_emit(w, &r);
            buf_add(&x->context, quiet.data.data, quiet.data.len);
        }
        if (fd >= 0)
            close(fd);
        output_free(&quiet);
        w->out = out;
        walker_path_back(w, back);
    }
    bool good = x->sent || x->context.len;
    pthread_mutex_unlock(&reader->reading->context_lock);
    return good;
}

/* What is known of the unit stays: it is left for the next tick. */
static void hold_unit(struct walker *w, const struct unit *unit, const char *why)
{
    tick_note_held(w, why);
    if (unit->known_from)
        output_copy(w->out, unit->known_from, unit->known_to);
    if (unit->listed == UNIT_EXPERIMENT)
        *unit->bad = true;
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
        unit->of->sent = true;
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
    dir_names_release(&w->names, (struct names_mark){0});
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
            *unit->bad = true;
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
    reader->walker.tally = r->tally ? relocate_tally_new() : NULL;
    if (r->tick) {
        tick_reader_init(&reader->tick, r->selection->tick);
        reader->walker.tick = &reader->tick;
    }
    while (take_unit(r, reader)) {
        reader->walker.out = &slot_of(r, reader->number)->out;
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

static bool choose_experiments(struct mlruns *m, const struct mlruns_selection *s, bool *chosen,
                               struct err *e)
{
    for (size_t i = 0; i < m->n; i++)
        chosen[i] = s->n_experiments == 0;
    for (size_t i = 0; i < s->n_experiments; i++) {
        bool found = false;

        for (size_t j = 0; j < m->n; j++) {
            if (strcmp(mlruns_experiment_id(m, j), s->experiments[i]) == 0)
                chosen[j] = found = true;
        }
        if (!found) {
            err_set(e, m->path, "no experiment %s", s->experiments[i]);
            return err_hint(e, "mlruns-dump --list prints the existing ones");
        }
    }
    return true;
}

/* What is left of the state is not there any more. false with e filled: the state could not be read. */
static bool end_tick(struct reading *r, struct err *e)
{
    struct output out = {0};
    bool good = true;

    if (!r->tick)
        return true;
    good = tick_plan_end(r->tick, &out, e);
    if (good && r->failed) {
        *e = r->error;
        good = false;
    }
    hand_over(r, &out, NULL);
    output_free(&out);
    tick_plan_free(r->tick);
    return good;
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

    r.chosen = xcalloc(m->n + 1, sizeof *r.chosen);
    good = choose_experiments(m, selection, r.chosen, e);
    if (good) {
        r.chunk = xmalloc(CHUNK_SIZE);
        r.n_slots = jobs == 1 ? 1 : jobs * SLOTS_PER_JOB > MAX_SLOTS ? MAX_SLOTS : jobs * SLOTS_PER_JOB;
        r.slot_size = HELD_BACK / r.n_slots < SLOT_SIZE ? HELD_BACK / r.n_slots : SLOT_SIZE;
        r.slots = xcalloc(r.n_slots, sizeof *r.slots);
        r.tally = sink->root ? relocate_tally_new() : NULL;
        r.tick = selection->tick ? tick_plan_new(m, selection->tick) : NULL;
        run_readers(&r, jobs);
        good = end_tick(&r, e);
        if (r.tally) {
            relocate_tally_report(m, r.tally, sink);
            relocate_tally_free(r.tally);
        }
        if (sink->same_name)
            clash_report_same_names(m, r.chosen, sink);
        for (size_t i = 0; i < r.n_slots; i++)
            output_free(&r.slots[i].out);
        free(r.slots);
        free(r.chunk);
        close_listing(&r);
        dir_names_free(&r.names);
    }
    free(r.chosen);
    return good;
}
