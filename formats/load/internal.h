/* What the parts of the store share: the tables to fill, rows as bytes, the conversions of traces. */
#ifndef FORMATS_LOAD_INTERNAL_H
#define FORMATS_LOAD_INTERNAL_H

#include "common/arena.h"
#include "common/buf.h"
#include "common/sort.h"
#include "formats/load/load.h"
#include "migrations/migrations.h"
#include "formats/database/trace_columns.h"
#include "formats/schema/limits.h"

enum { LOAD_MAX_COLUMNS = 64, LOAD_MAX_TABLES = 96, LOAD_MAX_KEY = 8 };

struct load_column {
    const char *name;
    enum column_type type;
    bool not_null;
    struct value dflt; /* the declared default, NULL when there is none */
    bool in_key;
    const char *look_up; /* a query for the value where a row has none; {name} is another column of the row */
    const char *look_up_if; /* rows for which there may be something to find, as a condition */
};

/* A table with the columns that its kinds fill. */
struct load_table {
    const char *name;
    struct load_column columns[LOAD_MAX_COLUMNS];
    int n_columns;
    int key[LOAD_MAX_KEY]; /* places in columns, in the order of the primary key */
    int n_key;
    bool filled;   /* rows will come */
    bool of_kind;  /* some kind's records are its rows */
    bool streamed; /* its rows go to the database as they come (load_begin_streamed) */
};

enum { NO_COLUMN = -1, MISSING_COLUMN = -2 };

/* How a kind's records become rows. */
struct load_plan {
    struct load_table *table;      /* NULL: no such table at this revision */
    int column[RECORD_MAX_FIELDS]; /* of each field: place in the table, or one of the above */
    int is_nan;                    /* of a METRIC's companion */
    int consts[KIND_MAX_CONSTS];
};

/* What records refer to. Each has a table and the columns that name a row of it. */
enum load_ref {
    REF_EXPERIMENT,
    REF_RUN,
    REF_TRACE,
    REF_MODEL,
    REF_REGISTERED,
    REF_VERSION,
    REF_DATASET,
    REF_INPUT,
    REF_COUNT
};

enum { REF_MAX_COLUMNS = 3 };

extern const struct load_ref_desc {
    const char *what;
    const char *table;
    const char *columns[REF_MAX_COLUMNS + 1];
} load_refs[REF_COUNT];

/* First bytes of the sorter's keys: what is checked before any row is written, tables, what is checked after.
 */
enum { SORT_NAMES = 0x01, SORT_TABLES = 0x10, SORT_REFS = 0xf0, SORT_GATEWAY = 0xff };

/* What comes before a row's values. */
struct row_head {
    uint8_t flags;
    uint8_t kind;
    uint32_t segment;
} __attribute__((packed));
/* METRIC: a patch that counts before one without it. CONVERTED: a row that is none of the stream's, and gives
 * way to one that is; of several the last stays. */
enum { ROW_PATCH = 1 << 0, ROW_NEGATIVE_ZERO = 1 << 1, ROW_METRIC = 1 << 2, ROW_CONVERTED = 1 << 3 };

struct load {
    enum dialect dialect;
    int rev;
    bool drop_unsupported, any_ids;
    struct limits *limits; /* of the target */
    struct load_report report;
    struct load_table tables[LOAD_MAX_TABLES];
    int n_tables;
    struct load_plan plans[KIND_COUNT];
    struct sorter *sorter;
    struct load_sink *sink; /* NULL until rows are written */
    const char *staged; /* what comes before the names of the tables that the sink fills (load_into_stage) */
    struct load_table **row_tables; /* of each of row_tables[] (rows.h); NULL where the target has none */
    struct row_decoder *row_decoder;
    bool default_workspace; /* its row has come */
    struct arena names;     /* what the tables' descriptions hold */
    struct arena scratch;   /* of one record */
    struct pyjson json;     /* likewise */
    struct buf key, data, text;
    struct buf
        current[REF_COUNT]; /* the parent that came last, and the one that was last put down for a check */
    struct buf noted[REF_COUNT];
    uint32_t told[KIND_COUNT]; /* bits of fields whose missing column was told; bit 31: of the table */
    struct buf told_rows;      /* what tables of rows lack and was told, a line each */
    struct buf gateway;        /* key of the gateway's trace that came last (analytics.c) */
    char (*sources)[33];       /* of each segment */
    uint32_t n_segments;
    int64_t trace_experiment, trace_time; /* of the trace that came last */
    bool from_file_store, from_database;  /* the segment's producer */
    struct {
        struct load_root *artifacts, *archive; /* NULL: it has no such location */
        bool in_database, archived;            /* where its spans are; else with the artifacts */
    } trace;                                   /* the one that came last, until its place is counted */
    bool checked;                              /* load_check() was asked */
    bool fatal;                                /* there is no sense in going on, and fatal_error says why */
    struct err fatal_error;
};

