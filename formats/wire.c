#include "wire.h"

#include <inttypes.h>
#include <math.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "../common/arena.h"

#ifndef MLRUNS_TOOLS_VERSION
#define MLRUNS_TOOLS_VERSION "unknown"
#endif

enum {
    SOURCE_DIGITS = 32,
    MAX_SHARDS = 1000000,
    PRODUCER_MAX = sizeof((struct wire_header *)NULL)->producer - 1,
};

/* -- encoding */

static int append(void *out, const char *data, size_t len)
{
    buf_add(out, data, len);
    return 0;
}

static void pack_text(msgpack_packer *pk, const char *s, size_t len)
{
    msgpack_pack_str(pk, len);
    msgpack_pack_str_body(pk, s, len);
}

/* Every NaN is written as the same one, so that equal records are equal bytes. */
static void pack_float(msgpack_packer *pk, double f)
{
    static const uint64_t quiet_nan = UINT64_C(0x7ff8000000000000);
    if (isnan(f))
        memcpy(&f, &quiet_nan, sizeof f);
    msgpack_pack_double(pk, f);
}

static void pack_value(msgpack_packer *pk, const struct value *v, struct buf *out)
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
        msgpack_pack_bin(pk, v->len);
        msgpack_pack_bin_body(pk, v->s, v->len);
        break;
    case VALUE_MAP:
        buf_add(out, v->s, v->len);
        break;
    }
}

void wire_encode(const struct record *r, struct buf *out)
{
    msgpack_packer pk;
    size_t present = 0;
    msgpack_packer_init(&pk, out, append);
    for (int i = 0; i < r->kind->n_fields; i++)
        present += !value_is_null(&r->v[i]);
    msgpack_pack_map(&pk, present + 1);
    pack_text(&pk, "kind", 4);
    pack_text(&pk, r->kind->name, strlen(r->kind->name));
    for (int i = 0; i < r->kind->n_fields; i++) {
        if (value_is_null(&r->v[i]))
            continue;
        pack_text(&pk, r->kind->fields[i].name, r->kind->fields[i].name_len);
        pack_value(&pk, &r->v[i], out);
    }
}

/* -- the scanner: finds where a record ends and holds it to the caps, before msgpack-c sees (and allocates
 * for) it */

struct scan {
    size_t pos;                    /* bytes looked at */
    size_t entries;                /* of all maps and arrays so far */
    int depth;                     /* open maps and arrays */
    uint32_t left[WIRE_MAX_DEPTH]; /* values still to come in each */
};

enum scan_result { SCAN_MORE, SCAN_DONE, SCAN_BAD };

/* What a value begins with: bytes of its head, bytes that follow, values that follow. */
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

/* false: a byte that begins nothing which may occur in a record. h->head may be more than len; then only head
 * is set. */
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

/* Goes on where it stopped. data is the record's first byte, len how many are there. On SCAN_DONE s->pos is
 * the record's length. On SCAN_BAD e->what says why. */
static enum scan_result scan_record(struct scan *s, const char *data, size_t len, struct err *e)
{
    const unsigned char *p = (const unsigned char *)data;
    while (s->pos < len) {
        struct head h;
        if (!read_head(p + s->pos, len - s->pos, &h)) {
            err_set(e, NULL, "byte %02x begins no value that a record can hold", p[s->pos]);
            return SCAN_BAD;
        }
        if (s->pos == 0 && (!h.container || (p[0] >= 0x90 && p[0] < 0xde))) {
            err_set(e, NULL, "byte %02x is not the beginning of a record", p[0]);
            return SCAN_BAD;
        }
        if (h.head + h.body > WIRE_MAX_RECORD - s->pos) {
            err_set(e, NULL, "the record is longer than %zu MiB", WIRE_MAX_RECORD >> 20);
            return SCAN_BAD;
        }
        if (h.head + h.body > len - s->pos)
            return SCAN_MORE;
        s->pos += h.head + h.body;
        if (s->depth > 0)
            s->left[s->depth - 1]--;
        if (h.container) {
            s->entries += h.children;
            if (s->entries > WIRE_MAX_ENTRIES) {
                err_set(e, NULL, "the record holds more than %d values", WIRE_MAX_ENTRIES);
                return SCAN_BAD;
            }
            if (s->depth == WIRE_MAX_DEPTH) {
                err_set(e, NULL, "the record is nested deeper than %d levels", WIRE_MAX_DEPTH);
                return SCAN_BAD;
            }
            s->left[s->depth++] = h.children;
        }
        while (s->depth > 0 && s->left[s->depth - 1] == 0)
            s->depth--;
        if (s->depth == 0)
            return SCAN_DONE;
    }
    return SCAN_MORE;
}

