/* A tick of a sync (formats/state/state.h) from a SQLite file. Size, times, inode and change counter of the
 * file and of its -wal and -journal show whether it has changed at all. If so, all of it is read, as rows do
 * not record when they changed; new and changed records are found by the hash that the state has of each
 * record (one for all points of a metric). Points that were added to a metric are found where they are read after
 * the earlier ones, as they are if rows were only added: the first points have the number and hash of the state. */
#ifndef FORMATS_DATABASE_TICK_H
#define FORMATS_DATABASE_TICK_H

#include "formats/record/idmap.h"
#include "formats/state/next.h"
#include "formats/stream/wire.h"

struct dbtick;
/* path: of the file, which is examined now. old: NULL at the first tick; it and tmpdir must live as long as
 * the result. began: ns since the epoch. NULL with e filled: the file cannot be read. */
struct dbtick *dbtick_new(const char *path, const struct state *old, int64_t began, const char *tmpdir,
                          struct err *e);
void dbtick_free(struct dbtick *t); /* NULL is fine */
/* Whether nothing has changed since the last tick. */
bool dbtick_is_idle(const struct dbtick *t);
/* Whether there was a tick before, so that only changes are written. */
bool dbtick_is_delta(const struct dbtick *t);
/* Writes the next state of an unchanged file. */
bool dbtick_keep(struct dbtick *t, struct state_next *next, struct err *e);

/* What is stored with a record until it is written: its identity, which is common to all points of a metric, and
 * of a point its place among these, from 1, in the order of reading. */
struct dbtick_mark {
    struct id_key id;
    uint64_t place;
};

/* Takes a record and its encoding. */
bool dbtick_see(struct dbtick *t, const struct record *r, const struct buf *sort_key, const char *data,
                size_t len, struct dbtick_mark *mark, struct err *e);
/* Takes an unreadable record, or one that belongs to such: its entry in the state is kept. */
bool dbtick_see_malformed(struct dbtick *t, const struct record *r, const struct buf *sort_key,
                          struct err *e);
/* Called after the last record: finds new and changed records, and writes the next state. */
bool dbtick_settle(struct dbtick *t, struct state_next *next, struct err *e);
/* How many records of a kind have disappeared since the last tick; points of a metric count as one. */
uint64_t dbtick_gone(const struct dbtick *t, enum kind kind);

enum dbtick_change { DBTICK_SAME, DBTICK_NEW, DBTICK_CHANGED };
/* Of a record in the stream's order. alone: it belongs to none before it. */
enum dbtick_change dbtick_change(const struct dbtick *t, enum kind kind, struct id_key id, bool alone);

/* Appends to out what a delta has in place of the record of this kind and mark: nothing, the record (marked if it
 * is only a parent), or its parents and the record. Called in the stream's order; adds to counts. */
bool dbtick_write(struct dbtick *t, enum kind kind, const struct dbtick_mark *mark, bool alone,
                  const char *data, size_t len, struct buf *out, struct wire_counts *counts, struct err *e);

#endif
