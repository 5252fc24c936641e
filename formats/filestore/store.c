/* Opens a file store and lists its experiments. */
#include "formats/filestore/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xxhash.h>

#include "common/io.h"
#include "formats/filestore/internal.h"
#include "formats/filestore/place.h"
#include "formats/filestore/tick_plan.h"

const char *mlruns_path(const struct mlruns *m)
{
    return m->path;
}

size_t mlruns_experiment_count(const struct mlruns *m)
{
    return m->n;
}

const char *mlruns_experiment_id(const struct mlruns *m, size_t i)
{
    const struct experiment *x = &m->experiments[i];

    return x->new_id ? x->new_id : x->id;
}

bool mlruns_experiment_place(const struct mlruns *m, size_t i, struct unit *unit)
{
    unit->experiment = m->experiments[i].id;
    unit->deleted = m->experiments[i].deleted;
    return !m->experiments[i].bad;
}

void experiment_free(struct experiment *x)
{
    buf_free(&x->context);
    free(x->id);
    free(x->new_id);
    free(x->trouble);
    free(x->trouble_at);
}

void mlruns_close(struct mlruns *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->n; i++)
        experiment_free(&m->experiments[i]);
    free(m->experiments);
    buf_free(&m->warnings);
    free(m->relocate_to);
    free(m->path);
    if (m->root >= 0)
        close(m->root);
    free(m);
}

void mlruns_warnings(const struct mlruns *m, void (*fn)(const char *path, const char *text))
{
    const char *p = buf_str(&m->warnings), *end = p + m->warnings.len;

    while (p < end) {
        const char *text = p + strlen(p) + 1;

        fn(p, text);
        p = text + strlen(text) + 1;
    }
}

/* -- where the store is */

