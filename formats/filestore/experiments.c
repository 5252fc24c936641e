/* A table of experiments: items of one size, and their texts. */
#include "formats/filestore/experiments.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

struct item {
    struct spill_text id;
    uint64_t new_id;                       /* 0: none */
    struct spill_text trouble, trouble_at; /* len 0: none */
    uint16_t flags;
    unsigned char type;
};

struct experiments {
    struct shared_spill *spill;
    struct spill_array items;
};

struct experiments *experiments_new(struct shared_spill *s)
{
    struct experiments *t = xcalloc(1, sizeof *t);
    t->spill = s;
    t->items.size = sizeof(struct item);
    return t;
}

void experiments_free(struct experiments *t)
{
    free(t);
}

uint64_t experiments_count(const struct experiments *t)
{
    return t->items.n;
}

static struct spill_text put_text(struct spill *s, const char *text)
{
    return text ? spill_text(s, text, strlen(text)) : (struct spill_text){0};
}

void experiments_add(struct experiments *t, const char *id, unsigned char type, bool deleted,
                     const char *trouble)
{
    struct spill *s = shared_spill_lock(t->spill);
    struct item item = {.type = type, .flags = deleted ? EXPERIMENT_DELETED : 0};
    item.id = put_text(s, id);
    item.trouble = put_text(s, trouble);
    spill_append(s, &t->items, &item);
    shared_spill_unlock(t->spill);
}

void experiments_move(struct experiments *t, uint64_t from, uint64_t to)
{
    struct spill *s = shared_spill_lock(t->spill);
    struct item item;
    if (from != to) {
        spill_get_item(s, &t->items, from, &item);
        spill_put_item(s, &t->items, to, &item);
    }
    shared_spill_unlock(t->spill);
}

void experiments_truncate(struct experiments *t, uint64_t n)
{
    t->items.n = n;
}

static void get_id(struct spill *s, const struct item *item, char id[NAMES_SIZE])
{
    spill_get(s, item->id.at, id, item->id.len);
    id[item->id.len] = '\0';
}

void experiments_get(struct experiments *t, uint64_t at, struct experiment *x)
{
    struct spill *s = shared_spill_lock(t->spill);
    struct item item;
    spill_get_item(s, &t->items, at, &item);
    get_id(s, &item, x->id);
    shared_spill_unlock(t->spill);
    x->at = at;
    x->type = item.type;
    x->flags = item.flags;
    x->new_id[0] = '\0';
    if (item.new_id)
        snprintf(x->new_id, sizeof x->new_id, "%" PRIu64, item.new_id);
}

/* Takes an item to be changed, with the lock, until put_back(). */
static struct spill *take(struct experiments *t, uint64_t at, struct item *item)
{
    struct spill *s = shared_spill_lock(t->spill);
    spill_get_item(s, &t->items, at, item);
    return s;
}

static void put_back(struct experiments *t, struct spill *s, uint64_t at, const struct item *item)
{
    spill_put_item(s, &t->items, at, item);
    shared_spill_unlock(t->spill);
}

void experiments_mark(struct experiments *t, struct experiment *x, unsigned set, unsigned clear)
{
    struct item item;
    struct spill *s = take(t, x->at, &item);
    item.flags = (uint16_t)((item.flags | set) & ~clear);
    put_back(t, s, x->at, &item);
    x->flags = (x->flags | set) & ~clear;
}

unsigned experiments_flags(struct experiments *t, uint64_t at)
{
    struct item item;
    shared_get_item(t->spill, &t->items, at, &item);
    return item.flags;
}

void experiments_set_new_id(struct experiments *t, struct experiment *x, uint64_t number)
{
    struct item item;
    struct spill *s = take(t, x->at, &item);
    item.new_id = number;
    put_back(t, s, x->at, &item);
    snprintf(x->new_id, sizeof x->new_id, "%" PRIu64, number);
}

void experiments_set_trouble(struct experiments *t, const struct experiment *x, const char *at,
                             const char *text)
{
    struct item item;
    struct spill *s = take(t, x->at, &item);
    item.trouble_at = put_text(s, at);
    item.trouble = put_text(s, text);
    put_back(t, s, x->at, &item);
}

bool experiments_trouble(struct experiments *t, const struct experiment *x, struct buf *at, struct buf *text)
{
    struct spill *s = shared_spill_lock(t->spill);
    struct item item;
    spill_get_item(s, &t->items, x->at, &item);
    spill_read_text(s, item.trouble_at, at);
    spill_read_text(s, item.trouble, text);
    shared_spill_unlock(t->spill);
    return item.trouble.len > 0;
}

/* -- by name */

static int compare_id(const char *id, const char *s, size_t len)
{
    size_t id_len = strlen(id);
    int order = memcmp(id, s, id_len < len ? id_len : len);
    return order ? order : (id_len > len) - (id_len < len);
}

uint64_t experiments_first(struct experiments *t, const char *s, size_t len)
{
    struct spill *spill = shared_spill_lock(t->spill);
    uint64_t low = 0, high = t->items.n;
    char id[NAMES_SIZE];
    struct item item;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        spill_get_item(spill, &t->items, middle, &item);
        get_id(spill, &item, id);
        if (compare_id(id, s, len) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    shared_spill_unlock(t->spill);
    return low;
}

bool experiments_find(struct experiments *t, const char *s, size_t len, struct experiment *x)
{
    uint64_t at = experiments_first(t, s, len);
    if (at == t->items.n)
        return false;
    experiments_get(t, at, x);
    return compare_id(x->id, s, len) == 0;
}
