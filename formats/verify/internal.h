/* Shared by the layers of the verification: stage.c (keys, and sorting the stream by them), sides.c (the next
 * record of each side), match.c (comparing and pairing), verify.c (sections and their order); each uses only
 * those before it. */
#ifndef FORMATS_VERIFY_IMPL_H
#define FORMATS_VERIFY_IMPL_H

#include "common/arena.h"
#include "formats/python/span_content.h"
#include "formats/python/text.h"
#include "formats/verify/equality.h"
#include "formats/database/fetch.h"
#include "common/sort.h"
#include "formats/verify/verify.h"

enum { UNKNOWN_TABLE = 0x7f }; /* instead of a table's number */

enum {
    MAX_DIFFS = 2 * ROW_MAX_COLUMNS, /* more than fields and derived columns */
    /* unpaired points of one identity on each side; more are reported without looking for a partner */
    MAX_KEPT = 64,
};

/* Follows the identity in the key of a row that is only expected. */
enum { EXPECTED = 1 };

/* The sort order of a kind's rows. */
struct order {
    int fields[RECORD_MAX_FIELDS];
    int n, identity;
};

/* The header of a staged record, followed by its encoding. */
struct staged {
    uint32_t source;              /* number of its segment's */
    uint32_t shard : 31;          /* of that */
    uint32_t from_file_store : 1; /* the segment's producer has read one */
    uint32_t identity_len;        /* length of the identity in the key, in bytes */
};

/* A unit of comparison: a kind, or for kind row a table (NULL: unknown tables). */
struct section {
    const struct kind_desc *kind;
    const struct row_table *table;
    char prefix[3]; /* of its keys */
    size_t prefix_len;
};

/* One side of the merge: its current record. */
struct side {
    bool have;
    struct record record;
    const char *key;
    size_t key_len, identity_len; /* bytes */
    bool from_file_store;         /* the producer of the source's segment has read one */
};

/* How the target keeps what MLflow derives of spans and traces. */
struct verify_spans {
    enum verify_spans_form {
        VERIFY_NO_SPANS,        /* no table */
        VERIFY_SPANS_PLAIN,     /* no place for model and costs */
        VERIFY_SPAN_DIMENSIONS, /* dimension_attributes and span_metrics */
        VERIFY_SPAN_COLUMNS,
    } form;
    bool tokens;  /* rows of trace_metrics */
    bool prompts; /* rows of entity_associations for linked prompts */
};

/* A copy of a record waiting for a partner. */
struct kept {
    struct record record;
    struct fetch_derived derived[FETCH_MAX_DERIVED];
    int n_derived;
    bool paired;
};

/* Parts gathered for the source's current record, as revision 75868b020152 moves them into columns
 * (analytics.c). */
struct gathered {
    struct sort_entry item; /* of the record, or of its first part if it has none */
    struct buf key,
        data; /* of the item; if the sorter has its data in a file, they are read only after all parts */
    struct buf text; /* the value of token usage or cost */
    bool has[EQUALITY_TOKENS];
    /* token counts of trace_metrics, or costs of span_metrics; numbers or NULL */
    struct value numbers[EQUALITY_TOKENS];
    bool gateway;   /* the trace is a gateway trace */
    uint64_t costs; /* number of spans with a total_cost in span_metrics, and their sum */
    double sum;
    bool summed; /* the record's total_cost is that sum, whose last bits depend on the order of the spans */
};

struct verify {
    struct db *db;
    struct verify_options options;
    struct fetch *fetch;
    struct order order[KIND_COUNT];
    struct equality source_form, target_form, derived_form;
    struct staged segment; /* of the current one */
    struct sorter *stage;
    struct buf key, data;
    uint64_t unplaced, spans_left, version_models;
    struct verify_result *result;
    /* merging */
    struct wire_decoder *decoder, *decoder_before;
    struct sort_entry item;
    bool have_item, item_used; /* used: it is the source's current record */
    struct buf item_data;      /* of an item whose data the sorter has in a file */
    /* The previous item, to find duplicates; before_data is empty if the sorter has them in a file. */
    struct sort_entry before;
    struct buf before_key, before_data;
    bool converts; /* the target stores rows from before revision 75868b020152 in columns */
    struct gathered gathered;
    bool converts_issues;     /* likewise, of revision 8b6ad64cb8f5 */
    struct pyjson categories; /* scratch of what stages expected rows */
    struct verify_spans spans;
    struct span_content span;
    struct buf dimensions;
    struct db_stmt *find_span; /* of a trace in the target; NULL until it is needed */
    bool without_spans;        /* a segment's producer left them out on request */
    struct side source, target;
    struct buf target_key, group; /* group: the identity whose records are being paired */
    struct fetch_cursor *cursor;
    struct rows_cursor *rows; /* instead of cursor, for kind row */
    struct row_decoder *row_decoder, *failure_decoder;
    struct buf name;
    struct kept kept[2][MAX_KEPT];
    int n_kept[2];
    struct arena kept_arena;
};

