/* The state of a source between two ticks of a sync: what the producer has seen (fingerprints), and what the
 * loader made of it (the map). A state belongs to one source, one target and one set of options.
 *
 * What the programs do in a tick:
 *
 *   dump  reads STATE (state_open); if a killed tick has left a state.new, marks in STATE what that has otherwise
 *         (doubt.h), and removes it; writes its stream with the
 *         state's id, an id of the tick and, unless it is the first, its generation as the base; and before the
 *         trailer writes state.new (state_writer) with the same ids, generation and map and the current
 *         fingerprints
 *   load  reads the map from state.new (state_map_next), which must have the tick id of the stream, commits,
 *         and replaces STATE by state.new (promote.h) with the target's new generation, its additions to the
 *         map, and marks on unsent units
 *
 * If two ticks use one state at the same time, the earlier stream is refused with the later state.new, before
 * anything is written; STATE always belongs to a tick that the target has committed.
 *
 * A state is never changed in place: it is written under another name, synced and renamed, and has a
 * checksum. Losing a state only costs a full stream.
 *
 * The file: "MLRSTATE", a version byte, items, and the XXH3 (64 bits, little-endian) of all bytes before it.
 * An item is its length and that many bytes, the first of which is its type; numbers are LEB128, texts a
 * length and bytes:
 *
 *   H  head: id, generation, time, source, options, stream, tick (none in earlier versions), doubted, if any
 *   M  map entry: kind, key, value; sorted
 *   U  unit: flags, kind, key, id; in the order of the producer's walk, followed by
 *   F  fingerprints of the unit's files, at most STATE_CHUNK bytes of them in one item
 *   E  end
 *
 * It is read in order with a few KiB of memory. 300,000 files take some 15 MB. */
#ifndef FORMATS_STATE_H
#define FORMATS_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "formats/record/record.h"

enum { STATE_VERSION = 1, STATE_CHUNK = 32 << 10 };

struct state_head {
    char id[33];   /* 32 random hex digits */
    char tick[33]; /* id of the tick that wrote it, 32 random hex digits; "" in states of earlier versions */
    uint64_t generation; /* last generation committed by the target; 0: none so far */
    int64_t time;        /* ns since the epoch when the tick began */
    char stream[33];     /* the source id in the headers of its streams, 32 hex digits */
    const char *source;  /* the source as named in messages; in the state's memory, or the caller's */
    const char *options; /* options that affect the stream, as one text */
    const char
        *doubted; /* ids of the unpromoted ticks that this state knows of (doubt.h), joined; NULL: none */
};

/* Makes a new id of a state or a tick; false with e filled if the system cannot provide random numbers. */
bool state_new_id(char id[33], struct err *e);

/* -- reading */

struct state;
/* Opens a state and verifies its checksum. NULL with e filled if it does not exist (*absent is set, if
 * given), is not a state, of another version, or damaged. */
struct state *state_open(const char *path, bool *absent, struct err *e);
const struct state_head *state_head(const struct state *s);
const char *state_path(const struct state *s);
void state_close(struct state *s); /* NULL is fine */

/* Reads items from a position on. Each thread has its own cursor; zero-initialise it with the state. */
struct state_cursor {
    const struct state *state;
    uint64_t next;     /* position of the next item; 0: the first after the head */
    uint64_t from;     /* position of the last item */
    struct buf window; /* private */
    uint64_t window_at;
};
void state_cursor_init(struct state_cursor *c, const struct state *s);
void state_cursor_free(struct state_cursor *c);

struct state_text {
    const char *s; /* not NUL-terminated */
    size_t len;
};

/* An entry of the map from identities of the source to those of the target. kind is the name of a kind on the
 * wire ("experiment", "model_version", "dataset", …) or a word of the loader's own; key and value are opaque
 * to all but the loader, such as an experiment's id and creation time, and its id in the target. */
struct state_map_entry {
    struct state_text kind, key, value;
};
/* 1: the next entry, whose texts live until the next call; 0: the end; -1: error. */
int state_map_next(struct state_cursor *c, struct state_map_entry *out, struct err *e);

/* The kind of entries that mark units in the state of a database as unsent; key: the owner's kind, NUL, its
 * id. They are for the next tick only. */
