/* A scanner of traces.json that holds no more of it than a span. */
#include "formats/filestore/spans.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/buf.h"
#include "common/utf8.h"

/* json.load raises RecursionError at about 1,000 levels. */
enum { WINDOW = 64 << 10, MAX_DEPTH = 900 };

struct spans_reader {
    struct buf window;      /* bytes of the file */
    size_t at;              /* the next one to be looked at */
    size_t mark;            /* where the current span begins */
    size_t checked;         /* up to here the window is well-formed UTF-8 */
    uint64_t before;        /* bytes of the file before the window */
    bool marked;            /* mark is set: what follows it stays in the window */
    bool ended, failed;     /* read() has said so */
    char closes[MAX_DEPTH]; /* of the open arrays and objects: the closing bracket */
    const struct spans_io *io;
    XXH3_state_t *hash;
    const char *wrong; /* what the file is not; NULL: nothing wrong so far */
};

struct spans_reader *spans_reader_new(void)
{
    struct spans_reader *r = xcalloc(1, sizeof *r);
    r->hash = XXH3_createState();
    if (!r->hash)
        xnomem(NULL);
    return r;
}

void spans_reader_free(struct spans_reader *r)
{
    if (!r)
        return;
    buf_free(&r->window);
    XXH3_freeState(r->hash);
    free(r);
}

/* -- bytes */

static bool refuse(struct spans_reader *r, const char *wrong)
{
    if (!r->wrong && !r->failed)
        r->wrong = wrong;
    return false;
}

/* Drops what has been looked at, but for the current span. */
static void drop(struct spans_reader *r)
{
    size_t from = r->marked ? r->mark : r->at;
    struct buf *w = &r->window;
    from = from < r->checked ? from : r->checked; /* a character that is not whole stays */
    if (from == 0)
        return;
    memmove(w->data, w->data + from, w->len - from);
    buf_truncate(w, w->len - from);
    r->before += from;
    r->at -= from;
    r->mark -= r->marked ? from : 0;
    r->checked -= from;
}

/* Checks the UTF-8 of the bytes that have come, but for a character at their end that is not whole yet. */
static bool check_text(struct spans_reader *r)
{
    struct buf *w = &r->window;
    size_t end = w->len;
    if (!r->ended)
        for (size_t i = 1; i <= 3 && i <= w->len - r->checked; i++) {
            unsigned char c = (unsigned char)w->data[w->len - i];
            if (c >= 0xc0 && i < (c >= 0xf0 ? 4u : c >= 0xe0 ? 3u : 2u))
                end = w->len - i;
            if (c < 0x80 || c >= 0xc0)
                break;
        }
    if (!utf8_valid(buf_str(w) + r->checked, end - r->checked))
        return refuse(r, "not UTF-8");
    r->checked = end;
    return true;
}

/* Reads more; false at the end, or for an error. */
static bool fill(struct spans_reader *r)
{
    if (r->ended || r->failed || r->wrong)
        return false;
    drop(r);
    struct buf *w = &r->window;
    buf_reserve(w, w->len > WINDOW ? w->len / 2 : WINDOW);
    ptrdiff_t n = r->io->read(r->io->arg, w->data + w->len, w->cap - w->len - 1);
    r->failed = n < 0;
    r->ended = n == 0;
    if (n > 0) {
        XXH3_64bits_update(r->hash, w->data + w->len, (size_t)n);
        w->len += (size_t)n;
        w->data[w->len] = '\0';
    }
    return !r->failed && check_text(r) && n > 0;
}

/* The next byte, which stays; -1 at the end. */
static int peek(struct spans_reader *r)
{
    if (r->at == r->window.len && !fill(r))
        return -1;
    return (unsigned char)r->window.data[r->at];
}

static int peek_token(struct spans_reader *r)
{
    int c;
    while ((c = peek(r)) == ' ' || c == '\t' || c == '\n' || c == '\r')
        r->at++;
    return c;
}

/* -- JSON */

static const char not_json[] = "not JSON";

static bool skip_escape(struct spans_reader *r)
{
    int c = peek(r);
    if (c <= 0 || !strchr("\"\\/bfnrtu", c))
        return refuse(r, not_json);
    r->at++;
    for (int i = 0; c == 'u' && i < 4; i++) {
        int digit = peek(r);
        if (digit <= 0 || !strchr("0123456789abcdefABCDEF", digit))
            return refuse(r, not_json);
        r->at++;
    }
    return true;
}

/* After its first quote. */
static bool skip_string(struct spans_reader *r)
{
    for (;;) {
        const char *s = r->window.data;
        size_t at = r->at, len = r->window.len;
        while (at < len && s[at] != '"' && s[at] != '\\' && (unsigned char)s[at] >= 0x20)
            at++;
        r->at = at;
        int c = peek(r);
        if (c < 0x20)
            return refuse(r, not_json);
        r->at += c == '"' || c == '\\';
        if (c == '"')
            return true;
        if (c == '\\' && !skip_escape(r))
            return false;
    }
}

static bool skip_word(struct spans_reader *r, const char *word)
{
    for (; *word; word++, r->at++)
        if (peek(r) != *word)
            return refuse(r, not_json);
    return true;
}

static size_t skip_digits(struct spans_reader *r)
{
    size_t n = 0;
    for (int c; (c = peek(r)) >= '0' && c <= '9'; n++)
        r->at++;
    return n;
}

static bool skip_number(struct spans_reader *r)
{
    if (peek(r) == '-')
        r->at++;
    if (peek(r) == 'I')
        return skip_word(r, "Infinity");
    if (peek(r) == '0')
        r->at++;
    else if (!skip_digits(r))
        return refuse(r, not_json);
    if (peek(r) == '.') {
        r->at++;
        if (!skip_digits(r))
            return refuse(r, not_json);
    }
    if (peek(r) != 'e' && peek(r) != 'E')
        return true;
    r->at++;
    if (peek(r) == '-' || peek(r) == '+')
        r->at++;
    return skip_digits(r) || refuse(r, not_json);
}

