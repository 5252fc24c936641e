/* The units of a store in the order of the stream: experiments, then the runs, traces and logged models of each readable
 * one, then registered models. A directory that cannot be listed is a unit, too, so that its problem is reported in order. */
#ifndef FORMATS_FILESTORE_UNITS_H
#define FORMATS_FILESTORE_UNITS_H

#include "formats/filestore/internal.h"

/* A unit and what it points to. */
struct found_unit {
    struct unit unit;
    struct experiment experiment;
    struct buf path; /* of its directory, relative to the store */
    char name[NAMES_SIZE];
    struct buf trouble;
};
void found_unit_free(struct found_unit *u);

/* Marks the experiments that are selected. false with e filled: one of them does not exist. */
bool units_choose(const struct mlruns *m, const struct mlruns_selection *s, struct err *e);

struct units;
/* Borrows both. units_choose() comes before. */
struct units *units_new(const struct mlruns *m, const struct mlruns_selection *selection);
void units_free(struct units *l);

enum units_step { UNITS_ONE, UNITS_PAUSE, UNITS_END };
/* ONE: fills *out. PAUSE, once: all units so far must have been read before the next call, since only experiments that
 * turned out to be readable are entered. */
enum units_step units_next(struct units *l, struct found_unit *out);

/* -- unit.c */

struct contexts;
struct context;
/* Reads the unit at the path, relative to the store; in a tick only if it has changed. contexts: of a tick with a base,
 * else NULL. *context: as from contexts_make(). */
void unit_read(struct walker *w, const struct unit *unit, const char *path, struct contexts *contexts,
               struct context **context);

#endif
