/* Opens a file store and lists its experiments. */
#include "formats/filestore/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xxhash.h>

#include "common/file.h"
#include "common/io.h"
#include "common/sort.h"
#include "formats/filestore/internal.h"
#include "formats/filestore/place.h"
#include "formats/filestore/quiet.h"
#include "formats/filestore/tick_plan.h"

enum { SORT_MEMORY = 8 << 20 };

const char *mlruns_path(const struct mlruns *m)
{
    return m->path;
}

static void list_one(struct quiet *q, const struct experiment *x,
                     void (*fn)(void *ctx, const char *id, const char *name, size_t len), void *ctx)
{
    const struct yaml_value *name = q ? yaml_get(quiet_meta(q, x), "name") : NULL;
    if (name && name->text)
        fn(ctx, experiment_id(x), name->text, name->len);
    else
        fn(ctx, experiment_id(x), q ? "" : NULL, 0);
}

void mlruns_experiment_list(const struct mlruns *m, bool names,
                            void (*fn)(void *ctx, const char *id, const char *name, size_t len), void *ctx)
{
    struct quiet quiet;
    if (names)
        quiet_init(&quiet, m);
    struct experiment x[2];
    for (uint64_t i = 0; i < experiments_count(m->experiments); i++) {
        const struct experiment *before = &x[(i + 1) % 2];
        experiments_get(m->experiments, i, &x[i % 2]);
        if (i == 0 || strcmp(experiment_id(&x[i % 2]), experiment_id(before)) != 0)
            list_one(names ? &quiet : NULL, &x[i % 2], fn, ctx);
    }
    if (names)
        quiet_free(&quiet);
}

/* An open store without a directory so far. */
static struct mlruns *store_new(const char *tmpdir)
{
    struct mlruns *m = xcalloc(1, sizeof *m);
    m->root = -1;
    m->tmpdir = file_temp_dir(tmpdir, NULL);
    m->names = names_room_new(m->tmpdir, NAMES_ROOM);
    m->spill = shared_spill_new(m->tmpdir);
    m->experiments = experiments_new(m->spill);
    text_pairs_init(&m->warnings, m->spill);
    return m;
}

void mlruns_close(struct mlruns *m)
{
    if (!m)
        return;
    experiments_free(m->experiments);
    shared_spill_free(m->spill);
    names_room_free(m->names);
    free(m->tmpdir);
    free(m->relocate_to);
    free(m->path);
    if (m->root >= 0)
        close(m->root);
    free(m);
}

void mlruns_warnings(const struct mlruns *m, void (*fn)(void *ctx, const char *path, const char *text),
                     void *ctx)
{
    text_pairs_each(&m->warnings, fn, ctx);
}

/* -- where the store is */

/* The path in a file: URL, decoded, or the location itself; malloc'ed. */
static char *location_path(const char *location, struct err *e)
{
    const char *p = location;
    if (strncmp(p, "file:", 5) != 0) {
        if (strstr(p, "://")) {
            err_set(e, location, "not a directory: a file store is a path or a file: URL");
            err_hint(e, "mldb-dump reads databases");
            return NULL;
        }
        return xstrdup(p);
    }
    p += 5;
    if (strncmp(p, "//", 2) == 0) {
        p += 2;
        p += strcspn(p, "/"); /* a host, which MLflow ignores */
    }
    char *path = xstrdup(p);
    if (*path == '\0' || io_percent_decode(path) < 0) {
        err_set(e, location, "not a file: URL with a path");
        free(path);
        return NULL;
    }
    return path;
}

/* -- which experiments it has */

/* Fills e: the store's directory, or one in it, is unreadable. */
static bool store_error(const struct mlruns *m, const char *dir, int error, struct err *e)
{
    char *path = dir ? xasprintf("%s/%s", m->path, dir) : xstrdup(m->path);
    err_set(e, path, "%s", dir_error(error));
    free(path);
    return false;
}

struct listing { /* of the store's directory or .trash */
    int dir;
    bool deleted;
    struct sorter *sorter; /* of all experiments: id NUL deleted; type and trouble */
    struct buf entry;
    bool failed; /* the sorter could not take it: *e says why */
    struct err *e;
};