static bool skip_scalar(struct spans_reader *r, int c)
{
    switch (c) {
    case '"':
        r->at++;
        return skip_string(r);
    case 't':
        return skip_word(r, "true");
    case 'f':
        return skip_word(r, "false");
    case 'n':
        return skip_word(r, "null");
    case 'N':
        return skip_word(r, "NaN");
    case 'I':
        return skip_word(r, "Infinity");
    default:
        return skip_number(r);
    }
}

/* A member's name and the colon. */
static bool skip_name(struct spans_reader *r)
{
    if (peek_token(r) != '"')
        return refuse(r, not_json);
    r->at++;
    if (!skip_string(r) || peek_token(r) != ':')
        return refuse(r, not_json);
    r->at++;
    return true;
}

/* Goes into an array or object: 1 when it has a first element, 0 when it is empty and over. */
static int enter(struct spans_reader *r, size_t *depth, int c)
{
    r->at++;
    if (*depth == MAX_DEPTH) {
        refuse(r, "nested too deeply");
        return -1;
    }
    r->closes[(*depth)++] = c == '{' ? '}' : ']';
    if (peek_token(r) == r->closes[*depth - 1]) {
        r->at++;
        (*depth)--;
        return 0;
    }
    return c == '[' || skip_name(r) ? 1 : -1;
}

/* After a value: goes out of what ends here; true when another value follows, false when all is over or wrong. */
static bool go_on(struct spans_reader *r, size_t *depth)
{
    while (*depth > 0) {
        int c = peek_token(r);
        char closing = r->closes[*depth - 1];
        if (c == closing) {
            r->at++;
            (*depth)--;
        } else if (c == ',') {
            r->at++;
            return closing == ']' || skip_name(r);
        } else {
            return refuse(r, not_json);
        }
    }
    return false;
}

/* Any value. */
static bool skip_value(struct spans_reader *r)
{
    size_t depth = 0;
    do {
        int c = peek_token(r), entered = 0;
        if (c != '{' && c != '[') {
            if (!skip_scalar(r, c))
                return false;
        } else {
            entered = enter(r, &depth, c);
        }
        if (entered < 0)
            return false;
        if (entered > 0)
            continue;
        if (!go_on(r, &depth))
            return !r->wrong && !r->failed;
    } while (true);
}

/* -- the file */

static bool take_span(struct spans_reader *r, bool *stopped)
{
    if (peek_token(r) != '{')
        return refuse(r, "a span is not an object");
    r->mark = r->at;
    r->marked = true;
    bool ok = skip_value(r);
    if (ok && r->io->span)
        *stopped = !r->io->span(r->io->arg, r->window.data + r->mark, r->at - r->mark);
    r->marked = false;
    return ok && !*stopped;
}

static bool take_spans(struct spans_reader *r, uint64_t *n, bool *stopped)
{
    if (peek_token(r) != '[')
        return refuse(r, "its spans are not an array");
    r->at++;
    if (peek_token(r) == ']') {
        r->at++;
        return true;
    }
    for (;;) {
        if (!take_span(r, stopped))
            return false;
        ++*n;
        int c = peek_token(r);
        if (c != ',' && c != ']')
            return refuse(r, not_json);
        r->at++;
        if (c == ']')
            return true;
    }
}

/* A member's name; *spans: it is that of the spans. */
static bool take_name(struct spans_reader *r, bool *spans)
{
    static const char name[] = "\"spans\"";
    if (peek_token(r) != '"')
        return refuse(r, not_json);
    r->mark = r->at++;
    r->marked = true;
    bool ok = skip_string(r);
    *spans = ok && r->at - r->mark == sizeof name - 1 &&
             memcmp(r->window.data + r->mark, name, sizeof name - 1) == 0;
    r->marked = false;
    if (!ok || peek_token(r) != ':')
        return refuse(r, not_json);
    r->at++;
    return true;
}

static bool take_document(struct spans_reader *r, uint64_t *n, bool *stopped)
{
    bool spans, found = false;
    if (peek_token(r) != '{')
        return refuse(r, peek(r) < 0 ? "empty" : "not a JSON object");
    r->at++;
    for (int c = ','; c == ','; r->at++) {
        if (!take_name(r, &spans))
            return false;
        if (spans && found)
            return refuse(r, "it has two members `spans`");
        found |= spans;
        if (spans ? !take_spans(r, n, stopped) : !skip_value(r))
            return false;
        c = peek_token(r);
        if (c != ',' && c != '}')
            return refuse(r, not_json);
    }
    if (peek_token(r) >= 0)
        return refuse(r, not_json);
    return !r->wrong && !r->failed && (found || refuse(r, "it has no member `spans`"));
}

enum spans_result spans_read(struct spans_reader *r, const struct spans_io *io, uint64_t *n, uint64_t *hash,
                             char what[80])
{
    bool stopped = false;
    buf_trim(&r->window);
    r->at = r->mark = r->checked = 0;
    r->before = *n = 0;
    r->marked = r->ended = r->failed = false;
    r->wrong = NULL;
    r->io = io;
    XXH3_64bits_reset(r->hash);
    bool ok = take_document(r, n, &stopped);
    *hash = XXH3_64bits_digest(r->hash) | 1;
    if (r->wrong)
        snprintf(what, 80, "%s (byte %llu)", r->wrong, (unsigned long long)(r->before + r->at));
    return ok ? SPANS_READ : stopped ? SPANS_STOPPED : r->failed ? SPANS_FAILED : SPANS_DAMAGED;
}
