/* Files of ml-sync between ticks. A sync is one source, one target and one set of options; each has four
 * files in the state directory, whose names begin with a hash of these:
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
 * Created if missing, accessible only by its owner. Dies if that fails. */
char *sync_state_dir(const char *asked);

/* The canonical form of a location: the real path of a directory or SQLite file, a PostgreSQL URL without its
 * password. malloc'ed. */
char *sync_place(const char *location, bool is_database);

/* Such a location, or another text, in printable form; malloc'ed. */
char *sync_printable(const char *text);

/* The files of a sync; source and target are results of sync_place(), options those that affect what is
 * written. */
struct sync_files sync_files_of(const char *dir, const char *source, const char *target, const char *options);
void sync_files_free(struct sync_files *f); /* unlocks */

/* Locks the sync without waiting, for this program and those that it starts. false with e filled, class ERR_BUSY if
 * another tick has the lock. */
bool sync_files_lock(struct sync_files *f, struct err *e);

/* Stores a tick's JSON object as the last one. A failure is only a warning. */
void sync_files_keep(const struct sync_files *f, const json_t *last);

/* Removes the state, so that the next tick sends everything. false with e filled. The lock must be held. */
bool sync_files_forget(const struct sync_files *f, struct err *e);

/* Prints each sync in the directory, or those of the source and target (canonical; NULL: any), on standard
 * output: time and results of the last tick, generation, what is held back. With json, one object per line.
 * Returns their number. */
size_t sync_files_print(const char *dir, const char *source, const char *target, bool json);

#endif
