/* The sorter: the order, of equal keys too, whether all fits into memory or pieces are merged in several
 * levels. */
#include "common/sort.h"

#include <stdlib.h>

#include "common/buf.h"
#include "tests/unit/tap.h"

static uint32_t seed = 12345;

static uint32_t next_random(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8;
}

struct sample {
    char key[16];
    size_t key_len;
    uint32_t place; /* in which it was added */
};

static int compare_samples(const void *a, const void *b)
{
    const struct sample *x = a, *y = b;
    size_t n = x->key_len < y->key_len ? x->key_len : y->key_len;
    int order = memcmp(x->key, y->key, n);
    if (order == 0)
        order = (x->key_len > y->key_len) - (x->key_len < y->key_len);
    return order ? order : (x->place > y->place) - (x->place < y->place);
}

/* n items with keys of a small alphabet, NUL among it, so that many are equal and many begin others. */
static void test_random(size_t n, size_t memory, bool spills, const char *name)
{
    struct sample *samples = xcalloc(n, sizeof *samples);
    struct sorter *s = sorter_new(".", memory);
    struct err e;
    bool good = true;
    for (size_t i = 0; i < n; i++) {
        struct sample *x = &samples[i];
        x->key_len = next_random() % (sizeof x->key + 1);
        x->place = (uint32_t)i;
        for (size_t j = 0; j < x->key_len; j++)
            x->key[j] = "\0\1z\xff"[next_random() % 4];
        good = good && sorter_add(s, x->key, x->key_len, &x->place, sizeof x->place, &e);
    }
    qsort(samples, n, sizeof *samples, compare_samples);
    good = good && sorter_finish(s, &e);
    size_t i = 0;
    struct sort_entry item;
    int more;
    while (good && (more = sorter_next(s, &item, &e)) > 0 && i < n) {
        const struct sample *x = &samples[i++];
        good = item.key_len == x->key_len && memcmp(item.key, x->key, x->key_len) == 0 &&
               item.data_len == sizeof x->place && memcmp(item.data, &x->place, sizeof x->place) == 0;
    }
    ok(good && i == n && more == 0, "%s: all come out, sorted, equal keys in the order in which they came",
       name);
    ok((sorter_spilled(s) > 0) == spills, "%s: %s", name, spills ? "on disk" : "in memory");
    sorter_free(s);
    free(samples);
}

/* Data of many sizes, some larger than all the memory, which are read only when they are asked for, and after
 * the entries after them. */
static void test_large(size_t memory, const char *name)
{
    enum { N = 300, SIZE = 300000 };
    struct sorter *s = sorter_new(".", memory);
    char *data = xmalloc(SIZE);
    struct sort_entry item, before = {0};
    struct buf out = {0};
    struct err e;
    bool good = true;
    for (int i = N - 1; i >= 0; i--) {
        char key[2] = {(char)(i / 100), (char)(i % 100)};
        memset(data, i, SIZE);
        good = good && sorter_add(s, key, sizeof key, data, (size_t)(SIZE / (i % 7 * i % 7 + 1)), &e);
    }
    good = good && sorter_finish(s, &e);
    for (int i = 0; i < N && good; i++) {
        size_t len = (size_t)(SIZE / (i % 7 * i % 7 + 1));
        good = sorter_next(s, &item, &e) == 1 && item.key[0] == i / 100 && item.key[1] == i % 100;
        good = good && item.data_len == len && sorter_read(s, &item, 0, len, &out, &e) && out.len == len;
        good = good && out.data[0] == (char)i && memcmp(out.data, out.data + 1, len - 1) == 0;
        good = good && sorter_read(s, &item, len - 3, 3, &out, &e) && out.len == 3 && out.data[2] == (char)i;
        if (before.key_len && !before.data)
            good = good && sorter_read(s, &before, 1, 2, &out, &e) && out.data[1] == (char)(i - 1);
        before = item;
    }
    ok(good && sorter_next(s, &item, &e) == 0, "%s: large data come out whole", name);
    sorter_free(s);
    buf_free(&out);
    free(data);
}

/* Keys that differ in their last byte or in their length. */
static void test_large_keys(size_t memory)
{
    enum { N = 60, SIZE = 40000 };
    struct sorter *s = sorter_new(".", memory);
    char *key = xcalloc(1, SIZE);
    struct sort_entry item;
    struct err e;
    bool good = true;
    for (int i = N - 1; i >= 0; i--) {
        key[SIZE - 1] = (char)(i / 2);
        good = good && sorter_add(s, key, (size_t)(i % 2 ? SIZE : SIZE - N + i / 2), &i, sizeof i, &e);
    }
    good = good && sorter_finish(s, &e);
    for (int i = 0; i < N && good; i++) {
        int place;
        good = sorter_next(s, &item, &e) == 1 && item.data_len == sizeof place;
        if (!good)
            break;
        memcpy(&place, item.data, sizeof place);
        good = place == (i < N / 2 ? 2 * i : 2 * (i - N / 2) + 1) && memcmp(item.key, key, SIZE - N) == 0;
        good = good && (i < N / 2 || item.key[SIZE - 1] == (char)(place / 2));
    }
    ok(good && sorter_next(s, &item, &e) == 0, "large keys are sorted by all their bytes");
    sorter_free(s);
    free(key);
}

int main(void)
{
    struct err e = {0};
    struct sort_entry item;
    struct sorter *s = sorter_new("/no/such/folder", 1024);
    ok(sorter_finish(s, &e) && sorter_next(s, &item, &e) == 0, "nothing in, nothing out");
    sorter_free(s);

    test_random(1000, 1 << 20, false, "1,000 items");
    test_random(20000, 64 << 10, true, "20,000 items in pieces");
    test_random(200000, 4096, true, "200,000 items in thousands of pieces");
    test_large(256 << 20, "in memory");
    test_large(1 << 20, "on disk");
    test_large(64 << 10, "on disk, larger than all the memory");
    test_large_keys(16 << 20);
    test_large_keys(32 << 10);

    s = sorter_new("/no/such/folder", 64);
    bool added = true;
    for (int i = 0; i < 100 && added; i++)
        added = sorter_add(s, "key", 3, "data", 4, &e);
    ok(!added && strstr(e.what, "temporary file") && strstr(e.hint, "--tmpdir"),
       "a directory that cannot be written is an error with a hint");
    sorter_free(s);
    return done_testing();
}
