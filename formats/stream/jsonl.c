/* Reads and writes the JSON view of a stream. */
#include "formats/stream/jsonl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/stream/json.h"

/* A record of WIRE_MAX_RECORD bytes, each written as \u00XX. */
#define MAX_LINE (WIRE_MAX_RECORD * 6)

/* -- reading */

struct jsonl_reader {
    struct io_reader io;
    struct json_reader *json;
    struct wire_writer
        *sum; /* writes nothing: computes the counts and checksum that the segment has in a stream */
    struct wire_header header;
    struct record rec;
    uint64_t line;  /* line of rec, counting from 1 */
    size_t current; /* bytes of the line, unconsumed */
    uint64_t segments;
    bool reseal;
    bool in_segment;
    bool held; /* rec is a header, held back until the preceding segment is closed */
};

struct jsonl_reader *jsonl_reader_new(int fd, const char *name, bool reseal)
{
    struct jsonl_reader *r = xcalloc(1, sizeof *r);
    io_reader_init(&r->io, fd, name);
    r->json = json_reader_new();
    r->sum = wire_writer_new(-1, name);
    r->reseal = reseal;
    return r;
}

void jsonl_reader_free(struct jsonl_reader *r)
{
    if (!r)
        return;
    io_reader_free(&r->io);
    json_reader_free(r->json);
    wire_writer_close(r->sum, NULL);
    free(r);
}

const struct wire_header *jsonl_reader_header(const struct jsonl_reader *r)
{
    return &r->header;
}

static enum wire_event fail(const struct jsonl_reader *r, struct err *e, const char *what, const char *hint)
{
    char where[512];
    char text[sizeof e->what];
    snprintf(where, sizeof where, "%s:%" PRIu64, r->io.name, r->line);
    snprintf(text, sizeof text, "%s", what);
    err_set(e, where, "%s", text);
    if (hint && hint[0])
        err_hint(e, "%s", hint);
    return WIRE_ERROR;
}

/* Ensures that a whole line is at io.data, r->current bytes including the newline. Returns 1, 0: end of file,
 * -1: error. */
static int next_line(struct jsonl_reader *r, struct err *e)
{
    size_t searched = 0;
    io_consume(&r->io, r->current);
    r->current = 0;
    r->line++;
    for (;;) {
        const char *newline = memchr(r->io.data + searched, '\n', r->io.len - searched);
        if (newline) {
            r->current = (size_t)(newline - r->io.data) + 1;
            return 1;
        }
        searched = r->io.len;
        if (searched > MAX_LINE)
            return fail(r, e, "the line is longer than any record", NULL);
        int got = io_fill(&r->io, 0, e);
        if (got < 0)
            return -1;
        if (got == 0) { /* the last line may lack its newline */
            r->current = r->io.len;
            return r->io.len > 0;
        }
    }
}

static bool is_blank(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!strchr(" \t\r\n", s[i]) || s[i] == '\0')
            return false;
    return true;
}

/* Reads the next non-blank line into r->rec; returns like next_line. */
static int next_record(struct jsonl_reader *r, struct err *e)
{
    struct err inner;
    int got;
    do
        got = next_line(r, e);
    while (got > 0 && is_blank(r->io.data, r->current));
    if (got > 0 && !json_read(r->json, r->io.data, r->current, &r->rec, &inner)) {
        bool binary = r->line == 1 && (r->io.data[0] & 0x80);
        return fail(r, e, inner.what,
                    binary ? "this looks like a record stream: leave out --from-json" : inner.hint);
    }
    return got;
}

static enum wire_event take_header(struct jsonl_reader *r, struct err *e)
{
    struct err inner;
    if (!wire_header_read(&r->rec, &r->header, &inner))
        return fail(r, e, inner.what, inner.hint);
    wire_write_header_copy(r->sum, &r->header);
    r->in_segment = true;
    return WIRE_HEADER;
}

