/* States: what is written is read, damage is noticed wherever it is, and promoting keeps what it should. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/array.h"
#include "common/file.h"
#include "common/io.h"
#include "formats/state/doubt.h"
#include "formats/state/promote.h"
#include "tests/unit/tap.h"

static struct state_text text(const char *s)
{
    return (struct state_text){s, strlen(s)};
}

static bool text_is(struct state_text t, const char *s)
{
    return t.len == strlen(s) && memcmp(t.s, s, t.len) == 0;
}

static struct state_map_entry entry(const char *kind, const char *key, const char *value)
{
    return (struct state_map_entry){text(kind), text(key), text(value)};
}

static void put_unit(struct buf *out, enum kind kind, const char *key, const char *id, int files)
{
    struct state_unit u = {.kind = kind, .key = text(key), .id = text(id), .flags = STATE_DELETED};
    struct buf chunk = {0};
    state_encode_unit(out, &u);
    for (int i = 0; i < files; i++) {
        char path[32];
        snprintf(path, sizeof path, "metrics/%d", i);
        struct state_file f = {.path = text(path),
                               .flags = STATE_UNTRUSTED | STATE_RETRY,
                               .size = UINT64_MAX - (uint64_t)i,
                               .inode = (uint64_t)i,
                               .mtime = INT64_C(1700000000123456789),
                               .ctime = INT64_C(-5),
                               .hash = UINT64_C(0x8000000000000001),
                               .offset = (uint64_t)(i % 2 ? 1 << 30 : 0),
                               .lines = (uint64_t)(i % 2)};
        state_encode_file(&chunk, &f);
        if (chunk.len >= STATE_CHUNK)
            state_encode_chunk(out, &chunk);
    }
    state_encode_chunk(out, &chunk);
    buf_free(&chunk);
}

static void put_state_of(const char *path, const char *tick, int files)
{
    struct state_head head = {
        .id = "00112233445566778899aabbccddeeff",
        .generation = 300,
        .time = INT64_C(1700000000000000001),
        .stream = "ffeeddccbbaa99887766554433221100",
        .source = "/data/mlruns",
        .options = "",
    };
    snprintf(head.tick, sizeof head.tick, "%s", tick);
    struct buf items = {0};
    struct err e = {0};
    struct state_writer *w = state_writer_new(path, &head, &e);
    struct state_map_entry m = entry("experiment", "1\n170", "7"), n = entry("experiment", "5", "9");
    state_encode_map(&items, &m);
    state_encode_map(&items, &n);
    put_unit(&items, KIND_experiment, "0 1", "1", 1);
    put_unit(&items, KIND_run, "1 1 r", "r", files);
    put_unit(&items, KIND_registered_model, "2 m", "m", 0);
    ok(w && state_write(w, items.data, items.len, &e) && state_writer_commit(w, &e), "written %s", e.what);
    state_writer_free(w);
    buf_free(&items);
}

static void put_state(const char *path, int files)
{
    put_state_of(path, "0123456789abcdef0123456789abcdef", files);
}

/* "experiment/5=9 ..." */
static void map_text(const struct state *s, struct buf *out)
{
    struct state_cursor c;
    struct state_map_entry m;
    struct err e;
    int got;
    buf_reset(out);
    state_cursor_init(&c, s);
    while ((got = state_map_next(&c, &m, &e)) > 0)
        buf_addf(out, "%.*s/%.*s=%.*s ", (int)m.kind.len, m.kind.s, (int)m.key.len, m.key.s, (int)m.value.len,
                 m.value.s);
    buf_adds(out, got < 0 ? e.what : "");
    state_cursor_free(&c);
}

/* "kind id flags files ..." */
static void unit_text(const struct state *s, struct buf *out)
{
    struct state_cursor c;
    struct state_files files = {0};
    struct state_unit u;
    struct state_file f;
    struct err e;
    int got;
    buf_reset(out);
    state_cursor_init(&c, s);
    while ((got = state_unit_next(&c, &u, &e)) > 0) {
        int n = 0;
        buf_addf(out, "%s %.*s %u ", kinds[u.kind].name, (int)u.id.len, u.id.s, u.flags);
        state_files_begin(&files);
        while ((got = state_file_next(&c, &files, &f, &e)) > 0)
            n++;
        buf_addf(out, "%d ", n);
    }
    buf_adds(out, got < 0 ? e.what : "");
    state_files_free(&files);
    state_cursor_free(&c);
}

