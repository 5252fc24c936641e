/* Reads and writes state files: items, a checksum, renamed into place when complete. */
#include "formats/state/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/array.h"
#include "common/file.h"
#include "common/io.h"

static const char magic[] = "MLRSTATE";

enum {
    MAGIC_LEN = sizeof magic - 1,
    FIRST_ITEM = MAGIC_LEN + 1,
    SUM_LEN = 8,
    WINDOW = 64 << 10,
    MAX_ITEM = 1 << 28, /* texts of map entries have no other limit */
    VARINT_MAX = 10,
};

struct state {
    int fd;
    char *path;
    uint64_t end;   /* of the items */
    uint64_t first; /* first item after the head */
    struct state_head head;
    struct buf texts; /* texts of the head */
    char *doubted;
};

bool state_new_id(char id[33], struct err *e)
{
    unsigned char bytes[16];
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC); /* glibc 2.17 and its kernels have no getrandom() */
    ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof bytes);
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (n != sizeof bytes)
        return err_set(e, NULL, "cannot get random numbers: /dev/urandom: %s", strerror(error));
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(id + 2 * i, 3, "%02x", bytes[i]);
    return true;
}

/* -- numbers and texts */

static void add_number(struct buf *out, uint64_t n)
{
    char bytes[VARINT_MAX];
    size_t len = 0;
    do {
        bytes[len++] = (char)((n & 0x7f) | (n > 0x7f ? 0x80 : 0));
        n >>= 7;
    } while (n);
    buf_add(out, bytes, len);
}

/* Signed numbers, zigzag-encoded: small ones of either sign are short. */
static void add_signed(struct buf *out, int64_t n)
{
    add_number(out, ((uint64_t)n << 1) ^ (n < 0 ? UINT64_MAX : 0));
}

static void add_text(struct buf *out, const char *s, size_t len)
{
    add_number(out, len);
    buf_add(out, s, len);
}

struct reader { /* of bytes in memory; `at` moves beyond `end`, and stays there, if there are too few */
    const char *at, *end;
    bool bad;
};

static uint64_t take_number(struct reader *r)
{
    uint64_t n = 0;
    for (unsigned shift = 0; r->at < r->end && shift < 64; shift += 7) {
        unsigned char c = (unsigned char)*r->at++;
        n |= (uint64_t)(c & 0x7f) << shift;
        if (!(c & 0x80))
            return n;
    }
    r->bad = true;
    return 0;
}

static int64_t take_signed(struct reader *r)
{
    uint64_t n = take_number(r);
    return (int64_t)(n >> 1) ^ -(int64_t)(n & 1);
}

static struct state_text take_text(struct reader *r)
{
    uint64_t len = take_number(r);
    struct state_text t = {r->at, len};
    if (len > (uint64_t)(r->end - r->at)) {
        r->bad = true;
        return (struct state_text){"", 0};
    }
    r->at += len;
    return t;
}

/* -- encoding */

/* Finishes the item that begins at `from` in out, by inserting its length. */
static void finish_item(struct buf *out, size_t from)
{
    size_t len = out->len - from;
    struct buf head = {0};
    add_number(&head, len);
    buf_reserve(out, head.len);
    memmove(out->data + from + head.len, out->data + from, len + 1);
    memcpy(out->data + from, head.data, head.len);
    out->len += head.len;
    buf_free(&head);
}

static void encode_head(struct buf *out, const struct state_head *h)
{
    size_t from = out->len;
    buf_addc(out, 'H');
    add_text(out, h->id, strlen(h->id));
    add_number(out, h->generation);
    add_signed(out, h->time);
    add_text(out, h->source, strlen(h->source));
    add_text(out, h->options, strlen(h->options));
    add_text(out, h->stream, strlen(h->stream));
    if (h->tick[0])
        add_text(out, h->tick, strlen(h->tick));
    if (h->tick[0] && h->doubted)
        add_text(out, h->doubted, strlen(h->doubted));
    finish_item(out, from);
}

void state_encode_map(struct buf *out, const struct state_map_entry *m)
{
    size_t from = out->len;
    buf_addc(out, 'M');
    add_text(out, m->kind.s, m->kind.len);
    add_text(out, m->key.s, m->key.len);
    add_text(out, m->value.s, m->value.len);
    finish_item(out, from);
}

