#include "new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../common/buf.h"
#include "../common/io.h"

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

bool new_file_check_leftovers(const char *path, struct err *e)
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

/* Opens and locks the file aside. The one who had it may just have published or removed what was opened here.
 */
static bool take(struct new_file *f, struct err *e)
{
    for (;;) {
        f->fd = open(f->aside, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (f->fd < 0)
            return err_set(e, f->aside, "cannot be made: %s", strerror(errno));
        if (flock(f->fd, LOCK_EX | LOCK_NB) != 0) {
            close(f->fd);
            return err_set(e, f->path, "another ml-load is making this database");
        }
        struct stat mine, named;
        if (fstat(f->fd, &mine) == 0 && stat(f->aside, &named) == 0 && mine.st_ino == named.st_ino)
            return true;
        close(f->fd);
    }
}

bool new_file_begin(struct new_file *f, char *path, const char *dir, struct err *e)
{
    f->path = path;
    f->aside = xasprintf("%s/.%s.ml-load", dir, strrchr(path, '/') + 1);
    if (!take(f, e))
        return false;
    if (ftruncate(f->fd, 0) == 0)
        return true;
    err_set(e, f->aside, "%s", strerror(errno));
    new_file_remove(f);
    return false;
}

bool new_file_publish(struct new_file *f, struct err *e)
{
    if (fsync(f->fd) != 0)
        return err_set(e, f->aside, "cannot write: %s", strerror(errno));
    if (!new_file_check_leftovers(f->path, e))
        return false;
    if (io_publish(f->aside, f->path, e))
        return io_sync_dir_of(f->path, e);
    if (errno != EEXIST)
        return false;
    err_set(e, f->path, "a file of this name has appeared during the load; it was left as it is");
    return err_hint(e, "nothing was loaded: move it away and load again");
}

void new_file_remove(struct new_file *f)
{
    unlink(f->aside);
}
