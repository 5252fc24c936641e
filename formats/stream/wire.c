/* Reads and writes record streams: segments, trailers, shards. */
#include "common/array.h"
#include "formats/record/merge_rules.h"
#include "formats/record/rows.h"
#include "formats/stream/sources.h"
#include "formats/stream/wire_record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#ifndef MLRUNS_TOOLS_VERSION
#define MLRUNS_TOOLS_VERSION "unknown"
#endif

enum {
    SOURCE_DIGITS = 32,
    MAX_SHARDS = 1000000,
    PRODUCER_MAX = sizeof((struct wire_header *)NULL)->producer - 1,
};

/* -- writing */

struct wire_writer {
    struct io_writer io;
    XXH3_state_t *hash; /* hash of the segment so far */
    struct wire_counts counts;
    struct buf scratch;
    struct buf trailer_counts;
    char trailer_checksum[17];
};

static XXH3_state_t *hash_new(void)
{
    XXH3_state_t *hash = XXH3_createState();
    if (!hash)
        xnomem(NULL);
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

static bool put(struct wire_writer *w, const char *data, size_t len)
{
    XXH3_64bits_update(w->hash, data, len);
    return w->io.fd < 0 ? !w->io.failed : io_write(&w->io, data, len);
}

static bool refuse_long(struct wire_writer *w, const struct record *r)
{
    struct buf where = {0};
    record_describe(r, &where);
    err_set(&w->io.error, buf_str(&where), "the record is longer than %zu bytes", WIRE_MAX_RECORD);
    buf_free(&where);
    w->io.failed = true;
    return false;
}

static bool put_record(struct wire_writer *w, const struct record *r)
{
    buf_reset(&w->scratch);
    wire_encode(r, &w->scratch);
    bool ok = w->scratch.len > WIRE_MAX_RECORD ? w->io.failed || refuse_long(w, r)
                                               : put(w, w->scratch.data, w->scratch.len);
    buf_trim(&w->scratch);
    return ok;
}

void wire_header_record(const struct wire_header *h, struct record *rec)
{
    record_init(rec, KIND_header);
    rec->v[F_header_format] = value_int(wire_is_delta(h) ? WIRE_FORMAT_DELTA : WIRE_FORMAT);
    rec->v[F_header_minor] = value_int(WIRE_MINOR);
    rec->v[F_header_producer] = value_str(h->producer);
    rec->v[F_header_source] = value_str(h->source);
    rec->v[F_header_shard] = value_int(h->shard);
    rec->v[F_header_shards] = value_int(h->shards);
    if (h->state[0] != '\0')
        rec->v[F_header_state] = value_str(h->state);
    if (h->has_base)
        rec->v[F_header_base] = value_int(h->base);
    if (h->tick[0] != '\0')
        rec->v[F_header_tick] = value_str(h->tick);
    if (h->without[0] != '\0')
        rec->v[F_header_without] = value_str(h->without);
}

bool wire_is_by(const struct wire_header *h, const char *program)
{
    size_t n = strlen(program);
    return strncmp(h->producer, program, n) == 0 && (h->producer[n] == ' ' || h->producer[n] == '\0');
}

bool wire_is_without(const struct wire_header *h, enum kind kind)
{
    struct value name = value_str(kinds[kind].name);
    return h->without[0] != '\0' && merge_listed(h->without, &name);
}

bool wire_write_header_copy(struct wire_writer *w, const struct wire_header *h)
{
    struct record r;
    wire_header_record(h, &r);
    XXH3_64bits_reset(w->hash);
    w->counts = (struct wire_counts){0};
    return put_record(w, &r);
}

void wire_header_init(struct wire_header *h, const char *source, int64_t shard, int64_t shards)
{
    *h = (struct wire_header){.format = WIRE_FORMAT, .minor = WIRE_MINOR, .shard = shard, .shards = shards};
    snprintf(h->producer, sizeof h->producer, "%s %s", err_program(), MLRUNS_TOOLS_VERSION);
    snprintf(h->source, sizeof h->source, "%s", source);
}

bool wire_write_header(struct wire_writer *w, const char *source, int64_t shard, int64_t shards)
{
    struct wire_header h;
    wire_header_init(&h, source, shard, shards);
    return wire_write_header_copy(w, &h);
}

bool wire_write(struct wire_writer *w, const struct record *r)
{
    w->counts.n[r->kind->kind]++;
    return put_record(w, r);
}

bool wire_write_encoded(struct wire_writer *w, const char *data, size_t len, const struct wire_counts *counts)
{
    for (int i = 0; i < KIND_COUNT; i++)
        w->counts.n[i] += counts->n[i];
    return put(w, data, len);
}

void wire_writer_trailer(struct wire_writer *w, struct record *trailer)
{
    struct buf *map = &w->trailer_counts;
    buf_reset(map);
    wire_encode_counts(&w->counts, map);
    snprintf(w->trailer_checksum, sizeof w->trailer_checksum, "%016" PRIx64, XXH3_64bits_digest(w->hash));
    record_init(trailer, KIND_trailer);
    trailer->v[F_trailer_counts] =
        (struct value){.type = VALUE_MAP, .len = (uint32_t)map->len, .s = map->data};
    trailer->v[F_trailer_skipped] = value_int((int64_t)w->counts.n[KIND_skipped]);
    trailer->v[F_trailer_checksum] = value_str(w->trailer_checksum);
}

bool wire_write_trailer(struct wire_writer *w)
{
    struct record r;
    wire_writer_trailer(w, &r);
    return put_record(w, &r) && wire_writer_flush(w);
}

const struct wire_counts *wire_writer_counts(const struct wire_writer *w)
{
    return &w->counts;
}

bool wire_writer_flush(struct wire_writer *w)
{
    return w->io.fd < 0 ? !w->io.failed : io_flush(&w->io);
}

const struct err *wire_writer_error(const struct wire_writer *w)
{
    return &w->io.error;
}

bool wire_writer_close(struct wire_writer *w, struct err *e)
{
    bool ok = w->io.fd >= 0 ? io_writer_close(&w->io, e) : !w->io.failed || err_copy(e, &w->io.error);
    XXH3_freeState(w->hash);
    buf_free(&w->scratch);
    buf_free(&w->trailer_counts);
    free(w);
    return ok;
}

/* -- reading */

static bool is_hex_id(const struct value *v)
{
    if (v->len != SOURCE_DIGITS)
        return false;
    for (uint32_t i = 0; i < v->len; i++)
        if (!strchr("0123456789abcdef", v->s[i]) || v->s[i] == '\0')
            return false;
    return true;
}

/* The state, base and tick of a header whose other fields are read. */
static bool read_state(const struct value *v, struct wire_header *h, struct err *e)
{
    const struct value *state = &v[F_header_state], *base = &v[F_header_base], *tick = &v[F_header_tick];
    if (!value_is_null(state) && !is_hex_id(state))
        return err_set(e, NULL, "the state is not %d hexadecimal digits", SOURCE_DIGITS);
    if (!value_is_null(state))
        memcpy(h->state, state->s, SOURCE_DIGITS);
    if (!value_is_null(base)) {
        h->has_base = true;
        h->base = base->i;
    }
    if (!value_is_null(tick) && (value_is_null(state) || !is_hex_id(tick)))
        return err_set(e, NULL, "the tick must be %d hexadecimal digits, of a state", SOURCE_DIGITS);
    if (!value_is_null(tick))
        memcpy(h->tick, tick->s, SOURCE_DIGITS);
    if (h->has_base && (value_is_null(state) || h->base < 0))
        return err_set(e, NULL, "the base must be a generation, from 0, of a state");
    if (h->has_base && h->format == WIRE_FORMAT)
        return err_set(e, NULL, "a stream with a base must have format %d", WIRE_FORMAT_DELTA);
    if (wire_is_delta(h) && h->shards > 1)
        return err_set(e, NULL, "a delta must not be a shard");
    return true;
}

bool wire_header_read(const struct record *rec, struct wire_header *h, struct err *e)
{
    const struct value *v = rec->v, *producer = &v[F_header_producer];
    struct err inner;
    if (v[F_header_format].type == VALUE_INT && v[F_header_format].i > WIRE_FORMAT_DELTA) {
        err_set(e, NULL, "the stream has format %" PRId64 ", this program reads formats %d and %d",
                v[F_header_format].i, WIRE_FORMAT, WIRE_FORMAT_DELTA);
        return err_hint(e, "it was written by a newer mlruns-tools; use that to read it");
    }
    if (!record_validate(rec, &inner))
        return err_set(e, NULL, "%s: %s", inner.where, inner.what);
    *h = (struct wire_header){.format = v[F_header_format].i,
                              .minor = v[F_header_minor].i,
                              .shard = v[F_header_shard].i,
                              .shards = v[F_header_shards].i};
    if (h->format < WIRE_FORMAT || h->minor < 0)
        return err_set(e, NULL, "invalid format: %" PRId64 ".%" PRId64, h->format, h->minor);
    if (h->shards < 1 || h->shards > MAX_SHARDS || h->shard < 0 || h->shard >= h->shards)
        return err_set(e, NULL, "invalid shard: %" PRId64 "/%" PRId64, h->shard, h->shards);
    if (!is_hex_id(&v[F_header_source]))
        return err_set(e, NULL, "the source must be %d hexadecimal digits", SOURCE_DIGITS);
    if (producer->type != VALUE_STR || producer->len > PRODUCER_MAX ||
        memchr(producer->s, '\0', producer->len))
        return err_set(e, NULL, "the producer must be a text of at most %d bytes", (int)PRODUCER_MAX);
    memcpy(h->source, v[F_header_source].s, SOURCE_DIGITS);
    memcpy(h->producer, producer->s, producer->len);
    const struct value *without = &v[F_header_without];
    if (!value_is_null(without) && (without->type != VALUE_STR || without->len >= sizeof h->without))
        return err_set(e, NULL, "the kinds left out must be a text of at most %zu bytes",
                       sizeof h->without - 1);
    if (!value_is_null(without))
        memcpy(h->without, without->s, without->len);
    return read_state(v, h, e);
}

bool wire_record_allowed(const struct wire_header *h, const struct record *rec, struct err *e)
{
    enum record_part part = record_part(rec);
    if (part == PART_WHOLE || (part != PART_INVALID && wire_is_delta(h)))
        return true;
    struct buf who = {0};
    record_describe(rec, &who);
    if (part == PART_INVALID)
        err_set(e, NULL, "%s: field 'partial' must be \"unchanged\" or \"changed\"", buf_str(&who));
    else
        err_set(e, NULL, "%s: marked partial in a stream of format %d", buf_str(&who), WIRE_FORMAT);
    buf_free(&who);
    return false;
}

bool wire_refuse_delta(const struct wire_header *h, struct err *e)
{
    if (h->has_base)
        err_set(e, NULL,
                "the stream is a delta (format 2): it has only what changed since generation %" PRId64
                " of state %s",
                h->base, h->state);
    else
        err_set(e, NULL, "the stream is a delta (format 2): it has only parts of some entities");
    return err_hint(e, "`ml-load --sync` takes it; a dump without --since writes the whole");
}

/* Compares a trailer with the records read. unknown: the number of records of unknown kinds. */
static bool check_trailer(const struct record *trailer, const struct wire_counts *counts, uint64_t unknown,
                          uint64_t checksum, struct err *e)
{
    struct value want = trailer->v[F_trailer_checksum];
    const struct value *map = &trailer->v[F_trailer_counts];
    struct wire_counts given = {0};
    uint64_t given_unknown = 0;
    char hex[17];
    bool good = wire_decode_counts(map, &given, &given_unknown, e);
    given.n[KIND_skipped] = (uint64_t)trailer->v[F_trailer_skipped].i;
    for (int i = 0; good && i < KIND_COUNT; i++)
        if (given.n[i] != counts->n[i])
            good = err_set(e, NULL,
                           "the trailer counts %" PRIu64 " records of kind '%s', but there are %" PRIu64,
                           given.n[i], kinds[i].name, counts->n[i]);
    if (good && given_unknown != unknown)
        good = err_set(e, NULL,
                       "the trailer counts %" PRIu64 " records of unknown kinds, but there are %" PRIu64,
                       given_unknown, unknown);
    snprintf(hex, sizeof hex, "%016" PRIx64, checksum);
    if (good && !value_eqs(&want, hex)) {
        struct buf text = {0};
        value_describe(&want, &text);
        good = err_set(e, NULL, "the checksum is %s, but the trailer says %s", hex, buf_str(&text));
        buf_free(&text);
    }
    return good;
}

bool wire_writer_check(const struct wire_writer *w, const struct record *trailer, struct err *e)
{
    return check_trailer(trailer, &w->counts, 0, XXH3_64bits_digest(w->hash), e);
}

struct wire_reader {
    struct io_reader io;
    struct wire_decoder *decoder;
    struct row_decoder *rows;
    char span_experiment[24]; /* of the current record, where that is a span that came as a row */
    XXH3_state_t *hash;
    struct wire_header header;
    struct wire_counts counts;
    uint64_t unknown;  /* number of records of unknown kinds in this segment */
    uint64_t segments; /* number of valid trailers */
    uint64_t number;   /* number of the current record, from 1 */
    size_t current;    /* size of the current record, still unconsumed */
    bool in_segment;
    bool deltas; /* accepted */
    bool failed;
    struct err failure;
    struct record rec;
    struct buf warned;            /* names already warned about, each with a NUL */
    struct wire_sources *sources; /* NULL: the stream need not be whole */
};

struct wire_reader *wire_reader_new(int fd, const char *name)
{
    struct wire_reader *r = xcalloc(1, sizeof *r);
    io_reader_init(&r->io, fd, name);
    r->decoder = wire_decoder_new();
    r->rows = row_decoder_new();
    r->hash = hash_new();
    return r;
}

void wire_reader_want_whole(struct wire_reader *r, const char *tmpdir)
{
    r->sources = wire_sources_new(tmpdir, false);
}

void wire_reader_want_whole_copies(struct wire_reader *r, const char *tmpdir)
{
    r->sources = wire_sources_new(tmpdir, true);
}

void wire_reader_accept_deltas(struct wire_reader *r)
{
    r->deltas = true;
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

/* Formats the position of the current record, or of the expected one. */
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
    /* A truncated shard swallows the beginning of the next one, so any error is possible. */
    if (in_shard(r) && !hint)
        hint = "this shard is truncated or damaged: dump it again";
    fail_at(r, where, buf_str(&what), hint);
    buf_free(&what);
    return WIRE_ERROR;
}

static const char truncated_hint[] = "its producer was stopped or failed: see its message, and run it again";

/* Hints for input that is piped by mistake. */
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
        {"SQLite format 3", "this is a SQLite database: `mldb-dump sqlite:///FILE` converts it to a stream"},
    };
    for (size_t i = 0; i < ARRAY_LENGTH(known); i++)
        if (len >= strlen(known[i].magic) && memcmp(data, known[i].magic, strlen(known[i].magic)) == 0)
            return known[i].hint;
    return NULL;
}

