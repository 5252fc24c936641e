/* Shared by the parts of a sync. */
#ifndef FORMATS_SYNC_INTERNAL_H
#define FORMATS_SYNC_INTERNAL_H

#include "common/buf.h"
#include "formats/load/sink.h"
#include "formats/record/merge_rules.h"
#include "formats/record/rows.h"
#include "formats/state/promote.h"
#include "formats/sync/dialect.h"
#include "formats/sync/sync.h"

enum { SYNC_MAX_UNITS = 24, SYNC_MAX_CASES = 8, SYNC_MAX_REPORTED = LOAD_MAX_MESSAGES };

/* Columns that are taken from the source together or not at all. */
struct sync_unit {
    enum merge_rule rule;
    int leader; /* column */
    int time;   /* column; -1: none */
    int columns[LOAD_MAX_COLUMNS];
    int n_columns;
    int maker; /* column that must be equal on both sides; -1: none */
    const char *absorb;
    const char *never, *over;
    bool of_fields; /* made of the entity's own fields, which a delta marks as unchanged or changed */
    bool named;     /* the run's name: taken in a delta only if the tag with the name is there, too */
    int n_cases;
    struct {
        int by; /* column */
        const char *text;
        enum merge_rule rule;
    } cases[SYNC_MAX_CASES];
    uint64_t changed; /* number of rows in which it is taken */
};

struct sync_column {
    int unit;               /* -1: part of the key */
    const char *comparable; /* as given by the dialect; NULL: unchanged */
    int null_by;            /* column; -1: a null is never taken */
    const char *null_texts;
};

/* Why a staged row is excluded (the column sync_out of its table). */
enum sync_out { SYNC_IN, SYNC_OUT_CONFLICT, SYNC_OUT_HELD, SYNC_OUT_PURGED };

/* A table that rows of the stream go to. In the stage it is s_NAME, with the filled columns, and sync_id (1,
 * 2 … in key order), sync_kind and sync_out. d_NAME has a row for each staged row that differs from the
 * target: sync_id, added (0, 1), and bits of units: changed, kept, conflict. */
struct sync_table {
    const struct load_table *t;
    enum kind kind;               /* the first kind of the table; KIND_row: none */
    const struct row_table *rows; /* NULL: only rows of kinds */
    struct load_table staged;
    char *staged_name;
    struct sync_column columns[LOAD_MAX_COLUMNS];
    struct sync_unit units[SYNC_MAX_UNITS];
    int n_units;
    bool latest; /* the greater of two rows is kept */
    bool points; /* rows are many, and are only inserted */
    uint64_t n;  /* staged rows */
    uint64_t n_added, n_changed, n_kept, n_conflict, n_held;
    uint64_t n_fresh, n_more; /* added by the last SYNC_ADD_FRESH and SYNC_ADD_MORE */
};

/* The target's record of a state: a tag of its experiment 0, else of that with the lowest id. */
struct sync_watermark {
    bool there;
    int64_t generation, previous; /* previous: the base of the stream that made the generation */
    char tick[33];                /* the id of that stream; "": unknown */
    int64_t experiment;
};

/* Condition on s, a staged experiment: its id has no counterpart in the target so far. */
#define SYNC_OPEN_EXPERIMENT "NOT EXISTS (SELECT 1 FROM @@m_exp m WHERE m.src = s.experiment_id)"
/* Its id is that of another one in the target, or will be. */
#define SYNC_TAKEN_EXPERIMENT                                                                                \
    "(EXISTS (SELECT 1 FROM experiments t WHERE t.experiment_id = s.experiment_id) OR EXISTS (SELECT 1 "     \
    "FROM "                                                                                                  \
    "@@m_exp m WHERE m.dst = s.experiment_id))"

