/* Finds experiments that share an id or a name. MLflow prevents both, but directories get moved by hand, and
 * stores of MLflow 1.x, which number experiments from 1, get combined. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xxhash.h>

#include "common/sort.h"
#include "formats/filestore/internal.h"
#include "formats/filestore/quiet.h"

#define META_FILE "meta.yaml"

/* -- ids */

/* False if there is no meta.yaml; an unreadable one counts as present. */
static bool has_meta(const struct mlruns *m, const struct experiment *x)
{
    char dir[EXPERIMENT_PATH_SIZE], path[EXPERIMENT_PATH_SIZE + 16];
    snprintf(path, sizeof path, "%s/" META_FILE, experiment_dir(x, dir));
    struct stat st;
    int error = dir_stat(m->root, path, &st);
    return error != ENOENT && error != ENOTDIR;
}

void clash_find_twins(const struct mlruns *m)
{
    struct experiment x[2];
    for (uint64_t i = 0; i < experiments_count(m->experiments); i++) {
        const struct experiment *active = &x[(i + 1) % 2];
        experiments_get(m->experiments, i, &x[i % 2]);
        if (i > 0 && strcmp(active->id, x[i % 2].id) == 0 && has_meta(m, active) && has_meta(m, &x[i % 2]))
            experiments_mark(m->experiments, &x[i % 2], EXPERIMENT_TWIN, 0);
    }
}

bool mlruns_has_twins(const struct mlruns *m)
{
    for (uint64_t i = 0; i < experiments_count(m->experiments); i++)
        if (experiments_flags(m->experiments, i) & EXPERIMENT_TWIN)
            return true;
    return false;
}

void clash_report_unread(struct walker *w, int dir)
{
    size_t back = walker_path_down(w, META_FILE);
    const struct yaml_value *meta;
    if (meta_read(w, w->yaml, dir, META_FILE, &meta) != META_BAD)
        walker_problem(w, 0, "could not be read: the experiment got no new id");
    walker_path_back(w, back);
}

void clash_report_twin(struct walker *w, const struct unit *unit)
{
    static const char what[] = "its id is also that of the active experiment in";
    struct buf reason = {0};
    buf_addf(&reason, "%s %s/%s", what, w->store->path, unit->experiment);
    output_note(w->out, 'p', buf_str(&w->path), buf_str(&reason));
    buf_reset(&reason);
    buf_addf(&reason, "%s %s", what, unit->experiment); /* a stream does not contain the store's location */
    struct record r;
    record_init(&r, KIND_skipped);
    r.v[F_skipped_path] = value_text(buf_str(&w->path), w->path.len);
    r.v[F_skipped_reason] = value_text(buf_str(&reason), reason.len);
    walker_emit(w, &r);
    buf_free(&reason);
}

/* 0 if the creation time is unreadable. */
static uint64_t derive_id(struct quiet *q, const struct experiment *x)
{
    const uint64_t first = 1000000000000000000;
    const struct yaml_value *meta = quiet_meta(q, x), *created = yaml_get(meta, "creation_time");
    struct buf text = {0};
    uint64_t id = 0;
    buf_addf(&text, "%s created at ", x->id);
    if (created && created->kind == YAML_IS_INT && !created->big)
        buf_addf(&text, "%" PRId64, created->i);
    if (meta)
        id = first + XXH3_64bits(text.data, text.len) % first;
    buf_free(&text);
    return id;
}

struct renumbering {
    struct mlruns *m;
    void (*note)(void *ctx, const char *path, const char *id);
    void *ctx;
    struct quiet quiet;
    struct spill *spill;
    struct idmap *given; /* the new ids */
    XXH3_state_t *changes;
    bool changed;
};

/* Whether another experiment has the new id, too. */
static bool is_taken(struct renumbering *r, const struct experiment *x)
{
    struct value id = value_text(x->new_id, strlen(x->new_id));
    struct experiment other;
    return !idmap_add(r->given, id_key(0, &id, 1), 0) ||
           experiments_find(r->m->experiments, x->new_id, strlen(x->new_id), &other);
}

static bool renumber(struct renumbering *r, struct experiment *x, struct err *e)
{
    uint64_t id = derive_id(&r->quiet, x);
    struct buf change = {0};
    experiments_mark(r->m->experiments, x, id ? 0 : EXPERIMENT_UNREAD, EXPERIMENT_TWIN);
    if (!id)
        return true;
    experiments_set_new_id(r->m->experiments, x, id);
    char path[EXPERIMENT_PATH_SIZE];
    experiment_dir(x, path);
    buf_addf(&change, "%s=%s ", path, x->new_id);
    XXH3_128bits_update(r->changes, change.data, change.len);
    buf_free(&change);
    r->changed = true;
    if (is_taken(r, x)) {
        err_set(e, r->m->path, "%s: its new id %s is also that of another experiment", path, x->new_id);
        return err_hint(e, "rename one of the two directories and change the experiment_id in its meta.yaml");
    }
    if (r->note)
        r->note(r->ctx, path, x->new_id);
    return true;
}