/* Ensures that the next whole record is at r->io.data, r->current bytes long. Returns 1, 0: end of file, -1:
 * error. */
static int next_bytes(struct wire_reader *r)
{
    struct wire_scan s = {0};
    struct err e;
    for (;;) {
        enum wire_scan_result end = wire_scan_record(&s, r->io.data, r->io.len, &e);
        if (end == WIRE_SCAN_DONE) {
            r->current = s.pos;
            return 1;
        }
        if (end == WIRE_SCAN_BAD) {
            const char *hint = r->number == 1 ? guess_input(r->io.data, r->io.len) : NULL;
            fail(r, hint, r->in_segment || r->segments == 0 ? "%s" : "%s (after a trailer)", e.what);
            return -1;
        }
        int got = io_fill(&r->io, s.need, &e);
        if (got < 0) {
            r->failure = e;
            r->failed = true;
            return -1;
        }
        if (got > 0)
            continue;
        if (r->io.len == 0)
            return 0;
        fail(r, truncated_hint, "the stream is truncated in the middle of a record");
        return -1;
    }
}

/* Warns once about each kind or field of a newer minor version that is ignored. kind NULL: field is the
 * kind. */
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
                 "%s: unknown to this program, ignored (the stream has format %" PRId64 ".%" PRId64 ")", name,
                 r->header.format, r->header.minor);
    }
    free(name);
}

