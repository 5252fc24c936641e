/* A hash table of the numbers of entries, which lie in a spill. */
#include "formats/record/idmap.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/buf.h"
#include "common/err.h"

struct id_key id_key(unsigned space, const struct value *parts, int n)
{
    struct buf text = {0};
    char small[256];
    size_t len = 0;
    const char *data = small;
    /* Usually one short id: allocates nothing. */
    if (n == 1 && value_is_text(&parts[0]) && parts[0].len < sizeof small - 1) {
        small[len++] = (char)space;
        memcpy(small + len, parts[0].s, parts[0].len);
        len += parts[0].len;
    } else {
        buf_addc(&text, (char)(space | 0x80));
        for (int i = 0; i < n; i++)
            value_sort_key(&parts[i], &text);
        data = text.data;
        len = text.len;
    }
    XXH128_hash_t h = XXH3_128bits(data, len);
    buf_free(&text);
    return (struct id_key){h.low64, h.high64};
}

/* A slot: the entry's number + 1 in 34 bits, and 6 bits of the key, so that another key's entry is seldom
 * read. 0: empty. */
enum { SLOT = 5, NUMBER_BITS = 34, MARK_BITS = 6, FIRST_CAP = 64 };

struct entry {
    struct id_key key;
    uint64_t number;
};

struct idmap {
    struct spill *spill;
    struct spill_array entries; /* in the order in which they came */
    unsigned char *slots;       /* NULL: in the spill, from the offset `at` on */
    uint64_t at;
    size_t cap;    /* slots */
    uint64_t last; /* the entry that was found or added last */
};

struct idmap *idmap_new(struct spill *s)
{
    struct idmap *m = xcalloc(1, sizeof *m);
    m->spill = s;
    m->entries.size = sizeof(struct entry);
    return m;
}

static uint64_t read_slot(const struct idmap *m, size_t i)
{
    unsigned char bytes[SLOT], *p = m->slots ? m->slots + i * SLOT : bytes;
    if (!m->slots)
        spill_get(m->spill, m->at + i * SLOT, bytes, SLOT);
    uint32_t low;
    memcpy(&low, p, sizeof low);
    return low | (uint64_t)p[sizeof low] << 32;
}

static void write_slot(struct idmap *m, size_t i, uint64_t slot)
{
    unsigned char bytes[SLOT], *p = m->slots ? m->slots + i * SLOT : bytes;
    uint32_t low = (uint32_t)slot;
    memcpy(p, &low, sizeof low);
    p[sizeof low] = (unsigned char)(slot >> 32);
    if (!m->slots)
        spill_put(m->spill, m->at + i * SLOT, bytes, SLOT);
}

/* Half of the key chooses, by its order. */
static size_t first_slot(const struct idmap *m, struct id_key key)
{
    return (size_t)((key.high >> 32) * m->cap >> 32);
}

static size_t next_slot(const struct idmap *m, size_t i)
{
    return i + 1 < m->cap ? i + 1 : 0;
}

static uint64_t mark_of(struct id_key key)
{
    return key.low >> (64 - MARK_BITS) << NUMBER_BITS;
}

static bool is_entry(struct idmap *m, uint64_t i, struct id_key key)
{
    struct entry x;
    if (i >= m->entries.n)
        return false;
    spill_get_item(m->spill, &m->entries, i, &x);
    if (x.key.low != key.low || x.key.high != key.high)
        return false;
    m->last = i;
    return true;
}

/* The key's entry; false when there is none, and then *slot is where it belongs, if there are slots. */
static bool find(struct idmap *m, struct id_key key, uint64_t *entry, size_t *slot)
{
    uint64_t last = m->last, content;
    for (*entry = last; *entry < last + 2; ++*entry)
        if (is_entry(m, *entry, key))
            return true;
    if (m->cap == 0)
        return false;
    for (*slot = first_slot(m, key); (content = read_slot(m, *slot)) != 0; *slot = next_slot(m, *slot)) {
        *entry = (content & ((UINT64_C(1) << NUMBER_BITS) - 1)) - 1;
        if (content >> NUMBER_BITS << NUMBER_BITS == mark_of(key) && is_entry(m, *entry, key))
            return true;
    }
    return false;
}

static void release(struct idmap *m)
{
    if (!m->slots && m->cap)
        spill_drop(m->spill, m->at, m->cap * SLOT);
    spill_give_back(m->spill, m->slots, m->cap * SLOT);
}

/* The old slots go before the new ones come: the entries say all. In memory the room grows by a quarter,
 * since it is scarce; in the file, where filling it is slow, it doubles. */
static void grow(struct idmap *m)
{
    size_t cap = m->cap == 0 ? FIRST_CAP : m->cap < 16 * FIRST_CAP ? m->cap * 2 : m->cap / 4 * 5;
    release(m);
    m->slots = spill_memory(m->spill, cap * SLOT);
    if (!m->slots) {
        cap = m->cap == 0 ? FIRST_CAP : m->cap * 2;
        m->at = spill_range(m->spill, cap * SLOT);
    }
    m->cap = cap;
    /* Keys that are lost are 0: all would want one slot. */
    for (uint64_t i = 0; i < m->entries.n && spill_check(m->spill, NULL); i++) {
        struct id_key key = idmap_key(m, i);
        size_t slot = first_slot(m, key);
        while (read_slot(m, slot) != 0)
            slot = next_slot(m, slot);
        write_slot(m, slot, mark_of(key) | (i + 1));
    }
}

bool idmap_get(struct idmap *m, struct id_key key, uint64_t *number)
{
    uint64_t entry;
    size_t slot;
    struct entry x;
    if (!find(m, key, &entry, &slot))
        return false;
    spill_get_item(m->spill, &m->entries, entry, &x);
    if (number)
        *number = x.number;
    return true;
}

static void append(struct idmap *m, struct id_key key, uint64_t number, size_t slot)
{
    if (m->entries.n >= m->cap / 5 * 4) {
        grow(m);
        for (slot = first_slot(m, key); read_slot(m, slot) != 0;)
            slot = next_slot(m, slot);
    }
    m->last = spill_append(m->spill, &m->entries, &(struct entry){key, number});
    if (m->entries.n >> NUMBER_BITS)
        xnomem(NULL);
    write_slot(m, slot, mark_of(key) | m->entries.n);
}

bool idmap_add(struct idmap *m, struct id_key key, uint64_t number)
{
    uint64_t entry;
    size_t slot = 0;
    if (find(m, key, &entry, &slot))
        return false;
    append(m, key, number, slot);
    return true;
}

void idmap_set(struct idmap *m, struct id_key key, uint64_t number)
{
    uint64_t entry;
    size_t slot = 0;
    if (find(m, key, &entry, &slot))
        spill_put_item(m->spill, &m->entries, entry, &(struct entry){key, number});
    else
        append(m, key, number, slot);
}

struct id_key idmap_key(struct idmap *m, uint64_t entry)
{
    struct entry x;
    spill_get_item(m->spill, &m->entries, entry, &x);
    return x.key;
}

uint64_t idmap_len(const struct idmap *m)
{
    return m->entries.n;
}

void idmap_free(struct idmap *m)
{
    if (!m)
        return;
    release(m);
    free(m);
}
