/* Sorts the rows of all tables by table and primary key (common/sort.h), preceded by names and followed by
 * references and gateway traces. */
#ifndef FORMATS_LOAD_STAGE_H
#define FORMATS_LOAD_STAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/sort.h"
#include "formats/load/tables.h"
#include "formats/stream/wire.h"

/* First bytes of keys: what is checked before writing rows, tables, what comes after the rows. */
enum { SORT_NAMES = 0x01, SORT_TABLES = 0x10, SORT_REFS = 0xf0, SORT_GATEWAY = 0xff };

/* Precedes a row's values. */
struct load_row_head {
    uint8_t flags;
    uint8_t kind;
    uint32_t source; /* number of its segment's, from 1; 0: it is of no segment */
    uint32_t shard;
} __attribute__((packed));
/* METRIC: a patch that takes precedence over one without it. CONVERTED: a row made by a conversion, replaced
 * by one from the stream, or by a later converted one. */
enum {
    ROW_PATCH = 1 << 0,
    ROW_NEGATIVE_ZERO = 1 << 1,
    ROW_METRIC = 1 << 2,
    ROW_CONVERTED = 1 << 3,
    ROW_PART = 4 /* shift of an enum record_part */
};

/* Columns of a row filled by another record. */
enum { LOAD_MAX_PATCH = 8 };
struct load_patch {
    const struct load_table *table;
    const struct value *key; /* the row's key, or a prefix of it */
    int n_key;
    enum kind kind; /* of the record */
    bool metric;    /* it takes precedence over tags and metadata */
    int n;
    struct {
        int column;
        struct value value;
    } items[LOAD_MAX_PATCH];
};

struct load_problems;
struct load_sink;
struct load_stage;

/* tmpdir is for the temporary file. The arguments must live as long as the stage. */
struct load_stage *load_stage_new(const struct load_tables *tables, struct load_problems *problems,
                                  const char *tmpdir);
void load_stage_free(struct load_stage *s); /* NULL is fine */
/* Begins a segment of the stream. */
void load_stage_segment(struct load_stage *s, const struct wire_header *h);
/* Passes rows of `streamed` tables to the sink; all others are sorted. */
void load_stage_stream_to(struct load_stage *s, struct load_sink *sink);

/* -- while records come */

/* Adds a row of a table. part: of the record. */
bool load_stage_row(struct load_stage *s, enum kind kind, enum record_part part, struct load_table *t,
                    const struct value *row, struct err *e);
/* The same for a row made by a conversion (ROW_CONVERTED). */
bool load_stage_converted(struct load_stage *s, struct load_table *t, const struct value *row, struct err *e);
/* Adds values to be set in a row; they sort after it. */
bool load_stage_patch(struct load_stage *s, const struct load_patch *patch, struct err *e);
/* Adds an experiment's name. Names are unique within a workspace in both dialects; they are checked here so
 * that messages can name both experiments. */
bool load_stage_name(struct load_stage *s, const struct record *r, struct err *e);
/* Adds a reference: the key of its target, and the name of the record that refers to it. */
bool load_stage_ref(struct load_stage *s, enum load_ref ref, const struct buf *key, const struct buf *who,
                    struct err *e);
/* Adds a part of what is known about a possible gateway trace (analytics.c). */
bool load_stage_gateway(struct load_stage *s, const struct value *trace, char part, struct err *e);

/* -- when all have come */

/* The number of rows that were added and not passed on. */
uint64_t load_stage_rows(const struct load_stage *s);
/* Ends adding entries; load_stage_fetch() may be called. */
bool load_stage_finish(struct load_stage *s, struct err *e);
/* Fetches the next entry, returned by load_stage_entry() until the next call. False: an error, or a
 * signal. */
bool load_stage_fetch(struct load_stage *s, struct err *e);
/* The entry fetched last; NULL after the last one. Its data may be NULL until read by the functions below. */
const struct sort_entry *load_stage_entry(const struct load_stage *s);
/* Returns the first len bytes of the entry's data, valid until the next fetch. NULL: error. */
const char *load_stage_data(struct load_stage *s, size_t len, struct err *e);
/* Copies all of the entry's data. */
bool load_stage_copy(struct load_stage *s, struct buf *out, struct err *e);
/* The table of the row or patch in the entry; NULL for other entries. */
const struct load_table *load_stage_table(const struct load_stage *s);
/* Whether the entry is a row or patch of the table. */
bool load_stage_is_of(const struct load_stage *s, const struct load_table *t);
/* Whether two rows are of shards of one source. */
bool load_stage_are_shards(const struct load_row_head *a, const struct load_row_head *b);
/* Bytes written to the temporary file. */
uint64_t load_stage_spilled(const struct load_stage *s);

#endif
