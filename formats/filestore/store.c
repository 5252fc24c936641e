/* A file store: where it is, which experiments it has, and the order in which threads read its units. */
#include "formats/filestore/store.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xxhash.h>

#include "common/io.h"
#include "formats/filestore/internal.h"

#define TRASH  ".trash"
#define MODELS "models"

struct experiment {
    char *id;
    unsigned char type; /* of the folder's entry */
    bool deleted;       /* lies in .trash */
    bool bad;           /* can't be read */
};

struct mlruns {
    int root;
    char *path;
    char source[33];
    struct experiment *experiments; /* sorted by id, active before deleted */
    size_t n, cap;
};

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
    return m->experiments[i].id;
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
    for (size_t i = 0; i < m->n; i++)
        free(m->experiments[i].id);
    free(m->experiments);
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

static bool has_file(int dir, const char *name, const char *file)
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

/* -- reading: threads take units in order, and hand over what they read in the same order. The one whose unit
 * is next hands over as it reads; the others fill a buffer, and wait for their turn when it is full. */

enum {
    HELD_BACK = 8 << 20,   /* bytes that all units together may hold back */
    SLOT_SIZE = 256 << 10, /* and one of them, at most */
    SLOTS_PER_JOB = 4,
    MAX_SLOTS = 64,
    MAX_JOBS = 64,
};

enum phase { PHASE_EXPERIMENTS, PHASE_CONTENTS, PHASE_REGISTRY, PHASE_END };
enum listing { LIST_RUNS, LIST_TRACES, LIST_MODELS, LIST_END };

struct slot {
    struct output out;
    bool done; /* may be handed over when its turn comes */
};

struct reading {
    struct mlruns *m;
    const struct mlruns_selection *selection;
    const struct mlruns_sink *sink;
    bool *chosen; /* experiments */

    /* the plan: what is read next */
    pthread_mutex_t plan_lock;
    enum phase phase;
    size_t experiment;
    enum listing listing;
    struct names names; /* of the folder that is being read */
    size_t next_name;
    int dir; /* that folder; -1: none */
    char *chunk;
    uint64_t n_taken;

    /* the turns */
    pthread_mutex_t turn_lock;
    pthread_cond_t turn_changed;
    uint64_t turn; /* number of the unit that is handed over */
    struct slot *slots;
    size_t n_slots;
    size_t slot_size; /* bytes */
};

struct reader { /* a thread */
    struct reading *reading;
    struct walker walker;
    struct unit unit;
    struct buf unit_path;
    char name[256];
    uint64_t number; /* of the unit */
};

/* -- turns */

static void hand_over(struct reading *r, struct output *out)
{
    const char *p = buf_str(&out->notes), *end = p + out->notes.len;

    while (p < end) {
        const char *path = p + 1, *reason = path + strlen(path) + 1;

        (*p == 'p' ? r->sink->problem : r->sink->warning)(r->sink->ctx, path, reason);
        p = reason + strlen(reason) + 1;
    }
    if (out->data.len)
        r->sink->records(r->sink->ctx, out->data.data, out->data.len, &out->counts);
    buf_reset(&out->data);
    buf_reset(&out->notes);
    out->counts = (struct wire_counts){0};
}

static void wait_for_turn(struct reading *r, uint64_t number)
{
    pthread_mutex_lock(&r->turn_lock);
    while (r->turn != number)
        pthread_cond_wait(&r->turn_changed, &r->turn_lock);
    pthread_mutex_unlock(&r->turn_lock);
}

/* The buffer of the unit that is being read is full. */
static void on_full(struct walker *w)
{
    struct reader *reader = w->full_ctx;

    wait_for_turn(reader->reading, reader->number);
    hand_over(reader->reading, w->out);
}

/* A unit has been read: hands over it and those behind it that were waiting for it, if it is its turn. */
static void finish_unit(struct reading *r, uint64_t number)
{
    struct slot *slot = &r->slots[number % r->n_slots];

    pthread_mutex_lock(&r->turn_lock);
    slot->done = true;
    while (r->turn == number && slot->done) {
        pthread_mutex_unlock(&r->turn_lock);
        hand_over(r, &slot->out);
        if (slot->out.data.cap > 4 * r->slot_size)
            buf_free(&slot->out.data);
        pthread_mutex_lock(&r->turn_lock);
        slot->done = false;
        number = ++r->turn;
        slot = &r->slots[number % r->n_slots];
        pthread_cond_broadcast(&r->turn_changed);
    }
    pthread_mutex_unlock(&r->turn_lock);
}

