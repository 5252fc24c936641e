/* Reads MLflow's file store (the directory `mlruns`) as records: first experiments with tags and datasets,
 * then the runs, traces and logged models of each experiment, then the model registry; all in bytewise order
 * of their names, so that reading a tree twice gives the same records, whatever the number of threads.
 *
 * Links are followed as by MLflow's own reader: to an experiment's, run's, trace's or model's directory and
 * to single files, never to directories below params, metrics and tags. Nothing is ever written. */
#ifndef FORMATS_MLRUNS_H
#define FORMATS_MLRUNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "formats/record/record.h"
#include "formats/stream/wire.h"

struct mlruns;

struct names_room;
/* Whether the directory itself is a file store, which mlruns_open would take without looking for mlruns in
 * it. The descriptor stays open. */
bool mlruns_is_store(int dir, struct names_room *room);

/* Opens the store at a path or file: URL and lists its experiments: the directory itself if it has
 * experiments or registered models, else the directory `mlruns` in it, else the directory itself if it is an
 * empty store: has .trash or is named mlruns. NULL with e filled if there is none. tmpdir: the directory for
 * the temporary files that a large store needs; NULL: $TMPDIR or /var/tmp. */
struct mlruns *mlruns_open(const char *location, const char *tmpdir, struct err *e);
/* The same for a tick of a sync after the first: what the state knows is not read to find the store. It must
 * lie where it lay. */
struct state;
struct mlruns *mlruns_open_known(const char *location, const char *tmpdir, const struct state *state,
                                 struct err *e);
void mlruns_close(struct mlruns *m);
/* The chosen directory, as given or with /mlruns appended. */
const char *mlruns_path(const struct mlruns *m);
/* Calls fn with the path and a description of each directory that is not read as it is not an experiment, or
 * was unreadable when the store was looked for. */
void mlruns_warnings(const struct mlruns *m, void (*fn)(void *ctx, const char *path, const char *text),
                     void *ctx);
/* Calls fn with the ids of all experiments, active and deleted, in bytewise order of their directories'
 * names; an id that is both active and deleted is passed once. With `names` the name that meta.yaml has, of len bytes,
 * "" if it cannot be read; else NULL. */
void mlruns_experiment_list(const struct mlruns *m, bool names,
                            void (*fn)(void *ctx, const char *id, const char *name, size_t len), void *ctx);

/* Whether there are deleted experiments with the id of an active one, whose records a stream could not
 * distinguish. Each is a problem, until it gets a new id. */
bool mlruns_has_twins(const struct mlruns *m);
/* Gives each of them a new id, derived only from the old one and the experiment's creation time, so that it
 * is the same in every dump and every shard: a number of 19 digits, while MLflow's have at most 18. Calls
 * note for each, unless NULL, with its directory relative to the store and the new id. false with e filled if
 * the new id is in use. */
bool mlruns_renumber_trash(struct mlruns *m, void (*note)(void *ctx, const char *path, const char *id),
                           void *ctx, struct err *e);

/* The store's real path; malloc'ed. */
char *mlruns_real_path(const struct mlruns *m);
/* The store's real path as a file: URI, malloc'ed; NULL with e filled. */
char *mlruns_place(const struct mlruns *m, struct err *e);
/* Relocates from now on the URIs that point into the store to `to`, a URI or an absolute path, or, if "", to
 * the store's actual location. A URI of a local file points into the store if, for an experiment, run, trace
 * or logged model, it ends with the entity's path in the tree, or, for the source of a version or a dataset,
 * it contains the path of artifacts in the tree; the part before that path is replaced, and other URIs are
 * kept. URIs of deleted experiments name the location before the deletion, where they are restored to; those
 * that got a new id cannot be restored and are located in .trash. false with e filled for an invalid `to`. */
bool mlruns_relocate(struct mlruns *m, const char *to, struct err *e);

struct mlruns_selection {
    const char *const *experiments; /* ids of the experiments to read */
    size_t n_experiments;           /* 0: all, if `tracking` */
    bool tracking;                  /* experiments and their contents */
    bool registry;                  /* registered models and prompts */
    uint64_t shard, shards;         /* runs, traces, models with id hash % shards == shard; 0 of 1: all */
    unsigned jobs;                  /* reader threads, at least 1 */
    const struct mlruns_tick *tick; /* NULL: all is read */
};

