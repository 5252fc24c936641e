/* Reads YAML documents like PyYAML's SafeLoader: libyaml's events become typed values by the resolution rules
 * of YAML 1.1 (yes/no/on/off, 0x1F, 010, 1:30, dates, floats only with a dot), as MLflow sees them in its
 * meta.yaml files. Quoted text is always text. The only difference: merge keys (<<), which MLflow never
 * writes, are errors. */
#ifndef FORMATS_YAML_H
#define FORMATS_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

enum yaml_kind {
    YAML_IS_NULL,
    YAML_IS_BOOL,
    YAML_IS_INT,
    YAML_IS_FLOAT,
    YAML_IS_TEXT,
    YAML_IS_TIME, /* an unquoted date, with or without a time of day */
    YAML_IS_LIST,
    YAML_IS_MAP,
};

struct yaml_item;

struct yaml_value {
    enum yaml_kind kind;
    unsigned line;    /* from 1 */
    const char *text; /* scalars: the text, without quotes and folding, followed by a NUL; NULL for list and
                         map */
    size_t len;       /* bytes of text */
    bool big;         /* INT: it is beyond 64 bits, and i is 0 */
    bool sexagesimal; /* INT, FLOAT: written in base 60, as 1:30 */
    union {
        bool b;
        int64_t i;
        double f;
        const struct yaml_item *first; /* LIST, MAP */
    };
};

struct yaml_item {
    const struct yaml_value
        *key; /* MAP only, a scalar; of duplicate keys the last value is at the first position */
    const struct yaml_value *value;
    const struct yaml_item *next;
};

/* Where and why a text is not YAML. */
struct yaml_error {
    unsigned line; /* from 1 */
    char what[256];
};

enum {
    YAML_MAX_VALUES = 100000, /* in one document, keys among them */
    YAML_VALUE_SIZE = 128,    /* bytes that a value takes at most, in addition to its text */
};
/* How many values a text may hold at most, by the characters that part them. */
size_t yaml_values_within(const char *text, size_t len);

struct yaml_reader;
struct yaml_reader *yaml_reader_new(void);
/* Parses a text with one document. The values live until the next call; an empty text is a NULL value. On
 * failure returns NULL with e filled. */
const struct yaml_value *yaml_parse(struct yaml_reader *r, const char *text, size_t len,
                                    struct yaml_error *e);
void yaml_reader_trim(struct yaml_reader *r); /* ends the values, so that they take no memory */
void yaml_reader_free(struct yaml_reader *r);

/* The value of a key; NULL if v is not a map or has no such key. */
const struct yaml_value *yaml_get(const struct yaml_value *v, const char *key);
/* "text", "an integer", "a date", ...: for messages. */
const char *yaml_kind_name(enum yaml_kind kind);
/* Appends the value as Python's json.dumps writes it: ", " and ": ", \uXXXX, floats by repr. false if it
 * cannot be JSON (a date) or is too deep or large; e has the line. */
bool yaml_to_json(const struct yaml_value *v, struct buf *out, struct yaml_error *e);

#endif
