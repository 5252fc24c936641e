/* A map from identities to numbers, for what must remember ids but not records. An identity is the 128-bit
 * hash of its parts (two of 10^9 ids share one with a chance of 10^-21). An entry takes some 7 bytes of
 * memory and 24 of the spill's file, however long the id is. */
#ifndef FORMATS_IDMAP_H
#define FORMATS_IDMAP_H

#include "common/spill.h"
#include "formats/record/value.h"

struct id_key {
    uint64_t low, high;
};

/* The identity of n values within a space (an experiment and a run with the same id differ). */
struct id_key id_key(unsigned space, const struct value *parts, int n);

struct idmap;
/* s must live as long as the map. Never NULL. */
struct idmap *idmap_new(struct spill *s);
void idmap_free(struct idmap *m); /* NULL is fine */

/* Fills *number (which may be NULL) when the key is there. What is asked in the order in which it was added
 * is found fastest. */
bool idmap_get(struct idmap *m, struct id_key key, uint64_t *number);
/* Adds a key that is not there; true when it was added. One that is there keeps its number. */
bool idmap_add(struct idmap *m, struct id_key key, uint64_t number);
/* Gives a key the number, whether it is there or not. */
void idmap_set(struct idmap *m, struct id_key key, uint64_t number);
/* The key of an entry, from 0 to idmap_len() - 1. */
struct id_key idmap_key(struct idmap *m, uint64_t entry);
uint64_t idmap_len(const struct idmap *m);

#endif
