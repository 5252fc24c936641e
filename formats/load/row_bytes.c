/* Values as bytes. */
#include "formats/load/row_bytes.h"

#include <string.h>

/* The bytes that begin a value; in keys their order is that of the types. */
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

static void put_ordered(struct buf *out, enum tag tag, uint64_t bits)
{
    char b[9];
    b[0] = (char)tag;
    for (int i = 0; i < 8; i++)
        b[i + 1] = (char)(bits >> (56 - 8 * i));
    buf_add(out, b, sizeof b);
}

static uint64_t get_ordered(const char *p)
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

/* The text ends with a zero byte; one within is followed by 0xff, which no tag is. */
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

/* Values that are all tag. */
static void put_tag_alone(struct buf *out, const struct value *v)
{
    enum tag tag = v->type == VALUE_NULL ? TAG_NULL : v->b ? TAG_TRUE : TAG_FALSE;
    buf_addc(out, (char)tag);
}

void load_put_key(struct buf *out, const struct value *v)
{
    switch (v->type) {
    case VALUE_NULL:
    case VALUE_BOOL:
        put_tag_alone(out, v);
        break;
    case VALUE_INT:
        put_ordered(out, TAG_INT, (uint64_t)v->i ^ SIGN);
        break;
    case VALUE_FLOAT: {
        uint64_t bits = bits_of(v->f == 0 ? 0.0 : v->f);
        put_ordered(out, TAG_FLOAT, bits & SIGN ? ~bits : bits ^ SIGN);
        break;
    }
    case VALUE_STR:
        put_key_text(out, TAG_TEXT, v->s, v->len);
        break;
    case VALUE_BIN:
    case VALUE_MAP:
    case VALUE_ALIEN:
        put_key_text(out, TAG_BYTES, v->s, v->len);
        break;
    }
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
    switch ((enum tag)(unsigned char)key[0]) {
    case TAG_FALSE:
    case TAG_TRUE:
        *v = value_bool(key[0] == TAG_TRUE);
        return 1;
    case TAG_INT:
        *v = value_int((int64_t)(get_ordered(key + 1) ^ SIGN));
        return 9;
    case TAG_FLOAT: {
        uint64_t bits = get_ordered(key + 1);
        *v = value_float(float_of(bits & SIGN ? bits ^ SIGN : ~bits));
        return 9;
    }
    case TAG_TEXT:
    case TAG_BYTES:
        v->type = key[0] == TAG_TEXT ? VALUE_STR : VALUE_BIN;
        return 1 + get_key_text(key + 1, len - 1, v, scratch);
    case TAG_NULL:
        break;
    }
    *v = value_null();
    return 1;
}

void load_put_value(struct buf *out, const struct value *v)
{
    switch (v->type) {
    case VALUE_NULL:
    case VALUE_BOOL:
        put_tag_alone(out, v);
        break;
    case VALUE_INT:
        put_ordered(out, TAG_INT, (uint64_t)v->i);
        break;
    case VALUE_FLOAT:
        put_ordered(out, TAG_FLOAT, bits_of(v->f));
        break;
    case VALUE_STR:
    case VALUE_BIN:
    case VALUE_MAP:
    case VALUE_ALIEN:
        buf_addc(out, v->type == VALUE_STR ? TAG_TEXT : TAG_BYTES);
        buf_add(out, &v->len, sizeof v->len);
        buf_add(out, v->s, v->len);
        break;
    }
}

size_t load_get_value(const char *data, struct value *v)
{
    switch ((enum tag)(unsigned char)data[0]) {
    case TAG_FALSE:
    case TAG_TRUE:
        *v = value_bool(data[0] == TAG_TRUE);
        return 1;
    case TAG_INT:
        *v = value_int((int64_t)get_ordered(data + 1));
        return 9;
    case TAG_FLOAT:
        *v = value_float(float_of(get_ordered(data + 1)));
        return 9;
    case TAG_TEXT:
    case TAG_BYTES:
        v->type = data[0] == TAG_TEXT ? VALUE_STR : VALUE_BIN;
        memcpy(&v->len, data + 1, sizeof v->len);
        v->s = data + 1 + sizeof v->len;
        return 1 + sizeof v->len + v->len;
    case TAG_NULL:
        break;
    }
    *v = value_null();
    return 1;
}
