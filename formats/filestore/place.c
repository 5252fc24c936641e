/* Finds the directory that is the file store, and classifies directories without meta.yaml. */
#include "formats/filestore/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/array.h"
#include "formats/filestore/dir.h"
#include "formats/filestore/internal.h"

#define NESTED "mlruns"

enum sign {
    SIGN_EXPERIMENT = 1 << 0, /* or a registered model: the directory is a store */
    SIGN_TRASH = 1 << 1,
    SIGN_NESTED = 1 << 2, /* a directory named mlruns */
    SIGN_DATA = 1 << 3,   /* data of an experiment or of a run */
    SIGN_ARTIFACTS = 1 << 4,
    SIGN_RUN_ARTIFACTS = 1 << 5,
    SIGN_ANYTHING = 1 << 6,
};

struct probe {
    struct names names;
    char *chunk;
    const char *entry;           /* entry of the directory being judged */
    unsigned enough;             /* any of these signs ends the search */
    unsigned signs;              /* signs found */
    struct buf failure;          /* "ENTRY NUL reason NUL" for the first unreadable entry */
    struct text_pairs *failures; /* entry and reason of each; NULL: the first is enough */
};

static void probe_init(struct probe *p, struct names_room *room)
{
    *p = (struct probe){.names.room = room, .chunk = xmalloc(CHUNK_SIZE)};
}

static void probe_free(struct probe *p)
{
    names_free(&p->names);
    free(p->chunk);
    buf_free(&p->failure);
}

/* Records an unreadable entry. ENOTDIR means that it is absent: its parent is not a directory. */
static void not_seen(struct probe *p, int error)
{
    if (error == ENOENT || error == ENOTDIR)
        return;
    if (p->failure.len == 0)
        buf_addf(&p->failure, "%s%c%s%c", p->entry, '\0', dir_error(error), '\0');
    if (p->failures)
        text_pairs_add(p->failures, p->entry, dir_error(error));
}

static bool is_number(const char *s)
{
    return *s && s[strspn(s, "0123456789")] == '\0';
}

static bool is_one_of(const char *name, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(name, *words) == 0)
            return true;
    return false;
}

/* Whether the directory `name` of dir has one of these. */
static bool has_below(struct probe *p, int dir, const char *name, const char *const *dirs)
{
    for (; *dirs; dirs++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", name, *dirs);
        struct stat st;
        int error = dir_stat(dir, path, &st);
        if (error)
            not_seen(p, error);
        else if (S_ISDIR(st.st_mode))
            return true;
    }
    return false;
}

/* Calls test with each non-hidden entry of the directory `name` of dir, until it returns true. */
static bool any_below(struct probe *p, int dir, const char *name,
                      bool (*test)(struct probe *p, int dir, const char *name))
{
    struct name_list list;
    int fd = dir_open(dir, name), error = fd < 0 ? errno : dir_list(&p->names, &list, fd, p->chunk);
    bool yes = false;
    if (error)
        not_seen(p, error);
    while (!error && !yes && names_next(&list))
        yes = list.name[0] != '.' && test(p, fd, list.name);
    if (!error)
        names_end(&list);
    if (fd >= 0)
        close(fd);
    return yes;
}

/* -- meta.yaml files */

enum meta_of {
    META_OF_NONE, /* there is no such file */
    META_OF_OTHER,
    META_OF_EXPERIMENT,
    META_OF_RUN,
    META_OF_LOGGED_MODEL,
    META_OF_REGISTERED_MODEL,
    META_UNREADABLE,
};

/* Whether a line begins with the key, as in files that MLflow writes. */
static bool has_key(const char *text, size_t len, const char *key)
{
    const char *end = text + len;
    size_t key_len = strlen(key);
    for (const char *line = text; (size_t)(end - line) > key_len;) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        if (memcmp(line, key, key_len) == 0 && line[key_len] == ':')
            return true;
        if (!newline)
            return false;
        line = newline + 1;
    }
    return false;
}

static enum meta_of meta_of(struct probe *p, int dir, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/meta.yaml", name);
    int fd = dir_open_file(dir, path);
    if (fd < 0) {
        not_seen(p, errno);
        return errno == ENOENT || errno == ENOTDIR ? META_OF_NONE : META_UNREADABLE;
    }
    ssize_t n = dir_read_at(fd, p->chunk, CHUNK_SIZE, 0);
    int error = errno;
    close(fd);
    if (n < 0 && error != EISDIR) {
        not_seen(p, error);
        return META_UNREADABLE;
    }
    if (n < 0)
        return META_OF_OTHER;
    /* runs and logged models have experiment_id, too */
    if (has_key(p->chunk, (size_t)n, "run_id") || has_key(p->chunk, (size_t)n, "run_uuid"))
        return META_OF_RUN;
    if (has_key(p->chunk, (size_t)n, "model_id"))
        return META_OF_LOGGED_MODEL;
    if (has_key(p->chunk, (size_t)n, "experiment_id"))
        return META_OF_EXPERIMENT;
    return has_key(p->chunk, (size_t)n, "creation_timestamp") ? META_OF_REGISTERED_MODEL : META_OF_OTHER;
}

