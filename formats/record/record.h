/* A record: the descriptor of its kind and its values. Kinds and fields come from entities.def.
 *
 * Memory: a record owns nothing. Its producer (reader, fetch) documents how long its strings live; for
 * readers the rule is: a record and its strings live until the next one is read. */
#ifndef FORMATS_RECORD_H
#define FORMATS_RECORD_H

#include "common/buf.h"
#include "common/err.h"
#include "formats/record/value.h"

enum kind {
#define KIND(kind, plural, singular, owner, table, since, report_rank, traits) KIND_##kind,
#include "formats/entities.def"
    KIND_COUNT
};

/* F_<kind>_<field>: index of a field in its record; F_<kind>_COUNT: number of fields. */
#define KIND(kind, plural, singular, owner, table, since, report_rank, traits) enum {
#define FIELD(kind, field, type, flags, column, since, until, codec)           F_##kind##_##field,
#define END(kind)                                                                                            \
    F_##kind##_COUNT                                                                                         \
    }                                                                                                        \
    ;
#include "formats/entities.def"

enum { RECORD_MAX_FIELDS = 20, KIND_MAX_CONSTS = 2 };

enum field_type { FIELD_STR, FIELD_INT, FIELD_FLOAT, FIELD_BOOL, FIELD_MAP };

enum field_flag {
    FIELD_K = 1 << 0,     /* part of the entity's identity */
    FIELD_R = 1 << 1,     /* required: never null */
    FIELD_Q = 1 << 2,     /* quoted in messages */
    FIELD_EXP = 1 << 3,   /* an experiment's id */
    FIELD_RUN = 1 << 4,   /* a run's id */
    FIELD_TRACE = 1 << 5, /* a trace's id */
    FIELD_MODEL = 1 << 6, /* a logged model's id */
    FIELD_REG = 1 << 7,   /* a registered model's or prompt's name */
    FIELD_URI = 1 << 8,   /* holds an artifact URI */
    FIELD_MS = 1 << 9,    /* milliseconds */
    FIELD_WS = 1 << 10,   /* a workspace's name; null means "default" */
    FIELD_PART = 1 << 11, /* a delta's mark of a parent or assessment; see record_part */
};

enum codec {
    CODEC_NONE,
    CODEC_TEXT,
    CODEC_ID,
    CODEC_INT,
    CODEC_REAL,
    CODEC_BOOL,
    CODEC_JSON,
    CODEC_METRIC,
    CODEC_MODEL_METRIC,
    CODEC_MODEL_STATUS,
};

struct field_desc {
    const char *name;
    enum field_type type;
    unsigned flags;
    const char *column; /* "" : none */
    int since, until;   /* revs of revisions; until 0: still there */
    enum codec codec;
    unsigned name_len; /* bytes of name */
};

struct const_desc { /* a column with one constant text in all rows of the kind */
    const char *column;
    const char *text;
};

enum kind_trait {
    TRAIT_PARENT = 1 << 0, /* other kinds refer to it */
    TRAIT_SHARED = 1 << 1, /* each shard of a source has it */
    TRAIT_POINT = 1 << 2,  /* a point of a metric */
};

struct kind_desc {
    enum kind kind;
    const char *name;     /* on the wire */
    const char *plural;   /* in reports */
    const char *singular; /* in messages */
    const char *owner;    /* what the first key field names; "" for top-level entities */
    const char *table;    /* "" for framing */
    int since;            /* rev of the revision that creates the table */
    int report_rank;      /* place in reports */
    unsigned traits;      /* enum kind_trait */
    const struct field_desc *fields;
    int n_fields;
    const struct const_desc *consts;
    int n_consts;
};

extern const struct kind_desc kinds[KIND_COUNT];

struct record {
    const struct kind_desc *kind;
    struct value v[RECORD_MAX_FIELDS];
};

/* All values NULL. */
void record_init(struct record *r, enum kind kind);

/* By name; NULL or -1 if there is none. */
const struct kind_desc *kind_by_name(const char *name, size_t len);
int field_by_name(const struct kind_desc *kind, const char *name, size_t len);

/* Whether records of the kind are rows of a database (not header, trailer, skipped). */
bool kind_is_entity(const struct kind_desc *kind);

static inline bool kind_has_trait(enum kind kind, enum kind_trait trait)
{
    return kinds[kind].traits & trait;
}

/* The workspace of a record; "default" if it names none or its kind has none. */
struct value record_workspace(const struct record *r);

/* How much of an entity a delta sends. */
enum record_part {
    PART_WHOLE,     /* no mark: the record and all its children, or a kind without children */
    PART_UNCHANGED, /* its own fields are as they were at the base; it stands there for its children's sake */
    PART_CHANGED,   /* its own fields have changed; of its children only those that changed follow */
    PART_INVALID,   /* another mark: no record of a stream has it */
};
enum record_part record_part(const struct record *r);
/* Marks r, of a kind that has such a mark; not PART_INVALID. */
void record_set_part(struct record *r, enum record_part part);

/* Checks required fields and types (BIN is accepted as text). false with e filled, `where` naming the
 * record. */
bool record_validate(const struct record *r, struct err *e);

/* "Run abc123", "Metric 'loss' in run xyz789", "Model version '3' in registered model m": appends the name of
 * an entity for reports and messages. Unprintable bytes are shown as \xNN. */
void record_describe(const struct record *r, struct buf *out);
/* Appends a value for reports: None, numbers as Python's repr(), text unquoted and truncated to
 * VALUE_SHOWN_BYTES. */
enum { VALUE_SHOWN_BYTES = 64 << 10 };
void value_describe(const struct value *v, struct buf *out);

#endif