static void test_round_trip(void)
{
    struct err e = {0};
    struct buf out = {0};
    bool absent;
    ok(!state_open("absent", &absent, &e) && absent, "a state that is not there: %s", e.what);
    put_state("state", 5000);
    ok(access("state.part", F_OK) != 0, "nothing is left next to it");
    struct state *s = state_open("state", &absent, &e);
    ok(s != NULL, "opened %s", e.what);
    const struct state_head *h = state_head(s);
    is_str(h->id, "00112233445566778899aabbccddeeff", "its id");
    is_str(h->tick, "0123456789abcdef0123456789abcdef", "its tick");
    ok(h->generation == 300 && h->time == INT64_C(1700000000000000001), "generation and time");
    ok(strcmp(h->source, "/data/mlruns") == 0 && h->options[0] == '\0' &&
           strcmp(h->stream, "ffeeddccbbaa99887766554433221100") == 0,
       "source, options, stream");
    map_text(s, &out);
    is_str(buf_str(&out), "experiment/1\n170=7 experiment/5=9 ", "the map");
    unit_text(s, &out);
    is_str(buf_str(&out), "experiment 1 2 1 run r 2 5000 registered_model m 2 0 ", "units, and their files");
    struct state_cursor c;
    struct state_files files = {0};
    struct state_unit u;
    struct state_file f;
    state_cursor_init(&c, s);
    state_unit_next(&c, &u, &e);
    ok(state_unit_next(&c, &u, &e) == 1 && text_is(u.key, "1 1 r"), "a unit's files need not be read");
    for (int i = 0; i < 4; i++)
        state_file_next(&c, &files, &f, &e);
    ok(text_is(f.path, "metrics/3") && f.flags == (STATE_UNTRUSTED | STATE_RETRY) &&
           f.size == UINT64_MAX - 3 && f.inode == 3 && f.mtime == INT64_C(1700000000123456789) &&
           f.ctime == -5 && f.hash == UINT64_C(0x8000000000000001) && f.offset == 1 << 30 && f.lines == 1,
       "a file");
    state_files_free(&files);
    state_cursor_free(&c);
    state_close(s);
    buf_free(&out);
}

/* Each byte changed, and each length: refused, or (nowhere) taken for good. */
static void test_damage(void)
{
    struct buf good = {0};
    struct err e;
    int taken = 0;
    put_state("state", 3);
    file_read_whole(AT_FDCWD, "state", 1 << 20, &good);
    for (size_t i = 0; i < 2 * good.len; i++) {
        int fd = open("bad", O_WRONLY | O_CREAT | O_TRUNC, 0666);
        bool cut = i >= good.len;
        if (!cut)
            good.data[i] ^= 1;
        io_write_all(fd, good.data, cut ? i - good.len : good.len);
        if (!cut)
            good.data[i] ^= 1;
        close(fd);
        struct state *s = state_open("bad", NULL, &e);
        taken += s != NULL;
        state_close(s);
    }
    is_int(taken, 0, "a state with a wrong byte, or cut, is refused at each of %zu places", good.len);
    good.data[8] = 2;
    int fd = open("bad", O_WRONLY | O_CREAT | O_TRUNC, 0666);
    io_write_all(fd, good.data, good.len);
    close(fd);
    ok(!state_open("bad", NULL, &e) && strstr(e.what, "version 2"), "a newer version: %s", e.what);
    buf_free(&good);
}

