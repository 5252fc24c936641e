/* Finds the roots of a store's artifact URIs and relocates them. A tree is often read in another location
 * than it was written: moved, cloned, from another system. The root of a URI is the part before the path of
 * an entity in the tree. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/utf8.h"
#include "formats/filestore/internal.h"
#include "formats/record/uri.h"

enum {
    MAX_URI = 64 << 10, /* bytes; longer texts are not artifact URIs */
    MAX_ROOTS = 64,     /* different roots that are counted separately */
    ROOT_SIZE = 1024,   /* bytes kept of a root */
};

struct root {
    struct id_key key;
    char *text;
    uint64_t n; /* number of URIs with it */
};

/* The counts of URIs that one thread has read. */
struct uri_tally {
    struct root roots[MAX_ROOTS];
    size_t n_roots;
    uint64_t n_more; /* URIs with further roots */
    struct {
        uint64_t relocated, left;
    } fields[KIND_COUNT][RECORD_MAX_FIELDS];
};

/* -- the current URI */

struct located {
    const char *s; /* the original text */
    size_t len;
    bool file;          /* it has the scheme file:, so %XX is a byte */
    bool windows;       /* \ is a separator like / */
    struct buf path;    /* decoded, each run of separators one / */
    struct buf offsets; /* uint32_t: the offset in s of each byte of path */
    size_t place;       /* offset in path of the entity's path in the tree */
    const char *trash;  /* prefix that is missing before that part */
    struct buf text;
};

static size_t offset_of(const struct located *u, size_t i)
{
    uint32_t offset;
    memcpy(&offset, u->offsets.data + i * sizeof offset, sizeof offset);
    return offset;
}

/* The byte at s[i], decoded; *used is the number of bytes read. */
static char byte_at(const struct located *u, size_t i, size_t *used)
{
    char c = u->s[i];
    *used = 1;
    if (u->file)
        c = uri_byte(u->s + i, u->s + u->len, used);
    return u->windows && c == '\\' ? '/' : c;
}

/* Parses a URI. False if it is not that of a local file: only these can be in the tree. */
static bool local_uri(struct located *u, const char *s, size_t len)
{
    struct uri form = uri_of(s, len);
    size_t scheme = uri_scheme(s, len);
    u->s = s;
    u->len = len;
    u->file = scheme == 5 && strncasecmp(s, "file:", 5) == 0;
    u->windows = form.drive || *form.p != '/';
    u->place = 0;
    u->trash = "";
    if ((scheme && !u->file) || len > MAX_URI)
        return false;
    buf_reset(&u->path);
    buf_reset(&u->offsets);
    size_t used;
    for (size_t i = 0; i < len; i += used) {
        uint32_t offset = (uint32_t)i;
        char c = byte_at(u, i, &used);
        if (c == '/' && u->path.len && u->path.data[u->path.len - 1] == '/')
            continue;
        buf_addc(&u->path, c);
        buf_add(&u->offsets, &offset, sizeof offset);
    }
    return u->path.len && !memchr(u->path.data, '\0', u->path.len);
}

/* -- places in the tree */

/* Whether the path ends with the place, at a name boundary. */
static bool ends_with(struct located *u, const char *place, size_t len)
{
    size_t end = u->path.len;
    if (end && u->path.data[end - 1] == '/')
        end--;
    if (end < len || memcmp(u->path.data + end - len, place, len) != 0)
        return false;
    u->place = end - len;
    return u->place == 0 || u->path.data[u->place - 1] == '/';
}

/* The path of the unit, without .trash, in MLflow's layout, as in the URI of a record of this kind. */
static bool place_of_unit(const struct unit *unit, enum kind kind, struct buf *out)
{
    if (!unit->experiment)
        return false;
    buf_reset(out);
    buf_addf(out, TRASH "/%s", unit->experiment);
    switch (kind) {
    case KIND_experiment:
        return true;
    case KIND_run:
        buf_addf(out, "/%s/artifacts", unit->name);
        return true;
    case KIND_trace_tag:
        buf_addf(out, "/traces/%s/artifacts", unit->name);
        return true;
    case KIND_logged_model:
        buf_addf(out, "/" MODELS "/%s/artifacts", unit->name);
        return true;
    default:
        return false;
    }
}

