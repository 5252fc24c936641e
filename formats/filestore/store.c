/* A file store: where it is, and which experiments it has. */
#include "formats/filestore/store.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xxhash.h>

#include "common/io.h"
#include "formats/filestore/internal.h"

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

void mlruns_close(struct mlruns *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->n; i++) {
        free(m->experiments[i].id);
        free(m->experiments[i].new_id);
    }
    free(m->experiments);
    free(m->relocate_to);
    free(m->path);
    if (m->root >= 0)
        close(m->root);
    free(m);
}

/* -- where the store is */

/* The path in a file: URL, decoded, or the location itself; malloc'ed. */
static char *location_path(const char *location, struct err *e)
{
    const char *p = location;
    char *path;

    if (strncmp(p, "file:", 5) != 0) {
        if (strstr(p, "://")) {
            err_set(e, location, "not a folder: a file store is a path or a file: URL");
            err_hint(e, "mldb-dump reads databases");
            return NULL;
        }
        return xstrdup(p);
    }
    p += 5;
    if (strncmp(p, "//", 2) == 0) {
        p += 2;
        p += strcspn(p, "/"); /* a host, which MLflow passes over */
    }
    path = xstrdup(p);
    if (*path == '\0' || io_percent_decode(path) < 0) {
        err_set(e, location, "not a file: URL with a path");
        free(path);
        return NULL;
    }
    return path;
}

bool has_file(int dir, const char *name, const char *file)
{
    char path[512];
    struct stat st;

    snprintf(path, sizeof path, "%s/%s", name, file);
    return fstatat(dir, path, &st, 0) == 0;
}

static bool is_number(const char *s)
{
    return *s && s[strspn(s, "0123456789")] == '\0';
}

/* How much a folder looks like a file store: not at all; perhaps (empty, folders named by numbers, a folder
 * with a meta.yaml, which other programs have, too); surely (MLflow makes .trash whenever it opens one). */
enum looks { LOOKS_WRONG, LOOKS_POSSIBLE, LOOKS_RIGHT };

static enum looks looks_like_store(int dir)
{
    struct names names = {0};
    char *chunk = xmalloc(CHUNK_SIZE);
    int error = names_list(&names, dir, chunk);
    enum looks looks = error || names.n ? LOOKS_WRONG : LOOKS_POSSIBLE;

    for (size_t i = 0; i < names.n && looks != LOOKS_RIGHT; i++) {
        const char *name = names_at(&names, i);

        if (!entry_is_dir(dir, name, names.items[i].type))
            continue;
        if (strcmp(name, TRASH) == 0)
            looks = LOOKS_RIGHT;
        else if (is_number(name) || strcmp(name, MODELS) == 0 || has_file(dir, name, "meta.yaml"))
            looks = LOOKS_POSSIBLE;
    }
    names_free(&names);
    free(chunk);
    lseek(dir, 0, SEEK_SET);
    return looks;
}

bool mlruns_is_store(int dir)
{
    return looks_like_store(dir) == LOOKS_RIGHT;
}

/* Takes the folder at m->path or the one named mlruns in it. */
static bool choose_folder(struct mlruns *m, struct err *e)
{
    size_t len;
    enum looks looks;
    const char *name;
    int inner;

    m->root = dir_open(AT_FDCWD, m->path);
    if (m->root < 0)
        return err_set(e, m->path, "%s", strerror(errno));
    looks = looks_like_store(m->root);
    if (looks == LOOKS_RIGHT)
        return true;
    inner = dir_open(m->root, "mlruns");
    if (inner >= 0) {
        char *path = xasprintf("%s%smlruns", m->path, m->path[strlen(m->path) - 1] == '/' ? "" : "/");

        free(m->path);
        m->path = path;
        close(m->root);
        m->root = inner;
        return true;
    }
    len = strlen(m->path);
    while (len > 1 && m->path[len - 1] == '/')
        m->path[--len] = '\0';
    name = strrchr(m->path, '/');
    if (looks == LOOKS_POSSIBLE || strcmp(name ? name + 1 : m->path, "mlruns") == 0)
        return true;
    err_set(e, m->path, "neither a file store of MLflow nor a folder with one named mlruns");
    return err_hint(e, "name the folder that holds the experiments' folders and .trash");
}

/* -- which experiments it has */

static int experiment_compare(const void *a, const void *b)
{
    const struct experiment *x = a, *y = b;
    int order = strcmp(x->id, y->id);

    return order ? order : (int)x->deleted - (int)y->deleted;
}

static void add_experiment(struct mlruns *m, const char *id, unsigned char type, bool deleted)
{
    if (m->n == m->cap) {
        m->cap = m->cap ? m->cap * 2 : 64;
        m->experiments = xrealloc(m->experiments, m->cap * sizeof *m->experiments);
    }
    m->experiments[m->n++] = (struct experiment){.id = xstrdup(id), .type = type, .deleted = deleted};
}

