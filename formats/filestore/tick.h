/* A tick of a sync (formats/state/state.h): what to read of a unit, given the state of the previous tick, and
 * what to store for the next one. A unit without changed files is recognized by stat() alone, and its part of
 * the state is copied. In others all files are compared with the state in the order of the walk; changed ones
 * are read, and sent if their contents differ. */
#ifndef FORMATS_FILESTORE_TICK_H
#define FORMATS_FILESTORE_TICK_H

#include "formats/filestore/internal.h"
#include "formats/state/state.h"

/* A position in the output, to remove what follows. */
struct tick_mark {
    size_t data, notes;
    struct wire_counts counts;
    uint64_t problems, handed_over;
};

/* A parent's record, which is sent because of what follows, and removed if nothing does. */
struct tick_parent {
    bool idle; /* its own fields are unchanged */
    struct tick_mark before;
    size_t after; /* of data */
};

struct tick_reader { /* of one thread */
    const struct mlruns_tick *of;
    bool failed; /* the state is unreadable: see error; the output must not be used */
    struct err error;
    struct state_cursor cursor;
    struct state_files files;
    struct state_file old; /* the state's next file of the unit, if has_old */
    bool has_old;
    bool comparing; /* tick_differs() is running */
    bool differs;
    /* the unit */
    size_t base;              /* length of its path in w->path, including the slash */
    bool good;                /* its own file is readable: its parts may be sent and stored in the state */
    bool sent;                /* its record is kept in the output */
    struct tick_parent own;   /* of the unit */
    struct tick_parent inner; /* of a model version in it */
    struct buf chunk;         /* files for the next state */
    struct buf record;
    /* the current file, if open */
    bool open;
    int trouble; /* result of its stat(): 0 or an error */
    bool seen;   /* stat() succeeded and `now` is filled */
    bool met;    /* it is in the state, as `old` */
    bool hold;   /* it is held back for the next tick */
    int dir;
    struct buf path; /* below the unit */
    struct state_file now, was;
    struct tick_mark mark;
};

void tick_reader_init(struct tick_reader *t, const struct mlruns_tick *of);
void tick_reader_free(struct tick_reader *t);

/* The sort key of a unit, in the order of the walk and of states. */
void tick_key(const struct unit *unit, struct buf *out);

/* Whether the unit, open at dir, differs from the state and must be read. */
bool tick_differs(struct walker *w, int dir, const struct unit *unit);
/* Call these before and after reading a unit. */
void tick_begin(struct walker *w, int dir, const struct unit *unit);
void tick_end(struct walker *w, const struct unit *unit);

/* Call the four below whether or not the walker has a tick. */
/* Call it before reading a file of the unit, at w->path; false: there is nothing to read. The unit's own file
 * has been entered by tick_begin. */
bool tick_enter(struct walker *w, int dir, const char *name);
/* The same for the file of a unit or version, which is read in any case. */
void tick_enter_anyway(struct walker *w, int dir, const char *name);
/* Call it after reading, if tick_enter returned true. */
void tick_leave(struct walker *w);
/* With the file in w->file: whether to skip it, because it was sent unchanged before or may be partially
 * written. final: its record cannot be changed in the target later, so the file must not be young. */
bool tick_pass(struct walker *w, bool final);
/* The file can't be read as a whole: true when it may be half written, and is left for the next tick. */
bool tick_hold_torn(struct walker *w);
/* The file has been read, and this is the hash of its bytes: true when it is as it was sent. */
bool tick_hashed(struct walker *w, uint64_t hash);
/* The directory at w->path cannot be listed or read: keeps the state below it. */
void tick_unlisted(struct walker *w);

/* Allows sending the parts of a unit without a file of its own. */
void tick_good(struct walker *w);
/* Emits the record of the unit itself, or of a model version (inner), marked as changed or not. */
void tick_emit(struct walker *w, struct record *r, bool inner);
/* Emits a record that is all of its file, marked if an earlier version was sent. */
void tick_emit_alone(struct walker *w, struct record *r);
/* Call it after the parts of a model version. */
void tick_inner_end(struct walker *w);

/* Metric files: begin returns where to start reading and the number of lines before; end stores how far it
 * got. bad: an earlier line was unreadable; torn: the last one has no newline and was not read. They do
 * nothing without a tick. */
void tick_metric_begin(struct walker *w, int fd, uint64_t *offset, uint64_t *lines);
void tick_metric_end(struct walker *w, int fd, uint64_t offset, uint64_t lines, bool bad, bool torn);

/* Whether a name below params, metrics or tags is not a key but a temporary file of a network file system
 * (.nfs0000…) or a copy (rsync's .loss.B7kQpz). */
bool tick_is_hidden(const struct walker *w, const char *name);

/* Notes that the current path is held back for the next tick. */
void tick_note_held(struct walker *w, const char *reason);
/* Notes that a path below the store has disappeared. */
void tick_note_gone(struct output *out, const char *path, const char *reason);

#endif
