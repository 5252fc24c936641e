/* Which folder is the file store, and what a folder in it is that has no meta.yaml. Judged by signs:
 * meta.yaml files and the folders that MLflow makes in experiments, runs, traces and models. */
#ifndef FORMATS_FILESTORE_PLACE_H
#define FORMATS_FILESTORE_PLACE_H

#include "common/buf.h"
#include "common/err.h"

enum holds {
    HOLDS_NOTHING,       /* not even a file, but for hidden ones */
    HOLDS_OTHER,         /* nothing that MLflow keeps in a file store */
    HOLDS_ARTIFACTS,     /* artifacts of runs that a database has */
    HOLDS_RUN_ARTIFACTS, /* those of one run */
    HOLDS_STORE,         /* a file store of its own */
    HOLDS_DATA,          /* an experiment's or a run's */
};

/* What a folder without meta.yaml holds. Where that can't be known, since an entry can't be looked at, false
 * with `failed` filled: "ENTRY: reason". */
bool place_judge(int dir, enum holds *holds, struct buf *failed);

/* Finds the store at a path: the folder itself when it has a store's signs (experiments or registered
 * models), else the folder `mlruns` in it, else the folder itself when it has .trash or is called mlruns.
 * Returns its descriptor and its path (malloc'ed); -1 with e filled when there is no store. warnings:
 * appended "PATH NUL text NUL" for what was not looked into. */
int place_find(const char *path, char **found, struct buf *warnings, struct err *e);

/* Appends a command that dumps the store at a path, as a shell reads it. */
void place_command(struct buf *b, const char *path);

#endif