struct sync {
    struct db *db;
    const struct sync_dialect *dialect;
    struct sync_options o;
    struct load *load;
    int rev;
    struct sync_table *tables[LOAD_MAX_TABLES]; /* parents before their children */
    int n_tables;
    void *filler;         /* the dialect's, while the stage is filled */
    bool delta;           /* the stream has only what changed since `base` */
    char state_id[33];    /* "": the producer keeps no state */
    char tick[33];        /* "": the stream does not have one */
    char replaced_id[33]; /* the state in whose place state.new comes; "": none, or the same */
    bool has_base;
    int64_t base;
    unsigned segments;
    struct state *state; /* state.new; NULL: nothing is promoted */
    struct state_promotion *promotion;
    struct sync_watermark watermark;
    int64_t next_generation; /* the one written; 0: none */
    uint64_t skipped, acting, renamed, renumbered;
    bool any_conflict;
    bool refused_base;                  /* the stream is based on another generation */
    uint64_t n_reported, n_overwritten; /* number of reported conflicts, and of overwritten values */
    uint64_t name_conflicts;
    bool quiet;               /* conflicts were reported already */
    int64_t compared_version; /* SQLite's data_version when the target was compared */
    int restarts;
    uint64_t missed;                   /* rows that the last attempt was to add and found there */
    struct buf overwritten, conflicts; /* JSON texts, separated by commas */
    struct sync_counts counts[KIND_COUNT];
    bool begun, changed;
    bool written; /* slices of a SQLite database were committed */
    bool renames_reported;
};