static void test_promotion(void)
{
    struct err e = {0};
    struct buf out = {0};
    put_state("state.new", 4000);
    struct state *s = state_open("state.new", NULL, &e);
    struct state_promotion *p = state_promotion_new(s, ".");
    static const char *const added[][3] = {{"run", "a", "1"},        {"experiment", "5", "10"},
                                           {"dataset", "d", "old"},  {"experiment", "3", "8"},
                                           {"dataset", "d", "last"}, {"experiment", "", "0"}};
    for (size_t i = 0; i < ARRAY_LENGTH(added); i++) {
        struct state_map_entry m = entry(added[i][0], added[i][1], added[i][2]);
        state_promotion_map(p, &m, &e);
    }
    state_promotion_unsent(p, KIND_prompt, "m", 1);
    state_promotion_unsent(p, KIND_trace, "r", 1);
    ok(state_promotion_commit(p, 301, "state", &e), "promoted %s", e.what);
    state_promotion_free(p);
    state_close(s);
    ok(access("state.new", F_OK) != 0, "state.new is gone");
    s = state_open("state", NULL, &e);
    is_int((int64_t)state_head(s)->generation, 301, "the generation is the target's");
    map_text(s, &out);
    is_str(buf_str(&out),
           "dataset/d=last experiment/=0 experiment/1\n170=7 experiment/3=8 experiment/5=10 run/a=1 ",
           "the map: entries added, in order; of one key the last");
    unit_text(s, &out);
    is_str(buf_str(&out), "experiment 1 2 1 run r 2 4000 registered_model m 3 0 ", "the unit is marked");
    p = state_promotion_new(s, ".");
    ok(state_promotion_commit(p, 301, "state", &e), "promoted to its own name %s", e.what);
    state_promotion_free(p);
    state_close(s);
    s = state_open("state", NULL, &e);
    unit_text(s, &out);
    is_str(buf_str(&out), "experiment 1 2 1 run r 2 4000 registered_model m 3 0 ", "nothing changed");
    p = state_promotion_new(s, ".");
    ok(!state_promotion_commit(p, 302, "no/such/folder/state", &e), "it can't be written: %s", e.what);
    ok(access("state", F_OK) == 0, "the state stays");
    state_promotion_free(p);
    state_close(s);
    buf_free(&out);
}

/* Of an earlier version. */
static void test_without_tick(void)
{
    struct err e = {0};
    struct buf out = {0};
    put_state_of("old", "", 3);
    struct state *s = state_open("old", NULL, &e);
    ok(s && state_head(s)->tick[0] == '\0' && state_head(s)->generation == 300, "a state without a tick %s",
       e.what);
    map_text(s, &out);
    is_str(buf_str(&out), "experiment/1\n170=7 experiment/5=9 ", "with its map");
    state_close(s);
    buf_free(&out);
}

/* The name of state.new is another tick's by the time that the first one is promoted, whatever was to be
 * written: only what was opened is. */
static void test_replaced(uint64_t generation, const char *what)
{
    struct err e = {0};
    put_state_of("state.new", "11111111111111111111111111111111", 3);
    struct state *s = state_open("state.new", NULL, &e);
    struct state_promotion *p = state_promotion_new(s, ".");
    put_state_of("state.new", "22222222222222222222222222222222", 3);
    ok(state_promotion_commit(p, generation, "state", &e), "promoted %s: %s", what, e.what);
    state_promotion_free(p);
    state_close(s);
    s = state_open("state", NULL, &e);
    is_str(s ? state_head(s)->tick : e.what, "11111111111111111111111111111111", "the one that was opened");
    state_close(s);
    s = state_open("state.new", NULL, &e);
    is_str(s ? state_head(s)->tick : e.what, "22222222222222222222222222222222", "the other one stays");
    state_close(s);
}

/* Two writers of one name. */
static void test_writers(void)
{
    struct err e = {0};
    struct state_head head = {
        .id = "00112233445566778899aabbccddeeff", .stream = "", .source = "", .options = ""};
    memcpy(head.stream, head.id, sizeof head.stream);
    struct state_writer *w = state_writer_new("one", &head, &e);
    ok(w && !state_writer_new("one", &head, &e) && strstr(e.what, "another tick"), "the second: %s", e.what);
    ok(state_writer_commit(w, &e), "the first is written");
    state_writer_free(w);
    w = state_writer_new("one", &head, &e);
    ok(w != NULL, "and one after it begins %s", e.what);
    state_writer_free(w);
    ok(access("one.part", F_OK) != 0, "and leaves nothing");
    struct state *s = state_open("one", NULL, &e);
    ok(s != NULL, "the first one is whole %s", e.what);
    state_close(s);
}