/* Finds the unit's own place at the URI's end. URIs of a deleted experiment do not contain .trash, where its
 * directory is until it is restored; one that got a new id cannot be restored and stays there. */
static bool find_own_place(struct located *u, const struct unit *unit)
{
    const size_t skip = strlen(TRASH "/");
    if (unit->deleted && ends_with(u, u->text.data, u->text.len))
        return true;
    if (unit->deleted && unit->experiment_id)
        u->trash = TRASH "/";
    return ends_with(u, u->text.data + skip, u->text.len - skip);
}

/* The end of the name that begins at `from` in a path. */
static size_t name_end(const struct buf *path, size_t from)
{
    const char *slash = from < path->len ? memchr(path->data + from, '/', path->len - from) : NULL;
    return slash ? (size_t)(slash - path->data) : path->len;
}

static bool name_is(const struct buf *path, size_t from, const char *name)
{
    size_t end = name_end(path, from), len = strlen(name);
    return from < end && end - from == len && memcmp(path->data + from, name, len) == 0;
}

/* The length of RUN, models/MODEL or traces/TRACE at `from`, after an experiment's directory, if its artifact
 * directory follows; else 0. */
static size_t unit_below(const struct buf *path, size_t from)
{
    size_t end = name_end(path, from);
    if (name_is(path, from, MODELS) || name_is(path, from, "traces"))
        end = name_end(path, end + 1);
    return end < path->len && name_is(path, end + 1, "artifacts") ? end - from : 0;
}

/* Sets the place to begin with the directory of experiment x, at `from`, or with the .trash before it. */
static void take_place(struct located *u, const struct experiment *x, size_t from)
{
    const size_t skip = strlen(TRASH "/");
    bool deleted = experiment_is(x, EXPERIMENT_DELETED);
    u->place = from;
    if (deleted && from >= skip && memcmp(u->path.data + from - skip, TRASH "/", skip) == 0 &&
        (from == skip || u->path.data[from - skip - 1] == '/'))
        u->place -= skip;
    else if (deleted && *x->new_id)
        u->trash = TRASH "/";
}

/* Whether the experiment with the directory name at [from, end) has the unit that follows it. */
static bool has_unit(struct walker *w, struct located *u, size_t from, size_t end)
{
    size_t below = unit_below(&u->path, end + 1), len = end - from;
    const char *id = u->path.data + from;
    struct experiments *t = w->store->experiments;
    struct experiment x;
    struct stat st;
    int error;
    for (uint64_t i = below ? experiments_first(t, id, len) : UINT64_MAX; i < experiments_count(t); i++) {
        experiments_get(t, i, &x);
        if (strlen(x.id) != len || memcmp(x.id, id, len) != 0)
            return false;
        buf_reset(&u->text);
        buf_addf(&u->text, "%s%s/", trash_prefix(experiment_is(&x, EXPERIMENT_DELETED)), x.id);
        buf_add(&u->text, u->path.data + end + 1, below);
        error = dir_stat(w->root, buf_str(&u->text), &st);
        if (error != ENOENT && error != ENOTDIR) {
            take_place(u, &x, from);
            return true;
        }
    }
    return false;
}

/* Finds the artifacts of a run, a model or a trace of the tree anywhere in the URI. */
static bool find_any_place(struct walker *w, struct located *u)
{
    for (size_t from = 0, end; from < u->path.len; from = end + 1) {
        end = name_end(&u->path, from);
        if (end > from && end < u->path.len && has_unit(w, u, from, end))
            return true;
    }
    return false;
}

bool relocate_is_own(struct walker *w, const char *s, size_t len)
{
    struct located *u = w->located;
    return len && local_uri(u, s, len) && place_of_unit(w->unit, KIND_trace_tag, &u->text) &&
           find_own_place(u, w->unit);
}

