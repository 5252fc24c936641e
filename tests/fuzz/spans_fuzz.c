/* Any bytes as traces.json: never a crash; in pieces of any size it is whole or not, and gives the same spans if it is (which come
 * before the place of a damage depends on the pieces: it is read once before, without taking any). Each span is read.
 * With -DREPLAY it is a program of its own that runs the files named. */
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "formats/filestore/spans.h"
#include "formats/python/span_content.h"
#include "tests/unit/filestore/pieces.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct file {
    struct pieces pieces;
    struct span_content content;
    struct buf spans;
};

static ptrdiff_t read_piece(void *arg, char *to, size_t room)
{
    struct file *f = arg;
    return pieces_read(&f->pieces, to, room);
}

static bool take(void *arg, const char *text, size_t len)
{
    struct file *f = arg;
    char *copy = xstrndup(text, len);
    span_content_read(&f->content, copy, len);
    free(copy);
    buf_add(&f->spans, text, len);
    return true;
}

static enum spans_result read_file(struct file *f, const uint8_t *data, size_t size, size_t piece)
{
    struct spans_reader *r = spans_reader_new();
    struct spans_io io = {.read = read_piece, .span = take, .arg = f};
    uint64_t n, hash;
    char what[80];
    *f = (struct file){.pieces = {.text = (const char *)data, .len = size, .piece = piece}};
    enum spans_result result = spans_read(r, &io, &n, &hash, what);
    spans_reader_free(r);
    span_content_free(&f->content);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct file whole, pieces;
    enum spans_result a = read_file(&whole, data, size, size + 1), b = read_file(&pieces, data, size, 3);
    if (a != b || (a == SPANS_READ &&
                   (whole.spans.len != pieces.spans.len ||
                    (whole.spans.len && memcmp(whole.spans.data, pieces.spans.data, whole.spans.len) != 0))))
        abort();
    buf_free(&whole.spans);
    buf_free(&pieces.spans);
    struct span_content c = {0};
    char *copy = xstrndup((const char *)data, size);
    span_content_read(&c, copy, size);
    free(copy);
    span_content_free(&c);
    return 0;
}

#ifdef REPLAY
#include "replay.h"
#endif
