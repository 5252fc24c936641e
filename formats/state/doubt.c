/* Marks in a state what an unpromoted tick may have changed in the target. */
#include "formats/state/doubt.h"

#include <stdlib.h>
#include <string.h>

#include "common/spill.h"
#include "formats/record/idmap.h"

enum { DOUBTED = 3 }; /* in place of a hash: no record's, but for a chance of 2^-63 */

bool state_is_unpromoted(const struct state *s, const struct state *next)
{
    const struct state_head *a = state_head(s), *b = state_head(next);
    return strcmp(a->id, b->id) == 0 && a->generation == b->generation &&
           (strcmp(a->tick, b->tick) != 0 || !*a->tick);
}

bool state_doubts(const struct state *s, const char *tick)
{
    const char *doubted = state_head(s)->doubted;
    return *tick && doubted && strstr(doubted, tick);
}

static struct id_key key_of(const struct state_unit *u, const struct state_file *f)
{
    struct value parts[2] = {value_text(u->key.s, u->key.len), value_text(f->path.s, f->path.len)};
    return id_key(0, parts, 2);
}

/* A unit's texts live until the next item is read. */
static void keep_unit(struct state_unit *u, struct buf *text)
{
    buf_reset(text);
    buf_add(text, u->key.s, u->key.len);
    buf_add(text, u->id.s, u->id.len);
    u->key.s = buf_str(text);
    u->id.s = buf_str(text) + u->key.len;
}

static bool is_of_points(const struct state_unit *u, const struct state_file *f)
{
    const struct kind_desc *k = u->kind == KIND_row && f->path.len > STATE_IDENTITY
                                    ? kind_by_name(f->path.s + STATE_IDENTITY, f->path.len - STATE_IDENTITY)
                                    : NULL;
    return f->offset > 0 || (k && kind_has_trait(k->kind, TRAIT_POINT));
}

/* Reads the hashes of all files. */
static bool read_hashes(const struct state *s, struct idmap *hashes, const struct spill *spill, struct err *e)
{
    struct state_cursor c;
    struct state_files files = {0};
    struct state_unit u;
    struct state_file f;
    struct buf text = {0};
    int got, more = 0;
    state_cursor_init(&c, s);
    while ((got = state_unit_next(&c, &u, e)) > 0) {
        keep_unit(&u, &text);
        state_files_begin(&files);
        while ((more = state_file_next(&c, &files, &f, e)) > 0 && spill_check(spill, e))
            idmap_add(hashes, key_of(&u, &f), f.hash);
        if (more != 0)
            break;
    }
    buf_free(&text);
    state_files_free(&files);
    state_cursor_free(&c);
    return got == 0 && more == 0;
}

static bool write_unit(struct state_writer *w, struct state_cursor *c, struct state_files *files,
                       const struct state_unit *u, struct idmap *hashes, struct buf *item, struct err *e)
{
    struct buf chunk = {0};
    struct state_file f;
    bool ok = true;
    int more = 0;
    buf_reset(item);
    state_encode_unit(item, u);
    state_files_begin(files);
    while (ok && (more = state_file_next(c, files, &f, e)) > 0) {
        uint64_t hash;
        if (f.hash && !is_of_points(u, &f) && idmap_get(hashes, key_of(u, &f), &hash) && hash != f.hash) {
            f.hash = DOUBTED;
            f.flags |= STATE_UNTRUSTED;
        }
        state_encode_file(&chunk, &f);
        if (chunk.len < STATE_CHUNK)
            continue;
        state_encode_chunk(item, &chunk);
        ok = state_write(w, item->data, item->len, e);
        buf_reset(item);
    }
    state_encode_chunk(item, &chunk);
    ok = ok && more == 0 && state_write(w, item->data, item->len, e);
    buf_free(&chunk);
    return ok;
}

static bool write_doubted(const struct state *s, struct state_writer *w, struct idmap *hashes,
                          const struct spill *spill, struct err *e)
{
    struct state_cursor c, copy;
    struct state_files files = {0};
    struct state_map_entry m;
    struct state_unit u;
    struct buf text = {0}, item = {0};
    int got;
    state_cursor_init(&c, s);
    state_cursor_init(&copy, s);
    uint64_t first = c.next;
    while ((got = state_map_next(&c, &m, e)) > 0)
        ;
    bool ok = got == 0 && state_write_copy(w, &copy, first, c.next, e);
    while (ok && (got = state_unit_next(&c, &u, e)) > 0) {
        keep_unit(&u, &text);
        ok = write_unit(w, &c, &files, &u, hashes, &item, e) && spill_check(spill, e);
    }
    buf_free(&text);
    buf_free(&item);
    state_files_free(&files);
    state_cursor_free(&copy);
    state_cursor_free(&c);
    return ok && got == 0;
}

bool state_doubt(const struct state *s, const struct state *next, const char *tmpdir, struct err *e)
{
    struct spill *spill = spill_new(tmpdir);
    struct idmap *hashes = idmap_new(spill);
    struct state_writer *w = NULL;
    struct state_head head = *state_head(s);
    char *doubted = xasprintf("%s%s", head.doubted ? head.doubted : "", state_head(next)->tick);
    head.doubted = doubted;
    bool ok = read_hashes(next, hashes, spill, e) &&
              (w = state_writer_new(state_path(s), &head, e)) != NULL &&
              write_doubted(s, w, hashes, spill, e) && state_writer_commit(w, e);
    state_writer_free(w);
    idmap_free(hashes);
    spill_free(spill);
    free(doubted);
    return ok;
}
