/* What the parts of a sync share. */
#ifndef FORMATS_SYNC_INTERNAL_H
#define FORMATS_SYNC_INTERNAL_H

#include "common/buf.h"
#include "formats/load/sink.h"
#include "formats/record/merge_rules.h"
#include "formats/record/rows.h"
#include "formats/state/promote.h"
#include "formats/sync/dialect.h"
#include "formats/sync/sync.h"

enum { SYNC_MAX_UNITS = 24, SYNC_MAX_CASES = 8, SYNC_TOLD = LOAD_MAX_MESSAGES };

/* Columns that go over together or not at all. */
struct sync_unit {
    enum merge_rule rule;
    int leader; /* column */
    int time;   /* column; -1: none */
    int columns[LOAD_MAX_COLUMNS];
    int n_columns;
    int maker; /* column that both sides must have alike; -1: none */
    const char *absorb;
    const char *never, *over;
    bool of_fields; /* of the entity's own fields, which a delta marks as unchanged or changed */
    bool named;     /* the run's name: goes over in a delta where the tag with the name is there, too */
    int n_cases;
    struct {
        int by; /* column */
        const char *text;
        enum merge_rule rule;
    } cases[SYNC_MAX_CASES];
    uint64_t changed; /* rows in which it goes over */
};

struct sync_column {
    int unit;               /* -1: part of the key */
    const char *comparable; /* as the dialect says; NULL: as it is */
    int null_by;            /* column; -1: a null never goes over */
    const char *null_texts;
};

/* Why a staged row does not take part (the column sync_out of its table). */
enum sync_out { SYNC_IN, SYNC_OUT_CONFLICT, SYNC_OUT_HELD, SYNC_OUT_PURGED };

/* A table that rows of the stream go to. In the stage it is s_NAME, with the columns that are filled, and
 * sync_id (1, 2 … in the order of the key), sync_kind and sync_out. d_NAME has a row for each staged row that
 * is not equal to the target's: sync_id, added (0, 1), and bits of units: changed, kept, conflict. */
struct sync_table {
    const struct load_table *t;
    enum kind kind;               /* of which it is the table first; KIND_row: of none */
    const struct row_table *rows; /* NULL: of kinds alone */
    struct load_table staged;
    char *staged_name;
    struct sync_column columns[LOAD_MAX_COLUMNS];
    struct sync_unit units[SYNC_MAX_UNITS];
    int n_units;
    bool latest; /* the greater of two rows stays */
    bool points; /* rows are inserted or there already, and many */
    uint64_t n;  /* staged rows */
    uint64_t n_added, n_changed, n_kept, n_conflict, n_held;
};

/* What the target remembers of a state: a tag of its experiment 0, else of that with the lowest id. */
struct sync_watermark {
    bool there;
    int64_t generation, previous;
    int64_t experiment;
};

struct sync {
    struct db *db;
    const struct sync_dialect *dialect;
    struct sync_options o;
    struct load *load;
    int rev;
    struct sync_table *tables[LOAD_MAX_TABLES]; /* parents before their children */
    int n_tables;
    void *filler;      /* the dialect's, while the stage is filled */
    bool delta;        /* the stream has what changed since `base` */
    char state_id[33]; /* "": the producer keeps no state */
    char tick[33];     /* "": the stream does not say */
    bool has_base;
    int64_t base;
    unsigned segments;
    struct state *state; /* state.new; NULL: nothing is promoted */
    struct state_promotion *promotion;
    struct sync_watermark watermark;
    int64_t next_generation; /* that was written; 0: none */
    uint64_t skipped, acting, renamed, renumbered;
    bool any_conflict;
    bool refused_base;            /* the stream goes on from another generation */
    uint64_t told, n_overwritten; /* conflicts, and overwritten values */
    uint64_t name_conflicts;
    bool quiet;               /* conflicts were told already */
    int64_t dry_ids;          /* ids that a dry run has given, from -1 down */
    int64_t compared_version; /* SQLite's data_version when the target was compared */
    int restarts;
    struct buf overwritten, conflicts; /* JSON texts, split by commas */
    struct sync_counts counts[KIND_COUNT];
    bool begun, changed;
    bool renames_told;
};

