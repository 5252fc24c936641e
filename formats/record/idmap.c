#include "formats/record/idmap.h"

#include <stdlib.h>
#include <xxhash.h>

#include "common/buf.h"

struct id_key id_key(unsigned space, const struct value *parts, int n)
{
    struct buf text = {0};
    char small[256];
    size_t len = 0;
    const char *data = small;
    /* Usually one short id: no memory is asked for. */
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
    return (struct id_key){h.low64 ? h.low64 : 1, h.high64}; /* not 0: an empty slot is */
}

/* In the file a slot must not lie across a page. */
enum { PAGE_SLOTS = SPILL_PAGE / sizeof(struct idmap_slot) };

static size_t file_size(size_t slots)
{
    return (slots + PAGE_SLOTS - 1) / PAGE_SLOTS * SPILL_PAGE;
}

static struct idmap_slot *slot_at(const struct idmap *m, size_t i, bool write)
{
    if (m->slots)
        return &m->slots[i];
    return spill_at(m->spill, m->at + i / PAGE_SLOTS * SPILL_PAGE + i % PAGE_SLOTS * sizeof *m->slots, write);
}

static bool is_used(const struct idmap_slot *s)
{
    return s->key.low || s->key.high;
}

const struct id_key *idmap_key(const struct idmap *m, size_t slot)
{
    const struct idmap_slot *s = slot_at(m, slot, false);
    return is_used(s) ? &s->key : NULL;
}

static struct idmap_slot *slot_of(const struct idmap *m, struct id_key key, bool write)
{
    /* Half of the key chooses, by its order, so that a map that grows is read and written from end to end. */
    size_t i = (size_t)(key.high >> 32) * m->cap >> 32;
    for (;; i = (i + 1) & (m->cap - 1)) {
        struct idmap_slot *s = slot_at(m, i, write);
        if (!is_used(s) || (s->key.low == key.low && s->key.high == key.high))
            return s;
    }
}

static void give_back(struct idmap *m)
{
    if (!m->slots && m->cap)
        spill_drop(m->spill, m->at, file_size(m->cap));
    spill_release(m->spill, m->slots, m->cap * sizeof *m->slots);
}

static void grow(struct idmap *m)
{
    struct idmap bigger = {.cap = m->cap ? m->cap * 2 : 256, .len = m->len, .spill = m->spill};
    bigger.slots = spill_memory(m->spill, bigger.cap * sizeof *bigger.slots);
    if (!bigger.slots)
        bigger.at = spill_range(m->spill, file_size(bigger.cap));
    for (size_t i = 0; i < m->cap; i++) {
        struct idmap_slot s = *slot_at(m, i, false);
        if (is_used(&s))
            *slot_of(&bigger, s.key, true) = s;
    }
    give_back(m);
    *m = bigger;
}

const uint64_t *idmap_find(const struct idmap *m, struct id_key key)
{
    if (m->cap == 0)
        return NULL;
    const struct idmap_slot *s = slot_of(m, key, false);
    return is_used(s) ? &s->number : NULL;
}

uint64_t *idmap_add(struct idmap *m, struct id_key key, bool *added)
{
    if (m->len * 4 >= m->cap * 3)
        grow(m);
    struct idmap_slot *s = slot_of(m, key, true);
    if (added)
        *added = !is_used(s);
    if (!is_used(s)) {
        *s = (struct idmap_slot){.key = key};
        m->len++;
    }
    return &s->number;
}

void idmap_free(struct idmap *m)
{
    give_back(m);
    *m = (struct idmap){0};
}
