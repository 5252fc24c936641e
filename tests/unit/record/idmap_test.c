/* Maps from identities to numbers, in memory and where it is used up. */
#include "tests/unit/tap.h"

#include <inttypes.h>
#include <stdlib.h>

#include "formats/record/idmap.h"

static struct id_key key_of(uint64_t i)
{
    struct value v = value_int((int64_t)i);
    return id_key(0, &v, 1);
}

/* Two maps in one spill, asked in the order of adding, and in another one. */
static void test_map(struct spill *s, uint64_t n, const char *what)
{
    enum { STEP = 7919 };
    struct idmap *a = idmap_new(s), *b = idmap_new(s);
    uint64_t wrong = 0, number;
    ok(!idmap_get(a, key_of(1), &number), "%s: an empty map has no key", what);
    for (uint64_t i = 0; i < n; i++) {
        wrong += !idmap_add(a, key_of(i), i + 1) || idmap_add(a, key_of(i), 0);
        idmap_set(b, key_of(2 * i), i);
    }
    is_int((int64_t)wrong, 0, "%s: a key is added once", what);
    is_int((int64_t)idmap_len(a), (int64_t)n, "%s: entries", what);
    for (uint64_t i = 0; i < n; i++)
        wrong += !idmap_get(a, key_of(i), &number) || number != i + 1;
    is_int((int64_t)wrong, 0, "%s: in their order", what);
    for (uint64_t i = 0, k = 0; i < n; i++, k = (k + STEP) % n) {
        wrong += !idmap_get(a, key_of(k), &number) || number != k + 1;
        wrong += idmap_get(b, key_of(k), &number) != (k % 2 == 0) || (k % 2 == 0 && number != k / 2);
        wrong += idmap_get(a, key_of(n + k), NULL);
    }
    is_int((int64_t)wrong, 0, "%s: in another order", what);
    idmap_set(a, key_of(n / 2), 77);
    ok(idmap_get(a, key_of(n / 2), &number) && number == 77, "%s: a number is changed", what);
    struct id_key first = idmap_key(a, 0), expected = key_of(0);
    ok(first.low == expected.low && first.high == expected.high, "%s: the first key", what);
    idmap_free(a);
    idmap_free(b);
}

/* A file that cannot be made ends no loop: the map forgets, which spill_check() says. */
static void test_failure(void)
{
    enum { N = 400000 };
    struct spill *s = spill_new("/proc");
    void *all = spill_memory(s, SPILL_MEMORY);
    struct idmap *m = idmap_new(s);
    int known = 0;
    for (int i = 0; i < N; i++)
        idmap_add(m, key_of((uint64_t)i), (uint64_t)i);
    for (int i = 0; i < N; i++)
        known += idmap_get(m, key_of((uint64_t)i), NULL);
    ok(known < N && idmap_len(m) == N, "ids are forgotten");
    ok(!spill_check(s, NULL), "and it is said");
    idmap_free(m);
    spill_give_back(s, all, SPILL_MEMORY);
    spill_free(s);
}

int main(void)
{
    struct spill *s = spill_new(getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    test_map(s, 100, "few");
    test_map(s, 300000, "many");
    void *all = spill_memory(s, SPILL_MEMORY);
    test_map(s, 40000, "no memory left");
    spill_give_back(s, all, SPILL_MEMORY);
    idmap_free(NULL);
    spill_free(s);
    test_failure();
    return done_testing();
}
