/* A tick of a sync in mlruns-dump: the state before and the one after, and what is said of what is left for
 * the next tick. */
#ifndef TOOLS_TICK_H
#define TOOLS_TICK_H

#include "formats/filestore/store.h"
#include "formats/state/next.h"
#include "formats/stream/wire.h"

struct tick {
    const char *since, *next_path; /* files; since: NULL, or of a state that may not exist so far */
    struct mlruns_tick reading;    /* for mlruns_read */
    struct state *old;
    struct state_next *next;
    struct state_head head;
    char *source, *options;
    const char *name;
    uint64_t held, gone;
};

/* Begins before the store is opened: reads the state, if there is one. Dies of one that can't be used. */
void tick_open(struct tick *t, const char *since, const char *next_path);
/* The source has been opened and what is to be read of it is known: dies when the state is of another one or
 * of other options (one text). name: in messages; it must live as long. where: what it is and which, the same
 * whatever the working directory. Begins the state after. */
void tick_start(struct tick *t, const char *name, const char *where, const char *options,
                const char *stream_source);
/* Fills what the header says of the state, and the sink's functions of a tick. */
void tick_header(const struct tick *t, struct wire_header *h);
void tick_sink(struct tick *t, struct mlruns_sink *sink);
/* Completes the state after; to be called before the stream's trailer is written. */
void tick_commit(struct tick *t);
void tick_close(struct tick *t);

#endif
