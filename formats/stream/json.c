/* Converts a record to a JSON line and back. */
#include "formats/stream/json.h"

#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/arena.h"
#include "common/array.h"
#include "common/digits.h"
#include "formats/record/msgpack.h"
#include "formats/stream/wire_record.h"

/* jq and JavaScript represent smaller integers exactly. */
#define EXACT_INT (INT64_C(1) << 53)

static const char base64[] = BASE64_DIGITS;

/* -- record -> line */

/* A JSON string, raw UTF-8 except for required escapes. */
static void quote(const char *s, size_t len, struct buf *out)
{
    static const char *const escapes[] = {
        ['\b'] = "\\b", ['\t'] = "\\t", ['\n'] = "\\n", ['\f'] = "\\f", ['\r'] = "\\r"};
    size_t from = 0;
    buf_addc(out, '"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        buf_add(out, s + from, i - from);
        from = i + 1;
        if (c >= 0x20)
            buf_addf(out, "\\%c", c);
        else if (c <= '\r' && escapes[c])
            buf_adds(out, escapes[c]);
        else
            buf_addf(out, "\\u%04x", c);
    }
    buf_add(out, s + from, len - from);
    buf_addc(out, '"');
}

static void add_base64(const char *data, size_t len, struct buf *out)
{
    const unsigned char *p = (const unsigned char *)data;
    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        uint32_t bits = (uint32_t)p[i] << 16 | (n > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (n > 2 ? p[i + 2] : 0);
        char four[4] = {base64[bits >> 18], base64[bits >> 12 & 63], '=', '='};
        if (n > 1)
            four[2] = base64[bits >> 6 & 63];
        if (n > 2)
            four[3] = base64[bits & 63];
        buf_add(out, four, 4);
    }
}

/* declared: the reader knows that it is a float. */
static void write_float(double f, bool declared, struct buf *out)
{
    char text[32];
    size_t len = value_format_float(f, text);
    bool plain = declared && isfinite(f) && !(f == 0 && signbit(f));
    if (!plain)
        buf_adds(out, "{\"$float\":\"");
    buf_add(out, text, len);
    if (!plain)
        buf_adds(out, "\"}");
}

static void write_int(int64_t i, struct buf *out)
{
    bool plain = i > -EXACT_INT && i < EXACT_INT;
    buf_addf(out, plain ? "%lld" : "{\"$int\":\"%lld\"}", (long long)i);
}

static void write_bytes(const char *s, size_t len, struct buf *out)
{
    buf_adds(out, "{\"$bytes\":\"");
    add_base64(s, len, out);
    buf_adds(out, "\"}");
}

static bool is_tag(const char *s, size_t len)
{
    static const char *const tags[] = {"$float", "$int", "$bytes", "$map"};
    for (size_t i = 0; i < ARRAY_LENGTH(tags); i++)
        if (strlen(tags[i]) == len && memcmp(tags[i], s, len) == 0)
            return true;
    return false;
}

static void write_object(const msgpack_object *o, struct buf *out);

static void write_map(const msgpack_object_map *map, struct buf *out)
{
    bool lookalike = map->size == 1 && is_tag(map->ptr[0].key.via.str.ptr, map->ptr[0].key.via.str.size);
    if (lookalike)
        buf_adds(out, "{\"$map\":");
    buf_addc(out, '{');
    for (uint32_t i = 0; i < map->size; i++) {
        if (i > 0)
            buf_addc(out, ',');
        write_object(&map->ptr[i].key, out);
        buf_addc(out, ':');
        write_object(&map->ptr[i].val, out);
    }
    buf_adds(out, lookalike ? "}}" : "}");
}

/* A part of a map value, which has no declared types. */
static void write_object(const msgpack_object *o, struct buf *out)
{
    switch (o->type) {
    case MSGPACK_OBJECT_BOOLEAN:
        buf_adds(out, o->via.boolean ? "true" : "false");
        break;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        write_int(o->via.i64, out);
        break;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        write_float(o->via.f64, false, out);
        break;
    case MSGPACK_OBJECT_STR:
        quote(o->via.str.ptr, o->via.str.size, out);
        break;
    case MSGPACK_OBJECT_BIN:
        write_bytes(o->via.bin.ptr, o->via.bin.size, out);
        break;
    case MSGPACK_OBJECT_MAP:
        write_map(&o->via.map, out);
        break;
    case MSGPACK_OBJECT_ARRAY:
        buf_addc(out, '[');
        for (uint32_t i = 0; i < o->via.array.size; i++) {
            if (i > 0)
                buf_addc(out, ',');
            write_object(&o->via.array.ptr[i], out);
        }
        buf_addc(out, ']');
        break;
    case MSGPACK_OBJECT_NIL:
    case MSGPACK_OBJECT_EXT: /* never in a record */
        buf_adds(out, "null");
        break;
    }
}