/* -- the contents of subdirectories */

static const char *const run_signs[] = {"metrics", "params", "tags", NULL};

static bool is_there(struct probe *p, int dir, const char *name)
{
    (void)p, (void)dir, (void)name;
    return true;
}

static bool is_run(struct probe *p, int dir, const char *name)
{
    static const char *const others[] = {"artifacts", "tags", "datasets", "traces", "models", NULL};
    return !is_one_of(name, others) &&
           (meta_of(p, dir, name) != META_OF_NONE || has_below(p, dir, name, run_signs));
}

static bool is_dataset(struct probe *p, int dir, const char *name)
{
    return meta_of(p, dir, name) != META_OF_NONE;
}

static bool is_trace(struct probe *p, int dir, const char *name)
{
    static const char *const signs[] = {"request_metadata", "tags", "assessments", NULL};
    char path[512];
    snprintf(path, sizeof path, "%s/trace_info.yaml", name);
    struct stat st;
    int error = dir_stat(dir, path, &st);
    if (error)
        not_seen(p, error);
    return !error || has_below(p, dir, name, signs);
}

static bool is_version(struct probe *p, int dir, const char *name)
{
    return strncmp(name, "version-", strlen("version-")) == 0 && meta_of(p, dir, name) != META_OF_NONE;
}

static bool is_registered_model(struct probe *p, int dir, const char *name)
{
    return meta_of(p, dir, name) == META_OF_REGISTERED_MODEL || any_below(p, dir, name, is_version);
}

static bool is_logged_model(struct probe *p, int dir, const char *name)
{
    enum meta_of of = meta_of(p, dir, name);
    return of == META_OF_LOGGED_MODEL || (of == META_OF_NONE && has_below(p, dir, name, run_signs));
}

static bool is_deleted_experiment(struct probe *p, int dir, const char *name)
{
    return meta_of(p, dir, name) == META_OF_EXPERIMENT;
}

static bool has_artifacts(struct probe *p, int dir, const char *name)
{
    static const char *const artifacts[] = {"artifacts", NULL};
    return has_below(p, dir, name, artifacts);
}

/* -- signs of a directory */

/* Judges names that are reserved by MLflow; false for all others. */
static bool judge_reserved(struct probe *p, int dir, const char *name)
{
    static const struct {
        const char *name;
        bool (*is_data)(struct probe *p, int dir, const char *name); /* NULL: its existence suffices */
        enum sign sign;
    } reserved[] = {
        {"artifacts", NULL, SIGN_RUN_ARTIFACTS},
        {"metrics", is_there, SIGN_DATA},
        {"params", is_there, SIGN_DATA},
        {"tags", is_there, SIGN_DATA},
        {"datasets", is_dataset, SIGN_DATA},
        {"traces", is_trace, SIGN_DATA},
        {MODELS, is_registered_model, SIGN_EXPERIMENT},
        {MODELS, is_logged_model, SIGN_DATA},
        {NESTED, NULL, SIGN_NESTED},
    };
    bool found = false;

    for (size_t i = 0; i < ARRAY_LENGTH(reserved); i++) {
        if (strcmp(name, reserved[i].name) != 0)
            continue;
        if (!reserved[i].is_data ||
            ((p->enough & reserved[i].sign) && any_below(p, dir, name, reserved[i].is_data)))
            p->signs |= reserved[i].sign;
        found = true;
    }
    return found;
}

/* A directory that may be an experiment (of a store) or a run (of an experiment). MLflow numbers
 * experiments. */
static void judge_other(struct probe *p, int dir, const char *name)
{
    enum meta_of of = meta_of(p, dir, name);
    if (of == META_OF_RUN)
        p->signs |= SIGN_DATA;
    else if (of == META_OF_EXPERIMENT ||
             (is_number(name) && (of != META_OF_NONE || any_below(p, dir, name, is_run))))
        p->signs |= SIGN_EXPERIMENT;
    else if (!(p->enough & SIGN_DATA))
        return; /* the only question is whether it is a store */
    else if (of == META_OF_NONE && has_below(p, dir, name, run_signs))
        p->signs |= SIGN_DATA;
    else if (has_artifacts(p, dir, name) || any_below(p, dir, name, has_artifacts))
        p->signs |= SIGN_ARTIFACTS;
}

