/* A tick of a sync in mlruns-dump and mldb-dump. */
#include "tools/tick.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/file.h"
#include "formats/state/doubt.h"

enum { MAX_REPORTED = 20 }; /* paths held back or gone that are listed unless -v is given */

/* What a tick that was not promoted may have brought is sent again, even if the source has changed it back. */
static void doubt_unpromoted(struct tick *t)
{
    struct err e;
    struct state *next = state_open(t->next_path, NULL, &e);
    if (next && state_is_unpromoted(t->old, next)) {
        char *tmpdir = file_dirname(t->since);
        if (!state_doubt(t->old, next, tmpdir, &e))
            err_die(&e);
        free(tmpdir);
        state_close(t->old);
        t->old = state_open(t->since, NULL, &e);
        if (!t->old)
            err_die(&e);
    }
    state_close(next);
}

void tick_open(struct tick *t, const char *since, const char *next_path)
{
    *t = (struct tick){.since = since, .next_path = next_path};
    struct timespec now;
    struct err e;
    bool absent = true;
    clock_gettime(CLOCK_REALTIME, &now);
    t->reading.began = now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
    if (t->since)
        t->old = state_open(t->since, &absent, &e);
    if (!t->old && !absent)
        err_die(&e);
    if (t->since && !t->old)
        err_note("no state %s yet: everything is sent", t->since);
    if (t->old)
        doubt_unpromoted(t);
    t->reading.old = t->old;
}

static _Noreturn void other_state(const struct tick *t, const char *what, const char *was, const char *is)
{
    struct err e;
    err_set(&e, t->since, "the state is of %s %s, not of %s", what, was, is);
    err_hint(
        &e, "each source, target and set of options needs its own state; without --since everything is sent");
    err_die(&e);
}

static void drop_next(void *arg)
{
    struct tick *t = arg;
    state_next_free(t->next);
    t->next = NULL;
}

void tick_start(struct tick *t, const char *name, const char *where, const char *options,
                const char *stream_source)
{
    struct err e;
    t->name = name;
    t->source = xstrdup(where);
    t->options = xstrdup(options);
    t->head = (struct state_head){.time = t->reading.began, .source = t->source, .options = t->options};
    snprintf(t->head.stream, sizeof t->head.stream, "%s", stream_source);
    if (t->old) {
        const struct state_head *old = state_head(t->old);
        if (strcmp(old->source, t->source) != 0)
            other_state(t, "the source", old->source, t->source);
        if (strcmp(old->options, options) != 0)
            other_state(t, "other options:", old->options, options);
        t->head.generation = old->generation;
        t->head.doubted = old->doubted;
        memcpy(t->head.id, old->id, sizeof t->head.id);
        memcpy(t->head.stream, old->stream, sizeof t->head.stream);
    } else {
        if (!state_new_id(t->head.id, &e))
            err_die(&e);
    }
    if (!state_new_id(t->head.tick, &e))
        err_die(&e);
    t->next = state_next_new(t->next_path, t->old, &t->head, &e);
    if (!t->next)
        err_die(&e);
    err_cleanup_push(drop_next, t);
}

void tick_header(const struct tick *t, struct wire_header *h)
{
    memcpy(h->state, t->head.id, sizeof h->state);
    memcpy(h->tick, t->head.tick, sizeof h->tick);
    memcpy(h->source, t->head.stream, sizeof h->source);
    h->has_base = t->old != NULL;
    h->base = (int64_t)t->head.generation;
}

static void take_state(void *ctx, const char *items, size_t len)
{
    struct tick *t = ctx;
    struct err e;
    if (!state_next_add(t->next, items, len, &e))
        err_die(&e);
}

static void copy_state(void *ctx, uint64_t from, uint64_t to)
{
    struct tick *t = ctx;
    struct err e;
    if (!state_next_copy(t->next, from, to, &e))
        err_die(&e);
}

static void say(const struct tick *t, uint64_t n, const char *path, const char *reason, const char *rest)
{
    char *where = xasprintf("%s/%s", t->name, path);
    if (n <= MAX_REPORTED)
        err_note("%s: %s%s", where, reason, rest);
    else
        err_verbose("%s: %s%s", where, reason, rest);
    free(where);
}

static void say_held(void *ctx, const char *path, const char *reason)
{
    struct tick *t = ctx;
    err_topic_set(ERR_LEFT_OUT);
    say(t, ++t->held, path, reason, ": held back for the next tick");
    err_topic_set(ERR_GENERAL);
}

static void say_gone(void *ctx, const char *path, const char *reason)
{
    struct tick *t = ctx;
    say(t, ++t->gone, path, reason, " since the last tick; what was sent of it is kept in the target");
}

void tick_sink(struct tick *t, struct mlruns_sink *sink)
{
    sink->state = take_state;
    sink->state_copy = copy_state;
    sink->held = say_held;
    sink->gone = say_gone;
    sink->tick_ctx = t;
}

void tick_commit(struct tick *t)
{
    struct err e;
    if (!state_next_commit(t->next, &e))
        err_die(&e);
    if (t->held > 0)
        err_note("%s: %" PRIu64 " held back for the next tick", t->name, t->held);
    if (t->gone > 0)
        err_note("%s: %" PRIu64 " gone since the last tick; the target keeps them", t->name, t->gone);
}

void tick_close(struct tick *t)
{
    if (t->next) {
        err_cleanup_pop();
        drop_next(t);
    }
    state_close(t->old);
    free(t->source);
    free(t->options);
}