/* Kinds are stored as letters, as their numbers change with entities.def. */
static const struct {
    enum kind kind;
    char letter;
} unit_kinds[] = {
    {KIND_experiment, 'e'},       {KIND_run, 'r'}, {KIND_trace, 't'}, {KIND_logged_model, 'l'},
    {KIND_registered_model, 'm'}, {KIND_row, 'd'},
};
enum { N_UNIT_KINDS = ARRAY_LENGTH(unit_kinds) };

void state_encode_unit(struct buf *out, const struct state_unit *u)
{
    size_t from = out->len;
    char letter = '?';
    for (int i = 0; i < N_UNIT_KINDS; i++)
        if (unit_kinds[i].kind == u->kind)
            letter = unit_kinds[i].letter;
    buf_addc(out, 'U');
    add_number(out, u->flags);
    buf_addc(out, letter);
    add_text(out, u->key.s, u->key.len);
    add_text(out, u->id.s, u->id.len);
    finish_item(out, from);
}

void state_encode_file(struct buf *chunk, const struct state_file *f)
{
    bool has_offset = f->offset || f->lines;
    add_text(chunk, f->path.s, f->path.len);
    add_number(chunk, f->flags << 1 | has_offset);
    add_number(chunk, f->size);
    add_number(chunk, f->inode);
    add_signed(chunk, f->mtime);
    add_signed(chunk, f->ctime - f->mtime);
    buf_add(chunk, &f->hash, sizeof f->hash);
    if (has_offset) {
        add_number(chunk, f->offset);
        add_number(chunk, f->lines);
    }
}

void state_encode_chunk(struct buf *out, struct buf *chunk)
{
    if (chunk->len == 0)
        return;
    add_number(out, chunk->len + 1);
    buf_addc(out, 'F');
    buf_add(out, chunk->data, chunk->len);
    buf_reset(chunk);
}

/* -- reading */

static bool damaged(const struct state *s, struct err *e)
{
    err_set(e, s->path, "the state is damaged");
    return err_hint(e, "remove it: the next tick then sends everything");
}

void state_cursor_init(struct state_cursor *c, const struct state *s)
{
    *c = (struct state_cursor){.state = s, .next = s->first};
}

void state_cursor_free(struct state_cursor *c)
{
    buf_free(&c->window);
}

/* Returns the len bytes from `at` on, valid until the next call; NULL with e filled. */
static const char *bytes_at(struct state_cursor *c, uint64_t at, size_t len, struct err *e)
{
    if (at > c->state->end || len > c->state->end - at) {
        damaged(c->state, e);
        return NULL;
    }
    if (at >= c->window_at && at - c->window_at <= c->window.len &&
        len <= c->window.len - (at - c->window_at))
        return c->window.data + (at - c->window_at);
    uint64_t left = c->state->end - at;
    size_t want = len > WINDOW ? len : left < WINDOW ? (size_t)left : WINDOW;
    buf_fit(&c->window, want);
    c->window_at = at;
    for (size_t have = 0; have < want;) {
        ssize_t n = pread(c->state->fd, c->window.data + have, want - have, (off_t)(at + have));
        if (n <= 0 && errno != EINTR) {
            c->window.len = 0;
            err_set(e, c->state->path, "cannot read: %s", n < 0 ? strerror(errno) : "truncated");
            return NULL;
        }
        have += n > 0 ? (size_t)n : 0;
    }
    return c->window.data;
}

/* Reads the item at c->next, its type and the bytes after that, and moves past it. 1; 0: the end; -1. */
static int next_item(struct state_cursor *c, char *type, struct reader *r, struct err *e)
{
    uint64_t left = c->state->end - c->next;
    size_t some = left < VARINT_MAX ? (size_t)left : VARINT_MAX;
    const char *p = bytes_at(c, c->next, some, e);
    if (!p)
        return -1;
    struct reader head = {p, p + some, false};
    uint64_t len = take_number(&head);
    if (head.bad || len == 0 || len > MAX_ITEM)
        return damaged(c->state, e) - 1;
    uint64_t body = c->next + (uint64_t)(head.at - p);
    p = bytes_at(c, body, (size_t)len, e);
    if (!p)
        return -1;
    *type = *p;
    *r = (struct reader){p + 1, p + len, false};
    c->from = c->next;
    c->next = body + len;
    return *type != 'E';
}

/* Like next_item, but only for items of this type. Others are skipped if it is 'U', else they end the
 * sequence and are not consumed. */
