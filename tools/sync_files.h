/* Where ml-sync keeps what it knows of a source between two ticks. A sync is one source, one target and one
 * set of options; each has four files in the state directory, whose names begin with a hash of these:
 *
 *   HASH.state   the state (formats/state/state.h)
 *   HASH.next    the state of a running or killed tick
 *   HASH.lock    locked as long as a tick runs; empty, and never removed by a tick
 *   HASH.last    what the last tick did, a JSON object */
#ifndef TOOLS_SYNC_FILES_H
#define TOOLS_SYNC_FILES_H

#include <jansson.h>
#include <stdbool.h>

#include "common/err.h"

struct sync_files {
    char *state, *next, *lock, *last; /* paths */
    int lock_fd;                      /* -1: not locked */
};

/* The state directory, malloc'ed: the one asked for, else mlruns-tools in $XDG_STATE_HOME or ~/.local/state.
 * It is made where it is absent, for its owner alone. Dies when that cannot be done. */
char *sync_state_dir(const char *asked);

/* A place that two spellings do not part: the real path of a directory or SQLite file, a PostgreSQL URL
 * without its password. malloc'ed. */
char *sync_place(const char *location, bool is_database);

/* Such a place, or another text, as it is printed and kept in JSON; malloc'ed. */
char *sync_printable(const char *text);

/* The files of a sync; the texts are those of sync_place() and of the options that change what is written. */
struct sync_files sync_files_of(const char *dir, const char *source, const char *target, const char *options);
void sync_files_free(struct sync_files *f); /* unlocks */

/* Locks the sync without waiting, for this program and those that it starts. false with e empty: another tick has the lock; with e filled: it cannot be
 * locked. */
bool sync_files_lock(struct sync_files *f, struct err *e);

/* Keeps a tick's JSON object as the last one. A failure is only warned of. */
void sync_files_keep(const struct sync_files *f, const json_t *last);

/* Removes the state, so that the next tick is a first one. false with e filled. The lock must be held. */
bool sync_files_forget(const struct sync_files *f, struct err *e);

/* Prints each sync of the directory, or those of the source and target (places; NULL: any), on standard
 * output: when the last tick was, what it did, the generation, what is held back. With json an object a line.
 * Returns their number. */
size_t sync_files_print(const char *dir, const char *source, const char *target, bool json);

#endif
