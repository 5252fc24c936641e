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

#include "common/buf.h"

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

/* -- sorted names of a directory */

struct name_entry {
    uint32_t offset;    /* offset in text */
    unsigned char type; /* DT_DIR, DT_REG, DT_LNK, ...; DT_UNKNOWN is looked up */
};

struct names { /* a stack: the lists of nested directories follow one another */
    struct buf text;
    struct name_entry *items;
    size_t n, cap;
};

struct names_mark {
    size_t n, text_len;
};

struct names_mark dir_names_mark(const struct names *names);
void dir_names_release(struct names *names, struct names_mark mark); /* removes what was added since */
/* Adds the names of a directory, sorted by bytes, to those there are. 0 or an error, EFBIG for more than 4
 * GiB of names. chunk has CHUNK_SIZE bytes. */
int dir_names_list(struct names *names, int fd, char *chunk);
const char *dir_names_at(const struct names *names, size_t i); /* valid until the next names_list */
void dir_names_free(struct names *names);

#endif