static void write_map_value(const struct value *v, struct buf *out)
{
    msgpack_zone zone;
    msgpack_object root;
    unpack_zone_init(&zone);
    if (unpack_object(v->s, v->len, &zone, &root))
        write_object(&root, out);
    else
        buf_adds(out, "null");
    msgpack_zone_destroy(&zone);
}

bool json_write_plain(const struct value *v, struct buf *out)
{
    if (v->type == VALUE_NULL)
        buf_adds(out, "null");
    else if (v->type == VALUE_BOOL)
        buf_adds(out, v->b ? "true" : "false");
    else if (v->type == VALUE_INT)
        write_int(v->i, out);
    else
        return false;
    return true;
}

static void write_value(const struct value *v, struct buf *out)
{
    if (json_write_plain(v, out))
        return;
    if (v->type == VALUE_FLOAT)
        write_float(v->f, true, out);
    else if (v->type == VALUE_STR)
        quote(v->s, v->len, out);
    else if (v->type == VALUE_MAP)
        write_map_value(v, out);
    else
        write_bytes(v->s, v->len, out);
}

void json_write(const struct record *r, struct buf *out)
{
    buf_adds(out, "{\"kind\":\"");
    buf_adds(out, r->kind->name);
    buf_addc(out, '"');
    for (int i = 0; i < r->kind->n_fields; i++) {
        if (value_is_null(&r->v[i]))
            continue;
        buf_adds(out, ",\"");
        buf_add(out, r->kind->fields[i].name, r->kind->fields[i].name_len);
        buf_adds(out, "\":");
        write_value(&r->v[i], out);
    }
    buf_addc(out, '}');
}

/* -- line -> record */

struct json_reader {
    json_t *root;      /* of the last line */
    struct arena made; /* decoded decoded bytes and maps of the last line */
};

struct json_reader *json_reader_new(void)
{
    return xcalloc(1, sizeof(struct json_reader));
}

void json_reader_free(struct json_reader *j)
{
    if (!j)
        return;
    json_decref(j->root);
    arena_free(&j->made);
    free(j);
}

/* Strict: padded, no blanks, no stray bits. out has len / 4 * 3 bytes. */
static bool decode_base64(const char *s, size_t len, char *out, size_t *out_len)
{
    *out_len = 0;
    if (len % 4 != 0)
        return false;
    for (size_t i = 0; i < len; i += 4) {
        int pad = i + 4 < len || s[i + 3] != '=' ? 0 : s[i + 2] == '=' ? 2 : 1;
        uint32_t bits = 0;
        for (int k = 0; k < 4; k++) {
            int digit = k >= 4 - pad ? 0 : base64_digit(s[i + (size_t)k]);
            if (digit < 0)
                return false;
            bits = bits << 6 | (uint32_t)digit;
        }
        if (pad > 0 && (bits & (pad == 1 ? 0xffu : 0xffffu)) != 0)
            return false;
        for (int k = 0; k < 3 - pad; k++)
            out[(*out_len)++] = (char)(bits >> (16 - 8 * k));
    }
    return true;
}

static bool parse_float(const char *s, double *f)
{
    char *end;
    if (strcmp(s, "nan") == 0)
        *f = (double)NAN;
    else if (strcmp(s, "inf") == 0)
        *f = (double)INFINITY;
    else if (strcmp(s, "-inf") == 0)
        *f = -(double)INFINITY;
    else if (s[0] == '\0' || s[strspn(s, "0123456789+-.e")] != '\0')
        return false;
    else
        return *f = strtod(s, &end), *end == '\0' && isfinite(*f);
    return true;
}

/* {"$float":…}, {"$int":…}, {"$bytes":…}. false with e->what filled. */
static bool read_tagged(struct json_reader *j, const char *tag, const json_t *content, struct value *v,
                        struct err *e)
{
    const char *s = json_string_value(content);
    size_t len = json_string_length(content), n;
    if (!s)
        return err_set(e, NULL, "\"%s\" must be a string", tag);
    if (strcmp(tag, "$float") == 0) {
        double f;
        if (strlen(s) != len || !parse_float(s, &f))
            return err_set(e, NULL, "\"$float\": '%s' is not a float", s);
        *v = value_float(f);
    } else if (strcmp(tag, "$int") == 0) {
        int64_t i;
        if (!value_parse_int(s, len, &i))
            return err_set(e, NULL, "\"$int\": '%s' is not a 64-bit integer", s);
        *v = value_int(i);
    } else {
        char *bytes = arena_alloc(&j->made, len / 4 * 3 + 1);
        if (!decode_base64(s, len, bytes, &n))
            return err_set(e, NULL, "\"$bytes\" is not base64");
        *v = value_text(bytes, n);
    }
    return true;
}