/* Waits until no more than `behind` units are taken and not handed over. */
static void wait_for_room(struct reading *r, uint64_t behind)
{
    pthread_mutex_lock(&r->turn_lock);
    while (r->n_taken - r->turn > behind)
        pthread_cond_wait(&r->turn_changed, &r->turn_lock);
    pthread_mutex_unlock(&r->turn_lock);
}

/* -- plan */

static bool in_shard(const struct mlruns_selection *s, const char *id)
{
    return s->shards <= 1 || XXH3_64bits(id, strlen(id)) % s->shards == s->shard;
}

static bool is_reserved(const char *name)
{
    static const char *const reserved[] = {"tags", "datasets", "traces", "models"};

    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        if (strcmp(name, reserved[i]) == 0)
            return true;
    return false;
}

static void close_listing(struct reading *r)
{
    if (r->dir >= 0)
        close(r->dir);
    r->dir = -1;
    names_release(&r->names, (struct names_mark){0});
    r->next_name = 0;
}

static const char *experiment_prefix(const struct experiment *x)
{
    return x && x->deleted ? TRASH "/" : "";
}

/* Lists a folder of the plan, of an experiment x or of the store. 0 or an errno value; one that is not there
 * is empty, if the experiment is still where it was. */
static int open_listing(struct reading *r, const struct experiment *x, const char *path)
{
    int error;

    close_listing(r);
    r->dir = dir_open(r->m->root, path);
    if (r->dir < 0) {
        char meta[512];
        struct stat st;

        error = errno;
        snprintf(meta, sizeof meta, "%s%s/meta.yaml", experiment_prefix(x), x ? x->id : "");
        return error == ENOENT && (!x || fstatat(r->m->root, meta, &st, 0) == 0) ? 0 : error;
    }
    error = names_list(&r->names, r->dir, r->chunk);
    if (error)
        close_listing(r);
    return error;
}

/* Makes the unit for a folder. */
static void set_unit(struct reader *reader, enum unit_kind kind, struct experiment *x, const char *in,
                     const char *name, unsigned char type)
{
    snprintf(reader->name, sizeof reader->name, "%s", name);
    reader->unit = (struct unit){.kind = kind, .name = reader->name, .type = type};
    if (x) {
        reader->unit.experiment = x->id;
        reader->unit.deleted = x->deleted;
        reader->unit.bad = &x->bad;
    }
    buf_reset(&reader->unit_path);
    buf_addf(&reader->unit_path, "%s%s", experiment_prefix(x), x ? x->id : "");
    if (*in)
        buf_addf(&reader->unit_path, "%s%s", x ? "/" : "", in);
    if (*name)
        buf_addf(&reader->unit_path, "/%s", name);
}

/* The next unit of an open listing; false at its end. */
static bool next_name(struct reading *r, struct reader *reader, enum unit_kind kind, struct experiment *x,
                      const char *in)
{
    while (r->next_name < r->names.n) {
        size_t i = r->next_name++;
        const char *name = names_at(&r->names, i);
        unsigned char type = r->names.items[i].type;

        if ((kind == UNIT_RUN && is_reserved(name)) || !in_shard(r->selection, name) ||
            !entry_is_dir(r->dir, name, type))
            continue;
        /* something else's, as .git; MLflow's own names never begin so */
        if (name[0] == '.' && !has_file(r->dir, name, "meta.yaml"))
            continue;
        set_unit(reader, kind, x, in, name, type);
        return true;
    }
    close_listing(r);
    return false;
}

static bool next_experiment(struct reading *r, struct reader *reader)
{
    while (r->experiment < r->m->n) {
        struct experiment *x = &r->m->experiments[r->experiment++];

        if (!r->chosen[x - r->m->experiments])
            continue;
        set_unit(reader, UNIT_EXPERIMENT, x, "", "", x->type);
        return true;
    }
    r->experiment = 0;
    r->listing = LIST_RUNS;
    return false;
}

/* The next run, trace or logged model. r->dir tells whether a folder is open; a listing that failed becomes a
 * unit that says so, for the message to come in its turn. */