static int next_of(struct state_cursor *c, char wanted, struct reader *r, struct err *e)
{
    for (;;) {
        char type = '\0';
        uint64_t here = c->next;
        int got = next_item(c, &type, r, e);
        if (got > 0 && type == wanted)
            return 1;
        if (got > 0 && wanted == 'U')
            continue;
        if (got >= 0)
            c->next = here;
        return got < 0 ? -1 : 0;
    }
}

int state_map_next(struct state_cursor *c, struct state_map_entry *out, struct err *e)
{
    struct reader r;
    int got = next_of(c, 'M', &r, e);
    if (got <= 0)
        return got;
    out->kind = take_text(&r);
    out->key = take_text(&r);
    out->value = take_text(&r);
    return r.bad ? damaged(c->state, e) - 1 : 1;
}

int state_unit_next(struct state_cursor *c, struct state_unit *out, struct err *e)
{
    struct reader r;
    int got = next_of(c, 'U', &r, e);
    if (got <= 0)
        return got;
    *out = (struct state_unit){.flags = (unsigned)take_number(&r), .kind = KIND_COUNT, .from = c->from};
    char letter = r.at < r.end ? *r.at++ : '?';
    for (int i = 0; i < N_UNIT_KINDS; i++)
        if (unit_kinds[i].letter == letter)
            out->kind = unit_kinds[i].kind;
    out->key = take_text(&r);
    out->id = take_text(&r);
    return r.bad || out->kind == KIND_COUNT ? damaged(c->state, e) - 1 : 1;
}

void state_cursor_seek(struct state_cursor *c, uint64_t from)
{
    c->next = from;
}

void state_files_begin(struct state_files *files)
{
    buf_reset(&files->chunk);
    files->at = 0;
    files->end = false;
}

void state_files_free(struct state_files *files)
{
    buf_free(&files->chunk);
}

int state_file_next(struct state_cursor *c, struct state_files *files, struct state_file *out, struct err *e)
{
    struct reader r;
    if (files->end)
        return 0;
    if (files->at == files->chunk.len) {
        int got = next_of(c, 'F', &r, e);
        files->end = got == 0;
        if (got <= 0)
            return got;
        buf_reset(&files->chunk);
        buf_add(&files->chunk, r.at, (size_t)(r.end - r.at));
        files->at = 0;
    }
    r = (struct reader){files->chunk.data + files->at, files->chunk.data + files->chunk.len, false};
    *out = (struct state_file){.path = take_text(&r)};
    out->flags = (unsigned)take_number(&r);
    out->size = take_number(&r);
    out->inode = take_number(&r);
    out->mtime = take_signed(&r);
    out->ctime = out->mtime + take_signed(&r);
    if (r.bad || (size_t)(r.end - r.at) < sizeof out->hash)
        return damaged(c->state, e) - 1;
    memcpy(&out->hash, r.at, sizeof out->hash);
    r.at += sizeof out->hash;
    if (out->flags & 1) {
        out->offset = take_number(&r);
        out->lines = take_number(&r);
    }
    out->flags >>= 1;
    files->at = (size_t)(r.at - files->chunk.data);
    return r.bad ? damaged(c->state, e) - 1 : 1;
}

/* Syncs the directory, so that the name survives a power failure. */
static void sync_directory(const char *path)
{
    char *dir = file_dirname(path);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(dir);
}

/* -- opening */

static bool copy_id(const struct state_text *t, char out[33])
{
    if (t->len != 32)
        return false;
    memcpy(out, t->s, 32);
    out[32] = '\0';
    return true;
}

static bool read_head(struct state *s, struct err *e)
{
    struct state_cursor c = {.state = s, .next = FIRST_ITEM};
    struct reader r;
    bool good = next_of(&c, 'H', &r, e) > 0;
    if (good) {
        struct state_text id = take_text(&r);
        s->head.generation = take_number(&r);
        s->head.time = take_signed(&r);
        struct state_text source = take_text(&r), options = take_text(&r), stream = take_text(&r);
        buf_add(&s->texts, source.s, source.len);
        buf_addc(&s->texts, '\0');
        buf_add(&s->texts, options.s, options.len);
        buf_addc(&s->texts, '\0');
        s->head.source = s->texts.data;
        s->head.options = s->texts.data + source.len + 1;
        good = !r.bad && copy_id(&id, s->head.id) && copy_id(&stream, s->head.stream);
        if (good && r.at < r.end) {
            struct state_text tick = take_text(&r);
            good = copy_id(&tick, s->head.tick);
        }
        if (good && r.at < r.end) {
            struct state_text doubted = take_text(&r);
            s->doubted = xstrndup(doubted.s, doubted.len);
            s->head.doubted = s->doubted;
            good = !r.bad;
        }
    }
    if (!good)
        damaged(s, e);
    s->first = c.next;
    state_cursor_free(&c);
    return good;
}

