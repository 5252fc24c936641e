/* The stream: what is written is read; whatever is wrong with it is named. */
#include <math.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/array.h"
#include "formats/stream/wire.h"
#include "tests/unit/tap.h"

static const char source[] = "0123456789abcdef0123456789abcdef";

/* A temporary file that has no name. */
static int scratch_file(void)
{
    FILE *f = tmpfile();
    if (!f) {
        perror("tmpfile");
        exit(2);
    }
    return dup(fileno(f));
}

static void contents(int fd, struct buf *out)
{
    char block[4096];
    ssize_t n;
    buf_reset(out);
    lseek(fd, 0, SEEK_SET);
    while ((n = read(fd, block, sizeof block)) > 0)
        buf_add(out, block, (size_t)n);
}

static int file_of(const char *data, size_t len)
{
    int fd = scratch_file();
    if (!io_write_all(fd, data, len))
        exit(2);
    lseek(fd, 0, SEEK_SET);
    return fd;
}

static struct record metric(const char *key, int64_t step, double value)
{
    struct record r;
    record_init(&r, KIND_metric);
    r.v[F_metric_run_id] = value_str("r1");
    r.v[F_metric_key] = value_str(key);
    r.v[F_metric_step] = value_int(step);
    r.v[F_metric_timestamp] = value_int(1600000000000);
    r.v[F_metric_value] = value_float(value);
    return r;
}

static struct record param(const char *value, size_t len)
{
    struct record r;
    record_init(&r, KIND_param);
    r.v[F_param_run_id] = value_str("r1");
    r.v[F_param_key] = value_str("p");
    r.v[F_param_value] = value_text(value, len);
    return r;
}

static void write_segment(struct wire_writer *w, int64_t shard, int64_t shards, int n)
{
    wire_write_header(w, source, shard, shards);
    for (int i = 0; i < n; i++) {
        struct record m = metric("loss", i, 0.5 * i);
        wire_write(w, &m);
    }
    wire_write_trailer(w);
}

/* A stream of the segments shards[0..n) of `of`, each with three records. */
static void make_stream(const int *shards, int n, int of, struct buf *out)
{
    int fd = scratch_file();
    int keep = dup(fd);
    struct wire_writer *w = wire_writer_new(fd, "test");
    for (int i = 0; i < n; i++)
        write_segment(w, shards[i], of, 3);
    wire_writer_close(w, NULL);
    contents(keep, out);
    close(keep);
}

/* Reads a stream to its end; the number of records, or -1 with e filled. */
static int read_all(const char *data, size_t len, bool whole, struct err *e)
{
    int fd = file_of(data, len), n = 0;
    struct wire_reader *r = wire_reader_new(fd, "in");
    const struct record *rec;
    enum wire_event event;
    if (whole)
        wire_reader_want_whole(r, ".");
    while ((event = wire_next(r, &rec, e)) > WIRE_END)
        n += event == WIRE_RECORD;
    wire_reader_free(r);
    close(fd);
    return event == WIRE_END ? n : -1;
}

static void is_refused(const char *data, size_t len, bool whole, const char *what, const char *name)
{
    struct err e = {0};
    int n = read_all(data, len, whole, &e);
    ok(n == -1 && strstr(e.what, what), "%s: refused (%s: %s)", name, e.where, e.what);
}

static void test_round_trip(void)
{
    static const int64_t ints[] = {0,   1,     -1,    127,       128,       -32,
                                   -33, 65535, 65536, INT32_MIN, INT64_MIN, INT64_MAX};
    static const double floats[] = {0.0, -0.0, 1.0, 0.1, 5e-324, 1.7976931348623157e308, INFINITY, -INFINITY};
    struct wire_decoder *d = wire_decoder_new();
    struct buf b = {0};
    struct record out;
    struct err e;
    for (size_t i = 0; i < ARRAY_LENGTH(ints); i++) {
        struct record m = metric("k", ints[i], 1);
        buf_reset(&b);
        wire_encode(&m, &b);
        ok(wire_decode(d, b.data, b.len, &out, &e) && out.v[F_metric_step].i == ints[i], "integer %" PRId64,
           ints[i]);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(floats); i++) {
        struct record m = metric("k", 1, floats[i]);
        buf_reset(&b);
        wire_encode(&m, &b);
        ok(wire_decode(d, b.data, b.len, &out, &e) &&
               value_same(&out.v[F_metric_value], &m.v[F_metric_value]),
           "float %g", floats[i]);
    }
    struct record a = metric("k", 1, NAN), c = metric("k", 1, -NAN);
    struct buf other = {0};
    buf_reset(&b);
    wire_encode(&a, &b);
    wire_encode(&c, &other);
    ok(b.len == other.len && memcmp(b.data, other.data, b.len) == 0, "all NaN are the same bytes");
    ok(wire_decode(d, b.data, b.len, &out, &e) && isnan(out.v[F_metric_value].f), "NaN");

    struct record text = param("\xff\xfe\0x", 4);
    buf_reset(&b);
    wire_encode(&text, &b);
    ok(wire_decode(d, b.data, b.len, &out, &e) && out.v[F_param_value].type == VALUE_BIN &&
           value_same(&out.v[F_param_value], &text.v[F_param_value]),
       "bytes that are not UTF-8 are bin");
    ok(!wire_decode(d, b.data, b.len - 1, &out, &e), "a cut record is refused: %s", e.what);
    buf_addc(&b, '\0');
    ok(!wire_decode(d, b.data, b.len, &out, &e), "bytes after a record are refused: %s", e.what);
    buf_free(&b);
    buf_free(&other);
    wire_decoder_free(d);
}