/* The tag of {"$…": …} and its value; NULL for other objects. */
static const char *tag_of(json_t *o, json_t **content)
{
    void *it = json_object_size(o) == 1 ? json_object_iter(o) : NULL;
    if (!it || !is_tag(json_object_iter_key(it), json_object_iter_key_len(it)))
        return NULL;
    *content = json_object_iter_value(it);
    return json_object_iter_key(it);
}

/* Reads a number as an integer. All numbers are parsed as doubles here, since jq may write a float without a
 * fraction. */
static bool exact_int(const json_t *o, int64_t *i, struct err *e)
{
    double f = json_real_value(o);
    if (f != floor(f))
        return err_set(e, NULL, "must be an integer, not a number with a fraction");
    if (fabs(f) >= (double)EXACT_INT) {
        err_set(e, NULL, "an integer of 2^53 or more, which jq rounds");
        return err_hint(e, "write it as {\"$int\":\"...\"}");
    }
    *i = (int64_t)f;
    return true;
}

static bool pack_part(struct json_reader *j, msgpack_packer *pk, json_t *o, int depth, struct err *e);

static bool pack_map(struct json_reader *j, msgpack_packer *pk, json_t *o, int depth, struct err *e)
{
    if (json_object_size(o) > WIRE_MAX_MAP)
        return err_set(e, NULL, "a map with more than %d entries", WIRE_MAX_MAP);
    msgpack_pack_map(pk, json_object_size(o));
    for (void *it = json_object_iter(o); it; it = json_object_iter_next(o, it)) {
        pack_text(pk, json_object_iter_key(it), json_object_iter_key_len(it));
        if (!pack_part(j, pk, json_object_iter_value(it), depth + 1, e))
            return false;
    }
    return true;
}

/* Appends a part of a map value. depth: the number of enclosing maps and arrays, including the record. */
static bool pack_part(struct json_reader *j, msgpack_packer *pk, json_t *o, int depth, struct err *e)
{
    struct value v;
    json_t *content;
    const char *tag;
    if (depth > WIRE_MAX_DEPTH - (json_is_object(o) || json_is_array(o)))
        return err_set(e, NULL, "nested deeper than %d levels", WIRE_MAX_DEPTH);
    switch (json_typeof(o)) {
    case JSON_NULL:
        return msgpack_pack_nil(pk) == 0;
    case JSON_TRUE:
        return msgpack_pack_true(pk) == 0;
    case JSON_FALSE:
        return msgpack_pack_false(pk) == 0;
    case JSON_STRING:
        pack_text(pk, json_string_value(o), json_string_length(o));
        return true;
    case JSON_REAL:
    case JSON_INTEGER:
        if (!exact_int(o, &v.i, e))
            return e->hint[0] ? false : err_hint(e, "a float in a map must be {\"$float\":\"...\"}");
        return msgpack_pack_int64(pk, v.i) == 0;
    case JSON_ARRAY:
        msgpack_pack_array(pk, json_array_size(o));
        for (size_t i = 0; i < json_array_size(o); i++)
            if (!pack_part(j, pk, json_array_get(o, i), depth + 1, e))
                return false;
        return true;
    case JSON_OBJECT:
        break;
    }
    tag = tag_of(o, &content);
    if (tag && strcmp(tag, "$map") == 0)
        return json_is_object(content) ? pack_map(j, pk, content, depth, e)
                                       : err_set(e, NULL, "\"$map\" must be an object");
    if (!tag)
        return pack_map(j, pk, o, depth, e);
    if (!read_tagged(j, tag, content, &v, e))
        return false;
    if (value_is_text(&v)) /* not a text field: bytes remain bytes, even if they are UTF-8 */
        v.type = VALUE_BIN;
    pack_value(pk, &v);
    return true;
}

static bool read_map(struct json_reader *j, json_t *o, struct value *v, struct err *e)
{
    struct buf out = {0};
    msgpack_packer pk;
    pack_begin(&pk, &out);
    bool good = pack_part(j, &pk, o, 1, e);
    if (good)
        *v = (struct value){
            .type = VALUE_MAP, .len = (uint32_t)out.len, .s = arena_strndup(&j->made, out.data, out.len)};
    buf_free(&out);
    return good;
}

static bool read_number(const struct field_desc *f, const json_t *o, struct value *v, struct err *e)
{
    if (f->type == FIELD_FLOAT) {
        *v = value_float(json_real_value(o));
        return true;
    }
    v->type = VALUE_INT;
    return exact_int(o, &v->i, e);
}

