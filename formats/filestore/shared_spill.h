/* What a store keeps in any number (experiments, warnings, a model's versions) lies in one spill
 * (common/spill.h), which all threads share: its cache is in memory once. All functions are thread-safe. A
 * failure, such as a full disk, ends the program when the lock is given back (spill_require). */
#ifndef FORMATS_FILESTORE_SHARED_SPILL_H
#define FORMATS_FILESTORE_SHARED_SPILL_H

#include "common/spill.h"

struct shared_spill;
/* dir: as for spill_new. Never NULL. */
struct shared_spill *shared_spill_new(const char *dir);
void shared_spill_free(struct shared_spill *s); /* NULL is fine */

/* For what takes more than one call; what is below locks for itself. */
struct spill *shared_spill_lock(struct shared_spill *s);
void shared_spill_unlock(struct shared_spill *s);

/* As spill_append and so on. */
uint64_t shared_append(struct shared_spill *s, struct spill_array *a, const void *item);
void shared_get_item(struct shared_spill *s, const struct spill_array *a, uint64_t place, void *item);
void shared_drop_items(struct shared_spill *s, struct spill_array *a);

/* Pairs of texts, in the order in which they were added. */
struct text_pairs {
    struct shared_spill *spill;
    struct spill_array items;
};
void text_pairs_init(struct text_pairs *p, struct shared_spill *s);
void text_pairs_add(struct text_pairs *p, const char *first, const char *second);
/* The texts live until fn returns. */
void text_pairs_each(const struct text_pairs *p, void (*fn)(void *ctx, const char *first, const char *second),
                     void *ctx);

#endif
