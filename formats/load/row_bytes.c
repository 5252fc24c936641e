/* Encodes values as bytes. */
#include "formats/load/row_bytes.h"

#include <string.h>

/* The first byte of a value; in keys they sort by type. */
enum tag {
    TAG_NULL = 0x05,
    TAG_FALSE = 0x0c,
    TAG_TRUE = 0x0d,
    TAG_INT = 0x10,
    TAG_FLOAT = 0x18,
    TAG_TEXT = 0x20,
    TAG_BYTES = 0x30
};

#define SIGN ((uint64_t)1 << 63)

static void put_word(struct buf *out, enum tag tag, uint64_t bits)
{
    char b[9];
    b[0] = (char)tag;
    for (int i = 0; i < 8; i++)
        b[i + 1] = (char)(bits >> (56 - 8 * i));
    buf_add(out, b, sizeof b);
}

static uint64_t get_word(const char *p)
{
    uint64_t bits = 0;
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | (unsigned char)p[i];
    return bits;
}

static uint64_t bits_of(double f)
{
    uint64_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static double float_of(uint64_t bits)
{
    double f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* A text ends with a zero byte; one within is followed by 0xff, which is not a tag. */
static void put_key_text(struct buf *out, enum tag tag, const char *s, size_t len)
{
    buf_addc(out, (char)tag);
    for (const char *zero; (zero = memchr(s, 0, len)); len -= (size_t)(zero + 1 - s), s = zero + 1) {
        buf_add(out, s, (size_t)(zero + 1 - s));
        buf_addc(out, '\xff');
    }
    buf_add(out, s, len);
    buf_addc(out, 0);
}

static enum tag text_tag(const struct value *v)
{
    return v->type == VALUE_STR ? TAG_TEXT : TAG_BYTES;
}

/* Converts the bits of a number so that they sort like numbers, and back. */
static uint64_t ordered_float(double f)
{
    uint64_t bits = bits_of(f == 0 ? 0.0 : f);
    return bits & SIGN ? ~bits : bits ^ SIGN;
}

static double float_of_ordered(uint64_t bits)
{
    return float_of(bits & SIGN ? bits ^ SIGN : ~bits);
}

/* Appends a value other than text; false if it is text. */
static bool put_fixed(struct buf *out, const struct value *v, bool ordered)
{
    switch (v->type) {
    case VALUE_NULL:
        buf_addc(out, TAG_NULL);
        return true;
    case VALUE_BOOL:
        buf_addc(out, v->b ? TAG_TRUE : TAG_FALSE);
        return true;
    case VALUE_INT:
        put_word(out, TAG_INT, ordered ? (uint64_t)v->i ^ SIGN : (uint64_t)v->i);
        return true;
    case VALUE_FLOAT:
        put_word(out, TAG_FLOAT, ordered ? ordered_float(v->f) : bits_of(v->f));
        return true;
    default:
        return false;
    }
}

/* Reads such a value. Returns the bytes read; 0 for text. */
static size_t get_fixed(const char *p, struct value *v, bool ordered)
{
    switch ((enum tag)(unsigned char)*p) {
    case TAG_TEXT:
    case TAG_BYTES:
        return 0;
    case TAG_FALSE:
    case TAG_TRUE:
        *v = value_bool(*p == TAG_TRUE);
        return 1;
    case TAG_INT:
        *v = value_int((int64_t)(ordered ? get_word(p + 1) ^ SIGN : get_word(p + 1)));
        return 9;
    case TAG_FLOAT:
        *v = value_float(ordered ? float_of_ordered(get_word(p + 1)) : float_of(get_word(p + 1)));
        return 9;
    case TAG_NULL:
        break;
    }
    *v = value_null();
    return 1;
}

void load_put_key(struct buf *out, const struct value *v)
{
    if (!put_fixed(out, v, true))
        put_key_text(out, text_tag(v), v->s, v->len);
}

static size_t get_key_text(const char *s, size_t len, struct value *v, struct arena *scratch)
{
    const char *end = memchr(s, 0, len);
    if (end + 1 == s + len || end[1] != '\xff') {
        v->s = s;
        v->len = (uint32_t)(end - s);
        return v->len + 1;
    }
    char *text = arena_alloc(scratch, len);
    size_t n = 0, i = 0;
    while (s[i] || (i + 1 < len && s[i + 1] == '\xff')) {
        text[n++] = s[i];
        i += s[i] ? 1 : 2;
    }
    v->s = text;
    v->len = (uint32_t)n;
    return i + 1;
}

size_t load_get_key(const char *key, size_t len, struct value *v, struct arena *scratch)
{
    size_t n = get_fixed(key, v, true);
    if (n)
        return n;
    v->type = *key == TAG_TEXT ? VALUE_STR : VALUE_BIN;
    return 1 + get_key_text(key + 1, len - 1, v, scratch);
}

void load_put_value(struct buf *out, const struct value *v)
{
    if (put_fixed(out, v, false))
        return;
    buf_addc(out, (char)text_tag(v));
    buf_add(out, &v->len, sizeof v->len);
    buf_add(out, v->s, v->len);
}

size_t load_get_value(const char *data, struct value *v)
{
    size_t n = get_fixed(data, v, false);
    if (n)
        return n;
    v->type = *data == TAG_TEXT ? VALUE_STR : VALUE_BIN;
    memcpy(&v->len, data + 1, sizeof v->len);
    v->s = data + 1 + sizeof v->len;
    return 1 + sizeof v->len + v->len;
}