bool mlruns_renumber_trash(struct mlruns *m, void (*note)(void *ctx, const char *path, const char *id),
                           void *ctx, struct err *e)
{
    struct renumbering r = {.m = m, .note = note, .ctx = ctx, .spill = spill_new(m->tmpdir)};
    bool good = true;
    quiet_init(&r.quiet, m);
    r.given = idmap_new(r.spill);
    r.changes = store_extend_begin(m);
    struct experiment x;
    for (uint64_t i = 0; good && i < experiments_count(m->experiments); i++) {
        experiments_get(m->experiments, i, &x);
        good = (!experiment_is(&x, EXPERIMENT_TWIN) || renumber(&r, &x, e)) && spill_check(r.spill, e);
    }
    store_extend_end(m, r.changes, good && r.changed);
    idmap_free(r.given);
    spill_free(r.spill);
    quiet_free(&r.quiet);
    return good;
}

/* -- names */

/* The entries are sorted by these bytes, the names' identities first; for equal names active ones come
 * first. */
enum { NAME_LEN = 16, NAME_KEY_LEN = NAME_LEN + 1 + 8, NAME_MEMORY = 2 << 20 };

struct clash_names {
    pthread_mutex_t lock;
    struct sorter *sorter;
    bool failed; /* error says why */
    struct err error;
};

struct clash_names *clash_names_new(const struct mlruns *m)
{
    struct clash_names *names = xcalloc(1, sizeof *names);
    pthread_mutex_init(&names->lock, NULL);
    names->sorter = sorter_new(m->tmpdir, NAME_MEMORY);
    return names;
}

void clash_names_free(struct clash_names *names)
{
    if (!names)
        return;
    sorter_free(names->sorter);
    pthread_mutex_destroy(&names->lock);
    free(names);
}

static void put_number(unsigned char to[8], uint64_t n)
{
    for (int i = 0; i < 8; i++)
        to[i] = (unsigned char)(n >> (56 - 8 * i));
}

void clash_names_add(struct clash_names *names, const struct unit *unit, struct id_key name)
{
    unsigned char key[NAME_KEY_LEN];
    put_number(key, name.high);
    put_number(key + 8, name.low);
    key[NAME_LEN] = unit->deleted;
    put_number(key + NAME_LEN + 1, unit->of->at);
    pthread_mutex_lock(&names->lock);
    if (!names->failed)
        names->failed =
            !sorter_add(names->sorter, key, sizeof key, &unit->of->at, sizeof unit->of->at, &names->error);
    pthread_mutex_unlock(&names->lock);
}

static void report_same_name(struct quiet *q, const struct mlruns_sink *sink, uint64_t at, uint64_t other_at)
{
    struct experiment x;
    experiments_get(q->w.store->experiments, at, &x);
    struct experiment other;
    experiments_get(q->w.store->experiments, other_at, &other);
    const struct yaml_value *name = yaml_get(quiet_meta(q, &x), "name");
    char path[EXPERIMENT_PATH_SIZE], other_path[EXPERIMENT_PATH_SIZE];
    sink->same_name(sink->ctx, experiment_dir(&x, path), experiment_dir(&other, other_path),
                    name && name->text ? walker_shown(name->text, name->len) : "");
}

bool clash_report_same_names(const struct mlruns *m, struct clash_names *names,
                             const struct mlruns_sink *sink, struct err *e)
{
    uint64_t first = 0;
    bool any = false;
    if (names->failed)
        return err_copy(e, &names->error);
    if (!sorter_finish(names->sorter, e))
        return false;
    struct quiet q;
    quiet_init(&q, m);
    unsigned char first_name[NAME_LEN];
    uint64_t at;
    struct sort_entry x;
    int got;
    while ((got = sorter_next(names->sorter, &x, e)) > 0) {
        memcpy(&at, x.data, sizeof at);
        if (any && memcmp(x.key, first_name, NAME_LEN) == 0) {
            report_same_name(&q, sink, at, first);
            continue;
        }
        memcpy(first_name, x.key, NAME_LEN);
        first = at;
        any = true;
    }
    quiet_free(&q);
    return got == 0;
}