/* A tick of a sync. Only what has changed since the last one is read and handed on, with parents marked; what
 * may be half written waits for the next, and what can't be read is a problem that stops nothing. The sink is
 * given what the next state is made of. */
struct mlruns_tick {
    const struct state
        *old;      /* of the last tick; NULL: this is the first. It must live as long as the reading. */
    int64_t began; /* ns since the epoch, before the store was opened */
};

/* The number of experiments, runs, traces and logged models, as their directories tell, for a reading's progress; 0: there are
 * too many experiments to list them for that. */
uint64_t mlruns_count_units(const struct mlruns *m);

/* Leaves spans out from now on. */
void mlruns_leave_out_spans(struct mlruns *m);

/* What becomes of the spans of traces, where it is not that they are read. */
enum mlruns_spans {
    MLRUNS_SPANS_MISSING, /* a trace has no traces.json: most never had one */
    MLRUNS_SPANS_ARCHIVED, /* nor has it one, but a traces.pb, which MLflow's servers make of archived traces */
    MLRUNS_SPANS_DAMAGED,   /* it cannot be read; the trace does not say that it had spans */
    MLRUNS_SPANS_ELSEWHERE, /* a trace's artifacts are not in the tree */
    MLRUNS_SPANS_LEFT_OUT,  /* a span without what a database must have of it, or of an id that another has */
    MLRUNS_SPANS_COUNT
};

/* The stream's source id, 32 hex digits, computed from the ids and meta.yaml files of all experiments and
 * from the selection of experiments and registry: the same for every shard of a selection, whatever the
 * tree's location; different for another selection, so that combined streams of single experiments are not
 * duplicate shards. */
void mlruns_source(const struct mlruns *m, const struct mlruns_selection *selection, char out[33]);

/* Receives what is read. The functions are called by one thread at a time, in an order that depends only on
 * the tree. */
struct mlruns_sink {
    /* Encoded records, including `skipped` ones for malformed files. */
    void (*records)(void *ctx, const char *data, size_t len, const struct wire_counts *counts);
    /* A problem: something that MLflow could not read either. path is relative to the store, with `:LINE` if
     * it concerns a line. Called before the records that follow it. */
    void (*problem)(void *ctx, const char *path, const char *reason);
    /* Something odd that causes no loss. */
    void (*warning)(void *ctx, const char *path, const char *reason);
    /* Why spans of a trace are not read. NULL: not reported. */
    void (*spans)(void *ctx, enum mlruns_spans what, const char *path, const char *reason);
    /* The experiment at path has the name of the one at other, both relative to the store; name is printable.
     * Called last. NULL: not checked. */
    void (*same_name)(void *ctx, const char *path, const char *other, const char *name);
    /* A root of artifact URIs, used by n URIs; called last, the most frequent first. here: it is the store's
     * directory. root NULL: n URIs have further roots. NULL: URIs are not examined; required for
     * mlruns_relocate, like the next. */
    void (*root)(void *ctx, const char *root, uint64_t n, bool here);
    /* How many URIs of a field were relocated, and how many were kept. */
    void (*relocated)(void *ctx, const struct kind_desc *kind, int field, uint64_t n, uint64_t left);
    /* Of a tick. Items of the next state, in order: those given, and those of the old one from one place to
     * another (state_write_copy). */
    void (*state)(void *ctx, const char *items, size_t len);
    void (*state_copy)(void *ctx, uint64_t from, uint64_t to);
    /* What is held back for the next tick, and what is gone since the last one. reason: a few words on it. */
    void (*held)(void *ctx, const char *path, const char *reason);
    void (*gone)(void *ctx, const char *path, const char *reason);
    void *tick_ctx; /* of these four */
    void *ctx;
};

/* Reads the selection. false with e filled if a selected experiment does not exist. */
bool mlruns_read(struct mlruns *m, const struct mlruns_selection *selection, const struct mlruns_sink *sink,
                 struct err *e);

#endif