static void judge_entry(struct probe *p, int dir, const char *name, unsigned char type)
{
    p->entry = name;
    if (name[0] == '.' && strcmp(name, TRASH) != 0)
        return;
    p->signs |= SIGN_ANYTHING;
    bool is_dir;
    int error = dir_entry_is_dir(dir, name, type, &is_dir);
    if (error) {
        not_seen(p, error);
        if (is_number(name)) /* the reader reports what is wrong with it */
            p->signs |= SIGN_EXPERIMENT;
    } else if (is_dir && strcmp(name, TRASH) == 0) {
        p->signs |= SIGN_TRASH;
    } else if (is_dir && !judge_reserved(p, dir, name)) {
        judge_other(p, dir, name);
    }
}

/* Collects the signs of a directory, until one of those in `enough` is found. Returns 0 or an error. */
static int judge(struct probe *p, int dir, unsigned enough)
{
    struct name_list list;
    int error = lseek(dir, 0, SEEK_SET) < 0 ? errno : dir_list(&p->names, &list, dir, p->chunk);
    p->enough = enough;
    p->signs = 0;
    buf_reset(&p->failure);
    while (!error && !(p->signs & enough) && names_next(&list))
        judge_entry(p, dir, list.name, list.type);
    p->entry = ".";
    if (!error)
        names_end(&list);
    if (!error && lseek(dir, 0, SEEK_SET) < 0)
        error = errno;
    return error;
}

bool place_judge(int dir, struct names_room *room, enum holds *holds, struct buf *failed)
{
    struct probe p;
    probe_init(&p, room);
    int error = judge(&p, dir, SIGN_DATA);
    bool known = !error && (p.failure.len == 0 || (p.signs & (SIGN_DATA | SIGN_EXPERIMENT)));
    if (error) {
        buf_addf(failed, "%s", dir_error(error));
    } else if (!known) {
        const char *entry = buf_str(&p.failure);
        buf_addf(failed, "%s: %s", entry, entry + strlen(entry) + 1);
    }
    *holds = p.signs & SIGN_DATA                                      ? HOLDS_DATA
             : p.signs & (SIGN_EXPERIMENT | SIGN_TRASH | SIGN_NESTED) ? HOLDS_STORE
             : p.signs & SIGN_RUN_ARTIFACTS                           ? HOLDS_RUN_ARTIFACTS
             : p.signs & SIGN_ARTIFACTS                               ? HOLDS_ARTIFACTS
             : p.signs & SIGN_ANYTHING                                ? HOLDS_OTHER
                                                                      : HOLDS_NOTHING;
    probe_free(&p);
    return known;
}

bool mlruns_is_store(int dir, struct names_room *room)
{
    struct probe p;
    probe_init(&p, room);
    bool yes = judge(&p, dir, SIGN_EXPERIMENT) == 0 &&
               (p.signs & SIGN_EXPERIMENT || (p.signs & (SIGN_TRASH | SIGN_NESTED)) == SIGN_TRASH);
    probe_free(&p);
    return yes;
}

/* -- where the store is */

static char *path_in(const char *path, const char *name)
{
    return xasprintf("%s%s%s", path, path[strlen(path) - 1] == '/' ? "" : "/", name);
}

/* The parent directory, by the path alone; malloc'ed. */
static char *path_above(const char *path)
{
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    if (len == 1 && path[0] == '.')
        return xstrdup("..");
    const char *slash;
    for (slash = path + len; slash > path && slash[-1] != '/'; slash--)
        ;
    if (len - (size_t)(slash - path) <= 2 && strncmp(slash, "..", len - (size_t)(slash - path)) == 0)
        return xasprintf("%.*s/..", (int)len, path);
    if (slash == path)
        return xstrdup(".");
    while (slash > path + 1 && slash[-1] == '/')
        slash--;
    return xstrndup(path, (size_t)(slash - path));
}

static bool is_called(const char *path, const char *name)
{
    char *real = xrealpath(path);
    const char *slash = real ? strrchr(real, '/') : NULL;
    bool yes = slash && strcmp(slash + 1, name) == 0;
    free(real);
    return yes;
}

void place_command(struct buf *b, const char *path)
{
    buf_addf(b, "mlruns-dump %s", path[0] == '-' ? "./" : "");
    buf_add_shell_word(b, path);
}

struct warn_of { /* failures become warnings */
    const char *path;
    struct text_pairs *warnings;
};

