/* Tables of which the most lies in a file. */
#include "tests/unit/tap.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/spill.h"

static const char *dir;

/* Arrays that grow in turn. */
static void test_arrays(uint64_t n, const char *what)
{
    enum { ARRAYS = 3 };
    struct item {
        uint64_t number[7]; /* of a size that lies across pages */
    } x = {{0}};
    struct spill *s = spill_new(dir);
    struct spill_array arrays[ARRAYS] = {{.size = sizeof x}, {.size = sizeof x}, {.size = sizeof x}};
    uint64_t wrong = 0;
    for (uint64_t i = 0; i < n; i++)
        for (uint64_t a = 0; a < ARRAYS; a++) {
            x.number[0] = x.number[6] = i * ARRAYS + a;
            wrong += spill_append(s, &arrays[a], &x) != i;
        }
    for (uint64_t i = n; i-- > 0;)
        for (uint64_t a = 0; a < ARRAYS; a++) {
            spill_get_item(s, &arrays[a], i, &x);
            wrong += x.number[0] != i * ARRAYS + a || x.number[6] != x.number[0];
        }
    is_int((int64_t)wrong, 0, "arrays of %d items, %s", (int)n, what);
    x.number[6] = 7;
    spill_put_item(s, &arrays[1], n / 2, &x);
    spill_get_item(s, &arrays[1], n / 2 + 1, &x);
    is_int((int64_t)x.number[6], (int64_t)((n / 2 + 1) * ARRAYS + 1), "what is next to a changed one stays");
    spill_get_item(s, &arrays[1], n / 2, &x);
    is_int((int64_t)x.number[6], 7, "the changed one is changed");
    spill_drop_items(s, &arrays[1]);
    spill_get_item(s, &arrays[2], n - 1, &x);
    is_int((int64_t)x.number[6], (int64_t)(n * ARRAYS - 1), "when an array is dropped, the next one stays");
    spill_get_item(s, &arrays[0], n / 2, &x);
    is_int((int64_t)x.number[0], (int64_t)(n / 2 * ARRAYS), "and the one before");
    x.number[6] = 9;
    is_int((int64_t)spill_append(s, &arrays[1], &x), 0, "the dropped one begins again");
    spill_get_item(s, &arrays[1], 0, &x);
    is_int((int64_t)x.number[6], 9, "with what is added");
    spill_free(s);
}

static void test_memory(void)
{
    struct spill *s = spill_new(dir);
    char *all = spill_memory(s, SPILL_MEMORY);
    ok(all && all[SPILL_MEMORY - 1] == 0, "SPILL_MEMORY bytes can be had, all 0");
    ok(spill_memory(s, 1) == NULL, "no more can");
    spill_give_back(s, all, SPILL_MEMORY);
    all = spill_memory(s, SPILL_MEMORY);
    ok(all != NULL, "what was given back can be had again");
    spill_give_back(s, all, SPILL_MEMORY);
    spill_give_back(s, NULL, 0);
    spill_free(s);
    spill_free(NULL);
}

static void test_texts(void)
{
    enum { N = 300000, LONG = 3 << 20 };
    struct spill *s = spill_new(dir);
    struct spill_text *texts = xcalloc(N, sizeof *texts);
    struct buf out = {0};
    char expected[100];
    size_t wrong = 0;
    for (int i = 0; i < N; i++) {
        int len = snprintf(expected, sizeof expected, "%0*d", i % 90, i);
        texts[i] = spill_text(s, expected, (size_t)len);
    }
    for (int i = 0; i < N; i++) {
        snprintf(expected, sizeof expected, "%0*d", i % 90, i);
        spill_read_text(s, texts[i], &out);
        wrong += strcmp(buf_str(&out), expected) != 0;
    }
    is_int((int64_t)wrong, 0, "texts of more than SPILL_CACHE bytes");
    char *text = xmalloc(LONG);
    memset(text, 'x', LONG);
    struct spill_text copy = spill_text(s, text, LONG);
    struct spill_text empty = spill_text(s, "", 0);
    spill_read_text(s, copy, &out);
    ok(out.len == LONG && memcmp(out.data, text, LONG) == 0, "a text larger than a block of texts");
    spill_read_text(s, empty, &out);
    is_int((int64_t)out.len, 0, "an empty text");
    buf_free(&out);
    free(text);
    free(texts);
    spill_free(s);
}

/* Ranges of more than what stays in memory, used in no order. */
static void test_ranges(void)
{
    enum { SIZE = 16 << 20, STEP = 104729 * 512 + 8 };
    struct spill *s = spill_new(dir);
    uint64_t first = spill_range(s, SIZE), second = spill_range(s, SIZE), wrong = 0, x;
    for (uint64_t i = 0, at = 0; i < SIZE / 1024; i++, at = (at + STEP) % SIZE) {
        x = at + 1;
        spill_put(s, first + at, &x, sizeof x);
        spill_get(s, second + at, &x, sizeof x);
        wrong += x != 0;
    }
    is_int((int64_t)wrong, 0, "a range is 0 at first");
    for (uint64_t i = 0, at = 0; i < SIZE / 1024; i++, at = (at + STEP) % SIZE) {
        spill_get(s, first + at, &x, sizeof x);
        wrong += x != at + 1;
    }
    is_int((int64_t)wrong, 0, "what was written is there");
    x = 5;
    spill_put(s, second + 64, &x, sizeof x);
    spill_drop(s, first, SIZE);
    spill_get(s, second + 64, &x, sizeof x);
    is_int((int64_t)x, 5, "the other range is as it was when one is dropped");
    spill_free(s);
}

/* A directory in which no file can be made: what does not fit into memory is lost, is said, and nothing else
 * is read in its place. */
static void test_failure(void)
{
    enum { N = 20 * SPILL_CACHE / SPILL_PAGE };
    struct err e = {.what = ""};
    struct spill *s = spill_new("/proc");
    uint64_t at = spill_range(s, (size_t)N * SPILL_PAGE), x, wrong = 0, lost = 0;
    for (uint64_t i = 0; i < 10; i++)
        spill_put(s, at + i * SPILL_PAGE, &i, sizeof i);
    ok(spill_check(s, &e), "what fits into memory needs no file");
    for (uint64_t i = 1; i < N; i++)
        spill_put(s, at + i * SPILL_PAGE, &i, sizeof i);
    ok(!spill_check(s, &e) && !spill_check(s, NULL), "what does not needs one");
    is_str(e.where, "/proc", "its directory is named");
    ok(strstr(e.what, "cannot create a temporary file here: ") && strstr(e.hint, "--tmpdir"),
       "and what helps");
    for (uint64_t i = 1; i < N; i++) {
        spill_get(s, at + i * SPILL_PAGE, &x, sizeof x);
        lost += x == 0;
        wrong += x != 0 && x != i;
    }
    is_int((long)wrong, 0, "nothing is there that was not put there");
    ok(lost > 0, "and something is lost");
    spill_free(s);
}

int main(void)
{
    dir = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    test_arrays(1000, "in memory");
    test_arrays(200000, "more than SPILL_CACHE bytes");
    test_memory();
    test_texts();
    test_ranges();
    test_failure();
    return done_testing();
}
