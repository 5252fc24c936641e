/* Finds the units of a store, in the order of the stream. */
#include "formats/filestore/units.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xxhash.h>

#include "common/array.h"

enum phase { PHASE_EXPERIMENTS, PHASE_CONTENTS, PHASE_REGISTRY, PHASE_END };
enum listing { LIST_RUNS, LIST_TRACES, LIST_MODELS, LIST_END };

struct units {
    const struct mlruns *m;
    const struct mlruns_selection *selection;
    bool in_tick;
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
};

/* -- the selection */

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

bool units_choose(const struct mlruns *m, const struct mlruns_selection *s, struct err *e)
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

/* -- listings */

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

static void close_listing(struct units *l)
{
    if (l->dir < 0)
        return;
    names_end(&l->list);
    close(l->dir);
    l->dir = -1;
}

struct units *units_new(const struct mlruns *m, const struct mlruns_selection *selection)
{
    struct units *l = xcalloc(1, sizeof *l);
    l->m = m;
    l->selection = selection;
    l->in_tick = selection->tick != NULL;
    l->n_experiments = experiments_count(m->experiments);
    l->names.room = m->names;
    l->dir = -1;
    l->chunk = xmalloc(CHUNK_SIZE);
    return l;
}

void units_free(struct units *l)
{
    close_listing(l);
    names_free(&l->names);
    free(l->chunk);
    free(l);
}

static const char *experiment_prefix(const struct experiment *x)
{
    return trash_prefix(x && experiment_is(x, EXPERIMENT_DELETED));
}

/* Lists the directory, which it takes or closes. Returns 0 or an error. */
static int begin_listing(struct units *l, int dir)
{
    int error = dir_list(&l->names, &l->list, dir, l->chunk);
    if (error)
        close(dir);
    else
        l->dir = dir;
    return error;
}

/* Lists a directory of an experiment x or of the store. Returns 0 or an error; a missing one is
 * empty if the experiment still exists. */
static int open_listing(struct units *l, const struct experiment *x, const char *path)
{
    close_listing(l);
    int dir = dir_open(l->m->root, path);
    if (dir < 0) {
        if (errno != ENOENT || !x)
            return errno == ENOENT ? 0 : errno;
        char meta[NAMES_SIZE + 32];
        snprintf(meta, sizeof meta, "%s%s/meta.yaml", experiment_prefix(x), x->id);
        struct stat st;
        return dir_stat(l->m->root, meta, &st);
    }
    return begin_listing(l, dir);
}

