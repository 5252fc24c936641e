/* The rows of all tables, sorted by table and primary key: kept while records come (common/sort.h), given
 * back in order. Before them come names, after them references, then traces of the gateway. */
#ifndef FORMATS_LOAD_STAGE_H
#define FORMATS_LOAD_STAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/sort.h"
#include "formats/load/tables.h"

/* First bytes of the keys: what is checked before any row is written, tables, what comes after the rows. */
enum { SORT_NAMES = 0x01, SORT_TABLES = 0x10, SORT_REFS = 0xf0, SORT_GATEWAY = 0xff };

/* What comes before a row's values. */
struct load_row_head {
    uint8_t flags;
    uint8_t kind;
    uint32_t segment;
} __attribute__((packed));
/* METRIC: a patch that counts before one without it. CONVERTED: a row that is none of the stream's, and gives
 * way to one that is; of several the last stays. */
enum {
    ROW_PATCH = 1 << 0,
    ROW_NEGATIVE_ZERO = 1 << 1,
    ROW_METRIC = 1 << 2,
    ROW_CONVERTED = 1 << 3,
    ROW_PART = 4 /* how far an enum record_part is shifted */
};

/* Columns of a row that another record fills. */
enum { LOAD_MAX_PATCH = 8 };
struct load_patch {
    const struct load_table *table;
    const struct value *key; /* that of the row, or the beginning of it */
    int n_key;
    enum kind kind; /* of the record */
    bool metric;    /* it counts before what a tag or metadata says */
    int n;
    struct {
        int column;
        struct value value;
    } items[LOAD_MAX_PATCH];
};

struct load_problems;
struct load_sink;
struct load_stage;

/* tmpdir is for the temporary file. All that is given must live as long as the stage. */
struct load_stage *load_stage_new(const struct load_tables *tables, struct load_problems *problems,
                                  const char *tmpdir);
void load_stage_free(struct load_stage *s); /* NULL is fine */
/* A segment of the stream begins. */
void load_stage_segment(struct load_stage *s, const char *source);
/* Rows of tables that are `streamed` go to the sink; all others stay here. */
void load_stage_stream_to(struct load_stage *s, struct load_sink *sink);

/* ---- while records come */

/* Takes a row of a table. part: of the record. */
bool load_stage_row(struct load_stage *s, enum kind kind, enum record_part part, struct load_table *t,
                    const struct value *row, struct err *e);
/* The same for a row that a conversion makes (ROW_CONVERTED). */
bool load_stage_converted(struct load_stage *s, struct load_table *t, const struct value *row, struct err *e);
/* Takes values that are laid over a row, which they follow. */
bool load_stage_patch(struct load_stage *s, const struct load_patch *patch, struct err *e);
/* Takes an experiment's name. Names are unique within a workspace, in both dialects; they meet here so that
 * both experiments can be named. */
bool load_stage_name(struct load_stage *s, const struct record *r, struct err *e);
/* Takes a reference: the key of what is referred to, and the name of the record that does. */
bool load_stage_ref(struct load_stage *s, enum load_ref ref, const struct buf *key, const struct buf *who,
                    struct err *e);
/* Takes what is known of a trace that may be one of the gateway's (analytics.c). */
bool load_stage_gateway(struct load_stage *s, const struct value *trace, char part, struct err *e);

/* ---- when all have come */

/* No more entries come; load_stage_fetch() may be called. */
bool load_stage_finish(struct load_stage *s, struct err *e);
/* Fetches the next entry, which load_stage_entry() gives until the next call. False: an error, or a signal.
 */
bool load_stage_fetch(struct load_stage *s, struct err *e);
/* The entry that was fetched last; NULL after the last one. Its data may be NULL until they are asked for. */
const struct sort_entry *load_stage_entry(const struct load_stage *s);
/* Reads the first len bytes of the entry's data, which live until the next fetch. NULL: error. */
const char *load_stage_data(struct load_stage *s, size_t len, struct err *e);
/* Copies all of the entry's data. */
bool load_stage_copy(struct load_stage *s, struct buf *out, struct err *e);
/* The table whose row or patch the entry is; NULL for all else. */
const struct load_table *load_stage_table(const struct load_stage *s);
/* True when the entry is a row or patch of the table. */
bool load_stage_is_of(const struct load_stage *s, const struct load_table *t);
/* True for two segments of one source: shards. */
bool load_stage_are_shards(const struct load_stage *s, uint32_t a, uint32_t b);
/* Bytes that went to the temporary file. */
uint64_t load_stage_spilled(const struct load_stage *s);

#endif