/* -- decoding */

struct wire_decoder {
    msgpack_zone zone;   /* reused: the objects of one record */
    struct arena maps;   /* reused: map values of one record, made canonical */
    msgpack_object root; /* of the last record */
    const struct kind_desc *last;
};

/* What to do with what this program does not know: refuse it, or leave it out, with a word unless left_out is
 * NULL. */
struct tolerance {
    bool allowed;
    void (*left_out)(void *arg, const char *kind, const char *field, size_t len);
    void *arg;
};

enum decode_result { DECODE_BAD, DECODE_RECORD, DECODE_UNKNOWN_KIND };

static void decoder_init(struct wire_decoder *d)
{
    memset(d, 0, sizeof *d);
    if (!msgpack_zone_init(&d->zone, 16 * 1024))
        die(NULL, "out of memory");
}

static void decoder_destroy(struct wire_decoder *d)
{
    msgpack_zone_destroy(&d->zone);
    arena_free(&d->maps);
}

static bool is_text(const msgpack_object *o)
{
    return o->type == MSGPACK_OBJECT_STR;
}

static bool text_equals(const msgpack_object *o, const char *s, size_t len)
{
    return o->via.str.size == len && memcmp(o->via.str.ptr, s, len) == 0;
}

/* A scalar as a value. false with e->what filled. */
static bool scalar(const msgpack_object *o, struct value *v, struct err *e)
{
    switch (o->type) {
    case MSGPACK_OBJECT_NIL:
        *v = value_null();
        return true;
    case MSGPACK_OBJECT_BOOLEAN:
        *v = value_bool(o->via.boolean);
        return true;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        if (o->via.u64 > INT64_MAX)
            return err_set(e, NULL, "%" PRIu64 " is more than 64 bits with a sign can hold", o->via.u64);
        *v = value_int((int64_t)o->via.u64);
        return true;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        *v = value_int(o->via.i64);
        return true;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        *v = value_float(o->via.f64);
        return true;
    case MSGPACK_OBJECT_STR:
        *v = value_text(o->via.str.ptr, o->via.str.size);
        if (v->type == VALUE_BIN)
            return err_set(e, NULL, "text that is not UTF-8 (it must be `bin`)");
        return true;
    case MSGPACK_OBJECT_BIN:
        *v = value_text(o->via.bin.ptr, o->via.bin.size);
        return true;
    case MSGPACK_OBJECT_MAP:
    case MSGPACK_OBJECT_ARRAY:
    case MSGPACK_OBJECT_EXT:
        break;
    }
    return err_set(e, NULL, "a value that is neither a number, a text, a boolean nor a map");
}

static bool has_equal_keys(const msgpack_object_map *map)
{
    for (uint32_t i = 0; i < map->size; i++)
        for (uint32_t k = 0; k < i; k++)
            if (text_equals(&map->ptr[i].key, map->ptr[k].key.via.str.ptr, map->ptr[k].key.via.str.size))
                return true;
    return false;
}

/* Appends an object, canonical whatever the widths in which it came. */
static bool pack_object(const msgpack_object *o, msgpack_packer *pk, struct buf *out, struct err *e)
{
    struct value v;
    if (o->type == MSGPACK_OBJECT_ARRAY) {
        msgpack_pack_array(pk, o->via.array.size);
        for (uint32_t i = 0; i < o->via.array.size; i++)
            if (!pack_object(&o->via.array.ptr[i], pk, out, e))
                return false;
        return true;
    }
    if (o->type != MSGPACK_OBJECT_MAP) {
        if (!scalar(o, &v, e))
            return false;
        if (o->type ==
            MSGPACK_OBJECT_BIN) /* no text is expected here: bytes stay bytes, whatever they hold */
            v.type = VALUE_BIN;
        pack_value(pk, &v, out);
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
        pack_value(pk, &v, out);
        if (!pack_object(&map->ptr[i].val, pk, out, e))
            return false;
    }
    if (has_equal_keys(map))
        return err_set(e, NULL, "a map with two equal keys");
    return true;
}

