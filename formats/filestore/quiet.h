/* Reads the meta.yaml of experiments without reporting what is wrong with it: that is done where the experiment itself is
 * read. */
#ifndef FORMATS_FILESTORE_QUIET_H
#define FORMATS_FILESTORE_QUIET_H

#include "formats/filestore/internal.h"

enum { EXPERIMENT_PATH_SIZE = NAMES_SIZE + 16 };

/* Writes the path of the experiment's directory below the store; returns it. */
const char *experiment_dir(const struct experiment *x, char path[EXPERIMENT_PATH_SIZE]);

struct quiet { /* a walker whose problems are discarded */
    struct walker w;
    struct output out;
};

void quiet_init(struct quiet *q, const struct mlruns *m);
void quiet_free(struct quiet *q);
/* The experiment's meta.yaml, a map that lives until the next call; NULL if it is missing or unreadable. */
const struct yaml_value *quiet_meta(struct quiet *q, const struct experiment *x);

#endif