static bool next_content(struct reading *r, struct reader *reader)
{
    static const struct {
        enum unit_kind kind;
        const char *folder;
    } listings[] = {{UNIT_RUN, ""}, {UNIT_TRACE, "traces"}, {UNIT_LOGGED_MODEL, "models"}};

    for (; r->experiment < r->m->n; r->experiment++, r->listing = LIST_RUNS) {
        struct experiment *x = &r->m->experiments[r->experiment];

        if (!r->chosen[r->experiment] || x->bad)
            continue;
        for (; r->listing < LIST_END; r->listing++) {
            enum unit_kind kind = listings[r->listing].kind;
            const char *folder = listings[r->listing].folder;
            int error;

            if (r->dir < 0) {
                set_unit(reader, UNIT_UNREADABLE, x, folder, "", DT_DIR);
                error = open_listing(r, x, buf_str(&reader->unit_path));
                if (error) {
                    reader->unit.error = error;
                    r->listing++;
                    return true;
                }
            }
            if (next_name(r, reader, kind, x, folder))
                return true;
        }
    }
    return false;
}

static bool next_registered(struct reading *r, struct reader *reader)
{
    if (r->dir < 0) {
        int error;

        set_unit(reader, UNIT_UNREADABLE, NULL, MODELS, "", DT_DIR);
        error = open_listing(r, NULL, MODELS);
        if (error) {
            reader->unit.error = error;
            r->phase = PHASE_END;
            return true;
        }
    }
    if (next_name(r, reader, UNIT_REGISTERED_MODEL, NULL, MODELS))
        return true;
    r->phase = PHASE_END;
    return false;
}

static bool plan_next(struct reading *r, struct reader *reader)
{
    if (r->phase == PHASE_EXPERIMENTS) {
        if (r->selection->tracking && next_experiment(r, reader))
            return true;
        wait_for_room(r, 0); /* which experiments can be read is known when all have been */
        r->phase = r->selection->tracking ? PHASE_CONTENTS : PHASE_REGISTRY;
    }
    if (r->phase == PHASE_CONTENTS) {
        if (next_content(r, reader))
            return true;
        r->phase = PHASE_REGISTRY;
    }
    return r->phase == PHASE_REGISTRY && r->selection->registry && next_registered(r, reader);
}

static bool take_unit(struct reading *r, struct reader *reader)
{
    bool taken;

    pthread_mutex_lock(&r->plan_lock);
    wait_for_room(r, r->n_slots - 1);
    taken = plan_next(r, reader);
    if (taken) {
        pthread_mutex_lock(&r->turn_lock);
        reader->number = r->n_taken++;
        pthread_mutex_unlock(&r->turn_lock);
    }
    pthread_mutex_unlock(&r->plan_lock);
    return taken;
}

/* -- readers */

/* A link may lead back to a folder that holds it. */
static bool is_loop(struct walker *w, int fd, const struct unit *unit)
{
    struct stat here, above;

    if (unit->type != DT_LNK && unit->type != DT_UNKNOWN)
        return false;
    if (fstat(fd, &here) != 0 || fstat(w->root, &above) != 0)
        return false;
    if (here.st_dev == above.st_dev && here.st_ino == above.st_ino)
        return true;
    if (!unit->experiment || unit->kind == UNIT_EXPERIMENT)
        return false;
    buf_reset(&w->scratch);
    buf_addf(&w->scratch, "%s%s", unit->deleted ? TRASH "/" : "", unit->experiment);
    return fstatat(w->root, buf_str(&w->scratch), &above, 0) == 0 && here.st_dev == above.st_dev &&
           here.st_ino == above.st_ino;
}

