/* A SQLite database that does not exist yet: built aside under a fixed, locked name, then given its own name
 * as a whole, without ever replacing a file. Functions that can fail return false with e filled. */
#ifndef FORMATS_NEW_FILE_H
#define FORMATS_NEW_FILE_H

#include <stdbool.h>

#include "../common/err.h"

struct new_file {
    char *path;  /* where it will be */
    char *aside; /* where it is built, malloc'ed */
    int fd;      /* of the file aside; holds the lock */
};

/* Where a path leads, symbolic links followed, though the file itself need not be there. Malloc'ed; NULL with
 * errno set. */
char *new_file_resolve(const char *path);
/* Makes sure that no journal of another database lies at the path: SQLite would roll it into the new one. */
bool new_file_check_leftovers(const char *path, struct err *e);
/* Makes the empty file aside, in dir. What a killed program has left under its name is taken over; one that a
 * running program holds is an error. path must live as long as f. */
bool new_file_begin(struct new_file *f, char *path, const char *dir, struct err *e);
/* Brings the file to the disk and to its name. The file must not be open in SQLite any more. */
bool new_file_publish(struct new_file *f, struct err *e);
/* Removes the file aside. */
void new_file_remove(struct new_file *f);

#endif