/* Reads the whole file to verify its checksum. */
static bool check_sum(struct state *s, uint64_t size, struct err *e)
{
    XXH3_state_t *sum = XXH3_createState();
    char *chunk = xmalloc(WINDOW);
    unsigned char want[SUM_LEN];
    uint64_t at = 0, got = 0;
    ssize_t n = 1;
    if (!sum)
        xnomem(NULL);
    XXH3_64bits_reset(sum);
    while (at < s->end && n > 0) {
        n = pread(s->fd, chunk, s->end - at < WINDOW ? (size_t)(s->end - at) : WINDOW, (off_t)at);
        if (n > 0)
            XXH3_64bits_update(sum, chunk, (size_t)n);
        at += n > 0 ? (uint64_t)n : 0;
    }
    bool good = at == s->end && size == s->end + SUM_LEN && pread(s->fd, want, SUM_LEN, (off_t)at) == SUM_LEN;
    for (int i = 0; good && i < SUM_LEN; i++)
        got |= (uint64_t)want[i] << 8 * i;
    good = good && got == XXH3_64bits_digest(sum);
    XXH3_freeState(sum);
    free(chunk);
    return good || damaged(s, e);
}

static bool check(struct state *s, struct err *e)
{
    char head[FIRST_ITEM];
    struct stat st;
    if (fstat(s->fd, &st) != 0 || !S_ISREG(st.st_mode))
        return err_set(e, s->path, "not a regular file");
    if (pread(s->fd, head, sizeof head, 0) != sizeof head || memcmp(head, magic, MAGIC_LEN) != 0)
        return err_set(e, s->path, "not a state of mlruns-tools");
    if (head[MAGIC_LEN] != STATE_VERSION)
        return err_set(e, s->path, "a state of version %d; this program reads version %d",
                       (unsigned char)head[MAGIC_LEN], STATE_VERSION);
    if (st.st_size < FIRST_ITEM + SUM_LEN)
        return damaged(s, e);
    s->end = (uint64_t)st.st_size - SUM_LEN;
    return check_sum(s, (uint64_t)st.st_size, e) && read_head(s, e);
}

struct state *state_open(const char *path, bool *absent, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (absent)
        *absent = fd < 0 && errno == ENOENT;
    if (fd < 0) {
        err_set(e, path, "cannot read the state: %s", strerror(errno));
        return NULL;
    }
    struct state *s = xcalloc(1, sizeof *s);
    s->fd = fd;
    s->path = xstrdup(path);
    if (check(s, e))
        return s;
    state_close(s);
    return NULL;
}

const struct state_head *state_head(const struct state *s)
{
    return &s->head;
}

const char *state_path(const struct state *s)
{
    return s->path;
}

void state_close(struct state *s)
{
    if (!s)
        return;
    close(s->fd);
    free(s->path);
    buf_free(&s->texts);
    free(s->doubted);
    free(s);
}

/* -- writing */

struct state_writer {
    char *path, *part;
    int fd;
    struct buf buf;
    XXH3_state_t *sum;
};

static bool write_failed(const struct state_writer *w, struct err *e)
{
    return err_set(e, w->part, "cannot write: %s", strerror(errno));
}

static bool flush(struct state_writer *w, struct err *e)
{
    bool ok = io_write_all(w->fd, w->buf.data, w->buf.len);
    buf_reset(&w->buf);
    return ok || write_failed(w, e);
}

bool state_write(struct state_writer *w, const void *data, size_t len, struct err *e)
{
    XXH3_64bits_update(w->sum, data, len);
    buf_add(&w->buf, data, len);
    return w->buf.len < WINDOW || flush(w, e);
}

/* Whether the path is that of the open file. */
static bool is_named(int fd, const char *path)
{
    struct stat mine, named;
    return fstat(fd, &mine) == 0 && stat(path, &named) == 0 && mine.st_dev == named.st_dev &&
           mine.st_ino == named.st_ino;
}