/* MLflow takes every directory for an experiment. An unreadable entry may be one. */
static void list_entry(void *ctx, const char *name, unsigned char type)
{
    struct listing *l = ctx;
    size_t id = strlen(name) + 1;
    if (l->failed || (!l->deleted && (strcmp(name, TRASH) == 0 || strcmp(name, MODELS) == 0)))
        return;
    bool yes;
    int error = unit_is_candidate(l->dir, name, type, &yes);
    if (!error && !yes)
        return;
    buf_reset(&l->entry);
    buf_add(&l->entry, name, id);
    buf_addc(&l->entry, (char)l->deleted);
    size_t data = l->entry.len;
    buf_addc(&l->entry, (char)type);
    buf_adds(&l->entry, error ? dir_error(error) : "");
    l->failed = !sorter_add(l->sorter, l->entry.data, data, l->entry.data + data, l->entry.len - data, l->e);
}

static bool list_experiments(const struct mlruns *m, struct walker *w, int dir, bool deleted,
                             struct sorter *sorter, struct err *e)
{
    struct listing l = {.dir = dir, .deleted = deleted, .sorter = sorter, .e = e};
    int error = lseek(dir, 0, SEEK_SET) < 0 ? errno : dir_each(dir, w->chunk, list_entry, &l);
    buf_free(&l.entry);
    return l.failed ? false : !error || store_error(m, deleted ? TRASH : NULL, error, e);
}

/* Fills the table, without what has been listed twice. */
static bool take_sorted(const struct mlruns *m, struct sorter *sorter, struct err *e)
{
    struct buf last = {0}, trouble = {0};
    int got = sorter_finish(sorter, e) ? 1 : -1;
    struct sort_entry x;
    while (got > 0 && (got = sorter_next(sorter, &x, e)) > 0) {
        if (last.len == x.key_len && memcmp(last.data, x.key, x.key_len) == 0)
            continue;
        buf_reset(&last);
        buf_add(&last, x.key, x.key_len);
        buf_reset(&trouble);
        buf_add(&trouble, x.data + 1, x.data_len - 1);
        experiments_add(m->experiments, last.data, (unsigned char)x.data[0], last.data[last.len - 1],
                        trouble.len ? buf_str(&trouble) : NULL);
    }
    buf_free(&last);
    buf_free(&trouble);
    return got == 0;
}

/* -- what each directory is, and the stream's source */

static char *experiment_path(const struct experiment *x, const char *file)
{
    return xasprintf("%s%s%s%s", trash_prefix(experiment_is(x, EXPERIMENT_DELETED)), x->id, *file ? "/" : "",
                     file);
}

/* Reads meta.yaml into w->file. Returns 0, EFBIG if it is too large, or an error. */
static int read_meta(const struct mlruns *m, struct walker *w, const char *path)
{
    int fd = dir_open_file(m->root, path);
    buf_reset(&w->file);
    if (fd < 0)
        return errno;
    int error;
    ssize_t n;
    do {
        n = dir_read_at(fd, w->chunk, CHUNK_SIZE, w->file.len);
        error = n < 0 ? errno : 0;
        if (n > 0)
            buf_add(&w->file, w->chunk, (size_t)n);
    } while (n > 0 && w->file.len <= VALUE_MAX_SIZE);
    close(fd);
    return error ? error : n > 0 ? EFBIG : 0;
}

static bool is_blank(const struct buf *b)
{
    return strspn(buf_str(b), " \t\r\n") == b->len;
}

/* Warns of a directory that is not an experiment. */
static void warn_of_dir(struct mlruns *m, const char *path, enum holds holds)
{
    static const char *const texts[] = {
        [HOLDS_NOTHING] = "not an experiment: an empty directory",
        [HOLDS_OTHER] = "not an experiment: no meta.yaml, and no run, trace or model",
        [HOLDS_ARTIFACTS] = "not an experiment: only artifacts, like those of a server with a database",
        [HOLDS_RUN_ARTIFACTS] = "not an experiment: the directory of a run, with only artifacts",
        [HOLDS_STORE] = "another file store, which is not read here; to read it: ",
    };
    char *full = xasprintf("%s/%s", m->path, path);
    struct buf text = {0};
    buf_adds(&text, texts[holds]);
    if (holds == HOLDS_STORE)
        place_command(&text, full);
    text_pairs_add(&m->warnings, full, buf_str(&text));
    buf_free(&text);
    free(full);
}

/* Classifies a directory without meta.yaml: a damaged experiment, or something else: then a warning says
 * what, and false is returned. */