static bool map_value(struct wire_decoder *d, const msgpack_object *o, struct value *v, struct err *e)
{
    struct buf out = {0};
    msgpack_packer pk;
    msgpack_packer_init(&pk, &out, append);
    bool good = pack_object(o, &pk, &out, e);
    if (good)
        *v = (struct value){
            .type = VALUE_MAP, .len = (uint32_t)out.len, .s = arena_strndup(&d->maps, out.data, out.len)};
    buf_free(&out);
    return good;
}

/* A number without a fraction may stand for a float. */
static void widen(const struct field_desc *f, struct value *v)
{
    if (f->type == FIELD_FLOAT && v->type == VALUE_INT && v->i >= -(INT64_C(1) << 53) &&
        v->i <= INT64_C(1) << 53)
        *v = value_float((double)v->i);
}

static bool decode_field(struct wire_decoder *d, const struct field_desc *f, const msgpack_object *o,
                         struct value *v, struct err *e)
{
    struct err inner;
    bool good = o->type == MSGPACK_OBJECT_MAP ? map_value(d, o, v, &inner) : scalar(o, v, &inner);
    if (!good)
        return err_set(e, NULL, "field '%s': %s", f->name, inner.what);
    widen(f, v);
    return true;
}

/* The fields behind `kind`. They usually stand in the order of the list, so the next one is tried first. */
static bool decode_fields(struct wire_decoder *d, const msgpack_object_map *map, struct record *out,
                          const struct tolerance *t, struct err *e)
{
    const struct kind_desc *kind = out->kind;
    uint32_t seen = 0;
    int next = 0;
    for (uint32_t i = 1; i < map->size; i++) {
        const msgpack_object *key = &map->ptr[i].key;
        if (!is_text(key))
            return err_set(e, NULL, "a field whose name is no text");
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
            return err_set(e, NULL, "field '%s' is given twice", kind->fields[f].name);
        seen |= UINT32_C(1) << f;
        if (!decode_field(d, &kind->fields[f], &map->ptr[i].val, &out->v[f], e))
            return false;
        next = f + 1;
    }
    return true;
}

/* data is one scanned record. e->what is set, not e->where. Does not validate. */
static enum decode_result decode(struct wire_decoder *d, const char *data, size_t len, struct record *out,
                                 const struct tolerance *t, struct err *e)
{
    size_t off = 0;
    msgpack_zone_clear(&d->zone);
    arena_reset(&d->maps);
    /* The function that takes a zone: the newer ones allocate one for each record. Strings are not copied. */
    if (msgpack_unpack(data, len, &off, &d->zone, &d->root) != MSGPACK_UNPACK_SUCCESS) {
        err_set(e, NULL, "malformed MessagePack");
        return DECODE_BAD;
    }
    const msgpack_object_map *map = &d->root.via.map;
    if (map->size == 0 || !is_text(&map->ptr[0].key) || !text_equals(&map->ptr[0].key, "kind", 4) ||
        !is_text(&map->ptr[0].val)) {
        err_set(e, NULL, "a map that is no record: its first entry is not `kind` with a text");
        return DECODE_BAD;
    }
    const msgpack_object *name = &map->ptr[0].val;
    if (!d->last || !text_equals(name, d->last->name, strlen(d->last->name)))
        d->last = kind_by_name(name->via.str.ptr, name->via.str.size);
    if (!d->last) {
        if (t->allowed) {
            if (t->left_out)
                t->left_out(t->arg, NULL, name->via.str.ptr, name->via.str.size);
            return DECODE_UNKNOWN_KIND;
        }
        err_set(e, NULL, "unknown kind '%.*s'", (int)name->via.str.size, name->via.str.ptr);
        return DECODE_BAD;
    }
    record_init(out, d->last->kind);
    return decode_fields(d, map, out, t, e) ? DECODE_RECORD : DECODE_BAD;
}

struct wire_decoder *wire_decoder_new(void)
{
    struct wire_decoder *d = xmalloc(sizeof *d);
    decoder_init(d);
    return d;
}

bool wire_decode(struct wire_decoder *d, const char *data, size_t len, struct record *out, struct err *e)
{
    static const struct tolerance strict = {0};
    struct scan s = {0};
    struct err inner;
    enum scan_result end = scan_record(&s, data, len, &inner);
    if (end == SCAN_BAD)
        return err_set(e, "record", "%s", inner.what);
    if (end == SCAN_MORE || s.pos != len)
        return err_set(e, "record", "%s", end == SCAN_MORE ? "it was cut" : "bytes behind its end");
    if (decode(d, data, len, out, &strict, &inner) != DECODE_RECORD)
        return err_set(e, "record", "%s", inner.what);
    return record_validate(out, e);
}