static void test_canonical(void)
{
    struct record m = metric("loss", 1, 0.5);
    struct buf b = {0};
    m.v[F_metric_timestamp] = value_int(300);
    wire_encode(&m, &b);
    static const char want[] =
        "\x86\xa4kind\xa6metric\xa6run_id\xa2r1\xa3key\xa4loss\xa4step\x01\xa9timestamp\xcd\x01\x2c\xa5"
        "value\xcb\x3f\xe0\0\0\0\0\0\0";
    ok(b.len == sizeof want - 1 && memcmp(b.data, want, b.len) == 0,
       "the encoding of a metric, byte by byte");
    buf_free(&b);
}

/* MessagePack by hand: s is the body of one record. */
static void is_decode_error(const char *s, size_t len, const char *what, const char *name)
{
    struct wire_decoder *d = wire_decoder_new();
    struct record out;
    struct err e = {0};
    ok(!wire_decode(d, s, len, &out, &e) && strstr(e.what, what), "%s: refused (%s)", name, e.what);
    wire_decoder_free(d);
}
#define BAD(bytes, what, name) is_decode_error(bytes, sizeof bytes - 1, what, name)

static void test_malformed(void)
{
    BAD("\x01", "does not begin a record", "an integer");
    BAD("\x91\x01", "does not begin a record", "an array");
    BAD("\xdd\xff\xff\xff\xff", "does not begin a record", "an array of 4 G entries");
    BAD("\x80", "not a record", "an empty map");
    BAD("\x81\xa4kind\xa3xyz", "unknown kind 'xyz'", "an unknown kind");
    BAD("\x82\xa4kind\xa5param\xa1x\x01", "has no field 'x'", "an unknown field");
    BAD("\x83\xa4kind\xa5param\xa3key\xa1x\xa3key\xa1x", "duplicate", "a field given twice");
    BAD("\x82\xa4kind\xa5param\xa3key\xa1\xff", "not UTF-8", "str that is not UTF-8");
    BAD("\x82\xa4kind\xa5param\xa3key\x01", "'run_id' is missing", "a field missing");
    BAD("\x84\xa4kind\xa5param\xa6run_id\xa1r\xa3key\x01\xa5value\xa1v", "must be text, not an integer",
        "a wrong type");
    BAD("\x82\xa4kind\xa6metric\xa4step\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
        "does not fit a signed 64-bit integer", "an integer beyond 63 bits");
    BAD("\x82\xa4kind\xa5param\xa3key\xdd\xff\xff\xff\xff", "holds more than",
        "an inner array of 4 G entries");
    BAD("\x82\xa4kind\xa5param\xa3key\xdf\xff\xff\xff\xff", "holds more than", "an inner map of 4 G entries");
    BAD("\x82\xa4kind\xa5param\xa3key\xdb\xff\xff\xff\xff", "longer than", "a text of 4 GiB");
    BAD("\x82\xa4kind\xa5param\xa3key\xc1", "does not begin a valid value", "the byte that means nothing");
    BAD("\x82\xa4kind\xa5param\xa3key\xd4\x01\x01", "does not begin a valid value", "an extension");
    BAD("\x82\xa4kind\xa5param\xa3key\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91"
        "\x01",
        "nested deeper", "nesting");
    BAD("\x82\xa4kind\xa7trailer\xa6"
        "counts\x82\xa1"
        "a\x01\xa1"
        "a\x02",
        "duplicate keys", "a map with equal keys");
    BAD("\x82\xa4kind\xa7trailer\xa6"
        "counts\x81\x01\x01",
        "keys are not all", "a map whose key is a number");
}

