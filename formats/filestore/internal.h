/* What the files of formats/filestore/ share. A walker reads one unit (an experiment's own data, a run, a
 * trace, a logged model, a registered model) at a time and belongs to one thread. */
#ifndef FORMATS_MLRUNS_INTERNAL_H
#define FORMATS_MLRUNS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/buf.h"
#include "formats/filestore/folder.h"
#include "formats/filestore/store.h"
#include "formats/record/idmap.h"
#include "formats/record/record.h"
#include "formats/stream/uris.h"
#include "formats/stream/wire.h"
#include "formats/python/number.h"
#include "formats/python/yaml.h"

enum {
    /* Bytes of a param, a tag or a YAML file: a record has this much and the rest of its fields. */
    VALUE_MAX_SIZE = WIRE_MAX_RECORD - (64 << 10),
    LARGE_SIZE = 64 << 10, /* of a file: more than this is read when there is room for it */
    VALUE_COPIES = 2,      /* of a file in memory: its bytes, and the record */
    YAML_COPIES = 6,    /* its bytes, libyaml's (twice at most), the values, JSON made of them, the record */
    KEY_MAX_DEPTH = 64, /* folders below params, tags, metrics */
};

/* -- the store (store.c) */

#define TRASH  ".trash"
#define MODELS "models"

struct unit;
struct walker;

struct experiment {
    char *id;           /* its folder's name */
    char *new_id;       /* what records call it; NULL: id */
    unsigned char type; /* of the folder's entry */
    bool deleted;       /* lies in .trash */
    bool bad;           /* can't be read */
    bool twin;          /* deleted, with the id of an active one, and no new id */
    bool unread;        /* a twin whose creation time can't be read */
    bool known;         /* the state of the last tick has it */
    bool read_deleted;  /* it lay in .trash when it was read; it may move later */
    bool sent;          /* of a tick: its record is in the stream */
    bool unset;         /* its record could not be made when it was wanted for what is in it */
    struct buf context; /* that record, until it is sent */
    struct id_key name; /* of its name and workspace, once it has been read */
    char *trouble;      /* what was found wrong when the store was opened; NULL: nothing */
    char *trouble_at;   /* where, below its folder; NULL: the folder itself */
};

struct mlruns {
    int root;
    char *path;
    char source[33];
    struct experiment *experiments; /* sorted by id, active before deleted */
    size_t n, cap;
    char *relocate_to;   /* the new root of URIs; NULL: they stay */
    struct buf warnings; /* "PATH NUL text NUL" for each folder that is not read */
};

void experiment_free(struct experiment *x);

/* Makes the source id another one: the stream says something else of the tree, `what`. */
void source_extend(struct mlruns *m, const char *what);

/* -- experiments that share an id or a name (clash.c) */

/* Finds deleted experiments with the id of an active one. Folders without meta.yaml are none. */
void find_twins(struct mlruns *m);
/* Reports that the unit is a twin, which leaves out all that is in it. */
void problem_of_twin(struct walker *w, const struct unit *unit);
/* Reports why the meta.yaml in dir, of the unit at w->path, could not be read when it was to get an id of its
 * own. */
void problem_of_unread(struct walker *w, int dir);
/* Hands pairs of one name to sink->same_name, of the experiments chosen that were read. */
void report_same_names(const struct mlruns *m, const bool *chosen, const struct mlruns_sink *sink);

/* -- where URIs say that the tree lies (relocate.c) */

struct uri_tally; /* what one thread has seen */
struct uri_tally *tally_new(void);
void tally_free(struct uri_tally *t);
void tally_add(struct uri_tally *t, const struct uri_tally *other);
/* Hands what was counted to sink->root and sink->relocated. */
void tally_report(const struct mlruns *m, struct uri_tally *t, const struct mlruns_sink *sink);

struct located; /* a URI taken apart */
struct located *located_new(void);
void located_free(struct located *u);

/* Counts the URIs of r, a record of w->unit, and gives them the new root; new text lives until the next call.
 */
void place_uris(struct walker *w, struct record *r);

/* -- walker */

struct output {
    struct buf data; /* encoded records */
    struct wire_counts counts;
    struct buf
        notes; /* for each problem, warning, thing held back or gone: p, w, h or g, path NUL, reason NUL */
    uint64_t problems;
    uint64_t handed_over; /* how often */
    /* for the next state of a tick: places in the last one to be copied, then items */
    struct buf copies; /* uint64_t each: from, to */
    struct buf state;
};

void output_copy(struct output *out, uint64_t from, uint64_t to);
void output_free(struct output *out);

enum { DATASET_CACHE_SIZE = 64 };
struct dataset_name { /* what a dataset's folder is called in records */
    struct buf path;  /* below the store */
    struct buf name, digest;
    bool good;
};