void wire_decoder_free(struct wire_decoder *d)
{
    if (d)
        decoder_destroy(d);
    free(d);
}

/* -- writing */

struct wire_writer {
    struct io_writer io;
    XXH3_state_t *hash; /* of the segment so far */
    struct wire_counts counts;
    struct buf scratch;
    struct buf trailer_counts;
    char trailer_checksum[17];
};

static XXH3_state_t *hash_new(void)
{
    XXH3_state_t *hash = XXH3_createState();
    if (!hash)
        die(NULL, "out of memory");
    XXH3_64bits_reset(hash);
    return hash;
}

struct wire_writer *wire_writer_new(int fd, const char *name)
{
    struct wire_writer *w = xcalloc(1, sizeof *w);
    w->io.fd = fd;
    if (fd >= 0)
        io_writer_init(&w->io, fd, name);
    w->hash = hash_new();
    return w;
}

static void put(struct wire_writer *w, const char *data, size_t len)
{
    XXH3_64bits_update(w->hash, data, len);
    if (w->io.fd >= 0)
        io_write(&w->io, data, len);
}

static _Noreturn void refuse_long(const struct record *r)
{
    struct buf where = {0};
    record_describe(r, &where);
    die(buf_str(&where), "the record is longer than %zu MiB", WIRE_MAX_RECORD >> 20);
}

static void put_record(struct wire_writer *w, const struct record *r)
{
    buf_reset(&w->scratch);
    wire_encode(r, &w->scratch);
    if (w->scratch.len > WIRE_MAX_RECORD)
        refuse_long(r);
    put(w, w->scratch.data, w->scratch.len);
}

void wire_header_record(const struct wire_header *h, struct record *rec)
{
    record_init(rec, KIND_header);
    rec->v[F_header_format] = value_int(WIRE_FORMAT);
    rec->v[F_header_minor] = value_int(WIRE_MINOR);
    rec->v[F_header_producer] = value_str(h->producer);
    rec->v[F_header_source] = value_str(h->source);
    rec->v[F_header_shard] = value_int(h->shard);
    rec->v[F_header_shards] = value_int(h->shards);
}

void wire_write_header_copy(struct wire_writer *w, const struct wire_header *h)
{
    struct record r;
    wire_header_record(h, &r);
    XXH3_64bits_reset(w->hash);
    w->counts = (struct wire_counts){0};
    put_record(w, &r);
}

void wire_write_header(struct wire_writer *w, const char *source, int64_t shard, int64_t shards)
{
    struct wire_header h = {.shard = shard, .shards = shards};
    snprintf(h.producer, sizeof h.producer, "%s %s", err_program(), MLRUNS_TOOLS_VERSION);
    snprintf(h.source, sizeof h.source, "%s", source);
    wire_write_header_copy(w, &h);
}

void wire_write(struct wire_writer *w, const struct record *r)
{
    w->counts.n[r->kind->kind]++;
    put_record(w, r);
}

void wire_write_encoded(struct wire_writer *w, const char *data, size_t len, const struct wire_counts *counts)
{
    for (int i = 0; i < KIND_COUNT; i++)
        w->counts.n[i] += counts->n[i];
    put(w, data, len);
}

static bool is_counted(int kind)
{
    return kind != KIND_header && kind != KIND_trailer && kind != KIND_skipped;
}

void wire_writer_trailer(struct wire_writer *w, struct record *trailer)
{
    msgpack_packer pk;
    size_t present = 0;
    struct buf *map = &w->trailer_counts;
    buf_reset(map);
    msgpack_packer_init(&pk, map, append);
    for (int i = 0; i < KIND_COUNT; i++)
        present += is_counted(i) && w->counts.n[i] > 0;
    msgpack_pack_map(&pk, present);
    for (int i = 0; i < KIND_COUNT; i++) {
        if (!is_counted(i) || w->counts.n[i] == 0)
            continue;
        pack_text(&pk, kinds[i].name, strlen(kinds[i].name));
        msgpack_pack_uint64(&pk, w->counts.n[i]);
    }
    snprintf(w->trailer_checksum, sizeof w->trailer_checksum, "%016" PRIx64, XXH3_64bits_digest(w->hash));
    record_init(trailer, KIND_trailer);
    trailer->v[F_trailer_counts] =
        (struct value){.type = VALUE_MAP, .len = (uint32_t)map->len, .s = map->data};
    trailer->v[F_trailer_skipped] = value_int((int64_t)w->counts.n[KIND_skipped]);
    trailer->v[F_trailer_checksum] = value_str(w->trailer_checksum);
}

