/* The record stream: MessagePack maps in segments of header, records and trailer (man/ml-record.5).
 *
 * Encoding is canonical: `kind` first, then the fields that are not null in the order of entities.def, each
 * number and length in its shortest form, floats as 64-bit, every NaN as the one quiet NaN. */
#ifndef FORMATS_WIRE_H
#define FORMATS_WIRE_H

#include <stdint.h>

#include "common/buf.h"
#include "common/io.h"
#include "formats/record/record.h"

/* Major versions: of a complete stream, and of a delta, which readers must not mistake for one. A stream has
 * format 2 if and only if its header has a base or one of its parents a mark (record_part). */
enum { WIRE_FORMAT = 1, WIRE_FORMAT_DELTA = 2, WIRE_MINOR = 3 };

/* Limits that the scanner enforces before msgpack-c sees a byte: bytes, entries, levels. */
/* One record: SQLite's default limit for a row (SQLITE_MAX_LENGTH); PostgreSQL's limit for a value is 2^30 -
   1.
 */
#define WIRE_MAX_RECORD ((size_t)1000000000)
enum {
    WIRE_MAX_ENTRIES = 65536, /* keys and values of one record, nested ones included */
    WIRE_MAX_MAP = 4096,      /* entries of a map value */
    WIRE_MAX_DEPTH = 16,
};

struct wire_header {
    int64_t format, minor;
    char producer[64];
    char source[33]; /* 32 hex digits and NUL */
    int64_t shard, shards;
    char state[33]; /* id of the producer's state of the source, 32 hex digits; "" if it keeps none */
    bool has_base;  /* the segment has the changes since `base`, a generation of that state */
    int64_t base;
    char tick[33];          /* id of the tick of that state, 32 hex digits; "" if the stream has none */
    char without[64];       /* comma-separated kinds that the producer omitted on request; "" for none */
    uint64_t source_number; /* from 0, by a reader that wants the whole stream; not in the stream */
};

/* Whether the segment is a delta. One with a state but without a base is complete: the first of a series of
 * ticks. */
static inline bool wire_is_delta(const struct wire_header *h)
{
    return h->has_base || h->format == WIRE_FORMAT_DELTA;
}

/* Whether the producer of the segment is this program (of any version): "mlruns-dump" for a file store, "mldb-dump" for a database.
 */
bool wire_is_by(const struct wire_header *h, const char *program);
/* Whether the producer of the segment left out this kind on request. */
bool wire_is_without(const struct wire_header *h, enum kind kind);

struct wire_counts {
    uint64_t n[KIND_COUNT]; /* number of records of each kind, KIND_skipped included */
};

/* -- writing */

/* Appends a record's encoding to out. Null fields are left out. */
void wire_encode(const struct record *r, struct buf *out);

struct wire_writer;
/* A writer on fd, e.g. STDOUT_FILENO. fd -1: writes nothing, only counts and computes the checksum.
 * wire_writer_close frees it. After a failure, a record longer than WIRE_MAX_RECORD among them, all that
 * writes returns false and writes nothing more, and wire_writer_error says why. */
struct wire_writer *wire_writer_new(int fd, const char *name);
/* A header of this program: source is 32 hex digits. The caller may add state and base; the format follows.
 */
void wire_header_init(struct wire_header *h, const char *source, int64_t shard, int64_t shards);
/* The two in one, of a stream without a state. */
bool wire_write_header(struct wire_writer *w, const char *source, int64_t shard, int64_t shards);
bool wire_write_header_copy(struct wire_writer *w,
                            const struct wire_header *h); /* of a filter: keeps all but the minor version */
bool wire_write(struct wire_writer *w, const struct record *r);
/* Writes len bytes of encoded records (from threads), counts->n[] of each kind. */
bool wire_write_encoded(struct wire_writer *w, const char *data, size_t len,
                        const struct wire_counts *counts);
