/* Files: reading and writing whole ones, publishing, temporary files. */
#ifndef COMMON_FILE_H
#define COMMON_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/buf.h"
#include "common/err.h"

/* Reads a whole file of at most max bytes, relative to dirfd, replacing b's contents. Returns 0 or an errno
 * value; EFBIG if it is larger. */
int file_read_whole(int dirfd, const char *path, size_t max, struct buf *b);

/* Renames file `from` to `to` without ever replacing a file: RENAME_NOREPLACE, else link and unlink. false
 * with e filled; errno is EEXIST if `to` exists. */
bool file_publish(const char *from, const char *to, struct err *e);
/* Writes a file, whose contents put() writes. An existing file is replaced only when the new one is
 * completely on disk. Anything but a regular file (a pipe, a terminal) is written to directly. put() returns
 * false, with errno set, on failure. */
bool file_write(const char *path, bool (*put)(void *arg, FILE *f), void *arg, struct err *e);
/* The directory part of a path ("." if there is none), malloc'ed. */
char *file_dirname(const char *path);

/* The directory for temporary files: the one asked for (NULL: none), else that of the given file (NULL: none)
 * with links resolved, since /tmp may be small, else, or if that is not writable, $TMPDIR or /var/tmp.
 * malloc'ed. */
char *file_temp_dir(const char *asked, const char *file);

/* Creates an unnamed file in a directory, so that nothing is left over however the program ends. Returns its
 * descriptor, for reading and writing, or -1 with e filled. */
int file_nameless(const char *dir, struct err *e);
/* Read and write exactly len bytes of it; false with e filled. */
bool file_nameless_read(int fd, const char *dir, void *to, size_t len, uint64_t at, struct err *e);
bool file_nameless_write(int fd, const char *dir, const void *from, size_t len, uint64_t at, struct err *e);

#endif