void wire_write_trailer(struct wire_writer *w)
{
    struct record r;
    wire_writer_trailer(w, &r);
    put_record(w, &r);
    wire_writer_flush(w);
}

const struct wire_counts *wire_writer_counts(const struct wire_writer *w)
{
    return &w->counts;
}

void wire_writer_flush(struct wire_writer *w)
{
    if (w->io.fd >= 0)
        io_flush(&w->io);
}

void wire_writer_close(struct wire_writer *w)
{
    if (w->io.fd >= 0)
        io_writer_close(&w->io);
    XXH3_freeState(w->hash);
    buf_free(&w->scratch);
    buf_free(&w->trailer_counts);
    free(w);
}

/* -- reading */

static bool is_source_id(const struct value *v)
{
    if (v->len != SOURCE_DIGITS)
        return false;
    for (uint32_t i = 0; i < v->len; i++)
        if (!strchr("0123456789abcdef", v->s[i]) || v->s[i] == '\0')
            return false;
    return true;
}

bool wire_header_read(const struct record *rec, struct wire_header *h, struct err *e)
{
    const struct value *v = rec->v, *producer = &v[F_header_producer];
    struct err inner;
    if (v[F_header_format].type == VALUE_INT && v[F_header_format].i > WIRE_FORMAT) {
        err_set(e, NULL, "the stream has format %" PRId64 ", this program reads format %d",
                v[F_header_format].i, WIRE_FORMAT);
        return err_hint(e, "a newer mlruns-tools wrote it; use that one to read it");
    }
    if (!record_validate(rec, &inner))
        return err_set(e, NULL, "%s: %s", inner.where, inner.what);
    *h = (struct wire_header){.format = v[F_header_format].i,
                              .minor = v[F_header_minor].i,
                              .shard = v[F_header_shard].i,
                              .shards = v[F_header_shards].i};
    if (h->format != WIRE_FORMAT || h->minor < 0)
        return err_set(e, NULL, "no such format: %" PRId64 ".%" PRId64, h->format, h->minor);
    if (h->shards < 1 || h->shards > MAX_SHARDS || h->shard < 0 || h->shard >= h->shards)
        return err_set(e, NULL, "no such shard: %" PRId64 "/%" PRId64, h->shard, h->shards);
    if (!is_source_id(&v[F_header_source]))
        return err_set(e, NULL, "the source is not %d hexadecimal digits", SOURCE_DIGITS);
    if (producer->type != VALUE_STR || producer->len > PRODUCER_MAX ||
        memchr(producer->s, '\0', producer->len))
        return err_set(e, NULL, "the producer is not a text of at most %d bytes", (int)PRODUCER_MAX);
    memcpy(h->source, v[F_header_source].s, SOURCE_DIGITS);
    memcpy(h->producer, producer->s, producer->len);
    return true;
}

/* Compares what a trailer says with what was there. unknown: records of kinds that this program does not
 * know. */