static bool judge_dir(struct mlruns *m, struct experiment *x, bool *troubled)
{
    char *path = experiment_path(x, "");
    int fd = dir_open(m->root, path);
    struct buf failed = {0};
    enum holds holds = HOLDS_DATA;
    struct stat here, root;
    if (fd < 0)
        buf_adds(&failed, dir_error(errno));
    else if (dir_fstat(fd, &here) == 0 && dir_fstat(m->root, &root) == 0 && here.st_dev == root.st_dev &&
             here.st_ino == root.st_ino)
        ; /* a loop of links, which is reported when it is read */
    else
        place_judge(fd, m->names, &holds, &failed);
    *troubled = failed.len > 0;
    if (*troubled)
        experiments_set_trouble(m->experiments, x, NULL, buf_str(&failed));
    else if (holds != HOLDS_DATA)
        warn_of_dir(m, path, holds);
    if (fd >= 0)
        close(fd);
    buf_free(&failed);
    free(path);
    return *troubled || holds == HOLDS_DATA;
}

/* Adds an experiment's id and meta.yaml to the hash of the source; false for a directory that is not an
 * experiment. One with an unreadable file is left out of the stream, since the source would differ. */
static bool survey(struct mlruns *m, struct walker *w, struct experiment *x, XXH3_state_t *state)
{
    char *path = experiment_path(x, "meta.yaml");
    bool is_one = true, troubled = experiments_trouble(m->experiments, x, &w->scratch, &w->json);
    int error = troubled ? ENOENT : read_meta(m, w, path);
    for (int i = 1; !error && is_blank(&w->file) && meta_wait(m->root, path, i); i++)
        error = read_meta(m, w, path);
    if (error == ENOENT && !troubled) {
        is_one = judge_dir(m, x, &troubled);
    } else if (error && error != ENOENT && error != EFBIG && error != EISDIR) {
        experiments_set_trouble(m->experiments, x, "meta.yaml", dir_error(error));
        troubled = true;
    }
    free(path);
    if (!is_one)
        return false;
    if (troubled)
        buf_reset(&w->file);
    buf_reset(&w->scratch);
    buf_addf(&w->scratch, "%s%c%d%zu:", x->id, '\0', experiment_is(x, EXPERIMENT_DELETED), w->file.len);
    XXH3_128bits_update(state, w->scratch.data, w->scratch.len);
    XXH3_128bits_update(state, buf_str(&w->file), w->file.len);
    return true;
}

static void hash_hex(XXH128_hash_t hash, char out[33])
{
    XXH128_canonical_t digest;
    XXH128_canonicalFromHash(&digest, hash);
    for (int i = 0; i < 16; i++)
        snprintf(out + 2 * i, 3, "%02x", digest.digest[i]);
}

/* Computes the source: the hash of all experiments' ids and meta.yaml files. Removes directories that are not
   experiments.
 */
static void survey_all(struct mlruns *m, struct walker *w, const struct state *known)
{
    XXH3_state_t *state = XXH3_createState();
    uint64_t n = 0;
    if (!state)
        xnomem("");
    XXH3_128bits_reset(state);
    struct experiment x;
    for (uint64_t i = 0; i < experiments_count(m->experiments); i++) {
        experiments_get(m->experiments, i, &x);
        if (experiment_is(&x, EXPERIMENT_KNOWN) || survey(m, w, &x, state))
            experiments_move(m->experiments, i, n++);
    }
    experiments_truncate(m->experiments, n);
    if (known)
        memcpy(m->source, state_head(known)->stream, sizeof m->source);
    else
        hash_hex(XXH3_128bits_digest(state), m->source);
    XXH3_freeState(state);
}

XXH3_state_t *store_extend_begin(const struct mlruns *m)
{
    XXH3_state_t *state = XXH3_createState();
    if (!state)
        xnomem("");
    XXH3_128bits_reset(state);
    XXH3_128bits_update(state, m->source, strlen(m->source));
    XXH3_128bits_update(state, " ", 1);
    return state;
}

