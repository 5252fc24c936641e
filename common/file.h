/* Files and their places. */
#ifndef COMMON_FILE_H
#define COMMON_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/buf.h"
#include "common/err.h"

/* Reads a whole file (at most max bytes; more is an error) relative to dirfd, replacing b's content.
 * 0, or an errno value; EFBIG when it is larger. */
int file_read_whole(int dirfd, const char *path, size_t max, struct buf *b);

/* Gives file `from` the name `to` without ever replacing anything: RENAME_NOREPLACE, else link and unlink.
 * false with e filled; where `to` exists errno is EEXIST. */
bool file_publish(const char *from, const char *to, struct err *e);
/* Writes a file, of which put writes all: one that is there keeps its content unless all of the new one is on
 * the disk. What is not a regular file (a pipe, a terminal) is written to as it is. put returns false, with
 * errno set, on a failure. */
bool file_write(const char *path, bool (*put)(void *arg, FILE *f), void *arg, struct err *e);
/* Directory part of a path ("." when there is none), malloc'ed. */
char *file_dirname(const char *path);

/* Where temporary files best lie: the folder asked for (NULL: none), else that of the file given (NULL:
 * none), links followed, so that a small /tmp is no obstacle, else, or where that cannot be written, $TMPDIR
 * or /var/tmp. malloc'ed. */
char *file_temp_dir(const char *asked, const char *file);

/* A new file in a directory, without a name, so that nothing is left behind however the program ends: its
 * descriptor, for reading and writing. -1 with e filled. */
int file_nameless(const char *dir, struct err *e);

#endif
