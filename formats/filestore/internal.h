/* Shared by the files of formats/filestore/. A walker reads one unit (an experiment's own data, a run, a
 * trace, a logged model, a registered model) at a time and belongs to one thread. */
#ifndef FORMATS_MLRUNS_INTERNAL_H
#define FORMATS_MLRUNS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xxhash.h>

#include "common/arena.h"
#include "common/buf.h"
#include "formats/filestore/experiments.h"
#include "formats/filestore/dir.h"
#include "formats/filestore/shared_spill.h"
#include "formats/filestore/store.h"
#include "formats/record/idmap.h"
#include "formats/record/record.h"
#include "formats/stream/uris.h"
#include "formats/stream/wire.h"
#include "formats/python/number.h"
#include "formats/python/yaml.h"

enum {
    /* Maximum bytes of a param, a tag or a YAML file: a record holds this and its other fields. */
    VALUE_MAX_SIZE = WIRE_MAX_RECORD - (64 << 10),
    LARGE_SIZE = 64 << 10, /* bytes of a file: larger ones are read when there is room */
    VALUE_COPIES = 2,      /* copies of a file in memory: its bytes, and the record */
    YAML_COPIES = 6,    /* its bytes, libyaml's (twice at most), the values, JSON made of them, the record */
    KEY_MAX_DEPTH = 64, /* nested directories below params, tags, metrics */
};

/* -- the store (store.c) */

#define MODELS "models"

struct unit;
struct walker;

struct mlruns {
    int root;
    char *path;
    char *tmpdir; /* for temporary files */
    char source[33];
    struct names_room *names;
    struct shared_spill *spill;
    struct experiments *experiments;
    char *relocate_to;          /* the new root of URIs; NULL: they are kept */
    struct text_pairs warnings; /* path and text for each directory that is not read */
    bool no_spans;              /* spans are left out */
};

/* Changes the source id, as the stream represents the tree differently, as described by the text that the
 * caller passes to XXH3_128bits_update() between the two. wanted: false keeps the id. */
XXH3_state_t *store_extend_begin(const struct mlruns *m);
void store_extend_end(struct mlruns *m, XXH3_state_t *state, bool wanted);

/* -- experiments that share an id or a name (clash.c) */

/* Finds deleted experiments with the id of an active one. Directories without meta.yaml do not count. */
void clash_find_twins(const struct mlruns *m);
/* Reports that the unit is a twin; everything in it is left out. */
void clash_report_twin(struct walker *w, const struct unit *unit);
/* Reports why the meta.yaml in dir, of the unit at w->path, was unreadable when it was to get a new id. */
void clash_report_unread(struct walker *w, int dir);

struct clash_names; /* names of the experiments that were read, for all threads */
struct clash_names *clash_names_new(const struct mlruns *m);
void clash_names_free(struct clash_names *names); /* NULL is fine */
/* Adds the identity of the name and workspace of a unit's experiment. */
void clash_names_add(struct clash_names *names, const struct unit *unit, struct id_key name);
/* Passes pairs of experiments with one name to sink->same_name. false with e filled: a temporary file could
 * not be written or read. */
bool clash_report_same_names(const struct mlruns *m, struct clash_names *names,
                             const struct mlruns_sink *sink, struct err *e);

/* -- where URIs say that the tree lies (relocate.c) */

struct uri_tally; /* counts of one thread */
struct uri_tally *relocate_tally_new(void);
void relocate_tally_free(struct uri_tally *t);
void relocate_tally_add(struct uri_tally *t, const struct uri_tally *other);
/* Passes the counts to sink->root and sink->relocated. */
void relocate_tally_report(const struct mlruns *m, struct uri_tally *t, const struct mlruns_sink *sink);

struct located; /* a parsed URI */
struct located *relocate_located_new(void);
void relocate_located_free(struct located *u);

/* Counts the URIs of r, a record of w->unit, and relocates them; new text lives until the next call. */
void relocate_uris(struct walker *w, struct record *r);