static void warn_of_failure(void *ctx, const char *entry, const char *reason)
{
    const struct warn_of *to = ctx;
    char *path = path_in(to->path, entry);
    char *text = xasprintf("%s: cannot determine whether it is an experiment; " NESTED " is read", reason);
    text_pairs_add(to->warnings, path, text);
    free(path);
    free(text);
}

/* Fills the hint with the likely store or database. */
static bool hint_at_store(struct probe *p, int dir, const char *path, struct err *e)
{
    enum meta_of of = meta_of(p, dir, ".");
    struct buf command = {0};
    char *above = path_above(path), *top = path_above(above);
    struct stat st;
    if (of == META_OF_RUN) {
        place_command(&command, top);
        err_hint(e, "this is a run in a file store: %s", buf_str(&command));
    } else if (of == META_OF_EXPERIMENT) {
        place_command(&command, is_called(above, TRASH) ? top : above);
        err_hint(e, "this is an experiment in a file store: %s", buf_str(&command));
    } else if (dir_stat(dir, "mlflow.db", &st) == 0 && S_ISREG(st.st_mode)) {
        char *db = path_in(path, "mlflow.db"), *url = xasprintf("sqlite:///%s", db);
        buf_add_shell_word(&command, url);
        err_hint(e, "to dump the database in it: mldb-dump %s", buf_str(&command));
        free(db);
        free(url);
    } else {
        err_hint(e, "pass the directory that contains the experiment directories");
    }
    free(above);
    free(top);
    buf_free(&command);
    return false;
}

static bool no_store(struct probe *p, int dir, const char *path, struct err *e)
{
    char *nested = path_in(path, NESTED);
    const char *failed = buf_str(&p->failure);
    if (*failed) {
        char *entry = path_in(path, failed);
        err_set(e, entry, "%s: cannot determine whether %s is a file store", failed + strlen(failed) + 1,
                path);
        free(entry);
    } else {
        err_set(e, path,
                "not a file store: no experiment (a directory whose meta.yaml has experiment_id, or a "
                "numbered directory with meta.yaml or runs), no registered model in " MODELS ", no " TRASH
                ", and no %s",
                nested);
    }
    free(nested);
    return hint_at_store(p, dir, path, e);
}

/* Warns, when the nested mlruns is chosen, of entries of the outer directory that may be experiments. */
static void take_nested(struct probe *p, int dir, const char *path, const char *nested,
                        struct text_pairs *warnings)
{
    text_pairs_each(p->failures, warn_of_failure, &(struct warn_of){path, warnings});
    p->entry = TRASH;
    if (p->signs & SIGN_TRASH && any_below(p, dir, TRASH, is_deleted_experiment)) {
        char *trash = path_in(path, TRASH);
        char *text = xasprintf(
            "these deleted experiments are not read: the store is %s, unless that is moved away", nested);

        text_pairs_add(warnings, trash, text);
        free(text);
        free(trash);
    }
}

/* Returns the descriptor of mlruns in a directory without experiments, or of the directory if it is an empty
 * store; -1 with e filled: neither. */
static int find_other(struct probe *p, int dir, const char *path, const char *nested, bool *is_nested,
                      struct err *e)
{
    int fd = dir_open(dir, NESTED), error = fd < 0 ? errno : 0;
    *is_nested = fd >= 0;
    if (fd >= 0)
        return fd;
    if (error != ENOENT && error != ENOTDIR)
        err_set(e, nested, "%s", dir_error(error));
    else if (p->signs & SIGN_TRASH || is_called(path, NESTED))
        return dir;
    else
        no_store(p, dir, path, e);
    return -1;
}

int place_find(const char *path, struct names_room *room, char **found, struct text_pairs *warnings,
               struct err *e)
{
    int dir = dir_open(AT_FDCWD, path), fd = -1;
    char *nested = path_in(path, NESTED);
    bool is_nested = false;
    struct probe p;
    probe_init(&p, room);
    struct text_pairs failures;
    text_pairs_init(&failures, warnings->spill);
    p.failures = &failures;
    int error;
    if (dir < 0) {
        err_set(e, path, "%s", dir_error(errno));
    } else if ((error = judge(&p, dir, SIGN_EXPERIMENT))) {
        err_set(e, path, "%s", dir_error(error));
    } else if (p.signs & SIGN_EXPERIMENT) {
        fd = dir;
    } else {
        fd = find_other(&p, dir, path, nested, &is_nested, e);
        if (is_nested)
            take_nested(&p, dir, path, nested, warnings);
    }
    *found = is_nested ? xstrdup(nested) : xstrdup(path);
    free(nested);
    probe_free(&p);
    if (dir >= 0 && dir != fd)
        close(dir);
    return fd;
}