/* Appends SQL: printf, then each `@@` becomes the stage's prefix. */
void sync_sql(const struct sync *x, struct buf *out, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Runs such a text. */
bool sync_exec(struct sync *x, struct err *e, const char *fmt, ...) PRINTF_LIKE(3, 4);
bool sync_int(struct sync *x, int64_t *out, struct err *e, const char *fmt, ...) PRINTF_LIKE(4, 5);
struct db_stmt *sync_query(struct sync *x, struct err *e, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* NULL: no rows of it have come. */
struct sync_table *sync_table_named(const struct sync *x, const char *name);
int sync_find_column(const struct sync_table *t, const char *name); /* -1: none */

/* ---- stage.c */

/* The tables that rows come for, with their rules (rules.c), made and filled. */
bool sync_fill_stage(struct sync *x, struct err *e);
/* ---- rules.c */
void sync_plan(struct sync *x, struct sync_table *t);

/* ---- ticks.c: streams of a producer that keeps a state, and the target's watermark */
/* Opens state.new and checks that it is the stream's. */
bool sync_open_state(struct sync *x, struct err *e);
/* Puts the state's map into m_state of the stage. */
bool sync_fill_map(struct sync *x, struct err *e);
bool sync_read_watermark(struct sync *x, struct err *e);
/* False with e filled when the target is not what the stream's base says. */
bool sync_check_base(struct sync *x, struct err *e);
/* True when a generation is to be written with the rest, or by itself. */
bool sync_must_mark(const struct sync *x);
bool sync_write_watermark(struct sync *x, struct err *e);
/* Before the commit: what the state is to hold after it. */
bool sync_note_promotion(struct sync *x, struct err *e);

/* ---- identity.c: all ids of the stage become the target's */
bool sync_identify(struct sync *x, bool first, struct err *e);
/* Appends the key of an experiment in a state's map: the source's id, as SQL, and the time of creation (of
 * s). */
void sync_add_experiment_key(const struct sync_table *t, const char *id, struct buf *out);
/* ---- versions.c: numbers of model versions */
bool sync_identify_versions(struct sync *x, bool first, struct err *e);
/* ---- unite.c: lists in tags */
bool sync_unite(struct sync *x, struct err *e);

/* ---- names.c: experiments whose new name another one of the target has, after they were compared */
bool sync_settle_names(struct sync *x, struct sync_table *t, struct err *e);
/* Tells of new registered models that seem to be the target's, renamed: they have no id, so both are there. */
bool sync_tell_renamed_models(struct sync *x, struct err *e);

/* ---- differences.c */
bool sync_compare(struct sync *x, struct err *e);
/* Appends "s.a = t.a AND s.b = t.b" of the primary key. */
void sync_add_join(const struct sync_table *t, const char *a, const char *b, struct buf *out);
/* The value that goes over into a column, as SQL with s and t. */
void sync_add_new_value(const struct sync *x, const struct sync_table *t, int column, struct buf *out);
/* Fills d_NAME of the rows with sync_id from `first` to `last`; in dialects without slices of all. */
bool sync_compare_range(struct sync *x, struct sync_table *t, int64_t first, int64_t last, struct err *e);

/* ---- apply.c: statements that write, of a range of staged rows */
enum sync_part {
    SYNC_ADD,       /* all new rows, but those of latest metrics */
    SYNC_ADD_FRESH, /* of these: parents, children of new parents, points */
    SYNC_ADD_MORE,  /* of these: the rest */
    SYNC_CHANGES,   /* rows that are there */
    SYNC_LATEST,    /* latest metrics, new or changed */
};
/* The table of the entities that a kind's rows belong to, the column that names them, and their own; NULL:
 * none has come. */
const struct sync_table *sync_parent_of(const struct sync *x, const struct sync_table *t, const char **column,
                                        const char **key);
/* True when the table has something of the part. */
bool sync_has_part(const struct sync_table *t, enum sync_part part);
bool sync_write_part(struct sync *x, struct sync_table *t, enum sync_part part, int64_t first, int64_t last,
                     struct err *e);

/* ---- rollups.c */
/* Queues the published days of traces that are new or change. *any: there are some; outside of a transaction
 * that writes nothing else is done. */
bool sync_queue_rollups(struct sync *x, bool *any, struct err *e);

/* ---- report.c */
/* Tells of values that differ: of conflicts with and of overwritten values; n of them are counted. */
bool sync_tell(struct sync *x, struct sync_table *t, bool conflicts, struct err *e);
/* Tells of one conflict. why: what comes before the two values; NULL: nothing. */
void sync_tell_conflict(struct sync *x, const char *where, const char *field, const struct value *source,
                        const struct value *target, const char *why);

/* ---- on_conflict.c */
/* sync_dialect's add_put_greater of the dialects that have ON CONFLICT. */
void sync_add_put_greater(const struct sync_table *t, struct buf *out);

#endif
