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