/* An error of the sources is one of the stream, or of their temporary file. */
static enum wire_event fail_sources(struct wire_reader *r, const struct err *e)
{
    if (!e->where[0])
        return fail(r, e->hint, "%s", e->what);
    err_copy(&r->failure, e);
    r->failed = true;
    return WIRE_ERROR;
}

static enum wire_event take_header(struct wire_reader *r)
{
    struct err e;
    if (!wire_header_read(&r->rec, &r->header, &e))
        return fail(r, e.hint, "%s", e.what);
    if (wire_is_delta(&r->header) && !r->deltas) {
        wire_refuse_delta(&r->header, &e);
        return fail(r, e.hint, "%s", e.what);
    }
    if (r->sources && !wire_sources_add(r->sources, &r->header, &e))
        return fail_sources(r, &e);
    r->in_segment = true;
    return WIRE_HEADER;
}

static enum wire_event take_trailer(struct wire_reader *r)
{
    struct err e;
    if (!check_trailer(&r->rec, &r->counts, r->unknown, XXH3_64bits_digest(r->hash), &e))
        return fail(r, "the stream was damaged in transit: write it again", "%s", e.what);
    r->in_segment = false;
    r->segments++;
    return WIRE_TRAILER;
}

static enum wire_event take_end(struct wire_reader *r)
{
    struct err e;
    if (r->in_segment)
        return fail(r, truncated_hint, "the stream is truncated: its trailer is missing");
    if (r->segments == 0)
        return fail_at(r, r->io.name, "the stream is empty", truncated_hint);
    if (r->sources && !wire_sources_are_whole(r->sources, &e))
        return fail_sources(r, &e);
    return WIRE_END;
}