static void test_foreign_encoding(void)
{
    /* Wider integers, float 32, fields in another order, map values not canonical: read, and canonical again.
     */
    static const char foreign[] =
        "\xde\x00\x06\xa4kind\xd9\x06metric\xa5value\xca\x3f\x00\x00\x00\xa4step\xd3\0\0\0\0\0\0\0\x01"
        "\xa9timestamp\xcd\x01\x2c\xa3key\xc4\x04loss\xa6run_id\xda\x00\x02r1";
    struct wire_decoder *d = wire_decoder_new();
    struct record out, want = metric("loss", 1, 0.5);
    struct buf a = {0}, b = {0};
    struct err e = {0};
    want.v[F_metric_timestamp] = value_int(300);
    ok(wire_decode(d, foreign, sizeof foreign - 1, &out, &e), "foreign widths and order are read %s", e.what);
    wire_encode(&out, &a);
    wire_encode(&want, &b);
    ok(a.len == b.len && memcmp(a.data, b.data, a.len) == 0, "and are canonical when written");
    static const char trailer[] = "\x84\xa4kind\xa7trailer\xa6"
                                  "counts\xde\x00\x01\xd9\x03run\xcd\x00\x05\xa7skipped\x00\xa8"
                                  "checksum\xa1x";
    ok(wire_decode(d, trailer, sizeof trailer - 1, &out, &e) && out.v[0].type == VALUE_MAP &&
           out.v[0].len == 6 && memcmp(out.v[0].s, "\x81\xa3run\x05", 6) == 0,
       "map values become canonical");
    buf_free(&a);
    buf_free(&b);
    wire_decoder_free(d);
}

static void test_stream(void)
{
    struct buf s = {0};
    struct err e = {0};
    make_stream((int[]){0}, 1, 1, &s);
    is_int(read_all(s.data, s.len, true, &e), 3, "a stream is read");
    struct buf twice = {0};
    buf_add(&twice, s.data, s.len);
    buf_add(&twice, s.data, s.len);
    is_int(read_all(twice.data, twice.len, false, &e), 6, "two segments are a stream");
    is_refused(twice.data, twice.len, true, "duplicate", "one source twice, where the whole is wanted");
    is_refused("", 0, false, "empty", "an empty stream");
    for (size_t cut = 1; cut < s.len; cut++) {
        int n = read_all(s.data, cut, false, &e);
        if (n != -1 || !strstr(e.what, "truncated"))
            ok(false, "cut at byte %zu: %d %s", cut, n, e.what);
    }
    ok(true, "cut at each byte: refused");
    int accepted = 0;
    for (size_t at = 0; at < s.len; at++) {
        for (int bit = 0; bit < 8; bit++) {
            s.data[at] = (char)(s.data[at] ^ (1 << bit));
            accepted += read_all(s.data, s.len, false, &e) != -1;
            s.data[at] = (char)(s.data[at] ^ (1 << bit));
        }
    }
    is_int(accepted, 0, "each bit flipped: refused");
    buf_addc(&s, '\n');
    is_refused(s.data, s.len, false, "after a trailer", "a byte after the trailer");
    is_refused("{\"kind\":\"header\"}", 17, false, "does not begin a record", "JSON");
    is_refused(s.data + 8, s.len - 8, false, "begin", "a stream without its beginning");
    buf_free(&s);
    buf_free(&twice);
}

static void test_shards(void)
{
    struct buf s = {0};
    struct err e = {0};
    make_stream((int[]){2, 0, 1}, 3, 3, &s);
    is_int(read_all(s.data, s.len, true, &e), 9, "all shards, in any order");
    make_stream((int[]){2, 0}, 2, 3, &s);
    is_refused(s.data, s.len, true, "shard 1/3", "a shard missing");
    is_int(read_all(s.data, s.len, false, &e), 6, "a filter takes what it gets");
    make_stream((int[]){0, 1, 1}, 3, 3, &s);
    is_refused(s.data, s.len, true, "duplicate shard 1/3 of source 0123456789abcdef0123456789abcdef",
               "a shard given twice");
    make_stream((int[]){3}, 1, 3, &s);
    is_refused(s.data, s.len, false, "invalid shard", "shard 3/3");
    buf_free(&s);
}

/* Replaces the first `from` in s by `to` of the same length. */
static void patch(struct buf *s, const char *from, size_t len, const char *to)
{
    char *p = memmem(s->data, s->len, from, len);
    if (!ok(p != NULL, "there is something to patch"))
        return;
    memcpy(p, to, len);
}

