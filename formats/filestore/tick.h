/* A tick of a sync (formats/state/state.h): what is read of a unit when the state of the tick before tells
 * what was seen then, and what is noted for the next. A unit of which no file has changed is found so by stat
 * alone, and its part of the state is copied. Of another one all files are looked at in the order of the
 * walk, beside the state's; those that changed are read, and what they say is sent if it is something else.
 */
#ifndef FORMATS_FILESTORE_TICK_H
#define FORMATS_FILESTORE_TICK_H

#include "formats/filestore/internal.h"
#include "formats/state/state.h"

/* What can be taken back: the output as it was. */
struct tick_mark {
    size_t data, notes;
    struct wire_counts counts;
    uint64_t problems, handed_over;
};

/* A parent's record that is sent for the sake of what follows, and taken back when nothing does. */
struct tick_parent {
    bool idle; /* its own fields are as they were */
    struct tick_mark before;
    size_t after; /* of data */
};

struct tick_reader { /* of one thread */
    const struct mlruns_tick *of;
    bool failed; /* the state can't be read: error says why, and what is handed over must not be used */
    struct err error;
    struct state_cursor cursor;
    struct state_files files;
    struct state_file old; /* the state's next file of the unit, if has_old */
    bool has_old;
    bool comparing; /* tick_differs is at work */
    bool differs;
    /* the unit */
    size_t base;              /* bytes of w->path that lead to it, its slash included */
    bool good;                /* its own file could be read: what is in it may be sent and noted */
    bool sent;                /* its record stays in the output */
    struct tick_parent own;   /* of the unit */
    struct tick_parent inner; /* of a model version in it */
    struct buf chunk;         /* files for the next state */
    struct buf record;
    /* the file that is being looked at, unless !open */
    bool open;
    int trouble; /* when it was looked at: 0 or an error */
    bool seen;   /* it could be looked at, and now is filled */
    bool met;    /* the state has it, as was */
    bool hold;   /* it is left for the next tick */
    int dir;
    struct buf path; /* below the unit */
    struct state_file now, was;
    struct tick_mark mark;
};

void tick_reader_init(struct tick_reader *t, const struct mlruns_tick *of);
void tick_reader_free(struct tick_reader *t);

/* The place of a unit in the walk, as units of states are sorted. */
void tick_key(const struct unit *unit, struct buf *out);

/* True when the unit, open at dir, is not as the state has it: then it is to be read. */
bool tick_differs(struct walker *w, int dir, const struct unit *unit);
/* Before and after a unit is read. */
void tick_begin(struct walker *w, int dir, const struct unit *unit);
void tick_end(struct walker *w, const struct unit *unit);

/* The four below are to be called whether the walker has a tick or not. */
/* Before a file of the unit is read, whose path is w->path; false: there is nothing to read. The file that is
 * the unit's own has been entered by tick_begin. */
bool tick_enter(struct walker *w, int dir, const char *name);
/* The same for the file of a unit or version, which is read all the same. */
void tick_enter_anyway(struct walker *w, int dir, const char *name);
/* And after it, if true. */
void tick_leave(struct walker *w);
/* When the file is in w->file: true when it is to be passed over, since it is as it was sent, or may be half
 * written. final: what it says can never be changed where it goes, so it must have settled. */
bool tick_pass(struct walker *w, bool final);
/* The directory whose path is w->path can't be listed or read: what the state has below it stays. */
void tick_unlisted(struct walker *w);

/* What is in a unit without a file of its own may be sent. */
void tick_good(struct walker *w);
/* Emits the record of the unit itself, or of a model version (inner), marked by what has changed of it. */
void tick_emit(struct walker *w, struct record *r, bool inner);
/* Emits a record that is the whole of its file, marked if an earlier one has been sent. */
void tick_emit_alone(struct walker *w, struct record *r);
/* After what belongs to a model version. */
void tick_inner_end(struct walker *w);

/* Metric files: where reading begins, and after how many lines; and up to where it came. bad: a line before
 * could not be read; torn: the last one has no newline and was not taken. Without a tick: nothing. */
void tick_metric_begin(struct walker *w, int fd, uint64_t *offset, uint64_t *lines);
void tick_metric_end(struct walker *w, int fd, uint64_t offset, uint64_t lines, bool bad, bool torn);

/* Whether a name below params, metrics, tags is none of a key: what network file systems (.nfs0000…) and
 * copies (rsync's .loss.B7kQpz) leave for a while. */
bool tick_is_hidden(const struct walker *w, const char *name);

/* A message of the path that is being read: it is left for the next tick. */
void tick_note_held(struct walker *w, const char *reason);
/* Of a path below the store: something was there, and is no longer. */
void tick_note_gone(struct output *out, const char *path, const char *reason);

#endif