static enum wire_event take_record(struct wire_reader *r, const struct record **rec)
{
    struct err e;
    if (r->rec.kind->kind == KIND_header)
        return fail(r, truncated_hint, "a header within a segment: the segment before it is truncated");
    if (!record_validate(&r->rec, &e))
        return fail(r, NULL, "%s: %s", e.where, e.what);
    if (!wire_record_allowed(&r->header, &r->rec, &e))
        return fail(r, NULL, "%s", e.what);
    if (r->rec.kind->kind == KIND_trailer)
        return take_trailer(r);
    XXH3_64bits_update(r->hash, r->io.data, r->current);
    r->counts.n[r->rec.kind->kind]++;
    row_as_span(r->rows, &r->rec, r->span_experiment);
    if (rec)
        *rec = &r->rec;
    return WIRE_RECORD;
}

/* Handles one record. WIRE_END with r->current not 0: it was ignored. */
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
    /* The version is unknown before the header is read. */
    struct wire_tolerance t = {!r->in_segment || r->header.minor > WIRE_MINOR,
                               r->in_segment ? left_out : NULL, r};
    enum wire_decode_result result =
        wire_decode_tolerant(r->decoder, r->io.data, r->current, &r->rec, &t, &e);
    if (result == WIRE_DECODE_BAD)
        return fail(r, NULL, "%s", e.what);
    bool is_header = result == WIRE_DECODE_RECORD && r->rec.kind->kind == KIND_header;
    if (!r->in_segment && !is_header)
        return fail(r, NULL,
                    r->segments > 0 ? "a trailer must be followed by a header"
                                    : "a stream must begin with a header");
    if (!r->in_segment) {
        XXH3_64bits_update(r->hash, r->io.data, r->current);
        return take_header(r);
    }
    if (result == WIRE_DECODE_RECORD)
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
    wire_sources_free(r->sources);
    io_reader_free(&r->io);
    wire_decoder_free(r->decoder);
    row_decoder_free(r->rows);
    XXH3_freeState(r->hash);
    buf_free(&r->warned);
    free(r);
}