enum { VERDICT_CACHE_SIZE = 64 };
struct verdict {     /* whether an entity that others refer to can be read */
    struct buf path; /* of its folder, below the store */
    bool good;
};

struct walker {
    const struct mlruns *store;
    int root; /* descriptor of the store's folder; not owned */
    struct output *out;
    size_t limit; /* bytes of out->data from which on full() is called */
    void (*full)(struct walker *w);
    /* Called before a file of more than LARGE_SIZE bytes is read, with the memory that it will take; NULL:
     * none of it is shared with others. */
    void (*large)(struct walker *w, size_t bytes);
    void *full_ctx;  /* of both */
    struct buf path; /* below the store, of what is being read */
    struct buf file; /* content of the last file_read */
    struct buf json, error_json, scratch;
    struct buf versions; /* int64_t each: the versions of a registered model that could be read */
    struct yaml_reader *yaml;
    struct yaml_reader *other_yaml; /* of an entity that the one that is read refers to */
    struct names names;
    char *chunk; /* CHUNK_SIZE + 1 bytes */
    struct dataset_name *datasets;
    struct verdict *verdicts;
    const struct unit *unit; /* that is being read */
    struct uri_tally *tally; /* NULL: URIs are not looked at */
    struct located *located;
    struct arena uris;
    struct tick_reader *tick; /* tick.h; NULL: all is read */
};

/* Whether an entry of a listed folder is a folder that may be an entity's. 0 or an error: it can't be known.
 */
int is_unit(int dir, const char *name, unsigned char type, bool *yes);

void walker_init(struct walker *w, const struct mlruns *store, int root, struct output *out);
void walker_free(struct walker *w);

/* Goes down: adds "/name" to the path. Returns its length before, for path_back. */
size_t path_down(struct walker *w, const char *name);
void path_back(struct walker *w, size_t len);

