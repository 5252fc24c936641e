/* Packs and unpacks single values by msgpack-c. */
#include "formats/record/msgpack.h"

#include <math.h>
#include <string.h>

#include "common/err.h"

static int append(void *out, const char *data, size_t len)
{
    buf_add(out, data, len);
    return 0;
}

void pack_begin(msgpack_packer *pk, struct buf *out)
{
    msgpack_packer_init(pk, out, append);
}

void pack_text(msgpack_packer *pk, const char *s, size_t len)
{
    msgpack_pack_str(pk, len);
    msgpack_pack_str_body(pk, s, len);
}

static void pack_float(msgpack_packer *pk, double f)
{
    static const uint64_t quiet_nan = UINT64_C(0x7ff8000000000000);
    if (isnan(f))
        memcpy(&f, &quiet_nan, sizeof f);
    msgpack_pack_double(pk, f);
}

void pack_value(msgpack_packer *pk, const struct value *v)
{
    switch (v->type) {
    case VALUE_NULL:
        msgpack_pack_nil(pk);
        break;
    case VALUE_INT:
        msgpack_pack_int64(pk, v->i);
        break;
    case VALUE_FLOAT:
        pack_float(pk, v->f);
        break;
    case VALUE_BOOL:
        if (v->b)
            msgpack_pack_true(pk);
        else
            msgpack_pack_false(pk);
        break;
    case VALUE_STR:
        pack_text(pk, v->s, v->len);
        break;
    case VALUE_BIN:
    case VALUE_ALIEN:
        msgpack_pack_bin(pk, v->len);
        msgpack_pack_bin_body(pk, v->s, v->len);
        break;
    case VALUE_MAP:
        buf_add(pk->data, v->s, v->len);
        break;
    }
}

bool unpack_scalar(const msgpack_object *o, struct value *v)
{
    switch (o->type) {
    case MSGPACK_OBJECT_NIL:
        *v = value_null();
        return true;
    case MSGPACK_OBJECT_BOOLEAN:
        *v = value_bool(o->via.boolean);
        return true;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        *v = value_int(o->via.i64);
        return o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER || o->via.u64 <= INT64_MAX;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        *v = value_float(o->via.f64);
        return true;
    case MSGPACK_OBJECT_STR:
        *v = value_strn(o->via.str.ptr, o->via.str.size);
        return true;
    case MSGPACK_OBJECT_BIN:
        *v = (struct value){.type = VALUE_BIN, .len = o->via.bin.size, .s = o->via.bin.ptr};
        return true;
    case MSGPACK_OBJECT_MAP:
    case MSGPACK_OBJECT_ARRAY:
    case MSGPACK_OBJECT_EXT:
        break;
    }
    return false;
}

/* Reads a big-endian number of n bytes; false at the end. */
static bool take_number(const unsigned char **p, const unsigned char *end, size_t n, uint64_t *out)
{
    if ((size_t)(end - *p) < n)
        return false;
    for (*out = 0; n > 0; n--)
        *out = *out << 8 | *(*p)++;
    return true;
}

/* Reads the first bytes of a scalar: *body is what follows of it, *text tells a text. False for others. */
static bool take_head(const unsigned char **p, const unsigned char *end, uint64_t *body, bool *text)
{
    static const unsigned char sizes[] = {4, 8, 1, 2, 4, 8, 1, 2, 4, 8}; /* of 0xca to 0xd3 */
    uint64_t type;
    if (!take_number(p, end, 1, &type))
        return false;
    *text = (type & 0xe0) == 0xa0 || (type >= 0xd9 && type <= 0xdb);
    *body = type >= 0xca && type <= 0xd3 ? sizes[type - 0xca] : 0;
    if ((type & 0xe0) == 0xa0)
        *body = type & 0x1f;
    else if (type >= 0xd9 && type <= 0xdb)
        return take_number(p, end, (size_t)1 << (type - 0xd9), body);
    else if (type >= 0xc4 && type <= 0xc6)
        return take_number(p, end, (size_t)1 << (type - 0xc4), body);
    return type <= 0x7f || type >= 0xe0 || *text || *body || type == 0xc0 || type == 0xc2 || type == 0xc3;
}

static bool take_map(const unsigned char **p, const unsigned char *end, uint64_t *n)
{
    if (!take_number(p, end, 1, n))
        return false;
    if (*n == 0xde || *n == 0xdf)
        return take_number(p, end, *n == 0xde ? 2 : 4, n);
    bool small = (*n & 0xf0) == 0x80;
    *n &= 0x0f;
    return small;
}

bool unpack_has_key(const char *s, size_t len, const char *key)
{
    const unsigned char *p = (const unsigned char *)s, *end = p + len;
    uint64_t n, body;
    bool text;
    if (!take_map(&p, end, &n))
        return false;
    for (uint64_t i = 0; i < 2 * n; i++, p += body) {
        if (!take_head(&p, end, &body, &text) || body > (uint64_t)(end - p))
            return false;
        if (i % 2 == 0 && text && body == strlen(key) && memcmp(p, key, body) == 0)
            return true;
    }
    return false;
}

void unpack_zone_init(msgpack_zone *zone)
{
    enum { CHUNK_BYTES = 8 * 1024 };
    if (!msgpack_zone_init(zone, CHUNK_BYTES))
        xnomem(NULL);
}

bool unpack_object(const char *s, size_t len, msgpack_zone *zone, msgpack_object *out)
{
    size_t at = 0;
    msgpack_unpack_return end = msgpack_unpack(s, len, &at, zone, out);
    if (end == MSGPACK_UNPACK_NOMEM_ERROR)
        xnomem(NULL);
    return end == MSGPACK_UNPACK_SUCCESS;
}
