/* A spill behind a lock. */
#include "formats/filestore/shared_spill.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

struct shared_spill {
    pthread_mutex_t lock;
    struct spill *spill;
};

struct shared_spill *shared_spill_new(const char *dir)
{
    struct shared_spill *s = xcalloc(1, sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    s->spill = spill_new(dir);
    return s;
}

void shared_spill_free(struct shared_spill *s)
{
    if (!s)
        return;
    spill_free(s->spill);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

struct spill *shared_spill_lock(struct shared_spill *s)
{
    pthread_mutex_lock(&s->lock);
    return s->spill;
}

void shared_spill_unlock(struct shared_spill *s)
{
    spill_require(s->spill);
    pthread_mutex_unlock(&s->lock);
}

uint64_t shared_append(struct shared_spill *s, struct spill_array *a, const void *item)
{
    uint64_t place = spill_append(shared_spill_lock(s), a, item);
    shared_spill_unlock(s);
    return place;
}

void shared_get_item(struct shared_spill *s, const struct spill_array *a, uint64_t place, void *item)
{
    spill_get_item(shared_spill_lock(s), a, place, item);
    shared_spill_unlock(s);
}

void shared_drop_items(struct shared_spill *s, struct spill_array *a)
{
    spill_drop_items(shared_spill_lock(s), a);
    shared_spill_unlock(s);
}

/* -- pairs */

struct pair {
    struct spill_text first, second;
};

void text_pairs_init(struct text_pairs *p, struct shared_spill *s)
{
    *p = (struct text_pairs){.spill = s, .items.size = sizeof(struct pair)};
}

void text_pairs_add(struct text_pairs *p, const char *first, const char *second)
{
    struct spill *s = shared_spill_lock(p->spill);
    struct pair pair = {spill_text(s, first, strlen(first)), spill_text(s, second, strlen(second))};
    spill_append(s, &p->items, &pair);
    shared_spill_unlock(p->spill);
}

void text_pairs_each(const struct text_pairs *p, void (*fn)(void *ctx, const char *first, const char *second),
                     void *ctx)
{
    struct buf first = {0}, second = {0};
    struct pair pair;
    for (uint64_t i = 0; i < p->items.n; i++) {
        struct spill *s = shared_spill_lock(p->spill);
        spill_get_item(s, &p->items, i, &pair);
        spill_read_text(s, pair.first, &first);
        spill_read_text(s, pair.second, &second);
        shared_spill_unlock(p->spill);
        fn(ctx, buf_str(&first), buf_str(&second));
    }
    buf_free(&first);
    buf_free(&second);
}
