/* The state directory of ml-sync. */
#include "tools/sync_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/array.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/printable.h"
#include "formats/database/url.h"
#include "formats/state/state.h"

/* Creates a directory and its parents, like mkdir -p. */
static void make_dir(const char *path)
{
    char *part = xstrdup(path);
    for (char *at = part + 1;; at++) {
        char end = *at;
        if (end != '/' && end != '\0')
            continue;
        *at = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            die(path, "cannot create the state directory: %s", strerror(errno));
        *at = end;
        if (!end)
            break;
    }
    free(part);
}

char *sync_state_dir(const char *asked)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char *dir;
    if (asked)
        dir = xstrdup(asked);
    else if (state && *state == '/') /* the specification ignores relative ones */
        dir = xasprintf("%s/mlruns-tools", state);
    else if (home && *home)
        dir = xasprintf("%s/.local/state/mlruns-tools", home);
    else
        die_hint("name one with --state DIR", NULL, "no directory for states: HOME is not set");
    if (!*dir)
        die(NULL, "--state must not be empty");
    make_dir(dir);
    return dir;
}

/* The real path, also of a file that does not exist yet. */
static char *real_path(const char *path)
{
    char *real = realpath(path, NULL);
    if (real)
        return real;
    const char *slash = strrchr(path, '/');
    char *dir = file_dirname(path), *real_dir = realpath(dir, NULL);
    char *out = real_dir ? xasprintf("%s/%s", real_dir, slash ? slash + 1 : path) : xstrdup(path);
    free(real_dir);
    free(dir);
    return out;
}

char *sync_place(const char *location, bool is_database)
{
    struct db_url u;
    struct err e;
    if (!is_database)
        return real_path(strncmp(location, "file://", 7) == 0 ? location + 7 : location);
    if (!db_url_parse(location, &u, &e))
        err_die(&e);
    char *place = u.path ? real_path(u.path) : xstrdup(u.display);
    db_url_free(&u);
    return place;
}

char *sync_printable(const char *text)
{
    struct buf out = {0};
    printable_add(&out, text, strlen(text));
    char *shown = xstrdup(buf_str(&out));
    buf_free(&out);
    return shown;
}

struct sync_files sync_files_of(const char *dir, const char *source, const char *target, const char *options)
{
    struct buf all = {0};
    buf_addf(&all, "%s%c%s%c%s", source, 0, target, 0, options);
    XXH128_hash_t hash = XXH3_128bits(all.data, all.len);
    buf_free(&all);
    char *stem = xasprintf("%s/%016" PRIx64 "%016" PRIx64, dir, hash.high64, hash.low64);
    struct sync_files f = {.state = xasprintf("%s.state", stem),
                           .next = xasprintf("%s.next", stem),
                           .lock = xasprintf("%s.lock", stem),
                           .last = xasprintf("%s.last", stem),
                           .lock_fd = -1};
    free(stem);
    return f;
}

void sync_files_free(struct sync_files *f)
{
    if (f->lock_fd >= 0)
        close(f->lock_fd);
    free(f->state);
    free(f->next);
    free(f->lock);
    free(f->last);
}

