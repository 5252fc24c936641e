/* The sorter: the order, of equal keys too, whether all fits into memory or pieces are merged in several
 * levels. */
#include "common/sort.h"

#include <stdlib.h>

#include "common/buf.h"
#include "tap.h"

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

static void test_large(void)
{
    enum { SIZE = 3 << 20 };
    struct sorter *s = sorter_new(".", 1 << 20);
    char *data = xcalloc(1, SIZE);
    struct err e;
    struct sort_entry item;
    bool good = true;
    for (int i = 9; i >= 0; i--) {
        char key = (char)i;
        memset(data, i, SIZE);
        good = good && sorter_add(s, &key, 1, data, SIZE, &e);
    }
    good = good && sorter_finish(s, &e);
    for (int i = 0; i < 10 && good; i++) {
        good = sorter_next(s, &item, &e) == 1 && item.key[0] == i && item.data_len == SIZE;
        good = good && item.data[0] == i && item.data[SIZE - 1] == i;
    }
    ok(good && sorter_next(s, &item, &e) == 0, "items larger than the memory come out whole");
    sorter_free(s);
    free(data);
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
    test_large();

    s = sorter_new("/no/such/folder", 64);
    bool added = true;
    for (int i = 0; i < 100 && added; i++)
        added = sorter_add(s, "key", 3, "data", 4, &e);
    ok(!added && strstr(e.what, "temporary file") && strstr(e.hint, "--tmpdir"),
       "a folder that cannot be written is an error with a hint");
    sorter_free(s);
    return done_testing();
}
