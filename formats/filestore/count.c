/* Counts the units of a store. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/array.h"
#include "formats/filestore/internal.h"

enum { MOST_EXPERIMENTS = 10000 }; /* whose directories are listed for a number */

struct count {
    const struct mlruns *m;
    int dir; /* of the experiment */
    char *chunk;
    uint64_t n;
};

static void add_entry(void *ctx, const char *name, unsigned char type)
{
    struct count *c = ctx;
    (void)name;
    c->n += type != DT_REG;
}

static void add_run(void *ctx, const char *name, unsigned char type)
{
    static const char *const others[] = {"tags", "traces", MODELS, "datasets"};
    for (size_t i = 0; i < ARRAY_LENGTH(others); i++)
        if (strcmp(name, others[i]) == 0)
            return;
    add_entry(ctx, name, type);
}

/* What cannot be listed has no units here; that is reported when it is read. */
static void count_below(struct count *c, int at, const char *path,
                        void (*add)(void *, const char *, unsigned char))
{
    int dir = dir_open(at, path);
    if (dir < 0)
        return;
    dir_each(dir, c->chunk, add, c);
    close(dir);
}

static void count_experiment(struct count *c, const struct experiment *x)
{
    char *path = xasprintf("%s%s", trash_prefix(experiment_is(x, EXPERIMENT_DELETED)), x->id);
    int dir = dir_open(c->m->root, path);
    c->n++;
    if (dir >= 0) {
        dir_each(dir, c->chunk, add_run, c);
        count_below(c, dir, "traces", add_entry);
        count_below(c, dir, MODELS, add_entry);
        close(dir);
    }
    free(path);
}

uint64_t mlruns_count_units(const struct mlruns *m)
{
    struct count c = {.m = m};
    uint64_t experiments = experiments_count(m->experiments);
    if (experiments > MOST_EXPERIMENTS)
        return 0;
    c.chunk = xmalloc(CHUNK_SIZE);
    for (uint64_t i = 0; i < experiments; i++) {
        struct experiment x;
        experiments_get(m->experiments, i, &x);
        count_experiment(&c, &x);
    }
    free(c.chunk);
    return c.n;
}