/* -- stage.c */

struct section verify_section(const struct kind_desc *k, const struct row_table *t);
/* Sets out to the key of a normalised record: its section, its identity, the rest of the sort order. Returns
 * the length up to the end of the identity. */
size_t verify_key(const struct verify *v, const struct record *r, struct buf *out);
/* The same for a row, whose whole key is its identity. */
size_t verify_row_key(const struct row_table *t, const struct row_entry *entries, int n, struct buf *out);
/* Stages a record of the current segment under v->key, which begins with its identity. */
bool verify_stage_record(struct verify *v, const struct record *r, size_t identity_len, struct err *e);
/* Stages a row of a known table that the target should have, unless the stream has one of its key: that one sorts before
 * it. Of several of one key the lowest rank counts. */
bool verify_stage_expected(struct verify *v, const char *table, const struct row_entry *entries, int n,
                           uint32_t rank, struct err *e);

/* -- sides.c */

/* Advances to the source's next distinct record of the section. */
bool verify_source_next(struct verify *v, const struct section *section, struct err *e);
/* Advances to the target's next record. */
bool verify_target_next(struct verify *v, struct err *e);
/* Appends a record's name in reports; a row is named by its table and key. */
void verify_describe(struct verify *v, const struct record *r, struct buf *out);

/* Peeks at the next staged item of the section: 1, 0 if there is none, -1 on an error. */
int verify_item(struct verify *v, const struct section *section, struct err *e);
/* Marks the item as used: it becomes the previous one. */
bool verify_item_done(struct verify *v, struct err *e);
/* Decodes the item; strings point into it. */
bool verify_item_decode(struct verify *v, struct staged *head, struct record *out, struct err *e);
/* Handles an item with the key of the previous one. 1: it is another point; 0: nothing new; -1: error. */
int verify_item_again(struct verify *v, const struct staged *head, const struct record *r, struct err *e);

/* -- analytics.c */

/* Stages r as a part of another record if it is one: 1 if nothing else of it is to be staged, 0, or -1 on an
 * error. */
int verify_stage_part(struct verify *v, const struct record *r, struct err *e);
bool verify_has_parts(const struct verify *v, const struct section *section);
/* After the item was decoded into the source's record: adds the parts that follow. 1: the record is as
 * expected in the target; 0: nothing of it is expected there; -1: error. */
int verify_gather(struct verify *v, const struct section *section, const struct staged *head, struct err *e);

/* -- spans.c */

/* How v's database keeps spans. */
bool verify_learn_spans(struct verify *v, struct verify_spans *out, struct err *e);
/* Makes a source's span the one that the target should have. Its new texts live until the next call. */
void verify_expect_span(struct verify *v, struct record *r);
/* Stages the rows of other tables that the target should have for r: a span's costs, a trace's token counts, its linked
 * prompts. */
bool verify_stage_beside(struct verify *v, const struct record *r, struct err *e);
/* The source's record is such a row, which the stream itself does not have. */
bool verify_is_expected(const struct side *s);
/* And the target need not have it: its source is a database, which may have had none, and says the same elsewhere. */
bool verify_may_lack(const struct side *s);
/* The item is an expected row, and the one before has its key. */
bool verify_is_expected_again(const struct verify *v, const struct section *section,
                              const struct staged *head);
/* r, of the target, says that a trace's spans are in the database, and they are: ml-load --spans-in-database has added it. */
bool verify_is_location_of_spans(struct verify *v, const struct record *r);

/* -- issues.c */

/* Whether the database has the additions of revision 8b6ad64cb8f5 to issues. */
bool verify_finds_categories(struct db *db, bool *out, struct err *e);
/* If r is an issue from before that revision, stages the rows of issue_categories expected in the target. */
bool verify_stage_categories(struct verify *v, const struct record *r, struct err *e);
/* If r is such an issue, adds the time when it was last seen to its entries; there is room for one more. */
void verify_expect_issue(const struct record *r, struct row_entry *entries, int *n);

/* -- match.c */

/* Like memcmp; a prefix sorts before its extensions. */
int verify_compare_bytes(const char *a, size_t a_len, const char *b, size_t b_len);
/* Report a record of the source that the target lacks, and the reverse. */
void verify_missing(struct verify *v, const struct record *r);
void verify_extra(struct verify *v, const struct record *r);
/* Sets out to the key of a row of an unknown table: all its values. */
void verify_whole_key(const struct record *r, struct buf *out);
/* Counts a record that is equal on both sides. */
void verify_passed(struct verify *v, const struct record *r);
/* Reports that the workspace "default" is missing if the table exists and has no such row. The schema itself
 * creates it, so streams do not contain it. */
bool verify_default_workspace(struct verify *v, struct err *e);
/* Pairs all records of the identity that both sides have reached. */
bool verify_match_group(struct verify *v, const struct section *section, struct err *e);

#endif