static bool check_trailer(const struct record *trailer, const struct wire_counts *counts, uint64_t unknown,
                          uint64_t checksum, struct err *e)
{
    struct value want = trailer->v[F_trailer_checksum];
    const struct value *map = &trailer->v[F_trailer_counts];
    struct wire_counts said = {0};
    uint64_t said_unknown = 0;
    msgpack_zone zone;
    msgpack_object root;
    size_t off = 0;
    bool good = true;
    char hex[17];
    if (!msgpack_zone_init(&zone, 4096))
        die(NULL, "out of memory");
    if (msgpack_unpack(map->s, map->len, &off, &zone, &root) != MSGPACK_UNPACK_SUCCESS)
        good = err_set(e, NULL, "the trailer's counts are malformed");
    for (uint32_t i = 0; good && i < root.via.map.size; i++) {
        const msgpack_object_kv *kv = &root.via.map.ptr[i];
        const struct kind_desc *kind = kind_by_name(kv->key.via.str.ptr, kv->key.via.str.size);
        if (kv->val.type != MSGPACK_OBJECT_POSITIVE_INTEGER || (kind && !is_counted((int)kind->kind)))
            good = err_set(e, NULL, "the trailer's count of '%.*s' is none", (int)kv->key.via.str.size,
                           kv->key.via.str.ptr);
        else if (kind)
            said.n[kind->kind] = kv->val.via.u64;
        else
            said_unknown += kv->val.via.u64;
    }
    msgpack_zone_destroy(&zone);
    said.n[KIND_skipped] = (uint64_t)trailer->v[F_trailer_skipped].i;
    for (int i = 0; good && i < KIND_COUNT; i++)
        if (said.n[i] != counts->n[i])
            good = err_set(e, NULL, "the trailer counts %" PRIu64 " records of kind '%s', there are %" PRIu64,
                           said.n[i], kinds[i].name, counts->n[i]);
    if (good && said_unknown != unknown)
        good = err_set(e, NULL,
                       "the trailer counts %" PRIu64 " records of kinds unknown here, there are %" PRIu64,
                       said_unknown, unknown);
    snprintf(hex, sizeof hex, "%016" PRIx64, checksum);
    if (good && !value_eqs(&want, hex)) {
        struct buf text = {0};
        value_describe(&want, &text);
        good = err_set(e, NULL, "the checksum is %s, the trailer says %s", hex, buf_str(&text));
        buf_free(&text);
    }
    return good;
}

bool wire_writer_check(const struct wire_writer *w, const struct record *trailer, struct err *e)
{
    return check_trailer(trailer, &w->counts, 0, XXH3_64bits_digest(w->hash), e);
}

/* What came of one source, for the check of the whole. */
struct source {
    char id[SOURCE_DIGITS + 1];
    int64_t shards;
    unsigned char *seen; /* a byte for each shard */
};

struct wire_reader {
    struct io_reader io;
    struct wire_decoder decoder;
    XXH3_state_t *hash;
    struct wire_header header;
    struct wire_counts counts;
    uint64_t unknown;  /* records of unknown kinds in this segment */
    uint64_t segments; /* good trailers */
    uint64_t number;   /* of the current record, from 1 */
    size_t current;    /* bytes of the current record, still unconsumed */
    bool in_segment;
    bool whole;
    bool failed;
    struct err failure;
    struct record rec;
    struct buf warned; /* names warned of, each with its NUL */
    struct source *sources;
    size_t n_sources;
};

struct wire_reader *wire_reader_new(int fd, const char *name)
{
    struct wire_reader *r = xcalloc(1, sizeof *r);
    io_reader_init(&r->io, fd, name);
    decoder_init(&r->decoder);
    r->hash = hash_new();
    return r;
}

void wire_reader_want_whole(struct wire_reader *r)
{
    r->whole = true;
}

static enum wire_event fail_at(struct wire_reader *r, const char *where, const char *what, const char *hint)
{
    err_set(&r->failure, where, "%s", what);
    if (hint && hint[0])
        err_hint(&r->failure, "%s", hint);
    r->failed = true;
    return WIRE_ERROR;
}

static bool in_shard(const struct wire_reader *r)
{
    return r->in_segment && r->header.shards > 1;
}

/* The place of the current record, or of the one that was looked for. */
static void place(const struct wire_reader *r, char *where, size_t room)
{
    int len = snprintf(where, room, "%s: record %" PRIu64 " (byte %" PRIu64 ")", r->io.name, r->number,
                       r->io.offset);
    if (in_shard(r) && len > 0 && (size_t)len < room)
        snprintf(where + len, room - (size_t)len, ", shard %" PRId64 "/%" PRId64, r->header.shard,
                 r->header.shards);
}

static enum wire_event fail(struct wire_reader *r, const char *hint, const char *fmt, ...) PRINTF_LIKE(3, 4);
static enum wire_event fail(struct wire_reader *r, const char *hint, const char *fmt, ...)
{
    char where[512];
    struct buf what = {0};
    va_list ap;
    va_start(ap, fmt);
    buf_vaddf(&what, fmt, ap);
    va_end(ap);
    place(r, where, sizeof where);
    /* A cut shard swallows the beginning of the next one, so that anything may be wrong. */
    if (in_shard(r) && !hint)
        hint = "this shard was cut or damaged: dump it again";
    fail_at(r, where, buf_str(&what), hint);
    buf_free(&what);
    return WIRE_ERROR;
}