static enum wire_event take_end(struct jsonl_reader *r, struct err *e)
{
    if (r->in_segment && !r->reseal)
        return fail(r, e, "the trailer line is missing: the stream was truncated or edited",
                    "if you removed it, --reseal writes a new one");
    if (r->in_segment) {
        r->in_segment = false;
        r->segments++;
        return WIRE_TRAILER;
    }
    if (r->segments == 0)
        return fail(r, e, "the input is empty", NULL);
    return WIRE_END;
}

static enum wire_event take_trailer(struct jsonl_reader *r, struct err *e)
{
    struct err inner;
    if (!r->reseal && !wire_writer_check(r->sum, &r->rec, &inner))
        return fail(r, e, inner.what, "if you edited the lines, --reseal writes a new trailer");
    r->in_segment = false;
    r->segments++;
    return WIRE_TRAILER;
}

enum wire_event jsonl_next(struct jsonl_reader *r, const struct record **rec, struct err *e)
{
    if (r->held) {
        r->held = false;
        return take_header(r, e);
    }
    int got = next_record(r, e);
    if (got <= 0)
        return got < 0 ? WIRE_ERROR : take_end(r, e);
    bool header = r->rec.kind->kind == KIND_header;
    if (header && r->in_segment && r->reseal) {
        r->held = true;
        r->in_segment = false;
        r->segments++;
        return WIRE_TRAILER;
    }
    if (header && r->in_segment)
        return fail(r, e, "a header within a segment: the trailer line before it is missing",
                    "if you removed it, --reseal writes a new one");
    if (header)
        return take_header(r, e);
    if (!r->in_segment)
        return fail(r, e, "a segment must begin with a header line",
                    "keep the line whose kind is \"header\"");
    if (r->rec.kind->kind == KIND_trailer)
        return take_trailer(r, e);
    struct err inner;
    if (!wire_record_allowed(&r->header, &r->rec, &inner))
        return fail(r, e, inner.what, NULL);
    if (!wire_write(r->sum, &r->rec)) {
        err_copy(e, wire_writer_error(r->sum));
        return WIRE_ERROR;
    }
    if (rec)
        *rec = &r->rec;
    return WIRE_RECORD;
}

/* -- writing */

struct jsonl_writer {
    struct io_writer io;
    struct wire_writer *sum;
    struct buf line;
};

struct jsonl_writer *jsonl_writer_new(int fd, const char *name)
{
    struct jsonl_writer *w = xcalloc(1, sizeof *w);
    io_writer_init(&w->io, fd, name);
    w->sum = wire_writer_new(-1, name);
    return w;
}

static bool put_line(struct jsonl_writer *w, const struct record *r)
{
    buf_reset(&w->line);
    json_write(r, &w->line);
    buf_addc(&w->line, '\n');
    return io_write(&w->io, w->line.data, w->line.len);
}

bool jsonl_write_header(struct jsonl_writer *w, const struct wire_header *h)
{
    struct record r;
    wire_write_header_copy(w->sum, h);
    wire_header_record(h, &r);
    return put_line(w, &r);
}

/* A record rejected by the checksum, as it is too long for a stream, is not written as a line either. */
bool jsonl_write(struct jsonl_writer *w, const struct record *r)
{
    return wire_write(w->sum, r) && put_line(w, r);
}

bool jsonl_write_trailer(struct jsonl_writer *w)
{
    struct record r;
    wire_writer_trailer(w->sum, &r);
    return put_line(w, &r) && io_flush(&w->io);
}

bool jsonl_writer_flush(struct jsonl_writer *w)
{
    return io_flush(&w->io);
}

const struct err *jsonl_writer_error(const struct jsonl_writer *w)
{
    return w->io.failed ? &w->io.error : wire_writer_error(w->sum);
}

bool jsonl_writer_close(struct jsonl_writer *w, struct err *e)
{
    bool ok = io_writer_close(&w->io, e);
    wire_writer_close(w->sum, NULL);
    buf_free(&w->line);
    free(w);
    return ok;
}
