/* Reads the meta.yaml of experiments for their ids and names alone. */
#include "formats/filestore/quiet.h"

#include <stdio.h>
#include <unistd.h>

const char *experiment_dir(const struct experiment *x, char path[EXPERIMENT_PATH_SIZE])
{
    snprintf(path, EXPERIMENT_PATH_SIZE, "%s%s", trash_prefix(experiment_is(x, EXPERIMENT_DELETED)), x->id);
    return path;
}

void quiet_init(struct quiet *q, const struct mlruns *m)
{
    q->out = (struct output){0};
    walker_init(&q->w, m, m->root, &q->out);
}

void quiet_free(struct quiet *q)
{
    walker_free(&q->w);
    output_free(&q->out);
}

const struct yaml_value *quiet_meta(struct quiet *q, const struct experiment *x)
{
    char path[EXPERIMENT_PATH_SIZE];
    const struct yaml_value *meta;
    int dir = dir_open(q->w.root, experiment_dir(x, path));
    bool good = dir >= 0 && meta_read(&q->w, q->w.yaml, dir, "meta.yaml", &meta) == META_GOOD;
    if (dir >= 0)
        close(dir);
    buf_reset(&q->out.data);
    buf_reset(&q->out.notes);
    return good ? meta : NULL;
}
