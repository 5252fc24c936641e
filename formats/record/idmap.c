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
    return (struct id_key){h.low64, h.high64};
}

static struct idmap_slot *slot_of(const struct idmap *m, struct id_key key)
{
    size_t i = key.low & (m->cap - 1);
    while (m->slots[i].used && (m->slots[i].key.low != key.low || m->slots[i].key.high != key.high))
        i = (i + 1) & (m->cap - 1);
    return &m->slots[i];
}

static void grow(struct idmap *m)
{
    struct idmap bigger = {.cap = m->cap ? m->cap * 2 : 256, .len = m->len};
    bigger.slots = xcalloc(bigger.cap, sizeof *bigger.slots);
    for (size_t i = 0; i < m->cap; i++)
        if (m->slots[i].used)
            *slot_of(&bigger, m->slots[i].key) = m->slots[i];
    free(m->slots);
    *m = bigger;
}

uint64_t *idmap_find(const struct idmap *m, struct id_key key)
{
    if (m->cap == 0)
        return NULL;
    struct idmap_slot *s = slot_of(m, key);
    return s->used ? &s->number : NULL;
}

uint64_t *idmap_add(struct idmap *m, struct id_key key, bool *added)
{
    if (m->len * 4 >= m->cap * 3)
        grow(m);
    struct idmap_slot *s = slot_of(m, key);
    if (added)
        *added = !s->used;
    if (!s->used) {
        *s = (struct idmap_slot){.key = key, .used = true};
        m->len++;
    }
    return &s->number;
}

void idmap_free(struct idmap *m)
{
    free(m->slots);
    *m = (struct idmap){0};
}