/* The record's name for messages, that of a row with its key; lives until the next call. Uses row_decoder. */
const char *load_describe(struct load *s, const struct record *r);
/* Adds to a table all columns that can be filled. */
void load_plan_columns(struct load *s, struct load_table *t, const struct db_columns *have);
struct load_table *load_table_named(struct load *s, const char *name);
/* Puts down what a record refers to (references.c). row is not used for kinds that nobody refers to. */
bool load_note_refs(struct load *s, const struct record *r, const struct load_plan *p,
                    const struct value *row, struct err *e);
/* Puts a row into the sorter. */
bool load_stage_row(struct load *s, enum kind kind, struct load_table *t, const struct value *row,
                    struct err *e);
/* The same for a row that a conversion makes (ROW_CONVERTED). */
bool load_stage_converted(struct load *s, struct load_table *t, const struct value *row, struct err *e);
/* Names are unique within a workspace, in both dialects; told here so that both experiments can be named. */
bool load_stage_name(struct load *s, const struct record *r, struct err *e);
struct load_promoted;
/* A trace's tag or metadata that fills columns of the trace's row: follows that row in the sorter and is laid
 * over it. */
bool load_stage_patch(struct load *s, const struct record *r, const struct load_promoted *what,
                      struct err *e);
/* A metric that fills a column of a row of t, whose key has n values: likewise, and counts before what a tag
 * or metadata says. */
bool load_stage_metric(struct load *s, const struct load_table *t, const struct value *key, int n, int column,
                       const struct value *v, struct err *e);
/* Puts down for a check that r refers to the row named by v (references.c). */
bool load_refer(struct load *s, const struct record *r, enum load_ref ref, const struct value *v, int n,
                struct err *e);

/* ---- rows from before revision 75868b020152 (analytics.c) */

struct row_entry;
/* Turns a span's dimension_attributes, which fit, into entries for the columns that the target has instead,
 * or drops them when it has none. There is room for one more entry. Texts live as long as s->json. */
void load_convert_dimensions(struct load *s, const struct load_table *t, struct row_entry *entries, int *n);
/* 1: r's row of t is a metric that the target keeps in a column, and was staged for it; 0: it is a row of t;
 * -1: error. */
int load_convert_metric(struct load *s, const struct record *r, const struct load_table *t,
                        const struct value *row, struct err *e);
/* A trace of the gateway without a cost costs what its spans do, where these costs come from span_metrics. */
enum gateway_part { GATEWAY_ENDPOINT, GATEWAY_COST };
/* Notes that the record says that a trace is one of the gateway's. */
bool load_note_gateway(struct load *s, const struct record *r, struct err *e);
/* After the rows: takes an entry of SORT_GATEWAY. *update: NULL before the first, the caller's to finalize.
 */
bool load_add_gateway_cost(struct load *s, struct db *db, struct db_stmt **update, const struct sort_entry *x,
                           struct err *e);
/* ---- rows from before revision 8b6ad64cb8f5 (issues.c) */

/* Adds to the entries of such an issue, which fit (limits_row()), when it was last seen, and the rows of its
 * categories to the sorter. There is room for one more entry. */
bool load_convert_issue(struct load *s, const struct load_table *t, struct row_entry *entries, int *n,
                        struct err *e);

/* Row records: reading the target's tables, taking a record, and what is to be done before all are written
 * (untyped_rows.c). */
bool load_plan_untyped(struct load *s, struct db *db, struct err *e);
bool load_add_untyped(struct load *s, const struct record *r, struct err *e);
bool load_finish_untyped(struct load *s, struct db *db, struct err *e);
/* After the last row: gives each workspace that rows are in a row of its own. */
bool load_add_workspaces(struct load *s, struct db *db, struct err *e);
/* Prints a problem, unless too many were. Returns false. */
bool load_problem(struct load *s, const struct err *e);
/* Counts a problem of which the message of one before it speaks, too. Returns false. */
bool load_problem_again(struct load *s);

int load_table_find(const struct load_table *t, const char *column); /* -1: none */
/* The place of a column that the table's revision has; MISSING_COLUMN with e filled when it is not there. */
int load_plan_column(struct load *s, struct load_table *t, const struct db_columns *have, const char *name,
                     struct err *e);
/* Reads the table's primary key (table.c). */
bool load_plan_key(struct db *db, struct load_table *t, struct err *e);
/* Reads how a kind's records become rows (plan.c). */
bool load_plan_kind(struct load *s, struct db *db, const struct kind_desc *k, struct err *e);