/* The path in a file: URL, decoded, or the location itself; malloc'ed. */
static char *location_path(const char *location, struct err *e)
{
    const char *p = location;
    char *path;

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
    path = xstrdup(p);
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

static int experiment_compare(const void *a, const void *b)
{
    const struct experiment *x = a, *y = b;
    int order = strcmp(x->id, y->id);

    return order ? order : (int)x->deleted - (int)y->deleted;
}

static struct experiment *add_experiment(struct mlruns *m, const char *id, unsigned char type, bool deleted)
{
    if (m->n == m->cap) {
        m->cap = m->cap ? m->cap * 2 : 64;
        m->experiments = xrealloc(m->experiments, m->cap * sizeof *m->experiments);
    }
    m->experiments[m->n] = (struct experiment){.id = xstrdup(id), .type = type, .deleted = deleted};
    return &m->experiments[m->n++];
}

/* MLflow takes every directory for an experiment. An unreadable entry may be one. */
static bool list_experiments(struct mlruns *m, struct walker *w, int dir, bool deleted, struct err *e)
{
    int error = lseek(dir, 0, SEEK_SET) < 0 ? errno : 0;

    dir_names_release(&w->names, (struct names_mark){0});
    if (!error)
        error = dir_names_list(&w->names, dir, w->chunk);
    if (error)
        return store_error(m, deleted ? TRASH : NULL, error, e);
    for (size_t i = 0; i < w->names.n; i++) {
        const char *name = dir_names_at(&w->names, i);
        unsigned char type = w->names.items[i].type;
        bool yes;

        if (!deleted && (strcmp(name, TRASH) == 0 || strcmp(name, MODELS) == 0))
            continue;
        error = unit_is_candidate(dir, name, type, &yes);
        if (error)
            add_experiment(m, name, type, deleted)->trouble = xstrdup(dir_error(error));
        else if (yes)
            add_experiment(m, name, type, deleted);
    }
    return true;
}

/* -- what each directory is, and the stream's source */

static char *experiment_path(const struct experiment *x, const char *file)
{
    return xasprintf("%s%s%s%s", x->deleted ? TRASH "/" : "", x->id, *file ? "/" : "", file);
}

static void set_trouble(struct experiment *x, const char *at, const char *text)
{
    x->trouble = xstrdup(text);
    x->trouble_at = at ? xstrdup(at) : NULL;
}

/* Reads meta.yaml into w->file. Returns 0, EFBIG if it is too large, or an error. */
static int read_meta(const struct mlruns *m, struct walker *w, const char *path)
{
    int fd = dir_open_file(m->root, path), error;
    ssize_t n;

    buf_reset(&w->file);
    if (fd < 0)
        return errno;
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

/* Classifies a directory without meta.yaml: a damaged experiment, or something else: then a warning says
 * what, and false is returned. */
static bool judge_dir(struct mlruns *m, struct experiment *x)
{
    static const char *const texts[] = {
        [HOLDS_NOTHING] = "not an experiment: an empty directory",
        [HOLDS_OTHER] = "not an experiment: no meta.yaml, and no run, trace or model",
        [HOLDS_ARTIFACTS] = "not an experiment: only artifacts, like those of a server with a database",
        [HOLDS_RUN_ARTIFACTS] = "not an experiment: the directory of a run, with only artifacts",
        [HOLDS_STORE] = "another file store, which is not read here; to read it: ",
    };
    char *path = experiment_path(x, ""), *full = xasprintf("%s/%s", m->path, path);
    int fd = dir_open(m->root, path);
    struct buf failed = {0};
    struct stat here, root;
    enum holds holds = HOLDS_DATA;

    if (fd < 0)
        set_trouble(x, NULL, dir_error(errno));
    else if (dir_fstat(fd, &here) == 0 && dir_fstat(m->root, &root) == 0 && here.st_dev == root.st_dev &&
             here.st_ino == root.st_ino)
        ; /* a loop of links, which is reported when it is read */
    else if (!place_judge(fd, &holds, &failed))
        set_trouble(x, NULL, buf_str(&failed));
    if (!x->trouble && holds != HOLDS_DATA) {
        buf_addf(&m->warnings, "%s%c%s", full, '\0', texts[holds]);
        if (holds == HOLDS_STORE)
            place_command(&m->warnings, full);
        buf_addc(&m->warnings, '\0');
    }
    if (fd >= 0)
        close(fd);
    buf_free(&failed);
    free(path);
    free(full);
    return x->trouble || holds == HOLDS_DATA;
}

/* Adds an experiment's id and meta.yaml to the hash of the source; false for a directory that is not an
 * experiment. One with an unreadable file is left out of the stream, since the source would differ. */
static bool survey(struct mlruns *m, struct walker *w, struct experiment *x, XXH3_state_t *state)
{
    char *path = experiment_path(x, "meta.yaml");
    int error = x->trouble ? ENOENT : read_meta(m, w, path);
    bool is_one = true;

    for (int i = 1; !error && is_blank(&w->file) && meta_wait(m->root, path, i); i++)
        error = read_meta(m, w, path);
    if (error == ENOENT && !x->trouble)
        is_one = judge_dir(m, x);
    else if (error && error != ENOENT && error != EFBIG && error != EISDIR)
        set_trouble(x, "meta.yaml", dir_error(error));
    free(path);
    if (!is_one)
        return false;
    if (x->trouble)
        buf_reset(&w->file);
    buf_reset(&w->scratch);
    buf_addf(&w->scratch, "%s%c%d%zu:", x->id, '\0', x->deleted, w->file.len);
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
    size_t n = 0;

    if (!state)
        xnomem("");
    XXH3_128bits_reset(state);
    for (size_t i = 0; i < m->n; i++) {
        if (m->experiments[i].known || survey(m, w, &m->experiments[i], state))
            m->experiments[n++] = m->experiments[i];
        else
            experiment_free(&m->experiments[i]);
    }
    m->n = n;
    if (known)
        memcpy(m->source, state_head(known)->stream, sizeof m->source);
    else
        hash_hex(XXH3_128bits_digest(state), m->source);
    XXH3_freeState(state);
}

void store_extend_source(struct mlruns *m, const char *what)
{
    char *text = xasprintf("%s %s", m->source, what);

    hash_hex(XXH3_128bits(text, strlen(text)), m->source);
    free(text);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void mlruns_source(const struct mlruns *m, const struct mlruns_selection *selection, char out[33])
{
    struct buf text = {0};
    const char **ids;

    memcpy(out, m->source, 33);
    if (selection->tracking && selection->registry && selection->n_experiments == 0)
        return;
    ids = xmalloc((selection->n_experiments + 1) * sizeof *ids);
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

/* Sorts the experiments and removes duplicates. */
static void sort_experiments(struct mlruns *m)
{
    size_t n = 0;

    if (m->n)
        qsort(m->experiments, m->n, sizeof *m->experiments, experiment_compare);
    for (size_t i = 0; i < m->n; i++) {
        if (n && experiment_compare(&m->experiments[n - 1], &m->experiments[i]) == 0)
            experiment_free(&m->experiments[i]);
        else
            m->experiments[n++] = m->experiments[i];
    }
    m->n = n;
}

/* The active experiments are listed before and after the deleted ones, so that one that is restored or
 * deleted meanwhile is found at least once; its old place is reported as missing. */
static bool scan(struct mlruns *m, const struct state *known, struct err *e)
{
    struct output out = {0};
    struct walker w;
    int trash = dir_open(m->root, TRASH), error = trash < 0 ? errno : 0;
    bool good;

    walker_init(&w, m, m->root, &out);
    if (error && error != ENOENT)
        good = store_error(m, TRASH, error, e);
    else
        good = list_experiments(m, &w, m->root, false, e);
    if (good && trash >= 0)
        good = list_experiments(m, &w, trash, true, e) && list_experiments(m, &w, m->root, false, e);
    sort_experiments(m);
    if (known) {
        tick_drop_moved(m);
        good = good && tick_find_known(m, known, e);
    }
    clash_find_twins(m);
    if (good)
        survey_all(m, &w, known);
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

struct mlruns *mlruns_open(const char *location, struct err *e)
{
    struct mlruns *m;
    char *path = location_dir(location, e);

    if (!path)
        return NULL;
    m = xcalloc(1, sizeof *m);
    m->root = place_find(path, &m->path, &m->warnings, e);
    free(path);
    if (m->root >= 0 && scan(m, NULL, e))
        return m;
    mlruns_close(m);
    return NULL;
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

struct mlruns *mlruns_open_known(const char *location, const struct state *state, struct err *e)
{
    char *path = location_dir(location, e), *known = path ? known_path(path, state) : NULL;
    struct mlruns *m = known ? xcalloc(1, sizeof *m) : NULL;

    free(path);
    if (!path || !known)
        return path ? mlruns_open(location, e) : NULL;
    m->path = known;
    m->root = dir_open(AT_FDCWD, known);
    if (m->root < 0)
        err_set(e, known, "%s", dir_error(errno));
    else if (scan(m, state, e))
        return m;
    mlruns_close(m);
    return NULL;
}