void emit(struct walker *w, const struct record *r);
/* What is at the path can't be read: a message, and a `skipped` record in the stream. line 0: no line. */
void problem(struct walker *w, uint64_t line, const char *fmt, ...) PRINTF_LIKE(3, 4);
void warning(struct walker *w, uint64_t line, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* For messages: text in its printable form (printable.h), cut after 60 bytes; in one of four buffers used in
 * turn, per thread. */
const char *shown(const char *s, size_t len);

/* Reads a file into w->file; problems are reported with the path. `type` is the entry's; copies: VALUE_COPIES
 * or YAML_COPIES. */
bool file_read(struct walker *w, int dir, const char *name, unsigned char type, unsigned copies);
/* Opens a file for reading in parts; -1 after a problem was reported (or a file that has just vanished was
 * named). */
int file_open(struct walker *w, int dir, const char *name, unsigned char type);

/* Calls fn for each file in and below the folder `sub`; key is its path below it. A folder that is not there
 * is fine. */
void each_file(struct walker *w, int dir, const char *sub,
               void (*fn)(struct walker *w, int dir, const char *name, unsigned char type, const char *key,
                          void *ctx),
               void *ctx);
/* Calls fn with each folder in `sub` ("." is dir itself) whose name has the prefix, opened as dir; w->path is
 * its path. name lives until fn lists a folder. A `sub` that is not there is fine. */
void each_dir(struct walker *w, int dir, const char *sub, const char *prefix,
              void (*fn)(struct walker *w, int dir, const char *name, void *ctx), void *ctx);
/* The same for folders of which nothing is read but meta.yaml. */
void each_meta(struct walker *w, int dir, const char *sub,
               void (*fn)(struct walker *w, int dir, const char *name, void *ctx), void *ctx);
/* Emits r once for each file in and below `sub`: the fields key and value become its path and its content. */
void each_value(struct walker *w, int dir, const char *sub, struct record *r, int key, int value);

enum tag_state { TAG_READ, TAG_ABSENT, TAG_UNREADABLE };
/* Reads the file of one tag of the entity in dir into w->file. UNREADABLE: reported. */
enum tag_state tag_read(struct walker *w, int dir, const char *key);

/* -- meta.yaml and its like */

enum meta_state { META_GOOD, META_MISSING, META_BAD };
/* Waits a moment, the longer the later the try (from 1), for a file that is empty to be written, as MLflow
 * does; false where that is vain: after the last try, and of a file that has not been changed lately. */
bool meta_wait(int dir, const char *name, int try);
/* Reads a YAML file, whose path is w->path, that holds a map. BAD: reported; MISSING: there is no such file,
 * not reported. An empty one that is being written is tried again after 0.1 and 0.2 s, as MLflow does. */
enum meta_state meta_read(struct walker *w, struct yaml_reader *y, int dir, const char *name,
                          const struct yaml_value **meta);

enum meta_how {
    META_TEXT,      /* any scalar, as it is written: an unquoted `yes` is the text yes */
    META_INT,       /* an integer of at most 64 bits */
    META_WORKSPACE, /* text; "default" is null */
};
struct meta_field {
    const char *key;
    int field;
    enum meta_how how;
};
/* Fills fields of r from the map; false after reporting the first that is missing though required, or is of a
 * wrong type. */
bool meta_fill(struct walker *w, const struct yaml_value *meta, const struct meta_field *fields, size_t n,
               struct record *r);
/* The text of a scalar that names an entity: an integer in decimal. */
struct value meta_id(const struct yaml_value *v, char scratch[24]);
/* Checks that a key of the map names `want`; when it is absent: false and reported if required, else true. */
bool meta_is(struct walker *w, const struct yaml_value *meta, const char *key, const char *want,
             bool required);
/* lifecycle_stage: active or deleted; absent is active. NULL after reporting anything else. */
const char *meta_lifecycle(struct walker *w, const struct yaml_value *meta);
/* An integer from first on that stands for a word. v NULL: the word for `absent`. NULL after reporting what
 * has no word. */
const char *meta_word(struct walker *w, const struct yaml_value *v, const char *key, const char *const *words,
                      int64_t first, int64_t n, int64_t absent);
/* A time as protobuf's JSON writes it (RFC 3339) in ms since the epoch, rounded down; false when it is none.
 */
bool parse_time(const char *s, size_t len, int64_t *ms);

/* True when one of the named folders is in dir, or may be and can't be looked at: the sign of an entity whose
 * YAML file is gone. names ends with NULL. */
bool has_folder(int dir, const char *const *names);

/* -- units. path is the entity's folder below the store. */

struct unit {
    enum unit_kind {
        UNIT_EXPERIMENT,
        UNIT_RUN,
        UNIT_TRACE,
        UNIT_LOGGED_MODEL,
        UNIT_REGISTERED_MODEL,
        UNIT_UNREADABLE
    } kind;
    const char *experiment;    /* its folder's name, which is its id in its files */
    const char *experiment_id; /* what records call it; NULL: the same */
    bool deleted;              /* the experiment lies in .trash */
    const char *name;          /* of the folder */
    unsigned char type;        /* of the folder's entry */
    const char *trouble;       /* UNREADABLE: what is said of the path */
    bool *bad;         /* of an experiment: set when it can't be read, which leaves out all that is in it */
    bool twin, unread; /* as those of the experiment */
    struct id_key *experiment_name; /* EXPERIMENT: of its name and workspace, set when it is read */
    /* of a tick */
    enum unit_kind listed;         /* UNREADABLE: of what was to be read, or, without a name, listed */
    bool vanished;                 /* UNREADABLE: it is not there, and may come back */
    struct experiment *of;         /* its experiment; NULL: none */
    uint64_t known_from, known_to; /* its part of the state; 0: none */
    uint64_t old_from;             /* the same, unless it is to be sent as if it were new */
    bool old_deleted;              /* there the experiment lay in .trash */
};

/* The id of the unit's experiment in records. */
static inline struct value unit_experiment_id(const struct unit *unit)
{
    const char *id = unit->experiment_id ? unit->experiment_id : unit->experiment;

    return value_text(id, strlen(id));
}

void read_experiment(struct walker *w, int dir, const struct unit *unit);
/* Fills the experiment's record; its text lives until the walker's YAML reader reads again. false: reported.
 */
bool experiment_fill(struct walker *w, int dir, const struct unit *unit, struct record *r);
/* Opens a folder by a path below the store that begins with the unit's experiment; in a tick also where the
 * experiment lies if it was deleted or restored meanwhile. -1 with errno. */
int unit_dir_open(const struct walker *w, const struct unit *unit, const char *path);
void read_run(struct walker *w, int dir, const struct unit *unit);
void read_trace(struct walker *w, int dir, const struct unit *unit);
void read_logged_model(struct walker *w, int dir, const struct unit *unit);
void read_registered_model(struct walker *w, int dir, const struct unit *unit);

/* -- references: false when what the id names is not there or can't be read */
bool run_is_readable(struct walker *w, const struct unit *from,
                     const struct value *id); /* in the same experiment */
bool logged_model_is_readable(struct walker *w, const struct unit *from, const struct value *id); /* in any */
bool run_check(struct walker *w, int dir, const struct unit *unit);
bool logged_model_check(struct walker *w, int dir, const struct unit *unit);
/* Sets experiment and deleted of unit; false for an experiment that can't be read. */
bool mlruns_experiment_place(const struct mlruns *m, size_t i, struct unit *unit);

/* Points of a run, each key's latest after them. r has kind metric, run_id set. */
void read_run_metrics(struct walker *w, int dir, struct record *r);
/* Points of a logged model. r has kind logged_model_metric, its ids set. */
void read_model_metrics(struct walker *w, int dir, const struct unit *unit, struct record *r);

#endif
