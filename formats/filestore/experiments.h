/* The experiments of a store, sorted by id, active before deleted, in a spill: any number of them. They are
 * handed out as copies; what is learned of one is noted in the table. All functions are thread-safe but those
 * that change the order. */
#ifndef FORMATS_FILESTORE_EXPERIMENTS_H
#define FORMATS_FILESTORE_EXPERIMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/names.h"
#include "formats/filestore/shared_spill.h"

enum experiment_flag {
    EXPERIMENT_DELETED = 1 << 0, /* in .trash */
    EXPERIMENT_BAD = 1 << 1,     /* unreadable */
    EXPERIMENT_TWIN = 1 << 2,    /* deleted, with the id of an active one, and no new id */
    EXPERIMENT_UNREAD = 1 << 3,  /* a twin with an unreadable creation time */
    EXPERIMENT_CHOSEN = 1 << 4,  /* to be read */
    /* of a tick */
    EXPERIMENT_KNOWN = 1 << 5,        /* the state of the last tick has it */
    EXPERIMENT_READ_DELETED = 1 << 6, /* it lay in .trash when it was read; it may move later */
    EXPERIMENT_SENT = 1 << 7,         /* its record is in the stream */
    EXPERIMENT_UNSET = 1 << 8,        /* its record could not be made when it was wanted for what is in it */
};

struct experiment {
    uint64_t at;         /* its place in the table */
    char id[NAMES_SIZE]; /* its directory's name */
    char new_id[24];     /* its id in records; "": id */
    unsigned char type;  /* d_type of the directory's entry */
    unsigned flags;
};

static inline bool experiment_is(const struct experiment *x, enum experiment_flag flag)
{
    return x->flags & flag;
}

#define TRASH ".trash"

/* What the path of an experiment's directory, below the store, begins with. */
static inline const char *trash_prefix(bool deleted)
{
    return deleted ? TRASH "/" : "";
}

/* Its id in records. */
static inline const char *experiment_id(const struct experiment *x)
{
    return *x->new_id ? x->new_id : x->id;
}

struct experiments;
/* s must live as long. Never NULL. */
struct experiments *experiments_new(struct shared_spill *s);
void experiments_free(struct experiments *t); /* NULL is fine */

uint64_t experiments_count(const struct experiments *t);
/* Adds one at the end. trouble: a problem found when it was listed; NULL: none. */
void experiments_add(struct experiments *t, const char *id, unsigned char type, bool deleted,
                     const char *trouble);
/* Puts the experiment at `from` in the place of the one at `to`, and drops all from n on. */
void experiments_move(struct experiments *t, uint64_t from, uint64_t to);
void experiments_truncate(struct experiments *t, uint64_t n);

void experiments_get(struct experiments *t, uint64_t at, struct experiment *x);
/* Sets flags and clears others, in the table and in x. */
void experiments_mark(struct experiments *t, struct experiment *x, unsigned set, unsigned clear);
/* Flags as they are now. */
unsigned experiments_flags(struct experiments *t, uint64_t at);
/* number: at least 1; the new id is its decimal text. */
void experiments_set_new_id(struct experiments *t, struct experiment *x, uint64_t number);

/* Notes a problem of the experiment: at NULL, of its directory, else of a file in it. The texts may not live
 * on. */
void experiments_set_trouble(struct experiments *t, const struct experiment *x, const char *at,
                             const char *text);
/* Replaces the contents of both: the file is "" for the directory itself. false: it has no problem. */
bool experiments_trouble(struct experiments *t, const struct experiment *x, struct buf *at, struct buf *text);

/* The first experiment whose directory's name is not bytewise less than the text. */
uint64_t experiments_first(struct experiments *t, const char *s, size_t len);
/* Finds an experiment by its directory's name: the active one where there are two. */
bool experiments_find(struct experiments *t, const char *s, size_t len, struct experiment *x);

#endif
