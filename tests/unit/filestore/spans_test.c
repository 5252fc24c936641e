/* traces.json, in all shapes that MLflow's releases have written, in pieces of any size, and damaged. */
#include <stdlib.h>

#include "common/array.h"
#include "common/buf.h"
#include "formats/filestore/spans.h"
#include "tests/unit/filestore/pieces.h"
#include "tests/unit/tap.h"

struct file {
    struct pieces pieces;
    size_t fail_at;    /* read() fails there; 0: it does not */
    struct buf spans;  /* each followed by a newline */
    size_t stop_after; /* spans; 0: none */
    size_t n;
};

static ptrdiff_t read_piece(void *arg, char *to, size_t room)
{
    struct file *f = arg;
    if (f->fail_at && f->pieces.at >= f->fail_at)
        return -1;
    return pieces_read(&f->pieces, to, room);
}

static bool take(void *arg, const char *text, size_t len)
{
    struct file *f = arg;
    buf_add(&f->spans, text, len);
    buf_addc(&f->spans, '\n');
    return ++f->n != f->stop_after;
}

static enum spans_result read_text(struct file *f, char what[80])
{
    struct spans_reader *r = spans_reader_new();
    struct spans_io io = {.read = read_piece, .span = take, .arg = f};
    uint64_t n, hash;
    buf_reset(&f->spans);
    f->pieces.at = f->n = 0;
    what[0] = '\0';
    enum spans_result result = spans_read(r, &io, &n, &hash, what);
    if (result == SPANS_READ)
        is_int((int64_t)n, (int64_t)f->n, "the spans are counted");
    spans_reader_free(r);
    return result;
}

static void test_whole(void)
{
    static const struct {
        const char *text, *spans;
    } files[] = {
        {"{\"spans\": []}", ""},
        {"{\"spans\": [{}]}", "{}\n"},
        {" {\n\"spans\"\t: [ {\"a\": [1, {\"}\": \"]\"}]} , {\"b\": \"\\\"}\\u00fc\\\\\"}\r\n]} ",
         "{\"a\": [1, {\"}\": \"]\"}]}\n{\"b\": \"\\\"}\\u00fc\\\\\"}\n"},
        {"{\"request\": \"{\\\"spans\\\": 1}\", \"spans\": [{\"n\": -1.5e+3}], \"response\": {\"spans\": "
         "[{}]}}",
         "{\"n\": -1.5e+3}\n"},
        {"{\"spans\": [{\"a\": NaN, \"b\": -Infinity, \"c\": Infinity, \"d\": [], \"e\": {}, \"f\": null}], "
         "\"x\": true}",
         "{\"a\": NaN, \"b\": -Infinity, \"c\": Infinity, \"d\": [], \"e\": {}, \"f\": null}\n"},
        {"{\"spans\": [{\"ü\": \"☃ 🎉\"}]}", "{\"ü\": \"☃ 🎉\"}\n"},
    };
    char what[80];
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
        struct file f = {.pieces = {.text = files[i].text, .len = strlen(files[i].text)}};
        for (f.pieces.piece = 1; f.pieces.piece < 9; f.pieces.piece += f.pieces.piece) {
            is_int(read_text(&f, what), SPANS_READ, "file %zu in pieces of %zu is read %s", i, f.pieces.piece,
                   what);
            is_str(buf_str(&f.spans), files[i].spans, "with its spans as they stand in it");
        }
        buf_free(&f.spans);
    }
}

static void test_damaged(void)
{
    static const struct {
        const char *text, *what;
    } files[] = {
        {"", "empty"},
        {"  ", "empty"},
        {"[]", "not a JSON object"},
        {"\xef\xbb\xbf{\"spans\": []}", "not a JSON object"},
        {"{}", "not JSON"},
        {"{\"a\": 1}", "it has no member `spans`"},
        {"{\"spans\": {}}", "its spans are not an array"},
        {"{\"spans\": [1]}", "a span is not an object"},
        {"{\"spans\": [], \"spans\": []}", "it has two members `spans`"},
        {"{\"spans\": [{\"a\": \"b", "not JSON"},
        {"{\"spans\": [{\"a\": 1}", "not JSON"},
        {"{\"spans\": [{}]", "not JSON"},
        {"{\"spans\": [{},]}", "a span is not an object"},
        {"{\"spans\": [{\"a\": 01}]}", "not JSON"},
        {"{\"spans\": [{\"a\": tru}]}", "not JSON"},
        {"{\"spans\": [{\"a\": \"\\x\"}]}", "not JSON"},
        {"{\"spans\": [{\"a\": \"\t\"}]}", "not JSON"},
        {"{\"spans\": [{\"a\" 1}]}", "not JSON"},
        {"{\"spans\": [{\"a\": [1 2]}]}", "not JSON"},
        {"{\"spans\": [{\"a\": [}]}]}", "not JSON"},
        {"{\"spans\": []} x", "not JSON"},
        {"{\"spans\": [{\"a\": \"\xff\"}]}", "not UTF-8"},
        {"{\"spans\": [{\"a\": \"\xed\xa0\x80\"}]}", "not UTF-8"},
        {"{\"spans\": [], \"b\": \"\xc3", "not UTF-8"},
    };
    char what[80];
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
        struct file f = {.pieces = {.text = files[i].text, .len = strlen(files[i].text)}};
        for (f.pieces.piece = 1; f.pieces.piece < 99; f.pieces.piece += 7) {
            is_int(read_text(&f, what), SPANS_DAMAGED, "file %zu is refused", i);
            ok(strncmp(what, files[i].what, strlen(files[i].what)) == 0, "%s: %s", files[i].what, what);
        }
        buf_free(&f.spans);
    }
}

static void test_other_ends(void)
{
    static const char text[] = "{\"spans\": [{\"a\": 1}, {\"b\": 2}, {}]}";
    struct file f = {.pieces = {.text = text, .len = strlen(text), .piece = 5}};
    char what[80];
    f.stop_after = 2;
    is_int(read_text(&f, what), SPANS_STOPPED, "the taker may stop");
    is_str(buf_str(&f.spans), "{\"a\": 1}\n{\"b\": 2}\n", "after some");
    f.stop_after = 0;
    f.fail_at = 20;
    is_int(read_text(&f, what), SPANS_FAILED, "an error of reading is one");
    buf_free(&f.spans);
}

/* Deeper than json.load goes. */
static void test_depth(void)
{
    struct buf text = {0};
    char what[80];
    for (int depth = 800; depth <= 2000; depth += 1200) {
        buf_reset(&text);
        buf_adds(&text, "{\"spans\": [{\"a\": ");
        for (int i = 0; i < depth; i++)
            buf_addc(&text, '[');
        for (int i = 0; i < depth; i++)
            buf_addc(&text, ']');
        buf_adds(&text, "}]}");
        struct file f = {.pieces = {.text = text.data, .len = text.len, .piece = 4096}};
        is_int(read_text(&f, what), depth < 900 ? SPANS_READ : SPANS_DAMAGED, "%d levels", depth);
        buf_free(&f.spans);
    }
    buf_free(&text);
}

int main(void)
{
    test_whole();
    test_damaged();
    test_other_ends();
    test_depth();
    return done_testing();
}
