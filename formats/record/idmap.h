/* A map from identities to numbers, for what must remember ids but not records. An identity is the 128-bit
 * hash of its parts (two of 10^9 ids share one with a chance of 10^-21), so an entry takes some 50 bytes
 * however long the id is. */
#ifndef FORMATS_IDMAP_H
#define FORMATS_IDMAP_H

#include "common/spill.h"
#include "formats/record/value.h"

struct id_key {
    uint64_t low, high;
};

/* The identity of n values in turn, within a space (an experiment and a run of the same id differ). */
struct id_key id_key(unsigned space, const struct value *parts, int n);

struct idmap_slot {
    struct id_key key;
    uint64_t number;
}; /* empty: the key is 0 */
/* Zero-initialise it, or with a spill for what may have many entries. */
struct idmap {
    struct idmap_slot *slots; /* NULL: in the spill, from the offset `at` on */
    size_t cap, len;          /* slots, and used ones */
    struct spill *spill;
    uint64_t at;
};

/* The number of key; NULL when there is none. Valid until the next idmap_add. */
const uint64_t *idmap_find(const struct idmap *m, struct id_key key);
/* The same; a key that is new gets 0 and sets *added (which may be NULL). */
uint64_t *idmap_add(struct idmap *m, struct id_key key, bool *added);
/* The key of a slot from 0 to m->cap - 1; NULL when it is not used. */
const struct id_key *idmap_key(const struct idmap *m, size_t slot);
void idmap_free(struct idmap *m);

#endif