/* A state of a database: files with these names and hashes 2, or `other` for the odd ones. */
static void put_records(const char *path, const char *tick, uint64_t generation, int n, uint64_t other)
{
    struct state_head head = {.id = "00112233445566778899aabbccddeeff", .generation = generation};
    head.source = head.options = "";
    snprintf(head.stream, sizeof head.stream, "%s", head.id);
    snprintf(head.tick, sizeof head.tick, "%s", tick);
    struct state_unit u = {.kind = KIND_row, .key = text("1"), .id = text("")};
    struct state_map_entry m = entry(STATE_UNSENT_KIND, "run r", "");
    struct buf items = {0}, chunk = {0};
    struct err e = {0};
    state_encode_map(&items, &m);
    state_encode_unit(&items, &u);
    for (int i = 0; i < n; i++) {
        char name[64];
        snprintf(name, sizeof name, "%016d%s", i, i % 3 == 0 ? "metric" : "tag");
        struct state_file f = {.path = text(name), .size = 1, .hash = i % 2 ? other : 2};
        state_encode_file(&chunk, &f);
        if (chunk.len >= STATE_CHUNK)
            state_encode_chunk(&items, &chunk);
    }
    state_encode_chunk(&items, &chunk);
    struct state_writer *w = state_writer_new(path, &head, &e);
    ok(w && state_write(w, items.data, items.len, &e) && state_writer_commit(w, &e), "written %s", e.what);
    state_writer_free(w);
    buf_free(&chunk);
    buf_free(&items);
}

/* What the other state has otherwise, and is not of points, is marked; all else is as it was. */
static void test_doubt(void)
{
    enum { N = 6000 };
    struct err e = {0};
    put_records("sure", "a0000000000000000000000000000001", 4, N, 2);
    put_records("next", "a0000000000000000000000000000002", 4, N - 100, 8);
    struct state *s = state_open("sure", NULL, &e), *next = state_open("next", NULL, &e);
    ok(s && next && state_is_unpromoted(s, next) && !state_is_unpromoted(s, s),
       "a tick that was not promoted");
    ok(state_doubt(s, next, ".", &e), "it is doubted %s", e.what);
    state_close(s);
    s = state_open("sure", NULL, &e);
    ok(state_doubts(s, "a0000000000000000000000000000002") &&
           !state_doubts(s, "a0000000000000000000000000000001"),
       "which the state knows");
    struct state_cursor c;
    struct state_files files = {0};
    struct state_unit u;
    struct state_file f;
    struct buf map = {0};
    int n = 0, wrong = 0;
    map_text(s, &map);
    ok(strcmp(buf_str(&map), "unsent/run r= ") == 0 && state_head(s)->generation == 4, "the map: %s",
       buf_str(&map));
    state_cursor_init(&c, s);
    ok(state_unit_next(&c, &u, &e) > 0, "its unit");
    for (; state_file_next(&c, &files, &f, &e) > 0; n++) {
        bool doubted = n % 2 && n % 3 && n < N - 100;
        wrong +=
            doubted ? f.hash == 2 || f.hash == 8 || !(f.flags & STATE_UNTRUSTED) : f.hash != 2 || f.flags;
    }
    ok(n == N && wrong == 0, "%d records, %d of them wrong", n, wrong);
    state_files_free(&files);
    state_cursor_free(&c);
    buf_free(&map);
    state_close(s);
    state_close(next);
}

int main(void)
{
    char dir[] = "/tmp/state_test.XXXXXX";
    err_program_set("state_test");
    if (!mkdtemp(dir) || chdir(dir) != 0)
        return 2;
    test_round_trip();
    test_damage();
    test_promotion();
    test_without_tick();
    test_replaced(300, "as it is");
    test_replaced(301, "with another generation");
    test_writers();
    test_doubt();
    char id[33], other[33];
    ok(state_new_id(id, NULL) && state_new_id(other, NULL), "new ids");
    ok(strlen(id) == 32 && strcmp(id, other) != 0, "two new ids differ");
    int status = done_testing();
    if (chdir("/") == 0) {
        char *command = xasprintf("rm -r %s", dir);
        status |= system(command) != 0;
        free(command);
    }
    return status;
}
