/* Memory that goes to a file when it is much. */
#include "tests/unit/tap.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/spill.h"

static const char *dir;

/* Arrays that grow in turn, so that blocks move within memory, to the file and within it. */
static void test_arrays(size_t n, const char *what)
{
    enum { ARRAYS = 3 };
    struct spill *s = spill_new(dir);
    uint64_t *items[ARRAYS] = {0};
    size_t cap[ARRAYS] = {0}, wrong = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t a = 0; a < ARRAYS; a++) {
            items[a] = spill_array(s, items[a], i, &cap[a], sizeof *items[a]);
            items[a][i] = i * ARRAYS + a;
        }
    for (size_t i = n; i-- > 0;)
        for (size_t a = 0; a < ARRAYS; a++) {
            spill_touch(s, &items[a][i]);
            wrong += items[a][i] != i * ARRAYS + a;
        }
    is_int((int64_t)wrong, 0, "arrays of %zu items, %s", n, what);
    for (size_t a = 0; a < ARRAYS; a++)
        spill_release(s, items[a], cap[a] * sizeof *items[a]);
    spill_free(s);
}

static void test_resize(void)
{
    struct spill *s = spill_new(dir);
    size_t small = 1000, large = SPILL_BLOCK, larger = SPILL_MEMORY + SPILL_BLOCK;
    char *p = spill_resize(s, NULL, 0, small);
    memset(p, 'x', small);
    p = spill_resize(s, p, small, large);
    ok(p[0] == 'x' && p[small - 1] == 'x' && p[small] == '\0' && p[large - 1] == '\0',
       "a small block becomes a large one, what is new is 0");
    memset(p, 'y', large);
    p = spill_resize(s, p, large, larger);
    ok(p[0] == 'y' && p[large - 1] == 'y' && p[large] == '\0' && p[larger - 1] == '\0',
       "and one in the file");
    p = spill_resize(s, p, larger, small);
    ok(p[0] == 'y' && p[small - 1] == 'y', "and a small one again");
    spill_release(s, p, small);
    spill_release(s, NULL, 0);
    p = spill_resize(NULL, NULL, 0, large);
    is_int(p[large - 1], 0, "without a spill: from malloc");
    spill_release(NULL, p, large);
    spill_free(s);
}

static void test_memory(void)
{
    struct spill *s = spill_new(dir);
    void *all = spill_memory(s, SPILL_MEMORY);
    ok(all != NULL, "SPILL_MEMORY bytes come from malloc");
    ok(spill_memory(s, SPILL_BLOCK) == NULL, "no more do");
    void *small = spill_memory(s, SPILL_BLOCK - 1);
    ok(small != NULL, "but small blocks");
    spill_release(s, small, SPILL_BLOCK - 1);
    spill_release(s, all, SPILL_MEMORY);
    all = spill_memory(s, SPILL_MEMORY);
    ok(all != NULL, "what was given back can be had again");
    spill_release(s, all, SPILL_MEMORY);
    spill_free(s);
    spill_free(NULL);
}

static void test_texts(void)
{
    enum { N = 600000, LONG = 3 << 20 };
    struct spill *s = spill_new(dir);
    char **texts = xcalloc(N, sizeof *texts), expected[100];
    size_t wrong = 0;
    for (int i = 0; i < N; i++) {
        int len = snprintf(expected, sizeof expected, "%0*d", 20 + i % 70, i);
        texts[i] = spill_text(s, expected, (size_t)len);
    }
    for (int i = 0; i < N; i++) {
        snprintf(expected, sizeof expected, "%0*d", 20 + i % 70, i);
        spill_touch(s, texts[i]);
        wrong += strcmp(texts[i], expected) != 0;
    }
    is_int((int64_t)wrong, 0, "texts of more than SPILL_MEMORY bytes");
    char *text = xmalloc(LONG);
    memset(text, 'x', LONG);
    char *copy = spill_text(s, text, LONG);
    ok(memcmp(copy, text, LONG) == 0 && copy[LONG] == '\0', "a text larger than a block of texts");
    free(text);
    free(texts);
    spill_free(s);
}

/* Pages of more than what stays in memory, used in no order. */
static void test_pages(void)
{
    enum { SIZE = 32 << 20, STEP = 104729 * 512 + 8 };
    struct spill *s = spill_new(dir);
    uint64_t first = spill_range(s, SIZE), second = spill_range(s, SIZE), wrong = 0;
    for (uint64_t i = 0, at = 0; i < SIZE / 1024; i++, at = (at + STEP) % SIZE) {
        *(uint64_t *)spill_at(s, first + at, true) = at + 1;
        wrong += *(uint64_t *)spill_at(s, second + at, false) != 0;
    }
    is_int((int64_t)wrong, 0, "a range is 0 at first");
    for (uint64_t i = 0, at = 0; i < SIZE / 1024; i++, at = (at + STEP) % SIZE)
        wrong += *(uint64_t *)spill_at(s, first + at, false) != at + 1;
    is_int((int64_t)wrong, 0, "what was written is there");
    spill_drop(s, first, SIZE);
    is_int((int64_t) * (uint64_t *)spill_at(s, second + 64, false), 0, "the other range is as it was");
    spill_free(s);
}

int main(void)
{
    dir = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    test_arrays(1000, "in memory");
    test_arrays(1500000, "more than SPILL_MEMORY bytes");
    test_resize();
    test_memory();
    test_texts();
    test_pages();
    return done_testing();
}