bool sync_files_lock(struct sync_files *f, struct err *e)
{
    /* Inherited by the programs of the tick: if only this one is killed, they keep the lock until they
     * end. */
    f->lock_fd = open(f->lock, O_RDWR | O_CREAT, 0600);
    if (f->lock_fd < 0)
        return err_set(e, f->lock, "cannot open: %s", strerror(errno));
    if (flock(f->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return true;
    if (errno == EWOULDBLOCK) {
        err_set(e, f->lock, "a tick of this sync is running");
        err_classify(e, ERR_BUSY);
    } else {
        err_set(e, f->lock, "cannot lock: %s", strerror(errno));
    }
    close(f->lock_fd);
    f->lock_fd = -1;
    return false;
}

static bool put_json(void *arg, FILE *file)
{
    return json_dumpf(arg, file, JSON_COMPACT | JSON_PRESERVE_ORDER) == 0 && fputc('\n', file) != EOF;
}

void sync_files_keep(const struct sync_files *f, const json_t *last)
{
    struct err e;
    if (!file_write(f->last, put_json, (void *)last, &e))
        err_warn(e.where, "%s; --status will not show this tick", e.what);
}

bool sync_files_forget(const struct sync_files *f, struct err *e)
{
    const char *paths[] = {f->next, f->state, f->last};
    for (size_t i = 0; i < ARRAY_LENGTH(paths); i++)
        if (unlink(paths[i]) != 0 && errno != ENOENT)
            return err_set(e, paths[i], "cannot remove: %s", strerror(errno));
    return true;
}

/* -- status */

/* Contents of a state: number of units to be sent again, and of files held back. */
struct held {
    uint64_t generation, unsent, files;
    bool readable;
};

static bool count_held(const struct state *s, struct held *h, struct err *e)
{
    struct state_cursor c;
    struct state_unit unit;
    struct state_files files = {0};
    struct state_file file;
    int got, more = 0;
    state_cursor_init(&c, s);
    while ((got = state_unit_next(&c, &unit, e)) == 1) {
        h->unsent += (unit.flags & STATE_UNSENT) != 0;
        state_files_begin(&files);
        while ((more = state_file_next(&c, &files, &file, e)) == 1)
            h->files += (file.flags & (STATE_HELD | STATE_RETRY)) != 0;
        if (more < 0)
            break;
    }
    state_files_free(&files);
    state_cursor_free(&c);
    return got == 0 && more == 0;
}

static struct held held_of(const char *path)
{
    struct held h = {0};
    bool absent = false;
    struct err e;
    struct state *s = state_open(path, &absent, &e);
    h.readable = s && count_held(s, &h, &e);
    if (s)
        h.generation = state_head(s)->generation;
    else if (!absent)
        err_report(&e);
    state_close(s);
    return h;
}

static const char *text_of(const json_t *last, const char *member)
{
    const char *text = json_string_value(json_object_get(last, member));
    return text ? text : "";
}

static void print_json(json_t *last, const struct held *h)
{
    json_object_set_new(last, "generation", json_integer((json_int_t)h->generation));
    json_object_set_new(last, "unsent", json_integer((json_int_t)h->unsent));
    json_object_set_new(last, "held_files", json_integer((json_int_t)h->files));
    json_dumpf(last, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
    putchar('\n');
}

static void print_text(const json_t *last, const struct held *h)
{
    const char *options = text_of(last, "options");
    printf("%s -> %s%s%s\n  %s: %s\n", text_of(last, "source"), text_of(last, "target"), *options ? "  " : "",
           options, text_of(last, "time"), text_of(last, "summary"));
    if (!h->readable)
        printf("  no state: the next tick sends everything\n");
    else if (h->unsent || h->files)
        printf("  generation %" PRIu64 "; held back: %" PRIu64 " entities, %" PRIu64 " files\n",
               h->generation, h->unsent, h->files);
    else
        printf("  generation %" PRIu64 "; nothing held back\n", h->generation);
}

static bool is_of(const json_t *last, const char *member, const char *place)
{
    char *shown = place ? sync_printable(place) : NULL;
    bool same = !shown || strcmp(text_of(last, member), shown) == 0;
    free(shown);
    return same;
}

static bool print_one(const char *path, const char *source, const char *target, bool json)
{
    json_error_t why;
    json_t *last = json_load_file(path, 0, &why);
    if (!last) {
        err_warn(path, "not a tick's record: %s", why.text);
        return false;
    }
    bool wanted = is_of(last, "source", source) && is_of(last, "target", target);
    if (wanted) {
        char *state = xasprintf("%.*sstate", (int)(strlen(path) - strlen("last")), path);
        struct held h = held_of(state);
        if (json)
            print_json(last, &h);
        else
            print_text(last, &h);
        free(state);
    }
    json_decref(last);
    return wanted;
}

static int is_last(const struct dirent *d)
{
    const char *dot = strrchr(d->d_name, '.');
    return dot && strcmp(dot, ".last") == 0;
}

size_t sync_files_print(const char *dir, const char *source, const char *target, bool json)
{
    struct dirent **names;
    size_t n = 0;
    int count = scandir(dir, &names, is_last, alphasort);
    if (count < 0)
        die(dir, "cannot read: %s", strerror(errno));
    for (int i = 0; i < count; i++) {
        char *path = xasprintf("%s/%s", dir, names[i]->d_name);
        n += print_one(path, source, target, json);
        free(path);
        free(names[i]);
    }
    free(names);
    return n;
}