static const char cut_hint[] =
    "the program that wrote it was stopped or failed: see its message, and run it again";

/* Hints for what people pipe by mistake. */
static const char *guess_input(const char *data, size_t len)
{
    static const struct {
        const char *magic;
        const char *hint;
    } known[] = {
        {"{", "this looks like JSON Lines: put `ml-transform --from-json` before it"},
        {"\x28\xb5\x2f\xfd", "this is compressed: put `zstd -dc` before it"},
        {"\x1f\x8b", "this is compressed: put `gzip -dc` before it"},
        {"\xfd"
         "7zXZ",
         "this is compressed: put `xz -dc` before it"},
        {"SQLite format 3", "this is a SQLite database: `mldb-dump sqlite:///FILE` makes a stream of it"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (len >= strlen(known[i].magic) && memcmp(data, known[i].magic, strlen(known[i].magic)) == 0)
            return known[i].hint;
    return NULL;
}

/* Sees to it that the next whole record lies at r->io.data, r->current bytes long. 1: it does, 0: end of
 * file, -1: error. */
static int next_bytes(struct wire_reader *r)
{
    struct scan s = {0};
    struct err e;
    for (;;) {
        enum scan_result end = scan_record(&s, r->io.data, r->io.len, &e);
        if (end == SCAN_DONE) {
            r->current = s.pos;
            return 1;
        }
        if (end == SCAN_BAD) {
            const char *hint = r->number == 1 ? guess_input(r->io.data, r->io.len) : NULL;
            fail(r, hint, r->in_segment || r->segments == 0 ? "%s" : "%s (behind a trailer)", e.what);
            return -1;
        }
        int got = io_fill(&r->io, &e);
        if (got < 0) {
            fail_at(r, e.where, e.what, e.hint);
            return -1;
        }
        if (got > 0)
            continue;
        if (r->io.len == 0)
            return 0;
        fail(r, cut_hint, "the stream was cut in the middle of a record");
        return -1;
    }
}

/* Warns once of what a newer minor version has and this program leaves out. kind NULL: field is the kind. */
static void left_out(void *arg, const char *kind, const char *field, size_t len)
{
    struct wire_reader *r = arg;
    char *name = kind ? xasprintf("field '%.*s' of kind '%s'", (int)len, field, kind)
                      : xasprintf("records of kind '%.*s'", (int)len, field);
    const char *p = buf_str(&r->warned), *end = p + r->warned.len;
    while (p < end && strcmp(p, name) != 0)
        p += strlen(p) + 1;
    if (p >= end) {
        buf_add(&r->warned, name, strlen(name) + 1);
        err_warn(r->io.name,
                 "%s: left out, this program does not know them (the stream is of format %" PRId64 ".%" PRId64
                 ")",
                 name, r->header.format, r->header.minor);
    }
    free(name);
}

/* Takes note of a shard. false: it cannot belong to the same whole as those before. */
static bool note_shard(struct wire_reader *r)
{
    const struct wire_header *h = &r->header;
    struct source *s = NULL;
    for (size_t i = 0; i < r->n_sources && !s; i++)
        if (strcmp(r->sources[i].id, h->source) == 0)
            s = &r->sources[i];
    if (!s) {
        r->sources = xrealloc(r->sources, (r->n_sources + 1) * sizeof *r->sources);
        s = &r->sources[r->n_sources++];
        *s = (struct source){.shards = h->shards, .seen = xcalloc((size_t)h->shards, 1)};
        memcpy(s->id, h->source, sizeof s->id);
    }
    if (s->shards != h->shards) {
        fail(r, "dump all shards with the same N",
             "shard %" PRId64 "/%" PRId64 " of source %s follows shards of %" PRId64, h->shard, h->shards,
             h->source, s->shards);
        return false;
    }
    if (s->seen[h->shard]) {
        fail(r, NULL, "shard %" PRId64 "/%" PRId64 " of source %s is given twice", h->shard, h->shards,
             h->source);
        return false;
    }
    s->seen[h->shard] = 1;
    return true;
}

static enum wire_event take_header(struct wire_reader *r)
{
    struct err e;
    if (!wire_header_read(&r->rec, &r->header, &e))
        return fail(r, e.hint, "%s", e.what);
    if (r->whole && !note_shard(r))
        return WIRE_ERROR;
    r->in_segment = true;
    return WIRE_HEADER;
}

static enum wire_event take_trailer(struct wire_reader *r)
{
    struct err e;
    if (!check_trailer(&r->rec, &r->counts, r->unknown, XXH3_64bits_digest(r->hash), &e))
        return fail(r, "the stream was damaged on its way: write it anew", "%s", e.what);
    r->in_segment = false;
    r->segments++;
    return WIRE_TRAILER;
}

static enum wire_event take_end(struct wire_reader *r)
{
    if (r->in_segment)
        return fail(r, cut_hint, "the stream was cut: its trailer is missing");
    if (r->segments == 0)
        return fail_at(r, r->io.name, "the stream is empty", cut_hint);
    for (size_t i = 0; r->whole && i < r->n_sources; i++) {
        const struct source *s = &r->sources[i];
        for (int64_t k = 0; k < s->shards; k++)
            if (!s->seen[k])
                return fail(r, "dump it with --shard, and give all shards",
                            "shard %" PRId64 "/%" PRId64 " of source %s is missing", k, s->shards, s->id);
    }
    return WIRE_END;
}

static enum wire_event take_record(struct wire_reader *r, const struct record **rec)
{
    struct err e;
    if (r->rec.kind->kind == KIND_header)
        return fail(r, cut_hint, "a header inside of a segment: the segment before it was cut");
    if (!record_validate(&r->rec, &e))
        return fail(r, NULL, "%s: %s", e.where, e.what);
    if (r->rec.kind->kind == KIND_trailer)
        return take_trailer(r);
    XXH3_64bits_update(r->hash, r->io.data, r->current);
    r->counts.n[r->rec.kind->kind]++;
    if (rec)
        *rec = &r->rec;
    return WIRE_RECORD;
}

/* One record; WIRE_END also stands for one that was left out: then r->current is not 0. */
static enum wire_event step(struct wire_reader *r, const struct record **rec)
{
    struct err e;
    io_consume(&r->io, r->current);
    r->current = 0;
    r->number++;
    int got = next_bytes(r);
    if (got <= 0)
        return got < 0 ? WIRE_ERROR : take_end(r);
    if (!r->in_segment) {
        r->counts = (struct wire_counts){0};
        r->unknown = 0;
        XXH3_64bits_reset(r->hash);
    }
    /* Of a header the version is not known yet. */
    struct tolerance t = {!r->in_segment || r->header.minor > WIRE_MINOR, r->in_segment ? left_out : NULL, r};
    enum decode_result result = decode(&r->decoder, r->io.data, r->current, &r->rec, &t, &e);
    if (result == DECODE_BAD)
        return fail(r, NULL, "%s", e.what);
    bool is_header = result == DECODE_RECORD && r->rec.kind->kind == KIND_header;
    if (!r->in_segment && !is_header)
        return fail(r, NULL,
                    r->segments > 0 ? "what follows a trailer must be a header"
                                    : "a stream begins with a header");
    if (!r->in_segment) {
        XXH3_64bits_update(r->hash, r->io.data, r->current);
        return take_header(r);
    }
    if (result == DECODE_RECORD)
        return take_record(r, rec);
    XXH3_64bits_update(r->hash, r->io.data, r->current);
    r->unknown++;
    return WIRE_END;
}

enum wire_event wire_next(struct wire_reader *r, const struct record **rec, struct err *e)
{
    enum wire_event event = WIRE_ERROR;
    if (!r->failed) {
        do
            event = step(r, rec);
        while (event == WIRE_END && r->current > 0);
    }
    if (event == WIRE_ERROR && e)
        *e = r->failure;
    return event;
}

const struct wire_header *wire_reader_header(const struct wire_reader *r)
{
    return &r->header;
}

const struct wire_counts *wire_reader_counts(const struct wire_reader *r)
{
    return &r->counts;
}

uint64_t wire_reader_segments(const struct wire_reader *r)
{
    return r->segments;
}

const char *wire_reader_bytes(const struct wire_reader *r, size_t *len)
{
    *len = r->current;
    return r->io.data;
}

void wire_reader_free(struct wire_reader *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->n_sources; i++)
        free(r->sources[i].seen);
    free(r->sources);
    io_reader_free(&r->io);
    decoder_destroy(&r->decoder);
    XXH3_freeState(r->hash);
    buf_free(&r->warned);
    free(r);
}
