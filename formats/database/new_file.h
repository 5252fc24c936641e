/* A SQLite database that does not exist yet: built aside under a fixed, locked name (.NAME.PROGRAM), then
 * given its own name as a whole, without ever replacing a file. A program that fails removes its own file
 * alone. Functions that can fail return false with e filled. */
#ifndef FORMATS_NEW_FILE_H
#define FORMATS_NEW_FILE_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/err.h"
#include "formats/database/db.h"

struct new_file {
    char *path;  /* where it will be */
    char *aside; /* where it is built, malloc'ed */
    int fd;      /* of the file aside; holds the lock */
};

/* Where a path leads, symbolic links followed, though the file itself need not be there. Malloc'ed; NULL with
 * errno set. */
char *new_file_resolve(const char *path);
/* Makes the empty file aside, in dir, with the permissions of mode that the umask leaves. What a killed
 * program has left under its name is removed; one that a running program holds is an error (ERR_BUSY), and so is a
 * journal of another database at the path: SQLite would roll it into the new one. path, which
 * new_file_resolve has given, must live as long as f. */
bool new_file_begin(struct new_file *f, char *path, const char *dir, mode_t mode, struct err *e);
/* Opens the file aside as a database. It has no journal: it is nobody's before it is whole. */
struct db *new_file_open(struct new_file *f, const char *display, struct err *e);
/* Brings the file to the disk and to its name. The file must not be open in SQLite any more. False: the name
 * is not there. Once it is, nothing is an error: a name that cannot be brought to the disk is a warning. */
bool new_file_publish(struct new_file *f, struct err *e);
/* Removes the file aside; what was published stays, and so does what others have put there since. */
void new_file_remove(struct new_file *f);
/* Lets go of what was begun. */
void new_file_free(struct new_file *f);

#endif