char *relocate_below(struct walker *w, const char *s, size_t len)
{
    struct located *u = w->located;
    struct uri form = uri_of(s, len);
    char *below = NULL;
    if (!len || form.drive || !local_uri(u, s, len))
        return NULL;
    char *real = mlruns_real_path(w->store);
    size_t n = strlen(real);
    /* the path begins with the first slash: after the scheme, if there is one */
    size_t from = u->file ? strlen("file:") : 0;
    if (u->path.len > from + n + 1 && memcmp(u->path.data + from, real, n) == 0 &&
        u->path.data[from + n] == '/')
        below = xstrndup(u->path.data + from + n + 1, u->path.len - from - n - 1);
    free(real);
    return below;
}

/* -- roots */

/* Bytes of s before the place and the separator in front of it. */
static size_t root_length(const struct located *u)
{
    return u->place ? offset_of(u, u->place - 1) : 0;
}

static void count_root(struct uri_tally *t, const char *s, size_t len, uint64_t n)
{
    struct value text = value_text(s, len);
    struct id_key key = id_key(0, &text, 1);
    struct root *root = t->roots;
    for (; root < t->roots + t->n_roots; root++) {
        if (root->key.low == key.low && root->key.high == key.high) {
            root->n += n;
            return;
        }
    }
    if (t->n_roots == MAX_ROOTS) {
        t->n_more += n;
        return;
    }
    t->n_roots++;
    *root = (struct root){.key = key, .text = xstrndup(s, len < ROOT_SIZE ? len : ROOT_SIZE), .n = n};
}

static void add_encoded(struct buf *out, char c)
{
    if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c && strchr("/_.-~", c)))
        buf_addc(out, c);
    else
        buf_addf(out, "%%%02X", (unsigned char)c);
}

/* Appends the URI with the new root. The rest is kept verbatim, but converted between file: URIs, with %XX,
 * and paths, without. */
static void add_relocated(const struct mlruns *m, const struct located *u, struct buf *out)
{
    bool to_file = strncasecmp(m->relocate_to, "file:", 5) == 0;
    buf_adds(out, m->relocate_to);
    if (out->data[out->len - 1] != '/')
        buf_addc(out, '/');
    buf_adds(out, u->trash);
    size_t used;
    for (size_t i = offset_of(u, u->place); i < u->len; i += used) {
        char c = byte_at(u, i, &used);
        if (to_file && !u->file)
            add_encoded(out, c);
        else if (used > 1 && to_file)
            buf_add(out, u->s + i, used);
        else
            buf_addc(out, c);
    }
}

static bool visit_uri(void *arg, const struct uri_place *at, const char *s, size_t len, struct buf *out)
{
    struct walker *w = arg;
    struct uri_tally *t = w->tally;
    const struct mlruns *m = w->store;
    struct uri form = uri_of(s, len);
    struct located *u = w->located;
    if (uri_stays(&form))
        return false;
    bool found =
        local_uri(u, s, len) && (place_of_unit(w->unit, at->kind->kind, &u->text) ? find_own_place(u, w->unit)
                                                                                  : find_any_place(w, u));
    if (!found) {
        t->fields[at->kind->kind][at->field].left += !at->any_text || form.file;
        return false;
    }
    if (m->relocate_to) {
        add_relocated(m, u, out);
        if (out->len == len && memcmp(out->data, s, len) == 0)
            return false;
        t->fields[at->kind->kind][at->field].relocated++;
    }
    count_root(t, s, root_length(u), 1);
    return m->relocate_to != NULL;
}

void relocate_uris(struct walker *w, struct record *r)
{
    arena_reset(&w->uris);
    uris_edit(r, visit_uri, w, &w->uris);
}

struct located *relocate_located_new(void)
{
    return xcalloc(1, sizeof(struct located));
}

void relocate_located_free(struct located *u)
{
    if (!u)
        return;
    buf_free(&u->path);
    buf_free(&u->offsets);
    buf_free(&u->text);
    free(u);
}

/* -- the report */

struct uri_tally *relocate_tally_new(void)
{
    return xcalloc(1, sizeof(struct uri_tally));
}

void relocate_tally_free(struct uri_tally *t)
{
    for (size_t i = 0; i < t->n_roots; i++)
        free(t->roots[i].text);
    free(t);
}