static void read_unit(struct reader *reader)
{
    static void (*const readers[])(struct walker *, int, const struct unit *) = {
        [UNIT_EXPERIMENT] = read_experiment,
        [UNIT_RUN] = read_run,
        [UNIT_TRACE] = read_trace,
        [UNIT_LOGGED_MODEL] = read_logged_model,
        [UNIT_REGISTERED_MODEL] = read_registered_model,
    };
    const struct unit *unit = &reader->unit;
    struct walker *w = &reader->walker;
    int fd = -1;

    buf_reset(&w->path);
    buf_add(&w->path, buf_str(&reader->unit_path), reader->unit_path.len);
    names_release(&w->names, (struct names_mark){0});
    if (unit->kind == UNIT_UNREADABLE) {
        problem(w, 0, "%s", strerror(unit->error));
        return;
    }
    fd = dir_open(w->root, buf_str(&reader->unit_path));
    if (fd >= 0 && !is_loop(w, fd, unit)) {
        readers[unit->kind](w, fd, unit);
    } else {
        problem(w, 0, "%s", fd < 0 ? strerror(errno) : "a link that leads back to a folder it lies in");
        if (unit->kind == UNIT_EXPERIMENT)
            *unit->bad = true;
    }
    if (fd >= 0)
        close(fd);
}

static void *reader_run(void *arg)
{
    struct reader *reader = arg;
    struct reading *r = reader->reading;

    walker_init(&reader->walker, r->m, r->m->root, NULL);
    reader->walker.limit = r->slot_size;
    reader->walker.full = on_full;
    reader->walker.full_ctx = reader;
    while (take_unit(r, reader)) {
        reader->walker.out = &r->slots[reader->number % r->n_slots].out;
        read_unit(reader);
        finish_unit(r, reader->number);
    }
    walker_free(&reader->walker);
    buf_free(&reader->unit_path);
    return NULL;
}

static void run_readers(struct reading *r, unsigned jobs)
{
    struct reader *readers = xcalloc(jobs, sizeof *readers);
    pthread_t *threads = xcalloc(jobs, sizeof *threads);
    unsigned n = 0;

    for (unsigned i = 0; i < jobs; i++)
        readers[i].reading = r;
    if (jobs > 1)
        while (n < jobs && pthread_create(&threads[n], NULL, reader_run, &readers[n]) == 0)
            n++;
    if (n == 0) /* one job, or a machine that gives no thread */
        reader_run(&readers[0]);
    for (unsigned i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    free(readers);
    free(threads);
}

static bool choose_experiments(struct mlruns *m, const struct mlruns_selection *s, bool *chosen,
                               struct err *e)
{
    for (size_t i = 0; i < m->n; i++)
        chosen[i] = s->n_experiments == 0;
    for (size_t i = 0; i < s->n_experiments; i++) {
        bool found = false;

        for (size_t j = 0; j < m->n; j++) {
            if (strcmp(m->experiments[j].id, s->experiments[i]) == 0)
                chosen[j] = found = true;
        }
        if (!found) {
            err_set(e, m->path, "no experiment %s", s->experiments[i]);
            return err_hint(e, "mlruns-dump --list names those that are there");
        }
    }
    return true;
}

bool mlruns_read(struct mlruns *m, const struct mlruns_selection *selection, const struct mlruns_sink *sink,
                 struct err *e)
{
    unsigned jobs = selection->jobs < 1 ? 1 : selection->jobs > MAX_JOBS ? MAX_JOBS : selection->jobs;
    struct reading r = {
        .m = m,
        .selection = selection,
        .sink = sink,
        .plan_lock = PTHREAD_MUTEX_INITIALIZER,
        .turn_lock = PTHREAD_MUTEX_INITIALIZER,
        .turn_changed = PTHREAD_COND_INITIALIZER,
        .dir = -1,
    };
    bool good;

    r.chosen = xcalloc(m->n + 1, sizeof *r.chosen);
    good = choose_experiments(m, selection, r.chosen, e);
    if (good) {
        r.chunk = xmalloc(CHUNK_SIZE);
        r.n_slots = jobs == 1 ? 1 : jobs * SLOTS_PER_JOB > MAX_SLOTS ? MAX_SLOTS : jobs * SLOTS_PER_JOB;
        r.slot_size = HELD_BACK / r.n_slots < SLOT_SIZE ? HELD_BACK / r.n_slots : SLOT_SIZE;
        r.slots = xcalloc(r.n_slots, sizeof *r.slots);
        run_readers(&r, jobs);
        for (size_t i = 0; i < r.n_slots; i++) {
            buf_free(&r.slots[i].out.data);
            buf_free(&r.slots[i].out.notes);
        }
        free(r.slots);
        free(r.chunk);
        close_listing(&r);
        names_free(&r.names);
    }
    free(r.chosen);
    return good;
}
