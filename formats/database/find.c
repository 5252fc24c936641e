/* Finds file stores and MLflow's SQLite files below a directory. */
#include "formats/database/find.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/array.h"
#include "common/buf.h"
#include "common/file.h"
#include "formats/database/db.h"
#include "formats/filestore/dir.h"
#include "formats/filestore/store.h"

struct place {
    dev_t device;
    ino_t inode;
};

struct search {
    find_source_fn *found;
    find_problem_fn *problem;
    void *arg;
    struct place *places; /* of the stores found so far */
    size_t n, cap;
    struct names names;
    char *chunk;
};

static bool is_new_place(struct search *s, int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return true;
    for (size_t i = 0; i < s->n; i++)
        if (s->places[i].device == st.st_dev && s->places[i].inode == st.st_ino)
            return false;
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 64;
        s->places = xrealloc(s->places, s->cap * sizeof *s->places);
    }
    s->places[s->n++] = (struct place){.device = st.st_dev, .inode = st.st_ino};
    return true;
}

static bool has_ending(const char *name)
{
    static const char *const endings[] = {".db", ".db3", ".sqlite", ".sqlite3"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < ARRAY_LENGTH(endings); i++)
        if (strcmp(dot, endings[i]) == 0)
            return true;
    return false;
}

char *find_sqlite_url(const char *path)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-~ ";
    struct buf url = {0};
    buf_adds(&url, "sqlite:///");
    for (; *path; path++) {
        if (strchr(plain, *path))
            buf_addc(&url, *path);
        else
            buf_addf(&url, "%%%02X", (unsigned char)*path);
    }
    return url.data;
}

/* Whether a file is a SQLite database. -1: it cannot be read. */
static int is_sqlite(int dir, const char *name)
{
    static const char magic[16] = "SQLite format 3";
    char head[sizeof magic];
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -1;
    ssize_t n = pread(fd, head, sizeof head, 0);
    int saved = errno;
    close(fd);
    errno = saved;
    return n < 0 ? -1 : n == sizeof head && memcmp(head, magic, sizeof head) == 0;
}

static bool has_mlflow_tables(const char *url, struct err *e, bool *out)
{
    struct db_url u;
    bool runs = false, metrics = false;
    if (!db_url_parse(url, &u, e))
        return false;
    struct db *db = db_open(&u, DB_READ, e);
    bool good =
        db && db_table_exists(db, "experiments", &runs, e) && db_table_exists(db, "metrics", &metrics, e);
    *out = runs && metrics;
    db_close(db);
    db_url_free(&u);
    return good;
}

static void look_at_file(struct search *s, int dir, const char *name, const char *path)
{
    struct err e;
    bool mlflow = false;
    int sqlite = has_ending(name) ? is_sqlite(dir, name) : 0;
    if (sqlite < 0)
        s->problem(s->arg, path, strerror(errno));
    if (sqlite <= 0)
        return;
    char *url = find_sqlite_url(path);
    if (!has_mlflow_tables(url, &e, &mlflow))
        s->problem(s->arg, path, e.what);
    else if (mlflow)
        s->found(s->arg, url, true);
    free(url);
}

static void look_into(struct search *s, int dir, const char *path);

/* Examines a directory or a link to one. */
static void look_at_dir(struct search *s, int fd, const char *path, bool is_link)
{
    if (mlruns_is_store(fd, s->names.room)) {
        if (is_new_place(s, fd))
            s->found(s->arg, path, false);
        char *nested = xasprintf("%s/mlruns", path);
        int inner = openat(fd, "mlruns", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (inner >= 0)
            look_at_dir(s, inner, nested, true);
        else if (errno != ENOENT && errno != ENOTDIR)
            s->problem(s->arg, nested, strerror(errno));
        free(nested);
    } else if (!is_link) {
        look_into(s, fd, path);
    }
    close(fd);
}

static void look_at(struct search *s, int dir, const char *name, const char *path)
{
    struct stat st;
    bool is_link = false;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode)) {
        is_link = true;
        if (fstatat(dir, name, &st, 0) != 0 && (errno == ENOENT || errno == ELOOP))
            return; /* dangling */
    }
    if (fstatat(dir, name, &st, 0) != 0) {
        if (errno != ENOENT)
            s->problem(s->arg, path, strerror(errno));
    } else if (S_ISREG(st.st_mode)) {
        look_at_file(s, dir, name, path);
    } else if (S_ISDIR(st.st_mode)) {
        int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0)
            look_at_dir(s, fd, path, is_link);
        else if (errno != ENOENT)
            s->problem(s->arg, path, strerror(errno));
    }
}

static void look_into(struct search *s, int dir, const char *path)
{
    struct name_list list;
    size_t len = strlen(path);
    int error = dir_list(&s->names, &list, dir, s->chunk);
    if (error) {
        s->problem(s->arg, path, dir_error(error));
        return;
    }
    while (names_next(&list)) {
        if (strcmp(list.name, ".git") == 0)
            continue;
        char *below = xasprintf("%s%s%s", path, len && path[len - 1] == '/' ? "" : "/", list.name);
        look_at(s, dir, list.name, below);
        free(below);
    }
    names_end(&list);
}

bool find_sources(const char *dir, const char *tmpdir, find_source_fn *found, find_problem_fn *problem,
                  void *arg, struct err *e)
{
    struct search s = {.found = found, .problem = problem, .arg = arg};
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set(e, dir, "%s", strerror(errno));
    char *temporary = file_temp_dir(tmpdir, NULL);
    s.names.room = names_room_new(temporary, NAMES_ROOM);
    s.chunk = xmalloc(CHUNK_SIZE);
    look_at_dir(&s, fd, dir, false);
    free(s.places);
    free(s.chunk);
    names_room_free(s.names.room);
    names_free(&s.names);
    free(temporary);
    return true;
}