/* Initialises the unit for a directory. */
static void set_unit(struct found_unit *out, enum unit_kind kind, const struct experiment *x, const char *in,
                     const char *name, unsigned char type)
{
    snprintf(out->name, sizeof out->name, "%s", name);
    out->unit = (struct unit){.kind = kind, .name = out->name, .type = type};
    if (x) {
        out->experiment = *x;
        out->unit.of = &out->experiment;
        out->unit.experiment = out->experiment.id;
        out->unit.experiment_id = *x->new_id ? out->experiment.new_id : NULL;
        out->unit.deleted = experiment_is(x, EXPERIMENT_DELETED);
    }
    buf_reset(&out->path);
    buf_addf(&out->path, "%s%s", experiment_prefix(x), x ? x->id : "");
    if (*in)
        buf_addf(&out->path, "%s%s", x ? "/" : "", in);
    if (*name)
        buf_addf(&out->path, "/%s", name);
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
static bool next_name(struct units *l, struct found_unit *out, enum unit_kind kind,
                      const struct experiment *x, const char *in)
{
    while (l->dir >= 0 && names_next(&l->list)) {
        const char *name = l->list.name;
        unsigned char type = l->list.type;
        if ((kind == UNIT_RUN && is_reserved(name)) || !in_shard(l->selection, name))
            continue;
        bool yes;
        int error = unit_is_candidate(l->dir, name, type, &yes);
        if (!error && !yes)
            continue;
        set_unit(out, error ? UNIT_UNREADABLE : kind, x, in, name, type);
        out->unit.listed = kind;
        if (error)
            out->unit.trouble = dir_error(error);
        return true;
    }
    close_listing(l);
    return false;
}

static bool next_experiment(struct units *l, struct found_unit *out)
{
    struct experiments *t = l->m->experiments;
    struct experiment *x = &l->current;
    struct buf at = {0};
    while (l->next < l->n_experiments) {
        experiments_get(t, l->next++, x);
        if (!experiment_is(x, EXPERIMENT_CHOSEN))
            continue;
        bool troubled = experiments_trouble(t, x, &at, &out->trouble);
        experiments_mark(t, x,
                         (experiment_is(x, EXPERIMENT_DELETED) ? EXPERIMENT_READ_DELETED : 0) |
                             (troubled ? EXPERIMENT_BAD : 0),
                         0);
        set_unit(out, troubled ? UNIT_UNREADABLE : UNIT_EXPERIMENT, x, "", "", x->type);
        out->unit.listed = UNIT_EXPERIMENT;
        out->unit.trouble = troubled ? buf_str(&out->trouble) : NULL;
        if (at.len)
            buf_addf(&out->path, "/%s", buf_str(&at));
        buf_free(&at);
        return true;
    }
    buf_free(&at);
    l->next = 0;
    return false;
}

/* Lists a directory of an experiment, "" for its own, whichever way that moves meanwhile. 0 or an error;
 * ENOENT: the experiment is not there. */
static int open_content(struct units *l, const struct experiment *x, const char *name)
{
    close_listing(l);
    char path[NAMES_SIZE + 32];
    snprintf(path, sizeof path, "%s%s", experiment_prefix(x), x->id);
    int dir = dir_open(l->m->root, path);
    if (dir < 0)
        return errno;
    if (!*name)
        return begin_listing(l, dir);
    int inner = dir_open(dir, name);
    int error = inner < 0 ? errno : 0;
    close(dir);
    if (inner >= 0)
        return begin_listing(l, inner);
    return error == ENOENT ? 0 : error;
}

/* Opens the listing of a directory of an experiment; the unit says so where it can't be. In a tick an
 * experiment that is no longer where it was is looked for where it is then, once. */
static int list_content(struct units *l, struct found_unit *out, struct experiment *x, enum unit_kind kind,
                        const char *dir)
{
    int error = 0;
    for (int try = 0; try < 2; try++) {
        set_unit(out, UNIT_UNREADABLE, x, dir, "", DT_DIR);
        out->unit.listed = kind;
        error = l->in_tick ? open_content(l, x, dir) : open_listing(l, x, buf_str(&out->path));
        if (error != ENOENT || !l->in_tick)
            return error;
        if (experiment_is(x, EXPERIMENT_DELETED))
            experiments_mark(l->m->experiments, x, 0, EXPERIMENT_DELETED);
        else
            experiments_mark(l->m->experiments, x, EXPERIMENT_DELETED, 0);
    }
    out->unit.vanished = true;
    experiments_mark(l->m->experiments, x, EXPERIMENT_BAD, 0); /* what else is in it need not be looked for */
    return error;
}

/* Goes to the next experiment whose contents are to be read. */
static bool next_chosen(struct units *l)
{
    while (l->next < l->n_experiments && !l->has_current) {
        experiments_get(l->m->experiments, l->next++, &l->current);
        l->has_current =
            experiment_is(&l->current, EXPERIMENT_CHOSEN) && !experiment_is(&l->current, EXPERIMENT_BAD);
    }
    l->listing = LIST_RUNS;
    return l->has_current;
}

/* Takes the next run, trace or logged model. A failed listing becomes a unit, so that the error is reported
 * in order. */
static bool next_content(struct units *l, struct found_unit *out)
{
    static const struct {
        enum unit_kind kind;
        const char *dir;
    } listings[] = {{UNIT_RUN, ""}, {UNIT_TRACE, "traces"}, {UNIT_LOGGED_MODEL, "models"}};

    while (l->has_current || next_chosen(l)) {
        struct experiment *x = &l->current;
        for (; l->listing < LIST_END && !experiment_is(x, EXPERIMENT_BAD); l->listing++) {
            enum unit_kind kind = listings[l->listing].kind;
            const char *dir = listings[l->listing].dir;
            if (l->dir < 0) {
                int error = list_content(l, out, x, kind, dir);
                if (error) {
                    out->unit.trouble = dir_error(error);
                    l->listing++;
                    return true;
                }
            }
            if (next_name(l, out, kind, x, dir))
                return true;
        }
        l->has_current = false;
    }
    return false;
}

static bool next_registered(struct units *l, struct found_unit *out)
{
    if (l->dir < 0) {
        set_unit(out, UNIT_UNREADABLE, NULL, MODELS, "", DT_DIR);
        out->unit.listed = UNIT_REGISTERED_MODEL;
        int error = open_listing(l, NULL, MODELS);
        if (error) {
            out->unit.trouble = dir_error(error);
            l->phase = PHASE_END;
            return true;
        }
    }
    if (next_name(l, out, UNIT_REGISTERED_MODEL, NULL, MODELS))
        return true;
    l->phase = PHASE_END;
    return false;
}

enum units_step units_next(struct units *l, struct found_unit *out)
{
    if (l->phase == PHASE_EXPERIMENTS) {
        if (l->selection->tracking && next_experiment(l, out))
            return UNITS_ONE;
        l->phase = l->selection->tracking ? PHASE_CONTENTS : PHASE_REGISTRY;
        return UNITS_PAUSE;
    }
    if (l->phase == PHASE_CONTENTS) {
        if (next_content(l, out))
            return UNITS_ONE;
        l->phase = PHASE_REGISTRY;
    }
    bool more = l->phase == PHASE_REGISTRY && l->selection->registry && next_registered(l, out);
    return more ? UNITS_ONE : UNITS_END;
}

void found_unit_free(struct found_unit *u)
{
    buf_free(&u->path);
    buf_free(&u->trouble);
}
