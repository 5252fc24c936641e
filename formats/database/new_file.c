/* A new SQLite file: built under a temporary name, locked, then published. */
#include "formats/database/new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/array.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/io.h"

char *new_file_resolve(const char *path)
{
    char *real = xrealpath(path);
    if (real || errno != ENOENT)
        return real;
    char link[PATH_MAX];
    ssize_t n = readlink(path, link, sizeof link - 1);
    char *dir = file_dirname(path), *result = NULL;
    if (n >= 0) {
        link[n] = '\0';
        char *next = link[0] == '/' ? xstrdup(link) : xasprintf("%s/%s", dir, link);
        result = new_file_resolve(next);
        free(next);
    } else if ((real = xrealpath(dir))) {
        const char *slash = strrchr(path, '/');
        result = xasprintf("%s/%s", strcmp(real, "/") == 0 ? "" : real, slash ? slash + 1 : path);
        free(real);
    }
    free(dir);
    return result;
}

/* Fails if a journal of another database exists at the path. */
static bool check_leftovers(const char *path, struct err *e)
{
    static const char *const suffixes[] = {"-journal", "-wal", "-shm"};
    bool ok = true;
    for (size_t i = 0; ok && i < ARRAY_LENGTH(suffixes); i++) {
        char *name = xasprintf("%s%s", path, suffixes[i]);
        struct stat st;
        if (lstat(name, &st) == 0) {
            err_set(e, name, "left over from a database %s that is no longer there", path);
            ok = err_hint(e, "move it away, or next to its database");
        }
        free(name);
    }
    return ok;
}

/* Whether the temporary name still refers to the open file: 1, 0, or -1 with errno set. */
static int is_aside(const struct new_file *f)
{
    struct stat mine, named;
    if (fstat(f->fd, &mine) != 0)
        return -1;
    if (lstat(f->aside, &named) != 0)
        return errno == ENOENT ? 0 : -1;
    return mine.st_dev == named.st_dev && mine.st_ino == named.st_ino;
}

static bool cannot_be_made(const struct new_file *f, struct err *e)
{
    return err_set(e, f->aside, "cannot create: %s", strerror(errno));
}

enum taken { TAKEN, TAKE_AGAIN, TAKE_FAILED };

/* Creates or opens the temporary file and locks it; *made says which. */
static enum taken open_locked(struct new_file *f, mode_t mode, bool *made, struct err *e)
{
    enum { FLAGS = O_RDWR | O_CLOEXEC | O_NOFOLLOW };
    f->fd = open(f->aside, FLAGS | O_CREAT | O_EXCL, mode);
    *made = f->fd >= 0;
    if (!*made && errno == EEXIST && (f->fd = open(f->aside, FLAGS)) < 0 && errno == ENOENT)
        return TAKE_AGAIN;
    if (f->fd >= 0 && flock(f->fd, LOCK_EX | LOCK_NB) == 0)
        return TAKEN;
    if (f->fd >= 0 && errno == EWOULDBLOCK) {
        err_set(e, f->path, "another %s is creating this database", err_program());
        err_classify(e, ERR_BUSY);
    } else
        cannot_be_made(f, e);
    return TAKE_FAILED;
}

/* Checks that a new file still has its name. If it has no links, another program removed it as a leftover; if
 * it has, the name refers to something else. */
static enum taken check_made(const struct new_file *f, struct err *e)
{
    struct stat st;
    int named = is_aside(f);
    if (named == 1)
        return TAKEN;
    if (named == 0 && fstat(f->fd, &st) == 0 && st.st_nlink == 0)
        return TAKE_AGAIN;
    if (named < 0)
        cannot_be_made(f, e);
    else
        err_set(e, f->aside,
                "cannot create: the file system reports different inodes for an open file and its name");
    unlink(f->aside);
    return TAKE_FAILED;
}

/* Removes an existing file, to be replaced by our own. */
static enum taken clear_found(const struct new_file *f, struct err *e)
{
    int named = is_aside(f);
    if (named == 0 || (named == 1 && unlink(f->aside) == 0))
        return TAKE_AGAIN;
    cannot_be_made(f, e);
    return TAKE_FAILED;
}

static enum taken try_to_take(struct new_file *f, mode_t mode, struct err *e)
{
    bool made;
    enum taken taken = open_locked(f, mode, &made, e);
    if (taken == TAKEN)
        taken = made ? check_made(f, e) : clear_found(f, e);
    if (taken != TAKEN && f->fd >= 0)
        close(f->fd);
    return taken;
}

/* Creates and locks the temporary file. An existing one is opened to see whether its program still runs,
 * which may just have published or removed it; one that no program has locked is removed. Retries a limited
 * number of times if other programs interfere. */
static bool take(struct new_file *f, mode_t mode, struct err *e)
{
    enum { TRIES = 1000 };
    for (int i = 0; i < TRIES; i++) {
        if (err_interrupted())
            return err_set_interrupted(e);
        enum taken taken = try_to_take(f, mode, e);
        if (taken != TAKE_AGAIN)
            return taken == TAKEN;
    }
    return err_set(e, f->aside, "cannot create: other programs keep replacing it");
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

/* Syncs the new name to disk: by its directory or, if that cannot be opened or synced, with the whole file
 * system. The file has its name by now, so failing here is only a warning. */
static void sync_name(const struct new_file *f, int dir)
{
    if (dir >= 0 && fsync(dir) == 0)
        return;
    if (syncfs(f->fd) == 0)
        return;
    err_warn(f->path,
             "the file is complete, but its directory cannot be synced (%s): if the machine crashes before "
             "the system writes it, the file may be lost",
             strerror(errno));
}

bool new_file_publish(struct new_file *f, struct err *e)
{
    if (fsync(f->fd) != 0)
        return err_set(e, f->aside, "cannot write: %s", strerror(errno));
    if (!check_leftovers(f->path, e))
        return false;
    char *name = file_dirname(f->path);
    int dir = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(name);
    bool ok = file_publish(f->aside, f->path, e);
    if (ok) {
        sync_name(f, dir);
    } else if (errno == EEXIST) {
        err_set(e, f->path, "a file of this name was created meanwhile; it was not replaced");
        err_hint(e, "move it away and try again");
    }
    if (dir >= 0)
        close(dir);
    return ok;
}

/* The lock is held, so the name cannot change hands in between. */
void new_file_remove(struct new_file *f)
{
    if (is_aside(f) == 1)
        unlink(f->aside);
}

void new_file_free(struct new_file *f)
{
    close(f->fd);
    free(f->aside);
}
