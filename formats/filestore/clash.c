/* Finds experiments that share an id or a name. MLflow prevents both, but directories get moved by hand, and
 * stores of MLflow 1.x, which number experiments from 1, get combined. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xxhash.h>

#include "formats/filestore/internal.h"

#define META_FILE "meta.yaml"

enum { PATH_SIZE = 512 };

/* The experiment's directory below the store. */
static const char *dir_of(const struct experiment *x, char path[PATH_SIZE])
{
    snprintf(path, PATH_SIZE, "%s%s", x->deleted ? TRASH "/" : "", x->id);
    return path;
}

/* -- ids */

/* False if there is no meta.yaml; an unreadable one counts as present. */
static bool has_meta(const struct mlruns *m, const struct experiment *x)
{
    char dir[PATH_SIZE], path[PATH_SIZE + 16];
    struct stat st;
    int error;

    snprintf(path, sizeof path, "%s/" META_FILE, dir_of(x, dir));
    error = dir_stat(m->root, path, &st);
    return error != ENOENT && error != ENOTDIR;
}

void clash_find_twins(struct mlruns *m)
{
    for (size_t i = 1; i < m->n; i++) {
        const struct experiment *active = &m->experiments[i - 1];
        struct experiment *x = &m->experiments[i];

        x->twin = strcmp(active->id, x->id) == 0 && has_meta(m, active) && has_meta(m, x);
    }
}

bool mlruns_has_twins(const struct mlruns *m)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->experiments[i].twin)
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
    struct buf *notes = &w->out->notes, reason = {0};
    struct record r;

    buf_addc(notes, 'p');
    buf_add(notes, buf_str(&w->path), w->path.len + 1);
    buf_addf(notes, "%s %s/%s", what, w->store->path, unit->experiment);
    buf_addc(notes, '\0');
    buf_addf(&reason, "%s %s", what, unit->experiment); /* a stream does not contain the store's location */
    record_init(&r, KIND_skipped);
    r.v[F_skipped_path] = value_text(buf_str(&w->path), w->path.len);
    r.v[F_skipped_reason] = value_text(buf_str(&reason), reason.len);
    walker_emit(w, &r);
    buf_free(&reason);
}

/* Reads the experiment's meta.yaml; NULL if it is unreadable, which is reported when the experiment is
 * read. */
static const struct yaml_value *quiet_meta(struct walker *w, const struct experiment *x)
{
    char path[PATH_SIZE];
    const struct yaml_value *meta;
    int dir = dir_open(w->root, dir_of(x, path));
    bool good = dir >= 0 && meta_read(w, w->yaml, dir, META_FILE, &meta) == META_GOOD;

    if (dir >= 0)
        close(dir);
    return good ? meta : NULL;
}

struct quiet { /* a walker whose problems are discarded */
    struct walker w;
    struct output out;
};

static void quiet_init(struct quiet *q, const struct mlruns *m)
{
    q->out = (struct output){0};
    walker_init(&q->w, m, m->root, &q->out);
}

static void quiet_free(struct quiet *q)
{
    walker_free(&q->w);
    output_free(&q->out);
}

/* NULL if the creation time is unreadable. */
static char *derive_id(const struct mlruns *m, const struct experiment *x)
{
    const uint64_t first = 1000000000000000000;
    const struct yaml_value *meta, *created;
    struct buf text = {0};
    struct quiet q;
    char *id = NULL;

    quiet_init(&q, m);
    meta = quiet_meta(&q.w, x);
    created = yaml_get(meta, "creation_time");
    buf_addf(&text, "%s created at ", x->id);
    if (created && created->kind == YAML_IS_INT && !created->big)
        buf_addf(&text, "%" PRId64, created->i);
    if (meta)
        id = xasprintf("%" PRIu64, first + XXH3_64bits(text.data, text.len) % first);
    quiet_free(&q);
    buf_free(&text);
    return id;
}

static bool is_taken(const struct mlruns *m, const struct experiment *x)
{
    for (size_t i = 0; i < m->n; i++)
        if (&m->experiments[i] != x && strcmp(mlruns_experiment_id(m, i), x->new_id) == 0)
            return true;
    return false;
}

bool mlruns_renumber_trash(struct mlruns *m, void (*note)(void *ctx, const char *path, const char *id),
                           void *ctx, struct err *e)
{
    char path[PATH_SIZE];
    struct buf changes = {0};

    for (size_t i = 0; i < m->n; i++) {
        struct experiment *x = &m->experiments[i];

        if (!x->twin)
            continue;
        x->new_id = derive_id(m, x);
        x->twin = false;
        x->unread = !x->new_id;
        if (x->unread)
            continue;
        dir_of(x, path);
        buf_addf(&changes, "%s=%s ", path, x->new_id);
        if (is_taken(m, x)) {
            buf_free(&changes);
            err_set(e, m->path, "%s: its new id %s is also that of another experiment", path, x->new_id);
            return err_hint(
                e, "rename one of the two directories and change the experiment_id in its meta.yaml");
        }
        if (note)
            note(ctx, path, x->new_id);
    }
    if (changes.len)
        store_extend_source(m, buf_str(&changes));
    buf_free(&changes);
    return true;
}

/* -- names */

/* By name; for equal names active ones first. */
static int compare_names(const void *a, const void *b)
{
    const struct experiment *x = *(const struct experiment *const *)a,
                            *y = *(const struct experiment *const *)b;

    if (x->name.high != y->name.high)
        return x->name.high < y->name.high ? -1 : 1;
    if (x->name.low != y->name.low)
        return x->name.low < y->name.low ? -1 : 1;
    if (x->deleted != y->deleted)
        return (int)x->deleted - (int)y->deleted;
    return x < y ? -1 : x > y; /* both are in one array */
}

static bool has_name(const struct experiment *x, const struct id_key *name)
{
    return x->name.low == name->low && x->name.high == name->high;
}

static void report_same_name(const struct mlruns *m, const struct mlruns_sink *sink,
                             const struct experiment *x, const struct experiment *other)
{
    char path[PATH_SIZE], other_path[PATH_SIZE];
    const struct yaml_value *name;
    struct quiet q;

    quiet_init(&q, m);
    name = yaml_get(quiet_meta(&q.w, x), "name");
    sink->same_name(sink->ctx, dir_of(x, path), dir_of(other, other_path),
                    name && name->text ? walker_shown(name->text, name->len) : "");
    quiet_free(&q);
}

void clash_report_same_names(const struct mlruns *m, const bool *chosen, const struct mlruns_sink *sink)
{
    const struct experiment **sorted = xmalloc((m->n + 1) * sizeof *sorted), *first = NULL;
    size_t n = 0;

    for (size_t i = 0; i < m->n; i++)
        if (chosen[i] && !m->experiments[i].bad)
            sorted[n++] = &m->experiments[i];
    qsort(sorted, n, sizeof *sorted, compare_names);
    for (size_t i = 0; i < n; i++) {
        if (first && has_name(sorted[i], &first->name))
            report_same_name(m, sink, sorted[i], first);
        else
            first = sorted[i];
    }
    free(sorted);
}