/* Closes the segment and flushes. */
bool wire_write_trailer(struct wire_writer *w);
const struct wire_counts *wire_writer_counts(const struct wire_writer *w); /* counts of the segment so far */
/* The trailer for the segment so far; its strings live in w until the next call on w. */
void wire_writer_trailer(struct wire_writer *w, struct record *trailer);
/* Compares a given trailer (of a JSON line) with the segment so far. false: e->what says what differs. */
bool wire_writer_check(const struct wire_writer *w, const struct record *trailer, struct err *e);
/* Fills h from a record of kind header and checks it: versions, shard, source. false with e->what (and hint)
 * filled. */
bool wire_header_read(const struct record *rec, struct wire_header *h, struct err *e);
/* The reverse: rec's strings point into h. The minor version is this program's, the format that of a complete
 * stream unless h is a delta's. */
void wire_header_record(const struct wire_header *h, struct record *rec);
/* Whether a record is allowed in a segment of h: a mark (record_part) must be valid, and is allowed only in
 * deltas. false with e->what set. */
bool wire_record_allowed(const struct wire_header *h, const struct record *rec, struct err *e);
/* Writes what is buffered, e.g. before exiting on an error, so that the valid records can be inspected.
 */
bool wire_writer_flush(struct wire_writer *w);
const struct err *wire_writer_error(const struct wire_writer *w);
/* Flushes, closes fd, frees w. false with e filled: one of these, or what was written before, has failed. */
bool wire_writer_close(struct wire_writer *w, struct err *e);

/* -- reading */

enum wire_event {
    WIRE_ERROR = -1, /* the stream is invalid; err says where and why */
    WIRE_END = 0,    /* end of file after a valid trailer (an empty stream is WIRE_ERROR: it is truncated) */
    WIRE_HEADER,     /* wire_reader_header() */
    WIRE_RECORD,     /* a record, of any kind but header and trailer */
    WIRE_TRAILER,    /* the segment's counts and checksum matched */
};

struct wire_reader;
struct wire_reader *wire_reader_new(int fd, const char *name);
/* Requires a complete stream: all shards of each source, each once; else there is a WIRE_ERROR that names the
 * shard. For ml-load and ml-verify; filters accept parts. tmpdir: for the temporary file that a great many
 * segments need; it must live as long. */
void wire_reader_want_whole(struct wire_reader *r, const char *tmpdir);
/* The same, but a shard that comes again is taken for one of another copy of its source. */
void wire_reader_want_whole_copies(struct wire_reader *r, const char *tmpdir);
/* Accepts deltas, recognizable by wire_reader_header. Otherwise a delta is an error, as reading it as a
 * complete stream would treat everything not sent as absent. */
void wire_reader_accept_deltas(struct wire_reader *r);
/* Sets the error of a program that requires complete streams, e->what and hint, for a segment of h. Returns
 * false. */
bool wire_refuse_delta(const struct wire_header *h, struct err *e);
/* Reads the next event. Messages number all maps of the stream from 1, headers and trailers too, like the
 * lines of the JSON view. *rec is set for WIRE_RECORD; it and its strings live until the next call. Records
 * are validated (record_validate). Spans that a stream from before that kind has as rows are given as spans, and counted as
 * rows. Unknown fields and kinds of a newer minor version are ignored with one
 * warning each. */
enum wire_event wire_next(struct wire_reader *r, const struct record **rec, struct err *e);
const struct wire_header *wire_reader_header(const struct wire_reader *r);
const struct wire_counts *wire_reader_counts(const struct wire_reader *r); /* of the current segment */
uint64_t wire_reader_segments(const struct wire_reader *r);                /* number of valid trailers read */
/* The encoded bytes of the current record. */
const char *wire_reader_bytes(const struct wire_reader *r, size_t *len);
void wire_reader_free(struct wire_reader *r);

/* Decodes one record encoded by wire_encode (e.g. staged in a temporary file). The strings of out point into
 * data. Scratch memory belongs to the decoder. */
struct wire_decoder;
struct wire_decoder *wire_decoder_new(void);
bool wire_decode(struct wire_decoder *d, const char *data, size_t len, struct record *out, struct err *e);
void wire_decoder_free(struct wire_decoder *d);

#endif