void relocate_tally_add(struct uri_tally *t, const struct uri_tally *other)
{
    for (size_t i = 0; i < other->n_roots; i++)
        count_root(t, other->roots[i].text, strlen(other->roots[i].text), other->roots[i].n);
    t->n_more += other->n_more;
    for (int k = 0; k < KIND_COUNT; k++) {
        for (int f = 0; f < RECORD_MAX_FIELDS; f++) {
            t->fields[k][f].relocated += other->fields[k][f].relocated;
            t->fields[k][f].left += other->fields[k][f].left;
        }
    }
}

/* The most frequent first. */
static int compare_roots(const void *a, const void *b)
{
    const struct root *x = a, *y = b;
    return x->n != y->n ? (x->n < y->n ? 1 : -1) : strcmp(x->text, y->text);
}

/* Whether the root is the store's directory, under whatever name; a relative one is relative to the current
   directory.
 */
static bool is_here(const struct mlruns *m, const char *root)
{
    struct located u = {0};
    struct uri form = uri_of(root, strlen(root));
    bool same = false;
    struct stat here, there;
    if (!form.drive && local_uri(&u, root, strlen(root))) {
        size_t skip = (size_t)(form.p - root);
        struct buf path = {0};
        size_t used;
        for (size_t i = skip; i < u.len; i += used)
            buf_addc(&path, byte_at(&u, i, &used));
        same = stat(path.len ? buf_str(&path) : ".", &there) == 0 && fstat(m->root, &here) == 0 &&
               here.st_dev == there.st_dev && here.st_ino == there.st_ino;
        buf_free(&path);
    }
    buf_free(&u.path);
    buf_free(&u.offsets);
    return same;
}

void relocate_tally_report(const struct mlruns *m, struct uri_tally *t, const struct mlruns_sink *sink)
{
    uint64_t more = t->n_more;
    qsort(t->roots, t->n_roots, sizeof t->roots[0], compare_roots);
    for (size_t i = 0; i < t->n_roots; i++)
        sink->root(sink->ctx, t->roots[i].text, t->roots[i].n, is_here(m, t->roots[i].text));
    if (more)
        sink->root(sink->ctx, NULL, more, false);
    for (int k = 0; k < KIND_COUNT; k++)
        for (int f = 0; f < kinds[k].n_fields; f++)
            if (t->fields[k][f].relocated + t->fields[k][f].left)
                sink->relocated(sink->ctx, &kinds[k], f, t->fields[k][f].relocated, t->fields[k][f].left);
}

/* -- the new root */

char *mlruns_place(const struct mlruns *m, struct err *e)
{
    char *path = xrealpath(m->path);
    struct buf uri = {0};
    if (!path) {
        err_set(e, m->path, "cannot find its real path: %s", strerror(errno));
        return NULL;
    }
    buf_adds(&uri, "file://");
    for (const char *p = path; *p; p++)
        add_encoded(&uri, *p);
    free(path);
    return uri.data;
}

bool mlruns_relocate(struct mlruns *m, const char *to, struct err *e)
{
    static const char what[] = "relocated to ";
    size_t len = strlen(to);
    if (len == 0) {
        m->relocate_to = mlruns_place(m, e);
        if (!m->relocate_to)
            return false;
    } else {
        struct uri form = uri_of(to, len);
        if (!utf8_valid(to, len))
            return err_set(e, to, "not UTF-8");
        if (!uri_scheme(to, len) && *form.p != '/' && !form.drive)
            return err_set(e, to, "must be a URI or an absolute path");
        /* ignore a trailing slash, unless it is the root */
        while (len > 1 && to[len - 1] == '/' && !strchr(":/", to[len - 2]))
            len--;
        m->relocate_to = xstrndup(to, len);
    }
    XXH3_state_t *state = store_extend_begin(m);
    XXH3_128bits_update(state, what, strlen(what));
    XXH3_128bits_update(state, m->relocate_to, strlen(m->relocate_to));
    store_extend_end(m, state, true);
    return true;
}