/* Opens and locks the file under its temporary name. One left by a killed program is taken over. False with e
 * filled. */
static bool open_part(struct state_writer *w, struct err *e)
{
    for (;;) {
        w->fd = open(w->part, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (w->fd < 0)
            return write_failed(w, e);
        if (flock(w->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
            close(w->fd);
            w->fd = -1;
            return err_set(e, w->path, "another tick is writing this state");
        }
        if (is_named(w->fd, w->part))
            return ftruncate(w->fd, 0) == 0 || write_failed(w, e);
        close(w->fd); /* another tick has just renamed it */
    }
}

struct state_writer *state_writer_new(const char *path, const struct state_head *head, struct err *e)
{
    struct state_writer *w = xcalloc(1, sizeof *w);
    struct buf item = {0};
    w->path = xstrdup(path);
    w->part = xasprintf("%s.part", path);
    w->sum = XXH3_createState();
    if (!w->sum)
        xnomem(NULL);
    XXH3_64bits_reset(w->sum);
    bool ok = open_part(w, e);
    buf_add(&item, magic, MAGIC_LEN);
    buf_addc(&item, STATE_VERSION);
    encode_head(&item, head);
    ok = ok && state_write(w, item.data, item.len, e);
    buf_free(&item);
    if (ok)
        return w;
    state_writer_free(w);
    return NULL;
}

bool state_write_copy(struct state_writer *w, struct state_cursor *c, uint64_t from, uint64_t to,
                      struct err *e)
{
    while (from < to) {
        size_t len = to - from < WINDOW / 2 ? (size_t)(to - from) : WINDOW / 2;
        const char *p = bytes_at(c, from, len, e);
        if (!p || !state_write(w, p, len, e))
            return false;
        from += len;
    }
    return true;
}

bool state_write_map_of(struct state_writer *w, const struct state *s, struct err *e)
{
    static const char unsent[] = STATE_UNSENT_KIND;
    struct state_cursor c;
    struct state_map_entry entry;
    struct buf item = {0};
    bool ok = true;
    int got = 0;
    state_cursor_init(&c, s);
    while (ok && (got = state_map_next(&c, &entry, e)) > 0) {
        if (entry.kind.len == strlen(unsent) && memcmp(entry.kind.s, unsent, entry.kind.len) == 0)
            continue;
        buf_reset(&item);
        state_encode_map(&item, &entry);
        ok = state_write(w, item.data, item.len, e);
    }
    buf_free(&item);
    state_cursor_free(&c);
    return ok && got == 0;
}

bool state_rename(const struct state *s, const char *path)
{
    if (is_named(s->fd, path))
        return true;
    /* Uses the descriptor: another tick may have put an uncommitted file at s->path. If two ticks get here at
     * the same time, both have been committed, and either may have the name. */
    char *link = xasprintf("%s.link", path), *file = xasprintf("/proc/self/fd/%d", s->fd);
    unlink(link);
    bool ok = linkat(AT_FDCWD, file, AT_FDCWD, link, AT_SYMLINK_FOLLOW) == 0 && rename(link, path) == 0;
    free(link);
    free(file);
    if (!ok)
        return false;
    state_remove(s);
    sync_directory(path);
    return true;
}

void state_remove(const struct state *s)
{
    if (is_named(s->fd, s->path))
        unlink(s->path);
}

bool state_writer_commit(struct state_writer *w, struct err *e)
{
    static const char end[] = {1, 'E'};
    if (!state_write(w, end, sizeof end, e))
        return false;
    uint64_t sum = XXH3_64bits_digest(w->sum);
    for (int i = 0; i < SUM_LEN; i++)
        buf_addc(&w->buf, (char)(sum >> 8 * i));
    if (!flush(w, e))
        return false;
    if (fsync(w->fd) != 0 || rename(w->part, w->path) != 0)
        return write_failed(w, e);
    close(w->fd); /* only now, for with it the lock goes */
    w->fd = -1;
    sync_directory(w->path);
    return true;
}

void state_writer_free(struct state_writer *w)
{
    if (!w)
        return;
    if (w->fd >= 0) {
        unlink(w->part);
        close(w->fd);
    }
    XXH3_freeState(w->sum);
    buf_free(&w->buf);
    free(w->path);
    free(w->part);
    free(w);
}
