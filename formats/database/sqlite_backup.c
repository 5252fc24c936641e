/* Copies a SQLite database into a new file. */
#include "formats/database/sqlite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/file.h"
#include "formats/database/new_file.h"

/* Copies all pages of a database into the main database of another connection. */
static bool copy_pages(struct sqlite_db *from, struct sqlite_db *to, struct err *e)
{
    sqlite3_backup *b = sqlite3_backup_init(to->handle, "main", from->handle, "main");
    if (b) {
        int code;
        do
            code = sqlite3_backup_step(b, 4096);
        while (code == SQLITE_OK && !err_interrupted());
        sqlite3_backup_finish(b);
        if (err_interrupted())
            return err_set_interrupted(e);
    }
    return sqlite3_errcode(to->handle) == SQLITE_OK || sqlite_failed(&to->base, to->base.display, e);
}

static bool copy_into(struct db *db, struct new_file *f, const char *file, struct err *e)
{
    struct db *copy = new_file_open(f, file, e);
    bool ok = copy && copy_pages((struct sqlite_db *)db, (struct sqlite_db *)copy, e);
    db_close(copy);
    return ok;
}

static void remove_copy(void *f)
{
    new_file_remove(f);
}

/* The copy's group may differ from the database's. */
static bool shut_out_others(const struct new_file *f, const struct stat *source, struct err *e)
{
    struct stat copy;
    if (fstat(f->fd, &copy) == 0 &&
        (copy.st_gid == source->st_gid || fchmod(f->fd, copy.st_mode & 0707) == 0))
        return true;
    return err_set(e, f->aside, "%s", strerror(errno));
}

/* path: the resolved path of the file to create. */
static bool back_up(struct db *db, char *path, const char *file, struct err *e)
{
    const char *from = sqlite3_db_filename(sqlite_handle(db), "main");
    struct stat source;
    struct new_file f;
    if (stat(from, &source) != 0)
        return err_set(e, from, "%s", strerror(errno));
    char *dir = file_dirname(path);
    bool ok = new_file_begin(&f, path, dir, source.st_mode & 0777, e);
    free(dir);
    if (!ok)
        return false;
    err_cleanup_push(remove_copy, &f);
    ok = shut_out_others(&f, &source, e) && copy_into(db, &f, file, e) && new_file_publish(&f, e);
    err_cleanup_pop();
    new_file_remove(&f);
    new_file_free(&f);
    return ok;
}

bool sqlite_backup(struct db *db, const char *file, struct err *e)
{
    if (access(file, F_OK) == 0) {
        err_set(e, file, "the file exists");
        return err_hint(e, "a backup never replaces a file; choose another name or remove this file");
    }
    char *path = new_file_resolve(file);
    if (!path)
        return err_set(e, file, "cannot create: %s", strerror(errno));
    bool ok = back_up(db, path, file, e);
    free(path);
    return ok;
}
