/* A tick of a sync (formats/state/state.h) from a SQLite file. Whether the file has changed at all, its size,
 * times, inode and change counter tell, with those of its -wal and -journal. If it has, all of it is read,
 * for rows have no marks of change; the state has a hash of each record (of the points of a metric together),
 * by which the records that are new or have changed are found. */
#ifndef FORMATS_DATABASE_TICK_H
#define FORMATS_DATABASE_TICK_H

#include "formats/record/idmap.h"
#include "formats/state/next.h"
#include "formats/stream/wire.h"

struct dbtick;
/* path: of the file, which is looked at now. old: NULL at the first tick; it and tmpdir must live as long.
 * began: ns since the epoch. NULL with e filled: the file can't be read. */
struct dbtick *dbtick_new(const char *path, const struct state *old, int64_t began, const char *tmpdir,
                          struct err *e);
void dbtick_free(struct dbtick *t); /* NULL is fine */
/* Nothing has changed since the last tick. */
bool dbtick_is_idle(const struct dbtick *t);
/* There was a tick before, so that what has changed is written and no more. */
bool dbtick_is_delta(const struct dbtick *t);
/* The next state of a file that has not changed. */
bool dbtick_keep(struct dbtick *t, struct state_next *next, struct err *e);

/* A record that was read, and its encoding. Returns its identity: points of one metric have the same. */
bool dbtick_see(struct dbtick *t, const struct record *r, const struct buf *sort_key, const char *data,
                size_t len, struct id_key *id, struct err *e);
/* One that can't be read, or belongs to such: what the state says of it stays. */
bool dbtick_see_malformed(struct dbtick *t, const struct record *r, const struct buf *sort_key,
                          struct err *e);
/* All have been read: finds what is new and what has changed, and makes the next state. */
bool dbtick_settle(struct dbtick *t, struct state_next *next, struct err *e);
/* How many records of a kind the last tick had and this one has not; metrics count, not points. */
uint64_t dbtick_gone(const struct dbtick *t, enum kind kind);

enum dbtick_change { DBTICK_SAME, DBTICK_NEW, DBTICK_CHANGED };
/* Of a record in the stream's order. alone: it belongs to none before it. */
enum dbtick_change dbtick_change(const struct dbtick *t, enum kind kind, struct id_key id, bool alone);

/* What goes to the stream of a delta: gives what is to be written in place of the record of this kind and
 * identity, which come in the stream's order: nothing, itself, marked if it is a parent, or with its parents
 * before it. out and counts are added to. */
bool dbtick_write(struct dbtick *t, enum kind kind, struct id_key id, bool alone, const char *data,
                  size_t len, struct buf *out, struct wire_counts *counts, struct err *e);

#endif