/* Whether a URI is that of the artifacts of w->unit, a trace, wherever the tree was when it was written. */
bool relocate_is_own(struct walker *w, const char *s, size_t len);
/* The path below the store of a URI that leads into it where it lies now; malloc'ed, NULL: it does not. */
char *relocate_below(struct walker *w, const char *s, size_t len);

/* -- walker */

struct output {
    struct buf data; /* encoded records */
    struct wire_counts counts;
    /* For each problem, warning, thing held back or gone: p, w, h or g, path NUL, reason NUL; for a trace's
     * spans: the digit of an enum mlruns_spans in the first place. */
    struct buf notes;
    uint64_t problems;
    uint64_t handed_over; /* how often */
    /* for the next state of a tick: places in the last one to be copied, then items */
    struct buf copies; /* uint64_t each: from, to */
    struct buf state;
    bool discarded; /* nothing of it is wanted but the number of problems */
};

size_t output_size(const struct output *out); /* bytes */
/* Adds to the notes; type as there. */
void output_note(struct output *out, char type, const char *path, const char *reason);
void output_copy(struct output *out, uint64_t from, uint64_t to);
void output_free(struct output *out);

enum { DATASET_CACHE_SIZE = 64 };
struct dataset_name { /* the name and digest of a dataset's directory */
    struct buf path;  /* below the store */
    struct buf name, digest;
    bool good;
};

enum { VERDICT_CACHE_SIZE = 64 };
struct verdict {     /* whether an entity that others refer to is readable */
    struct buf path; /* its directory, relative to the store */
    bool good;
};

struct walker {
    const struct mlruns *store;
    int root; /* descriptor of the store's directory, not owned */
    struct output *out;
    size_t limit; /* size of the output at which full() is called */
    void (*full)(struct walker *w);
    /* Called before a file of more than LARGE_SIZE bytes is read, with the memory that it takes; NULL: no
     * limit. */
    void (*large)(struct walker *w, size_t bytes);
    void *full_ctx;  /* of both */
    struct buf path; /* path being read, relative to the store */
    struct buf file; /* contents of the last walker_read_file */
    struct buf json, error_json, scratch;
    /* The readable versions of a registered model, int64_t each, in the order of their directories' names:
     * first those in memory. odd: those whose names are not just their decimal digits. */
    struct buf versions;
    struct spill_array more_versions, odd_versions;
    struct yaml_reader *yaml;
    struct yaml_reader *other_yaml; /* for an entity that the current one refers to */
    struct names names;
    char *chunk; /* CHUNK_SIZE + 1 bytes */
    struct dataset_name *datasets;
    struct verdict *verdicts;
    const struct unit *unit; /* being read */
    struct uri_tally *tally; /* NULL: URIs are not examined */
    struct located *located;
    struct arena uris;
    struct tick_reader *tick;  /* tick.h; NULL: all is read */
    struct clash_names *clash; /* NULL: names of experiments are not compared */
    struct trace_spans *spans;
};

/* Whether an entry of a listed directory is a directory that may be an entity. Returns 0 or an error. */
int unit_is_candidate(int dir, const char *name, unsigned char type, bool *yes);

void walker_init(struct walker *w, const struct mlruns *store, int root, struct output *out);
void walker_free(struct walker *w);

/* Appends "/name" to the path. Returns the previous length, for path_back. */
size_t walker_path_down(struct walker *w, const char *name);
void walker_path_back(struct walker *w, size_t len);

/* Hands the output over, or empties it, where it is as large as it may become. To be called after each
 * addition. */