void store_extend_end(struct mlruns *m, XXH3_state_t *state, bool wanted)
{
    if (wanted)
        hash_hex(XXH3_128bits_digest(state), m->source);
    XXH3_freeState(state);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void mlruns_source(const struct mlruns *m, const struct mlruns_selection *selection, char out[33])
{
    struct buf text = {0};
    memcpy(out, m->source, 33);
    if (selection->tracking && selection->registry && selection->n_experiments == 0)
        return;
    const char **ids = xmalloc((selection->n_experiments + 1) * sizeof *ids);
    buf_addf(&text, "%s %d %d", m->source, selection->tracking, selection->registry);
    for (size_t i = 0; i < selection->n_experiments; i++)
        ids[i] = selection->experiments[i];
    qsort(ids, selection->n_experiments, sizeof *ids, compare_texts);
    for (size_t i = 0; i < selection->n_experiments; i++)
        if (i == 0 || strcmp(ids[i], ids[i - 1]) != 0)
            buf_addf(&text, " %s", ids[i]);
    hash_hex(XXH3_128bits(text.data, text.len), out);
    buf_free(&text);
    free(ids);
}

/* The active experiments are listed before and after the deleted ones, so that one that is restored or
 * deleted meanwhile is found at least once; its old place is reported as missing. */
static bool scan(struct mlruns *m, const struct state *known, struct err *e)
{
    struct sorter *sorter = sorter_new(m->tmpdir, SORT_MEMORY);
    struct output out = {0};
    int trash = dir_open(m->root, TRASH), error = trash < 0 ? errno : 0;
    struct walker w;
    walker_init(&w, m, m->root, &out);
    bool good;
    if (error && error != ENOENT)
        good = store_error(m, TRASH, error, e);
    else
        good = list_experiments(m, &w, m->root, false, sorter, e);
    if (good && trash >= 0)
        good = list_experiments(m, &w, trash, true, sorter, e) &&
               list_experiments(m, &w, m->root, false, sorter, e);
    good = good && take_sorted(m, sorter, e);
    sorter_free(sorter);
    if (good && known) {
        tick_drop_moved(m);
        good = tick_find_known(m, known, e);
    }
    if (good) {
        clash_find_twins(m);
        survey_all(m, &w, known);
    }
    walker_free(&w);
    output_free(&out);
    if (trash >= 0)
        close(trash);
    return good;
}

static char *location_dir(const char *location, struct err *e)
{
    char *path = location_path(location, e);
    for (size_t len = path ? strlen(path) : 0; len > 1 && path[len - 1] == '/'; len--)
        path[len - 1] = '\0';
    return path;
}

struct mlruns *mlruns_open(const char *location, const char *tmpdir, struct err *e)
{
    char *path = location_dir(location, e);
    if (!path)
        return NULL;
    struct mlruns *m = store_new(tmpdir);
    m->root = place_find(path, m->names, &m->path, &m->warnings, e);
    free(path);
    if (m->root >= 0 && scan(m, NULL, e))
        return m;
    mlruns_close(m);
    return NULL;
}

void mlruns_leave_out_spans(struct mlruns *m)
{
    static const char what[] = "without spans";
    XXH3_state_t *state = store_extend_begin(m);
    m->no_spans = true;
    XXH3_128bits_update(state, what, strlen(what));
    store_extend_end(m, state, true);
}

char *mlruns_real_path(const struct mlruns *m)
{
    char *real = xrealpath(m->path);
    return real ? real : xstrdup(m->path);
}

/* The path, or that of mlruns in it, where the state's store is; malloc'ed, NULL when neither is. */
static char *known_path(const char *path, const struct state *state)
{
    for (int i = 0; i < 2; i++) {
        char *candidate = i ? xasprintf("%s/mlruns", path) : xstrdup(path), *real = xrealpath(candidate);
        bool same = real && strcmp(real, state_head(state)->source) == 0;
        free(real);
        if (same)
            return candidate;
        free(candidate);
    }
    return NULL;
}

struct mlruns *mlruns_open_known(const char *location, const char *tmpdir, const struct state *state,
                                 struct err *e)
{
    char *path = location_dir(location, e), *known = path ? known_path(path, state) : NULL;
    free(path);
    if (!path || !known)
        return path ? mlruns_open(location, tmpdir, e) : NULL;
    struct mlruns *m = store_new(tmpdir);
    m->path = known;
    m->root = dir_open(AT_FDCWD, known);
    if (m->root < 0)
        err_set(e, known, "%s", dir_error(errno));
    else if (scan(m, state, e))
        return m;
    mlruns_close(m);
    return NULL;
}
