/* Encodes, scans and decodes single records. */
#include "formats/stream/wire_record.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/record/msgpack.h"

/* -- encoding */

void wire_encode(const struct record *r, struct buf *out)
{
    msgpack_packer pk;
    size_t present = 0;
    pack_begin(&pk, out);
    for (int i = 0; i < r->kind->n_fields; i++)
        present += !value_is_null(&r->v[i]);
    msgpack_pack_map(&pk, present + 1);
    pack_text(&pk, "kind", 4);
    pack_text(&pk, r->kind->name, strlen(r->kind->name));
    for (int i = 0; i < r->kind->n_fields; i++) {
        if (value_is_null(&r->v[i]))
            continue;
        pack_text(&pk, r->kind->fields[i].name, r->kind->fields[i].name_len);
        pack_value(&pk, &r->v[i]);
    }
}

static bool is_counted(int kind)
{
    return kind != KIND_header && kind != KIND_trailer && kind != KIND_skipped;
}

void wire_encode_counts(const struct wire_counts *counts, struct buf *out)
{
    msgpack_packer pk;
    size_t present = 0;
    pack_begin(&pk, out);
    for (int i = 0; i < KIND_COUNT; i++)
        present += is_counted(i) && counts->n[i] > 0;
    msgpack_pack_map(&pk, present);
    for (int i = 0; i < KIND_COUNT; i++) {
        if (!is_counted(i) || counts->n[i] == 0)
            continue;
        pack_text(&pk, kinds[i].name, strlen(kinds[i].name));
        msgpack_pack_uint64(&pk, counts->n[i]);
    }
}

/* -- the scanner */

/* The head of a value: its length, and the numbers of bytes and of values that follow. */
struct head {
    size_t head, body;
    uint32_t children;
    bool container;
};

