/* What the parts of the verification share: stage.c (keys, and the stream sorted by them), sides.c
 * (the next record of each side), match.c (comparing and pairing), verify.c (what is compared in which
 * order); each uses only those before it. */
#ifndef FORMATS_VERIFY_IMPL_H
#define FORMATS_VERIFY_IMPL_H

#include "common/arena.h"
#include "formats/python/text.h"
#include "formats/verify/equality.h"
#include "formats/database/fetch.h"
#include "common/sort.h"
#include "formats/verify/verify.h"

enum { UNKNOWN_TABLE = 0x7f }; /* in the place of a table's number */

enum {
    MAX_DIFFS = 2 * ROW_MAX_COLUMNS, /* more than fields and derived columns */
    MAX_KEPT = 64, /* unpaired points of one identity on each side; more are reported without looking for a
                      partner */
};

/* How the rows of a kind come ordered. */
struct order {
    int fields[RECORD_MAX_FIELDS];
    int n, identity;
};

struct segment {
    char source[33];
    int64_t shard;
};

/* A staged record begins with this; its encoding follows. */
struct staged {
    uint32_t segment;
    uint32_t identity_len; /* bytes of the key that identify */
};

/* What is compared in one go: a kind, or of kind row a table (NULL: those that are not known). */
struct section {
    const struct kind_desc *kind;
    const struct row_table *table;
    char prefix[3]; /* of its keys */
    size_t prefix_len;
};

/* One side of the merge: its first record that has not been dealt with. */
struct side {
    bool have;
    struct record record;
    const char *key;
    size_t key_len, identity_len; /* bytes */
};

/* A copy of a record that waits for a partner. */
struct kept {
    struct record record;
    struct fetch_derived derived[FETCH_MAX_DERIVED];
    int n_derived;
    bool paired;
};

/* What revision 75868b020152 makes of rows from before it, gathered for the source's current record
 * (analytics.c). */
struct gathered {
    struct sort_entry item; /* of the record, or of its first part where it has none */
    struct buf key,
        data;        /* of it; the data only once all parts are taken, where the sorter has them in a file */
    struct buf text; /* the value of token usage or cost */
    bool has[EQUALITY_TOKENS];
    struct value numbers[EQUALITY_TOKENS]; /* token counts of trace_metrics, or costs of span_metrics; numbers
                                              or NULL */
    bool gateway;                          /* the trace is one of the gateway's */
    uint64_t costs;                        /* spans with a total_cost in span_metrics, and their sum */
    double sum;
    bool summed; /* the record's total_cost is that sum, whose last bits depend on the order of the spans */
};

struct verify {
    struct db *db;
    struct verify_options options;
    struct fetch *fetch;
    struct order order[KIND_COUNT];
    struct equality source_form, target_form, derived_form;
    struct segment *segments;
    size_t n_segments;
    struct sorter *stage;
    struct buf key, data;
    uint64_t unplaced;
    struct verify_result *result;
    /* merging */
    struct wire_decoder *decoder, *decoder_before;
    struct sort_entry item;
    bool have_item, item_used; /* used: by the source's current record */
    struct buf item_data;      /* of an item whose data the sorter has in a file */
    /* The item before, to find what comes twice; before_data is empty where the sorter has them in a file. */
    struct sort_entry before;
    struct buf before_key, before_data;
    bool converts; /* the target keeps what rows from before revision 75868b020152 say in columns */
    struct gathered gathered;
    bool converts_issues; /* likewise, of revision 8b6ad64cb8f5 */
    struct pyjson categories;
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

/* ---- stage.c */

struct section verify_section(const struct kind_desc *k, const struct row_table *t);
/* Replaces out's content by the key of a normalised record: its section, its identity, the rest of the order.
 * Returns how much of it identifies. */
size_t verify_key(const struct verify *v, const struct record *r, struct buf *out);
/* The same for a row: all of it identifies. */
size_t verify_row_key(const struct row_table *t, const struct row_entry *entries, int n, struct buf *out);

/* ---- sides.c */

/* Takes the source's next distinct record of the section. */
bool verify_source_next(struct verify *v, const struct section *section, struct err *e);
/* Takes the target's next record. */
bool verify_target_next(struct verify *v, struct err *e);
/* Appends what reports call a record; a row by its table and key. */
void verify_describe(struct verify *v, const struct record *r, struct buf *out);

/* The staged item that is next, which must be of the section: 1, 0 for none, -1 on an error. */
int verify_item(struct verify *v, const struct section *section, struct err *e);
/* The item has been used: it becomes the one before. */
bool verify_item_done(struct verify *v, struct err *e);
/* Decodes the item; its strings lie in it. */
bool verify_item_decode(struct verify *v, struct staged *head, struct record *out, struct err *e);
/* An item with the key of the one before. 1: it is a further point; 0: nothing new; -1: error. */
int verify_item_again(struct verify *v, const struct staged *head, const struct record *r, struct err *e);

/* ---- analytics.c */

/* Stages r as a part of another record, where it is one: 1 when that is all that is to be staged of it, 0, or
 * -1 on an error. */
int verify_stage_part(struct verify *v, const struct record *r, struct err *e);
bool verify_has_parts(const struct verify *v, const struct section *section);
/* The item has been decoded into the source's record: adds the parts that follow. 1: the record is as the
 * target should have it; 0: nothing of it is expected there; -1: error. */
int verify_gather(struct verify *v, const struct section *section, const struct staged *head, struct err *e);
/* Turns the entries of a source's span into those that the target should have; there is room for
 * EQUALITY_SPAN_COLUMNS more. Texts live until the next call. */
void verify_expect_span(struct verify *v, struct row_entry *entries, int *n);

/* ---- issues.c */

/* Whether the database has what revision 8b6ad64cb8f5 adds to issues. */
bool verify_finds_categories(struct db *db, bool *out, struct err *e);
/* Stages the rows of issue_categories that the target should have for r, where it is an issue from before
 * that revision. */
bool verify_stage_categories(struct verify *v, const struct record *r, struct err *e);
/* The item is such a row, and the one before has its key. */
bool verify_is_category_again(const struct verify *v, const struct section *section,
                              const struct staged *head);
/* Adds to the entries of r, where it is such an issue, when it was last seen; there is room for one more. */
void verify_expect_issue(const struct record *r, struct row_entry *entries, int *n);

/* ---- match.c */

/* memcmp, a beginning before the whole. */
int verify_compare_bytes(const char *a, size_t a_len, const char *b, size_t b_len);
/* Answers: the source has a record that the target lacks, and the reverse. */
void verify_missing(struct verify *v, const struct record *r);
void verify_extra(struct verify *v, const struct record *r);
/* Replaces out's content by the key of a row of a table that is not known: all that is in it. */
void verify_whole_key(const struct record *r, struct buf *out);
/* Counts a record that is equal on both sides. */
void verify_passed(struct verify *v, const struct record *r);
/* Answers that the workspace "default" is missing, which the schema itself makes and the stream therefore
 * does not name, where the table is there and has no such row. */
bool verify_default_workspace(struct verify *v, struct err *e);
/* Pairs all records of the identity that both sides have come to. */
bool verify_match_group(struct verify *v, const struct section *section, struct err *e);

#endif