/* ---- from a record to a row (convert.c, derive.c) */

/* What follows from a value that the target cannot hold. */
enum verdict { KEEP, LEAVE_VALUE, LEAVE_RECORD, REFUSE };

extern const char load_drop_hint[];
/* Judges a field. One that the target cannot hold is reported, or to be left out on request, by itself where
 * the row makes sense without it. */
enum verdict load_judge(struct load *s, const struct record *r, int field);
/* A record of a kind that the revision has no table for. */
void load_no_table(struct load *s, const struct record *r);
/* Fills the row. KEEP when it is to be stored. */
enum verdict load_convert(struct load *s, const struct record *r, const struct load_plan *p,
                          struct value *row);
/* Finishes a row with what depends on more than one field, and keeps what the report tells. */
void load_derive(struct load *s, const struct record *r, const struct load_plan *p, struct value *row);

/* ---- where artifacts and spans are (places.c) */

/* Counts the places that a record names, for the report. */
void load_note_place(struct load *s, const struct record *r);
/* Counts those of the trace that came last: its tags are all there. */
void load_end_trace_place(struct load *s);
/* A path or a file: URI, on whichever machine. */
bool load_place_is_local(const struct value *v);

/* ---- rows as bytes (row_bytes.c) */

/* Appends a value so that memcmp puts values in the order in which databases keep them, -0.0 being 0.0. */
void load_put_key(struct buf *out, const struct value *v);
/* Reads such a value; strings lie in the key, or, where they hold NUL, in scratch. Returns the bytes read. */
size_t load_get_key(const char *key, size_t len, struct value *v, struct arena *scratch);
/* The same where order does not matter: shorter, bit for bit. */
void load_put_value(struct buf *out, const struct value *v);
size_t load_get_value(const char *data, struct value *v);

/* ---- traces (promote.c) */

enum { PROMOTED_MAX = TRACE_TOKENS };

/* Columns of trace_info that hold what the stream has as a tag or metadata. */
struct load_promoted {
    int n;
    struct {
        const char *column;
        struct value value;
    } items[PROMOTED_MAX];
    bool cut_name, cut_session, loss; /* the columns hold less than the text */
};

/* False when the record, a trace_tag or trace_request_metadata, is a row of its own. Strings point into the
 * record. json is scratch. */
bool load_promote(struct pyjson *json, const struct record *r, struct load_promoted *out);

/* ---- where rows go */

/* Gives the rows of one table, in the order of its key. */
struct load_row_source {
    /* 1: *row is the next one and lives until the next call; 0: the table's end; -1: error, e filled. */
    int (*next)(struct load_row_source *from, const struct value **row, struct err *e);
    enum kind kind; /* of the row */
};

enum sink_answer {
    SINK_STORED,
    SINK_REFUSED, /* the row that was given last breaks a rule of the table, e says which; the others were not
                     asked for */
    SINK_FAILED,
};

struct load_sink;
struct load_sink_ops {
    /* The dialects that can take one table's rows before all others: its rows will come by put_streamed()
     * alone; false without an error: not this table. end_streamed() is called before anything else. */
    bool (*begin_streamed)(struct load_sink *k, struct load_table *t, struct err *e);
    bool (*put_streamed)(struct load_sink *k, const struct value *row, struct err *e);
    bool (*end_streamed)(struct load_sink *k, struct err *e);
    /* Rows will come, of one table after the other. */
    bool (*begin)(struct load_sink *k, struct err *e);
    enum sink_answer (*fill)(struct load_sink *k, const struct load_table *t, struct load_row_source *from,
                             struct err *e);
    /* All rows have come: make keys and indexes. collapsed: rows of the streamed table which were
     * there already. */
    bool (*end)(struct load_sink *k, uint64_t *collapsed, struct err *e);
    /* All references lead somewhere: make the foreign keys, and what else there is to do. */
    bool (*finish)(struct load_sink *k, struct err *e);
    void (*free)(struct load_sink *k);
};
struct load_sink {
    const struct load_sink_ops *ops;
    struct db *db;
};

/* That of db's dialect. */
struct load_sink *load_new_sink(const struct load *s, struct db *db);
/* The rows go to tables of the same columns that are not the target's: their names begin with prefix, and
 * sink fills them. Nothing else is written, and references are followed there. Before the first record. */
void load_into_stage(struct load *s, struct load_sink *sink, const char *prefix);
/* The rows of the streamed table have all come. */
bool load_end_streamed(struct load *s, struct err *e);
struct load_sink *load_sqlite_sink(struct db *db, const struct load_table *tables, int n_tables);
struct load_sink *load_postgres_sink(struct db *db, const struct load_table *tables, int n_tables);

#endif
