/* A value: what a field of a record or a column of a row holds. It owns nothing: strings point into
 * somebody's memory, whose life the giver documents. */
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
    VALUE_BIN, /* any bytes; where text is expected: text that is not UTF-8 */
    VALUE_MAP, /* the bytes of one canonical MessagePack map */
    /* What a column of SQLite holds against its type though its bytes would pass for what belongs there: a
     * BLOB in a column of text, text in one of integers. Equal to nothing else, and no field's. */
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
/* STR, or BIN when the bytes are not UTF-8. */
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
/* True when it has len bytes at s. */
static inline bool value_has_bytes(const struct value *v)
{
    return value_is_text(v) || v->type == VALUE_MAP || v->type == VALUE_ALIEN;
}
static inline bool value_is_null(const struct value *v)
{
    return v->type == VALUE_NULL;
}
/* True when v is the text s. */
static inline bool value_eqs(const struct value *v, const char *s)
{
    return value_is_text(v) && strlen(s) == v->len && memcmp(v->s, s, v->len) == 0;
}

/* Identity, bit for bit: equal types and contents (STR and BIN of the same bytes are equal; NaN equals NaN,
 * 0.0 is not -0.0; ALIEN equals ALIEN alone). */
bool value_same(const struct value *a, const struct value *b);
/* A float as a database orders it: infinities as the greatest doubles, no -0.0. */
double value_stored_float(double f);

/* The order of keys, a total one and the one databases sort in: NULL first, then numbers, then bytes by
 * memcmp (SQLite's BINARY, PostgreSQL's COLLATE "C"), then ALIEN, as SQLite puts BLOBs behind text. */
int value_compare(const struct value *a, const struct value *b);

/* A byte string whose memcmp order is the order of value_compare over the values in turn, e.g. the key fields
 * of a kind. Appended to out. */
void value_sort_key(const struct value *v, struct buf *out);

/* Reads a decimal 64-bit integer: optional sign and digits, nothing else. */
bool value_parse_int(const char *s, size_t len, int64_t *out);
/* Reads an id as a database has it: a text of decimal digits in their one form. */
bool value_decimal_id(const struct value *v, int64_t *id);
/* The shortest text that reads back as the same double, as Python's repr() writes it ("1.0", "1e-05", "inf",
 * "nan"). out has room for 32 bytes; returns the length. */
size_t value_format_float(double f, char out[32]);

#endif
