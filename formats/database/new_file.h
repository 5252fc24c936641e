/* A new SQLite database: built under a fixed temporary name (.NAME.PROGRAM) that is locked, then renamed as a
 * whole without ever replacing a file. A program that fails removes only its own file. Functions that can
 * fail return false with e filled. */
#ifndef FORMATS_NEW_FILE_H
#define FORMATS_NEW_FILE_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/err.h"
#include "formats/database/db.h"

struct new_file {
    char *path;  /* final path */
    char *aside; /* temporary path, malloc'ed */
    int fd;      /* of the temporary file; holds the lock */
};

/* Resolves symbolic links in a path whose last component need not exist. Malloc'ed; NULL with errno set. */
char *new_file_resolve(const char *path);
/* Creates the empty temporary file in dir, with permissions of mode as limited by the umask. A file left
 * under this name by a killed program is removed; one locked by a running program is an error (ERR_BUSY), and
 * so is a journal of another database at the path, which SQLite would roll back into the new one. path is a
 * result of new_file_resolve and must live as long as f. */
bool new_file_begin(struct new_file *f, char *path, const char *dir, mode_t mode, struct err *e);
/* Opens the temporary file as a database, without a journal: nobody else uses it before it is complete. */
struct db *new_file_open(struct new_file *f, const char *display, struct err *e);
/* Syncs the file and gives it its name. It must be closed in SQLite. False: it does not have the name. Once
 * it has, nothing is an error any more: failing to sync the name is a warning. */
bool new_file_publish(struct new_file *f, struct err *e);
/* Removes the temporary file; neither a published file nor one that others have put there since. */
void new_file_remove(struct new_file *f);
/* Frees f's resources; the file stays. */
void new_file_free(struct new_file *f);

#endif
