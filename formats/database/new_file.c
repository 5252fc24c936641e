#include "formats/database/new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/io.h"

char *new_file_resolve(const char *path)
{
    char *real = realpath(path, NULL);
    if (real || errno != ENOENT)
        return real;
    char link[PATH_MAX];
    ssize_t n = readlink(path, link, sizeof link - 1);
    char *dir = io_dirname(path), *result = NULL;
    if (n >= 0) {
        link[n] = '\0';
        char *next = link[0] == '/' ? xstrdup(link) : xasprintf("%s/%s", dir, link);
        result = new_file_resolve(next);
        free(next);
    } else if ((real = realpath(dir, NULL))) {
        const char *slash = strrchr(path, '/');
        result = xasprintf("%s/%s", strcmp(real, "/") == 0 ? "" : real, slash ? slash + 1 : path);
        free(real);
    }
    free(dir);
    return result;
}

/* No journal of another database may lie at the path. */
static bool check_leftovers(const char *path, struct err *e)
{
    static const char *const suffixes[] = {"-journal", "-wal", "-shm"};
    bool ok = true;
    for (size_t i = 0; ok && i < sizeof suffixes / sizeof *suffixes; i++) {
        char *name = xasprintf("%s%s", path, suffixes[i]);
        struct stat st;
        if (lstat(name, &st) == 0) {
            err_set(e, name, "it is left from a database %s that is no longer there", path);
            ok = err_hint(e, "move it away, or to where its database is");
        }
        free(name);
    }
    return ok;
}

/* Whether the name of the file aside is still that of the file that is open here. */
static bool is_aside(const struct new_file *f)
{
    struct stat mine, named;
    return fstat(f->fd, &mine) == 0 && lstat(f->aside, &named) == 0 && mine.st_dev == named.st_dev &&
           mine.st_ino == named.st_ino;
}

static bool cannot_be_made(const struct new_file *f, struct err *e)
{
    return err_set(e, f->aside, "cannot be made: %s", strerror(errno));
}

/* Makes and locks the file aside. One that is there already is opened to learn whether its program still
 * runs, which may just have published or removed it; what no program holds goes. */
static bool take(struct new_file *f, mode_t mode, struct err *e)
{
    enum { FLAGS = O_RDWR | O_CLOEXEC | O_NOFOLLOW };
    for (;;) {
        f->fd = open(f->aside, FLAGS | O_CREAT | O_EXCL, mode);
        bool made = f->fd >= 0;
        if (!made && errno == EEXIST && (f->fd = open(f->aside, FLAGS)) < 0 && errno == ENOENT)
            continue;
        if (f->fd < 0)
            return cannot_be_made(f, e);
        if (flock(f->fd, LOCK_EX | LOCK_NB) != 0) {
            close(f->fd);
            return err_set(e, f->path, "another %s is making this database", err_program());
        }
        bool named = is_aside(f);
        if (made && named)
            return true;
        if (named && unlink(f->aside) != 0) {
            cannot_be_made(f, e);
            close(f->fd);
            return false;
        }
        close(f->fd);
    }
}

bool new_file_begin(struct new_file *f, char *path, const char *dir, mode_t mode, struct err *e)
{
    if (!check_leftovers(path, e))
        return false;
    f->path = path;
    f->aside = xasprintf("%s/.%s.%s", dir, strrchr(path, '/') + 1, err_program());
    if (take(f, mode, e))
        return true;
    free(f->aside);
    return false;
}

struct db *new_file_open(struct new_file *f, const char *display, struct err *e)
{
    struct db_url url = {.dialect = DIALECT_SQLITE, .path = f->aside, .display = (char *)display};
    struct db *db = db_open(&url, DB_WRITE, e);
    if (db &&
        db_exec(db, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE",
                e))
        return db;
    db_close(db);
    return NULL;
}

bool new_file_publish(struct new_file *f, struct err *e)
{
    if (fsync(f->fd) != 0)
        return err_set(e, f->aside, "cannot write: %s", strerror(errno));
    if (!check_leftovers(f->path, e))
        return false;
    if (io_publish(f->aside, f->path, e))
        return io_sync_dir_of(f->path, e);
    if (errno != EEXIST)
        return false;
    err_set(e, f->path, "a file of this name has appeared meanwhile; it was left as it is");
    return err_hint(e, "move it away and try again");
}

/* The lock is held, so the name cannot become another's in between. */
void new_file_remove(struct new_file *f)
{
    if (is_aside(f))
        unlink(f->aside);
}

void new_file_free(struct new_file *f)
{
    close(f->fd);
    free(f->aside);
}