static void test_versions(void)
{
    struct buf s = {0};
    make_stream((int[]){0}, 1, 1, &s);
    patch(&s, "format\x01", 7, "format\x03");
    is_refused(s.data, s.len, false, "format 3", "a newer major version");
    make_stream((int[]){0}, 1, 1, &s);
    patch(&s, "minor\x03", 6, "minor\x04");
    patch(&s, "loss\xa4step", 9, "loss\xa4stop");
    is_refused(s.data, s.len, false, "'step' is missing",
               "a required field of another name, in a newer minor version");
    buf_free(&s);
}

/* A stream of a newer minor version with a field and a kind that are unknown here. */
static void test_newer_minor(void)
{
    static const char kind[] = "\x82\xa4kind\xa6planet\xa4name\xa5venus";
    struct wire_counts none = {0};
    struct record m = metric("loss", 1, 0.5), trailer;
    struct buf field = {0}, s = {0};
    struct err e = {0};
    wire_encode(&m, &field);
    field.data[0] = (char)0x87;
    buf_add(&field,
            "\xa5"
            "color\xa3red",
            10);

    int fd = scratch_file(), keep = dup(fd);
    struct wire_writer *w = wire_writer_new(fd, "test");
    wire_write_header(w, source, 0, 1);
    wire_writer_close(w, NULL);
    contents(keep, &s);
    close(keep);
    patch(&s, "minor\x03", 6, "minor\x04");
    /* The checksum of the patched segment, by a writer that takes its bytes as they are. */
    w = wire_writer_new(-1, "sum");
    wire_write_encoded(w, s.data, s.len, &none);
    none.n[KIND_metric] = 1;
    wire_write_encoded(w, field.data, field.len, &none);
    none.n[KIND_metric] = 0;
    wire_write_encoded(w, kind, sizeof kind - 1, &none);
    buf_add(&s, field.data, field.len);
    buf_add(&s, kind, sizeof kind - 1);
    wire_writer_trailer(w, &trailer);
    trailer.v[F_trailer_counts].s = "\x82\xa6metric\x01\xa6planet\x01";
    trailer.v[F_trailer_counts].len = 17;
    wire_encode(&trailer, &s);
    wire_writer_close(w, NULL);
    fflush(stderr);
    int saved = dup(STDERR_FILENO), log = scratch_file();
    dup2(log, STDERR_FILENO);
    int n = read_all(s.data, s.len, true, &e);
    dup2(saved, STDERR_FILENO);
    is_int(n, 1, "a newer minor version is read %s", n < 0 ? e.what : "");
    contents(log, &field);
    ok(strstr(buf_str(&field), "'color'") && strstr(buf_str(&field), "'planet'"),
       "with a warning for field and kind");
    patch(&s, "minor\x04", 6, "minor\x03");
    is_refused(s.data, s.len, false, "has no field 'color'", "an unknown field of our own version");
    close(saved);
    close(log);
    buf_free(&field);
    buf_free(&s);
}

/* A segment of h with a run, marked or not. */
static void make_delta(const struct wire_header *h, enum record_part part, struct buf *out)
{
    int fd = scratch_file(), keep = dup(fd);
    struct wire_writer *w = wire_writer_new(fd, "test");
    struct record r;
    record_init(&r, KIND_run);
    r.v[F_run_run_id] = value_str("r1");
    r.v[F_run_experiment_id] = value_str("1");
    r.v[F_run_lifecycle_stage] = value_str("active");
    record_set_part(&r, part);
    wire_write_header_copy(w, h);
    wire_write(w, &r);
    wire_write_trailer(w);
    wire_writer_close(w, NULL);
    contents(keep, out);
    close(keep);
}

/* Reads a segment that make_delta has made; the run's mark, or PART_INVALID with e filled. */
static enum record_part read_delta(const struct buf *s, struct wire_header *h, struct err *e)
{
    int fd = file_of(s->data, s->len);
    struct wire_reader *r = wire_reader_new(fd, "in");
    const struct record *rec;
    enum wire_event event;
    enum record_part part = PART_INVALID;
    wire_reader_accept_deltas(r);
    while ((event = wire_next(r, &rec, e)) > WIRE_END)
        if (event == WIRE_RECORD)
            part = record_part(rec);
    *h = *wire_reader_header(r);
    wire_reader_free(r);
    close(fd);
    return event == WIRE_END ? part : PART_INVALID;
}

