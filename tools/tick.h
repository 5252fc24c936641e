/* A tick of a sync in mlruns-dump and mldb-dump: its old and new state, and messages about what is held back. */
#ifndef TOOLS_TICK_H
#define TOOLS_TICK_H

#include "formats/filestore/store.h"
#include "formats/state/next.h"
#include "formats/stream/wire.h"

struct tick {
    const char *since, *next_path; /* files; since: NULL, or a state that may not exist yet */
    struct mlruns_tick reading;    /* for mlruns_read */
    struct state *old;
    struct state_next *next;
    struct state_head head;
    char *source, *options;
    const char *name;
    uint64_t held, gone;
};

/* Call it before opening the store: reads the state, if it exists. Dies if it is unusable. */
void tick_open(struct tick *t, const char *since, const char *next_path);
/* Call it when the source is open: dies if the state is of another source or of other options (one text).
 * name: for messages; it must live as long as t. where: identifies the source independently of the working
 * directory. Begins the new state. */
void tick_start(struct tick *t, const char *name, const char *where, const char *options,
                const char *stream_source);
/* Fills the header's members for the state, and the sink's functions for a tick. */
void tick_header(const struct tick *t, struct wire_header *h);
void tick_sink(struct tick *t, struct mlruns_sink *sink);
/* Completes the new state; call it before writing the stream's trailer. */
void tick_commit(struct tick *t);
void tick_close(struct tick *t);

#endif
