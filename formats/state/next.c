/* Writes state.new: new items, and items copied from the old state in as few pieces as possible. */
#include "formats/state/next.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct state_next {
    const char *path;
    const struct state *old;
    struct state_head head;
    struct state_writer *writer; /* NULL: nothing written so far */
    struct state_cursor cursor;
    uint64_t from, to; /* range of the old state to copy next */
};

struct state_next *state_next_new(const char *path, const struct state *old, const struct state_head *head,
                                  struct err *e)
{
    if (unlink(path) != 0 && errno != ENOENT) {
        err_set(e, path, "cannot remove it: %s", strerror(errno));
        return NULL;
    }
    struct state_next *n = xcalloc(1, sizeof *n);
    n->path = path;
    n->old = old;
    n->head = *head;
    if (old)
        state_cursor_init(&n->cursor, old);
    return n;
}

static bool begin(struct state_next *n, struct err *e)
{
    if (n->writer)
        return true;
    n->writer = state_writer_new(n->path, &n->head, e);
    return n->writer && (!n->old || state_write_map_of(n->writer, n->old, e));
}

static bool copy_pending(struct state_next *n, struct err *e)
{
    if (!begin(n, e) || (n->from < n->to && !state_write_copy(n->writer, &n->cursor, n->from, n->to, e)))
        return false;
    n->from = n->to = 0;
    return true;
}

bool state_next_add(struct state_next *n, const char *items, size_t len, struct err *e)
{
    return copy_pending(n, e) && state_write(n->writer, items, len, e);
}

bool state_next_copy(struct state_next *n, uint64_t from, uint64_t to, struct err *e)
{
    if (n->from < n->to && n->to == from) {
        n->to = to;
        return true;
    }
    if (n->from < n->to && !copy_pending(n, e))
        return false;
    n->from = from;
    n->to = to;
    return true;
}

bool state_next_commit(struct state_next *n, struct err *e)
{
    return copy_pending(n, e) && state_writer_commit(n->writer, e);
}

void state_next_free(struct state_next *n)
{
    if (!n)
        return;
    state_writer_free(n->writer);
    state_cursor_free(&n->cursor);
    free(n);
}