static uint32_t big_endian(const unsigned char *p, size_t n)
{
    uint32_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

/* Returns false if p does not begin a valid value. If h->head exceeds len, only head is set. */
static bool read_head(const unsigned char *p, size_t len, struct head *h)
{
    unsigned char c = p[0];
    *h = (struct head){.head = 1};
    if (c <= 0x7f || c >= 0xe0 || c == 0xc0 || c == 0xc2 || c == 0xc3) /* small integers, nil, false, true */
        return true;
    if (c <= 0x8f || (c <= 0x9f)) { /* fixmap, fixarray */
        h->container = true;
        h->children = (uint32_t)(c & 0x0f) * (c <= 0x8f ? 2 : 1);
        return true;
    }
    if (c <= 0xbf) { /* fixstr */
        h->body = c & 0x1f;
        return true;
    }
    if (c >= 0xca && c <= 0xd3) { /* float 32, 64, uint 8..64, int 8..64 */
        static const unsigned char widths[] = {4, 8, 1, 2, 4, 8, 1, 2, 4, 8};
        h->body = widths[c - 0xca];
        return true;
    }
    bool bin = c >= 0xc4 && c <= 0xc6, str = c >= 0xd9 && c <= 0xdb;
    if (bin || str) {
        size_t width = (size_t)1 << (c - (bin ? 0xc4 : 0xd9));
        h->head = 1 + width;
        h->body = len >= h->head ? big_endian(p + 1, width) : 0;
        return true;
    }
    if (c >= 0xdc) { /* array 16, 32, map 16, 32 */
        size_t width = c & 1 ? 4 : 2;
        h->head = 1 + width;
        h->container = true;
        uint32_t n = len >= h->head ? big_endian(p + 1, width) : 0;
        if (n > WIRE_MAX_ENTRIES) /* also keeps n * 2 within 32 bits */
            n = WIRE_MAX_ENTRIES + 1;
        h->children = c >= 0xde ? n * 2 : n;
        return true;
    }
    return false; /* ext, or never used */
}

/* Resumes scanning at s->pos of the len bytes available of the record at data. On WIRE_SCAN_DONE s->pos is
 * the record's length. On WIRE_SCAN_BAD e->what says why. */
enum wire_scan_result wire_scan_record(struct wire_scan *s, const char *data, size_t len, struct err *e)
{
    const unsigned char *p = (const unsigned char *)data;
    while (s->pos < len) {
        struct head h;
        if (!read_head(p + s->pos, len - s->pos, &h)) {
            err_set(e, NULL, "byte %02x does not begin a valid value", p[s->pos]);
            return WIRE_SCAN_BAD;
        }
        if (s->pos == 0 && (!h.container || (p[0] >= 0x90 && p[0] < 0xde))) {
            err_set(e, NULL, "byte %02x does not begin a record", p[0]);
            return WIRE_SCAN_BAD;
        }
        if (h.head + h.body > WIRE_MAX_RECORD - s->pos) {
            err_set(e, NULL, "the record is longer than %zu bytes", WIRE_MAX_RECORD);
            return WIRE_SCAN_BAD;
        }
        s->need = s->pos + h.head + h.body;
        if (s->need > len)
            return WIRE_SCAN_MORE;
        s->pos += h.head + h.body;
        if (s->depth > 0)
            s->left[s->depth - 1]--;
        if (h.container) {
            s->entries += h.children;
            if (s->entries > WIRE_MAX_ENTRIES) {
                err_set(e, NULL, "the record holds more than %d values", WIRE_MAX_ENTRIES);
                return WIRE_SCAN_BAD;
            }
            if (s->depth == WIRE_MAX_DEPTH) {
                err_set(e, NULL, "the record is nested deeper than %d levels", WIRE_MAX_DEPTH);
                return WIRE_SCAN_BAD;
            }
            s->left[s->depth++] = h.children;
        }
        while (s->depth > 0 && s->left[s->depth - 1] == 0)
            s->depth--;
        if (s->depth == 0)
            return WIRE_SCAN_DONE;
    }
    return WIRE_SCAN_MORE;
}

/* -- decoding */

struct wire_decoder {
    msgpack_zone zone;                  /* reused: the objects of one record */
    struct buf maps[RECORD_MAX_FIELDS]; /* map values of one record, in canonical form */
    int n_maps;
    msgpack_object root; /* of the last record */
    const struct kind_desc *last;
};

static bool is_text(const msgpack_object *o)
{
    return o->type == MSGPACK_OBJECT_STR;
}

static bool text_equals(const msgpack_object *o, const char *s, size_t len)
{
    return o->via.str.size == len && memcmp(o->via.str.ptr, s, len) == 0;
}

/* Converts a scalar; `bin` that is UTF-8 becomes text. false with e->what filled. */
static bool scalar(const msgpack_object *o, struct value *v, struct err *e)
{
    if (!unpack_scalar(o, v))
        return o->type == MSGPACK_OBJECT_POSITIVE_INTEGER
                   ? err_set(e, NULL, "%" PRIu64 " does not fit a signed 64-bit integer", o->via.u64)
                   : err_set(e, NULL, "a value must be a number, a text, a boolean or a map");
    if (value_is_text(v) || v->type == VALUE_BIN)
        *v = value_text(v->s, v->len);
    if (v->type == VALUE_BIN && is_text(o))
        return err_set(e, NULL, "text that is not UTF-8 must be `bin`");
    return true;
}

static bool has_equal_keys(const msgpack_object_map *map)
{
    for (uint32_t i = 0; i < map->size; i++)
        for (uint32_t k = 0; k < i; k++)
            if (text_equals(&map->ptr[i].key, map->ptr[k].key.via.str.ptr, map->ptr[k].key.via.str.size))
                return true;
    return false;
}

/* Appends an object in canonical form. */
static bool pack_object(const msgpack_object *o, msgpack_packer *pk, struct err *e)
{
    struct value v;
    if (o->type == MSGPACK_OBJECT_ARRAY) {
        msgpack_pack_array(pk, o->via.array.size);
        for (uint32_t i = 0; i < o->via.array.size; i++)
            if (!pack_object(&o->via.array.ptr[i], pk, e))
                return false;
        return true;
    }
    if (o->type != MSGPACK_OBJECT_MAP) {
        if (!scalar(o, &v, e))
            return false;
        /* Not a text field: bytes remain bytes, even if they are UTF-8. */
        if (o->type == MSGPACK_OBJECT_BIN)
            v.type = VALUE_BIN;
        pack_value(pk, &v);
        return true;
    }
    const msgpack_object_map *map = &o->via.map;
    if (map->size > WIRE_MAX_MAP)
        return err_set(e, NULL, "a map with more than %d entries", WIRE_MAX_MAP);
    msgpack_pack_map(pk, map->size);
    for (uint32_t i = 0; i < map->size; i++) {
        const msgpack_object *key = &map->ptr[i].key;
        if (!is_text(key) || !scalar(key, &v, e))
            return err_set(e, NULL, "a map whose keys are not all UTF-8 text");
        pack_value(pk, &v);
        if (!pack_object(&map->ptr[i].val, pk, e))
            return false;
    }
    if (has_equal_keys(map))
        return err_set(e, NULL, "a map with duplicate keys");
    return true;
}

/* Bytes that are expected, instead of a copy of them. */
struct expected {
    const char *at, *end;
    bool same;
};

static int expect(void *arg, const char *data, size_t len)
{
    struct expected *x = arg;
    x->same = x->same && len <= (size_t)(x->end - x->at) && memcmp(x->at, data, len) == 0;
    x->at += x->same ? len : 0;
    return 0;
}

/* raw: where the map's bytes begin, before end. As a rule they are canonical, and are the value; others are
 * packed again, in d. */
static bool map_value(struct wire_decoder *d, const msgpack_object *o, const char *raw, const char *end,
                      struct value *v, struct err *e)
{
    struct expected x = {raw, end, true};
    msgpack_packer pk;
    msgpack_packer_init(&pk, &x, expect);
    if (!pack_object(o, &pk, e))
        return false;
    *v = (struct value){.type = VALUE_MAP, .len = (uint32_t)(x.at - raw), .s = raw};
    if (x.same)
        return true;
    struct buf *out = &d->maps[d->n_maps++];
    pack_begin(&pk, out);
    if (!pack_object(o, &pk, e))
        return false;
    v->len = (uint32_t)out->len;
    v->s = out->data;
    return true;
}

/* A float may be encoded as an integer. */
static void widen(const struct field_desc *f, struct value *v)
{
    if (f->type == FIELD_FLOAT && v->type == VALUE_INT && v->i >= -(INT64_C(1) << 53) &&
        v->i <= INT64_C(1) << 53)
        *v = value_float((double)v->i);
}

/* member: of the record, whose value follows its key; end: of the record's bytes. */
static bool decode_field(struct wire_decoder *d, const struct field_desc *f, const msgpack_object_kv *member,
                         const char *end, struct value *v, struct err *e)
{
    struct err inner;
    const msgpack_object *o = &member->val;
    const char *raw = member->key.via.str.ptr + member->key.via.str.size;
    bool good = o->type == MSGPACK_OBJECT_MAP ? map_value(d, o, raw, end, v, &inner) : scalar(o, v, &inner);
    if (!good)
        return err_set(e, NULL, "field '%s': %s", f->name, inner.what);
    widen(f, v);
    return true;
}

/* Decodes the fields after `kind`. They are usually in the order of entities.def, so the next field is tried
 * first. */
static bool decode_fields(struct wire_decoder *d, const msgpack_object_map *map, const char *end,
                          struct record *out, const struct wire_tolerance *t, struct err *e)
{
    const struct kind_desc *kind = out->kind;
    uint32_t seen = 0;
    int next = 0;
    for (uint32_t i = 1; i < map->size; i++) {
        const msgpack_object *key = &map->ptr[i].key;
        if (!is_text(key))
            return err_set(e, NULL, "a field name must be text");
        int f = next;
        while (f < kind->n_fields && !text_equals(key, kind->fields[f].name, kind->fields[f].name_len))
            f++;
        if (f == kind->n_fields)
            f = field_by_name(kind, key->via.str.ptr, key->via.str.size);
        if (f < 0) {
            if (!t->allowed)
                return err_set(e, NULL, "a %s has no field '%.*s'", kind->name, (int)key->via.str.size,
                               key->via.str.ptr);
            if (t->left_out)
                t->left_out(t->arg, kind->name, key->via.str.ptr, key->via.str.size);
            continue;
        }
        if (seen & UINT32_C(1) << f)
            return err_set(e, NULL, "duplicate field '%s'", kind->fields[f].name);
        seen |= UINT32_C(1) << f;
        if (!decode_field(d, &kind->fields[f], &map->ptr[i], end, &out->v[f], e))
            return false;
        next = f + 1;
    }
    return true;
}

enum wire_decode_result wire_decode_tolerant(struct wire_decoder *d, const char *data, size_t len,
                                             struct record *out, const struct wire_tolerance *t,
                                             struct err *e)
{
    msgpack_zone_clear(&d->zone);
    while (d->n_maps > 0)
        buf_trim(&d->maps[--d->n_maps]);
    /* The function with a zone argument: the newer ones allocate a zone per record. Strings are not
     * copied. */
    if (!unpack_object(data, len, &d->zone, &d->root)) {
        err_set(e, NULL, "malformed MessagePack");
        return WIRE_DECODE_BAD;
    }
    const msgpack_object_map *map = &d->root.via.map;
    if (map->size == 0 || !is_text(&map->ptr[0].key) || !text_equals(&map->ptr[0].key, "kind", 4) ||
        !is_text(&map->ptr[0].val)) {
        err_set(e, NULL, "not a record: the first entry of the map must be `kind` with a text");
        return WIRE_DECODE_BAD;
    }
    const msgpack_object *name = &map->ptr[0].val;
    if (!d->last || !text_equals(name, d->last->name, strlen(d->last->name)))
        d->last = kind_by_name(name->via.str.ptr, name->via.str.size);
    if (!d->last) {
        if (t->allowed) {
            if (t->left_out)
                t->left_out(t->arg, NULL, name->via.str.ptr, name->via.str.size);
            return WIRE_DECODE_UNKNOWN_KIND;
        }
        err_set(e, NULL, "unknown kind '%.*s'", (int)name->via.str.size, name->via.str.ptr);
        return WIRE_DECODE_BAD;
    }
    record_init(out, d->last->kind);
    return decode_fields(d, map, data + len, out, t, e) ? WIRE_DECODE_RECORD : WIRE_DECODE_BAD;
}

struct wire_decoder *wire_decoder_new(void)
{
    struct wire_decoder *d = xcalloc(1, sizeof *d);
    unpack_zone_init(&d->zone);
    return d;
}

bool wire_decode(struct wire_decoder *d, const char *data, size_t len, struct record *out, struct err *e)
{
    static const struct wire_tolerance strict = {0};
    struct wire_scan s = {0};
    struct err inner;
    enum wire_scan_result end = wire_scan_record(&s, data, len, &inner);
    if (end == WIRE_SCAN_BAD)
        return err_set(e, "record", "%s", inner.what);
    if (end == WIRE_SCAN_MORE || s.pos != len)
        return err_set(e, "record", "%s", end == WIRE_SCAN_MORE ? "truncated" : "bytes after its end");
    if (wire_decode_tolerant(d, data, len, out, &strict, &inner) != WIRE_DECODE_RECORD)
        return err_set(e, "record", "%s", inner.what);
    return record_validate(out, e);
}

void wire_decoder_free(struct wire_decoder *d)
{
    if (!d)
        return;
    msgpack_zone_destroy(&d->zone);
    for (int i = 0; i < RECORD_MAX_FIELDS; i++)
        buf_free(&d->maps[i]);
    free(d);
}

bool wire_decode_counts(const struct value *map, struct wire_counts *counts, uint64_t *unknown, struct err *e)
{
    msgpack_zone zone;
    msgpack_object root;
    bool good = true;
    unpack_zone_init(&zone);
    if (!unpack_object(map->s, map->len, &zone, &root))
        good = err_set(e, NULL, "the trailer's counts are malformed");
    for (uint32_t i = 0; good && i < root.via.map.size; i++) {
        const msgpack_object_kv *kv = &root.via.map.ptr[i];
        const struct kind_desc *kind = kind_by_name(kv->key.via.str.ptr, kv->key.via.str.size);
        if (kv->val.type != MSGPACK_OBJECT_POSITIVE_INTEGER || (kind && !is_counted((int)kind->kind)))
            good = err_set(e, NULL, "the trailer's count of '%.*s' is not a count", (int)kv->key.via.str.size,
                           kv->key.via.str.ptr);
        else if (kind)
            counts->n[kind->kind] = kv->val.via.u64;
        else
            *unknown += kv->val.via.u64;
    }
    msgpack_zone_destroy(&zone);
    return good;
}
