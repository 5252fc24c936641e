/* A value of a record's field or a row's column. It owns nothing: strings point into memory whose lifetime
 * the producer documents. */
#ifndef FORMATS_VALUE_H
#define FORMATS_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct buf;

enum value_type {
    VALUE_NULL = 0,
    VALUE_INT,
    VALUE_FLOAT,
    VALUE_BOOL,
    VALUE_STR, /* well-formed UTF-8; may hold NUL */
    VALUE_BIN, /* any bytes; in place of text: text that is not UTF-8 */
    VALUE_MAP, /* the bytes of one canonical MessagePack map */
    /* A SQLite value of a wrong type whose bytes could be mistaken for the right one: a BLOB in a text
     * column, text in an integer column. Equal to nothing else, and never the value of a field. */
    VALUE_ALIEN,
};

struct value {
    enum value_type type;
    uint32_t len; /* bytes of s */
    union {
        int64_t i;
        double f;
        bool b;
        const char *s; /* not NUL-terminated */
    };
};

static inline struct value value_null(void)
{
    return (struct value){.type = VALUE_NULL};
}
static inline struct value value_int(int64_t i)
{
    return (struct value){.type = VALUE_INT, .i = i};
}
static inline struct value value_float(double f)
{
    return (struct value){.type = VALUE_FLOAT, .f = f};
}
static inline struct value value_bool(bool b)
{
    return (struct value){.type = VALUE_BOOL, .b = b};
}
/* STR, or BIN if the bytes are not UTF-8. */
struct value value_text(const char *s, size_t len);
/* STR without a check: for text known to be UTF-8. */
static inline struct value value_strn(const char *s, size_t len)
{
    return (struct value){.type = VALUE_STR, .len = (uint32_t)len, .s = s};
}
static inline struct value value_str(const char *s)
{
    return value_strn(s, strlen(s));
}
static inline bool value_is_text(const struct value *v)
{
    return v->type == VALUE_STR || v->type == VALUE_BIN;
}
/* Whether it has len bytes at s. */
static inline bool value_has_bytes(const struct value *v)
{
    return value_is_text(v) || v->type == VALUE_MAP || v->type == VALUE_ALIEN;
}
static inline bool value_is_null(const struct value *v)
{
    return v->type == VALUE_NULL;
}
/* Whether v is the text s. */
static inline bool value_eqs(const struct value *v, const char *s)
{
    return value_is_text(v) && strlen(s) == v->len && memcmp(v->s, s, v->len) == 0;
}

/* Whether a and b are identical: equal types and contents (STR and BIN of the same bytes are equal; NaN
 * equals NaN, 0.0 is not -0.0; ALIEN equals only ALIEN). */
bool value_same(const struct value *a, const struct value *b);
/* A float as databases store it: infinities as the largest doubles, no -0.0. */
double value_stored_float(double f);

/* Compares keys in a total order, that of databases: NULL first, then numbers, then bytes by memcmp (SQLite's
 * BINARY, PostgreSQL's COLLATE "C"), then ALIEN, as SQLite sorts BLOBs after text. */
int value_compare(const struct value *a, const struct value *b);

/* Appends a byte string; concatenated for several values, e.g. the key fields of a kind, memcmp orders them
 * like value_compare on each in turn. */
void value_sort_key(const struct value *v, struct buf *out);

/* Parses a decimal 64-bit integer: an optional sign and digits, nothing else. */
bool value_parse_int(const char *s, size_t len, int64_t *out);
/* Parses a decimal id as databases store it: text of digits in canonical form. */
bool value_decimal_id(const struct value *v, int64_t *id);
/* Writes the shortest text that reads back as the same double, as Python's repr() does ("1.0", "1e-05",
 * "inf", "nan"). out has 32 bytes; returns the length. */
size_t value_format_float(double f, char out[32]);

#endif