void output_limit(struct walker *w);
void walker_emit(struct walker *w, const struct record *r);
/* Reports that the path cannot be read: a message, and a `skipped` record in the stream. line 0: no line. */
void walker_problem(struct walker *w, uint64_t line, const char *fmt, ...) PRINTF_LIKE(3, 4);
void walker_warning(struct walker *w, uint64_t line, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Returns text for a message: printable (printable.h) and truncated to 60 bytes, in one of four buffers per
 * thread, used in turn. */
const char *walker_shown(const char *s, size_t len);

/* Reads a file into w->file; problems are reported with the path. `type` is the entry's; copies: VALUE_COPIES
 * or YAML_COPIES. */
bool walker_read_file(struct walker *w, int dir, const char *name, unsigned char type, unsigned copies);
/* Opens a file for reading in parts; -1 after reporting a walker_problem (or a file that has just
 * disappeared). */
int walker_open_file(struct walker *w, int dir, const char *name, unsigned char type);

/* Calls fn for each file in and below the directory `sub`; key is its path relative to it. A missing
 * directory is fine. */
void walker_each_file(struct walker *w, int dir, const char *sub,
                      void (*fn)(struct walker *w, int dir, const char *name, unsigned char type,
                                 const char *key, void *ctx),
                      void *ctx);
/* Calls fn with each directory in `sub` ("." is dir itself) whose name has the prefix, opened as dir; w->path
 * is its path. name lives until fn lists a directory. A missing `sub` is fine. */
void walker_each_dir(struct walker *w, int dir, const char *sub, const char *prefix,
                     void (*fn)(struct walker *w, int dir, const char *name, void *ctx), void *ctx);
/* The same for directories of which nothing is read but meta.yaml. */
void each_meta(struct walker *w, int dir, const char *sub,
               void (*fn)(struct walker *w, int dir, const char *name, void *ctx), void *ctx);
/* Emits r once for each file in and below `sub`, with its path and contents as the fields key and value. */
void walker_each_value(struct walker *w, int dir, const char *sub, struct record *r, int key, int value);
struct value_walk {
    struct record *r;
    int key, value; /* fields */
};
/* What that does with each file, for a function of walker_each_file. True: the file is in w->file, whether it was
 * emitted or, in a tick, passed over; false: reported. */
bool walker_emit_value(struct walker *w, int dir, const char *name, unsigned char type, const char *key,
                       const struct value_walk *walk);

enum tag_state { TAG_READ, TAG_ABSENT, TAG_UNREADABLE };
/* Reads the file of one tag of the entity in dir into w->file. UNREADABLE: reported. */
enum tag_state walker_read_tag(struct walker *w, int dir, const char *key);

/* -- meta.yaml and similar files */

enum meta_state { META_GOOD, META_MISSING, META_BAD };
/* Waits for an empty file to be written, as MLflow does, longer for each try (from 1); false if there is no
 * point: after the last try, or if the file was not modified recently. */
bool meta_wait(int dir, const char *name, int try);
/* Reads a YAML file at w->path that contains a map. BAD: reported; MISSING: no such file, not reported. An
 * empty file that was just modified is read again after 0.1 and 0.2 s, as MLflow does. */
enum meta_state meta_read(struct walker *w, struct yaml_reader *y, int dir, const char *name,
                          const struct yaml_value **meta);

enum meta_how {
    META_TEXT,      /* any scalar, verbatim: an unquoted `yes` is the text yes */
    META_INT,       /* an integer of at most 64 bits */
    META_WORKSPACE, /* text; "default" is null */
};
struct meta_field {
    const char *key;
    int field;
    enum meta_how how;
};
/* Fills fields of r from the map; false after reporting the first one that is required and missing, or has
 * the wrong type. */
bool meta_fill(struct walker *w, const struct yaml_value *meta, const struct meta_field *fields, size_t n,
               struct record *r);
/* The text of a scalar that names an entity: an integer in decimal. */
struct value meta_id(const struct yaml_value *v, char scratch[24]);
/* Checks that a key of the map has the value `want`; if it is absent: false and reported if required, else
 * true. */
bool meta_is(struct walker *w, const struct yaml_value *meta, const char *key, const char *want,
             bool required);
/* lifecycle_stage: active or deleted; absent is active. NULL after reporting anything else. */
const char *meta_lifecycle(struct walker *w, const struct yaml_value *meta);
/* The word for an integer, counted from first. v NULL: the word for `absent`. NULL after reporting a value
 * without a word. */
const char *meta_word(struct walker *w, const struct yaml_value *v, const char *key, const char *const *words,
                      int64_t first, int64_t n, int64_t absent);
/* Parses a time of protobuf's JSON (RFC 3339) into ms since the epoch, rounded down; false if it is
 * malformed. */
bool meta_parse_time(const char *s, size_t len, int64_t *ms);

/* Whether one of the named directories is in dir, or may be but is unreadable: the sign of an entity whose
 * YAML file is missing. names ends with NULL. */
bool walker_has_dir(int dir, const char *const *names);

/* -- units. path is the entity's directory, relative to the store. */

struct unit {
    enum unit_kind {
        UNIT_EXPERIMENT,
        UNIT_RUN,
        UNIT_TRACE,
        UNIT_LOGGED_MODEL,
        UNIT_REGISTERED_MODEL,
        UNIT_UNREADABLE
    } kind;
    const char *experiment;    /* its directory's name, which is its id in the files */
    const char *experiment_id; /* its id in records; NULL: the same */
    bool deleted;              /* the experiment it is in .trash */
    const char *name;          /* of the directory */
    unsigned char type;        /* of the directory's entry */
    const char *trouble;       /* UNREADABLE: the problem of the path */
    struct experiment *of;     /* its experiment; NULL: none */
    /* of a tick */
    enum unit_kind listed;         /* UNREADABLE: of what was to be read, or, without a name, listed */
    bool vanished;                 /* UNREADABLE: it is not there, and may come back */
    uint64_t known_from, known_to; /* its part of the state; 0: none */
    uint64_t old_from;             /* the same, unless it is to be sent as if it were new */
    bool old_deleted;              /* there the experiment lay in .trash */
};

/* The experiment is unreadable: everything in it is left out. */
void unit_set_bad(const struct walker *w, const struct unit *unit);

/* The id of the unit's experiment in records. */
static inline struct value unit_experiment_id(const struct unit *unit)
{
    const char *id = unit->experiment_id ? unit->experiment_id : unit->experiment;

    return value_text(id, strlen(id));
}

void run_read_experiment(struct walker *w, int dir, const struct unit *unit);
/* Fills the experiment's record; its text lives until the walker's YAML reader reads again. false: reported.
 */
bool experiment_fill(struct walker *w, int dir, const struct unit *unit, struct record *r);
/* Opens a directory by a path below the store that begins with the unit's experiment; in a tick also where
 * the experiment lies if it was deleted or restored meanwhile. -1 with errno. */
int unit_dir_open(const struct walker *w, const struct unit *unit, const char *path);
void run_read(struct walker *w, int dir, const struct unit *unit);
void trace_read(struct walker *w, int dir, const struct unit *unit);
/* trace_spans.c. Spans of a trace whose artifacts are where MLflow puts them. */
#define SPANS_FILE "artifacts/traces.json"
/* Notes that w->file is the trace's tag TRACE_LOCATION, which then need not be read again. */
#define TRACE_LOCATION "mlflow.artifactLocation"
void trace_spans_locate(struct walker *w);
/* Emits the spans of the trace in dir, after all else of it. */
void trace_read_spans(struct walker *w, int dir, const struct unit *unit);
struct trace_spans *trace_spans_new(void);
void trace_spans_free(struct trace_spans *t); /* NULL is fine */
void model_read_logged(struct walker *w, int dir, const struct unit *unit);
void model_read_registered(struct walker *w, int dir, const struct unit *unit);

/* -- references: false if the entity with this id is missing or unreadable */
bool reference_has_run(struct walker *w, const struct unit *from,
                       const struct value *id); /* in the same experiment */
bool reference_has_logged_model(struct walker *w, const struct unit *from,
                                const struct value *id); /* in any */
bool run_check(struct walker *w, int dir, const struct unit *unit);
bool model_check_logged(struct walker *w, int dir, const struct unit *unit);

/* Reads the points of a run, followed by each key's latest one. r has kind metric, with run_id set. */
void metric_read_run(struct walker *w, int dir, struct record *r);
/* Reads the points of a logged model. r has kind logged_model_metric, with its ids set. */
void metric_read_model(struct walker *w, int dir, const struct unit *unit, struct record *r);

#endif
