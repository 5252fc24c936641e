/* From a record to a row: judging (convert.c), columns that are more than a field (derive.c), rows of
 * databases from before a revision (analytics.c, issues.c), tags that are columns (promote.c). */
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

struct load_conversion {
    struct load_tables *tables; /* these five belong to the caller */
    struct load_problems *problems;
    struct load_stage *stage;
    struct load_references *references;
    struct load_places *places;
    struct arena scratch; /* of one record */
    struct pyjson json;   /* likewise */
    struct buf text;
    uint32_t reported[KIND_COUNT];        /* bits of fields whose missing column was; bit 31: of the table */
    bool from_file_store;                 /* the segment's producer has read one */
    int64_t trace_experiment, trace_time; /* of the trace that came last */
    struct buf gateway;                   /* key of the gateway's trace that the stage gave back last */
};

void load_conversion_free(struct load_conversion *c);

/* Takes a record of a kind that has a table: judges it, and stages its row, or what becomes of it. False,
 * with e filled, only when there is no sense in going on. */
bool load_convert_record(struct load_conversion *c, const struct record *r, struct err *e);
/* A record of a kind that the revision has no table for. */
void load_no_table(struct load_conversion *c, const struct record *r);
/* Finishes a row with what depends on more than one field, and keeps what the report tells. */
void load_derive(struct load_conversion *c, const struct record *r, const struct load_plan *p,
                 struct value *row);

/* ---- rows from before revision 75868b020152 (analytics.c) */

/* Turns a span's dimension_attributes, which fit, into entries for the columns that the target has instead,
 * or drops them when it has none. There is room for one more entry. Texts live as long as c->json. */
void load_convert_dimensions(struct load_conversion *c, const struct load_table *t, struct row_entry *entries,
                             int *n);
/* 1: r's row of t is a metric that the target keeps in a column, and was staged for it; 0: it is a row of t;
 * -1: error. */
int load_convert_metric(struct load_conversion *c, const struct record *r, const struct load_table *t,
                        const struct value *row, struct err *e);
/* Notes that the record says that a trace is one of the gateway's. */
bool load_note_gateway(struct load_conversion *c, const struct record *r, struct err *e);
/* After the rows: takes an entry of SORT_GATEWAY. A trace of the gateway without a cost costs what its spans
 * do, where these costs come from span_metrics. */
bool load_take_gateway(struct load_conversion *c, struct load_sink *sink, const struct sort_entry *x,
                       struct err *e);

/* ---- rows from before revision 8b6ad64cb8f5 (issues.c) */

/* Adds to the entries of such an issue, which fit (limits_row()), when it was last seen, and the rows of its
 * categories to the stage. There is room for one more entry. */
bool load_convert_issue(struct load_conversion *c, const struct load_table *t, struct row_entry *entries,
                        int *n, struct err *e);

/* ---- tags and metadata that are columns of trace_info (promote.c) */

enum { PROMOTED_MAX = TRACE_TOKENS };
_Static_assert((int)PROMOTED_MAX <= (int)LOAD_MAX_PATCH, "a patch holds all that is promoted");

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

#endif