static bool read_value(struct json_reader *j, const struct field_desc *f, json_t *o, struct value *v,
                       struct err *e)
{
    json_t *content;
    const char *tag;
    switch (json_typeof(o)) {
    case JSON_NULL:
        *v = value_null();
        return true;
    case JSON_TRUE:
    case JSON_FALSE:
        *v = value_bool(json_is_true(o));
        return true;
    case JSON_STRING:
        *v = value_strn(json_string_value(o), json_string_length(o));
        return true;
    case JSON_REAL:
    case JSON_INTEGER:
        return read_number(f, o, v, e);
    case JSON_ARRAY:
        return err_set(e, NULL, "unexpected array");
    case JSON_OBJECT:
        break;
    }
    tag = tag_of(o, &content);
    if (f->type == FIELD_MAP && (!tag || strcmp(tag, "$map") == 0))
        return read_map(j, o, v, e);
    if (!tag || strcmp(tag, "$map") == 0)
        return err_set(e, NULL, "unexpected object");
    return read_tagged(j, tag, content, v, e);
}

static bool read_fields(struct json_reader *j, struct record *out, struct err *e)
{
    const struct kind_desc *kind = out->kind;
    for (void *it = json_object_iter(j->root); it; it = json_object_iter_next(j->root, it)) {
        const char *name = json_object_iter_key(it);
        size_t len = json_object_iter_key_len(it);
        struct err inner;
        if (len == 4 && memcmp(name, "kind", 4) == 0)
            continue;
        int f = field_by_name(kind, name, len);
        if (f < 0)
            return err_set(e, NULL, "a %s has no field '%s'", kind->name, name);
        if (!read_value(j, &kind->fields[f], json_object_iter_value(it), &out->v[f], &inner)) {
            err_set(e, NULL, "field '%s': %s", name, inner.what);
            return inner.hint[0] ? err_hint(e, "%s", inner.hint) : false;
        }
    }
    return true;
}

void json_require_memory(void)
{
    json_set_alloc_funcs(xmalloc, free);
}

json_t *json_parse(const char *s, size_t len, size_t flags, json_error_t *error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, json_require_memory);
    return json_loadb(s, len, flags | JSON_ALLOW_NUL, error);
}

/* The end of the string that begins before p: its closing quote, or `end`. */
static const char *string_end(const char *p, const char *end)
{
    for (;; p++) {
        const char *quote = memchr(p, '"', (size_t)(end - p)), *back = quote;
        if (!quote)
            return end;
        while (back > p && back[-1] == '\\')
            back--;
        if ((quote - back) % 2 == 0)
            return quote;
        p = quote;
    }
}

/* The characters of a line outside of its strings after which a value may come. Whether it is JSON does not
 * matter. */
static size_t count_marks(const char *line, size_t len)
{
    size_t marks = 0;
    const char *end = line + len;
    for (const char *p = line; p < end; p++) {
        if (*p == '"')
            p = string_end(p + 1, end);
        else
            marks += *p == ':' || *p == ',' || *p == '[' || *p == '{';
    }
    return marks;
}

/* Whether a stream can hold the record. */
static bool check_encoded(const struct record *r, struct err *e)
{
    struct buf encoded = {0};
    struct wire_scan scan = {0};
    wire_encode(r, &encoded);
    bool good = wire_scan_record(&scan, encoded.data, encoded.len, e) == WIRE_SCAN_DONE;
    buf_free(&encoded);
    return good;
}

bool json_read(struct json_reader *j, const char *line, size_t len, struct record *out, struct err *e)
{
    json_error_t error;
    struct err inner;
    size_t marks = count_marks(line, len);
    arena_reset(&j->made);
    json_decref(j->root);
    j->root = NULL;
    /* jansson takes some hundred bytes for a value, be it one character long. Those that make one value of a
     * record have four marks at most: `,"k":{"$int":"1"}`. */
    if (marks > 4 * (size_t)WIRE_MAX_ENTRIES)
        return err_set(e, NULL, "the record holds more than %d values", WIRE_MAX_ENTRIES);
    j->root = json_parse(line, len, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &error);
    if (!j->root)
        return err_set(e, NULL, "column %d: %s", error.column, error.text);
    if (!json_is_object(j->root))
        return err_set(e, NULL, "not a JSON object");
    const json_t *name = json_object_get(j->root, "kind");
    if (!json_is_string(name))
        return err_set(e, NULL, "missing \"kind\"");
    const struct kind_desc *kind = kind_by_name(json_string_value(name), json_string_length(name));
    if (!kind)
        return err_set(e, NULL, "unknown kind '%s'", json_string_value(name));
    record_init(out, kind->kind);
    if (!read_fields(j, out, e))
        return false;
    if (!record_validate(out, &inner))
        return err_set(e, NULL, "%s: %s", inner.where, inner.what);
    return marks < WIRE_MAX_ENTRIES / 4 || check_encoded(out, e);
}