static void test_deltas(void)
{
    static const char state[] = "00112233445566778899aabbccddeeff";
    struct wire_header h, got;
    struct buf s = {0};
    struct err e = {0};
    wire_header_init(&h, source, 0, 1);
    make_delta(&h, PART_WHOLE, &s);
    is_int(read_delta(&s, &got, &e), PART_WHOLE, "a stream without a state %s", e.what);
    ok(got.state[0] == '\0' && !got.has_base && got.format == WIRE_FORMAT, "is a whole");
    memcpy(h.state, state, sizeof state);
    make_delta(&h, PART_WHOLE, &s);
    is_int(read_all(s.data, s.len, true, &e), 1, "the first stream of a state is read as a whole");
    is_int(read_delta(&s, &got, &e), PART_WHOLE, "it names its state %s", e.what);
    is_str(got.state, state, "which is that of the header");
    ok(got.tick[0] == '\0', "and no tick");
    memcpy(h.tick, source, sizeof source);
    make_delta(&h, PART_WHOLE, &s);
    is_int(read_delta(&s, &got, &e), PART_WHOLE, "it may name its tick, too %s", e.what);
    is_str(got.tick, source, "which is that of the header");
    h.state[0] = '\0';
    make_delta(&h, PART_WHOLE, &s);
    ok(read_delta(&s, &got, &e) == PART_INVALID && strstr(e.what, "the tick must be"),
       "a tick of no state: refused (%s)", e.what);
    memcpy(h.state, state, sizeof state);
    is_int(got.format, WIRE_FORMAT, "and has format 1");
    make_delta(&h, PART_CHANGED, &s);
    ok(read_delta(&s, &got, &e) == PART_INVALID && strstr(e.what, "partial in a stream of format 1"),
       "a mark in a whole: refused (%s)", e.what);
    h.has_base = true;
    h.base = 0;
    make_delta(&h, PART_WHOLE, &s);
    is_refused(s.data, s.len, true, "only what changed since generation 0 of state 0011",
               "a delta as a whole");
    h.base = 41;
    make_delta(&h, PART_UNCHANGED, &s);
    is_int(read_delta(&s, &got, &e), PART_UNCHANGED, "a delta's mark %s", e.what);
    ok(got.has_base && got.base == 41 && got.format == WIRE_FORMAT_DELTA, "and base");
    h = (struct wire_header){.format = WIRE_FORMAT_DELTA, .shards = 1};
    memcpy(h.source, source, sizeof source);
    make_delta(&h, PART_CHANGED, &s);
    is_int(read_delta(&s, &got, &e), PART_CHANGED, "marks without a base %s", e.what);
    is_refused(s.data, s.len, true, "only parts of some entities", "as a whole");
    patch(&s, "changed", 7, "chanced");
    ok(read_delta(&s, &got, &e) == PART_INVALID && strstr(e.what, "must be \"unchanged\" or"),
       "another mark: refused (%s)", e.what);
    h.shards = 2;
    make_delta(&h, PART_CHANGED, &s);
    ok(read_delta(&s, &got, &e) == PART_INVALID && strstr(e.what, "must not be a shard"),
       "a shard of a delta: refused (%s)", e.what);
    buf_free(&s);
}

static void test_counts(void)
{
    struct buf s = {0};
    make_stream((int[]){0}, 1, 1, &s);
    patch(&s, "\xa6metric\x03", 8, "\xa6metric\x04");
    is_refused(s.data, s.len, false, "counts 4 records of kind 'metric', but there are 3", "a wrong count");
    make_stream((int[]){0}, 1, 1, &s);
    patch(&s, "skipped\x00", 8, "skipped\x01");
    is_refused(s.data, s.len, false, "counts 1 records of kind 'skipped'",
               "a wrong count of skipped records");
    buf_free(&s);
}

static void test_large(void)
{
    size_t len = (size_t)20 << 20;
    char *text = malloc(len);
    struct err e = {0};
    memset(text, 'x', len);
    int fd = scratch_file(), keep = dup(fd);
    struct wire_writer *w = wire_writer_new(fd, "test");
    struct record p = param(text, len);
    wire_write_header(w, source, 0, 1);
    wire_write(w, &p);
    wire_write_trailer(w);
    wire_writer_close(w, NULL);
    struct buf s = {0};
    contents(keep, &s);
    close(keep);
    is_int(read_all(s.data, s.len, true, &e), 1, "a record of 20 MiB");
    free(text);
    buf_free(&s);
}

int main(void)
{
    err_program_set("wire_test");
    test_round_trip();
    test_canonical();
    test_malformed();
    test_foreign_encoding();
    test_stream();
    test_shards();
    test_versions();
    test_newer_minor();
    test_deltas();
    test_counts();
    test_large();
    return done_testing();
}
