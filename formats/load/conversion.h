/* Converts records to rows: checks and simple columns (convert.c), derived columns (derive.c), rows of
 * databases from before a revision (analytics.c, issues.c), tags stored in columns (promote.c). */
#ifndef FORMATS_LOAD_CONVERSION_H
#define FORMATS_LOAD_CONVERSION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/arena.h"
#include "common/buf.h"
#include "formats/database/trace_columns.h"
#include "formats/load/places.h"
#include "formats/load/problems.h"
#include "formats/load/references.h"
#include "formats/load/stage.h"
#include "formats/load/tables.h"
#include "formats/python/span_content.h"

struct load_conversion {
    struct load_tables *tables; /* these five are the caller's */
    struct load_problems *problems;
    struct load_stage *stage;
    struct load_references *references;
    struct load_places *places;
    struct arena scratch; /* of one record */
    struct pyjson json;   /* likewise */
    struct buf text;
    uint32_t
        reported[KIND_COUNT]; /* bits of fields whose missing column was reported; bit 31: missing table */
    bool from_file_store;     /* the segment's producer read a file store */
    int64_t trace_experiment, trace_time; /* of the last trace */
    struct buf gateway;                   /* key of the gateway trace that the stage returned last */
    bool locates_spans;                   /* load_options.spans_in_database */
    struct {                              /* the trace that came last, for that */
        struct buf id;
        uint64_t spans;
        int64_t counted; /* spans by mlflow.trace.sizeStats; -1: it says nothing */
        bool otel;       /* the ids of all of them are the trace's */
        bool partial;    /* not all of it is in the stream */
        bool located;    /* the trace says where its spans are */
    } last_trace;
    struct span_content span;
};

void load_conversion_free(struct load_conversion *c);

/* Checks and converts a record of a kind that has a table, and stages the result. False with e filled only
 * for errors that end the load. */
bool load_convert_record(struct load_conversion *c, const struct record *r, struct err *e);
/* Handles a record of a kind for which the revision has no table. */
void load_no_table(struct load_conversion *c, const struct record *r);
/* Sets columns of a row that depend on several fields, and counts what the report shows. */
void load_derive(struct load_conversion *c, const struct record *r, const struct load_plan *p,
                 struct value *row);

/* An id derived from n values, 32 hexadecimal digits; it lives as long as the record (derive.c). what: what it identifies. */
struct value load_derived_uuid(struct load_conversion *c, const char *what, const struct value *v, int n);

/* -- spans, token usage and linked prompts (spans.c) */

/* Finishes a span's row with its model and provider, as the target keeps them. */
void load_derive_span(struct load_conversion *c, const struct record *r, const struct load_plan *p,
                      struct value *row);
/* Stages what MLflow keeps of a record in rows of other tables: a span's costs (3.10 to 3.16), a trace's token counts (3.9 to
 * 3.16) and its linked prompts (3.7 on). Such a row gives way to one that the stream has. */
bool load_stage_beside(struct load_conversion *c, const struct record *r, struct err *e);

/* Notes what r says of where the spans of its trace may be read, if that is asked for; a trace that begins ends the one before.
 */
bool load_note_spans(struct load_conversion *c, const struct record *r, struct err *e);
/* The trace that came last is whole: MLflow reads its spans from the database from now on, where it would read them as they are in
 * its file. May be called again. */
bool load_end_spans(struct load_conversion *c, struct err *e);

/* -- rows from before revision 75868b020152 (analytics.c) */

/* 1: r's row of t is a metric that the target stores in a column, and was staged for it; 0: it is a row of t;
 * -1: error. */
int load_convert_metric(struct load_conversion *c, const struct record *r, const struct load_table *t,
                        const struct value *row, struct err *e);
/* Notes that the record marks a trace as a gateway trace. */
bool load_note_gateway(struct load_conversion *c, const struct record *r, struct err *e);
/* After the rows: processes an entry of SORT_GATEWAY. A gateway trace without a cost gets the sum of its
 * spans' costs, if these come from span_metrics. */
bool load_take_gateway(struct load_conversion *c, struct load_sink *sink, const struct sort_entry *x,
                       struct err *e);

/* -- rows from before revision 8b6ad64cb8f5 (issues.c) */

/* Adds the time when it was last seen to the entries of such an issue, which fit (limits_row()), and stages
 * the rows of its categories. There is room for one more entry. */
bool load_convert_issue(struct load_conversion *c, const struct load_table *t, struct row_entry *entries,
                        int *n, struct err *e);

/* -- tags and metadata stored in columns of trace_info (promote.c) */

enum { PROMOTED_MAX = TRACE_TOKENS };
_Static_assert((int)PROMOTED_MAX <= (int)LOAD_MAX_PATCH, "a patch holds all that is promoted");

struct load_promoted {
    int n;
    struct {
        const char *column;
        struct value value;
    } items[PROMOTED_MAX];
    bool cut_name, cut_session, loss; /* the columns cannot hold all of the text */
};

/* False if the record, a trace_tag or trace_request_metadata, is a row of its own. Strings point into the
 * record. json is scratch. */
bool load_promote(struct pyjson *json, const struct record *r, struct load_promoted *out);

#endif
