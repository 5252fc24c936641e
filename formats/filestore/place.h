/* Finds the directory that is the file store, and classifies directories without meta.yaml, by signs:
 * meta.yaml files and the directories that MLflow creates in experiments, runs, traces and models. */
#ifndef FORMATS_FILESTORE_PLACE_H
#define FORMATS_FILESTORE_PLACE_H

#include "common/buf.h"
#include "common/err.h"
#include "common/names.h"
#include "formats/filestore/shared_spill.h"

enum holds {
    HOLDS_NOTHING,       /* no files but hidden ones */
    HOLDS_OTHER,         /* nothing that MLflow keeps in a file store */
    HOLDS_ARTIFACTS,     /* artifacts of runs that are in a database */
    HOLDS_RUN_ARTIFACTS, /* those of one run */
    HOLDS_STORE,         /* another file store */
    HOLDS_DATA,          /* data of an experiment or run */
};

/* Classifies a directory without meta.yaml. If an entry is unreadable, so that it cannot be known, returns
 * false with `failed` filled: "ENTRY: reason". */
bool place_judge(int dir, struct names_room *room, enum holds *holds, struct buf *failed);

/* Finds the store at a path: the directory itself if it has the signs of a store (experiments or registered
 * models), else the directory `mlruns` in it, else the directory itself if it has .trash or is named mlruns.
 * Returns its descriptor and its path (malloc'ed); -1 with e filled if there is no store. warnings: a path
 * and a text are added for each entry that is not read. */
int place_find(const char *path, struct names_room *room, char **found, struct text_pairs *warnings,
               struct err *e);

/* Appends the shell command that dumps the store at a path. */
void place_command(struct buf *b, const char *path);

#endif