/* MLflow takes every folder for an experiment. A hidden one without meta.yaml is something else's (.git,
 * .ipynb_checkpoints). */
static bool list_experiments(struct mlruns *m, struct walker *w, int dir, bool deleted, struct err *e)
{
    int error;

    names_release(&w->names, (struct names_mark){0});
    error = names_list(&w->names, dir, w->chunk);
    if (error)
        return err_set(e, m->path, "%s%s", deleted ? TRASH ": " : "", strerror(error));
    for (size_t i = 0; i < w->names.n; i++) {
        const char *name = names_at(&w->names, i);

        if (!deleted && (strcmp(name, TRASH) == 0 || strcmp(name, MODELS) == 0))
            continue;
        if (!entry_is_dir(dir, name, w->names.items[i].type))
            continue;
        if (name[0] != '.' || has_file(dir, name, "meta.yaml"))
            add_experiment(m, name, w->names.items[i].type, deleted);
    }
    return true;
}

static void hash_hex(XXH128_hash_t hash, char out[33])
{
    XXH128_canonical_t digest;

    XXH128_canonicalFromHash(&digest, hash);
    for (int i = 0; i < 16; i++)
        snprintf(out + 2 * i, 3, "%02x", digest.digest[i]);
}

/* The hash of all experiments' ids and meta.yaml files. */
static void find_source(struct mlruns *m, struct walker *w)
{
    XXH3_state_t *state = XXH3_createState();

    if (!state)
        die("", "out of memory");
    XXH3_128bits_reset(state);
    for (size_t i = 0; i < m->n; i++) {
        const struct experiment *x = &m->experiments[i];
        int fd;

        buf_reset(&w->file);
        buf_addf(&w->scratch, "%s%s/meta.yaml", x->deleted ? TRASH "/" : "", x->id);
        fd = openat(m->root, buf_str(&w->scratch), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        for (ssize_t n = 1; fd >= 0 && n > 0 && w->file.len < VALUE_MAX_SIZE;) {
            n = file_read_at(fd, w->chunk, CHUNK_SIZE, w->file.len);
            if (n > 0)
                buf_add(&w->file, w->chunk, (size_t)n);
        }
        if (fd >= 0)
            close(fd);
        buf_reset(&w->scratch);
        buf_addf(&w->scratch, "%s%c%d%zu:", x->id, '\0', x->deleted, w->file.len);
        XXH3_128bits_update(state, w->scratch.data, w->scratch.len);
        XXH3_128bits_update(state, buf_str(&w->file), w->file.len);
        buf_reset(&w->scratch);
    }
    hash_hex(XXH3_128bits_digest(state), m->source);
    XXH3_freeState(state);
}

void source_extend(struct mlruns *m, const char *what)
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

/* Sorts the experiments, and drops those that were listed twice. */
static void sort_experiments(struct mlruns *m)
{
    size_t n = 0;

    if (m->n)
        qsort(m->experiments, m->n, sizeof *m->experiments, experiment_compare);
    for (size_t i = 0; i < m->n; i++) {
        if (n && experiment_compare(&m->experiments[n - 1], &m->experiments[i]) == 0)
            free(m->experiments[i].id);
        else
            m->experiments[n++] = m->experiments[i];
    }
    m->n = n;
}

/* The active experiments are listed before and after the deleted ones: one that is restored or deleted in the
 * meantime is found in one place at least, and where it no longer is, that is said. */
static bool scan(struct mlruns *m, struct err *e)
{
    struct output out = {0};
    struct walker w;
    int trash = dir_open(m->root, TRASH), error = trash < 0 ? errno : 0;
    bool good;

    walker_init(&w, m, m->root, &out);
    if (error && error != ENOENT)
        good = err_set(e, m->path, TRASH ": %s", strerror(error));
    else
        good = list_experiments(m, &w, m->root, false, e);
    if (good && trash >= 0)
        good = list_experiments(m, &w, trash, true, e) && lseek(m->root, 0, SEEK_SET) == 0 &&
               list_experiments(m, &w, m->root, false, e);
    sort_experiments(m);
    find_twins(m);
    if (good)
        find_source(m, &w);
    walker_free(&w);
    buf_free(&out.data);
    buf_free(&out.notes);
    if (trash >= 0)
        close(trash);
    return good;
}

struct mlruns *mlruns_open(const char *location, struct err *e)
{
    struct mlruns *m;
    char *path = location_path(location, e);

    if (!path)
        return NULL;
    m = xcalloc(1, sizeof *m);
    m->path = path;
    m->root = -1;
    if (choose_folder(m, e) && scan(m, e))
        return m;
    mlruns_close(m);
    return NULL;
}