#define STATE_UNSENT_KIND "unsent"

/* A unit, which the producer reads and sends as a whole: an experiment with tags and datasets, a run, a
 * trace, a logged model, a registered model (or prompt) with its versions. */
enum state_unit_flag {
    STATE_UNSENT = 1 << 0,  /* missing from the target: it is sent as if it were new */
    STATE_DELETED = 1 << 1, /* an experiment in .trash */
};
struct state_unit {
    unsigned flags;
    enum kind kind;        /* experiment, run, trace, logged_model, registered_model; row: a database's, see
                              database/tick.h */
    struct state_text key; /* its position in the walk: units are sorted by memcmp of their keys */
    struct state_text id;  /* run_id, …, name of a registered model */
    uint64_t from;         /* its position in the file */
};
/* Like state_map_next; skips the rest of the previous unit. */
int state_unit_next(struct state_cursor *c, struct state_unit *out, struct err *e);
/* Moves to the beginning of an item. After moving to a unit's `from` and state_unit_next, its files
 * follow. */
void state_cursor_seek(struct state_cursor *c, uint64_t from);

/* In the state of a database the name of a "file" is that of a record: its identity, so many bytes, and its kind. */
enum { STATE_IDENTITY = 16 };

/* A file of a unit. */
enum state_file_flag {
    STATE_UNTRUSTED = 1 << 0, /* changed about when it was read: a further change might go unnoticed */
    STATE_HELD = 1 << 1,      /* seen but not sent yet: it may have been partially written */
    STATE_RETRY = 1 << 2,     /* partly unreadable: it is read again each time */
};
struct state_file {
    struct state_text path; /* below the unit's directory */
    unsigned flags;
    uint64_t size, inode;
    int64_t mtime, ctime; /* ns since the epoch */
    /* of what was sent: the contents, or the record made of them, or for a metric file the bytes before
     * `offset` */
    uint64_t hash;
    uint64_t offset; /* of a metric file: the position up to which it was read */
    uint64_t lines;  /* lines before that position */
};
struct state_files { /* iterates over the files of a cursor's last unit; zero-initialise it */
    struct buf chunk;
    size_t at;
    bool end;
};
/* Like state_map_next; the path is valid until the next call. */
int state_file_next(struct state_cursor *c, struct state_files *files, struct state_file *out, struct err *e);
void state_files_begin(struct state_files *files); /* begins another unit */
void state_files_free(struct state_files *files);

/* -- encoding: items as bytes, to be appended with a state_writer */
void state_encode_map(struct buf *out, const struct state_map_entry *m);
void state_encode_unit(struct buf *out, const struct state_unit *u);
/* Adds a file to a chunk; state_encode_chunk makes an item of the chunk and empties it. */
void state_encode_file(struct buf *chunk, const struct state_file *f);
void state_encode_chunk(struct buf *out, struct buf *chunk);

/* -- writing */

struct state_writer;
/* Begins a state at path, written to "PATH.part", which it locks against other programs, until it is
 * complete. head's texts are not kept. NULL with e filled. */
struct state_writer *state_writer_new(const char *path, const struct state_head *head, struct err *e);
/* Appends encoded items: the map first, then units. */
bool state_write(struct state_writer *w, const void *data, size_t len, struct err *e);
/* Appends the items between `from` and `to` of the cursor's state. */
bool state_write_copy(struct state_writer *w, struct state_cursor *c, uint64_t from, uint64_t to,
                      struct err *e);
/* Appends the map of s without entries of STATE_UNSENT_KIND. */
bool state_write_map_of(struct state_writer *w, const struct state *s, struct err *e);
/* Renames the open file, even if its old name refers to another file by now, replacing any file of the new
 * name. False: that is not possible here (as across file systems), and nothing was changed. */
bool state_rename(const struct state *s, const char *path);
/* Removes the open file, unless its name refers to another file by now. */
void state_remove(const struct state *s);
/* Completes the state, syncs it, and renames it to its name, replacing any file of that name. */
bool state_writer_commit(struct state_writer *w, struct err *e);
/* Frees the writer; an uncommitted state leaves no file. NULL is fine. */
void state_writer_free(struct state_writer *w);

#endif
