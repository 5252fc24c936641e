/* MLflow's file store (the folder `mlruns`) read as records: experiments with tags and datasets first, then
 * of each experiment its runs, traces and logged models, then the model registry; all in the order of their
 * names' bytes, so that two readings of one tree give the same records, whatever the number of threads.
 *
 * Links are followed as MLflow's own reader does: to an experiment's, run's, trace's or model's folder and to
 * single files, never to folders below params, metrics and tags. Nothing is ever written. */
#ifndef FORMATS_MLRUNS_H
#define FORMATS_MLRUNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "formats/record/record.h"
#include "formats/stream/wire.h"

struct mlruns;

/* Whether the folder is a file store itself: what mlruns_open takes without looking for an mlruns in it. The
 * descriptor stays open. */
bool mlruns_is_store(int dir);

/* Opens the store at a path or file: URL and lists its experiments: the folder itself when it holds
 * experiments or registered models, else the folder `mlruns` in it, else the folder itself when it is a store
 * without experiments: has .trash or is called mlruns. NULL with e filled when there is none. */
struct mlruns *mlruns_open(const char *location, struct err *e);
/* The same for a tick of a sync after the first: what the state knows is not read to find the store. It must
 * lie where it lay. */
struct state;
struct mlruns *mlruns_open_known(const char *location, const struct state *state, struct err *e);
void mlruns_close(struct mlruns *m);
/* The folder that was chosen, as given or with /mlruns added. */
const char *mlruns_path(const struct mlruns *m);
/* Calls fn with each folder, with its path, that is not read since it is no experiment, or that could not be
 * looked at when the store was searched for, and what it is. */
void mlruns_warnings(const struct mlruns *m, void (*fn)(const char *path, const char *text));
/* Experiments, active and deleted, in the order of their ids' bytes; an id that is active and deleted comes
 * twice. */
size_t mlruns_experiment_count(const struct mlruns *m);
const char *mlruns_experiment_id(const struct mlruns *m, size_t i);

/* Deleted experiments with the id of an active one: a stream could not tell their records apart. Each is a
 * problem, until it gets an id of its own. */
bool mlruns_has_twins(const struct mlruns *m);
/* Gives each of them an id of its own, derived from the old one and the experiment's creation time alone, so
 * that it is the same in every dump and every shard: a number of 19 digits, where MLflow's have at most 18.
 * Calls note for each, if given, with its folder below the store and the new id. false with e filled when the
 * new id is another experiment's. */
bool mlruns_renumber_trash(struct mlruns *m, void (*note)(void *ctx, const char *path, const char *id),
                           void *ctx, struct err *e);

/* The store's real path; malloc'ed. */
char *mlruns_real_path(const struct mlruns *m);
/* The store's real path as a file: URI, malloc'ed; NULL with e filled. */
char *mlruns_place(const struct mlruns *m, struct err *e);
/* From now on URIs that say where the store lies say that it lies at `to`, a URI or an absolute path, or,
 * where that is "", where it does. Each URI of a local file is asked: an experiment's, run's, trace's or
 * logged model's own must end with its place in the tree, the source of a version or a dataset must hold the
 * place of artifacts that are in the tree; what stands before that place is replaced, and other URIs stay.
 * Deleted experiments are said to lie where they lay before, which is where they are restored; those that got
 * another id can't be, and are said to lie in .trash. false with e filled for a `to` that is neither. */
bool mlruns_relocate(struct mlruns *m, const char *to, struct err *e);

struct mlruns_selection {
    const char *const *experiments; /* ids; an experiment not named is left out */
    size_t n_experiments;           /* 0: all, if `tracking` */
    bool tracking;                  /* experiments and what is in them */
    bool registry;                  /* registered models and prompts */
    uint64_t shard, shards; /* runs, traces, models whose id's hash is shard modulo shards; 0 of 1: all */
    unsigned jobs;          /* reader threads, at least 1 */
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

/* The stream's source id, 32 hex digits, from the ids and meta.yaml files of all experiments and from the
 * selection of experiments and registry: the same for every shard of a selection, wherever the tree lies;
 * another one for another selection, so that streams of single experiments put together are no shards given
 * twice. */
void mlruns_source(const struct mlruns *m, const struct mlruns_selection *selection, char out[33]);

/* What reading gives. The functions are called by one thread at a time, in an order that depends on the tree
 * alone. */
struct mlruns_sink {
    /* Whole encoded records, `skipped` among them for what is malformed. */
    void (*records)(void *ctx, const char *data, size_t len, const struct wire_counts *counts);
    /* Something that can't be read as MLflow would: path is below the store, with `:LINE` where a line is
     * meant. Called before the records that follow it. */
    void (*problem)(void *ctx, const char *path, const char *reason);
    /* Something odd that loses nothing. */
    void (*warning)(void *ctx, const char *path, const char *reason);
    /* The experiment in path has the name of the one in other, both below the store; name: as messages show
     * it. Called last. NULL: not looked for. */
    void (*same_name)(void *ctx, const char *path, const char *other, const char *name);
    /* What URIs say of the store's place; called last, once for each root that n URIs have, the most frequent
     * first. here: it is the store's folder. root NULL: of n URIs, which have still others. NULL: URIs are
     * not looked at; needed for mlruns_relocate, as is the next. */
    void (*root)(void *ctx, const char *root, uint64_t n, bool here);
    /* How many URIs of a field got another root, and how many say nothing of the store's place. */
    void (*relocated)(void *ctx, const struct kind_desc *kind, int field, uint64_t n, uint64_t left);
    /* Of a tick. Items of the next state, in order: those given, and those of the old one from one place to
     * another (state_write_copy). */
    void (*state)(void *ctx, const char *items, size_t len);
    void (*state_copy)(void *ctx, uint64_t from, uint64_t to);
    /* What is left for the next tick, and what was there at the last one and is no longer, with a word on it.
     */
    void (*held)(void *ctx, const char *path, const char *reason);
    void (*gone)(void *ctx, const char *path, const char *reason);
    void *tick_ctx; /* of these four */
    void *ctx;
};

/* Reads the selection. false with e filled when it names an experiment that is not there. */
bool mlruns_read(struct mlruns *m, const struct mlruns_selection *selection, const struct mlruns_sink *sink,
                 struct err *e);

#endif