/* Appends SQL formatted as by printf, in which `@@` is replaced by the stage's prefix. */
void sync_sql(const struct sync *x, struct buf *out, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Runs such a text. */
bool sync_exec(struct sync *x, struct err *e, const char *fmt, ...) PRINTF_LIKE(3, 4);
bool sync_int(struct sync *x, int64_t *out, struct err *e, const char *fmt, ...) PRINTF_LIKE(4, 5);
struct db_stmt *sync_query(struct sync *x, struct err *e, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* NULL: there are no staged rows of it. */
struct sync_table *sync_table_named(const struct sync *x, const char *name);
int sync_find_column(const struct sync_table *t, const char *name); /* -1: none */

/* -- stage.c */

/* Creates and fills the tables of the stage, with their rules (rules.c). */
bool sync_fill_stage(struct sync *x, struct err *e);
/* -- rules.c */
void sync_plan(struct sync_table *t);

/* -- ticks.c: streams of a producer that keeps a state, and the target's watermark */
/* Opens state.new and checks that it belongs to the stream. */
bool sync_open_state(struct sync *x, struct err *e);
/* Copies the state's map into m_state of the stage. */
bool sync_fill_map(struct sync *x, struct err *e);
bool sync_read_watermark(struct sync *x, struct err *e);
/* False with e filled if the target is not at the stream's base. */
bool sync_check_base(struct sync *x, struct err *e);
/* Whether a generation is to be written, with the rest or by itself. */
bool sync_must_mark(const struct sync *x);
bool sync_write_watermark(struct sync *x, struct err *e);
/* Before the commit: notes what the state will contain after it. */
bool sync_note_promotion(struct sync *x, struct err *e);

/* -- identity.c: all ids of the stage become the target's */
bool sync_identify(struct sync *x, bool first, struct err *e);
/* Appends the key of an experiment in a state's map as SQL: the source's id, and the creation time of s. */
void sync_add_experiment_key(const struct sync_table *t, const char *id, struct buf *out);
/* Appends "s and t have the same natural key"; *id: the column with the id that it stands for. False: the table has
 * none. */
bool sync_add_natural_join(const struct sync_table *t, const char **id, struct buf *out);
/* Repeats for a range what of identity depends on values of the target. */
bool sync_judge_range(struct sync *x, const struct sync_table *t, int64_t first, int64_t last, struct err *e);
/* -- versions.c: numbers of model versions */
bool sync_identify_versions(struct sync *x, bool first, struct err *e);
/* -- unite.c: lists in tags */
bool sync_unite(struct sync *x, struct err *e);
/* Again for rows with sync_id from `first` to `last`, whose ids are the target's by now; in dialects without slices
 * only for those that differ, which stay locked. */
bool sync_unite_range(struct sync *x, const struct sync_table *t, int64_t first, int64_t last, struct err *e);

/* -- names.c: renamed experiments whose new name is taken in the target; after the comparison */
bool sync_settle_names(struct sync *x, struct sync_table *t, struct err *e);
/* Reports new registered models that seem to be renamed ones of the target: they have no id, so both exist. */
bool sync_report_renamed_models(struct sync *x, struct err *e);

/* -- differences.c */
bool sync_compare(struct sync *x, struct err *e);
/* Appends "s.a = t.a AND s.b = t.b" of the primary key. */
void sync_add_join(const struct sync_table *t, const char *a, const char *b, struct buf *out);
/* Appends "s.c and t.c differ", with NULLs as values. */
void sync_add_distinct(const struct sync *x, const struct sync_table *t, int column, struct buf *out);
/* Appends the new value of a column, as SQL with s and t. */
void sync_add_new_value(const struct sync *x, const struct sync_table *t, int column, struct buf *out);
/* Fills d_NAME for rows with sync_id from `first` to `last`; in dialects without slices for all rows. */
bool sync_compare_range(struct sync *x, struct sync_table *t, int64_t first, int64_t last, struct err *e);

/* Appends the condition on s and d that the row was purged in the target, for rows of a delta; nothing: no row of
 * the table can be. */
void sync_add_purged(const struct sync_table *t, struct buf *out);
/* Appends the condition on s that the version of an alias does not exist or is deleted. */
void sync_add_dead_alias(const struct sync *x, const struct sync_table *a, struct buf *out);

/* -- apply.c: statements that write a range of staged rows */
enum sync_part {
    SYNC_ADD,       /* all new rows, except latest metrics */
    SYNC_ADD_FRESH, /* of these: parents, children of new parents, points */
    SYNC_ADD_MORE,  /* of these: the rest */
    SYNC_CHANGES,   /* changes to existing rows */
    SYNC_LATEST,    /* latest metrics, new or changed */
};
/* The table of the parents of t's rows, the column that refers to them, and the parents' own; NULL: it has no
 * staged rows. */
const struct sync_table *sync_parent_of(const struct sync *x, const struct sync_table *t, const char **column,
                                        const char **key);
/* Whether the table has rows of the part. */
bool sync_has_part(const struct sync_table *t, enum sync_part part);
bool sync_write_part(struct sync *x, struct sync_table *t, enum sync_part part, int64_t first, int64_t last,
                     struct err *e);

/* -- recheck.c */
/* After others have written to the target, in a transaction: compares rows with sync_id from `first` to `last`
 * again. *holds: what was decided of them otherwise, and of what they belong to, still holds; if not, everything
 * must be identified and compared again. */
bool sync_recheck(struct sync *x, struct sync_table *t, enum sync_part part, int64_t first, int64_t last,
                  bool *holds, struct err *e);

/* -- rollups.c */
/* Queues the published days of new and changed traces. *any: there are some; outside a writing transaction
 * they are only looked for. */
bool sync_queue_rollups(struct sync *x, bool *any, struct err *e);

/* -- report.c */
/* Reports values that differ, either those in conflict or those overwritten. */
bool sync_report_values(struct sync *x, struct sync_table *t, bool conflicts, struct err *e);
/* Reports one conflict. why: text before the two values; NULL: none. */
void sync_report_conflict(struct sync *x, const char *where, const char *field, const struct value *source,
                          const struct value *target, const char *why);

/* -- on_conflict.c */
/* sync_dialect's add_put_greater for dialects with ON CONFLICT. */
void sync_add_put_greater(const struct sync_table *t, struct buf *out);

#endif
