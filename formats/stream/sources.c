/* Numbers the sources of a stream, and finds missing and duplicate shards. */
#include "formats/stream/sources.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/record/idmap.h"

struct source {
    char id[33];
    int64_t shards, seen; /* number of those that have come */
    bool copy;            /* another one of its id came before */
};

struct wire_sources {
    bool copies;
    struct spill *spill;
    struct spill_array items;
    struct idmap *numbers; /* of a source, or of its n-th copy */
    struct idmap *shards;  /* those that have come, of sources with several */
};

struct wire_sources *wire_sources_new(const char *tmpdir, bool copies)
{
    struct wire_sources *s = xcalloc(1, sizeof *s);
    s->copies = copies;
    s->spill = spill_new(tmpdir);
    s->items.size = sizeof(struct source);
    s->numbers = idmap_new(s->spill);
    s->shards = idmap_new(s->spill);
    return s;
}

void wire_sources_free(struct wire_sources *s)
{
    if (!s)
        return;
    idmap_free(s->numbers);
    idmap_free(s->shards);
    spill_free(s->spill);
    free(s);
}

static struct id_key copy_key(const struct wire_header *h, int64_t copy)
{
    struct value parts[2] = {value_str(h->source), value_int(copy)};
    return id_key(0, parts, 2);
}

static struct id_key shard_key(uint64_t number, int64_t shard)
{
    struct value parts[2] = {value_int((int64_t)number), value_int(shard)};
    return id_key(0, parts, 2);
}

static bool has_shard(struct wire_sources *s, uint64_t number, const struct source *source, int64_t shard)
{
    return source->shards == 1 ? source->seen > 0 : idmap_get(s->shards, shard_key(number, shard), NULL);
}

/* Finds the source of h, or its first copy without this shard; a new one if there is none. */
static bool find(struct wire_sources *s, const struct wire_header *h, uint64_t *number, struct source *out,
                 struct err *e)
{
    for (int64_t copy = 0; idmap_get(s->numbers, copy_key(h, copy), number); copy++) {
        spill_get_item(s->spill, &s->items, *number, out);
        if (out->shards != h->shards) {
            err_set(e, NULL, "shard %" PRId64 "/%" PRId64 " of source %s follows shards of %" PRId64,
                    h->shard, h->shards, h->source, out->shards);
            return err_hint(e, "dump all shards with the same N");
        }
        if (!has_shard(s, *number, out, h->shard))
            return true;
        if (!s->copies)
            return err_set(e, NULL, "duplicate shard %" PRId64 "/%" PRId64 " of source %s", h->shard,
                           h->shards, h->source);
    }
    *out = (struct source){.shards = h->shards};
    memcpy(out->id, h->source, sizeof out->id);
    *number = spill_append(s->spill, &s->items, out);
    for (int64_t copy = 0; !idmap_add(s->numbers, copy_key(h, copy), *number); copy++)
        out->copy = true;
    return true;
}

bool wire_sources_add(struct wire_sources *s, struct wire_header *h, struct err *e)
{
    struct source source;
    uint64_t number;
    if (!find(s, h, &number, &source, e))
        return false;
    source.seen++;
    if (source.shards > 1)
        idmap_add(s->shards, shard_key(number, h->shard), 0);
    spill_put_item(s->spill, &s->items, number, &source);
    h->source_number = number;
    return spill_check(s->spill, e);
}

/* Fills e for a source of which not all shards have come. A copy may as well be a shard that was passed twice. */
static void name_shard(struct wire_sources *s, uint64_t number, const struct source *source, struct err *e)
{
    int64_t shard = 0;
    while (shard < source->shards && has_shard(s, number, source, shard) != source->copy)
        shard++;
    if (!spill_check(s->spill, e))
        return;
    err_set(e, NULL,
            source->copy ? "duplicate shard %" PRId64 "/%" PRId64 " of source %s"
                         : "shard %" PRId64 "/%" PRId64 " of source %s is missing",
            shard, source->shards, source->id);
    err_hint(e, source->copy ? "pass each shard once, or all shards of a copy, too"
                             : "dump it with --shard, and pass all shards");
}

bool wire_sources_are_whole(struct wire_sources *s, struct err *e)
{
    struct source source;
    for (uint64_t i = 0; i < s->items.n; i++) {
        spill_get_item(s->spill, &s->items, i, &source);
        if (source.seen == source.shards)
            continue;
        name_shard(s, i, &source, e);
        return false;
    }
    return spill_check(s->spill, e);
}
