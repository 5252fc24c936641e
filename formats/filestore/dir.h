/* Access to directories and their entries. An unreadable entry is never taken for absent: ENOENT means that
 * the name does not exist; a dangling link, e.g. into a file system that is not mounted, is a different
 * error. Transient errors of network file systems (EIO, ESTALE) are retried. */
#ifndef FORMATS_FILESTORE_DIR_H
#define FORMATS_FILESTORE_DIR_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "common/names.h"

enum {
    CHUNK_SIZE = 64 << 10,  /* bytes per read from metric files and directories */
    DANGLING_LINK = 0x7000, /* in addition to errno values: a dangling link */
};

/* The message of an error of the functions below: strerror's text, or that of DANGLING_LINK. Never freed. */
const char *dir_error(int error);

/* stat(2). Returns 0 or an error; ENOENT: the path does not exist. */
int dir_stat(int at, const char *path, struct stat *st);
/* fstat(2). Returns 0 or an error. */
int dir_fstat(int fd, struct stat *st);
/* Whether an entry of a listed directory is a directory, following links like os.path.isdir; type is the
 * listed one. Returns 0 or an error; ENOENT: it disappeared. */
int dir_entry_is_dir(int dir, const char *name, unsigned char type, bool *is_dir);
/* The type of an entry listed as DT_UNKNOWN, without following links; DT_REG if it disappeared, DT_UNKNOWN on
 * an error: opening it gives the reason. */
unsigned char dir_entry_type(int dir, const char *name);
/* Opens a directory; -1 with errno set to an error. */
int dir_open(int at, const char *path);
/* open(2) for reading; -1 with errno set to an error. */
int dir_open_file(int at, const char *path);
/* read(2) at a position. */
ssize_t dir_read_at(int fd, void *data, size_t len, uint64_t offset);

/* Calls fn with each entry but . and .. as the directory gives them, from its beginning; after a transient
 * error it begins again. fn must not use the chunk, which has CHUNK_SIZE bytes. Returns 0 or an error. */
int dir_each(int fd, char *chunk, void (*fn)(void *ctx, const char *name, unsigned char type), void *ctx);
/* Begins a list of the same, sorted by bytes, with DT_DIR, DT_REG, DT_LNK … as types; DT_UNKNOWN is looked
 * up. Returns 0 or an error, and then there is no list to be ended. */
int dir_list(struct names *names, struct name_list *l, int fd, char *chunk);

#endif
