/* Makes and hands over the records of unchanged experiments. */
#include "formats/filestore/contexts.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

struct context {
    uint64_t experiment; /* its place */
    unsigned users;      /* units; 0: it may be replaced */
    struct buf record;
};

struct contexts {
    const struct mlruns *m;
    pthread_mutex_t lock;
    struct context *items;
    size_t n;
};

struct contexts *contexts_new(const struct mlruns *m, size_t n)
{
    struct contexts *all = xcalloc(1, sizeof *all);
    all->m = m;
    all->n = n;
    all->items = xcalloc(n, sizeof *all->items);
    pthread_mutex_init(&all->lock, NULL);
    return all;
}

void contexts_free(struct contexts *all)
{
    if (!all)
        return;
    for (size_t i = 0; i < all->n; i++)
        buf_free(&all->items[i].record);
    pthread_mutex_destroy(&all->lock);
    free(all->items);
    free(all);
}

/* Makes the record of the unit's experiment; false: it can't be made now. */
static bool encode(struct walker *w, const struct unit *of, struct buf *record)
{
    const struct experiment *x = of->of;
    struct unit unit = {.kind = UNIT_EXPERIMENT,
                        .experiment = x->id,
                        .experiment_id = of->experiment_id,
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
static struct context *context_for(struct contexts *all, uint64_t experiment)
{
    struct context *unused = all->items;
    for (size_t i = 0; i < all->n; i++) {
        struct context *c = &all->items[i];
        if (c->experiment == experiment && (c->users || c->record.len))
            return c;
        if (!c->users)
            unused = c;
    }
    buf_free(&unused->record); /* there are as many as units, and the caller's has none so far */
    unused->experiment = experiment;
    return unused;
}

bool contexts_make(struct contexts *all, struct walker *w, const struct unit *unit, struct context **out)
{
    struct experiments *t = all->m->experiments;
    struct experiment *x = unit->of;
    struct buf record = {0};
    struct context *c = NULL;
    pthread_mutex_lock(&all->lock);
    x->flags |= experiments_flags(t, x->at) & (EXPERIMENT_SENT | EXPERIMENT_UNSET);
    if (!experiment_is(x, EXPERIMENT_SENT) && !experiment_is(x, EXPERIMENT_UNSET)) {
        c = *out = context_for(all, x->at);
        c->users++;
    }
    bool wanted = c && c->record.len == 0;
    pthread_mutex_unlock(&all->lock);
    if (!wanted)
        return experiment_is(x, EXPERIMENT_SENT) || !experiment_is(x, EXPERIMENT_UNSET);
    if (!encode(w, unit, &record)) {
        experiments_mark(t, x, EXPERIMENT_UNSET, 0);
        return false;
    }
    pthread_mutex_lock(&all->lock);
    if (c->record.len == 0) {
        buf_free(&c->record);
        c->record = record;
        record = (struct buf){0};
    }
    pthread_mutex_unlock(&all->lock);
    buf_free(&record);
    return true;
}

void contexts_hand_over(struct contexts *all, struct context *c, const struct mlruns_sink *sink)
{
    struct wire_counts counts = {0};
    struct experiment x = {.at = c->experiment};
    pthread_mutex_lock(&all->lock);
    if (c->record.len && !(experiments_flags(all->m->experiments, c->experiment) & EXPERIMENT_SENT)) {
        counts.n[KIND_experiment] = 1;
        sink->records(sink->ctx, c->record.data, c->record.len, &counts);
        experiments_mark(all->m->experiments, &x, EXPERIMENT_SENT, 0);
        buf_free(&c->record);
    }
    pthread_mutex_unlock(&all->lock);
}

void contexts_leave(struct contexts *all, struct context *c)
{
    pthread_mutex_lock(&all->lock);
    if (--c->users == 0 && c->record.cap > BUF_KEPT)
        buf_free(&c->record);
    pthread_mutex_unlock(&all->lock);
}
