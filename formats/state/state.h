/* The state that a producer keeps of a source between two ticks of a sync: what it has seen (fingerprints),
 * and what the loader made of it (the map). A state belongs to one source, one target and one set of options.
 *
 * Who does what in a tick:
 *
 *   dump  reads STATE (state_open); removes the state.new that a killed tick may have left; writes its stream
 *         with the state's id, one of the tick and, unless it is the first, its generation as the base; and
 *         before the trailer writes state.new (state_writer) with the same ids, generation and map and the
 *         current fingerprints
 *   load  takes the map from state.new (state_map_next), which must be that of the stream's tick, commits,
 *         and renames state.new to STATE (promote.h) with the generation that the target has now, its
 *         additions to the map, and marks on what it left out
 *
 * Where two ticks use one state at once, the later state.new is refused to the earlier stream, before
 * anything is written; STATE is only ever of a tick that the target has committed.
 *
 * A state is never changed in place: it is written to another name, synced and renamed, and has a checksum.
 * A lost state costs a full stream and nothing else.
 *
 * The file: "MLRSTATE", a version byte, items, and the XXH3 (64 bits, little-endian) of all bytes before it.
 * An item is its length and that many bytes, the first of which is its type; numbers are LEB128, texts a
 * length and bytes:
 *
 *   H  head: id, generation, time, source, options, stream, tick (none in earlier versions)
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
    char id[33];         /* 32 random hex digits: S */
    char tick[33];       /* the tick that made it, 32 random hex digits; "" in states of earlier versions */
    uint64_t generation; /* G, that the target last committed; 0: none so far */
    int64_t time;        /* ns since the epoch when the tick began */
    char stream[33];     /* the source id in the headers of its streams, 32 hex digits */
    const char *source;  /* what is read, as messages name it; in the state's memory, or the caller's */
    const char *options; /* what of it and how, in one text */
};

/* Makes a new id, of a state or a tick; false with e filled: the system has no random numbers. */
bool state_new_id(char id[33], struct err *e);

/* -- reading */

struct state;
/* Opens a state and checks all of it. NULL with e filled: it is not there (*absent is set, if given), none,
 * of a newer version, or damaged. */
struct state *state_open(const char *path, bool *absent, struct err *e);
const struct state_head *state_head(const struct state *s);
const char *state_path(const struct state *s);
void state_close(struct state *s); /* NULL is fine */

/* Reads items from a place on. Each thread has its own; zero-initialise it with the state. */
struct state_cursor {
    const struct state *state;
    uint64_t next;     /* where the next item begins; 0: the first after the head */
    uint64_t from;     /* where the last one began */
    struct buf window; /* private */
    uint64_t window_at;
};
void state_cursor_init(struct state_cursor *c, const struct state *s);
void state_cursor_free(struct state_cursor *c);

struct state_text {
    const char *s; /* no NUL behind it */
    size_t len;
};

/* An entry of the map: what an identity of the source is in the target. kind is the wire's name of a kind
 * ("experiment", "model_version", "dataset", …) or a word of the loader's own; key and value are bytes that
 * only the loader understands, such as an experiment's id and creation time, and its id in the target. */
struct state_map_entry {
    struct state_text kind, key, value;
};
/* 1: the next entry, whose texts live until the next call; 0: the end; -1: error. */
int state_map_next(struct state_cursor *c, struct state_map_entry *out, struct err *e);

/* The kind of the entries by which units of a database's state are marked as not sent: key: the owner's kind,
 * NUL, its id. Only the next tick has them. */
#define STATE_UNSENT_KIND "unsent"

/* A unit: what the producer reads and sends as one, with all that is in it: an experiment with tags and
 * datasets, a run, a trace, a logged model, a registered model (or prompt) with its versions. */
enum state_unit_flag {
    STATE_UNSENT = 1 << 0,  /* the target does not have it: it is sent as if it were new */
    STATE_DELETED = 1 << 1, /* an experiment in .trash */
};
struct state_unit {
    unsigned flags;
    enum kind kind;        /* experiment, run, trace, logged_model, registered_model; row: a database's, see
                              database/tick.h */
    struct state_text key; /* its place in the walk: units are sorted by memcmp of their keys */
    struct state_text id;  /* run_id, …, name of a registered model */
    uint64_t from;         /* its place in the file */
};
/* As state_map_next; skips what is left of the unit before. */
int state_unit_next(struct state_cursor *c, struct state_unit *out, struct err *e);
/* Goes to a place where an item begins. After a unit's `from` and state_unit_next come its files. */
void state_cursor_seek(struct state_cursor *c, uint64_t from);

/* A file of a unit. */
enum state_file_flag {
    STATE_UNTRUSTED = 1 << 0, /* changed about when it was read: it may have changed again without a trace */
    STATE_HELD = 1 << 1,      /* seen, and not sent so far: it may have been half written */
    STATE_RETRY = 1 << 2,     /* a part of it can't be read: it is tried again each time */
};
struct state_file {
    struct state_text path; /* below the unit's directory */
    unsigned flags;
    uint64_t size, inode;
    int64_t mtime, ctime; /* ns since the epoch */
    uint64_t hash;        /* of what was sent: the content, or the record that was made of it, or, of a metric
                             file, the bytes before `offset` */
    uint64_t offset;      /* of a metric file: up to where it was read */
    uint64_t lines;       /* before that place */
};
struct state_files { /* of the unit that a cursor has given last; zero-initialise it */
    struct buf chunk;
    size_t at;
    bool end;
};
/* As state_map_next; the path lives until the next call. */
int state_file_next(struct state_cursor *c, struct state_files *files, struct state_file *out, struct err *e);
void state_files_begin(struct state_files *files); /* of another unit */
void state_files_free(struct state_files *files);

/* -- encoding: items as bytes, to be appended to a state that is written. */
void state_encode_map(struct buf *out, const struct state_map_entry *m);
void state_encode_unit(struct buf *out, const struct state_unit *u);
/* A file, into a chunk; state_encode_chunk makes an item of the chunk and empties it. */
void state_encode_file(struct buf *chunk, const struct state_file *f);
void state_encode_chunk(struct buf *out, struct buf *chunk);

/* -- writing */

struct state_writer;
/* Begins a state at path: in "PATH.part" until it is whole, which no other program can write to meanwhile.
 * head's texts are not kept. NULL with e filled. */
struct state_writer *state_writer_new(const char *path, const struct state_head *head, struct err *e);
/* Appends encoded items: the map first, then units. */
bool state_write(struct state_writer *w, const void *data, size_t len, struct err *e);
/* Appends the items of s from `from` on up to `to`. */
bool state_write_copy(struct state_writer *w, struct state_cursor *c, uint64_t from, uint64_t to,
                      struct err *e);
/* Appends the map of s, but for STATE_UNSENT_KIND. */
bool state_write_map_of(struct state_writer *w, const struct state *s, struct err *e);
/* Gives the file that was opened another name, in place of what had it: that very file, whatever has got its
 * own name since. False: that cannot be done here (as across file systems), and nothing has happened. */
bool state_rename(const struct state *s, const char *path);
/* Removes the file that was opened, unless its name is another's by now. */
void state_remove(const struct state *s);
/* Closes the state, syncs it, and gives it its name, in place of what had it. */
bool state_writer_commit(struct state_writer *w, struct err *e);
/* Frees it; one that was not committed leaves nothing behind. NULL is fine. */
void state_writer_free(struct state_writer *w);

#endif
